"""`graphsvc serve`, as a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

import graphsvc

LOADED = "graphsvc_model_loaded"


def test_it_serves_and_says_that_it_is_well(served: Callable[..., str]) -> None:
    url = served()
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}
    assert httpx.get(f"{url}/ready").json()["status"] == "ready"


@pytest.mark.parametrize("warm", [True, False])
def test_the_model_is_loaded_at_the_start_unless_that_is_off(
    tmp_path: Path, served: Callable[..., str], warm: bool
) -> None:
    graphsvc.open(tmp_path / "m", embedder="minilm").close()
    url = served(tmp_path / "m", GRAPHSVC_SERVICE_WARM=str(warm).lower())
    until = time.monotonic() + (300 if warm else 1)
    while f"{LOADED} 1.0" not in (told := httpx.get(f"{url}/metrics", timeout=60).text) and time.monotonic() < until:
        time.sleep(0.2)
    assert f"{LOADED} {float(warm)}" in told
