"""The user's own tables: nodes and edges of any shape, beside what the memory remembers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphsvc.errors import BadInput, NotFound
from graphsvc.memory.namespaces import Namespaces
from graphsvc.memory.statements import check_seconds, check_unbound, outcome, submit
from graphsvc.model.statements import Op, Outcome, Statement
from graphsvc.model.tables import Table, check_identifier, check_table_name, declared

if TYPE_CHECKING:
    from graphsvc.memory.opened import Opened

CHUNK = 10_000
"""Rows of one entry of the log."""
CATCH_UP_SECONDS = 60.0


class Tables:
    """Define tables of one's own, and write rows. `memory.graph`.

    A call is done whole or not at all, and answered when the graph has done it. Where the wait ends first it raises
    `Pending`: the call stays in the log and is done in its turn.
    """

    def __init__(self, opened: Opened, namespaces: Namespaces) -> None:
        self._opened = opened
        self._namespaces = namespaces

    def define(
        self,
        name: str,
        columns: Mapping[str, Any],
        *,
        key: str | None = None,
        source: str | None = None,
        target: str | None = None,
        searchable: str | Iterable[str] = (),
        temporal: bool = False,
        wait: float | None = None,
    ) -> Table:
        """Make a table of nodes, or of edges.

        Args:
            name: of the table. columns: type of each column: "STRING", "INT64", "DOUBLE", "BOOL", "DATE", "TIMESTAMP",
                "BLOB", smaller numbers, lists like "STRING[]", or the Python type, like `str` or `list[int]`.
            key: of nodes, the column that tells them apart, STRING or INT64.
            source, target: of edges, the node tables that they lead from and to, one's own or the memory's
                (`Episode`, `Skill`, `Entity`, …, whose nodes are known by `record.key`).
            searchable: columns of text that are found by meaning and by words.
            temporal: rows have the columns `valid_from` and `valid_to`, [from, to), and what was known of them before
                is kept: nodes and walks can be asked `as_of` any pair of times. What is written of nodes holds for the
                portion of time that the row names, as SQL:2011 has it.
            wait: seconds to wait for the answer.

        Returns:
            What was declared.

        Raises:
            BadInput, OwnedTable, UnknownField: for an argument. Conflict: there is such a table.
            NotFound: there is no table of that name to lead from or to. NeedsUnbound: on a bound handle.
            Unsupported: a temporal table with lists.
        """
        table = declared(name, columns, key=key, source=source, target=target, searchable=searchable, temporal=temporal)
        self._submit(Statement("define", table=table.name, declared=table), (), wait)
        return table

    def drop(self, name: str, *, wait: float | None = None) -> None:
        """Drop a table with all its rows; a table of nodes only when no table of edges leads to or from it.

        Raises:
            NotFound: there is none. Conflict: edges lead to it. OwnedTable, NeedsUnbound.
        """
        self._submit(Statement("drop", table=check_table_name(name), deletes=True), (), wait)

    def add(self, name: str, rows: Any, *, ends: Sequence[str] | None = None, wait: float | None = None) -> int:
        """Add rows: new nodes, or edges between nodes that there are; gives how many.

        Args:
            name: of the table.
            rows: a dict, or many: an iterable of dicts, a DataFrame, an Arrow table or reader. Of edges, `source` and
                `target` are the keys at their ends. What a row doesn't have is null.
            ends: of edges, the tables of source and target, where the table joins several. wait: seconds.

        Raises:
            Conflict: a key is there already, or twice in the call. NotFound: there is no such table, or a node at an
            end isn't there: the first ten rows are named. BadInput, UnknownField: for a value or column.
            Nothing is added then. Pending, NeedsUnbound.
        """
        return self._rows("add", name, rows, ends, wait)["created"]

    def upsert(
        self, name: str, rows: Any, *, ends: Sequence[str] | None = None, wait: float | None = None
    ) -> dict[str, int]:
        """Add rows, or give those that are there the values given; columns not given stay as they are.

        Edges are told apart by their ends: where there are several between two nodes, all get the values.

        Returns:
            How many were `created` and `updated`. Arguments and errors as for `add`.
        """
        return self._rows("upsert", name, rows, ends, wait)

    def update(self, name: str, rows: Any, *, ends: Sequence[str] | None = None, wait: float | None = None) -> int:
        """Give rows that are there new values; gives how many.

        Raises:
            NotFound: a row isn't there: the first ten are named, and nothing is changed. Others as for `add`.
        """
        return self._rows("update", name, rows, ends, wait)["updated"]

    def delete(self, name: str, keys: Any, *, ends: Sequence[str] | None = None, wait: float | None = None) -> int:
        """Delete nodes with their edges, or edges; gives how many nodes, or edges.

        Args:
            name: of the table. keys: a key or several; of edges a pair of keys or several; or rows as for `add`. Rows
                of temporal nodes may name `valid_from` and `valid_to`: they are deleted for that portion of time.

        Raises:
            NotFound: one isn't there: the first ten are named, and nothing is deleted.
        """
        return self._rows("delete", name, keys, ends, wait)["deleted"]

    def schema(self) -> dict[str, Table]:
        """The tables of one's own by name, with columns, keys and ends."""
        self._check()
        self._catch_up()
        return {name: table for name, table in self._opened.store.graph.tables.items() if not table.is_past}

    @property
    def declared(self) -> Mapping[str, Table]:
        """The tables of one's own as far as the graph has come, and what holds their past; it never waits. Another
        mapping after each change.
        """
        return self._opened.store.graph.tables

    def outcome(self, n: int) -> Outcome:
        """How the statement ended that is entry `n` of the log, as `Pending.change` says it.

        Raises:
            NotFound: it is none. Pending: it isn't decided yet. NotRetained: it was trimmed, and is in a snapshot.
        """
        self._check()
        return outcome(self._opened, n)

    # --- how it is done --------------------------------------------------------------------------------------

    def _check(self) -> None:
        self._opened.check()
        check_unbound(self._namespaces)

    def _submit(self, statement: Statement, batches: Sequence[bytes], wait: Any) -> dict[str, int]:
        self._check()
        seconds = check_seconds(wait, "wait")
        return submit(self._opened, statement, batches, wait=seconds).counts

    def _catch_up(self) -> bool:
        """Wait for what was written before; whether that came to its end."""
        return self._opened.store.wait([self._opened.store.graph_follower], self._opened.log.head, CATCH_UP_SECONDS)

    def _rows(self, op: Op, name: Any, rows: Any, ends: Any, wait: Any) -> dict[str, int]:
        from graphsvc.memory.table_rows import batches_of

        self._check()
        table = self._known(check_table_name(name))
        pair = None if ends is None else _pair(ends)
        statement = Statement(op, table=table.name, deletes=op == "delete", ends=pair)
        batches = batches_of(op, table, rows, self._key_types(table, pair), CHUNK)
        if not batches:
            return {"created": 0, "updated": 0, "deleted": 0}
        return self._submit(statement, batches, wait)

    def _add_together(
        self, made: Sequence[Table], rows: Sequence[tuple[Table, Sequence[Mapping[str, Any]]]], wait: Any
    ) -> None:
        """Define tables and add rows to them and others: all of it or nothing."""
        from graphsvc.memory.table_rows import batches_of
        from graphsvc.store.user_tables import key_type

        catalog = {**self._opened.store.graph.tables, **{table.name: table for table in made}}
        asked = [(Statement("define", table=table.name, declared=table), list[bytes]()) for table in made]
        for table, some in rows:
            ends = (table.name,) if table.nodes else table.ends[0]
            batches = batches_of("add", table, some, [key_type(catalog, end) for end in ends], CHUNK)
            asked += [(Statement("add", table=table.name), batches)] if batches else []
        if asked:
            self._check()
            (first, batches), *then = asked
            submit(self._opened, first, batches, then=then, verb="graph.load", wait=check_seconds(wait, "wait"))

    def _known(self, name: str) -> Table:
        """The table as it is now. Another thread's definition may be on its way: that is waited for."""
        if name not in self._opened.store.graph.tables:
            self._catch_up()
        tables = self._opened.store.graph.tables
        if name not in tables:
            known = ", ".join(sorted(table.name for table in tables.values() if not table.is_past))
            raise NotFound(f"there is no table {name}", where="name", hint=f"Tables: {known or 'none yet'}.")
        return tables[name]

    def _key_types(self, table: Table, ends: tuple[str, str] | None) -> list[str]:
        from graphsvc.store.user_tables import key_type

        tables = self._opened.store.graph.tables
        if table.nodes:
            return [table.columns[table.key]]
        return [key_type(tables, end) for end in ends or table.ends[0]]


def _pair(ends: Any) -> tuple[str, str]:
    if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
        raise BadInput("expected the names of two tables", where="ends")
    return check_identifier(ends[0], "ends[0]"), check_identifier(ends[1], "ends[1]")
