"""Servers in processes of their own, on loopback and a free port, ended by their own pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from graphsvc.service.supervisor import resident_bytes

READY_SECONDS = 120.0
STOP_SECONDS = 120.0
LOOK_SECONDS = 0.005
HASHING = {"GRAPHSVC_EMBEDDER": "hashing"}


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers.

    Attributes:
        process: that was started. port: where it listens. ready_seconds: from its start until it answered.
    """

    process: subprocess.Popen[bytes]
    port: int
    ready_seconds: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def worker(self) -> int:
        """The pid of the process that works: a service's supervisor has one of it."""
        pid = self.process.pid
        found = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        children = [int(child) for child, parent in map(str.split, found.splitlines()) if int(parent) == pid]
        return children[0] if children else pid

    def worker_mib(self) -> float:
        """Memory that the worker takes, in MiB."""
        return resident_bytes(self.worker()) / 2**20

    def text(self, path: str) -> str:
        """What a path answers."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return str(answer.read().decode())

    def counted(self, name: str) -> float:
        """A figure without labels, of `/metrics`."""
        lines = self.text("/metrics").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@contextmanager
def service(directory: Path, log: Path, **settings: str) -> Iterator[Server]:
    """`graphsvc serve` on a memory; settings as in the environment, `GRAPHSVC_SERVICE_` left out."""
    port = free_port()
    environment = {**os.environ, **{f"GRAPHSVC_SERVICE_{name.upper()}": value for name, value in settings.items()}}
    command = [sys.executable, "-m", "graphsvc", "serve", str(directory), "--port", str(port)]
    with _running(command, port, "/ready", log, environment) as server:
        yield server


@contextmanager
def application(name: str, log: Path) -> Iterator[Server]:
    """An ASGI application as uvicorn serves it, with the loop and the parser that the service has."""
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", name, "--port", str(port), "--loop", "asyncio", "--http", "httptools",
        "--ws", "websockets-sansio", "--timeout-keep-alive", "75",
    ]  # fmt: skip
    with _running(command, port, "/health", log, dict(os.environ)) as server:
        yield server


@contextmanager
def _running(command: list[str], port: int, path: str, log: Path, environment: dict[str, str]) -> Iterator[Server]:
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            if process.poll() is not None or time.perf_counter() - began > READY_SECONDS:
                raise RuntimeError(f"{command[3]} isn't ready:\n{log.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(LOOK_SECONDS)
        yield Server(process, port, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
