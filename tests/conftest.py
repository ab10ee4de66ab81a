"""What tests share: one embedding cache, no network, memories in temporary directories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRAPHSVC_CACHE_DIR", str(ROOT / ".cache" / "tests"))

import graphsvc  # noqa: E402  the environment above must be set before it reads it

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
