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
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast
from uuid import UUID

import pyarrow as pa

from graphsvc.config import Settings
from graphsvc.cypher.growth import check_growth
from graphsvc.cypher.parse import parse
from graphsvc.cypher.plans import check_plan
from graphsvc.cypher.reads import Read, check_own_read, judged
from graphsvc.cypher.rules import check_statement
from graphsvc.cypher.syntax import Query
from graphsvc.cypher.tokens import parameters_of, tokens
from graphsvc.cypher.values import Schema
from graphsvc.cypher.visible import visible
from graphsvc.errors import (
    BadInput,
    BufferFull,
    Closed,
    Corrupt,
    EngineError,
    EngineMissing,
    Forked,
    GraphsvcError,
    InUse,
    MemoryLimit,
    Overloaded,
    QueryTimeout,
    ReadOnly,
    StorageFull,
)
from graphsvc.store.answers import Answer, graph_answer, plain_answer
from graphsvc.store.tables import Tables, check_times, defines, holds_times, read_tables
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
CHUNK = 1_000

_PREPARED = 32
"""Statements that a connection keeps prepared. On Ladybug each holds up to a megabyte of buffer memory: 120 changes of
all sorts, read back, took 172 MB with 128 of them, and take 78 MB with 32."""
_JUDGED = 256
"""Users' reads of which it is kept that they were found to be reads."""
_T = TypeVar("_T")
_INT64 = 1 << 63


class CommitUnclear(Exception):
    """COMMIT failed. What it should have committed may be there all the same: read `applied` to learn."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a statement returned.

    Attributes:
        columns: their names.
        rows: values in the order of the columns, at most `limit` of them.
        more: whether there were more rows than `limit`.
    """

    columns: list[str]
    rows: list[list[Any]]
    more: bool = False

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def one(self) -> list[Any] | None:
        """The first row."""
        return self.rows[0] if self.rows else None


# --- what may go in -----------------------------------------------------------------------------------


def check_parameters(statement: str, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameters as an engine takes them.

    Names are compared with those that the statement uses: Kuzu reads a missing one as NULL, Ladybug takes no
    notice of one too many. numpy scalars become Python's, tuples lists, times with a zone UTC without one (both
    engines drop the offset otherwise).

    Raises:
        BadInput: a name is missing or one too many, or a value is of a type that engines don't have.
    """
    given = dict(parameters or {})
    wanted = parameters_of(statement)
    if given.keys() != wanted:
        missing, extra = sorted(wanted - given.keys()), sorted(given.keys() - wanted)
        what = f"has no value for ${missing[0]}" if missing else f"doesn't use ${extra[0]}"
        raise BadInput(what, where="parameters")
    return {name: _value(value, name) for name, value in given.items()}


def _value(value: Any, where: str) -> Any:
    kind = type(value)
    if kind is str or kind is float or kind is bool or value is None:
        return value
    if kind.__module__ == "numpy" and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise BadInput(f"{value} doesn't fit 64 bits", where=where)
        return value
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, list | tuple):
        return [_value(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {str(name): _value(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, str | float | bytes | date | timedelta | Decimal | UUID):
        return value
    raise BadInput(f"{kind.__name__} is no type of a parameter", where=where)


# --- what comes out -----------------------------------------------------------------------------------


_FULL = ("no space left on device", "disk quota exceeded", "cannot write to file")
_LOCKED = "could not set lock"
_NO_BUFFER = "buffer pool is full"


def _translated(error: BaseException) -> GraphsvcError:
    """An engine's error as ours, with the engine's text."""
    if isinstance(error, GraphsvcError):
        return error
    text = str(error).strip() or type(error).__name__
    lower = text.lower()
    if any(sign in lower for sign in _FULL):
        return StorageFull("the graph could not be written", hint=text)
    return BufferFull(text) if _NO_BUFFER in lower else EngineError(text)


class _Connection:
    """One connection, its prepared statements, and whether it is running."""

    def __init__(self, module: ModuleType, database: Any, threads: int) -> None:
        self._module = module
        self._raw = module.Connection(database, num_threads=threads)
        self._prepared: OrderedDict[str, Any] = OrderedDict()
        self._limit_ms = 0
        self.interrupted = False
        self.over_memory = self.over_time = False

    def run(self, statement: str, parameters: dict[str, Any], timeout: float | None) -> Any:
        """Execute one statement; its result is complete when this returns.

        Raises:
            QueryTimeout: it took longer than `timeout` seconds.
            EngineError: the engine refused or failed it, or it was interrupted.
        """
        limit = 0 if timeout is None else max(1, round(timeout * 1000))
        if limit != self._limit_ms:
            self._raw.set_query_timeout(limit)
            self._limit_ms = limit
        self.interrupted = self.over_memory = self.over_time = False
        began = time.monotonic()
        try:
            return self._raw.execute(self._prepare(statement, parameters), parameters)
        except Exception as error:
            if "interrupted" in str(error).lower():
                raise self._stopped(timeout, time.monotonic() - began) from None
            raise _translated(error) from None

    def explain(self, statement: str, parameters: dict[str, Any], timeout: float) -> str:
        """The plan of a statement, as the engine draws it. Nothing of the statement is executed."""
        self._raw.set_query_timeout(max(1, round(timeout * 1000)))
        self._limit_ms = -1
        try:
            result = self._raw.execute(
                self._module.PreparedStatement(self._raw, f"EXPLAIN {statement}", parameters), parameters
            )
            try:
                return "\n".join(str(row[0]) for row in result.get_all())
            finally:
                result.close()
        except Exception as error:
            raise _translated(error) from None

    def _stopped(self, timeout: float | None, took: float) -> EngineError:
        if self.over_memory:
            return MemoryLimit(f"was stopped after {took:.1f} s", where="statement")
        if self.over_time or (timeout is not None and not self.interrupted):
            return QueryTimeout(f"took longer than {took if timeout is None else timeout:.3g} s", where="statement")
        return EngineError(f"was interrupted after {took:.1f} s", where="statement")

    def _prepare(self, statement: str, parameters: dict[str, Any]) -> Any:
        """A prepared statement, kept for the next time; both engines bind and plan it anew at each execution.

        One with a table as parameter is dropped after use: it holds buffer memory for as long as it lives, and
        Ladybug's own `execute(text)` keeps every one, until the buffer pool is full.
        """
        if any(isinstance(value, pa.Table) for value in parameters.values()):
            return self._module.PreparedStatement(self._raw, statement, parameters)
        prepared = self._prepared.pop(statement, None)
        if prepared is None:
            # with its values: where the engine doesn't know a parameter's type, many a function ends the process
            prepared = self._module.PreparedStatement(self._raw, statement, parameters)
            if len(self._prepared) >= _PREPARED:
                self._prepared.popitem(last=False)
        self._prepared[statement] = prepared
        return prepared

    def interrupt(self, *, over_memory: bool = False, over_time: bool = False) -> None:
        self.interrupted, self.over_memory, self.over_time = True, over_memory, over_time
        self._raw.interrupt()

    def close(self) -> None:
        # prepared statements first: on Ladybug one that outlives its connection makes the next open in this
        # process report corruption
        self._prepared.clear()
        with suppress(Exception):
            self._raw.close()


def _rows(result: Any, limit: int | None = None) -> Rows:
    """The rows of a result, in chunks, one past `limit` at most."""
    columns: list[str] = result.get_column_names()
    wanted = None if limit is None else limit + 1
    rows: list[list[Any]] = []
    while wanted is None or len(rows) < wanted:
        size = CHUNK if wanted is None else min(CHUNK, wanted - len(rows))
        chunk = result.get_n(size)
        rows += chunk
        if len(chunk) < size:
            break
    more = limit is not None and len(rows) > limit
    return Rows(columns, rows[:limit] if more else rows, more)


class _Reading:
    """One read: a connection on loan, and the complete result of its statement.

    The read transaction is over before the first row is fetched, since an engine's result is complete by then:
    whoever fetches may take their time without holding up checkpoints.
    """

    def __init__(self, engine: Engine, connection: _Connection) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._result: Any = None
        self._healthy = False
        self.connection = connection
        self.kept: Any = None
        self._timeout = self._until = 0.0

    def run(
        self,
        statement: str,
        values: dict[str, Any],
        timeout: float,
        *,
        users: bool = False,
        within: Callable[[Any, _Reading], Any] | None = None,
    ) -> None:
        """Run the statement in a read-only transaction of its own; a user's only if its plan reads.

        What `within` makes of the result, inside the transaction, is kept.
        """
        run, engine, text, timed = self.connection.run, self._engine, statement, True
        self._timeout, self._until = timeout, time.monotonic() + timeout
        limit = None if users else timeout  # a user's is kept by the watch
        with self._lock, engine._transaction_open():
            engine._check_open()
            defined = engine._defined
            run("BEGIN TRANSACTION READ ONLY", {}, limit).close()
            try:
                if users:
                    known = engine._look(self.connection, defined)
                    text, timed = engine._judge(self.connection, known, statement, values, timeout).text, known.timed
                with engine._watch.over(self.connection, self._until, watched=users):
                    result = run(text, values, limit)
                    if users:
                        check_times(result, elements=timed)
                    if within is not None:
                        self.kept = within(result, self)
            except BaseException:
                with suppress(EngineError):
                    run("ROLLBACK", {}, limit).close()
                raise
            self._result = result
            run("COMMIT", {}, limit).close()
            self._healthy = True

    def ask(self, statement: str, values: dict[str, Any]) -> pa.Table:
        """Another statement, one of ours, within the same transaction."""
        result = self.connection.run(statement, values, None)
        try:
            return result.get_as_arrow(chunk_size=100_000)
        finally:
            result.close()

    def check(self) -> None:
        """Between two pieces of a result: whether its time is up, or it was interrupted."""
        if time.monotonic() > self._until:
            raise QueryTimeout(f"took longer than {self._timeout:g} s", where="statement")
        if self.connection.interrupted:
            raise EngineError("was interrupted while its rows were fetched", where="statement")

    def fetch(self, how: Callable[[Any], _T]) -> _T:
        """What `how` makes of the result."""
        with self._lock:
            if self._result is None:
                raise Closed("the graph was closed")
            try:
                return how(self._result)
            except Exception as error:
                raise _translated(error) from None

    def close(self, wait: float = -1) -> bool:
        """Give the connection back; false if it was still running after `wait` seconds. Safe to repeat."""
        if not self._lock.acquire(timeout=wait):
            return False
        try:
            if self._result is not None:
                self._result.close()
                self._result = None
            self._engine._give_back(self, self._healthy)
            return True
        finally:
            self._lock.release()


# --- the engine ---------------------------------------------------------------------------------------


class Transaction:
    """The one write transaction. Made by `Engine.transaction`."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._failed: GraphsvcError | None = None
        self.defines = False

    def execute(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        limit: int | None = None,
        users: bool = False,
    ) -> Rows:
        """One statement inside the transaction, at most `limit` rows of it. Without a time limit unless one is given:
        replay has none.

        Args:
            users: whether it comes from outside. `check_write` has judged it before it was logged; what its arguments
                are, only the tables tell that there are now.

        Raises:
            NotAllowed: a function of a user's statement would be given what ends the process; nothing was run.
            BadInput: wrong parameters.
            EngineError: the engine failed it; nothing of the transaction will be kept.
        """
        text, values = self._judged(statement, parameters, users)
        return cast(Rows, self._run(text, values, timeout, lambda result: _rows(result, limit)))

    def answer(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        limit: int = 1_000_000,
        users: bool = False,
    ) -> Answer:
        """The same, with what it returns as `Engine.answer` gives it."""
        text, values = self._judged(statement, parameters, users)

        def gather(result: Any) -> Answer:
            return graph_answer(result, limit, self._ask, self._check) or plain_answer(result, limit, self._check)

        return cast(Answer, self._run(text, values, timeout, gather))

    def _judged(
        self, statement: str, parameters: Mapping[str, Any] | None, users: bool
    ) -> tuple[str, dict[str, Any]]:
        """What the engine is to be given: the statement, and the values of its parameters."""
        check_statement(statement)
        values = check_parameters(statement, parameters)
        if users and isinstance(parsed := parse(statement), Query):
            tables = read_tables(lambda asked: _rows(self._connection.run(asked, {}, None)).dicts())
            check_growth(statement, parsed, values, tables.columns)
            statement = visible(statement, parsed, tables.nodes)
        return statement, values

    def _ask(self, statement: str, values: dict[str, Any]) -> pa.Table:
        return self._run(statement, values, None, lambda result: result.get_as_arrow(chunk_size=100_000))

    def bulk_load(self, statement: str, rows: pa.Table) -> int:
        """A `LOAD FROM $rows … RETURN count(*)` over an Arrow table: how many rows it did.

        A row whose MATCH finds nothing is dropped by the engines in silence, so callers compare the count.
        """
        return self._count(self.bulk_read(statement, rows)) if rows.num_rows else 0

    def bulk_read(self, statement: str, rows: pa.Table, *, timeout: float | None = None) -> Rows:
        """A `LOAD FROM $rows … RETURN …` over an Arrow table that isn't empty: what it returned."""
        check_statement(statement)
        if parameters_of(statement) != {"rows"}:
            raise BadInput("takes $rows and nothing else", where="statement")
        return cast(Rows, self._run(statement, {"rows": rows}, timeout))

    def each(self, statement: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """A statement that ends in `RETURN count(*)`, once for each row of parameters: how many it did in all.

        For a handful of rows this is far faster than `bulk_load`, which on Kuzu reads whole tables.
        """
        check_statement(statement)
        return sum(self._count(self._run(statement, check_parameters(statement, row), None)) for row in rows)

    @staticmethod
    def _count(rows: Rows) -> int:
        row = rows.one()
        return 0 if row is None else int(row[0])

    def _run(
        self,
        statement: str,
        parameters: dict[str, Any],
        timeout: float | None,
        gather: Callable[[Any], Any] | None = None,
    ) -> Any:
        # After an error the engine has rolled back and would run what follows in auto-commit.
        self._check()
        if tokens(statement)[0].word == "COPY":
            # COPY of relationships and then ROLLBACK leaves Kuzu's table empty for good.
            raise BadInput("COPY can't share a transaction", where="statement")
        self.defines = self.defines or defines(statement)
        try:
            result = self._connection.run(statement, parameters, timeout)
            try:
                check_times(result)
                return _rows(result) if gather is None else gather(result)
            finally:
                result.close()
        except GraphsvcError as error:
            self._failed = error
            raise

    def _check(self) -> None:
        if self._failed is not None:
            raise EngineError("the transaction failed before", hint=str(self._failed))


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known while no statement changes tables.

    Attributes:
        timed: whether nodes and edges may hold times that aren't Python's.
        reads: users' statements that were judged, the oldest first.
    """

    tables: Tables
    timed: bool
    reads: OrderedDict[str, Read]

    @classmethod
    def of(cls, ask: Callable[[str], list[dict[str, Any]]]) -> _Known:
        tables = read_tables(ask)
        return cls(tables, holds_times(tables.columns), OrderedDict())


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
        self._writer: _Connection | None = None
        self._state = threading.Condition()
        self._idle: list[_Connection] = []
        self._readings: set[_Reading] = set()
        self._open_reads = 0
        self._checkpointing = False
        self._watch = Watch(settings.graph_memory_bytes + settings.graph_buffer_bytes)
        self._defined = 0
        self._known: _Known | None = None

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
            return reading.fetch(lambda result: _rows(result, limit))

    def answer(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        limit: int,
    ) -> Answer:
        """At most `limit` rows of a user's reading statement, nodes, edges and paths as ours. Errors as `execute`."""

        def gather(result: Any, reading: _Reading) -> Answer | None:
            return graph_answer(result, limit, reading.ask, reading.check)

        with self._read(statement, parameters, timeout, users=True, within=gather) as reading:
            if reading.kept is not None:
                return cast(Answer, reading.kept)
            return reading.fetch(lambda result: plain_answer(result, limit, reading.check))

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
        within: Callable[[Any, _Reading], Any] | None = None,
    ) -> Iterator[_Reading]:
        if not users:
            check_own_read(statement)
        values = check_parameters(statement, parameters)
        reading = self._lend()
        try:
            seconds = self._settings.graph_timeout if timeout is None else timeout
            reading.run(statement, values, seconds, users=users, within=within)
            yield reading
        finally:
            reading.close()

    def schema(self) -> Schema:
        """The types of columns by table and name, of all tables that there are."""
        known, defined = self._known, self._defined
        if known is None:
            known = self._keep(_Known.of(lambda statement: self.execute(statement).dicts()), defined)
        return known.tables.columns

    def _look(self, connection: _Connection, defined: int) -> _Known:
        """What is known of the tables, read anew where a statement has changed them.

        Args:
            defined: how often tables had been changed before the connection's transaction began.
        """
        known = self._known
        if known is None:
            known = self._keep(_Known.of(lambda text: _rows(connection.run(text, {}, None)).dicts()), defined)
        return known

    def _keep(self, known: _Known, defined: int) -> _Known:
        with self._state:
            if self._defined == defined:  # else it may be of before
                self._known = known
        return known

    def _judge(
        self, connection: _Connection, known: _Known, statement: str, values: dict[str, Any], timeout: float
    ) -> Read:
        """The first wall and the second: a statement, and its plan; once, where parameters can't matter."""
        read = known.reads.get(statement)
        if read is not None:
            if not read.fixed:
                check_growth(statement, read.query, values, known.tables.columns)
            return read
        read = judged(statement, tables=known.tables.columns, nodes=known.tables.nodes, parameters=values)
        try:
            self._check_plan(connection, read.text, values, timeout)
        except EngineError:
            if read.text != statement:  # the same error, with places in the statement as the user wrote it
                connection.explain(statement, values, timeout)
            raise
        with self._state:
            known.reads[statement] = read
            if len(known.reads) > _JUDGED:
                known.reads.popitem(last=False)
        return read

    def _check_plan(self, connection: _Connection, statement: str, values: dict[str, Any], timeout: float) -> None:
        """The operators that a user's statement would run as."""
        explains = [token for token in tokens(statement)[:2] if token.word in ("EXPLAIN", "LOGICAL")]
        asked = statement[explains[-1].end :] if explains and explains[0].at == tokens(statement)[0].at else statement
        check_plan(connection.explain(asked, values, timeout))

    @contextmanager
    def _transaction_open(self) -> Iterator[None]:
        """Around every read transaction: a checkpoint waits until none is open."""
        with self._state:
            self._state.wait_for(lambda: not self._checkpointing)
            self._open_reads += 1
        try:
            yield
        finally:
            with self._state:
                self._open_reads -= 1
                self._state.notify_all()

    def _lend(self) -> _Reading:
        deadline = time.monotonic() + self._settings.graph_timeout
        with self._state:
            while True:
                self._check_open()
                if self._idle or len(self._readings) < MAX_CONNECTIONS:
                    reading = _Reading(self, self._idle.pop() if self._idle else self._connect())
                    self._readings.add(reading)
                    return reading
                if not self._state.wait(deadline - time.monotonic()):
                    raise Overloaded(f"{MAX_CONNECTIONS} reads of the graph are running already")

    def _give_back(self, reading: _Reading, healthy: bool) -> None:
        with self._state:
            if reading not in self._readings:
                return
            self._readings.discard(reading)
            if healthy and not self._closed and len(self._idle) < self._settings.readers:
                self._idle.append(reading.connection)
            elif self.lost is None:
                reading.connection.close()
            self._state.notify_all()

    def _connect(self) -> _Connection:
        return _Connection(self._module, self._database, self._settings.graph_threads)

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

    def _roll_back(self, writer: _Connection) -> None:
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

    def _keep_for_ever(self, connections: Iterable[_Connection]) -> None:
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
            self.interrupt()
            if not all(reading.close(CLOSE_SECONDS) for reading in readings):
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
    text = str(error)
    lower = text.lower()
    where = str(path)
    if _LOCKED in lower:
        return InUse("another process has the graph open", where=where, hint=text)
    if "permission denied" in lower or "read-only file system" in lower:
        return ReadOnly("the graph can't be written", where=where, hint=text)
    if any(sign in lower for sign in _FULL):
        return StorageFull("the graph can't be opened", where=where, hint=text)
    return Corrupt("the graph can't be opened", where=where, hint=text)
