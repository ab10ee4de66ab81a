"""Who calls: found out before anything else of a request is looked at. What isn't open is closed."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphsvc.config import ServiceSettings
from graphsvc.errors import BadInput, GraphsvcError, Unauthenticated, Unavailable
from graphsvc.service.access import OPEN, Caller
from graphsvc.service.keys import Keys, path_of
from graphsvc.service.limits import is_stream
from graphsvc.service.operations import Role
from graphsvc.service.problems import problem
from graphsvc.service.tokens import Tokens

logger = logging.getLogger("graphsvc.service")

OPEN_PATHS = frozenset({"/health"})
"""Answered without asking who calls."""
CREDENTIAL_BYTES = 8_192
"""The longest key or token."""
LOOK_AGAIN_SECONDS = 1.0
"""How often a caller who stays (WebSocket, stream) is asked whether their key still holds."""


class Authenticator:
    """Knows callers by their keys and tokens.

    Args:
        directory: of the memory. settings: of the service. now: what time it is.

    Raises:
        BadInput, Corrupt: settings or keys that aren't right, or none where there must be some.
    """

    def __init__(
        self, directory: Path, settings: ServiceSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._now = now
        self._keys = Keys(path_of(directory, settings))
        self._tokens = Tokens(settings) if Tokens.wanted(settings) else None
        local = is_loopback(settings.host)
        self._required = settings.authentication == "required" or not local or self._tokens is not None
        if not local and self._tokens is None and not self._keys.all():
            raise BadInput(
                "is no address of loopback, and nothing says who may call", where=f"host {settings.host}",
                hint="Make a key with `graphsvc keys create`, or set jwt_key_file or jwt_secret_file.",
            )  # fmt: skip
        if self._keys.all():
            self._required = True

    @property
    def required(self) -> bool:
        """Whether callers must say who they are. Once they must, it stays so, even if the file of keys goes."""
        if not self._required:
            try:
                self._required = bool(self._keys.all())
            except GraphsvcError:
                self._required = True
        return self._required

    def authenticate(self, credential: str) -> Caller:
        """Who sends this key or token.

        Raises:
            Unauthenticated: nobody that is known. Unavailable: the keys can't be read.
        """
        if len(credential) > CREDENTIAL_BYTES or not credential.isascii():
            raise Unauthenticated("that is no key or token")
        try:
            key = self._keys.find(credential, self._now())
            if key is not None:
                return Caller(key.name, Role[key.role.upper()], key.namespaces, identity=key.id)
            # Never told apart from a key that was revoked or never was.
            if self._tokens is None or credential.startswith("gsvc_"):
                raise Unauthenticated("no such key, or it holds no longer")
            return self._tokens.caller(credential)
        except Unauthenticated:
            raise
        except GraphsvcError as error:
            logger.error("callers can't be known: %s", error)
            raise Unavailable("callers can't be known at the moment") from None

    def admit(self, scope: Scope, credential: str) -> Caller:
        """Authenticate, and note who it is in the connection's scope: for a WebSocket that says it in a message."""
        caller = self.authenticate(credential)
        scope.setdefault("state", {}).update(caller=caller, credential=credential)
        return caller


class Authentication:
    """Sets `scope["state"]["caller"]`, or refuses.

    A WebSocket may come without a key, since browsers can't send one with it; it has no caller then until
    `Authenticator.admit` is called with what its first message says. What needs a caller is refused until then.

    Args:
        is_open: whether a request may come from anybody; it has no caller then.
    """

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, is_open: Callable[[Scope], bool] = lambda scope: False
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        if isinstance(state.get("caller"), Caller):  # who came over the owner's own socket is known already
            await self._app(scope, receive, send)
            return
        if not self._authenticator.required:
            state["caller"] = OPEN
            await self._app(scope, receive, send)
            return
        try:
            credential = bearer(scope)
            if credential is not None:
                self._authenticator.admit(scope, credential)
            elif scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._is_open(scope):
                raise Unauthenticated("who calls isn't said")
        except GraphsvcError as error:
            await problem(error)(scope, receive, send)
            return
        await self._app(scope, *self._while_it_holds(scope, receive, send))

    def _while_it_holds(self, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """Of what stays open nothing more is taken or sent once the caller's key or token doesn't hold."""
        looked = time.monotonic()
        socket = scope["type"] == "websocket"
        stream, ended = socket, False

        def holds_no_more() -> str:
            """Why it doesn't, the first time that it is found; looked at once in a while."""
            nonlocal looked, ended
            credential, now = scope["state"].get("credential"), time.monotonic()
            if stream and credential is not None and now - looked > LOOK_AGAIN_SECONDS:
                looked = now
                try:
                    self._authenticator.authenticate(credential)
                except GraphsvcError as error:
                    ended = True
                    return error.code
            return ""

        async def taken() -> Message:
            message = await receive()
            if ended or message["type"] != "websocket.receive":
                return message if not ended else {"type": "websocket.disconnect", "code": 1008}
            if why := holds_no_more():
                await send({"type": "websocket.close", "code": 1008, "reason": why})
                return {"type": "websocket.disconnect", "code": 1008}
            return message

        async def watched(message: Message) -> None:
            nonlocal stream
            if message["type"] == "http.response.start":
                stream = is_stream(message)
            if ended:
                return
            if why := holds_no_more():
                message = (
                    {"type": "websocket.close", "code": 1008, "reason": why}
                    if socket
                    else {"type": "http.response.body", "body": b"", "more_body": False}
                )
            await send(message)

        return (taken if socket else receive), watched


def bearer(scope: Scope) -> str | None:
    """The key or token that a request carries; None if it carries none.

    Raises:
        Unauthenticated: it carries several, or something else.
    """
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if not found:
        return None
    text: str = found[0].decode("latin-1")
    scheme, _, credential = text.strip().partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer" or not credential.strip():
        raise Unauthenticated("the header Authorization says no key or token")
    return credential.strip()


def caller_of(connection: HTTPConnection) -> Caller:
    """Who a request comes from, as authentication found.

    Raises:
        Unauthenticated: it hasn't been found out: of a WebSocket whose first message didn't say it yet.
    """
    caller = connection.scope.get("state", {}).get("caller")
    if not isinstance(caller, Caller):
        raise Unauthenticated("who calls isn't said")
    return caller


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address. A name counts by its letters: only `localhost` does."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
