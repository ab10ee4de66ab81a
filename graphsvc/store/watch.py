"""A watch over the memory and time that statements take: what grows too far, or takes too long, is interrupted."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

INTERVAL = 0.02
"""Seconds between two looks."""
IDLE_LOOKS = 100
"""Looks at nothing after which the thread ends."""

_STATUS = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Interruptible(Protocol):
    """What can be stopped."""

    def interrupt(self, *, over_memory: bool = False, over_time: bool = False) -> None: ...


def resident() -> int | None:
    """Bytes of memory that this process takes; None where the system doesn't say."""
    try:
        with open(_STATUS, "rb") as status:
            return int(status.read().split()[1]) * _PAGE
    except OSError:
        return None


class Watch:
    """Interrupts what it watches when its time is up, or the process has grown by more than `limit` bytes since.

    The engines' own time limit ends with the millisecond, and costs Ladybug 0.04 ms a read, more than the read itself.

    An engine heeds an interrupt only between two steps. What one step may take, the budget of growth bounds
    (`graphsvc.cypher.growth`); what many steps gather, this does. One thread looks, and ends when there was nothing to
    watch for a while: starting it costs more than most statements.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._watched: dict[Interruptible, int | None] = {}
        self._until: dict[Interruptible, float] = {}
        self._changed = threading.Lock()
        self._looking = False

    @contextmanager
    def over(self, statement: Interruptible, until: float, *, watched: bool = True) -> Iterator[None]:
        """Watch what runs within, which may do so until the clock `time.monotonic` says `until`."""
        if not watched:
            yield
            return
        self.begin(statement, until)
        try:
            yield
        finally:
            self.end(statement)

    def begin(self, statement: Interruptible, until: float) -> None:
        """Watch it until `end`."""
        with self._changed:
            self._watched[statement], self._until[statement] = None, until
            if not self._looking:
                self._looking = True
                threading.Thread(target=self._look, name="graphsvc-memory", daemon=True).start()

    def end(self, statement: Interruptible) -> None:
        """It is over."""
        with self._changed:
            self._watched.pop(statement, None)
            self._until.pop(statement, None)

    def _look(self) -> None:
        idle = 0
        while idle < IDLE_LOOKS:
            time.sleep(INTERVAL)
            with self._changed:
                idle = 0 if self._watched else idle + 1
                self._looking = idle < IDLE_LOOKS
                if self._watched:
                    self._stop(resident())

    def _stop(self, now: int | None) -> None:
        clock = time.monotonic()
        for statement, before in self._watched.items():
            if clock > self._until[statement]:
                statement.interrupt(over_time=True)
            elif before is None:
                self._watched[statement] = now
            elif now is not None and now - before > self._limit:
                statement.interrupt(over_memory=True)
