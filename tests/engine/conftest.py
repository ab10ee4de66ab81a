from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from graphsvc.config import Settings
from graphsvc.store.engine import Engine, open_engine
from graphsvc.store.graph import GraphProjection

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))  # `histories`, for tests here and for the processes that they start

ENGINE = os.environ.get("GRAPHSVC_TEST_ENGINE", "kuzu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE and item.path.name != "test_ladybug.py":
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def engine_name() -> str:
    """The engine of this process; the other one has a process of its own (`test_ladybug.py`)."""
    return ENGINE


@pytest.fixture(scope="session")
def raw() -> ModuleType:
    """The engine's own package, to show its traps on."""
    return importlib.import_module(ENGINE)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings(graph_buffer_bytes=128 << 20, graph_timeout=10.0)


@pytest.fixture
def engine(tmp_path: Path, engine_name: str, settings: Settings) -> Iterator[Engine]:
    """An open engine with a small graph: two people, one knows the other."""
    opened = open_engine(engine_name, tmp_path / "graph", settings)
    with opened.transaction() as transaction:
        transaction.execute("CREATE NODE TABLE Person (name STRING, age INT64, PRIMARY KEY (name))")
        transaction.execute("CREATE REL TABLE KNOWS (FROM Person TO Person, since INT64)")
        transaction.execute("CREATE (:Person {name: 'Ada', age: 36})-[:KNOWS {since: 1833}]->(:Person {name: 'Mary'})")
    yield opened
    opened.close()


@pytest.fixture
def graph(tmp_path: Path, engine_name: str, settings: Settings) -> Iterator[GraphProjection]:
    projection = GraphProjection(tmp_path, engine_name, settings)
    yield projection
    projection.close()


class Raw:
    """The engine without the seam, as its manual shows it."""

    def __init__(self, module: ModuleType, path: Path, **options: Any) -> None:
        self.module = module
        self.database = module.Database(str(path), **{"buffer_pool_size": 128 << 20, "max_db_size": 8 << 30} | options)
        self.connection = module.Connection(self.database)

    def run(self, statement: str, parameters: dict[str, Any] | None = None) -> list[list[Any]]:
        result = self.connection.execute(statement, parameters or {})
        try:
            return list(result)
        finally:
            result.close()

    def close(self) -> None:
        self.connection.close()
        self.database.close()


@pytest.fixture
def raw_graph(raw: ModuleType, tmp_path: Path) -> Iterator[Callable[..., Raw]]:
    """Opens raw databases, by default one with a table of people, and closes them after the test."""
    opened: list[Raw] = []

    def open_raw(name: str = "raw", **options: Any) -> Raw:
        graph = Raw(raw, tmp_path / name, **options)
        opened.append(graph)
        if len(opened) == 1:
            graph.run("CREATE NODE TABLE Person (name STRING, age INT64, PRIMARY KEY (name))")
            graph.run("CREATE REL TABLE KNOWS (FROM Person TO Person, since INT64)")
        return graph

    yield open_raw
    for graph in reversed(opened):
        graph.close()


@pytest.fixture
def script(engine_name: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python in a process of its own, where it may crash; `ENGINE` names the engine there."""

    def run(source: str, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        preamble = (
            f"import importlib, importlib.util, sys\nENGINE = {engine_name!r}\nsys.path.insert(0, {str(HERE)!r})\n"
        )
        return subprocess.run(
            [sys.executable, "-c", preamble + source, *arguments],
            capture_output=True, text=True, timeout=timeout, cwd=ROOT, check=False,
        )  # fmt: skip

    return run
