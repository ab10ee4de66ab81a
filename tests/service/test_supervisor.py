"""The worker may end; the service doesn't. What was acknowledged is there afterwards, whatever ended it."""

from __future__ import annotations

import json
import mmap
import os
import signal
import ssl
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

import graphsvc
from graphsvc.config import ServiceSettings
from graphsvc.service import supervisor
from graphsvc.service.supervisor import ALLOCATORS, Supervisor

from .conftest import free_port

pytestmark = pytest.mark.chaos

RESTART_SECONDS = 3.0


class Service:
    """`graphsvc serve` as a process, with what it logs. `verify`: trusts its certificate, where it speaks TLS."""

    def __init__(self, directory: Path, verify: ssl.SSLContext | None = None, **environment: str) -> None:
        graphsvc.open(directory, embedder="hashing").close()
        self.url = f"{'https' if verify else 'http'}://127.0.0.1:{free_port()}"
        self.verify = verify or True
        self.log = directory.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "graphsvc", "serve", str(directory), "--port", self.url.rpartition(":")[2]],
                env={**os.environ, **environment}, stderr=log, stdout=log,
            )  # fmt: skip
        self.wait_ready()

    def wait_ready(self, seconds: float = 60) -> float:
        """Wait until it answers; how long that took."""
        began = time.monotonic()
        while True:
            try:
                if httpx.get(f"{self.url}/ready", timeout=5, verify=self.verify).status_code == 200:
                    return time.monotonic() - began
            except httpx.TransportError:
                pass
            assert self.process.poll() is None, self.told()
            assert time.monotonic() - began < seconds, self.told()
            time.sleep(0.02)

    def told(self) -> str:
        """The last of what it logged, requests left out."""
        lines = self.log.read_text().splitlines()
        return "\n".join([line for line in lines if '"event": "request"' not in line][-20:])

    def worker(self) -> int:
        """The worker's pid. Between two there is none for a moment."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.01)
        return int(found[0])

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@contextmanager
def service(directory: Path, verify: ssl.SSLContext | None = None, **environment: str) -> Iterator[Service]:
    running = Service(directory, verify, **environment)
    try:
        yield running
    finally:
        running.stop()


def tool(client: httpx.Client, url: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool as MCP over HTTP has it."""
    response = client.post(
        f"{url}/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}},
        headers={"Accept": "application/json, text/event-stream"},
    )
    response.raise_for_status()
    found: dict[str, Any] = response.json()["result"]
    assert not found.get("isError"), found
    return found


class Load:
    """Threads that store episodes one after the other, each sent again until it is acknowledged, and some that read.

    Attributes:
        acknowledged: ids. failures: errors after which it would be wrong to send again. read: answers to readers.
    """

    def __init__(self, url: str, writers: int, readers: int = 2) -> None:
        self.acknowledged: set[str] = set()
        self.failures: list[str] = []
        self.read = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(url, self._write, n)) for n in range(writers)]
        self._threads += [threading.Thread(target=self._run, args=(url, self._read, n)) for n in range(readers)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _run(self, url: str, call: Callable[[httpx.Client, str, int, int], None], number: int) -> None:
        n = 0
        with httpx.Client(timeout=30) as client:
            while not self._stop.is_set():
                try:
                    call(client, url, number, n)
                except (httpx.TransportError, httpx.HTTPStatusError) as error:
                    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code not in (429, 503):
                        self.failures.append(f"{error!r}: {error.response.text}")
                    time.sleep(0.01)
                    continue
                except Exception as error:
                    self.failures.append(repr(error))
                n += 1

    def _write(self, client: httpx.Client, url: str, number: int, n: int) -> None:
        id = f"w{number}-{n}"
        tool(client, url, "store_episode", {"session": f"s{number}", "task": "t", "id": id})
        self.acknowledged.add(id)

    def _read(self, client: httpx.Client, url: str, number: int, n: int) -> None:
        query = "MATCH (e:Episode) RETURN count(e) AS n"
        client.post(f"{url}/cypher", json={"query": query}).raise_for_status()
        tool(client, url, "retrieve_episodes", {"text": f"t {n}", "k": 3})
        self.read += 1

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def stored(directory: Path) -> set[str]:
    with graphsvc.open(directory) as memory:
        assert memory.verify().ok
        return {episode.id for episode in memory.episodes.list(k=10_000)}


def kill_amid_writers(directory: Path, writers: int, rounds: int) -> None:
    """Kill the worker while many write: each acknowledged write is there, and readers see what may be asked again."""
    with service(directory) as running:
        with Load(running.url, writers) as load:
            for _ in range(rounds):
                time.sleep(1.0)
                os.kill(running.worker(), signal.SIGKILL)
                time.sleep(0.05)
                assert running.wait_ready() < 5 * RESTART_SECONDS, running.told()
            time.sleep(0.5)
        acknowledged = load.acknowledged
        assert not load.failures
        assert load.read
        metrics = httpx.get(f"{running.url}/metrics").text
        assert f"graphsvc_worker_restarts {rounds:.1f}" in metrics
    assert acknowledged
    assert acknowledged <= stored(directory)


def test_killed_amid_writers_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    kill_amid_writers(tmp_path / "memory", 64, 2)


@pytest.mark.slow
def test_killed_ten_times_amid_64_writers_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    kill_amid_writers(tmp_path / "memory", 64, 10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_under_load_it_drains_and_loses_nothing(tmp_path: Path, number: int) -> None:
    directory = tmp_path / "memory"
    with service(directory) as running:
        with Load(running.url, 64) as load:
            deadline = time.monotonic() + 60
            while len(load.acknowledged) < 100:  # some are only connecting then
                assert time.monotonic() < deadline
                time.sleep(0.02)
            began = time.monotonic()
            assert running.stop(number) == 0
            assert time.monotonic() - began < 15  # of twenty that what is under way might take
        acknowledged = load.acknowledged
        assert not load.failures
    assert acknowledged <= stored(directory)


def test_a_worker_that_takes_too_much_memory_is_started_anew(tmp_path: Path) -> None:
    directory = tmp_path / "memory"
    # The limit lies above what a worker takes at rest, and below what it takes while it answers these.
    with service(directory, GRAPHSVC_SERVICE_WORKER_MEMORY_BYTES=str(400 << 20)) as running:
        first = running.worker()
        query = {"query": "UNWIND range(1, 3000000) AS i RETURN collect(i)", "limit": 1}
        grow = {"query": "UNWIND range(1, 1000000) AS i RETURN i, 'a long text that takes memory' + cast(i AS STRING) AS t"}
        deadline = time.monotonic() + 60
        while running.worker() == first and time.monotonic() < deadline:
            for body in (grow, query):
                try:
                    httpx.post(f"{running.url}/cypher", json=body, timeout=60)
                except httpx.TransportError:
                    break
        assert running.worker() != first
        running.wait_ready()
        assert "MiB of memory" in running.log.read_text()


def test_without_a_setting_a_worker_may_take_a_share_of_the_machine_or_of_its_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "CONTAINER", ())
    machine = supervisor.machine_bytes()
    assert machine > 1 << 29
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(supervisor, "CONTAINER", (str(tmp_path / "none"), str(limit)))
    for text, most in (("max\n", machine), (f"{1 << 30}\n", min(machine, 1 << 30))):
        limit.write_text(text)
        assert supervisor.machine_bytes() == most
        with supervisor.listen(ServiceSettings(port=0)) as listener:
            assert Supervisor(tmp_path, ServiceSettings(), listener)._limit == int(most * supervisor.SHARE)
            assert Supervisor(tmp_path, ServiceSettings(worker_memory_bytes=5), listener)._limit == 5


def test_the_worker_takes_its_memory_where_its_threads_share_it(tmp_path: Path) -> None:
    with service(tmp_path / "memory", GRAPHSVC_SERVICE_WARM="false") as running:
        environment = Path(f"/proc/{running.worker()}/environ").read_bytes().split(b"\0")
        assert {f"{name}={value}".encode() for name, value in ALLOCATORS.items()} <= set(environment)
    said = subprocess.run(
        [sys.executable, "-c", "import pyarrow; print(pyarrow.default_memory_pool().backend_name)"],
        env={**os.environ, **ALLOCATORS}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "system\n"


def test_pages_of_mapped_files_arent_a_process_s_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (64 << 20))
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        before, whole = supervisor.own_bytes(os.getpid()), supervisor.resident_bytes(os.getpid())
        assert sum(mapped[:: mmap.PAGESIZE]) > 0
        assert supervisor.resident_bytes(os.getpid()) - whole > 60 << 20
        assert supervisor.own_bytes(os.getpid()) - before < 16 << 20


def test_a_worker_that_hangs_is_started_anew(tmp_path: Path) -> None:
    with service(tmp_path / "memory", GRAPHSVC_SERVICE_WORKER_SILENCE="4") as running:
        first = running.worker()
        os.kill(first, signal.SIGSTOP)
        # On a starved machine this may be one that has just been started anew, and has longer to begin to speak.
        deadline = time.monotonic() + supervisor.START_SECONDS + 30
        while time.monotonic() < deadline:
            try:
                if running.worker() != first:
                    break
            except (IndexError, FileNotFoundError):
                pass
            time.sleep(0.05)
        assert running.worker() != first
        running.wait_ready()


def test_a_service_whose_supervisor_is_killed_ends_and_lets_go_of_the_memory(tmp_path: Path) -> None:
    directory = tmp_path / "memory"
    with service(directory) as running:
        worker = running.worker()
        running.process.kill()
        running.process.wait()
        deadline = time.monotonic() + 30
        while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{worker}").exists()
    assert stored(directory) == set()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "graphsvc", "serve", *arguments], capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def test_what_cant_be_served_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    none = run(str(tmp_path / "none"), "--port", "0")
    assert none.returncode == 1
    assert "not_a_memory" in none.stderr
    assert "Traceback" not in none.stderr
    graphsvc.open(tmp_path / "memory", embedder="hashing").close()
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = run(str(tmp_path / "memory"), "--port", str(taken.getsockname()[1]), "--json")
    assert busy.returncode == 1
    assert json.loads(busy.stderr.splitlines()[-1])["error"]["code"] == "unavailable"
