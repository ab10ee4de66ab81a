"""Opening and closing: whatever ends a program, whatever fails on the way, whoever has forked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphsvc
from graphsvc.errors import BadInput, Corrupt, EmbeddingMismatch, GraphsvcError, InUse, StorageFull
from graphsvc.memory import opened
from graphsvc.store.directory import Manifest, set_aside
from graphsvc.store.store import Store
from graphsvc.store.text import TextIndex
from graphsvc.store.unclean import MARK
from graphsvc.store.vectors import VectorStore

GOOD: dict[str, Any] = {"session": "s", "task": "t"}
Embedder = Callable[[Sequence[str]], Any]


def run(program: str, *arguments: str) -> str:
    """Run a program in a process of its own; what it prints."""
    source = "import warnings; warnings.simplefilter('ignore')\n" + textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", source, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def model(dimension: int, seed: int = 0) -> Embedder:
    def embed(texts: Sequence[str]) -> Any:
        return np.array([[1.0 + (len(text) * (n + 1) + seed) % 7 for n in range(dimension)] for text in texts])

    return embed


def filled(path: Path, embedder: Any = "hashing", count: int = 20) -> None:
    with graphsvc.open(path, embedder=embedder) as memory:
        memory.episodes.store_many([{"id": f"e{i}", "session": "s", "task": f"task {i}"} for i in range(count)])
        memory.wait()


# --- the end of a program -----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "raise SystemExit(0)", "threading.Thread(target=late).start()"])
def test_a_script_that_ends_without_close_was_not_killed(path: Path, ending: str) -> None:
    program = f"""
        import sys, threading, time, graphsvc
        memory = graphsvc.open(sys.argv[1], embedder="hashing")
        memory.episodes.store(session="s", task="t")
        memory.wait()
        def late():
            time.sleep(0.3)
            memory.episodes.store(session="s", task="by a thread that outlives the main one", wait="graph")
        {ending}
    """
    run(program, str(path))
    assert not (path / MARK).exists()
    assert (path / "hot.columns").exists()
    with graphsvc.open(path) as memory:
        assert memory.episodes.count() == 1 + ("Thread" in ending)
        memory.wait()
        assert memory.verify().ok


# --- letting go ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what a process has mapped is read from /proc")
def test_opened_and_closed_again_and_again_it_holds_no_more_than_before(path: Path) -> None:
    program = """
        import gc, os, sys, graphsvc
        kept = []
        for _ in range(4):
            memory = graphsvc.open(sys.argv[1], embedder="hashing")
            memory.episodes.store(session="s", task="t", wait="searchable")
            memory.wait()
            memory.close()
            kept.append((len(os.listdir("/proc/self/fd")), open("/proc/self/maps").read().count(sys.argv[1])))
        print(kept[1] == kept[3], kept[3][1], gc.get_freeze_count())
    """
    assert run(program, str(path)).split() == ["True", "0", "0"]


def test_a_part_that_fails_to_close_keeps_no_other_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = graphsvc.open(path, embedder="hashing")
    memory.episodes.store(**GOOD)

    def fail(self: Any, *_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(TextIndex, "close", fail)
        patch.setattr(type(memory._opened.log), "close", fail)
        memory.close()
    memory._opened.log.close()
    memory._opened.store.text.close()
    assert not any(thread.name.startswith("graphsvc") for thread in threading.enumerate())
    with graphsvc.open(path) as memory:
        assert memory.episodes.count() == 1


# --- failing to open ----------------------------------------------------------------------------------


def test_a_failed_opening_is_an_error_of_ours_and_leaves_nothing_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)

    def fail(self: Store, *_: Any) -> VectorStore:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_open_vectors", fail)
        with pytest.raises(StorageFull) as kept:
            graphsvc.open(path)
    with graphsvc.open(path) as memory:
        memory.wait()
        assert memory.episodes.count() == 20
    assert kept.value.code == "storage_full"
    assert not list(path.glob("*.damaged-*")), "a healthy index isn't set aside"


@pytest.mark.parametrize(
    "change",
    [
        {"embedding": {}}, {"embedding": None}, {"embedding": {"dimension": "384"}}, {"embedding": {"generation": 0}},
        {"reembedding": {"x": 1}}, {"id": None}, {"texts": "1"},
    ],
)  # fmt: skip
def test_a_manifest_that_says_odd_things_is_corrupt(path: Path, change: dict[str, Any]) -> None:
    filled(path, count=1)
    good = json.loads((path / "graphsvc.json").read_text())
    if change.get("embedding"):
        change = {"embedding": {**good["embedding"], **change["embedding"]}}
    (path / "graphsvc.json").write_text(json.dumps({**good, **change}))
    with pytest.raises(Corrupt, match=r"graphsvc\.json"):
        graphsvc.open(path)
    (path / "graphsvc.json").write_text(json.dumps({**good, "stemmer": "klingon"}))
    with pytest.raises(BadInput, match="klingon"):
        graphsvc.open(path)
    assert not list(path.glob("*.damaged-*"))


def test_two_things_set_aside_in_one_second_have_two_names(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        (tmp_path / "graph.kuzu").write_text("x")
        names.add(set_aside(tmp_path / "graph.kuzu"))
    assert len(names) == 3
    assert all(name is not None and name.exists() for name in names)


# --- forked children ----------------------------------------------------------------------------------


def test_an_idle_forked_child_keeps_nobody_from_opening_and_can_open_and_exit_itself(path: Path) -> None:
    program = """
        import os, sys, time, graphsvc
        path = sys.argv[1]
        memory = graphsvc.open(path, embedder="hashing")
        memory.episodes.store(session="s", task="t")
        memory.wait()
        idle, leaving, opening = os.pipe(), os.pipe(), os.pipe()
        children = []
        if (child := os.fork()) == 0:
            os.close(idle[1]); os.read(idle[0], 1); os._exit(0)
        children.append(child)
        if (child := os.fork()) == 0:
            del memory
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        if (child := os.fork()) == 0:
            os.close(opening[1]); os.read(opening[0], 1)
            with graphsvc.open(path) as again:
                again.wait()
                again.episodes.store(session="s", task="by the child", wait="graph")
            os._exit(0)
        memory.close()
        with graphsvc.open(path) as memory:
            memory.wait()
        os.write(opening[1], b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with graphsvc.open(path) as memory:
            memory.wait()
            assert memory.verify().ok
            print(memory.episodes.count(), len([name for name in os.listdir(path) if "damaged" in name]))
        os.write(idle[1], b"x")
    """
    assert run(program, str(path)).split() == ["2", "0"]


def test_a_text_index_that_somebody_writes_to_is_in_use_and_not_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphsvc.store.text.LOCK_SECONDS", 0.1)
    with graphsvc.open(path, embedder="hashing") as memory, pytest.raises(InUse):
        TextIndex(path, memory._opened.settings, memory._opened.log.records)


# --- the same directory twice -------------------------------------------------------------------------


def test_a_second_opening_with_another_function_is_refused(path: Path) -> None:
    one = model(8)
    with graphsvc.open(path, embedder=one):
        with graphsvc.open(path, embedder=one), graphsvc.open(path):
            pass
        with pytest.raises(EmbeddingMismatch, match="other vectors"):
            graphsvc.open(path, embedder=model(8, 1))
        with pytest.raises(EmbeddingMismatch):
            graphsvc.open(path, embedder=model(16))
    filled(path.with_name("hashed"))
    with graphsvc.open(path.with_name("hashed")), pytest.raises(EmbeddingMismatch):
        graphsvc.open(path.with_name("hashed"), embedder=one)


def test_a_directory_renamed_while_open_makes_room_for_another(path: Path) -> None:
    first = graphsvc.open(path, embedder="hashing")
    first.episodes.store(**GOOD)
    first.wait()
    path.rename(path.with_name("renamed"))
    second = graphsvc.open(path, embedder="hashing")
    second.episodes.store(**GOOD, wait="graph")
    first.close()
    third = graphsvc.open(path)
    assert third._opened._shared is second._opened._shared, "it is the second that is open here"
    third.close()
    second.close()


# --- another model ------------------------------------------------------------------------------------


def test_beside_a_change_of_dimensions_a_retrieval_goes_on(path: Path) -> None:
    filled(path, model(16))
    errors: list[BaseException] = []
    done = threading.Event()
    with graphsvc.open(path, embedder=model(16), query_cache_entries=0) as memory:

        def ask() -> None:
            while not done.is_set():
                try:
                    assert len(memory.episodes.retrieve("task", k=5)) == 5
                except BaseException as error:
                    errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(6):
            memory.reembed(model([24, 32, 16][number % 3], number + 1))
        done.set()
        for thread in threads:
            thread.join()
        assert memory.verify().ok
    assert not errors, errors[0]


def test_where_the_switch_cannot_be_written_the_old_vectors_go_on_serving(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path, model(8))
    with graphsvc.open(path, embedder=model(8)) as memory:
        real, written = Manifest.write, []

        def write(self: Manifest, directory: Path) -> None:
            written.append(directory)
            if len(written) == 2:
                raise StorageFull("no room for the switch")
            real(self, directory)

        with monkeypatch.context() as patch:
            patch.setattr(Manifest, "write", write)
            with pytest.raises(StorageFull):
                memory.reembed(model(16))
        assert len(memory.episodes.retrieve("a query never asked before")) == 10
        memory.episodes.store(**GOOD, wait="searchable")
        memory.reembed(model(16))
        assert len(memory.episodes.retrieve("another one")) == 10
        assert memory.verify().ok


def test_closing_does_not_wait_for_a_whole_reembedding(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path, model(8), count=640)
    memory = graphsvc.open(path, embedder=model(8))
    opening, go_on = threading.Event(), threading.Event()
    real = Store._open_vectors

    def late(self: Store, embedding: dict[str, Any], service: Any) -> VectorStore:
        opening.set()
        go_on.wait(10)
        return real(self, embedding, service)

    def slow(texts: Sequence[str]) -> Any:
        time.sleep(0.5)
        return model(16)(texts)

    failed: list[BaseException] = []

    def reembed() -> None:
        try:
            memory.reembed(slow)
        except GraphsvcError as error:
            failed.append(error)

    monkeypatch.setattr(Store, "_open_vectors", late)
    thread = threading.Thread(target=reembed)
    thread.start()
    assert opening.wait(10)
    closing = threading.Thread(target=memory.close)
    closing.start()
    while not memory._opened.store.closed:
        time.sleep(0.01)
    began = time.monotonic()
    go_on.set()
    closing.join()
    thread.join()
    assert time.monotonic() - began < 3, "640 texts take over 5 s"
    assert failed
    assert json.loads((path / "graphsvc.json").read_text())["embedding"]["dimension"] == 8


def test_in_the_background_a_reembedding_says_how_far_it_is_while_the_old_vectors_serve(path: Path) -> None:
    filled(path, model(8), count=200)
    go_on = threading.Event()

    def slow(texts: Sequence[str]) -> Any:
        if len(texts) > 1:
            go_on.wait(10)
        return model(16)(texts)

    with graphsvc.open(path, embedder=model(8)) as memory:
        memory.reembed(slow, wait=False)
        far = memory.status()["reembedding"]
        assert far is not None
        assert len(memory.episodes.retrieve("task", k=5, mode="vector")) == 5
        assert memory.stats()["embedding"]["dimension"] == 8
        go_on.set()
        deadline = time.monotonic() + 30
        while memory.status()["reembedding"] is not None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert memory.stats()["embedding"]["dimension"] == 16
        assert memory.status()["errors"] == {}
        assert memory.verify().ok
        with pytest.raises(GraphsvcError):
            memory.reembed("no-such-model", wait=False)


def test_what_stops_a_reembedding_in_the_background_is_said_in_the_status(path: Path) -> None:
    filled(path, model(8), count=5)

    def failing(texts: Sequence[str]) -> Any:
        if len(texts) > 1:
            raise ValueError("no more")
        return model(16)(texts)

    with graphsvc.open(path, embedder=model(8)) as memory:
        memory.reembed(failing, wait=False)
        deadline = time.monotonic() + 30
        while not memory.status()["errors"] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "no more" in memory.status()["errors"]["reembedding"]
        assert len(memory.episodes.retrieve("task", k=5, mode="vector")) == 5


def test_an_opening_that_nobody_waits_for_any_more_leaves_nothing_open(path: Path) -> None:
    graphsvc.open(path, embedder="hashing").close()

    async def gives_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(graphsvc.aopen(path, embedder="hashing"), 0.001)

    asyncio.run(gives_up())
    deadline = time.monotonic() + 30
    while (still := [one for one in opened._open.values() if one.directory == path]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not still
    program = f"import graphsvc; graphsvc.open({str(path)!r}, share=False).close()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_a_graph_for_which_there_is_no_memory_is_not_taken_for_damaged(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(session="s", task="t", id="e")
        memory.wait()
    before = sorted(file.name for file in path.iterdir())
    program = textwrap.dedent(f"""
        import resource, graphsvc
        memory = graphsvc.open({str(path)!r}, share=False)
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        try:
            memory.cypher("MATCH (e:Episode) RETURN e.id")
        except graphsvc.errors.GraphsvcError as error:
            print(error.code, type(error.__cause__ or error).__name__)
    """)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert "no_resources" in done.stdout, done.stdout + done.stderr
    assert sorted(file.name for file in path.iterdir()) == before, "nothing was set aside"
    with graphsvc.open(path, embedder="hashing") as memory:
        assert memory.cypher("MATCH (e:Episode) RETURN e.id").rows == [("e",)]
        assert memory.verify().problems == []
