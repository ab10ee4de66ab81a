"""Who waits at the service for what others do holds no turn: those who come to work get theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import BadInput
from graphsvc.service.access import Caller
from graphsvc.service.gate import Gate
from graphsvc.service.limits import Turns
from graphsvc.service.operations import Role
from graphsvc.service.repeats import begun

FOLLOWERS = 80
SOON = 15.0
READER = Caller("reader", Role.READER)


def test_followers_wait_for_news_and_the_service_goes_on_working(served: Callable[..., str]) -> None:
    url = served(concurrency="2", concurrency_queue="2", concurrency_wait="5")

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


def test_what_fails_while_waiting_gives_no_turn_back_twice(tmp_path: Path) -> None:
    async def use() -> None:
        async with graphsvc.aopen(tmp_path / "memory", embedder="hashing") as memory:
            gate, turns = Gate(memory), Turns(2, 10, 1.0)
            turn = await turns.take()
            for wrong in ({"wait": 61}, {"wait": "long"}, {"wait": 1, "kinds": ["none"]}):
                with pytest.raises(BadInput):
                    await gate.call(READER, "changes", 0, turn=turn, **wrong)
            turn.leave()
            assert free(turns) == 2

    asyncio.run(use())


def free(turns: Turns) -> int:
    return turns._turns._value
