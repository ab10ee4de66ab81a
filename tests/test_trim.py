"""A trimmed memory is what it was, but for its past: that is in a snapshot, and told of."""

from __future__ import annotations

import asyncio
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc.errors import BadInput, GraphsvcError, NeedsSnapshot, NotRetained
from graphsvc.log import trim
from graphsvc.log.rebuild import replay

from .test_forget import WORDS, every_needle, forms, found_in, step, unit
from .test_travel import Writers

PARTS = ("graph", "text", "vectors")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trim, "PIECE", 6)  # a few records make several entries


def a_past(memory: graphsvc.Memory, steps: int = 60) -> dict[int, dict[str, str | None]]:
    """Episodes stored, amended, deleted, a skill used: id and critique of those there at each number of the log."""
    states: dict[int, dict[str, str | None]] = {}
    chance, state = random.Random(7), dict[str, str | None]()
    memory.skills.create(name="skill", id="skill", code="look()")
    for number in range(steps):
        choice = chance.random()
        if choice < 0.55 or not state:
            memory.episodes.store(id=f"e{number}", session=f"s{number % 3}", task=f"task {number % 5}", critique=f"c{number}")
            state[f"e{number}"] = f"c{number}"
        else:
            id = chance.choice(sorted(state))
            if choice < 0.7:
                memory.episodes.amend(id, critique=f"amended {number}", session=f"s{number % 2}")
                state[id] = f"amended {number}"
            elif choice < 0.85:
                memory.skills.record_outcome("skill", success=number % 2 == 0, episode=id)
            else:
                memory.episodes.delete(id)
                del state[id]
        states[memory.status()["head"]] = dict(state)
    return states


def entries_of(path: Path) -> list[int]:
    with closing(sqlite3.connect(path / "memory.sqlite")) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM log ORDER BY n")]


def digest_when_all_is_made_anew(memory: graphsvc.Memory) -> str:
    """Records and projections, from the log alone."""
    memory._opened.log.rebuild()
    for part in PARTS:
        memory._opened.store.rebuild(part)
    report = memory.verify()
    assert report.problems == []
    return report.digest


def test_it_is_what_it_was_and_needs_the_snapshot_for_nothing(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        a_past(memory)
        before, head, said = memory.verify(), memory.status()["head"], replay(memory._opened.log)
        found = memory.episodes.retrieve("task 3", k=5).as_dicts()
        memory.snapshot(tmp_path / "snapshot")
        report = memory.trim(before=head - 9)
        assert (report.entries, report.snapshot) == (head - 10, str(tmp_path / "snapshot"))
        held = entries_of(path)
        assert held == list(range(head - 9 - report.base_entries, head + 1))
        assert report.base_entries > 3
        shutil.rmtree(tmp_path / "snapshot")
        after = memory.verify()
        assert (after.problems, after.digest) == ([], before.digest)
        again = replay(memory._opened.log)
        assert (again.records, again.links, set(again.history)) == (said.records, said.links, set(said.history))
        assert memory.episodes.retrieve("task 3", k=5).as_dicts() == found
        assert digest_when_all_is_made_anew(memory) == before.digest
        memory.episodes.store(id="new", session="s1", task="task 1")
        assert memory.status()["head"] == head + 1
    (path / "graph.in-use").touch()  # as a kill leaves it
    shutil.rmtree(path / "text.tantivy")
    shutil.rmtree(path / "vectors.lance")
    (path / "hot.index").unlink()
    (path / "hot.columns").unlink()
    with graphsvc.open(path) as memory:
        assert memory.verify().problems == []
        assert memory.episodes.get("new").task == "task 1"


def test_it_is_trimmed_again_and_all_of_it(memory: graphsvc.Memory, tmp_path: Path) -> None:
    a_past(memory)
    digest, head = memory.verify().digest, memory.status()["head"]
    memory.snapshot(tmp_path / "snapshot")
    for before in (10, 11, 40, head + 1):
        assert memory.trim(before=before).entries
        report = memory.verify()
        assert (report.problems, report.digest, memory.status()["head"]) == ([], digest, head)
    again = memory.trim(before=40)
    assert (again.entries, again.base_entries) == (0, 0), "it is trimmed further than that already"
    assert digest_when_all_is_made_anew(memory) == digest
    memory.episodes.amend("e0" if memory.episodes.list({"id": "e0"}) else memory.episodes.list(k=1)[0].id, critique="now")
    assert memory.verify().problems == []


def test_without_a_snapshot_that_is_whole_nothing_is_trimmed(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(session="s", task="one")
        memory.snapshot(tmp_path / "early")
        a_past(memory, 20)
        held = entries_of(path)

        def refused(why: str) -> None:
            with pytest.raises(NeedsSnapshot, match=why):
                memory.trim(before=10)
            assert entries_of(path) == held
            assert not (path / trim.DRAFT).exists()

        refused("reaches entry 9. Take")
        memory.snapshot(tmp_path / "late")
        whole = (tmp_path / "late" / "memory.sqlite").read_bytes()
        (tmp_path / "late" / "memory.sqlite").write_bytes(whole[:-1] + b"?")
        refused("its checksum is another")
        shutil.rmtree(tmp_path / "late")
        refused("is no snapshot")
        with graphsvc.open(tmp_path / "other", embedder="hashing") as other:
            a_past(other, 20)
            other.snapshot(tmp_path / "late")
        refused("another memory's, or another one than was noted")
        memory.snapshot(tmp_path / "again")
        memory.trim(before=10)
        assert memory.verify().ok


def test_points_that_are_held_can_be_restored_and_the_others_are_in_the_snapshot(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.snapshot(tmp_path / "empty")
        states = a_past(memory)
        head = memory.status()["head"]
        memory.snapshot(tmp_path / "snapshot")
        memory.trim(before=41)
        memory.episodes.store(id="later", session="s", task="later")
        memory.snapshot(tmp_path / "after")
        states[head + 1] = {**states[head], "later": None}
    for source, points in (("memory", (40, 41, head + 1)), ("after", (40,)), ("snapshot", (7,))):
        for to in points:
            target = tmp_path / f"{source}-{to}"
            assert graphsvc.restore(tmp_path / source, target, to=to).n == to
            with graphsvc.open(target) as restored:
                assert {one.id: one.critique for one in restored.episodes.list(k=100)} == states[to]
                assert restored.verify().problems == []
                restored.episodes.store(session="s", task="goes on")
    for source in ("memory", "after"):
        with pytest.raises(NotRetained, match=f"trimmed before 41.*any of 40 to {head + 1}"):
            graphsvc.restore(tmp_path / source, tmp_path / "never", to=39)
    with pytest.raises(NotRetained, match="snapshot has it: restore that with to=39"):
        graphsvc.restore(path, tmp_path / "never", to=39)
    shutil.rmtree(tmp_path / "snapshot")
    with pytest.raises(NotRetained, match=r"any of 40 to \d+. The nearest before it is 0, in the snapshot .*empty"):
        graphsvc.restore(path, tmp_path / "never", to=39)
    assert not (tmp_path / "never").exists()


def test_history_says_where_the_log_was_trimmed_and_shows_what_is_held(memory: graphsvc.Memory, tmp_path: Path) -> None:
    for id in ("kept", "gone", "told"):
        memory.episodes.store(id=id, session="s", task=id)
    memory.episodes.amend("kept", critique="before")
    memory.episodes.delete("gone")
    memory.forget("told")
    n = memory.status()["head"]
    memory.snapshot(tmp_path / "snapshot")
    memory.trim(before=n + 1)
    memory.episodes.amend("kept", critique="after")
    first, second = memory.history("kept")
    assert (first.n, first.what, first.values["critique"]) == (n, "trim", "before")
    assert (second.what, second.values) == ("amend", {"critique": "after"})
    assert [(one.what, one.values.get("state")) for one in memory.history("gone")] == [("trim", "deleted")]
    assert [(one.what, one.values.get("state")) for one in memory.history("told")] == [("trim", "forgotten")]
    later = memory.episodes.store(session="s", task="later")
    assert [one.what for one in memory.history(later.id)] == ["store"]
    memory.episodes.delete("kept")
    assert [one.what for one in memory.history("kept")] == ["trim", "amend", "delete"]


def test_given_vectors_are_kept_and_those_of_another_model_are_not(path: Path, tmp_path: Path) -> None:
    def never(texts: Any) -> Any:
        return np.tile(np.array([0, 0, 0, 1], np.float32), (len(texts), 1))

    eye = np.eye(4, dtype=np.float32)
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(id="old", session="s", task="old", vector=unit(1, memory.stats()["vectors"]["dimension"]))
        memory.wait()
        memory.reembed(never)
        memory.episodes.store_many([{"id": f"e{i}", "session": "s", "task": f"t{i}"} for i in range(3)], vectors=eye[:3])
        memory.episodes.amend("e0", vector=eye[2])
        memory.episodes.amend("e1", task="another text")
        memory.snapshot(tmp_path / "snapshot")
        head = memory.status()["head"]
    for before in (head, head + 1):
        with graphsvc.open(path, embedder=never) as memory:
            assert memory.trim(before=before).entries
        shutil.rmtree(path / "vectors.lance")
        for index in path.glob("hot.index*"):
            index.unlink()
        with graphsvc.open(path, embedder=never) as memory:
            memory.wait()
            for id, vector in (("old", eye[3]), ("e0", eye[2]), ("e1", eye[3]), ("e2", eye[2])):
                hits = memory.episodes.retrieve("t", vector=vector, mode="vector", where={"id": id})
                assert hits[0].parts["cosine"] == pytest.approx(1.0), id
            assert memory.verify().problems == []
    with graphsvc.open(path, embedder=never) as memory:
        memory.reembed("hashing")
        assert digest_when_all_is_made_anew(memory)


def test_what_is_forgotten_after_it_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSVC_CACHE_DIR", str(tmp_path / "cache"))
    apart = tmp_path / "apart"
    with graphsvc.open(apart / "memory", embedder="hashing") as memory:
        given = unit(1, memory.stats()["vectors"]["dimension"])
        memory.episodes.store_many([{"session": "s", "task": f"task {i % 5}", "output": f"did {i}"} for i in range(40)])
        memory.episodes.store(
            id="told", session="s", task=f"Look for {WORDS[0]}", output=WORDS[1], tags=[WORDS[2]], metadata={"who": WORDS[3]},
            vector=given,
        )  # fmt: skip
        memory.skills.create(name=WORDS[5], id="skill", description=f"finds {WORDS[0]}")
        memory.skills.record_outcome("skill", success=True, episode="told")
        memory.episodes.store(id="gone", session="s", task=f"Look for {WORDS[0]}")
        memory.episodes.delete("gone")
        memory.snapshot(tmp_path / "snapshot")
        memory.trim(before=memory.status()["head"] + 1)
        memory.episodes.amend("told", critique=f"Not {WORDS[4]}", vector=unit(2, len(given)))
        memory.skills.revise("skill", code=f"look({WORDS[3]})")
        needles = {*every_needle(given.tobytes()), unit(2, len(given)).tobytes()}
        memory.wait()
        assert {word.encode() for word in WORDS} <= {needle for needle, _ in found_in(apart, needles)}
        report = memory.forget(["told", "skill"])
        assert [kept.episode for kept in report.kept_tasks] == ["gone"], "it is told of by one that was deleted"
        assert [one["path"] for one in report.snapshots] == [str(tmp_path / "snapshot")]
        memory.forget("gone")
        assert found_in(apart, needles) == []
        checked = memory.verify()
        assert checked.problems == []
        assert digest_when_all_is_made_anew(memory) == checked.digest
        memory.snapshot(tmp_path / "clean")
        memory.trim(before=memory.status()["head"] + 1)
        assert memory.verify().digest == checked.digest
        assert memory.episodes.count() == 40
    assert found_in(apart, needles) == []
    assert found_in(tmp_path / "snapshot", forms(WORDS[0])), "the snapshot still has it, as was told"


def test_a_dry_run_says_the_same_and_changes_nothing(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        a_past(memory)
        memory.snapshot(tmp_path / "snapshot")
        held = entries_of(path)
        planned = memory.trim(before=40, dry_run=True)
        assert planned.dry_run
        assert (entries_of(path), (path / trim.DRAFT).exists()) == (held, False)
        done = memory.trim(before=40)
        for name in ("entries", "bytes", "base_entries", "base_bytes", "snapshot"):
            assert getattr(planned, name) == getattr(done, name)
        assert (planned.freed, done.dry_run) == (0, False)


def test_arguments_are_checked_and_nothing_is_changed(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(session="s", task="one")
        memory.episodes.store_many([{"session": "s", "task": f"task {i}"} for i in range(2_500)])
        memory.snapshot(tmp_path / "snapshot")
        for wrong in (0, -1, True, "3", 2.0, None):
            with pytest.raises(BadInput, match="expected a number from 1 on"):
                memory.trim(before=wrong)  # type: ignore[arg-type]
        with pytest.raises(NotRetained, match="0 to 4"):
            memory.trim(before=6)
        with pytest.raises(NotRetained, match=r"within one call.*1 and 4"):
            memory.trim(before=3)
        assert memory.trim(before=1).entries == 0
        assert entries_of(path) == [1, 2, 3, 4]
        assert memory.trim(before=2).entries == 1
        assert memory.verify().ok


def test_trimmed_while_three_write_and_snapshots_are_taken(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        writers = Writers(memory, 3)
        taken = [memory.snapshot(tmp_path / "first")]
        failures: list[BaseException] = []

        def copy() -> None:
            try:
                taken.extend(memory.snapshot(tmp_path / f"copy{number}") for number in range(2))
            except BaseException as error:
                failures.append(error)

        copying = threading.Thread(target=copy)
        copying.start()
        for _ in range(2):
            done = memory.trim(before=taken[-1].n + 1)
            assert done.seconds
        copying.join()
        writers.stop()
        assert failures == []
        assert memory.verify().problems == []
    for number, snapshot in enumerate(taken):
        graphsvc.restore(snapshot.path, tmp_path / f"again{number}")
        with graphsvc.open(tmp_path / f"again{number}") as restored:
            assert restored.verify().problems == []


def test_a_trimmed_memory_moves_to_ladybug(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        a_past(memory)
        memory.snapshot(tmp_path / "snapshot")
        memory.trim(before=30)
        digest = memory.verify().digest
    assert graphsvc.migrate(path, engine="ladybug").digest == digest
    assert graphsvc.migrate(path, engine="kuzu").digest == digest


def test_a_projection_behind_the_logs_first_entry_is_made_anew(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(session="s", task="one")
        memory.wait()
    shutil.copytree(path, tmp_path / "early")
    with graphsvc.open(path) as memory:
        a_past(memory)
        memory.snapshot(tmp_path / "snapshot")
        memory.trim(before=memory.status()["head"] + 1)
    for name in ("graph.kuzu", "text.tantivy"):
        (shutil.rmtree if (path / name).is_dir() else Path.unlink)(path / name)
        (shutil.copytree if (tmp_path / "early" / name).is_dir() else shutil.copy)(tmp_path / "early" / name, path / name)
    with pytest.warns(UserWarning, match="behind the log's first entry"), graphsvc.open(path) as memory:
        assert memory.verify().problems == []


FULL = """
import resource, signal, sys, graphsvc
from graphsvc.errors import StorageFull
from graphsvc.memory import trimming
memory = graphsvc.open(sys.argv[1])
memory.wait()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
for name in ("_staged", "_replace", "_give_back"):
    real = getattr(trimming, name)
    def full(*args, **options):
        limit(4096)
        return real(*args, **options)
    setattr(trimming, name, full)
    try:
        memory.trim(before=memory.status()["head"] + 1)
    except StorageFull as error:
        print(name, memory.status()["trimmed"] is not None, error)
    setattr(trimming, name, real)
    limit(resource.RLIM_INFINITY)
    assert memory.verify().ok
memory.close()
"""


def test_where_the_disk_is_full_it_is_trimmed_or_not_and_says_which(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        a_past(memory)
        digest = memory.verify().digest
        memory.snapshot(tmp_path / "snapshot")
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    first, second, third = done.stdout.splitlines()
    assert first.startswith("_staged False [storage_full]")
    assert second.startswith("_replace False [storage_full]")
    assert third.startswith("_give_back True [storage_full]")
    assert "the log is trimmed, but its file couldn't be written anew" in third
    assert not (path / trim.DRAFT).exists()
    with graphsvc.open(path) as memory:
        assert memory.verify().digest == digest
        again = memory.trim(before=memory.status()["head"] + 1)
        assert again.entries == 0
        assert again.freed > 0
        assert memory.verify().problems == []


def test_awaited_it_does_the_same(path: Path, tmp_path: Path) -> None:
    async def main() -> tuple[int, bool]:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            for number in range(4):
                await memory.episodes.store(session="s", task=f"task {number}")
            await memory.snapshot(tmp_path / "snapshot")
            shares: list[float] = []
            done = await memory.trim(before=4, progress=lambda share, what: shares.append(share))
            assert shares == sorted(shares)
            return done.entries, (await memory.verify()).ok

    assert asyncio.run(main()) == (3, True)


VERBS = ["store", "amend", "task", "delete", "forget", "skill", "outcome", "forget skill", "trim", "trim", "reopen"]
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 5), st.integers(0, 2)), max_size=30)
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def any_history(folder: Path, steps: list[tuple[str, int, int]]) -> None:
    path = folder / "memory"
    digests: dict[int, str] = {}
    memory = graphsvc.open(path, embedder="hashing")
    for number, (what, i, j) in enumerate(steps):
        if what == "trim":
            head = memory.status()["head"]
            before, said = memory.verify(), replay(memory._opened.log)
            memory.snapshot(folder / f"snapshot{number}")
            memory.trim(before=max(1, head + 1 - 2 * i - j))
            again = replay(memory._opened.log)
            assert (again.records, again.links, set(again.history)) == (said.records, said.links, set(said.history))
            assert memory.verify().digest == before.digest
        elif what == "reopen":
            memory.close()
            memory = graphsvc.open(path)
        else:
            try:
                step(memory, what, f"e{i}", f"task {j}")
            except GraphsvcError as error:
                assert error.code in ("gone", "not_found", "conflict"), error
            if "forget" in what:
                digests.clear()  # what it overwrote may be named otherwise at the points before
        digests[memory.status()["head"]] = memory.verify().digest
    assert memory.verify().problems == []
    assert digest_when_all_is_made_anew(memory) == memory.verify().digest
    held = min((n for n in digests if n >= held_from(path)), default=0)
    memory.close()
    if digests:
        graphsvc.restore(path, folder / "again", to=held)
        with graphsvc.open(folder / "again") as again:
            report = again.verify()
            assert (report.problems, report.digest) == ([], digests[held])


def held_from(path: Path) -> int:
    with closing(sqlite3.connect(path / "memory.sqlite")) as connection:
        return trim.held_from(connection)


@settings(max_examples=3, deadline=None, suppress_health_check=SLOW)
@given(STEPS)
def test_any_history_with_trims_and_forgets_adds_up(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    any_history(tmp_path_factory.mktemp("any"), steps)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(STEPS)
def test_any_history_with_trims_and_forgets_adds_up_for_long(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    any_history(tmp_path_factory.mktemp("any"), steps)


def test_status_and_snapshots_tell_of_it(memory: graphsvc.Memory, tmp_path: Path) -> None:
    memory.episodes.store(session="s", task="one")
    assert memory.status()["trimmed"] is None
    memory.snapshot(tmp_path / "snapshot")
    memory.trim(before=2)
    memory.snapshot(tmp_path / "next")
    assert memory.status()["trimmed"] == {"before": 2, "snapshot": str(tmp_path / "snapshot")}
    assert [one["holds_trimmed"] for one in memory.snapshots()] == [True, False]
