"""Who waits for what others do keeps nobody from working: not on loops of their own, not on threads."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import BadInput, Closed
from graphsvc.log.sleepers import Sleepers
from graphsvc.memory.aio import LONG, WAITING

MANY = 4 * (LONG + WAITING)
SOON = 10.0
"""Far less than what is waited for, far more than what it takes."""


async def asleep(tasks: list[asyncio.Task[Any]]) -> None:
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in tasks), [task for task in tasks if task.done()][:3]


def test_any_number_waits_for_changes_and_keeps_nothing_from_being_done(path: Path) -> None:
    async def use() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            head = (await memory.status())["head"]
            threads = threading.active_count()
            waiting = [asyncio.create_task(memory.changes(head, wait=60)) for _ in range(MANY)]
            await asleep(waiting)
            assert threading.active_count() == threads
            async with asyncio.timeout(SOON):
                found = await memory.cypher("RETURN 1 AS one")
                assert found.rows == [(1,)]
                stored = await memory.episodes.store(session="s", task="t", wait="graph")
                for changes in await asyncio.gather(*waiting):
                    assert [change.id for change in changes] == [stored.id]

    asyncio.run(use())


def test_a_wait_for_changes_ends_after_its_time_and_with_the_memory(path: Path) -> None:
    async def use() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.episodes.store(session="s", task="t")
            head = (await memory.status())["head"]
            began = time.monotonic()
            found = await memory.changes(head, wait=0.4)
            assert (len(found), found.reached) == (0, head)
            assert 0.3 < time.monotonic() - began < SOON
            assert len(await memory.changes(0, wait=60)) == 1, "there is something already"
            with pytest.raises(BadInput, match="wait"):
                await memory.changes(head, wait=61)
            waiting = asyncio.create_task(memory.changes(head, wait=60))
            await asleep([waiting])
            given_up = asyncio.create_task(memory.changes(head, wait=60))
            await asleep([given_up])
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
        assert len(await asyncio.wait_for(waiting, SOON)) == 0
        with pytest.raises(Closed):
            await memory.changes(head, wait=60)

    asyncio.run(use())


def test_a_thread_that_waits_for_changes_waits_no_longer_than_the_memory_is_open(path: Path) -> None:
    memory = graphsvc.open(path, embedder="hashing")
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(memory.changes(0, wait=60)))
    thread.start()
    time.sleep(0.3)
    assert not found
    memory.close()
    thread.join(SOON)
    assert [len(changes) for changes in found] == [0]
    with pytest.raises(Closed):
        memory.changes(0, wait=60)


def test_sleepers_of_any_loop_are_told_and_none_is_missed_or_kept() -> None:
    sleepers = Sleepers()
    reached = 0
    told: list[int] = []

    async def sleep() -> None:
        for number in range(1, 201):
            await sleepers.until(lambda number=number: reached >= number, 30)  # type: ignore[misc]
            told.append(number)

    async def several() -> None:
        await asyncio.gather(*(sleep() for _ in range(5)))

    loops = [threading.Thread(target=asyncio.run, args=(several(),)) for _ in range(2)]
    for loop in loops:
        loop.start()
    began = time.monotonic()
    for _ in range(200):
        reached += 1
        sleepers.rouse()
        time.sleep(0.001)
    for loop in loops:
        loop.join(SOON)
    assert time.monotonic() - began < SOON
    assert sorted(told) == [number for number in range(1, 201) for _ in range(10)]
    assert not sleepers._asleep
    sleepers.rouse()


def test_who_sleeps_is_not_roused_on_a_loop_that_has_gone() -> None:
    sleepers = Sleepers()
    loop = asyncio.new_event_loop()
    task = loop.create_task(sleepers.until(lambda: False, 60))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    sleepers.rouse()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_sleeper_leaves_nothing_behind_when_its_time_is_over() -> None:
    sleepers = Sleepers()
    asyncio.run(sleepers.until(lambda: False, 0.01))
    assert not sleepers._asleep
