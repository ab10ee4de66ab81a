"""A memory that another process owns, by the interface of one's own: `graphsvc.connect`, and what `open` attaches.

The classes here are those of the embedded interface, each verb of which is a call.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

from graphsvc.errors import BadInput, Forbidden, Unsupported
from graphsvc.memory import aio
from graphsvc.memory.causal import Causal
from graphsvc.memory.entities import Entities
from graphsvc.memory.episodes import Episodes
from graphsvc.memory.facts import Facts
from graphsvc.memory.graph import Graph
from graphsvc.memory.memory import Memory, check_binding
from graphsvc.memory.namespaces import Namespaces
from graphsvc.memory.skills import Skills
from graphsvc.remote import wire
from graphsvc.remote.link import Call, Peer, bound_options
from graphsvc.service.operations import OPERATIONS

TIMEOUT = 60.0
HANDSHAKE_SECONDS = 5.0
POOL = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=4.0)
"""Kept for less than what the service keeps them for: 5 s."""


class Link:
    """A connection of a synchronous client, shared by its handles."""

    def __init__(self, peer: Peer, client: httpx.Client) -> None:
        self.peer = peer
        self._client = client

    def hello(self) -> dict[str, Any]:
        """What the service says of itself. Raises Unavailable, Unauthenticated."""
        call = Call("status", b"", {}, True, time.monotonic() + min(self.peer.timeout, HANDSHAKE_SECONDS), False)
        self.peer.said = self._sent(call, lambda: self._client.get("/call", timeout=call.timeout))
        return self.peer.said

    def call(self, name: str, options: dict[str, Any], namespaces: Namespaces) -> Any:
        """Do an operation there."""
        call = self.peer.prepared(name, options, namespaces.agent, namespaces.shared)
        return self._sent(call, lambda: self._posted(call))

    def _sent(self, call: Call, send: Callable[[], httpx.Response]) -> Any:
        while True:
            try:
                return self.peer.read(send())
            except Exception as error:
                time.sleep(self.peer.delay(call, error))

    def _posted(self, call: Call) -> httpx.Response:
        headers = self.peer.begun(call)
        url = f"/call/{call.operation}"
        if call.reports is None:
            return self._client.post(url, content=call.body, headers=headers, timeout=call.timeout)
        with self._client.stream("POST", url, content=call.body, headers=headers, timeout=call.timeout) as response:
            if response.status_code != 200:
                response.read()
                return response
            parts = _Parts(call)
            for chunk in response.iter_bytes():
                parts.take(chunk)
            return parts.response(response)

    def close(self) -> None:
        """Let go of the connections."""
        self.peer.closed = True
        self._client.close()


class AsyncLink:
    """A connection of an asynchronous client, shared by its handles."""

    def __init__(self, peer: Peer, client: httpx.AsyncClient) -> None:
        self.peer = peer
        self._client = client
        self._under_way: set[asyncio.Timeout] = set()

    async def hello(self) -> dict[str, Any]:
        """What the service says of itself. Raises Unavailable, Unauthenticated."""
        call = Call("status", b"", {}, True, time.monotonic() + min(self.peer.timeout, HANDSHAKE_SECONDS), False)
        self.peer.said = await self._sent(call, lambda: self._client.get("/call", timeout=call.timeout))
        return self.peer.said

    async def call(self, name: str, options: dict[str, Any], namespaces: Namespaces) -> Any:
        """Do an operation there."""
        call = self.peer.prepared(name, options, namespaces.agent, namespaces.shared)
        try:
            async with asyncio.timeout(None) as until_closed:
                self._under_way.add(until_closed)
                return await self._sent(call, lambda: self._posted(call))
        except TimeoutError:
            if not until_closed.expired():
                raise
            raise self.peer.closed_amid(call) from None
        finally:
            self._under_way.discard(until_closed)

    async def _sent(self, call: Call, send: Callable[[], Coroutine[Any, Any, httpx.Response]]) -> Any:
        while True:
            try:
                return self.peer.read(await send())
            except Exception as error:
                await asyncio.sleep(self.peer.delay(call, error))

    async def _posted(self, call: Call) -> httpx.Response:
        headers = self.peer.begun(call)
        url = f"/call/{call.operation}"
        if call.reports is None:
            return await self._client.post(url, content=call.body, headers=headers, timeout=call.timeout)
        async with self._client.stream(
            "POST", url, content=call.body, headers=headers, timeout=call.timeout
        ) as response:
            if response.status_code != 200:
                await response.aread()
                return response
            parts = _Parts(call)
            async for chunk in response.aiter_bytes():
                parts.take(chunk)
            return parts.response(response)

    async def close(self) -> None:
        """Let go of the connections."""
        self.peer.closed = True
        for until_closed in self._under_way:
            until_closed.reschedule(asyncio.get_running_loop().time())
        await self._client.aclose()


class _Parts:
    """The parts of an answer that reports on the way; each report is told as it comes."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._held = b""
        self._last: Any = None

    def take(self, chunk: bytes) -> None:
        self._held += chunk
        while len(self._held) >= 4 and len(self._held) >= (size := 4 + int.from_bytes(self._held[:4], "big")):
            part, self._held = wire.decode(self._held[4:size]), self._held[size:]
            if _is_result(part):
                self._last = part
            else:
                self._tell(part)

    def _tell(self, told: Any) -> None:
        assert self._call.reports is not None
        self._call.reports(*told)

    def response(self, answer: httpx.Response) -> httpx.Response:
        """What came last, as a response of its own."""
        if self._last is None:
            raise httpx.RemoteProtocolError("the answer was cut off")
        status, content = self._last
        headers = {"content-type": wire.MEDIA, wire.ERA: answer.headers.get(wire.ERA, "")}
        return httpx.Response(status, headers=headers, content=content, request=answer.request)


def _is_result(part: Any) -> bool:
    return isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], int) and isinstance(part[1], bytes)


# --- verbs ----------------------------------------------------------------------------------------------------


def _called(name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
    """A verb as a call of the same arguments, result and errors."""
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        return self._link.call(name, bound_options(signature, self, args, options), self._namespaces)

    return call


def _awaited(name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
    """The same, to be awaited."""
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    async def call(self: Any, *args: Any, **options: Any) -> Any:
        return await self._link.call(name, bound_options(signature, self, args, options), self._namespaces)

    return call


class Far:
    """What is the same of every group of verbs that are calls, and of the memory."""

    _link: Any
    _namespaces: Namespaces

    @property
    def _opened(self) -> NoReturn:
        """What the verbs of the embedded interface work on isn't here."""
        raise Unsupported(
            "this works on the memory's own files", where=self._link.peer.name,
            hint="Do it in the process that owns the memory, or when that has closed it.",
        )  # fmt: skip


def _far(kind: type, group: str, make: Callable[..., Any]) -> Any:
    """The class of a group of verbs with each verb a call."""

    def init(self: Any, link: Any, namespaces: Namespaces) -> None:
        self._link = link
        self._namespaces = namespaces

    members: dict[str, Any] = {"__init__": init, "__doc__": kind.__doc__, "__module__": __name__}
    for name, operation in OPERATIONS.items():
        of, _, verb = name.rpartition(".")
        if of == group:
            members[verb] = make(name, operation.verb)
    return type(f"Remote{kind.__name__}", (Far, kind), members)


_GROUPS: dict[str, type] = {
    "episodes": Episodes, "skills": Skills, "entities": Entities, "graph": Graph, "facts": Facts, "causal": Causal,
}  # fmt: skip
_ASYNC: dict[str, type] = {
    "episodes": aio.AsyncEpisodes, "skills": aio.AsyncSkills, "entities": aio.AsyncEntities, "graph": aio.AsyncGraph,
    "facts": aio.AsyncFacts, "causal": aio.AsyncCausal,
}  # fmt: skip
_FAR = {name: _far(kind, name, _called) for name, kind in _GROUPS.items()}
_FAR_ASYNC = {name: _far(kind, name, _awaited) for name, kind in _ASYNC.items()}
if TYPE_CHECKING:
    _FarMemory, _FarAsyncMemory = Memory, aio.AsyncMemory
else:
    _FarMemory, _FarAsyncMemory = _far(Memory, "", _called), _far(aio.AsyncMemory, "", _awaited)


class _Handle(Far):
    """What the two kinds of handles have in common."""

    def __repr__(self) -> str:
        peer = self._link.peer
        bound = f", agent={self._namespaces.agent!r}" if self._namespaces.agent else ""
        state = ", closed" if peer.closed else ", attached" if peer.attached else ""
        return f"<Memory {peer.name!r}{bound}{state}>"

    @property
    def path(self) -> Path:
        """The directory. Raises Forbidden where it is another machine's."""
        path = self._link.peer.said["path"]
        if path is None:
            raise Forbidden("where the service keeps the memory isn't told", where="path")
        return Path(path)

    @property
    def id(self) -> str:
        """What tells this memory from any other, for ever."""
        return str(self._link.peer.said["id"])

    @property
    def agent(self) -> str | None:
        """The namespace that this handle, or its key, is bound to; None if it sees everything."""
        said = self._link.peer.said
        return self._namespaces.agent or said["agent"]

    @property
    def attached(self) -> bool:
        """Whether another process of this machine owns the memory."""
        return bool(self._link.peer.attached)

    @property
    def threads(self) -> int:
        """How many threads an asynchronous handle runs verbs on: none."""
        return 0

    def _narrowed(self, agent: str, shared: Iterable[str]) -> Namespaces:
        said = self._link.peer.said
        own = self._namespaces
        if own.agent is None and said["agent"] is not None:
            own = Namespaces(said["agent"], tuple(said["shared"]))
        return own.narrowed(agent, shared)


class RemoteMemory(_Handle, _FarMemory):  # type: ignore[valid-type, misc]
    """A memory that another process owns; every verb as of `graphsvc.Memory`. Made by `graphsvc.connect`."""

    def __init__(self, link: Link, namespaces: Namespaces, *, owner: bool = True) -> None:
        self._link = link
        self._namespaces = namespaces
        self._owner = owner
        for name, kind in _FAR.items():
            setattr(self, name, kind(link, namespaces))

    def as_agent(self, agent: str, *, shared: Iterable[str] = ()) -> RemoteMemory:
        """A handle bound to a namespace; see `Memory.as_agent`."""
        return RemoteMemory(self._link, self._narrowed(agent, shared), owner=False)

    def close(self) -> None:
        """Let go of the connection; the memory stays open where it is. Closing twice does nothing."""
        if self._owner:
            self._owner = False
            self._link.close()


class RemoteAsyncMemory(_Handle, _FarAsyncMemory):  # type: ignore[valid-type, misc]
    """The same, awaited. Made by `graphsvc.aconnect`."""

    def __init__(self, link: AsyncLink, namespaces: Namespaces, *, owner: bool = True) -> None:
        self._link = link
        self._namespaces = namespaces
        self._owner = owner
        for name, kind in _FAR_ASYNC.items():
            setattr(self, name, kind(link, namespaces))

    def as_agent(self, agent: str, *, shared: Iterable[str] = ()) -> RemoteAsyncMemory:
        """A handle bound to a namespace; see `Memory.as_agent`."""
        return RemoteAsyncMemory(self._link, self._narrowed(agent, shared), owner=False)

    async def close(self) -> None:
        """Let go of the connection; the memory stays open where it is. Closing twice does nothing."""
        if self._owner:
            self._owner = False
            await self._link.close()


# --- connecting -----------------------------------------------------------------------------------------------


def _peer(url: str, token: str | None, timeout: float) -> Peer:
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise BadInput(f"expected http://… or https://…, got {url!r}", where="url")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise BadInput(f"expected seconds, got {timeout!r}", where="timeout")
    if token is not None and (not isinstance(token, str) or not token.isascii() or not token.isprintable()):
        raise BadInput("is no token", where="token")
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise BadInput(f"is no address: {error}", where="url") from None
    return Peer(url, token, float(timeout))


def _options(peer: Peer) -> dict[str, Any]:
    headers = {"accept": wire.MEDIA}
    if peer.token is not None:
        headers["authorization"] = f"Bearer {peer.token}"
    return {"base_url": peer.name, "headers": headers, "limits": POOL}


def linked(link: Link, namespaces: Namespaces) -> RemoteMemory:
    """A handle, once the service has answered; else the connection is let go."""
    try:
        link.hello()
    except BaseException:
        link.close()
        raise
    return RemoteMemory(link, namespaces)


async def alinked(link: AsyncLink, namespaces: Namespaces) -> RemoteAsyncMemory:
    """The same, awaited."""
    try:
        await link.hello()
    except BaseException:
        await link.close()
        raise
    return RemoteAsyncMemory(link, namespaces)


def connect(
    url: str,
    token: str | None = None,
    *,
    agent: str | None = None,
    shared: Iterable[str] = (),
    timeout: float = TIMEOUT,
) -> RemoteMemory:
    """Connect to a service; see `graphsvc.connect`."""
    peer = _peer(url, token, timeout)
    namespaces = check_binding(agent, shared)
    return linked(Link(peer, httpx.Client(**_options(peer))), namespaces)


async def aconnect(
    url: str,
    token: str | None = None,
    *,
    agent: str | None = None,
    shared: Iterable[str] = (),
    timeout: float = TIMEOUT,
) -> RemoteAsyncMemory:
    """Connect to a service, asynchronously; see `graphsvc.aconnect`."""
    peer = _peer(url, token, timeout)
    namespaces = check_binding(agent, shared)
    return await alinked(AsyncLink(peer, httpx.AsyncClient(**_options(peer))), namespaces)
