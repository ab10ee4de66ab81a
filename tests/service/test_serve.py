"""`graphsvc serve`, as a process."""

from __future__ import annotations

from collections.abc import Callable

import httpx


def test_it_serves_and_says_that_it_is_well(served: Callable[..., str]) -> None:
    url = served()
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}
    assert httpx.get(f"{url}/ready").json()["status"] == "ready"
