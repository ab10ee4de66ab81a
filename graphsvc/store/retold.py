"""The user's own tables as they were at an entry of the log, and statements that make them again.

They are read from a replay of the log beside the memory, whose files go again. Before such statements take the place of
those that they retell, they are run, and what they make is compared: what an engine can't give back is never dropped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from graphsvc.errors import BadInput, GraphsvcError, Unsupported
from graphsvc.log.log import Log
from graphsvc.log.trim import Told, staged_entries
from graphsvc.model.requests import Touched
from graphsvc.model.statements import Outcome, Statement, tagged
from graphsvc.model.tables import Table
from graphsvc.store.arrow import pa
from graphsvc.store.arrow_rows import arrow_type, to_stream
from graphsvc.store.contents import digest_of
from graphsvc.store.graph import GraphProjection
from graphsvc.store.ledger import KnownOutcomes, Result, whole_calls
from graphsvc.store.store import Store
from graphsvc.store.unclean import REPLAYED
from graphsvc.store.user_tables import defaulted, key_column, key_type, rows_of, statement

CHUNK = 10_000
"""Rows of one statement,"""
VALUES = 200_000
"""and about how many values."""
PROBE = "probe"


@contextmanager
def replayed(log: Log, store: Store, n: int) -> Iterator[GraphProjection]:
    """The graph as a replay of the log makes it up to entry `n`, beside the memory's, for the length of a `with`."""
    with _beside(store) as graph:
        done = 0
        while done < n:
            changes = whole_calls(log, done, store.settings.group_limit)
            graph.apply([change for change in changes if change.n <= n], KnownOutcomes(log))
            done = changes[-1].n
        yield graph


@contextmanager
def _beside(store: Store) -> Iterator[GraphProjection]:
    with tempfile.TemporaryDirectory(dir=store.directory, prefix=REPLAYED) as place:
        graph = GraphProjection(Path(place), store.manifest.engine, store.settings)
        try:
            yield graph
        finally:
            graph.close()


class Retold:
    """Statements that make the user's tables as they were at entry `n`: first those of nodes, then those of edges."""

    def __init__(self, log: Log, store: Store, n: int) -> None:
        self._store = store
        self.statements: list[Told] = []
        with replayed(log, store, n) as graph:
            self._digest = digest_of(graph.user_contents())
            tables = sorted(graph.tables.values(), key=lambda table: not table.nodes)
            rows = [told for table in tables for told in _rows(graph, table)]
            self._defaults = _defaults(graph)  # last, for it writes
        try:
            said = _tagged(self._defaults)
        except BadInput as error:
            raise _cannot("a default is of a type that can't be written into a definition") from error
        for table in (table for table in tables if not table.is_past):  # that is made with the table that it belongs to
            define = Statement("define", table=table.name, declared=table, defaults=said.get(table.name, {}))
            self.statements.append((define, b""))
        self.statements += rows

    def check(self, staged: Path) -> None:
        """Raise Unsupported where entries that were staged with them don't make the same tables."""
        try:
            with _beside(self._store) as graph:
                entries = staged_entries(staged)
                while part := list(islice(entries, self._store.settings.group_limit)):
                    graph.apply(part, _Done())
                same = digest_of(graph.user_contents()) == self._digest and _defaults(graph) == self._defaults
        except GraphsvcError as error:
            raise _cannot(str(error)) from error
        if not same:
            raise _cannot("what they make is something else")


def _cannot(why: str) -> Unsupported:
    what = f"statements that make one's own tables again can't take the place of those that made them: {why}"
    return Unsupported(what, where="before", hint="Trim before the first statement at most.")


class _Done:
    """A ledger in which every statement is done already."""

    def outcome(self, n: int) -> Outcome | None:
        """See `Ledger`."""
        return Outcome(n)

    def conclude(self, outcome: Outcome, touched: list[Touched]) -> Outcome:
        """See `Ledger`."""
        return outcome

    def forgot_after(self, n: int) -> bool:
        """See `Ledger`."""
        return False

    def answered(self, n: int, result: Result | GraphsvcError) -> None:
        """Nobody waits."""


def _rows(graph: GraphProjection, table: Table) -> Iterator[Told]:
    names = [*table.named, *(name for name in table.columns if name != table.key)]
    by_ends: dict[Any, list[list[Any]]] = {}
    for ends, row in rows_of(graph.engine.stream, graph.tables, table):
        by_ends.setdefault(ends, []).append(row)
    size = max(1, min(CHUNK, VALUES // len(names)))
    for ends, rows in by_ends.items():
        keys = [table.columns[table.key]] if ends is None else [key_type(graph.tables, end) for end in ends]
        types = [*keys, *(table.columns[name] for name in names[len(keys) :])]
        ask = Statement("add", table=table.name, ends=ends, verbatim=table.temporal or table.is_past)
        for start in range(0, len(rows), size):
            columns = zip(*rows[start : start + size], strict=True)
            arrays = [pa.array(list(values), arrow_type(type)) for values, type in zip(columns, types, strict=True)]
            yield ask, to_stream(pa.table(arrays, names=names))


# --- defaults of columns ------------------------------------------------------------------------------------


def defaults_of(log: Log, store: Store) -> dict[str, dict[str, Any]]:
    """What columns of the user's tables hold that a row doesn't name, by table and column, as a definition takes it.

    Raises:
        Unsupported: one is of a type that no definition can be given.
    """
    graph = store.graph
    if not any(defaulted(graph.engine.execute, table) for table in graph.tables.values()):
        return {}
    with replayed(log, store, graph.applied) as beside:
        found = _defaults(beside)
    try:
        return _tagged(found)
    except BadInput as error:
        raise Unsupported(
            f"a default can't be written out: {error.what}", where=error.where, hint="Drop that column's default first."
        ) from error


def _tagged(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        table: {name: tagged(value, f"{table}.{name}") for name, value in values.items()}
        for table, values in found.items()
    }


def _defaults(graph: GraphProjection) -> dict[str, dict[str, Any]]:
    """What columns hold that a row doesn't name, by table and column.

    Found by a row that names none: Kuzu's catalog says 4 of a default of -4.
    """
    found: dict[str, dict[str, Any]] = {}
    for table in graph.tables.values():
        if defaulted(graph.engine.execute, table):
            values = _bare_node(graph, table) if table.nodes else _bare_edge(graph, table)
            found[table.name] = {name: value for name, value in values.items() if value is not None}
    return found


def _bare_node(graph: GraphProjection, table: Table) -> Mapping[str, Any]:
    key = _make(graph, table)
    return {name: value for name, value in graph.rows_of(table.name, [key])[key].items() if name != table.key}


def _bare_edge(graph: GraphProjection, table: Table) -> Mapping[str, Any]:
    pair = table.ends[0]
    keys = [_make(graph, _as_table(graph, end)) for end in pair]
    values = [dict(zip(("source_", "target_"), keys, strict=True))]
    with graph.engine.transaction() as transaction:
        transaction.each(statement("table_create_edge", graph.tables, table, ends=pair), values)
    rows = (row for ends, row in rows_of(graph.engine.stream, graph.tables, table) if ends == pair and row[:2] == keys)
    return dict(zip(table.columns, next(rows)[2:], strict=True))


def _as_table(graph: GraphProjection, end: str) -> Table:
    column = key_column(graph.tables, end)
    return Table(end, {column: key_type(graph.tables, end)}, column)


def _make(graph: GraphProjection, table: Table) -> Any:
    """A node of which nothing but the key is said; that is one that no other node has."""
    taken = {row[0] for rows in graph.engine.stream(statement("table_dump_nodes", graph.tables, table)) for row in rows}
    key: Any = PROBE if table.columns[table.key] == "STRING" else 0
    while key in taken:
        key += "'" if isinstance(key, str) else 1
    with graph.engine.transaction() as transaction:
        transaction.each(statement("create_node", graph.tables, table, (table.key,)), [{"c0": key}])
    return key
