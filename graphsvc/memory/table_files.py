"""The user's own tables in an export: a file of rows for each, and taken in again, row by row what isn't there yet."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from graphsvc.errors import BadInput, Conflict, GraphsvcError, NotFound
from graphsvc.memory.exported import BATCH, Contents, Format, batched, read_rows
from graphsvc.memory.statements import submit
from graphsvc.model.statements import Statement
from graphsvc.model.tables import ENDS, Table
from graphsvc.store.arrow import pa
from graphsvc.store.arrow_rows import arrow_type, to_stream
from graphsvc.store.user_tables import key_type, plain, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    from graphsvc.memory.importing.report import ImportReport
    from graphsvc.memory.opened import Opened
    from graphsvc.store.graph import GraphProjection

PREFIX = "table:"
"""In front of a table's name, among the files of an export."""
TABLES = ("_source_table", "_target_table")
"""Columns of edges that say which tables their ends are in: no column of a user's begins so."""


def file_name(place: int) -> str:
    """The name of a table's file, for its own may be none for a file."""
    return f"table-{place}"


def schema(table: Table, tables: Mapping[str, Table]) -> pa.Schema:
    """Arrow columns of a table's rows. Keys of edges are texts where their tables' differ in type."""
    if table.nodes:
        fields = [pa.field(name, arrow_type(type)) for name, type in table.columns.items()]
        return pa.schema(fields)
    fields = [pa.field(name, pa.string()) for name in TABLES]
    for place, name in enumerate(ENDS):
        types = {key_type(tables, ends[place]) for ends in table.ends}
        fields.append(pa.field(name, arrow_type(types.pop() if len(types) == 1 else "STRING")))
    return pa.schema([*fields, *(pa.field(name, arrow_type(type)) for name, type in table.columns.items())])


def written(graph: GraphProjection, table: Table, format: Format) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table in one order, as they are written, in batches."""
    names = [name for name in table.columns if name != table.key]
    keyed = schema(table, graph.tables)
    rows = sorted(rows_of(graph.engine.stream, graph.tables, table), key=_order)
    for batch in batched(rows, BATCH):
        found = [_row(table, names, ends, values) for ends, values in batch]
        if format == "jsonl":
            yield [{name: _json(value) for name, value in row.items()} for row in found]
        else:
            yield [{name: _fit(keyed.field(name).type, value) for name, value in row.items()} for row in found]


def _order(row: tuple[tuple[str, str] | None, list[Any]]) -> Any:
    ends, values = row
    return ends or (), [(value is not None, repr(plain(value))) if place > 1 else (True, str(value).zfill(20))
                        for place, value in enumerate(values)]  # fmt: skip


def _row(table: Table, names: Sequence[str], ends: tuple[str, str] | None, values: Sequence[Any]) -> dict[str, Any]:
    if ends is None:
        return {table.key: values[0], **dict(zip(names, values[1:], strict=True))}
    return {**dict(zip(TABLES, ends, strict=True)), **dict(zip((*ENDS, *names), values, strict=True))}


def _fit(type: pa.DataType, value: Any) -> Any:
    return str(value) if pa.types.is_string(type) and value is not None else value


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return [_json(item) for item in value] if isinstance(value, list) else value


# --- taking in --------------------------------------------------------------------------------------------


def take_tables(opened: Opened, directory: Path, contents: Contents, report: ImportReport, batch: int) -> None:
    """Define the tables that aren't there yet, and add the rows that aren't; nodes first."""
    tables = [msgspec.convert(one, Table) for one in contents.tables]
    for table in sorted(tables, key=lambda table: (not table.nodes, table.is_past)):
        opened.store.graph_follower.wait(opened.log.head, CATCH_UP_SECONDS)
        known = opened.store.graph.tables.get(table.name)
        if known is not None and _declared(known) != _declared(table):
            count = contents.files[PREFIX + table.name].count
            report.read += count
            report.skip(table.name, Conflict.code, f"a table of this name has other columns or ends; {count} rows")
            continue
        if known is None and not report.dry_run and not table.is_past:
            defaults = contents.defaults.get(table.name, {})
            submit(opened, Statement("define", table=table.name, declared=table, defaults=defaults))
        _take_rows(opened, directory, contents, table, report, batch, there=known is not None)


CATCH_UP_SECONDS = 3600.0


def _declared(table: Table) -> Any:
    return sorted(table.columns.items()), table.key, set(table.ends), set(table.searchable), table.temporal


def _take_rows(
    opened: Opened, directory: Path, contents: Contents, table: Table, report: ImportReport, batch: int, *, there: bool
) -> None:
    rows = read_rows(directory / contents.files[PREFIX + table.name].name, contents.format)
    known = _known(opened, table) if there else {}
    edges: Counter[Any] = Counter() if table.nodes else Counter(known)
    for part in batched((_read(table, row) for row in rows), batch):
        new: list[tuple[tuple[str, str] | None, dict[str, Any]]] = []
        for ends, row in part:
            report.read += 1
            place = _place(table, ends, row)
            if table.nodes and place[0] in known:
                same = known[place[0]] == place[1]
                report.already += same
                if not same:
                    report.skip(f"{table.name} {place[0]}", Conflict.code, "another row of this key is there already")
            elif edges[place] > 0:
                edges[place] -= 1
                report.already += 1
            else:
                new.append((ends, row))
        _add(opened, table, new, report)


def _known(opened: Opened, table: Table) -> dict[Any, Any]:
    """What the table holds: of nodes by key, of edges how many of each."""
    graph = opened.store.graph
    names = [name for name in table.columns if name != table.key]
    found = (
        _place(table, ends, _row(table, names, ends, row))
        for ends, row in rows_of(graph.engine.stream, graph.tables, table)
    )
    return dict(found) if table.nodes else Counter(found)


def _place(table: Table, ends: tuple[str, str] | None, row: Mapping[str, Any]) -> Any:
    """What a row is compared by: key and values, or all that an edge is."""
    values = repr([plain(row.get(name)) for name in sorted(table.columns) if name != table.key])
    if table.nodes:
        return row[table.key], values
    return ends, str(row["source"]), str(row["target"]), values


def _read(table: Table, row: dict[str, Any]) -> tuple[tuple[str, str] | None, dict[str, Any]]:
    """A row as it was: times, dates and bytes from their JSON forms."""
    try:
        values = {name: _value(table.columns[name], row.get(name)) for name in table.columns}
        if table.nodes:
            return None, values
        source, target = (row[name] for name in TABLES)
        return (source, target), {"source": row["source"], "target": row["target"], **values}
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput(f"a row can't be read: {error}", where=table.name) from None


def _value(type: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_value(type.removesuffix("[]"), item) for item in value]
    if isinstance(value, str):
        match type:
            case "TIMESTAMP":
                return datetime.fromisoformat(value)
            case "DATE":
                return date.fromisoformat(value)
            case "BLOB":
                return base64.b64decode(value)
            case "DOUBLE" | "FLOAT":
                return float(value)
    return float(value) if type in ("DOUBLE", "FLOAT") and value is not None else value


def _add(
    opened: Opened, table: Table, rows: list[tuple[tuple[str, str] | None, dict[str, Any]]], report: ImportReport
) -> None:
    """Add rows; where an end of one isn't there, one by one, and those are left out."""
    groups: dict[tuple[str, str] | None, list[dict[str, Any]]] = {}
    for ends, row in rows:
        groups.setdefault(ends, []).append(row)
    for ends, group in groups.items():
        if report.dry_run:
            report.stored += len(group)
            continue
        try:
            _submit(opened, table, ends, group)
            report.stored += len(group)
        except NotFound:
            for row in group:
                try:
                    _submit(opened, table, ends, [row])
                    report.stored += 1
                except GraphsvcError as error:
                    report.skip(f"{table.name} {row['source']} → {row['target']}", error.code, error.what)


def _submit(opened: Opened, table: Table, ends: tuple[str, str] | None, rows: list[dict[str, Any]]) -> None:
    tables = opened.store.graph.tables
    types = dict(table.columns)
    if ends is not None:
        types = {**dict(zip(ENDS, (key_type(tables, end) for end in ends), strict=True)), **types}
    if ends is not None:
        cast = {name: int if types[name] == "INT64" else str for name in ENDS}
        rows = [{**row, **{name: cast[name](row[name]) for name in ENDS}} for row in rows]
    data = pa.table({name: pa.array([row[name] for row in rows], arrow_type(type)) for name, type in types.items()})
    verbatim = table.temporal or table.is_past
    submit(opened, Statement("add", table=table.name, ends=ends, verbatim=verbatim), [to_stream(data)])
