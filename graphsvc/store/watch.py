"""A watch over the memory that statements take: what grows too far is interrupted."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

INTERVAL = 0.02
"""Seconds between two looks."""

_STATUS = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Interruptible(Protocol):
    """What can be stopped."""

    def interrupt(self, *, over_memory: bool) -> None: ...


def resident() -> int | None:
    """Bytes of memory that this process takes; None where the system doesn't say."""
    try:
        with open(_STATUS, "rb") as status:
            return int(status.read().split()[1]) * _PAGE
    except OSError:
        return None


class Watch:
    """Interrupts what it watches when the process has grown by more than `limit` bytes since that began.

    An engine heeds an interrupt only between two steps. What one step may take, the budget of growth bounds
    (`graphsvc.cypher.growth`); what many steps gather, this does. One thread looks while anything is watched.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._watched: dict[Interruptible, int] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, statement: Interruptible, *, watched: bool = True) -> Iterator[None]:
        """Watch what runs within."""
        before = resident() if watched else None
        if before is None:
            yield
            return
        with self._changed:
            self._watched[statement] = before
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, name="graphsvc-memory", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._watched.pop(statement, None)

    def _look(self) -> None:
        while True:
            with self._changed:
                if not self._watched and not self._changed.wait_for(lambda: self._watched, timeout=60):
                    self._thread = None
                    return
                self._stop(resident() or 0)
            threading.Event().wait(INTERVAL)

    def _stop(self, now: int) -> None:
        for statement, before in self._watched.items():
            if now - before > self._limit:
                statement.interrupt(over_memory=True)
