"""An open directory: its lock, log, projections and model, shared by all handles of this process."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from graphsvc.config import FORMAT, Settings, load
from graphsvc.embedding.service import EmbeddingService
from graphsvc.errors import BadInput, Closed, Corrupt, EmbeddingMismatch, Forked, GraphsvcError, NotAMemory
from graphsvc.log.log import Log
from graphsvc.memory.retrieval import Retrieval
from graphsvc.model.texts import TEXTS
from graphsvc.model.validate import Limits
from graphsvc.store.directory import (
    MANIFEST,
    MANIFEST_GONE,
    DirectoryLock,
    Manifest,
    prepare,
    read_manifest,
    sync_directory,
    unwritable,
)
from graphsvc.store.formats import bring_up
from graphsvc.store.store import Store, log_failure

logger = logging.getLogger("graphsvc")

Embedder = str | Callable[[Sequence[str]], Any]

_open: dict[tuple[int, int], Opened] = {}
_opening = threading.RLock()


class Opened:
    """One memory, open. Made by `acquire`, closed when the last handle lets go."""

    def __init__(self, directory: Path, settings: Settings, embedder: Embedder | None, *, create: bool) -> None:
        prepare(directory, create=create, allow_network_fs=settings.allow_network_fs)
        self.directory = directory
        self.users = 0
        self.closed = False
        self.process = os.getpid()
        self.lock = DirectoryLock(directory)
        self.identity = _identity(directory)
        self.embedder = embedder
        try:
            self._open_parts(settings, embedder)
        except BaseException as error:
            if (embedding := getattr(self, "embedding", None)) is not None:
                embedding.close()
            self.lock.release()
            if isinstance(error, OSError):
                raise unwritable(error, directory) from error
            raise

    def _open_parts(self, settings: Settings, embedder: Embedder | None) -> None:
        bring_up(self.directory)
        manifest = read_manifest(self.directory)
        if manifest is not None:
            settings = settings.with_(engine=manifest.engine, stemmer=manifest.stemmer)
            settings = _settle_embedder(settings, manifest, embedder)
        self.settings = settings
        self.limits = Limits(settings.max_text_bytes, settings.max_metadata_bytes, settings.max_tags)
        self.embedding = EmbeddingService(settings, None if isinstance(embedder, str) else embedder)
        fresh: dict[str, Any] = {}
        if manifest is None:
            fresh = {**describe(self.embedding, embedder, settings), "generation": 1, "since": 0}
        elif callable(embedder):
            _check_identity(self.embedding, manifest)
        _bound_blas(settings.blas_threads)
        self.log = Log(self.directory, settings, None if manifest is None else manifest.id)
        try:
            if manifest is None:
                # The log first: where there is a manifest, the log must be there, and isn't made anew.
                manifest = self._first_manifest(settings, fresh)
            self.manifest = manifest
            self.store = Store(self.directory, self.log, settings, manifest, self.embedding)
        except BaseException:
            self.log.close(save=False)
            raise
        self.retrieval = Retrieval(self.log, self.store)
        self.store.start()
        self._reembedding = threading.Lock()
        self._go_on_reembedding()

    def _first_manifest(self, settings: Settings, embedding: dict[str, Any]) -> Manifest:
        if self.log.head:
            where = str(self.directory / MANIFEST)
            raise Corrupt("is missing, though the log holds a memory", where=where, hint=MANIFEST_GONE)
        manifest = _new_manifest(settings, embedding, self.log.id)
        sync_directory(self.directory)  # the log's name, before the manifest says that it is there
        manifest.write(self.directory)
        return manifest

    def reembed(self, embedder: Embedder, runtime: str | None, report: Callable[[int, int], None]) -> None:
        """Make all vectors anew with another model; see `Memory.reembed`."""
        with self._reembedding:  # one at a time; who asks for what is under way waits for it
            self.check()
            settings = self.settings.with_(
                embedder=embedder if isinstance(embedder, str) else self.settings.embedder,
                embedder_runtime=runtime or self.settings.embedder_runtime,
            )
            service = EmbeddingService(settings, None if isinstance(embedder, str) else embedder)
            plan = describe(service, embedder, settings)
            if plan["fingerprint"] == self.manifest.embedding["fingerprint"]:
                service.close()
                self.store.forget_reembedding()
                return
            try:
                self.store.reembed(plan, service, report)
            except BaseException:
                service.close()
                raise
            old, self.embedding, self.settings, self.embedder = self.embedding, service, settings, embedder
            old.close()
            self.retrieval.cache.clear()

    def _go_on_reembedding(self) -> None:
        """Go on with what a kill or a close interrupted, in the background; a function must be given again."""
        plan = self.manifest.reembedding
        if plan is None or plan["embedder"] == "callable":
            return

        def run() -> None:
            try:
                self.reembed(plan["embedder"], plan["runtime"], lambda done, total: None)
            except GraphsvcError as error:
                if not self.closed:
                    logger.error("making the vectors anew stopped: %s", error)

        threading.Thread(target=run, name="graphsvc-reembed", daemon=True).start()

    def check(self) -> None:
        """Raise if it can't be used: closed, or carried into a forked child."""
        if self.closed:
            raise Closed("the memory is closed", where=str(self.directory))
        if os.getpid() != self.process:
            raise Forked(f"the memory was opened by process {self.process}, before the fork", where=str(self.directory))

    def close(self) -> None:
        """Commit what waits, write out what the projections hold back, let go of the directory."""
        if self.closed:
            return
        self.closed = True
        save = _identity(self.directory) == self.identity  # renamed, something else may have its place by now
        with log_failure("closing"), ExitStack() as stack:  # each, whatever becomes of those before; from the last one
            stack.callback(self.lock.release)
            stack.callback(self.retrieval.cache.clear)
            stack.callback(lambda: self.embedding.close())
            stack.callback(self.log.close, save=save)
            stack.callback(self._end_reembedding)
            stack.callback(self.store.close)

    def _end_reembedding(self) -> None:
        with self._reembedding:  # what runs there ends now that its projection is closed
            pass


def describe(embedding: EmbeddingService, embedder: Embedder | None, settings: Settings) -> dict[str, Any]:
    """What the manifest says of a model. Locates it, and loads nothing; a function is called once."""
    identity = embedding.identity()
    return {
        "embedder": "callable" if callable(embedder) else settings.embedder,
        "runtime": settings.embedder_runtime,
        "name": identity.name,
        "fingerprint": identity.fingerprint,
        "dimension": identity.dimension,
    }


def _new_manifest(settings: Settings, embedding: dict[str, Any], id: str) -> Manifest:
    return Manifest(
        engine=settings.engine,
        embedding=embedding,
        texts=TEXTS,
        stemmer=settings.stemmer,
        id=id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        format=FORMAT,
    )


def _settle_embedder(settings: Settings, manifest: Manifest, asked: Embedder | None) -> Settings:
    """The memory's own embedder; asking for another is an error, for vectors of two models don't compare."""
    made_by = manifest.embedding["embedder"]
    if isinstance(asked, str) and asked != made_by:
        raise EmbeddingMismatch(
            f"its vectors were made by {made_by!r}, not by {asked!r}",
            where="embedder",
            hint="Open it without embedder=, or make the vectors anew with memory.reembed(embedder=…).",
        )
    runtime = manifest.embedding["runtime"]
    return settings.with_(embedder=made_by if made_by != "callable" else settings.embedder, embedder_runtime=runtime)


def _check_identity(embedding: EmbeddingService, manifest: Manifest) -> None:
    identity = embedding.identity()
    known = manifest.embedding
    if (identity.fingerprint, identity.dimension) != (known["fingerprint"], known["dimension"]):
        embedding.close()
        raise EmbeddingMismatch(
            f"its vectors were made by {known['name']!r} ({known['dimension']} dimensions), "
            f"not by {identity.name!r} ({identity.dimension})",
            where="embedder",
        )


def _bound_blas(threads: int) -> None:
    """Many small products at once are slower with several BLAS threads: eight readers fell to a tenth."""
    if threads:
        import numpy  # noqa: F401  its BLAS must be loaded to be bounded
        import threadpoolctl

        threadpoolctl.threadpool_limits(threads, user_api="blas")


def acquire(path: str | os.PathLike[str], embedder: Embedder | None, *, create: bool, **arguments: Any) -> Opened:
    """The open memory of a directory: opened now, or shared with who opened it before in this process.

    Raises:
        BadInput: it is open with other settings than those asked for.
        InUse, NotAMemory, NewerFormat, ReadOnly, Corrupt, Unsupported, ModelNotFound: see `graphsvc.errors`.
    """
    directory = _directory(path)
    with _opening:
        found = _open.get(_identity(directory))
        if found is not None and found.process == os.getpid() and not found.closed:
            _check_same(found, embedder, arguments)
        else:
            spoken = {**arguments, "embedder": embedder if isinstance(embedder, str) else None}
            found = Opened(directory, load(directory, **spoken), embedder, create=create)
            _open[found.identity] = found
            # The collector's stops grow with what it must look through: what is loaded now stays anyway.
            gc.collect()
            gc.freeze()
        found.users += 1
        return found


def release(opened: Opened) -> None:
    """One user fewer; with the last one it is closed."""
    with _opening:
        if opened.process != os.getpid():
            return
        opened.users -= 1
        if opened.users == 0:
            _open.pop(opened.identity, None)
            try:
                opened.close()
            finally:
                gc.unfreeze()  # what it held is garbage now
                if _open:
                    gc.collect()
                    gc.freeze()


def _close_all() -> None:
    """At the interpreter's end, when only threads of ours still run: a script without close() wasn't killed."""
    for opened in list(_open.values()):
        if opened.process == os.getpid():
            with log_failure("closing at the end of the program"):
                opened.close()


atexit.register(_close_all)


def _directory(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise BadInput(f"expected a path, got {type(path).__name__}", where="path")
    text = os.fspath(path)
    if not text or "\0" in text:
        raise BadInput("is no path", where="path")
    return Path(text).expanduser().absolute()


def _identity(directory: Path) -> tuple[int, int]:
    """What two paths to one directory have in common."""
    try:
        status = directory.stat()
    except OSError:
        return (-1, hash(str(directory)))
    return (status.st_dev, status.st_ino)


def _check_same(opened: Opened, embedder: Embedder | None, arguments: dict[str, Any]) -> None:
    if isinstance(embedder, str) and embedder != opened.manifest.embedding["embedder"]:
        _settle_embedder(opened.settings, opened.manifest, embedder)
    if callable(embedder) and embedder != opened.embedder:
        service = EmbeddingService(opened.settings, embedder)
        try:
            _check_identity(service, opened.manifest)
        finally:
            service.close()
        raise BadInput("the memory is open in this process already, with another function", where="embedder")
    for name, value in arguments.items():
        if value is not None and hasattr(opened.settings, name) and getattr(opened.settings, name) != value:
            raise BadInput(
                f"the memory is open in this process already, with {getattr(opened.settings, name)!r}", where=name
            )


def _after_fork() -> None:
    """In a forked child: let go of the descriptors, so that the parent alone holds the lock."""
    global _opening
    _opening = threading.RLock()
    for opened in _open.values():
        opened.lock.release()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)


def remove(path: str | os.PathLike[str]) -> None:
    """Delete a memory's directory, if nobody has it open. Raises NotAMemory, InUse."""
    directory = _directory(path)
    if read_manifest(directory) is None:
        raise NotAMemory("holds no memory", where=str(directory))
    lock = DirectoryLock(directory)
    try:
        shutil.rmtree(directory)
    finally:
        lock.release()


__all__ = ["Embedder", "GraphsvcError", "Opened", "acquire", "release", "remove"]
