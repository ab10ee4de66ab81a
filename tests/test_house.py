"""The house stands as drawn: who may import whom, what importing costs, what asynchronous use offers."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import graphsvc
from graphsvc.memory import aio
from graphsvc.memory.causal import Causal
from graphsvc.memory.entities import Entities
from graphsvc.memory.episodes import Episodes
from graphsvc.memory.facts import Facts
from graphsvc.memory.graph import Graph
from graphsvc.memory.memory import Memory
from graphsvc.memory.skills import Skills
from graphsvc.memory.tables import Tables
from graphsvc.model.graph import NODE_TABLES, REL_TABLES

from .conftest import ROOT

PACKAGE = ROOT / "graphsvc"
FLOORS = {
    "interfaces": {"memory", "model", "errors", "config"},
    "memory": {"memory", "store", "log", "embedding", "cypher", "model", "errors", "config"},
    "store": {"store", "log", "embedding", "cypher", "model", "errors", "config"},
    "log": {"log", "model", "errors", "config"},
    "embedding": {"embedding", "model", "errors", "config"},
    "model": {"model", "errors"},
    "cypher": {"cypher", "errors"},
    "errors": set(),
    "config": {"errors"},
}
INTERFACES = ("cli", "__main__", "__init__", "calls", "demo", "service", "remote", "notebook")


def floor_of(module: str) -> str:
    first = module.split(".")[1] if "." in module else "__init__"
    return "interfaces" if first in INTERFACES else first


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "graphsvc":
                found.update(f"graphsvc.{name.name}" for name in node.names)
            else:
                found.add(node.module)
    return {name for name in found if name.split(".")[0] == "graphsvc"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_calls_up(path: Path) -> None:
    own = floor_of(".".join(("graphsvc", *path.relative_to(PACKAGE).with_suffix("").parts)))
    for imported in imports_of(path):
        target = floor_of(imported)
        if target == own == "interfaces" or imported == "graphsvc.__version__":
            continue
        assert target in FLOORS[own] or (own == "interfaces" and target == "interfaces"), f"{path} imports {imported}"


def test_one_module_alone_imports_a_graph_engine() -> None:
    importers = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text().splitlines()
        if line.strip().startswith(("import kuzu", "import ladybug", "from kuzu", "from ladybug"))
        or 'import_module("kuzu' in line
        or (path.parent.name == "store" and "import_module(" in line)  # the engine's name is a setting
    }
    assert importers == {"engine.py"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_longer_than_can_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600


HEAVY = ("kuzu", "ladybug", "lancedb", "tantivy", "numpy", "pyarrow", "torch", "onnxruntime", "sentence_transformers",
    "transformers", "tokenizers", "networkx", "pandas", "starlette", "uvicorn", "httpx", "typer", "rich", "msgspec")  # fmt: skip


def in_a_new_process(program: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_importing_the_package_loads_no_engine_and_no_model_and_takes_no_time() -> None:
    program = (
        "import time, sys, json; before = set(sys.modules); t = time.perf_counter(); import graphsvc; "
        "took = time.perf_counter() - t; new = set(sys.modules) - before; "
        f"print(json.dumps(dict(took=took, modules=len(new), heavy=sum(name in sys.modules for name in {HEAVY!r}))))"
    )
    found = min((in_a_new_process(program) for _ in range(3)), key=lambda each: each["took"])
    assert found["heavy"] == 0
    assert found["modules"] < 40
    assert found["took"] < 5 * 0.05


def test_opening_a_memory_loads_no_model_no_arrow_and_nothing_of_the_service(path: Path) -> None:
    graphsvc.open(path, embedder="hashing").close()
    program = (
        f"import graphsvc, sys, json; memory = graphsvc.open({str(path)!r}); memory.wait(); "
        "names = ('torch', 'onnxruntime', 'sentence_transformers', 'transformers', 'lancedb', 'pyarrow', 'starlette', "
        "'httpx'); "
        "print(json.dumps({name: name in sys.modules for name in names})); memory.close()"
    )
    assert not any(in_a_new_process(program).values())


def test_opening_an_empty_memory_is_quick(tmp_path: Path) -> None:
    program = (
        "import time, json, graphsvc, graphsvc.memory.memory; t = time.perf_counter(); "
        f"memory = graphsvc.open({str(tmp_path)!r} + '/memory', embedder='hashing'); "
        "print(json.dumps(dict(took=time.perf_counter() - t))); memory.close()"
    )
    assert in_a_new_process(program)["took"] < 5 * 0.3


@pytest.mark.parametrize(
    ("plain", "awaited"),
    [
        (Episodes, aio.AsyncEpisodes), (Skills, aio.AsyncSkills), (Entities, aio.AsyncEntities),
        (Facts, aio.AsyncFacts), (Causal, aio.AsyncCausal),
        (Tables, aio.AsyncTables), (Graph, aio.AsyncGraph), (Memory, aio.AsyncMemory),
    ],
)
def test_every_verb_is_there_asynchronously_too_with_the_same_arguments(plain: type, awaited: type) -> None:
    for name, member in inspect.getmembers(plain):
        if name.startswith("_") or name in ("owner", "threads"):
            continue
        other = inspect.getattr_static(awaited, name, None)
        assert other is not None or not callable(member), f"{awaited.__name__} lacks {name}"
        if inspect.isfunction(member) and inspect.iscoroutinefunction(other):
            ours = [parameter.name for parameter in inspect.signature(member).parameters.values()]
            theirs = [parameter.name for parameter in inspect.signature(other).parameters.values()]
            assert ours == theirs, name


def test_public_names_resolve() -> None:
    for name in graphsvc.__all__:
        assert getattr(graphsvc, name) is not None
    with pytest.raises(AttributeError):
        graphsvc.nothing  # noqa: B018


def test_columns_of_one_name_have_one_type_in_all_own_tables() -> None:
    """Both engines give garbage, or crash, where the nodes of a path may be of tables that disagree on a column."""
    for tables in (NODE_TABLES, {name: rel.columns for name, rel in REL_TABLES.items()}):
        types: dict[str, set[str]] = {}
        for columns in tables.values():
            for name, type in columns.items():
                types.setdefault(name, set()).add(type)
        assert {name: found for name, found in types.items() if len(found) > 1} == {}
