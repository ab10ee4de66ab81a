"""The seam to the graph engine: the one module that imports Kuzu or Ladybug.

Everything above speaks to `Engine`. The traps of both engines that it fences off are told where the fence
stands; `tests/engine/test_traps.py` shows each on the raw engine, and that it can't be met from here.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from graphsvc.config import Settings
from graphsvc.cypher.growth import check_growth
from graphsvc.cypher.plans import check_plan
from graphsvc.cypher.reads import Read, check_own_read, judged
from graphsvc.cypher.tokens import tokens
from graphsvc.cypher.values import Schema
from graphsvc.errors import (
    BadInput,
    Closed,
    Corrupt,
    EngineError,
    EngineMissing,
    Forked,
    GraphsvcError,
    InUse,
    NoResources,
    Overloaded,
    ReadOnly,
    StorageFull,
)
from graphsvc.store.answers import Answer, graph_answer
from graphsvc.store.arrow import pa
from graphsvc.store.connection import CHUNK, FULL, LOCKED, Connection, Rows, check_parameters, fetched
from graphsvc.store.directory import lacks_resources
from graphsvc.store.reading import Reading, end
from graphsvc.store.stop import Stop
from graphsvc.store.tables import Known
from graphsvc.store.transaction import CommitUnclear, Transaction
from graphsvc.store.watch import Watch

ENGINES = ("kuzu", "ladybug")

MAX_DB_SIZE = 64 << 30
"""Address space that an engine reserves. Its own default is 8 TB, which no limit on memory allows."""
MIN_FREE = 32 << 20
"""Bytes free on the disk, below which nothing is written."""
PROBE = 4 << 20
"""Bytes written to see whether writing works."""
MAX_CONNECTIONS = 64
"""Reads that may run at once."""
CLOSE_SECONDS = 10.0
"""How long closing waits for a read that was interrupted."""
_JUDGED = 256
"""Users' reads of which it is kept that they were found to be reads."""


class Engine:
    """One open graph. Reading is safe from any thread; writing is one transaction at a time.

    Made by `open_engine`.

    Attributes:
        name: `kuzu` or `ladybug`.
        path: of its file.
        lost: the failed COMMIT that made this engine useless, if there was one.
    """

    def __init__(
        self, name: str, path: Path, settings: Settings, module: ModuleType, database: Any, claim: Claim
    ) -> None:
        self.name = name
        self._claim = claim
        self.path = path
        self._settings = settings
        self._module = module
        self._database = database
        self._pid = os.getpid()
        self._closed = False
        self.lost: GraphsvcError | None = None
        self._write_lock = threading.Lock()
        self._writer: Connection | None = None
        self._state = threading.Condition()
        self._idle: list[Connection] = []
        self._readings: set[Reading] = set()
        self._open_reads = 0
        self._checkpointing = False
        self._watch = Watch(settings.graph_memory_bytes + settings.graph_buffer_bytes)
        self._defined = 0
        self._known: Known | None = None

    # reading

    def execute(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        limit: int | None = None,
        users: bool = False,
    ) -> Rows:
        """Rows of a reading statement, at most `limit` of them.

        Args:
            timeout: seconds; None means the setting graph_timeout.
            users: whether it comes from outside, so that it is judged by all rules of `graphsvc.cypher`, then by the
                plan that the engine shows, and watched for the memory that it takes.

        Raises:
            BadInput: not a read, or wrong parameters. TooLarge: too long or too deep.
            NotAllowed: a user's statement breaks a rule. MemoryLimit: it took too much memory, and was stopped.
            QueryTimeout, EngineError: from the engine. Closed: after close.
        """
        with self._read(statement, parameters, timeout, users=users) as reading:
            return reading.fetch(lambda result: fetched(result, limit))

    def answer(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        limit: int,
        stop: Stop | None = None,
    ) -> Answer:
        """At most `limit` rows of a user's reading statement, nodes, edges and paths as ours. Errors as `execute`.

        Args:
            stop: by which somebody may end it: it fails with EngineError then.
        """

        def gather(result: Any, reading: Reading) -> Answer | None:
            return graph_answer(result, limit, reading.ask, reading.check)

        values = check_parameters(statement, parameters)
        seconds = self._settings.graph_timeout if timeout is None else timeout
        reading = self._lend()
        try:
            known = self._known
            read = None if known is None else known.reads.get(statement)
            if known is None or read is None or not read.ran:
                reading.run(statement, values, seconds, users=True, within=gather, stop=stop)
                return cast(Answer, reading.kept) if reading.kept is not None else reading.plain(limit)
            if not read.fixed:
                check_growth(statement, read.query, values, known.tables.columns)
            text, left = read.with_keys(values)
            reading.run_alone(text, left, seconds, known.timed, stop, once=text is not read.text)
            return reading.plain(limit)
        finally:
            reading.close()

    def arrow(
        self, statement: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> pa.Table:
        """Rows of a reading statement as an Arrow table. Errors as `execute`."""
        with self._read(statement, parameters, timeout) as reading:
            return reading.fetch(lambda result: result.get_as_arrow(chunk_size=100_000))

    def stream(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        chunk: int = CHUNK,
    ) -> Iterator[list[list[Any]]]:
        """Rows of a reading statement in lists of at most `chunk`, as they were when it ran. Errors as `execute`."""
        with self._read(statement, parameters, timeout) as reading:
            while rows := reading.fetch(lambda result: result.get_n(chunk)):
                yield rows

    @contextmanager
    def _read(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None,
        timeout: float | None,
        *,
        users: bool = False,
    ) -> Iterator[Reading]:
        if not users:
            check_own_read(statement)
        values = check_parameters(statement, parameters)
        reading = self._lend()
        try:
            seconds = self._settings.graph_timeout if timeout is None else timeout
            reading.run(statement, values, seconds, users=users)
            yield reading
        finally:
            reading.close()

    def schema(self) -> Schema:
        """The types of columns by table and name, of all tables that there are."""
        known, defined = self._known, self._defined
        if known is None:
            known = self._keep(Known.of(lambda statement: self.execute(statement).dicts()), defined)
        return known.tables.columns

    def _look(self, connection: Connection, defined: int) -> Known:
        """What is known of the tables, read anew where a statement has changed them.

        Args:
            defined: how often tables had been changed before the connection's transaction began.
        """
        known = self._known
        if known is None:
            known = self._keep(Known.of(lambda text: fetched(connection.run(text, {}, None)).dicts()), defined)
        return known

    def _keep(self, known: Known, defined: int) -> Known:
        with self._state:
            if self._defined == defined:  # else it may be of before
                self._known = known
        return known

    def _judge(
        self, connection: Connection, known: Known, statement: str, values: dict[str, Any], timeout: float
    ) -> Read:
        """The first wall and the second: a statement, and its plan; once, where parameters can't matter."""
        read = known.reads.get(statement)
        if read is not None:
            if not read.fixed:
                check_growth(statement, read.query, values, known.tables.columns)
            return read
        tables = known.tables
        keys = tables.keys if self.name == "kuzu" else None
        read = judged(
            statement, tables=tables.columns, nodes=tables.nodes, ends=tables.ends, parameters=values, keys=keys
        )
        try:
            for text, given in dict([(read.text, values), read.with_keys(values)]).items():
                self._check_plan(connection, text, given, timeout)
        except EngineError:
            if read.text != statement:  # the same error, with places in the statement as the user wrote it
                connection.explain(statement, values, timeout)
            raise
        with self._state:
            known.reads[statement] = read
            if len(known.reads) > _JUDGED:
                known.reads.popitem(last=False)
        return read

    def _check_plan(self, connection: Connection, statement: str, values: dict[str, Any], timeout: float) -> None:
        """The operators that a user's statement would run as."""
        explains = [token for token in tokens(statement)[:2] if token.word in ("EXPLAIN", "LOGICAL")]
        asked = statement[explains[-1].end :] if explains and explains[0].at == tokens(statement)[0].at else statement
        check_plan(connection.explain(asked, values, timeout))

    @contextmanager
    def _transaction_open(self) -> Iterator[None]:
        """Around every read transaction: a checkpoint waits until none is open."""
        self._begin_read()
        try:
            yield
        finally:
            self._end_read()

    def _begin_read(self) -> None:
        with self._state:
            while self._checkpointing:
                self._state.wait()
            self._open_reads += 1

    def _end_read(self) -> None:
        with self._state:
            self._open_reads -= 1
            if self._checkpointing:
                self._state.notify_all()

    def _lend(self) -> Reading:
        deadline = time.monotonic() + self._settings.graph_timeout
        with self._state:
            while True:
                self._check_open()
                if self._idle or len(self._readings) < MAX_CONNECTIONS:
                    reading = Reading(self, self._idle.pop() if self._idle else self._connect())
                    self._readings.add(reading)
                    return reading
                if not self._state.wait(deadline - time.monotonic()):
                    raise Overloaded(f"{MAX_CONNECTIONS} reads of the graph are running already")

    def _give_back(self, reading: Reading, healthy: bool) -> None:
        with self._state:
            if reading not in self._readings:
                return
            self._readings.discard(reading)
            usable = healthy and not reading.connection.worn and not self._closed
            if usable and len(self._idle) < self._settings.readers:
                self._idle.append(reading.connection)
            elif self.lost is None:
                reading.connection.close()
            self._state.notify_all()

    def _connect(self) -> Connection:
        return Connection(self._module, self._database, self._settings.graph_threads)

    # writing

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """The one writer, waited for. Commits at the end of the `with`, rolls back on any exception.

        Raises:
            EngineError: a statement failed, even if the caller went on after it; nothing was kept.
            StorageFull: the disk has less than MIN_FREE left; nothing was tried.
            CommitUnclear: COMMIT failed. This engine is of no more use: open another and see what was kept.
        """
        with self._write_lock:
            self._check_open()
            check_room(self.path)
            if self._writer is not None and self._writer.worn:
                self._writer.close()
                self._writer = None
            if self._writer is None:
                self._writer = self._connect()
            writer = self._writer
            transaction = Transaction(writer)
            writer.run("BEGIN TRANSACTION", {}, None).close()
            try:
                yield transaction
                transaction._check()
            except BaseException:
                self._roll_back(writer)
                raise
            try:
                writer.run("COMMIT", {}, None).close()
            except GraphsvcError as error:
                self._abandon(error)
                raise CommitUnclear(str(error)) from error
            if transaction.defines:
                with self._state:
                    self._defined, self._known = self._defined + 1, None

    def _roll_back(self, writer: Connection) -> None:
        """Leave the transaction, whatever state it is in, and its connection for good."""
        with suppress(EngineError):
            writer.run("ROLLBACK", {}, None).close()
        self._writer = None
        writer.close()

    def _abandon(self, error: GraphsvcError) -> None:
        """Never touch this handle again, nor let it be destroyed.

        When COMMIT can't write, on a full disk, Kuzu has the changes in memory all the same, in part, and crashes
        some statements later. Closing either engine then ends the process: its destructor writes once more, and
        throws. Kept alive for good it does neither, and the file opens anew beside it as the last commit left it.
        """
        with self._state:
            self._closed, self.lost = True, error
            connections = [reading.connection for reading in self._readings]
            for connection in connections:
                connection.interrupt()
            self._keep_for_ever(connections)
            self._state.notify_all()
        _release(self._claim)

    def _keep_for_ever(self, connections: Iterable[Connection]) -> None:
        for kept in (self._database, self._writer, *self._idle, *connections):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))

    def after_fork(self) -> None:
        """In a forked child: never let it be destroyed, which would wait for the parent's threads."""
        self._keep_for_ever([reading.connection for reading in self._readings])

    def interrupt(self) -> None:
        """Stop all reads that are running, each with `EngineError`. The writer goes on: replay must not stop."""
        with self._state:
            for reading in self._readings:
                reading.connection.interrupt()

    # files

    def checkpoint(self, wait: float = 0.0) -> bool:
        """Move the write-ahead file into the graph's file; false if reads are open: Kuzu waits for them, and fails.

        Args:
            wait: how long new reads may be held back, in seconds, until the open ones are over.

        Raises:
            StorageFull, EngineError: it failed. What was written stays in the write-ahead file.
        """
        with self._write_lock:
            self._check_open()
            if not self._quiet(wait):
                return False
            try:
                connection = self._connect()
                try:
                    connection.run("CHECKPOINT", {}, None).close()
                finally:
                    connection.close()
            finally:
                with self._state:
                    self._checkpointing = False
                    self._state.notify_all()
            return True

    def _quiet(self, wait: float) -> bool:
        """Hold new reads back, and wait for the open ones to end."""
        with self._state:
            self._checkpointing = True
            if self._state.wait_for(lambda: self._open_reads == 0, timeout=wait):
                return True
            self._checkpointing = False
            self._state.notify_all()
            return False

    def wal_bytes(self) -> int:
        """Size of the write-ahead file."""
        with suppress(FileNotFoundError):
            return self.path.with_name(self.path.name + ".wal").stat().st_size
        return 0

    def close(self) -> None:
        """End reads, wait for the writer, and close the files. Safe to repeat.

        Raises:
            EngineError: a read doesn't stop; the files stay open until the process ends.
        """
        if os.getpid() != self._pid:
            return
        with self._write_lock:
            with self._state:
                if self._closed:
                    return
                self._closed = True
                self._state.notify_all()
                readings, idle = list(self._readings), self._idle
                self._idle = []
            if not end(readings, self.interrupt, CLOSE_SECONDS):
                raise EngineError("a read of the graph doesn't stop", where=str(self.path))
            for connection in (*idle, *filter(None, [self._writer])):
                connection.close()
            self._writer = None
            self._database.close()
            _release(self._claim)

    @property
    def closed(self) -> bool:
        """Whether it was closed, or is of no more use after a failed COMMIT."""
        return self._closed

    def _check_open(self) -> None:
        if self.lost is not None:
            raise EngineError("the graph is being opened again after a failed commit", hint=str(self.lost))
        if self._closed:
            raise Closed("the graph was closed")
        if os.getpid() != self._pid:
            raise Forked("the graph was opened in another process")


# --- opening ------------------------------------------------------------------------------------------

Claim = tuple[int, int, str]
"""A file that may not exist yet: device and number of its directory, which may be renamed, and its name."""

_open: dict[Claim, weakref.ref[Engine] | None] = {}
_open_lock = threading.Lock()


def _claimed(path: Path) -> Claim:
    """One handle per file and process.

    A second one opens without error, sees old data, and its closing drops the lock on the file.
    """
    directory = path.parent.stat()
    claim = (directory.st_dev, directory.st_ino, path.name)
    with _open_lock:
        if claim in _open:
            raise InUse("this process has the graph open already", where=str(path))
        _open[claim] = None
    return claim


def _after_fork_in_child() -> None:
    """What the parent has open isn't open here."""
    global _open_lock
    _open_lock = threading.Lock()
    for reference in _open.values():
        engine = None if reference is None else reference()
        if engine is not None:
            engine.after_fork()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


def check_room(path: Path, *, probe: bool = False) -> None:
    """Refuse to begin what a full disk would break: see `Engine._abandon`.

    Args:
        path: of the graph.
        probe: whether to try with a file, since a quota doesn't show in the disk's free space.

    Raises:
        StorageFull: there is less room than MIN_FREE.
    """
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < MIN_FREE:
        raise StorageFull(f"{free >> 20} MiB are free; the graph is written while {MIN_FREE >> 20} are")
    if probe:
        try:
            with tempfile.TemporaryFile(dir=path.parent) as file:
                file.write(bytes(PROBE))
        except OSError as error:
            raise StorageFull(f"the graph can't grow: {error.strerror}", where=str(path)) from None


def _release(claim: Claim) -> None:
    with _open_lock:
        _open.pop(claim, None)


def _module(name: str) -> ModuleType:
    """The engine's package. Only one may be imported in a process: with both it crashes at exit."""
    if name not in ENGINES:
        raise BadInput(f"{name!r} is not one of {', '.join(ENGINES)}", where="engine")
    for other in ENGINES:
        if other != name and other in sys.modules:
            raise EngineMissing(
                f"this process runs {other}, and both crash it",
                where=name,
                hint="Open memories of different engines in different processes.",
            )
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EngineMissing(
            f"can't be imported: {error}", where=name, hint=f"Install it: pip install 'graphsvc[{name}]'."
        ) from None


def open_engine(name: str, path: Path, settings: Settings) -> Engine:
    """Open the graph at `path`, made if it isn't there.

    Args:
        name: `kuzu` or `ladybug`.

    Raises:
        EngineMissing: it isn't installed, or this process has imported the other one.
        InUse: the file is open, here or in another process.
        Corrupt: the file can't be opened; `where` is its path. Set it aside and rebuild from the log.
        ReadOnly, StorageFull: the disk says so.
    """
    module = _module(name)
    path = path.resolve()
    claim = _claimed(path)
    try:
        engine = Engine(name, path, settings, module, _database(module, name, path, settings), claim)
        _open[claim] = weakref.ref(engine)
        return engine
    except BaseException as error:
        _release(claim)
        if isinstance(error, GraphsvcError) or not isinstance(error, Exception):
            raise
        raise _not_opened(error, path) from None


def _database(module: ModuleType, name: str, path: Path, settings: Settings) -> Any:
    options: dict[str, Any] = {
        "buffer_pool_size": settings.graph_buffer_bytes,
        "max_num_threads": settings.graph_threads,
        "max_db_size": MAX_DB_SIZE,
        # a checkpoint inside COMMIT waits for readers and fails; ours run between batches, when nobody reads
        "auto_checkpoint": False,
    }
    if name == "ladybug":
        # 1 kill in 30 leaves a write-ahead file that Ladybug calls corrupt; without this it opens at a
        # consistent prefix, and the log brings the rest
        options["throw_on_wal_replay_failure"] = False
    return module.Database(str(path), **options)


def _not_opened(error: Exception, path: Path) -> GraphsvcError:
    text, where = str(error), str(path)
    lower = text.lower()
    if LOCKED in lower:
        return InUse("another process has the graph open", where=where, hint=text)
    if "permission denied" in lower or "read-only file system" in lower:
        return ReadOnly("the graph can't be written", where=where, hint=text)
    if lacks_resources(error):
        return NoResources(f"the graph can't be opened: {text}", where=where)
    kind = StorageFull if any(sign in lower for sign in FULL) else Corrupt
    return kind("the graph can't be opened", where=where, hint=text)
