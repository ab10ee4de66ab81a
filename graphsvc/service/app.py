"""The service as an ASGI application: routes and what stands before them, put together."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from graphsvc.config import ServiceSettings
from graphsvc.errors import GraphsvcError, Unavailable
from graphsvc.memory.aio import AsyncMemory
from graphsvc.service import cypher_http, rpc
from graphsvc.service.audit import Audit
from graphsvc.service.authentication import Authentication, Authenticator, caller_of
from graphsvc.service.gate import Gate
from graphsvc.service.graphql import graphiql
from graphsvc.service.graphql.http import OverHTTP as GraphQL
from graphsvc.service.headers import ALLOWED_HEADERS, ALLOWED_METHODS, EXPOSED_HEADERS, SecurityHeaders, Sites, origins
from graphsvc.service.limits import Body, Buckets, Concurrency, Rate, Turns, Work
from graphsvc.service.logs import RequestLog
from graphsvc.service.mcp.server import OverHTTP as Tools
from graphsvc.service.metrics import CountResponses, Metrics
from graphsvc.service.problems import problem
from graphsvc.service.slow import SlowLog
from graphsvc.service.snapshots import Snapshots

__all__ = ["application", "guards"]

logger = logging.getLogger("graphsvc.service")

def application(memory: AsyncMemory, settings: ServiceSettings, *, restarts: int = 0) -> Starlette:
    """The application that serves a memory.

    Args:
        memory: an unbound handle, which stays the caller's to close. restarts: of workers before this one.

    Returns:
        The application; `state.stop` has those go who wait for news: the memory is about to be closed.
    """
    gate = Gate(memory)
    authenticator = Authenticator(memory.path, settings)
    audit = Audit(gate, settings.audit_file)
    metrics = Metrics(gate, restarts=restarts)
    SlowLog(gate, settings.slow_seconds)
    if settings.tracing:
        from graphsvc.service.tracing import trace

        trace(gate)
    listening = memory._memory._opened.listening
    attached = listening.listeners if listening is not None else []
    attached.extend(gate.listeners)  # calls of other processes of this user, over the memory's socket
    turns = Turns(settings.concurrency, settings.concurrency_queue, settings.concurrency_wait)
    graphql = GraphQL(gate, settings, Work(turns, settings.graphql_timeout))
    tools = Tools(gate)

    ending = asyncio.Event()

    async def stop() -> None:
        ending.set()
        memory._memory._opened.end_waits()
        await graphql.close()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with tools.running():
            task = None
            if settings.snapshot_dir:
                task = asyncio.create_task(Snapshots(memory, settings, metrics).run())
            yield
            await graphql.close()
            await gate.close()
            for listener in gate.listeners:
                if listener in attached:
                    attached.remove(listener)
            audit.close()
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    app = Starlette(
        routes=[
            *_watched(memory), *metrics.routes, *cypher_http.routes(gate), *graphql.routes, *tools.routes,
            *rpc.routes(gate, caller_of),
        ],
        middleware=[
            Middleware(RequestLog, settings=settings), Middleware(CountResponses, metrics=metrics),
            *guards(settings, authenticator, turns, ending),
        ],
        exception_handlers={GraphsvcError: _refused, Exception: _unexpected},
        lifespan=lifespan,
    )
    app.state.gate = gate
    app.state.authenticator = authenticator
    app.state.stop = stop
    return app


def _watched(memory: AsyncMemory) -> list[Route]:
    """What tells whether the service is well."""

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        status = await memory.status()
        if status["writer_stopped"]:
            return problem(Unavailable(status["writer_stopped"], where="writer"))
        return JSONResponse({"status": "ready", "lag": status["lag"], "errors": sorted(status["errors"])})

    return [Route("/health", health), Route("/ready", ready)]


def guards(
    settings: ServiceSettings, authenticator: Authenticator, turns: Turns, ending: asyncio.Event
) -> list[Middleware]:
    """What stands before every route, outermost first.

    Who calls is known before a body is taken in, and a body is whole before its request takes a turn: who isn't known
    takes neither memory nor turns, and who is slow no turn.
    """
    allowed = origins(settings)
    cors = Middleware(
        CORSMiddleware, allow_origins=allowed, allow_methods=ALLOWED_METHODS, allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )  # fmt: skip
    page = {"is_open": graphiql.is_asked} if settings.graphiql else {}
    return [
        Middleware(SecurityHeaders, tls=bool(settings.tls_cert_file)),
        Middleware(Sites, settings=settings),
        *([cors] if allowed else []),
        Middleware(Authentication, authenticator=authenticator, **page),
        Middleware(Rate, buckets=Buckets(settings.rate, settings.rate_burst), ending=ending),
        Middleware(Body, most=settings.max_body_bytes, seconds=settings.body_timeout),
        Middleware(Concurrency, turns=turns),
    ]


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, GraphsvcError)
    return problem(error)


async def _unexpected(request: Request, error: Exception) -> Response:
    id = secrets.token_hex(8)
    logger.error("%s failed (error %s)", request.url.path, id, exc_info=error)
    return problem(GraphsvcError("something went wrong inside", hint=f"The service's log has it as {id}."))
