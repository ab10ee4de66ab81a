"""Recall: one question over everything that is searched, ranked by what it is likely to be worth.

    utility = α · similarity + β · uplift - γ · latency

- similarity: the blend of cosine and BM25 (`retrieval`), scaled over the candidates of all kinds together; nearness in
  the graph, age and feedback change it where they are asked for;
- uplift: what the record is known to cause of the goal, from causal edges; 0 where nothing is known, flagged;
- latency: its seconds, at most 1.

The weights .7, .2 and .1 are AgentDB's (`CausalRecall`), so that answers can be compared.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import BadInput, GraphsvcError, NeedsUnbound
from graphsvc.log import believed
from graphsvc.memory.causal import find_node
from graphsvc.memory.feedback import helpfulness
from graphsvc.memory.graph import Graph
from graphsvc.memory.namespaces import Namespaces
from graphsvc.memory.nearness import Steps, nearness, steps_from
from graphsvc.memory.opened import Opened
from graphsvc.memory.query_cache import request_of
from graphsvc.memory.results import copied
from graphsvc.memory.retrieval import (
    Found,
    Query,
    Values,
    Where,
    check_query,
    check_share,
    min_max,
    past_ties,
    still,
)
from graphsvc.memory.uplift import Uplift, references, uplifts
from graphsvc.model.as_of import Moments, parse_as_of
from graphsvc.model.filters import parse
from graphsvc.model.kinds import KINDS, SEARCHABLE
from graphsvc.model.recalling import FUTURE, NO_EVIDENCE, PAST, PENDING
from graphsvc.model.records import Fact, Record
from graphsvc.model.requests import KindRef
from graphsvc.store.hot import Rows

if TYPE_CHECKING:
    import pyarrow as pa


GOALS = ("variable", "entity")
"""Kinds that are no candidates, and that an answer may depend on: as what uplifts are about."""
BOUNDARIES = {"fact": ("valid_from", "valid_to", "until"), "cause": ("valid_from", "valid_to")}
"""Fields that say when something begins and ends to hold, by kind."""


def recall_request(vector: Any, *given: Any) -> Hashable:
    """What a caller of recall gave, as a key for its answer; None where it can't be one."""
    request = request_of(*given)
    if request is None or vector is None:
        return request
    try:
        return request, np.asarray(vector, dtype=np.float32).tobytes()
    except (TypeError, ValueError):
        return None  # it is no vector: the error is told where it is looked at


@dataclass(frozen=True, slots=True)
class Weights:
    """What each part of the utility counts.

    Attributes:
        similarity: α. uplift: β. latency: γ, taken off.
    """

    similarity: float
    uplift: float
    latency: float


@dataclass(frozen=True, slots=True)
class Item:
    """One record recalled, and why.

    Attributes:
        kind: `episode`, `skill`, … record: itself.
        utility: what it is ranked by: weights · (similarity, uplift, -latency).
        similarity: 0 to 1. uplift: -1 to 1. latency: 0 to 1.
        parts: what the similarity is made of: `cosine` and `bm25` raw, `vector` and `text` as they were blended, and
            `nearness`, `recency`, `feedback` where asked for.
        flags: `no_evidence`: no causal edge says what it does to the goal, its uplift counts 0; `pending`: not
            embedded yet; `past`, `future`: a fact that isn't true any more, or not yet, where no `as_of` was asked for.
        evidence: ids of the causal edges that its uplift comes from.
    """

    kind: str
    record: Record
    utility: float
    similarity: float
    uplift: float
    latency: float
    parts: dict[str, float]
    flags: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; the record under its own name."""
        return {
            "kind": self.kind, "utility": self.utility, "similarity": self.similarity, "uplift": self.uplift,
            "latency": self.latency, "parts": dict(self.parts), "flags": list(self.flags),
            "evidence": list(self.evidence), "record": msgspec.to_builtins(self.record),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recalled(Sequence[Item]):
    """What was recalled, best first.

    Attributes:
        items: the records, at most k. query: what was asked. weights: of the parts of the utility.
        kinds: that were searched. goal: what the uplifts are about; None: any reward.
        pending: records that pass and aren't embedded yet. behind: whether full text hadn't reached the last write.
        unread: how many tokens at the end of the query the model didn't read.
        timings: milliseconds of each stage: `graph`, `candidates`, `score`, `causes`, `records`, `total`; of an answer
            that was kept from before only the last.
    """

    items: tuple[Item, ...]
    query: str
    weights: Weights
    kinds: tuple[str, ...]
    goal: str | None = None
    pending: int = 0
    behind: bool = False
    unread: int = 0
    timings: dict[str, float] = field(default_factory=dict)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def again(self) -> Recalled:
        """The same answer for another reader, of which nothing that can be changed is shared."""
        items = tuple([
            replace(item, record=copied(item.record), parts=dict(item.parts)) for item in self.items
        ])  # fmt: skip
        return replace(self, items=items, timings=dict(self.timings))

    @property
    def records(self) -> list[Record]:
        """The records alone."""
        return [item.record for item in self.items]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "query": self.query, "kinds": list(self.kinds), "goal": self.goal,
            "weights": msgspec.to_builtins(self.weights), "pending": self.pending, "behind": self.behind,
            "unread": self.unread,
            "timings": dict(self.timings), "items": [item.as_dict() for item in self.items],
        }  # fmt: skip

    def arrow(self) -> pa.Table:
        """A row for each item, the same columns whatever its kind: `record` is its JSON."""
        import pyarrow as pa

        text, real = pa.string(), pa.float64()
        columns: dict[str, tuple[Any, list[Any]]] = {
            "kind": (text, [item.kind for item in self.items]),
            "id": (text, [item.record.id for item in self.items]),
            "agent": (text, [item.record.agent for item in self.items]),
            "at": (pa.timestamp("us", tz="UTC"), [item.record.at for item in self.items]),
            "utility": (real, [item.utility for item in self.items]),
            "similarity": (real, [item.similarity for item in self.items]),
            "uplift": (real, [item.uplift for item in self.items]),
            "latency": (real, [item.latency for item in self.items]),
            "flags": (pa.list_(text), [list(item.flags) for item in self.items]),
            "evidence": (pa.list_(text), [list(item.evidence) for item in self.items]),
            "record": (text, [msgspec.json.encode(item.record).decode() for item in self.items]),
        }
        schema = pa.schema([(name, type) for name, (type, _) in columns.items()])
        return pa.table({name: values for name, (_, values) in columns.items()}, schema=schema)


# --- what is asked ------------------------------------------------------------------------------------


def checked_kinds(kinds: Any, agents: tuple[str, ...] | None) -> tuple[str, ...]:
    """The kinds to search, in their own order; all that are searched if None. Rows have no namespace: where only some
    namespaces are asked for, they are left out.
    """
    if kinds is None:
        return tuple(name for name in SEARCHABLE if agents is None or not KINDS[name].derived)
    names = (kinds,) if isinstance(kinds, str) else tuple(kinds) if isinstance(kinds, Sequence | set) else ()
    wrong = [name for name in names if name not in SEARCHABLE]
    if wrong or not names:
        raise BadInput(f"{wrong[0] if wrong else kinds!r} is not one of {', '.join(SEARCHABLE)}", where="kinds")
    if agents is not None and any(KINDS[name].derived for name in names):
        raise NeedsUnbound("rows of tables of one's own have no namespace", where="kinds")
    return tuple(name for name in SEARCHABLE if name in names)


def filters(where: Where, kinds: tuple[str, ...], named: bool) -> dict[str, Where]:
    """A filter for each kind to search: from one for all of them, or from one for each, by its name.

    One for all leaves out the kinds that don't have a field that it names, if nobody asked for these kinds.
    """
    if where is None:
        return dict.fromkeys(kinds)
    if isinstance(where, Mapping) and where and all(name in SEARCHABLE for name in where):
        return {kind: where.get(kind) for kind in kinds}
    fitting: dict[str, Where] = {}
    refused: GraphsvcError | None = None
    for kind in kinds:
        try:
            parse(where, KINDS[kind])
        except GraphsvcError as error:
            refused = refused or error
        else:
            fitting[kind] = where
    if refused is not None and (named or not fitting):
        raise refused
    return fitting


def share(value: Any, where: str, default: float) -> float:
    """A weight of the utility: a number not under 0."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating) or not 0 <= value < np.inf:
        raise BadInput(f"expected a number not under 0, got {value!r}", where=where)
    return float(value)


# --- the answer ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Pool:
    """Candidates of all kinds, in parallel arrays."""

    queries: list[Query]
    kind: NDArray[np.intp]
    found: Found
    parts: dict[str, Values]
    similarity: Values
    latency: Values
    uplift: Values
    known: dict[int, Uplift] = field(default_factory=dict)

    @classmethod
    def of(cls, gathered: list[tuple[Query, Found]], weight: float) -> _Pool:
        queries = [query for query, _ in gathered]
        sizes = [len(found.rows) for _, found in gathered]
        kind = np.repeat(np.arange(len(gathered)), sizes)
        found = Found.together([found for _, found in gathered])
        vector, text = min_max(found.cosine), min_max(found.bm25)
        parts = {"cosine": found.cosine, "bm25": found.bm25, "vector": vector, "text": text}
        nothing = np.zeros(len(kind))
        return cls(queries, kind, found, parts, weight * vector + (1 - weight) * text, nothing, nothing)

    def rows_by_kind(self) -> dict[str, list[int]]:
        """Rows of the candidates, by their kind."""
        rows = self.found.rows
        return {query.kind: rows[self.kind == number].tolist() for number, query in enumerate(self.queries)}

    def by_kind(self, each: Any) -> Values:
        """A value for each candidate, from a function of a query and its rows."""
        values: Values = np.zeros(len(self.kind))
        for number, query in enumerate(self.queries):
            chosen = self.kind == number
            if chosen.any():
                values[chosen] = each(query, self.found.rows[chosen])
        return values


class Recall:
    """The verb `Memory.recall` on one handle."""

    def __init__(self, opened: Opened, namespaces: Namespaces) -> None:
        self._opened = opened
        self._namespaces = namespaces
        self._seen = ("recall", namespaces.agent, namespaces.shared)

    def kept(self, request: Hashable) -> Recalled | None:
        """The answer to a request that is kept from before, if it still is what it would be; the caller's own."""
        clock = _Clock()
        answer: Recalled | None = self._opened.retrieval.cache.get((self._seen, request), self._stamp())
        return None if answer is None else replace(answer.again(), timings=clock.end())

    def _stamp(self) -> Hashable:
        """What answers depend on, the time left out."""
        retrieval = self._opened.retrieval
        changed = retrieval.log.columns.changed
        return (*map(retrieval.stamp, SEARCHABLE), *(changed[kind] for kind in GOALS))

    def _keep(self, request: Hashable, stamp: Hashable, answer: Recalled, now: int) -> Recalled:
        """Keep an answer until an edge or a fact begins or ends to hold, whichever comes first."""
        if request is None or answer.pending or answer.behind:
            return answer
        columns = self._opened.log.columns
        ends = [
            end for kind, times in BOUNDARIES.items() if (end := columns.next_after(kind, now, times)) is not None
        ]
        good_for = (min(ends) - now) / 1e6 if ends else math.inf
        self._opened.retrieval.cache.put((self._seen, request), stamp, answer, good_for=good_for)
        return answer.again()

    def recall(
        self,
        request: Hashable,
        text: Any,
        k: Any,
        *,
        kinds: Any,
        where: Where,
        agent: Any,
        weights: Weights,
        goal: Any,
        as_of: Any,
        near: Any,
        nearness_share: Any,
        feedback: Any,
        **options: Any,
    ) -> Recalled:
        """See `Memory.recall`. The answer is kept under `request`, if it isn't None."""
        now, stamp = time.time_ns() // 1000, self._stamp()
        answer = self._recall(
            text, k, kinds=kinds, where=where, agent=agent, weights=weights, goal=goal, as_of=as_of, near=near,
            nearness_share=nearness_share, feedback=feedback, **options,
        )  # fmt: skip
        return self._keep(request, stamp, answer, now)

    def _recall(
        self,
        text: Any,
        k: Any,
        *,
        kinds: Any,
        where: Where,
        agent: Any,
        weights: Weights,
        goal: Any,
        as_of: Any,
        near: Any,
        nearness_share: Any,
        feedback: Any,
        **options: Any,
    ) -> Recalled:
        clock = _Clock()
        aim = Aim.of(self._opened, self._namespaces, goal, as_of, agent)
        agents, share = self._namespaces.reads(agent), check_share(feedback, "feedback") or 0.0
        wanted = checked_kinds(kinds, agents)
        close = check_share(nearness_share, "nearness") or 0.0
        steps = None if near is None else steps_from(Graph(self._opened, self._namespaces), near)
        clock.lap("graph")
        then = parse_as_of(as_of)
        queries = [
            check_query(
                kind, text, k, filter, agents, self._opened.settings.max_results,
                dimension=self._opened.store.vectors.dimension, **options,
            )
            for kind, filter in filters(where, wanted, kinds is not None).items()
        ]  # fmt: skip
        queries = [
            replace(query, moments=then or Moments(None, None)) if query.kind == "fact" else query for query in queries
        ]
        gathered, pending, behind, unread = self._opened.retrieval.gather(queries)
        clock.lap("candidates")
        searched = tuple(query.kind for query in queries)
        if not gathered:
            return Recalled((), text, weights, searched, aim.named, pending, behind, unread, clock.end())
        pool = _Pool.of(gathered, queries[0].weight)
        if steps is not None:
            self._draw_near(pool, steps, close)
        self._adjust(pool, share)
        pool.latency = pool.by_kind(self._latency)
        clock.lap("score")
        self._judge(pool, aim)
        clock.lap("causes")
        scores = (
            weights.similarity * pool.similarity + weights.uplift * pool.uplift - weights.latency * pool.latency
        )
        items = self._ranked(pool, scores, queries[0].k)
        if then is not None and then.known is not None:
            items = self._as_known(items, then)
        clock.lap("records")
        return Recalled(items, text, weights, searched, aim.named, pending, behind, unread, clock.end())

    def _draw_near(self, pool: _Pool, steps: Steps, share: float) -> None:
        """Nearness in the graph, where it is asked for."""
        near = nearness(self._opened.log, steps, pool.rows_by_kind())
        pool.parts["nearness"] = np.array([near.get(row, 0.0) for row in pool.found.rows.tolist()])
        pool.similarity = (1 - share) * pool.similarity + share * pool.parts["nearness"]

    def _judge(self, pool: _Pool, aim: Aim) -> None:
        """What each candidate is known to do to the goal."""
        log = self._opened.log
        if not aim.goals or not log.adjacent().edges:
            return
        known = pool.known = uplifts(log, pool.rows_by_kind(), aim.goals, aim.moments, aim.agents)
        if known:
            pool.uplift = np.array([known[row].value if row in known else 0.0 for row in pool.found.rows.tolist()])

    def _adjust(self, pool: _Pool, share: float) -> None:
        """Age and feedback, where they are asked for; in their order as `retrieve` has them."""
        if pool.queries[0].half_life is not None:
            pool.parts["recency"] = pool.by_kind(self._opened.retrieval.recency)
            pool.similarity = pool.similarity * pool.parts["recency"]
        if share:
            seen = self._namespaces.reads()
            pool.parts["feedback"] = pool.by_kind(
                lambda query, rows: helpfulness(self._opened.log, query.kind, rows, seen)
            )
            pool.similarity = (1 - share) * pool.similarity + share * pool.parts["feedback"]

    def _latency(self, query: Query, rows: Rows) -> Values:
        """Seconds that each took, at most 1; 0 where nobody measured."""
        if "latency_ms" not in KINDS[query.kind].fields:
            return np.zeros(len(rows))
        values: Values = np.nan_to_num(self._opened.log.columns.values(query.kind, "latency_ms", rows), nan=0.0)
        return np.minimum(values / 1000, 1.0)

    def _ranked(self, pool: _Pool, scores: Values, k: int) -> tuple[Item, ...]:
        """The best k that are still what they were judged by."""
        order = np.argsort(-scores, kind="stable")
        items: list[Item] = []
        start = 0
        while start < len(order) and len(items) < k:
            end = past_ties(scores, order, start + k - len(items))  # all that tie with the last: ties go by id
            places = order[start:end]
            rows = pool.found.rows[places]
            records = self._opened.log.records(rows)
            unchanged = self._opened.log.columns.hash_of(rows) == pool.found.hash[places]
            for place, row, same in zip(places.tolist(), rows.tolist(), unchanged.tolist(), strict=True):
                record, query = records.get(row), pool.queries[pool.kind[place]]
                if record is not None and same and still(query, record):
                    items.append(_item(pool, query.kind, record, place, float(scores[place])))
            start = end
        items.sort(key=lambda item: (-item.utility, item.kind, item.record.id, item.record.agent))
        return tuple(items[:k])


    def _as_known(self, items: tuple[Item, ...], then: Moments) -> tuple[Item, ...]:
        """Facts end as they were known to end then."""
        facts = [item.record for item in items if isinstance(item.record, Fact)]
        if not facts:
            return items
        ended = iter(believed.ended_then(self._opened.log, facts, then, None))
        return tuple(replace(item, record=next(ended)) if isinstance(item.record, Fact) else item for item in items)


def _times(query: Query, record: Record) -> list[str]:
    """Whether a fact isn't true now, where nobody asked for a time."""
    if not isinstance(record, Fact) or query.moments is None or any(moment is not None for moment in query.moments):
        return []
    now = datetime.now(UTC)
    past = record.until is not None and record.until <= now
    return [PAST] * past + [FUTURE] * (record.valid_from is not None and record.valid_from > now)


def _item(pool: _Pool, kind: str, record: Record, place: int, utility: float) -> Item:
    parts = {name: float(values[place]) for name, values in pool.parts.items()}
    known = pool.known.get(int(pool.found.rows[place]))
    flags = [
        *[NO_EVIDENCE] * (known is None), *_times(pool.queries[pool.kind[place]], record),
        *[PENDING] * (not pool.found.embedded[place]),
    ]  # fmt: skip
    uplift, edges = (known.value, known.edges) if known is not None else (0.0, ())
    similarity, latency = float(pool.similarity[place]), float(pool.latency[place])
    return Item(kind, record, utility, similarity, uplift, latency, parts, tuple(flags), edges)


@dataclass(frozen=True, slots=True)
class Aim:
    """What uplifts are about.

    Attributes:
        named: the goal as it was named. goals: its nodes. moments: when edges must hold. agents: whose count.
    """

    named: str | None
    goals: frozenset[KindRef]
    moments: Moments
    agents: tuple[str, ...] | None

    @classmethod
    def of(cls, opened: Opened, namespaces: Namespaces, goal: Any, as_of: Any, agent: Any) -> Aim:
        """From what a caller gave: a node; or, if nothing, every variable that measures a reward."""
        agents = namespaces.reads(agent)
        moments = parse_as_of(as_of) or Moments(time.time_ns() // 1000, None)
        if goal is not None:
            node = find_node(opened, namespaces, goal, "goal", agents)
            return cls(str(node), frozenset({(node.kind, node.agent, node.id)}), moments, agents)
        rows, _ = opened.log.mask("variable", parse({"is_reward": True}, KINDS["variable"]), agents)
        found = references(opened.log, rows.tolist()) if len(rows) else {}
        return cls(None, frozenset(found.values()), moments, agents)


class _Clock:
    """Milliseconds of the stages of one answer."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """A stage is over."""
        now = time.perf_counter()
        self._laps[stage] = round((now - self._last) * 1000, 4)
        self._last = now

    def end(self) -> dict[str, float]:
        """All stages, and the total."""
        return {**self._laps, "total": round((time.perf_counter() - self._began) * 1000, 4)}
