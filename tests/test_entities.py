"""Entities, what joins episodes to them, and memories from before there were any."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc.errors import BadInput, Gone, NotFound, TooLarge
from graphsvc.memory.importing import import_memory
from graphsvc.model.names import MAX_NAME, entity_id

MEMORIES = Path(__file__).parent / "memories"


def test_the_same_kind_and_name_are_one_entity_and_one_write(memory: graphsvc.Memory) -> None:
    first = memory.entities.upsert(kind="file", name="src/api.py", description="the interface", metadata={"lines": 3})
    head = memory.status()["head"]
    assert memory.entities.upsert(kind="file", name="src/api.py") == first
    assert memory.entities.upsert(kind="file", name="src/api.py", metadata={"lines": 3}) == first
    assert memory.status()["head"] == head
    assert first.id == "file:src/api.py"
    assert memory.entities.upsert(kind="service", name="src/api.py").id != first.id
    assert memory.entities.count({"kind": "file"}) == 1


def test_an_upsert_changes_what_is_given_and_leaves_the_rest(memory: graphsvc.Memory) -> None:
    first = memory.entities.upsert(kind="file", name="a", description="old", tags=["x"], at="2026-01-01T00:00:00Z")
    second = memory.entities.upsert(kind="file", name="a", description="new", at="2026-02-02T00:00:00Z")
    assert (second.description, second.tags, second.at) == ("new", ("x",), first.at)
    assert memory.entities.upsert(kind="file", name="b", id=first.id).name == "b"
    assert [event.what for event in memory.entities.history(first.id)] == ["store", "amend", "amend"]
    assert memory.verify().ok


def test_many_at_once_are_all_or_none(memory: graphsvc.Memory) -> None:
    made = memory.entities.upsert_many([{"kind": "file", "name": f"f{number}"} for number in range(2_500)])
    assert len(made) == memory.entities.count() == 2_500
    memory.entities.delete("file:f7")
    with pytest.raises(Gone):
        memory.entities.upsert_many([{"kind": "file", "name": "new"}, {"kind": "file", "name": "f7"}])
    with pytest.raises(BadInput) as caught:
        memory.entities.upsert_many([{"kind": "file", "name": "new"}, {"kind": "file"}])
    assert caught.value.where == "entities[1].name"
    assert memory.entities.count() == 2_499
    twice = memory.entities.upsert_many([{"kind": "x", "name": "y"}, {"kind": "x", "name": "y", "description": "d"}])
    assert [one.description for one in twice] == ["d", "d"]
    assert memory.verify().ok


def test_episodes_are_joined_and_parted(memory: graphsvc.Memory) -> None:
    for id in ("e1", "e2"):
        memory.episodes.store(session="s", task=f"task {id}", id=id)
    file = memory.entities.upsert(kind="file", name="a")
    assert memory.episodes.link("e1", file.id, "about")
    assert not memory.episodes.link("e1", file.id, "about")
    assert memory.episodes.link("e2", file.id, "about")
    assert memory.episodes.link("e1", "e2", "evidence", wait="graph")
    assert memory.episodes.about("e1") == [file]
    assert [one.id for one in memory.episodes.evidence("e1")] == ["e2"]
    assert memory.episodes.evidence("e2") == []
    assert [one.id for one in memory.entities.episodes(file.id)] == ["e2", "e1"]
    assert [one.id for one in memory.entities.episodes(file.id, 1)] == ["e2"]
    assert memory.verify().ok
    assert memory.episodes.unlink("e2", file.id, "about")
    assert not memory.episodes.unlink("e2", file.id, "about")
    memory.episodes.delete("e2")
    assert memory.episodes.evidence("e1") == []
    assert memory.entities.delete(file.id) == 1
    assert memory.episodes.about("e1") == []
    with pytest.raises(Gone):
        memory.entities.get(file.id)
    assert memory.verify().ok


def test_wrong_ends_and_types_are_errors(memory: graphsvc.Memory) -> None:
    memory.episodes.store(session="s", task="t", id="e1")
    wrong: list[tuple[type[Exception], tuple[Any, ...]]] = [
        (NotFound, ("e1", "file:none", "about")), (NotFound, ("none", "e1", "evidence")),
        (BadInput, ("e1", "e1", "evidence")), (BadInput, ("e1", "e1", "causes")),
    ]  # fmt: skip
    head = memory.status()["head"]
    for error, ends in wrong:
        with pytest.raises(error):
            memory.episodes.link(*ends)
    with pytest.raises(TooLarge):
        memory.entities.upsert(kind="file", name="x" * (MAX_NAME + 1))
    assert memory.status()["head"] == head


def test_a_bound_handle_sees_its_own_entities_and_what_is_shared(memory: graphsvc.Memory) -> None:
    ada, bob = memory.as_agent("ada"), memory.as_agent("bob", shared=["ada"])
    mine = ada.entities.upsert(kind="file", name="a")
    memory.episodes.store(agent="bob", session="s", task="t", id="e1")
    assert memory.as_agent("eve").entities.count() == 0
    assert bob.entities.get(mine.id) == mine
    bob.episodes.link("e1", mine.id, "about")
    assert bob.episodes.about("e1") == [mine]
    assert ada.entities.episodes(mine.id) == []
    with pytest.raises(NotFound):
        bob.entities.delete(mine.id)
    assert memory.verify().ok


def test_filters_on_entities(memory: graphsvc.Memory) -> None:
    memory.entities.upsert(kind="file", name="src/a.py", tags=["python"], metadata={"lines": 10})
    memory.entities.upsert(kind="file", name="src/b.md", metadata={"lines": 3}, description="a guide")
    memory.entities.upsert(kind="service", name="api")
    found = {
        "name": memory.entities.list({"name": {"contains": ".py"}}), "tags": memory.entities.list({"tags": "python"}),
        "metadata": memory.entities.list({"metadata.lines": {"gt": 5}}),
    }  # fmt: skip
    assert {name: [one.name for one in entities] for name, entities in found.items()} == {name: ["src/a.py"] for name in found}
    assert [one.name for one in memory.entities.list({"description": {"contains": "guide"}})] == ["src/b.md"]


def test_repair_makes_entities_and_edges_anew(memory: graphsvc.Memory) -> None:
    memory.episodes.store(session="s", task="t", id="e1")
    memory.entities.upsert_many([{"kind": "file", "name": f"f{number}"} for number in range(20)])
    memory.episodes.link("e1", "file:f3", "about")
    memory.wait()
    digest = memory.verify().digest
    with memory._opened.log.writer._connection as connection:
        connection.execute("DELETE FROM link")
        connection.execute("DELETE FROM record WHERE kind = 'entity'")
    assert not memory.verify().ok
    report = memory.repair()
    assert (report.problems, report.digest) == ([], digest)
    assert [one.name for one in memory.episodes.about("e1")] == ["f3"]


def test_entities_are_exported_imported_and_forgotten(memory: graphsvc.Memory, tmp_path: Path) -> None:
    memory.entities.upsert(kind="file", name="secret words", id="f1", description="more of them", agent="ada")
    memory.episodes.store(session="s", task="t", id="e1")
    memory.episodes.store(session="s", task="t", id="e2")
    memory.entities.upsert(kind="file", name="a")
    memory.episodes.link("e1", "file:a", "about")
    memory.episodes.link("e1", "e2", "evidence")
    digest = memory.verify().digest
    memory.export(tmp_path / "copy")
    with graphsvc.open(tmp_path / "other", embedder="hashing") as other:
        assert import_memory(other, tmp_path / "copy").skipped_by_code == {}
        found = other.verify()
        assert (found.problems, found.digest) == ([], digest)
    memory.forget(["f1"], kind="entity")
    assert memory.verify().problems == []
    assert memory.entities.count() == 1
    memory.close()
    for file in memory.path.rglob("*"):
        assert not file.is_file() or b"secret words" not in file.read_bytes(), file


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(":%a/", min_size=1, max_size=4), st.text(":%a/", min_size=1, max_size=4)), unique=True))
def test_ids_of_different_kinds_and_names_differ(pairs: list[tuple[str, str]]) -> None:
    assert len({entity_id(*pair) for pair in pairs}) == len(pairs)


def test_an_id_is_never_too_long() -> None:
    long = [entity_id("k" * 300, "x" * 300), entity_id("k" * 300, "x" * 299 + "y")]
    assert len(set(long)) == 2
    assert all(len(id.encode()) <= MAX_NAME for id in long)


OLD = """
import sys, graphsvc
with graphsvc.open(sys.argv[1], create=False) as memory:
    before = memory.verify()
    assert before.problems == []
    assert [one.id for one in memory.episodes.list(order="id")] == ["e0", "e1", "e2"]
    assert memory.skills.get("deploy").uses == 1
    file = memory.entities.upsert(kind="file", name="a")
    memory.episodes.link("e1", file.id, "about", wait="graph")
    assert memory.verify().digest != before.digest
with graphsvc.open(sys.argv[1], create=False) as memory:
    assert memory.verify().problems == []
    assert [one.name for one in memory.episodes.about("e1")] == ["a"]
print("done")
"""


@pytest.mark.parametrize(("engine", "killed"), [("kuzu", False), ("kuzu", True), ("ladybug", False)])
def test_a_memory_from_before_the_migration_opens_takes_entities_and_verifies_clean(
    tmp_path: Path, engine: str, killed: bool
) -> None:
    """`memories/` holds memories written before the graph had migration 2, which makes entities."""
    with tarfile.open(MEMORIES / f"migration-1-{engine}.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    if killed:
        (tmp_path / "memory" / "graph.in-use").touch()
    command = [sys.executable, "-c", OLD, str(tmp_path / "memory")]  # one engine a process
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "done\n", done.stderr
