"""What a statement returned, with the engines' values as ours: nodes, edges and paths without internal ids, UTC times.

Both engines give a node as a dictionary with `_id` and `_label` (Ladybug: `_ID`, `_LABEL`) and every column that any
table in question has; an edge with the internal ids of its ends. `RECURSIVE_REL` is a path, which begins and ends with
a node, or the variable of a recursive pattern, which doesn't and is a list of edges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import msgspec

from graphsvc.errors import EngineError
from graphsvc.model.elements import Edge, End, Node, Path, as_data
from graphsvc.model.graph import NODE_TABLES, REL_TABLES
from graphsvc.store.arrow import pa, pc
from graphsvc.store.queries import load, query

Ask = Callable[[str, dict[str, Any]], "pa.Table"]
"""Runs another statement in the transaction of the first."""
Check = Callable[[], None]
"""Raises where the statement's time is up."""

PLAIN = {
    "BOOL": "bool_", "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "UINT8": "uint8",
    "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "SERIAL": "int64", "FLOAT": "float32",
    "DOUBLE": "float64", "STRING": "string", "DATE": "date32",
}  # fmt: skip
"""The names of Arrow's types for those of the engine; with TIMESTAMP, those whose Arrow form is the engine's own."""
ROWS_FIRST = 2_000
"""Up to so many rows Python's form is made at once: it is what most want, and quicker than Arrow's."""
FEW_ENDS = 200
"""Up to so many nodes at ends are asked for by place; more are looked up in all of their table."""
CHUNK = 10_000

_ELEMENTS = re.compile(r"\b(?:NODE|REL|RECURSIVE_REL)\b")


@dataclass(slots=True)
class Answer:
    """What a statement returned, as rows or as an Arrow table; the other form is made when it is asked for.

    Attributes:
        columns: their names. types: the engine's types of them.
        made: the rows, values in the order of the columns; None where there is a table.
        table: the engine's own Arrow table; None where there are rows.
        more: whether the limit cut it.
    """

    columns: list[str]
    types: list[str]
    made: list[tuple[Any, ...]] | None
    table: pa.Table | None = None
    more: bool = False

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows."""
        if self.made is None:
            assert self.table is not None
            columns = [_in_utc(column.to_pylist()) if pa.types.is_timestamp(column.type) else column.to_pylist()
                       for column in self.table.columns]  # fmt: skip
            self.made = list(zip(*columns, strict=True))
        return self.made

    def __len__(self) -> int:
        return self.table.num_rows if self.made is None and self.table is not None else len(self.made or ())


def _in_utc(values: list[datetime | None]) -> list[datetime | None]:
    return [None if value is None else value.replace(tzinfo=UTC) for value in values]


def plain_answer(result: Any, limit: int, check: Check) -> Answer:
    """What a result without nodes, edges and paths holds."""
    columns, types = result.get_column_names(), result.get_column_data_types()
    count = result.get_num_tuples()
    if ROWS_FIRST < count <= limit and all(type in PLAIN or type == "TIMESTAMP" for type in types):
        return Answer(columns, types, None, result.get_as_arrow(chunk_size=100_000))
    raw, more = _fetched(result, limit, count, check)
    places = [(place, convert) for place, type in enumerate(types) if (convert := _converter(type)) is not None]
    if places:
        for row in raw:
            for place, convert in places:
                row[place] = convert(row[place])
    return Answer(columns, types, [tuple(row) for row in raw], more=more)


def graph_answer(result: Any, limit: int, ask: Ask, check: Check) -> Answer | None:
    """What a result with nodes, edges or paths holds; None if it has none.

    It is to be called within the statement's transaction: ends of edges are looked up.
    """
    types = result.get_column_data_types()
    if not any(_ELEMENTS.search(type) for type in types):
        return None
    raw, more = _fetched(result, limit, result.get_num_tuples(), check)
    elements = _Elements(ask)
    converters = [elements.value if _ELEMENTS.search(type) else _converter(type) for type in types]
    for row in raw:
        elements.note(row)
    elements.find_ends()
    rows = [
        tuple(value if convert is None else convert(value) for convert, value in zip(converters, row, strict=True))
        for row in raw
    ]
    if elements.hidden:
        rows = [row for row in rows if not any(map(_is_hidden, row))]
    return Answer(result.get_column_names(), types, rows, more=more)


def _fetched(result: Any, limit: int, count: int, check: Check) -> tuple[list[list[Any]], bool]:
    rows: list[list[Any]] = []
    wanted = min(limit, count)
    while len(rows) < wanted:
        try:
            chunk = result.get_n(min(CHUNK, wanted - len(rows)))
        except UnicodeDecodeError as error:
            raise EngineError(f"a text that is given back isn't UTF-8: {error}", where="statement") from None
        if not chunk:
            break
        rows += chunk
        check()
    return rows, count > limit


# --- values -------------------------------------------------------------------------------------------


@lru_cache(maxsize=1_024)
def _converter(type: str) -> Callable[[Any], Any] | None:
    if type in PLAIN:
        return None
    if type == "TIMESTAMP":
        return _utc
    if "INT128" in type and "DECIMAL" not in type:
        return _whole_numbers
    return plain


def _utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _whole_numbers(item) for name, item in value.items()}
    return plain(value)


def plain(value: Any) -> Any:
    """A value of an engine as ours: times in UTC with their zone, internal ids as a text."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"offset", "table"}:
            return f"{value['table']}:{value['offset']}"
        return {name: plain(item) for name, item in value.items()}
    return value


def _part(value: Mapping[str, Any], name: str) -> Any:
    found = value.get(f"_{name}")
    return value.get(f"_{name.upper()}") if found is None else found


_Place = tuple[int, int]
"""Number of the table, place in it: an internal id."""


def _place(id: Mapping[str, int]) -> _Place:
    return id["table"], id["offset"]


class _Elements:
    """Nodes, edges and paths of one result: noted first, then made, with the ends of edges looked up between."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._nodes: dict[_Place, End] = {}
        self._ends: set[_Place] = set()
        self._columns: dict[str, tuple[tuple[str, ...], str]] = {}
        self.hidden = False

    # noting

    def note(self, value: Any) -> None:
        """Remember which nodes are there, and which are only at the ends of edges."""
        if isinstance(value, list):
            for item in value:
                self.note(item)
        elif isinstance(value, dict):
            label = _part(value, "label")
            if label is None:
                self._note_within(value)
            elif _part(value, "src") is None:
                _, key = self._of_nodes(label)
                self._nodes[_place(_part(value, "id"))] = End(label, plain(value.get(key)))
            else:
                self.hidden = self.hidden or label.startswith("_")
                self._ends.update((_place(_part(value, "src")), _place(_part(value, "dst"))))

    def _note_within(self, value: dict[Any, Any]) -> None:
        for item in value.values():
            if isinstance(item, dict | list):
                self.note(item)

    def find_ends(self) -> None:
        """Look up the nodes at ends that aren't in the result themselves."""
        missing: dict[int, list[int]] = {}
        for table, offset in self._ends - self._nodes.keys():
            missing.setdefault(table, []).append(offset)
        if not missing:
            return
        labels = {row["id"]: row["name"] for row in self._ask(query("table_ids"), {}).to_pylist()}
        for table, offsets in missing.items():
            label = labels[table]
            self._nodes |= {(table, offset): End(label, None) for offset in offsets}  # this statement deleted them
            for offset, key in self._keys(label, sorted(offsets)):
                self._nodes[table, offset] = End(label, plain(key))

    def _keys(self, label: str, offsets: list[int]) -> Iterable[tuple[int, Any]]:
        holes = {"name": label, "key": self._of_nodes(label)[1]}
        if len(offsets) <= FEW_ENDS:
            found = self._ask(load("node_keys_at").fill(**holes), {"places": offsets})
        else:
            found = self._ask(load("node_keys").fill(**holes), {})
            found = found.filter(pc.is_in(found["place"], pa.array(offsets, pa.int64())))
        return zip(found["place"].to_pylist(), found["key"].to_pylist(), strict=True)

    def _of_nodes(self, label: str) -> tuple[tuple[str, ...], str]:
        """Visible columns of a node table, and its key."""
        if label not in self._columns:
            if label in NODE_TABLES:
                self._columns[label] = tuple(NODE_TABLES[label]), "key"
            else:
                rows = self._ask(load("node_columns").fill(name=quoted(label)), {}).to_pylist()
                key = next(row["name"] for row in rows if row["key"])
                self._columns[label] = _visible(row["name"] for row in rows), key
        return self._columns[label]

    def _of_edges(self, label: str) -> tuple[str, ...]:
        if label not in self._columns:
            if label in REL_TABLES:
                names: Iterable[str] = REL_TABLES[label].columns
            else:
                names = self._ask(load("table_columns").fill(name=quoted(label)), {})["name"].to_pylist()
            self._columns[label] = _visible(names), ""
        return self._columns[label][0]

    # making

    def value(self, value: Any) -> Any:
        """A raw value as ours."""
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return plain(value)
        label = _part(value, "label")
        if label is not None:
            return self._node(label, value) if _part(value, "src") is None else self._edge(label, value)
        nodes, edges = _part(value, "nodes"), _part(value, "rels")
        if nodes is not None and edges is not None:
            return self._walk(nodes, edges)
        return plain(value) if value.keys() == {"offset", "table"} else {k: self.value(v) for k, v in value.items()}

    def _node(self, label: str, raw: Mapping[str, Any]) -> Node:
        columns, key = self._of_nodes(label)
        return Node(label, plain(raw.get(key)), {name: plain(raw[name]) for name in columns if name in raw})

    def _edge(self, label: str, raw: Mapping[str, Any]) -> Edge:
        source, target = (self._nodes[_place(_part(raw, side))] for side in ("src", "dst"))
        properties = {name: plain(raw[name]) for name in self._of_edges(label) if name in raw}
        return Edge(label, source, target, properties, _place(_part(raw, "id")))

    def _walk(self, nodes: list[Any], edges: list[Any]) -> Path | list[Edge]:
        made = [self._edge(_part(edge, "label"), edge) for edge in edges]
        if len(nodes) != len(edges) + 1:
            return made
        return Path(tuple(self._node(_part(node, "label"), node) for node in nodes), tuple(made))


def _is_hidden(value: Any) -> bool:
    """Whether it is of a table that the memory keeps to itself, like the past of a temporal one, or holds such."""
    if isinstance(value, Path):
        return any(map(_is_hidden, value.edges))
    if isinstance(value, list | tuple):
        return any(map(_is_hidden, value))
    return isinstance(value, Edge | Node) and value.label.startswith("_")


def _visible(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not name.startswith("_"))


def quoted(name: str) -> str:
    """A table's name within a text of Cypher."""
    return name.replace("\\", "\\\\").replace("'", "\\'")


# --- Arrow --------------------------------------------------------------------------------------------

TIMES = ("TIMESTAMP", "TIMESTAMP_TZ", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_SEC")


@cache
def _arrow_types() -> dict[str, pa.DataType]:
    """Arrow's types by those of the engine; of a path as PATH."""
    text = pa.string()
    end = pa.struct([("label", text), ("key", text)])
    node = pa.struct([("label", text), ("key", text), ("properties", text)])
    edge = pa.struct([("label", text), ("source", end), ("target", end), ("properties", text)])
    return {
        **{type: getattr(pa, name)() for type, name in PLAIN.items()},
        **dict.fromkeys(TIMES, pa.timestamp("us", "UTC")),
        "INTERVAL": pa.duration("us"), "UUID": text, "BLOB": pa.binary(), "INTERNAL_ID": text, "NODE": node,
        "REL": edge, "PATH": pa.struct([("nodes", pa.list_(node)), ("edges", pa.list_(edge))]),
    }  # fmt: skip


def arrow_table(answer: Answer) -> pa.Table:
    """The answer as an Arrow table.

    The engine's own where it is that already. Of nodes, edges and paths `properties` are a JSON text and keys a text; a
    column that Arrow has no type for, as of maps with different keys, is JSON texts.
    """
    if answer.table is not None:
        utc = pa.timestamp("us", "UTC")
        zoned = [column.cast(utc) if pa.types.is_timestamp(column.type) else column for column in answer.table.columns]
        return pa.table(zoned, names=answer.columns)
    columns = list(zip(*answer.rows, strict=True)) or [()] * len(answer.columns)
    return pa.table(
        [_column(list(values), type) for values, type in zip(columns, answer.types, strict=True)], names=answer.columns
    )


def _column(values: list[Any], type: str) -> pa.Array:
    if type == "INT128" and all(value is None or -(1 << 63) <= value < 1 << 63 for value in values):
        return pa.array(values, pa.int64())
    data = [_for_arrow(value) for value in values]
    try:
        return pa.array(data, _arrow_type(type, values))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else _json(value) for value in values], pa.string())


def _arrow_type(type: str, values: list[Any]) -> pa.DataType | None:
    """The Arrow type of an engine's; None where the values tell it."""
    if type.endswith("]"):
        inner = type[: type.rindex("[")]
        of = _arrow_type(inner, [])
        return None if of is None else pa.list_(of)
    if type == "RECURSIVE_REL":
        types = _arrow_types()
        return types["PATH"] if any(isinstance(value, Path) for value in values) else pa.list_(types["REL"])
    if decimal := re.fullmatch(r"DECIMAL\((\d+), (\d+)\)", type):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    return pa.decimal128(38, 0) if type == "INT128" else _arrow_types().get(type)


def _for_arrow(value: Any) -> Any:
    if isinstance(value, Node):
        return {**_end(value.end), "properties": _json(value.properties)}
    if isinstance(value, Edge):
        ends = {"source": _end(value.source), "target": _end(value.target)}
        return {"label": value.label, **ends, "properties": _json(value.properties)}
    if isinstance(value, Path):
        return {"nodes": _for_arrow(list(value.nodes)), "edges": _for_arrow(list(value.edges))}
    if isinstance(value, list):
        return [_for_arrow(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _for_arrow(item) for name, item in value.items()}
    return str(value) if isinstance(value, UUID) else value


def _end(end: End) -> dict[str, str]:
    return {"label": end.label, "key": str(end.key)}


def _json(value: Any) -> str:
    return msgspec.json.encode(as_data(value), enc_hook=str).decode()
