"""Nodes, edges and paths as values: what a statement returns of the graph, the same on every engine.

They have no internal ids, which change with a rebuild: a node is told by its label and key, an edge by its label and
the nodes at its ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class End(NamedTuple):
    """What tells a node: its table, and the value of its primary key."""

    label: str
    key: Any


@dataclass(frozen=True, slots=True, eq=True, repr=False)
class Node:
    """A node.

    Attributes:
        label: its table. key: the value of its primary key; of the memory's own, namespace and id as one text.
        properties: its columns, the key among them; `node["name"]` is one of them.
    """

    label: str
    key: Any
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def end(self) -> End:
        """Label and key."""
        return End(self.label, self.key)

    def __getitem__(self, name: str) -> Any:
        return self.properties[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A property, or `default` where there is none of that name."""
        return self.properties.get(name, default)

    def __hash__(self) -> int:
        return hash((self.label, self.key))

    def __repr__(self) -> str:
        return f"({self.label} {self.key!r})"

    def as_dict(self) -> dict[str, Any]:
        """The node as JSON has it."""
        return {"label": self.label, "key": self.key, "properties": as_data(self.properties)}


@dataclass(frozen=True, slots=True, eq=True, repr=False)
class Edge:
    """An edge.

    Attributes:
        label: its table. source, target: label and key of the nodes that it leads from and to.
        properties: its columns; `edge["since"]` is one of them.
    """

    label: str
    source: End
    target: End
    properties: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.properties[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A property, or `default` where there is none of that name."""
        return self.properties.get(name, default)

    def __hash__(self) -> int:
        return hash((self.label, self.source, self.target))

    def __repr__(self) -> str:
        return f"({self.source.label} {self.source.key!r})-[{self.label}]->({self.target.label} {self.target.key!r})"

    def as_dict(self) -> dict[str, Any]:
        """The edge as JSON has it."""
        return {
            "label": self.label, "source": self.source._asdict(), "target": self.target._asdict(),
            "properties": as_data(self.properties),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Path:
    """A walk along edges.

    Attributes:
        nodes: in the order of the walk, one more than edges. edges: each as it is stored, also where it was walked
            against its direction.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def __len__(self) -> int:
        return len(self.edges)

    def __iter__(self) -> Iterator[Edge]:
        return iter(self.edges)

    def __repr__(self) -> str:
        text = repr(self.nodes[0]) if self.nodes else ""
        for before, edge, node in zip(self.nodes, self.edges, self.nodes[1:], strict=False):
            text += f"-[{edge.label}]->" if edge.source == before.end else f"<-[{edge.label}]-"
            text += repr(node)
        return text

    def as_dict(self) -> dict[str, Any]:
        """The path as JSON has it."""
        return {"nodes": as_data(self.nodes), "edges": as_data(self.edges)}


def as_data(value: Any) -> Any:
    """A value with the nodes, edges and paths in it as JSON has them."""
    if isinstance(value, Node | Edge | Path):
        return value.as_dict()
    if isinstance(value, dict):
        return {name if isinstance(name, str) else str(name): as_data(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(item) for item in value]
    return value
