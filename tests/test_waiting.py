"""Who waits for what others do keeps nobody from working: not on loops of their own, not on threads."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import BadInput, Closed, StorageFull, WaitTimeout
from graphsvc.log.sleepers import SLICE, Sleepers
from graphsvc.memory.aio import LONG

MANY = 10 * LONG
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


def test_a_follower_misses_nothing_that_is_stored_the_moment_it_looks(path: Path) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with graphsvc.open(path, embedder="hashing") as memory:

            def store() -> None:
                for number in range(1_000):
                    memory.episodes.store(session="s", task=f"t{number}")

            seen: list[str] = []
            reached = 0
            storing = threading.Thread(target=store)
            storing.start()
            while storing.is_alive() or reached < memory.status()["head"]:
                found = memory.changes(reached)
                seen += [change.values["task"] for change in found]
                reached = found.reached
            assert seen == [f"t{number}" for number in range(1_000)]
    finally:
        sys.setswitchinterval(before)


def test_who_waits_through_a_handle_that_is_closed_goes_while_others_have_the_memory_open(path: Path) -> None:
    async def use() -> None:
        with graphsvc.open(path, embedder="hashing") as other:
            memory = await graphsvc.aopen(path)
            waiting = asyncio.create_task(memory.changes(0, wait=60))
            await asleep([waiting])
            await memory.close()
            assert len(await asyncio.wait_for(waiting, SOON)) == 0
            with pytest.raises(Closed):
                await memory.changes(0, wait=60)
            with pytest.raises(Closed):
                await memory.wait()
            other.episodes.store(session="s", task="t")

    asyncio.run(use())


def test_any_number_waits_for_projections_and_ends_in_its_time(path: Path) -> None:
    async def use() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            followers = memory._memory._opened.store
            reported: list[Any] = []
            with followers.graph_follower.paused():
                await memory.episodes.store(session="s", task="t")
                began = time.monotonic()
                short = [asyncio.create_task(memory.wait(timeout=1.5)) for _ in range(MANY)]
                waiting = [asyncio.create_task(memory.wait(timeout=60)) for _ in range(MANY)]
                waiting += [asyncio.create_task(memory.progress(reported.append)) for _ in range(MANY)]
                await asleep(waiting)
                items = [{"session": "s", "task": "u"}, {"session": "s", "task": "v"}]
                stored = await asyncio.wait_for(memory.episodes.store_many(items, wait="searchable"), SOON)
                assert len(stored) == 2
                for error in await asyncio.gather(*short, return_exceptions=True):
                    assert isinstance(error, WaitTimeout)
                assert 1.4 < time.monotonic() - began < SOON
                in_graph = asyncio.create_task(memory.episodes.store_many(items, wait="graph"))
                await asleep([*waiting, in_graph])
            await asyncio.wait_for(asyncio.gather(*waiting, in_graph), SOON)
            assert reported[0]["graph"] == 1
            assert reported[-1]["graph"] == 0

    asyncio.run(use())


def test_who_waits_for_a_projection_learns_why_it_goes_no_further(path: Path) -> None:
    async def use() -> None:
        memory = await graphsvc.aopen(path, embedder="hashing")
        follower = memory._memory._opened.store.graph_follower
        with follower.paused():
            stored = await memory.episodes.store(session="s", task="t")
            waiting = [
                asyncio.create_task(memory.wait(timeout=60)), asyncio.create_task(memory.episodes.amend(stored.id, wait="graph", reward=1.0)),
            ]  # fmt: skip
            await asleep(waiting)
            await memory.close()
            for error in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), SOON):
                assert isinstance(error, Closed), repr(error)

    asyncio.run(use())


def test_projections_that_were_at_the_end_when_the_memory_was_opened_are_not_waited_for(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        stored = memory.episodes.store(session="s", task="t", wait="graph")

    async def use() -> None:
        async with graphsvc.aopen(path) as memory:
            began = time.monotonic()
            await memory.wait(timeout=60)
            await memory.episodes.amend(stored.id, wait="graph", reward=1.0)
            assert time.monotonic() - began < SOON

    asyncio.run(use())


def test_a_fault_that_was_over_before_who_waits_looks_is_not_their_end(path: Path) -> None:
    """They were roused for it, and find it mended, though not all is applied."""

    async def use() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            follower = memory._memory._opened.store.graph_follower
            with follower.paused():
                await memory.episodes.store(session="s", task="t")
                waiting = asyncio.create_task(memory.wait(timeout=60))
                await asleep([waiting])
                follower._fail(StorageFull("no room"), 1)
                follower.moved(follower.applied)
                await asleep([waiting])
            await asyncio.wait_for(waiting, SOON)

    asyncio.run(use())


def test_awaited_verbs_take_no_other_arguments_and_wait_for_their_own_writes_only(path: Path) -> None:
    async def use() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            stored = await memory.episodes.store(session="s", task="t", wait="graph")
            for call in (lambda: memory.episodes.get(stored.id, wait="graph"), lambda: memory.status(wait="graph")):
                with pytest.raises(TypeError):
                    await call()
            with memory._memory._opened.store.graph_follower.paused():
                await memory.episodes.store(session="s", task="u")
                assert await asyncio.wait_for(memory.episodes.delete([], wait="graph"), SOON) == 0

    asyncio.run(use())


@pytest.mark.parametrize("timeout", [-1, float("nan"), True, "long", None])
def test_a_wait_for_no_time_there_is_is_refused(path: Path, timeout: Any) -> None:
    with graphsvc.open(path, embedder="hashing") as memory, pytest.raises(BadInput, match="timeout"):
        memory.wait(timeout=timeout)

    async def use() -> None:
        async with graphsvc.aopen(path) as memory:
            with pytest.raises(BadInput, match="timeout"):
                await memory.wait(timeout=timeout)

    asyncio.run(use())


@pytest.mark.parametrize("timeout", [0, float("inf"), 10**400])
def test_a_wait_may_be_none_or_for_ever(path: Path, timeout: Any) -> None:
    async def use() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            follower = memory._memory._opened.store.graph_follower
            with follower.paused():
                await memory.episodes.store(session="s", task="t")
                waiting = asyncio.create_task(memory.wait(timeout=timeout))
                await asyncio.sleep(0.3)
                assert waiting.done() == (timeout == 0)
            if timeout == 0:
                with pytest.raises(WaitTimeout):
                    await waiting
            await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), SOON)
            memory._memory.wait(timeout=timeout or 60)

    asyncio.run(use())


def test_a_bad_wait_is_refused_before_anything_is_written(path: Path) -> None:
    async def use() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            for store in (
                memory.episodes.store(session="s", task="t", wait="soon"),  # type: ignore[arg-type]
                memory.episodes.store_many([{"session": "s", "task": "t"}], wait="soon"),  # type: ignore[arg-type]
            ):
                with pytest.raises(BadInput, match="soon"):
                    await store
            assert await memory.episodes.count() == 0

    asyncio.run(use())


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


def test_who_slept_on_a_loop_that_has_gone_keeps_nobody_else_asleep() -> None:
    sleepers, reached = Sleepers(), False
    gone = asyncio.new_event_loop()
    task = gone.create_task(sleepers.until(lambda: reached, 60))
    gone.run_until_complete(asyncio.sleep(0))
    gone.close()

    async def use() -> None:
        nonlocal reached
        other = asyncio.create_task(sleepers.until(lambda: reached, 60))
        await asyncio.sleep(0)
        reached = True
        sleepers.rouse()
        await asyncio.wait_for(other, SOON)

    asyncio.run(use())
    assert not sleepers._asleep
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_sleeper_leaves_nothing_behind_when_its_time_is_over() -> None:
    sleepers = Sleepers()
    asyncio.run(sleepers.until(lambda: False, 0.01))
    assert not sleepers._asleep


def test_only_those_are_roused_for_whom_it_is_done_and_not_all_at_the_same_time() -> None:
    async def use() -> None:
        sleepers, reached = Sleepers(), 0
        waiting = [asyncio.create_task(sleepers.until(lambda: reached >= 1, 30)) for _ in range(10 * SLICE)]
        late = asyncio.create_task(sleepers.until(lambda: reached >= 2, 30))
        await asyncio.sleep(0.05)
        reached = 1
        sleepers.rouse()
        ended = []
        while not all(task.done() for task in waiting):
            await asyncio.sleep(0)
            ended.append(sum(task.done() for task in waiting))
        assert len(set(ended)) > 5, "others had their turns between"
        assert not late.done()
        assert len(sleepers._asleep) == 1
        reached = 2
        sleepers.rouse()
        await late

    asyncio.run(use())
