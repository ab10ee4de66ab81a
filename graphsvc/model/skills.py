"""What outcomes do to a skill's statistics, and how skills are ranked and ordered. Pure functions."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from graphsvc.model.records import Episode, Outcome, Skill, SkillVersion

VERSIONED = ("name", "description", "code", "signature")
"""Fields whose change makes a new version."""


def after_outcome(skill: Skill, outcome: Outcome) -> dict[str, Any]:
    """The statistics of a skill after one more use: the fields that change.

    Means are running: m + (x - m) / n (Welford 1962), so that no sum grows without bound.
    """
    values: dict[str, Any] = {"uses": skill.uses + 1}
    if outcome.success:
        values["successes"] = skill.successes + 1
    if outcome.reward is not None:
        values["rewards"] = skill.rewards + 1
        values["reward"] = _mean(skill.reward, outcome.reward, skill.rewards + 1)
    if outcome.latency_ms is not None:
        values["latencies"] = skill.latencies + 1
        values["latency_ms"] = _mean(skill.latency_ms, outcome.latency_ms, skill.latencies + 1)
    if skill.last_used is None or outcome.at > skill.last_used:
        values["last_used"] = outcome.at
    return values


COUNTED = ("uses", "successes", "rewards", "reward", "latencies", "latency_ms", "last_used")
"""Fields that count uses."""


def from_evidence(skill: Skill, outcomes: Iterable[Outcome], evidence: Iterable[Episode]) -> dict[str, Any]:
    """The statistics of a skill that was learnt: its evidence and its recorded uses counted alike, each episode once.

    Attempts whose success isn't known count by nothing. Order doesn't matter: they are counted by time, then id.
    """
    recorded = list(outcomes)
    known = {outcome.episode for outcome in recorded}
    uses = recorded + [
        Outcome(
            id=episode.id, agent=episode.agent, at=episode.at, skill=skill.id, success=episode.success,
            reward=episode.reward, latency_ms=episode.latency_ms, episode=episode.id,
        )
        for episode in evidence
        if episode.success is not None and episode.id not in known
    ]  # fmt: skip
    blank = {field.name: field.default for field in msgspec.structs.fields(Skill) if field.name in COUNTED}
    counted: Skill = msgspec.structs.replace(skill, **blank)
    for use in sorted(uses, key=lambda use: (use.at, use.id)):
        counted = msgspec.structs.replace(counted, **after_outcome(counted, use))
    return {name: getattr(counted, name) for name in COUNTED}


def _mean(before: float | None, value: float, count: int) -> float:
    return value if before is None else before + (value - before) / count


def version_of(skill: Skill) -> SkillVersion:
    """The record that keeps a skill's current version."""
    return SkillVersion(
        id=version_id(skill.id, skill.version),
        agent=skill.agent,
        at=skill.at,
        skill=skill.id,
        version=skill.version,
        name=skill.name,
        description=skill.description,
        code=skill.code,
        signature=skill.signature,
    )


def version_id(skill: str, version: int) -> str:
    """The id of a skill's version."""
    return f"{skill}@{version}"


def plan(goal: str, prerequisites: Mapping[str, Iterable[str]]) -> list[str]:
    """The skills to learn or run for `goal`, prerequisites first, each after all that it needs.

    Args:
        goal: the skill wanted.
        prerequisites: of each skill, those that it needs directly; only what `goal` reaches is used.

    Returns:
        Ids in topological order, `goal` last; among those free to come next, by id.
    """
    needed: dict[str, list[str]] = {}
    waiting = [goal]
    while waiting:
        skill = waiting.pop()
        if skill not in needed:
            needed[skill] = sorted(set(prerequisites.get(skill, ())))
            waiting.extend(needed[skill])
    sorter = graphlib.TopologicalSorter(needed)
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order.extend(ready)
        sorter.done(*ready)
    return order
