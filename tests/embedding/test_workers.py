from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from graphsvc.embedding.hashing import HashingRuntime
from graphsvc.embedding.runtimes import FormDamaged, RuntimeSpec
from graphsvc.embedding.workers import WorkerRuntime
from graphsvc.errors import EmbeddingFailed


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"  # ended, only not yet buried by its new parent


def until(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def worker():
    runtime = WorkerRuntime(RuntimeSpec("hashing"))
    yield runtime
    runtime.close()


def test_workers_compute_what_this_process_would(service) -> None:
    texts = [f"text number {number}" for number in range(5000)]
    embedded = service("hashing", workers=2).encode(texts)
    np.testing.assert_array_equal(embedded.vectors, HashingRuntime().embed(texts).vectors)


def test_a_small_need_starts_one_worker_and_a_backlog_starts_all(service) -> None:
    embedding = service("hashing", workers=2)
    embedding.encode(["one text"])
    assert len(embedding.stats()["worker_pids"]) == 1
    embedding.encode([f"text {number}" for number in range(20_000)])
    until(lambda: len(embedding.stats()["worker_pids"]) == 2)


def test_closing_ends_the_workers(service) -> None:
    embedding = service("hashing", workers=2)
    embedding.warm()
    until(lambda: len(embedding.stats()["worker_pids"]) == 2)
    pids = embedding.stats()["worker_pids"]
    embedding.close()
    assert not any(alive(pid) for pid in pids)


def test_a_worker_killed_between_texts_is_replaced(service) -> None:
    embedding = service("hashing", workers=1)
    embedding.encode(["before"])
    (pid,) = embedding.stats()["worker_pids"]
    os.kill(pid, signal.SIGKILL)
    assert embedding.encode(["after"], timeout=30).vectors.shape == (1, 384)
    assert embedding.stats()["worker_pids"] != [pid]


def test_the_work_of_a_worker_killed_at_it_is_done_again(service) -> None:
    embedding = service("hashing", workers=1)
    embedding.encode(["before"])
    (pid,) = embedding.stats()["worker_pids"]
    os.kill(pid, signal.SIGSTOP)  # so that it is at work for certain
    answers = []
    thread = threading.Thread(target=lambda: answers.append(embedding.encode(["during"], timeout=30)))
    thread.start()
    time.sleep(0.1)
    assert not answers
    os.kill(pid, signal.SIGKILL)
    thread.join(30)
    np.testing.assert_array_equal(answers[0].vectors, HashingRuntime().embed(["during"]).vectors)


def test_texts_that_kill_every_worker_are_an_error_not_a_hang(worker: WorkerRuntime) -> None:
    stop = threading.Event()

    def kill_all() -> None:
        while not stop.is_set():
            if pid := worker.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    thread = threading.Thread(target=kill_all)
    thread.start()
    try:
        with pytest.raises(EmbeddingFailed, match=r"ended 2 times.*exit code -9"):
            worker.embed(["text"] * 100_000)
    finally:
        stop.set()
        thread.join()
    assert worker.embed(["text"]).vectors.shape == (1, 384)


def test_an_error_of_the_worker_reaches_the_caller_whole() -> None:
    with pytest.raises(FormDamaged, match="/nowhere"):
        WorkerRuntime(RuntimeSpec("onnx", "/nowhere"))


def test_workers_end_when_their_owner_is_killed(python) -> None:
    script = """
        import os, signal
        from graphsvc.config import Settings
        from graphsvc.embedding import EmbeddingService
        embedding = EmbeddingService(Settings(workers=1), "hashing")
        embedding.encode(["text"])
        print(embedding.stats()["worker_pids"][0], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    pid = int(python(script, check=False).stdout)
    until(lambda: not alive(pid))


def test_a_script_without_a_main_guard_may_use_workers(python) -> None:
    script = """
        from graphsvc.config import Settings
        from graphsvc.embedding import EmbeddingService
        with_workers = EmbeddingService(Settings(workers=2), "hashing")
        print(with_workers.encode(["text"]).vectors.shape)
    """
    assert python(script).stdout.strip() == "(1, 384)"
