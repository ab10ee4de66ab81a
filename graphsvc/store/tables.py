"""What the seam must know of tables and of results, so that an engine isn't asked for what ends the process."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from graphsvc.cypher.tokens import tokens
from graphsvc.cypher.values import Schema
from graphsvc.errors import EngineError
from graphsvc.model.graph import NODE_TABLES, REL_TABLES
from graphsvc.store.queries import load, query

MAX_TIMED_ROWS = 1_000_000
"""Rows up to which a result is looked through for times."""

_TIMES = re.compile(r"\b(?:DATE|TIMESTAMP\w*)\b")
_ELEMENTS = re.compile(r"\b(?:NODE|REL|RECURSIVE_REL)\b")
_DAYS = ((date.min - date(1970, 1, 1)).days, (date.max - date(1970, 1, 1)).days)
_SECONDS = tuple(int(bound.replace(tzinfo=UTC).timestamp()) for bound in (datetime.min, datetime.max))
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def defines(statement: str) -> bool:
    """Whether a statement changes tables."""
    words = [token.word for token in tokens(statement)[:3]]
    return words[0] in ("ALTER", "DROP") or (words[0] == "CREATE" and "TABLE" in words)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a graph: their columns, with the engine's types of those; and which are of nodes."""

    columns: Schema
    nodes: tuple[str, ...]


def read_tables(ask: Callable[[str], list[dict[str, Any]]]) -> Tables:
    """The tables of a graph.

    Args:
        ask: the rows of a statement.
    """
    columns, found = load("table_columns"), ask(query("show_tables"))
    return Tables(
        {
            row["name"]: {
                column["name"]: column["type"]
                for column in ask(columns.fill(name=row["name"].replace("\\", "\\\\").replace("'", "\\'")))
            }
            for row in found
        },
        tuple(row["name"] for row in found if row["type"] == "NODE"),
    )


def holds_times(schema: Schema) -> bool:
    """Whether a table that isn't the memory's own holds times. Those of its own are Python's before they are stored."""
    own = {*NODE_TABLES, *REL_TABLES}
    return any(
        _TIMES.search(kind) for table, columns in schema.items() if table not in own for kind in columns.values()
    )


def check_times(result: Any, *, elements: bool = True) -> None:
    """Refuse to make Python's values of times outside the years 1 to 9999: both engines end the process on them.

    The way by Arrow is safe, and tells.

    Args:
        elements: whether nodes and edges may hold such a value.

    Raises:
        EngineError: the result holds such a value.
    """
    kinds = result.get_column_data_types()
    if not any(_TIMES.search(kind) or (elements and _ELEMENTS.search(kind)) for kind in kinds):
        return
    if result.get_num_tuples() > MAX_TIMED_ROWS:
        raise EngineError(f"gives more than {MAX_TIMED_ROWS:,} rows with times", where="statement", hint="LIMIT them.")
    table = result.get_as_arrow(chunk_size=100_000)
    result.reset_iterator()
    for column in table.columns:
        for chunk in column.chunks:
            _check_array(chunk)


def _check_array(array: pa.Array) -> None:
    # by the buffers of what is in it, never by offsets: an engine gives an empty list of lists offsets that aren't
    kind = array.type
    if pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            _check_array(array.field(index))
    elif pa.types.is_map(kind):
        _check_array(array.keys)
        _check_array(array.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        _check_array(array.values)
    elif pa.types.is_date32(kind):
        _check_span(array.view(pa.int32()), "date", _DAYS[0], _DAYS[1])
    elif pa.types.is_timestamp(kind):
        ticks = _PER_SECOND[kind.unit]
        _check_span(array.view(pa.int64()), "timestamp", _SECONDS[0] * ticks, (_SECONDS[1] + 1) * ticks - 1)


def _check_span(array: pa.Array, what: str, least: int, most: int) -> None:
    found = pc.min_max(array).as_py()
    if found["min"] is not None and (found["min"] < least or found["max"] > most):
        raise EngineError(f"a {what} outside the years 1 to 9999 can't be given back", where="statement")
