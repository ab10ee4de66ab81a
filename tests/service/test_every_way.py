"""The limits hold whatever way a caller comes: WebSocket, event stream, batch, calls, tools, the owner's own socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets import Subprotocol
from websockets.sync.client import ClientConnection, connect

import graphsvc
from graphsvc.config import ServiceSettings
from graphsvc.memory.aio import AsyncMemory
from graphsvc.remote import wire
from graphsvc.service.app import application
from graphsvc.service.keys import FILE, Keys

from .conftest import listening, serving
from .test_operated import figures

COUNT = "{ episodes { totalCount } }"
SLOW_SECONDS = 0.6


@contextlib.contextmanager
def application_of(path: Path, slow: bool = True, **values: Any) -> Iterator[str]:
    """A service within this process. `slow`: counting episodes takes a while, as if there were many."""
    settings = ServiceSettings(rate=0.0 if "rate" not in values else values.pop("rate"), **values)
    opened = graphsvc.open(path, embedder="hashing")
    from graphsvc.memory.aio import Threads

    memory = AsyncMemory(opened, Threads(4))
    if slow:
        count = memory.episodes.statistics

        async def slowly(*args: Any, **options: Any) -> Any:
            await asyncio.sleep(SLOW_SECONDS)
            return await count(*args, **options)

        memory.episodes.statistics = slowly  # type: ignore[method-assign]
    try:
        with listening(application(memory, settings), settings) as url:
            yield url
    finally:
        opened.close()


STATISTICS = "{ episodeStatistics { count } }"


@contextlib.contextmanager
def socket_to(url: str, **headers: str) -> Iterator[ClientConnection]:
    address, protocol = f"{url.replace('http', 'ws')}/graphql", Subprotocol("graphql-transport-ws")
    options: dict[str, Any] = {"subprotocols": [protocol], "additional_headers": headers, "proxy": None}
    with connect(address, **options, close_timeout=1) as socket:  # who waits for their rate isn't heard before
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv())["type"] == "connection_ack"
        yield socket


def sent(socket: ClientConnection, *queries: str) -> dict[str, dict[str, Any]]:
    """The first answer to each of these operations, by its number."""
    for number, query in enumerate(queries):
        socket.send(json.dumps({"id": str(number), "type": "subscribe", "payload": {"query": query}}))
    found: dict[str, dict[str, Any]] = {}
    while len(found) < len(queries):
        message = json.loads(socket.recv(timeout=20))
        if message["type"] in ("next", "error"):
            found.setdefault(message["id"], message)
    return found


def streamed(url: str, query: str) -> Any:
    text = httpx.post(
        f"{url}/graphql", json={"query": query}, headers={"Accept": "text/event-stream"}, timeout=20
    ).text  # fmt: skip
    assert text.endswith("event: complete\ndata:\n\n")
    return json.loads(text.split("data: ")[1].split("\n")[0])


def test_operations_of_a_websocket_and_streams_take_turns_with_requests(path: Path) -> None:
    with application_of(path, concurrency=1, concurrency_queue=2, concurrency_wait=10.0) as url, socket_to(url) as socket:
        began = time.monotonic()
        found = sent(socket, *[STATISTICS] * 3)
        assert time.monotonic() - began > 2.9 * SLOW_SECONDS  # one after another
        assert all(message["type"] == "next" for message in found.values())
        found = sent(socket, *[STATISTICS] * 6)
        refused = [message["payload"][0]["extensions"] for message in found.values() if message["type"] == "error"]
        assert [error["code"] for error in refused] == ["overloaded"] * 3
        assert all(error["retryable"] for error in refused)


def test_a_stream_takes_a_turn_for_its_work_and_none_while_it_waits(path: Path) -> None:
    with application_of(path, concurrency=1, concurrency_queue=0) as url:

        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(streamed, url, STATISTICS)
            time.sleep(SLOW_SECONDS / 2)
            assert httpx.post(f"{url}/graphql", json={"query": COUNT}).status_code == 503
            assert answer.result()["data"] == {"episodeStatistics": {"count": 0}}
        with httpx.stream(
            "POST", f"{url}/graphql", json={"query": "subscription { changed { n } }"}, headers={"Accept": "text/event-stream"}
        ):  # fmt: skip
            assert httpx.post(f"{url}/graphql", json={"query": COUNT}).status_code == 200


@pytest.mark.parametrize("way", ["post", "websocket", "stream"])
def test_a_document_has_its_time_whatever_way_it_came(path: Path, way: str) -> None:
    with application_of(path, graphql_timeout=0.1) as url:
        began = time.monotonic()
        if way == "post":
            error = httpx.post(f"{url}/graphql", json={"query": STATISTICS}).json()["errors"][0]
        elif way == "stream":
            error = streamed(url, STATISTICS)["errors"][0]
        else:
            with socket_to(url) as socket:
                error = sent(socket, STATISTICS)["0"]["payload"][0]
        assert error["extensions"]["code"] == "query_timeout"
        assert time.monotonic() - began < SLOW_SECONDS


@pytest.mark.parametrize("way", ["websocket", "stream"])
def test_what_a_document_may_cost_holds_for_what_lasts(path: Path, way: str) -> None:
    bomb = "{ episodes(first: 1000) { nodes { skills(first: 1000) { nodes { id } } } } }"
    with application_of(path, slow=False) as url:
        if way == "stream":
            answer = httpx.post(f"{url}/graphql", json={"query": bomb}, headers={"Accept": "text/event-stream"}).json()
            code = answer["errors"][0]["extensions"]["code"]
        else:
            with socket_to(url) as socket:
                code = sent(socket, bomb)["0"]["payload"][0]["extensions"]["code"]
        assert code == "too_large"


def ask_call(url: str, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(f"{url}/call/episodes.count", content=wire.encode({"options": {}}), headers=headers)


TOOL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "statistics", "arguments": {}}}
WAYS: dict[str, Callable[[str, dict[str, str]], httpx.Response]] = {
    "graphql": lambda url, key: httpx.post(f"{url}/graphql", json={"query": COUNT}, headers=key),
    "graphql by get": lambda url, key: httpx.get(f"{url}/graphql", params={"query": COUNT}, headers=key),
    "event stream": lambda url, key: httpx.post(
        f"{url}/graphql", json={"query": COUNT}, headers={**key, "Accept": "text/event-stream"}
    ),
    "cypher": lambda url, key: httpx.post(f"{url}/cypher", json={"query": "RETURN 1"}, headers=key),
    "call": ask_call,
    "tools": lambda url, key: httpx.post(
        f"{url}/mcp", json=TOOL, headers={**key, "Accept": "application/json, text/event-stream"}
    ),
}


def test_every_way_counts_against_one_rate_and_a_batch_as_many_as_it_holds(tmp_path: Path) -> None:
    directory = tmp_path / "memory"
    graphsvc.open(directory, embedder="hashing").close()
    headers = []
    for name in ("a", "b", "c"):
        text = Keys(directory / FILE).create(name, "admin", None, datetime.now(UTC))[1]
        headers.append({"Authorization": f"Bearer {text}"})
    first, second, third = headers
    rates = {"GRAPHSVC_SERVICE_RATE": "0.05", "GRAPHSVC_SERVICE_RATE_BURST": str(len(WAYS))}
    with serving(directory, **rates) as url:
        for name, way in WAYS.items():
            assert way(url, first).status_code == 200, name
        for name, way in WAYS.items():
            refused = way(url, first)
            assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True), name
        batch = [{"query": COUNT}] * (len(WAYS) - 1)
        assert httpx.post(f"{url}/graphql", json=batch, headers=second).status_code == 200
        refused = httpx.post(f"{url}/graphql", json=batch[:2], headers=second)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (429, "rate_limited")
        with socket_to(url, **third) as socket:  # the greeting was a message, too
            for number in range(len(WAYS)):
                socket.send(json.dumps({"id": str(number), "type": "subscribe", "payload": {"query": COUNT}}))
            answered = 0
            with pytest.raises(TimeoutError):
                while True:
                    answered += json.loads(socket.recv(timeout=2))["type"] == "next"
            assert answered <= len(WAYS) - 2
        began = time.monotonic()
    assert time.monotonic() - began < 10, "who waits for their rate keeps it from ending"


def test_tools_keep_no_stream_open(path: Path) -> None:
    with application_of(path, slow=False) as url:
        assert httpx.get(f"{url}/mcp", headers={"Accept": "text/event-stream"}, timeout=5).status_code == 405


def test_callers_of_the_owners_socket_are_counted_and_noted(tmp_path: Path) -> None:
    directory, noted = tmp_path / "memory", tmp_path / "audit"
    with serving(directory, "--audit-file", str(noted)) as url:
        with graphsvc.open(directory) as memory:
            assert memory.attached
            memory.episodes.store(session="s", task="t", id="e1")
            assert memory.episodes.count() == 1
            with pytest.raises(graphsvc.GraphsvcError):
                memory.episodes.amend("none", reward=1.0)
        found = figures(httpx.get(f"{url}/metrics").text)
    assert found["graphsvc_operations_total", (("operation", "episodes.store"), ("outcome", "ok"))] == 1
    assert found["graphsvc_operations_total", (("operation", "episodes.count"), ("outcome", "ok"))] == 1
    lines = [json.loads(line) for line in noted.read_text().splitlines()]
    shown = [(line["caller"], line["operation"], line["ids"], line["outcome"]) for line in lines]
    assert shown == [
        ("attached", "episodes.store", ["e1"], "done"), ("attached", "episodes.amend", ["none"], "not_found"),
    ]  # fmt: skip


def test_a_call_keeps_its_turn_when_who_asked_goes(path: Path) -> None:
    with application_of(path, concurrency=1, concurrency_queue=0) as url:
        body = wire.encode({"options": {}})
        with httpx.stream(
            "POST", f"{url}/call/episodes.statistics", content=body, headers={"graphsvc-progress": "1"}
        ) as stream:
            assert stream.status_code == 200  # begun, and left
        assert httpx.post(f"{url}/graphql", json={"query": COUNT}).status_code == 503
        time.sleep(2 * SLOW_SECONDS)
        assert httpx.post(f"{url}/graphql", json={"query": COUNT}).status_code == 200
