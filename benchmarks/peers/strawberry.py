"""Strawberry as it comes, with resolvers that give constants of the same shape; and with its caches of parsed and of
validated documents, beside our documents by id.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.scalars import JSON

from benchmarks.asked import answers


@strawberry.interface
class Record:
    id: strawberry.ID


@strawberry.type
class Episode(Record):
    record_id: str
    session: str
    task: str
    output: str
    critique: str | None
    reward: float | None
    success: bool | None


@strawberry.type
class Item:
    kind: str
    utility: float
    similarity: float
    uplift: float
    flags: list[str]
    record: Record


@strawberry.type
class Recalled:
    items: list[Item]


@strawberry.type
class GraphNode:
    label: str
    key: JSON
    depth: int


@strawberry.type
class GraphNodes:
    items: list[GraphNode]
    more: bool


@strawberry.interface
class Error:
    code: str
    what: str


@strawberry.type
class BadInput(Error):
    pass


@strawberry.type
class Stored:
    record_id: str


@strawberry.type
class StoreEpisodePayload:
    episode: Stored


@strawberry.input
class NodeRef:
    table: str
    key: JSON


@strawberry.enum
class Direction(Enum):
    OUT = "out"
    IN = "in"


@strawberry.input
class StoreEpisodeInput:
    id: strawberry.ID
    session: str
    task: str
    output: str
    critique: str
    reward: float
    success: bool
    vector: list[float]


def _items() -> list[Item]:
    return [
        Item(
            **{**item, "record": Episode(record_id=item["record"]["recordId"], **{
                name: value for name, value in item["record"].items() if name != "recordId"
            })}
        )
        for item in answers()["recall"]["recall"]["items"]
    ]  # fmt: skip


RECALLED = Recalled(items=_items())
NEAR = GraphNodes(items=[GraphNode(**node) for node in answers()["near"]["neighbours"]["items"]], more=True)
STORED = StoreEpisodePayload(episode=Stored(record_id="w1-1"))


@strawberry.type
class Query:
    @strawberry.field
    async def recall(self, text: str, k: int, vector: list[float] | None = None) -> Recalled:
        return RECALLED

    @strawberry.field
    async def neighbours(
        self, node: NodeRef, rel: list[str], direction: Direction, depth: int, limit: int
    ) -> GraphNodes:
        return NEAR


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def store_episode(
        self, input: StoreEpisodeInput
    ) -> Annotated[StoreEpisodePayload | BadInput, strawberry.union("StoreEpisodeResult")]:
        return STORED


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


app = Starlette(routes=[Route("/health", health)])
for path, extensions in {"/graphql": [], "/cached": [ParserCache(), ValidationCache()]}.items():
    schema = strawberry.Schema(Query, Mutation, types=[Episode, BadInput], extensions=extensions)
    app.add_route(path, GraphQL(schema))  # type: ignore[arg-type]
