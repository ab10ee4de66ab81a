"""The graph out and in again: networkx, GraphML, CSV, Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow.csv
import pyarrow.parquet
import pytest

import graphsvc
from graphsvc.errors import BadInput, Conflict, NeedsUnbound, NotFound


@pytest.fixture
def memory(tmp_path: Path, engine_name: str) -> Iterator[Any]:
    with graphsvc.open(tmp_path / "memory", embedder="hashing", engine=engine_name) as opened:
        yield opened


def odd() -> nx.MultiDiGraph:
    """Names that are words of Cypher or not English, loops, parallel edges, a node alone."""
    graph = nx.MultiDiGraph()
    graph.add_node("MATCH", Straße="Zoë 'x`\" \\", rank=1)
    graph.add_node("删除", Straße=None, rank=2.5)
    graph.add_node("alone")
    graph.add_edge("MATCH", "删除", key=0, end=1)
    graph.add_edge("MATCH", "删除", key=1, end=2)
    graph.add_edge("MATCH", "MATCH", key=0)
    return graph


def comparable(graph: Any) -> tuple[Any, Any]:
    nodes = {name: {k: v for k, v in data.items() if v is not None} for name, data in graph.nodes(data=True)}
    edges = sorted((a, b, sorted((k, v) for k, v in data.items() if v is not None)) for a, b, data in graph.edges(data=True))
    return nodes, edges


def test_a_networkx_graph_taken_in_comes_out_again(memory: Any) -> None:
    assert memory.graph.from_networkx(odd(), nodes="group", edges="IN") == {"nodes": 3, "edges": 3}
    out = memory.graph.to_networkx(tables="group", rel="IN")
    plain = nx.MultiDiGraph()
    for (_, key), data in out.nodes(data=True):
        plain.add_node(key, **{name: value for name, value in data.items() if name not in ("label", "id")})
    for (_, a), (_, b), data in out.edges(data=True):
        plain.add_edge(a, b, **{name: value for name, value in data.items() if name != "label"})
    assert comparable(plain) == comparable(odd())
    assert [node.key for node in memory.graph.neighbours(("group", "MATCH"), direction="out")] == ["删除"]


def test_a_networkx_graph_is_taken_in_whole_or_not_at_all(memory: Any) -> None:
    memory.graph.define("IN", {"end": str}, source="Episode", target="Episode")
    before = memory.status()["head"]
    with pytest.raises(BadInput):  # a column of that table is no number
        memory.graph.from_networkx(odd(), nodes="group", edges="IN")
    assert (list(memory.graph.schema()), memory.status()["head"]) == (["IN"], before)
    memory.graph.drop("IN")
    memory.graph.define("IN", {"end": int}, source="Episode", target="Episode")
    with pytest.raises(NotFound):  # once the nodes were made within the transaction
        memory.graph.from_networkx(odd(), nodes="group", edges="IN")
    assert list(memory.graph.schema()) == ["IN"]
    memory.graph.drop("IN")
    assert memory.graph.from_networkx(odd(), nodes="group", edges="IN") == {"nodes": 3, "edges": 3}
    with pytest.raises(Conflict):
        memory.graph.from_networkx(odd(), nodes="group", edges="OTHER")
    assert sorted(memory.graph.schema()) == ["IN", "group"]
    assert memory.verify().problems == []  # replays it


def test_graphml_written_is_read_again(memory: Any, tmp_path: Path) -> None:
    memory.graph.from_networkx(odd(), nodes="group", edges="IN")
    path = tmp_path / "graph.graphml"
    assert memory.graph.save(path, tables="group", rel="IN") == {"nodes": 3, "edges": 3}
    assert memory.graph.load(path, nodes="again", edges="JOINED") == {"nodes": 3, "edges": 3}
    near = memory.graph.neighbours(("again", "group:MATCH"), direction="out")
    assert [node.key for node in near] == ["group:删除"]
    with pytest.raises(BadInput):
        memory.graph.save(path)
    bomb = tmp_path / "bomb.graphml"
    bomb.write_text('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><graphml>&a;</graphml>')
    with pytest.raises(BadInput):
        memory.graph.load(bomb, nodes="a", edges="B")


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_each_table_has_a_file_that_another_takes_in(memory: Any, tmp_path: Path, format: Any) -> None:
    memory.graph.from_networkx(odd(), nodes="group", edges="IN")
    memory.graph.save(tmp_path / "out", format=format, tables="group", rel="IN")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"nodes.group.{format}", f"edges.IN.{format}"}
    memory.graph.define("copy", {"id": str, "Straße": str, "rank": float}, key="id")
    memory.graph.define("COPIED", {"end": int}, source="copy", target="copy")
    read = {"csv": pyarrow.csv.read_csv, "parquet": pyarrow.parquet.read_table}[format]
    write = {"csv": pyarrow.csv.write_csv, "parquet": pyarrow.parquet.write_table}[format]
    for file, columns in (("nodes.group", ["id", "Straße", "rank"]), ("edges.IN", ["source", "target", "end"])):
        write(read(tmp_path / "out" / f"{file}.{format}").select(columns), tmp_path / f"{file}.{format}")
    assert memory.graph.load(tmp_path / f"nodes.group.{format}", table="copy") == {"copy": 3}
    assert memory.graph.load(tmp_path / f"edges.IN.{format}", table="COPIED") == {"COPIED": 3}
    assert memory.graph.node(("copy", "MATCH")).properties["Straße"] == "Zoë 'x`\" \\"
    with pytest.raises(NotFound):
        memory.graph.load(tmp_path / "nothing.csv", table="copy")
    with pytest.raises(NotFound):
        memory.graph.load(tmp_path / f"nodes.group.{format}", table="nothing")


def test_own_nodes_go_out_with_their_columns(memory: Any, tmp_path: Path) -> None:
    memory.episodes.store(session="s", task="t", id="e", tags=["x"], metadata={"a": 1}, reward=0.5)
    counts = memory.graph.save(tmp_path / "out", format="parquet")
    assert counts["nodes"] == 4
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "nodes.Episode.parquet").to_pylist()
    assert rows[0]["tags"] == ["x"]
    assert rows[0]["reward"] == 0.5
    with pytest.raises(NeedsUnbound):
        memory.as_agent("default").graph.to_networkx()
