"""What browsers are told of an answer, and which of their requests are refused.

A page of another site can have a browser send requests here. It can't set a key's header without CORS, but a service on
loopback may ask for none: so whoever a browser says isn't ours is refused, whatever it asks for, and a name that leads
to loopback from outside (DNS rebinding) isn't answered to.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphsvc.config import ServiceSettings, listed
from graphsvc.errors import BadInput, Forbidden, GraphsvcError
from graphsvc.remote.wire import AGAIN, ERA, KEY, PROGRESS
from graphsvc.service.authentication import is_loopback
from graphsvc.service.problems import problem

HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""Given with every answer that doesn't have them itself. https://owasp.org/www-project-secure-headers/"""
HSTS = (b"strict-transport-security", b"max-age=31536000")
ALLOWED_METHODS = ("GET", "POST")
AGENT, SHARED = "x-graphsvc-agent", "x-graphsvc-shared"
"""By which a request of GraphQL asks to be bound to namespaces."""
ALLOWED_HEADERS = (
    "Authorization", "Content-Type", "Accept", "X-Request-Id", "Traceparent", "Mcp-Protocol-Version", AGENT, SHARED,
    KEY, AGAIN, PROGRESS,
)  # fmt: skip
EXPOSED_HEADERS = ("Retry-After", "X-Request-Id", ERA)
"""What pages of other origins may send and see, where they may call at all."""


class SecurityHeaders:
    """Adds to each answer what tells browsers to be careful."""

    def __init__(self, app: ASGIApp, tls: bool) -> None:
        self._app = app
        self._headers = (*HEADERS, HSTS) if tls else HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def careful(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                own = list(message.get("headers", ()))
                given = {name.lower() for name, _ in own}
                message["headers"] = own + [header for header in self._headers if header[0] not in given]
            await send(message)

        await self._app(scope, receive, careful)


class Sites:
    """Refuses what isn't meant for this service, or comes from a page that isn't its own.

    Raises:
        BadInput: of settings: an origin that is none.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self._app = app
        self._hosts = frozenset(name.lower() for name in listed(settings.hosts))
        self._loopback = is_loopback(settings.host)
        self._origins = frozenset(origins(settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            try:
                self._check(scope)
            except GraphsvcError as error:
                await problem(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        found: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name == b"host" and name in found:
                raise BadInput("is given twice", where="Host")
            found[name] = value
        host = found.get(b"host", b"").decode("latin-1").lower()
        if (scope.get("server") or ("", 0))[1] is not None:  # over a Unix socket there is no name
            self._check_host(host)
        origin = found.get(b"origin", b"").decode("latin-1").lower()
        if origin:
            if origin in self._origins:
                return
            if _netloc(origin) != host:
                raise Forbidden("a page of another origin may not call this", where="Origin")
        site = found.get(b"sec-fetch-site", b"same-origin")
        followed = found.get(b"sec-fetch-mode") == b"navigate" and scope.get("method") in ("GET", "HEAD")
        if site not in (b"same-origin", b"none") and not followed:
            raise Forbidden("a page of another site may not call this", where="Sec-Fetch-Site")

    def _check_host(self, host: str) -> None:
        name = _name(host)
        if not name:
            raise BadInput("is missing, or no host", where="Host")
        if name in self._hosts or (not self._hosts and not self._loopback):
            return
        if self._loopback and is_loopback(name):
            return
        raise Forbidden("the service isn't called that", where="Host", hint="The setting hosts lists its names.")


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # `http://[`
        return ""


def _name(host: str) -> str:
    """The name or address in a Host header, without its port; empty if it is neither."""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        try:
            return str(ipaddress.IPv6Address(name)) if not port or port.startswith(":") else ""
        except ValueError:
            return ""
    return host.partition(":")[0].rstrip(".")


def origins(settings: ServiceSettings) -> list[str]:
    """The origins whose pages may call the service."""
    found = []
    for text in listed(settings.cors_origins):
        scheme, netloc = text.lower().partition(":")[0], _netloc(text.lower())
        if scheme not in ("http", "https") or not netloc or text.lower() != f"{scheme}://{netloc}":
            raise BadInput(f"{text!r} is no origin", where="cors_origins", hint="Write https://example.org.")
        found.append(text.lower())
    return found
