"""Decisions about skills drawn from evidence, inside the append transaction."""

from __future__ import annotations

from typing import Any

import msgspec

from graphsvc.log.state import LIVE, State, Stored
from graphsvc.model.change import Change, Link, decode_record
from graphsvc.model.names import key_of
from graphsvc.model.records import Episode, Outcome, Skill
from graphsvc.model.requests import Consolidate, LearntSkill, NewRecord
from graphsvc.model.skills import VERSIONED, from_evidence, version_of
from graphsvc.model.texts import embedded_text, text_hash
from graphsvc.model.validate import content_hash

REL = "DERIVED_FROM"
LEARNT = "consolidation"
"""Key in a skill's metadata under which it says what it was drawn from."""

CREATED, UPDATED, UNCHANGED, DELETED = "created", "updated", "unchanged", "deleted"


def digest_in(skill: Skill) -> str | None:
    """The digest of the evidence that a skill was drawn from; None if it wasn't."""
    about = skill.metadata.get(LEARNT)
    return about.get("digest") if isinstance(about, dict) else None


def consolidate(state: State, request: Consolidate) -> list[tuple[str, int]]:
    """Make or update skills, each with its version, edges and statistics in one entry.

    Evidence that went since it was read is left out. A skill that says the same already isn't touched; one that was
    deleted stays so.
    """
    return [_learn(state, item) for item in request.items]


def _learn(state: State, item: LearntSkill) -> tuple[str, int]:
    agent = item.skill.agent
    found = state.find("skill", agent, item.skill.id)
    if found is not None and found.state != LIVE:
        return DELETED, 0
    stored = [one for id in item.evidence if (one := state.find("episode", agent, id)) and one.state == LIVE]
    if found is None:
        return _create(state, item.skill, stored) if stored else (UNCHANGED, 0)
    old = found.record
    assert isinstance(old, Skill)
    if digest_in(old) == digest_in(item.skill):
        return UNCHANGED, old.version
    return _update(state, found, old, item.skill, stored)


def _create(state: State, skill: Skill, evidence: list[Stored]) -> tuple[str, int]:
    counted: Skill = msgspec.structs.replace(skill, **from_evidence(skill, (), _episodes(evidence)))
    given = {name: getattr(skill, name) for name in (*VERSIONED, "tags", "metadata")}
    change = state.begin("skill.consolidate")
    row = state.insert(change, NewRecord.of(counted, content_hash("skill", given)))
    state.insert(change, NewRecord.of(version_of(counted), b""))
    state.retain(change, "Agent", skill.agent, skill.agent, {})
    for one in evidence:
        state.set_link(change, _edge(skill, one.agent, one.id), row, one.row, replace=False)
    state.append(change)
    return CREATED, counted.version


def _update(state: State, found: Stored, old: Skill, wanted: Skill, evidence: list[Stored]) -> tuple[str, int]:
    values: dict[str, Any] = {name: getattr(wanted, name) for name in (*VERSIONED[:3], "at")}
    values["tags"] = tuple(sorted({*old.tags, *wanted.tags}))
    values["metadata"] = {**old.metadata, LEARNT: wanted.metadata[LEARNT]}
    values.update(from_evidence(old, _outcomes(state, old), _episodes(evidence)))
    values = {name: value for name, value in values.items() if getattr(old, name) != value}
    if any(name in VERSIONED for name in values):
        values["version"] = old.version + 1
    new: Skill = msgspec.structs.replace(old, **values)
    change = state.begin("skill.consolidate")
    if "version" in values:
        state.insert(change, NewRecord.of(version_of(new), b""))
    state.update(change, found, new, values, text_hash(embedded_text(new) or ""))
    _relink(state, change, found, new, evidence)
    state.append(change)
    return UPDATED, new.version


def _relink(state: State, change: Change, found: Stored, skill: Skill, evidence: list[Stored]) -> None:
    before = set(state.targets(REL, found.row))
    now = {one.row for one in evidence}
    for row in sorted(before - now):
        agent, id = state.connection.execute("SELECT agent, id FROM record WHERE row = ?", (row,)).fetchone()
        state.drop_link(change, _edge(skill, agent, id), found.row, row)
    for one in evidence:
        if one.row not in before:
            state.set_link(change, _edge(skill, one.agent, one.id), found.row, one.row, replace=False)


def _edge(skill: Skill, agent: str, id: str) -> Link:
    return Link(REL, "Skill", skill.key, "Episode", key_of(agent, id))


def _episodes(evidence: list[Stored]) -> list[Episode]:
    return [record for one in evidence if isinstance(record := one.record, Episode)]


def _outcomes(state: State, skill: Skill) -> list[Outcome]:
    rows = state.connection.execute(
        "SELECT body FROM record WHERE kind = 'outcome' AND agent = ? AND parent = ? AND parent IS NOT NULL "
        "AND state = 0",
        (skill.agent, skill.id),
    ).fetchall()
    return [record for (body,) in rows if isinstance(record := decode_record("outcome", body), Outcome)]
