"""The graph out and in: networkx, GraphML, CSV, Parquet."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import numpy as np

from graphsvc.errors import BadInput, NotFound
from graphsvc.memory.edge_filters import rel_names
from graphsvc.memory.reached import LazyNode, networkx_of
from graphsvc.memory.statements import check_unbound
from graphsvc.memory.walks import Filters, Names, Walks, Wanted
from graphsvc.model.elements import Edge
from graphsvc.model.tables import ENDS, Table, check_table_name, declared, folded
from graphsvc.store.adjacency import Adjacency

if TYPE_CHECKING:
    import networkx as nx
    import pyarrow as pa

Format = Literal["graphml", "csv", "parquet"]
FORMATS = ("graphml", "csv", "parquet")
CHUNK = 5_000
_TYPES = {bool: "BOOL", int: "INT64", float: "DOUBLE", str: "STRING", datetime: "TIMESTAMP", date: "DATE"}


class GraphFiles(Walks):
    """Takes the graph out whole, or a part of it, and graphs in as tables of one's own."""

    def to_networkx(
        self, *, properties: bool = True, tables: Names = None, rel: Names = None, where: Filters = None,
        edges: Filters = None,
    ) -> nx.MultiDiGraph:  # fmt: skip
        """The graph as a networkx MultiDiGraph: nodes are `(label, key)`, edges have their type as `label`.

        Args:
            properties: whether nodes have theirs as attributes. tables, rel, where, edges: which part; see `Graph`.

        Raises:
            NeedsUnbound: on a bound handle; `subgraph(…).graph()` gives what it sees.
        """
        nodes, joined = self._part(Wanted(rel, "both", tables, where, edges))
        return networkx_of(nodes, joined, properties=properties)

    def save(
        self, path: str | os.PathLike[str], *, format: Format = "graphml", tables: Names = None, rel: Names = None,
        where: Filters = None, edges: Filters = None,
    ) -> dict[str, int]:  # fmt: skip
        """Write the graph into files that are whole or not there.

        Args:
            path: of a file for "graphml"; of a new directory for "csv" and "parquet", in which each table has a file:
                `nodes.TABLE.csv`, `edges.TYPE.csv`. format: of the files.
            tables, rel, where, edges: which part; see `Graph`.

        Returns:
            How many `nodes` and `edges`.

        Raises:
            BadInput: there is something at the path. NeedsUnbound: on a bound handle.
        """
        if format not in FORMATS:
            raise BadInput(f"{format!r} is not one of {', '.join(FORMATS)}", where="format")
        target = Path(path)
        if target.exists():
            raise BadInput("there is something already", where=str(path))
        nodes, joined = self._part(Wanted(rel, "both", tables, where, edges))
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            if format == "graphml":
                _write_graphml(networkx_of(nodes, joined, properties=True), draft / "graph")
                (draft / "graph").rename(target)
            else:
                for name, rows in _tables_of(nodes, joined):
                    _write_table(rows, draft / f"{name}.{format}", format)
                draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return {"nodes": len(nodes), "edges": len(joined)}

    def from_networkx(
        self, graph: nx.Graph, *, nodes: str, edges: str, key: str = "id", wait: float | None = None
    ) -> dict[str, int]:
        """Take a networkx graph in, as one table of nodes and one of edges, which are made if they aren't there.

        Args:
            graph: directed or not, with parallel edges or without. An edge without direction is stored once.
            nodes, edges: names of the tables. key: column of the nodes' names, all texts or all whole numbers.
            wait: seconds to wait at most.

        Returns:
            How many `nodes` and `edges` were added, all or none. Types of columns are those of the values; lists and
            dicts become JSON.

        Raises:
            BadInput: names of nodes are neither texts nor whole numbers. As `define` and `add`.
        """
        check_unbound(self._namespaces)
        named = [{**_columns(data, key), key: _name(name)} for name, data in graph.nodes(data=True)]
        joined = [
            {**_columns(data, "source", "target"), "source": _name(a), "target": _name(b)}
            for a, b, data in graph.edges(data=True)
        ]
        known = self.schema()
        if folded(check_table_name(nodes, "nodes")) == folded(check_table_name(edges, "edges")):
            raise BadInput("nodes and edges need a table each", where="edges")
        columns = {name: type for name, type in _types(joined).items() if name not in ENDS}
        tables = (
            known[nodes] if nodes in known else declared(nodes, {key: "STRING", **_types(named)}, key=key),
            known[edges] if edges in known else declared(edges, columns, source=nodes, target=nodes),
        )
        made = [table for table in tables if table.name not in known]
        self._add_together(made, list(zip(tables, (named, joined), strict=True)), wait)
        return {"nodes": len(named), "edges": len(joined)}

    def load(
        self, path: str | os.PathLike[str], *, table: str | None = None, nodes: str | None = None,
        edges: str | None = None, wait: float | None = None,
    ) -> dict[str, int]:  # fmt: skip
        """Take a file in: CSV or Parquet into one table that there is, GraphML into a table of nodes and one of edges.

        Args:
            path: ends in .csv, .parquet or .graphml. table: of CSV and Parquet; their columns are the table's, and
                of edges `source` and `target`. nodes, edges: of GraphML; made if they aren't there.
            wait: seconds to wait for each of the writes.

        Returns:
            How many rows were added, by "nodes" and "edges", or the table's name.

        Raises:
            NotFound: there is no such file. BadInput: it isn't what its name says. As `add`.
        """
        file = Path(path)
        if not file.is_file():
            raise NotFound("there is no such file", where=str(path))
        if file.suffix == ".graphml":
            if nodes is None or edges is None:
                raise BadInput("GraphML needs the names of both tables", where="nodes, edges")
            return self.from_networkx(_read_graphml(file), nodes=nodes, edges=edges, wait=wait)
        if file.suffix not in (".csv", ".parquet"):
            raise BadInput("the name ends neither in .csv nor .parquet nor .graphml", where=str(path))
        if table is None:
            raise BadInput("the name of the table is missing", where="table")
        check_unbound(self._namespaces)
        known = self.schema()
        if table not in known:
            raise NotFound(f"there is no table {table}", where="table", hint="Make it first: memory.graph.define().")
        return {table: self.add(table, read_rows(file, known[table], known, None), wait=wait)}

    def _part(self, wanted: Wanted) -> tuple[list[LazyNode], list[Edge]]:
        """Nodes and edges of a part of the graph, in their order; the nodes' properties fetched from the graph."""
        check_unbound(self._namespaces)
        graph = self._opened.store.graph
        with self._whole(wanted) as adjacency:
            search = self._search(adjacency, wanted, set())
            numbers = np.array(adjacency.nodes.ordered(adjacency.alive_nodes()), np.int64)
            if search.tables is not None or search.node_tests:
                numbers = numbers[search.passing_nodes(numbers)]
            chosen = _inside(adjacency, numbers, rel_names(graph.tables, wanted.rel))
            if search.edge_tests:
                chosen = chosen[search.passing_edges(chosen)]
            nodes = [self._node(adjacency, number) for number in numbers.tolist()]
            joined = list(self._edges_of(adjacency, chosen.tolist()))
        by_table: dict[str, list[LazyNode]] = {}
        for node in nodes:
            by_table.setdefault(node.label, []).append(node)
        for label, some in by_table.items():
            for start in range(0, len(some), CHUNK):
                part = some[start : start + CHUNK]
                rows = graph.rows_of(label, [node.key for node in part])
                for node in part:
                    node.learn(rows.get(node.key, {}))
        joined.sort(key=lambda edge: (edge.label, edge.source, edge.target, repr(edge.properties)))
        return nodes, joined


def _inside(adjacency: Adjacency, numbers: Any, rels: frozenset[str] | None) -> Any:
    """Edges of some types that have both ends among some nodes."""
    among = np.zeros(len(adjacency.nodes), bool)
    among[numbers] = True
    edges = adjacency.alive_edges()
    edges = edges[among[adjacency.source[edges]] & among[adjacency.target[edges]]]
    return edges[adjacency.of_types(edges, rels)]


def _tables_of(nodes: Sequence[LazyNode], edges: Sequence[Edge]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows by the name of their file."""
    found: dict[str, list[dict[str, Any]]] = {}
    for node in nodes:
        found.setdefault(f"nodes.{_safe(node.label)}", []).append({"key": node.key, **node.properties})
    for edge in edges:
        ends = {
            "source_label": edge.source.label, "source": edge.source.key, "target_label": edge.target.label,
            "target": edge.target.key,
        }  # fmt: skip
        found.setdefault(f"edges.{_safe(edge.label)}", []).append({**ends, **edge.properties})
    yield from found.items()


def _safe(name: str) -> str:
    return "".join(character if character.isalnum() or character in "-_ " else "_" for character in name)


def _write_table(rows: list[dict[str, Any]], path: Path, format: str) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [_flat(row.get(name), lists=format == "parquet") for row in rows] for name in names}
    table = pa.table(columns)
    if format == "parquet":
        pa.parquet.write_table(table, path)
    else:
        pa.csv.write_csv(table, path)


def _flat(value: Any, *, lists: bool = False) -> Any:
    """A value that a cell can hold: what is made of parts as JSON."""
    if isinstance(value, dict) or (isinstance(value, list | tuple) and not lists):
        return msgspec.json.encode(value).decode()
    return value


def read_rows(path: Path, table: Table | None, known: Mapping[str, Table], ends: tuple[str, str] | None) -> pa.Table:
    """The rows of a file, as CSV, Parquet or lines of JSON.

    Args:
        table: that they are for: of CSV it says which types they have. known: all tables of the user's.
        ends: of edges, the tables of source and target, where the table joins several.

    Raises:
        BadInput: it isn't what its name says.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    kind = path.suffix.lower()
    try:
        match kind:
            case ".parquet":
                return pa.parquet.read_table(path)
            case ".jsonl" | ".ndjson":
                return pa.json.read_json(path)
            case ".csv":
                types = {} if table is None else _column_types(table, known, ends)
                return pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(
                    column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False
                ))  # fmt: skip
    except (OSError, pa.ArrowException, ValueError) as error:
        raise BadInput(f"can't be read as {kind[1:]}: {error}", where=str(path)) from None
    raise BadInput("is no file of rows", where=str(path), hint="Its name ends in .csv, .parquet or .jsonl.")


def _column_types(table: Table, known: Mapping[str, Table], ends: tuple[str, str] | None) -> dict[str, pa.DataType]:
    """Types of a table's columns, and of edges those of their ends' keys, where all that it joins agree."""
    from graphsvc.store.arrow_rows import arrow_type

    types = {name: arrow_type(type) for name, type in table.columns.items() if not type.endswith("[]")}
    for place, name in enumerate(ENDS if table.ends else ()):
        joined = [pair[place] for pair in ([ends] if ends else table.ends)]
        keys = {known[one].columns[known[one].key] if one in known else "STRING" for one in joined}
        if len(keys) == 1:
            types[name] = arrow_type(keys.pop())
    return types


def _write_graphml(graph: nx.MultiDiGraph, path: Path) -> None:
    """GraphML has texts, numbers and truth values, and texts as names."""
    import networkx as nx

    plain = nx.MultiDiGraph()
    for (label, key), data in graph.nodes(data=True):
        plain.add_node(f"{label}:{key}", **_graphml(data))
    for source, target, data in graph.edges(data=True):
        plain.add_edge(":".join(map(str, source)), ":".join(map(str, target)), **_graphml(data))
    nx.write_graphml(plain, path)


def _graphml(data: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: _flat(value) for name, value in data.items() if value is not None}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in found.items()}


def _read_graphml(path: Path) -> nx.Graph:
    """A graph from a file that isn't trusted: no entities, no types from elsewhere."""
    import networkx as nx
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    try:
        ElementTree.parse(path)
        return nx.read_graphml(path)
    except (DefusedXmlException, ElementTree.ParseError, nx.NetworkXError, ValueError, KeyError) as error:
        raise BadInput(f"is no GraphML that can be read: {error}", where=str(path)) from None


def _name(name: Any) -> Any:
    if isinstance(name, tuple):
        return ":".join(map(str, name))
    if isinstance(name, str | int) and not isinstance(name, bool):
        return name
    raise BadInput(f"nodes are named by texts or whole numbers, not by {name!r}", where="graph")


def _columns(data: Mapping[Any, Any], *taken: str) -> dict[str, Any]:
    return {str(name): _flat(value) for name, value in data.items() if str(name) not in taken and value is not None}


def _types(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Types of columns that hold the values: a column of whole and other numbers holds both as the latter."""
    found: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            type = _TYPES.get(cast(Any, value.__class__))
            if type is None:
                raise BadInput(f"{name} has a {value.__class__.__name__}, which no column holds", where="graph")
            known = found.setdefault(name, type)
            if known != type:
                if {known, type} != {"INT64", "DOUBLE"}:
                    raise BadInput(f"{name} holds values of several types, {known} and {type}", where="graph")
                found[name] = "DOUBLE"
    return found
