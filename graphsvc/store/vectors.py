"""The vectors: embeds what the log says is new, keeps the hot index and LanceDB up, answers searches.

A vector is searchable as soon as it is in the hot index. It is safe in LanceDB a flush later; only then does the
follower's number move on disk, after our own fsync. What a crash leaves between the two is done again.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graphsvc.config import Settings
from graphsvc.embedding.service import EmbeddingService
from graphsvc.errors import Closed, EmbeddingMismatch, GraphsvcError, StorageFull, WaitTimeout
from graphsvc.log.log import Log
from graphsvc.model.change import Change
from graphsvc.model.kinds import KINDS, SEARCHABLE, kind_of
from graphsvc.model.names import key_of
from graphsvc.model.records import Record
from graphsvc.model.texts import embedded_text, text_hash
from graphsvc.store import hot as hot_index
from graphsvc.store.follower import Follower
from graphsvc.store.hot import HotIndex, Rows, Vectors
from graphsvc.store.lance import LanceVectors

logger = logging.getLogger("graphsvc.store")

FLUSH_SECONDS = 300.0
EXACT_ROWS = 20_000
"""Up to so many candidates are searched exactly, past the memory budget too: reading them takes milliseconds."""
UNLOADED_PATIENCE = 10
"""How many times longer vectors wait for LanceDB before it has been loaded."""
CURSOR = "vectors"
ROUNDING = np.float32(2e-6)
COMPARED = 1_000
"""Vectors compared with LanceDB's at once."""
PIECE = 64
"""Texts embedded between two looks at the hot index: what is done becomes searchable that often."""


@dataclass(slots=True)
class Pending:
    """A vector that is in the hot index and not yet in LanceDB."""

    key: str
    kind: str
    hash: int
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the vectors of records are.

    Attributes:
        hot: the index that holds them. rows: those that have a vector of their present text, ascending.
        positions: one for each of these, in `hot`. pending: how many more have none yet.
    """

    hot: HotIndex
    rows: Rows
    positions: NDArray[np.int32]
    pending: int

    def only(self, kept: NDArray[np.bool_]) -> Placed:
        """Some of them, the others pending."""
        return Placed(self.hot, self.rows[kept], self.positions[kept], self.pending + int((~kept).sum()))

    def now(self, rows: Rows, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Where the vectors of these texts are; -1 for rows that aren't among these, or whose vector is of another."""
        if not len(self.rows):
            return np.full(len(rows), -1, np.int32)
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[places] == rows, self.hot.fresh(rows, hashes), np.int32(-1))


@dataclass(frozen=True, slots=True)
class Compared:
    """Rows, ascending, the positions of their vectors, and the cosines of these with a query."""

    rows: Rows
    positions: NDArray[np.int32]
    cosines: Vectors


class VectorStore:
    """Vectors of one generation: made by one model, in one hot index and one LanceDB table.

    Args:
        directory: of the memory.
        log: that it follows.
        embedding: makes vectors; loaded only when a text must be embedded.
        dimension: of the vectors; `fingerprint`: of the model that makes them.
        generation: number of the embedding that the memory is in.
        since: vectors that came with entries up to this number are another model's, and are made anew.
    """

    def __init__(
        self,
        directory: Path,
        log: Log,
        settings: Settings,
        embedding: EmbeddingService,
        *,
        dimension: int,
        fingerprint: str,
        generation: int,
        since: int = 0,
    ) -> None:
        self.log = log
        self._since = since
        self.settings = settings
        self.embedding = embedding
        self.dimension = dimension
        self.generation = generation
        name = hot_index.FILE if generation == 1 else f"{hot_index.FILE}.{generation}"
        self.hot = HotIndex(directory / name, dimension, fingerprint, len(log.columns.local.data))
        self.lance = LanceVectors(directory, dimension, generation, settings.vector_cache_bytes)
        self.cursor = f"{CURSOR}.{generation}"
        self._safe = log.cursor(self.cursor)
        self._unsafe: dict[int, Pending] = {}
        self._gone: set[int] = set()
        self._unsafe_since = 0.0
        self._flush_asked = threading.Event()
        self._flushes = 0
        self._index_rows = 0
        self.follower = _VectorFollower(self)

    # --- following ---------------------------------------------------------------------------------------

    def reconcile(self) -> None:
        """At the start: get back from LanceDB, or embed, what the hot index lost of the entries behind us."""
        rows, hashes = self.wanted()
        missing = rows[self.hot.fresh(rows, hashes) < 0]
        if not len(missing):
            return
        behind = missing[~np.isin(missing, self._since_safe("first"))]
        if not len(behind):
            return
        found, made_from, cut, vectors = self.lance.read(behind)
        good = made_from == self.log.columns.hash_of(found)
        self.hot.add(found[good].tolist(), made_from[good].tolist(), vectors[good], cut[good].tolist())
        # Of another text LanceDB has those whose text changed in an entry that we come to yet; it may bring the vector.
        coming = found[~good & np.isin(found, self._since_safe("last"))]
        self.embed_rows(np.setdiff1d(behind, np.concatenate([found[good], coming])).tolist())

    def wanted(self) -> tuple[Rows, NDArray[np.uint64]]:
        """Rows of all live records with text, and the hashes of their texts."""
        parts = [self.log.mask(kind, None, None)[0] for kind in SEARCHABLE]
        rows = np.concatenate(parts)
        hashes = self.log.columns.hash_of(rows)
        return rows[hashes != 0], hashes[hashes != 0]

    def _since_safe(self, when: Literal["first", "last"]) -> Rows:
        """Rows first stored, or last changed, by entries that aren't safe in LanceDB.

        What changed a record needn't have changed its text: reading on doesn't make the vector of each of the latter.
        """
        with self.log.connection() as connection:
            found = connection.execute(f"SELECT row FROM record WHERE {when} > ?", (self._safe,)).fetchall()
        return np.array([row for (row,) in found], np.int64)

    def apply(self, changes: Sequence[Change]) -> None:
        """Make the vectors that the changes call for, searchable when this returns."""
        to_embed: dict[int, None] = {}
        for change in changes:
            self._take_given(change, to_embed)
            for gone in change.gone:
                if KINDS[gone.kind].searchable:
                    to_embed.pop(gone.row, None)
                    self._unsafe.pop(gone.row, None)
                    self._gone.add(gone.row)
                    self._note_unsafe()
        self.embed_rows(list(to_embed))

    def _take_given(self, change: Change, to_embed: dict[int, None]) -> None:
        """Vectors that came with a change go straight in; other new texts are noted for embedding."""
        taken: list[tuple[int, Pending]] = []
        given = np.frombuffer(b"" if change.statement else change.vectors, np.float32)
        count = sum(put.vector for put in change.puts) + sum(patch.vector for patch in change.patches)
        ours = change.given_at > self._since and len(given) == count * self.dimension
        for put in change.puts:
            if put.vector and ours:
                record = change.record_of(put)
                taken.append((put.row, Pending(record.key, put.kind, text_hash(embedded_text(record) or ""))))
                to_embed.pop(put.row, None)
            elif KINDS[put.kind].searchable:
                to_embed[put.row] = None
        for patch in change.patches:
            if patch.vector and ours:
                taken.append((patch.row, Pending(key_of(patch.agent, patch.id), patch.kind, patch.hash)))
                to_embed.pop(patch.row, None)
            elif patch.text or patch.vector:
                to_embed[patch.row] = None
        if taken:
            self._keep(taken, given.reshape(-1, self.dimension))

    def embed_rows(self, rows: Sequence[int]) -> None:
        """Embed the records of these rows as they are now, those that lack a vector of their text."""
        for start in range(0, len(rows), PIECE):
            if self.follower.ending:
                raise Closed("the memory is closed")  # what is left is done after the next opening
            piece = np.array(rows[start : start + PIECE], np.int64)
            hashes = self.log.columns.hash_of(piece)
            lacking = piece[(self.hot.fresh(piece, hashes) < 0) & (hashes != 0)]
            for row in set(piece.tolist()) - set(lacking.tolist()):
                self._note_present(row)
            records = self.log.records(lacking)
            if records:
                self._embed(records)

    def _embed(self, records: dict[int, Record]) -> None:
        texts = {row: embedded_text(record) or "" for row, record in records.items()}
        embedded = self.embedding.encode(list(texts.values()))
        if embedded.vectors.shape[1] != self.dimension:
            raise EmbeddingMismatch(
                f"the model gave {embedded.vectors.shape[1]} dimensions; the memory has {self.dimension}"
            )
        cut = (embedded.tokens - embedded.kept).tolist()  # both are -1 where a function counts no tokens
        items = [
            (row, Pending(record.key, kind_of(record).name, text_hash(texts[row]), unread))
            for (row, record), unread in zip(records.items(), cut, strict=True)
        ]
        self._keep(items, embedded.vectors)

    def _note_present(self, row: int) -> None:
        """A row whose vector a crash left in the hot index may not be in LanceDB yet."""
        hashes = self.hot.hashes(np.array([row]))
        if hashes[0] and row not in self._unsafe:
            found = self.log.records([row]).get(row)
            if found is not None:
                cut = int(self.hot.cut(self.hot.positions(np.array([row])))[0])
                self._unsafe[row] = Pending(found.key, kind_of(found).name, int(hashes[0]), cut)
                self._note_unsafe()

    def _keep(self, items: list[tuple[int, Pending]], vectors: Vectors) -> None:
        self.hot.add(
            [row for row, _ in items],
            [pending.hash for _, pending in items],
            vectors,
            [pending.cut for _, pending in items],
        )
        for row, pending in items:
            self._unsafe[row] = pending
        self._note_unsafe()

    def _note_unsafe(self) -> None:
        self._unsafe_since = self._unsafe_since or time.monotonic()

    @property
    def flush_due_in(self) -> float:
        """Seconds until what is gathered must be written; none gathered: long."""
        if self._flush_asked.is_set():
            return 0.0
        if not self._unsafe_since:
            return 60.0 if self.follower.applied == self._safe else self.settings.vector_flush_seconds
        if len(self._unsafe) + len(self._gone) >= self.settings.vector_flush_rows:
            return 0.0
        patience = self.settings.vector_flush_seconds
        if not lance_is_loaded():
            patience *= UNLOADED_PATIENCE
        return max(0.0, self._unsafe_since + patience - time.monotonic())

    def flush(self, applied: int) -> None:
        """Write to LanceDB what is only in the hot index, have the disk hold it, and move the number."""
        if self._unsafe or self._gone:
            try:
                self._write_lance()
            except (OSError, RuntimeError) as error:
                raise StorageFull(f"LanceDB can't write ({error})", where=str(self.lance.path)) from error
        self._unsafe_since = 0.0
        if applied > self._safe:
            self.log.move_cursor(self.cursor, applied)
            self._safe = applied

    def _compact(self) -> None:
        """Leave out of the hot index what nobody needs, once it takes over a third. Nothing waits for LanceDB."""
        rows, _ = self.wanted()
        if not self.hot.wasteful(len(rows)):
            return
        if unsound := self.hot.verify(rows):
            logger.warning("%d slots of the hot index are damaged: LanceDB's vectors take their place", len(unsound))
            found, made_from, cut, vectors = self.lance.read(np.array(unsound, np.int64))
            self.hot.add(found.tolist(), made_from.tolist(), vectors, cut.tolist())
            rows = np.setdiff1d(rows, np.setdiff1d(unsound, found))
        try:
            self.hot = self.hot.renewed(rows)
        except (GraphsvcError, MemoryError) as error:
            logger.warning("the hot index keeps vectors that nobody needs: %s", error)

    def flush_now(self) -> None:
        """Have the follower flush, and wait for it."""
        if self.follower.applied == self._safe and not self._unsafe_since:
            return
        self._flush_asked.set()
        self.log.wake()
        before = self.follower.ask()
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._flush_asked.is_set():
            self.follower.check(before)
            if self.follower.ending:
                raise Closed("the memory is closed")
            if time.monotonic() > deadline:
                raise WaitTimeout(f"LanceDB didn't take the vectors within {FLUSH_SECONDS:g} s")
            time.sleep(0.005)

    @property
    def safe(self) -> int:
        """Number of the last entry whose vectors are on the disk, in LanceDB."""
        return self._safe

    def _write_lance(self) -> None:
        rows = np.array(list(self._unsafe), np.int64)
        positions = self.hot.positions(rows)
        if len(rows):
            pending = list(self._unsafe.values())
            self.lance.write(
                rows.tolist(),
                [item.key for item in pending],
                [item.kind for item in pending],
                [item.hash for item in pending],
                [item.cut for item in pending],
                self.hot.vectors(positions),
            )
        if self._gone:
            self.lance.delete(self._gone)
        self._flushes += 1
        optimise = self._flushes % self.settings.vector_optimize_every == 0
        if optimise:
            self.lance.optimize()
            self._index_past_budget()
        self.lance.sync()
        self.hot.sync()
        self._unsafe.clear()
        self._gone.clear()
        if optimise:
            self._compact()

    def _index_past_budget(self) -> None:
        """Past the memory budget LanceDB answers: it gets its approximate index, again when it has doubled.

        What nobody needs doesn't count: it leaves the hot index at the next compaction.
        """
        live = self.lance.count()
        if live * self.hot.slot_bytes > self.settings.hot_index_bytes and live > 2 * self._index_rows:
            self.lance.build_index()
            self._index_rows = live

    def differing(self, rows: Rows) -> list[int]:
        """Those of the rows whose vector in LanceDB, made from the same text, isn't that of the hot index."""
        wrong: list[int] = []
        for start in range(0, len(rows), COMPARED):
            hot = self.hot
            found, made_from, _, vectors = self.lance.read(rows[start : start + COMPARED])
            positions = hot.fresh(found, made_from)
            both = positions >= 0
            same = (hot.vectors(positions[both]) == vectors[both]).all(axis=1)
            wrong += found[both][~same].tolist()
        return wrong

    # --- searching ---------------------------------------------------------------------------------------

    @property
    def over_budget(self) -> bool:
        """Whether the vectors take more than the hot index may."""
        return self.hot.bytes > self.settings.hot_index_bytes

    def placed(self, kind: str, rows: Rows, all_of_kind: bool) -> Placed:
        """Where the vectors of these rows are."""
        columns, hot = self.log.columns, self.hot
        stamp = (columns.changed[kind], hot.version)
        known = hot.looked_up.get(kind)
        if all_of_kind and known is not None and known[:2] == stamp and known[2] is rows:
            positions = known[3]
        else:
            positions = hot.fresh(rows, columns.hash_of(rows))
            if all_of_kind:
                hot.looked_up[kind] = (*stamp, rows, positions)
        has = positions >= 0
        if has.all():
            return Placed(hot, rows, positions, 0)
        return Placed(hot, rows[has], positions[has], len(rows) - int(has.sum()))

    def comparing(self, kind: str, query: Vectors, placed: Placed, k: int) -> Callable[[], Compared]:
        """Begin to compare with these, or where they are too many with those among which the `k` nearest are.

        What this gives ends it. The caller may do something else in between; see `HotIndex.comparing`.
        """
        hot, rows, positions = placed.hot, placed.rows, placed.positions
        if self.over_budget and len(rows) > EXACT_ROWS and self.lance.indexed:
            near = self._approximate(kind, query, rows, k)
            if len(near) >= k:  # else the index, probed in part, doesn't reach them: exact, however long it takes
                rows, positions = near, hot.positions(near)
        idle = self.follower.applied >= self.log.head  # else what follows the log needs the other core
        end = hot.comparing(query, positions, shared=idle)
        return lambda: Compared(rows, positions, end())

    def _approximate(self, kind: str, query: Vectors, rows: Rows, k: int) -> Rows:
        """Candidates from LanceDB's index, fetched deeper until k pass, and what it hasn't been given yet."""
        fetch = max(100, 4 * k)
        waiting = np.array(list(self._unsafe), np.int64)
        while True:
            near = self.lance.nearest(query, kind, fetch)
            passing = np.intersect1d(np.concatenate([near, waiting]), rows)
            if len(passing) >= k + len(waiting) or len(near) < fetch:
                return passing
            fetch *= 4

    def unread(self, rows: Rows) -> NDArray[np.int64]:
        """How many tokens at the end of each row's text the model didn't read; 0 where it has no vector."""
        hot = self.hot
        positions = hot.positions(rows)
        return np.where(positions >= 0, hot.cut(np.maximum(positions, 0)), 0)

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of queries; they overtake the backlog."""
        return self.embedding.encode(texts, urgent=True).vectors

    def encode_one(self, text: str) -> tuple[Vectors, int]:
        """The unit vector of a query, and how many tokens at its end the model didn't read."""
        embedded = self.embedding.encode([text], urgent=True)
        return embedded.vectors[0], int(embedded.tokens[0] - embedded.kept[0])

    # --- life ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop following, write out what is gathered."""
        self.follower.close()
        failed: GraphsvcError | None = None
        try:
            waiting = len(self._unsafe) + len(self._gone)
            if lance_is_loaded() or not waiting or waiting >= self.settings.vector_flush_rows:
                self.flush(self.follower.applied)
        except GraphsvcError as error:
            failed = error
        # What wasn't written to LanceDB is in the hot index; the number didn't move, so the next opening goes on.
        rows, _ = self.wanted()
        try:
            self.hot.close(rows.tolist() if failed is None else None)
        finally:
            self.lance.close()

    def take_given_after(self, n: int) -> None:
        """From the entry behind `n` on, vectors that come with a write are of this model."""
        self._since = n

    @property
    def pending(self) -> int:
        """Live records with text that have no vector of it yet."""
        rows, hashes = self.wanted()
        return int((self.hot.fresh(rows, hashes) < 0).sum())

    def discard(self) -> None:
        """Close, and remove the files."""
        self.follower.close()
        self.hot.drop()
        self.lance.drop()
        if self._safe:
            self.log.move_cursor(self.cursor, 0)

    def stats(self) -> dict[str, Any]:
        """Figures for `memory.stats()`: vectors of the live records' present texts, of how many of these the model
        didn't read the end, and slots of the hot index, those of deleted and replaced vectors too.
        """
        hot = self.hot
        positions = hot.fresh(*self.wanted())
        live = positions[positions >= 0]
        return {
            "vectors": len(live), "slots": len(hot), "bytes": hot.bytes, "dimension": self.dimension,
            "truncated": int((hot.cut(live) > 0).sum()), "over_budget": self.over_budget,
            "waiting_for_lance": len(self._unsafe),
        }  # fmt: skip


class _VectorFollower(Follower):
    """A follower that also flushes by the clock, and reconciles when it starts."""

    def __init__(self, store: VectorStore) -> None:
        # Not at its number before it has reconciled: who waits for vectors waits for those, too.
        super().__init__(CURSOR, store.log, store.settings, 0, store.apply)
        self._store = store
        self._reconciled = False

    def _step(self) -> None:
        if not self._reconciled:
            self._store.reconcile()
            self._reconciled = True
            self.moved(self._store._safe)
        super()._step()
        if self._store.flush_due_in <= 0:
            self._store.flush(self.applied)
            self._store._flush_asked.clear()

    def patience(self) -> float:
        return min(super().patience(), max(0.01, self._store.flush_due_in))


def lance_is_loaded() -> bool:
    """Whether LanceDB has been imported: that takes a second of both cores, which a short process does without."""
    return "lancedb" in sys.modules


def top(rows: Rows, cosines: Vectors, k: int) -> tuple[Rows, NDArray[np.float64]]:
    """The k best by rounded cosine, and all that tie with the last of them; unordered."""
    if len(cosines) > k:
        least = np.partition(cosines, len(cosines) - k)[len(cosines) - k]
        best = np.flatnonzero(cosines >= least - ROUNDING)
        rows, cosines = rows[best], cosines[best]
    return rows, rounded(cosines)


def rounded(cosines: Vectors) -> NDArray[np.float64]:
    """Cosines to 6 decimals: what float32 can tell apart."""
    exact: NDArray[np.float64] = cosines.astype(np.float64)
    return exact.round(6)
