"""What the verbs of every kind of record share: building a record, submitting, waiting, looking up, listing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import BadInput, WaitTimeout
from graphsvc.log.log import touching
from graphsvc.log.state import Stored
from graphsvc.memory.namespaces import Namespaces
from graphsvc.memory.opened import Opened
from graphsvc.memory.results import Event, Hits
from graphsvc.memory.retrieval import Query, Where, check_k, check_query, unit_vector
from graphsvc.model.filters import parse
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import check_name
from graphsvc.model.records import Record
from graphsvc.model.requests import NewRecord, Request
from graphsvc.model.times import from_micros
from graphsvc.model.validate import build, content_hash
from graphsvc.store.follower import Follower

T = TypeVar("T")

Wait = Literal["searchable", "graph"] | None
WAIT_SECONDS = 60.0
ORDERS = ("newest", "oldest", "id")


def new_id(at_ms: int | None = None) -> str:
    """An id that sorts by time: UUID version 7 (RFC 9562), 74 bits of it chance."""
    stamp = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    value = (stamp & ((1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_LEFT: ContextVar[list[tuple[int, str]] | None] = ContextVar("left", default=None)


def without_waiting(verb: Callable[[], T]) -> tuple[T, list[tuple[int, str]]]:
    """What a verb gives, and what it left out: which entry it would have waited for, and until what."""
    left: list[tuple[int, str]] = []
    token = _LEFT.set(left)
    try:
        return verb(), left
    finally:
        _LEFT.reset(token)


class NotKept(Exception):
    """An answer would have to be computed, where only kept ones were asked for."""


class Verbs:
    """The verbs of one kind of record, on one handle. With `only_kept`, what no kept answer answers raises NotKept."""

    kind: str

    def __init__(self, opened: Opened, namespaces: Namespaces, *, only_kept: bool = False) -> None:
        self._only_kept = only_kept
        self._opened = opened
        self._namespaces = namespaces
        self._retrieval = opened.retrieval
        self._seen = (self.kind, namespaces.agent, namespaces.shared)

    # --- building ----------------------------------------------------------------------------------------

    def _new(self, values: dict[str, Any], *, vector: Any = None, prefix: str = "") -> NewRecord:
        """A record ready to be stored, from what the caller gave."""
        given = {name: value for name, value in values.items() if value is not None}
        if KINDS[self.kind].searchable and (own := given.pop("vector", None)) is not None:
            if vector is not None:
                raise BadInput("is given with the record, and beside it", where=f"{prefix}vector")
            vector = own
        fresh = "id" not in given
        given.setdefault("at", datetime.now(UTC))
        if fresh:
            given["id"] = new_id()
        record = build(KINDS[self.kind], given, self._opened.limits, prefix=prefix)
        fields = {name: getattr(record, name) for name in given}  # as checked: 1 and 1.0 are the same content
        data = b"" if vector is None else self._vector(vector, f"{prefix}vector")
        return NewRecord.of(record, content_hash(self.kind, fields), vector=data, fresh=fresh)

    def _vector(self, vector: Any, where: str = "vector") -> bytes:
        return unit_vector(vector, self._opened.store.vectors.dimension, where=where).tobytes()

    # --- writing -----------------------------------------------------------------------------------------

    def _submit(self, request: Request, wait: Any = None) -> Any:
        self._opened.check()
        check_wait(wait)
        ticket = self._opened.log.submit(request)
        if wait is not None:
            self._await(ticket.n, wait)
        return ticket.result

    def _await(self, n: int, wait: str) -> None:
        left = _LEFT.get()
        if left is not None:
            left.append((n, wait))
        elif not self._opened.store.wait(self._awaited(wait), n, WAIT_SECONDS):
            raise _not_yet(n, wait)

    async def _await_async(self, n: int, wait: str) -> None:
        if not await self._opened.store.wait_async(self._awaited(wait), n, WAIT_SECONDS):
            raise _not_yet(n, wait)

    def _awaited(self, wait: str) -> tuple[Follower, ...]:
        """The projections that must have it."""
        store = self._opened.store
        return (store.graph_follower,) if wait == "graph" else (store.text_follower, store.vectors.follower)

    # --- reading -----------------------------------------------------------------------------------------

    def _resolve(self, id: Any, agents: tuple[str, ...] | None) -> Stored:
        self._opened.check()
        return self._opened.log.resolve(self.kind, check_name(id, "id"), agents)

    def _ref(self, id: Any, agent: Any) -> tuple[str, str]:
        """Agent and id of the record that a change is about."""
        stored = self._resolve(id, self._namespaces.changes(agent))
        return stored.agent, stored.id

    def _refs(self, ids: Any, agent: Any) -> list[tuple[str, str]]:
        if isinstance(ids, str):
            return [self._ref(ids, agent)]
        if not isinstance(ids, Sequence | set | frozenset):
            raise BadInput(f"expected an id or a list of ids, got {type(ids).__name__}", where="id")
        return [self._ref(id, agent) for id in ids]

    def _list(self, where: Where, agent: Any, k: Any, order: Any) -> list[Record]:
        self._opened.check()
        limit = check_k(k, self._opened.settings.max_results)
        if order not in ORDERS:
            raise BadInput(f"{order!r} is not one of {', '.join(ORDERS)}", where="order")
        rows = self._rows(where, agent)
        log = self._opened.log
        if order == "id":
            records = sorted(log.records(rows).values(), key=lambda record: (record.id, record.agent))
            return records[:limit]
        times = log.columns.values(self.kind, "at", rows)
        sign = -1 if order == "newest" else 1
        chosen = rows[np.lexsort((rows, sign * times))[:limit]]
        records_by_row = log.records(chosen)
        return [records_by_row[row] for row in chosen.tolist() if row in records_by_row]

    def _rows(self, where: Where, agent: Any) -> Any:
        filter = parse(where, KINDS[self.kind])
        rows, _ = self._opened.log.mask(self.kind, filter, self._namespaces.reads(agent))
        return rows

    def count(self, where: Where = None, *, agent: str | Sequence[str] | None = None) -> int:
        """How many live records pass a filter.

        Args:
            where: the filter; None for all. agent: namespace or namespaces; None for all that the handle sees.
        """
        self._opened.check()
        return len(self._rows(where, agent))

    def history(self, id: str, *, agent: str | None = None) -> list[Event]:
        """Everything that happened to a record, oldest first; deleted ones too.

        Raises:
            NotFound: no record ever had this id. Ambiguous: several namespaces have it.
        """
        self._opened.check()
        return history(self._opened, (self.kind,), id, self._namespaces.reads(agent))

    def _query(self, text: Any, k: Any, where: Where, agent: Any, **options: Any) -> Query:
        return check_query(
            self.kind, text, k, where, self._namespaces.reads(agent), self._opened.settings.max_results,
            dimension=self._opened.store.vectors.dimension, **options,
        )  # fmt: skip

    def _answered(self, request: Hashable, compute: Callable[[], Hits[Any]]) -> Hits[Any]:
        """The answer to a request: kept from before if nothing changed, else computed; the caller's own either way.

        The request is what the caller gave, unchecked: what isn't right never has an answer that is kept. None where
        the answer depends on more than that.
        """
        retrieval = self._retrieval
        key, stamp = (self._seen, request), retrieval.stamp(self.kind)
        answer: Hits[Any] | None = None if request is None else retrieval.cache.get(key, stamp)
        if answer is None:
            if self._only_kept:
                raise NotKept
            answer = compute()
            if request is None or answer.pending or answer.behind:
                return answer
            retrieval.cache.put(key, stamp, answer)
        return answer.again()

    def _many(
        self, ask: Callable[..., Hits[Any]], texts: Any, k: Any, vectors: Any, options: Mapping[str, Any]
    ) -> list[Any]:
        """A search for each of many texts, which are embedded together."""
        self._opened.check()
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            raise BadInput(f"expected a list of texts, got {type(texts).__name__}", where="texts")
        for index, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise BadInput("expected text", where=f"texts[{index}]")
        given = self._vectors(vectors, len(texts), "texts")
        if texts and vectors is None and options.get("mode") != "text":
            self._opened.store.vectors.encode_query(list(texts))  # into the cache, in one batch
        return [ask(text, k, vector=vector, **options) for text, vector in zip(texts, given, strict=True)]

    def _embedding(self, id: Any, agent: Any) -> NDArray[np.float32] | None:
        """The vector of a record's present text; None where it isn't embedded yet."""
        row = np.array([self._resolve(id, self._namespaces.reads(agent)).row])
        hot = self._opened.store.vectors.hot
        positions = hot.fresh(row, self._opened.log.columns.hash_of(row))
        return None if positions[0] < 0 else hot.vectors(positions)[0]

    def _vectors(self, vectors: Any, count: int, of: str) -> Sequence[Any]:
        """A vector for each of many records, or None for each."""
        if vectors is None:
            return [None] * count
        if isinstance(vectors, str | bytes | Mapping) or not hasattr(vectors, "__len__"):
            raise BadInput(f"expected an array of vectors, got {type(vectors).__name__}", where="vectors")
        if isinstance(vectors, np.ndarray) and vectors.ndim == 0:
            raise BadInput("expected an array of vectors, got a number", where="vectors")
        if len(vectors) != count:
            raise BadInput(f"{len(vectors)} vectors for {count} {of}", where="vectors")
        return cast("Sequence[Any]", vectors)

    def _note_given(self, record: Record) -> None:
        """A record was given another vector: until that is searched, the old one doesn't count."""
        stored = self._resolve(record.id, (record.agent,))
        self._retrieval.note_given(stored.row, stored.last)


def _not_yet(n: int, wait: str) -> WaitTimeout:
    hint = "It stays stored and will be; see memory.status()."
    return WaitTimeout(f"stored as entry {n}, but not {wait} after {WAIT_SECONDS:g} s", where="wait", hint=hint)


def check_wait(wait: Any) -> None:
    """`wait` is None, "searchable" or "graph"."""
    if wait not in (None, "searchable", "graph"):
        raise BadInput(f"{wait!r} is neither 'searchable' nor 'graph'", where="wait")


def history(opened: Opened, kinds: tuple[str, ...], id: str, agents: tuple[str, ...] | None) -> list[Event]:
    """The history of the record that an id means among some kinds; see `Verbs.history`."""
    check_name(id, "id")
    stored = opened.log.find_any(kinds, id, agents)
    changes = opened.log.history(stored.row, stored.first)
    return [
        Event(change.n, from_micros(change.at).isoformat(), change.verb, what, values)
        for change, what, values in touching(changes, stored.row)
    ]
