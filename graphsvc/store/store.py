"""The projections of one memory, together: opened, followed, waited for, closed."""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphsvc.config import Settings
from graphsvc.embedding.service import EmbeddingService
from graphsvc.errors import Closed, Corrupt, GraphsvcError
from graphsvc.log import trim
from graphsvc.log.log import Log
from graphsvc.model.change import Change
from graphsvc.model.texts import TEXTS
from graphsvc.store import lance, text
from graphsvc.store.directory import Manifest, set_aside
from graphsvc.store.follower import Follower
from graphsvc.store.lance import LanceVectors
from graphsvc.store.ledger import LogLedger, calls, whole_calls
from graphsvc.store.text import TextIndex
from graphsvc.store.unclean import begin_use, end_use, remove, remove_other_engines
from graphsvc.store.vectors import VectorStore

if TYPE_CHECKING:
    from graphsvc.store.graph import GraphProjection

logger = logging.getLogger("graphsvc.store")

GRAPH_OPEN_SECONDS = 60.0
REPORT_SECONDS = 0.2
NEVER = 1 << 62
"""Above any log number: no vector that came with a write is of the new model."""
REBUILD_SECONDS = 24 * 3600.0


class SetAside(UserWarning):
    """A projection couldn't be opened; it was set aside and is rebuilt from the log."""


class Store:
    """Graph, text and vectors, each with its follower.

    Args:
        directory: of the memory.
        log: that they follow.
        manifest: of the memory; changed and written where the embedding changes.
        embedding: makes vectors.
    """

    def __init__(
        self, directory: Path, log: Log, settings: Settings, manifest: Manifest, embedding: EmbeddingService
    ) -> None:
        self.directory = directory
        self.log = log
        self.settings = settings
        self.manifest = manifest
        if manifest.texts != TEXTS:
            text.discard(directory)
            manifest.texts = TEXTS
            manifest.write(directory)
        self._sweep()
        self.text = self._open_text()
        try:
            self.vectors = self._open_vectors(manifest.embedding, embedding)
        except BaseException:
            self.text.close()
            raise
        self.reembedding: VectorStore | None = None
        self.closed = False
        self.text_follower = Follower("text", log, settings, self.text.applied, self.text.apply)
        self.graph_follower = GraphFollower(self)
        self._begun = time.monotonic()
        self.steady = threading.RLock()
        """Held by who replaces a part, or needs them all to stay: a snapshot."""

    def _sweep(self) -> None:
        """Remove what a kill left: vectors of generations neither in use nor being made, another engine's graph."""
        kept = {self.manifest.embedding["generation"]}
        if self.manifest.reembedding is not None:
            kept.add(self.manifest.reembedding["generation"])
        remove_other_engines(self.directory, self.manifest.engine)
        (self.directory / trim.DRAFT).unlink(missing_ok=True)
        for path in [*self.directory.glob("hot.index*"), *self.directory.glob(f"{lance.DIRECTORY}/g*.lance")]:
            if generation_of(path) not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _open_text(self) -> TextIndex:
        try:
            index = TextIndex(self.directory, self.settings, self.log.records)
        except Corrupt as error:
            warn_set_aside("full text", set_aside(self.directory / text.DIRECTORY), error)
            index = TextIndex(self.directory, self.settings, self.log.records)
        if (apart := self.log.apart(index.applied)) is not None:
            index.close()
            warn_set_aside("full text", set_aside(self.directory / text.DIRECTORY), apart)
            index = TextIndex(self.directory, self.settings, self.log.records)
        return index

    def _open_vectors(self, embedding: dict[str, Any], service: EmbeddingService) -> VectorStore:
        missing = not (self.directory / lance.DIRECTORY).exists() and self.log.columns.text_hash.data.any()
        if missing and self.log.cursor(f"vectors.{embedding['generation']}"):
            logger.warning("vectors.lance is missing and is filled again")
            self.log.move_cursor(f"vectors.{embedding['generation']}", 0)
        return VectorStore(
            self.directory,
            self.log,
            self.settings,
            service,
            dimension=embedding["dimension"],
            fingerprint=embedding["fingerprint"],
            generation=embedding["generation"],
            since=embedding["since"],
        )

    def start(self) -> None:
        """Begin to follow the log, those that don't yet."""
        for follower in self.followers:
            if not follower.started:
                follower.start()

    @property
    def followers(self) -> tuple[Follower, ...]:
        """Graph, text, vectors."""
        return (self.graph_follower, self.text_follower, self.vectors.follower)

    @property
    def graph(self) -> GraphProjection:
        """The graph, once it is open.

        Raises:
            EngineMissing, EngineError: it can't be opened.
        """
        return self.graph_follower.projection()

    def wait(self, followers: Sequence[Follower], n: int, timeout: float) -> bool:
        """Wait until all of these have reached log number `n`; whether they have within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        reached = [follower.wait(n, max(0.0, deadline - time.monotonic())) for follower in followers]
        return all(reached)

    async def wait_async(self, followers: Sequence[Follower], n: int, timeout: float) -> bool:
        """The same, awaited, without a thread."""
        deadline = time.monotonic() + timeout
        reached = [await follower.wait_async(n, max(0.0, deadline - time.monotonic())) for follower in followers]
        return all(reached)

    def lag(self) -> dict[str, int]:
        """Entries of the log that each projection hasn't applied."""
        return {follower.name: follower.lag for follower in self.followers}

    def progress(self, report: Callable[[dict[str, int]], None], *, every: float = 0.2) -> None:
        """Report the lags until all is caught up.

        Raises:
            FollowerStopped, or what else keeps one from going on.
        """
        head = self.log.head
        while True:
            report(self.lag())
            if self.wait(self.followers, head, every):
                report(self.lag())
                return

    async def progress_async(self, report: Callable[[dict[str, int]], None], *, every: float = 0.2) -> None:
        """The same, awaited, without a thread."""
        head = self.log.head
        while True:
            report(self.lag())
            if await self.wait_async(self.followers, head, every):
                report(self.lag())
                return

    def rebuild(self, part: str) -> None:
        """Build a projection anew from the log: "graph", "text" or "vectors"; returns when it has caught up.

        What was there is removed first: killed on the way, the next opening goes on. How the others are doing is
        of no account.

        Raises:
            FollowerStopped, or what else keeps this one from going on.
        """
        with self.steady:
            self._rebuild(part)
        rebuilt = {"graph": self.graph_follower, "text": self.text_follower, "vectors": self.vectors.follower}[part]
        rebuilt.wait(self.log.head, REBUILD_SECONDS)

    def _rebuild(self, part: str) -> None:
        if part == "graph":
            self.graph_follower.close()
            remove(self.directory / f"graph.{self.manifest.engine}")
            self.graph_follower = GraphFollower(self)
            self.graph_follower.start()
        elif part == "text":
            with log_failure("closing full text"):
                self._close_text()
            text.discard(self.directory)
            self.text = self._open_text()
            self.text_follower = Follower("text", self.log, self.settings, self.text.applied, self.text.apply)
            self.text_follower.start()
        else:
            self._rebuild_vectors()

    def _rebuild_vectors(self) -> None:
        """Sound vectors of the hot index are kept; LanceDB's table is filled anew, from it and from the log."""
        old = self.vectors
        old.follower.close()
        rows, hashes = old.wanted()
        if old.hot.verify(rows) or old.hot.fresh(rows, hashes).min(initial=0) < 0:
            old.hot.drop()
        with log_failure("closing the vectors"):
            old.close()
        lance.discard(self.directory)
        self.vectors = self._open_vectors(self.manifest.embedding, old.embedding)
        self.vectors.follower.start()

    def reembed(
        self, embedding: dict[str, Any], service: EmbeddingService, report: Callable[[int, int], None]
    ) -> None:
        """Make the vectors of another model beside those that serve, then let them serve.

        What is done is kept over a kill: the manifest says what is under way, and how far it is stands in the log's
        file. The switch is the replacement of the manifest.
        """
        generation = self.manifest.embedding["generation"] + 1
        plan = {**embedding, "generation": generation, "since": NEVER}
        known = self.manifest.reembedding
        if known is not None and known["fingerprint"] != plan["fingerprint"]:
            LanceVectors(self.directory, known["dimension"], generation).drop()
            self.log.move_cursor(f"vectors.{generation}", 0)
        self.manifest.reembedding = plan
        self.manifest.write(self.directory)
        new = self._open_vectors(plan, service)
        try:
            with self.steady:
                self._check_open()
                self.reembedding = new
            new.follower.start()
            while not new.follower.wait(self.log.head, REPORT_SECONDS):
                report(new.follower.applied, self.log.head)
            new.flush_now()
            with self.steady:
                self._check_open()
                old = self._switch(new, plan)
        except BaseException:
            self.reembedding = None
            new.close()
            raise
        with log_failure("removing the old vectors"):
            old.discard()
        report(self.log.head, self.log.head)

    def reembedding_progress(self) -> dict[str, Any] | None:
        """Which model vectors are being made with anew, and how far that is; None if that isn't so."""
        new, plan = self.reembedding, self.manifest.reembedding
        if new is None or plan is None:
            return None
        far = {"applied": new.follower.applied, "head": self.log.head}
        return {"embedder": plan["embedder"], "name": plan["name"], **far}

    def _switch(self, new: VectorStore, plan: dict[str, Any]) -> VectorStore:
        """Have other vectors serve, on disk first: where that fails nothing has changed. Returns the old ones."""
        embedding = {**plan, "since": self.log.head}
        replace(self.manifest, embedding=embedding, reembedding=None).write(self.directory)
        self.manifest.embedding, self.manifest.reembedding = embedding, None
        old, self.vectors, self.reembedding = self.vectors, new, None
        since = self.log.head
        new.take_given_after(since)
        if since > embedding["since"]:  # what came meanwhile may have brought vectors of the old model
            embedding["since"] = since
            with log_failure("noting which vectors are of the new model"):
                self.manifest.write(self.directory)
        return old

    def _check_open(self) -> None:
        if self.closed:
            raise Closed("the memory is closed")

    def forget_reembedding(self) -> None:
        """Give up making other vectors: what there is of them goes."""
        plan = self.manifest.reembedding
        if plan is not None:
            self._open_vectors(plan, self.vectors.embedding).discard()
            self.manifest.reembedding = None
            self.manifest.write(self.directory)

    def close(self) -> None:
        """Stop the followers and close what they keep, each whatever becomes of the others."""
        with self.steady:  # a snapshot under way comes to its end
            self.closed = True
            self._close_parts()

    def _close_parts(self) -> None:
        stores = [self.vectors] if self.reembedding is None else [self.vectors, self.reembedding]
        for close in (self._close_graph, self._close_text, *(store.close for store in stores)):
            with log_failure("closing"):
                close()

    def _close_graph(self) -> None:
        self.graph_follower.close()

    def _close_text(self) -> None:
        self.text_follower.close()
        self.text.close()


@contextmanager
def log_failure(doing: str) -> Iterator[None]:
    """For what must not keep the rest from being done."""
    try:
        yield
    except Exception as error:
        logger.error("while %s: %s", doing, error, exc_info=error)


def generation_of(path: Path) -> int:
    """Which generation's vectors a file or table holds; 0 for none, a draft that was never finished."""
    number = re.fullmatch(r"hot\.index(?:\.(\d+))?|g(\d+)\.lance", path.name)
    return int(number[1] or number[2] or 1) if number else 0


class GraphFollower(Follower):
    """Follows with the graph, which it opens on its own thread: opening a memory doesn't wait for an engine."""

    def __init__(self, store: Store) -> None:
        super().__init__("graph", store.log, store.settings, 0, self._apply_to_graph)
        self._store = store
        self._ledger = LogLedger(store.log)
        self._projection: GraphProjection | None = None
        self._opened = threading.Event()

    def _open(self) -> GraphProjection:
        # on this thread: an engine takes long to load
        from graphsvc.store.graph import GraphProjection
        from graphsvc.store.transaction import CommitUnclear

        store = self._store
        directory, engine = store.directory, store.manifest.engine
        path = directory / f"graph.{engine}"
        clean = begin_use(path)
        try:
            try:
                projection = GraphProjection(directory, engine, store.settings)
                if (apart := store.log.apart(projection.applied)) is not None:
                    projection.close()
                    raise Corrupt(apart, where=str(path))
            except Corrupt as error:
                warn_set_aside("the graph", set_aside(path), error)
                projection = GraphProjection(directory, engine, store.settings)
        except BaseException as error:
            # The next attempt must not take this one's mark for a kill's. A COMMIT that failed is as bad as a kill.
            if clean and not isinstance(error.__cause__, CommitUnclear):
                end_use(path)
            raise
        return projection

    def _step(self) -> None:
        if self._projection is None:
            self._projection = self._open()
            self.moved(self._projection.applied)
            self._opened.set()
        super()._step()

    def read(self) -> list[Change]:
        """The next entries; of a statement all, for they are one transaction."""
        return whole_calls(self.log, self.applied, self.settings.group_limit)

    def _apply_to_graph(self, changes: Sequence[Change]) -> None:
        projection = self._projection
        assert projection is not None, "opened by the first step"
        for run in calls(changes):
            projection.apply(run, self._ledger)
            self._ledger.settle(projection.applied, projection.searched)
            self.moved(run[-1].n)
            self._ledger.release()

    def projection(self) -> GraphProjection:
        """The open graph; waits for it to open."""
        projection = self._projection
        if projection is not None and self._opened.is_set():
            return projection
        deadline = time.monotonic() + GRAPH_OPEN_SECONDS
        before = self.ask() if self.error is not None else 0
        while not self._opened.wait(0.05):
            self.check(before)
            if self._ending or time.monotonic() > deadline:
                raise Closed("the memory is closed" if self._ending else "the graph didn't open in time")
        projection = self._projection
        if projection is None:
            raise Closed("the memory is closed")
        return projection

    def close(self) -> None:
        super().close()
        projection, self._projection = self._projection, None
        if projection is not None:
            projection.close()
            if projection.sound:
                end_use(projection.path)


def warn_set_aside(what: str, aside: Path | None, error: GraphsvcError | str) -> None:
    """Tell the user that a projection was set aside, and why: by warning and in the log of the program."""
    where = f"set aside as {aside.name}" if aside else "removed"
    message = f"{what} could not be opened ({error}); {where}, and it is rebuilt from the log"
    logger.warning("%s", message)
    warnings.warn(message, SetAside, stacklevel=3)
