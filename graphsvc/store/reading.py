"""One read of the graph: a connection on loan, a transaction that only reads, and the rows, taken at leisure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from graphsvc.errors import (
    Closed,
    EngineError,
    QueryTimeout,
)
from graphsvc.store.answers import Answer, plain_answer
from graphsvc.store.arrow import pa
from graphsvc.store.connection import Connection, translated
from graphsvc.store.stop import Stop
from graphsvc.store.tables import check_times

if TYPE_CHECKING:
    from graphsvc.store.engine import Engine

_T = TypeVar("_T")

AGAIN_SECONDS = 0.1
"""After what time a read that is to end is interrupted again."""


class Reading:
    """One read: a connection on loan, and the complete result of its statement.

    The read transaction is over before the first row is fetched, since an engine's result is complete by then:
    whoever fetches may take their time without holding up checkpoints.
    """

    def __init__(self, engine: Engine, connection: Connection) -> None:
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
        within: Callable[[Any, Reading], Any] | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Run the statement in a read-only transaction of its own; a user's only if its plan reads.

        What `within` makes of the result, inside the transaction, is kept. `stop` may end it.
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
                    read, timed = engine._judge(self.connection, known, statement, values, timeout), known.timed
                    text = read.text
                with engine._watch.over(self.connection, self._until, watched=users), self._may_stop(stop):
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
            if users and within is not None and self.kept is None:
                read.ran = True

    def run_alone(
        self, text: str, values: dict[str, Any], timeout: float, timed: bool, stop: Stop | None, *, once: bool
    ) -> None:
        """Run a user's statement that has run in a read-only transaction, by `run`, without one around it.

        It did, so that to the engine it is a read, which is told from its text alone; and of reads the engine makes
        the transaction a read-only one itself. BEGIN and COMMIT cost more than a row that is found by its key.
        """
        engine, connection = self._engine, self.connection
        self._timeout, self._until = timeout, time.monotonic() + timeout
        with self._lock:
            engine._begin_read()
            engine._watch.begin(connection, self._until)
            try:
                engine._check_open()
                with nullcontext() if stop is None else self._may_stop(stop):
                    result = connection.run(text, values, None, once=once)
                    check_times(result, elements=timed)
            finally:
                engine._watch.end(connection)
                engine._end_read()
            self._result = result
            self._healthy = True

    def plain(self, limit: int) -> Answer:
        """The result, which has no nodes, edges and paths."""
        return self.fetch(lambda result: plain_answer(result, limit, self.check))

    @contextmanager
    def _may_stop(self, stop: Stop | None) -> Iterator[None]:
        if stop is None:
            yield
            return
        stop.watch(self.connection)
        try:
            if stop.asked:
                raise EngineError("was stopped before it began", where="statement")
            yield
        finally:
            stop.watch(None)

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
                raise translated(error) from None

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


def end(readings: Iterable[Reading], interrupt: Callable[[], None], seconds: float) -> bool:
    """Interrupt reads until they are over, and close them; false if one isn't after so long.

    An engine forgets an interrupt that comes as a statement begins.
    """
    interrupt()
    deadline = time.monotonic() + seconds
    for reading in readings:
        while not reading.close(AGAIN_SECONDS):
            if time.monotonic() > deadline:
                return False
            interrupt()
    return True
