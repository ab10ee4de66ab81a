"""Looking after a memory: how it is doing, checking and mending it, waiting for it, taking it along."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphsvc.errors import BadInput, WaitTimeout

if TYPE_CHECKING:
    from graphsvc.memory.causal import Causal
    from graphsvc.memory.entities import Entities
    from graphsvc.memory.episodes import Episodes
    from graphsvc.memory.facts import Facts
    from graphsvc.memory.opened import Embedder, Opened
    from graphsvc.memory.skills import Skills
    from graphsvc.memory.trimming import TrimReport
    from graphsvc.store.snapshot import Snapshot
    from graphsvc.store.store import Store
    from graphsvc.store.verify import Report


FOREVER = 1e9
"""Seconds."""


class Upkeep:
    """What whoever keeps a memory does with it; verbs of `Memory`."""

    _opened: Opened
    episodes: Episodes
    skills: Skills
    entities: Entities
    facts: Facts
    causal: Causal

    def interrupt(self) -> None:
        """Stop all statements that are reading the graph now, each with `EngineError`; for another thread to call."""
        self._opened.check()
        self._opened.store.graph.engine.interrupt()

    def wait(self, *, timeout: float = 60.0) -> None:
        """Wait until graph, text and vectors have everything acknowledged so far, for `timeout` seconds at most.

        Raises:
            BadInput: for `timeout`. WaitTimeout: it took longer. FollowerStopped: one of them stopped.
        """
        self._opened.check()
        store, timeout = self._opened.store, check_timeout(timeout)
        if not store.wait(store.followers, self._opened.log.head, timeout):
            raise not_caught_up(store, timeout)

    def progress(self, report: Callable[[dict[str, int]], None]) -> None:
        """Call `report` with the lag of each projection, about five times a second, until all is caught up."""
        self._opened.check()
        self._opened.store.progress(report)

    def status(self) -> dict[str, Any]:
        """How the memory is doing: head of the log, lag and error of each projection, records not embedded yet,
        writes waiting; `trimmed`: the first entry that the log holds as it was, and the snapshot that holds those
        before, None where all are held.
        """
        self._opened.check()
        opened = self._opened
        failing: dict[str, Any] = {follower.name: follower.error for follower in opened.store.followers}
        failing["reembedding"] = opened.reembedding_error
        trimmed = opened.log.trimmed
        return {
            "head": opened.log.head,
            "trimmed": {"before": trimmed.n + 1, "snapshot": trimmed.snapshot} if trimmed is not None else None,
            "lag": opened.store.lag(),
            "pending": opened.store.vectors.pending,
            "errors": {name: str(error) for name, error in failing.items() if error is not None},
            "reembedding": opened.reembedding_progress(),
            "writes_waiting": opened.log.writer.depth,
            "writer_stopped": str(opened.log.writer.stopped) if opened.log.writer.stopped else None,
        }

    def stats(self) -> dict[str, Any]:
        """What is in the memory, and how large it is: records, bytes by file, vectors, caches, embedding."""
        self._opened.check()
        opened = self._opened
        return {
            "path": str(opened.directory),
            "id": opened.manifest.id,
            "engine": opened.manifest.engine,
            "embedding": dict(opened.manifest.embedding),
            "records": {
                "episodes": self.episodes.count(),
                "skills": self.skills.count(),
                "entities": self.entities.count(),
                "facts": self.facts.count(),
                "causal_edges": self.causal.count(),
            },
            **self.status(),
            "vectors": opened.store.vectors.stats(),
            "query_cache": opened.retrieval.cache.stats(),
            "embedder": opened.embedding.stats(),
            "bytes": sizes(opened.directory),
        }

    def verify(self) -> Report:
        """Check everything against everything: the log, the records that it adds up to, graph, text, vectors.

        Waits for the projections to catch up, and reads all of them.
        """
        from graphsvc.store.verify import verify

        self._opened.check()
        return verify(self._opened.log, self._opened.store)

    def repair(self) -> Report:
        """Verify, mend what is wrong, verify again: projections are rebuilt from the log, records from it too.

        Returns:
            The second report; `mended` says what was done.
        """
        from graphsvc.store.verify import repair

        self._opened.check()
        report = repair(self._opened.log, self._opened.store)
        self._opened.retrieval.cache.clear()
        return report

    def reembed(
        self,
        embedder: Embedder,
        *,
        runtime: str | None = None,
        wait: bool = True,
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        """Make all vectors anew with another model; returns when that is done. The old ones serve meanwhile.

        Killed or closed on the way, it is gone on with at the next opening; with a function, by the next call with it.

        Args:
            embedder: as for `graphsvc.open`. runtime: what runs the model, see the setting `embedder_runtime`.
            wait: False returns once the model is found, and goes on in the background: `status()["reembedding"]` says
                how far it is and is None at its end, `status()["errors"]` why it stopped.
            report: called with how many are done, and of how many; only where it is waited for.

        Raises:
            ModelNotFound, EmbeddingFailed: for the model; the old vectors stay.
        """
        self._opened.check()
        if wait:
            self._opened.reembed(embedder, runtime, report or (lambda done, total: None))
        else:
            self._opened.begin_reembed(embedder, runtime)

    def snapshot(self, path: str | os.PathLike[str], *, report: Callable[[int, int], None] | None = None) -> Snapshot:
        """Copy the memory as it is now into a directory, while it is read and written; noted in `graphsvc.json`.

        Graph, text and vectors each rest for as long as their files are copied; writes go on and are acknowledged.
        Every file gets a checksum. Killed on the way there is no snapshot.

        Args:
            path: a directory that isn't there yet, outside of the memory.
            report: called with how many bytes are done, and of how many, about.

        Raises:
            BadInput: there is something at `path`, or it lies in the memory. StorageFull, ReadOnly: it can't be
            written. FollowerStopped: a projection has stopped, see `repair`.
        """
        from graphsvc.memory.travel import snapshot

        self._opened.check()
        return snapshot(self._opened, path, report)

    def snapshots(self) -> list[dict[str, Any]]:
        """The snapshots that were taken of this memory, oldest first: path, n, at, bytes; whether it is present, and
        `holds_trimmed`: it is the one that was read before the log was trimmed.
        """
        from graphsvc.memory.travel import registered

        self._opened.check()
        return registered(self._opened)

    def trim(
        self, *, before: int, dry_run: bool = False, progress: Callable[[float, str], None] | None = None
    ) -> TrimReport:
        """Take entries out of the log that a snapshot holds; records, ids and their histories' numbers stay.

        In their place come entries that add up to the same: the values of the records that lived then, given vectors,
        nodes, links and tables of one's own. So graph, text and vectors can be built anew, and the memory verified,
        without the snapshot. What goes are earlier values, deleted records' values, and the points before: those can
        be restored from the snapshot alone. Killed at any instant, the log is the old one or the new one.

        Args:
            before: number of the first entry that stays as it is; `memory.status()["head"] + 1` trims them all.
            dry_run: change nothing, only tell. progress: called with the share that is done and what is being done.

        Raises:
            NeedsSnapshot: no snapshot of this memory is noted, present and whole that reaches `before` - 1.
            NotRetained: `before` lies past the end, within a call of several entries, or between a statement on one's
            own tables and what follows from it. BadInput: it is no number. StorageFull: there is no room; `what` says
            whether the log was trimmed. Unsupported: it holds what nothing could stand for, and isn't.
            FollowerStopped: a projection has stopped, see `repair`; each must have reached `before` - 1.
        """
        from graphsvc.memory.trimming import trim

        self._opened.check()
        return trim(self._opened, before, dry_run=dry_run, progress=progress)

    def size(self) -> dict[str, Any]:
        """What takes how many bytes on disk, measured: by file, by kind of record, by table of memory.sqlite.

        Of a kind: `record_bytes` and `log_bytes` are the JSON texts and given vectors in memory.sqlite, `vector_bytes`
        what its vectors take in hot index and LanceDB. Graph and text are known by file only.
        """
        from graphsvc.memory.travel import size

        self._opened.check()
        return size(self._opened, sizes(self._opened.directory))

    def warm(self) -> None:
        """Load the embedding model in the background, so that the first retrieval doesn't wait for it."""
        self._opened.check()
        self._opened.embedding.warm()


def check_timeout(timeout: Any) -> float:
    """Seconds to wait, 0 or more; what is beyond all patience is for ever. Raises BadInput."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise BadInput(f"expected seconds, 0 or more, got {timeout!r}", where="timeout")
    return float(min(timeout, FOREVER))


def not_caught_up(store: Store, timeout: float) -> WaitTimeout:
    """What is raised where projections take longer."""
    return WaitTimeout(f"not caught up after {timeout:g} s: {store.lag()}", where="timeout")


def sizes(directory: Path) -> dict[str, int]:
    """Bytes on disk by the first name below the directory, and the `total`."""
    found: dict[str, int] = {}
    for folder, _, files in os.walk(directory):
        for name in files:
            path = Path(folder, name)
            try:
                size = path.stat().st_blocks * 512
            except FileNotFoundError:
                continue  # a projection replaced it meanwhile
            # SQLite's write-ahead file and its index are part of the log's.
            first = path.relative_to(directory).parts[0].removesuffix("-wal").removesuffix("-shm")
            found[first] = found.get(first, 0) + size
    return {**dict(sorted(found.items())), "total": sum(found.values())}
