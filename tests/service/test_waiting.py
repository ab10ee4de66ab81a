"""Who waits at the service for what others do holds no turn: those who come to work get theirs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import graphsvc
from graphsvc.config import ServiceSettings
from graphsvc.errors import BadInput
from graphsvc.memory.aio import AsyncMemory, Threads
from graphsvc.remote import wire
from graphsvc.service.access import Caller
from graphsvc.service.app import application
from graphsvc.service.gate import Gate
from graphsvc.service.limits import Turns
from graphsvc.service.operations import Role
from graphsvc.service.repeats import begun

from .conftest import listening

FOLLOWERS = 80
SOON = 15.0
FEW = {f"GRAPHSVC_SERVICE_CONCURRENCY{of}": value for of, value in (("", "2"), ("_QUEUE", "2"), ("_WAIT", "5"))}
READER = Caller("reader", Role.READER)


def test_followers_wait_for_news_and_the_service_goes_on_working(served: Callable[..., str]) -> None:
    url = served(**FEW)

    async def use() -> None:
        async with graphsvc.aconnect(url) as memory:
            head = (await memory.status())["head"]
            waiting: list[asyncio.Task[Any]] = []
            for _ in range(FOLLOWERS):  # one by one: they aren't too many to come in
                waiting.append(asyncio.create_task(memory.changes(head, wait=60)))
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.5)
            assert not any(task.done() for task in waiting), [task for task in waiting if task.done()][:3]
            async with asyncio.timeout(SOON):
                assert (await memory.cypher("RETURN 1 AS one")).rows == [(1,)]
                stored = await memory.episodes.store(session="s", task="t")
                for found in await asyncio.gather(*waiting):
                    assert [change.id for change in found] == [stored.id]

    asyncio.run(use())


def test_a_turn_is_free_while_who_holds_it_waits_for_projections(tmp_path: Path) -> None:
    async def use() -> None:
        async with graphsvc.aopen(tmp_path / "memory", embedder="hashing") as memory:
            gate, turns = Gate(memory), Turns(1, 10, 1.0)
            turn = await turns.take()
            with memory._memory._opened.store.graph_follower.paused():
                await memory.episodes.store(session="s", task="t")
                waiting = begun(gate.call(READER, "wait", timeout=60, turn=turn), turn)
                await asyncio.sleep(0.3)
                assert not waiting.done()
                other = await turns.take()
            await asyncio.sleep(0.5)
            assert not waiting.done(), "another has its turn"
            other.leave()
            await asyncio.wait_for(waiting, SOON)
            await asyncio.sleep(0)  # the task has left
            assert free(turns) == 0, "the request has it yet"
            turn.leave()
            assert free(turns) == 1

    asyncio.run(use())


@pytest.mark.parametrize("other_has_it", [False, True])
def test_who_stops_waiting_gives_no_turn_back_twice(tmp_path: Path, other_has_it: bool) -> None:
    async def use() -> None:
        async with graphsvc.aopen(tmp_path / "memory", embedder="hashing") as memory:
            gate, turns = Gate(memory), Turns(1, 10, 1.0)
            head = (await memory.status())["head"]
            turn = await turns.take()
            waiting = begun(gate.call(READER, "changes", head, wait=60, turn=turn), turn)
            await asyncio.sleep(0.1)
            assert free(turns) == 1
            if other_has_it:
                other = await turns.take()
                await memory.episodes.store(session="s", task="t")
                await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            turn.leave()
            assert free(turns) == (0 if other_has_it else 1)
            if other_has_it:
                other.leave()
                assert free(turns) == 1

    asyncio.run(use())


def test_what_is_there_already_is_read_in_a_turn(tmp_path: Path) -> None:
    async def use() -> None:
        async with graphsvc.aopen(tmp_path / "memory", embedder="hashing") as memory:
            for _ in range(5):
                await memory.episodes.store_many([{"session": "s", "task": "t"}] * 500)
            gate, turns = Gate(memory), Turns(1, 10, 1.0)
            turn = await turns.take()
            reading = begun(gate.call(READER, "changes", 0, wait=60, turn=turn), turn)
            while not reading.done():
                assert free(turns) == 0
                await asyncio.sleep(0)
            assert len(reading.result()) > 0
            turn.leave()
            await asyncio.sleep(0)
            assert free(turns) == 1

    asyncio.run(use())


@pytest.mark.parametrize(
    ("name", "options"), [("changes", {"after": 1, "wait": 60}), ("wait", {"timeout": 60}), ("progress", {})]
)
@pytest.mark.parametrize("reported", [False, True])
def test_who_goes_waits_no_longer(tmp_path: Path, name: str, options: dict[str, Any], reported: bool) -> None:
    """Nobody would hear the answer; and held by no turn they would become more and more."""
    settings = ServiceSettings(rate=0.0, concurrency=2)
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as opened:
        app = application(AsyncMemory(opened, Threads(4)), settings)
        under_way = app.state.gate._under_way
        body = wire.encode({"options": options})
        headers = ["Host: localhost", f"Content-Type: {wire.MEDIA}", f"Content-Length: {len(body)}"]
        head = "\r\n".join([f"POST /call/{name} HTTP/1.1", *headers, *([f"{wire.PROGRESS}: 1"] if reported else [])])
        with listening(app, settings) as url, opened._opened.store.graph_follower.paused(), contextlib.ExitStack() as all:
            opened.episodes.store(session="s", task="t")
            for _ in range(20):
                place = ("127.0.0.1", int(url.rpartition(":")[2]))
                all.enter_context(socket.create_connection(place, timeout=10)).sendall(f"{head}\r\n\r\n".encode() + body)
            wait_until(lambda: len(under_way) == 20)
            all.close()
            wait_until(lambda: not under_way)


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_waits_under_one_key_keep_no_turns_from_each_other(served: Callable[..., str]) -> None:
    url = served(**FEW)
    body = wire.encode({"options": {"after": 0, "wait": 2}})
    headers = {"content-type": wire.MEDIA, wire.KEY: "the same for all"}

    async def use() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=SOON) as client:
            asked = []
            for _ in range(4):
                asked.append(asyncio.create_task(client.post("/call/changes", content=body, headers=headers)))
                await asyncio.sleep(0.05)
            assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 4

    asyncio.run(use())


def test_a_wait_may_be_longer_than_the_clients_patience_with_answers(served: Callable[..., str]) -> None:
    with graphsvc.connect(served(), timeout=1.0) as memory:
        began = time.monotonic()
        assert len(memory.changes(memory.status()["head"], wait=2)) == 0
        assert time.monotonic() - began > 1.9
        for wrong in (-1e9, 61, float("inf"), float("nan"), 10**400, True, "long"):
            with pytest.raises(BadInput):
                memory.changes(0, wait=wrong)  # type: ignore[arg-type]


def test_what_fails_while_waiting_gives_no_turn_back_twice(tmp_path: Path) -> None:
    async def use() -> None:
        async with graphsvc.aopen(tmp_path / "memory", embedder="hashing") as memory:
            gate, turns = Gate(memory), Turns(2, 10, 1.0)
            turn = await turns.take()
            for wrong in ({"wait": 61}, {"wait": "long"}, {"wait": np.ones(2)}, {"wait": 1, "kinds": ["none"]}):
                with pytest.raises(BadInput):
                    await gate.call(READER, "changes", 0, turn=turn, **wrong)
            turn.leave()
            assert free(turns) == 2

    asyncio.run(use())


def free(turns: Turns) -> int:
    return turns._turns._value
