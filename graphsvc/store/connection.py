"""One connection to the graph engine: what may go into a statement, how it is run, what comes out."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID

from graphsvc.cypher.tokens import parameters_of
from graphsvc.errors import (
    BadInput,
    BufferFull,
    EngineError,
    GraphsvcError,
    MemoryLimit,
    QueryTimeout,
    StorageFull,
)
from graphsvc.store.arrow import pa

CHUNK = 1_000

WORN = 100
"""Statements prepared on one connection before it is replaced: making one takes a third of a millisecond."""
_PREPARED = 32
"""Statements that a connection keeps prepared. On Ladybug each holds up to a megabyte of buffer memory: 120 changes of
all sorts, read back, took 172 MB with 128 of them, and take 78 MB with 32."""
_INT64 = 1 << 63


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
    given, wanted = parameters or {}, parameters_of(statement)
    if given.keys() != wanted:
        missing, extra = sorted(wanted - given.keys()), sorted(given.keys() - wanted)
        what = f"has no value for ${missing[0]}" if missing else f"doesn't use ${extra[0]}"
        raise BadInput(what, where="parameters")
    return {name: _value(value, name) for name, value in given.items()}


def _value(value: Any, where: str) -> Any:
    kind = type(value)
    if kind is str or kind is float or kind is bool or value is None:
        return value
    if kind is int and -_INT64 <= value < _INT64:
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


FULL = ("no space left on device", "disk quota exceeded", "cannot write to file")
LOCKED = "could not set lock"
_NO_BUFFER = "buffer pool is full"


def translated(error: BaseException) -> GraphsvcError:
    """An engine's error as ours, with the engine's text."""
    if isinstance(error, GraphsvcError):
        return error
    text = str(error).strip() or type(error).__name__
    lower = text.lower()
    if any(sign in lower for sign in FULL):
        return StorageFull("the graph could not be written", hint=text)
    return BufferFull(text) if _NO_BUFFER in lower else EngineError(text)


class Connection:
    """One connection, its prepared statements, and whether it is running."""

    def __init__(self, module: ModuleType, database: Any, threads: int) -> None:
        self._module = module
        self._raw = module.Connection(database, num_threads=threads)
        self._prepared: OrderedDict[str, Any] = OrderedDict()
        self._limit_ms = 0
        self._made = 0
        self.interrupted = False
        self.over_memory = self.over_time = False

    def run(self, statement: str, parameters: dict[str, Any], timeout: float | None, *, once: bool = False) -> Any:
        """Execute one statement; its result is complete when this returns.

        Args:
            once: whether it won't come again, so that it isn't kept prepared.

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
            return self._raw.execute(statement if once else self._prepare(statement, parameters), parameters)
        except Exception as error:
            if "interrupted" in str(error).lower():
                raise self._stopped(timeout, time.monotonic() - began) from None
            raise translated(error) from None

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
            raise translated(error) from None

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
            self._made += 1
            return self._module.PreparedStatement(self._raw, statement, parameters)
        prepared = self._prepared.pop(statement, None)
        if prepared is None:
            # with its values: where the engine doesn't know a parameter's type, many a function ends the process
            self._made += 1
            prepared = self._module.PreparedStatement(self._raw, statement, parameters)
            if len(self._prepared) >= _PREPARED:
                self._prepared.popitem(last=False)
        self._prepared[statement] = prepared
        return prepared

    @property
    def worn(self) -> bool:
        """Whether it is to be replaced by a new one: on Kuzu some memory of each statement that was prepared with a
        list or table stays with its connection, tens of kilobytes of it (`tests/engine/test_traps.py`).
        """
        return self._made > WORN

    def interrupt(self, *, over_memory: bool = False, over_time: bool = False) -> None:
        self.interrupted, self.over_memory, self.over_time = True, over_memory, over_time
        self._raw.interrupt()

    def close(self) -> None:
        # prepared statements first: on Ladybug one that outlives its connection makes the next open in this
        # process report corruption
        self._prepared.clear()
        with suppress(Exception):
            self._raw.close()


def fetched(result: Any, limit: int | None = None) -> Rows:
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
