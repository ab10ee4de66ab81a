"""A service that is told to stop: nobody is let in, who only waits is sent away, what is under way may end, for a while.

Then the memory is closed in order.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import graphsvc
from graphsvc.config import ServiceSettings
from graphsvc.errors import OutcomeUnknown, Unavailable
from graphsvc.memory.feed import Changes
from graphsvc.service.access import Caller
from graphsvc.service.app import application
from graphsvc.service.connections import connection
from graphsvc.service.events import Events
from graphsvc.service.gate import Gate
from graphsvc.service.operations import Role
from graphsvc.service.server import Server
from graphsvc.service.tls import context

from .test_attach import owning
from .test_client import Faulty, through
from .test_operated import figures
from .test_safe import certificate
from .test_supervisor import Service, service, tool

SOON = 6.0
"""Seconds in which it ends, where nothing is under way that takes time. What is may take twenty."""
BODY = b'{"query": "RETURN 1 AS one"}'
LONG = "MATCH (a:Episode), (b:Episode), (c:Episode), (d:Episode) WHERE a.task + b.task = c.task + d.task RETURN count(*)"
"""Takes minutes on some hundred episodes."""
ADMIN = Caller("ada", Role.ADMIN)


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("tls")
    cert, _ = certificate(folder, b"swordfish")
    (folder / "password").write_text("swordfish\n")
    found = ssl.create_default_context(cafile=str(cert))
    found.folder = folder  # type: ignore[attr-defined]
    return found


def secured(trusting: ssl.SSLContext) -> dict[str, str]:
    """The settings of a service that speaks TLS."""
    folder: Path = trusting.folder  # type: ignore[attr-defined]
    return {
        f"GRAPHSVC_SERVICE_TLS_{name}": str(folder / file)
        for name, file in (("CERT_FILE", "cert.pem"), ("KEY_FILE", "key.pem"), ("KEY_PASSWORD_FILE", "password"))
    }


# --- ends of connections ------------------------------------------------------------------------------


def connected(running: Service) -> socket.socket:
    """A connection; with TLS where the service speaks it."""
    host, port = running.url.rpartition("//")[2].split(":")
    end = socket.create_connection((host, int(port)), timeout=30)
    return running.verify.wrap_socket(end, server_hostname=host) if isinstance(running.verify, ssl.SSLContext) else end


def request(method: str, path: str, length: int = 0, *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *more]
    return "\r\n".join((*lines, f"Content-Length: {length}", "", "")).encode()


def everything(end: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    with suppress(ConnectionError, ssl.SSLEOFError):
        while part := end.recv(65_536):
            found += part
    return found


class UnderWay:
    """A request whose body hasn't come whole: it is taken in, which the service has said, and can't be answered."""

    def __init__(self, running: Service) -> None:
        self.end = connected(running)
        self.end.sendall(request("POST", "/cypher", len(BODY), "Expect: 100-continue"))
        assert self.end.recv(1_000).startswith(b"HTTP/1.1 100")
        self.end.sendall(BODY[:5])

    def answer(self) -> bytes:
        """Send the rest; what is answered, without what came before. The connection isn't closed here."""
        self.end.sendall(BODY[5:])
        return everything(self.end)


class HalfShaken:
    """A connection that was accepted and whose handshake isn't over: it is made when `end` is called."""

    def __init__(self, running: Service) -> None:
        assert isinstance(running.verify, ssl.SSLContext)
        host, port = running.url.rpartition("//")[2].split(":")
        self._plain = socket.create_connection((host, int(port)), timeout=10)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = running.verify.wrap_bio(self._in, self._out, server_hostname=host)
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self._plain.sendall(self._out.read())
        self._in.write(self._plain.recv(65_536))  # who answers has accepted

    def ask(self) -> bytes:
        """Shake hands, ask for /health; what comes until the other side closes."""
        found = b""
        with suppress(OSError):
            while True:
                try:
                    self._tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self._in.write(self._plain.recv(65_536))
            self._tls.write(request("GET", "/health"))
            self._plain.sendall(self._out.read())
            while part := self._plain.recv(65_536):
                self._in.write(part)
                with suppress(ssl.SSLWantReadError):
                    found += self._tls.read(65_536)
        return found


def stopping(running: Service) -> float:
    """Tell it to stop and wait until it began to: until it ends a connection on which nothing is asked."""
    idle = connected(running)
    idle.sendall(request("GET", "/health"))
    assert idle.recv(65_536).startswith(b"HTTP/1.1 200")
    running.process.terminate()
    began = time.monotonic()
    everything(idle)
    assert running.process.poll() is None, "something was under way"
    return began


# --- what is under way --------------------------------------------------------------------------------


def test_what_is_under_way_ends_and_nobody_else_is_let_in(tmp_path: Path, trusting: ssl.SSLContext) -> None:
    with service(tmp_path / "memory", trusting, **secured(trusting)) as running:
        under_way, late = UnderWay(running), HalfShaken(running)
        stopping(running)
        answer = late.ask()
        # It is told, if it may hear it: a connection that is closed with a request unread may be reset.
        assert not answer or (b" 503 " in answer and b"the service is ending" in answer), answer
        time.sleep(0.5)
        with pytest.raises(ConnectionRefusedError):
            connected(running)
        answer = under_way.answer()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()
        assert running.process.wait(SOON) == 0  # though `under_way` keeps its end open


def test_what_takes_longer_than_it_may_is_cut_off_without_an_answer(tmp_path: Path, trusting: ssl.SSLContext) -> None:
    with service(tmp_path / "memory", trusting, GRAPHSVC_SERVICE_DRAIN="2", **secured(trusting)) as running:
        under_way = UnderWay(running)
        began = stopping(running)
        assert everything(under_way.end) == b""
        assert running.process.wait(SOON) == 0
        assert 2.0 <= time.monotonic() - began < 2 + SOON
        assert "Traceback" not in running.told()


def test_without_a_time_to_drain_it_ends_at_once(tmp_path: Path) -> None:
    with service(tmp_path / "memory", GRAPHSVC_SERVICE_DRAIN="0") as running:
        under_way = UnderWay(running)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < SOON
        assert everything(under_way.end) == b""


def test_calls_that_are_cut_off_are_noted(tmp_path: Path) -> None:
    directory, noted = tmp_path / "memory", tmp_path / "audit"
    with graphsvc.open(directory, embedder="hashing") as memory:
        memory.episodes.store_many([{"session": "s", "task": f"task {n}"} for n in range(400)])
    settings = {"GRAPHSVC_SERVICE_DRAIN": "0.5", "GRAPHSVC_SERVICE_AUDIT_FILE": str(noted)}
    with ThreadPoolExecutor(2) as pool, service(directory, **settings) as running:

        def called() -> Any:
            with graphsvc.connect(running.url, timeout=10) as memory:
                return memory.cypher(LONG, timeout=60)

        call = pool.submit(called)
        post = pool.submit(httpx.post, f"{running.url}/cypher", json={"query": LONG, "timeout": 60}, timeout=60)
        wait_for_under_way(running, 2)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < SOON
        with pytest.raises(httpx.TransportError):
            post.result(20)
        with pytest.raises(Unavailable):
            call.result(20)
    lines = [json.loads(line) for line in noted.read_text().splitlines()]
    assert [(line["operation"], line["outcome"]) for line in lines] == [("cypher", "cancelled")] * 2


def wait_for_under_way(running: Service, requests: int) -> None:
    """Wait until so many are, beside the one that asks."""
    deadline = time.monotonic() + 30
    while True:
        found = figures(httpx.get(f"{running.url}/metrics").text)
        if found[("graphsvc_http_requests_under_way", ())] > requests:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


# --- who waits ----------------------------------------------------------------------------------------


def waits_for_changes(url: str) -> Any:
    with graphsvc.connect(url) as memory:
        return memory.changes(0, wait=60)


def listens(url: str, query: str) -> list[str]:
    asked, headers = {"query": query}, {"Accept": "text/event-stream"}
    with httpx.stream("POST", f"{url}/graphql", json=asked, headers=headers, timeout=60) as response:
        return [line for line in response.iter_lines() if line and line != ":"]


def listens_to_events(url: str) -> Any:
    return listens(url, "subscription { changed { n } }")


def listens_to_lag(url: str) -> Any:
    return listens(url, "subscription { lag { head } }")[2:]  # the first tells how it is


def listens_on_a_socket(url: str) -> Any:
    socket_url = url.replace("http", "ws") + "/graphql"
    with connect(socket_url, subprotocols=["graphql-transport-ws"]) as end:  # type: ignore[list-item]
        end.send(json.dumps({"type": "connection_init"}))
        assert json.loads(end.recv(10))["type"] == "connection_ack"
        end.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": "subscription { changed { n } }"}}))
        try:
            return end.recv(60)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return closed.rcvd.code


def is_told(lines: Any) -> bool:
    event, data, *end = lines
    (error,) = json.loads(data.removeprefix("data: "))["errors"]
    return bool(
        event == "event: next" and end == ["event: complete", "data:"]
        and error["extensions"]["code"] == "unavailable" and error["extensions"]["retryable"]
    )  # fmt: skip


WAITING: list[tuple[Callable[[str], Any], Callable[[Any], bool]]] = [
    (waits_for_changes, lambda found: isinstance(found, Changes) and len(found) == 0),
    (listens_to_events, is_told),
    (listens_to_lag, is_told),
    (listens_on_a_socket, lambda found: found == 1012),
]


def test_who_only_waits_for_news_is_sent_away_and_keeps_nothing_from_ending(tmp_path: Path) -> None:
    with ThreadPoolExecutor(len(WAITING)) as pool, service(tmp_path / "memory") as running:
        answers = [pool.submit(wait, running.url) for wait, _ in WAITING]
        wait_for_under_way(running, len(WAITING) - 1)  # a WebSocket is no request
        time.sleep(1.0)
        assert not any(answer.done() for answer in answers), answers
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < SOON
        for answer, (wait, is_right) in zip(answers, WAITING, strict=True):
            found = answer.result(10)
            assert is_right(found), (wait.__name__, found)
        told = running.told()
        assert "Traceback" not in told
        assert '"event": "slow"' not in told


def test_an_owner_that_closes_sends_its_callers_away_who_wait(tmp_path: Path) -> None:
    directory = tmp_path / "memory"
    with owning(directory) as owner:
        found: list[Any] = []

        def wait() -> None:
            with graphsvc.open(directory) as memory:
                assert memory.attached
                found.append(memory.changes(0, wait=60))

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(2.0)
        assert not found
        began = time.monotonic()
        owner.communicate(timeout=30)
        assert time.monotonic() - began < SOON
        waiting.join(10)
        assert [len(changes) for changes in found] == [0]


@contextmanager
def looking_away(running: Service) -> Iterator[None]:
    """Clients that keep their ends of connections and don't look at them: the service closes and isn't answered."""
    with ExitStack() as stack:

        def end() -> socket.socket:
            return stack.enter_context(connected(running))

        def asked(sent: bytes, awaited: bytes) -> None:
            one = end()
            one.sendall(sent)
            found = b""
            while awaited not in found:
                found += one.recv(65_536)

        end()
        asked(request("GET", "/health"), b"200 OK")
        asked(request("GET", "/health", 0, "Connection: close"), b"200 OK")
        body = json.dumps({"query": "subscription { lag { head } }"}).encode()
        asked(request("POST", "/graphql", len(body), "Accept: text/event-stream") + body, b"event: next")
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        more = ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: graphql-transport-ws")
        asked(request("GET", "/graphql", 0, *upgrade, *more), b"101 ")
        yield


def test_who_keeps_a_connection_and_does_not_look_keeps_nothing_from_ending(
    tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    settings = secured(trusting) | {"GRAPHSVC_SERVICE_KEEP_ALIVE": "2"}
    with service(tmp_path / "memory", trusting, **settings) as running, looking_away(running):
        time.sleep(2.5)  # the idle ones are closed by now, and with TLS wait for their clients
        with looking_away(running):
            began = time.monotonic()
            assert running.stop() == 0
            assert time.monotonic() - began < SOON
            assert "Exception" not in running.told()


def test_the_end_of_an_answer_comes_to_who_reads_slowly(tmp_path: Path, trusting: ssl.SSLContext) -> None:
    """What the system hasn't taken yet lies below TLS, which doesn't count it: here as little as that is left."""
    folder: Path = trusting.folder  # type: ignore[attr-defined]
    settings = ServiceSettings(
        tls_cert_file=str(folder / "cert.pem"), tls_key_file=str(folder / "key.pem"), tls_key_password="swordfish"
    )
    size = 64 << 20

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", str(size).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(size)})

    async def nothing() -> None:
        pass

    def asked(port: int) -> ssl.SSLSocket:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        plain.connect(("127.0.0.1", port))
        end = trusting.wrap_socket(plain, server_hostname="127.0.0.1")
        end.sendall(request("GET", "/"))
        return end

    async def main() -> None:
        nonlocal size
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, http=connection(settings), ws="none", lifespan="off", log_config=None,
            ssl_context_factory=lambda *_: context(settings),  # type: ignore[arg-type, return-value]
        )  # fmt: skip
        server = Server(config, 20.0, nothing)
        serving = asyncio.create_task(server.serve([listener]))
        for _ in range(50):
            end = await asyncio.to_thread(asked, listener.getsockname()[1])
            await asyncio.sleep(0.5)
            (one,) = server.server_state.connections
            left = server.server_state.below(one.transport).get_write_buffer_size()
            if 0 < left < 60_000:
                break
            end.close()
            size += 30_000 if not left else 30_000 - left
            while server.server_state.connections:
                await asyncio.sleep(0.05)
        else:
            raise AssertionError("no size of which only the end is left")
        server.should_exit = True
        await asyncio.sleep(3.0)
        found = await asyncio.to_thread(everything, end)
        end.close()
        await serving
        assert len(found.partition(b"\r\n\r\n")[2]) == size

    asyncio.run(main())


# --- in one process -----------------------------------------------------------------------------------


def test_who_begins_to_listen_in_the_moment_of_the_end_is_told(path: Path) -> None:
    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            events = Events(Gate(memory))

            async def all_of(found: Any) -> None:
                async for _ in found:
                    pass

            sources = [events.changes(ADMIN), events.status(ADMIN, until_done=False)]
            tasks = [asyncio.create_task(all_of(source)) for source in sources]
            await asyncio.sleep(0)  # each asks how far the log is, in a thread
            await events.close()
            found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
            assert [type(error) for error in found] == [Unavailable, Unavailable]
            for late in (events.changes(ADMIN), events.status(ADMIN, until_done=False)):
                with pytest.raises(Unavailable):
                    await all_of(late)

    asyncio.run(main())


def test_who_asks_again_and_again_while_it_ends_waits_a_little(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory._opened.end_waits()
        began = time.monotonic()
        memory.changes(memory.status()["head"], wait=60)
        assert 0.9 < time.monotonic() - began < SOON


def test_a_memory_whose_application_ended_is_as_it_was(path: Path) -> None:
    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            app = application(memory, ServiceSettings())
            async with app.router.lifespan_context(app):
                pass
            began = time.monotonic()
            await memory.changes((await memory.status())["head"], wait=2)
            assert time.monotonic() - began > 1.9

    asyncio.run(main())


# --- the memory ---------------------------------------------------------------------------------------


def assert_closed(directory: Path, running: Service) -> None:
    """The memory was closed in order: nothing waits to be made up for."""
    files = {file.name for file in directory.iterdir()}
    assert not files & {"graphsvc.sock", "graph.in-use", "memory.sqlite-wal"}, files
    assert "in order" not in running.told()


def test_the_memory_is_closed_in_order_however_often_it_is_told(tmp_path: Path) -> None:
    """Whoever stops a service may tell each of its processes, and more than once."""
    directory = tmp_path / "memory"
    with service(directory) as running, httpx.Client() as client:
        for n in range(50):
            tool(client, running.url, "store_episode", {"session": "s", "task": f"task {n}"})
        worker = running.worker()
        while running.process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGTERM)
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        assert running.process.returncode == 0
        assert_closed(directory, running)
        assert (directory / "hot.columns").exists()


def test_told_to_stop_before_it_is_ready_it_ends_in_order_too(tmp_path: Path) -> None:
    class Hasty(Service):
        def wait_ready(self, seconds: float = 60) -> float:
            deadline = time.monotonic() + seconds
            while not (directory / "graphsvc.sock").exists():  # the worker has opened the memory
                assert time.monotonic() < deadline
                time.sleep(0.001)
            return 0.0

    directory = tmp_path / "memory"
    running = Hasty(directory)
    assert running.stop() == 0
    assert_closed(directory, running)


def test_what_answers_in_the_services_stead_may_have_sent_a_call_on(tmp_path: Path) -> None:
    """A proxy says 502 where the service went away within a call: whether it was done isn't known then."""
    directory = tmp_path / "memory"
    way = Faulty()
    with service(directory) as first, graphsvc.connect(first.url) as memory:
        memory.skills.create(name="k", id="k")
        memory.skills.create(name="x", id="x")
        era = memory._link.peer.era  # type: ignore[attr-defined]
        first.stop()
    with service(directory) as second, through(way, second.url) as memory:
        memory._link.peer.era = era  # type: ignore[attr-defined]  # as if it had first been sent to the first
        way.plan = ["bad gateway"]
        with pytest.raises(OutcomeUnknown):
            memory.skills.link("k", "x", "calls")
