"""Decisions about episodes, inside the append transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from graphsvc.errors import Conflict
from graphsvc.log.state import LIVE, NextEdits, State, Stored, gone
from graphsvc.model.change import Change, Link
from graphsvc.model.names import key_of, task_key
from graphsvc.model.records import Episode, Record
from graphsvc.model.requests import AmendEpisode, Delete, NewRecord, PruneEpisodes, PruneRule, StoreEpisodes
from graphsvc.model.texts import embedded_text, text_hash
from graphsvc.model.times import micros

CHUNK = 1_000
CHUNK_BYTES = 8 << 20
"""Records, and bytes of records and vectors, per entry of the log, where a call stores many."""


def store(state: State, request: StoreEpisodes) -> list[Record]:
    """Store episodes, all or none.

    Raises:
        Conflict: an id is taken by other content. Gone: it was deleted. Nothing is stored then.
    """
    results, new = unseen(state, "episode", request.items)
    parts = chunks(new)
    call = state.n if len(parts) > 1 else 0
    for part in parts:
        change = state.begin("episode.store")
        edits = NextEdits()
        for item in part:
            episode = item.record
            assert isinstance(episode, Episode)
            state.join_session(edits, episode)
            retain(state, change, episode)
            state.insert(change, item)
        edits.write(change)
        change.call, change.last = call, part is parts[-1]
        state.append(change)
    return results


def chunks(items: list[NewRecord]) -> list[list[NewRecord]]:
    """The records of one call, shared out among entries of the log that followers can take one at a time."""
    parts: list[list[NewRecord]] = []
    size = 0
    for item in items:
        weight = len(item.body) + len(item.vector)
        if not parts or len(parts[-1]) == CHUNK or size + weight > CHUNK_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += weight
    return parts


def unseen(state: State, kind: str, items: list[NewRecord]) -> tuple[list[Record], list[NewRecord]]:
    """The records that a store gives back, and those of them that are new: the same write twice is one."""
    results: list[Record] = []
    new: list[NewRecord] = []
    within: dict[tuple[str, str], NewRecord] = {}
    for item in items:
        record = item.record
        if not item.fresh:
            place = (record.agent, record.id)
            twin = within.setdefault(place, item)
            if twin is not item:
                _check_same(kind, record.id, twin.hash, item.hash)
                results.append(twin.record)
                continue
            found = state.find(kind, record.agent, record.id)
            if found is not None:
                results.append(_same_write(kind, found, item.hash))
                continue
        results.append(record)
        new.append(item)
    return results, new


def _same_write(kind: str, found: Stored, hash: bytes) -> Record:
    if found.state != LIVE:
        raise gone(kind, found.id, found.state)
    _check_same(kind, found.id, found.hash, hash)
    return found.record


def _check_same(kind: str, id: str, old: bytes, new: bytes) -> None:
    if old != new:
        raise Conflict(f"the {kind} {id!r} exists already, with other content", where="id")


def retain(state: State, change: Change, episode: Episode) -> None:
    """Count an episode in at its session, task and agent."""
    agent = episode.agent
    state.retain(change, "Session", agent, episode.session, {"agent": agent})
    state.retain(change, "Task", agent, episode.task, {"agent": agent, "text": episode.task})
    state.retain(change, "Agent", agent, agent, {})


def release(state: State, change: Change, episode: Episode) -> None:
    """Count it out."""
    state.release(change, "Session", episode.agent, episode.session)
    state.release(change, "Task", episode.agent, episode.task)
    state.release(change, "Agent", episode.agent, episode.agent)


def amend(state: State, request: AmendEpisode) -> Episode:
    """Give fields of an episode new values; gives the episode as it now is."""
    stored = state.live("episode", *request.ref)
    old = stored.record
    assert isinstance(old, Episode)
    values = {name: value for name, value in request.values.items() if getattr(old, name) != value}
    if not values and not request.vector:
        return old
    new: Episode = msgspec.structs.replace(old, **values)
    change = state.begin("episode.amend")
    if {"at", "session"} & values.keys():
        _move(state, change, old, new, stored)
    hash = text_hash(embedded_text(new) or "")
    state.update(change, stored, new, values, hash, request.vector)
    if {"session", "task"} & values.keys():
        retain(state, change, new)
        release(state, change, old)
        _relink(change, old, new)
    state.append(change)
    return new


def _move(state: State, change: Change, old: Episode, new: Episode, stored: Stored) -> None:
    """Take an episode out of its place in a session and put it into another."""
    edits = NextEdits()
    before, after = state.neighbours(old.agent, old.session, _place(old))
    if before:
        edits.unlink(before, old.key)
    if after:
        edits.unlink(old.key, after)
    if before and after:
        edits.link(before, after)
    # Out of the session's order while its new place is looked up.
    state.connection.execute("UPDATE record SET parent = NULL WHERE row = ?", (stored.row,))
    state.leave_session(old)
    state.join_session(edits, new)
    edits.write(change)


def _place(episode: Episode) -> tuple[int, str]:
    return micros(episode.at), episode.id


def _relink(change: Change, old: Episode, new: Episode) -> None:
    """Edges to the session and the task that the episode names now."""
    for rel, table, before, after in (
        ("IN_SESSION", "Session", old.session, new.session),
        ("ATTEMPTS", "Task", task_key(old.task), task_key(new.task)),
    ):
        if before != after:
            change.unlinks.append(Link(rel, "Episode", old.key, table, key_of(old.agent, before)))
            change.links.append(Link(rel, "Episode", new.key, table, key_of(new.agent, after)))


def delete(state: State, request: Delete) -> int:
    """Delete episodes, all or none; gives how many."""
    return _remove(state, [state.live("episode", *ref) for ref in dict.fromkeys(request.refs)], "episode.delete")


def prune(state: State, request: PruneEpisodes) -> list[str]:
    """Delete what the rule selects; gives the ids."""
    state.flush()
    chosen = select_prunable(state.connection, request.rule)
    _remove(state, [state.live("episode", agent, id) for agent, id in chosen], "episode.prune")
    return [id for _, id in chosen]


def _remove(state: State, stored: list[Stored], verb: str) -> int:
    for start in range(0, len(stored), CHUNK):
        change = state.begin(verb)
        chunk = stored[start : start + CHUNK]
        episodes: list[Episode] = []
        for one in chunk:
            episode = one.record
            assert isinstance(episode, Episode)
            episodes.append(episode)
            release(state, change, episode)
            state.leave_session(episode)
            state.retire(change, one)
        close_gaps(state, change, episodes)
        change.call = state.n - start // CHUNK if len(stored) > CHUNK else 0
        change.last = start + CHUNK >= len(stored)
        state.append(change)
    return len(stored)


def close_gaps(state: State, change: Change, removed: list[Episode]) -> None:
    """Join what now follow each other where episodes were removed between them."""
    gaps: dict[tuple[str, str], None] = {}
    for episode in removed:
        before, after = state.neighbours(episode.agent, episode.session, _place(episode))
        if before and after:
            gaps[(before, after)] = None
    change.links.extend(Link("NEXT", "Episode", before, "Episode", after) for before, after in gaps)


def select_prunable(connection: sqlite3.Connection, rule: PruneRule) -> list[tuple[str, str]]:
    """Agent and id of the episodes that a rule selects, oldest first.

    A task's episodes are ranked by reward, none last; among equals the newer, then the smaller id, is better.
    """
    tests, values = ["place > ?"], [rule.keep_min_per_task]
    parameters: list[Any] = []
    scope = ""
    if rule.agents is not None:
        scope = f"AND agent IN ({', '.join('?' * len(rule.agents))})"
        parameters.extend(rule.agents)
    if rule.below_reward is not None:
        tests.append("reward < ?")
        values.append(rule.below_reward)  # type: ignore[arg-type]
    if rule.before is not None:
        tests.append("at < ?")
        values.append(rule.before)
    rows = connection.execute(
        f"""
        WITH ranked AS (
            SELECT agent, id, at, json_extract(body, '$.reward') AS reward,
                row_number() OVER (
                    PARTITION BY agent, task
                    ORDER BY json_extract(body, '$.reward') DESC NULLS LAST, at DESC, id
                ) AS place
            FROM record WHERE kind = 'episode' AND state = 0 {scope}
        )
        SELECT agent, id FROM ranked WHERE {" AND ".join(tests)} ORDER BY at, agent, id
        """,
        [*parameters, *values],
    )
    return [(str(agent), str(id)) for agent, id in rows]
