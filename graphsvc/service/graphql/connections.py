"""Connections as Relay has them: pages of nodes, with cursors, whether there are more, and how many in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLField,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLString,
)

from graphsvc.errors import BadInput
from graphsvc.service.graphql.scalars import JSON

FIRST = 20
"""How many a page has if nobody says."""

PAGE_INFO = GraphQLObjectType(
    "PageInfo",
    {
        "hasNextPage": GraphQLField(GraphQLNonNull(GraphQLBoolean), description="Whether there are more after it."),
        "hasPreviousPage": GraphQLField(GraphQLNonNull(GraphQLBoolean), description="Whether there are some before."),
        "startCursor": GraphQLField(GraphQLString, description="Where its first stands, for `before`."),
        "endCursor": GraphQLField(GraphQLString, description="Where its last stands, for `after`."),
    },
    description="Where a page stands among the others.",
)


def paging() -> dict[str, GraphQLArgument]:
    """The arguments of a connection."""
    return {
        "first": GraphQLArgument(GraphQLInt, description=f"The first so many; {FIRST} if nothing is said."),
        "after": GraphQLArgument(GraphQLString, description="Only those after this cursor."),
        "last": GraphQLArgument(GraphQLInt, description="The last so many, in place of `first`."),
        "before": GraphQLArgument(GraphQLString, description="Only those before this cursor."),
    }


def wanted(first: int | None, last: int | None) -> tuple[int, bool]:
    """How many are asked for, and whether the last ones. Raises BadInput."""
    if first is not None and last is not None:
        raise BadInput("both `first` and `last` are given", where="last", hint="Give one of them.")
    count = FIRST if first is None and last is None else last if first is None else first
    assert count is not None
    if count < 0:
        raise BadInput(f"{count} is less than 0", where="first" if last is None else "last")
    return count, last is not None


@dataclass(slots=True)
class Edge:
    """One of a page."""

    cursor: str
    node: Any
    values: dict[str, Any] | None = None


class Connection:
    """A page, for resolvers that only look: fields are dictionaries where nothing is to be computed."""

    __slots__ = ("cursors", "nodes", "pageInfo", "totalCount", "values")

    def __init__(
        self, nodes: Sequence[Any], cursors: Sequence[str], total: int, *, before: bool, after: bool,
        values: Sequence[dict[str, Any]] = (),
    ) -> None:  # fmt: skip
        self.nodes = nodes
        self.cursors = cursors
        self.values = values
        self.totalCount = total
        self.pageInfo = {
            "hasNextPage": after, "hasPreviousPage": before,
            "startCursor": cursors[0] if cursors else None, "endCursor": cursors[-1] if cursors else None,
        }  # fmt: skip

    def only(self, nodes: Sequence[Any]) -> Connection:
        """The same page with what its nodes stand for; those that are no more are left out."""
        kept = [place for place, node in enumerate(nodes) if node is not None]
        self.nodes = [nodes[place] for place in kept]
        self.cursors = [self.cursors[place] for place in kept]
        self.values = [self.values[place] for place in kept] if self.values else ()
        return self

    @property
    def edges(self) -> list[Edge]:
        """The nodes, each with its cursor."""
        if not self.values:
            return [Edge(*one) for one in zip(self.cursors, self.nodes, strict=True)]
        return [Edge(*one) for one in zip(self.cursors, self.nodes, self.values, strict=True)]


def connection_type(node: Any, name: str = "", *, values: str = "", edge: Any = JSON) -> GraphQLObjectType:
    """The type of a connection of these nodes.

    Args:
        values: what its edges hold, where they hold something. edge: the type of that.
    """
    name = name or node.name
    fields = {
        "cursor": GraphQLField(GraphQLNonNull(GraphQLString), description="Where it stands, for `after` and `before`."),
        "node": GraphQLField(GraphQLNonNull(node), description=f"The {node.name} itself."),
    }
    if values or edge is not JSON:
        fields["values"] = GraphQLField(GraphQLNonNull(edge), description=values or "What the edge holds.")
    edge = GraphQLObjectType(f"{name}Edge", fields, description=f"One {node.name} of a page.")
    return GraphQLObjectType(
        f"{name}Connection",
        {
            "edges": GraphQLField(_list(edge), description="Each with its cursor."),
            "nodes": GraphQLField(_list(node), description="The same without cursors."),
            "pageInfo": GraphQLField(GraphQLNonNull(PAGE_INFO), description="Where the page stands among the others."),
            "totalCount": GraphQLField(GraphQLNonNull(GraphQLInt), description="How many there are on all pages."),
        },
        description=f"A page of type {node.name}.",
    )


def _list(type: Any) -> Any:
    return GraphQLNonNull(GraphQLList(GraphQLNonNull(type)))


def slice_of(
    items: Sequence[Any], cursor_of: Any, first: int | None, after: str | None, last: int | None, before: str | None,
    values: Sequence[dict[str, Any]] = (),
) -> Connection:  # fmt: skip
    """A page of what is at hand as a whole. A cursor that none has any more is one before all, or after all."""
    count, from_end = wanted(first, last)
    cursors = [cursor_of(item) for item in items]
    start = cursors.index(after) + 1 if after in cursors else 0
    end = cursors.index(before) if before in cursors else len(items)
    end = max(start, end)
    low, high = (max(start, end - count), end) if from_end else (start, min(end, start + count))
    return Connection(
        items[low:high], cursors[low:high], len(items), before=low > 0, after=high < len(items),
        values=values[low:high],
    )  # fmt: skip
