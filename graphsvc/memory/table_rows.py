"""Rows for the user's tables, from whatever holds them, as Arrow: checked, and cut into parts of the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphsvc.errors import BadInput, UnknownField
from graphsvc.model.statements import Op
from graphsvc.model.tables import Table
from graphsvc.store.arrow import pa
from graphsvc.store.arrow_rows import fitted, keys_of, refuse_twice, to_stream

BYTES = 8 << 20
"""About the most that one entry of the log holds."""


def batches_of(op: Op, table: Table, rows: Any, key_types: Sequence[str], chunk: int) -> list[bytes]:
    """The rows of a call as Arrow streams.

    Raises:
        BadInput, UnknownField, Conflict: naming the column, and the first rows that are wrong.
    """
    batches: list[bytes] = []
    first = 0
    keys: list[Any] = []
    for part in _tables(op, table, rows):
        found = fitted(part, table, op, key_types, first=first)
        first += found.num_rows
        if table.nodes or op != "add":
            keys += keys_of(found, table.named)
        size = chunk if not found.nbytes else max(1, min(chunk, BYTES * found.num_rows // found.nbytes))
        batches += [to_stream(found.slice(start, size)) for start in range(0, found.num_rows, size)]
    refuse_twice(keys, table.name)
    return batches


def _tables(op: Op, table: Table, rows: Any) -> Iterable[pa.Table]:
    """Rows as Arrow tables. Dicts of different columns are parts of their own: what one doesn't name stays as it is."""
    if isinstance(rows, pa.Table):
        return [rows]
    if isinstance(rows, pa.RecordBatch):
        return [pa.Table.from_batches([rows])]
    if isinstance(rows, pa.RecordBatchReader):
        return [rows.read_all()]
    if hasattr(rows, "to_arrow") and hasattr(rows, "columns"):  # polars.DataFrame
        return [rows.to_arrow()]
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # pandas.DataFrame
        try:
            return [pa.Table.from_pandas(rows, preserve_index=False)]
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise BadInput(f"a column holds values of several types ({error})", where=table.name) from None
    if hasattr(rows, "collect") and not isinstance(rows, Mapping):
        raise BadInput(f"{type(rows).__name__} is a plan, not its rows", where="rows", hint="Call its collect() first.")
    if isinstance(rows, Mapping):
        return _of_dicts(op, table, [rows])
    if op == "delete":
        rows = _keys(table, rows)
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise BadInput(f"expected a row or many, got {type(rows).__name__}", where="rows")
    return _of_dicts(op, table, rows)


def _keys(table: Table, keys: Any) -> Any:
    """What a deletion is told, as rows: one key or several, of edges one pair or several."""
    if isinstance(keys, str | int) and not isinstance(keys, bool) and table.nodes:
        return [{table.key: keys}]
    if isinstance(keys, tuple) and not table.nodes and len(keys) == 2 and not isinstance(keys[0], tuple | Mapping):
        return [dict(zip(table.named, keys, strict=True))]
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise BadInput(f"expected keys, got {type(keys).__name__}", where="keys")
    return [key if isinstance(key, Mapping) else _key(table, key) for key in keys]


def _key(table: Table, key: Any) -> dict[str, Any]:
    if table.nodes:
        return {table.key: key}
    if not isinstance(key, tuple | list) or len(key) != 2:
        raise BadInput("expected pairs of keys, source and target", where="keys")
    return dict(zip(table.named, key, strict=True))


def _of_dicts(op: Op, table: Table, rows: Iterable[Any]) -> Iterable[pa.Table]:
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise BadInput(f"expected a dict, got {type(row).__name__}", where=f"rows[{place}]")
        for name in row:
            if not isinstance(name, str):
                raise UnknownField(f"{name!r} is no column", where=f"rows[{place}]")
        names = () if op == "add" else tuple(sorted(row))
        groups.setdefault(names, []).append(row)
    for group in groups.values():
        names = tuple(dict.fromkeys(name for row in group for name in row))
        yield pa.table({name: _column(table, name, [row.get(name) for row in group]) for name in names})


def _column(table: Table, name: str, values: list[Any]) -> pa.Array:
    values = [list(value) if isinstance(value, tuple) else value for value in values]
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
        text = str(error).splitlines()[0]
        raise BadInput(f"its values can't be taken together: {text}", where=f"{table.name}.{name}") from None
