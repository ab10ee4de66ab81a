"""Cypher over HTTP: its three forms, its wall, and what happens when nobody waits any more."""

from __future__ import annotations

import io
import json
import time
import tomllib
from collections.abc import Iterator
from typing import Any

import httpx
import pyarrow as pa
import pytest

import graphsvc

from ..conftest import ROOT
from .conftest import serving

DATA = ROOT / "tests" / "cypher"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served memory with tables like those that the statements of the wall's tests are about."""
    directory = tmp_path_factory.mktemp("cypher") / "memory"
    with graphsvc.open(directory, embedder="hashing") as memory:
        memory.graph.define(
            "Person",
            {"id": int, "name": str, "age": int, "score": float, "tags": list[str], "born": "DATE", "seen": "TIMESTAMP"},
            key="id",
        )
        memory.graph.define("City", {"name": str, "size": int}, key="name")
        memory.graph.define("KNOWS", {"since": int, "w": float}, source="Person", target="Person")
        memory.graph.define("LIVES", {}, source="Person", target="City")
        memory.graph.define("Part", {"pid": int, "cost": float}, key="pid")
        memory.graph.define("Whole", {"wid": int, "cost": str}, key="wid")
        memory.graph.define("MADE_OF", {"n": int}, source="Whole", target="Part")
        memory.graph.define("FITS", {"n": str}, source="Part", target="Part")
        memory.graph.add("Person", [
            {"id": i, "name": f"p{i}", "age": i * 2, "score": i / 3, "tags": ["a", "b"]} for i in range(1, 41)
        ])  # fmt: skip
        memory.graph.add("City", [{"name": "X", "size": 10}, {"name": "Y", "size": 20}])
        memory.graph.add("KNOWS", [
            {"source": a, "target": b, "since": a, "w": 1.0} for a in range(1, 41) for b in range(a + 1, min(a + 4, 41))
        ])  # fmt: skip
        memory.graph.add("LIVES", [{"source": i, "target": "XY"[i % 2]} for i in range(1, 41)])
    with serving(directory) as address:
        yield address


def ask(url: str, query: str, accept: str = "*/*", **options: Any) -> httpx.Response:
    return httpx.post(f"{url}/cypher", json={"query": query, **options}, headers={"Accept": accept}, timeout=60)


PEOPLE = "MATCH (p:Person) WHERE p.id <= $most RETURN p.id AS id, p.name AS name ORDER BY id"


def test_rows_come_as_json_as_lines_and_as_an_arrow_stream(url: str) -> None:
    wanted = [[1, "p1"], [2, "p2"], [3, "p3"]]
    found = ask(url, PEOPLE, params={"most": 3})
    assert found.status_code == 200
    answer = found.json()
    assert (answer["columns"], answer["types"], answer["rows"]) == (["id", "name"], ["INT64", "STRING"], wanted)
    assert (answer["count"], answer["more"]) == (3, False)

    lines = ask(url, PEOPLE, "application/x-ndjson", params={"most": 3})
    assert lines.headers["content-type"] == "application/x-ndjson"
    first, *rows, last = map(json.loads, lines.text.splitlines())
    assert (first["columns"], rows, last["count"]) == (["id", "name"], wanted, 3)

    stream = ask(url, PEOPLE, "application/vnd.apache.arrow.stream", params={"most": 3})
    table = pa.ipc.open_stream(io.BytesIO(stream.content)).read_all()
    assert table.to_pydict() == {"id": [1, 2, 3], "name": ["p1", "p2", "p3"]}
    assert table.schema.metadata[b"count"] == b"3"


def test_many_rows_come_whole_in_every_form(url: str) -> None:
    query = "UNWIND range(1, 5000) AS i RETURN i, cast(i AS STRING) AS text"
    assert [row[0] for row in ask(url, query).json()["rows"]] == list(range(1, 5001))
    assert len(ask(url, query, "application/x-ndjson").text.splitlines()) == 5002
    arrow = ask(url, query, "application/vnd.apache.arrow.stream").content
    assert pa.ipc.open_stream(io.BytesIO(arrow)).read_all()["i"].to_pylist() == list(range(1, 5001))


def test_nodes_are_objects_and_a_limit_says_that_there_is_more(url: str) -> None:
    found = ask(url, "MATCH (p:Person) RETURN p ORDER BY p.id", limit=2).json()
    assert found["more"]
    assert found["rows"][0][0]["properties"]["name"] == "p1"


def test_a_plan_is_given_and_nothing_run(url: str) -> None:
    found = ask(url, "MATCH (p:Person) RETURN count(*)", explain=True).json()
    assert "SCAN" in found["plan"].upper()


def test_a_write_takes_write_and_is_done_whole(url: str) -> None:
    statement = "CREATE (:City {name: $name, size: 30})"
    refused = ask(url, statement, params={"name": "Z"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "not_allowed")
    assert ask(url, statement, params={"name": "Z"}, write=True).status_code == 200
    assert ask(url, "MATCH (c:City {name: 'Z'}) RETURN c.size").json()["rows"] == [[30]]
    again = ask(url, statement, params={"name": "Z"}, write=True)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    owned = ask(url, "MATCH (e:Episode) DETACH DELETE e", write=True)
    assert owned.json()["error"]["code"] == "owned_table"


@pytest.mark.parametrize(("body", "kind", "status"), [
    (b'{"query": "RETURN 1"', "application/json", 400),
    (b'{"query": 1}', "application/json", 400),
    (b'{"quer": "RETURN 1"}', "application/json", 400),
    (b'{"query": ""}', "application/json", 400),
    (b"\xff\xfe", "application/json", 400),
    (b'{"query": "RETURN 1"}', "text/plain", 400),
    (b'{"query": "RETURN 1", "timeout": -1}', "application/json", 400),
    (b'{"query": "RETURN 1", "write": true, "explain": true}', "application/json", 400),
    (b'{"query": "RETURN $x"}', "application/json", 400),
    (b'{"query": "RETUR 1"}', "application/json", 400),
    pytest.param(b'{"query": "RETURN 1", "params": {"x": ' + b"[" * 3_000 + b"]" * 3_000 + b"}}", "application/json", 400, id="deep"),
])  # fmt: skip
def test_what_is_malformed_is_refused_with_where_and_what_to_do(url: str, body: bytes, kind: str, status: int) -> None:
    found = httpx.post(f"{url}/cypher", content=body, headers={"Content-Type": kind})
    assert found.status_code == status
    error = found.json()["error"]
    assert error["code"]
    assert error["where"]


def test_an_answer_that_nobody_can_take_isnt_computed(url: str) -> None:
    assert ask(url, "RETURN 1", "image/png").status_code == 400
    assert ask(url, "RETURN 1", "application/x-ndjson;q=0.1, application/json").headers["content-type"] == "application/json"
    assert httpx.get(f"{url}/cypher").status_code == 405


def test_every_hostile_statement_is_refused_over_http_too(url: str) -> None:
    sections = tomllib.loads((DATA / "hostile.toml").read_text(encoding="utf-8"))
    params = {"nothing": None, "big": 10**12, "n": 1, "key": "id", "label": "Person", "type": "KNOWS",
        "column": "name", "secret": [[1]], "ids": [1, 2, 3], "prefix": "p", "rows": [{"id": 1}]}  # fmt: skip
    before = ask(url, "MATCH (n) RETURN label(n) AS label, count(*) AS count ORDER BY label").json()["rows"]
    count = 0
    with httpx.Client(timeout=60) as client:
        for section in sections.values():
            for statement in section["statements"]:
                used = {name: value for name, value in params.items() if f"${name}" in statement}
                found = client.post(f"{url}/cypher", json={"query": statement, "params": used, "timeout": 0.5})
                assert found.status_code in (400, 403, 413, 422, 504), (statement, found.text)
                assert found.json()["error"]["code"], statement
                count += 1
    assert count >= 150
    assert ask(url, "MATCH (n) RETURN label(n) AS label, count(*) AS count ORDER BY label").json()["rows"] == before


def test_benign_look_alikes_run_over_http_too(url: str) -> None:
    statements = tomllib.loads((DATA / "benign.toml").read_text(encoding="utf-8"))["statements"]
    failed = []
    with httpx.Client(timeout=60) as client:
        for statement in statements:
            if "$" in statement or any(name in statement for name in ("_Hidden", "emb")):
                continue  # of tables and values that only the wall's own graph has
            found = client.post(f"{url}/cypher", json={"query": statement})
            if found.status_code != 200:
                failed.append((statement, found.text))
    assert not failed


def test_a_statement_is_stopped_when_its_client_goes(url: str) -> None:
    def under_way() -> float:
        text = httpx.get(f"{url}/metrics").text
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith("graphsvc_http_requests_under")))

    names = [f"p{n}" for n in range(18)]
    long = f"MATCH {', '.join(f'({n}:Person)' for n in names)} WHERE {' + '.join(f'{n}.score' for n in names)} > 999 RETURN 1"
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/cypher", json={"query": long, "timeout": 60}, timeout=0.5)
    deadline = time.monotonic() + 5
    while under_way() > 1 and time.monotonic() < deadline:  # one is the question itself
        time.sleep(0.05)
    assert under_way() == 1
