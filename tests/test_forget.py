"""What is forgotten is in no file any more; all else is as before."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc.errors import Ambiguous, BadInput, Gone, NotFound
from graphsvc.log.rebuild import replay
from graphsvc.model.change import decode_record
from graphsvc.model.records import Row
from graphsvc.store.contents import digest_of
from graphsvc.store.verify import expected_graph, live_records

WORDS = ("Zorblaxquo", "Wibblefrötz", "Snarklewump", "Vorpaltagge", "Mimsyborogov", "Frumiousband")
"""Made up: they stand nowhere else. One has a letter that JSON may escape and full text folds."""


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a memory and its embedding cache: everything in it is looked at."""
    monkeypatch.setenv("GRAPHSVC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def forms(word: str) -> set[bytes]:
    """How a word may stand in a file: as it is, in small letters, escaped as JSON, folded to ASCII."""
    escaped = word.encode("ascii", "backslashreplace").replace(b"\\x", b"\\u00")
    folded = word.replace("ö", "o").encode()
    return {each for form in (word.encode(), escaped, folded) for each in (form, form.lower())}


def found_in(directory: Path, needles: Iterable[bytes]) -> list[tuple[bytes, str]]:
    wanted = list(needles)
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [(needle, path.name) for path in files for needle in wanted if needle in path.read_bytes()]


def unit(seed: int, dimension: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    vector = np.random.default_rng(seed).normal(size=dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


def fill(memory: graphsvc.Memory) -> tuple[str, str, str, bytes]:
    """Episodes and a skill to be forgotten, among others that stay; their ids, and the bytes of a given vector."""
    given = unit(1, memory.stats()["vectors"]["dimension"])
    memory.episodes.store_many([{"session": "s", "task": f"task {i % 5}", "output": f"did {i}"} for i in range(40)])
    told = memory.episodes.store(
        session="s", task=f"Look for {WORDS[0]}", output=f"{WORDS[1]} it was", tags=[WORDS[2]],
        metadata={"who": WORDS[3]}, vector=given,
    )  # fmt: skip
    memory.episodes.amend(told.id, critique=f"Not {WORDS[4]}", vector=unit(2, len(given)))
    gone = memory.episodes.store(session="s", task="task 1", output=f"{WORDS[1]} once more")
    memory.episodes.delete(gone.id)
    skill = memory.skills.create(name=WORDS[5], description=f"finds {WORDS[0]}", code="look()")
    memory.skills.revise(skill.id, code=f"look({WORDS[3]})")
    memory.skills.record_outcome(skill.id, success=True, episode=told.id)
    memory.feedback(f"where is {WORDS[0]}", [told.id])
    return told.id, gone.id, skill.id, given.tobytes()


def every_needle(vector: bytes) -> Iterator[bytes]:
    for word in WORDS:
        yield from forms(word)
    yield vector


def test_no_byte_of_text_or_vector_is_left_in_any_file(apart: Path) -> None:
    path = apart / "memory"
    with graphsvc.open(path, embedder="hashing") as memory:
        told, gone, skill, vector = fill(memory)
        memory.episodes.retrieve(f"Look for {WORDS[0]}", k=3)
        assert memory.verify().ok
        made = memory._opened.store.vectors.hot
        computed = made.vectors(made.positions(np.array([memory._opened.log.resolve("skill", skill, None).row])))[0]
        needles = {*every_needle(vector), computed.tobytes(), unit(2, len(computed)).tobytes()}
        before = {needle for needle, _ in found_in(apart, needles)}
        assert {word.encode() for word in WORDS} <= before
        assert {vector, computed.tobytes()} <= before
        report = memory.forget([told, gone, skill])
        assert report.records == {"episode": 2, "feedback": 1, "outcome": 1, "skill": 1, "skill_version": 2}
        assert report.embeddings
        assert found_in(apart, needles) == []
        checked = memory.verify()
        assert checked.problems == []
        assert checked.digest == digest_of(expected_graph(memory._opened.log))
        memory.repair()
        for part in ("graph", "text", "vectors"):
            memory._opened.store.rebuild(part)
        assert memory.verify().digest == checked.digest, "a replay gives the same"
    assert found_in(apart, needles) == []
    with graphsvc.open(path) as memory:
        assert memory.verify().digest == checked.digest
        assert memory.episodes.count() == 40
        assert [hit.episode.task for hit in memory.episodes.retrieve("task 3", k=1)] == ["task 3"]


@pytest.mark.parametrize("trimmed", [False, True])
def test_a_text_that_is_the_key_of_a_searchable_row_is_left_in_no_file(apart: Path, trimmed: bool) -> None:
    path, snapshot, key, long = apart / "memory", apart / "snapshot", f"{WORDS[0]} & co", f"{WORDS[1]} " * 20
    with graphsvc.open(path, embedder="hashing") as memory:
        told = memory.episodes.store(session="s", task="who is it?", output=key, critique=long)
        graph = memory.graph
        graph.define("Person", {"name": str, "about": str}, key="name", searchable=["about", "name"])
        graph.add("Person", {"name": f"{key} & sons", "about": "sold boats"})
        memory.cypher("MATCH (p:Person) WHERE p.name = $name DELETE p", {"name": f"{key} & sons"}, write=True)
        graph.add("Person", [{"name": key, "about": "sells boats"}, {"name": "Ada", "about": "builds engines"}])
        graph.add("Person", {"name": long, "about": "speaks slowly"})
        memory.cypher("MATCH (p:Person {name: $name}) SET p.about = 'sells ships'", {"name": key}, write=True)
        memory.wait()
        row = next(one for _, _, one, _ in live_records(memory._opened.log) if isinstance(one, Row) and one.node == key)
        memory.feedback("who sells ships?", [row.id], kind="row")
        if trimmed:
            memory.snapshot(snapshot)
            memory.episodes.store(session="s", task="go on")
            memory.wait()
            memory.trim(before=memory.status()["head"])
            shutil.rmtree(snapshot)  # it still holds what was there
        needles = [form for word in WORDS[:2] for form in forms(word)]
        assert found_in(apart, needles)
        assert memory.forget(told.id).records["row"] >= 2
        assert found_in(apart, needles) == []
        checked = memory.verify()
        assert checked.problems == []
        names = [name for [name] in memory.cypher("MATCH (p:Person) RETURN p.name ORDER BY p.name").rows]
        assert names[0] == "Ada"
        assert {name[:11] for name in names[1:]} == {"[forgotten]"}
        found = [record for _, _, record, _ in live_records(memory._opened.log) if isinstance(record, Row)]
        assert sorted(row.node for row in found) == sorted(names), "rows are found by the key that they have now"
        memory.repair()
        for part in ("graph", "text", "vectors"):
            memory._opened.store.rebuild(part)
        assert memory.verify().digest == checked.digest
    assert found_in(apart, needles) == []
    with graphsvc.open(path) as memory:
        assert memory.verify().problems == []


def test_a_forgotten_id_is_gone_and_its_history_says_so(memory: graphsvc.Memory) -> None:
    told, gone, skill, _ = fill(memory)
    memory.forget([told, gone, skill])
    with pytest.raises(Gone, match="forgotten"):
        memory.episodes.get(told)
    with pytest.raises(Gone, match="forgotten"):
        memory.episodes.store(session="s", task="again", id=told)
    with pytest.raises(Gone, match="forgotten"):
        memory.skills.get(skill)
    assert [event.what for event in memory.history(told)] == ["store", "amend", "forget"]
    assert [event.what for event in memory.history(gone)] == ["store", "delete", "forget"]
    assert memory.history(told)[0].values["output"] == ""


def test_repeated_it_changes_nothing_and_says_so(memory: graphsvc.Memory) -> None:
    told, *_ = fill(memory)
    memory.forget(told)
    head = memory.status()["head"]
    again = memory.forget([told, told])
    assert [one.id for one in again.already] == [told]
    assert not again.forgotten
    assert memory.status()["head"] == head


def test_a_dry_run_says_the_same_and_changes_nothing(memory: graphsvc.Memory) -> None:
    told, gone, skill, _ = fill(memory)
    before = memory.verify().digest
    planned = memory.forget([told, gone, skill], dry_run=True)
    assert memory.verify().digest == before
    assert memory.episodes.get(told).output == f"{WORDS[1]} it was"
    done = memory.forget([told, gone, skill])
    assert (planned.records, planned.tasks, planned.forgotten) == (done.records, done.tasks, done.forgotten)
    assert planned.dry_run
    assert not done.dry_run


def test_a_task_that_another_episode_names_or_named_keeps_its_text(memory: graphsvc.Memory) -> None:
    first = memory.episodes.store(session="s", task="shared task")
    second = memory.episodes.store(session="s", task="shared task", id="second")
    third = memory.episodes.store(session="s", task="renamed task")
    fourth = memory.episodes.store(session="s", task="renamed task", id="fourth")
    memory.episodes.amend(fourth.id, task="another")
    report = memory.forget([first.id, third.id])
    assert report.tasks == 0
    assert {(kept.task, kept.episode) for kept in report.kept_tasks} == {
        ("shared task", "second"), ("renamed task", "fourth"),
    }  # fmt: skip
    assert memory.verify().ok
    assert memory.forget([second.id, fourth.id]).tasks == 3
    assert memory.verify().ok


def test_what_was_drawn_from_it_is_told_and_stays(memory: graphsvc.Memory) -> None:
    for i in range(4):
        memory.episodes.store(session="s", task="Fold the red paper", output="Fold it twice.", success=True, id=f"e{i}")
    memory.wait()
    learnt = memory.skills.consolidate(min_attempts=3).by("created")
    report = memory.forget("e1")
    assert [(one.kind, one.id) for one in report.derived] == [("skill", one.id) for one in learnt]
    assert learnt
    assert memory.skills.get(learnt[0].id)
    assert memory.verify().ok


def test_snapshots_that_still_hold_it_are_listed(memory: graphsvc.Memory, tmp_path: Path) -> None:
    memory.episodes.store(session="s", task="one")
    memory.snapshot(tmp_path / "before")
    told = memory.episodes.store(session="s", task=WORDS[0])
    memory.snapshot(tmp_path / "after")
    assert [one["path"] for one in memory.forget(told.id).snapshots] == [str(tmp_path / "after")]
    assert found_in(tmp_path / "after", forms(WORDS[0]))
    assert not found_in(tmp_path / "before", forms(WORDS[0]))


@pytest.mark.parametrize("source", ["memory", "before", pytest.param("after", marks=pytest.mark.slow)])
def test_a_point_before_a_forget_is_restored_without_what_was_forgotten(apart: Path, source: str) -> None:
    """But from a snapshot that was taken before: that holds it still, as `forget` said."""
    path = apart / "memory"
    with graphsvc.open(path, embedder="hashing") as memory:
        told, gone, skill, vector = fill(memory)
        stored = memory.status()["head"]
        kept = [one.id for one in memory.episodes.list(k=100) if one.id != told]
        memory.snapshot(apart / "before")
        memory.forget([told, gone, skill])
        forgotten = memory.status()["head"]
        memory.episodes.store(session="s", task="later")
        memory.snapshot(apart / "after")
    again = apart / "again"
    graphsvc.restore(apart / source, again / "then", to=stored)
    with graphsvc.open(again / "then") as restored:
        assert restored.verify().problems == []
        assert {one.id for one in restored.episodes.list(k=100)} == {told, *kept}
        assert restored.episodes.get(told).output == (f"{WORDS[1]} it was" if source == "before" else "")
        assert [event.what for event in restored.history(told)] == ["store", "amend"]
        restored.forget(told)
        assert restored.verify().problems == []
    if source != "before":
        for to in (forgotten, None):
            graphsvc.restore(apart / source, again / f"at-{to}", to=to)
            with graphsvc.open(again / f"at-{to}") as restored:
                assert restored.verify().problems == []
                with pytest.raises(Gone, match="forgotten"):
                    restored.episodes.get(told)
                assert restored.episodes.get(kept[0])
        assert found_in(again, every_needle(vector)) == []


def test_ids_are_checked_and_all_or_none_are_forgotten(memory: graphsvc.Memory) -> None:
    told = memory.episodes.store(session="s", task="one", id="e")
    memory.skills.create(name="one", id="e")
    memory.episodes.store(session="s", task="one", id="f")
    memory.episodes.store(session="s", task="one", id="f", agent="other")
    with pytest.raises(Ambiguous, match="kind="):
        memory.forget("e")
    with pytest.raises(Ambiguous):
        memory.forget("f")
    with pytest.raises(NotFound):
        memory.forget(["e", "nothing"], kind="episode")
    with pytest.raises(BadInput, match="with its skill"):
        memory.forget("e@1")
    with pytest.raises(BadInput, match="is not one of"):
        memory.forget("e", kind="nonsense")
    with pytest.raises(BadInput, match="expected an id"):
        memory.forget(3)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        memory.as_agent("third").forget("f")
    assert memory.episodes.get(told.id).task == "one"
    memory.as_agent("other").forget("f")
    assert memory.episodes.get("f", agent="default").task == "one"
    assert memory.verify().ok


def test_awaited_it_does_the_same(path: Path) -> None:
    async def main() -> list[str]:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            told = await memory.episodes.store(session="s", task="one")
            await memory.forget(told.id)
            return [event.what for event in await memory.history(told.id)]

    assert asyncio.run(main()) == ["store", "forget"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["store", "amend", "task", "delete", "forget", "skill", "outcome", "forget skill"]),
        st.integers(0, 5), st.integers(0, 2),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_after_any_history_the_log_adds_up_and_replays_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    with graphsvc.open(tmp_path_factory.mktemp("m") / "memory", embedder="hashing") as memory:
        for what, i, j in steps:
            try:
                step(memory, what, f"e{i}", f"task {j}")
            except (Gone, NotFound, graphsvc.GraphsvcError) as error:
                assert error.code in ("gone", "not_found", "conflict"), error
        report = memory.verify()
        assert report.problems == []
        log = memory._opened.log
        for row, replayed in replay(log).records.items():
            with log.connection() as connection:
                state, body = connection.execute("SELECT state, body FROM record WHERE row = ?", (row,)).fetchone()
            assert state == replayed.state
            assert (None if body is None else decode_record(replayed.kind, body)) == replayed.record
        memory._opened.store.rebuild("graph")
        assert memory.verify().digest == report.digest


def step(memory: graphsvc.Memory, what: str, id: str, task: str) -> None:
    match what:
        case "store":
            memory.episodes.store(session=task, task=task, id=id, output=id)
        case "amend":
            memory.episodes.amend(id, critique=task)
        case "task":
            memory.episodes.amend(id, task=task, session="s")
        case "delete":
            memory.episodes.delete(id)
        case "forget":
            memory.forget(id, kind="episode")
        case "skill":
            memory.skills.create(name=id, id=id, code=task)
        case "outcome":
            memory.skills.record_outcome(id, success=True, episode=id)
        case "forget skill":
            memory.forget(id, kind="skill")


def test_a_bound_handle_is_told_nothing_of_namespaces_that_it_does_not_see(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        one, other = memory.as_agent("one"), memory.as_agent("other", shared=["one"])
        one.episodes.store(session="s", task="t", id="e")
        other.facts.add("x", "knows", "y", source="e", id="of other")
        other.causal.variable("v")
        other.causal.add("episode:e", "v", 0.5)
        other.feedback("q", ["e"])
        told, whole = one.forget("e", dry_run=True), memory.forget("e", dry_run=True)
        assert (told.records, told.derived) == ({"episode": 1}, [])
        assert whole.records == {"cause": 1, "episode": 1, "feedback": 1}
        assert [named.agent for named in whole.derived] == ["other"]
