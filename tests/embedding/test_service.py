from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from graphsvc.config import Settings
from graphsvc.embedding import EmbeddingService
from graphsvc.errors import BadInput, Closed, WaitTimeout


class Gate:
    """An embedding function that records its batches and can be held."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def __call__(self, texts: Sequence[str]) -> Any:
        if list(texts) != ["graphsvc"]:  # the probe
            self.batches.append(list(texts))
            self.entered.set()
            self.open.wait(20)
        return np.array([[len(text) + 1, 1.0] for text in texts])


def in_threads(calls: Sequence[Callable[[], Any]]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    return threads


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def held(service: Callable[..., EmbeddingService], **changes: Any) -> tuple[EmbeddingService, Gate, threading.Thread]:
    """A service whose only lane is busy with the text `first` until the gate opens."""
    gate = Gate()
    embedding = service(gate, **changes)
    embedding.identity()
    gate.open.clear()

    def ask() -> None:
        with contextlib.suppress(Closed):
            embedding.encode(["first"])

    (first,) = in_threads([ask])
    assert gate.entered.wait(10)
    return embedding, gate, first


def test_making_a_service_loads_nothing_and_starts_no_thread(service) -> None:
    before = threading.active_count()
    embedding = service("minilm")
    assert embedding.identity().dimension == 384
    assert not embedding.loaded
    assert threading.active_count() == before


def test_warm_loads_in_the_background(service) -> None:
    embedding = service()
    embedding.warm()
    until(lambda: embedding.loaded)


def test_rows_come_in_the_order_of_the_texts_and_equal_texts_are_computed_once(service) -> None:
    gate = Gate()
    embedding = service(gate)
    vectors = embedding.encode(["bbb", "a", "bbb", "cc", "a"]).vectors
    assert sorted(text for batch in gate.batches for text in batch) == ["a", "bbb", "cc"]
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_array_equal(vectors[1], vectors[4])
    assert len({row.tobytes() for row in vectors}) == 3


def test_no_texts_give_no_rows(service) -> None:
    embedded = service().encode([])
    assert embedded.vectors.shape == (0, 384)
    assert len(embedded.tokens) == len(embedded.kept) == 0


def test_the_answer_is_the_callers_own(service) -> None:
    embedding = service()
    first = embedding.encode(["hello"]).vectors
    first[:] = 0
    assert embedding.encode(["hello"]).vectors.any()


def test_what_was_computed_comes_from_memory(service) -> None:
    embedding = service()
    texts = [f"text {number}" for number in range(100)]
    embedding.encode(texts)
    began = time.perf_counter()
    embedding.encode(texts)
    assert time.perf_counter() - began < 0.05  # 0.3 ms when quiet
    assert embedding.stats()["computed"] == 100
    assert embedding.stats()["hits_memory"] == 100


def test_without_room_in_memory_it_still_answers(service) -> None:
    embedding = service(embedding_cache_entries=0)
    assert embedding.encode(["hello", "there"]).vectors.shape == (2, 384)
    assert embedding.stats()["memory_entries"] == 0


def test_concurrent_callers_share_a_forward_pass(service) -> None:
    embedding, gate, first = held(service)
    callers = in_threads([lambda n=n: embedding.encode([f"caller {n}"]) for n in range(10)])
    until(lambda: embedding.stats()["waiting"] == 11)
    gate.open.set()
    for thread in [first, *callers]:
        thread.join(10)
    assert len(gate.batches) == 2
    assert sorted(gate.batches[1]) == sorted(f"caller {n}" for n in range(10))


def test_callers_that_ask_for_the_same_text_at_once_have_it_computed_once(service) -> None:
    embedding, gate, first = held(service)
    callers = in_threads([lambda: embedding.encode(["first", "same"]) for _ in range(5)])
    until(lambda: embedding.stats()["waiting"] == 2)
    gate.open.set()
    for thread in [first, *callers]:
        thread.join(10)
    assert gate.batches == [["first"], ["same"]]


def test_an_urgent_text_overtakes_the_backlog(service) -> None:
    embedding, gate, first = held(service, embedder_batch=4)
    backlog = in_threads([lambda: embedding.encode([f"backlog {n}" for n in range(40)])])
    until(lambda: embedding.stats()["waiting"] == 41)
    urgent = in_threads([lambda: embedding.encode(["query"], urgent=True)])
    until(lambda: embedding.stats()["waiting"] == 42)
    gate.open.set()
    for thread in [first, *backlog, *urgent]:
        thread.join(10)
    assert gate.batches[1] == ["query"]
    assert len(gate.batches) == 12


def test_an_urgent_caller_pulls_forward_what_waits_already(service) -> None:
    embedding, gate, first = held(service, embedder_batch=4)
    backlog = in_threads([lambda: embedding.encode([f"backlog {n}" for n in range(40)])])
    until(lambda: embedding.stats()["waiting"] == 41)
    urgent = in_threads([lambda: embedding.encode(["backlog 39"], urgent=True)])
    time.sleep(0.05)
    gate.open.set()
    for thread in [first, *backlog, *urgent]:
        thread.join(10)
    assert gate.batches[1] == ["backlog 39"]
    assert sum(batch.count("backlog 39") for batch in gate.batches) == 1


def test_texts_of_like_length_share_a_pass(service) -> None:
    gate = Gate()
    embedding = service(gate, embedder_batch=8)
    embedding.encode([("long " * 60 if n % 2 else "short") + str(n) for n in range(16)])
    for batch in gate.batches:
        assert len({text.startswith("long") for text in batch}) == 1


def test_a_wait_that_ends_first_says_so_and_drops_what_no_one_waits_for(service) -> None:
    embedding, gate, first = held(service)
    with pytest.raises(WaitTimeout):
        embedding.encode(["late"], timeout=0.05)
    gate.open.set()
    first.join(10)
    assert embedding.encode(["first"]).vectors.shape == (1, 2)
    assert gate.batches == [["first"]]


def test_closing_ends_waiting_callers_and_refuses_new_ones(service) -> None:
    embedding, gate, first = held(service)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            embedding.encode(["second"])
        except Closed as error:
            errors.append(error)

    (waiting,) = in_threads([ask])
    until(lambda: embedding.stats()["waiting"] == 2)
    closing = in_threads([embedding.close])
    waiting.join(10)
    assert len(errors) == 1
    gate.open.set()
    for thread in [first, *closing]:
        thread.join(10)
    embedding.close()
    with pytest.raises(Closed):
        embedding.encode(["third"])


def test_forgotten_texts_are_not_kept_even_when_they_are_being_embedded(service) -> None:
    embedding, gate, first = held(service)
    forgetting = in_threads([lambda: embedding.forget(["first"])])
    forgetting[0].join(10)
    gate.open.set()
    first.join(10)
    until(lambda: embedding.stats()["waiting"] == 0)
    assert embedding.stats()["memory_entries"] == 0
    embedding.encode(["kept", "gone"])
    assert embedding.forget(["gone", "never seen"]) == 1
    assert embedding.stats()["memory_entries"] == 1


def test_the_rate_is_measured(service) -> None:
    embedding = service()
    assert embedding.rate() == 0.0
    embedding.encode([f"text {n}" for n in range(100)])
    assert embedding.rate() > 100


@pytest.mark.parametrize("texts", ["one text", b"bytes", [1], ["fine", None]])
def test_what_is_not_a_sequence_of_texts_is_refused(service, texts) -> None:
    with pytest.raises(BadInput, match="texts"):
        service().encode(texts)


def test_lone_surrogates_are_embedded_like_any_text(service) -> None:
    assert service().encode(["broken \ud800 text"]).vectors.shape == (1, 384)


def test_many_threads_at_once_get_the_right_rows(service) -> None:
    embedding = service(embedding_cache_entries=50)
    wrong: list[str] = []
    reference = EmbeddingService(Settings(), "hashing")
    texts = [f"text number {n}" for n in range(200)]
    expected = dict(zip(texts, reference.encode(texts).vectors, strict=True))
    reference.close()

    def ask(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(20):
            some = [texts[at] for at in rng.integers(0, 200, 30)]
            got = embedding.encode(some, urgent=bool(rng.integers(2))).vectors
            wrong.extend(
                text for text, row in zip(some, got, strict=True) if not np.array_equal(row, expected[text])
            )

    for thread in in_threads([lambda n=n: ask(n) for n in range(8)]):
        thread.join(30)
    assert wrong == []


def test_a_forked_child_embeds_without_a_deadlock(python) -> None:
    script = """
        import os, threading, warnings
        warnings.simplefilter("ignore")
        from graphsvc.config import Settings
        from graphsvc.embedding import EmbeddingService
        embedding = EmbeddingService(Settings(workers=int(os.environ["WORKERS"])), "hashing")
        embedding.encode(["before"])
        stop = threading.Event()
        def busy():
            number = 0
            while not stop.is_set():
                number += 1
                embedding.encode([f"busy {number}"])
        threading.Thread(target=busy).start()
        for _ in range(5):
            child = os.fork()
            if child == 0:
                embedding.encode(["in the child", "before"], timeout=20)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        embedding.encode(["after"])
        embedding.close()
        print("done")
    """
    assert python(script, WORKERS="0").stdout.strip() == "done"
    assert python(script, WORKERS="1").stdout.strip() == "done"
