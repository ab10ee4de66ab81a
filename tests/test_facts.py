"""Facts in time: against a plain model that keeps two times, and everything that facts do one by one."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
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
    NotFound,
    NotTemporal,
)
from graphsvc.memory.facts import Belief
from graphsvc.model.as_of import AsOf, parse_as_of, refuse_as_of
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


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(STEPS)
def test_any_pair_of_times_answers_as_a_plain_model_does(steps: list[tuple[int, ...]]) -> None:
    check_steps(steps)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_any_pair_of_times_answers_as_a_plain_model_does_many_times(steps: list[tuple[int, ...]]) -> None:
    check_steps(steps)


# --- what is true when ------------------------------------------------------------------------------------------


def intervals(memory: graphsvc.Memory, **options: Any) -> dict[str, tuple[int | None, int | None]]:
    """Years of beginning and end, by object."""
    return {
        fact.object: (fact.valid_from and fact.valid_from.year, fact.until and fact.until.year)
        for fact in memory.facts.list(**options)
    }


def test_a_single_valued_fact_is_cut_where_another_begins_whatever_came_first(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    said = {"Paris": 2010, "Rome": 2015, "Oslo": 2020, "Bonn": 2012}
    for place, order in enumerate(permutations(said)):
        for name in order:
            memory.facts.add(f"Ada {place}", "lives in", name, year(said[name]))
        assert intervals(memory, subject=f"Ada {place}") == {
            "Paris": (2010, 2012), "Bonn": (2012, 2015), "Rome": (2015, 2020), "Oslo": (2020, None)
        }  # fmt: skip
    assert memory.verify().problems == []


def test_of_equal_beginnings_the_one_learnt_last_counts_and_retracted_it_gives_way_again(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    first = memory.facts.add("Ada", "lives in", "Paris", year(2020))
    second = memory.facts.add("Ada", "lives in", "Rome", year(2020))
    first = memory.facts.get(first.id)
    assert (first.until, first.superseded, first.closed_by) == (year(2020), True, second.id)
    assert objects(memory.facts.list()) == objects(memory.facts.current("Ada")) == {"Rome"}
    assert objects(memory.facts.list(as_of=(year(2021), first.at))) == {"Paris"}
    memory.facts.retract(second.id)
    assert objects(memory.facts.current("Ada", "lives in")) == {"Paris"}
    assert memory.facts.get(first.id).superseded is False


def test_intervals_are_half_open_and_their_ends_may_be_open(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    second = timedelta(microseconds=1)
    memory.facts.add("Ada", "lives in", "Paris", "always", year(2000))
    memory.facts.add("Ada", "lives in", "Rome", year(2010), year(2011))
    memory.facts.add("Ada", "lives in", "Oslo", "2012-01-01T02:00:00+02:00")
    true_at = {
        year(1): {"Paris"}, year(2000) - second: {"Paris"}, year(2000): set(), year(2010) - second: set(),
        year(2010): {"Rome"}, year(2011) - second: {"Rome"}, year(2011): set(), year(2012): {"Oslo"}, year(9000): {"Oslo"},
    }  # fmt: skip
    true_at = {max(moment, EARLIEST): names for moment, names in true_at.items()}
    for moment, names in true_at.items():
        assert objects(memory.facts.list(as_of=moment)) == names, moment
    only_end = memory.facts.add("Bob", "lives in", "Bonn", valid_to=year(1999))
    assert (only_end.valid_from, only_end.until) == (None, year(1999))
    unsaid = memory.facts.add("Eve", "lives in", "Lima")
    assert unsaid.valid_from == unsaid.at


def test_what_ends_by_itself_does_not_bring_back_what_it_cut(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    memory.facts.add("Ada", "lives in", "Paris", year(2010))
    memory.facts.add("Ada", "lives in", "Rome", year(2015), year(2016))
    assert intervals(memory) == {"Paris": (2010, 2015), "Rome": (2015, 2016)}
    assert memory.facts.list(as_of=year(2017)) == []


def test_where_many_may_be_true_none_cuts_another_and_cardinality_may_change(memory: graphsvc.Memory) -> None:
    for place in range(1_200):
        memory.facts.add(f"person {place % 600}", "works for", f"firm {place}", year(2000 + place // 600))
    whole = {(place.object, place.until) for place in memory.facts.list(k=2_000)}
    assert all(until is None for _, until in whole)
    before = datetime.now(UTC)
    memory.facts.predicate("works for", single=True, description="by contract")
    ends = [fact.until for fact in memory.facts.list(k=2_000)]
    assert ends.count(None) == ends.count(year(2001)) == 600
    assert memory.facts.count(as_of=(year(2002), before)) == 600  # it is how facts are read, for all times
    assert memory.verify().problems == []
    assert memory.facts.predicate("works for", single=False).description == "by contract"
    assert {(place.object, place.until) for place in memory.facts.list(k=2_000)} == whole
    assert [one.single for one in memory.facts.predicates()] == [False]
    head = memory.status()["head"]
    memory.facts.predicate("works for", single=False)
    assert memory.status()["head"] == head
    assert memory.verify().problems == []


# --- what was known when ------------------------------------------------------------------------------------------


def test_what_was_believed_stays_known(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    paris = memory.facts.add("Ada", "lives in", "Paris", year(2010))
    rome = memory.facts.add("Ada", "lives in", "Rome", year(2015))
    bonn = memory.facts.add("Ada", "lives in", "Bonn", year(2012))
    gone = memory.facts.retract(rome.id)
    told = memory.facts.history("Ada")
    assert [(one.fact.object, one.valid_to and one.valid_to.year, one.known_from, one.known_to) for one in told] == [
        ("Paris", None, paris.at, rome.at), ("Paris", 2015, rome.at, bonn.at), ("Rome", None, rome.at, gone.known_to),
        ("Paris", 2012, bonn.at, None), ("Bonn", 2015, bonn.at, gone.known_to), ("Bonn", None, gone.known_to, None),
    ]  # fmt: skip
    assert memory.facts.history("Ada", "likes") == memory.facts.history("Bob") == []
    cut_then = memory.facts.list(as_of=AsOf(known=rome.at), order="oldest")
    assert [(fact.object, fact.closed_by) for fact in cut_then] == [("Paris", rome.id), ("Rome", None)]
    assert memory.facts.retract(rome.id) == gone
    assert memory.facts.get(rome.id) == gone
    assert [event.what for event in memory.history(rome.id)] == ["store", "amend"]


def test_nobody_rewrites_what_was_known(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    old = memory.facts.add("Ada", "lives in", "Paris", year(2010), at=year(2011))
    assert old.at == year(2011)
    again = memory.facts.add("Ada", "lives in", "Rome", year(2012), at=year(2011))
    assert again.at == year(2011) + timedelta(microseconds=1)  # no two moments of a line are the same
    head = memory.status()["head"]
    for at in (year(2010), year(2011), datetime.now(UTC) + timedelta(days=1)):
        with pytest.raises(BadInput) as caught:
            memory.facts.add("Ada", "lives in", "Oslo", year(2013), at=at)
        assert caught.value.where == "at"
    for at in (year(2010), datetime.now(UTC) + timedelta(days=1)):
        with pytest.raises(BadInput):
            memory.facts.retract(again.id, at)
    for filled_in in ({"until": year(2013)}, {"known_to": year(2013)}, {"corrects": old.id}):
        with pytest.raises(BadInput):
            memory.facts.add_many([{"subject": "Ada", "predicate": "lives in", "object": "Oslo", **filled_in}])
    assert memory.status()["head"] == head
    assert memory.facts.retract(again.id, year(2020)).known_to == year(2020)
    assert objects(memory.facts.list(as_of=(year(2013), year(2019)))) == {"Rome"}
    assert objects(memory.facts.list(as_of=(year(2013), year(2020)))) == {"Paris"}
    assert memory.facts.add("Bob", "lives in", "Oslo", year(2013), at=year(2010)).at == year(2010)


def test_what_was_learnt_first_comes_first_in_whatever_order_it_is_brought(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    rows = [
        {"subject": "Ada", "predicate": "lives in", "object": f"town {place}", "valid_from": year(2010), "at": year(place)}
        for place in (2016, 2012, 2014)
    ]
    made = memory.facts.add_many(rows)
    assert [fact.at.year for fact in made] == [2016, 2012, 2014]
    assert objects(memory.facts.current("Ada")) == {"town 2016"}
    assert objects(memory.facts.list(as_of=(year(2015), year(2015)))) == {"town 2014"}
    assert memory.verify().problems == []


def test_a_correction_takes_the_place_of_what_was_wrong(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    memory.episodes.store(session="s", task="t", id="e1")
    wrong = memory.facts.add("Ada", "lives in", "Rome", year(2015), source="e1", confidence=0.4)
    right = memory.facts.correct(wrong.id, object="Turin", confidence=0.9, valid_to=year(2018))
    assert (right.corrects, right.object, right.confidence, right.until) == (wrong.id, "Turin", 0.9, year(2018))
    assert [one.id for one in memory.facts.evidence(right.id)] == ["e1"]
    old = memory.facts.get(wrong.id)
    assert (old.object, old.known_to) == ("Rome", right.at)
    assert objects(memory.facts.list(as_of=(year(2016), wrong.at))) == {"Rome"}
    assert objects(memory.facts.list(as_of=(year(2016), right.at))) == {"Turin"}
    assert memory.facts.correct(right.id, valid_to="always").until is None
    with pytest.raises(Gone):
        memory.facts.correct(wrong.id, object="Pisa")
    with pytest.raises(BadInput):
        memory.facts.correct(memory.facts.current("Ada")[0].id, valid_to=year(2014))
    with pytest.raises(BadInput):
        memory.facts.correct(right.id)
    assert memory.verify().problems == []


# --- writing ------------------------------------------------------------------------------------------------------


def test_the_same_fact_twice_is_one_and_another_under_its_id_conflicts(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    made = [
        memory.facts.add("Ada", "lives in", "Paris", id="a"),
        memory.facts.add("Ada", "lives in", "Rome", "always", id="b"),
        memory.facts.add("Ada", "lives in", "Oslo", valid_to=year(2000), id="c"),
        memory.facts.add("Ada", "lives in", "Bonn", year(2001), id="d", tags=["x"], metadata={"n": 1}, confidence=1),
    ]
    head = memory.status()["head"]
    assert memory.facts.add("Ada", "lives in", "Paris", id="a").id == "a"
    assert [fact.id for fact in memory.facts.add_many(made)] == ["a", "b", "c", "d"]
    assert [fact.id for fact in memory.facts.add_many([made[0], made[0]])] == ["a", "a"]
    assert memory.status()["head"] == head
    for values in ({"object": "Pisa"}, {"object": "Paris", "valid_from": "always"}, {"object": "Paris", "valid_from": year(2000)}):
        with pytest.raises(Conflict):
            memory.facts.add("Ada", "lives in", id="a", **values)


def test_many_at_once_are_all_or_none(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    rows = [
        {"subject": f"p{place % 500}", "predicate": "lives in", "object": f"o{place}", "valid_from": year(2000 + place % 7)}
        for place in range(2_500)
    ]
    made = memory.facts.add_many(rows)
    assert len({fact.at for fact in made}) == 2_500
    head = memory.status()["head"]
    with pytest.raises(NotFound):
        memory.facts.add_many([*rows[:3], {**rows[0], "episodes": ["none"]}])
    with pytest.raises(BadInput) as caught:
        memory.facts.add_many([rows[0], {**rows[1], "confidence": 1.5}])
    assert caught.value.where == "facts[1].confidence"
    assert memory.status()["head"] == head
    assert memory.facts.add_many([]) == []
    assert memory.verify().problems == []


def test_subjects_objects_and_sources_may_be_entities_and_episodes(memory: graphsvc.Memory) -> None:
    ada = memory.entities.upsert(kind="person", name="Ada")
    memory.entities.upsert(kind="city", name="Paris")
    episode = memory.episodes.store(session="s", task="t", id="e1")
    memory.episodes.store(session="s", task="t", id="e2")
    first = memory.facts.add(ada, "lives in", "city:Paris", source="a letter", episodes=["e2", episode])
    second = memory.facts.add("person:Ada", "likes", "tea", source="e1")
    third = memory.facts.add(ada, "likes", ada, source=[episode, "e2"])
    assert (first.subject, first.object, first.source, second.source) == (ada.id, "city:Paris", "a letter", "e1")
    found = {fact.id: [one.id for one in memory.facts.evidence(fact.id)] for fact in (first, second, third)}
    assert found == {first.id: ["e1", "e2"], second.id: ["e1"], third.id: ["e1", "e2"]}
    assert {fact.id for fact in memory.facts.list(subject=ada)} == set(found)
    assert memory.entities.episodes(ada.id) == []
    memory.wait()
    edges = memory._opened.store.graph.counts()
    assert (edges["ABOUT"], edges["EVIDENCE"]) == (4, 5)
    for source in ("none", ["none"], 5):
        if source == "none":
            assert memory.facts.add("Bob", "likes", "tea", source=source).source == "none"
        else:
            with pytest.raises((NotFound, BadInput)):
                memory.facts.add("Bob", "likes", "tea", source=source)  # type: ignore[arg-type]
    memory.entities.delete(ada.id)
    memory.episodes.delete("e1")
    assert [one.id for one in memory.facts.evidence(first.id)] == ["e2"]
    with pytest.raises(Gone):
        memory.facts.add(ada, "likes", "milk")
    assert memory.verify().problems == []


def test_what_is_no_fact_is_refused_and_nothing_is_written(memory: graphsvc.Memory) -> None:
    head = memory.status()["head"]
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("subject", {"subject": ""}), ("subject", {"subject": 5}), ("object", {"object": "a\nb"}),
        ("predicate", {"predicate": "x" * 513}), ("valid_from", {"valid_from": "2020"}),
        ("valid_from", {"valid_from": datetime(2020, 1, 1)}), ("valid_to", {"valid_from": year(2020), "valid_to": year(2020)}),
        ("valid_to", {"valid_to": EARLIEST}), ("confidence", {"confidence": -0.1}), ("confidence", {"confidence": True}),
        ("at", {"at": "yesterday"}), ("episodes", {"episodes": "e1"}),
    ]  # fmt: skip
    for where, values in wrong:
        with pytest.raises(BadInput) as caught:
            memory.facts.add(**{"subject": "Ada", "predicate": "likes", "object": "tea", **values})
        assert caught.value.where == where, values
    for as_of in ("2020-01-01", 5, (1,), (None, "x"), {"when": "x"}, ("2020-01-01T00:00:00Z",) * 3):
        with pytest.raises(BadInput):
            memory.facts.list(as_of=as_of)  # type: ignore[arg-type]
    assert memory.status()["head"] == head


def test_as_of_says_one_time_or_two_and_is_refused_where_there_are_none() -> None:
    moment, number = "2020-01-01T00:00:00Z", micros(year(2020))
    assert parse_as_of(None) is parse_as_of((None, None)) is parse_as_of(AsOf()) is None
    assert parse_as_of(moment) == parse_as_of((moment, None)) == parse_as_of({"valid": moment}) == (number, None)
    assert parse_as_of(AsOf(known=year(2020))) == parse_as_of([None, moment]) == (None, number)
    refuse_as_of(None, "the table Person")
    with pytest.raises(NotTemporal) as caught:
        refuse_as_of(moment, "the table Person")
    assert "the table Person" in str(caught.value)


# --- reading ------------------------------------------------------------------------------------------------------


def test_contradictions_are_what_can_not_both_be_true_with_where_each_comes_from(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    memory.episodes.store(session="s", task="t", id="e1")
    memory.facts.add("Ada", "lives in", "Paris", year(2010))
    memory.facts.add("Ada", "lives in", "Rome", year(2015))  # things change
    memory.facts.add("Ada", "lives in", "Rome", year(2015))  # says the same
    memory.facts.add("Ada", "likes", "tea", year(2015), year(2020))  # many may be true
    memory.facts.add("Ada", "likes", "milk", year(2015), year(2020))
    assert memory.facts.contradictions() == []
    before = datetime.now(UTC)
    bonn = memory.facts.add("Bob", "lives in", "Bonn", year(2010), year(2020), source="e1")
    lima = memory.facts.add("Bob", "lives in", "Lima", year(2018), source="a letter")
    oslo = memory.facts.add("Bob", "lives in", "Oslo", year(2018))
    found = memory.facts.contradictions()
    assert [(one.held.id, one.overruled.id, one.reason) for one in found] == [
        (lima.id, bonn.id, "overlap"), (oslo.id, bonn.id, "overlap"), (oslo.id, lima.id, "same_start"),
    ]  # fmt: skip
    assert (found[0].start, found[0].end, found[2].end) == (year(2018), year(2020), None)
    assert (found[0].overruled_evidence, found[0].held_evidence, found[0].held.source) == (("e1",), (), "a letter")
    assert len(memory.facts.contradictions("Bob", "lives in", 2)) == 2
    assert memory.facts.contradictions("Ada") == memory.facts.contradictions(known=before) == []
    memory.facts.retract(lima.id)
    memory.facts.correct(bonn.id, valid_to=year(2018))
    assert memory.facts.contradictions() == []


def test_facts_are_found_by_meaning_words_and_filters_as_of_any_time(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives_in", single=True)
    paris = memory.facts.add("Ada", "lives_in", "Paris", year(2010), source="a letter about the Seine", confidence=0.9)
    memory.facts.add("Ada", "lives_in", "Rome", year(2015), confidence=0.2)
    memory.facts.add("Bob", "lives_in", "Oslo", year(2015))
    memory.facts.add("Bob", "lives_in", "Bern", year(2015), wait="searchable")
    assert memory.facts.search("who lives in Paris", 1)[0].fact.id == paris.id
    assert memory.facts.search("Seine", 1, mode="text")[0].record.object == "Paris"
    assert {hit.fact.object for hit in memory.facts.search("where they live")} == {"Paris", "Rome", "Bern"}
    assert {hit.fact.object for hit in memory.facts.search("Ada", as_of=year(2016))} == {"Rome", "Bern"}
    assert {hit.fact.object for hit in memory.facts.search("Ada", as_of=(year(2016), paris.at))} == {"Paris"}
    assert {hit.fact.object for hit in memory.facts.search("Ada", where=graphsvc.F.confidence > 0.5)} == {"Paris"}
    memory.facts.retract(paris.id)
    assert "Paris" not in {hit.fact.object for hit in memory.facts.search("who lives in Paris")}
    assert objects(memory.facts.list({"confidence": {"lt": 0.5}})) == objects(memory.facts.list(object="Rome")) == {"Rome"}
    assert objects(memory.facts.list({"known_to": {"exists": True}})) == set()
    assert objects(memory.facts.list(graphsvc.F.confidence > 0.5, as_of=(year(2016), paris.at))) == {"Paris"}
    assert memory.facts.search("Ada", 1).arrow().column("subject").to_pylist() == ["Ada"]
    assert memory.stats()["records"]["facts"] == memory.facts.count() == 2


def test_each_namespace_has_its_own_facts_and_predicates(memory: graphsvc.Memory) -> None:
    ada, bob = memory.as_agent("ada"), memory.as_agent("bob", shared=["ada"])
    ada.facts.predicate("lives in", single=True)
    first = ada.facts.add("Eve", "lives in", "Paris", year(2010), id="x")
    ada.facts.add("Eve", "lives in", "Rome", year(2015))
    bob.facts.add("Eve", "lives in", "Oslo", year(2012))
    bob.facts.add("Eve", "lives in", "Bern", year(2016), id="x")
    assert objects(ada.facts.list(as_of=year(2017))) == {"Rome"}
    assert objects(bob.facts.list(as_of=year(2017))) == {"Rome", "Oslo", "Bern"}
    assert objects(memory.facts.list(as_of=year(2017), agent="bob")) == {"Oslo", "Bern"}
    assert memory.as_agent("eve").facts.count() == 0
    assert [one.agent for one in bob.facts.predicates()] == ["ada"]
    with pytest.raises(NotFound):
        bob.facts.retract(ada.facts.current("Eve")[0].id)
    with pytest.raises(Ambiguous):
        memory.facts.get("x")
    assert ada.facts.get("x").id == first.id
    with pytest.raises(NotFound):
        ada.facts.add("Eve", "likes", memory.entities.upsert(kind="k", name="n", agent="bob"))
    assert memory.verify().problems == []


def test_facts_can_be_awaited(path: Path) -> None:
    async def story() -> list[str]:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.facts.predicate("lives in", single=True)
            await asyncio.gather(*(memory.facts.add("Ada", "lives in", f"o{n}", year(2000 + n)) for n in range(20)))
            return [fact.object for fact in await memory.facts.current("Ada")]

    assert asyncio.run(story()) == ["o19"]


# --- searched as of a pair of times ------------------------------------------------------------------------------


def searched(memory: graphsvc.Memory, text: str, **options: Any) -> list[tuple[str, str, Any, Any]]:
    return sorted((fact.agent, fact.object, fact.until, fact.closed_by) for fact in memory.facts.search(text, **options).records)


def listed(memory: graphsvc.Memory, **options: Any) -> list[tuple[str, str, Any, Any]]:
    return sorted((fact.agent, fact.object, fact.until, fact.closed_by) for fact in memory.facts.list(**options))


@pytest.mark.parametrize("mode", ["blend", "vector", "text"])
def test_a_search_of_the_past_finds_what_was_believed_then_as_it_was_known_to_end(memory: graphsvc.Memory, mode: Any) -> None:
    facts = memory.facts
    facts.predicate("boss", single=True)
    facts.add("x", "boss", "Ann", id="same", at=year(2021), valid_from=year(2020))
    facts.add("x", "boss", "Bob", at=year(2023), valid_from=year(2021))
    facts.add("x", "boss", "Cat", id="same", agent="other", at=year(2023), valid_from=year(2020))
    memory.wait()
    for as_of in ((year(2022), year(2022)), (year(2022), year(2024)), (None, year(2022))):
        assert searched(memory, "x boss", as_of=as_of, mode=mode) == listed(memory, as_of=as_of)
    assert searched(memory, "x boss", as_of=(year(2022), year(2022)), mode=mode) == [("default", "Ann", None, None)]
    assert [fact.object for fact in facts.search("x boss", as_of=(None, year(2022)), agent="other", mode=mode).records] == []


def test_a_kept_answer_about_the_past_ends_when_a_predicate_becomes_single(memory: graphsvc.Memory) -> None:
    facts = memory.facts
    for month, town in ((1, "Berlin"), (2, "Munich")):
        facts.add("alice", "lives_in", town, id=town, at=datetime(2024, month, 1, tzinfo=UTC), valid_from=year(2018 + month))
    for month, town in ((3, "Berlin"), (4, "Munich")):
        facts.retract(town, at=datetime(2024, month, 1, tzinfo=UTC))
    memory.wait()
    as_of = (year(2022), datetime(2024, 2, 15, tzinfo=UTC))
    for _ in range(2):
        assert {fact.object for fact in facts.search("alice lives in", as_of=as_of).records} == {"Berlin", "Munich"}
        assert {item.record.object for item in memory.recall("alice lives in", kinds="fact", as_of=as_of)} == {"Berlin", "Munich"}  # type: ignore[union-attr]
    facts.predicate("lives_in", single=True)
    assert [fact.object for fact in facts.search("alice lives in", as_of=as_of).records] == ["Munich"]
    assert [item.record.object for item in memory.recall("alice lives in", kinds="fact", as_of=as_of)] == ["Munich"]  # type: ignore[union-attr]


def test_what_was_learnt_last_of_a_line_is_known_after_a_deletion_too(memory: graphsvc.Memory) -> None:
    facts = memory.facts
    facts.add("a", "p", "1", id="f1", at=year(2020))
    facts.add("a", "p", "2", id="f2", at=year(2022))
    with pytest.raises(BadInput):
        facts.add("a", "p", "3", at=year(2021))
    memory.forget("f2")
    facts.add("a", "p", "3", at=year(2021))
    with pytest.raises(BadInput):
        facts.add("a", "p", "4", at=datetime(2020, 6, 1, tzinfo=UTC))
