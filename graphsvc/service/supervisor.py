"""The process that keeps a worker alive: it holds the socket, starts the worker, and starts another when that one ends.

A statement can take more memory than there is, or end the process within the graph engine: then only the worker goes.
Whoever connects meanwhile waits in the socket's queue, which stays.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graphsvc.config import ServiceSettings
from graphsvc.errors import Unavailable, WorkerFailed, told

logger = logging.getLogger("graphsvc.service")

LOOK_SECONDS = 0.2
"""How often the worker is looked at."""
SHARE = 0.8
"""Of the machine's memory: what the worker may take where no setting says it. The rest is the system's and others'."""
CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container's limit of memory stands, by the newer and the older way."""
START_SECONDS = 60.0
"""How long a worker may say nothing at first, while it is loaded, on a machine that has much else to do."""
ALLOCATORS = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""How the worker's memory is taken, where its environment doesn't say: glibc makes two heaps for all threads, not eight
for each core, and Arrow takes from these. With heaps of threads' own, what one thread freed another doesn't get, and
the process grows for as long as its threads write in turns; Arrow's own (mimalloc) held 122 MiB for 0.3 in use."""
ENDED = "exit code 0"
FAILED_STARTS = 5
"""So many workers in a row that end before they are ready, and the service ends."""


class Supervisor:
    """Keeps one worker.

    Args:
        directory: of the memory. settings: of the service. listener: the socket that listens.
        on_ready: called each time that a worker answers.
    """

    def __init__(
        self,
        directory: Path,
        settings: ServiceSettings,
        listener: socket.socket,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._listener = listener
        self._on_ready = on_ready
        self._limit = settings.worker_memory_bytes or int(machine_bytes() * SHARE)
        self._stopping = False
        self._came_up = False
        self._heard = False
        self.restarts = 0

    def run(self) -> None:
        """Keep a worker until SIGTERM or SIGINT; then have it drain and end.

        Raises:
            WorkerFailed: it couldn't begin. Else what opening the memory raises.
        """
        with self._signals():
            failed = 0
            while True:
                self._came_up = False
                reason = self._one()
                if self._stopping:
                    if reason != ENDED:
                        logger.warning("the worker ended (%s) before it had closed the memory in order", reason)
                    return
                failed = 0 if self._came_up else failed + 1
                if failed >= FAILED_STARTS:
                    raise WorkerFailed(
                        f"ended {failed} times in a row before it was ready, at last: {reason}",
                        where="worker", hint="The lines before this say why; `graphsvc doctor` looks at the memory.",
                    )  # fmt: skip
                self.restarts += 1
                logger.warning("the worker ended (%s) and is started again", reason)

    # --- one worker --------------------------------------------------------------------------------------

    def _one(self) -> str:
        """Start a worker and stay with it to its end; why it ended."""
        hear, tell = os.pipe()
        listener = self._listener.fileno()
        worker = subprocess.Popen(
            [sys.executable, "-m", "graphsvc.service.worker"], stdin=subprocess.PIPE, pass_fds=(listener, tell),
            env={**ALLOCATORS, **os.environ},
            start_new_session=True,  # Ctrl-C at the terminal is for the supervisor, which tells the worker
        )  # fmt: skip
        os.close(tell)
        os.set_blocking(hear, False)
        try:
            assert worker.stdin is not None
            order = {"directory": str(self._directory), "settings": asdict(self._settings), "listener": listener,
                     "tell": tell, "restarts": self.restarts}  # fmt: skip
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.write(json.dumps(order).encode() + b"\n")
                worker.stdin.flush()
            return self._stay(worker, hear)
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
            os.close(hear)

    def _stay(self, worker: subprocess.Popen[bytes], hear: int) -> str:
        heard = b""
        self._heard = False
        last, told_to_stop = time.monotonic(), 0.0
        selector = selectors.DefaultSelector()
        selector.register(hear, selectors.EVENT_READ)
        reason = ""
        with selector:
            while worker.poll() is None:
                if selector.select(LOOK_SECONDS):
                    piece = b""
                    with contextlib.suppress(BlockingIOError):
                        piece = os.read(hear, 65_536)
                    if not piece:
                        worker.wait()
                        break
                    last, self._heard = time.monotonic(), True
                    *lines, heard = (heard + piece).split(b"\n")
                    for line in lines:
                        self._hear(json.loads(line))
                if self._stopping and not told_to_stop:
                    told_to_stop = time.monotonic()
                    self._listener.close()  # who comes now is refused, rather than let in by nobody
                    worker.terminate()
                if told_to_stop:
                    if time.monotonic() - told_to_stop > self._settings.drain + self._settings.close_within:
                        reason = "it didn't end in time"
                        worker.kill()
                    continue
                reason = self._trouble(worker, time.monotonic() - last)
                if reason:
                    worker.kill()
        return reason or f"exit code {worker.returncode}"

    def _hear(self, said: dict[str, Any]) -> None:
        """Take in what the worker says."""
        if failed := said.get("failed"):
            raise told(failed)
        if said.get("ready"):
            self._came_up = True
            self._on_ready()

    def _trouble(self, worker: subprocess.Popen[bytes], silent: float) -> str:
        """Why the worker must go; empty if it needn't."""
        limit = self._limit
        if limit and (taken := own_bytes(worker.pid)) > limit:
            return f"it takes {taken >> 20:,} MiB of memory, and may take {limit >> 20:,}"
        patience = self._settings.worker_silence
        if silent > (patience if self._heard else max(patience, START_SECONDS)):
            return f"it said nothing for {silent:.0f} s"
        return ""

    # --- signals -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Any:
        def stop(number: int, frame: Any) -> None:
            self._stopping = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                # Told once more while the process ends, it ends no sooner, and not as one that was killed.
                signal.signal(number, signal.SIG_IGN if self._stopping else handler)


def own_bytes(pid: int) -> int:
    """Memory that a process takes for itself; 0 where the system doesn't tell.

    Pages of mapped files aren't counted where they can be told apart: the system takes those back when it needs them.
    """
    return resident_bytes(pid) - _pages(pid, 2)


def resident_bytes(pid: int) -> int:
    """Memory that a process takes, with pages of files that it has mapped; 0 where the system doesn't tell."""
    return _pages(pid, 1) or _resident_by_ps(pid)


def _pages(pid: int, field: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[field])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def machine_bytes() -> int:
    """Memory of the machine, or what its container may take of it; 0 where the system doesn't tell."""
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
    for path in CONTAINER:
        with contextlib.suppress(OSError, ValueError):  # `max` where there is no limit
            whole = min(whole, int(Path(path).read_text(encoding="ascii")))
    return max(0, whole)


def _resident_by_ps(pid: int) -> int:
    try:
        done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return int(done.stdout or 0) * 1024
    except (OSError, ValueError):
        return 0


def listen(settings: ServiceSettings) -> socket.socket:
    """A socket that listens where the settings say.

    Raises:
        Unavailable: the address is taken, or isn't one of this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named asyncio sets TCP_NODELAY on what is accepted; without it each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(settings.backlog)
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"can't be listened on ({error.strerror})", where=f"{settings.host}:{settings.port}",
            hint="Name another with --host and --port.",
        ) from None  # fmt: skip
    listener.set_inheritable(True)
    return listener


def address(listener: socket.socket, *, tls: bool = False) -> str:
    """Where a listening socket is, as a URL."""
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{host}:{port}"

