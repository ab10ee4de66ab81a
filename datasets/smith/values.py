"""What flows between operations: a text, a list of texts, or a number."""

from __future__ import annotations

import json
from enum import StrEnum

Value = str | tuple[str, ...] | int


class Kind(StrEnum):
    """The type of a value; operations compose only where kinds meet."""

    TEXT = "text"
    ITEMS = "items"
    NUMBER = "number"


def kind_of(value: Value) -> Kind:
    if isinstance(value, str):
        return Kind.TEXT
    if isinstance(value, tuple):
        return Kind.ITEMS
    return Kind.NUMBER


def shown(value: Value) -> str:
    """The value as JSON, so that blanks and line ends can be seen in an episode."""
    return json.dumps(value, ensure_ascii=False)


def clipped(value: Value, width: int = 72) -> str:
    """The value as JSON, cut to fit a line of a trace."""
    text = shown(value)
    return text if len(text) <= width else text[: width - 3] + "..."
