"""The owner of a memory listens for other processes of the same user, on a Unix socket.

A thread waits for somebody to connect; until then nothing of the service is loaded. The address stands in the lock
file. Who may connect is who may write the socket's file, which is its owner alone, and the kernel's word on who calls
is asked as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import select
import socket
import stat
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphsvc.memory.opened import SOCKET

if TYPE_CHECKING:
    import uvicorn

    from graphsvc.memory.opened import Opened

LONGEST = 100
"""Bytes of a socket's path: systems allow 104 to 108."""
DRAIN_SECONDS = 5.0
"""For how long calls that are under way may go on when the memory is closed."""

logger = logging.getLogger("graphsvc")


class Sharing:
    """What listens. Made by `listen`.

    Attributes:
        listeners: told of each call that was answered, in the thread that answers.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.listeners: list[Callable[[Any], None]] = []
        self._wake, self._waker = socket.socketpair()
        self._listener: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="graphsvc-share", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            listener = self._listener = _bound(addresses(self._opened.directory))
            if listener is None:
                self._opened.lock.say(shared=False)
                return
            self._opened.lock.say(address=listener.getsockname())
            poll = select.poll()  # select.select takes no descriptor over 1,023
            poll.register(listener, select.POLLIN)
            poll.register(self._wake, select.POLLIN)
            ready = [descriptor for descriptor, _ in poll.poll()]
            if not self._closing and self._wake.fileno() not in ready:
                self._serve(listener)
        except Exception:
            logger.exception("other processes can't use the memory %s any more", self._opened.directory)

    def _serve(self, listener: socket.socket) -> None:
        """Serve calls on the socket, until the memory is closed."""
        import asyncio

        import uvicorn

        from graphsvc.service.attached import OwnUser, application
        from graphsvc.service.server import Server

        app, threads = application(self._opened, self.listeners)
        config = uvicorn.Config(
            app, http=OwnUser, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        )  # fmt: skip
        server = self._server = Server(config, DRAIN_SECONDS, self._end_waits)
        server.should_exit = self._closing
        try:
            asyncio.run(server.serve(sockets=[listener]))
        finally:
            threads.shutdown()

    async def _end_waits(self) -> None:
        self._opened.end_waits()

    def close(self) -> None:
        """Take no more, let those that are under way end, remove the socket."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._waker.send(b"x")
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(2 * DRAIN_SECONDS)
        if self._listener is not None:
            address = self._opened.lock.said("address")
            self._listener.close()
            if address:
                Path(address).unlink(missing_ok=True)
        self._wake.close()
        self._waker.close()

    def leave(self) -> None:
        """In a forked child: let go of the descriptors, so that the parent's ends end with the parent."""
        if self._server is not None:
            for connection in list(self._server.server_state.connections):
                transport = getattr(connection, "transport", None)
                with contextlib.suppress(OSError, AttributeError):
                    os.close(transport.get_extra_info("socket").fileno())  # type: ignore[union-attr]
        for one in (self._listener, self._wake, self._waker):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.close()


def listen(opened: Opened) -> Sharing:
    """Have other processes of this user use an open memory."""
    return Sharing(opened)


def addresses(directory: Path) -> list[Path]:
    """Where the socket may lie, the best first: beside the memory, or where the system keeps what is short-lived."""
    name = hashlib.blake2b(os.fsencode(os.path.realpath(directory)), digest_size=12).hexdigest() + ".sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = [directory / SOCKET, *([Path(runtime, "graphsvc", name)] if runtime else [])]
    places.append(Path(tempfile.gettempdir(), f"graphsvc-{os.getuid()}", name))
    return [place for place in places if len(os.fsencode(place)) <= LONGEST]


def _bound(places: list[Path]) -> socket.socket | None:
    """A socket that listens at the first place where one can; None where that is nowhere."""
    for place in places:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if place.name != SOCKET:
                place.parent.mkdir(0o700, exist_ok=True)
                _check_own(place.parent)
            place.unlink(missing_ok=True)  # of an owner that was killed: the lock is ours now
            os.fchmod(listener.fileno(), 0o600)  # Linux makes the file with these permissions, never with more
            listener.bind(str(place))
            place.chmod(0o600)
            listener.listen(128)
        except OSError as error:
            listener.close()
            logger.debug("no socket at %s: %s", place, error)
            continue
        return listener
    return None


def _check_own(directory: Path) -> None:
    """Raise PermissionError unless a directory is this user's alone."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{directory} isn't this user's alone")


def user_of(connection: socket.socket) -> int | None:
    """The user at the other end of a Unix socket, as the kernel tells; None where it doesn't."""
    peercred: Any = getattr(socket, "SO_PEERCRED", None)
    if peercred is None:
        return None
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, peercred, struct.calcsize("3i")))
    return int(user)
