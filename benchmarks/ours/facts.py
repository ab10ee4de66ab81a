"""Facts in time: adding, and asking as of a moment, of a subject that has many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import graphsvc
from benchmarks.figures import Figures, of_durations, timed
from benchmarks.section import Context

BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
LINE = 1_000
"""Facts of the subject that is asked for."""
BATCH = 10_000


def measure(context: Context) -> Figures:
    sizes = context.sizes
    with graphsvc.open(context.work / "facts", embedder="hashing") as memory:
        facts = memory.facts
        facts.predicate("lives in", single=True)
        ada = [_fact("Ada", number) for number in range(LINE)]
        others = [_fact(f"person {number % (sizes.large // 10)}", number) for number in range(sizes.large - LINE)]
        for start in range(0, len(others), BATCH):
            facts.add_many(others[start : start + BATCH])
        facts.add_many(ada)
        memory.wait(timeout=3600.0)
        known = datetime.now(UTC)

        def add(number: int) -> None:
            facts.add("Bob", "lives in", f"town {number}", BEGIN + timedelta(hours=number))

        def at(number: int) -> None:
            found = facts.list(subject="Ada", predicate="lives in", as_of=_day(number))
            assert len(found) == 1, "one object at a time"

        def at_as_known(number: int) -> None:
            found = facts.list(subject="Ada", predicate="lives in", as_of=(_day(number), known))
            assert len(found) == 1, "one object at a time"

        added = timed(sizes.queries * 5, add, warm_up=sizes.warm_up)
        memory.wait(timeout=3600.0)
        now = timed(sizes.queries, at, warm_up=sizes.warm_up)
        then = timed(sizes.queries, at_as_known, warm_up=sizes.warm_up)
    return {
        "facts.add": of_durations(added, fsync=True),
        "facts.at": of_durations(now),
        "facts.at-known": of_durations(then),
    }


def _fact(subject: str, number: int) -> dict[str, object]:
    return {"subject": subject, "predicate": "lives in", "object": f"town {number}", "valid_from": _day(number)}


def _day(number: int) -> datetime:
    return BEGIN + timedelta(days=number % LINE)
