"""kill -9: whatever was acknowledged is there, nothing is there by half, and all parts agree."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import graphsvc

from .check import found
from .process import ENGINE, Child, Killed

ENGINES = ("kuzu", "ladybug")
CHECK = Path(__file__).with_name("check.py")


def check(path: Path) -> dict[str, object]:
    """Open, verify, and tell what is there: in a process of its own where another engine than this one's made it."""
    if json.loads((path / "graphsvc.json").read_text())["engine"] == ENGINE:
        said = found(path)
    else:
        done = subprocess.run([sys.executable, str(CHECK), str(path)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout.splitlines()[-1])
    assert said["problems"] == [], said["problems"]
    return said


WRITER = """
import sys, threading, graphsvc
memory = graphsvc.open(sys.argv[1], engine=sys.argv[2], embedder="hashing")
print("open", flush=True)
lock = threading.Lock()
def say(*words):
    with lock:
        print(*words, flush=True)
def write(name):
    for i in range(10**6):
        ids = [e.id for e in memory.episodes.store_many(
            [dict(session=name, task=f"task {i % 11}", output=f"{name} {i} {j}", reward=i % 10 / 10)
             for j in range(1 + i % 4)]
        )]
        say("stored", *ids)
        if i % 5 == 0:
            memory.episodes.amend(ids[0], critique=f"amended {i}")
            say("amended", ids[0], f"amended {i}")
        if i % 7 == 0:
            say("deleting", ids[-1])
            memory.episodes.delete(ids[-1])
            say("deleted", ids[-1])
for name in sys.argv[3:]:
    threading.Thread(target=write, args=(name,), daemon=True).start()
threading.Event().wait()
"""


EITHER = "being deleted when the process was killed"


def write_and_kill(path: Path, engine: str, seconds: float, run: int, acknowledged: dict[str, str | None]) -> None:
    """Have three threads write until the process is killed, and note what was acknowledged."""
    names = [f"run{run}-{letter}" for letter in "abc"]
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), engine, *names], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)
        for line in child.stdout:
            if line.endswith("\n"):
                verb, *words = line.split()
                for id in words[:1] if verb != "stored" else words:
                    acknowledged[id] = {"stored": "", "deleting": EITHER, "deleted": None}.get(verb, " ".join(words[1:]))


def rounds_of_kills(path: Path, engine: str, rounds: int) -> None:
    chance = random.Random(20)
    acknowledged: dict[str, str | None] = {}
    for run in range(rounds):
        write_and_kill(path, engine, chance.uniform(0.02, 1.2), run, acknowledged)
        found = check(path)
        critiques: dict[str, str | None] = found["critiques"]  # type: ignore[assignment]
        for id, state in acknowledged.items():
            if state == EITHER:
                continue  # its deletion may have been committed in the instant before the answer could be told
            if state is None:
                assert id not in critiques, "a deleted episode came back"
            else:
                # The last amendment of each may have been committed and not told; an earlier state may not be.
                assert id in critiques, f"round {run}: {id} was acknowledged and is lost"
                assert not state or critiques[id] is not None
    assert len(acknowledged) > 10 * rounds


@pytest.mark.chaos
@pytest.mark.parametrize("engine", ENGINES)
def test_kill_9_while_writing_loses_nothing_acknowledged(path: Path, engine: str) -> None:
    rounds_of_kills(path, engine, 3)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_fifty_kills_while_writing_lose_nothing_acknowledged(path: Path, engine: str) -> None:
    rounds_of_kills(path, engine, 50)


SEAMS = (
    "graphsvc.log.state:State.flush",
    "graphsvc.log.columns:Columns.apply",
    "graphsvc.store.graph:GraphProjection.apply",
    "graphsvc.store.graph:GraphProjection._write",
    "graphsvc.store.text:TextIndex._add",
    "graphsvc.store.text:TextIndex._commit",
    "graphsvc.store.hot:HotIndex.add",
    "graphsvc.store.vectors:VectorStore._write_lance",
    "graphsvc.store.lance:LanceVectors.write",
    "graphsvc.store.lance:LanceVectors.sync",
    "graphsvc.store.hot:HotIndex.sync",
    "graphsvc.log.log:Log.move_cursor",
    "graphsvc.log.columns:Columns.save",
    "graphsvc.store.hot:HotIndex.close",
)


CALLED_ONCE = ("graphsvc.log.columns:Columns.save", "graphsvc.store.hot:HotIndex.close")


@pytest.mark.chaos
@pytest.mark.parametrize("seam", SEAMS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_a_seam_the_memory_comes_back_whole(path: Path, seam: str, when: str) -> None:
    nth = 1 if seam in CALLED_ONCE else 2
    child = Child(path, "kuzu", f"{seam}@{when}@{nth}")
    stored: list[str] = []
    try:
        if child.opened:
            for i in range(30):
                stored.append(child.ask("episodes.store", session="s", task=f"task {i}", wait="searchable")["id"])
                if i == 10:
                    child.ask("episodes.amend", id=stored[3], critique="amended", wait="searchable")
                    child.ask("verify")  # has the vectors written out
                if i == 20:
                    child.ask("episodes.delete", id=stored.pop(5), wait="searchable")
                    child.ask("verify")
            child.close()
    except Killed:
        pass
    assert child.process.returncode == -signal.SIGKILL, "the seam was reached"
    critiques = check(path)["critiques"]
    lost = [id for id in stored if id not in critiques]  # type: ignore[operator]
    assert not lost


@pytest.mark.chaos
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("seam", ["graphsvc.store.hot:HotIndex._take", "graphsvc.store.hot:HotIndex.renewed"])
def test_killed_while_the_hot_index_is_compacted_it_comes_back_whole(
    path: Path, seam: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHSVC_VECTOR_OPTIMIZE_EVERY", "1")
    child = Child(path, "kuzu", f"{seam}@{when}@1")
    kept = [f"e{i}" for i in range(9)]
    with pytest.raises(Killed):
        ids = [f"e{i}" for i in range(700)]
        child.ask("episodes.store_many", episodes=[{"session": "s", "task": f"task {id}", "id": id} for id in ids])
        child.ask("verify")  # has the vectors written out
        child.ask("episodes.delete", id=ids[len(kept) :])
        for _ in range(100):
            child.ask("verify")
            time.sleep(0.05)
    assert child.process.returncode == -signal.SIGKILL, "the seam was reached"
    assert sorted(check(path)["critiques"]) == kept  # type: ignore[call-overload]
    assert not list(path.glob("*.compact"))


@pytest.mark.chaos
@pytest.mark.parametrize("round_", range(3))
def test_killed_during_the_first_open_it_opens_again(path: Path, round_: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path), "kuzu", "a"], stdout=subprocess.DEVNULL) as child:
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.03 * round_)
        os.kill(child.pid, signal.SIGKILL)
    if not (path / "graphsvc.json").exists():
        with graphsvc.open(path, embedder="hashing") as memory:  # killed before it was a memory: made anew
            assert memory.verify().ok
    else:
        check(path)


@pytest.mark.chaos
@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.7])
def test_killed_during_repair_it_is_repaired_by_the_next(path: Path, seconds: float) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store_many([{"session": f"s{i % 9}", "task": f"task {i}"} for i in range(3000)])
        memory.wait()
    (path / "vectors.lance").rename(path.with_name("vectors.gone"))
    for file in (path / "text.tantivy").iterdir():
        file.unlink()
    program = textwrap.dedent(f"""
        import graphsvc
        memory = graphsvc.open({str(path)!r})
        print("open", flush=True)
        memory._opened.store.rebuild("graph")
        memory.repair()
    """)
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)
    assert len(check(path)["critiques"]) == 3000  # type: ignore[arg-type]


@pytest.mark.chaos
@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.8])
def test_killed_while_vectors_are_made_anew_it_goes_on(path: Path, seconds: float) -> None:
    with graphsvc.open(path, embedder=halves) as memory:
        memory.episodes.store_many([{"session": f"s{i % 9}", "task": f"task {i}"} for i in range(3000)])
        memory.wait()
    program = textwrap.dedent(f"""
        import sys, graphsvc
        memory = graphsvc.open({str(path)!r})
        print("open", flush=True)
        memory.reembed("hashing")
        print("done", flush=True)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)
    with graphsvc.open(path) as memory:
        memory.reembed("hashing") if memory.status()["reembedding"] is None else None
        deadline = time.monotonic() + 60
        while memory.stats()["embedding"]["embedder"] != "hashing" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert memory.stats()["embedding"]["embedder"] == "hashing"
        assert memory.episodes.retrieve("task 1234", k=1)[0].episode.task == "task 1234"
        assert memory.verify().ok


def halves(texts: object) -> list[list[float]]:
    """A function as embedder, of few dimensions: how the texts' bytes fall into four."""
    return [[1.0 + sum(byte % 4 == part for byte in text.encode()) for part in range(4)] for text in texts]  # type: ignore[attr-defined]
