"""What traversal gives back: nodes, ways and parts of the graph, as rows, columns, data frames and networkx graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import msgspec

from graphsvc.errors import MissingExtra
from graphsvc.model.elements import Edge, End, Node, Path, as_data
from graphsvc.model.graph import NODE_TABLES
from graphsvc.model.names import parts_of

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    import pyarrow as pa

Fetch = Callable[[Sequence["LazyNode"]], list[dict[str, Any]]]
"""Gives the properties of nodes."""


class LazyNode(Node):
    """A node that was met; its properties are fetched when they are first asked for.

    Attributes:
        label, key: its table and the value of its primary key. id, agent: of the memory's own, what the key is made of.
        depth: how many steps it is away from where the traversal began.
    """

    __slots__ = ("_fetch", "_properties", "depth")

    _fetch: Fetch
    _properties: dict[str, Any] | None
    depth: int

    def __init__(self, label: str, key: Any, fetch: Fetch, depth: int = 0) -> None:
        _set_label(self, label)
        _set_key(self, key)
        _set_fetch(self, fetch)
        _set_properties(self, None)
        _set_depth(self, depth)

    @property
    def id(self) -> Any:
        """The id of a record, session or agent; of a node of the user's own its key."""
        return parts_of(self.key)[1] if self.label in NODE_TABLES else self.key

    @property
    def agent(self) -> str | None:
        """The namespace; None for a node of the user's own."""
        return parts_of(self.key)[0] if self.label in NODE_TABLES else None

    @property
    def properties(self) -> dict[str, Any]:
        """Its columns; empty if it is no more."""
        if self._properties is None:
            self.learn(self._fetch([self])[0])
        assert self._properties is not None, "just fetched"
        return self._properties

    def learn(self, properties: dict[str, Any]) -> None:
        """Take properties that were fetched for it."""
        _set_properties(self, properties)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.end == other.end

    def __hash__(self) -> int:
        return hash((self.label, self.key))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Node, (self.label, self.key, self.properties))

    def row(self) -> dict[str, Any]:
        """What tells it, without its properties."""
        return {"label": self.label, "id": self.id, "agent": self.agent, "key": self.key, "depth": self.depth}


# A node is frozen, and there are many: its slots are filled by themselves, in a quarter of the time of `__setattr__`.
_set_label, _set_key, _set_fetch, _set_properties, _set_depth = (
    vars(owner)[name].__set__
    for owner, name in (
        (Node, "label"), (Node, "key"), (LazyNode, "_fetch"), (LazyNode, "_properties"), (LazyNode, "depth"),
    )
)  # fmt: skip

NODE_COLUMNS = ("label", "id", "agent", "key", "depth")


@dataclass(frozen=True, slots=True)
class Joint:
    """An edge at a node, and what it leads to.

    Attributes:
        rel: type of the edge. direction: "out" if it leads from the node asked about, "in" if it leads to it.
        node: at its other end. values: what the edge holds.
    """

    rel: str
    direction: str
    node: LazyNode
    values: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The edge as JSON has it, the node without its properties."""
        return {"rel": self.rel, "direction": self.direction, "node": self.node.row(), "values": as_data(self.values)}


@dataclass(frozen=True, slots=True, repr=False)
class Way(Path):
    """A way from one node to another, and what it costs.

    Attributes:
        nodes, edges: as of a path. cost: the sum of its weights; None where none were asked for.
    """

    cost: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The way as JSON has it, nodes without their properties."""
        nodes = [node.row() if isinstance(node, LazyNode) else node.as_dict() for node in self.nodes]
        edges = [edge.as_dict() for edge in self.edges]
        return {"length": len(self.edges), "cost": self.cost, "nodes": nodes, "edges": edges}


class _Rows:
    """What has rows and columns, in the ways that people like them."""

    columns: Sequence[str]

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """A tuple for each row, in the order of `columns`."""
        raise NotImplementedError

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        import pyarrow as pa

        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.columns)
        return pa.table({name: _array(values) for name, values in zip(self.columns, columns, strict=True)})

    def df(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame. Raises MissingExtra if pandas isn't installed."""
        return data_frame(self.rows, self.columns)

    def json(self) -> str:
        """The rows as JSON: a list of objects."""
        items = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return msgspec.json.encode(as_data(items)).decode()


def data_frame(rows: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Rows, or columns by name, as a DataFrame. Raises MissingExtra if pandas isn't installed."""
    try:
        import pandas as pd
    except ImportError:
        hint = "Install it: pip install 'graphsvc[dataframe]'."
        raise MissingExtra("pandas isn't installed", where="df", hint=hint) from None
    return pd.DataFrame(rows, columns=list(columns))


def _array(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    if not any(value is not None for value in values):
        return pa.array(values, pa.string())
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # keys of several tables, some text and some numbers
        return pa.array([None if value is None else str(value) for value in values])


@dataclass(frozen=True, slots=True)
class Nodes(_Rows, Sequence[LazyNode]):
    """Nodes, nearest first, then by table and key.

    Attributes:
        items: the nodes. more: whether a limit left some out.
        behind: whether the graph hadn't reached the last write when the wait for it ended.
    """

    items: tuple[LazyNode, ...] = ()
    more: bool = False
    behind: bool = False
    columns: Sequence[str] = NODE_COLUMNS

    @overload
    def __getitem__(self, index: int) -> LazyNode: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LazyNode]: ...
    def __getitem__(self, index: int | slice) -> LazyNode | Sequence[LazyNode]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[LazyNode]:
        return iter(self.items)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """Label, id, agent, key and depth of each."""
        return [tuple(node.row().values()) for node in self.items]

    def fetched(self) -> Nodes:
        """The same, the properties of all fetched at once."""
        fetch_all(self.items)
        return self

    def graph(self, *, properties: bool = True) -> nx.MultiDiGraph:
        """The nodes as a networkx graph without edges; `memory.graph.subgraph` gives one with them."""
        return networkx_of(self.items, (), properties=properties)


@dataclass(frozen=True, slots=True)
class Subgraph(_Rows):
    """A part of the graph.

    Attributes:
        nodes: nearest first, then by table and key. edges: all that join two of them, by type and ends.
        more: whether a limit left some out. behind: whether the graph hadn't reached the last write in time.
    """

    nodes: tuple[LazyNode, ...]
    edges: tuple[Edge, ...]
    more: bool = False
    behind: bool = False
    columns: Sequence[str] = ("label", "source_label", "source", "target_label", "target", "properties")

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """Label, ends and properties of each edge; the properties as JSON."""
        return [
            (edge.label, *edge.source, *edge.target, msgspec.json.encode(as_data(edge.properties)).decode())
            for edge in self.edges
        ]

    def graph(self, *, properties: bool = True) -> nx.MultiDiGraph:
        """As a networkx graph; see `networkx_of`."""
        return networkx_of(self.nodes, self.edges, properties=properties)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, nodes without their properties."""
        return {
            "nodes": [node.row() for node in self.nodes], "edges": [edge.as_dict() for edge in self.edges],
            "more": self.more, "behind": self.behind,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ways(_Rows, Sequence[Way]):
    """Ways through the graph, in their order.

    Attributes:
        items: the ways. more: whether a limit left some out. behind: whether the graph lagged.
    """

    items: tuple[Way, ...] = ()
    more: bool = False
    behind: bool = False
    columns: Sequence[str] = field(default=("length", "cost", "nodes", "edges"))

    @overload
    def __getitem__(self, index: int) -> Way: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Way]: ...
    def __getitem__(self, index: int | slice) -> Way | Sequence[Way]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Way]:
        return iter(self.items)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """Length and cost of each way, its nodes as `label:key`, the types of its edges."""
        return [
            (len(way.edges), way.cost, [f"{n.label}:{n.key}" for n in way.nodes], [e.label for e in way.edges])
            for way in self.items
        ]

    def graph(self, *, properties: bool = True) -> nx.MultiDiGraph:
        """The nodes and edges of all ways as one networkx graph."""
        nodes = {node.end: node for way in self.items for node in way.nodes if isinstance(node, LazyNode)}
        edges: list[Edge] = []
        seen: set[Any] = set()
        for edge in (edge for way in self.items for edge in way.edges):
            identity = (edge.label, edge.source, edge.target, edge.properties.get("id"))
            if identity not in seen:
                seen.add(identity)
                edges.append(edge)
        return networkx_of(nodes.values(), edges, properties=properties)


def fetch_all(nodes: Iterable[LazyNode]) -> None:
    """Have nodes know their properties, with one fetch for those that don't yet."""
    unknown = [node for node in nodes if node._properties is None]
    if unknown:
        for node, properties in zip(unknown, unknown[0]._fetch(unknown), strict=True):
            node.learn(properties)


def networkx_of(nodes: Iterable[LazyNode], edges: Iterable[Edge], *, properties: bool) -> nx.MultiDiGraph:
    """A networkx graph whose nodes are `(label, key)`, with their properties as attributes; edges have `label` too."""
    import networkx as nx

    graph = nx.MultiDiGraph()
    listed = list(nodes)
    if properties:
        fetch_all(listed)
    for node in listed:
        graph.add_node(node.end, **(_attributes(node.properties) if properties else {}), label=node.label)
    for edge in edges:
        graph.add_edge(edge.source, edge.target, **_attributes(edge.properties), label=edge.label)
    return graph


def _attributes(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name != "label"}


__all__ = ["Edge", "End", "LazyNode", "Nodes", "Subgraph", "Way", "Ways", "data_frame", "fetch_all", "networkx_of"]
