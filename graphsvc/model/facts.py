"""Facts in time: what several that are said of one subject and predicate, its *line*, come to. Pure functions.

A fact asserts an interval in which it is true, [valid_from, valid_to), and was known in another, [at, known_to).
Where a predicate is single, a subject has one object at a time. Of the facts of a line that are known at some moment,
in the order of their beginnings, and of equal beginnings in the order in which they were learnt:

- each is true from its beginning until the next begins, or until its own end if that is sooner;
- so of equal beginnings the one learnt last is true, the others at no time: they are superseded;
- what ends by itself leaves nobody behind it: what it cut doesn't come back.

It doesn't matter in which order they arrived. Where a predicate is many, each is true for as long as it says.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.model.records import Fact
from graphsvc.model.times import EARLIEST, LATEST, from_micros, micros

ALWAYS = "always"
"""As `valid_from`: true since ever."""
DERIVED = ("until", "closed_by", "superseded")
"""Fields that follow from the other facts of a line."""
KEPT = (*DERIVED, "known_to", "corrects")
"""Fields that only the memory fills in."""
BEGINNING, FOREVER = micros(EARLIEST), micros(LATEST) + 1
"""Open ends, as numbers."""

Ints = NDArray[np.int64]


class Claim(NamedTuple):
    """What a fact of a line asserts. Claims are ordered as the rule above has it.

    Attributes:
        start: from when it is true, in microseconds. known: from when it was known. id: of the fact; orders what was
            learnt at the same moment in another memory.
        end: until when it says to be true, `FOREVER` if it doesn't say.
    """

    start: int
    known: int
    id: str
    end: int


def line_of(fact: Fact) -> str:
    """What facts of one line have in common: a digest of subject and predicate."""
    return blake2b(f"{fact.subject}\0{fact.predicate}".encode(), digest_size=16).hexdigest()


def start_of(fact: Fact) -> int:
    """From when it is true, in microseconds."""
    return BEGINNING if fact.valid_from is None else micros(fact.valid_from)


def claim_of(fact: Fact) -> Claim:
    """What a fact asserts."""
    return Claim(start_of(fact), micros(fact.at), fact.id, end_of(fact.valid_to))


def end_of(moment: datetime | None) -> int:
    """An end in microseconds, `FOREVER` where it is open."""
    return FOREVER if moment is None else micros(moment)


def moment_of(end: int) -> datetime | None:
    """The opposite of `end_of`."""
    return None if end == FOREVER else from_micros(end)


def cut(fact: Fact, following: Claim | None) -> dict[str, Any]:
    """The derived fields of a fact that another follows in its line; of one that none follows, or that is retracted
    or of a predicate that is many, what it says itself.
    """
    if following is None or following.start >= end_of(fact.valid_to):
        return {"until": fact.valid_to, "closed_by": None, "superseded": False}
    superseded = following.start == start_of(fact)
    return {"until": from_micros(following.start), "closed_by": following.id, "superseded": superseded}


def cut_line(facts: Iterable[Fact]) -> Iterator[tuple[Fact, dict[str, Any]]]:
    """The derived fields of all facts of a line that are believed."""
    ordered = sorted(facts, key=claim_of)
    for place, fact in enumerate(ordered):
        yield fact, cut(fact, claim_of(ordered[place + 1]) if place + 1 < len(ordered) else None)


def without_others(fact: Fact) -> Fact:
    """The fact as it would be without the others of its line."""
    return msgspec.structs.replace(fact, **cut(fact, None))


def changed(fact: Fact, values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that the fact doesn't have yet."""
    return {name: value for name, value in values.items() if getattr(fact, name) != value}


def following(line: Ints, start: Ints, known: Ints, rank: Ints) -> Ints:
    """For many facts at once, in parallel arrays: the place of the fact that follows each in its line, else -1.

    Args:
        line: equal where two facts are of one line. rank: orders what begins, and was learnt, at the same moment.
    """
    order = np.lexsort((rank, known, start, line))
    follows: Ints = np.full(len(line), -1, np.int64)
    alike = line[order[:-1]] == line[order[1:]]
    follows[order[:-1][alike]] = order[1:][alike]
    return follows


@dataclass(frozen=True, slots=True)
class Span:
    """For how long one fact was believed to be true for how long, in microseconds.

    Attributes:
        id: of the fact.
        start, end: true then. known, known_to: believed then; `known_to` is None where it still is.
    """

    id: str
    start: int
    end: int
    known: int
    known_to: int | None


def spans(claims: Iterable[tuple[Claim, int | None]], *, single: bool) -> list[Span]:
    """What was believed when, of one line: claims, each with the moment of its retraction, if there was one.

    In the order in which it was learnt. What was superseded within the moment in which it was learnt isn't there.
    """
    events: list[tuple[int, bool, Claim]] = []
    for claim, known_to in claims:
        events.append((claim.known, True, claim))
        if known_to is not None:
            events.append((known_to, False, claim))
    events.sort(key=lambda event: (event[0], event[1], event[2]))
    told = _Told(single)
    for at, comes, claim in events:
        told.come(at, claim) if comes else told.go(at, claim)
    return told.finish()


class _Told:
    """The line as it was known while its knowledge is gone through."""

    def __init__(self, single: bool) -> None:
        self._single = single
        self._line: list[Claim] = []
        self._open: dict[str, tuple[int, int, int]] = {}
        self._spans: list[Span] = []

    def come(self, at: int, claim: Claim) -> None:
        place = bisect.bisect(self._line, claim)
        self._line.insert(place, claim)
        self._tell(at, place)
        if self._single and place:
            self._tell(at, place - 1)

    def go(self, at: int, claim: Claim) -> None:
        place = bisect.bisect_left(self._line, claim)
        del self._line[place]
        self._close(at, claim.id)
        if self._single and place:
            self._tell(at, place - 1)

    def finish(self) -> list[Span]:
        for id, (start, end, known) in self._open.items():
            self._spans.append(Span(id, start, end, known, None))
        return sorted(self._spans, key=lambda span: (span.known, span.start, span.id))

    def _tell(self, at: int, place: int) -> None:
        claim = self._line[place]
        end = claim.end
        if self._single and place + 1 < len(self._line):
            end = min(end, self._line[place + 1].start)
        before = self._open.get(claim.id)
        if before is None or before[1] != end:
            self._close(at, claim.id)
            if end > claim.start:
                self._open[claim.id] = (claim.start, end, at)

    def _close(self, at: int, id: str) -> None:
        before = self._open.pop(id, None)
        if before is not None and before[2] < at:
            self._spans.append(Span(id, *before, at))
