"""Fields from operations: arguments by the verb's signature, type by what it gives back, meaning by its docstring."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLField,
    GraphQLInputField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLString,
)

from graphsvc.errors import BadInput
from graphsvc.memory import briefing, consolidation, cypher, doctor, exporting, forgetting, travel, trimming
from graphsvc.model import schema as graph_schema
from graphsvc.model.kinds import KINDS
from graphsvc.service.access import Caller
from graphsvc.service.described import summary
from graphsvc.service.graphql.errors import OF_ONE, OF_WRITES, result, told
from graphsvc.service.graphql.inputs import KIND_OF_GROUP, Inputs, causal_node, own_ids, own_scores, parameters_of
from graphsvc.service.graphql.scalars import as_json
from graphsvc.service.graphql.types import Types
from graphsvc.service.operations import OPERATIONS

Resolve = Callable[..., Awaitable[Any]]

KNOWN = {
    **vars(briefing), **vars(consolidation), **vars(cypher), **vars(exporting), **vars(forgetting), **vars(trimming),
    "Schema": graph_schema.Schema, "Snapshot": travel.Snapshot, "Report": doctor.Report,
}  # fmt: skip
"""Classes that verbs give back, which their modules name for type checkers only."""

NOTHING = (None, type(None))
LONG_ENOUGH = 16
CLIENT_ID = (
    "What the client calls this call; given back as it is. With 16 characters or more, like a UUID, the call is done "
    "once, however often it is sent: what makes one record draws its id from it where none is given, for good; "
    "any other call gives what it gave before, for five minutes while the service runs."
)


def own_id(caller: Caller, mutation: str, client_id: str) -> str:
    """The id of what a call makes, the same each time that its caller sends it again, and nobody else's."""
    parts = (caller.identity, caller.name, mutation, client_id)
    return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(parts)))


def returned(name: str) -> Any:
    """What an operation gives back, as a Python type."""
    verb = OPERATIONS[name].verb
    text = str(verb.__annotations__["return"]).strip("'")
    if text.startswith("nx."):
        return dict[str, Any]
    given = type("Given", (), {"__annotations__": {"back": text}})
    return get_type_hints(given, {**KNOWN, **vars(sys.modules[verb.__module__])})["back"]


def call(name: str) -> Resolve:
    """A resolver that does an operation with the arguments given, global ids taken apart."""
    annotated = {parameter.name: str(parameter.annotation) for parameter in parameters_of(name)}
    causal = tuple(one for one, text in annotated.items() if "NodeLike" in text)
    ids = tuple(one for one in ("id", "ids", "episode", "skill", "source", "target", "name") if one in annotated)
    if name.startswith("graph."):
        ids = ()

    scored = name in ("graph.pagerank", "graph.write_back")

    async def resolve(source: Any, info: Any, /, **given: Any) -> Any:
        if ids:
            given = own_ids(given, ids)
        if scored:
            given = own_scores(given)
        for one in causal:
            if one in given:
                given[one] = causal_node(given[one])
        return await info.context.call(name, **given)

    return resolve


async def _write_cypher(source: Any, info: Any, /, **given: Any) -> Any:
    return await info.context.call("cypher", write=True, **given)


async def _to_networkx(source: Any, info: Any, /, **given: Any) -> Any:
    import networkx

    graph = await info.context.call("graph.to_networkx", **given)
    return await asyncio.to_thread(lambda: as_json(networkx.node_link_data(graph, edges="links")))


async def _from_networkx(source: Any, info: Any, /, graph: Any, **given: Any) -> Any:
    import networkx

    try:
        made = networkx.node_link_graph(graph, edges="links")
    except (AttributeError, KeyError, TypeError, ValueError, networkx.NetworkXError) as error:
        hint = 'Write {"nodes": [{"id": …}], "links": [{"source": …, "target": …}]}.'
        raise BadInput(f"is no graph in networkx's node-link form: {error!r}", where="graph", hint=hint) from None
    return await info.context.call("graph.from_networkx", made, **given)


SPECIAL: dict[str, Resolve] = {
    "cypher.write": _write_cypher, "graph.to_networkx": _to_networkx, "graph.from_networkx": _from_networkx,
}  # fmt: skip
MAKING = (
    "episodes.store", "skills.create", "skills.record_outcome", "facts.add", "causal.add",
)  # fmt: skip
"""Operations that make one record, under an id that may be given."""
OPTIONS_OF = {"episodes.retrieve_many": "episodes.retrieve", "skills.search_many": "skills.search"}
"""Operations that take the options of another."""
VALUES_OF = {"episodes.amend": "episode", "skills.revise": "skill"}
"""Operations that take new values for fields of a kind."""


class Fields:
    """Makes fields of operations."""

    def __init__(self, types: Types, inputs: Inputs) -> None:
        self.types = types
        self.inputs = inputs

    def query(self, name: str) -> GraphQLField:
        """A field that reads."""
        arguments = self.inputs.parameters(name, skip=("write",))
        if name in OPTIONS_OF:
            arguments |= self.inputs.parameters(OPTIONS_OF[name], skip=("text", "k", "vector"))
        do = SPECIAL.get(name) or call(name)
        return GraphQLField(
            self._given(name), arguments, resolve=_done(do) if returned(name) in NOTHING else do,
            description=summary(OPERATIONS[name].verb),
        )  # fmt: skip

    def lookup(self, name: str) -> GraphQLField:
        """A field that gives one record by its id, or says as a result why it can't."""
        kind = KINDS[KIND_OF_GROUP[name.rpartition(".")[0]]]
        type = self.types.of_kind(kind.name)
        union = result(f"{type.name}Result", type, OF_ONE, f"The {kind.name}, or why there is none.")
        return GraphQLField(
            GraphQLNonNull(union), self.inputs.parameters(name), resolve=told(call(name), OF_ONE),
            description=f"One {kind.name} by its id.",
        )  # fmt: skip

    def mutation(self, name: str, shown: str, field: str) -> GraphQLField:
        """A field that writes: `shown(input: ShownInput!): ShownResult!`, with what was written in `field`."""
        title = shown[0].upper() + shown[1:]
        about = summary(OPERATIONS[name].verb)
        type = self._given(name)
        payload = GraphQLObjectType(
            f"{title}Payload",
            {
                field: GraphQLField(type, description="What the memory gave back."),
                "clientMutationId": GraphQLField(GraphQLString, description=CLIENT_ID),
            },
            description=f"That it is done: {about}",
        )
        fields = self.inputs.parameters(name, GraphQLInputField, skip=("write",))
        if name in VALUES_OF:
            fields |= self.inputs.values_of(VALUES_OF[name])
        fields["clientMutationId"] = GraphQLInputField(GraphQLString, description=CLIENT_ID)
        given = self.inputs.object(f"{title}Input", lambda: fields, f"What to do: {about}")
        do = SPECIAL.get(name) or call(name)

        makes = name in MAKING

        async def run(source: Any, info: Any, input: dict[str, Any]) -> Any:
            context = info.context
            client_id = input.pop("clientMutationId", None)
            if client_id is None or len(client_id) < LONG_ENOUGH:
                done = await do(source, info, **input)
            elif makes:
                input.setdefault("id", own_id(context.caller, shown, client_id))
                done = await do(source, info, **input)
            else:
                asked = (context.agent, context.shared, input)
                place = (context.caller, shown, client_id)
                done = await context.once.do(place, asked, context.turn, lambda: do(source, info, **input))
            return {field: True if done is None else done, "clientMutationId": client_id}

        return GraphQLField(
            GraphQLNonNull(result(f"{title}Result", payload, OF_WRITES, "That it is done, or why it isn't.")),
            {"input": GraphQLArgument(GraphQLNonNull(given), description="What to do.")},
            resolve=told(run, OF_WRITES),
            description=about,
        )

    def _given(self, name: str) -> Any:
        hint = returned(name)
        return GraphQLNonNull(GraphQLBoolean) if hint in NOTHING else self.types.output(hint)


def _done(do: Resolve) -> Resolve:
    """A resolver that says that it is done, of what gives nothing back."""

    async def resolve(source: Any, info: Any, /, **given: Any) -> bool:
        await do(source, info, **given)
        return True

    return resolve
