"""Facts in time: against a plain model that keeps two times, and everything that facts do one by one."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc.errors import (
    Ambiguous,
    BadInput,
    Conflict,
    Gone,
    GraphsvcError,
    NotFound,
    NotTemporal,
    TooLarge,
    UnknownField,
)
from graphsvc.memory.facts import Belief
from graphsvc.memory.importing import import_memory
from graphsvc.model.as_of import AsOf, parse_as_of, refuse_as_of
from graphsvc.model.facts import Claim, cut_line, spans
from graphsvc.model.records import Fact
from graphsvc.model.times import EARLIEST, LATEST, micros


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)


def objects(facts: list[Fact]) -> set[str]:
    return {fact.object for fact in facts}


# --- against a plain model ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """One assertion, as anybody would keep it."""

    id: str
    subject: str
    predicate: str
    object: str
    start: datetime
    end: datetime
    known: datetime
    known_to: datetime = LATEST + timedelta(days=1)


class Plain:
    """Facts in time without any cleverness: every question goes through everything."""

    def __init__(self) -> None:
        self.said: dict[str, Said] = {}
        self.single: set[str] = set()

    def believed(self, known: datetime | None) -> list[Said]:
        now = [one for one in self.said.values() if one.known_to > LATEST]
        return now if known is None else [one for one in self.said.values() if one.known <= known < one.known_to]

    def until(self, one: Said, known: datetime | None) -> datetime:
        """The end of one as it was known then; its beginning, if it was true at no time."""
        if one.predicate not in self.single:
            return one.end
        ends = [one.end]
        for other in self.believed(known):
            if (other.subject, other.predicate) == (one.subject, one.predicate):
                later = (other.known, other.id) > (one.known, one.id)
                if other.start > one.start or (other.start == one.start and later):
                    ends.append(other.start)
        return min(ends)

    def ask(self, valid: datetime | None, known: datetime | None) -> dict[str, datetime]:
        """Ids of what was true then as it was known then, and until when."""
        found = {}
        for one in self.believed(known):
            until = self.until(one, known)
            if one.start < until and (valid is None or one.start <= valid < until):
                found[one.id] = until
        return found


BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
OPEN = LATEST + timedelta(days=1)
SUBJECTS, PREDICATES, OBJECTS = ("Ada", "Bob"), ("lives in", "likes"), ("Paris", "Rome", "tea")
NUMBERS = st.tuples(*[st.integers(0, 1 << 12)] * 6)
STEPS = st.lists(NUMBERS, min_size=1, max_size=25)


class Run:
    """The memory and the plain model, step by step, whatever the numbers."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "memory"
        self.plain = Plain()
        self.memory = self._open()
        self.memory.facts.predicate("lives in", single=True)
        self.plain.single.add("lives in")
        self.moments: list[datetime | None] = [None]

    def _open(self) -> graphsvc.Memory:
        return graphsvc.open(self.path, embedder="hashing")

    def step(self, numbers: tuple[int, ...]) -> None:
        what, *rest = numbers
        verbs: list[Callable[..., None]] = [
            self._add, self._add, self._add, self._add, self._many, self._retract, self._correct, self._learnt,
            self._count, self._reopen,
        ]  # fmt: skip
        verbs[what % len(verbs)](*rest)
        self.moments.append(datetime.now(UTC))

    def _values(self, a: int, b: int, c: int) -> dict[str, Any]:
        start = ("always", BEGIN + (a % 7) * DAY, BEGIN + (a % 7) * DAY)[b % 3]
        first = -1 if start == "always" else a % 7
        end = BEGIN + (first + 1 + c % 9) * DAY if c % 2 else None
        return {
            "subject": SUBJECTS[a % 2], "predicate": PREDICATES[(a + b) % 3 == 0], "object": OBJECTS[c % 3],
            "valid_from": start, "valid_to": end,
        }  # fmt: skip

    def _note(self, fact: Fact) -> None:
        self.plain.said[fact.id] = Said(
            fact.id, fact.subject, fact.predicate, fact.object, fact.valid_from or EARLIEST, fact.valid_to or OPEN, fact.at
        )  # fmt: skip

    def _add(self, a: int, b: int, c: int, d: int, e: int) -> None:
        self._note(self.memory.facts.add(**self._values(a, b, c)))

    def _many(self, a: int, b: int, c: int, d: int, e: int) -> None:
        rows = [self._values(a, b, c), self._values(b, c, d), self._values(c, d, e), self._values(a, e, d)]
        for fact in self.memory.facts.add_many(rows):
            self._note(fact)

    def _pick(self, place: int) -> Said | None:
        believed = sorted(self.plain.believed(None), key=lambda one: one.known)
        return believed[place % len(believed)] if believed else None

    def _retract(self, a: int, *rest: int) -> None:
        if (one := self._pick(a)) is not None:
            fact = self.memory.facts.retract(one.id)
            assert fact.known_to is not None
            self.plain.said[one.id] = replace(one, known_to=fact.known_to)

    def _correct(self, a: int, b: int, c: int, d: int, e: int) -> None:
        if (one := self._pick(a)) is None:
            return
        values = {"object": OBJECTS[b % 3], "valid_from": ("always", BEGIN + (c % 7) * DAY)[c % 2], "valid_to": "always"}
        fact = self.memory.facts.correct(one.id, **values)
        if fact.id != one.id:  # else it says the same
            self.plain.said[one.id] = replace(one, known_to=fact.at)
            self._note(fact)

    def _learnt(self, a: int, b: int, c: int, d: int, e: int) -> None:
        """Somebody brings in what was learnt elsewhere, at a moment between two that we know."""
        values = self._values(a, b, c)
        line = [one for one in self.plain.said.values() if (one.subject, one.predicate) == (values["subject"], values["predicate"])]
        latest = max((moment for one in line for moment in (one.known, one.known_to) if moment <= LATEST), default=EARLIEST)
        at = max(latest, BEGIN) + timedelta(microseconds=d % 3 - 1)
        try:
            self._note(self.memory.facts.add(**values, at=at))
        except BadInput as error:
            assert error.where == "at"
            assert at < latest
        else:
            assert at >= latest

    def _count(self, a: int, *rest: int) -> None:
        name = PREDICATES[a % 2]
        single = name not in self.plain.single
        self.memory.facts.predicate(name, single=single)
        self.plain.single.symmetric_difference_update({name})

    def _reopen(self, *rest: int) -> None:
        self.memory.close()
        self.memory = self._open()

    def check(self) -> None:
        valid = [None, EARLIEST, *(BEGIN + days * DAY for days in range(-1, 18, 3)), BEGIN + DAY / 2, LATEST]
        for known in self.moments[-6:] + self.moments[:2]:
            for moment in valid:
                expected = self.plain.ask(moment, known)
                found = self.memory.facts.list(k=1_000, as_of=(moment, known))
                assert {fact.id: fact.until or OPEN for fact in found} == expected, (moment, known)
                assert self.memory.facts.count(as_of=(moment, known)) == len(expected)
        self._check_history()

    def _check_history(self) -> None:
        for subject in SUBJECTS:
            told = self.memory.facts.history(subject)
            for known in self.moments[-4:]:
                expected = {
                    (id, until) for id, until in self.plain.ask(None, known).items()
                    if self.plain.said[id].subject == subject
                }  # fmt: skip
                assert {(one.fact.id, one.valid_to or OPEN) for one in told if _at(one, known)} == expected


def _at(belief: Belief, known: datetime | None) -> bool:
    if known is None:
        return belief.known_to is None
    return belief.known_from <= known and (belief.known_to is None or known < belief.known_to)


def check_steps(steps: list[tuple[int, ...]]) -> None:
    directory = Path(tempfile.mkdtemp())
    run = Run(directory)
    try:
        for number, step in enumerate(steps):
            run.step(step)
            if number % 8 == 7:
                run.check()
        run.check()
        assert run.memory.verify().problems == []
        run._reopen()
        run.check()
    finally:
        run.memory.close()
        shutil.rmtree(directory)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(STEPS)
def test_any_pair_of_times_answers_as_a_plain_model_does(steps: list[tuple[int, ...]]) -> None:
    check_steps(steps)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_any_pair_of_times_answers_as_a_plain_model_does_many_times(steps: list[tuple[int, ...]]) -> None:
    check_steps(steps)
