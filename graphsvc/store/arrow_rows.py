"""Rows of the user's tables as Arrow: fitted to what a table declares, and carried in the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from graphsvc.errors import BadInput, Conflict, GraphsvcError
from graphsvc.model.tables import VALID, Table
from graphsvc.model.times import utc
from graphsvc.store.arrow import pa, pc

SHOWN = 10
"""Rows that an error names."""


def arrow_type(type: str) -> pa.DataType:
    """The Arrow type of a column's type."""
    return pa.list_(_scalars()[type[:-2]]) if type.endswith("[]") else _scalars()[type]


@cache
def _scalars() -> dict[str, pa.DataType]:
    return {
        "STRING": pa.string(), "BOOL": pa.bool_(), "INT8": pa.int8(), "INT16": pa.int16(), "INT32": pa.int32(),
        "INT64": pa.int64(), "FLOAT": pa.float32(), "DOUBLE": pa.float64(), "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us"), "BLOB": pa.binary(),
    }  # fmt: skip


def to_stream(table: pa.Table) -> bytes:
    """A table as bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def from_stream(data: bytes) -> pa.Table:
    """The opposite of `to_stream`."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def schema_of(data: bytes) -> list[str]:
    """The columns of a table that lies in the log."""
    with pa.ipc.open_stream(data) as reader:
        return list(reader.schema.names)


def fitted(rows: pa.Table, table: Table, op: str, key_types: Sequence[str], *, first: int = 0) -> pa.Table:
    """Rows with exactly the columns' types, for an operation on a table; the key, or keys at the ends, come first.

    Args:
        key_types: of the key, or of the keys at both ends. first: place of the first row, for messages.

    Raises:
        UnknownField, BadInput, Conflict: naming the column, and the first rows that are wrong.
    """
    named = table.named
    wanted = dict(zip(named, key_types, strict=True))
    others = [name for name in rows.column_names if name not in named]
    wanted.update({name: table.column(name, f"{table.name}.{name}") for name in others})
    for name in named:
        if name not in rows.column_names:
            raise BadInput("is required", where=f"{table.name}.{name}")
    portion = VALID if table.nodes and table.temporal else ()  # what is to be written holds for it
    if op == "delete" and (more := [name for name in others if name not in portion]):
        raise BadInput("a deletion takes keys only", where=f"{table.name}.{more[0]}")
    if op == "update" and all(name in portion for name in others):
        raise BadInput("says nothing to be set", where=table.name)
    columns = {name: _cast(rows.column(name), type, f"{table.name}.{name}", first) for name, type in wanted.items()}
    for name in named:
        _refuse(pc.is_null(columns[name]), "null is no key", f"{table.name}.{name}", first)
        if wanted[name] == "STRING":
            empty = pc.equal(columns[name], pa.scalar("", pa.string()))
            _refuse(empty, "an empty text is no key", f"{table.name}.{name}", first)
    if table.temporal and set(VALID) <= columns.keys():
        empty = pc.greater_equal(*(columns[name] for name in VALID))
        _refuse(pc.fill_null(empty, False), "isn't later than valid_from", f"{table.name}.{VALID[1]}", first)
    return pa.table(columns)


def refuse_twice(keys: Sequence[Any], where: str) -> None:
    """Raise Conflict where a key is that of another row of the same call, naming the first ten."""
    seen: set[Any] = set()
    twice = []
    for at, key in enumerate(keys):
        if key in seen:
            twice.append(at)
        seen.add(key)
    if twice:
        raise Conflict(
            f"{counted(twice, 'row has', 'rows have')} the key of another: {places(twice, keys)}", where=where
        )


def counted(items: Sequence[Any], one: str, many: str) -> str:
    """`1 key is`, `2 keys are`."""
    return f"{len(items):,} {one if len(items) == 1 else many}"


def places(at: Iterable[int], keys: Sequence[Any], first: int = 0) -> str:
    """The first ten of some rows, by place and key."""
    rows = list(at)
    said = ", ".join(f"row {first + place} ({_said(keys[place])})" for place in rows[:SHOWN])
    return said + (", …" if len(rows) > SHOWN else "")


def _said(key: Any) -> str:
    return " → ".join(map(repr, key)) if isinstance(key, tuple) else repr(key)


def _refuse(wrong: Any, what: str, where: str, first: int) -> None:
    if pc.any(wrong).as_py():
        at = [place for place, bad in enumerate(wrong.to_pylist()) if bad]
        said = ", ".join(f"row {first + place}" for place in at[:SHOWN]) + (", …" if len(at) > SHOWN else "")
        raise BadInput(f"{what}: {said}", where=where)


def _cast(column: pa.ChunkedArray, type: str, where: str, first: int) -> pa.ChunkedArray:
    """A column in the type that is declared. Nothing is converted that would be another value then."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    wanted = arrow_type(type)
    if column.type == wanted:
        found = column
    elif pa.types.is_null(column.type):
        found = pa.chunked_array([pa.nulls(len(column), wanted)])
    elif not _may_become(column.type, wanted):
        raise BadInput(f"expected {type}, got {column.type}", where=where)
    else:
        try:
            found = _times(column, wanted) if _times_as_text(column.type, wanted) else column.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, GraphsvcError) as error:
            raise BadInput(f"isn't {type}: {_first_wrong(column, wanted, first) or error}", where=where) from None
    _check_values(found, where, first)
    return found


def _check_values(column: pa.ChunkedArray, where: str, first: int) -> None:
    listed = pa.types.is_list(column.type)
    plain = column.type.value_type if listed else column.type
    flat = pc.list_flatten(column) if listed else column
    if pa.types.is_floating(plain):
        wrong = pc.fill_null(pc.invert(pc.is_finite(flat)), False)
        _refuse(wrong, "is no finite number", where, first)
    elif pa.types.is_string(plain):
        _refuse(pc.fill_null(pc.match_substring(flat, "\x00"), False), "holds a NUL character", where, first)


def _may_become(given: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_list(wanted):
        is_list = pa.types.is_list(given) or pa.types.is_large_list(given) or pa.types.is_fixed_size_list(given)
        return bool(is_list) and (
            pa.types.is_null(given.value_type) or _may_become(given.value_type, wanted.value_type)
        )
    if given == wanted:
        return True
    number = pa.types.is_integer(given) or pa.types.is_floating(given)
    if pa.types.is_integer(wanted) or pa.types.is_floating(wanted):
        return bool(number)
    text = pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given)
    if pa.types.is_string(wanted):
        return bool(text)
    if pa.types.is_temporal(wanted):
        return bool(text or pa.types.is_timestamp(given) or pa.types.is_date(given))
    data = pa.types.is_large_binary(given) or pa.types.is_fixed_size_binary(given)
    return bool(pa.types.is_binary(wanted) and data)


def _times_as_text(given: pa.DataType, wanted: pa.DataType) -> bool:
    text = pa.types.is_string(given) or pa.types.is_large_string(given)
    return bool(pa.types.is_timestamp(wanted) and text)


def _times(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """ISO 8601 texts as times: with a zone they become UTC, without one they are."""
    moments: list[datetime | None] = []
    for text in column.to_pylist():
        if text is None:
            moments.append(None)
            continue
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise BadInput(f"{text!r} is no ISO 8601 time") from None
        moments.append(moment if moment.tzinfo is None else utc(moment, where="").astimezone(UTC).replace(tzinfo=None))
    return pa.chunked_array([pa.array(moments, wanted)])


def _first_wrong(column: pa.ChunkedArray, wanted: pa.DataType, first: int) -> str:
    """Which row can't be cast; found one by one, for only an error asks."""
    for place, scalar in enumerate(column):
        try:
            pa.chunked_array([pa.array([scalar.as_py()], column.type)]).cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return f"row {first + place} ({scalar.as_py()!r})"
    return ""


def keys_of(rows: pa.Table, names: Sequence[str]) -> list[Any]:
    """The keys of rows: one value each, or a pair."""
    columns = [rows.column(name).to_pylist() for name in names]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
