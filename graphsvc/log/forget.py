"""Forgetting, inside the append transaction: the entry is appended, and values in the log are overwritten.

Both in one transaction, with a note that files must still be cleaned: what SQLite freed but didn't overwrite, and what
the projections hold. `cursor` keeps that note until it is done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import msgspec

from graphsvc.errors import BadInput, NotFound
from graphsvc.log import episodes, facts
from graphsvc.log.arrow import rows_without
from graphsvc.log.state import FORGOTTEN, LIVE, State, Stored, every
from graphsvc.log.trim import COLUMNS, STATEMENTS, held_from, substitutes
from graphsvc.model.change import Change, GoneRecord, checksum, decode, encode
from graphsvc.model.forgetting import POINTING, RowName, overwrite, overwrite_rows, rename_rows
from graphsvc.model.graph import NODE_TABLES
from graphsvc.model.held import PLACEHOLDER, Held, without
from graphsvc.model.kinds import KINDS, kind_of
from graphsvc.model.names import key_of, task_key
from graphsvc.model.records import Episode, Fact, Predicate, Record, Row, judged, row_place
from graphsvc.model.requests import Forget, KindRef
from graphsvc.model.texts import embedded_text, text_hash

PENDING = "forget"
"""Name under which `cursor` notes that files must still be cleaned: the number of the entry that asked for it."""

PARTS = ("skill_version", "outcome")
"""Kinds whose records go with the skill that they belong to."""

Name = tuple[str, str]
"""Namespace and text of a task."""


@dataclass(slots=True)
class Plan:
    """What forgetting some records comes to.

    Attributes:
        records: to be forgotten, by row: those named, and their parts. named: the rows of the former.
        already: those named that were forgotten before.
        texts: that were embedded of them, ever.
        tasks: whose texts go. kept: whose texts stay, each with the id of an episode that names it too.
        before: episodes forgotten before whose task's text stayed then, and goes now.
        held: which values hold a text that goes: they are overwritten in statements.
        rows: searchable rows of the user's tables that hold one: they stay, without it. statements: that hold one.
        keyed: searchable rows whose key holds one: a replay finds none of that key, so their records are forgotten.
        derived: kind, namespace and id of records that were drawn from them, and stay as they are.
    """

    records: dict[int, Stored] = field(default_factory=dict)
    named: list[int] = field(default_factory=list)
    already: list[KindRef] = field(default_factory=list)
    texts: dict[str, None] = field(default_factory=dict)
    tasks: dict[Name, None] = field(default_factory=dict)
    kept: dict[Name, str] = field(default_factory=dict)
    before: dict[int, Stored] = field(default_factory=dict)
    derived: list[KindRef] = field(default_factory=list)
    held: Held = field(default_factory=lambda: Held(()))
    rows: dict[int, Stored] = field(default_factory=dict)
    keyed: dict[int, Stored] = field(default_factory=dict)
    statements: list[int] = field(default_factory=list)


def plan(connection: sqlite3.Connection, refs: list[KindRef]) -> Plan:
    """Look at everything that forgetting these records touches; nothing is changed.

    Raises:
        NotFound: one of them never was. BadInput: it is a part of another record.
    """
    found = Plan()
    for kind, agent, id in dict.fromkeys(refs):
        if kind in PARTS:
            raise BadInput(f"a {kind} is forgotten with its skill", where="kind", hint="Forget the skill.")
        stored = next((one for one in every(connection, kind, id) if one.agent == agent), None)
        if stored is None:
            raise NotFound(f"no {kind} {id!r} in the namespace {agent!r}", where="id")
        if stored.state == FORGOTTEN:
            found.already.append((kind, agent, id))
            continue
        (found.rows if kind == "row" else found.records)[stored.row] = stored
        found.named.append(stored.row)
    if found.records or found.rows:
        found.records.update((part.row, part) for part in _parts(connection, found.records))
        texts = _read_history(connection, found)
        found.kept = _named_by_others(connection, found)
        found.before = _forgotten_before(connection, found) if found.tasks else {}
        found.derived = _derived(connection, found)
        found.held = Held(texts.keys() - {task for _, task in found.kept})
        if found.held:
            found.rows.update((one.row, one) for one in _rows_that_hold(connection, found.held))
            found.keyed = _rows_named(connection, found.held)
            found.records.update((one.row, one) for one in _parts(connection, found.keyed))
            found.rows = {row: one for row, one in found.rows.items() if row not in found.keyed}
            found.statements = [change.n for change, _ in _statements(connection, found.held)]
            found.texts.update((text, None) for text in _texts_of_rows(connection, found) if found.held(text))
    return found


def _parts(connection: sqlite3.Connection, records: dict[int, Stored]) -> list[Stored]:
    """Versions and outcomes of the skills among these, what was said of any of these, and causal edges at them."""
    owners = {f"{one.kind}:{key_of(one.agent, one.id)}" for one in records.values()}
    rows = connection.execute(
        "SELECT row, kind, agent, id, first, last, hash, text_hash, state, body, parent, task FROM record "
        "WHERE kind IN ('skill_version', 'outcome', 'feedback', 'cause') AND parent IS NOT NULL AND state != ?",
        (FORGOTTEN,),
    )
    return [
        Stored(*row)
        for *row, parent, effect in rows
        if effect in owners
        or (parent if row[1] in ("feedback", "cause") else f"skill:{key_of(row[2], parent)}") in owners
    ]


def _entries(connection: sqlite3.Connection, rows: dict[int, Stored]) -> Iterator[Change]:
    """Every entry that touched one of these rows, oldest first, after all those in the place of trimmed ones."""
    yield from substitutes(connection)
    numbers = {one.first for one in rows.values()}
    for row in rows:
        numbers.update(n for (n,) in connection.execute("SELECT n FROM history WHERE row = ?", (row,)))
    trimmed = held_from(connection)
    for n in sorted(numbers):
        if n > trimmed:
            entry = connection.execute(f"SELECT {COLUMNS} FROM log WHERE n = ?", (n,)).fetchone()
            yield decode(*entry)


def _states(connection: sqlite3.Connection, rows: dict[int, Stored]) -> Iterator[tuple[int, Record]]:
    """Each state that these records were ever in, with their rows."""
    now: dict[int, Record] = {}
    for change in _entries(connection, rows):
        for put in change.puts:
            if put.row in rows:
                now[put.row] = change.record_of(put)
                yield put.row, now[put.row]
        for patch in change.patches:
            if patch.row in now:
                values = {**msgspec.to_builtins(now[patch.row]), **msgspec.to_builtins(patch.values)}
                now[patch.row] = msgspec.convert(values, type(now[patch.row]))
                yield patch.row, now[patch.row]


def _read_history(connection: sqlite3.Connection, found: Plan) -> dict[str, None]:
    """Note the texts that were embedded, and the tasks; gives every text that the records ever said."""
    said: dict[str, None] = {}
    for _, record in _states(connection, {**found.records, **found.rows}):
        said.update(_said(record))
        text = embedded_text(record) if kind_of(record).searchable else None
        if text:
            found.texts[text] = None
        if isinstance(record, Episode):
            found.tasks[(record.agent, record.task)] = None
    found.tasks.update(_tasks_of_trimmed(connection, found))
    return said


def _said(record: Record) -> dict[str, None]:
    """The texts of a record: not what says which is meant, or what it belongs to."""
    values = [getattr(record, name) for name in kind_of(record).fields if name not in (*POINTING, "table", "node")]
    found: dict[str, None] = {}
    while values:
        value = values.pop()
        if isinstance(value, str):
            found[value] = None
        elif isinstance(value, list | tuple):
            values += value
        elif isinstance(value, dict):
            values += value.values()
    return found


def _rows_that_hold(connection: sqlite3.Connection, held: Held) -> list[Stored]:
    """Searchable rows of the user's tables that held, in any state, a text that is to be forgotten."""
    rows = {
        row[0]: Stored(*row)
        for row in connection.execute(
            "SELECT row, kind, agent, id, first, last, hash, text_hash, state, body FROM record WHERE kind = 'row'"
        )
    }
    found: dict[int, None] = {}
    for change in _every(connection, "verb IN ('row.follow', 'trim')") if rows else ():
        puts = [put for put in change.puts if put.kind == "row"]
        found.update((put.row, None) for put in puts if held(_joined(msgspec.json.decode(put.record)["texts"])))
        found.update((patch.row, None) for patch in change.patches if held(_joined(patch.values["texts"])))
    return [rows[row] for row in found]


def _rows_named(connection: sqlite3.Connection, held: Held) -> dict[int, Stored]:
    """Searchable rows of the user's tables whose key holds a text that is to be forgotten, live or gone."""
    return {
        one.row: one
        for *stored, parent in connection.execute(
            "SELECT row, kind, agent, id, first, last, hash, text_hash, state, body, parent FROM record "
            "WHERE kind = 'row' AND parent IS NOT NULL"
        )
        if held(parent) and (one := Stored(*stored))
    }


def _joined(texts: dict[str, str]) -> str:
    return "\n".join(texts.values())


def _texts_of_rows(connection: sqlite3.Connection, found: Plan) -> Iterator[str]:
    for _, record in _states(connection, {**found.rows, **found.keyed}):
        yield embedded_text(record) or ""


def _every(connection: sqlite3.Connection, where: str) -> Iterator[Change]:
    """Entries of the log, oldest first, that a condition of ours holds for."""
    numbers = connection.execute(f"SELECT n FROM log WHERE {where} ORDER BY n").fetchall()
    for (n,) in numbers:
        query = "SELECT n, at, verb, version, call, last, body, vectors FROM log WHERE n = ?"
        yield decode(*connection.execute(query, (n,)).fetchone())


def _statements(connection: sqlite3.Connection, held: Held, n: int = 0) -> Iterator[tuple[Change, Change]]:
    """Statements in which a value holds a text that is to be forgotten: as they are, and without it.

    Those in the place of trimmed ones hold many rows: that none of them fails, each key gets a name of its own.

    Args:
        n: number of the entry that asks for it.
    """
    names: dict[str, str] = {}

    def named(key: str) -> str:
        return names.setdefault(key, f"{PLACEHOLDER} {n}.{len(names)}")

    for change in _every(connection, STATEMENTS):
        statement = change.statement
        if statement is None:
            continue
        ends = statement.ends or (statement.table,)
        keys = [str if end in NODE_TABLES else named for end in ends] if change.trimmed is not None else []
        cleaned, rows = without(statement, held), rows_without(change.vectors, held, keys)
        if cleaned != statement or rows != change.vectors:
            after = msgspec.structs.replace(change, statement=cleaned, vectors=rows)
            yield change, after


def _tasks_of_trimmed(connection: sqlite3.Connection, found: Plan) -> dict[Name, None]:
    """Tasks of episodes that were gone when the log was trimmed: of them it says digests, the texts stand elsewhere."""
    tasks: dict[Name, None] = {}
    for change in substitutes(connection):
        for held in change.held:
            if held.row in found.records and held.task:
                tasks.update(((held.agent, text), None) for text in _texts_of(connection, held.agent, held.task))
    return tasks


def _texts_of(connection: sqlite3.Connection, agent: str, task: str) -> Iterator[str]:
    """The text of a task by its digest, where an entry makes its node."""
    for entry in connection.execute(f"SELECT {COLUMNS} FROM log WHERE instr(body, ?)", (task,)).fetchall():
        for node in decode(*entry).nodes:
            if node.table == "Task" and node.key == key_of(agent, task) and "text" in node.values:
                yield node.values["text"]
                return


def _named_by_others(connection: sqlite3.Connection, found: Plan) -> dict[Name, str]:
    """Those of the tasks that an episode which isn't to be forgotten names, or named once; they leave `tasks`."""
    digests = {(agent, task_key(text)): (agent, text) for agent, text in found.tasks}
    kept: dict[Name, str] = {}
    for row, agent, id, task in connection.execute(
        "SELECT row, agent, id, task FROM record WHERE kind = 'episode' AND task IS NOT NULL AND state != ?",
        (FORGOTTEN,),
    ):
        if row not in found.records and (agent, task) in digests:
            kept.setdefault(digests[(agent, task)], id)
    for _, record in _states(connection, _renamed(connection, found)):
        if isinstance(record, Episode) and (record.agent, record.task) in found.tasks:
            kept.setdefault((record.agent, record.task), record.id)
    for name in kept:
        del found.tasks[name]
    return kept


def _renamed(connection: sqlite3.Connection, found: Plan) -> dict[int, Stored]:
    """The other episodes whose task was amended, but for those forgotten."""
    rows: dict[int, Stored] = {}
    for entry in connection.execute(
        f"SELECT {COLUMNS} FROM log WHERE verb = 'episode.amend' AND instr(body, '\"task\":')"
    ).fetchall():
        for patch in decode(*entry).patches:
            if "task" in patch.values and patch.row not in found.records:
                rows.update(
                    (one.row, one)
                    for one in every(connection, patch.kind, patch.id)
                    if one.row == patch.row and one.state != FORGOTTEN
                )
    return rows


def _forgotten_before(connection: sqlite3.Connection, found: Plan) -> dict[int, Stored]:
    rows = {
        row[0]: Stored(*row)
        for row in connection.execute(
            "SELECT row, kind, agent, id, first, last, hash, text_hash, state, body FROM record "
            "WHERE kind = 'episode' AND state = ?",
            (FORGOTTEN,),
        )
    }
    return {
        row: rows[row]
        for row, record in _states(connection, rows)
        if isinstance(record, Episode) and (record.agent, record.task) in found.tasks
    }


def _derived(connection: sqlite3.Connection, found: Plan) -> list[KindRef]:
    derived: dict[KindRef, None] = {}
    for row in found.records:
        for source, kind, agent, id in connection.execute(
            "SELECT source, kind, agent, id FROM link JOIN record ON row = source "
            "WHERE (rel = 'DERIVED_FROM' OR (rel = 'EVIDENCE' AND kind = 'fact')) AND target = ?",
            (row,),
        ):
            if source not in found.records:
                derived[(kind, agent, id)] = None
    return list(derived)


# --- the decision -----------------------------------------------------------------------------------------


def forget(state: State, request: Forget) -> Plan:
    """Forget records and their parts, all or none; gives what it came to."""
    state.flush()
    found = plan(state.connection, request.refs)
    if not found.records and not found.rows:
        return found
    change = state.begin("forget")
    gone: list[Record] = []
    for stored in sorted(found.records.values(), key=lambda one: one.kind != "cause"):  # else they went with a node
        change.forgotten.append(GoneRecord(stored.kind, stored.agent, stored.id, stored.row))
        if stored.state == LIVE:
            _retire(state, change, stored, gone)
        state.connection.execute("INSERT OR IGNORE INTO history VALUES (?, ?)", (stored.row, change.n))
    for stored in found.keyed.values():
        change.forgotten.append(GoneRecord(stored.kind, stored.agent, stored.id, stored.row))
        if stored.state == LIVE:
            state.release(change, "Agent", stored.agent, stored.agent)
            state.retire(change, stored)
        state.connection.execute("INSERT OR IGNORE INTO history VALUES (?, ?)", (stored.row, change.n))
    for stored in found.rows.values():
        _clean_row(state, change, stored, found.held)
    episodes.close_gaps(state, change, [one for one in gone if isinstance(one, Episode)])
    facts.left(state, change, [one for one in gone if isinstance(one, Fact)])
    for one in gone:
        if isinstance(one, Predicate):
            facts.uncount(state, change, one)
    state.append(change)
    state.flush()
    state.connection.executemany(
        "UPDATE record SET state = ?, last = ?, hash = x'', text_hash = 0, task = NULL, body = NULL, "
        "parent = iif(kind = 'fact', NULL, parent) WHERE row = ?",
        [(FORGOTTEN, change.n, row) for row in (*found.records, *found.keyed)],
    )
    _overwrite(state.connection, change.n, found)
    state.connection.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?)", (PENDING, change.n))
    return found


def _retire(state: State, change: Change, stored: Stored, gone: list[Record]) -> None:
    record = stored.record
    if isinstance(record, Episode):
        episodes.release(state, change, record)
        state.leave_session(record)
    elif KINDS[stored.kind].in_columns:
        state.release(change, "Agent", record.agent, record.agent)
    gone.append(record)
    state.retire(change, stored)


def _clean_row(state: State, change: Change, stored: Stored, held: Held) -> None:
    """A searchable row stays, as its table does: without what a replay will not find either."""
    if stored.state == LIVE:
        record = cast(Row, stored.record)
        texts = held.cleaned(record.texts)
        if texts != record.texts:
            record = msgspec.structs.replace(record, texts=texts)
            state.update(change, stored, record, {"texts": texts}, text_hash(embedded_text(record) or ""))
    state.connection.execute("INSERT OR IGNORE INTO history VALUES (?, ?)", (stored.row, change.n))


def _overwrite(connection: sqlite3.Connection, n: int, found: Plan) -> None:
    # Each task gets a text of its own, for its node's key is a digest of it.
    tasks = {name: f"{PLACEHOLDER} {n}.{place}" for place, name in enumerate(found.tasks)}
    rows = {**found.records, **found.before}
    for change in _entries(connection, rows):
        overwrite(change, rows, tasks)
        _write(connection, change)
    for change in _entries(connection, found.rows):
        overwrite_rows(change, found.rows, found.held)
        _write(connection, change)
    names = {row: _new_name(connection, one, n, place) for place, (row, one) in enumerate(found.keyed.items())}
    judgements = {row: one for row, one in found.records.items() if one.kind == "feedback"}
    ids = {(found.keyed[row].agent, found.keyed[row].id): id for row, (id, _, _) in names.items()}
    for change in _entries(connection, {**found.keyed, **(judgements if names else {})}):
        rename_rows(change, names, ids)
        _write(connection, change)
    for (agent, old), id in ids.items():
        places = judged("row", key_of(agent, id)), judged("row", key_of(agent, old))
        connection.execute("UPDATE record SET parent = ? WHERE kind = 'feedback' AND parent = ?", places)
    connection.executemany(
        "UPDATE record SET id = ?, parent = ? WHERE row = ?",
        [(id, row_place(table, node), row) for row, (id, table, node) in names.items()],
    )
    for _, after in list(_statements(connection, found.held, n)):
        _write(connection, after)
    for place, body in connection.execute("SELECT n, body FROM outcome").fetchall():
        outcome = msgspec.json.decode(body)
        if (cleaned := found.held.cleaned(outcome)) != outcome:
            body = msgspec.json.encode(cleaned).decode()
            connection.execute("UPDATE outcome SET body = ? WHERE n = ?", (body, place))


def _new_name(connection: sqlite3.Connection, stored: Stored, n: int, place: int) -> RowName:
    """What a forgotten record of a row is called: its id and key said the text. The statement's number stays."""
    [parent] = connection.execute("SELECT parent FROM record WHERE row = ?", (stored.row,)).fetchone()
    table, node = str(parent).split(".", 1)[0], f"{PLACEHOLDER} {n}.{place}"
    return f"{row_place(table, node)}@{stored.id.rpartition('@')[2]}", table, node


def _write(connection: sqlite3.Connection, change: Change) -> None:
    body, vectors = encode(change).decode(), change.vectors or None
    crc = checksum(change.n, change.at, change.verb, change.version, change.call, int(change.last), body, vectors)
    connection.execute("UPDATE log SET body = ?, vectors = ?, crc = ? WHERE n = ?", (body, vectors, crc, change.n))


def clean(connection: sqlite3.Connection) -> bool:
    """Overwrite what SQLite freed: the file is written anew, and its write-ahead file emptied.

    Returns:
        Whether that is done; not if a reader still sees what was before.
    """
    connection.execute("PRAGMA temp_store = FILE")  # it may be larger than the memory
    try:
        connection.execute("VACUUM")
    finally:
        connection.execute("PRAGMA temp_store = MEMORY")
    return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
