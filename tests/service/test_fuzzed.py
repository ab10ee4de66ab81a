"""Whatever its schemas allow is asked of a served memory: no 500, no masked error, and the worker lives."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from graphql import (
    FloatValueNode,
    IntValueNode,
    NameNode,
    ObjectFieldNode,
    StringValueNode,
    Visitor,
    parse,
    print_ast,
    visit,
)
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.graphql import nodes

import graphsvc

from .test_supervisor import Service, service

SEED = 20_261_126
SOON, LONG = 5.0, 120.0
"""Seconds: of the form that CI runs, which takes as long again to see what the schemas allow, and of the long one."""
AT_ONCE = 4
"""Examples of an operation, before it is the next one's turn."""
WIDE = {
    "GRAPHSVC_SERVICE_GRAPHQL_COST": "10000000", "GRAPHSVC_SERVICE_GRAPHQL_DEPTH": "30", "GRAPHSVC_SERVICE_GRAPHQL_ALIASES": "1000",
    "GRAPHSVC_SERVICE_GRAPHQL_TOKENS": "10000", "GRAPHSVC_SERVICE_GRAPHQL_TIMEOUT": "2", "GRAPHSVC_SERVICE_LOG_REQUESTS": "false",
}  # fmt: skip
"""Limits so wide that what is asked is done, and not refused before."""
WORDS = (
    "e1", "e2", "retry", "timeout", "c1", "f1", "payment", "reward", "skill:retry", "episode:e1", "default", "Episode", "Skill",
    "USED", "CAUSES", "Person", "WORKS_WITH", "Ada", "success", "answers in", "2026-03-02T09:00:00Z", "1d", "eu", "ASC", "*",
    "default/e1", "MATCH (s:Skill) RETURN s.name AS n LIMIT 2", "g:WyJza2lsbCIsImRlZmF1bHQiLCJyZXRyeSJd", "", " ", "\x00", "name", "team",
)  # fmt: skip
"""What is there, put in the place of some of the texts that are drawn."""
MASKED = ('"unexpected"', "something went wrong inside", "Something went wrong inside")
"""What is said of an error that nobody foresaw."""
NUMBERS = ("0", "1", "-1", "2", "5", "100", "9007199254740993")
PLAIN = st.integers(-5, 5) | st.sampled_from(WORDS) | st.lists(st.integers(0, 3), max_size=3) | st.floats(-1, 1) | st.none()
DEEP = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 65), 1 << 65) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip

NAMES, SOME = st.sampled_from(WORDS), st.integers(0, 5)
STATEMENTS: tuple[tuple[str, dict[str, st.SearchStrategy[Any]], bool], ...] = (
    ("MATCH (e:Episode)-[r]->(s) WHERE e.id = $a RETURN e, r, s LIMIT $b", {"a": NAMES, "b": SOME}, False),
    ("UNWIND $a AS x RETURN x, $b AS y", {"a": st.lists(SOME, max_size=3), "b": PLAIN}, False),
    ("RETURN $a + $b AS z", {"a": st.integers() | SOME, "b": st.integers() | SOME}, False),
    ("RETURN $a AS x", {"a": DEEP}, False),
    ("MATCH p = (a:Skill)-[*1..2]-(b) RETURN p LIMIT 3", {}, False),
    ("RETURN upper($a) AS t, size($b) AS n", {"a": st.text(max_size=8), "b": st.text(max_size=8)}, False),
    ("MATCH (e:Episode) WHERE e.task CONTAINS $a RETURN e.reward / $b AS share", {"a": NAMES, "b": st.floats(-1, 1)}, False),
    ("MERGE (p:Person {name: $a}) SET p.team = $b", {"a": NAMES, "b": st.text(max_size=8)}, True),
    ("CREATE (:Person {name: $a, team: $b})", {"a": st.text(max_size=8), "b": st.text(max_size=8) | st.none()}, True),
    ("MATCH (p:Person) WHERE p.name = $a DETACH DELETE p", {"a": NAMES}, True),
)  # fmt: skip

def _literal(value: Any) -> Any:
    """A value of JSON, as a document of GraphQL has it."""
    if value is None:
        return nodes.Null
    if isinstance(value, bool):
        return nodes.Boolean(value)
    if isinstance(value, int):
        return nodes.Int(value)
    if isinstance(value, float):
        return nodes.Float(value)
    if isinstance(value, str):
        return nodes.String(value)
    if isinstance(value, list):
        return nodes.List([_literal(each) for each in value])
    names = {name: each for name, each in value.items() if name.isascii() and name.isidentifier()}
    return nodes.Object([ObjectFieldNode(name=NameNode(value=name), value=_literal(each)) for name, each in names.items()])


SCALARS = {
    "JSON": DEEP.map(_literal),
    "Long": st.integers(-(1 << 64), 1 << 64).map(nodes.Int),
    "DateTime": (st.datetimes().map(lambda at: at.isoformat() + "Z") | st.sampled_from(["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "now"])).map(nodes.String),
    "Date": st.dates().map(lambda day: nodes.String(day.isoformat())),
    "Duration": (st.sampled_from(["90s", "30d", "-1d", "1e9d", "x"]).map(nodes.String) | st.integers(-5, 1 << 62).map(nodes.Int)),
}  # fmt: skip


def _fitting(given: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a type of JSON Schema, near enough."""
    if "enum" in given:
        return st.sampled_from(given["enum"])
    if "anyOf" in given:
        return st.one_of([_fitting(each) for each in given["anyOf"]])
    if given.get("type") == "array":
        return st.lists(_fitting(given.get("items", {})), max_size=3)
    if given.get("type") == "object" and "properties" in given:
        must = given.get("required", [])
        drawn = {name: _fitting(each) for name, each in given["properties"].items()}
        return st.fixed_dictionaries(
            {name: each for name, each in drawn.items() if name in must}, optional={name: each for name, each in drawn.items() if name not in must}
        )
    simple = {
        "string": st.sampled_from(WORDS) | st.text(max_size=20), "integer": st.integers(-2, 20) | st.integers(), "number": st.floats(0, 1) | st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(), "null": st.none(),
    }  # fmt: skip
    return simple.get(str(given.get("type")), DEEP)


class Known(Visitor):
    """Puts what is there in the place of some of what was drawn. What names files is refused to who comes over HTTP."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def enter_string_value(self, node: StringValueNode, *_: Any) -> Any:
        return None if self._chance.random() < 0.3 else StringValueNode(value=self._chance.choice(WORDS), block=False)

    def enter_int_value(self, node: IntValueNode, *_: Any) -> Any:
        return IntValueNode(value=self._chance.choice(NUMBERS)) if self._chance.random() < 0.7 else None

    def enter_float_value(self, node: FloatValueNode, *_: Any) -> Any:
        return FloatValueNode(value=self._chance.choice(["0", "1.0", "0.5"])) if self._chance.random() < 0.7 else None


def _memory(directory: Path) -> None:
    """What is asked: records of every kind, joined, and tables of one's own."""
    with graphsvc.open(directory, embedder="hashing") as memory:
        memory.skills.create(name="retry with backoff", id="retry", description="call again after a pause")
        memory.skills.create(name="set a timeout", id="timeout", description="give up after a while")
        memory.skills.link("retry", "timeout", "prerequisite")
        for name in ("e1", "e2", "e3"):
            memory.episodes.store(id=name, session="s", task="call the payment API", success=name != "e2", reward=0.5, critique="too early")
        memory.skills.record_outcome("retry", success=True, episode="e1", reward=1.0)
        memory.causal.variable("reward", is_reward=True)
        memory.causal.add("skill:retry", "reward", 0.6, confidence=0.9, id="c1", evidence=["e1"])
        memory.entities.upsert(kind="service", name="payment", id="payment")
        memory.episodes.link("e1", "payment", "about")
        memory.facts.add("payment", "answers in", "200 ms", id="f1", episodes=["e1"])
        memory.graph.define("Person", {"name": str, "team": str}, key="name")
        memory.graph.define("WORKS_WITH", {"since": int}, source="Person", target="Person")
        memory.graph.add("Person", [{"name": "Ada", "team": "core"}, {"name": "Grace", "team": "core"}])
        memory.graph.add("WORKS_WITH", {"source": "Ada", "target": "Grace", "since": 1843})


class Asked:
    """Asks, and notes what fails: a 500, an error that is masked, a worker that ended."""

    def __init__(self, running: Service) -> None:
        self.client = httpx.Client(base_url=running.url, timeout=60)
        self.told: Counter[str] = Counter()
        self.failures: dict[str, str] = {}
        self._running = running
        self._worker = running.worker()

    def send(self, what: str, path: str, body: Any, **headers: str) -> None:
        """Send it; `what` is said of a failure, of which the first is kept."""
        text = json.dumps(body)
        try:
            response = self.client.post(path, content=text, headers={"Content-Type": "application/json", **headers})
        except httpx.TransportError as error:
            self.failures.setdefault(what, f"{error!r}: {text}")
            self._running.wait_ready()
            return
        if (response.status_code >= 500 and response.status_code != 503) or any(word in response.text for word in MASKED):
            self.failures.setdefault(what, f"{response.status_code} {response.text[:600]}: {text[:3_000]}")
        self.told[f"{path} {response.status_code}{' errors' if 'errors' in response.text[:40] else ''}"] += 1

    def well(self) -> None:
        """Nothing failed, and the worker is the one that it was."""
        said = [line for line in self._running.log.read_text(errors="replace").splitlines() if "Traceback" in line or "a resolver failed" in line]
        assert self.failures == {}, json.dumps(self.failures, indent=1) + "\n".join(said[:5])
        assert said == []
        assert self._running.worker() == self._worker, self._running.told()


def _drawn(strategy: st.SearchStrategy[Any], number: int, count: int) -> list[Any]:
    """So many values of a strategy, the same ones for the same number."""
    found: list[Any] = []

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    return found


def _graphql(asked: Asked) -> Iterator[None]:
    for name, strategy in SCALARS.items():
        schemathesis.graphql.scalar(name, strategy)
    schema = schemathesis.graphql.from_url(str(asked.client.base_url) + "/graphql")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.label.partition(".")[0] for operation in operations} == {"Query", "Mutation"}
    chance = random.Random(SEED)
    for round in range(1_000_000):
        for operation in chance.sample(operations, len(operations)):
            for case in _drawn(operation.as_strategy(), SEED + round, AT_ONCE):
                query = print_ast(visit(parse(case.body), Known(chance)))
                asked.send(operation.label, "/graphql", {"query": query})
            yield


def _cypher(asked: Asked) -> Iterator[None]:
    fitting = st.sampled_from(STATEMENTS).flatmap(lambda each: st.fixed_dictionaries(
        {"query": st.just(each[0]), "params": st.fixed_dictionaries(each[1]), "write": st.just(each[2])},
        optional={"limit": st.integers(1, 20), "timeout": st.floats(0.5, 2)},
    ))  # fmt: skip
    others = st.fixed_dictionaries(
        {"query": st.sampled_from([each[0] for each in STATEMENTS]) | st.text(max_size=30) | DEEP},
        optional={"params": st.fixed_dictionaries({"a": DEEP, "b": DEEP}) | DEEP, "write": DEEP, "limit": DEEP, "timeout": DEEP, "explain": DEEP},
    )
    bodies = fitting | fitting | others
    kinds = ["application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"]
    for round in range(1_000_000):
        for body in _drawn(bodies, SEED + round, 4 * AT_ONCE):
            asked.send(f"/cypher {body['query']}", "/cypher", body, Accept=kinds[round % len(kinds)])
        yield


def _tools(asked: Asked) -> Iterator[None]:
    accept = "application/json, text/event-stream"
    listed = asked.client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}, headers={"Accept": accept})
    chance = random.Random(SEED)
    tools = listed.json()["result"]["tools"]
    for round in range(1_000_000):
        tool = chance.choice(tools)
        for arguments in _drawn(_fitting(tool["inputSchema"]), SEED + round, AT_ONCE):
            call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool["name"], "arguments": arguments}}
            asked.send(f"tool {tool['name']}", "/mcp", call, Accept=accept)
        yield


def fuzz(directory: Path, seconds: float) -> None:
    print(f"seed {SEED}")
    _memory(directory / "memory")
    with service(directory / "memory", **WIDE) as running:
        asked = Asked(running)
        ways = [_graphql(asked), _cypher(asked), _tools(asked)]
        for each in ways:
            next(each)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for each in [*[ways[0]] * 4, *ways[1:]]:  # what takes most to draw has most turns
                next(each)
        print(dict(asked.told))
        asked.well()


def test_ten_seconds_of_what_the_schemas_allow_without_a_500(tmp_path: Path) -> None:
    fuzz(tmp_path, SOON)


@pytest.mark.slow
def test_two_minutes_of_what_the_schemas_allow_without_a_500(tmp_path: Path) -> None:
    fuzz(tmp_path, LONG)
