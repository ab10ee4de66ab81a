"""The service over HTTP: requests a second, beside its peers; reads and writes mixed; memory; how soon it is ready."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import graphsvc
from benchmarks.asked import DOCUMENTS, STORED, body, recalls, store, walks
from benchmarks.callers import Callers, Plan, calling
from benchmarks.episodes import batches, episodes
from benchmarks.figures import Figure, Figures, of_durations
from benchmarks.graphs import random_graph
from benchmarks.rates import Asked, figure_of, rates
from benchmarks.section import Context
from benchmarks.served import Server, application, service
from benchmarks.sizes import Sizes
from benchmarks.vectors import Vectors

CATCH_UP_SECONDS = 900.0
LOAD_SECONDS = 300.0
"""That the first answer may take, which loads the model: long on a busy machine."""
QUESTIONS = 500
"""That a profile draws from, few of them often."""
FEW = 20
"""That are asked again and again."""
CALLERS = 16
"""Of a profile."""
MOST = 2_000
"""Requests a second that there are different questions for."""
PROFILES = {"80": 0.2, "30": 0.7}
"""Share of writes, by that of reads in percent."""
RECALLED, NEAR = '"recordId"', '"depth"'
CACHED = "its caches of parsed and of validated documents on"


def measure(context: Context) -> dict[str, Figures]:
    """By side."""
    sizes, work = context.sizes, context.work
    vectors = context.vectors(sizes.middle + QUESTIONS)
    plain, model = work / "served", work / "served-model"
    build(plain, sizes, vectors[: sizes.middle])
    build(model, sizes, vectors[: sizes.middle], embedder="minilm")
    documents = work / "documents.json"
    documents.write_bytes(msgspec.json.encode(DOCUMENTS))
    trusting = {"graphql_documents": str(documents), "graphql_timeout": str(LOAD_SECONDS)}
    ready: dict[str, list[float]] = {"hashing": [], "model": [], "answered": []}
    for _ in range(sizes.service_starts - 1):
        with service(plain, work / "served.log") as server:
            ready["hashing"].append(server.ready_seconds)
        with service(model, work / "trusted.log", **trusting) as server:
            _answered(server, ready)
    with (
        calling() as callers,
        service(plain, work / "served.log") as server,
        service(model, work / "trusted.log", **trusting) as trusted,
        application("benchmarks.peers.strawberry:app", work / "strawberry.log") as strawberry,
        application("benchmarks.peers.starlette:app", work / "starlette.log") as starlette,
    ):
        ready["hashing"].append(server.ready_seconds)
        _answered(trusted, ready)
        ours: Figures = {"http.memory.rest": Figure(round(server.worker_mib(), 1))}
        asked = vectors[sizes.middle :]
        constants = _constants(asked)
        sides = {
            "ours": _ours(callers, server, trusted, sizes, asked),
            "strawberry": {
                **{name: Asked(strawberry, plan) for name, plan in constants.items()},
                "trusted": Asked(strawberry, lambda number: {**constants["cached"](number), "path": "/cached"}),
            },
            "starlette": {name: Asked(starlette, plan) for name, plan in constants.items()},
        }
        found = rates(callers, sides, sizes)
        for reads, writes in PROFILES.items():
            ours |= _profile(callers, server, asked, sizes.mixed_seconds, reads, writes)
        ours["http.memory.load"] = Figure(round(server.worker_mib(), 1))
    ours |= {f"http.ready.{name}": of_durations(seconds) for name, seconds in ready.items()}
    found["ours"] |= ours
    for row, figure in found["strawberry"].items():
        if "trusted" in row:
            found["strawberry"][row] = figure.with_note(CACHED)
    for side in ("strawberry", "starlette"):
        found[side] = _as_all(found[side])
    return found


def build(directory: Path, sizes: Sizes, vectors: Vectors, embedder: str = "hashing") -> None:
    """Episodes with their vectors, and a graph of one's own; everything caught up, closed."""
    graph = random_graph(sizes.figure_nodes, sizes.figure_edges)
    with graphsvc.open(directory, embedder=embedder) as memory:
        for start, length in batches(len(vectors)):
            memory.episodes.store_many(episodes(start, length), vectors=vectors[start : start + length])
        memory.graph.define("P", {"id": int, "name": str}, key="id")
        memory.graph.define("E", {"weight": float}, source="P", target="P")
        memory.graph.add("P", graph.nodes, wait=CATCH_UP_SECONDS)
        memory.graph.add("E", graph.edges, wait=CATCH_UP_SECONDS)
        memory.wait(timeout=CATCH_UP_SECONDS)


def questions(what: str, count: int) -> list[str]:
    """Texts to recall by."""
    return [f"alpha3 token{number % 97} cache5 {what} {number}" for number in range(count)]


def _ours(callers: Callers, server: Server, trusted: Server, sizes: Sizes, asked: Vectors) -> dict[str, Asked]:
    cached = recalls(questions("cached", FEW), asked[:FEW])
    by_id = recalls(questions("trusted", FEW), asked[:FEW], trusted=True)
    near = walks(list(range(min(QUESTIONS, sizes.figure_nodes))))
    patterns = recalls(["@"] * QUESTIONS, asked)
    count = int(sizes.http_seconds * MOST)

    def uncached(number: int) -> dict[str, object]:
        texts = questions(f"uncached {number}", count)
        bodies = [patterns[place % QUESTIONS].replace("@", text) for place, text in enumerate(texts)]
        return {"reads": bodies, "once": True, "answer": RECALLED}

    def stores(number: int) -> dict[str, object]:
        return {"write": store(asked[0].tolist(), f"s{number}-"), "writes": 1.0, "written": STORED}

    # Asked again with no store between: one ends what is kept.
    callers.load(Plan(server.port, 1, reads=cached, once=True))
    callers.load(Plan(trusted.port, 1, reads=by_id, once=True))
    return {
        "cached": Asked(server, lambda _: {"reads": cached, "answer": RECALLED}),
        "trusted": Asked(trusted, lambda _: {"reads": by_id, "answer": RECALLED}),
        "uncached": Asked(server, uncached),
        "near": Asked(server, lambda _: {"reads": near, "answer": NEAR}),
        "store": Asked(server, stores, fsync=True),
    }


def _constants(vectors: Vectors) -> dict[str, Callable[[int], dict[str, Any]]]:
    """What sides are asked that give the same whatever is asked."""
    bodies = recalls([f"alpha3 question {number}" for number in range(FEW)], vectors[:FEW])
    near, one = walks(list(range(FEW))), store(vectors[0].tolist())
    return {
        "cached": lambda _: {"reads": bodies},
        "near": lambda _: {"reads": near},
        "store": lambda _: {"write": one, "writes": 1.0},
    }


def _as_all(found: Figures) -> Figures:
    """A constant recall is the measure of one that is computed, and of one by id, too."""
    for row, figure in list(found.items()):
        operation, connections = row.split(".")[1:]
        if operation == "cached":
            for other in ("trusted", "uncached"):
                found.setdefault(f"http.{other}.{connections}", figure)
    return found


def _profile(
    callers: Callers, server: Server, asked: Vectors, seconds: float, reads: str, writes: float
) -> Figures:
    """Reads and writes mixed; the share of recalls that the cache of answers served, as `/metrics` tells."""
    before = _answers(server)
    done = callers.load(Plan(
        server.port, CALLERS, reads=recalls(questions("mixed", QUESTIONS), asked), skewed=True, answer=RECALLED,
        write=store(asked[0].tolist(), f"m{reads}-"), writes=writes, written=STORED, seconds=seconds,
    ))  # fmt: skip
    hits, misses = (now - then for now, then in zip(_answers(server), before, strict=True))
    return {
        f"http.mixed.{reads}": figure_of([done], fsync=True),
        f"http.mixed.{reads}.hits": Figure(round(hits / max(1.0, hits + misses), 4), n=int(hits + misses)),
    }


def _answers(server: Server) -> tuple[float, float]:
    return server.counted("graphsvc_query_cache_hits_total"), server.counted("graphsvc_query_cache_misses_total")


def _answered(server: Server, ready: dict[str, list[float]]) -> None:
    """From the start of the command to the first 200 of `/ready`, and to an answer whose text the model embedded."""
    began = time.perf_counter()
    asked = body("recall", {"text": f"deploy the service, {time.time()}", "k": 10}, trusted=True).encode()
    request = urllib.request.Request(f"{server.url}/graphql", asked, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=LOAD_SECONDS) as answer:
        if RECALLED not in (told := answer.read().decode()):
            raise RuntimeError(f"no answer after the start: {told[:1_000]}")
    ready["model"].append(server.ready_seconds)
    ready["answered"].append(server.ready_seconds + time.perf_counter() - began)
