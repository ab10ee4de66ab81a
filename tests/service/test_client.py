"""The client over HTTP: what is sent again, what never is, what it says when things go wrong."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest

import graphsvc
from graphsvc.errors import (
    BadInput,
    Closed,
    Conflict,
    Forbidden,
    GraphsvcError,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
    Unsupported,
)
from graphsvc.memory.namespaces import Namespaces
from graphsvc.remote import wire
from graphsvc.remote.client import AsyncLink, Link, RemoteAsyncMemory, RemoteMemory, linked
from graphsvc.remote.link import Peer
from graphsvc.service.operations import OPERATIONS

from .conftest import free_port, serving

GOOD: dict[str, Any] = {"session": "s", "task": "t"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("client") / "memory") as address:
        yield address


class Faulty(httpx.BaseTransport):
    """A way on which things go wrong: `plan` says what with each request; then all is well."""

    def __init__(self, *plan: str) -> None:
        self.plan = list(plan)
        self.sent = 0
        self._real = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        fault = self.plan.pop(0) if request.method == "POST" and self.plan else ""
        self.sent += 1
        if fault == "unsent":
            raise httpx.ConnectError("refused")
        if fault == "bad gateway":  # of what stands before the service
            return httpx.Response(502, headers={"content-type": "text/html"}, content=b"<h1>502 Bad Gateway</h1>")
        if fault == "busy":
            content = wire.encode(RateLimited("too many", retry_after=0.2))
            return httpx.Response(429, headers={"content-type": wire.MEDIA, "retry-after": "1"}, content=content)
        response = self._real.handle_request(request)
        if fault == "lost":
            response.read()
            response.close()
            raise httpx.ReadError("the answer was lost")
        return response


def through(way: Faulty, url: str, timeout: float = 20.0) -> RemoteMemory:
    """A client whose requests go this way."""
    return linked(Link(Peer(url, None, timeout), httpx.Client(transport=way, base_url=url)), Namespaces())


# --- what is sent again -------------------------------------------------------------------------------


WRITES: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any], Any]] = [
    ("store", lambda m: m.episodes.store(session="w", task="t"), lambda m: m.episodes.count({"session": "w"}), 1),
    ("store_many", lambda m: m.episodes.store_many([{"session": "v", "task": "t"}] * 3),
     lambda m: m.episodes.count({"session": "v"}), 3),
    ("outcome", lambda m: m.skills.record_outcome("k", success=True), lambda m: m.skills.get("k").uses, 1),
    ("feedback", lambda m: m.feedback("asked", {"e": 1.0}), lambda m: len(m.feedbacks(record="e")), 1),
    ("add", lambda m: m.graph.add("Thing", [{"id": 1}]), lambda m: m.cypher("MATCH (t:Thing) RETURN count(t)").value(), 1),
    ("delete", lambda m: m.episodes.delete("gone"), lambda m: m.episodes.count({"session": "d"}), 0),
]  # fmt: skip


@pytest.fixture(scope="module")
def filled(url: str) -> str:
    with graphsvc.connect(url) as memory:
        memory.skills.create(name="k", id="k")
        memory.episodes.store(**GOOD, id="e")
        memory.episodes.store(session="d", task="t", id="gone")
        memory.graph.define("Thing", {"id": int}, key="id")
    return url


@pytest.mark.parametrize(
    ("name", "write", "count", "expected"), WRITES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_write_whose_answer_was_lost_twice_is_done_once_and_answers(
    filled: str, name: str, write: Callable[[Any], Any], count: Callable[[Any], Any], expected: Any
) -> None:
    way = Faulty("unsent", "lost", "busy", "lost")
    with through(way, filled) as memory:
        result = write(memory)
        assert way.plan == []
        assert count(memory) == expected
        assert result is not None
        if name == "delete":
            assert result == 1, "the answer of the first time"


def test_a_busy_service_is_asked_again_after_the_time_that_it_says(url: str) -> None:
    with through(Faulty("busy", "busy"), url) as memory:
        began = time.monotonic()
        memory.episodes.count()
        assert time.monotonic() - began >= 0.4


def test_what_is_sent_again_ends_with_the_time_of_the_call(url: str) -> None:
    with through(Faulty(*["unsent"] * 1000), url, timeout=0.5) as memory:
        began = time.monotonic()
        with pytest.raises(Unavailable) as kept:
            memory.episodes.store(**GOOD)
        assert time.monotonic() - began < 3
        assert kept.value.retryable
    with through(Faulty(*["lost"] * 1000), url, timeout=0.5) as memory:
        with pytest.raises(OutcomeUnknown) as unknown:
            memory.episodes.store(**GOOD, id="one id")
        assert "id='one id'" in unknown.value.hint
        assert not unknown.value.retryable
        with pytest.raises(Unavailable):
            memory.episodes.get("one id")


def test_after_a_restart_a_write_without_an_id_is_not_done_again(tmp_path: Path) -> None:
    """The service remembers keys while it lives; what it doesn't remember it doesn't do a second time."""
    directory = tmp_path / "memory"
    way = Faulty()
    with serving(directory) as first, graphsvc.connect(first) as memory:
        memory.skills.create(name="k", id="k")
        era = memory._link.peer.era  # type: ignore[attr-defined]
    with serving(directory) as second:
        way.plan = ["lost", "lost"]
        with through(way, second) as memory:
            memory.skills.record_outcome("k", success=True)  # under its own id: done once, answered
            assert memory.skills.get("k").uses == 1
            memory._link.peer.era = era  # type: ignore[attr-defined]  # as if it had first been sent to the first
            way.plan = ["lost", ""]
            request = memory._link.peer.prepared(
                "skills.link", {"source": "k", "target": "x", "type": "calls"}, None, ()
            )  # type: ignore[attr-defined]
            memory._link.peer.begun(request)  # type: ignore[attr-defined]
            request.perhaps = True
            headers = memory._link.peer.begun(request)  # type: ignore[attr-defined]
            answer = httpx.post(f"{second}/call/skills.link", content=request.body, headers=headers)
            assert isinstance(wire.decode(answer.content), OutcomeUnknown)


def test_a_key_means_one_call(url: str) -> None:
    def post(options: dict[str, Any], **headers: str) -> Any:
        body = wire.encode({"options": options})
        return wire.decode(httpx.post(f"{url}/call/entities.upsert", content=body, headers=headers).content)

    key = {"Idempotency-Key": "a key of mine"}
    one = post({"kind": "city", "name": "Rome"}, **key)
    assert post({"kind": "city", "name": "Rome"}, **key) == one
    assert isinstance(post({"kind": "city", "name": "Oslo"}, **key), Conflict)
    assert isinstance(post({"kind": "city", "name": "Oslo"}, **{"Idempotency-Key": "short"}), BadInput)


def test_calls_that_are_under_way_under_one_key_are_one(url: str) -> None:
    async def many() -> set[bytes]:
        body = wire.encode({"options": {"query": "UNWIND range(1, 2000) AS x RETURN sum(x)"}})
        async with httpx.AsyncClient() as client:
            posts = [
                client.post(f"{url}/call/cypher", content=body, headers={"Idempotency-Key": "at the same time"})
                for _ in range(5)
            ]
            return {answer.content for answer in await asyncio.gather(*posts)}

    assert len(asyncio.run(many())) == 1, "the seconds that it took are the same, too"


# --- what goes wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["localhost:8080", "ftp://x", "", 5, "file:///etc"])
def test_what_is_no_address_is_bad_input(address: Any) -> None:
    with pytest.raises(BadInput):
        graphsvc.connect(address)


def test_where_nobody_listens_it_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        graphsvc.connect(f"http://127.0.0.1:{free_port()}", timeout=0.5)


def test_another_program_at_the_address_is_unsupported() -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(Unsupported, match="no service of graphsvc"):
            graphsvc.connect(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"timeout": 0}, BadInput), ({"timeout": "x"}, BadInput), ({"token": "ä"}, BadInput), ({"token": "a\nb"}, BadInput),
     ({"shared": ["a"]}, BadInput), ({"agent": 5}, BadInput)],
)  # fmt: skip
def test_arguments_are_checked_before_anything_is_sent(
    url: str, options: dict[str, Any], kind: type[GraphsvcError]
) -> None:
    with pytest.raises(kind):
        graphsvc.connect(url, **options)


def test_a_closed_client_says_so(url: str) -> None:
    memory = graphsvc.connect(url)
    bound = memory.as_agent("a")
    assert "attached" not in repr(memory)
    memory.close()
    memory.close()
    for handle in (memory, bound):
        with pytest.raises(Closed):
            handle.episodes.count()
    assert "closed" in repr(memory)


def test_a_client_that_is_closed_amid_calls_ends_them_with_that() -> None:
    """Not with an error of the library below. A write may have been done, or not: that is said."""

    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            over.wait(20)

        def log_message(self, *_: Any) -> None:
            pass

    over = Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    Thread(target=server.serve_forever).start()
    address = f"http://127.0.0.1:{server.server_port}"

    async def use() -> None:
        client = httpx.AsyncClient(base_url=address, limits=httpx.Limits(max_connections=2))
        memory = RemoteAsyncMemory(AsyncLink(Peer(address, None, 20.0), client), Namespaces(None))
        calls = [
            asyncio.create_task(memory.changes(0, wait=30)), asyncio.create_task(memory.episodes.store(**GOOD)),
            asyncio.create_task(memory.episodes.count()),  # has no connection yet
        ]  # fmt: skip
        await asyncio.sleep(0.5)
        await memory.close()
        read, written, late = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 2)
        assert isinstance(read, Closed), repr(read)
        assert isinstance(written, OutcomeUnknown), repr(written)
        assert isinstance(late, Closed), repr(late)

    try:
        asyncio.run(use())
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def test_a_write_that_was_only_refused_is_not_in_doubt_when_the_client_is_closed() -> None:
    busy = wire.encode(RateLimited("too many", retry_after=5))

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"content-type": wire.MEDIA, "retry-after": "5"}, content=busy)

    async def use() -> None:
        client = httpx.AsyncClient(base_url="http://nobody", transport=httpx.MockTransport(refuse))
        memory = RemoteAsyncMemory(AsyncLink(Peer("http://nobody", None, 20.0), client), Namespaces(None))
        writing = asyncio.create_task(memory.episodes.store(**GOOD))
        await asyncio.sleep(0.2)
        await memory.close()
        with pytest.raises(Closed):
            await asyncio.wait_for(writing, 2)

    asyncio.run(use())


def test_files_of_another_machine_are_not_to_be_had(url: str) -> None:
    with graphsvc.connect(url) as memory:
        with pytest.raises(Forbidden, match="files of the service's machine"):
            memory.snapshot("/tmp/nothing")
        with pytest.raises(Forbidden):
            memory.path  # noqa: B018
        body = wire.encode({"options": {"path": "/tmp/nothing"}})
        assert httpx.post(f"{url}/call/snapshot", content=body).status_code == 403


def test_functions_run_here_where_they_can_and_are_refused_where_not(url: str) -> None:
    told: list[Any] = []
    with graphsvc.connect(url) as memory:
        memory.progress(told.append)
        assert told
        assert set(told[-1].values()) == {0}
        memory.skills.create(name="chosen")
        assert memory.skills.choose("chosen", rng=random.Random(1)) is not None
        with pytest.raises(Unsupported):
            memory.brief("x", count=len)
        with pytest.raises(Unsupported):
            memory.reembed(lambda texts: texts)
        shares: list[Any] = []
        memory.reembed("hashing", report=lambda *far: shares.append(far))
        memory.skills.consolidate(dry_run=True, progress=lambda *far: shares.append(far))


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("episodes.get", b"", 400), ("episodes.get", b"\xc1", 400), ("episodes.get", wire.encode([1]), 400),
        ("episodes.get", wire.encode({"options": {}}), 400), ("episodes.get", wire.encode({"options": {"x": 1}}), 400),
        ("episodes.get", wire.encode({"options": {"id": "x", "agent_bound": "y"}}), 400), ("nothing", wire.encode({}), 403),
        ("close", wire.encode({}), 403), ("as_agent", wire.encode({"options": {"agent": "a"}}), 403),
        ("_memory", wire.encode({}), 403), ("episodes.get", wire.encode({"options": {"id": "x"}}), 404),
        ("episodes.get", wire.encode({"options": {"id": "x"}, "agent": 5}), 400),
        ("progress", wire.encode({"options": {"report": 5}}), 400), ("progress", wire.encode({}), 200),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly_is_an_error_with_its_status(url: str, name: str, body: bytes, status: int) -> None:
    answer = httpx.post(f"{url}/call/{name}", content=body)
    assert answer.status_code == status
    said = wire.decode(answer.content)
    assert isinstance(said, GraphsvcError) == (status != 200)


def test_feedback_on_hits_that_were_made_up_reaches_no_other_namespace(url: str) -> None:
    with graphsvc.connect(url) as memory:
        memory.episodes.store(**GOOD, id="secret", agent="theirs")
        hits = memory.episodes.retrieve("t", agent="theirs")
        with pytest.raises(GraphsvcError) as there:
            memory.as_agent("ours").feedback(hits, ["secret"])
        assert there.value.code in ("not_found", "bad_input")


# --- the same interface -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "cypher.write"])
def test_a_verb_has_the_arguments_and_the_help_of_the_embedded_one(url: str, name: str) -> None:
    group, _, verb = name.rpartition(".")
    for kind in (graphsvc.remote.client.RemoteMemory, graphsvc.remote.client.RemoteAsyncMemory):
        of = graphsvc.remote.client._FAR if kind is RemoteMemory else graphsvc.remote.client._FAR_ASYNC
        theirs = getattr(of[group] if group else kind, verb)
        assert inspect.signature(theirs) == inspect.signature(OPERATIONS[name].verb)
        assert theirs.__doc__ == OPERATIONS[name].verb.__doc__
        assert inspect.iscoroutinefunction(theirs) == (kind is not RemoteMemory)


def test_it_is_a_memory_and_takes_wrong_arguments_as_one(url: str) -> None:
    with graphsvc.connect(url, agent="a") as memory:
        assert isinstance(memory, graphsvc.Memory)
        assert memory.agent == "a"
        with pytest.raises(TypeError):
            memory.episodes.get()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            memory.episodes.store(nothing=1)  # type: ignore[call-arg]
        with pytest.raises(Unsupported):
            memory._opened  # noqa: B018
