"""Decisions about entities, and about edges from episodes, inside the append transaction."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from graphsvc.errors import BadInput, Gone
from graphsvc.log.episodes import CHUNK
from graphsvc.log.state import LIVE, State, Stored
from graphsvc.model.change import Change, Link
from graphsvc.model.graph import REL_TABLES
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import key_of
from graphsvc.model.records import Entity
from graphsvc.model.requests import Delete, EpisodeLink, LinkEpisodes, NewRecord, Ref, UnlinkEpisode, UpsertEntities

_KIND_OF_TABLE = {kind.table: kind.name for kind in KINDS.values() if kind.table}


def upsert(state: State, request: UpsertEntities) -> list[Entity]:
    """Make entities, or bring those that exist up to date, all or none; what says nothing new writes nothing.

    Raises:
        Gone: an id was deleted.
    """
    asked = list(zip(request.items, request.values, strict=True))
    latest: dict[Ref, Entity] = {}
    first, many = state.n, len(asked) > CHUNK
    for start in range(0, len(asked), CHUNK):
        change = state.begin("entity.upsert")
        for item, values in asked[start : start + CHUNK]:
            latest[(item.record.agent, item.record.id)] = _upsert_one(state, change, item, values)
        change.call, change.last = first if many else 0, start + CHUNK >= len(asked)
        # An entry that says nothing closes a call whose last part was there already.
        if change.puts or change.patches or (change.last and state.n > first):
            state.append(change)
    return [latest[(item.record.agent, item.record.id)] for item in request.items]


def _upsert_one(state: State, change: Change, item: NewRecord, values: dict[str, Any]) -> Entity:
    given = cast(Entity, item.record)
    found = state.find("entity", given.agent, given.id)
    if found is None:
        state.retain(change, "Agent", given.agent, given.agent, {})
        state.insert(change, item)
        return given
    if found.state != LIVE:
        raise Gone(f"the entity {given.id!r} was deleted; its id is not used again", where="id")
    old = cast(Entity, found.record)
    changed = {name: value for name, value in values.items() if getattr(old, name) != value}
    if not changed:
        return old
    new: Entity = msgspec.structs.replace(old, **changed)
    state.update(change, found, new, changed, 0)
    return new


def delete(state: State, request: Delete) -> int:
    """Delete entities with their edges, all or none; gives how many."""
    stored = [state.live("entity", *ref) for ref in dict.fromkeys(request.refs)]
    call = state.n if len(stored) > CHUNK else 0
    for start in range(0, len(stored), CHUNK):
        change = state.begin("entity.delete")
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
