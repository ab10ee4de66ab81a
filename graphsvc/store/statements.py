"""Statements on the user's own tables, run: one call, one transaction of the graph, all of it or nothing.

What the engines do in silence is looked for and refused: a row whose end isn't there, a key that is there already.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from graphsvc.errors import BadInput, Conflict, NotAllowed, NotFound, OwnedTable, QueryTimeout
from graphsvc.model.change import Change
from graphsvc.model.graph import NODE_TABLES
from graphsvc.model.requests import Touched
from graphsvc.model.statements import Statement, untagged
from graphsvc.model.tables import (
    ENDS,
    KNOWN,
    PAST,
    VALID,
    Table,
    check,
    check_table_name,
    folded,
    kept_nodes,
    past_of,
    then,
    versions_of,
)
from graphsvc.model.versions import Version, in_order, reaches, removed, shown, written
from graphsvc.store import lists
from graphsvc.store.arrow import pa
from graphsvc.store.arrow_rows import arrow_type, counted, fitted, from_stream, keys_of, places
from graphsvc.store.ledger import Result, asked, parts
from graphsvc.store.queries import query
from graphsvc.store.transaction import Transaction
from graphsvc.store.user_tables import (
    Catalog,
    all_texts,
    carried,
    definition,
    key_column,
    key_type,
    read_catalog,
    statement,
    texts_of,
)

EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
BULK = {"kuzu": 25, "ladybug": 100}
"""Rows from which `LOAD FROM` is used: on Kuzu it reads the whole table, Ladybug keeps some memory of each."""


_Versions = Mapping[Any, Sequence[Version]]


class Run:
    """One statement in its transaction.

    Args:
        engine: its name. transaction: of the graph. catalog: the user's tables as they are before it.
        timeout: seconds that Cypher may take; None for rows, and for a replay.
    """

    def __init__(self, engine: str, transaction: Transaction, catalog: Catalog, timeout: float | None) -> None:
        self._least = BULK[engine]
        self._transaction = transaction
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._timeout = timeout
        self.catalog = catalog
        self.touched: list[Touched] = []
        self._upserted: set[str] = set()
        self._at = datetime.min

    def run(self, call: Sequence[Change]) -> Result:
        """Do what is asked.

        Raises:
            GraphsvcError: it can't be done; whoever has the transaction rolls it back.
        """
        self._at = EPOCH + timedelta(microseconds=call[0].at)
        result = Result()
        for part in parts(call):
            done = self._part(part)
            counts = {name: result.counts.get(name, 0) + count for name, count in done.counts.items()}
            result = Result({**result.counts, **counts}, done.answer)
        return result

    def _part(self, call: Sequence[Change]) -> Result:
        ask = asked(call)
        if ask.op == "cypher":
            return self._cypher(ask)
        if ask.op == "define":
            return self._define(ask)
        if ask.op == "drop":
            return self._drop(ask)
        counts: dict[str, int] = {}
        first = 0
        for change in call:
            rows = from_stream(change.vectors)
            if change.trimmed is None:  # else they were rows of the table, some of a kind that Cypher alone can make
                rows = self._fitted(ask, rows, first)
            for name, count in self._rows(ask, rows, first).items():
                counts[name] = counts.get(name, 0) + count
            first += rows.num_rows
        return Result(counts)

    # --- Cypher and definitions ------------------------------------------------------------------------------

    def _cypher(self, ask: Statement) -> Result:
        for name in ask.writes:
            self._refuse_temporal(name)
        values = {name: untagged(value) for name, value in ask.params.items()}
        answer = self._transaction.answer(ask.text, values, timeout=self._left(), limit=ask.limit, users=True)
        if ask.ddl:
            self._renew_catalog()
            return Result()
        written = {folded(name) for name in ask.writes}
        for table in self.catalog.values():
            if table.searchable and folded(table.name) in written:
                self.touched.append(all_texts(self._transaction.execute, self.catalog, table))
        return Result({}, answer)

    def _renew_catalog(self) -> None:
        """After DDL: see that every table of the user's is one that both engines and rows as data can have."""
        before, after = self.catalog, read_catalog(self._transaction.execute)
        for table in before.values():
            if (table.temporal or table.is_past) and after.get(table.name) != table:
                self._refuse_temporal(table.name.lstrip(PAST))
        declared = carried(before, after)
        after = {**after, **{new.name: new for _, new in declared if new is not None}}
        for table in after.values():
            if not table.is_past:
                check_table_name(table.name)
                check(table)
        self.catalog = after
        for old, new in declared:
            self._transaction.execute(query("undeclare_table"), {"name": old.name})
            if new is None or not new.searchable or new.name != old.name:
                self.touched.append(Touched(old.name, {}, whole=True))
            if new is not None and new.searchable:
                values = {"name": new.name, "searchable": list(new.searchable)}
                self._transaction.execute(query("declare_table"), values)
                self.touched.append(all_texts(self._transaction.execute, after, new))

    def _refuse_temporal(self, name: str) -> None:
        """Cypher doesn't know what is to be kept of a temporal table: verbs write it."""
        for table in self.catalog.values():
            if table.temporal and folded(table.name) == folded(name):
                hint = "Use memory.graph: add, upsert, update, delete, drop."
                raise NotAllowed(f"{table.name} keeps its past, and is written by verbs only", where=name, hint=hint)

    def _define(self, ask: Statement) -> Result:
        table = ask.declared
        assert table is not None, "a definition declares a table"
        check_table_name(table.name)
        check(table)
        known = {folded(name): name for name in self.catalog}
        if folded(table.name) in known:
            raise Conflict(f"there is a table {known[folded(table.name)]} already", where="name",
                           hint="Drop it first, or change it with ALTER TABLE.")  # fmt: skip
        for ends in table.ends:
            for end in ends:
                if end not in NODE_TABLES and not (end in self.catalog and self.catalog[end].nodes):
                    raise NotFound(f"there is no node table {end}", where="source or target")
        defaults = {name: untagged(value) for name, value in ask.defaults.items()}
        self._transaction.execute(definition(table, defaults))
        self.catalog = {**self.catalog, table.name: table}
        for beside in table.beside(kept_nodes(self.catalog)):
            self._transaction.execute(definition(beside, {}))
            self.catalog[beside.name] = beside
        if table.searchable:
            values = {"name": table.name, "searchable": list(table.searchable)}
            self._transaction.execute(query("declare_table"), values)
        return Result({"tables": 1})

    def _drop(self, ask: Statement) -> Result:
        table = self._table(ask.table)
        edges = [one for one in self.catalog.values() if not one.is_past]
        joined = sorted(one.name for one in edges if any(table.name in ends for ends in one.ends))
        if joined:
            raise Conflict(
                f"edges of {', '.join(joined)} lead to or from it", where=table.name, hint="Drop those first."
            )
        gone = (table, *reversed(table.beside(kept_nodes(self.catalog))))  # edges before the nodes that they join
        for one in gone:
            self._transaction.execute(statement("drop_table", self.catalog, one))
        if table.searchable:
            self._transaction.execute(query("undeclare_table"), {"name": table.name})
            self.touched.append(Touched(table.name, {}, whole=True))
        names = {one.name for one in gone}
        self.catalog = {name: one for name, one in self.catalog.items() if name not in names}
        return Result({"tables": 1})

    # --- rows ------------------------------------------------------------------------------------------------

    def _fitted(self, ask: Statement, rows: pa.Table, first: int) -> pa.Table:
        table = self._table(ask.table)
        if table.is_past and not ask.verbatim:
            raise OwnedTable(f"{table.name} is kept by the memory", where="table")
        ends = None if table.nodes else self._ends(table, ask.ends)
        types = [key_type(self.catalog, end) for end in ends] if ends else [table.columns[table.key]]
        return fitted(rows, table, ask.op, types, first=first)

    def _rows(self, ask: Statement, rows: pa.Table, first: int) -> dict[str, int]:
        table = self._table(ask.table)
        ends = None if table.nodes else self._ends(table, ask.ends)
        counts = (
            self._nodes(ask.op, table, rows, first, keep=table.temporal and not ask.verbatim)
            if ends is None
            else self._edges(ask.op, table, ends, rows, first, keep=table.temporal and not ask.verbatim)
        )
        self._check_time()
        return counts

    def _table(self, name: str) -> Table:
        if name not in self.catalog:
            known = ", ".join(sorted(one.name for one in self.catalog.values() if not one.is_past))
            hint = f"Tables: {known or 'none yet'}."
            raise NotFound(f"there is no table {name}", where="table", hint=hint)
        return self.catalog[name]

    def _ends(self, table: Table, asked: tuple[str, str] | None) -> tuple[str, str]:
        if asked is None and len(table.ends) == 1:
            return table.ends[0]
        if asked is None or tuple(asked) not in table.ends:
            known = ", ".join(f"({source!r}, {target!r})" for source, target in table.ends)
            raise BadInput(
                "doesn't say which tables its ends are in", where=table.name, hint=f"ends= is one of {known}."
            )
        return asked[0], asked[1]

    def _nodes(self, op: str, table: Table, rows: pa.Table, first: int, *, keep: bool) -> dict[str, int]:
        """Do it to nodes; `keep`: by their versions, see `model/versions.py`."""
        keys = keys_of(rows, [table.key])
        there = self._found("table_find_node", table, None, rows)
        missing, present = _parted(there)
        if op == "add" and present:
            said = f"{counted(present, 'key is', 'keys are')} in {table.name} already: {places(present, keys, first)}"
            raise Conflict(said, where=table.name, hint="Use upsert to write over them.")
        if op in ("update", "delete") and missing:
            said = f"{counted(missing, 'key is', 'keys are')} not in {table.name}: {places(missing, keys, first)}"
            raise NotFound(said, where=table.name)
        self._keep_lists_apart(op, table, rows, missing, present)
        if keep:
            self._keep_versions(op, table, rows, first)
        elif op == "delete":
            self._cut(table, rows)
            self._write("table_delete_node", table, None, rows, ())
        else:
            self._write("create_node", table, None, _take(rows, missing), rows.column_names, keyed=False)
            self._write(
                "table_set_node",
                table,
                None,
                _take(rows, present),
                [name for name in rows.column_names if name != table.key],
            )
        if table.searchable:
            self.touched.append(self._texts(table, rows, gone=op == "delete" and not keep))
        return _counts(op, created=len(missing), there=len(keys) - len(missing))

    # --- nodes that keep their past ----------------------------------------------------------------------------

    def _keep_versions(self, op: str, table: Table, rows: pa.Table, first: int) -> None:
        """Write rows for the portion of time that they name; note what is known from now on; show what holds now."""
        keys = keys_of(rows, [table.key])
        before = self._known_versions(table, rows)
        after = {}
        nowhere = []
        for at, (key, row) in enumerate(zip(keys, rows.to_pylist(), strict=True)):
            known = before.get(key, [])
            portion = (row.pop(VALID[0], None), row.pop(VALID[1], None))
            del row[table.key]
            if op in ("update", "delete") and not reaches(known, portion):
                nowhere.append(at)
            elif op == "delete":
                after[key] = removed(known, portion)
            else:
                # what is there without a word of time is changed where it holds
                fill = not known or (op == "upsert" and not set(VALID).isdisjoint(rows.column_names))
                after[key] = written(known, portion, row, fill=fill)
        if nowhere:
            said = f"{counted(nowhere, 'key is', 'keys are')} in {table.name}, but not then"
            raise NotFound(f"{said}: {places(nowhere, keys, first)}", where=table.name)
        self._note_versions(table, before, after)
        self._show_versions(table, before, after)

    def _known_versions(self, table: Table, rows: pa.Table) -> dict[Any, list[Version]]:
        """What is known of nodes now, by key; versions in the order of time."""
        versions = self.catalog[versions_of(table.name)]
        columns = [name for name in table.columns if name != table.key]
        data = self._data(table, None, rows, ())
        many = self._in_bulk(data)
        text = statement("table_read_version", self.catalog, versions, columns, ends=versions.ends[0], bulk=many)
        if many:
            found = self._transaction.bulk_read(text, data).rows
        else:
            found = [row for values in data.to_pylist() for row in self._transaction.execute(text, values).rows]
        known: dict[Any, list[Version]] = {}
        for key, *row in found:
            values = dict(zip(columns, row, strict=True))
            known.setdefault(key, []).append(Version(values.pop(VALID[0]), values.pop(VALID[1]), values))
        return {key: in_order(some) for key, some in known.items()}

    def _note_versions(self, table: Table, before: _Versions, after: _Versions) -> None:
        """End what was known and isn't any more, and begin what is known from now on."""
        nodes, versions = self.catalog[past_of(table.name)], self.catalog[versions_of(table.name)]
        ends = versions.ends[0]
        ended = [(key, one.start) for key, now in after.items() for one in before.get(key, []) if one not in now]
        begun = [(key, one) for key, now in after.items() for one in now if one not in before.get(key, [])]
        key_type = arrow_type(table.columns[table.key])
        if ended:
            starts = pa.array([start or EPOCH for _, start in ended], arrow_type("TIMESTAMP"))
            columns = [pa.array([key for key, _ in ended], key_type), starts, pa.array([s is None for _, s in ended])]
            data = pa.table(columns, names=["key_", "from_", "open_"])
            done = self._do("table_close_version", versions, ends, data.append_column("at_", self._moment(data)))
            assert done == len(ended), "versions that are known now differ in their beginnings"
        rows = pa.table({table.key: pa.array(list(after), key_type)})
        there = self._found("table_find_node", nodes, None, rows)
        self._write("create_node", nodes, None, _take(rows, _parted(there)[0]), [table.key], keyed=False)
        if begun:
            data = _rows_of(table, begun)
            columns = [name for name in data.column_names if name != table.key]
            for end in ENDS:
                data = data.append_column(end, data.column(table.key))
            data = data.append_column(KNOWN[0], self._moment(data))
            self._write("table_create_edge", versions, ends, data, [*columns, KNOWN[0]])

    def _show_versions(self, table: Table, before: _Versions, after: _Versions) -> None:
        """Have the table itself hold of each key what holds as this is asked; one that nothing is known of goes."""
        now = {key: shown(versions, self._at) for key, versions in after.items() if versions}
        columns = [name for name in table.columns if name != table.key]
        new = [(key, version) for key, version in now.items() if not before.get(key)]
        old = [(key, version) for key, version in now.items() if before.get(key)]
        gone = _rows_of(table, [(key, Version(None, None, {})) for key in after if key not in now])
        self._cut(table, gone)
        self._write("table_delete_node", table, None, gone, ())
        self._write("create_node", table, None, _rows_of(table, new), list(table.columns), keyed=False)
        self._write("table_set_node", table, None, _rows_of(table, old), columns)

    # --- edges -------------------------------------------------------------------------------------------------

    def _edges(
        self, op: str, table: Table, ends: tuple[str, str], rows: pa.Table, first: int, *, keep: bool
    ) -> dict[str, int]:
        """Do it to edges; `keep`: and note in the table's past what is known of them from now on."""
        keys = keys_of(rows, ("source", "target"))
        columns = [name for name in rows.column_names if name not in ("source", "target")]
        if op == "add":
            self._check_ends(table, ends, rows, first)
            self._write("table_create_edge", table, ends, rows, columns)
            if keep:
                self._begin(table, ends, rows)
            return {"created": len(keys)}
        there = self._found("table_find_edge", table, ends, rows)
        missing, present = _parted(there)
        if op == "upsert":
            new = _take(rows, missing)
            self._check_ends(table, ends, new, first)
            self._write("table_create_edge", table, ends, new, columns)
            if keep:
                self._begin(table, ends, new)
        elif missing:
            said = f"{counted(missing, 'edge is', 'edges are')} not in {table.name}: {places(missing, keys, first)}"
            raise NotFound(said, where=table.name)
        self._keep_lists_apart(op, table, rows, missing, present)
        found = _take(rows, present)
        if keep:
            self._note("table_close_edge", self.catalog[past_of(table.name)], self._then(ends), found)
        if op == "delete":
            self._write("table_delete_edge", table, ends, found, (), expected=sum(there))
        else:
            self._write("table_set_edge", table, ends, found, columns, expected=sum(there))
            if keep:
                self._note("table_keep_edge", table, ends, found)
        return _counts(op, created=len(missing), there=sum(there))

    def _begin(self, table: Table, ends: tuple[str, str], rows: pa.Table) -> None:
        """Note new edges in the past, known from now on."""
        known = rows.append_column(KNOWN[0], self._moment(rows))
        columns = [name for name in known.column_names if name not in ENDS]
        self._write("table_create_edge", self.catalog[past_of(table.name)], self._then(ends), known, columns)

    def _note(self, name: str, table: Table, ends: tuple[str, str], rows: pa.Table) -> None:
        """Run a statement on the past of edges, with the time of what is asked."""
        if rows.num_rows == 0:
            return
        data = self._data(table, ends, rows, (), keyed=True)
        self._do(name, table, ends, data.append_column("at_", self._moment(rows)))

    def _then(self, ends: tuple[str, str]) -> tuple[str, str]:
        """The tables that edges of the past join, for those that edges of the present do."""
        kept = kept_nodes(self.catalog)
        return then(ends[0], kept), then(ends[1], kept)

    def _moment(self, rows: pa.Table) -> pa.Array:
        """When what is asked was written to the log, the same in every replay; once for each row."""
        return pa.array([self._at] * rows.num_rows, arrow_type("TIMESTAMP"))

    def _keep_lists_apart(
        self, op: str, table: Table, rows: pa.Table, missing: Sequence[int], present: Sequence[int]
    ) -> None:
        """Refuse an upsert that both makes rows and changes lists: see `store/lists.py`."""
        if op != "upsert" or not any(table.columns.get(name, "").endswith("[]") for name in rows.column_names):
            return
        self._upserted |= {lists.MADE} if missing else set()
        self._upserted |= {lists.CHANGED} if present else set()
        if self._upserted == lists.BOTH:
            raise BadInput(
                "some rows are new and some are there, and there are lists among the values",
                where=table.name,
                hint="Kuzu damages lists then: add the new ones in one call, and update the others in another.",
            )

    def _check_ends(self, table: Table, ends: tuple[str, str], rows: pa.Table, first: int) -> None:
        for column, end in zip(("source", "target"), ends, strict=True):
            keys = keys_of(rows, [column])
            distinct = list(dict.fromkeys(keys))
            column_name = key_column(self.catalog, end)
            nodes = Table(end, {column_name: key_type(self.catalog, end)}, column_name)
            asked = pa.table({column_name: pa.array(distinct, arrow_type(nodes.columns[column_name]))})
            there = dict(zip(distinct, self._found("table_find_node", nodes, None, asked), strict=True))
            missing = [at for at, key in enumerate(keys) if not there[key]]
            if missing:
                said = (
                    f"{counted(missing, f'{column} is', f'{column}s are')} not in {end}: {places(missing, keys, first)}"
                )
                raise NotFound(said, where=f"{table.name}.{column}")

    def _cut(self, table: Table, rows: pa.Table) -> None:
        """Delete the edges of nodes that go: an engine refuses to delete a node that has any.

        Where the nodes keep their past, those of the past stay, and are known no more.
        """
        if rows.num_rows == 0:
            return
        keys = self._data(table, None, rows, ())
        for edges in self.catalog.values():
            for ends in edges.ends:
                for place, way in enumerate(("out", "in")):
                    if ends[place] != table.name:
                        continue
                    self._write(f"table_cut_{way}_edge", edges, ends, rows, (), expected=None, key=table.key)
                    if table.temporal and edges.temporal:
                        data = keys.append_column("at_", self._moment(rows))
                        past = self.catalog[past_of(edges.name)]
                        self._do(f"table_close_{way}_edge", past, self._then(ends), data)

    # --- one statement a row, or all at once -------------------------------------------------------------------

    def _write(
        self,
        name: str,
        table: Table,
        ends: tuple[str, str] | None,
        rows: pa.Table,
        columns: Sequence[str],
        *,
        expected: int | None = -1,
        keyed: bool = True,
        key: str = "",
    ) -> None:
        """Run a statement for rows, and see that it did as many things as it should: one a row, unless told."""
        if rows.num_rows == 0 or (not columns and "set" in name):
            return
        data = self._data(table, ends, rows, columns, keyed=keyed, key=key)
        done = self._do(name, table, ends, data, columns)
        wanted = rows.num_rows if expected == -1 else expected
        if wanted is not None and done != wanted:
            raise BadInput(f"{wanted:,} rows were to be written, {done:,} were", where=table.name)

    def _do(
        self, name: str, table: Table, ends: tuple[str, str] | None, data: pa.Table, columns: Sequence[str] = ()
    ) -> int:
        """Run a statement for rows whose columns are called as it calls them; how many things it did."""
        bulk = self._in_bulk(data)
        text = statement(name, self.catalog, table, columns, ends=ends, bulk=bulk)
        return self._transaction.bulk_load(text, data) if bulk else self._transaction.each(text, data.to_pylist())

    def _in_bulk(self, rows: pa.Table) -> bool:
        # bytes are no parameter on Kuzu
        return rows.num_rows >= self._least or any(pa.types.is_binary(field.type) for field in rows.schema)

    def _data(
        self,
        table: Table,
        ends: tuple[str, str] | None,
        rows: pa.Table,
        columns: Sequence[str],
        *,
        keyed: bool = True,
        key: str = "",
    ) -> pa.Table:
        """Rows under the names that statements know: `key_`, or `source_` and `target_`; c0, c1, …"""
        data = {f"c{at}": rows.column(name) for at, name in enumerate(columns)}
        if key or (keyed and ends is None):
            data["key_"] = rows.column(key or table.key)
        elif keyed:
            data |= {"source_": rows.column("source"), "target_": rows.column("target")}
        return pa.table(data)

    def _found(self, name: str, table: Table, ends: tuple[str, str] | None, rows: pa.Table) -> list[int]:
        """How many things there are for each row."""
        counts = [0] * rows.num_rows
        if not counts:
            return counts
        data = self._data(table, ends, rows, (), keyed=True)
        if self._in_bulk(data):
            data = data.append_column("place_", pa.array(range(len(counts)), pa.int64()))
            text = statement(name, self.catalog, table, ends=ends, bulk=True)
            for (place,) in self._transaction.bulk_read(text, data, timeout=self._left()).rows:
                counts[place] += 1
        else:
            text = statement(name, self.catalog, table, ends=ends)
            for place, row in enumerate(data.to_pylist()):
                counts[place] = self._transaction.each(text, [row])
        return counts

    # --- what is searched ----------------------------------------------------------------------------------

    def _texts(self, table: Table, rows: pa.Table, *, gone: bool) -> Touched:
        without = dict.fromkeys(str(key) for key in keys_of(rows, [table.key]))
        if gone:
            return Touched(table.name, without)
        text = statement("table_read_node", self.catalog, table, table.searchable, bulk=True)
        data = self._data(table, None, rows, (), keyed=True)
        return Touched(table.name, {**without, **texts_of(table, self._transaction.bulk_read(text, data).rows)})

    # --- time ----------------------------------------------------------------------------------------------

    def _left(self) -> float | None:
        if self._deadline is None:
            return None
        self._check_time()
        return max(0.001, self._deadline - time.monotonic())

    def _check_time(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise QueryTimeout(f"took longer than {self._timeout:g} s", where="statement")


def _parted(there: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which rows there is nothing for, and which there is."""
    return [at for at, count in enumerate(there) if not count], [at for at, count in enumerate(there) if count]


def _rows_of(table: Table, versions: Sequence[tuple[Any, Version]]) -> pa.Table:
    """Keys and versions as rows of a table, with all its columns."""
    values = [
        {**version.values, table.key: key, VALID[0]: version.start, VALID[1]: version.end} for key, version in versions
    ]
    return pa.table({
        name: pa.array([row.get(name) for row in values], arrow_type(type)) for name, type in table.columns.items()
    })  # fmt: skip


def _take(rows: pa.Table, at: Sequence[int]) -> pa.Table:
    return rows.take(pa.array(at, pa.int64()))


def _counts(op: str, *, created: int, there: int) -> dict[str, int]:
    counts = {"add": {"created": created}, "update": {"updated": there}, "delete": {"deleted": there}}
    return counts.get(op, {"created": created, "updated": there})
