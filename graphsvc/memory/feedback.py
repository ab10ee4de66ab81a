"""Feedback: what was said of the records that an answer showed, kept for training and for ranking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from graphsvc.errors import Ambiguous, BadInput, NotFound
from graphsvc.log.feedback import judgements
from graphsvc.log.log import Log
from graphsvc.memory.namespaces import Namespaces
from graphsvc.memory.opened import Opened
from graphsvc.memory.results import Hits
from graphsvc.memory.retrieval import Values, check_k
from graphsvc.memory.verbs import new_id
from graphsvc.model.change import decode_record
from graphsvc.model.kinds import KINDS, SEARCHABLE, kind_of
from graphsvc.model.names import check_name, key_of
from graphsvc.model.records import Feedback, judged
from graphsvc.model.requests import NewRecord, RecordFeedback
from graphsvc.model.validate import build, content_hash, plain
from graphsvc.store.hot import Rows

FeedbackList = list[Feedback]
Shown = tuple[str, str, str, int | None, float | None]
"""Of a record that was shown: kind, namespace, id, place from 1, score."""


def give(
    opened: Opened, namespaces: Namespaces, answer: Any, used: Any, kind: Any, agent: str | None
) -> FeedbackList:
    """Keep feedback; see `Memory.feedback`."""
    opened.check()
    values = _values(used)
    if isinstance(answer, Hits):
        query, shown = answer.query, _hits(answer, values)
        _check_seen(namespaces, shown)
    elif isinstance(answer, str) and answer.strip():
        query, shown = answer, _named(opened.log, namespaces, _kind(kind), values)
    else:
        raise BadInput("expected the hits of a retrieval, or the text that was asked", where="answer")
    now, name = datetime.now(UTC), new_id()
    items = []
    for of_kind, owner, id, rank, score in shown:
        given = {
            "id": new_id(), "agent": namespaces.writes(owner if agent is None and namespaces.agent is None else agent),
            "at": now, "query": query, "kind": of_kind, "owner": owner, "record": id, "value": values.get(id),
            "rank": rank, "score": score, "answer": name,
        }  # fmt: skip
        known = {field: value for field, value in given.items() if value is not None}
        items.append(NewRecord.of(build(KINDS["feedback"], known, opened.limits), content_hash("feedback", known)))
    return list(opened.log.submit(RecordFeedback(items)).result) if items else []


def _values(used: Any) -> dict[str, float]:
    """How useful each was, 0 to 1; those of a plain list were."""
    if isinstance(used, str) or not isinstance(used, Mapping | Iterable):
        raise BadInput(f"expected ids, or a value for each id, got {type(used).__name__}", where="used")
    pairs = used.items() if isinstance(used, Mapping) else ((id, 1.0) for id in used)
    values = {}
    for id, value in pairs:
        number = plain(value)
        if not isinstance(number, bool | int | float) or not 0 <= number <= 1:
            raise BadInput(f"expected a number from 0 to 1, got {value!r}", where=f"used.{id}")
        values[check_name(id, "used")] = float(number)
    return values


def _kind(kind: Any) -> str:
    if kind not in SEARCHABLE:
        raise BadInput(f"{kind!r} is not one of {', '.join(SEARCHABLE)}", where="kind")
    return str(kind)


def _hits(hits: Hits[Any], values: dict[str, float]) -> list[Shown]:
    shown: list[Shown] = [
        (kind_of(hit.record).name, hit.record.agent, hit.record.id, rank, hit.score)
        for rank, hit in enumerate(hits, 1)
    ]
    ids = [id for _, _, id, _, _ in shown]
    for id in values:
        if id not in ids:
            raise BadInput(f"{id!r} is none of the hits", where="used")
        if ids.count(id) > 1:
            raise Ambiguous(f"the id {id!r} is that of several hits", where="used", hint="Name them by one namespace.")
    return shown


def _check_seen(namespaces: Namespaces, shown: list[Shown]) -> None:
    """Raise NotFound where hits, which anybody may make up, are of a namespace that the handle doesn't see."""
    seen = namespaces.reads()
    for kind, owner, id, _, _ in shown:
        if seen is not None and owner not in seen:
            raise NotFound(f"no {kind} {id!r}", where="used")


def _named(log: Log, namespaces: Namespaces, kind: str, values: dict[str, float]) -> list[Shown]:
    if not values:
        raise BadInput("names no record", where="used", hint="Give ids, or the hits themselves.")
    found = [log.find_any((kind,), id, namespaces.reads()) for id in values]
    return [(kind, one.agent, one.id, None, None) for one in found]


def listed(opened: Opened, namespaces: Namespaces, k: Any, record: Any, kind: Any, agent: Any) -> FeedbackList:
    """Feedback, the newest first; see `Memory.feedbacks`."""
    opened.check()
    limit = check_k(k, opened.settings.max_results)
    tests = ["kind = 'feedback'", "state = 0"]
    values: list[Any] = []
    agents = namespaces.reads(agent)
    if agents is not None:
        tests.append(f"agent IN ({', '.join('?' * len(agents))})")
        values.extend(agents)
    if record is not None:
        found = opened.log.find_any((_kind(kind),), check_name(record, "record"), namespaces.reads())
        tests.append("parent = ? AND parent IS NOT NULL")
        values.append(judged(found.kind, key_of(found.agent, found.id)))
    with opened.log.connection() as connection:
        rows = connection.execute(
            f"SELECT body FROM record WHERE {' AND '.join(tests)} ORDER BY at DESC, row DESC LIMIT ?",
            (*values, limit),
        ).fetchall()
    return [said for (body,) in rows if isinstance(said := decode_record("feedback", body), Feedback)]


def helpfulness(log: Log, kind: str, rows: Rows, agents: tuple[str, ...] | None) -> Values:
    """How useful each record has been found, over 0 and under 1: (1 + sum of values) / (2 + number of them).

    The mean with one useful and one useless judgement added (Laplace), so that few say little and none says 0.5.
    """
    with log.connection() as connection:
        found = judgements(connection, kind, rows, agents)
    values: Values = np.full(len(rows), 0.5)
    for place, row in enumerate(rows.tolist()):
        if row in found:
            total, count = found[row]
            values[place] = (1 + total) / (2 + count)
    return values
