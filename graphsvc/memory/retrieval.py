"""Retrieval: the nearest by vector and by words, blended, checked against the records as they are.

The score of the default blend, for a weight w of the vector part:

- each list's best max(100, 10k); over their union cosine and BM25 are computed for all; a record not embedded yet
  takes the lowest cosine;
- both min-max scaled over the union, a part whose values are all equal counts 0.5;
- score = w · vector + (1 - w) · text; ties by id.

How well that finds, and how the weight was chosen: `docs/quality.md`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import BadInput, Closed, TooLarge, again
from graphsvc.log import believed
from graphsvc.log.log import Log
from graphsvc.memory.query_cache import QueryCache
from graphsvc.memory.results import Hit, Hits
from graphsvc.model.as_of import Moments
from graphsvc.model.filters import Expression, Filter, matches, parse
from graphsvc.model.kinds import KINDS
from graphsvc.model.records import Fact, Record
from graphsvc.model.texts import WEIGHT
from graphsvc.model.times import seconds
from graphsvc.store.hot import Rows, Vectors
from graphsvc.store.store import Store
from graphsvc.store.text import TextIndex
from graphsvc.store.vectors import Compared, Placed, VectorStore, rounded, top

Mode = Literal["blend", "vector", "text", "rrf"]
MODES = ("blend", "vector", "text", "rrf")
RRF_K = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009)."""
SWITCH_SECONDS = 5.0
"""The longest that a query waits for an index that takes another's place."""
GUESSED_RATE = 40.0
"""Texts embedded per second, until it has been measured."""

Where = Mapping[str, Any] | Expression | None


@dataclass(frozen=True, slots=True)
class Query:
    """One retrieval, checked.

    Attributes:
        kind: of the records wanted. text: asked for. k: how many.
        filter: which may be found; `agents`: in which namespaces, None for all.
        mode: `blend`, `vector`, `text` or `rrf`. weight: of the vector part in the blend.
        mmr: diversity by maximal marginal relevance, 1 all relevance, 0 all novelty; None: not used.
        half_life: seconds after which a score counts half; None: age doesn't count.
        min_similarity: lowest cosine.
        vector: of the query, if the caller has it.
        moments: of facts, when they must be true, as was known when; None: whether they were ever believed or not.
    """

    kind: str
    text: str
    k: int
    filter: Filter | None = None
    agents: tuple[str, ...] | None = None
    mode: Mode = "blend"
    weight: float = WEIGHT
    mmr: float | None = None
    half_life: float | None = None
    min_similarity: float | None = None
    vector: Vectors | None = None
    moments: Moments | None = None


def check_query(
    kind: str,
    text: Any,
    k: Any,
    where: Where,
    agents: tuple[str, ...] | None,
    limit: int,
    *,
    mode: Any = "blend",
    weight: Any = WEIGHT,
    mmr: Any = None,
    half_life: Any = None,
    min_similarity: Any = None,
    vector: Any = None,
    dimension: int = 0,
) -> Query:
    """A query from what a caller gave. Raises BadInput or TooLarge, naming the argument."""
    if not isinstance(text, str):
        raise BadInput(f"expected text, got {type(text).__name__}", where="text")
    if not text.strip():
        raise BadInput("is empty", where="text", hint="Say what to look for, or use list() with a filter.")
    if len(text) > 1 << 20:
        raise TooLarge(f"{len(text):,} characters; a query has at most {1 << 20:,}", where="text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput("the text holds half a surrogate pair, which is no character", where="text") from None
    if mode not in MODES:
        raise BadInput(f"{mode!r} is not one of {', '.join(MODES)}", where="mode")
    return Query(
        kind,
        text,
        check_k(k, limit),
        parse(where, KINDS[kind]),
        agents,
        mode,
        check_share(weight, "weight") or 0.0,
        check_share(mmr, "mmr"),
        None if half_life is None else _positive(seconds(half_life, where="half_life")),
        within(min_similarity, "min_similarity", -1.0, 1.0),
        None if vector is None else unit_vector(vector, dimension),
    )


def check_k(k: Any, limit: int, where: str = "k") -> int:
    """A number of results: whole, at least 1, at most `limit`."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise BadInput(f"expected a whole number, got {k!r}", where=where)
    if k < 1:
        raise BadInput(f"{k} is less than 1", where=where)
    if k > limit:
        raise TooLarge(f"{k:,} is over {limit:,}", where=where, hint="Ask for fewer, or raise max_results.")
    return int(k)


def check_share(value: Any, where: str) -> float | None:
    """A share from 0 to 1, or None."""
    return within(value, where, 0.0, 1.0)


def within(value: Any, where: str, least: float, most: float) -> float | None:
    """A number in a range, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating) or not least <= value <= most:
        raise BadInput(f"expected a number from {least:g} to {most:g}, got {value!r}", where=where)
    return float(value)


def _positive(value: float) -> float:
    if value <= 0:
        raise BadInput("must be over zero", where="half_life")
    return value


def unit_vector(vector: Any, dimension: int, *, where: str = "vector") -> Vectors:
    """A vector of the right dimension and length 1, from any sequence of numbers."""
    try:
        array = np.asarray(vector, np.float32)
    except (TypeError, ValueError):
        raise BadInput("expected a sequence of numbers", where=where) from None
    if array.ndim != 1:
        raise BadInput(f"expected a sequence of numbers, got an array of shape {list(array.shape)}", where=where)
    if len(array) != dimension:
        raise BadInput(f"has {len(array)} dimensions; the memory's vectors have {dimension}", where=where)
    square = float(np.vdot(array, array))
    if not 1e-30 < square < 1e30:  # too small or large to be squared in float32, or not finite
        square = float(np.vdot(array.astype(np.float64), array.astype(np.float64)))
    if not math.isfinite(square) or square == 0:
        raise BadInput("is zero or not finite", where=where)
    return cast(Vectors, (array / math.sqrt(square)).astype(np.float32))


@dataclass(slots=True)
class Found:
    """Candidates with what is known of each, in parallel arrays; `hash` of the text that it was judged by."""

    rows: Rows
    hash: NDArray[np.uint64]
    cosine: NDArray[np.float64]
    bm25: NDArray[np.float64]
    embedded: NDArray[np.bool_]

    def take(self, places: NDArray[np.intp] | NDArray[np.bool_]) -> Found:
        return Found(*(getattr(self, name)[places] for name in self.__slots__))

    @classmethod
    def together(cls, several: Sequence[Found]) -> Found:
        """Candidates of several kinds, one after another."""
        return cls(*(np.concatenate([getattr(one, name) for one in several]) for name in cls.__slots__))


T = TypeVar("T")
Values = NDArray[np.float64]
Rescore = Callable[[Rows, Values], tuple[Values, dict[str, Values]]]
"""From rows and their scores to new scores, and the parts that made them."""


class Retrieval:
    """Finds records of one memory."""

    def __init__(self, log: Log, store: Store) -> None:
        self.log = log
        self.store = store
        settings = store.settings
        self.cache = QueryCache(settings.query_cache_entries, settings.query_cache_bytes, settings.query_cache_ttl)
        self._given: dict[int, int] = {}
        self._notes = 0
        self._opened_at = log.head

    def stamp(self, kind: str) -> Hashable:
        """What an answer about records of this kind depends on."""
        vectors = self.store.vectors
        # A vector may be replaced while its record stays: one given now is noted, one given before is caught up with.
        replaced = (self._notes, min(vectors.follower.applied, self._opened_at))
        changed = self.log.columns.changed
        single = changed["predicate"] if kind == "fact" else 0  # it says which facts were believed in the past
        return (changed[kind], single, vectors.generation, *replaced)

    def note_given(self, row: int, n: int) -> None:
        """Entry `n` of the log gave a record another vector of the same text, which no hash tells."""
        self._given[row] = n
        self._notes += 1

    def _outdated(self) -> dict[int, int]:
        """Rows whose vectors another has been given for, and the entry, as long as that isn't applied."""
        applied = self.store.vectors.follower.applied
        for row, n in list(self._given.items()):
            if n <= applied and self._given.get(row) == n:
                self._given.pop(row, None)
        return dict(self._given)

    def find(self, query: Query, *, deeper: int = 1, rescore: Rescore | None = None) -> Hits[Any]:
        """The best records for a query.

        `deeper` takes that many times k candidates into account; `rescore` may change the scores of all.
        """
        return self._served(lambda vectors, text: self._find(query, vectors, text, deeper, rescore))

    def gather(self, queries: Sequence[Query]) -> tuple[list[tuple[Query, Found]], int, bool, int]:
        """Candidates for one text among several kinds, a query each: of each kind that has any, all that count there.

        Returns: them; how many aren't embedded yet; whether the text index was behind; how many tokens weren't read.
        """

        def gather(vectors: VectorStore, text: TextIndex) -> tuple[list[tuple[Query, Found]], int, bool, int]:
            behind = not self._wait_for_text(self.log.head)
            found, waiting, vector, unread = [], 0, queries[0].vector, 0
            for query in queries:
                self._check_dimension(query, vectors)
                rows, all_of_kind = self._passing(query)
                if not len(rows):
                    continue
                if vector is None:
                    vector, unread = vectors.encode_one(query.text)
                alike = replace(query, vector=vector)
                candidates, pending = self._candidates(alike, vectors, text, rows, all_of_kind, query.k, True)
                found.append((alike, candidates))
                waiting += pending
            return found, waiting, behind, unread

        return self._served(gather)

    def _served(self, ask: Callable[[VectorStore, TextIndex], T]) -> T:
        """What `ask` gives for the vectors and the text index that serve now."""
        deadline = time.monotonic() + SWITCH_SECONDS
        while True:
            try:
                return ask(self.store.vectors, self.store.text)
            except Closed:
                # Others serve, or soon will: vectors of another model, or an index that is built anew.
                if self.store.closed or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @staticmethod
    def _check_dimension(query: Query, vectors: VectorStore) -> None:
        if query.vector is not None and len(query.vector) != vectors.dimension:
            raise BadInput(
                f"has {len(query.vector)} dimensions; the memory's vectors have {vectors.dimension}", where="vector"
            )

    def _find(
        self, query: Query, vectors: VectorStore, text: TextIndex, deeper: int, rescore: Rescore | None
    ) -> Hits[Any]:
        self._check_dimension(query, vectors)
        head = self.log.head
        behind = query.mode != "vector" and not self._wait_for_text(head)
        rows, all_of_kind = self._passing(query)
        if not len(rows):
            return Hits((), 0, behind, query.text, query.kind)
        unread = 0
        if query.vector is None and (query.mode != "text" or query.min_similarity is not None):
            vector, unread = vectors.encode_one(query.text)
            query = replace(query, vector=vector)
        rescored = rescore is not None or query.mmr is not None or query.half_life is not None
        found, pending = self._candidates(query, vectors, text, rows, all_of_kind, query.k * deeper, rescored)
        return Hits(self._ranked(query, vectors, found, rescore), pending, behind, query.text, query.kind, unread)

    def _wait_for_text(self, head: int) -> bool:
        return self.store.text_follower.wait(head, self.store.settings.read_wait)

    def _passing(self, query: Query) -> tuple[Rows, bool]:
        """Rows that pass the filter and were believed, and whether those are simply all of the kind."""
        if query.moments is None:
            return self.log.mask(query.kind, query.filter, query.agents)
        believed_then, _ = believed.rows(self.log, query.moments, {}, query.filter, query.agents)
        if query.filter is None and query.agents is None:
            rows, all_of_kind = self.log.mask(query.kind, None, None)  # the same array as before, while nothing changed
            if np.array_equal(believed_then, rows):
                return rows, all_of_kind
        return believed_then, False

    # --- candidates --------------------------------------------------------------------------------------

    def _candidates(
        self, query: Query, vectors: VectorStore, text: TextIndex, rows: Rows, all_of_kind: bool, k: int, rescored: bool
    ) -> tuple[Found, int]:
        depth = max(100, 10 * k)
        if query.mode == "text":
            text_rows, text_scores = self._worded(query, text, depth, rows)
            if query.min_similarity is None:
                hashes, there = self.log.columns.hash_of(text_rows), np.ones(len(text_rows), bool)
                return Found(text_rows, hashes, np.zeros(len(text_rows)), text_scores, there), 0
        assert query.vector is not None, "embedded before"
        vector = query.vector
        placed = self._embedded(vectors, query.kind, rows, all_of_kind)
        pending = placed.pending
        if query.mode == "text":  # cosines only of what words found
            compared = Compared(placed.rows[:0], placed.positions[:0], vector[:0])
            return self._measured(query, placed, np.sort(text_rows), text_rows, text_scores, compared), pending
        if query.mode == "vector" and not rescored:
            depth = 2 * k + 10
        comparing = vectors.comparing(query.kind, vector, placed, depth)
        if query.mode == "vector":
            compared = comparing()
            near, cosines = top(compared.rows, compared.cosines, depth)
            nothing, there = np.zeros(len(near)), np.ones(len(near), bool)
            return _close_enough(query, Found(near, self.log.columns.hash_of(near), cosines, nothing, there)), pending
        text_rows, text_scores = self._worded(query, text, depth, rows)
        compared = comparing()
        near, _ = top(compared.rows, compared.cosines, depth)
        union = _united(near, text_rows)
        if len(union) < k and pending:
            # Nothing is known of what isn't embedded: the newest of it fills up what was asked for.
            rest = np.setdiff1d(rows, union)
            union = np.sort(np.concatenate([union, rest[-(k - len(union)) :]]))
        found = self._measured(query, placed, union, text_rows, text_scores, compared)
        if len(text_rows) >= depth:  # there may be more that hold a word
            unlisted = np.flatnonzero(found.bm25 == 0)
            found.bm25[unlisted] = text.scores(query.text, found.rows[unlisted])
        return found, pending

    def _worded(self, query: Query, text: TextIndex, depth: int, rows: Rows) -> tuple[Rows, Values]:
        narrowed = query.moments is not None
        return text.search(
            query.kind, query.text, depth, filter=query.filter, agents=query.agents, rows=rows, narrowed=narrowed
        )

    def _embedded(self, vectors: VectorStore, kind: str, rows: Rows, all_of_kind: bool) -> Placed:
        """Where the vectors are; waits for missing ones where that is soon done."""
        given = list(self._outdated())  # nearly always none: what is embedded is gone through only where there are some
        placed = vectors.placed(kind, rows, all_of_kind)
        outdated = np.intersect1d(given, placed.rows) if given else placed.rows[:0]
        if len(outdated):
            if not vectors.follower.wait(self.log.head, self.store.settings.read_wait):
                return placed.only(~np.isin(placed.rows, outdated))
            placed = vectors.placed(kind, rows, all_of_kind)
        if placed.pending:
            limit = self.store.settings.read_wait
            if placed.pending <= limit * (vectors.embedding.rate() or GUESSED_RATE):
                vectors.follower.wait(self.log.head, limit)
                placed = vectors.placed(kind, rows, all_of_kind)
            elif vectors.follower.error is not None:
                raise again(vectors.follower.error)
        return placed

    def _measured(
        self,
        query: Query,
        placed: Placed,
        union: Rows,
        text_rows: Rows,
        text_scores: NDArray[np.float64],
        compared: Compared,
    ) -> Found:
        """Cosine and BM25 of each of the union; what has been compared already isn't again."""
        assert query.vector is not None, "embedded before"
        hashes = self.log.columns.hash_of(union)
        positions = placed.now(union, hashes)
        has = positions >= 0
        cosine, known = _looked_up(union, positions, compared)
        if not known.all():
            new = has & ~known
            cosine[new] = rounded(placed.hot.cosines(query.vector, positions[new]))
            cosine[~has] = cosine[has].min() if has.any() else 0.0
        bm25 = np.zeros(len(union))
        bm25[np.searchsorted(union, text_rows)] = text_scores
        return _close_enough(query, Found(union, hashes, cosine, bm25, has))

    # --- ranking -----------------------------------------------------------------------------------------

    def _ranked(
        self, query: Query, vectors: VectorStore, found: Found, rescore: Rescore | None
    ) -> tuple[Hit[Any], ...]:
        scores, scaled = _scores(query, found)
        if query.half_life is not None:
            if query.mode == "vector":
                scores = (1 + scores) / 2  # half of a negative cosine would be more
            scaled["recency"] = self.recency(query, found.rows)
            scores = scores * scaled["recency"]
        if rescore is not None:
            scores, more = rescore(found.rows, scores)
            scaled.update(more)
        order = np.argsort(-scores, kind="stable")
        hits: list[tuple[Hit[Any], int]] = []
        start = 0
        while start < len(order):
            # As many as are left to find, and all that tie with the last of them: ties go by id.
            end = len(order) if query.mmr is not None else past_ties(scores, order, start + query.k - len(hits))
            places = order[start:end]
            rows = found.rows[places]
            records = self.log.records(rows)
            unchanged = self.log.columns.hash_of(rows) == found.hash[places]
            unread = vectors.unread(rows)
            for place, row, same, left in zip(
                places.tolist(), rows.tolist(), unchanged.tolist(), unread.tolist(), strict=True
            ):
                record = records.get(row)
                if record is not None and same and still(query, record):
                    parts = _parts(query, found, scaled, place)
                    if left:
                        parts["unread"] = float(left)
                    hits.append((Hit(record, float(scores[place]), parts), row))
            start = end
            if len(hits) >= query.k:
                break
        hits.sort(key=lambda pair: (-pair[0].score, pair[0].record.id, pair[0].record.agent))
        if query.mmr is not None:
            hits = self._diverse(vectors, hits, query.mmr, query.k)
        return tuple(hit for hit, _ in hits[: query.k])

    def recency(self, query: Query, rows: Rows) -> Values:
        """Half for each half-life of age; what lies in the future counts as now."""
        assert query.half_life is not None, "asked for only with a half-life"
        at = self.log.columns.values(query.kind, "at", rows)
        age = np.maximum(0.0, (time.time_ns() // 1000 - at) / 1e6)
        recency: Values = np.power(0.5, age / query.half_life)
        return recency

    def _diverse(
        self, store: VectorStore, hits: list[tuple[Hit[Any], int]], share: float, k: int
    ) -> list[tuple[Hit[Any], int]]:
        """Maximal marginal relevance (Carbonell, Goldstein 1998): each next one relevant, and unlike those chosen."""
        if not hits:
            return hits
        hot = store.hot
        positions = hot.positions(np.array([row for _, row in hits], np.int64))
        vectors = np.zeros((len(hits), hot.dimension), np.float32)
        vectors[positions >= 0] = hot.vectors(positions[positions >= 0])
        scores = np.array([hit.score for hit, _ in hits])
        spread = scores.max() - scores.min()
        relevance = (scores - scores.min()) / spread if spread else np.full(len(scores), 0.5)
        likeness = np.zeros(len(hits))
        left = np.ones(len(hits), bool)
        chosen: list[tuple[Hit[Any], int]] = []
        while left.any() and len(chosen) < k:
            value = np.where(left, share * relevance - (1 - share) * likeness, -np.inf)
            best = int(value.argmax())
            hit, row = hits[best]
            chosen.append((replace(hit, parts={**hit.parts, "mmr": float(value[best])}), row))
            left[best] = False
            likeness = np.maximum(likeness, vectors @ vectors[best])
        return chosen


def still(query: Query, record: Record) -> bool:
    """Whether the record as it is now passes: columns and indexes may have been read while it changed."""
    if query.agents is not None and record.agent not in query.agents:
        return False
    as_known_now = query.moments is not None and query.moments.known is None
    if as_known_now and isinstance(record, Fact) and (record.known_to is not None or record.superseded):
        return False  # retracted meanwhile
    return query.filter is None or matches(query.filter, record)


def _united(one: Rows, other: Rows) -> Rows:
    """What is in either, ascending and each once. For a few hundred twice as fast as `np.union1d`."""
    both = np.sort(np.concatenate([one, other]))
    return both[np.concatenate([[True], both[1:] != both[:-1]])] if len(both) else both


def _looked_up(union: Rows, positions: NDArray[np.int32], compared: Compared) -> tuple[Values, NDArray[np.bool_]]:
    """Cosines of the union's rows, to 6 decimals, whose vectors at these positions are compared already; and which."""
    if not len(compared.rows):
        return np.zeros(len(union)), np.zeros(len(union), bool)
    places = np.minimum(np.searchsorted(compared.rows, union), len(compared.rows) - 1)
    known: NDArray[np.bool_] = (compared.positions[places] == positions) & (compared.rows[places] == union)
    return np.where(known, rounded(compared.cosines[places]), 0.0), known


def _close_enough(query: Query, found: Found) -> Found:
    if query.min_similarity is None:
        return found
    return found.take(found.embedded & (found.cosine >= query.min_similarity))


def _scores(query: Query, found: Found) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """The score of each candidate, and its scaled parts."""
    if query.mode == "vector":
        return found.cosine, {}
    if query.mode == "text":
        return found.bm25, {}
    if query.mode == "rrf":
        vector = _reciprocal_ranks(found.cosine, found.embedded)
        text = _reciprocal_ranks(found.bm25, found.bm25 > 0)
        return vector + text, {"vector": vector, "text": text}
    vector, text = min_max(found.cosine), min_max(found.bm25)
    return query.weight * vector + (1 - query.weight) * text, {"vector": vector, "text": text}


def min_max(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(values):
        return values
    least, most = values.min(), values.max()
    if most == least:
        return np.full(len(values), 0.5)
    scaled: NDArray[np.float64] = (values - least) / (most - least)
    return scaled


def _reciprocal_ranks(values: NDArray[np.float64], listed: NDArray[np.bool_]) -> NDArray[np.float64]:
    ranks = np.searchsorted(np.sort(-values), -values) + 1  # equal values have equal ranks
    return np.where(listed, 1.0 / (RRF_K + ranks), 0.0)


def past_ties(scores: NDArray[np.float64], order: NDArray[np.intp], end: int) -> int:
    while end < len(order) and scores[order[end]] == scores[order[end - 1]]:
        end += 1
    return min(end, len(order))


def _parts(query: Query, found: Found, scaled: dict[str, NDArray[np.float64]], place: int) -> dict[str, float]:
    parts: dict[str, float] = {}
    if query.mode != "text" or query.min_similarity is not None:
        parts["cosine"] = float(found.cosine[place])
    if query.mode != "vector":
        parts["bm25"] = float(found.bm25[place])
    parts.update({name: float(values[place]) for name, values in scaled.items()})
    if not found.embedded[place]:
        parts["pending"] = 1.0
    return parts

