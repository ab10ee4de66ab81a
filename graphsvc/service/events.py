"""What happens in the memory, told to who listens: read once from the log, however many they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

from graphsvc.errors import Overloaded, Unavailable
from graphsvc.memory.feed import Changed
from graphsvc.service.access import Caller, authorize
from graphsvc.service.gate import Gate

QUEUE = 1_000
"""Changes that may wait for a listener; one who lets more wait is let go."""
WAIT_SECONDS = 1.0
LOOK_SECONDS = 0.2
"""How often lag is looked at for those who listen to it, all together."""


class _Listener:
    def __init__(self, wanted: Callable[[Changed], bool]) -> None:
        self.wanted = wanted
        self.queue: asyncio.Queue[Any] = asyncio.Queue(QUEUE + 1)
        self.ended = False

    def tell(self, change: Changed) -> None:
        if self.ended or not self.wanted(change):
            return
        if self.queue.qsize() >= QUEUE:
            self.end(Overloaded("changes came faster than they were taken, and some were lost", where="subscription"))
            return
        self.queue.put_nowait(change)

    def end(self, error: Exception) -> None:
        """Tell nothing more than that, after what waits already."""
        if not self.ended:
            self.ended = True
            self.queue.put_nowait(error)


class Events:
    """Tells changes, and how far projections are. Reads the log only while somebody listens."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._listeners: set[_Listener] = set()
        self._pump: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._watchers = 0
        self._moved: asyncio.Future[None] | None = None
        self._closed = False

    def _check(self) -> None:
        if self._closed:
            raise _ending()

    async def changes(
        self,
        caller: Caller,
        agent: str | None = None,
        shared: Collection[str] = (),
        *,
        kinds: Collection[str] | None = None,
        only: tuple[str, str, str] | None = None,
    ) -> AsyncIterator[Changed]:
        """Changes from now on that the caller may see.

        Args:
            agent, shared: namespaces that the request asks to be bound to. kinds: of records.
            only: kind, namespace and id of the one record.

        Raises:
            Forbidden: the caller may not. Overloaded: it took the changes too slowly, and lost some.
            Unavailable: the service is ending.
        """
        authorize(caller, "changes")
        handle = self._gate.handle(caller, agent, tuple(shared))
        sees = handle.sees

        def wanted(change: Changed) -> bool:
            return (
                (sees is None or (change.agent in sees and change.kind != "row"))
                and (kinds is None or change.kind in kinds)
                and (only is None or (change.kind, change.agent, change.id) == only)
            )

        self._check()
        listener = _Listener(wanted)
        self._listeners.add(listener)
        try:
            if self._pump is None or self._pump.done():
                head = (await self._gate.memory.status())["head"]
                if not self._closed and (self._pump is None or self._pump.done()):
                    self._pump = asyncio.create_task(self._run(head))
            while not isinstance(change := await listener.queue.get(), Exception):
                yield change
            raise change
        finally:
            self._listeners.discard(listener)

    async def _run(self, reached: int) -> None:
        try:
            while self._listeners:
                found = await self._gate.memory.changes(reached, wait=WAIT_SECONDS)
                reached = max(reached, found.reached)
                for change in found.items:
                    for listener in tuple(self._listeners):
                        listener.tell(change)
        except Exception as error:
            for listener in self._listeners:
                listener.end(error)

    async def status(self, caller: Caller, *, until_done: bool) -> AsyncIterator[dict[str, Any]]:
        """How far projections and long work are, each time that it changes.

        Args:
            until_done: end when all is caught up; else go on.

        Raises:
            Forbidden: the caller may not. Unavailable: the service is ending.
        """
        self._check()
        told = _standing(await self._gate.call(caller, "status"))
        self._check()
        self._watchers += 1
        try:
            if self._moved is None or self._watch is None or self._watch.done():
                self._standing, self._moved = told, asyncio.get_running_loop().create_future()
                self._watch = asyncio.create_task(self._look(self._moved))
            while True:
                yield told
                if until_done and not any(told["lag"].values()) and not told["pending"] and not told["reembedding"]:
                    return
                while self._standing == told:
                    await asyncio.shield(self._moved)
                told = self._standing
        finally:
            self._watchers -= 1

    async def _look(self, moved: asyncio.Future[None]) -> None:
        """Look how far projections are, once for all who want to know, while somebody does."""
        try:
            while self._watchers:
                await asyncio.sleep(LOOK_SECONDS)
                standing = _standing(await self._gate.memory.status())
                if standing != self._standing:
                    self._standing = standing
                    before, self._moved = moved, asyncio.get_running_loop().create_future()
                    before.set_result(None)
                    moved = self._moved
        except Exception as error:
            _fail(moved, error)

    async def close(self) -> None:
        """Stop reading, and tell whoever listens."""
        self._closed = True
        for listener in self._listeners:
            listener.end(_ending())
        tasks = [task for task in (self._pump, self._watch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._moved is not None:
            _fail(self._moved, _ending())


def _fail(moved: asyncio.Future[None], error: Exception) -> None:
    if not moved.done():
        moved.set_exception(error)
        moved.exception()  # whoever waits raises it; perhaps nobody does


def _ending() -> Unavailable:
    hint = "Subscribe again; `memory.changes` tells what happened between."
    return Unavailable("the service is ending", where="subscription", hint=hint)


def _standing(status: dict[str, Any]) -> dict[str, Any]:
    return {name: status[name] for name in ("head", "lag", "pending", "reembedding")}
