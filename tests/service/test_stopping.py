"""A service that is told to stop: nobody is let in, who only waits is sent away, what is under way may end, for a while."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import graphsvc
from graphsvc.errors import OutcomeUnknown
from graphsvc.memory.feed import Changes

from .test_attach import owning
from .test_client import Faulty, through
from .test_safe import certificate
from .test_supervisor import Service, service

SOON = 5.0
"""Seconds in which it ends, where nothing is under way that takes time. What is may take twenty."""
BODY = b'{"query": "RETURN 1 AS one"}'


@contextmanager
def secured(tmp_path: Path, **environment: str) -> Iterator[tuple[Service, ssl.SSLContext]]:
    cert, private = certificate(tmp_path, b"swordfish")
    (tmp_path / "password").write_text("swordfish\n")
    trusting = ssl.create_default_context(cafile=str(cert))
    environment |= {
        "GRAPHSVC_SERVICE_TLS_CERT_FILE": str(cert), "GRAPHSVC_SERVICE_TLS_KEY_FILE": str(private),
        "GRAPHSVC_SERVICE_TLS_KEY_PASSWORD_FILE": str(tmp_path / "password"),
    }  # fmt: skip
    with service(tmp_path / "memory", trusting, **environment) as running:
        yield running, trusting


def connected(running: Service) -> socket.socket:
    host, port = running.url.rpartition("//")[2].split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def head(method: str, path: str, length: int) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {length}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def everything(end: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    with suppress(ConnectionError):
        while part := end.recv(65_536):
            found += part
    return found


def begun_to_stop(running: Service) -> float:
    """Tell it to stop, and give it the time to have heard."""
    running.process.terminate()
    began = time.monotonic()
    time.sleep(1.0)
    assert running.process.poll() is None, "something was under way"
    return began


def test_what_is_under_way_ends_and_who_was_accepted_before_is_not_let_in_after(tmp_path: Path) -> None:
    with secured(tmp_path) as (running, trusting):
        under_way = trusting.wrap_socket(connected(running), server_hostname="127.0.0.1")
        under_way.sendall(head("POST", "/cypher", len(BODY)) + BODY[:5])
        late = connected(running)  # accepted; it speaks when the service stops already
        time.sleep(0.5)
        began = begun_to_stop(running)
        answer = b""
        with suppress(OSError):
            late = trusting.wrap_socket(late, server_hostname="127.0.0.1")
            late.sendall(head("GET", "/health", 0))
            answer = everything(late)
        # It is told, if it may hear it: a connection that is closed with a request unread may be reset.
        assert not answer or (b" 503 " in answer and b"the service is ending" in answer), answer
        under_way.sendall(BODY[5:])
        answer = everything(under_way)
        under_way.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()
        assert running.process.wait(SOON) == 0
        assert time.monotonic() - began < 1 + SOON


def test_a_connection_that_is_kept_for_later_keeps_nothing_from_ending(tmp_path: Path) -> None:
    with secured(tmp_path) as (running, trusting), httpx.Client(verify=trusting) as client:
        assert client.get(f"{running.url}/health").status_code == 200
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < SOON


def waits_for_changes(url: str) -> Any:
    with graphsvc.connect(url) as memory:
        return memory.changes(0, wait=60)


def listens_to_events(url: str) -> Any:
    query = {"query": "subscription { changed { n } }"}
    headers = {"Accept": "text/event-stream"}
    with httpx.stream("POST", f"{url}/graphql", json=query, headers=headers, timeout=60) as response:
        return [line for line in response.iter_lines() if line and line != ":"]


def listens_to_lag(url: str) -> Any:
    query = {"query": "subscription { lag { head } }"}
    headers = {"Accept": "text/event-stream"}
    with httpx.stream("POST", f"{url}/graphql", json=query, headers=headers, timeout=60) as response:
        return [line for line in response.iter_lines() if line and line != ":"][2:]


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
    with service(tmp_path / "memory") as running, ThreadPoolExecutor(len(WAITING)) as pool:
        answers = [pool.submit(wait, running.url) for wait, _ in WAITING]
        time.sleep(2.0)
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


def test_what_takes_longer_than_it_may_is_cut_off_without_an_answer(tmp_path: Path) -> None:
    with service(tmp_path / "memory", GRAPHSVC_SERVICE_DRAIN="2") as running:
        end = connected(running)
        end.sendall(head("POST", "/cypher", len(BODY)) + BODY[:5])
        time.sleep(0.5)
        began = begun_to_stop(running)
        assert everything(end) == b""
        assert running.process.wait(SOON) == 0
        assert 2.0 <= time.monotonic() - began < 2 + SOON
        assert "Traceback" not in running.told()


def test_without_a_time_to_drain_it_ends_at_once(tmp_path: Path) -> None:
    with service(tmp_path / "memory", GRAPHSVC_SERVICE_DRAIN="0") as running:
        end = connected(running)
        end.sendall(head("POST", "/cypher", len(BODY)) + BODY[:5])
        time.sleep(0.5)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < SOON
        assert everything(end) == b""


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
