"""Decisions about records and links that come from another memory, inside the append transaction.

They are taken as they are: a skill keeps its statistics and versions, its outcomes aren't counted again. What can't be
taken is left out, and the answer says why; the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from graphsvc.errors import Cycle
from graphsvc.log import episodes, facts
from graphsvc.log.skills import refuse_cycle
from graphsvc.log.state import LIVE, NextEdits, State, Stored
from graphsvc.model.change import Change, Link
from graphsvc.model.facts import without_others
from graphsvc.model.graph import REL_TABLES
from graphsvc.model.kinds import CAUSAL, KINDS, kind_of
from graphsvc.model.names import key_of
from graphsvc.model.records import Cause, Episode, Fact, Outcome, Predicate, Record, SkillVersion, ends_of
from graphsvc.model.requests import KindRef, NewRecord, TakeLinks, TakenLink, TakeRecords

STORED, ALREADY = "stored", "already"
CONFLICT, GONE, NOT_FOUND, CYCLE, UNKNOWN = "conflict", "gone", "not_found", "cycle", "unknown_field"
"""What becomes of a record or link; the codes of those left out are those of errors."""

Find = Callable[[str, str, str], Stored | None]
"""The record of a kind, namespace and id, live or not."""


def judge(find: Find, item: NewRecord) -> str:
    """What is to become of a record."""
    record = item.record
    found = find(kind_of(record).name, record.agent, record.id)
    if found is not None:
        if found.state != LIVE:
            return GONE
        return ALREADY if _same(found, record, item.body.decode()) else CONFLICT
    if isinstance(record, SkillVersion | Outcome):
        skill = find("skill", record.agent, record.skill)
        if skill is None or skill.state != LIVE:
            return GONE if skill else NOT_FOUND
    if isinstance(record, Cause):
        return _judge_ends(find, record)
    return STORED


def _judge_ends(find: Find, cause: Cause) -> str:
    for kind, agent, id in ends_of(cause):
        if kind not in CAUSAL:
            return UNKNOWN
        node = find(kind, agent, id)
        if node is None or node.state != LIVE:
            return GONE if node else NOT_FOUND
    return STORED


def _same(found: Stored, record: Record, body: str) -> bool:
    """Whether a record is the one that is there. What others make of a fact may differ, and when somebody first said
    what a predicate means.
    """
    if isinstance(record, Predicate):
        return msgspec.structs.replace(cast(Predicate, found.record), at=record.at) == record
    if isinstance(record, Fact):
        return bool(without_others(record) == without_others(cast(Fact, found.record)))
    return found.body == body


def take_records(state: State, request: TakeRecords) -> list[str]:
    """Take records in, in one entry."""
    change, edits, outcomes = state.begin("memory.import"), NextEdits(), []
    taken: list[Record] = []
    for item in request.items:
        outcomes.append(judge(state.find, item))
        if outcomes[-1] == STORED:
            _insert(state, change, edits, item)
            taken.append(item.record)
    _cut(state, change, taken)
    edits.write(change)
    if change.puts:
        state.append(change)
    return outcomes


def _cut(state: State, change: Change, taken: list[Record]) -> None:
    """Facts, and what makes their predicates single, cut others of their lines, and are cut by them."""
    facts.recut(state, change, [record for record in taken if isinstance(record, Fact)])
    for record in taken:
        if isinstance(record, Predicate) and record.single:
            facts.recut(state, change, facts.of_predicate(state, record.agent, record.id))


def _insert(state: State, change: Change, edits: NextEdits, item: NewRecord) -> None:
    record = item.record
    if isinstance(record, Episode):
        state.join_session(edits, record)
        episodes.retain(state, change, record)
    elif kind_of(record).in_columns:
        state.retain(change, "Agent", record.agent, record.agent, {})
    if isinstance(record, Fact):
        state.note_learnt(record)
    state.insert(change, item)


def judge_link(find: Find, link: TakenLink, values: Callable[[int, int], Mapping[str, Any] | None]) -> str:
    """What is to become of a link; `values` gives those of the one that is there between two rows."""
    table = REL_TABLES.get(link.rel)
    ends = tuple(KINDS[kind].table if kind in KINDS else None for kind, _, _ in (link.source, link.target))
    if table is None or ends not in table.pairs:
        return UNKNOWN
    source, target = find(*link.source), find(*link.target)
    if source is None or target is None:
        return NOT_FOUND
    if source.state != LIVE or target.state != LIVE:
        return GONE
    known = values(source.row, target.row)
    return STORED if known is None else ALREADY if known == link.values else CONFLICT


def take_links(state: State, request: TakeLinks) -> list[str]:
    """Take links in, in one entry."""
    change, outcomes = state.begin("memory.import"), []
    for link in request.items:
        outcome = judge_link(state.find, link, lambda *rows, rel=link.rel: state.link_values(rel, *rows))
        if outcome == STORED:
            outcome = _join(state, change, link)
        outcomes.append(outcome)
    if change.links:
        state.append(change)
    return outcomes


def _join(state: State, change: Change, link: TakenLink) -> str:
    source, target = state.live(*link.source), state.live(*link.target)
    if link.rel == "PREREQUISITE":
        try:
            refuse_cycle(state, source, target)
        except Cycle:
            return CYCLE
    state.set_link(change, Link(link.rel, *_end(link.source), *_end(link.target), link.values), source.row, target.row,
                   replace=False)  # fmt: skip
    return STORED


def _end(ref: KindRef) -> tuple[str, str]:
    """Table and key of one end."""
    kind, agent, id = ref
    return KINDS[kind].table or "", key_of(agent, id)
