"""A memory written out and taken in elsewhere is the same memory; what can't be taken is told."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import graphsvc
from graphsvc.errors import BadInput, Corrupt, NewerFormat, UnknownField
from graphsvc.memory.exported import Contents, File, described, read_contents
from graphsvc.memory.importing import import_memory

FORMATS = ("jsonl", "parquet")


def fill(memory: graphsvc.Memory) -> None:
    """Every kind of record and link, changed and deleted ones among them, in two namespaces."""
    memory.episodes.store_many(
        [
            {
                "session": f"s{i % 4}", "task": f"täsk {i % 7}", "output": f"did {i}\n\"so\"", "reward": i / 7,
                "success": i % 3 == 0, "tags": ["b", "a"][: i % 3], "metadata": {"z": i / 3, "a": {"deep": [None, i]}},
                "agent": "other" if i % 5 == 0 else "default", "id": f"e{i}", "latency_ms": 0.1 * i,
            }
            for i in range(60)
        ]
    )  # fmt: skip
    memory.episodes.amend("e3", critique="Not so", session="s9")
    memory.episodes.delete("e4")
    for name in ("walk", "run", "fly"):
        memory.skills.create(name=name, id=name, code=f"{name}()", description=f"how to {name}")
    memory.skills.revise("run", code="run(fast=True)")
    for i in range(5):
        memory.skills.record_outcome("run", success=i % 2 == 0, reward=i / 3, latency_ms=i + 0.1, episode=f"e{i + 6}")
    memory.skills.link("fly", "run", "prerequisite", weight=0.3)
    memory.skills.link("run", "walk", "calls")
    memory.feedback("what did I do", {"e7": 0.5, "e8": 1.0})


def same(one: Path, other: Path) -> bool:
    return {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in other.iterdir()
    }


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("vectors", [True, False])
def test_what_is_taken_in_exports_to_equal_bytes(tmp_path: Path, format: str, vectors: bool) -> None:
    with graphsvc.open(tmp_path / "one", embedder="hashing") as one:
        fill(one)
        given = np.random.default_rng(3).normal(size=one.stats()["vectors"]["dimension"])
        one.episodes.store(session="s", task="with a vector of its own", id="own", vector=given)
        report = one.export(tmp_path / "a", format=format, vectors=vectors)
        digest = one.verify().digest
        skill, hits = one.skills.get("run"), one.episodes.retrieve("täsk 3", k=5, mode="vector").as_dicts()
    assert report.records["outcome"] == 5
    assert report.records["feedback"] == 2
    assert report.vectors == (63 if vectors else 0)
    with graphsvc.open(tmp_path / "two", embedder="hashing") as two:
        taken = import_memory(two, tmp_path / "a", batch=7)
        assert taken.skipped == []
        assert taken.stored == sum(report.records.values())
        assert taken.links == report.links
        again = import_memory(two, tmp_path / "a")
        assert (again.stored, again.links, again.already) == (0, 0, taken.stored + taken.links)
        two.export(tmp_path / "b", format=format, vectors=vectors)
        checked = two.verify()
        assert checked.problems == []
        assert checked.digest == digest
        assert two.skills.get("run") == skill
        assert len(two.skills.versions("run")) == 2
        assert two.episodes.store(session="s", task="with a vector of its own", id="own").id == "own"
        if vectors:
            assert two.episodes.retrieve("täsk 3", k=5, mode="vector").as_dicts() == hits
    assert same(tmp_path / "a", tmp_path / "b")


def test_a_dry_run_says_what_would_be_and_writes_nothing(memory: graphsvc.Memory, tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "one", embedder="hashing") as one:
        fill(one)
        one.export(tmp_path / "a")
    planned = import_memory(memory, tmp_path / "a", dry_run=True)
    assert memory.status()["head"] == 0
    done = import_memory(memory, tmp_path / "a")
    assert (planned.read, planned.stored, planned.links) == (done.read, done.stored, done.links)


def test_what_conflicts_or_is_gone_here_stays_and_is_told(memory: graphsvc.Memory, tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "one", embedder="hashing") as one:
        fill(one)
        one.export(tmp_path / "a")
    for id in ("e1", "e2", "e3"):
        memory.episodes.store(session="s", task="another", id=id)
    memory.episodes.delete("e2")
    memory.forget("e3")
    memory.skills.create(name="other run", id="run")
    report = import_memory(memory, tmp_path / "a")
    told = {(one.place, one.code) for one in report.skipped}
    assert {("episode e1", "conflict"), ("episode e2", "gone"), ("episode e3", "gone"), ("skill run", "conflict")} <= told
    assert sum(place.startswith("outcome") for place, _ in told) == 5
    assert memory.skills.get("run").uses == 0
    assert memory.episodes.get("e1").task == "another"
    assert memory.verify().ok


def test_a_filter_takes_parts_and_links_along_only_with_their_records(
    memory: graphsvc.Memory, tmp_path: Path
) -> None:
    fill(memory)
    where = {"episode": {"success": True}, "skill": {"name": "walk"}}
    report = memory.export(tmp_path / "a", where=where)
    assert report.records == {"episode": 20, "skill": 1, "skill_version": 1, "outcome": 0, "feedback": 0, "entity": 0,
                              "variable": 0, "predicate": 0, "fact": 0, "cause": 0}
    assert report.links == 0
    bound = memory.as_agent("other").export(tmp_path / "b", format="parquet")
    assert bound.records["episode"] == 12
    with pytest.raises(UnknownField):
        memory.export(tmp_path / "c", where={"outcome": {"success": True}})
    with pytest.raises(BadInput, match="is there already"):
        memory.export(tmp_path / "a")
    with pytest.raises(BadInput, match="is not one of"):
        memory.export(tmp_path / "c", format="xml")
    assert not list(tmp_path.glob("*c*"))


def test_vectors_of_another_model_are_made_anew_and_that_is_told(memory: graphsvc.Memory, tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "one", embedder=lambda texts: [[1.0, 2.0, len(text)] for text in texts]) as one:
        one.episodes.store(session="s", task="one")
        one.export(tmp_path / "a", vectors=True)
    report = import_memory(memory, tmp_path / "a")
    assert report.stored == 1
    assert report.skipped_by_code == {"embedding_mismatch": 1}
    assert memory.verify().ok


@pytest.fixture
def exported(memory: graphsvc.Memory, tmp_path: Path) -> Path:
    fill(memory)
    memory.export(tmp_path / "a")
    return tmp_path / "a"


def edited(directory: Path, name: str, content: bytes) -> None:
    """Change a file, and what is said of it, as someone would who means it."""
    (directory / name).write_bytes(content)
    contents = read_contents(directory)
    for key, file in contents.files.items():
        if file.name == name:
            contents.files[key] = described(directory / name, file.count)
    contents.write(directory)


def test_damaged_or_foreign_exports_are_refused_and_nothing_is_taken(exported: Path, tmp_path: Path) -> None:
    episodes = exported / "episode.jsonl"
    whole, manifest = episodes.read_bytes(), (exported / "export.json").read_text()
    with graphsvc.open(tmp_path / "two", embedder="hashing") as two:

        def refused(error: type[Exception], match: str) -> None:
            with pytest.raises(error, match=match):
                import_memory(two, exported)
            assert two.status()["head"] == 0

        episodes.write_bytes(whole[:-100])
        refused(Corrupt, "cut off")
        episodes.write_bytes(whole.replace(b"did", b"dod"))
        refused(Corrupt, "checksum")
        episodes.unlink()
        refused(Corrupt, "can't be read")
        episodes.write_bytes(whole)
        (exported / "export.json").write_text(manifest.replace('"version": 1', '"version": 2'))
        refused(NewerFormat, "version 2")
        (exported / "export.json").write_text(manifest.replace('"latency_ms"', '"warmth"', 1))
        refused(UnknownField, "warmth")
        (exported / "export.json").write_text(manifest[:50])
        refused(Corrupt, "damaged")
        (exported / "export.json").unlink()
        refused(BadInput, "no whole export")
        (exported / "export.json").write_text(manifest)
        edited(exported, "episode.jsonl", whole.replace(b'"output"', b'"outputs"', 1))
        refused(UnknownField, "outputs")
        edited(exported, "episode.jsonl", whole.replace(b'"e0"', b'"e0', 1))
        refused(BadInput, "not JSON")
        shutil.rmtree(exported)
        refused(BadInput, "no whole export")


def test_nothing_tells_of_time_or_place(exported: Path) -> None:
    said = json.loads((exported / "export.json").read_text())
    assert set(said) == set(Contents.__slots__)
    assert set(said["files"]["episode"]) == set(File.__slots__)


def test_awaited_it_does_the_same(path: Path, tmp_path: Path) -> None:
    async def main() -> int:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.episodes.store(session="s", task="one")
            return (await memory.export(tmp_path / "a")).records["episode"]

    assert asyncio.run(main()) == 1
