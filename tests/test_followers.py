"""Followers: what stops one is told to who waits, costs no other one anything, and is mended alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import Closed, FollowerStopped, StorageFull
from graphsvc.model.change import Change
from graphsvc.store.follower import Follower

GOOD: dict[str, Any] = {"session": "s", "task": "t"}


class Panic(BaseException):
    """As an extension written in Rust raises where it panics: no Exception."""


def failing(follower: Follower, error: BaseException) -> None:
    """From now on the follower meets this error."""

    def fail(changes: Sequence[Change]) -> None:
        raise error

    follower._apply = fail


def length(traceback: TracebackType | None) -> int:
    return 0 if traceback is None else 1 + length(traceback.tb_next)


def until(condition: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_one_projection_is_rebuilt_while_another_has_stopped(memory: graphsvc.Memory) -> None:
    store = memory._opened.store
    failing(store.vectors.follower, ValueError("broken"))
    memory.episodes.store(**GOOD)
    until(lambda: store.vectors.follower.error is not None)
    for part in ("graph", "text"):
        store.rebuild(part)
    assert store.text_follower.applied == store.graph_follower.applied == memory._opened.log.head


def test_a_panic_stops_a_follower_aloud_and_nobody_sits_out_a_time_limit(memory: graphsvc.Memory) -> None:
    store = memory._opened.store
    memory.episodes.store(**GOOD, vector=[1.0] * 384)
    memory.wait()
    failing(store.text_follower, Panic("in Rust"))
    failing(store.vectors.follower, Panic("in Rust"))
    memory.episodes.store(**GOOD)
    until(lambda: store.text_follower.error and store.vectors.follower.error)
    assert "Panic" in memory.status()["errors"]["text"]
    began = time.monotonic()
    with pytest.raises(FollowerStopped):
        memory.wait(timeout=30)
    with pytest.raises(FollowerStopped):
        store.vectors.flush_now()
    assert time.monotonic() - began < 5


def test_who_waits_for_a_follower_that_ends_is_told(memory: graphsvc.Memory) -> None:
    follower = memory._opened.store.text_follower
    memory.wait()
    failing(follower, Closed("what it needs was closed"))
    memory.episodes.store(**GOOD)
    began = time.monotonic()
    with pytest.raises(Closed):
        follower.wait(memory._opened.log.head, 30)
    assert time.monotonic() - began < 5


def test_an_error_that_is_kept_is_raised_as_a_copy(memory: graphsvc.Memory) -> None:
    follower = memory._opened.store.text_follower
    failing(follower, StorageFull("for ever"))
    memory.episodes.store(**GOOD)
    until(lambda: follower.error is not None)
    lengths = set()
    for _ in range(5):
        with pytest.raises(StorageFull) as caught:
            follower.wait(memory._opened.log.head, 1)
        lengths.add(length(caught.value.__traceback__))
    assert len(lengths) == 1, "a traceback that grows keeps every frame alive"
    assert follower.error is not None


def test_who_waits_gets_an_attempt_of_their_own_not_the_error_of_one_before(memory: graphsvc.Memory) -> None:
    follower = memory._opened.store.text_follower
    apply = follower._apply
    failing(follower, StorageFull("no room"))
    memory.episodes.store(**GOOD)
    for _ in range(4):  # from the fourth failure on it rests for 5 s and more
        with pytest.raises(StorageFull):
            memory.wait()
    follower._apply = apply
    began = time.monotonic()
    memory.wait()
    assert time.monotonic() - began < 3
    assert follower.error is None
