"""What can be listened to: episodes as they are stored, changes to a node, how far projections are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLID,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLString,
)

from graphsvc.errors import BadInput
from graphsvc.memory.feed import Changed
from graphsvc.model.kinds import KINDS
from graphsvc.service.graphql.global_ids import global_id, parsed
from graphsvc.service.graphql.inputs import Inputs
from graphsvc.service.graphql.scalars import JSON, LONG, TIME, as_json
from graphsvc.service.graphql.types import Types, attribute

_Text = GraphQLNonNull(GraphQLString)


def subscription(types: Types, inputs: Inputs) -> GraphQLObjectType:
    """The root type of subscriptions."""
    changed = _changed(types)
    standing = _standing()
    several = GraphQLList(GraphQLNonNull(GraphQLString))
    fields = {
        "episodeStored": GraphQLField(
            GraphQLNonNull(types.of_kind("episode")),
            {
                "filter": GraphQLArgument(
                    inputs.filters.of_kind(KINDS["episode"]), description="Only those that pass.", out_name="where"
                )
            },
            subscribe=_stored, resolve=_itself, description="Each episode, when it is stored from now on.",
        ),
        "changed": GraphQLField(
            GraphQLNonNull(changed),
            {"kinds": GraphQLArgument(several, description="Only of records of these kinds.")},
            subscribe=_all, resolve=_itself, description="Each change to a record, from now on.",
        ),
        "nodeChanged": GraphQLField(
            GraphQLNonNull(changed),
            {"id": GraphQLArgument(GraphQLNonNull(GraphQLID), description="Global id of the record.")},
            subscribe=_of_node, resolve=_itself, description="Each change to one record, from now on.",
        ),
        "progress": GraphQLField(
            GraphQLNonNull(standing), subscribe=_progress, resolve=_itself,
            description="How far projections and long work are, each time that it changes, until all is done.",
        ),
        "lag": GraphQLField(
            GraphQLNonNull(standing), subscribe=_lag, resolve=_itself,
            description="How far projections are behind, each time that it changes, for as long as one listens.",
        ),
    }  # fmt: skip
    return GraphQLObjectType("Subscription", fields, description="What can be listened to.")


def _changed(types: Types) -> GraphQLObjectType:
    return GraphQLObjectType("Changed", {
        "n": GraphQLField(GraphQLNonNull(LONG), resolve=attribute("n"), description="Number in the log."),
        "at": GraphQLField(GraphQLNonNull(TIME), resolve=attribute("at"), description="When it was acknowledged."),
        "verb": GraphQLField(_Text, resolve=attribute("verb"), description="What was asked for."),
        "what": GraphQLField(_Text, resolve=attribute("what"), description="store, amend, delete or forget."),
        "kind": GraphQLField(_Text, resolve=attribute("kind"), description="Kind of the record."),
        "nodeId": GraphQLField(
            GraphQLNonNull(GraphQLID), resolve=lambda one, info: global_id(one.kind, one.agent, one.id),
            description="Global id of the record.",
        ),
        "values": GraphQLField(
            GraphQLNonNull(JSON), resolve=attribute("values"),
            description="The record as stored, or the fields that changed, by the names of the reference.",
        ),
        "node": GraphQLField(
            types.node, resolve=_node, description="The record as it is now; null where it is no more."
        ),
    }, description="One thing that happened to a record.")  # fmt: skip


async def _node(one: Changed, info: Any) -> Any:
    return (await info.context.call("get_many", [(one.kind, one.agent, one.id)]))[0]


def _standing() -> GraphQLObjectType:
    lag = GraphQLObjectType("ProjectionLag", {
        "projection": GraphQLField(_Text, resolve=lambda pair, info: pair[0], description="graph, text or vectors."),
        "entries": GraphQLField(
            GraphQLNonNull(LONG), resolve=lambda pair, info: pair[1], description="Entries of the log it lacks."
        ),
    }, description="How far one projection is behind.")  # fmt: skip
    return GraphQLObjectType("Standing", {
        "head": GraphQLField(
            GraphQLNonNull(LONG), resolve=lambda one, info: one["head"], description="Number of the log's last entry."
        ),
        "lag": GraphQLField(
            GraphQLNonNull(GraphQLList(GraphQLNonNull(lag))), resolve=lambda one, info: list(one["lag"].items()),
            description="Of each projection.",
        ),
        "pending": GraphQLField(
            GraphQLNonNull(LONG), resolve=lambda one, info: one["pending"], description="Records not embedded yet."
        ),
        "reembedding": GraphQLField(
            JSON, resolve=lambda one, info: as_json(one["reembedding"]),
            description="How far the vectors of another model are; null if none are being made.",
        ),
    }, description="How far projections and long work are.")  # fmt: skip


def _itself(source: Any, info: Any, **arguments: Any) -> Any:
    return source


def _changes(info: Any, **which: Any) -> AsyncIterator[Changed]:
    context = info.context
    changes: AsyncIterator[Changed] = context.events.changes(context.caller, context.agent, context.shared, **which)
    return changes


async def _stored(source: Any, info: Any, where: Any = None) -> AsyncIterator[Any]:
    context = info.context
    async for change in _changes(info, kinds=("episode",)):
        if change.what != "store":
            continue
        this = {"id": change.id} if where is None else {"and": [{"id": change.id}, where]}
        for episode in await context.work(context.call("episodes.list", this, agent=change.agent)):
            yield episode


async def _all(source: Any, info: Any, kinds: list[str] | None = None) -> AsyncIterator[Changed]:
    for kind in kinds or ():
        if kind not in KINDS:
            raise BadInput(f"{kind!r} is not one of {', '.join(KINDS)}", where="kinds")
    async for change in _changes(info, kinds=kinds):
        yield change


async def _of_node(source: Any, info: Any, id: str) -> AsyncIterator[Changed]:
    whole = parsed(id)
    if whole is None:
        raise BadInput("no global id", where="id")
    async for change in _changes(info, only=(whole.kind, whole.agent, whole.id)):
        yield change


def _progress(source: Any, info: Any) -> AsyncIterator[dict[str, Any]]:
    found: AsyncIterator[dict[str, Any]] = info.context.events.status(info.context.caller, until_done=True)
    return found


def _lag(source: Any, info: Any) -> AsyncIterator[dict[str, Any]]:
    found: AsyncIterator[dict[str, Any]] = info.context.events.status(info.context.caller, until_done=False)
    return found
