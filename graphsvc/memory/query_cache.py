"""Answers kept for a while, never stale: what they depend on is part of the key."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime
from typing import Any

import msgspec

from graphsvc.model.filters import MAX_DEPTH, Expression

HIT_BYTES = 1_250
"""Of a hit beside its record as MessagePack: measured of episodes, 1,503 bytes in all with 274 of these."""
SHARE = 10
"""An answer may take one part in so many of what all may."""
PLAIN = frozenset({str, int, float, bool, type(None), datetime})
_encoder = msgspec.msgpack.Encoder()


def request_of(*given: Any) -> Hashable:
    """What a caller gave, as a key to look an answer up by before anything is checked; None if it can't be one.

    Types are part of it: 1, 1.0 and True are equal, and ask for different things.
    """
    types = tuple(map(type, given))
    if PLAIN.issuperset(types):
        return given, types
    try:
        return tuple(_frozen(value, 0) for value in given)
    except TypeError:
        return None


def _frozen(value: Any, depth: int) -> Hashable:
    """A value that can't change, equal only for equals of one type. Raises TypeError where there is none."""
    kind = type(value)
    if kind in PLAIN:
        return kind, value
    if depth <= 2 * MAX_DEPTH:
        if kind is dict:
            return kind, tuple((_frozen(key, depth), _frozen(item, depth + 1)) for key, item in value.items())
        if kind in (list, tuple):
            return kind, tuple(_frozen(item, depth + 1) for item in value)
        if kind is Expression:
            return kind, _frozen(value.json, depth + 1)
    raise TypeError(kind)


def bytes_of(answer: Any) -> int:
    """About what an answer takes in memory: its records' texts, and a hit's own objects."""
    return sum(HIT_BYTES + len(_encoder.encode(hit.record)) for hit in answer.items)


class QueryCache:
    """The latest answers, by request and by the numbers of the kinds that were read.

    Args:
        entries: how many are kept; 0 keeps none. most_bytes: what they may take together.
        ttl: seconds that one may be given again.
    """

    def __init__(self, entries: int, most_bytes: int, ttl: float) -> None:
        self._entries = entries
        self._most_bytes = most_bytes
        self._ttl = ttl
        self._answers: OrderedDict[Hashable, tuple[float, Hashable, Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def get(self, request: Hashable, stamp: Hashable) -> Any:
        """The answer to a request, if it was computed from what `stamp` says is still so; else None."""
        kept = self._answers.get(request)
        if kept is not None and kept[1] == stamp and kept[0] > time.monotonic():
            self.hits += 1
            return kept[2]
        return None

    def put(self, request: Hashable, stamp: Hashable, answer: Any, *, good_for: float = math.inf) -> None:
        """Keep an answer that had to be computed, for the time to live, or for fewer seconds."""
        self.misses += 1
        if not self._entries:
            return
        size = bytes_of(answer)
        with self._lock:
            self._drop(request)
            if size * SHARE > self._most_bytes:
                return
            self._answers[request] = (time.monotonic() + min(self._ttl, good_for), stamp, answer, size)
            self._bytes += size
            while len(self._answers) > self._entries or self._bytes > self._most_bytes:
                self._drop(next(iter(self._answers)))

    def _drop(self, request: Hashable) -> None:
        dropped = self._answers.pop(request, None)
        if dropped is not None:
            self._bytes -= dropped[3]

    def clear(self) -> None:
        """Forget all answers."""
        with self._lock:
            self._answers.clear()
            self._bytes = 0

    def stats(self) -> dict[str, float | int]:
        """Entries and their bytes, hits, misses and the hit rate."""
        asked = self.hits + self.misses
        rate = self.hits / asked if asked else 0.0
        return {
            "entries": len(self._answers), "bytes": self._bytes, "hits": self.hits, "misses": self.misses,
            "hit_rate": round(rate, 4),
        }  # fmt: skip
