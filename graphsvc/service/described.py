"""What docstrings say of verbs and their arguments, of classes and their attributes: said once, shown everywhere."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes):\n", re.MULTILINE)
_NAMED = re.compile(r"(?:^|(?<=[.!?;:] ))(\w+(?:, \w+)*): ")


_PYTHON = (
    (re.compile(r"\bNone\b"), "null"), (re.compile(r"\bTrue\b"), "true"), (re.compile(r"\bFalse\b"), "false"),
    (re.compile(r"`graphsvc\.(\w+)`"), r"`\1`"), (re.compile(r"`memory\.(\w+)`"), r"`\1`"),
    (re.compile(r"\bthe handle\b"), "the caller"),
)  # fmt: skip


def everywhere(text: str) -> str:
    """A description without what is of Python alone."""
    for pattern, instead in _PYTHON:
        text = pattern.sub(instead, text)
    return text


def sections(thing: object) -> tuple[str, dict[str, str]]:
    """The text of a docstring before its first section, and each section's text as one line."""
    parts = _SECTION.split(inspect.cleandoc(thing.__doc__ or ""))
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    said = everywhere(" ".join(parts[0].split()))
    return said, {title: everywhere(" ".join(body.split())) for title, body in bodies.items()}


def summary(thing: object) -> str:
    """What a docstring says before its sections, without what is for readers of Python alone."""
    return sections(thing)[0]


_ELSEWHERE = re.compile(
    r"^([Ff]ilter, see `F`|[Ww]hich part; see `Graph`)|(^|\.\s+)(The o|O)thers: (see|as for) `[\w.]+`(?=\.)"
    r"|(^|[,;:.]?\s+)[Ss]ee `(F|Graph|AsOf|WEIGHTS|PAST|helpfulness|list)`"
)
"""Where a docstring sends its reader to another, which who has the text alone can't follow."""


def entries(text: str, known: Iterable[str]) -> dict[str, str]:
    """What a section says of each name: `name: meaning. other, third: meaning.`"""
    names = set(known)
    places = [match for match in _NAMED.finditer(text) if set(match[1].split(", ")) <= names]
    if not places:
        return {}
    found: dict[str, str] = {}
    for match, end in zip(places, [*(match.start() for match in places[1:]), len(text)], strict=True):
        meaning = _ELSEWHERE.sub("", text[match.end() : end].strip()).strip()
        if meaning.rstrip("."):
            found.update((name, _begun(meaning)) for name in match[1].split(", "))
    return found


def _begun(meaning: str) -> str:
    """A meaning as a sentence; Greek letters stay as they are."""
    return meaning[:1].upper() + meaning[1:] if meaning[:1].isascii() else meaning
