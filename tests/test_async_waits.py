"""What waits leaves the threads of reads alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import graphsvc


def test_a_read_is_answered_while_eight_stores_wait_for_a_slow_embedder(tmp_path: Path) -> None:
    go = threading.Event()

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        if any("slow" in text for text in texts):
            go.wait(30)
        return np.ones((len(texts), 4), np.float32)

    async def run() -> None:
        async with graphsvc.aopen(tmp_path / "memory", embedder=embed) as memory:
            first = await memory.episodes.store(session="s", task="first")
            stores = [
                asyncio.create_task(memory.episodes.store(session="s", task=f"slow {i}", wait="searchable"))
                for i in range(8)
            ]
            waits = [asyncio.create_task(memory.wait()) for _ in range(8)]
            try:
                await asyncio.sleep(0.1)
                assert (await asyncio.wait_for(memory.episodes.get(first.id), 5)).task == "first"
                assert not any(task.done() for task in stores)
            finally:
                go.set()
            await asyncio.gather(*stores, *waits)

    asyncio.run(run())
