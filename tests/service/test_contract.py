"""Every way to a memory is the same interface: embedded, over HTTP, attached to its owner; each awaited, too."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import networkx as nx
import numpy as np
import pyarrow as pa
import pytest

import graphsvc
from graphsvc.errors import GraphsvcError
from graphsvc.memory.cypher import Result
from graphsvc.memory.reached import LazyNode
from graphsvc.memory.results import Hits
from graphsvc.remote import wire
from graphsvc.service.operations import OPERATIONS

from .cases import Case, Seen, cases
from .conftest import serving

WAYS = ("embedded", "remote", "aremote", "attached", "aattached")
OWNER = """
import sys, graphsvc
with graphsvc.open(sys.argv[1], embedder="hashing") as memory:
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def owning(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the memory open, and closes it in the end."""
    command = [sys.executable, "-W", "ignore", "-c", OWNER, str(directory)]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        yield owner
    finally:
        owner.communicate(timeout=30)


Outcome = tuple[str, Any, str]
"""The code of the error, what came of a call, and that as a text: told at once, for nodes fetch from the memory."""


def plain(value: Any) -> Any:
    """A result as data that compares: classes by name, what differs each time taken out."""
    if isinstance(value, GraphsvcError):
        return [type(value).__name__, value.code, value.what, value.where, value.hint, value.retryable]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, nx.Graph):
        return [type(value).__name__, plain(list(value.nodes(data=True))), plain(list(value.edges(data=True)))]
    if isinstance(value, LazyNode):
        return ["LazyNode", plain(value.row()), plain(value.properties)]
    if isinstance(value, Hits):
        return ["Hits", value.query, value.kind, value.pending, value.behind, value.unread, plain(list(value))]
    if isinstance(value, Result):
        return ["Result", value.columns, value.types, value.more, value.behind, plain(value.rows), str(value.arrow())]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.compare}
        return [type(value).__name__, plain(fields)]
    if isinstance(value, msgspec.Struct):
        return [type(value).__name__, plain(msgspec.structs.asdict(value))]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items() if name not in VOLATILE}
    if isinstance(value, list | tuple | set | frozenset):
        return [type(value).__name__, *map(plain, value)]
    if isinstance(value, datetime):
        return value.isoformat()
    return value


VOLATILE = frozenset({
    "seconds", "took", "timings", "path", "bytes", "base_bytes", "lag", "digest", "files",
    "memory", "pauses", "applied", "seal",
    "bm25", "text", "score", "utility", "similarity",  # BM25 hangs on when the index was committed
})  # fmt: skip
UUID7 = re.compile(r"01[0-9a-f]{6}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
NOW = re.compile(r"20\d\d-\d\d-\d\dT\d\d:(?!00:00\+)\d\d:\d\d(\.\d+)?(\+00:00|Z)?|\b1[78]\d{14}\b")


def told(value: Any, place: str = "") -> str:
    """A result as a text that compares; `place`: the directory that differs."""
    text = json.dumps(plain(value), default=repr, sort_keys=True, ensure_ascii=False)
    return NOW.sub("<now>", UUID7.sub("<id>", text.replace(place or "<place>", "<place>")))


def transcript(memory: Any, listed: list[Case], run: Callable[[Any], Any], place: str) -> list[Outcome]:
    """What came of each case."""
    seen: Seen = {}
    found: list[Outcome] = []
    for case in listed:
        try:
            answer = case.call(memory, seen)
            result = run(answer) if inspect.isawaitable(answer) else answer
        except GraphsvcError as error:
            found.append((error.code, error, told(error, place)))
        else:
            seen.setdefault(case.operation, result)
            found.append(("", result, told(result, place)))
    return found


@contextlib.contextmanager
def reached(way: str, directory: Path) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """A handle on a new memory, come by in this way, and what runs what it gives where that is to be awaited."""
    with contextlib.ExitStack() as stack:
        opening: Callable[..., Any] = graphsvc.aopen if way.startswith("a") and way != "attached" else graphsvc.open
        target: Any = directory
        options: dict[str, Any] = {"embedder": "hashing"}
        if "remote" in way:
            target, options = stack.enter_context(serving(directory)), {}
            opening = graphsvc.aconnect if way == "aremote" else graphsvc.connect
        elif "attached" in way:
            stack.enter_context(owning(directory))
        if way in ("aremote", "aattached"):
            runner = stack.enter_context(asyncio.Runner())

            async def opened() -> Any:
                return await opening(target, **options)

            memory = runner.run(opened())
            stack.callback(lambda: runner.run(memory.close()))
            yield memory, lambda answer: runner.run(_awaited(answer))
        else:
            yield stack.enter_context(opening(target, **options)), lambda answer: answer


async def _awaited(answer: Any) -> Any:
    return await answer


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[Case], list[Outcome]]]:
    """What came of all cases, by way."""
    found = {}
    for way in WAYS:
        place = tmp_path_factory.mktemp(way)
        listed = cases(place)
        with reached(way, place / "memory") as (memory, run):
            assert memory.attached == ("attached" in way)
            found[way] = listed, transcript(memory, listed, run, str(place))
    return found


def test_each_case_comes_out_as_it_is_meant(transcripts: dict[str, Any]) -> None:
    listed, outcomes = transcripts["embedded"]
    wrong = [
        (case.operation, code, text[:200], case.fails)
        for case, (code, _, text) in zip(listed, outcomes, strict=True)
        if code != case.fails
    ]
    assert not wrong


@pytest.mark.parametrize("way", WAYS[1:])
def test_every_way_gives_the_same_results_and_the_same_errors(transcripts: dict[str, Any], way: str) -> None:
    listed, outcomes = transcripts[way]
    different = []
    for case, ours, theirs in zip(listed, transcripts["embedded"][1], outcomes, strict=True):
        if "remote" in way and OPERATIONS[case.operation].files:
            assert theirs[0] == "forbidden", case.operation
        elif ours[2] != theirs[2]:
            at = next((n for n, (a, b) in enumerate(zip(ours[2], theirs[2], strict=False)) if a != b), 0)
            different.append(f"{case.operation}: {ours[2][max(0, at - 80) : at + 80]} | {theirs[2][max(0, at - 20) : at + 80]}")
    assert not different, "\n".join(different)


def test_every_operation_is_in_a_case() -> None:
    listed = {case.operation for case in cases(Path()) if not case.fails}
    assert set(OPERATIONS) - listed == {"graph.outcome"}, "which is only known of a Pending"


def test_every_result_travels_and_comes_back_equal(transcripts: dict[str, Any]) -> None:
    listed, outcomes = transcripts["embedded"]
    for case, (_, result, _text) in zip(listed, outcomes, strict=True):
        again = wire.decode(wire.encode(result))
        assert type(again) is type(result), case.operation
        assert told(again) == told(result), case.operation


def test_large_results_of_cypher_travel_as_arrow(tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "m", embedder="hashing") as memory:
        result = memory.cypher("UNWIND range(1, 50000) AS x RETURN x, CAST(x AS DOUBLE) AS half")
        assert isinstance(result._answer.table, pa.Table)
        data = wire.encode(result)
        assert len(data) < 50_000 * 20
        again = wire.decode(data)
        assert again._answer.made is None, "no row was made on the way"
        assert again.arrow().equals(result.arrow())
        assert again.rows == result.rows
