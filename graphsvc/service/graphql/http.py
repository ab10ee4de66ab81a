"""GraphQL over HTTP, as its specification has it: at `/graphql`, by GET and POST."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from graphql import GraphQLError, OperationType
from graphql.execution import ExecutionResult
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from graphsvc.config import ServiceSettings
from graphsvc.errors import GraphsvcError, QueryTimeout
from graphsvc.service.access import Caller
from graphsvc.service.authentication import Authenticator, caller_of
from graphsvc.service.events import Events
from graphsvc.service.gate import Gate
from graphsvc.service.gone import CLIENT_CLOSED, ClientGone, unless_gone
from graphsvc.service.graphql import graphiql
from graphsvc.service.graphql.context import Context
from graphsvc.service.graphql.documents import Asked, Documents, Ready, Refused
from graphsvc.service.graphql.once import Once
from graphsvc.service.graphql.schema import Schemas
from graphsvc.service.graphql.streams import Socket, event_stream
from graphsvc.service.headers import AGENT, SHARED
from graphsvc.service.limits import Buckets, Work, in_time
from graphsvc.service.problems import later

logger = logging.getLogger("graphsvc.service")

JSON, GRAPHQL, STREAM = "application/json", "application/graphql-response+json", "text/event-stream"
UTF8 = "; charset=utf-8"


class OverHTTP:
    """GraphQL at one path.

    Args:
        gate: of the memory. settings: of the service. work: does what connections that last ask for.
    """

    def __init__(self, gate: Gate, settings: ServiceSettings, work: Work) -> None:
        self._gate = gate
        self._settings = settings
        self._work = work
        self._documents = Documents(settings)
        self._events = Events(gate)
        self._once = Once()
        self._schemas = Schemas(gate)

    @property
    def routes(self) -> list[BaseRoute]:
        """Where it is."""
        page = [graphiql.assets()] if self._settings.graphiql else []
        return [
            Route("/graphql", self.serve, methods=["GET", "POST"]), WebSocketRoute("/graphql", self.listen), *page,
        ]  # fmt: skip

    async def close(self) -> None:
        """Stop what runs for subscriptions."""
        await self._events.close()

    async def serve(self, request: Request) -> Response:
        """Answer a request."""
        if self._settings.graphiql and graphiql.is_asked(request.scope):
            return graphiql.page()
        accept = request.headers.get("accept", "")
        streamed = STREAM in accept
        kind = JSON if streamed else _kind(accept)
        if kind is None:
            return Response(f"{GRAPHQL} and {JSON} are what there is", 406, media_type="text/plain")
        try:
            asked = await _asked(request)
            if isinstance(asked, list):
                return await self._batch(request, asked, kind)
            if streamed:
                return await self._stream(request, asked)
            status, answer = await unless_gone(request, self._one(request, asked, kind))
        except ClientGone:
            return Response(status_code=CLIENT_CLOSED)
        except Refused as refusal:
            return _response(refusal.status, {"errors": refusal.told}, kind, refusal.headers)
        return _response(status, answer, kind)

    def _context(self, request: Request | WebSocket, caller: Caller | None = None) -> Context:
        return Context(
            self._gate, caller or caller_of(request), *_bound(request), events=self._events, work=self._work,
            once=self._once, turn=request.scope.get("state", {}).get("turn"),
        )  # fmt: skip

    async def _ready(self, context: Context, asked: Asked) -> Ready:
        return self._documents.ready(self._schemas.of(context.caller), asked)

    async def _stream(self, request: Request, asked: Asked) -> Response:
        """Answer as server-sent events, a request a stream."""
        context = self._context(request)
        ready = await self._ready(context, asked)
        if request.method == "GET" and ready.operation.operation is OperationType.MUTATION:
            raise Refused("a mutation is sent by POST", status=405, headers={"Allow": "POST"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(event_stream(ready, context, formatted), media_type=STREAM, headers=headers)

    async def listen(self, socket: WebSocket) -> None:
        """Answer on a WebSocket."""
        authenticator: Authenticator = socket.app.state.authenticator
        await Socket(
            socket, self._settings, self._ready, formatted, lambda caller: self._context(socket, caller),
            lambda token: authenticator.admit(socket.scope, token),
        ).run()  # fmt: skip

    async def _batch(self, request: Request, batch: list[Asked], kind: str) -> Response:
        if len(batch) > self._settings.graphql_batch:
            what = f"{len(batch):,} documents in one request, and {self._settings.graphql_batch} may be"
            raise Refused(what, code="too_large")
        buckets: Buckets | None = request.scope["state"].get("buckets")
        if buckets is not None and (wait := buckets.take(caller_of(request).identity, len(batch) - 1)):
            raise Refused("more documents than this key may send", status=429, code="rate_limited",
                          headers={"Retry-After": later(wait)})  # fmt: skip
        async def all_of_them() -> list[Mapping[str, Any]]:
            return await asyncio.gather(*(self._settled(request, asked, kind) for asked in batch))

        answers = await unless_gone(request, all_of_them())
        return _response(200, answers, kind)

    async def _settled(self, request: Request, asked: Asked, kind: str) -> Mapping[str, Any]:
        """The answer to one of a batch: what refuses it refuses none of the others."""
        try:
            return (await self._one(request, asked, kind))[1]
        except Refused as refusal:
            return {"errors": refusal.told}

    async def _one(self, request: Request, asked: Asked, kind: str) -> tuple[int, Mapping[str, Any]]:
        """Status and body for one document."""
        context = self._context(request)
        wrong = 200 if kind == JSON else 400  # of a document that can't be done, where it came well formed
        try:
            ready = await self._ready(context, asked)
        except Refused as refusal:
            return (wrong if refusal.status == 400 and refusal.of_document else refusal.status), {
                "errors": refusal.told
            }
        if request.method == "GET" and ready.operation.operation is not OperationType.QUERY:
            raise Refused("a mutation is sent by POST", status=405, headers={"Allow": "POST"})
        if ready.operation.operation is OperationType.SUBSCRIPTION:
            raise Refused("a subscription takes a WebSocket, or an event stream (Accept: text/event-stream)")
        try:
            found = await in_time(ready.execute(context), self._settings.graphql_timeout)
        except QueryTimeout as error:
            return 200, {"data": None, "errors": [_told(GraphQLError(str(error), original_error=error))]}
        return 200 if found.data is not None or kind == JSON or not _before(found) else 400, formatted(found)


def _before(found: ExecutionResult) -> bool:
    """Whether it failed before anything was done: variables that don't fit."""
    return found.data is None and all(not error.path for error in found.errors or ())


def formatted(found: ExecutionResult) -> Mapping[str, Any]:
    """What was found, as the response has it: errors of ours with their code, others masked by an id of the log."""
    answer: dict[str, Any] = {"data": found.data}
    if found.errors:
        answer = {"errors": [_told(error) for error in found.errors], **({} if _before(found) else answer)}
    return answer


def _told(error: GraphQLError) -> Mapping[str, Any]:
    cause = error.original_error
    if cause is None:
        return error.formatted
    if isinstance(cause, GraphsvcError):
        return {**error.formatted, "message": str(cause), "extensions": cause.as_dict()}
    id = secrets.token_hex(8)
    logger.error("a resolver failed (error %s)", id, exc_info=cause)
    what = f"Something went wrong inside; the service's log has it as {id}."
    return {**error.formatted, "message": what, "extensions": {"code": "unexpected", "id": id}}


def _response(status: int, answer: Any, kind: str, headers: Mapping[str, str] | None = None) -> Response:
    body = msgspec.json.encode(answer, enc_hook=str)
    return Response(body, status, {**(headers or {}), "Content-Type": kind + UTF8})


def _kind(accept: str) -> str | None:
    """The media type of the answer; None where none of ours is taken."""
    if not accept.strip():
        return JSON
    weights: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = 0.0
    exact = [name for name in (GRAPHQL, JSON) if weights.get(name, 0.0) > 0]
    if exact:
        return max(exact, key=lambda name: weights[name])
    if weights.get("*/*", 0.0) > 0 or weights.get("application/*", 0.0) > 0:
        return JSON
    return None


def _bound(request: Request | WebSocket) -> tuple[str | None, tuple[str, ...]]:
    shared = request.headers.get(SHARED, "")
    return request.headers.get(AGENT) or None, tuple(name.strip() for name in shared.split(",") if name.strip())


async def _asked(request: Request) -> Asked | list[Asked]:
    """What the request asks. Raises Refused where it isn't well formed."""
    if request.method == "GET":
        given: Any = dict(request.query_params)
        for name in ("variables", "extensions"):
            if name in given:
                given[name] = _json(given[name].encode(), name)
        return checked(given)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:  # a page elsewhere can't send this without asking first
        raise Refused(f"expected {JSON}, got {kind or 'nothing'}", status=415)
    found = _json(await request.body(), "body")
    if isinstance(found, list):
        if not found:
            raise Refused("a list of no documents")
        return [checked(each) for each in found]
    return checked(found)


def _json(text: bytes, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"{where} is not JSON: {error}") from None


def checked(given: Any) -> Asked:
    """What a request asks, well formed. Raises Refused."""
    if not isinstance(given, dict):
        raise Refused("expected a JSON object")
    query, id = given.get("query"), given.get("documentId")
    name, variables, extensions = (given.get(each) for each in ("operationName", "variables", "extensions"))
    if query is not None and not isinstance(query, str):
        raise Refused("query is no text")
    if id is not None and not isinstance(id, str):
        raise Refused("documentId is no text")
    if not query and not id:
        raise Refused("neither query nor documentId is given")
    if name is not None and not isinstance(name, str):
        raise Refused("operationName is no text")
    if variables is not None and not isinstance(variables, dict):
        raise Refused("variables are no JSON object")
    if extensions is not None and not isinstance(extensions, dict):
        raise Refused("extensions are no JSON object")
    return Asked(query, id, name or None, variables)
