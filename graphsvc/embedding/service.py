"""The embedding service: texts in, unit vectors out, whatever thread asks.

    encode ─► memory cache ─► disk cache ─► backlog ─► lanes ─► caches ─► answer

A lane is a thread with one runtime: the model in this process, or a worker process. It takes a batch,
computes it in one forward pass, and takes the next; so callers that come meanwhile share a pass, and an urgent
text waits for one pass at most. Nothing is loaded and no thread started before the first text, or `warm`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphsvc.config import Settings, cache_directory
from graphsvc.embedding.batching import Backlog, Call, Job
from graphsvc.embedding.cache import DiskCache, MemoryCache, Row, key_of
from graphsvc.embedding.choice import CALLABLE, HASHING, Choice, check_same, choose, load
from graphsvc.embedding.runtimes import Runtime, readable, tokenizer
from graphsvc.embedding.vectors import UNKNOWN, Embedded, Identity
from graphsvc.embedding.workers import WorkerRuntime
from graphsvc.errors import BadInput, Closed, EmbeddingFailed, EmbeddingMismatch, GraphsvcError, WaitTimeout, again

__all__ = ["Embedded", "EmbeddingService", "Identity"]

log = logging.getLogger(__name__)

HASHING_PASS = 1024
RATE_PASSES = 64
CLOSE_SECONDS = 5.0

Embedder = str | Callable[[Sequence[str]], Any]


class EmbeddingService:
    """Text to unit vectors, for any number of threads.

    Args:
        settings: which model, which runtime, how many threads and workers, where the cache is.
        embedder: instead of `settings.embedder`: a model, or a function texts → array [n, d]. A function is
            called in one thread of this process, whatever `workers` says, and its vectors are kept in memory
            only: its name doesn't tell whether it is the same function tomorrow.
        known: what a memory's manifest says of the model that made its vectors. Another one embeds nothing: it is
            compared when the first text comes. So does none, where a function made them and isn't given.
    """

    def __init__(
        self, settings: Settings, embedder: Embedder | None = None, *, known: Mapping[str, Any] | None = None
    ) -> None:
        self._settings = settings
        self._embedder: Embedder = settings.embedder if embedder is None else embedder
        if not isinstance(self._embedder, str) and not callable(self._embedder):
            raise BadInput(f"expected a name or a function, got {type(embedder).__name__}", where="embedder")
        in_process = not isinstance(self._embedder, str)
        self._workers = 0 if in_process else settings.workers
        self._memory = MemoryCache(settings.embedding_cache_entries)
        self._known = known
        self._choice: Choice | None = None
        self._disk: DiskCache | None = None
        self._tokenizer: Any = None
        self._closed = False
        self._counts = dict.fromkeys(("hits_memory", "hits_disk", "misses", "computed", "passes"), 0)
        self._reset()
        _services.add(self)

    def _reset(self) -> None:
        """Everything that belongs to threads, as if none had ever run: at the start, and in a forked child."""
        self._wake = threading.Condition()
        self._preparing = threading.RLock()  # choice and disk cache
        self._storing = threading.Lock()  # held from a vector's arrival until it is in both caches; by forget
        self._cancel = threading.Event()
        self._backlog: Backlog | None = None
        self._inflight: dict[bytes, Job] = {}
        self._lanes: list[threading.Thread] = []
        self._runtimes: dict[int, Runtime] = {}
        self._warming = False
        self._recent: deque[tuple[int, float]] = deque(maxlen=RATE_PASSES)

    # --- what it is -----------------------------------------------------------------------------------

    def identity(self) -> Identity:
        """Which model makes the vectors. Finds and reads files, loads nothing; a function is called once.

        Raises:
            ModelNotFound: the model isn't on this machine.
            EmbeddingFailed: its files can't be read, or the function fails.
            BadInput: int8 was asked for of a model that no ONNX form can be made of.
            EmbeddingMismatch: it isn't the model that made the memory's vectors.
        """
        return self._chosen().identity

    @property
    def probes(self) -> tuple[tuple[float, ...], ...]:
        """Vectors of fixed texts, by which a function is known again; none for what has files."""
        return self._chosen().probes

    def _chosen(self) -> Choice:
        with self._preparing:
            if self._choice is None:
                self._choice = self._found()
            return self._choice

    def _found(self) -> Choice:
        known = self._known
        if known is None:
            return choose(self._embedder, self._settings)
        if known["embedder"] == CALLABLE and isinstance(self._embedder, str):
            raise EmbeddingMismatch(
                f"its vectors were made by the function {known['name']}, which wasn't given",
                where="embedder",
                hint=f"Pass it when opening: embedder={known['name'].rpartition('.')[2]}.",
            )
        choice = choose(self._embedder, self._settings)
        check_same(choice, known)
        return choice

    def _disk_cache(self) -> DiskCache | None:
        """The cache on disk, if this embedder has one. The hashing embedder is faster than a disk."""
        if not isinstance(self._embedder, str) or self._embedder == HASHING:
            return None
        with self._preparing:
            if self._disk is None:
                try:
                    self._disk = DiskCache(cache_directory(self._settings))
                except OSError as error:
                    log.warning("embeddings aren't kept on disk: %s", error)
            return self._disk

    @property
    def loaded(self) -> bool:
        """Whether a model is in memory, here or in a worker."""
        return bool(self._runtimes)

    def warm(self) -> None:
        """Start loading in the background. What goes wrong is logged; the next `encode` tries again and raises."""
        with self._wake:
            self._check_open()
            self._warming = True
            self._start_lanes()
            self._wake.notify_all()

    def rate(self) -> float:
        """Texts per second over the last passes, all lanes together; 0.0 while unknown."""
        recent = list(self._recent)
        seconds = sum(spent for _, spent in recent)
        return sum(texts for texts, _ in recent) / seconds * max(1, len(self._runtimes)) if seconds else 0.0

    def stats(self) -> dict[str, Any]:
        """Figures for `health`, `metrics` and tests."""
        runtimes = list(self._runtimes.values())
        disk, choice = self._disk, self._choice
        return {
            "loaded": self.loaded,
            "runtime": runtimes[0].name if runtimes else None,
            "model_path": str(choice.card.directory) if choice and choice.card else "",
            "model_source": choice.source if choice else "",
            "fingerprint": choice.identity.fingerprint if choice else None,
            "workers": self._workers,
            "worker_pids": [runtime.pid for runtime in runtimes if isinstance(runtime, WorkerRuntime)],
            "waiting": len(self._inflight),
            "rate": self.rate(),
            "memory_entries": len(self._memory),
            "disk_cache": str(disk.path) if disk else "",
            "disk_cache_broken": disk.broken if disk else "",
            **self._counts,
        }

    # --- encoding -------------------------------------------------------------------------------------

    def encode(
        self, texts: Sequence[str], *, urgent: bool = False, timeout: float | None = None
    ) -> Embedded:
        """The unit vectors of `texts`, in their order.

        Args:
            texts: any number; equal ones are computed once.
            urgent: go ahead of all that waits and isn't urgent. For queries.
            timeout: seconds to wait for the computation; what is computed by then is kept.

        Raises:
            BadInput: not a sequence of texts.
            ModelNotFound, MissingExtra: the model or what runs it isn't on this machine.
            EmbeddingFailed: the model failed. Nothing takes its place.
            EmbeddingMismatch: another model than the memory's.
            WaitTimeout: not done in time.
            Closed: the service was closed.
        """
        _check_texts(texts)
        self._check_open()
        deadline = None if timeout is None else time.monotonic() + timeout
        identity = self.identity()
        keys = [key_of(identity.fingerprint, text) for text in texts]
        rows = self._cached(keys, identity)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
        if missing:
            rows |= self._computed(missing, identity, urgent, deadline)
        return _assembled([rows[key] for key in keys], identity.dimension)

    def count_tokens(self, text: str) -> int:
        """How many tokens the model's tokenizer makes of a text, its marks at the ends left out.

        Raises:
            BadInput: the embedder is a function, which doesn't tell. ModelNotFound, EmbeddingFailed: for the model.
        """
        _check_texts([text])
        card = self._chosen().card
        if card is None or not (path := card.directory / "tokenizer.json").exists():
            count = int(self.encode([text], urgent=True).tokens[0])
            if count == UNKNOWN:
                raise BadInput("the embedder is a function and counts no tokens", where="count", hint="Give count=.")
            return count
        if self._tokenizer is None:
            self._tokenizer = tokenizer(path)
        return len(self._tokenizer.encode(readable([text])[0], add_special_tokens=False).ids)

    def _cached(self, keys: list[bytes], identity: Identity) -> dict[bytes, Row]:
        unique = list(dict.fromkeys(keys))
        rows = self._memory.get(unique)
        self._counts["hits_memory"] += len(rows)
        disk = self._disk_cache() if self._settings.embedding_cache else None
        left = [key for key in unique if key not in rows]
        if left and disk is not None:
            with self._storing:  # a vector read before a forget must not enter memory after it
                found = disk.get(left, identity.dimension)
                self._memory.put(found)
            self._counts["hits_disk"] += len(found)
            rows |= found
        self._counts["misses"] += len(unique) - len(rows)
        return rows

    def _computed(
        self, missing: dict[bytes, str], identity: Identity, urgent: bool, deadline: float | None
    ) -> dict[bytes, Row]:
        call, jobs, meanwhile = self._submit(missing, identity, urgent)
        try:
            if call.pending and not call.done.wait(None if deadline is None else deadline - time.monotonic()):
                raise WaitTimeout(f"{call.pending} of {len(missing)} texts weren't embedded in time")
            if call.error is not None:
                raise again(call.error)
        finally:
            self._abandon(call, jobs)
        return meanwhile | {job.key: job.row for job in jobs if job.row is not None}

    def _submit(
        self, missing: dict[bytes, str], identity: Identity, urgent: bool
    ) -> tuple[Call, list[Job], dict[bytes, Row]]:
        """Queue what no one has queued yet; also the rows that were computed since the caches were asked."""
        call = Call()
        jobs: list[Job] = []
        with self._wake:
            self._check_open()
            if self._backlog is None:
                size = HASHING_PASS if self._embedder == HASHING else self._settings.embedder_batch
                self._backlog = Backlog(size, identity.max_tokens, max(1, self._workers))
            meanwhile = self._memory.get(list(missing))
            for key, text in missing.items():
                if key in meanwhile:
                    continue
                job = self._inflight.get(key)
                if job is None:
                    job = self._inflight[key] = self._backlog.new_job(key, text)
                    job.urgent = urgent
                    self._backlog.add(job)
                elif urgent:
                    self._backlog.promote(job)
                job.calls.append(call)
                jobs.append(job)
            call.pending = len(jobs)
            self._start_lanes()
            self._wake.notify_all()
        return call, jobs, meanwhile

    def _abandon(self, call: Call, jobs: list[Job]) -> None:
        """The call waits no more: jobs that only it waited for are dropped unless they run already."""
        with self._wake:
            for job in jobs:
                if job.row is None and call in job.calls:
                    job.calls.remove(call)
                    if not job.calls and not job.taken:
                        job.taken = True
                        self._inflight.pop(job.key, None)

    # --- lanes ----------------------------------------------------------------------------------------

    def _start_lanes(self) -> None:
        while len(self._lanes) < max(1, self._workers):
            number = len(self._lanes)
            lane = threading.Thread(
                target=self._lane, args=(number,), name=f"graphsvc-embedding-{number}", daemon=True
            )
            self._lanes.append(lane)
            lane.start()

    def _lane(self, number: int) -> None:
        """One thread's life: load when there is something to do, then batch after batch until closed."""
        while True:
            runtime = self._runtimes.get(number)
            batch: list[Job] = []
            with self._wake:
                while not self._closed and not batch and not (runtime is None and self._worth_loading(number)):
                    # what comes before there is a runtime isn't taken yet: it belongs to the same batch
                    if runtime is not None and self._backlog is not None:
                        batch = self._backlog.take()
                    if not batch:
                        self._wake.wait()
                if self._closed:
                    return
            if runtime is None:
                self._load_lane(number)
            else:
                self._pass(runtime, batch)

    def _worth_loading(self, number: int) -> bool:
        """The first lane loads for any text; a further one only if it would have a pass of its own to do."""
        waiting = sum(not job.taken for job in self._inflight.values())
        return self._warming or waiting > number * self._settings.embedder_batch

    def _load_lane(self, number: int) -> None:
        try:
            choice = self._chosen()
            runtime = load(choice, self._settings, self._cancel)
        except BaseException as error:
            with self._wake:
                self._warming = False
                waiting = [job for job in self._inflight.values() if not job.taken]
                for job in waiting:
                    job.taken = True
                self._fail(waiting, error)
            if not waiting and not isinstance(error, Closed):
                log.warning("the embedding model can't be loaded: %s", error)
            return
        with self._wake:
            self._runtimes[number] = runtime
            if len(self._runtimes) == len(self._lanes):
                self._warming = False
            closed = self._closed
        if closed:
            runtime.close()

    def _pass(self, runtime: Runtime, batch: list[Job]) -> None:
        """Compute one batch and hand it out."""
        began = time.monotonic()
        try:
            embedded = runtime.embed([job.text for job in batch])
            assert len(embedded.vectors) == len(embedded.tokens) == len(embedded.kept) == len(batch)
        except BaseException as error:  # whatever it is: the callers wait
            self._failed(runtime, batch, error)
            return
        self._recent.append((len(batch), max(time.monotonic() - began, 1e-9)))
        self._counts["computed"] += len(batch)
        self._counts["passes"] += 1
        with self._storing:
            self._hand_out(batch, embedded)
            keep = {job.key: job.row for job in batch if job.keep and job.row is not None}
            disk = self._disk_cache() if self._settings.embedding_cache else None
            if disk is not None:
                disk.put(keep, self.identity().fingerprint)

    def _failed(self, runtime: Runtime, batch: list[Job], error: BaseException) -> None:
        """Fail the batch; if several callers share it, only those whose own texts fail."""
        groups: dict[int, list[Job]] = {}
        for job in batch:
            groups.setdefault(id(job.calls[0]) if job.calls else 0, []).append(job)
        if len(groups) > 1 and isinstance(error, EmbeddingFailed):
            for group in groups.values():
                self._pass(runtime, group)
            return
        with self._wake:
            self._fail(batch, error)

    def _hand_out(self, batch: list[Job], embedded: Embedded) -> None:
        tokens, kept = embedded.tokens.tolist(), embedded.kept.tolist()
        with self._wake:
            for at, job in enumerate(batch):
                job.row = (embedded.vectors[at], tokens[at], kept[at])
                self._inflight.pop(job.key, None)
                for call in job.calls:
                    call.pending -= 1
                    if call.pending == 0:
                        call.done.set()
            self._memory.put({job.key: job.row for job in batch if job.keep and job.row is not None})

    def _fail(self, jobs: list[Job], error: BaseException) -> None:
        if not isinstance(error, GraphsvcError):
            cause = error
            error = EmbeddingFailed(f"embedding failed: {type(cause).__name__}: {cause}")
            error.__cause__ = cause
        for job in jobs:
            self._inflight.pop(job.key, None)
            for call in job.calls:
                call.error = error
                call.done.set()

    # --- forgetting and ending ------------------------------------------------------------------------

    def forget(self, texts: Sequence[str]) -> int:
        """Drop these texts' vectors from memory and from disk, there under every model. How many were held.

        A text that is being embedded now is answered, but not kept.

        Raises:
            WaitTimeout: another process kept the file on disk busy; try again.
            ReadOnly: the file on disk can't be changed.
        """
        _check_texts(texts)
        with self._storing:
            gone: set[int] = set()
            if self._choice is not None:
                keys = [key_of(self._choice.identity.fingerprint, text) for text in texts]
                with self._wake:
                    for key in keys:
                        if key in self._inflight:
                            self._inflight[key].keep = False
                held = self._memory.drop(keys)
                gone = {at for at, key in enumerate(keys) if key in held}
            # also when the setting is off now: it may have been on before
            disk = self._disk_cache()
            return len(gone | disk.forget(texts)) if disk is not None else len(gone)

    def close(self) -> None:
        """End threads and workers. Callers that wait get `Closed`. Again does nothing."""
        with self._wake:
            if self._closed:
                return
            self._closed = True
            self._cancel.set()
            self._fail(list(self._inflight.values()), Closed("closed while texts were embedded"))
            runtimes, lanes = list(self._runtimes.values()), list(self._lanes)
            self._wake.notify_all()
        for runtime in runtimes:
            runtime.close()
        for lane in lanes:
            if lane is not threading.current_thread():
                lane.join(CLOSE_SECONDS)
        self._runtimes.clear()
        if self._disk is not None:
            self._disk.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the embedding service was closed")

    def after_fork(self) -> None:
        """In a forked child: the threads are gone, and what they held would stay held."""
        # Kept from the garbage collector: ending a session or a connection here would wait for threads of the
        # parent's, or write to the parent's file.
        runtimes = list(self._runtimes.values())
        for runtime in runtimes:
            if isinstance(runtime, WorkerRuntime):
                runtime.after_fork()
        _left_by_parent.append((runtimes, self._disk.after_fork() if self._disk else None))
        self._memory.after_fork()
        self._reset()


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str | bytes):
        raise BadInput("expected a sequence of texts, got one text", where="texts", hint="Pass [text].")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadInput(f"expected a text, got {type(text).__name__}", where=f"texts[{position}]")


def _assembled(rows: list[Row], dimension: int) -> Embedded:
    """Fresh arrays, which the caller may change."""
    if not rows:
        none = np.zeros(0, dtype=np.int32)
        return Embedded(np.zeros((0, dimension), dtype=np.float32), none, none.copy())
    return Embedded(
        np.array([row[0] for row in rows], dtype=np.float32),
        np.array([row[1] for row in rows], dtype=np.int32),
        np.array([row[2] for row in rows], dtype=np.int32),
    )


_services: weakref.WeakSet[EmbeddingService] = weakref.WeakSet()
_left_by_parent: list[Any] = []


def _after_fork_in_child() -> None:
    for service in list(_services):
        service.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
