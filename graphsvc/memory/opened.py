"""An open directory: its lock, log, projections and model, shared by all handles of this process."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

from graphsvc.config import FORMAT, Settings, load, whole_path
from graphsvc.embedding.choice import CALLABLE, HASHING, same_probes
from graphsvc.embedding.locate import absolute
from graphsvc.embedding.service import EmbeddingService
from graphsvc.errors import (
    BadInput,
    Closed,
    Corrupt,
    EmbeddingMismatch,
    Forked,
    GraphsvcError,
    NotAMemory,
    StorageFull,
    WaitTimeout,
)
from graphsvc.log.forget import Plan
from graphsvc.log.log import Log
from graphsvc.memory.retrieval import Retrieval
from graphsvc.model.requests import Forget
from graphsvc.model.texts import TEXTS
from graphsvc.model.validate import Limits
from graphsvc.store.directory import (
    MANIFEST,
    MANIFEST_GONE,
    SOCKET,
    DirectoryLock,
    Manifest,
    owner_of,
    prepare,
    read_manifest,
    sync_directory,
    unwritable,
    whole_or_nothing,
)
from graphsvc.store.forget import finish, halt, is_pending, renew
from graphsvc.store.formats import bring_up
from graphsvc.store.store import Store, log_failure

logger = logging.getLogger("graphsvc")

Embedder = str | os.PathLike[str] | Callable[[Sequence[str]], Any]



class Listening(Protocol):
    """What listens for other processes that want to use an open memory.

    Attributes:
        listeners: told of each call that was answered.
    """

    listeners: list[Callable[[Any], None]]

    def close(self) -> None:
        """Take no more, end those that are there, and let go of the address."""

    def leave(self) -> None:
        """In a forked child: let go of the descriptors, and of nothing else."""


Listen = Callable[["Opened"], Listening]

_open: dict[tuple[int, int], Opened] = {}
_opening = threading.RLock()


class Opened:
    """One memory, open. Made by `acquire`, closed when the last handle lets go."""

    def __init__(
        self,
        directory: Path,
        settings: Settings,
        embedder: Embedder | None,
        *,
        create: bool,
        asked: Mapping[str, Any] | None = None,
        listen: Listen | None = None,
    ) -> None:
        prepare(directory, create=create, allow_network_fs=settings.allow_network_fs)
        self.directory = directory
        self.users = 0
        self.closed = False
        self.ending = False
        self.process = os.getpid()
        self.lock = DirectoryLock(directory, shared=listen is not None and settings.share)
        self.listening: Listening | None = None
        self.identity = _identity(directory)
        self.embedder = embedder
        try:
            self._open_parts(settings, embedder, asked or {})
        except BaseException as error:
            if (embedding := getattr(self, "embedding", None)) is not None:
                embedding.close()
            self.lock.release()
            if isinstance(error, OSError):
                raise unwritable(error, directory) from error
            raise
        if listen is not None and settings.share:
            self.listening = listen(self)

    def _open_parts(self, settings: Settings, embedder: Embedder | None, asked: Mapping[str, Any]) -> None:
        bring_up(self.directory)
        manifest = read_manifest(self.directory)
        if manifest is None:
            settings = settings.with_(embedder=absolute(settings.embedder))
        else:
            _check_fixed(manifest, asked)
            settings = settings.with_(engine=manifest.engine, stemmer=manifest.stemmer)
            settings = _settle_embedder(settings, manifest, embedder, asked.get("embedder_runtime"))
        self.settings = settings
        self.limits = Limits(settings.max_text_bytes, settings.max_metadata_bytes, settings.max_tags)
        known = None if manifest is None else manifest.embedding
        self.embedding = EmbeddingService(settings, embedder if callable(embedder) else None, known=known)
        fresh: dict[str, Any] = {}
        if manifest is None:
            fresh = {**describe(self.embedding, embedder, settings), "generation": 1, "since": 0}
        elif callable(embedder):
            self.embedding.identity()  # compared with what made the vectors
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
        self._reembedding = threading.Lock()
        self.reembedding_error: GraphsvcError | None = None
        self._background: threading.Thread | None = None
        self._go_on_forgetting()
        self.store.start()
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
            embedder = cast(Embedder, spelt(embedder))
            service, settings = self._service_of(embedder, runtime)
            plan = describe(service, embedder, settings)
            self.reembedding_error = None
            under_way = self.manifest.reembedding
            if under_way is not None and _same_model(plan, under_way):
                plan["fingerprint"] = under_way["fingerprint"]
            if _same_model(plan, self.manifest.embedding):
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

    def _service_of(self, embedder: Embedder, runtime: str | None) -> tuple[EmbeddingService, Settings]:
        settings = self.settings.with_(
            embedder=embedder if isinstance(embedder, str) else self.settings.embedder,
            embedder_runtime=runtime or self.settings.embedder_runtime,
        )
        return EmbeddingService(settings, embedder if callable(embedder) else None), settings

    def begin_reembed(self, embedder: Embedder, runtime: str | None) -> None:
        """The same in the background. What is wrong with the model is raised here, what goes wrong later is kept."""
        embedder = cast(Embedder, spelt(embedder))
        service, settings = self._service_of(embedder, runtime)
        try:
            describe(service, embedder, settings)
        finally:
            service.close()
        self._reembed_in_background(embedder, runtime)

    def _reembed_in_background(self, embedder: Embedder, runtime: str | None) -> None:
        def run() -> None:
            try:
                self.reembed(embedder, runtime, lambda done, total: None)
            except GraphsvcError as error:
                if not self.closed:
                    self.reembedding_error = error
                    logger.error("making the vectors anew stopped: %s", error)

        self._background = threading.Thread(target=run, name="graphsvc-reembed", daemon=True)
        self._background.start()

    def reembedding_progress(self) -> dict[str, Any] | None:
        """How far other vectors are; None if none are being made."""
        far = self.store.reembedding_progress()
        if far is None and self._background is not None and self._background.is_alive():
            return {"embedder": None, "name": None, "applied": 0, "head": self.log.head}  # it is about to begin or end
        return far

    def forget(self, request: Forget, texts: list[str]) -> tuple[Plan, int]:
        """Forget, and clean every file; gives what it came to, and how many vectors left the cache.

        Args:
            request: what to forget. texts: that were embedded of it. They leave the cache before the log forgets which
                they were; once more after it, for what was asked meanwhile.
        """
        with self._reembedding:  # two models' files at once are more than can be cleaned
            self.check()
            with self.store.steady:
                halt(self.store)
                try:
                    cached = self.embedding.forget(texts)
                    found: Plan = self.log.submit(request).result
                    cached += self.embedding.forget(list(found.texts))
                finally:
                    renew(self.store, clean=is_pending(self.store))
                    self.store.start()
            self.retrieval.cache.clear()
            if is_pending(self.store):
                finish(self.store)
        return found, cached

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """For the length of a `with` nothing is forgotten, trimmed or embedded with another model."""
        with self._reembedding:
            self.check()
            yield

    def _go_on_forgetting(self) -> None:
        """Clean the files that a kill, or an error, kept a forget from cleaning; the followers don't run yet."""
        if is_pending(self.store):
            logger.info("a forget was interrupted: what it left in files goes now")
            try:
                halt(self.store)
                renew(self.store, clean=True)
                finish(self.store)
            except (StorageFull, WaitTimeout) as error:
                logger.warning("what was forgotten is still in files, until the next opening: %s", error)

    def _go_on_reembedding(self) -> None:
        """Go on with what a kill or a close interrupted, in the background; a function must be given again."""
        plan = self.manifest.reembedding
        if plan is None or plan["embedder"] == "callable":
            return
        self._reembed_in_background(plan["embedder"], plan["runtime"])

    def check(self) -> None:
        """Raise if it can't be used: closed, or carried into a forked child."""
        if self.closed:
            raise Closed("the memory is closed", where=str(self.directory))
        if os.getpid() != self.process:
            raise Forked(f"the memory was opened by process {self.process}, before the fork", where=str(self.directory))

    def end_waits(self) -> None:
        """Have those go who wait for something to change: it is about to be closed."""
        self.ending = True
        self.log.look_again()

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
            if self.listening is not None:
                stack.callback(self.listening.close)

    def _end_reembedding(self) -> None:
        with self._reembedding:  # what runs there ends now that its projection is closed
            pass


class Handle:
    """One user's hold of an open memory: closed for that user while others go on."""

    def __init__(self, opened: Opened) -> None:
        self._shared = opened
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shared, name)

    @property
    def closed(self) -> bool:
        """Whether this user, or the last one, has closed it."""
        return self._closed or self._shared.closed

    def check(self) -> None:
        """As `Opened.check`; raises Closed too where this user has closed it."""
        if self._closed:
            raise Closed("this handle is closed", where=str(self._shared.directory))
        self._shared.check()

    def let_go(self) -> None:
        """Close it for this user. Again does nothing."""
        if not self._closed:
            self._closed = True
            self._shared.log.look_again()  # who waits through it, while others have the memory open yet
            release(self._shared)


def describe(embedding: EmbeddingService, embedder: Embedder | None, settings: Settings) -> dict[str, Any]:
    """What the manifest says of a model. Locates it, and loads nothing; a function is called once."""
    identity = embedding.identity()
    return {
        "embedder": CALLABLE if callable(embedder) else settings.embedder,
        "runtime": settings.embedder_runtime,
        "name": identity.name,
        "fingerprint": identity.fingerprint,
        "dimension": identity.dimension,
        **({"probes": embedding.probes} if embedding.probes else {}),
    }


def _same_model(plan: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether two descriptions are of models that make the same vectors."""
    return bool(plan["fingerprint"] == known["fingerprint"] or same_probes(plan.get("probes"), known.get("probes")))


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


def _check_fixed(manifest: Manifest, asked: Mapping[str, Any]) -> None:
    """What a memory was made with stays: asking for something else is an error, not ignored."""
    for name in ("engine", "stemmer"):
        if asked.get(name) not in (None, getattr(manifest, name)):
            raise BadInput(
                f"the memory was made with {getattr(manifest, name)!r}, not with {asked[name]!r}",
                where=name,
                hint="It is chosen when a memory is made; leave it out.",
            )


def _settle_embedder(
    settings: Settings, manifest: Manifest, asked: Embedder | None, runtime: str | None = None
) -> Settings:
    """The memory's own embedder; asking for another is an error, for vectors of two models don't compare.

    Nothing is read where it is asked for as it was before; the service compares when the first text comes.
    """
    known = manifest.embedding
    int8 = "onnx-int8"
    if runtime is not None and (runtime == int8) != (known["runtime"] == int8):
        raise EmbeddingMismatch(
            f"its vectors were made with {known['runtime']!r}, whose vectors are others than those of {runtime!r}",
            where="embedder_runtime",
            hint="Open it without embedder_runtime=, or use memory.reembed(embedder=…, runtime=…).",
        )
    settings = settings.with_(embedder_runtime=runtime or known["runtime"])
    if not isinstance(asked, str):
        return settings.with_(embedder=known["embedder"]) if known["embedder"] != CALLABLE else settings
    settings = settings.with_(embedder=asked)
    if asked != known["embedder"] and not _is_the_same(settings, known):
        raise EmbeddingMismatch(
            f"its vectors were made by {known['embedder']!r}, not by {asked!r}",
            where="embedder",
            hint="Open it without embedder=, or make the vectors anew with memory.reembed(embedder=…).",
        )
    return settings


def _is_the_same(settings: Settings, known: Mapping[str, Any]) -> bool:
    """Whether a model of another spelling is the memory's: by its files, which are found and read, not loaded."""
    if HASHING in (settings.embedder, known["embedder"]) or known["embedder"] == CALLABLE:
        return False
    try:
        return bool(EmbeddingService(settings).identity().fingerprint == known["fingerprint"])
    except GraphsvcError:
        return False


def _bound_blas(threads: int) -> None:
    """Many small products at once are slower with several BLAS threads: eight readers fell to a tenth."""
    if threads:
        import numpy  # noqa: F401  its BLAS must be loaded to be bounded
        import threadpoolctl

        threadpoolctl.threadpool_limits(threads, user_api="blas")


def acquire(
    path: str | os.PathLike[str],
    embedder: Embedder | None,
    *,
    create: bool,
    listen: Listen | None = None,
    **arguments: Any,
) -> Opened:
    """The open memory of a directory: opened now, or shared with who opened it before in this process.

    Args:
        listen: has other processes use it, too, where the setting `share` says so.

    Raises:
        BadInput: it is open with other settings than those asked for.
        InUse, NotAMemory, NewerFormat, ReadOnly, Corrupt, Unsupported, ModelNotFound: see `graphsvc.errors`.
    """
    directory = whole_path(path)
    embedder = spelt(embedder)
    with _opening:
        found = _open.get(_identity(directory))
        if found is not None and found.process == os.getpid() and not found.closed:
            check_same(found, embedder, arguments)
        else:
            spoken = {**arguments, "embedder": embedder if isinstance(embedder, str) else None}
            settings = load(directory, **spoken)
            with whole_or_nothing(directory):
                found = Opened(directory, settings, embedder, create=create, asked=arguments, listen=listen)
            _open[found.identity] = found
            # The collector's stops grow with what it must look through: what is loaded now stays anyway. What of it is
            # garbage waits until this is closed: to look for it takes 0.3 s in a process that holds much.
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


def spelt(embedder: Embedder | None) -> Embedder | None:
    """An embedder as manifests spell it."""
    if isinstance(embedder, str | os.PathLike):
        return absolute(embedder)
    if embedder is not None and not callable(embedder):
        raise BadInput(f"expected a name, a path or a function, got {type(embedder).__name__}", where="embedder")
    return embedder


def _identity(directory: Path) -> tuple[int, int]:
    """What two paths to one directory have in common."""
    try:
        status = directory.stat()
    except OSError:
        return (-1, hash(str(directory)))
    return (status.st_dev, status.st_ino)


def check_same(opened: Opened, embedder: Embedder | None, arguments: dict[str, Any]) -> None:
    """Raise BadInput or EmbeddingMismatch where an open memory is asked for with another model or settings."""
    if isinstance(embedder, str) and embedder != opened.manifest.embedding["embedder"]:
        _settle_embedder(opened.settings, opened.manifest, embedder)
    if callable(embedder) and embedder != opened.embedder:
        service = EmbeddingService(opened.settings, embedder, known=opened.manifest.embedding)
        try:
            service.identity()
        finally:
            service.close()
        raise BadInput("the memory is open already, with another function", where="embedder")
    given = {name: value for name, value in arguments.items() if value is not None}
    asked = load(None, **given)
    for name in given:
        if getattr(opened.settings, name) != getattr(asked, name):
            raise BadInput(f"the memory is open already, with {getattr(opened.settings, name)!r}", where=name)


def _after_fork() -> None:
    """In a forked child: let go of the descriptors, so that the parent alone holds the lock."""
    global _opening
    _opening = threading.RLock()
    for opened in _open.values():
        opened.lock.release()
        if opened.listening is not None:
            opened.listening.leave()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)


def remove(path: str | os.PathLike[str]) -> None:
    """Delete a memory's directory, if nobody has it open. Raises NotAMemory, InUse."""
    directory = whole_path(path)
    if read_manifest(directory) is None:
        raise NotAMemory("holds no memory", where=str(directory))
    lock = DirectoryLock(directory)
    try:
        shutil.rmtree(directory)
    finally:
        lock.release()


__all__ = ["SOCKET", "Embedder", "GraphsvcError", "Opened", "absolute", "acquire", "owner_of", "release", "remove"]
