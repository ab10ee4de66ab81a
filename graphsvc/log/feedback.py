"""Decisions about feedback, inside the append transaction."""

from __future__ import annotations

import sqlite3

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import NotFound
from graphsvc.log.episodes import CHUNK, unseen
from graphsvc.log.state import State
from graphsvc.model.names import key_of
from graphsvc.model.records import Feedback, Record, judged
from graphsvc.model.requests import RecordFeedback


def record(state: State, request: RecordFeedback) -> list[Record]:
    """Keep what was said of retrieved records, all or none. Of deleted ones too: it is still true of the answer.

    Raises:
        NotFound: there never was such a record.
    """
    results, new = unseen(state, "feedback", request.items)
    for item in new:
        said = item.record
        assert isinstance(said, Feedback)
        if state.find(said.kind, said.owner, said.record) is None:
            raise NotFound(f"no {said.kind} {said.record!r} in the namespace {said.owner!r}", where="used")
    call = state.n if len(new) > CHUNK else 0
    for start in range(0, len(new), CHUNK):
        change = state.begin("feedback.record")
        for item in new[start : start + CHUNK]:
            state.insert(change, item)
        change.call, change.last = call, start + CHUNK >= len(new)
        state.append(change)
    return results


_AGENTS = """
WITH RECURSIVE named(agent) AS (
    SELECT min(agent) FROM record WHERE kind = 'feedback' AND parent IS NOT NULL AND state = 0
    UNION ALL
    SELECT (SELECT min(agent) FROM record
            WHERE kind = 'feedback' AND agent > named.agent AND parent IS NOT NULL AND state = 0)
    FROM named WHERE named.agent IS NOT NULL
)
SELECT agent FROM named WHERE agent IS NOT NULL
"""
"""Who gave feedback, by leaping from name to name in the index."""


def judgements(
    connection: sqlite3.Connection, kind: str, rows: NDArray[np.int64], agents: tuple[str, ...] | None
) -> dict[int, tuple[float, int]]:
    """Sum and number of the values that these namespaces (None: all) gave for each row that has any."""
    if agents is None:
        agents = tuple(agent for (agent,) in connection.execute(_AGENTS))
    found: dict[int, tuple[float, int]] = {}
    for start in range(0, len(rows) if agents else 0, 500):
        part = rows[start : start + 500].tolist()
        marks = ", ".join("?" * len(part))
        named = connection.execute(f"SELECT row, agent, id FROM record WHERE row IN ({marks})", part)
        by_name = {judged(kind, key_of(agent, id)): row for row, agent, id in named}
        marks, whose = ", ".join("?" * len(by_name)), ", ".join("?" * len(agents))
        for name, total, count in connection.execute(
            "SELECT parent, sum(json_extract(body, '$.value')), count(json_extract(body, '$.value')) FROM record "
            f"WHERE kind = 'feedback' AND agent IN ({whose}) AND parent IN ({marks}) AND parent IS NOT NULL "
            "AND state = 0 GROUP BY parent",
            (*agents, *by_name),
        ):
            if count:
                found[by_name[name]] = (float(total), int(count))
    return found
