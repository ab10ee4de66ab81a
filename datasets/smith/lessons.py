"""What the agent takes from remembered episodes, and what it then believes about a description.

From a critique: which operation a quoted stretch of a description meant, or did not mean. From a successful
output: the program itself, to be tried as it stands if it fits the examples. That is all; the agent does
not work out from a program alone which of its steps answers which words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smith.clauses import Description, alike, words_of
from smith.operations import OPERATIONS
from smith.program import Program, parse

Memory = Mapping[str, Any]
"""A remembered episode: at least its task, output, critique and success."""

SENTENCE = re.compile(r"(?<=[.]) (?=[A-Z\"])")
QUOTED = re.compile(r'"([^"]+)"')
ASIDE = re.compile(r"\([^()]*\)")
NAME = re.compile(r"[a-z]+(?:_[a-z]+)+")
MOST = 3.0


@dataclass(frozen=True)
class Lesson:
    """One operation spoken for (or against, below zero) as the meaning of a phrase."""

    phrase: frozenset[str]
    operation: str
    strength: float


def _strength(sentence: str) -> float:
    """How sure the critic was, by the words it used."""
    if " meant " in sentence:
        return 1.0
    if "came nearer" in sentence:
        return 0.25
    return 0.1 if "Perhaps" in sentence else 0.35


def critique_lessons(critique: str) -> list[Lesson]:
    """Read a critique sentence by sentence: a quoted phrase, then operations; `not` turns the rest around."""
    found = []
    for sentence in SENTENCE.split(critique):
        phrase = QUOTED.search(sentence)
        if phrase is None or sentence.startswith(("Observed", "Read")):
            continue
        for half, sign in zip(
            ASIDE.sub("", sentence[phrase.end() :]).split(" not ", 1), (1.0, -1.0), strict=False
        ):
            names = [name for name in NAME.findall(half) if name in OPERATIONS]
            found += [Lesson(words_of(phrase[1]), name, sign * _strength(sentence)) for name in names]
    return found


def remembered_programs(episodes: Iterable[Memory]) -> list[Program]:
    """The programs of successful episodes, in the order they were recalled."""
    found: dict[Program, None] = {}
    for episode in episodes:
        source = str(episode.get("output") or "").partition("\n")[0].removeprefix("program: ")
        if episode.get("success"):
            try:
                found.setdefault(parse(source))
            except ValueError:
                continue
    return list(found)


@dataclass(frozen=True)
class Beliefs:
    """For every clause of one description, how much speaks for each operation."""

    by_clause: tuple[Mapping[str, float], ...]

    def of(self, place: int, operation: str) -> float:
        return self.by_clause[place].get(operation, 0.0) if self.by_clause else 0.0

    def overall(self, operation: str) -> float:
        """The strongest support any clause lends; the strongest objection where none supports it."""
        found = [held[operation] for held in self.by_clause if operation in held]
        return max(found, key=lambda b: (b > 0, abs(b))) if found else 0.0

    def expected(self) -> list[tuple[str, float]]:
        """For each clause with a believed meaning: the operation and how sure the agent is."""
        best = [max(held.items(), key=lambda pair: (pair[1], pair[0])) for held in self.by_clause if held]
        return [(name, sure) for name, sure in best if sure > 0.2]


def beliefs(about: Description, episodes: Sequence[Memory]) -> Beliefs:
    """Weigh the lessons of remembered episodes by how alike their tasks are and how alike the phrases."""
    held: list[dict[str, float]] = [{} for _ in about.clauses]
    for episode in episodes:
        critique = episode.get("critique")
        if not critique:
            continue
        near = 0.2 + 0.8 * alike(about.words, words_of(str(episode.get("task", ""))))
        for lesson in critique_lessons(str(critique)):
            for place, clause in enumerate(about.clauses):
                match = alike(clause.words, lesson.phrase)
                if match >= 0.5:
                    weight = near * match**3 * lesson.strength
                    held[place][lesson.operation] = held[place].get(lesson.operation, 0.0) + weight
    return Beliefs(tuple({n: max(-MOST, min(MOST, round(b, 6))) for n, b in place.items()} for place in held))
