"""The user's own tables in the graph: which there are, statements for them, and what is in them, to be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from graphsvc.errors import Unsupported
from graphsvc.model.graph import NODE_TABLES, REL_TABLES
from graphsvc.model.requests import Touched
from graphsvc.model.tables import NOTES, PAST, Table, kept_nodes, past_of, quoted, then
from graphsvc.model.times import micros
from graphsvc.store.connection import Rows
from graphsvc.store.queries import load, query

Execute = Callable[[str], Rows]
"""Runs a reading statement: outside of a transaction, or within one."""

Catalog = dict[str, Table]
Content = tuple[str, tuple[Any, ...], tuple[Any, ...]]
"""One row: its table; its key, or the tables and keys at its ends; its other columns, canonical, in their order."""

SCHEMA = "_schema"
"""In place of a table: what is declared of one."""


def literal(name: str) -> str:
    """A name within quotes, for what is called with one and takes no parameter."""
    return name.replace("\\", "\\\\").replace("'", "\\'")


def read_catalog(execute: Execute) -> Catalog:
    """The user's tables, by name, as they are now."""
    declared = {name: tuple(searchable) for name, searchable in execute(query("tables")).rows}
    found: Catalog = {}
    there = dict(execute(query("show_tables")).rows)
    for name, type in sorted(there.items()):
        if name in NODE_TABLES or name in REL_TABLES or name in NOTES:
            continue
        rows = execute(load("user_columns").fill(name=literal(name))).dicts()
        columns = {row["name"]: row["type"] for row in rows}
        searchable, temporal = declared.get(name, ()), not name.startswith(PAST) and past_of(name) in there
        if type == "NODE":
            key = next(row["name"] for row in rows if row["primary key"])
            found[name] = Table(name, columns, key, (), searchable, temporal)
        else:
            ends = execute(load("table_ends").fill(name=literal(name))).rows
            pairs = tuple(sorted((source, target) for source, target, *_ in ends))
            found[name] = Table(name, columns, "", pairs, searchable, temporal)
    return found


def carried(before: Catalog, after: Catalog) -> list[tuple[Table, Table | None]]:
    """The searchable tables that a statement of DDL has altered: as they were, and with what is declared of them now.

    It goes along with a table or column that is renamed, and away with one that is dropped.
    """
    gone, new = before.keys() - after.keys(), after.keys() - before.keys()
    tables = dict(zip(gone, new, strict=True)) if len(gone) == len(new) == 1 else {}
    found: list[tuple[Table, Table | None]] = []
    for name, old in before.items():
        now = after.get(tables.get(name, name))
        if now is None or not old.searchable:
            found += [(old, None)] if old.searchable else []
            continue
        lost, more = old.columns.keys() - now.columns.keys(), now.columns.keys() - old.columns.keys()
        columns = dict(zip(lost, more, strict=True)) if len(lost) == len(more) == 1 else {}
        kept = (columns.get(column, column) for column in old.searchable)
        searchable = tuple(column for column in kept if column in now.columns)
        if now.name != name or searchable != old.searchable:
            found.append((old, replace(now, searchable=searchable)))
    return found


def defaulted(execute: Execute, table: Table) -> bool:
    """Whether a column of a table has a default."""
    rows = execute(load("user_columns").fill(name=literal(table.name))).dicts()
    return any(row["default expression"] not in (None, "", "NULL") for row in rows)


def key_column(catalog: Mapping[str, Table], table: str) -> str:
    """The column that tells the nodes of a table apart, be it the user's or the memory's own."""
    return catalog[table].key if table in catalog else "key"


def key_type(catalog: Mapping[str, Table], table: str) -> str:
    """Its type."""
    return catalog[table].columns[catalog[table].key] if table in catalog else "STRING"


# --- statements ---------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _filled(name: str, holes: tuple[tuple[str, str], ...]) -> str:
    return load(name).fill(**dict(holes))


def statement(
    name: str,
    catalog: Mapping[str, Table],
    table: Table,
    columns: Iterable[str] = (),
    *,
    ends: tuple[str, str] | None = None,
    bulk: bool = False,
) -> str:
    """The statement `queries/NAME.cypher` for a table of the user's, or `NAMEs.cypher` for many rows.

    Columns are called c0, c1, … in its rows or parameters, so that no name of a column means anything else.
    """
    variable, sign = ("n" if table.nodes else "r"), ("" if bulk else "$")
    names = tuple(columns)
    holes = {"table": quoted(table.name), "name": literal(table.name)}
    if table.nodes:
        holes["key"] = quoted(table.key)
    if ends is not None:
        holes["source"], holes["target"] = map(quoted, ends)
        holes["source_key"], holes["target_key"] = (quoted(key_column(catalog, end)) for end in ends)
    if name.startswith(("table_dump", "table_read")):
        holes["columns"] = "".join(f", {variable}.{quoted(column)} AS c{at}" for at, column in enumerate(names))
    else:
        holes["columns"] = ", ".join(f"{quoted(column)}: {sign}c{at}" for at, column in enumerate(names))
    if table.temporal and ends is not None:
        kept = kept_nodes(catalog)
        holes["past"] = quoted(past_of(table.name))
        holes["past_source"], holes["past_target"] = (quoted(then(end, kept)) for end in ends)
        holes["copied"] = ", ".join(f"{quoted(column)}: r.{quoted(column)}" for column in table.columns)
    items = ", ".join(f"{variable}.{quoted(column)} = {sign}c{at}" for at, column in enumerate(names))
    holes["settings"] = f"SET {items}" if items else ""
    return _filled(name + "s" * bulk, tuple(holes.items()))


def definition(table: Table, defaults: Mapping[str, Any]) -> str:
    """The DDL that makes a table, with what columns hold that a row doesn't name. Raises Unsupported for a default."""
    said = {name: f" DEFAULT {_written(value, table.columns[name])}" for name, value in defaults.items()}
    columns = [f"{quoted(name)} {type}{said.get(name, '')}" for name, type in table.columns.items()]
    if table.nodes:
        return load("define_nodes").fill(table=quoted(table.name), columns=", ".join(columns), key=quoted(table.key))
    ends = ", ".join(f"FROM {quoted(source)} TO {quoted(target)}" for source, target in table.ends)
    more = "".join(f", {column}" for column in columns)
    return load("define_edges").fill(table=quoted(table.name), ends=ends, columns=more)


def _written(value: Any, type: str) -> str:
    """A default as it stands in a definition. Raises Unsupported for one of a type that can't be written there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    if isinstance(value, int | float):
        return f"cast('{value!r}' AS {type})"
    if isinstance(value, date):  # or a time
        return f"cast('{value}' AS {type})"
    if isinstance(value, list):
        return f"cast([{', '.join(_written(item, type.removesuffix('[]')) for item in value)}] AS {type})"
    raise Unsupported(f"a default of type {type} can't be written into a definition", where="before")


# --- contents -----------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A value as it is compared and hashed: equal whichever engine it came from."""
    if isinstance(value, float):
        return "nan" if value != value else value
    if isinstance(value, datetime):
        return micros(value.replace(tzinfo=UTC) if value.tzinfo is None else value)
    if isinstance(value, date):
        return value.toordinal()
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def texts_of(table: Table, rows: Iterable[Sequence[Any]]) -> dict[str, dict[str, str] | None]:
    """What is searched of rows: their keys, as text, and the texts of the searchable columns that have one."""
    return {
        str(key): {name: text for name, text in zip(table.searchable, texts, strict=True) if text} or None
        for key, *texts in rows
    }


def all_texts(execute: Execute, catalog: Catalog, table: Table) -> Touched:
    """What is to be searched of a table."""
    rows = execute(statement("table_dump_nodes", catalog, table, table.searchable)).rows
    return Touched(table.name, texts_of(table, rows), whole=True)


Stream = Callable[[str], Iterator[list[list[Any]]]]


def rows_of(stream: Stream, catalog: Catalog, table: Table) -> Iterator[tuple[tuple[str, str] | None, list[Any]]]:
    """Every row of a table as it is: for edges the tables at the ends; key or keys, and the other columns.

    An edge that only one of its ends knows of (see `queries/dump_edges_back.cypher`) is none.
    """
    columns = tuple(name for name in table.columns if name != table.key)
    if table.nodes:
        for rows in stream(statement("table_dump_nodes", catalog, table, columns)):
            yield from ((None, row) for row in rows)
        return
    for ends in table.ends:
        back = {
            hash(repr(row))
            for rows in stream(statement("table_dump_edges_back", catalog, table, columns, ends=ends))
            for row in rows
        }
        for rows in stream(statement("table_dump_edges", catalog, table, columns, ends=ends)):
            yield from ((ends, row) for row in rows if hash(repr(row)) in back)


def nodes_of(
    stream: Stream, catalog: Catalog, table: Table, columns: tuple[str, ...]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The key and some columns of every node of a table, in no order."""
    for rows in stream(statement("table_dump_nodes", catalog, table, columns)):
        for key, *values in rows:
            yield key, dict(zip(columns, values, strict=True))


def user_contents(stream: Stream, catalog: Catalog) -> Iterator[Content]:
    """What is declared of every table, and every row, in no order."""
    for table in catalog.values():
        yield schema_content(table)
        for ends, row in rows_of(stream, catalog, table):
            keys = row[:1] if table.nodes else row[:2]
            yield table.name, (*(ends or ()), *keys), tuple(map(plain, row[len(keys) :]))


def schema_content(table: Table) -> Content:
    """What is declared of a table, as its rows are compared."""
    columns = [f"{name} {type}" for name, type in sorted(table.columns.items())]
    ends = [f"{source} {target}" for source, target in table.ends]
    return SCHEMA, (table.name, table.key), (columns, ends, list(table.searchable))
