"""Decisions about entities, variables and edges from episodes, inside the append transaction."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from graphsvc.errors import BadInput, Gone
from graphsvc.log.episodes import CHUNK
from graphsvc.log.state import LIVE, State, Stored
from graphsvc.model.change import Change, Link
from graphsvc.model.graph import REL_TABLES
from graphsvc.model.kinds import KINDS, kind_of
from graphsvc.model.names import key_of
from graphsvc.model.records import Entity, Variable
from graphsvc.model.requests import Delete, EpisodeLink, LinkEpisodes, NewRecord, Ref, UnlinkEpisode, UpsertEntities

Named = Entity | Variable
_KIND_OF_TABLE = {kind.table: kind.name for kind in KINDS.values() if kind.table}


def upsert(state: State, request: UpsertEntities) -> list[Named]:
    """Make entities or variables, or bring those that exist up to date, all or none; what says nothing new writes
    nothing.

    Raises:
        Gone: an id was deleted.
    """
    asked = list(zip(request.items, request.values, strict=True))
    latest: dict[Ref, Named] = {}
    first, many = state.n, len(asked) > CHUNK
    for start in range(0, len(asked), CHUNK):
        change = state.begin(f"{kind_of(request.items[0].record).name}.upsert")
        for item, values in asked[start : start + CHUNK]:
            latest[(item.record.agent, item.record.id)] = _upsert_one(state, change, item, values)
        change.call, change.last = first if many else 0, start + CHUNK >= len(asked)
        # An entry that says nothing closes a call whose last part was there already.
        if change.puts or change.patches or (change.last and state.n > first):
            state.append(change)
    return [latest[(item.record.agent, item.record.id)] for item in request.items]


def _upsert_one(state: State, change: Change, item: NewRecord, values: dict[str, Any]) -> Named:
    given = cast(Named, item.record)
    kind = kind_of(given).name
    found = state.find(kind, given.agent, given.id)
    if found is None:
        state.retain(change, "Agent", given.agent, given.agent, {})
        state.insert(change, item)
        return given
    if found.state != LIVE:
        raise Gone(f"the {kind} {given.id!r} was deleted; its id is not used again", where="id")
    old = cast(Named, found.record)
    changed = {name: value for name, value in values.items() if getattr(old, name) != value}
    if not changed:
        return old
    new: Named = msgspec.structs.replace(old, **changed)
    state.update(change, found, new, changed, 0)
    return new


def delete(state: State, request: Delete) -> int:
    """Delete entities, variables or causal edges, and the edges at them, all or none; gives how many."""
    stored = [state.live(request.kind, *ref) for ref in dict.fromkeys(request.refs)]
    call = state.n if len(stored) > CHUNK else 0
    for start in range(0, len(stored), CHUNK):
        change = state.begin(f"{request.kind}.delete")
        for one in stored[start : start + CHUNK]:
            state.release(change, "Agent", one.agent, one.agent)
            state.retire(change, one)
        change.call, change.last = call, start + CHUNK >= len(stored)
        state.append(change)
    return len(stored)


def link(state: State, request: LinkEpisodes) -> int:
    """Join episodes with entities or other episodes, all or none; gives how many edges are new."""
    change = state.begin("episode.link")
    for wanted in request.links:
        source, target = _ends(state, wanted)
        if source.row == target.row:
            raise BadInput("an episode can't be evidence of itself", where="target")
        if state.link_values(wanted.rel, source.row, target.row) is None:
            state.set_link(change, _edge(wanted), source.row, target.row, replace=False)
    if change.links:
        state.append(change)
    return len(change.links)


def unlink(state: State, request: UnlinkEpisode) -> bool:
    """Take an edge away; gives whether there was one."""
    source, target = _ends(state, request.link)
    if state.link_values(request.link.rel, source.row, target.row) is None:
        return False
    change = state.begin("episode.unlink")
    state.drop_link(change, _edge(request.link), source.row, target.row)
    state.append(change)
    return True


def _ends(state: State, link: EpisodeLink) -> tuple[Stored, Stored]:
    kind = _KIND_OF_TABLE[_pair(link)[1]]
    return state.live("episode", *link.source, where="source"), state.live(kind, *link.target, where="target")


def _edge(link: EpisodeLink) -> Link:
    source, target = _pair(link)
    return Link(link.rel, source, key_of(*link.source), target, key_of(*link.target))


def _pair(link: EpisodeLink) -> tuple[str, str]:
    """The tables at its ends: those links join one pair each."""
    return REL_TABLES[link.rel].pairs[0]
