"""Snapshots on schedule: one is taken when the last is a day old, and kept for a week."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from graphsvc.config import ServiceSettings, whole_path
from graphsvc.errors import GraphsvcError
from graphsvc.memory.aio import AsyncMemory
from graphsvc.service.metrics import Metrics

logger = logging.getLogger("graphsvc.service")

NAME = "%Y-%m-%dT%H-%M-%SZ"
RETRY_SECONDS = 300.0
"""After one that failed."""


class Snapshots:
    """Takes them for as long as the service runs. Named by when they were taken, so that they sort."""

    def __init__(self, memory: AsyncMemory, settings: ServiceSettings, metrics: Metrics) -> None:
        self._memory = memory
        self._directory = whole_path(settings.snapshot_dir, "snapshot_dir")
        self._every = settings.snapshot_every
        self._keep = settings.snapshot_keep
        self._metrics = metrics

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            latest = max(map(_taken, self.taken()), default=0.0)
            self._metrics.snapshot.set(latest)
            wait = latest + self._every - time.time()
            if wait > 0:
                await asyncio.sleep(min(wait, 3600.0))
                continue
            try:
                await self.take()
            except Exception as error:  # whatever it was, the next must be tried
                self._metrics.snapshot_failures.inc()
                foreseen = isinstance(error, GraphsvcError | OSError)
                logger.error("a snapshot on schedule failed: %s", error, exc_info=not foreseen)
                await asyncio.sleep(RETRY_SECONDS)

    async def take(self) -> Path:
        """Take one now, and let go of those that are too old."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / datetime.now(UTC).strftime(NAME)
        found = await self._memory.snapshot(path)
        logger.info("took the snapshot %s at entry %d, %d bytes", path, found.n, found.bytes)
        self._metrics.snapshot.set(_taken(path))
        held = {Path(each["path"]) for each in await self._memory.snapshots() if each["holds_trimmed"]}
        for old in self.taken()[:-1]:
            if time.time() - _taken(old) > self._keep and old not in held:
                await asyncio.to_thread(shutil.rmtree, old)
                logger.info("let go of the snapshot %s", old)
        return path

    def taken(self) -> list[Path]:
        """Those that are whole, oldest first."""
        return sorted(path.parent for path in self._directory.glob("*/snapshot.json") if _taken(path.parent))


def _taken(path: Path) -> float:
    """When a snapshot of ours was taken, in seconds since 1970; 0 if it is none of ours."""
    try:
        return datetime.strptime(path.name, NAME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
