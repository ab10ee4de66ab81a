"""Opening a memory: this process becomes its owner, or uses it through the one that owns it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from graphsvc.config import load, whole_path
from graphsvc.errors import InUse, Unavailable
from graphsvc.memory.memory import Memory, check_binding, open_memory
from graphsvc.memory.opened import Embedder, owner_of, spelt
from graphsvc.service.sharing import listen

if TYPE_CHECKING:
    from graphsvc.memory.aio import AsyncMemory
    from graphsvc.remote.link import Peer

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
"""For an owner that is still opening the memory, or is closing it."""
SILENCE_SECONDS = 1.0
PAUSE_SECONDS = 0.02


def open_or_attach(
    path: str | os.PathLike[str],
    *,
    agent: str | None = None,
    shared: Iterable[str] = (),
    embedder: Embedder | None = None,
    **options: Any,
) -> Memory:
    """Open a memory, or attach to the process that owns it; see `graphsvc.open`."""
    found = _owned_or_peer(path, agent=agent, shared=shared, embedder=embedder, **options)
    if isinstance(found, Memory):
        return found
    import httpx

    from graphsvc.remote.client import Link, RemoteMemory

    client = httpx.Client(transport=httpx.HTTPTransport(uds=found.name), base_url="http://owner")
    return RemoteMemory(Link(found, client), check_binding(agent, shared))


async def aopen_or_attach(path: str | os.PathLike[str], options: dict[str, Any]) -> AsyncMemory:
    """The same, for asynchronous use."""
    from graphsvc.memory.aio import AsyncMemory, Threads

    found = await _in_thread(lambda: _owned_or_peer(path, **options))
    if isinstance(found, Memory):
        return AsyncMemory(found, Threads(found.threads))
    import httpx

    from graphsvc.remote.client import AsyncLink, RemoteAsyncMemory

    client = httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=found.name), base_url="http://owner")
    return RemoteAsyncMemory(AsyncLink(found, client), check_binding(options.get("agent"), options.get("shared", ())))


async def aown(path: str | os.PathLike[str], options: dict[str, Any]) -> AsyncMemory:
    """Open a memory as its owner, shared with others. Raises InUse where another process owns it."""
    from graphsvc.memory.aio import AsyncMemory, Threads

    memory = await _in_thread(lambda: open_memory(path, listen=listen, **options))
    return AsyncMemory(memory, Threads(memory.threads))


async def _in_thread(make: Callable[[], T]) -> T:
    """What `make` gives, in a thread. Where nobody waits for it any more, a memory that comes yet is closed."""
    lock, made, given_up = threading.Lock(), [], False

    def work() -> T:
        found = make()
        with lock:
            made.append(found)
            wanted = not given_up
        if not wanted and isinstance(found, Memory):
            found.close()
        return found

    try:
        return await asyncio.to_thread(work)
    except asyncio.CancelledError:
        with lock:
            given_up, come = True, list(made)
        for found in come:
            if isinstance(found, Memory):
                threading.Thread(target=found.close, name="graphsvc-unwanted").start()
        raise


def _owned_or_peer(path: str | os.PathLike[str], **options: Any) -> Memory | Peer:
    """The memory, opened here; or who owns it, asked whether it may be used with these options.

    An owner may be just opening it, or just closing it: that is waited for.
    """
    began = time.monotonic()
    while True:
        try:
            return open_memory(path, listen=listen, **options)
        except InUse as error:
            directory = whole_path(path)
            said = owner_of(directory)
            if not said and time.monotonic() < began + SILENCE_SECONDS:
                time.sleep(PAUSE_SECONDS)  # it is just letting go, and says nothing any more
                continue
            if not said.get("shared") or said.get("pid") == os.getpid() or not _shares(directory, options):
                raise
            peer = _peer(directory, said, options)
            if peer is not None:
                return peer
            if time.monotonic() > began + PATIENCE_SECONDS:
                raise error from None
        time.sleep(PAUSE_SECONDS)


def _shares(directory: Path, options: dict[str, Any]) -> bool:
    return load(directory, share=options.get("share")).share


def _peer(directory: Path, said: dict[str, Any], options: dict[str, Any]) -> Peer | None:
    """Who owns a memory, ready to be called; None where nobody answers (yet)."""
    address = said.get("address")
    if not isinstance(address, str) or not os.path.exists(address):
        return None
    import httpx

    import graphsvc
    from graphsvc.remote import wire
    from graphsvc.remote.link import Peer, check_sendable

    peer = Peer(address, None, 60.0, attached=True)
    embedder = check_sendable(spelt(options.get("embedder")), "embedder")
    settings = {name: value for name, value in options.items() if name not in ("agent", "shared", "embedder", "create")}
    body = wire.encode({"embedder": embedder, "settings": settings})
    with httpx.Client(transport=httpx.HTTPTransport(uds=address), base_url="http://owner", timeout=30.0) as client:
        try:
            peer.said = peer.read(client.get("/call"))
            if peer.said["version"] != graphsvc.__version__:
                what = f"the memory is open in process {said['pid']}, by graphsvc {peer.said['version']}"
                raise InUse(what, where=str(directory), hint=f"This is {graphsvc.__version__}: use the same version.")
            peer.read(client.post("/attach", content=body))
        except (httpx.TransportError, Unavailable):
            return None
    return peer
