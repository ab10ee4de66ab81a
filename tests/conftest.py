"""What tests share: one embedding cache, no network, memories in temporary directories."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRAPHSVC_CACHE_DIR", str(ROOT / ".cache" / "tests"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job: its children would ignore Ctrl-C too
    signal.signal(signal.SIGINT, signal.default_int_handler)

import graphsvc  # noqa: E402  the environment above must be set before it reads it

LONGEST = (
    "engine/test_ladybug.py", "benchmarks/test_bench.py", "service/test_soak.py", "docs/test_examples.py",
    "chaos/test_kill.py", "engine/test_projection.py", "chaos/test_travel.py", "chaos/test_kill_consolidation.py",
    "cli/test_commands.py", "test_trim_tables.py", "test_trim.py", "chaos/test_kill_forget.py", "test_user_tables.py",
    "service/test_supervisor.py", "test_dictionary_model.py",
)  # fmt: skip
"""Files that take longest begin first: where two run at a time, none is left over for one alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; Makefile tells pytest-xdist to keep to that."""
    rank = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


SHARED = Path(os.environ.get("GRAPHSVC_SHARED", ROOT.parent / "shared"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a memory may be made."""
    return tmp_path / "memory"


@pytest.fixture
def memory(path: Path) -> Iterator[graphsvc.Memory]:
    """A new memory with the embedder for tests."""
    with graphsvc.open(path, embedder="hashing") as opened:
        yield opened


@pytest.fixture
def shared_data() -> Path:
    """Real data beside the project, where there is any."""
    if not (SHARED / "data").is_dir():
        pytest.skip("real data of other projects lie beside the checkout on some machines only")
    return SHARED / "data"
