"""Many records at once, from whatever holds them: dicts, records, a DataFrame, an Arrow table; and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from graphsvc.errors import BadInput
from graphsvc.model.kinds import Kind
from graphsvc.model.records import Record, Skill
from graphsvc.model.skills import COUNTED

if TYPE_CHECKING:
    import pyarrow as pa


def rows_of(items: Any, *, where: str) -> Iterator[dict[str, Any]]:
    """Each item as a dict of field values. A missing cell of a table (NaN, NaT, null) is no value.

    Raises:
        BadInput: it holds something that isn't a record.
    """
    if hasattr(items, "to_pylist"):  # pyarrow.Table, RecordBatch
        yield from (_without_null(row) for row in items.to_pylist())
    elif hasattr(items, "read_next_batch"):  # pyarrow.RecordBatchReader
        yield from (_without_null(row) for batch in items for row in batch.to_pylist())
    elif hasattr(items, "iter_rows") and hasattr(items, "columns"):  # polars.DataFrame: it has to_dict, too
        yield from (_without_null(row) for row in items.iter_rows(named=True))
    elif hasattr(items, "to_dict") and hasattr(items, "columns"):  # pandas.DataFrame
        yield from (_without_null(row) for row in items.to_dict("records"))
    elif hasattr(items, "collect"):  # polars.LazyFrame and the like
        raise BadInput(f"{type(items).__name__} is a plan, not its rows", where=where, hint="Call its collect() first.")
    elif isinstance(items, Iterable) and not isinstance(items, str | bytes | Mapping):
        for index, item in enumerate(items):
            yield _row(item, f"{where}[{index}]")
    else:
        raise BadInput(f"expected many records, got {type(items).__name__}", where=where)


def arrow_fields(kind: Kind) -> list[pa.Field]:
    """The columns that an Arrow table has of a kind's records: metadata as JSON, times in UTC."""
    import pyarrow as pa

    types = {
        "name": pa.string(), "text": pa.string(), "float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(),
        "time": pa.timestamp("us", "UTC"), "tags": pa.list_(pa.string()), "metadata": pa.string(),
    }  # fmt: skip
    return [pa.field(name, types[field.type]) for name, field in kind.fields.items()]


def _row(item: Any, where: str) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, Record):
        fields = msgspec.structs.asdict(item)
        counted = ("version", *COUNTED) if isinstance(item, Skill) else ()
        return {name: value for name, value in fields.items() if name not in counted}
    raise BadInput(f"expected a record or a dict, got {type(item).__name__}", where=where)


def _without_null(row: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): _cell(name, value) for name, value in row.items() if not _is_null(value)}


def _is_null(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NaTType", "NAType"):  # pandas' own, known without importing it
        return True
    return isinstance(value, float) and math.isnan(value)


def _cell(name: str, value: Any) -> Any:
    """A cell as plain Python: arrays of a table become lists, time stamps datetimes, metadata as JSON what it says."""
    if name == "metadata" and isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value  # refused for what it is, with its place
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    if hasattr(value, "tolist") and getattr(value, "shape", ()) != ():
        return value.tolist()
    return value
