"""A memory served on loopback, on a free port, in a process of its own, ended by its own pid."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

import graphsvc
from graphsvc.config import ServiceSettings
from graphsvc.service.connections import connection
from graphsvc.service.server import Server


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(directory: Path, *options: str, log: Path | None = None, **environment: str) -> Iterator[str]:
    """`graphsvc serve` on a memory (made if there is none): the address that it listens on, once it is ready.

    `log`: a file for all that it prints.
    """
    if not (directory / "graphsvc.json").exists():
        graphsvc.open(directory, embedder="hashing").close()
    port = free_port()
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log is not None else None
        process = subprocess.Popen(
            [sys.executable, "-m", "graphsvc", "serve", str(directory), "--port", str(port), *options],
            env={**os.environ, **environment}, stdout=output, stderr=output,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, f"the service ended with {process.returncode}"
            try:
                if httpx.get(f"{url}/ready", timeout=5).status_code in (200, 401):
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, "the service didn't become ready"
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A function that serves a directory until the test ends, and gives the address."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda directory=tmp_path / "memory", *options, **environment: stack.enter_context(
            serving(directory, *options, **environment)
        )


@contextlib.contextmanager
def listening(app: Any, settings: ServiceSettings) -> Iterator[str]:
    """An application on connections of the service's kind, in a thread of this process: the address."""

    async def stopped() -> None:
        pass

    server = Server(
        uvicorn.Config(app, port=0, log_config=None, http=connection(settings), ws="websockets-sansio", lifespan="off"),
        settings.drain, stopped,
    )  # fmt: skip
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
