"""The memory that AI agents keep: episodes, skills and what causes what, as one graph in one directory.

    import graphsvc

    with graphsvc.open("./memory") as memory:
        memory.episodes.store(session="s1", task="Deploy the API", critique="Forgot to migrate", success=False)
        memory.episodes.retrieve("deploy the service")

Importing this package loads no engine and no model: each comes with what needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from graphsvc.errors import GraphsvcError
    from graphsvc.memory.aio import AsyncMemory, AsyncOpening
    from graphsvc.memory.memory import Memory
    from graphsvc.memory.opened import Embedder
    from graphsvc.memory.results import Hit, Hits
    from graphsvc.memory.travel import (
        amigrate,
        arestore,
        averify_snapshot,
        migrate,
        restore,
        verify_snapshot,
    )
    from graphsvc.model.as_of import AsOf
    from graphsvc.model.elements import Edge, Node, Path
    from graphsvc.model.filters import F
    from graphsvc.model.records import Cause, Entity, Episode, Fact, Predicate, Skill, Variable

__version__ = "0.1.0"

__all__ = [
    "AsOf",
    "AsyncMemory",
    "Cause",
    "Edge",
    "Entity",
    "Episode",
    "F",
    "Fact",
    "GraphsvcError",
    "Hit",
    "Hits",
    "Memory",
    "Node",
    "Path",
    "Predicate",
    "Skill",
    "Variable",
    "__version__",
    "aconnect",
    "amigrate",
    "aopen",
    "arestore",
    "averify_snapshot",
    "connect",
    "migrate",
    "open",
    "restore",
    "verify_snapshot",
]

_HOMES = {
    "AsOf": "graphsvc.model.as_of",
    "AsyncMemory": "graphsvc.memory.aio",
    "Cause": "graphsvc.model.records",
    "Edge": "graphsvc.model.elements",
    "Entity": "graphsvc.model.records",
    "Episode": "graphsvc.model.records",
    "F": "graphsvc.model.filters",
    "Fact": "graphsvc.model.records",
    "GraphsvcError": "graphsvc.errors",
    "Hit": "graphsvc.memory.results",
    "Hits": "graphsvc.memory.results",
    "Memory": "graphsvc.memory.memory",
    "Predicate": "graphsvc.model.records",
    "Node": "graphsvc.model.elements",
    "Path": "graphsvc.model.elements",
    "Skill": "graphsvc.model.records",
    "Variable": "graphsvc.model.records",
    **dict.fromkeys(
        ("amigrate", "arestore", "averify_snapshot", "migrate", "restore", "verify_snapshot"), "graphsvc.memory.travel"
    ),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'graphsvc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def open(
    path: str | os.PathLike[str],
    *,
    agent: str | None = None,
    shared: Iterable[str] = (),
    engine: str | None = None,
    embedder: Embedder | None = None,
    create: bool = True,
    **settings: Any,
) -> Memory:
    """Open the memory in a directory; made if it isn't there.

    Opened again in the same process the memory is shared, and closed with its last user. Where another process of
    this user has it open, the handle is attached to that one: the same interface, over its socket. When that one
    closes the memory, calls raise Unavailable, and opening again makes this process the owner, or attaches to another.

    Args:
        path: the directory.
        agent: bind the handle to this namespace: it writes there, and sees that and the `shared` ones. Not bound,
            it sees everything and writes to "default" or where `agent=` says.
        engine: "kuzu" or "ladybug", for a new memory.
        embedder: for a new memory "minilm", "hashing" (for tests), a path, a model's name, or a function from
            texts to an array of shape (n, dimension). A function is to be given at each opening.
        create: whether a memory may be made.
        settings: any of `docs/reference/settings.md`.

    Raises:
        InUse: another process has it open, and doesn't share it. NotAMemory: the directory holds something else, or
        nothing and `create` is false. NewerFormat, Corrupt, ReadOnly, StorageFull, Unsupported: for the directory.
        EmbeddingMismatch, ModelNotFound: for the model. BadInput, UnknownField: for a setting.
    """
    from graphsvc.remote.attach import open_or_attach

    return open_or_attach(
        path, agent=agent, shared=shared, engine=engine, embedder=embedder, create=create, **settings
    )


def aopen(path: str | os.PathLike[str], **options: Any) -> AsyncOpening:
    """Open a memory for asynchronous use: `async with graphsvc.aopen(path) as memory`, or `await graphsvc.aopen(path)`.

    Options and errors as for `open`. Every verb is there under the same name, to be awaited.
    """
    from graphsvc.memory.aio import AsyncOpening
    from graphsvc.remote.attach import aopen_or_attach

    return AsyncOpening(lambda: aopen_or_attach(path, options))


def connect(
    url: str,
    token: str | None = None,
    *,
    agent: str | None = None,
    shared: Iterable[str] = (),
    timeout: float = 60.0,
) -> Memory:
    """Connect to a memory that `graphsvc serve` serves: the same interface as `open` gives, each verb a call.

    What fails on the way, or is refused for being too much, is sent again, with pauses, where that can't do it twice.

    Args:
        url: of the service, like "http://127.0.0.1:8080". token: a key or token; where the service asks for one.
        agent: bind the handle to this namespace, which sees that and the `shared` ones; see `open`.
        timeout: seconds that a call may take, all its attempts together; those that take long by nature may take
            longer, and aren't sent again after it.

    Raises:
        Unavailable: nobody answers. Unauthenticated, Forbidden: for the token. BadInput: for an argument.
        Unsupported: something else answers.
    """
    from graphsvc.remote import client

    return client.connect(url, token, agent=agent, shared=shared, timeout=timeout)


def aconnect(url: str, token: str | None = None, **options: Any) -> AsyncOpening:
    """Connect for asynchronous use: `async with graphsvc.aconnect(url) as memory`, or `await graphsvc.aconnect(url)`.

    Options and errors as for `connect`. Every verb is there under the same name, to be awaited.
    """
    from graphsvc.memory.aio import AsyncOpening
    from graphsvc.remote import client

    return AsyncOpening(lambda: client.aconnect(url, token, **options))
