"""Causal edges: what makes a difference to what, how large, how sure, since when, and what follows from it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

import numpy as np

from graphsvc.errors import BadInput, Gone, GraphsvcError, NotFound, TooLarge
from graphsvc.log.adjacent import CausalEdge, CausalNode
from graphsvc.memory.causal_paths import RULES, CausalPath, CausalPaths, Look, Rule, best_paths, downstream
from graphsvc.memory.namespaces import Namespaces
from graphsvc.memory.opened import Opened
from graphsvc.memory.query_cache import request_of
from graphsvc.memory.results import Hits
from graphsvc.memory.retrieval import Mode, Where, check_k, check_share
from graphsvc.memory.rows_in import rows_of
from graphsvc.memory.variables import Variables
from graphsvc.memory.verbs import Verbs, Wait, check_wait
from graphsvc.model.as_of import Moments, When, check_interval, parse_as_of
from graphsvc.model.kinds import CAUSAL, kind_of
from graphsvc.model.names import check_name
from graphsvc.model.records import Cause, Record, Variable
from graphsvc.model.requests import AddCauses, Delete, ExpireCause, NewRecord
from graphsvc.model.texts import WEIGHT
from graphsvc.model.times import micros, utc

CauseList = list[Cause]
CauseLists = list[list[Cause]]
VariableList = list[Variable]
NodeLike = str | Record | tuple[str, ...]
"""How a node is named: `"skill:ID"`, a variable's name alone, (kind, id), (kind, agent, id), or the record."""
RuleName = Literal["product", "weakest", "additive"]
MAX_DEPTH = 16
MOST_NODES = 10_000
FILLED_IN = ("at", "endings", "cause_kind", "cause_agent", "effect_kind", "effect_agent")
"""Fields of an edge that nobody gives: they come of the moment and of the nodes."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """What follows from a node at another.

    Attributes:
        node: the other. uplift, confidence: compounded along `path`, the one that carries most to it.
    """

    node: CausalNode
    path: CausalPath

    @property
    def uplift(self) -> float:
        """Compounded along the path."""
        return self.path.uplift

    @property
    def confidence(self) -> float:
        """Compounded along the path."""
        return self.path.confidence

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"node": str(self.node), **self.path.as_dict()}


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What follows from a node, the strongest first; `complete` is false where not all could be looked at."""

    items: tuple[Consequence, ...]
    complete: bool = True

    def __iter__(self) -> Any:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]


class Causal(Verbs):
    """Keep causal edges and follow them. `memory.causal`. Effects are kept as they are said, none is estimated here."""

    kind = "cause"

    def __init__(self, opened: Opened, namespaces: Namespaces) -> None:
        super().__init__(opened, namespaces)
        self._variables = Variables(opened, namespaces)

    # --- variables ---------------------------------------------------------------------------------------

    def variable(
        self,
        name: str,
        *,
        description: str | None = None,
        is_reward: bool | None = None,
        ref: tuple[str, str] | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        agent: str | None = None,
        wait: Wait = None,
    ) -> Variable:
        """Make a variable, a named quantity or event, or give the one that exists what is new of it.

        Args:
            name: what it is called, and its id if none is given. description: unit, how it is measured.
            is_reward: whether it measures how good something was.
            ref: table and key of the user's node that it stands for; not checked.
            tags, metadata: as of any record; what isn't given stays as it is. agent: namespace.

        Returns:
            The variable as it now is.

        Raises:
            BadInput, TooLarge: for a bad value. Gone: the id was deleted.
        """
        return self._variables.upsert(
            name=name, description=description, is_reward=is_reward, ref=ref, tags=tags, metadata=metadata, id=id,
            agent=agent, wait=wait,
        )  # fmt: skip

    def variables(
        self, where: Where = None, k: int = 100, *, agent: str | Sequence[str] | None = None, order: str = "id"
    ) -> VariableList:
        """Variables that pass a filter, like {"is_reward": true}; at most k."""
        return cast(VariableList, self._variables._list(where, agent, k, order))

    def missing(self, name: str, *, agent: str | None = None) -> bool:
        """Whether a variable stands for a user's node that isn't there (any more). Raises NotFound, Gone, Ambiguous."""
        return self._variables.missing(name, agent)

    def delete_variable(self, name: str | Sequence[str], *, agent: str | None = None, wait: Wait = None) -> int:
        """Delete a variable or several by id, with the causal edges at them; how many variables."""
        refs = self._variables._refs(name, agent)
        return cast(int, self._submit(Delete("variable", refs), wait)) if refs else 0

    # --- edges -------------------------------------------------------------------------------------------

    def add(
        self,
        cause: NodeLike,
        effect: NodeLike,
        uplift: float,
        *,
        confidence: float = 1.0,
        interval: tuple[float, float] | None = None,
        n: int | None = None,
        method: str | None = None,
        mechanism: str = "",
        evidence: Iterable[str] = (),
        valid_from: datetime | str | None = None,
        valid_to: datetime | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        agent: str | None = None,
        vector: Any = None,
        wait: Wait = None,
    ) -> Cause:
        """Say that one node makes a difference to another. Two nodes may be joined by several edges, a node to itself.

        Args:
            cause, effect: episodes, skills, entities, facts or variables: `"skill:ID"`, a variable's name alone,
            (kind, id), or the record itself.
            uplift: by how much the effect is more where the cause is there; 0 and less than 0 are results too.
            confidence: how sure it is, 0 to 1. interval: (low, high) of the uplift. n: how many observations.
            method: how it was found. mechanism: why it comes about, in words; searched by `similar`.
            evidence: ids of episodes of the same namespace.
            valid_from, valid_to: it holds in [from, to), UTC; None: open.
            vector: of the mechanism, if you have it.

        Returns:
            The edge; `at` is the moment from which it is known.

        Raises:
            BadInput, TooLarge: for a bad value. NotFound, Gone, Ambiguous: for a node, or for an episode.
            Conflict, Gone: the id is taken.
        """
        row = {
            "cause": cause, "effect": effect, "uplift": uplift, "confidence": confidence, "interval": interval, "n": n,
            "method": method, "mechanism": mechanism, "evidence": evidence, "valid_from": valid_from,
            "valid_to": valid_to, "metadata": metadata, "id": id, "agent": agent,
        }  # fmt: skip
        return cast(Cause, self._submit(AddCauses([self._edge(row, None, vector=vector)]), wait)[0])

    def add_many(self, edges: Any, *, agent: str | None = None, wait: Wait = None) -> CauseList:
        """`add` for many, all or none.

        Args:
            edges: dicts with the arguments of `add`, or a DataFrame or Arrow table with them as columns.
            agent: namespace of those that name none.

        Returns:
            The edges, in the order given.
        """
        items = [
            self._edge(row, agent, prefix=f"edges[{index}].")
            for index, row in enumerate(rows_of(edges, where="edges"))
        ]
        check_wait(wait)
        return cast(CauseList, self._submit(AddCauses(items), wait)) if items else []

    def _edge(self, row: Mapping[str, Any], agent: Any, *, vector: Any = None, prefix: str = "") -> NewRecord:
        self._opened.check()
        given = {name: value for name, value in row.items() if value is not None}
        ends = [(given.pop(f"{side}_kind", None), given.pop(f"{side}_agent", None)) for side in ("cause", "effect")]
        for name in FILLED_IN:
            given.pop(name, None)
        given["agent"] = self._namespaces.writes(given.get("agent", agent))
        given.setdefault("confidence", 1.0)  # said or not, it is the same edge
        interval = given.pop("interval", None)
        if interval is not None:
            given["low"], given["high"] = _pair(interval, f"{prefix}interval")
        for side, (kind, whose) in zip(("cause", "effect"), ends, strict=True):
            if side not in given:
                raise BadInput("is required", where=prefix + side)
            named = given[side] if kind is None else (kind, whose, given[side]) if whose else (kind, given[side])
            node = self._node(named, prefix + side)
            given |= {side: node.id, f"{side}_kind": node.kind, f"{side}_agent": node.agent}
        item = self._new(given, vector=vector, prefix=prefix)
        edge = cast(Cause, item.record)
        check_interval(edge.valid_from, edge.valid_to, where=f"{prefix}valid_to")
        if edge.low is not None and edge.high is not None and edge.low > edge.high:
            raise BadInput(f"{edge.low:g} is more than {edge.high:g}", where=f"{prefix}interval")
        return item

    def get(self, id: str, *, agent: str | None = None) -> Cause:
        """The edge with this id. Raises NotFound, Gone, Ambiguous."""
        return cast(Cause, self._resolve(id, self._namespaces.reads(agent)).record)

    def expire(
        self, id: str, at: datetime | str | None = None, *, agent: str | None = None, wait: Wait = None
    ) -> Cause:
        """Say that an edge holds no longer: from `at` on, or from now. It stays, and what was said of its end before.

        Raises:
            BadInput: that would be before it began. NotFound, Gone, Ambiguous: for the id.
        """
        end = None if at is None else micros(utc(at))
        return cast(Cause, self._submit(ExpireCause(self._ref(id, agent), end), wait))

    def delete(self, id: str | Sequence[str], *, agent: str | None = None, wait: Wait = None) -> int:
        """Delete one edge or several, all or none; how many. What was wrong goes so; what ended is expired.

        Raises:
            NotFound, Gone, Ambiguous: for an id; nothing is deleted then.
        """
        refs = self._refs(id, agent)
        return cast(int, self._submit(Delete(self.kind, refs), wait)) if refs else 0

    def list(
        self,
        where: Where = None,
        k: int = 100,
        *,
        agent: str | Sequence[str] | None = None,
        order: str = "newest",
        as_of: When = None,
    ) -> CauseList:
        """Edges that pass a filter, like {"effect": "latency", "uplift": {"lt": 0}}; expired ones too, unless `as_of`
        says when they shall hold; at most k.
        """
        moments = parse_as_of(as_of)
        if moments is None:
            return cast(CauseList, self._list(where, agent, k, order))
        self._opened.check()
        limit = check_k(k, self._opened.settings.max_results)
        edges = self._opened.log.adjacent().edges
        rows = [row for row in self._rows(where, agent).tolist() if (edge := edges.get(row)) and edge.holds(*moments)]
        found = cast(CauseList, list(self._opened.log.records(np.array(rows, np.int64)).values()))
        if order == "id":
            return sorted(found, key=lambda edge: (edge.id, edge.agent))[:limit]
        return sorted(found, key=lambda edge: edge.at, reverse=order == "newest")[:limit]

    # --- following them ----------------------------------------------------------------------------------

    def effects(
        self,
        of: NodeLike,
        k: int = 100,
        *,
        as_of: When = None,
        min_confidence: float = 0.0,
        agent: str | Sequence[str] | None = None,
    ) -> CauseList:
        """The edges that lead from a node, those first whose |uplift| · confidence is largest.

        Args:
            of: the node, as for `add`. k: how many at most.
            as_of: (valid, known), either None: what held at `valid`, as was known at `known`; now if not given. See
            `graphsvc.AsOf`.
            min_confidence: edges less sure are left out. agent: namespace or namespaces of edges and nodes.

        Raises:
            NotFound, Gone, Ambiguous: for the node. BadInput: for an argument.
        """
        return self._at(of, k, "out", as_of, min_confidence, agent)

    def causes(
        self,
        of: NodeLike,
        k: int = 100,
        *,
        as_of: When = None,
        min_confidence: float = 0.0,
        agent: str | Sequence[str] | None = None,
    ) -> CauseList:
        """The edges that lead to a node; arguments as for `effects`."""
        return self._at(of, k, "in", as_of, min_confidence, agent)

    def around(
        self,
        nodes: Sequence[tuple[str, str, str]],
        k: int = 100,
        *,
        direction: Literal["out", "in"] = "out",
        as_of: When = None,
        min_confidence: float = 0.0,
    ) -> CauseLists:
        """The edges that lead from, or to, each of many nodes: `effects` or `causes` of all at once.

        Args:
            nodes: (kind, namespace, id) of each, at most 10,000; one that isn't there has none.
            k: edges of each at most. direction: "out" for effects, "in" for causes. The others: as for `effects`.

        Returns:
            For each node, in the order given, its edges, those first whose |uplift| · confidence is largest.
        """
        self._opened.check()
        limit = check_k(k, self._opened.settings.max_results)
        if direction not in ("out", "in"):
            raise BadInput(f"{direction!r} is neither out nor in", where="direction")
        given: Any = nodes
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise BadInput(f"expected a list of (kind, namespace, id), got {type(given).__name__}", where="nodes")
        check_k(max(1, len(nodes)), MOST_NODES, "nodes")
        seen = self._namespaces.reads()
        look = self._look(direction, self._moments(as_of), min_confidence, seen)
        found = []
        for place, named in enumerate(nodes):
            parts = named if isinstance(named, tuple | list) else ()
            if len(parts) != 3 or not all(isinstance(part, str) for part in parts):
                raise BadInput(f"expected (kind, namespace, id), got {named!r}", where=f"nodes[{place}]")
            edges = look(CausalNode(*named)) if seen is None or named[1] in seen else []
            found.append(sorted(edges, key=_weight)[:limit])
        records = self._opened.log.records([edge.row for edges in found for edge in edges])
        return [[cast(Cause, records[edge.row]) for edge in edges if edge.row in records] for edges in found]

    def _at(self, of: Any, k: Any, way: str, as_of: Any, min_confidence: Any, agent: Any) -> CauseList:
        self._opened.check()
        limit = check_k(k, self._opened.settings.max_results)
        agents = self._namespaces.reads(agent)
        node = self._node(of, "of", agents)
        edges = self._look(way, self._moments(as_of), min_confidence, agents)(node)
        edges.sort(key=_weight)
        records = self._opened.log.records([edge.row for edge in edges[:limit]])
        return [cast(Cause, records[edge.row]) for edge in edges[:limit] if edge.row in records]

    def paths(
        self,
        a: NodeLike,
        b: NodeLike,
        k: int = 3,
        *,
        rule: RuleName = "product",
        max_depth: int = 5,
        as_of: When = None,
        min_confidence: float = 0.0,
        agent: str | Sequence[str] | None = None,
    ) -> CausalPaths:
        """The k best chains of edges from one node to another, by |uplift| · confidence compounded along them.

        Args:
            rule: how effects compound: "product": uplift = Π uplift, confidence = Π confidence (path coefficients,
            Wright 1921); "weakest": |uplift| = min |uplift| with the sign of the product, confidence = min confidence;
            "additive": uplift = Σ uplift, confidence = min confidence.
            max_depth: edges in a chain at most, up to 16. The others: as for `effects`.

        Returns:
            At most k paths, best first, equal ones shorter first; none passes a node twice. `complete` is false where
            the search ended at its limit before it could be sure.
        """
        compounding, depth = _rule(rule), _depth(max_depth)
        limit = check_k(k, self._opened.settings.max_results)
        agents = self._namespaces.reads(agent)
        source, target = self._node(a, "a", agents), self._node(b, "b", agents)
        if source == target:
            raise BadInput("both ends are one node", where="b", hint="Edges to itself are among its effects.")
        moments = self._moments(as_of)
        out, into = (self._look(way, moments, min_confidence, agents) for way in ("out", "in"))
        return best_paths(compounding, out, into, source, target, limit, depth)

    def what_if(
        self,
        node: NodeLike,
        k: int = 20,
        *,
        rule: RuleName = "product",
        max_depth: int = 3,
        as_of: When = None,
        min_confidence: float = 0.0,
        agent: str | Sequence[str] | None = None,
    ) -> WhatIf:
        """What follows from a node, as far as `max_depth` edges: for each node that is reached, the path that carries
        most to it, and what it comes to. Effects of several paths to one node are not added up.

        Args:
            As for `paths`.

        Returns:
            At most k consequences, those first whose |uplift| · confidence is largest.
        """
        compounding, depth = _rule(rule), _depth(max_depth)
        limit = check_k(k, self._opened.settings.max_results)
        agents = self._namespaces.reads(agent)
        source = self._node(node, "node", agents)
        out = self._look("out", self._moments(as_of), min_confidence, agents)
        reached, complete = downstream(compounding, out, source, depth)
        found = [Consequence(target, path) for target, path in reached.items()]
        return WhatIf(tuple(found[:limit]), complete)

    def similar(
        self,
        text: str,
        k: int = 10,
        *,
        where: Where = None,
        agent: str | Sequence[str] | None = None,
        mode: Mode = "blend",
        weight: float = WEIGHT,
        min_similarity: float | None = None,
        vector: Any = None,
    ) -> Hits[Cause]:
        """The edges whose mechanism is most like a text, by meaning and by words; expired ones too.

        Args:
            As for `episodes.retrieve`.
        """
        self._opened.check()

        def find() -> Hits[Cause]:
            query = self._query(
                text, k, where, agent, mode=mode, weight=weight, min_similarity=min_similarity, vector=vector
            )
            return self._retrieval.find(query)

        request = None if vector is not None else request_of(text, k, where, agent, mode, weight, min_similarity)
        return self._answered(request, find)

    # --- nodes and times ---------------------------------------------------------------------------------

    def _node(self, named: Any, where: str, agents: Any = ...) -> CausalNode:
        """The live node that a caller means."""
        self._opened.check()
        return find_node(self._opened, self._namespaces, named, where, agents)

    @staticmethod
    def _moments(as_of: Any) -> Moments:
        return parse_as_of(as_of) or Moments(time.time_ns() // 1000, None)

    def _look(self, way: str, moments: Moments, min_confidence: Any, agents: tuple[str, ...] | None) -> Look:
        """What looks up the edges at a node that hold then, are sure enough, and are this handle's to follow."""
        valid, known = moments
        least = check_share(min_confidence, "min_confidence") or 0.0
        adjacent = self._opened.log.adjacent()
        at = adjacent.out_of if way == "out" else adjacent.in_to

        def passes(edge: CausalEdge) -> bool:
            if edge.confidence < least or not edge.holds(valid, known):
                return False
            return agents is None or (
                edge.agent in agents and edge.source[1] in agents and edge.target[1] in agents
            )

        if agents is None and known is None and valid is not None:  # what is mostly asked for, without a call for each
            now = valid
            return lambda node: [one for one in at(node) if one.start <= now < one.end and one.confidence >= least]
        return lambda node: [edge for edge in at(node) if passes(edge)]


def _weight(edge: CausalEdge) -> tuple[float, int]:
    """What edges at a node are ordered by: the strongest first."""
    return -abs(edge.uplift) * edge.confidence, edge.row


def find_node(opened: Opened, namespaces: Namespaces, named: Any, where: str, agents: Any = ...) -> CausalNode:
    """The live node that a caller means, in these namespaces, or in all that the handle sees.

    Raises:
        BadInput: that isn't how nodes are named. NotFound, Gone, Ambiguous: for the node.
    """
    kind, whose, id = _parsed(named, where)
    seen = namespaces.reads(whose) if whose is not None else agents
    if seen is ...:
        seen = namespaces.reads()
    try:
        owner = opened.log.owner(kind, id, seen)
    except GraphsvcError as error:
        if isinstance(error, NotFound | Gone):
            hint = error.hint or ("Make it: memory.causal.variable(name)." if kind == "variable" else "")
            raise type(error)(error.what, where=where, hint=hint) from None
        raise
    return CausalNode(kind, owner, id)


def _parsed(named: Any, where: str) -> tuple[str, str | None, str]:
    """Kind, namespace if it was said, and id of a node, from how a caller names it."""
    whose: str | None = None
    if isinstance(named, Record):
        kind, whose, id = kind_of(named).name, named.agent, named.id
    elif isinstance(named, tuple) and len(named) in (2, 3):
        kind, whose, id = named[0], named[1] if len(named) == 3 else None, named[-1]
    elif isinstance(named, str):
        kind, _, id = named.partition(":")
        if kind not in CAUSAL or not id:
            kind, id = "variable", named
    else:
        raise BadInput(f"expected a node, got {type(named).__name__}", where=where, hint=_HOW)
    if kind not in CAUSAL:
        raise BadInput(f"causal edges don't join nodes of the kind {kind!r}", where=where, hint=_HOW)
    return kind, whose, check_name(id, where)


_HOW = f"A record, KIND:ID or (KIND, ID) with a kind of {', '.join(CAUSAL)}; or a variable's name."


def _pair(interval: Any, where: str) -> tuple[Any, Any]:
    if not isinstance(interval, tuple | list) or len(interval) != 2:
        raise BadInput(f"expected (low, high), got {interval!r}", where=where)
    return interval[0], interval[1]


def _rule(name: Any) -> Rule:
    if not isinstance(name, str) or name not in RULES:
        raise BadInput(f"{name!r} is not one of {', '.join(RULES)}", where="rule")
    return RULES[name]


def _depth(depth: Any) -> int:
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer) or depth < 1:
        raise BadInput(f"expected a whole number of at least 1, got {depth!r}", where="max_depth")
    if depth > MAX_DEPTH:
        raise TooLarge(f"{depth} is over {MAX_DEPTH}", where="max_depth")
    return int(depth)
