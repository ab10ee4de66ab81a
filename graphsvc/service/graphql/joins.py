"""What leads from one record to others: the edges of the graph as fields, a page each, read in batches."""

from __future__ import annotations

from typing import Any, NamedTuple

from graphql import (
    GraphQLArgument,
    GraphQLDefaultInput,
    GraphQLField,
    GraphQLFloat,
    GraphQLList,
    GraphQLNonNull,
    GraphQLString,
)

from graphsvc.memory.reached import Joint
from graphsvc.model.kinds import CAUSAL, KINDS
from graphsvc.model.names import parts_of
from graphsvc.model.records import Cause, Record, ends_of
from graphsvc.service.graphql.connections import Connection, connection_type, paging, slice_of
from graphsvc.service.graphql.global_ids import global_id, global_id_of
from graphsvc.service.graphql.inputs import CHOICES, Inputs
from graphsvc.service.graphql.loaders import Causal, Edges
from graphsvc.service.graphql.types import Types

KIND_OF_TABLE = {kind.table: kind.name for kind in KINDS.values() if kind.table}


class Join(NamedTuple):
    """Edges that lead from a record of one kind to records of another."""

    kind: str
    field: str
    target: str
    rel: str
    direction: str
    about: str


JOINS = tuple(Join(*join) for join in (
    ("episode", "skills", "skill", "USED", "out", "The skills that it used."),
    ("episode", "learnt", "skill", "DERIVED_FROM", "in", "The skills that were drawn from it."),
    ("episode", "about", "entity", "ABOUT", "out", "The entities that it is about."),
    ("episode", "evidence", "episode", "EVIDENCE", "out", "Later episodes that show how it went."),
    ("episode", "evidenceFor", "episode", "EVIDENCE", "in", "Earlier episodes that it judges."),
    ("episode", "facts", "fact", "EVIDENCE", "in", "The facts that come from it."),
    ("episode", "next", "episode", "NEXT", "out", "The one after it in its session."),
    ("episode", "previous", "episode", "NEXT", "in", "The one before it in its session."),
    ("skill", "episodes", "episode", "USED", "in", "The episodes that used it."),
    ("skill", "drawnFrom", "episode", "DERIVED_FROM", "out", "The episodes that it was drawn from."),
    ("skill", "prerequisites", "skill", "PREREQUISITE", "out", "The skills to have before it."),
    ("skill", "requiredBy", "skill", "PREREQUISITE", "in", "The skills that have it as a prerequisite."),
    ("skill", "alternatives", "skill", "ALTERNATIVE", "both", "The skills that do instead."),
    ("skill", "refines", "skill", "REFINES", "out", "The skills that it is a refinement of."),
    ("skill", "refinedBy", "skill", "REFINES", "in", "Its refinements."),
    ("skill", "partOf", "skill", "PART_OF", "out", "The skills that it is part of."),
    ("skill", "parts", "skill", "PART_OF", "in", "The skills that are part of it."),
    ("skill", "calls", "skill", "CALLS", "out", "The skills that it calls."),
    ("skill", "calledBy", "skill", "CALLS", "in", "The skills that call it."),
    ("entity", "episodes", "episode", "ABOUT", "in", "The episodes that are about it."),
    ("entity", "facts", "fact", "ABOUT", "in", "The facts that name it."),
    ("fact", "about", "entity", "ABOUT", "out", "The entities that it names."),
    ("fact", "evidence", "episode", "EVIDENCE", "out", "The episodes that it comes from."),
))  # fmt: skip
SINGLE = ("next", "previous")
"""Fields of edges of which a record has one at most."""

MOST = "At most 1,000 are looked at."


def add_joins(types: Types, inputs: Inputs) -> None:
    """Give the types of records their fields of edges."""
    pages = {kind: connection_type(types.of_kind(kind), f"Joined{KINDS[kind].record.__name__}", values=HELD)
             for kind in {join.target for join in JOINS}}  # fmt: skip
    causal = connection_type(types.of_kind("cause"), "JoinedCause")
    around = connection_type(types.of_joint, "Joint")
    for join in JOINS:
        single = join.field in SINGLE
        types.more.setdefault(join.kind, {})[join.field] = GraphQLField(
            types.of_kind(join.target) if single else GraphQLNonNull(pages[join.target]),
            {} if single else paging(),
            resolve=_single(join) if single else _page(join),
            description=join.about,
        )
    for kind in CAUSAL:
        for field, direction, about in (
            ("causes", "in", "The causal edges that lead to it, the strongest first."),
            ("effects", "out", "The causal edges that lead from it, the strongest first."),
        ):
            types.more.setdefault(kind, {})[field] = _causal(causal, direction, about)
    for kind in KIND_OF_TABLE.values():
        types.more.setdefault(kind, {})["joints"] = _around(around, inputs)
    _add_ends(types)


HELD = "What the edge holds, like a weight, or how many uses."


def named(joint: Joint) -> tuple[str, str, str]:
    """Kind, namespace and id of the record at the far end of an edge."""
    agent, id = parts_of(joint.node.key)
    return KIND_OF_TABLE[joint.node.label], agent, id


def cursor_of(joint: Joint) -> str:
    """Where the far end of an edge stands among those of others."""
    return global_id(*named(joint))


def ref_of(record: Record) -> tuple[str, str, str]:
    """A record as verbs of the graph take it."""
    return KINDS[_kind(record)].table or "", record.id, record.agent


def _kind(record: Record) -> str:
    return KIND_OF_TABLE[type(record).__name__]


def _wanted(record: Record, join: Join) -> Edges:
    return Edges(ref_of(record), (join.rel,), join.direction, (str(KINDS[join.target].table),))


def _page(join: Join) -> Any:
    async def resolve(
        record: Record, info: Any, first: int | None = None, after: str | None = None, last: int | None = None,
        before: str | None = None,
    ) -> Connection:  # fmt: skip
        loaders = info.context.loaders
        joints = await loaders.joints.load(_wanted(record, join))
        page = slice_of(joints, cursor_of, first, after, last, before, values=[joint.values for joint in joints])
        records = await loaders.live([named(joint) for joint in page.nodes])
        return page.only(records)

    return resolve


def _single(join: Join) -> Any:
    async def resolve(record: Record, info: Any) -> Record | None:
        joints = await info.context.loaders.joints.load(_wanted(record, join))
        return await info.context.loaders.records.load(named(joints[0])) if joints else None

    return resolve


def _causal(connection: Any, direction: str, about: str) -> GraphQLField:
    async def resolve(
        record: Record, info: Any, min_confidence: float, first: int | None = None, after: str | None = None,
        last: int | None = None, before: str | None = None,
    ) -> Connection:  # fmt: skip
        wanted = Causal((_kind(record), record.agent, record.id), direction, min_confidence)
        edges = await info.context.loaders.causal.load(wanted)
        return slice_of(edges, global_id_of, first, after, last, before)

    least = GraphQLArgument(
        GraphQLNonNull(GraphQLFloat), default=GraphQLDefaultInput(value=0.0), out_name="min_confidence",
        description="Edges less sure are left out.",
    )  # fmt: skip
    return GraphQLField(
        GraphQLNonNull(connection), {"minConfidence": least, **paging()}, resolve=resolve, description=about
    )


def _around(connection: Any, inputs: Inputs) -> GraphQLField:
    async def resolve(
        record: Record, info: Any, rel: list[str] | None = None, direction: str = "both",
        tables: list[str] | None = None, first: int | None = None, after: str | None = None, last: int | None = None,
        before: str | None = None,
    ) -> Connection:  # fmt: skip
        wanted = Edges(
            ref_of(record), None if rel is None else tuple(rel), direction, None if tables is None else tuple(tables)
        )
        joints = await info.context.loaders.joints.load(wanted)
        places = {id(joint): str(place) for place, joint in enumerate(joints)}
        return slice_of(joints, lambda joint: places[id(joint)], first, after, last, before)

    names = GraphQLList(GraphQLNonNull(GraphQLString))
    title, values = CHOICES["direction"]
    return GraphQLField(
        GraphQLNonNull(connection),
        {
            "rel": GraphQLArgument(names, description="Types of edges, like NEXT; all if not given."),
            "direction": GraphQLArgument(inputs.enum(title, values, "Values of `direction`."),
                                         description="Which way they are taken; both if not given."),
            "tables": GraphQLArgument(names, description="The only node tables that they may lead to."),
            **paging(),
        },
        resolve=resolve,
        description=f"All edges of the graph at it, by type, direction and far end. {MOST}",
    )  # fmt: skip


def _add_ends(types: Types) -> None:
    """The nodes that causal edges join, and the episodes that show it."""

    def end(place: int, about: str) -> GraphQLField:
        async def resolve(cause: Cause, info: Any) -> Record | None:
            return await info.context.loaders.records.load(ends_of(cause)[place])  # type: ignore[no-any-return]

        return GraphQLField(types.record, resolve=resolve, description=about)

    async def evidence(cause: Cause, info: Any) -> list[Record]:
        found = await info.context.loaders.live([("episode", cause.agent, id) for id in cause.evidence])
        return [episode for episode in found if episode is not None]

    async def record(node: Any, info: Any) -> Record | None:
        return await info.context.loaders.records.load((node.kind, node.agent, node.id))  # type: ignore[no-any-return]

    async def of_node(node: Any, info: Any) -> Record | None:
        kind = KIND_OF_TABLE.get(node.label)
        return None if kind is None else await info.context.loaders.records.load((kind, *parts_of(node.key)))

    async def properties(node: Any, info: Any) -> dict[str, Any]:
        return await info.context.loaders.properties.load(node)  # type: ignore[no-any-return]

    episodes = GraphQLNonNull(GraphQLList(GraphQLNonNull(types.of_kind("episode"))))
    types.more.setdefault("cause", {}).update(
        causeNode=end(0, "The node that makes the difference; null if it isn't seen."),
        effectNode=end(1, "The node that it makes a difference to; null if it isn't seen."),
        evidenceEpisodes=GraphQLField(episodes, resolve=evidence, description="The episodes that show it."),
    )
    types.more["CausalNode"] = {
        "record": GraphQLField(types.record, resolve=record, description="The record; null if it isn't seen.")
    }
    types.more["GraphNode"] = {
        "record": GraphQLField(types.record, resolve=of_node, description="The record that it stands for, if any."),
        "properties": GraphQLField(
            types.output(dict[str, Any]), resolve=properties, description="Its columns; empty if it is no more."
        ),
    }
