"""Every command: its help, its JSON, its tables."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import graphsvc
from graphsvc.cli.app import app
from graphsvc.cli.output import as_json, safe
from graphsvc.cli.walks import ALGORITHMS
from graphsvc.model.kinds import KINDS

from .conftest import Run
from .repositories import History

EVIL = "red \x1b[31m bell \x07 csi \x9b5m back \u202egnihsif end"

CALLS: dict[str, list[str]] = {
    "init": [],
    "store": ["--session", "s9", "--task", "another", "--reward", "1", "--success", "--metadata", '{"a": 1}'],
    "recall": ["deploy"],
    "stats": [],
    "verify": [],
    "repair": [],
    "doctor": [],
    "version": [],
    "snapshots": ["--verify"],
    "size": [],
    "import jsonl": ["-"],
    "import python": ["colorsys"],
    "import memory": ["copy", "--dry-run"],
    "import git": ["history"],
    "import junit": ["report.xml"],
    "import table": ["table.csv"],
    "import messages": ["-"],
    "export": ["new", "--format", "parquet"],
    "forget": ["e2", "--yes"],
    "episodes amend": ["e1", "--reward", "0.5", "--clear", "critique", "--no-success"],
    "episodes list": ["--where", '{"success": false}'],
    "episodes get": ["e1"],
    "episodes retrieve": ["deploy", "--half-life", "30d", "--mmr", "0.5"],
    "episodes delete": ["e2"],
    "episodes prune": ["--min-reward", "0.3", "--dry-run"],
    "episodes stats": ["--task", "Deploy the API"],
    "episodes critiques": ["deploy"],
    "episodes strategies": ["deploy"],
    "episodes history": ["e1"],
    "episodes relations": ["e1"],
    "episodes link": ["e1", "f1", "about"],
    "episodes unlink": ["e1", "f1", "about"],
    "episodes about": ["e1"],
    "episodes evidence": ["e1"],
    "entities upsert": ["--kind", "file", "--name", "b.py", "--description", "said"],
    "entities list": ["--where", '{"kind": "file"}'],
    "entities get": ["f1"],
    "entities episodes": ["f1"],
    "entities delete": ["f1"],
    "entities history": ["f1"],
    "graph define": ["New", "a:STRING", "--key", "a", "--searchable", "a"],
    "graph drop": ["JOINS"],
    "graph schema": [],
    "graph add": ["Part", "parts.csv"],
    "graph upsert": ["Part", "parts.csv"],
    "graph update": ["Part", "known.jsonl"],
    "graph delete": ["JOINS", "joined.csv"],
    "graph outcome": ["1"],
    "facts add": ["Ada", "lives in", "Rome", "--valid-from", "2022-05-01T00:00:00Z", "--episode", "e1"],
    "facts predicate": ["lives in", "--single", "--description", "where one sleeps"],
    "facts predicates": [],
    "facts list": ["--subject", "Ada", "--valid", "2023-01-01T00:00:00Z", "--known", "2100-01-01T00:00:00Z"],
    "facts get": ["x1"],
    "facts search": ["Ada", "--mode", "text"],
    "facts retract": ["x1"],
    "facts correct": ["x1", "--object", "Turin"],
    "facts history": ["Ada"],
    "facts contradictions": [],
    "facts evidence": ["x1"],
    "causal variable": ["--name", "load", "--ref-table", "Person", "--ref-key", "Ada"],
    "causal variables": [],
    "causal add": ["v", "skill:a", "--uplift", "-0.5", "--low", "-1", "--high", "0", "--evidence", "e1", "--n", "3"],
    "causal get": ["c1"],
    "causal expire": ["c1", "--at", "2026-03-01T00:00:00Z"],
    "causal delete": ["c1"],
    "causal list": ["--where", '{"effect": "w"}', "--valid", "2026-03-01T00:00:00Z"],
    "causal effects": ["v"],
    "causal causes": ["skill:a", "--min-confidence", "0.1"],
    "causal paths": ["v", "skill:a", "--rule", "weakest"],
    "causal what-if": ["v", "--known", "2030-01-01T00:00:00Z"],
    "causal similar": ["deploys"],
    "causal history": ["c1"],
    "causal delete-variable": ["w"],
    "skills create": ["--name", "walk", "--description", "puts one foot before the other", "--needs", "a"],
    "skills revise": ["a", "--code", "new"],
    "brief": ["deploy"],
    "feedback": ["deploy", "--used", "e1", "--used", "e2=0.5"],
    "feedbacks": ["--record", "e1"],
    "cypher": ["MATCH (e:Episode) RETURN e.id AS id, e ORDER BY id"],
    "skills consolidate": ["--min-attempts", "1", "--dry-run"],
    "skills evidence": ["a"],
    "skills list": [],
    "skills get": ["a"],
    "skills search": ["deploy"],
    "skills choose": ["deploy", "--seed", "1"],
    "skills outcome": ["a", "--success", "--reward", "0.5"],
    "skills link": ["a", "b", "calls"],
    "skills unlink": ["a", "b", "alternative"],
    "skills links": ["a"],
    "skills plan": ["a"],
    "skills versions": ["a"],
    "skills delete": ["b"],
    "skills prune": ["--min-uses", "1", "--dry-run"],
    "skills stats": ["a"],
    "skills history": ["a"],
    "page": ["episode"],
    "get": ["episode:e1", "skill:a"],
    "causal around": ["skill:a"],
    "graph rows": ["Part"],
    "graph joints": ["Skill:a"],
    "config check": [],
}
"""What to say after each command so that it works on the memory `filled`."""

WALKS = ("export", "load", "neighbours", "node", "nodes", "path", "paths", "similar", "subgraph")
SLOW = {
    "demo kill": "test_demo.py", "demo learn": "test_demo.py", "doctor": "its own test",
    "snapshot": "test_travel.py", "restore": "test_travel.py", "migrate": "test_travel.py", "trim": "test_travel.py",
    "demo calls": "test_demo.py",
    "serve": "service/test_safe.py", "mcp": "service/test_mcp.py", "graphql schema": "service/graphql/test_schema.py",
    **{f"keys {name}": "service/test_keys.py" for name in ("create", "list", "rotate", "revoke")},
    **dict.fromkeys((f"graph {name}" for name in (*ALGORITHMS, *WALKS)), "test_walks.py"),
}  # fmt: skip


def commands() -> dict[str, Any]:
    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if hasattr(command, "commands"):
            for name, child in command.commands.items():
                yield from below(child, (*words, name))
        else:
            yield " ".join(words), command

    return dict(below(typer.main.get_command(app), ()))


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of one commit."""
    history = History(tmp_path_factory.mktemp("git") / "project")
    history.commit(f"Begin {EVIL}\n", {b"a.py": b"1\n"})
    return history.write()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the memory `memory`, closed, and an export of it, `copy`."""
    folder = tmp_path_factory.mktemp("made")
    with graphsvc.open(folder / "memory", embedder="hashing") as memory:
        memory.graph.define("Part", {"name": str, "note": str}, key="name")  # entry 1
        memory.graph.define("JOINS", {}, source="Part", target="Part")
        memory.graph.add("Part", {"name": "p1", "note": EVIL})
        memory.graph.add("JOINS", {"source": "p1", "target": "p1"})
        memory.episodes.store(id="e1", session="s", task="Deploy the API", critique=EVIL, output=EVIL, success=False)
        memory.episodes.store(id="e2", session="s", task="Deploy the API", output="kubectl", success=True, reward=0.2)
        memory.skills.create(id="a", name="deploy", description=EVIL, code=f"deploy()\n{EVIL}")
        memory.skills.create(id="b", name="build", description="builds what is deployed")
        memory.entities.upsert(kind="file", name="a.py", id="f1", description=EVIL)
        memory.episodes.link("e1", "f1", "about")
        memory.facts.predicate("lives in", single=True, description=EVIL)
        memory.facts.add("Ada", "lives in", "Paris", "2020-01-01T00:00:00Z", id="x1", source=EVIL, episodes=["e1"])
        memory.facts.add("Ada", "lives in", "Oslo", "2020-01-01T00:00:00Z", source=EVIL)
        memory.causal.variable("v", description=EVIL, ref=("Person", "Ada"))
        memory.causal.variable("w")
        memory.causal.add("v", "w", 0.5, id="c1", mechanism=EVIL)
        memory.causal.add("w", "skill:a", 0, id="c2")
        memory.wait()
        memory.export(folder / "copy")
    return folder


@pytest.fixture
def filled(
    path: Path, tmp_path: Path, made: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[graphsvc.Memory]:
    """A memory that stays open in this process, which commands share: so each of them takes milliseconds."""
    for name in ("memory", "copy"):
        shutil.copytree(made / name, tmp_path / name)
    with graphsvc.open(path, embedder="hashing") as memory:
        monkeypatch.chdir(tmp_path)
        Path("table.csv").write_text(f"task,output\na row,{EVIL}\n")
        Path("parts.csv").write_text("name,note\np2,x\n")
        Path("known.jsonl").write_text(json.dumps({"name": "p1", "note": EVIL}) + "\n")
        Path("joined.csv").write_text("source,target\np1,p1\n")
        Path("report.xml").write_text('<testsuite name="s"><testcase name="t"/></testsuite>')
        Path("history").symlink_to(repository)
        yield memory


def test_every_command_is_tried_here() -> None:
    assert set(commands()) == CALLS.keys() | SLOW.keys()


@pytest.mark.parametrize("name", list(commands()))
def test_every_command_has_help_with_an_example(name: str, run: Run) -> None:
    shown = run(*name.split(), "--help").stdout
    assert commands()[name].help, "it says what it does"
    assert f"Example: graphsvc {name}" in " ".join(shown.split())
    for parameter in commands()[name].params:
        assert parameter.help, f"{parameter.name} says what it is"
        assert parameter.opts[0] in shown or parameter.param_type_name == "argument"


@pytest.mark.parametrize("name", [name for name in CALLS if name not in SLOW])
def test_every_command_answers_with_one_json_document(
    name: str, filled: graphsvc.Memory, answer: Run, run: Run
) -> None:
    said = answer(*name.split(), *CALLS[name])
    assert isinstance(said, dict)
    assert said


@pytest.mark.parametrize("name", [name for name in CALLS if name not in SLOW])
def test_no_command_lets_a_stored_text_command_the_terminal(name: str, filled: graphsvc.Memory, run: Run) -> None:
    for words in ([], ["--json"]):
        shown = run(*name.split(), *CALLS[name], *words, code=None)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown.output)


def test_tables_show_control_characters_as_text(filled: graphsvc.Memory, run: Run) -> None:
    shown = run("episodes", "get", "e1").stdout
    assert r"\x1b[31m" in shown
    assert r"\u202egnihsif" in shown


def test_json_gives_texts_back_exactly(filled: graphsvc.Memory, answer: Run) -> None:
    assert answer("episodes", "get", "e1")["output"] == EVIL
    assert json.loads(as_json({"text": EVIL + "é\U0001f600"})) == {"text": EVIL + "é\U0001f600"}
    assert as_json({"a": "\x9b"}).isascii()


def test_ordinary_letters_of_all_scripts_stay_as_they_are() -> None:
    assert safe("naïve 漢字 עברית \U0001f468‍\U0001f469 a\tb\n") == "naïve 漢字 עברית \U0001f468‍\U0001f469 a\tb\n"


def test_brackets_in_texts_are_no_markup(path: Path, run: Run) -> None:
    with graphsvc.open(path, embedder="hashing"):
        run("store", "--session", "s", "--task", "[red]not red[/red] :smile:", "--id", "m")
        assert "[red]not red[/red] :smile:" in run("episodes", "get", "m").stdout
        assert "[red]not red[/red]" in run("episodes", "list").stdout


def test_every_field_of_an_episode_is_an_option_of_store_with_the_records_own_words() -> None:
    options = {parameter.name: parameter for parameter in commands()["store"].params}
    for field in KINDS["episode"].fields.values():
        assert options[field.name].opts[0] == f"--{field.name.replace('_', '-')}"
        assert field.description in options[field.name].help


def test_every_field_that_may_change_is_an_option_of_amend() -> None:
    names = {parameter.name for parameter in commands()["episodes amend"].params}
    assert names >= KINDS["episode"].fields.keys() - {"agent"}


def test_an_episode_stored_by_options_is_what_they_say(path: Path, answer: Run) -> None:
    graphsvc.open(path, embedder="hashing").close()
    said = """store --id e --session s --agent builder --task t --input i --output o --critique c --reward 0.5
        --no-success --latency-ms 12.5 --tokens 7 --tags b --tags a --at 2026-01-02T03:04:05+02:00 --wait searchable"""
    stored = answer(*said.split(), "--metadata", '{"region": "eu"}')
    assert stored == {
        "id": "e", "session": "s", "agent": "builder", "task": "t", "input": "i", "output": "o", "critique": "c",
        "reward": 0.5, "success": False, "latency_ms": 12.5, "tokens": 7, "tags": ["a", "b"],
        "metadata": {"region": "eu"}, "at": "2026-01-02T01:04:05Z",
    }  # fmt: skip
    assert answer("episodes", "get", "e") == stored


def test_amend_clears_a_field(filled: graphsvc.Memory, answer: Run) -> None:
    assert answer("episodes", "amend", "e1", "--clear", "critique", "--reward", "0")["critique"] is None


def test_recall_shows_every_kind_and_what_each_is_worth(filled: graphsvc.Memory, run: Run, answer: Run) -> None:
    shown = run("recall", "deploy the api").stdout
    assert shown.index("Recalled for") < shown.index("utility")
    assert all(kind in shown for kind in ("episode", "skill", "fact"))
    found = answer("recall", "deploy", "--where", '{"episode": {"success": true}, "skill": {"name": "build"}}',
                   "--kind", "episode", "--kind", "skill")  # fmt: skip
    assert {item["record"]["id"] for item in found["items"]} == {"e2", "b"}
    assert found["kinds"] == ["episode", "skill"]
    near = answer("recall", "deploy", "--near", "Entity:f1", "--kind", "episode", "--nearness", "1", "--gamma", "0")
    assert near["items"][0]["record"]["id"] == "e1"
    assert "nearness" in near["items"][0]["parts"]


def test_a_skill_goes_through_its_life(path: Path, answer: Run, run: Run) -> None:
    with graphsvc.open(path, embedder="hashing"):
        answer("skills", "create", "--id", "build", "--name", "build")
        answer("skills", "create", "--id", "deploy", "--name", "deploy", "--needs", "build", "--code", "one")
        assert answer("skills", "revise", "deploy", "--code", "two")["version"] == 2
        assert answer("skills", "outcome", "deploy", "--success", "--latency-ms", "3")["successes"] == 1
        assert [one["code"] for one in answer("skills", "versions", "deploy")["versions"]] == ["one", "two"]
        assert [one["id"] for one in answer("skills", "plan", "deploy")["plan"]] == ["build", "deploy"]
        assert answer("skills", "links", "build")["links"][0]["direction"] == "in"
        assert answer("skills", "link", "build", "deploy", "alternative")["changed"] is True
        assert answer("skills", "link", "build", "deploy", "alternative")["changed"] is False
        chosen = [answer("skills", "choose", "deploy", "--seed", "3") for _ in range(2)]
        assert chosen[0] == chosen[1]
        assert answer("skills", "delete", "build")["deleted"] == 1
        assert "build" not in run("skills", "list").stdout


def test_init_makes_a_memory_once(path: Path, answer: Run) -> None:
    first = answer("init", str(path), "--embedder", "hashing")
    second = answer("init")
    assert (first["created"], second["created"]) == (True, False)
    assert first["id"] == second["id"]
    assert second["embedder"] == "hashing"


def test_doctor_looks_at_everything_that_matters(path: Path, run: Run) -> None:
    result = run("doctor", "--json", code=None, GRAPHSVC_EMBEDDER="hashing")
    said = json.loads(result.stdout)
    looked_at = {check["what"] for check in said["checks"]}
    assert looked_at >= {"Python", "platform", "SQLite", "settings", "kuzu", "lancedb", "tantivy", "BLAS", "disk",
                         "file system", "memory", "model hashing"}  # fmt: skip
    assert said["ok"] == (result.exit_code == 0)
    assert result.exit_code in (0, 3)


def test_doctor_says_what_is_wrong_and_what_to_do(run: Run) -> None:
    from graphsvc.config import Settings
    from graphsvc.memory import doctor

    model = next(doctor._model(Settings(embedder="no-such/model")))
    assert model.state == "wrong"
    assert "allow_network" in model.advice
    assert doctor._package("no_such_package", "wrong", "pip install it").found == "not installed"


def test_stats_count_live_vectors_and_progress_counts_what_lacks_one(path: Path) -> None:
    import threading

    import numpy as np

    from graphsvc.cli.shell import behind

    may_go_on = threading.Event()
    may_go_on.set()

    def embed(texts: list[str]) -> Any:
        may_go_on.wait(30)
        return np.array([[1.0, len(text)] for text in texts])

    with graphsvc.open(path, embedder=embed) as memory:
        for number in range(3):
            memory.episodes.store(id=f"e{number}", session="s", task=f"t{number}", wait="searchable")
        memory.episodes.delete(["e0", "e1"], wait="searchable")
        vectors = memory.stats()["vectors"]
        assert (vectors["vectors"], vectors["slots"]) == (1, 3)
        may_go_on.clear()
        memory.episodes.store(id="new", session="s", task="not embedded yet")
        left = behind(memory)["vectors"]
        may_go_on.set()
        assert left == 1
