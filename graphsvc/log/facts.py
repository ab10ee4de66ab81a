"""Decisions about facts and predicates, inside the append transaction.

What a fact's beginning does to others of its line is computed here, by `model/facts.py`, and stands in the change. The
facts of a line that are believed are found in memory.sqlite by their beginnings: `parent` is their line, `at` where
they begin (see `state.places`, `state.moment`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from graphsvc.errors import BadInput, Gone
from graphsvc.log.episodes import CHUNK, chunks, unseen
from graphsvc.log.state import LIVE, Line, State, Stored, unsigned
from graphsvc.model.as_of import check_interval
from graphsvc.model.change import Change, Link
from graphsvc.model.facts import Claim, changed, claim_of, cut, cut_line, line_of, without_others
from graphsvc.model.names import key_of
from graphsvc.model.records import Fact, Predicate
from graphsvc.model.requests import (
    AddFacts,
    CorrectFact,
    DefinePredicate,
    NewFact,
    NewRecord,
    Ref,
    RetractFact,
    encode_record,
)
from graphsvc.model.times import from_micros, micros

_LINE = (
    "SELECT row, kind, agent, id, first, last, hash, text_hash, state, body FROM record "
    "WHERE kind = 'fact' AND agent = ? AND parent = ? AND parent IS NOT NULL AND state = 0 "
)


def add(state: State, request: AddFacts) -> list[Fact]:
    """Add facts, all or none.

    Raises:
        Conflict: an id is taken by other content. Gone: it was deleted, or what it refers to was. NotFound: it refers
        to what isn't there. BadInput: it is said to have been learnt before something that is known of its line.
    """
    asked = {id(fact.item.record): fact for fact in request.facts}
    results, new = unseen(state, "fact", [fact.item for fact in request.facts])
    added = {id(item): asked[id(item.record)] for item in new}
    for fact in added.values():
        if not fact.learnt:
            _date(state, fact)
    parts = chunks(sorted(new, key=lambda item: item.record.at))
    call = state.n if len(parts) > 1 else 0
    for part in parts:
        change = state.begin("fact.add")
        for item in part:
            _add(state, change, added[id(item)])
        change.call, change.last = call, part is parts[-1]
        state.append(change)
    return [cast(Fact, asked[id(given)].item.record if id(given) in asked else given) for given in results]


def _date(state: State, new: NewFact) -> None:
    """Say when it was learnt, and from when it is true if that is the same."""
    at = from_micros(state.learn())
    values: dict[str, Any] = {"at": at, "valid_from": at} if new.begins else {"at": at}
    new.item.record = msgspec.structs.replace(new.item.record, **values)


def _add(state: State, change: Change, new: NewFact) -> None:
    fact = cast(Fact, new.item.record)
    ends = _ends(state, new.about, new.evidence)
    if new.learnt:
        at = from_micros(_later(state, _line(fact), micros(fact.at)))
        begins = {"valid_from": at} if new.begins else {}
        fact = msgspec.structs.replace(fact, at=at, **begins)
    state.note_learnt(fact)
    alone = without_others(fact)
    fact = _cut_in(state, change, alone) if single(state, fact.agent, fact.predicate) else alone
    new.item.record, new.item.body = fact, encode_record(fact)
    state.retain(change, "Agent", fact.agent, fact.agent, {})
    row = state.insert(change, new.item)
    _join(state, change, fact, row, ends)


def _later(state: State, line: Line, at: int) -> int:
    """A moment that a caller said something was learnt at: knowledge of a line grows at its end only.

    What was believed before then stays what it was. Of equal moments the one said later is a microsecond later.

    Raises:
        BadInput: it lies in the future, or before something that is known of the line already.
    """
    latest = state.learnt(line)
    if at > state.now:
        raise BadInput("nobody can have learnt it in the future", where="at")
    if at < latest:
        raise BadInput(
            f"what was known of {line[1]!r} and {line[2]!r} before {from_micros(latest).isoformat()} can't be changed",
            where="at",
            hint="Add what was learnt first, first; or leave it out: then it is learnt now.",
        )
    return max(at, latest + 1) if latest == at else at


def _line(fact: Fact) -> Line:
    return fact.agent, fact.subject, fact.predicate


# --- the other facts of the line ------------------------------------------------------------------------------


def single(state: State, agent: str, name: str) -> bool:
    """Whether a predicate is single in a namespace."""
    found = state.find("predicate", agent, name)
    return found is not None and found.state == LIVE and cast(Predicate, found.record).single


def _cut_in(state: State, change: Change, fact: Fact) -> Fact:
    """A new fact as the others of its line cut it; what it cuts is patched."""
    before, after = _neighbours(state, fact)
    if before is not None:
        _patch(state, change, before, cut(cast(Fact, before.record), claim_of(fact)))
    return msgspec.structs.replace(fact, **cut(fact, after))


def _grow_back(state: State, change: Change, fact: Fact) -> None:
    """After a fact of a single predicate has left its line: whom it cut is cut by who follows now."""
    before, after = _neighbours(state, fact)
    if before is not None:
        _patch(state, change, before, cut(cast(Fact, before.record), after))


def _patch(state: State, change: Change, stored: Stored, values: dict[str, Any]) -> None:
    fact = cast(Fact, stored.record)
    if differing := changed(fact, values):
        new: Fact = msgspec.structs.replace(fact, **differing)
        state.update(change, stored, new, differing, unsigned(stored.text_hash))


def _neighbours(state: State, fact: Fact) -> tuple[Stored | None, Claim | None]:
    """The believed facts just before and just after a place in a line."""
    state.flush()
    own, line = claim_of(fact), (fact.agent, line_of(fact))
    alike = _beginning(state, line, own.start)
    before = [pair for pair in alike if pair[0] < own] or _beginning(state, line, _next(state, line, own.start, "<"))
    after = [pair for pair in alike if pair[0] > own] or _beginning(state, line, _next(state, line, own.start, ">"))
    return (before[-1][1] if before else None), (after[0][0] if after else None)


def _next(state: State, line: tuple[str, str], start: int, side: str) -> int | None:
    """The beginning that comes before (<) or after (>) one in a line."""
    order = "DESC" if side == "<" else "ASC"
    row = state.connection.execute(
        "SELECT at FROM record WHERE kind = 'fact' AND agent = ? AND parent = ? AND parent IS NOT NULL AND state = 0 "
        f"AND at {side} ? ORDER BY at {order} LIMIT 1",
        (*line, start),
    ).fetchone()
    return int(row[0]) if row else None


def _beginning(state: State, line: tuple[str, str], start: int | None) -> list[tuple[Claim, Stored]]:
    """The believed facts of a line that begin at a moment, in their order."""
    if start is None:
        return []
    rows = [Stored(*row) for row in state.connection.execute(_LINE + "AND at = ?", (*line, start))]
    return sorted(((claim_of(cast(Fact, one.record)), one) for one in rows), key=lambda pair: pair[0])


def recut(state: State, change: Change, facts: Iterable[Fact]) -> None:
    """Cut the lines of these facts anew, whatever they said of each other where they come from."""
    state.flush()
    for agent, predicate, line in dict.fromkeys((fact.agent, fact.predicate, line_of(fact)) for fact in facts):
        believed = [Stored(*row) for row in state.connection.execute(_LINE, (agent, line))]
        _count_line(state, change, believed, single(state, agent, predicate))


def _cut_whole(state: State, change: Change, line: list[Stored]) -> None:
    by_id = {one.id: one for one in line}
    for fact, values in cut_line(cast(Fact, one.record) for one in line):
        _patch(state, change, by_id[fact.id], values)


# --- what a fact refers to --------------------------------------------------------------------------------------

_Ends = list[tuple[str, str, Stored]]


def _ends(state: State, about: Iterable[Ref], evidence: Iterable[Ref]) -> _Ends:
    """Type, table and record at the far end of each edge of a fact."""
    found: _Ends = [("ABOUT", "Entity", state.live("entity", *ref, where="about")) for ref in dict.fromkeys(about)]
    for ref in dict.fromkeys(evidence):
        found.append(("EVIDENCE", "Episode", state.live("episode", *ref, where="source")))
    return found


def _join(state: State, change: Change, fact: Fact, row: int, ends: _Ends) -> None:
    for rel, table, end in ends:
        link = Link(rel, "Fact", fact.key, table, key_of(end.agent, end.id))
        state.set_link(change, link, row, end.row, replace=False)


# --- retracting and correcting ------------------------------------------------------------------------------------


def retract(state: State, request: RetractFact) -> Fact:
    """Believe a fact no more; retracted again it stays as it is."""
    stored = state.live("fact", *request.ref)
    fact = cast(Fact, stored.record)
    if fact.known_to is not None:
        return fact
    change = state.begin("fact.retract")
    retracted = _retract(state, change, stored, request.at)
    state.append(change)
    return retracted


def _retract(state: State, change: Change, stored: Stored, at: int | None) -> Fact:
    fact = cast(Fact, stored.record)
    moment = state.learn() if at is None else _later(state, _line(fact), at)
    values = changed(fact, {**cut(fact, None), "known_to": from_micros(moment)})
    retracted: Fact = msgspec.structs.replace(fact, **values)
    state.note_learnt(retracted)
    state.update(change, stored, retracted, values, unsigned(stored.text_hash))
    if single(state, fact.agent, fact.predicate):
        _grow_back(state, change, fact)
    return retracted


def correct(state: State, request: CorrectFact) -> Fact:
    """Put another fact in the place of one: the old one is retracted when the new one is learnt.

    Raises:
        Gone: the fact was retracted already. BadInput: the new one would end before it begins.
    """
    stored = state.live("fact", *request.ref)
    old = cast(Fact, stored.record)
    if old.known_to is not None:
        raise Gone(f"the fact {old.id!r} was retracted", where="id", hint="Add what is true as a new fact.")
    evidence = request.evidence
    if evidence is None:
        records = _records(state, state.targets("EVIDENCE", stored.row))
        evidence = tuple((one.agent, one.id) for one in records if one.state == LIVE)
    new = msgspec.structs.replace(old, **request.values)
    if new == old and request.evidence is None:
        return old
    check_interval(new.valid_from, new.valid_to)
    change = state.begin("fact.correct")
    at = _retract(state, change, stored, request.at).known_to
    assert at is not None, "it was just retracted"
    new = without_others(msgspec.structs.replace(new, id=request.id, at=at, corrects=old.id))
    ends = _ends(state, request.about, evidence)
    if single(state, new.agent, new.predicate):
        new = _cut_in(state, change, new)
    row = state.insert(change, NewRecord.of(new, b"", vector=request.vector, fresh=True))
    state.retain(change, "Agent", new.agent, new.agent, {})
    _join(state, change, new, row, ends)
    state.append(change)
    return new


def _records(state: State, rows: Iterable[int]) -> list[Stored]:
    found = []
    for row in rows:
        record = state.connection.execute(
            "SELECT row, kind, agent, id, first, last, hash, text_hash, state, body FROM record WHERE row = ?", (row,)
        ).fetchone()
        found.append(Stored(*record))
    return found


def left(state: State, change: Change, gone: Iterable[Fact]) -> None:
    """Facts have left the records: whom they cut is cut by who follows now."""
    for fact in gone:
        if fact.known_to is None and single(state, fact.agent, fact.predicate):
            _grow_back(state, change, fact)


# --- predicates -----------------------------------------------------------------------------------------------------


def define(state: State, request: DefinePredicate) -> Predicate:
    """Say what a predicate means. Where it becomes single, or many, all its facts are cut anew by that.

    Raises:
        Gone: it was forgotten.
    """
    given = cast(Predicate, request.item.record)
    found = state.find("predicate", given.agent, given.id)
    if found is None:
        new, values = given, {}
    elif found.state != LIVE:
        raise Gone(f"the predicate {given.id!r} was forgotten; its name is not used again", where="name")
    else:
        old = cast(Predicate, found.record)
        values = {name: value for name, value in request.values.items() if getattr(old, name) != value}
        new = msgspec.structs.replace(old, **values)
        if not values:
            return old
    change = state.begin("predicate.define")
    if found is None:
        state.insert(change, request.item)
    else:
        state.update(change, found, new, values, 0)
    counted = "single" in values or (found is None and new.single)
    _append_all(state, change, _of_predicate(state, new.agent, new.id) if counted else [], new.single)
    return new


def of_predicate(state: State, agent: str, name: str) -> list[Fact]:
    """The believed facts of a predicate."""
    return [cast(Fact, one.record) for one in _of_predicate(state, agent, name)]


def _of_predicate(state: State, agent: str, name: str) -> list[Stored]:
    state.flush()
    rows = state.connection.execute(
        "SELECT row, kind, agent, id, first, last, hash, text_hash, state, body FROM record WHERE kind = 'fact' "
        "AND agent = ? AND parent IS NOT NULL AND state = 0 AND json_extract(body, '$.predicate') = ? ORDER BY parent",
        (agent, name),
    )
    return [Stored(*row) for row in rows]


def _append_all(state: State, change: Change, facts: list[Stored], single: bool) -> None:
    """Append a change, and with it the facts of its predicate as they are cut now, in several entries if need be."""
    lines: dict[str, list[Stored]] = {}
    for one in facts:
        lines.setdefault(line_of(cast(Fact, one.record)), []).append(one)
    changes = [change]
    for line in lines.values():
        if len(changes[-1].patches) >= CHUNK:
            changes[-1].call, changes[-1].last = changes[0].n, False
            state.append(changes[-1])
            changes.append(state.begin(change.verb))
            changes[-1].call = changes[0].n
        _count_line(state, changes[-1], line, single)
    state.append(changes[-1])


def _count_line(state: State, change: Change, line: list[Stored], single: bool) -> None:
    if single:
        _cut_whole(state, change, line)
    else:
        for one in line:
            _patch(state, change, one, cut(cast(Fact, one.record), None))


def uncount(state: State, change: Change, predicate: Predicate) -> None:
    """A single predicate has left the records: it is many again."""
    if predicate.single:
        for one in _of_predicate(state, predicate.agent, predicate.id):
            _patch(state, change, one, cut(cast(Fact, one.record), None))
