"""What the seam must know of tables and of results, so that an engine isn't asked for what ends the process."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from graphsvc.cypher.reads import Read
from graphsvc.cypher.tokens import tokens
from graphsvc.cypher.values import Schema
from graphsvc.errors import EngineError
from graphsvc.model.graph import NODE_TABLES, REL_TABLES
from graphsvc.store.arrow import pa, pc
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
    """The tables of a graph: their columns, with the engine's types; which are of nodes, and the keys of those; what
    the others join.
    """

    columns: Schema
    nodes: tuple[str, ...]
    ends: Mapping[str, tuple[tuple[str, str], ...]]
    keys: Mapping[str, str]


def read_tables(ask: Callable[[str], list[dict[str, Any]]]) -> Tables:
    """The tables of a graph.

    Args:
        ask: the rows of a statement.
    """
    columns, ends, found = load("table_columns"), load("edge_ends"), ask(query("show_tables"))
    within = {row["name"]: row["name"].replace("\\", "\\\\").replace("'", "\\'") for row in found}
    nodes = tuple(row["name"] for row in found if row["type"] == "NODE")
    of_nodes = load("node_columns")
    shapes = {name: ask((of_nodes if name in nodes else columns).fill(name=text)) for name, text in within.items()}
    return Tables(
        {name: {column["name"]: column["type"] for column in shape} for name, shape in shapes.items()},
        nodes,
        {
            row["name"]: tuple((pair["source"], pair["target"]) for pair in ask(ends.fill(name=within[row["name"]])))
            for row in found if row["type"] == "REL"
        },
        {name: column["name"] for name in nodes for column in shapes[name] if column["key"]},
    )  # fmt: skip


def holds_times(schema: Schema) -> bool:
    """Whether a table that isn't the memory's own holds times. Those of its own are Python's before they are stored."""
    own = {*NODE_TABLES, *REL_TABLES}
    return any(
        _TIMES.search(kind) for table, columns in schema.items() if table not in own for kind in columns.values()
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What is known while no statement changes tables.

    Attributes:
        timed: whether nodes and edges may hold times that aren't Python's.
        reads: users' statements that were judged, the oldest first.
    """

    tables: Tables
    timed: bool
    reads: OrderedDict[str, Read]

    @classmethod
    def of(cls, ask: Callable[[str], list[dict[str, Any]]]) -> Known:
        tables = read_tables(ask)
        return cls(tables, holds_times(tables.columns), OrderedDict())


def check_times(result: Any, *, elements: bool = True, kinds: Sequence[str] | None = None) -> None:
    """Refuse to make Python's values of times outside the years 1 to 9999: both engines end the process on them.

    The way by Arrow is safe, and tells.

    Args:
        elements: whether nodes and edges may hold such a value. kinds: of its columns, where they are known.

    Raises:
        EngineError: the result holds such a value.
    """
    kinds = result.get_column_data_types() if kinds is None else kinds
    if not any(_may_be_times(kind, elements) for kind in kinds):
        return
    if result.get_num_tuples() > MAX_TIMED_ROWS:
        raise EngineError(f"gives more than {MAX_TIMED_ROWS:,} rows with times", where="statement", hint="LIMIT them.")
    table = result.get_as_arrow(chunk_size=100_000)
    result.reset_iterator()
    for column in table.columns:
        for chunk in column.chunks:
            _check_array(chunk)


@lru_cache(maxsize=1_024)
def _may_be_times(kind: str, elements: bool) -> bool:
    return bool(_TIMES.search(kind) or (elements and _ELEMENTS.search(kind)))


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
