"""Forgetting in statements: a value that holds a text to be forgotten gives way to a placeholder. Pure.

The statement stays, and is done again by a replay with what it says then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from graphsvc.model.statements import Statement

PLACEHOLDER = "[forgotten]"
LEAST = 8
"""Characters that a text has at least, to be looked for in values: "ok" in some value is no trace of a record."""

_LITERAL = re.compile(r"`[^`]*`|//[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}


class Held:
    """Which values hold any of some texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        chosen = sorted({text for text in texts if len(text) >= LEAST}, key=len)
        self._found = re.compile("|".join(map(re.escape, chosen))).search if chosen else None

    def __bool__(self) -> bool:
        return self._found is not None

    def __call__(self, value: str) -> bool:
        """Whether a text holds one of them."""
        return self._found is not None and self._found(value) is not None

    def cleaned(self, value: Any) -> Any:
        """A value, with what holds one of them replaced; names of a map stay."""
        if isinstance(value, str):
            return PLACEHOLDER if self(value) else value
        if isinstance(value, list):
            return [self.cleaned(item) for item in value]
        if isinstance(value, Mapping):
            return {name: self.cleaned(item) for name, item in value.items()}
        return value


def without(statement: Statement, held: Held) -> Statement:
    """A statement whose literals and parameters hold none of the texts."""
    text = _LITERAL.sub(lambda literal: _literal(literal[0], held), statement.text)
    params, defaults = held.cleaned(statement.params), held.cleaned(statement.defaults)
    return msgspec.structs.replace(statement, text=text, params=params, defaults=defaults)


def _literal(literal: str, held: Held) -> str:
    quote = literal[0]
    if quote == "`":
        return literal
    if quote == "/":
        return "/* [forgotten] */" if held(literal) else literal
    inner = literal[1:-1]
    return f"{quote}{PLACEHOLDER}{quote}" if held(inner) or held(_ESCAPE.sub(_meant, inner)) else literal


def _meant(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2] or escape[3]
    if code:
        return chr(int(code, 16)) if int(code, 16) < 0x110000 else ""
    return _ESCAPED.get(escape[4], escape[4])
