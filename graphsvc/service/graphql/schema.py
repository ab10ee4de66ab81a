"""The schema, put together: queries, mutations, and what joins records to one another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLID,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    print_schema,
)

from graphsvc.memory.memory import Memory
from graphsvc.memory.paging import orders
from graphsvc.model.kinds import KINDS
from graphsvc.model.tables import Table
from graphsvc.service.access import Caller
from graphsvc.service.described import summary
from graphsvc.service.gate import Gate
from graphsvc.service.graphql import errors
from graphsvc.service.graphql.connections import Connection, connection_type, paging, wanted
from graphsvc.service.graphql.examples import add_examples
from graphsvc.service.graphql.fields import Fields
from graphsvc.service.graphql.global_ids import GlobalId, parsed
from graphsvc.service.graphql.inputs import Inputs
from graphsvc.service.graphql.joins import add_joins
from graphsvc.service.graphql.loaders import Row
from graphsvc.service.graphql.subscriptions import subscription
from graphsvc.service.graphql.types import Types
from graphsvc.service.graphql.user_tables import TABLES, UserTables
from graphsvc.service.graphql.verbs import LISTED, LOOKUPS, MUTATIONS, QUERIES


def build() -> GraphQLSchema:
    """The schema that callers of some namespaces have: without tables of the user's own, the same of every memory."""
    return made({})


class Schemas:
    """The schemas of one memory: that of callers of some namespaces, and that of those who have all of them, with
    types for the tables of the user's own, made anew when those change.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._seen: Mapping[str, Table] = {}
        self.base = self._whole = made({})

    def of(self, caller: Caller) -> GraphQLSchema:
        """The schema of a caller, as it is now. While nothing changes it is the same object."""
        if caller.namespaces is not None:
            return self.base
        tables = self._gate.memory.graph.declared
        if tables is not self._seen:
            if dict(tables) != dict(self._seen):
                self._whole = made(tables) if tables else self.base
            self._seen = tables
        return self._whole


def made(tables: Mapping[str, Table]) -> GraphQLSchema:
    """The schema of a memory with these tables of the user's own."""
    types = Types()
    inputs = Inputs()
    fields = Fields(types, inputs)
    add_joins(types, inputs)
    query = {"node": _node(types), "nodes": _nodes(types)}
    query |= {shown: fields.lookup(name) for name, shown in LOOKUPS.items()}
    query |= {shown: _listed(types, inputs, kind) for kind, shown in LISTED.items()}
    query |= {shown: fields.query(name) for name, shown in QUERIES.items()}
    mutation = {shown: fields.mutation(name, shown, field) for name, (shown, field) in MUTATIONS.items()}
    own = None
    if any(table.nodes for table in tables.values()):
        own = UserTables(tables, types, inputs, _taken())
        query[TABLES] = own.field()

    def name_of(value: Any, info: Any, type: Any) -> str:
        return own.type_of(value) if own is not None and isinstance(value, Row) else types.name_of(value)

    types.node.resolve_type = types.record.resolve_type = name_of
    return add_examples(GraphQLSchema(
        GraphQLObjectType("Query", query, description="What can be asked."),
        GraphQLObjectType("Mutation", mutation, description="What can be written."),
        subscription(types, inputs),
        types=[
            *(types.of_kind(kind) for kind in KINDS if not KINDS[kind].derived), *errors.TYPES.values(),
            *(own.used if own else ()),
        ],
        description="What agents remember: " + summary(Memory),
    ))  # fmt: skip


def sdl(tables: Mapping[str, Table]) -> str:
    """The schema with these tables of the user's, as text; without any it is `schema/schema.graphql`."""
    return f"{print_schema(made(tables))}\n"


@cache
def _taken() -> frozenset[str]:
    """Names of types that the schema has without tables of the user's own, and of those that tables bring along."""
    return frozenset((*made({}).type_map, "Tables"))


def _node(types: Types) -> GraphQLField:
    async def resolve(source: Any, info: Any, id: str) -> Any:
        return (await _by_ids(info, [id]))[0]

    return GraphQLField(
        types.node, {"id": GraphQLArgument(GraphQLNonNull(GraphQLID), description="A global id.")}, resolve=resolve,
        description="What has this global id; null where there is no such thing, or it isn't seen.",
    )  # fmt: skip


def _nodes(types: Types) -> GraphQLField:
    async def resolve(source: Any, info: Any, ids: list[str]) -> Any:
        return await _by_ids(info, ids)

    several = GraphQLNonNull(GraphQLList(GraphQLNonNull(GraphQLID)))
    return GraphQLField(
        GraphQLNonNull(GraphQLList(types.node)), {"ids": GraphQLArgument(several, description="Global ids.")},
        resolve=resolve, description="What has these global ids, in their order; null for each that isn't seen.",
    )  # fmt: skip


async def _by_ids(info: Any, ids: list[str]) -> list[Any]:
    """What ids stand for. Of another namespace, of nothing, of no sense: all the same None."""
    loaders = info.context.loaders

    async def found(whole: GlobalId | None) -> Any:
        if whole is not None and whole.kind in KINDS and isinstance(whole.id, str):
            return await loaders.records.load((whole.kind, whole.agent, whole.id))
        table = whole.kind.partition("table:")[2] if whole is not None else ""
        context = info.context
        seen = context.caller.namespaces is None and table in context.gate.memory.graph.declared
        return await loaders.rows.load((table, whole.id)) if whole is not None and seen else None

    return list(await asyncio.gather(*(found(parsed(id)) for id in ids)))


def _listed(types: Types, inputs: Inputs, kind: str) -> GraphQLField:
    """All records of a kind, a page at a time."""
    record = KINDS[kind].record.__name__
    fields = {name: KINDS[kind].fields[name].description for name in orders(kind)}
    order = inputs.order(record, fields)
    several = GraphQLList(GraphQLNonNull(GraphQLString))

    async def resolve(
        source: Any, info: Any, first: int | None = None, after: str | None = None, last: int | None = None,
        before: str | None = None, **given: Any,
    ) -> Connection:  # fmt: skip
        k, from_end = wanted(first, last)
        given |= given.pop("order", None) or {}
        page = await info.context.call("page", kind, max(k, 1), after=after, before=before, last=from_end, **given)
        items, cursors = (page.items, page.cursors) if k else ((), ())
        return Connection(items, cursors, page.total, before=page.more_before, after=page.more_after or not k)

    return GraphQLField(
        GraphQLNonNull(connection_type(types.of_kind(kind))),
        {
            **paging(),
            "filter": GraphQLArgument(
                inputs.filters.of_kind(KINDS[kind]), description="Only those that pass.", out_name="where"
            ),
            "order": GraphQLArgument(order, description="In which order; the latest first if not given."),
            "agent": GraphQLArgument(several, description="Only of these namespaces."),
        },
        resolve=resolve,
        description=f"All records of the kind {kind}, a page at a time"
        + ("; of facts those that are believed." if kind == "fact" else "."),
    )
