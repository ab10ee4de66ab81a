"""What the service logs: a JSON line for each thing, with the request that it belongs to. Never texts or secrets."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphsvc.config import ServiceSettings

REQUEST_ID = "x-request-id"
_GIVEN_ID = re.compile(r"[\w.:-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
QUIET = frozenset({"/health", "/ready", "/metrics"})
"""Asked every few seconds by machines: logged only where they fail."""

requests = structlog.get_logger("graphsvc.requests")


def set_up(settings: ServiceSettings) -> None:
    """Have everything that this process logs go to standard error, as the settings say."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
    ]
    shown: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, shown],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.error", "graphsvc"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for name in ("uvicorn.error", "mcp", "httpx", "httpcore"):  # they tell of each connection
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class RequestLog:
    """Gives each request an id, taken from its sender where it has a proper one, and logs how it ended."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self._app = app
        self._logs = settings.log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        id = given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
        context = {"request": id}
        if trace := _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
            context["trace"], context["span"] = trace.groups()
        status, started = 0, time.perf_counter()

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = id
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**context)
        try:
            await self._app(scope, receive, tell)
        finally:
            if self._logs and (status >= 400 or status == 0 or scope["path"] not in QUIET):
                caller = scope["state"].get("caller")
                requests.info(
                    "request", method=scope["method"], path=scope["path"], status=status,
                    ms=round((time.perf_counter() - started) * 1000, 2), caller=getattr(caller, "name", None),
                )  # fmt: skip
