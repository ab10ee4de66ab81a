"""Tasks that wait for what other threads do: they hold no thread, and cost what goes on elsewhere next to nothing."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

SLICE = 50
"""So many are told at a time; what else the loop has to do comes between."""

Roused = asyncio.Future[None]


class Sleepers:
    """Those who wait for one thing, on any loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asleep: dict[Roused, Callable[[], bool]] = {}

    async def until(self, done: Callable[[], bool], timeout: float) -> None:
        """Wait until `done` says so, for `timeout` seconds at most.

        It is asked whenever `rouse` is called, by any thread: it must take no time and no lock.
        """
        roused = asyncio.get_running_loop().create_future()
        with self._lock:
            self._asleep[roused] = done
        try:
            if not done():  # asked when it would be roused already: what happens now isn't missed
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        await roused
        finally:
            with self._lock:
                self._asleep.pop(roused, None)

    def rouse(self) -> None:
        """Have those go on for whom it is done."""
        if not self._asleep:
            return
        told: defaultdict[asyncio.AbstractEventLoop, list[Roused]] = defaultdict(list)
        with self._lock:
            for roused in [roused for roused, done in self._asleep.items() if done()]:
                del self._asleep[roused]
                told[roused.get_loop()].append(roused)
        for loop, some in told.items():
            with suppress(RuntimeError):  # the loop has gone
                loop.call_soon_threadsafe(_tell, loop, some)


def _tell(loop: asyncio.AbstractEventLoop, some: list[Roused]) -> None:
    for roused in some[:SLICE]:
        if not roused.done():
            roused.set_result(None)
    if len(some) > SLICE:
        loop.call_soon(_tell, loop, some[SLICE:])
