"""How the agent takes a description apart: an opener, then clauses, with the numbers and marks in them.

The agent knows this much English: what connects clauses, which words carry little, that figures and quoted
characters are meant to be used. What the remaining words ask for it has to learn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

STEM = 6
CONNECTIVE = re.compile(r"[,;:] (?:and finally |after that |then |next |lastly |last, |last |first )?")
NUMBER = re.compile(r"\d+")
MARK = re.compile(r"'(\S)'")
WORD = re.compile(r"[a-z#]+")
STOP_TEXT = """
a an the of to in on at by for from with as is it its
one who what how has have does was were are all put
"""
STOP = frozenset(STOP_TEXT.split())


@dataclass(frozen=True)
class Clause:
    """A stretch of the description that asks, most likely, for one step."""

    text: str
    words: frozenset[str]
    arguments: tuple[int | str, ...]


def words_of(text: str) -> frozenset[str]:
    """The words that carry meaning; figures and marks are told apart only from words."""
    plain = NUMBER.sub(" # ", MARK.sub(" ## ", text)).lower()
    return frozenset(word[:STEM] for word in WORD.findall(plain) if word not in STOP)


def clause(text: str) -> Clause:
    numbers = [int(figure) for figure in NUMBER.findall(MARK.sub(" ", text))]
    return Clause(text, words_of(text), (*numbers, *MARK.findall(text)))


@dataclass(frozen=True)
class Description:
    """A description taken apart. The opener says what the input is; it asks for a step only at times."""

    opener: Clause
    clauses: tuple[Clause, ...]
    words: frozenset[str]

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(a for part in self.parts for a in part.arguments if isinstance(a, int))

    @property
    def marks(self) -> tuple[str, ...]:
        return tuple(a for part in self.parts for a in part.arguments if isinstance(a, str))

    @property
    def parts(self) -> tuple[Clause, ...]:
        return (self.opener, *self.clauses)


def description(text: str) -> Description:
    opener, *rest = CONNECTIVE.split(text.removesuffix("."))
    return Description(clause(opener), tuple(clause(part) for part in rest), words_of(text))


def alike(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared words over all words, 0 to 1."""
    return len(one & other) / len(one | other) if one | other else 0.0
