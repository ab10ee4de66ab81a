"""A memory travels: snapshots while it is written, restored whole or to any point, moved between engines."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphsvc
from graphsvc.config import FORMAT, Settings
from graphsvc.errors import (
    BadInput,
    Closed,
    Corrupt,
    InUse,
    NewerFormat,
    NotAMemory,
    NotRetained,
    StorageFull,
)
from graphsvc.log.backup import entries
from graphsvc.store import formats
from graphsvc.store.directory import read_manifest
from graphsvc.store.graph import GraphProjection


def replayed(log_of: Path, n: int, place: Path) -> str:
    """The digest of a new graph that is fed entries 1 to n of a memory's log, and nothing else."""
    place.mkdir()
    graph = GraphProjection(place, "kuzu", Settings())
    with closing(sqlite3.connect(log_of / "memory.sqlite")) as connection:
        graph.apply(list(entries(log_of / "memory.sqlite", connection, 0, n)))
    digest = graph.digest()
    graph.close()
    return digest


def log_rows(path: Path, n: int) -> list[Any]:
    with closing(sqlite3.connect(path / "memory.sqlite")) as connection:
        return connection.execute("SELECT * FROM log WHERE n <= ? ORDER BY n", (n,)).fetchall()


class Writers:
    """Threads that store, amend, delete, learn skills, until they are told to stop."""

    def __init__(self, memory: graphsvc.Memory, count: int) -> None:
        self.memory = memory
        self.stopping = threading.Event()
        self.failures: list[BaseException] = []
        self.threads = [threading.Thread(target=self.run, args=(name,)) for name in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, name: int) -> None:
        chance, ids = random.Random(name), []
        episodes = self.memory.episodes
        try:
            skill = self.memory.skills.create(name=f"skill {name}", description="d").id
            while not self.stopping.is_set():
                session, task = f"{name}-{chance.randrange(4)}", f"task {chance.randrange(9)}"
                ids.append(episodes.store(session=session, task=task, critique="c").id)
                if chance.random() < 0.2:
                    episodes.delete(ids.pop(chance.randrange(len(ids))))
                elif chance.random() < 0.3:
                    episodes.amend(chance.choice(ids), critique=f"other {chance.randrange(99)}")
                elif chance.random() < 0.1:
                    self.memory.skills.record_outcome(skill, success=True, episode=ids[-1])
        except BaseException as error:
            self.failures.append(error)

    def stop(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        assert self.failures == []


def test_large_deletes_leave_a_graph_and_a_snapshot_that_verify(tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "m", embedder="hashing") as memory:
        for turn in range(3):
            memory.episodes.store_many(
                [{"id": f"{turn}-{n}", "session": f"{turn}-{n // 50}", "task": f"task {n}"} for n in range(1000)]
            )
            memory.wait()
            for n in range(100, 200):
                memory.episodes.delete(f"{turn}-{n}")
            memory.wait()
        taken = memory.snapshot(tmp_path / "snapshot")
        assert memory.verify().problems == []
    graphsvc.restore(taken.path, tmp_path / "restored")
    with graphsvc.open(tmp_path / "restored", embedder="hashing") as memory:
        memory.wait()
        assert memory.verify().problems == []


def test_snapshots_taken_while_three_write_are_whole_and_equal_a_replay(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        writers = Writers(memory, 3)
        memory.wait()
        taken = [memory.snapshot(tmp_path / f"snapshot-{number}") for number in range(2)]
        writers.stop()
        assert memory.status()["head"] > taken[-1].n, "writes went on"
        assert memory.verify().ok
    for number, snapshot in enumerate(taken):
        assert all(applied <= snapshot.n for applied in snapshot.applied.values()), "none lies past the log"
        assert all(0 < seconds < 10 for seconds in snapshot.pauses.values())
        assert graphsvc.verify_snapshot(snapshot.path).n == snapshot.n
        again = tmp_path / f"again-{number}"
        assert graphsvc.restore(snapshot.path, again).rebuilt == ()
        with graphsvc.open(again) as restored:
            report = restored.verify()
            assert report.problems == []
            assert restored.status()["head"] == snapshot.n
        assert report.digest == replayed(path, snapshot.n, tmp_path / f"replayed-{number}")
        assert log_rows(again, snapshot.n) == log_rows(path, snapshot.n)


@pytest.fixture
def history(path: Path, tmp_path: Path) -> dict[int, dict[str, str | None]]:
    """A memory with a past, closed, and a snapshot of it: what it held, id and critique, at each number."""
    states: dict[int, dict[str, str | None]] = {0: {}}
    chance, state = random.Random(7), dict[str, str | None]()
    with graphsvc.open(path, embedder="hashing") as memory:
        for step in range(60):
            choice = chance.random()
            if choice < 0.6 or not state:
                memory.episodes.store(id=f"e{step}", session=f"s{step % 3}", task=f"task {step % 5}", critique=f"c{step}")
                state[f"e{step}"] = f"c{step}"
            elif choice < 0.85:
                id = chance.choice(sorted(state))
                memory.episodes.amend(id, critique=f"amended {step}")
                state[id] = f"amended {step}"
            else:
                id = chance.choice(sorted(state))
                memory.episodes.delete(id)
                del state[id]
            states[memory.status()["head"]] = dict(state)
        memory.snapshot(tmp_path / "snapshot")
    return states


@pytest.mark.parametrize("source", ["snapshot", "memory"])
def test_every_point_can_be_restored_and_is_what_it_was(
    path: Path, tmp_path: Path, history: dict[int, dict[str, str | None]], source: str
) -> None:
    head = max(history)
    for to in {0, 1, head // 3, head // 2, head - 1, head}:
        again = tmp_path / f"at-{to}"
        restored = graphsvc.restore(tmp_path / source, again, to=to)
        assert restored.n == to
        with graphsvc.open(again) as memory:
            assert {one.id: one.critique for one in memory.episodes.list(k=100)} == history[to]
            report = memory.verify()
            assert report.problems == []
            memory.episodes.store(id="new", session="s", task="goes on")
            assert memory.status()["head"] == to + 1
            if history[to]:
                assert memory.history(next(iter(history[to])))[0].what == "store"
        assert report.digest == replayed(path, to, tmp_path / f"replayed-{to}")


def test_a_restored_memory_is_one_of_its_own(path: Path, tmp_path: Path, history: dict[int, Any]) -> None:
    restored = graphsvc.restore(tmp_path / "snapshot", tmp_path / "again")
    with graphsvc.open(path) as memory, graphsvc.open(tmp_path / "again") as again:
        assert restored.origin == memory.id != again.id == restored.id
        assert len(memory.snapshots()) == 1
        assert again.snapshots() == []


def test_a_point_past_the_end_or_within_a_call_is_not_retained(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(session="s", task="one")
        memory.episodes.store_many([{"session": "s", "task": f"task {i}"} for i in range(2_500)])
        memory.episodes.store(session="s", task="last")
        head = memory.status()["head"]
        memory.snapshot(tmp_path / "snapshot")
    assert head == 5
    with pytest.raises(NotRetained, match="0 to 5"):
        graphsvc.restore(tmp_path / "snapshot", tmp_path / "again", to=6)
    for to in (2, 3):
        with pytest.raises(NotRetained, match="1 and 4"):
            graphsvc.restore(tmp_path / "snapshot", tmp_path / "again", to=to)
    assert not (tmp_path / "again").exists()
    graphsvc.restore(tmp_path / "snapshot", tmp_path / "again", to=4)
    with graphsvc.open(tmp_path / "again") as memory:
        assert memory.episodes.count() == 2_501


def test_vectors_that_were_given_travel_and_are_those_of_the_point(path: Path, tmp_path: Path) -> None:
    def never(texts: Any) -> Any:
        return np.tile(np.array([0, 0, 0, 1], np.float32), (len(texts), 1))

    first, second = np.eye(4, dtype=np.float32)[:2]
    with graphsvc.open(path, embedder=never) as memory:
        memory.episodes.store(id="a", session="s", task="a", vector=first)
        before = memory.status()["head"]
        memory.episodes.amend("a", vector=second)
        memory.snapshot(tmp_path / "snapshot")
    for to, expected in ((None, second), (before, first)):
        again = tmp_path / f"at-{to}"
        graphsvc.restore(tmp_path / "snapshot", again, to=to)
        with graphsvc.open(again, embedder=never) as memory:
            memory.wait()
            hits = memory.episodes.retrieve("a", vector=expected, mode="vector")
            assert hits[0].parts["cosine"] == pytest.approx(1.0)
            assert memory.verify().ok


def test_after_the_vectors_were_made_anew_an_earlier_point_has_the_new_models(path: Path, tmp_path: Path) -> None:
    def halves(texts: Any) -> Any:
        return [[1.0 + sum(byte % 4 == part for byte in text.encode()) for part in range(4)] for text in texts]

    with graphsvc.open(path, embedder=halves) as memory:
        memory.episodes.store_many([{"session": "s", "task": f"task {i}"} for i in range(20)])
        first = memory.status()["head"]
        memory.episodes.store(session="s", task="more")
        memory.wait()
        memory.reembed("hashing")
        memory.snapshot(tmp_path / "snapshot")
    for to in (None, first):
        again = tmp_path / f"at-{to}"
        graphsvc.restore(tmp_path / "snapshot", again, to=to)
        with graphsvc.open(again) as memory:
            given = np.zeros(memory.stats()["vectors"]["dimension"], np.float32)
            given[3] = 1
            memory.episodes.store(id="given", session="s", task="given", vector=given, wait="searchable")
            assert memory.episodes.retrieve("x", vector=given, mode="vector")[0].parts["cosine"] == pytest.approx(1.0)
            assert memory.verify().ok


@pytest.mark.parametrize("how", ["changed", "cut", "missing"])
def test_a_damaged_file_is_named_and_nothing_is_restored(tmp_path: Path, history: dict[int, Any], how: str) -> None:
    for file in ("memory.sqlite", "graph.kuzu", "graphsvc.json", "text.tantivy/meta.json"):
        damaged = tmp_path / "snapshot" / file
        whole = damaged.read_bytes()
        content = bytearray(whole)
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content if how == "changed" else content[:-1])
        if how == "missing":
            damaged.unlink()
        for attempt in (
            lambda: graphsvc.verify_snapshot(tmp_path / "snapshot"),
            lambda: graphsvc.restore(tmp_path / "snapshot", tmp_path / "again"),
            lambda: graphsvc.restore(tmp_path / "snapshot", tmp_path / "again", to=10),
        ):
            with pytest.raises(Corrupt) as caught:
                attempt()
            assert caught.value.where == str(damaged)
        assert [one.name for one in tmp_path.iterdir() if one.name.startswith("again")] == []
        damaged.write_bytes(whole)


def test_a_snapshot_without_its_list_is_none_and_one_with_a_changed_list_is_damaged(
    tmp_path: Path, history: dict[int, Any]
) -> None:
    listed = tmp_path / "snapshot" / "snapshot.json"
    content = json.loads(listed.read_text())
    for changed, error in (
        ({**content, "n": content["n"] + 1}, Corrupt),
        ({**content, "format": 99}, NewerFormat),
        ({"format": 1}, Corrupt),
        ([], Corrupt),
    ):
        listed.write_text(json.dumps(changed))
        with pytest.raises(error):
            graphsvc.restore(tmp_path / "snapshot", tmp_path / "again")
    listed.unlink()
    with pytest.raises(NotAMemory):
        graphsvc.verify_snapshot(tmp_path / "snapshot")
    for nothing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(NotAMemory):
            graphsvc.restore(nothing, tmp_path / "again")


def test_a_place_that_is_taken_or_within_is_refused_and_left_alone(memory: graphsvc.Memory, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").touch()
    for place in (taken, taken / "mine", memory.path, memory.path / "snapshot", "", "a\0b", 7):
        with pytest.raises(BadInput):
            memory.snapshot(place)  # type: ignore[arg-type]
    assert [one.name for one in taken.iterdir()] == ["mine"]
    memory.snapshot(tmp_path / "good")
    for place in (taken, tmp_path / "good", tmp_path / "good" / "within", memory.path):
        with pytest.raises(BadInput):
            graphsvc.restore(tmp_path / "good", place)
    (tmp_path / "mine.unfinished").mkdir()
    (tmp_path / "mine.unfinished" / "letter").touch()
    with pytest.raises(BadInput, match="none of ours"):
        memory.snapshot(tmp_path / "mine")
    assert (tmp_path / "mine.unfinished" / "letter").exists()
    for to in (True, "3", 1.0):
        with pytest.raises(BadInput):
            graphsvc.restore(tmp_path / "good", tmp_path / "again", to=to)  # type: ignore[arg-type]
    with pytest.raises(InUse):
        graphsvc.restore(memory.path, tmp_path / "again")
    with pytest.raises(InUse):
        graphsvc.migrate(memory.path, engine="ladybug")


def test_snapshots_are_noted_and_one_that_went_is_told_of(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(session="s", task="t")
        taken = [memory.snapshot(tmp_path / name) for name in ("first", "second")]
        shutil.rmtree(tmp_path / "first")
    with graphsvc.open(path) as memory:
        known = memory.snapshots()
        assert [(one["path"], one["n"], one["bytes"]) for one in known] == [(one.path, one.n, one.bytes) for one in taken]
        assert [one["present"] for one in known] == [False, True]
    with pytest.raises(Closed):
        memory.snapshot(tmp_path / "third")


FULL = """
import resource, signal, sys, graphsvc
from graphsvc.errors import StorageFull
what, path, target = sys.argv[1:]
def limit():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    if what == "snapshot":
        memory = graphsvc.open(path)
        memory.wait()
        limit()
        memory.snapshot(target)
    else:
        limit()
        graphsvc.restore(path, target)
except StorageFull as error:
    print("full", error)
"""


@pytest.mark.parametrize("what", ["snapshot", "restore"])
def test_where_the_disk_is_full_nothing_is_left(
    path: Path, tmp_path: Path, history: dict[int, Any], what: str
) -> None:
    source = path if what == "snapshot" else tmp_path / "snapshot"
    done = subprocess.run(
        [sys.executable, "-c", FULL, what, str(source), str(tmp_path / "again")], capture_output=True, text=True
    )
    assert done.stdout.startswith("full"), done.stderr
    assert not [one for one in tmp_path.iterdir() if one.name.startswith("again")]
    with graphsvc.open(path) as memory:
        assert memory.verify().ok
        assert len(memory.snapshots()) == 1


def test_too_little_room_is_seen_before_anything_is_copied(
    memory: graphsvc.Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: type("Usage", (), {"free": 10})())
    with pytest.raises(StorageFull, match="are free"):
        memory.snapshot(tmp_path / "again")
    assert not [one for one in tmp_path.iterdir() if one.name.startswith("again")]


def test_a_follower_that_rests_applies_nothing_while_writes_go_on(memory: graphsvc.Memory) -> None:
    memory.episodes.store(session="s", task="first")
    memory.wait()
    for follower in memory._opened.store.followers:
        with follower.paused():
            before = follower.applied
            memory.episodes.store(session="s", task="meanwhile", wait=None)
            assert not follower.wait(before + 1, 0.3)
            assert follower.applied == before
    memory.wait()
    assert memory.verify().ok


def test_a_memory_moved_to_ladybug_and_back_has_the_same_digest(path: Path, history: dict[int, Any]) -> None:
    with graphsvc.open(path) as memory:
        digest = memory.verify().digest
        episodes = memory.episodes.list(k=100)
    there = graphsvc.migrate(path, engine="ladybug")
    assert (there.before, there.engine, there.digest) == ("kuzu", "ladybug", digest)
    assert not list(path.glob("graph.kuzu*"))
    checked = Path(__file__).parent / "chaos" / "check.py"
    done = subprocess.run([sys.executable, str(checked), str(path)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["problems"], found["digest"]) == ([], digest)
    back = graphsvc.migrate(path, engine="kuzu")
    assert (back.before, back.engine, back.digest) == ("ladybug", "kuzu", digest)
    assert {one.name for one in path.glob("graph.*")} == {"graph.kuzu"}
    with graphsvc.open(path) as memory:
        assert memory.verify().digest == digest
        assert memory.episodes.list(k=100) == episodes
    with pytest.raises(BadInput):
        graphsvc.migrate(path, engine="neo4j")
    with pytest.raises(NotAMemory):
        graphsvc.migrate(path / "nothing")


def test_a_graph_that_differs_from_the_records_is_not_moved(path: Path, history: dict[int, Any]) -> None:
    with closing(sqlite3.connect(path / "memory.sqlite")) as connection:
        connection.execute("UPDATE record SET state = 1, body = NULL WHERE row = (SELECT min(row) FROM record WHERE state = 0)")
        connection.commit()
    with pytest.raises(Corrupt, match="nothing was changed"):
        graphsvc.migrate(path, engine="ladybug")
    manifest = read_manifest(path)
    assert manifest is not None
    assert manifest.engine == "kuzu"
    assert {one.name for one in path.glob("graph.*")} == {"graph.kuzu"}


@pytest.mark.parametrize("killed", [False, True])
def test_an_older_format_is_brought_up_after_a_backup(
    path: Path, tmp_path: Path, history: dict[int, Any], monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    def manifest(content: dict[str, Any]) -> dict[str, Any]:
        nonlocal killed
        if killed:
            killed = False
            raise KeyboardInterrupt
        return {**content, "stemmer": "german"}

    step = formats.Step(lambda connection: connection.execute("ALTER TABLE link ADD COLUMN more TEXT") and None, manifest)
    monkeypatch.setitem(formats.STEPS, FORMAT, step)
    if killed:
        with pytest.raises(KeyboardInterrupt):
            formats.bring_up(path, to=FORMAT + 1)
    assert formats.bring_up(path, to=FORMAT + 1) == path.with_name(f"memory.format-{FORMAT}")
    content = json.loads((path / "graphsvc.json").read_text())
    assert (content["format"], content["stemmer"]) == (FORMAT + 1, "german")
    with closing(sqlite3.connect(path / "memory.sqlite")) as connection:
        assert "more" in {row[1] for row in connection.execute("PRAGMA table_info(link)")}
    with pytest.raises(NewerFormat):
        graphsvc.open(path)
    graphsvc.restore(tmp_path / f"memory.format-{FORMAT}", tmp_path / "again")
    with graphsvc.open(tmp_path / "again") as memory:
        assert memory.verify().ok
        assert {one.id: one.critique for one in memory.episodes.list(k=100)} == history[max(history)]


def test_sizes_are_those_of_the_disk(path: Path, history: dict[int, Any]) -> None:
    with graphsvc.open(path) as memory:
        memory.skills.create(name="skill", description="d")
        memory.wait()
        found = memory.size()
        bodies = sum(len(json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode()) for one in _bodies(path))
        assert found["kinds"]["episode"]["live"] == memory.episodes.count()
        assert found["kinds"]["skill"]["records"] == 1
        assert sum(entry["record_bytes"] for entry in found["kinds"].values()) == bodies
        used = sum(os.stat(os.path.join(folder, name)).st_blocks * 512
                   for folder, _, files in os.walk(path) for name in files)  # fmt: skip
        assert found["files"]["total"] == pytest.approx(used, rel=0.05)
        assert sum(found["tables"].values()) <= found["files"]["memory.sqlite"]
        assert found["kinds"]["episode"]["vector_bytes"] > 0


def _bodies(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path / "memory.sqlite")) as connection:
        return [json.loads(row[0]) for row in connection.execute("SELECT body FROM record WHERE body IS NOT NULL")]


def test_all_of_it_can_be_awaited(path: Path, tmp_path: Path) -> None:
    async def travel() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.episodes.store(session="s", task="t")
            taken = await memory.snapshot(tmp_path / "snapshot")
            assert [one["n"] for one in await memory.snapshots()] == [taken.n]
            assert (await memory.size())["kinds"]["episode"]["live"] == 1
        assert (await graphsvc.averify_snapshot(tmp_path / "snapshot")).n == 1
        assert (await graphsvc.arestore(tmp_path / "snapshot", tmp_path / "again")).n == 1
        assert (await graphsvc.amigrate(tmp_path / "again")).entries == 1

    asyncio.run(travel())
