"""Decisions about skills, inside the append transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from graphsvc.errors import BadInput, Cycle
from graphsvc.log.episodes import CHUNK, chunks, unseen
from graphsvc.log.state import State, Stored
from graphsvc.model.change import Change, Link
from graphsvc.model.names import key_of
from graphsvc.model.records import Outcome, Record, Skill
from graphsvc.model.requests import (
    CreateSkills,
    Delete,
    LinkSkills,
    NewRecord,
    PruneSkills,
    RecordOutcome,
    ReviseSkill,
    SkillLink,
    SkillPruneRule,
    UnlinkSkills,
)
from graphsvc.model.skills import VERSIONED, after_outcome, version_id, version_of
from graphsvc.model.texts import embedded_text, text_hash
from graphsvc.model.times import from_micros, micros


def create(state: State, request: CreateSkills) -> list[Record]:
    """Create skills with their first versions and links, all or none.

    Raises:
        Conflict, Gone: an id is taken. NotFound: a link's end doesn't exist. Cycle: of prerequisites.
    """
    results, new = unseen(state, "skill", request.items)
    parts = chunks(new)
    call = state.n if len(parts) + bool(request.links) > 1 else 0
    for part in parts:
        change = state.begin("skill.create")
        for item in part:
            skill = item.record
            assert isinstance(skill, Skill)
            state.insert(change, item)
            state.insert(change, _first_version(skill))
            state.retain(change, "Agent", skill.agent, skill.agent, {})
        change.call, change.last = call, not request.links and part is parts[-1]
        state.append(change)
    if request.links:
        change = state.begin("skill.link")
        change.call = call if new else 0
        for link in request.links:
            _join(state, change, link)
        if change.links or new:
            state.append(change)
    return results


def _first_version(skill: Skill) -> NewRecord:
    return NewRecord.of(version_of(skill), b"")


def revise(state: State, request: ReviseSkill) -> Skill:
    """Give a skill new values, as a new version where they are what versions keep."""
    stored = state.live("skill", *request.ref)
    old = stored.record
    assert isinstance(old, Skill)
    values = {name: value for name, value in request.values.items() if getattr(old, name) != value}
    if not values and not request.vector:
        return old
    if any(name in VERSIONED for name in values):
        values["version"] = old.version + 1
    new: Skill = msgspec.structs.replace(old, **values)
    change = state.begin("skill.revise")
    if "version" in values:
        version = msgspec.structs.replace(version_of(new), at=from_micros(request.at))
        state.insert(change, NewRecord.of(version, b""))
    state.update(change, stored, new, values, text_hash(embedded_text(new) or ""), request.vector)
    state.append(change)
    return new


def record_outcome(state: State, request: RecordOutcome) -> Skill:
    """Record a use of a skill; the same outcome twice counts once."""
    outcome = request.item.record
    assert isinstance(outcome, Outcome)
    stored = state.live("skill", outcome.agent, outcome.skill, where="skill")
    skill = stored.record
    assert isinstance(skill, Skill)
    episode = None
    if request.episode is not None:
        episode = state.live("episode", *request.episode, where="episode")
    _, new = unseen(state, "outcome", [request.item])
    if not new:
        return skill
    values = after_outcome(skill, outcome)
    change = state.begin("skill.outcome")
    state.insert(change, request.item)
    after: Skill = msgspec.structs.replace(skill, **values)
    state.update(change, stored, after, values, text_hash(embedded_text(after) or ""))
    if episode is not None:
        _note_use(state, change, episode, stored, outcome)
    state.append(change)
    return after


def _note_use(state: State, change: Change, episode: Stored, skill: Stored, outcome: Outcome) -> None:
    """The USED edge from the episode: how often, and how the latest use went."""
    before = state.link_values("USED", episode.row, skill.row)
    uses = (before or {}).get("uses", 0) + 1
    values = {"uses": uses, "success": outcome.success, "reward": outcome.reward}
    link = Link(
        "USED", "Episode", key_of(episode.agent, episode.id), "Skill", key_of(skill.agent, skill.id), values
    )
    state.set_link(change, link, episode.row, skill.row, replace=before is not None)


def link(state: State, request: LinkSkills) -> bool:
    """Join two skills; gives whether anything changed."""
    change = state.begin("skill.link")
    if not _join(state, change, request.link):
        return False
    state.append(change)
    return True


def _join(state: State, change: Change, link: SkillLink) -> bool:
    source = state.live("skill", *link.source, where="source")
    target = state.live("skill", *link.target, where="target")
    if link.rel == "PREREQUISITE":
        refuse_cycle(state, source, target)
    elif source.row == target.row and link.rel != "CALLS":
        raise BadInput("a skill can't be linked to itself so", where="target", hint="Only calls may be.")
    values = {} if link.rel == "CALLS" else {"weight": link.weight}
    before = state.link_values(link.rel, source.row, target.row)
    if before == values:
        return False
    edge = _edge(link, values)
    state.set_link(change, edge, source.row, target.row, replace=before is not None)
    return True


def _edge(link: SkillLink, values: dict[str, Any]) -> Link:
    return Link(link.rel, "Skill", key_of(*link.source), "Skill", key_of(*link.target), values)


def refuse_cycle(state: State, source: Stored, target: Stored) -> None:
    """A prerequisite may not need, however indirectly, what it is a prerequisite of."""
    row = state.connection.execute(
        """
        WITH RECURSIVE needed(row) AS (
            SELECT ?
            UNION
            SELECT link.target FROM link JOIN needed ON link.source = needed.row WHERE link.rel = 'PREREQUISITE'
        )
        SELECT 1 FROM needed WHERE row = ?
        """,
        (target.row, source.row),
    ).fetchone()
    if row:
        raise Cycle(f"{target.id!r} needs {source.id!r} already, so it can't be its prerequisite", where="target")


def unlink(state: State, request: UnlinkSkills) -> bool:
    """Part two skills; gives whether there was such a link."""
    source = state.live("skill", *request.link.source, where="source")
    target = state.live("skill", *request.link.target, where="target")
    if state.link_values(request.link.rel, source.row, target.row) is None:
        return False
    change = state.begin("skill.unlink")
    state.drop_link(change, _edge(request.link, {}), source.row, target.row)
    state.append(change)
    return True


def delete(state: State, request: Delete) -> int:
    """Delete skills with their versions and outcomes, all or none; gives how many skills."""
    return _remove(state, [state.live("skill", *ref) for ref in dict.fromkeys(request.refs)], "skill.delete")


def prune(state: State, request: PruneSkills) -> list[str]:
    """Delete what the rule selects; gives the ids."""
    state.flush()
    chosen = select_prunable(state.connection, request.rule)
    _remove(state, [state.live("skill", agent, id) for agent, id in chosen], "skill.prune")
    return [id for _, id in chosen]


def _remove(state: State, stored: list[Stored], verb: str) -> int:
    state.flush()
    call = state.n if len(stored) > CHUNK else 0
    for start in range(0, len(stored), CHUNK):
        change = state.begin(verb)
        for one in stored[start : start + CHUNK]:
            skill = one.record
            assert isinstance(skill, Skill)
            for part in _parts(state, skill):
                state.retire(change, part)
            state.release(change, "Agent", skill.agent, skill.agent)
            state.retire(change, one)
        change.call, change.last = call, start + CHUNK >= len(stored)
        state.append(change)
    return len(stored)


def _parts(state: State, skill: Skill) -> list[Stored]:
    """The versions and outcomes of a skill."""
    rows = state.connection.execute(
        "SELECT kind, id FROM record WHERE kind IN ('skill_version', 'outcome') AND agent = ? AND parent = ? "
        "AND parent IS NOT NULL AND state = 0",
        (skill.agent, skill.id),
    ).fetchall()
    return [state.live(kind, skill.agent, id) for kind, id in rows]


def select_prunable(connection: sqlite3.Connection, rule: SkillPruneRule) -> list[tuple[str, str]]:
    """Agent and id of the skills that a rule selects, those left out that a staying skill requires."""
    tests = ["kind = 'skill'", "state = 0"]
    values: list[Any] = []
    if rule.agents is not None:
        tests.append(f"agent IN ({', '.join('?' * len(rule.agents))})")
        values.extend(rule.agents)
    rows = connection.execute(f"SELECT row, agent, id, body FROM record WHERE {' AND '.join(tests)}", values)
    chosen: dict[int, tuple[str, str]] = {}
    for row, agent, id, body in rows:
        if _meets(rule, msgspec.json.decode(body, type=Skill)):
            chosen[row] = (agent, id)
    links = connection.execute("SELECT source, target FROM link WHERE rel = 'PREREQUISITE'").fetchall()
    while kept := [target for source, target in links if target in chosen and source not in chosen]:
        for target in kept:
            chosen.pop(target, None)
    return list(chosen.values())


def _meets(rule: SkillPruneRule, skill: Skill) -> bool:
    if rule.min_uses is not None and skill.uses >= rule.min_uses:
        return False
    rate = skill.success_rate
    if rule.below_success_rate is not None and (rate is None or rate >= rule.below_success_rate):
        return False
    latest = max(filter(None, (skill.at, skill.last_used)))
    return rule.before is None or micros(latest) < rule.before


__all__ = ["create", "delete", "link", "prune", "record_outcome", "revise", "select_prunable", "unlink", "version_id"]
