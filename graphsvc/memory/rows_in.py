"""Many records at once, from whatever holds them: dicts, records, a DataFrame, an Arrow table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from graphsvc.errors import BadInput
from graphsvc.model.records import Record, Skill
from graphsvc.model.skills import COUNTED


def rows_of(items: Any, *, where: str) -> Iterator[dict[str, Any]]:
    """Each item as a dict of field values. A missing cell of a table (NaN, NaT, null) is no value.

    Raises:
        BadInput: it holds something that isn't a record.
    """
    if hasattr(items, "to_pylist"):  # pyarrow.Table, RecordBatch
        yield from (_without_null(row) for row in items.to_pylist())
    elif hasattr(items, "to_dict") and hasattr(items, "columns"):  # pandas.DataFrame
        yield from (_without_null(row) for row in items.to_dict("records"))
    elif hasattr(items, "iter_rows") and hasattr(items, "columns"):  # polars.DataFrame
        yield from (_without_null(row) for row in items.iter_rows(named=True))
    elif isinstance(items, Iterable) and not isinstance(items, str | bytes | Mapping):
        for index, item in enumerate(items):
            yield _row(item, f"{where}[{index}]")
    else:
        raise BadInput(f"expected many records, got {type(items).__name__}", where=where)


def _row(item: Any, where: str) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, Record):
        fields = msgspec.structs.asdict(item)
        counted = ("version", *COUNTED) if isinstance(item, Skill) else ()
        return {name: value for name, value in fields.items() if name not in counted}
    raise BadInput(f"expected a record or a dict, got {type(item).__name__}", where=where)


def _without_null(row: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): _cell(value) for name, value in row.items() if not _is_null(value)}


def _is_null(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NaTType", "NAType"):  # pandas' own, known without importing it
        return True
    return isinstance(value, float) and math.isnan(value)


def _cell(value: Any) -> Any:
    """A cell as plain Python: arrays of a table become lists, time stamps datetimes."""
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    if hasattr(value, "tolist") and getattr(value, "shape", ()) != ():
        return value.tolist()
    return value
