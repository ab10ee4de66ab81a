"""`graphsvc graph …`."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

import graphsvc
from graphsvc.cli.walks import ALGORITHMS
from graphsvc.memory.graph import Graph

from .conftest import Run


@pytest.fixture(autouse=True)
def calls(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.skills.create_many([{"name": name, "id": name, "description": f"does {name}"} for name in "abcde"])
        for source, target, weight in (("a", "b", 3.0), ("b", "c", 3.0), ("a", "d", 1.0), ("d", "c", 1.0), ("c", "e", 1.0)):
            memory.skills.link(source, target, "prerequisite", weight=weight)
        memory.graph.define("Team", {"id": int, "name": str}, key="id")
        memory.graph.define("OWNS", {}, source="Team", target="Skill")
        memory.graph.add("Team", [{"id": 7, "name": "core"}])
        memory.graph.add("OWNS", [{"source": 7, "target": "default/a"}])


def test_neighbours_and_parts_of_the_graph_are_listed(answer: Run, run: Run) -> None:
    found = answer("graph", "neighbours", "Skill:a", "--rel", "PREREQUISITE", "--direction", "out", "-d", "2")
    assert [(node["id"], node["depth"]) for node in found["nodes"]] == [("b", 1), ("d", 1), ("c", 2)]
    assert "does b" in run("graph", "neighbours", "Skill:a").stdout
    assert answer("graph", "neighbours", "Team:7")["nodes"][0]["id"] == "a"
    part = answer("graph", "subgraph", "Skill:a", "Skill:e", "-d", "1", "--rel", "PREREQUISITE")
    assert len(part["nodes"]) == 5
    assert len(part["edges"]) == 5
    assert answer("graph", "node", "Skill:a")["properties"]["description"] == "does a"
    listed = answer("graph", "nodes", "Skill", "--where", '{"name": {"in": ["a", "b", "c"]}}', "--limit", "2")
    assert ([(one["id"], one["properties"]["description"]) for one in listed["nodes"]], listed["more"]) == (
        [("a", "does a"), ("b", "does b")], True)  # fmt: skip


def test_nodes_of_a_temporal_table_are_shown_as_they_were(answer: Run, path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.graph.define("Plan", {"name": str, "price": int}, key="name", temporal=True)
        memory.graph.add("Plan", {"name": "basic", "price": 10, "valid_to": "2026-01-01T00:00:00Z"})
        memory.graph.upsert("Plan", {"name": "basic", "price": 8, "valid_from": "2026-01-01T00:00:00Z"})
    for at, price in (("2025-06-01", 10), ("2026-06-01", 8)):
        valid = ("--valid", f"{at}T00:00:00Z")
        assert answer("graph", "node", "Plan:basic", *valid)["properties"]["price"] == price
        assert [one["properties"]["price"] for one in answer("graph", "nodes", "Plan", *valid)["nodes"]] == [price]
    assert answer("graph", "nodes", "Plan", "--known", "2020-01-01T00:00:00Z")["nodes"] == []


def test_ways_are_found_and_told(answer: Run, run: Run) -> None:
    assert "Skill:a -[PREREQUISITE]-> Skill:b" in " ".join(run("graph", "path", "Skill:a", "Skill:b").stdout.split())
    every = answer("graph", "path", "Skill:a", "Skill:c", "--all", "--rel", "PREREQUISITE")
    assert [way["nodes"][1]["id"] for way in every["paths"]] == ["b", "d"]
    cheapest = answer("graph", "path", "Skill:a", "Skill:c", "--weight", "weight", "--rel", "PREREQUISITE")
    assert cheapest["paths"][0]["cost"] == 2.0
    ways = answer("graph", "paths", "Skill:a", "--rel", "PREREQUISITE", "--direction", "out", "--max-hops", "2")
    assert [way["length"] for way in ways["paths"]] == [1, 1, 2, 2]
    assert "no such way" in run("graph", "path", "Skill:e", "Skill:a", "--direction", "out").stdout


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_answers(answer: Run, run: Run, name: str) -> None:
    found = answer("graph", name, "--table", "Skill", "--rel", "PREREQUISITE")["values"]
    assert [value["key"] for value in found] == [f"default/{letter}" for letter in "abcde"]
    assert "Skill:a" in run("graph", name, "--table", "Skill").stdout


def test_alike_out_and_in(answer: Run, tmp_path: Path) -> None:
    assert answer("graph", "similar", "Skill:b", "--rel", "PREREQUISITE")["values"][0] == {
        "label": "Skill", "key": "default/d", "similarity": 1.0,
    }  # fmt: skip
    path = tmp_path / "calls.graphml"
    assert answer("graph", "export", str(path), "--table", "Skill", "--rel", "PREREQUISITE")["edges"] == 5
    assert answer("graph", "load", str(path), "--nodes", "Copy", "--edges", "COPIED") == {"nodes": 5, "edges": 5}


def test_a_node_that_is_none_is_told(run: Run) -> None:
    for name in ("Skill", "Skill:zz", "Nothing:x", "Team:x"):
        assert run("graph", "neighbours", name, code=1).exit_code == 1


def test_a_variable_that_stands_for_no_node_is_listed_as_missing(run: Run, path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.graph.define("Person", {"name": str}, key="name")
        memory.graph.add("Person", {"name": "Ada"})
        for name in ("Ada", "Eve"):
            memory.causal.variable(f"mood of {name}", ref=("Person", name))
    printed = run("causal", "variables").stdout
    assert "Person Eve (missing)" in printed
    assert "Person Ada (missing)" not in printed
    assert json.loads(run("causal", "variables", "--json").stdout)["missing"] == ["mood of Eve"]


def test_options_of_algorithms_have_the_defaults_of_the_verbs() -> None:
    for command, (_, options) in ALGORITHMS.items():
        known = inspect.signature(getattr(Graph, command.replace("-", "_"))).parameters
        assert {name: known[name].default for name in options} == options, command


def test_a_csv_file_is_read_with_the_types_of_the_table(run: Run, path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.graph.define("Zip", {"code": str, "n": int}, key="code")
        memory.graph.define("NEAR", {"note": str}, source="Zip", target="Zip")
    rows, near = tmp_path / "zip.csv", tmp_path / "near.csv"
    rows.write_text('code,n\n01234,7\n"00",\n', encoding="utf-8")
    near.write_text("source,target,note\n01234,00,007\n", encoding="utf-8")
    run("graph", "add", "Zip", str(rows))
    run("graph", "add", "NEAR", str(near))
    rows.write_text("code,n\n01234,8\n", encoding="utf-8")
    run("graph", "upsert", "Zip", str(rows))
    with graphsvc.open(path) as memory:
        assert memory.cypher("MATCH (a:Zip) RETURN a.code, a.n ORDER BY a.code").rows == [("00", None), ("01234", 8)]
        assert memory.cypher("MATCH (a)-[r:NEAR]->(b) RETURN a.code, r.note, b.code").rows == [("01234", "007", "00")]
    near.write_text("source,target\n01234,00\n", encoding="utf-8")
    run("graph", "delete", "NEAR", str(near))
