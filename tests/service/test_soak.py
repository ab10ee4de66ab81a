"""Under mixed load for long: memory stays flat, projections keep up, nothing fails."""

from __future__ import annotations

import random
import statistics
import threading
import time
from pathlib import Path

import httpx
import pytest

from graphsvc.service.supervisor import resident_bytes

from .test_operated import figures
from .test_supervisor import Service, service, tool

CLIENTS = 6
LIVE = 600
"""Episodes that live at a time: the oldest goes as a new one comes, so that what is remembered doesn't grow."""
WARMING, MIXED = 0.3, 0.8
"""Share of operations that read, for the first third of the time and then: writes fill what is bounded."""
LAG = 5_000
"""Entries that a projection may be behind."""
FLAT, FLAT_SOON = 0.05, 0.2
"""By how much memory may grow after the warm-up; one minute hardly ends it, and bounds only what leaks fast."""
SMALL = {
    "GRAPHSVC_SERVICE_LOG_REQUESTS": "false", "GRAPHSVC_QUERY_CACHE_ENTRIES": "100",
    "GRAPHSVC_EMBEDDING_CACHE_ENTRIES": "500", "GRAPHSVC_GRAPH_BUFFER_BYTES": str(64 << 20),
    "GRAPHSVC_VECTOR_CACHE_BYTES": str(1 << 20),
}  # fmt: skip
"""Bounds that are reached within the warm-up: what grows after it grows without bound."""


class Load:
    """Clients that recall, walk, ask in Cypher, store and delete, 80 of 100 times reading, fewer while it warms up.

    Attributes:
        reads: share of operations that read. done: operations. failures: errors.
    """

    def __init__(self, url: str) -> None:
        self.failures: list[str] = []
        self.done = 0
        self.reads = WARMING
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance, n = random.Random(number), 0
        with httpx.Client(timeout=60) as client:
            while not self._stop.is_set():
                try:
                    n = self._one(client, chance, number, n)
                    self.done += 1
                except Exception as error:
                    self.failures.append(repr(error))
                    if len(self.failures) > 20:
                        return

    def _one(self, client: httpx.Client, chance: random.Random, number: int, n: int) -> int:
        what = chance.random() * 0.8 / self.reads
        if what < 0.35:
            tool(client, self._url, "recall", {"text": f"deploy service {chance.randrange(50)}", "k": 5})
        elif what < 0.6:
            tool(client, self._url, "retrieve_episodes", {"text": f"deploy service {chance.randrange(500)}", "k": 5})
        elif what < 0.8:
            query = "MATCH (e:Episode)-[:IN_SESSION]->(s:Session) RETURN s.id AS session, count(*) AS n ORDER BY session LIMIT 5"
            answer = client.post(f"{self._url}/cypher", json={"query": query})
            assert answer.status_code == 200, answer.text
        else:
            tool(client, self._url, "store_episode", {
                "session": f"s{number}", "task": f"deploy service {n % 200}", "id": f"{number}-{n}", "reward": chance.random(),
                "critique": f"the migration {n % 300} was forgotten",
            })  # fmt: skip
            if n >= LIVE // CLIENTS:
                tool(client, self._url, "delete_episode", {"id": f"{number}-{n - LIVE // CLIENTS}"})
            n += 1
        return n


def soak(directory: Path, seconds: float, flat: float) -> None:
    with service(directory, **SMALL) as running:
        taken, lags = [], []
        with Load(running.url) as load:
            began = time.monotonic()
            while (gone := time.monotonic() - began) < seconds and not load.failures:
                load.reads = WARMING if gone < seconds / 3 else MIXED
                time.sleep(1)
                taken.append(resident_bytes(running.worker()))
                lags.append(_lag(running))
        assert not load.failures
        assert load.done > seconds * 5
        assert max(lags) <= LAG
        part = len(taken) // 5
        before, after = statistics.median(taken[2 * part : 3 * part]), statistics.median(taken[-part:])
        print(f"{load.done} operations, {before / 2**20:.0f} MiB then {after / 2**20:.0f} MiB, lag at most {max(lags):.0f}")
        assert after <= before * (1 + flat)


def _lag(running: Service) -> float:
    found = figures(httpx.get(f"{running.url}/metrics").text)
    return max(value for (name, _), value in found.items() if name == "graphsvc_lag_entries")


@pytest.mark.skipif(not Path("/proc").exists(), reason="memory of another process is read from /proc")
def test_a_minute_of_mixed_load(tmp_path: Path) -> None:
    soak(tmp_path / "memory", 60, FLAT_SOON)


@pytest.mark.slow
def test_fifteen_minutes_of_mixed_load(tmp_path: Path) -> None:
    soak(tmp_path / "memory", 900, FLAT)
