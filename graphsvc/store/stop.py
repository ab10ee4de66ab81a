"""A read that somebody may stop while it runs."""

from __future__ import annotations

import threading
from typing import Protocol


class Interruptible(Protocol):
    """What a read runs on."""

    def interrupt(self) -> None:
        """Have its statement fail soon."""


class Stop:
    """Stops one read, whether it is running already or only about to.

    Attributes:
        asked: whether it is to stop.
    """

    def __init__(self) -> None:
        self.asked = False
        self._lock = threading.Lock()
        self._running: Interruptible | None = None

    def watch(self, running: Interruptible | None) -> None:
        """What it stops from now on; None: nothing more."""
        with self._lock:
            self._running = running

    def now(self) -> None:
        """Stop it. An engine may miss this in the instant before a statement begins: to be repeated until it ended."""
        with self._lock:
            self.asked = True
            if self._running is not None:
                self._running.interrupt()
