"""How much at once: rates, turns, bodies, heads, slow senders and readers, connections."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from graphsvc.config import ServiceSettings
from graphsvc.service.access import Caller
from graphsvc.service.connections import AHEAD, FILES
from graphsvc.service.limits import BUCKETS, MOST_AGAIN, Body, Buckets, Concurrency, Pace, Rate, Turns
from graphsvc.service.operations import Role

from .conftest import listening


class Known:
    """Says of each request that it comes from whom its header `x-who` says."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            who = dict(scope["headers"]).get(b"x-who", b"").decode()
            scope.setdefault("state", {})["caller"] = Caller(who, Role.READER, identity=who)
        await self.app(scope, receive, send)


@contextlib.contextmanager
def running(**values: Any) -> Iterator[tuple[str, ServiceSettings]]:
    """The limits before routes of a few lines, on a real server."""
    settings = ServiceSettings(**{"rate": 0.0, **values})

    async def length(request: Request) -> Response:
        return JSONResponse(len(await request.body()))

    async def slow(request: Request) -> Response:
        await asyncio.sleep(float(request.query_params.get("seconds", 0.3)))
        return JSONResponse("done")

    async def unread(request: Request) -> Response:
        return JSONResponse("not read")

    async def events(request: Request) -> Response:
        async def some() -> Any:
            for _ in range(5):
                yield b"data: 1\n\n"
                await asyncio.sleep(0.2)

        return StreamingResponse(some(), media_type="text/event-stream")

    async def large(request: Request) -> Response:
        return Response(b"x" * (64 << 20))

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(Exception):
            while True:
                await socket.send_text(await socket.receive_text())

    methods = ["GET", "POST"]
    app = Starlette(
        routes=[
            *(Route(f"/{view.__name__}", view, methods=methods) for view in (length, slow, unread, events, large)),
            Route("/ready", unread), WebSocketRoute("/echo", echo),
        ],
        middleware=[
            Middleware(Known),
            Middleware(Rate, buckets=Buckets(settings.rate, settings.rate_burst), ending=asyncio.Event()),
            Middleware(Body, most=settings.max_body_bytes, seconds=settings.body_timeout),
            Middleware(Concurrency, turns=Turns(settings.concurrency, settings.concurrency_queue, settings.concurrency_wait)),
        ],
    )  # fmt: skip
    with listening(app, settings) as url:
        yield url, settings


def raw(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10)


def to_the_end(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            found += piece
    return found


def at_once(number: int, ask: Callable[[], httpx.Response]) -> list[httpx.Response]:
    found: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: found.append(ask())) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    now = 0.0
    buckets = Buckets(10, 5, lambda: now)
    assert [buckets.take("a") for _ in range(5)] == [0] * 5
    assert buckets.take("a") == pytest.approx(0.1)
    assert buckets.take("b") == 0
    taken = 0
    for step in range(1, 1_001):
        now = step / 100
        taken += buckets.take("a") == 0
    assert taken == 100
    now += 1_000
    assert [buckets.take("a") == 0 for _ in range(6)] == [True] * 5 + [False]
    assert Buckets(0, 1).take("a") == Buckets(1, 1).take("") == 0


def test_many_tokens_are_taken_at_once_or_none() -> None:
    now = 0.0
    buckets = Buckets(10, 5, lambda: now)
    assert buckets.take("a", 3) == 0
    assert buckets.take("a", 3) == pytest.approx(0.1)
    assert buckets.take("a", 2) == 0
    now = 0.5
    assert buckets.take("a", 1_000) == 0  # as many as there may be
    assert buckets.take("a") > 0


def test_buckets_are_bounded_and_forget_who_was_away_longest() -> None:
    buckets = Buckets(1, 1, lambda: 0.0)
    for number in range(BUCKETS + 10):
        buckets.take(str(number))
        buckets.take("stays")
    assert len(buckets._left) == BUCKETS
    assert buckets.take("stays") > 0


def test_who_asks_more_than_their_rate_is_told_when_to_come_again_and_others_are_not() -> None:
    with running(rate=5.0, rate_burst=10) as (url, _), httpx.Client(base_url=url) as client:
        answers = [client.get("/unread", headers={"x-who": "a"}) for _ in range(12)]
        assert [answer.status_code for answer in answers[:10]] == [200] * 10
        refused = answers[-1]
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "rate_limited"
        assert refused.json()["error"]["retryable"]
        assert client.get("/unread", headers={"x-who": "b"}).status_code == 200
        time.sleep(float(refused.headers["retry-after"]))
        assert client.get("/unread", headers={"x-who": "a"}).status_code == 200


def test_messages_of_a_websocket_wait_for_their_rate() -> None:
    with (
        running(rate=20.0, rate_burst=5) as (url, _),
        connect(url.replace("http", "ws") + "/echo", additional_headers={"x-who": "a"}, proxy=None) as socket,
    ):
        began = time.monotonic()
        for number in range(14):
            socket.send(str(number))
        assert [socket.recv(timeout=5) for _ in range(14)] == [str(number) for number in range(14)]
        assert time.monotonic() - began > 0.4


def test_beyond_turns_and_queue_requests_are_told_to_come_again() -> None:
    with running(concurrency=2, concurrency_queue=2, concurrency_wait=5) as (url, _):
        answers = at_once(8, lambda: httpx.get(f"{url}/slow"))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200] * 4 + [503] * 4
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "overloaded"
        assert [answer.status_code for answer in at_once(4, lambda: httpx.get(f"{url}/slow"))] == [200] * 4


def test_those_refused_are_told_to_come_one_behind_the_other_as_fast_as_turns_end() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    pace.begin()
    assert pace.refuse() < 1, "nothing is known yet"
    for _ in range(100):
        pace.end()
    now[0] = 2.0  # fifty a second
    waits = [pace.refuse() for _ in range(100)]
    assert waits == pytest.approx([number / 50 for number in range(1, 101)])
    for _ in range(int(MOST_AGAIN * 50) - 100):
        assert pace.refuse() <= MOST_AGAIN
    late = sorted(pace.refuse() for _ in range(1_000))
    assert MOST_AGAIN / 2 <= late[0] < MOST_AGAIN * 0.51
    assert max(b - a for a, b in itertools.pairwise(late)) < 0.1, "evenly spread"
    now[0] = 100.0
    assert pace.refuse() <= 1, "who was told to come has come"


def test_who_waits_too_long_for_a_turn_is_told_to_come_again_and_the_watch_is_answered() -> None:
    with running(concurrency=1, concurrency_wait=0.1) as (url, _):
        answers: list[httpx.Response] = []
        others = threading.Thread(target=lambda: answers.extend(at_once(3, lambda: httpx.get(f"{url}/slow?seconds=2"))))
        others.start()
        time.sleep(0.05)
        assert httpx.get(f"{url}/ready").status_code == 200
        others.join()
        assert sorted(answer.status_code for answer in answers) == [200, 503, 503]


def test_streams_of_events_hold_no_turn() -> None:
    with running(concurrency=1, concurrency_wait=0.2) as (url, _), httpx.stream("GET", f"{url}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "data: 1"
        assert httpx.get(f"{url}/unread").status_code == 200
        assert sum(line == "data: 1" for line in lines) == 4


def test_a_body_over_its_limit_is_refused_by_its_length_or_as_it_comes() -> None:
    with running(max_body_bytes=100_000) as (url, _):
        assert httpx.post(f"{url}/length", content=b"x" * 100_000).json() == 100_000
        with raw(url) as connection:  # by its length, before a byte of it came
            connection.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n")
            assert connection.recv(1_000).startswith(b"HTTP/1.1 413 ")

        def pieces(number: int) -> Iterator[bytes]:
            for _ in range(number):
                yield b"x" * 10_000

        assert httpx.post(f"{url}/length", content=pieces(10)).json() == 100_000
        sent = 0
        with raw(url) as connection:  # in chunks without an end: answered long before one
            connection.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(40):
                    sent += 10_000
                    connection.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            assert connection.recv(1_000).startswith(b"HTTP/1.1 413 ")


def test_large_bodies_together_are_limited_too() -> None:
    with running(max_body_bytes=10_000) as (url, _), contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(raw(url)) for _ in range(8)]
        for connection_ in waiting:
            connection_.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n" + b"x" * 9_999)
        time.sleep(0.2)
        refused = httpx.post(f"{url}/length", content=b"x" * 9_000)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert httpx.get(f"{url}/unread").status_code == 200
        for connection_ in waiting:
            connection_.sendall(b"x")
            assert connection_.recv(1_000).startswith(b"HTTP/1.1 200 ")
        assert httpx.post(f"{url}/length", content=b"x" * 9_000).json() == 9_000


def test_a_body_that_comes_too_slowly_is_given_up_and_holds_no_turn_meanwhile() -> None:
    with running(body_timeout=0.6, concurrency=1, concurrency_wait=0.1) as (url, _), raw(url) as connection:
        connection.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        assert httpx.get(f"{url}/unread").status_code == 200
        assert connection.recv(1_000).startswith(b"HTTP/1.1 408 ")


def test_the_rest_of_a_refused_body_is_not_waited_for_long() -> None:
    with running(max_body_bytes=1_000) as (url, _), raw(url) as connection:
        connection.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 4:
                connection.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 4


def test_a_head_is_limited_in_size_number_and_time() -> None:
    with running(max_header_bytes=4_000, header_timeout=0.5) as (url, _):
        for head in (
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 5_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 5_000,
            b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
            b"\r\n" * 5_000,
        ):
            with raw(url) as connection:
                connection.sendall(head)
                answer = to_the_end(connection)
                assert answer.startswith(b"HTTP/1.1 431 "), (head[:60], answer)
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_large"
        for start, answered in ((b"GET / HTTP/1.1\r\n", b"HTTP/1.1 408 "), (b"", b"")):
            with raw(url) as connection:
                connection.sendall(start)
                began = time.monotonic()
                assert to_the_end(connection)[:13] == answered
                assert 0.3 < time.monotonic() - began < 3
        with raw(url) as connection:  # a byte now and then is no excuse
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                for byte in b"GET /" + b"a" * 100:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)
            assert time.monotonic() - began < 3


def test_a_second_request_on_a_connection_has_its_time_too() -> None:
    with running(header_timeout=0.5) as (url, _), raw(url) as connection:
        for _ in range(3):
            connection.sendall(b"GET /unread HTTP/1.1\r\nHost: x\r\n\r\n")
            found = b""
            while not found.endswith(b'"not read"'):
                part = connection.recv(1_000)
                assert part, found
                found += part
            time.sleep(0.6)  # to rest between two is something else
        connection.sendall(b"GET /unread HTTP/1.1\r\n")
        assert to_the_end(connection).startswith(b"HTTP/1.1 408 ")


def test_what_stands_after_a_body_is_limited_and_changes_nothing() -> None:
    with running(max_header_bytes=4_000) as (url, _):
        for after, answered in ((b"0\r\nX-Who: root\r\n\r\n", b"HTTP/1.1 200 "), (b"0\r\nX: " + b"t" * 9_000, b"HTTP/1.1 431 "),
                                (b"1;" + b"e" * 9_000, b"HTTP/1.1 431 ")):  # fmt: skip
            with raw(url) as connection:
                connection.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
                time.sleep(0.1)
                connection.sendall(after)
                assert connection.recv(1_000).startswith(answered)


def test_requests_sent_ahead_are_answered_in_order_up_to_a_limit() -> None:
    one = b"GET /unread HTTP/1.1\r\nHost: x\r\n\r\n"
    with running() as (url, _):
        with raw(url) as connection:
            connection.sendall(one * (AHEAD - 1) + b"GET /unread HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert to_the_end(connection).count(b"HTTP/1.1 200 ") == AHEAD
        with raw(url) as connection:
            connection.sendall(one * 2_000)
            assert to_the_end(connection).count(b"HTTP/1.1 ") <= AHEAD + 1
        with raw(url) as connection:  # what isn't HTTP comes after: what was asked is answered, and then it ends
            connection.sendall(one + b"\x00\x01\r\n\r\n")
            answer = to_the_end(connection)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.count(b"HTTP/1.1") == 1


def test_who_takes_nothing_of_an_answer_is_cut_off() -> None:
    with running(write_timeout=0.5, concurrency=1, concurrency_wait=5) as (url, _), raw(url) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1.5)
        assert len(to_the_end(connection)) < 64 << 20
        assert httpx.get(f"{url}/unread").status_code == 200


def test_connections_beyond_their_number_are_told_to_come_again() -> None:
    with running(connections=3) as (url, _), contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(raw(url))
        time.sleep(0.1)
        with raw(url) as connection:
            answer = to_the_end(connection)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer.lower()
        stack.close()
        time.sleep(0.1)
        assert httpx.get(f"{url}/unread").status_code == 200


def test_as_many_files_may_be_open_as_connections_take_or_there_are_fewer_connections() -> None:
    told = (
        "import resource; from graphsvc.service.connections import allow_files;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}));"
        "print(allow_files({connections}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )

    def allowed(**given: int) -> list[int]:
        command = [sys.executable, "-c", told.format(**given)]
        return [int(number) for number in subprocess.check_output(command, text=True).split()]

    assert allowed(soft=256, hard=4_096, connections=2_000) == [2_000, 2_000 + FILES]
    assert allowed(soft=256, hard=4_096, connections=20_000) == [4_096 - FILES, 4_096]
    assert allowed(soft=256, hard=1_024, connections=20_000) == [512, 1_024]
    assert allowed(soft=4_096, hard=4_096, connections=100) == [100, 4_096]
