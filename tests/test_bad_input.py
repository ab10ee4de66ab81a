"""Bad input: each a clear error with a code, nothing stored, nothing lost."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphsvc
from graphsvc.errors import (
    BadInput,
    Closed,
    Conflict,
    Corrupt,
    EmbeddingMismatch,
    Gone,
    GraphsvcError,
    NewerFormat,
    NotAMemory,
    NotFound,
    TooLarge,
    UnknownField,
)
from graphsvc.memory.scores import Scores
from graphsvc.store.store import SetAside

GOOD: dict[str, Any] = {"session": "s", "task": "t"}

BAD_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"session": None}, "bad_input", "session"),
    ({"session": 3}, "bad_input", "session"),
    ({"session": ""}, "bad_input", "session"),
    ({"session": "a\nb"}, "bad_input", "session"),
    ({"session": "x" * 513}, "too_large", "session"),
    ({"task": ""}, "bad_input", "task"),
    ({"task": "  \n "}, "bad_input", "task"),
    ({"task": b"bytes"}, "bad_input", "task"),
    ({"task": "half a \ud800 pair"}, "bad_input", "task"),
    ({"output": "nul \x00 inside"}, "bad_input", "output"),
    ({"output": "x" * (10 << 20)}, "too_large", "output"),
    ({"critique": 7}, "bad_input", "critique"),
    ({"reward": math.nan}, "bad_input", "reward"),
    ({"reward": math.inf}, "bad_input", "reward"),
    ({"reward": "0.5"}, "bad_input", "reward"),
    ({"reward": True}, "bad_input", "reward"),
    ({"reward": 10**400}, "bad_input", "reward"),
    ({"success": 1}, "bad_input", "success"),
    ({"success": "yes"}, "bad_input", "success"),
    ({"latency_ms": -1}, "bad_input", "latency_ms"),
    ({"tokens": 1.5}, "bad_input", "tokens"),
    ({"tokens": -1}, "bad_input", "tokens"),
    ({"tokens": 2**63}, "bad_input", "tokens"),
    ({"tags": "deploy"}, "bad_input", "tags"),
    ({"tags": [1]}, "bad_input", "tags[0]"),
    ({"tags": [f"t{i}" for i in range(65)]}, "too_large", "tags"),
    ({"metadata": [1]}, "bad_input", "metadata"),
    ({"metadata": {"a": math.nan}}, "bad_input", "metadata.a"),
    ({"metadata": {"a": {1: 2}}}, "bad_input", "metadata.a"),
    ({"metadata": {"a": object()}}, "bad_input", "metadata.a"),
    ({"metadata": {"a": 2**70}}, "bad_input", "metadata.a"),
    ({"metadata": {"a": "x" * (1 << 17)}}, "too_large", "metadata"),
    ({"at": "yesterday"}, "bad_input", "at"),
    ({"at": datetime(2026, 1, 1)}, "bad_input", "at"),
    ({"at": "2026-01-01T00:00:00"}, "bad_input", "at"),
    ({"at": 12}, "bad_input", "at"),
    ({"id": ""}, "bad_input", "id"),
    ({"id": "a\tb"}, "bad_input", "id"),
    ({"agent": ""}, "bad_input", "agent"),
    ({"vector": [1.0, 2.0]}, "bad_input", "vector"),
    ({"vector": [0.0] * 384}, "bad_input", "vector"),
    ({"vector": [math.nan] * 384}, "bad_input", "vector"),
    ({"wait": "soon"}, "bad_input", "wait"),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with graphsvc.open(tmp_path_factory.mktemp("bad") / "memory", embedder="hashing") as memory:
        yield memory


@pytest.mark.parametrize(
    ("fields", "code", "where"),
    BAD_FIELDS,
    ids=[f"{where}-{number}" for number, (_, _, where) in enumerate(BAD_FIELDS)],
)
def test_a_bad_value_names_its_field_and_stores_nothing(
    shared: graphsvc.Memory, fields: dict[str, Any], code: str, where: str
) -> None:
    before = shared.status()["head"]
    with pytest.raises(GraphsvcError) as caught:
        shared.episodes.store(**{**GOOD, **fields})
    assert (caught.value.code, caught.value.where) == (code, where)
    assert str(caught.value).startswith(f"[{code}] ")
    assert shared.status()["head"] == before


def test_the_reason_why_a_time_without_zone_is_refused_is_said(shared: graphsvc.Memory) -> None:
    with pytest.raises(BadInput, match="names no moment"):
        shared.episodes.store(**GOOD, at=datetime(2026, 1, 1))


def test_any_zone_is_taken_and_kept_as_utc(shared: graphsvc.Memory) -> None:
    episode = shared.episodes.store(**GOOD, at="2026-03-01T12:00:00+05:30")
    assert episode.at == datetime(2026, 3, 1, 6, 30, tzinfo=UTC)
    assert episode.at.tzinfo is UTC or episode.at.utcoffset().total_seconds() == 0  # type: ignore[union-attr]


def test_one_bad_record_of_many_stores_none_and_is_named(shared: graphsvc.Memory) -> None:
    before = shared.episodes.count()
    with pytest.raises(BadInput) as caught:
        shared.episodes.store_many([GOOD, GOOD, {**GOOD, "reward": "high"}])
    assert caught.value.where == "episodes[2].reward"
    with pytest.raises(UnknownField) as unknown:
        shared.episodes.store_many([{**GOOD, "rewrad": 1.0}])
    assert "reward" in unknown.value.hint
    assert shared.episodes.count() == before


def test_the_same_write_twice_is_one_another_under_its_id_conflicts_a_deleted_one_is_gone(
    shared: graphsvc.Memory,
) -> None:
    first = shared.episodes.store(id="one", **GOOD, output="a")
    assert shared.episodes.store(id="one", **GOOD, output="a") == first
    with pytest.raises(Conflict):
        shared.episodes.store(id="one", **GOOD, output="b")
    shared.episodes.amend("one", output="c")
    assert shared.episodes.store(id="one", **GOOD, output="a").output == "c", "the hash is of the store as it was given"
    before = shared.episodes.count()
    with pytest.raises(Conflict):
        shared.episodes.store_many([{**GOOD, "id": "two"}, {**GOOD, "id": "one", "output": "z"}])
    assert shared.episodes.count() == before
    shared.episodes.delete("one")
    with pytest.raises(Gone):
        shared.episodes.store(id="one", **GOOD, output="a")
    with pytest.raises(Gone):
        shared.episodes.get("one")
    with pytest.raises(NotFound):
        shared.episodes.get("never")
    assert [event.what for event in shared.history("one")] == ["store", "amend", "delete"]


def test_control_characters_and_odd_scripts_come_back_as_they_went_in(shared: graphsvc.Memory) -> None:
    text = "".join(map(chr, range(1, 32))) + "\x7f\u200f\u202e👩‍🚀\ufffd\uffff é e\u0301 中文"
    stored = shared.episodes.store(**GOOD, output=text, wait="graph")
    assert shared.episodes.get(stored.id).output == text
    assert shared.verify().ok


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ({"rewrad": 1}, "unknown_field"),
        ({"reward": {"above": 1}}, "unknown_field"),
        ({"reward": "high"}, "bad_input"),
        ({"reward": {"ge": math.nan}}, "bad_input"),
        ({"success": 1}, "bad_input"),
        ({"session": {"gt": "a"}}, "bad_input"),
        ({"metadata": {"eq": 1}}, "bad_input"),
        ({"metadata.a": {"eq": [1]}}, "bad_input"),
        ({'metadata.a"b': 1}, "bad_input"),
        ({"tags": {"ge": "a"}}, "bad_input"),
        ({"and": {"reward": 1}}, "bad_input"),
        ({"reward": {}}, "bad_input"),
        ({"at": {"ge": "2026-01-01"}}, "bad_input"),
        ([1], "bad_input"),
        ({"or": [{"reward": i} for i in range(300)]}, "too_large"),
    ],
)
def test_a_bad_filter_says_where(shared: graphsvc.Memory, where: Any, code: str) -> None:
    with pytest.raises(GraphsvcError) as caught:
        shared.episodes.retrieve("text", where=where)
    assert caught.value.code == code
    assert caught.value.where.startswith("where")


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": ""}, {"text": 3}, {"text": "\ud800"}, {"k": 0}, {"k": True}, {"k": 1.5}, {"k": 10**6}, {"mode": "magic"},
        {"weight": 2}, {"mmr": -1}, {"half_life": "soon"}, {"half_life": 0}, {"min_similarity": 7}, {"vector": [1.0]},
        {"agent": 3}, {"agent": []},
    ],
)  # fmt: skip
def test_a_bad_argument_of_retrieve_is_an_error_of_ours(shared: graphsvc.Memory, arguments: dict[str, Any]) -> None:
    shared.episodes.store(**GOOD)
    with pytest.raises(BadInput):
        shared.episodes.retrieve(**{"text": "text", **arguments})


def test_pruning_without_a_criterion_is_refused(shared: graphsvc.Memory) -> None:
    with pytest.raises(BadInput, match="no criterion"):
        shared.episodes.prune()
    with pytest.raises(BadInput, match="no criterion"):
        shared.skills.prune()


def test_numbers_of_numpy_are_numbers(shared: graphsvc.Memory) -> None:
    stored = shared.episodes.store(**GOOD, reward=np.float32(0.5), success=np.True_, tokens=np.int64(3))
    assert (stored.reward, stored.success, stored.tokens) == (0.5, True, 3)


# --- the directory ------------------------------------------------------------------------------------


def filled(path: Path, count: int = 40) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store_many(
            [{"id": f"e{i}", "session": "s", "task": f"task {i}", "output": "x" * 500} for i in range(count)]
        )
        memory.wait()


def test_a_second_process_is_told_who_owns_a_memory_that_is_not_shared(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing", share=False):
        program = f"import graphsvc; graphsvc.open({str(path)!r})"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.returncode != 0
        assert "InUse" in done.stderr
        assert f"process {os.getpid()}" in done.stderr
    with graphsvc.open(path):
        pass


def test_opened_twice_in_one_process_it_is_shared_and_closed_with_its_last_user(path: Path) -> None:
    first = graphsvc.open(path, embedder="hashing")
    second = graphsvc.open(path.parent / "." / path.name)
    stored = first.episodes.store(**GOOD)
    assert second.episodes.get(stored.id) == stored
    first.close()
    assert second.episodes.get(stored.id) == stored
    with pytest.raises(BadInput):
        graphsvc.open(path, read_wait=9.0)
    second.close()
    with pytest.raises(Closed):
        second.episodes.get(stored.id)
    second.close()


def test_a_forked_child_gets_an_error_and_the_parent_goes_on(path: Path) -> None:
    program = textwrap.dedent(f"""
        import os, warnings, graphsvc
        warnings.simplefilter("ignore")
        from graphsvc.errors import Forked, InUse
        memory = graphsvc.open({str(path)!r}, embedder="hashing", share=False)
        memory.episodes.store(session="s", task="t", wait="searchable")
        child = os.fork()
        if child == 0:
            outcomes = []
            for call in (lambda: memory.episodes.store(session="s", task="t"), lambda: memory.episodes.retrieve("t")):
                try:
                    call()
                    outcomes.append("ran")
                except Forked:
                    outcomes.append("forked")
            try:
                graphsvc.open({str(path)!r})
                outcomes.append("opened")
            except InUse:
                outcomes.append("in use")
            os._exit(0 if outcomes == ["forked", "forked", "in use"] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        memory.episodes.store(session="s", task="t2")
        memory.close()
        with graphsvc.open({str(path)!r}) as memory:
            assert memory.episodes.count() == 2
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_directory_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(NotAMemory):
        graphsvc.open(tmp_path, embedder="hashing")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(NotAMemory):
        graphsvc.open(tmp_path / "thesis.txt", embedder="hashing")
    with pytest.raises(NotAMemory):
        graphsvc.open(tmp_path / "nothing", create=False)
    assert not (tmp_path / "nothing").exists()


def test_a_newer_format_is_refused_and_nothing_changed(path: Path) -> None:
    filled(path)
    manifest = json.loads((path / "graphsvc.json").read_text())
    (path / "graphsvc.json").write_text(json.dumps({**manifest, "format": 99, "from_the_future": True}))
    before = {
        file.name: file.read_bytes() for file in path.iterdir() if file.is_file() and file.name != "graphsvc.lock"
    }
    with pytest.raises(NewerFormat):
        graphsvc.open(path)
    assert contents(path) == before


def contents(path: Path) -> dict[str, bytes]:
    files = [file for file in path.iterdir() if file.is_file() and file.name != "graphsvc.lock"]
    return {file.name: file.read_bytes() for file in files}


def test_a_damaged_manifest_is_an_error_that_says_so(path: Path) -> None:
    filled(path)
    (path / "graphsvc.json").write_text("{")
    with pytest.raises(Corrupt, match=r"graphsvc\.json"):
        graphsvc.open(path)


def test_a_corrupt_page_of_the_log_is_found_and_said(path: Path) -> None:
    filled(path, 400)
    file = path / "memory.sqlite"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    data = bytearray(file.read_bytes())
    for number in range(6, len(data) // page, 3):
        data[number * page : number * page + 200] = b"\xff" * 200
    file.write_bytes(data)
    code, hint = "", ""
    try:
        with graphsvc.open(path) as memory:
            report = memory.verify()
            code, hint = report.problems[0].part, "verify names the part"
    except Corrupt as error:
        code, hint = error.code, error.hint
    assert code in ("log", "corrupt")
    assert hint


@pytest.mark.parametrize("part", ["graph.kuzu", "text.tantivy", "vectors.lance", "hot.index", "hot.columns"])
@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_a_missing_or_damaged_projection_is_made_again(path: Path, part: str, damage: str) -> None:
    filled(path)
    target = path / part
    if damage == "missing":
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    else:
        for file in [target] if target.is_file() else [file for file in target.rglob("*") if file.is_file()]:
            file.write_bytes(b"garbage" * 300)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with graphsvc.open(path) as memory:
            assert len(memory.episodes.retrieve("task 7", k=40)) == 40
            report = memory.repair()
            assert report.ok, report.problems
    if damage == "garbage" and part in ("graph.kuzu", "text.tantivy"):
        assert any(issubclass(warning.category, SetAside) for warning in caught)
    with graphsvc.open(path) as memory:
        assert memory.verify().ok


def test_a_read_only_directory_is_said_to_be_one(path: Path) -> None:
    filled(path)
    program = textwrap.dedent(f"""
        import os, sys
        import graphsvc.memory.memory, lancedb, kuzu, tantivy
        if os.getuid() == 0:
            os.setgid(65534); os.setuid(65534)
        from graphsvc.errors import ReadOnly
        try:
            graphsvc.open({str(path)!r})
        except ReadOnly as error:
            print(error.code)
    """)
    for place in (path, *path.parents[:3]):
        place.chmod(0o555 if place == path else 0o755)
    try:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    finally:
        path.chmod(0o755)
    assert done.stdout.strip() == "read_only", done.stderr


def test_a_full_disk_refuses_the_write_keeps_the_rest_and_goes_on_when_there_is_room(path: Path) -> None:
    """The limit on file size stands for the disk's end: the system fails the write in the same way."""
    program = textwrap.dedent(f"""
        import resource, signal, graphsvc
        from graphsvc.errors import StorageFull
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        memory = graphsvc.open({str(path)!r}, embedder="hashing")
        kept = [memory.episodes.store(session="s", task=f"task {{i}}", wait="searchable").id for i in range(5)]
        size = max(file.stat().st_size for file in memory.path.glob("memory.sqlite*"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40_000, hard))
        refused = 0
        for i in range(20):
            try:
                kept.append(memory.episodes.store(session="s", task=f"more {{i}}", output="x" * 10_000).id)
            except StorageFull:
                refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        kept.append(memory.episodes.store(session="s", task="after").id)
        assert refused, "the limit was met"
        assert memory.episodes.count() == len(kept)
        memory.wait()
        report = memory.verify()
        assert report.ok, report.problems
        memory.close()
        print(len(kept), refused)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    kept = int(done.stdout.split()[0])
    with graphsvc.open(path) as memory:
        assert memory.episodes.count() == kept
        assert memory.verify().ok


def test_the_embedder_for_tests_is_not_mixed_with_a_real_one(path: Path) -> None:
    filled(path)
    with pytest.raises(EmbeddingMismatch, match="hashing"):
        graphsvc.open(path, embedder="minilm")
    with pytest.raises(EmbeddingMismatch):
        graphsvc.open(path, embedder=lambda texts: np.ones((len(texts), 8)))


def test_an_unknown_setting_is_named_with_the_nearest_known(path: Path) -> None:
    with pytest.raises(UnknownField) as caught:
        graphsvc.open(path, quee_limit=3)
    assert caught.value.where == "quee_limit"
    assert "queue_limit" in caught.value.hint
    with pytest.raises(BadInput):
        graphsvc.open(path, queue_limit="many")
    with pytest.raises(BadInput):
        graphsvc.open("")
    assert not path.exists()


def test_too_large_names_the_setting_that_raises_the_limit(shared: graphsvc.Memory) -> None:
    with pytest.raises(TooLarge, match="max_text_bytes"):
        shared.episodes.store(**GOOD, output="x" * (2 << 20))


def test_vectors_of_different_lengths_are_refused_with_their_place(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        rows = [{"session": "s", "task": "a"}, {"session": "s", "task": "b"}]
        for vectors in ([[1.0], None], [[1.0], [1.0, 2.0]]):
            with pytest.raises(BadInput, match="vector"):
                memory.episodes.store_many(rows, vectors=vectors)
        with pytest.raises(BadInput, match="number"):
            memory.episodes.store_many(rows, vectors=np.array(1.0))


def test_scores_of_what_is_no_table_of_nodes_are_refused(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.graph.define("Person", {"name": str, "rank": float}, key="name")
        memory.graph.define("KNOWS", {"rank": float}, source="Person", target="Person")
        with pytest.raises(NotFound, match="None"):
            memory.graph.write_back(Scores(["None"], ["a"], np.array([1.0]), "rank"), "rank")
        with pytest.raises(BadInput, match="edges"):
            memory.graph.write_back(Scores(["KNOWS"], ["a"], np.array([1.0]), "rank"), "rank")


def test_a_home_directory_that_there_isnt_is_bad_input(tmp_path: Path) -> None:
    nobodys = "~nobody-of-this-name/memory"
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as memory:
        for act in (
            lambda: graphsvc.open(nobodys), lambda: memory.snapshot(nobodys), lambda: memory.export(nobodys),
            lambda: graphsvc.restore(nobodys, tmp_path / "new"), lambda: graphsvc.open(tmp_path / "other", embedder=nobodys),
        ):  # fmt: skip
            with pytest.raises(BadInput, match="home directory"):
                act()
