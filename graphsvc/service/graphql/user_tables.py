"""The user's own tables as types: rows by key, by filter, a page at a time; edges as pages at the nodes they join."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLString,
)

from graphsvc.memory.edge_filters import Columned
from graphsvc.memory.reached import Joint
from graphsvc.model.kinds import KINDS
from graphsvc.model.tables import Table
from graphsvc.service.graphql.connections import Connection, connection_type, paging, slice_of, wanted
from graphsvc.service.graphql.global_ids import global_id
from graphsvc.service.graphql.inputs import Inputs
from graphsvc.service.graphql.joins import KIND_OF_TABLE, cursor_of, named, ref_of
from graphsvc.service.graphql.loaders import Edges, Row
from graphsvc.service.graphql.scalars import DATE, JSON, LONG, TIME
from graphsvc.service.graphql.types import GLOBAL_ID, Types

SCALARS = {
    "STRING": GraphQLString, "BOOL": GraphQLBoolean, "DOUBLE": GraphQLFloat, "FLOAT": GraphQLFloat, "DATE": DATE,
    "TIMESTAMP": TIME, "BLOB": JSON, **dict.fromkeys(("INT8", "INT16", "INT32", "INT64"), LONG),
}  # fmt: skip
ENDINGS = ("", "Filter", "Connection", "Edge")
TABLES = "tables"
"""The field of the query that has all tables of one's own."""


class Names:
    """Names that GraphQL allows, for names of the user's, each once, and with each of these endings, too."""

    def __init__(self, taken: Iterable[str] = (), endings: tuple[str, ...] = ("",)) -> None:
        self._taken = set(taken)
        self._endings = endings

    def of(self, name: str) -> str:
        """A name for this one: its letters, digits and `_`; with a number behind it where that is taken."""
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        shown = re.sub(r"\W", "_", plain).lstrip("_") or "table"
        shown = f"n{shown}" if shown[0].isdigit() else shown
        made, count = shown, 1
        while not self._taken.isdisjoint(made + ending for ending in self._endings):
            count += 1
            made = f"{shown}_{count}"
        self._taken.update(made + ending for ending in self._endings)
        return made


class Shape(NamedTuple):
    """How GraphQL calls a table, its columns, and its type."""

    table: Table
    name: str
    columns: dict[str, str]
    type: GraphQLObjectType


class UserTables:
    """Types of the tables that are declared.

    Args:
        taken: names of types that the schema has without them.
    """

    def __init__(self, tables: Mapping[str, Table], types: Types, inputs: Inputs, taken: Iterable[str]) -> None:
        self.types, self.inputs = types, inputs
        names = Names(taken, ENDINGS)
        self.tables = {name: tables[name] for name in sorted(tables) if not tables[name].is_past}
        self.shapes = {name: self._shape(table, names.of(name)) for name, table in self.tables.items()}
        self.more: dict[str, dict[str, GraphQLField]] = {}
        self._pages: dict[Any, Any] = {}
        for shape in self.shapes.values():
            if not shape.table.nodes:
                self._join(shape)

    def field(self) -> GraphQLField:
        """All tables of nodes, for the query."""
        names = Names()
        fields: dict[str, GraphQLField] = {}
        for shape in self.shapes.values():
            if shape.table.nodes:
                shown = names.of(shape.name)
                fields[shown] = self._listed(shape)
                fields[names.of(f"{shape.name}ByKey")] = self._by_key(shape)
        type = GraphQLObjectType("Tables", fields, description="Your own tables of nodes.")
        return GraphQLField(
            GraphQLNonNull(type), resolve=lambda source, info: {}, description="Your own tables of nodes, by name."
        )

    @property
    def used(self) -> list[GraphQLObjectType]:
        """The types of all tables that have something to show."""
        return [shape.type for shape in self.shapes.values() if shape.table.nodes or shape.columns]

    def type_of(self, row: Row) -> str:
        """The name of a row's type."""
        return self.shapes[row.table].type.name

    def _shape(self, table: Table, name: str) -> Shape:
        taken = ("id",) if table.nodes else ()
        columns = Names(taken)
        shown = {column: columns.of(column) for column in table.columns}

        def fields() -> dict[str, GraphQLField]:
            made = {shown[column]: _column(column, type) for column, type in table.columns.items()}
            if not table.nodes:
                return made
            own = {"id": GraphQLField(
                GraphQLNonNull(GraphQLID), resolve=lambda row, info: row.id,
                description=GLOBAL_ID,
            )}  # fmt: skip
            return {**own, **made, **self.more.get(table.name, {})}

        what = "A row of your table" if table.nodes else "What an edge holds of your table"
        type = GraphQLObjectType(
            name, fields, [self.types.node] if table.nodes else (), description=f"{what} {table.name}.",
        )  # fmt: skip
        return Shape(table, name, shown, type)

    def _listed(self, shape: Shape) -> GraphQLField:
        table = shape.table
        filterable = {name: field.type for name, field in Columned.of(table.name, table.columns).fields.items()}
        filter = self.inputs.filters.of(shape.name, filterable, shape.columns)

        async def resolve(
            source: Any, info: Any, first: int | None = None, last: int | None = None, where: Any = None,
            **given: Any,
        ) -> Connection:  # fmt: skip
            k, from_end = wanted(first, last)
            page = await info.context.call("graph.rows", table.name, where, max(k, 1), last=from_end, **given)
            rows = [Row(table.name, item[table.key], item) for item in page.items] if k else []
            cursors = page.cursors if k else ()
            return Connection(rows, cursors, page.total, before=page.more_before, after=page.more_after or not k)

        arguments = {
            **paging(),
            "filter": GraphQLArgument(filter, description="Only those that pass.", out_name="where"),
        }
        return GraphQLField(
            GraphQLNonNull(connection_type(shape.type)), arguments, resolve=resolve,
            description=f"Rows of your table {table.name}, in the order of their keys, a page at a time.",
        )  # fmt: skip

    def _by_key(self, shape: Shape) -> GraphQLField:
        table = shape.table

        async def resolve(source: Any, info: Any, key: Any) -> Row | None:
            return await info.context.loaders.rows.load((table.name, key))  # type: ignore[no-any-return]

        type = SCALARS[table.columns[table.key]]
        return GraphQLField(
            shape.type, {"key": GraphQLArgument(GraphQLNonNull(type), description="The key.")}, resolve=resolve,
            description=f"The row of your table {table.name} with this key; null where there is none.",
        )  # fmt: skip

    def _join(self, edge: Shape) -> None:
        """The fields at both ends of a table of edges."""
        for place, direction in ((0, "out"), (1, "in")):
            for near in dict.fromkeys(ends[place] for ends in edge.table.ends):
                far = dict.fromkeys(ends[1 - place] for ends in edge.table.ends if ends[place] == near)
                for other in far:
                    name = edge.name if direction == "out" else f"{edge.name}_in"
                    self._add(near, name if len(far) == 1 else f"{name}_{other}", edge, direction, other)

    def _add(self, near: str, name: str, edge: Shape, direction: str, other: str) -> None:
        kind, row = KIND_OF_TABLE.get(near), self.shapes.get(near)
        if kind is None and row is None:
            return  # sessions, tasks and agents have no type of their own
        known = self.types.more.setdefault(kind, {}) if kind else self.more.setdefault(near, {})
        used = {*known, *(row.columns.values() if row else KINDS[str(kind)].fields), "id", "recordId"}
        way = f"Edges of your table {edge.table.name} that lead {'from' if direction == 'out' else 'to'} it"
        known[Names(used).of(name)] = GraphQLField(
            GraphQLNonNull(self._page(edge, other)), paging(), resolve=_joined(edge.table.name, direction, other),
            description=f"{way}, and the nodes of type {other} at their other ends. At most 1,000 are looked at.",
        )  # fmt: skip

    def _page(self, edge: Shape, other: str) -> Any:
        kind, row = KIND_OF_TABLE.get(other), self.shapes.get(other)
        node = self.types.of_kind(kind) if kind else row.type if row else self.types.of_node
        if (edge.name, node.name) not in self._pages:
            self._pages[edge.name, node.name] = connection_type(
                node, f"{edge.name}To{node.name}", edge=edge.type if edge.columns else JSON
            )
        return self._pages[edge.name, node.name]


def _column(column: str, type: str) -> GraphQLField:
    scalar = SCALARS[type.removesuffix("[]")]
    return GraphQLField(
        GraphQLList(scalar) if type.endswith("[]") else scalar, resolve=lambda row, info: row.get(column),
        description=f"The column {column}, {type}.",
    )  # fmt: skip


def _joined(rel: str, direction: str, other: str) -> Any:
    async def resolve(
        source: Any, info: Any, first: int | None = None, after: str | None = None, last: int | None = None,
        before: str | None = None,
    ) -> Connection:  # fmt: skip
        loaders = info.context.loaders
        near = (source.table, source.key) if isinstance(source, Row) else ref_of(source)
        joints: list[Joint] = await loaders.joints.load(Edges(near, (rel,), direction, (other,)))
        page = slice_of(joints, _cursor, first, after, last, before, values=[joint.values for joint in joints])
        if other in KIND_OF_TABLE:
            return page.only(await loaders.live([named(joint) for joint in page.nodes]))
        if any(isinstance(joint.node.key, str | int) and joint.node.agent is None for joint in page.nodes):
            return page.only(await loaders.rows.load_many([(other, joint.node.key) for joint in page.nodes]))
        return page.only([joint.node for joint in page.nodes])

    return resolve


def _cursor(joint: Joint) -> str:
    if joint.node.label in KIND_OF_TABLE:
        return cursor_of(joint)
    return global_id(f"table:{joint.node.label}", "", joint.node.key)
