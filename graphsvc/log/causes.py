"""Decisions about causal edges, inside the append transaction."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from graphsvc.log.episodes import chunks, unseen
from graphsvc.log.state import State
from graphsvc.model.as_of import check_interval
from graphsvc.model.records import Cause, Record, ends_of
from graphsvc.model.requests import AddCauses, ExpireCause, NewRecord
from graphsvc.model.times import from_micros, micros


def add(state: State, request: AddCauses) -> list[Record]:
    """Add causal edges, all or none; each is known from now on.

    Raises:
        Conflict, Gone: an id is taken. NotFound, Gone: an end or an episode named as evidence isn't there.
    """
    results, new = unseen(state, "cause", request.items)
    for given in new:  # all before anything is changed: no savepoint is needed then
        _check_there(state, cast(Cause, given.record))
    known = from_micros(state.now)
    stamped: dict[int, Record] = {}
    parts = chunks(new)
    call = state.n if len(parts) > 1 else 0
    for part in parts:
        change = state.begin("cause.add")
        for given in part:
            cause: Cause = msgspec.structs.replace(cast(Cause, given.record), at=known)
            state.retain(change, "Agent", cause.agent, cause.agent, {})
            state.insert(change, NewRecord.of(cause, given.hash, vector=given.vector))
            stamped[id(given.record)] = cause
        change.call, change.last = call, part is parts[-1]
        state.append(change)
    return [stamped.get(id(record), record) for record in results]


def _check_there(state: State, cause: Cause) -> None:
    source, target = ends_of(cause)
    state.live(*source, where="cause")
    state.live(*target, where="effect")
    for episode in cause.evidence:
        state.live("episode", cause.agent, episode, where="evidence")


def expire(state: State, request: ExpireCause) -> Cause:
    """Say until when a causal edge holds. What was said of that before is kept, with the time when it was said."""
    stored = state.live("cause", *request.ref)
    old = cast(Cause, stored.record)
    if request.end is None and old.valid_to is not None and micros(old.valid_to) <= state.now:
        return old  # it has ended: said once more it is the same
    end = from_micros(state.now if request.end is None else request.end)
    if old.valid_to == end:
        return old
    check_interval(old.valid_from, end, where="at")
    known = from_micros(max(state.now, micros(old.at)))
    before = old.endings or {old.at.isoformat(): _said(old.valid_to)}
    values: dict[str, Any] = {"valid_to": end, "endings": {**before, known.isoformat(): _said(end)}}
    new: Cause = msgspec.structs.replace(old, **values)
    change = state.begin("cause.expire")
    state.update(change, stored, new, values, stored.text_hash & ((1 << 64) - 1))
    state.append(change)
    return new


def _said(end: Any) -> str | None:
    return None if end is None else str(end.isoformat())
