"""The graph's edges in memory: who is joined to whom, answered in microseconds on either engine.

Kuzu scans a relationship table for the neighbours of one node, which takes milliseconds. So all edges lie here as
arrays, sorted by the node that they leave (compressed sparse rows), with an index by the node that they enter. They
are read from the graph when they are first asked for, and from then on every batch of changes that the graph's
follower has applied is applied here too: as a few edges beside the arrays, until those are worth sorting in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import BadInput
from graphsvc.model.change import Ends
from graphsvc.model.graph import NetEffect
from graphsvc.model.times import micros, utc
from graphsvc.store.arrow import pa, pc
from graphsvc.store.numbered import NO_STEPS, NOTHING, Direction, Held, Nodes, Numbers, Steps, grown

NODE_BYTES = 300
"""Of a node: its key as text, its place in a dictionary, its number. Measured of keys of 45 characters."""
EDGE_BYTES = 32
"""Of an edge, without its values."""
NEVER = np.iinfo(np.int64).min
"""Where there is no time."""
MERGE_AT = 1_000
"""Edges and nodes beside the arrays from which on they are sorted in, if they are also a tenth of what is there."""


class TooMuch(Exception):
    """The edges take more than the budget."""


@dataclass(frozen=True, slots=True)
class Table:
    """Edges of one type between two tables, as they were read.

    Attributes:
        rel: their type. source_table, target_table: where their ends are.
        source, target: keys of the ends. values: their columns.
    """

    rel: str
    source_table: str
    target_table: str
    source: pa.ChunkedArray
    target: pa.ChunkedArray
    values: pa.Table


@dataclass(slots=True)
class _Bulk:
    """Edges as arrays of equal length, in any order; `row` is the place of an edge's values in its type's table."""

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    rel: NDArray[np.int16]
    row: NDArray[np.int32]


class Adjacency:
    """All edges of some tables, in memory. Not safe from several threads: see `Kept`."""

    def __init__(self, nodes: Mapping[str, pa.ChunkedArray], tables: Iterable[Table]) -> None:
        self.nodes = Nodes()
        self.rels: list[str] = []
        self._values: list[pa.Table] = []
        keys = {table: nodes[table].take(pc.sort_indices(nodes[table])) for table in sorted(nodes)}
        self.nodes.fill([(table, array.to_pylist()) for table, array in keys.items()])
        self._install(self._read(keys, list(tables)))

    # --- building ----------------------------------------------------------------------------------------

    def _read(self, keys: Mapping[str, pa.ChunkedArray], tables: Sequence[Table]) -> _Bulk:
        first = dict(zip(keys, np.cumsum([0, *map(len, keys.values())]).tolist(), strict=False))
        parts: list[_Bulk] = []
        for table in tables:
            source, target = (
                pc.index_in(end, value_set=keys[name]).to_numpy().astype(np.int32) + np.int32(first[name])
                for end, name in ((table.source, table.source_table), (table.target, table.target_table))
            )
            rows = self._keep_values(table.rel, table.values) + np.arange(len(source), dtype=np.int32)
            rel = np.full(len(rows), self._rel(table.rel), np.int16)
            parts.append(_Bulk(source, target, rel, rows.astype(np.int32)))
        return _joined(parts)

    def _rel(self, rel: str) -> int:
        if rel not in self.rels:
            self.rels.append(rel)
            self._values.append(pa.table({}))
        return self.rels.index(rel)

    def _keep_values(self, rel: str, values: pa.Table) -> int:
        """Put values behind those of a type; the place of the first."""
        code = self._rel(rel)
        held = self._values[code]
        first = held.num_rows if held.num_columns else 0
        if values.num_columns:
            self._values[code] = pa.concat_tables([held, values]) if held.num_columns else values
        return first

    def _install(self, bulk: _Bulk) -> None:
        """Take edges over, in the order of their source, type, target and id."""
        order = np.lexsort((self._by_id(bulk), bulk.target, bulk.rel, bulk.source))
        self.source, self.target = bulk.source[order], bulk.target[order]
        self.rel, self._row = bulk.rel[order], bulk.row[order]
        count = len(self.nodes)
        self._in = np.argsort(self.target, kind="stable").astype(np.int32)
        self._out_start = np.searchsorted(self.source, np.arange(count + 1)).astype(np.int64)
        self._in_start = np.searchsorted(self.target[self._in], np.arange(count + 1)).astype(np.int64)
        self._dead = np.zeros(len(order), bool)
        self._base_nodes, self._base_edges = count, len(order)
        self._edges = len(order)
        self._any_dead = False
        self._out_more: dict[int, list[int]] = {}
        self._in_more: dict[int, list[int]] = {}
        self._values_more: dict[int, dict[str, Any]] = {}
        self._gone: set[int] = set()
        self._columns: dict[str, NDArray[np.float64]] = {}
        self._times: dict[str, NDArray[np.int64]] = {}

    def _by_id(self, bulk: _Bulk) -> NDArray[np.int32]:
        """Places among parallel edges, by their ids, where a type has ids; 0 for all others."""
        places = np.zeros(len(bulk.source), np.int32)
        for code, values in enumerate(self._values):
            if "id" in values.column_names:
                ranks = np.empty(values.num_rows, np.int32)
                ranks[pc.sort_indices(values["id"]).to_numpy()] = np.arange(values.num_rows, dtype=np.int32)
                chosen = bulk.rel == code
                places[chosen] = ranks[bulk.row[chosen]]
        return places

    @property
    def nbytes(self) -> int:
        """About how many bytes it takes."""
        values = 8 * len(self.source) * (len(self._columns) + len(self._times))
        values += sum(int(table.nbytes) for table in self._values) + 500 * len(self._values_more)
        return len(self.nodes) * NODE_BYTES + len(self.source) * EDGE_BYTES + values

    # --- keeping up --------------------------------------------------------------------------------------

    def apply(self, net: NetEffect) -> None:
        """Do what a batch of changes did to the graph, in the order that `NetEffect` promises."""
        self._unlink(net.unlinks)
        for table, key in net.gone:
            self._remove(table, key)
        for table, key in net.created:
            self.nodes.add(table, key)
        for ends, values in net.links.items():
            self._link(ends, values)
        beside = len(self._values_more) + len(self._gone) + len(self.nodes) - self._base_nodes
        if beside > max(MERGE_AT, (self._base_nodes + self._base_edges) // 10):
            self._merge()

    def _link(self, ends: Ends, values: Mapping[str, Any]) -> None:
        rel, source_table, source_key, target_table, target_key, id = ends
        source, target = self.nodes.find(source_table, source_key), self.nodes.find(target_table, target_key)
        assert source is not None, "the graph has just taken this edge, so both its ends exist"
        assert target is not None, "the graph has just taken this edge, so both its ends exist"
        edge = self._edges
        if edge == len(self.source):
            self.source, self.target, self.rel = grown(self.source), grown(self.target), grown(self.rel)
            self._dead = grown(self._dead)
        self.source[edge], self.target[edge], self.rel[edge] = source, target, self._rel(rel)
        self._dead[edge] = False
        self._out_more.setdefault(source, []).append(edge)
        self._in_more.setdefault(target, []).append(edge)
        self._values_more[edge] = {**values, "id": id} if id else dict(values)
        self._edges += 1

    def _unlink(self, unlinks: Iterable[Ends]) -> None:
        """Edges go, those of one source together: of a node with many edges they are looked through once."""
        wanted: dict[int, dict[tuple[int, int], set[str]]] = {}
        for rel, source_table, source_key, target_table, target_key, id in unlinks:
            source, target = self.nodes.find(source_table, source_key), self.nodes.find(target_table, target_key)
            if source is not None and target is not None and rel in self.rels:
                wanted.setdefault(source, {}).setdefault((target, self.rels.index(rel)), set()).add(id)
        for source, going in wanted.items():
            for edge in self.expand(np.array([source], np.int64), "out", None).edge.tolist():
                ids = going.get((int(self.target[edge]), int(self.rel[edge])))
                if ids is not None and ("" in ids or self.values([edge])[0].get("id") in ids):
                    self._kill(edge)

    def _remove(self, table: str, key: Any) -> None:
        number = self.nodes.find(table, key)
        if number is None:
            return
        for edge in self.expand(np.array([number], np.int64), "both", None).edge.tolist():
            self._kill(edge)
        self.nodes.remove(number)
        self._gone.add(number)

    def _kill(self, edge: int) -> None:
        if edge < self._base_edges:
            self._dead[edge] = self._any_dead = True
            self._values_more.setdefault(edge, {})  # counts as a change; its values aren't read any more
        else:
            self._out_more[int(self.source[edge])].remove(edge)
            self._in_more[int(self.target[edge])].remove(edge)
            self._dead[edge] = True

    def _merge(self) -> None:
        """Sort in what lies beside, and number the nodes anew, in their order."""
        old, alive = self.nodes, self.alive_edges()
        by_rel: dict[int, list[int]] = {}
        row = np.zeros(self._edges, np.int32)
        row[: self._base_edges] = self._row
        for edge in alive[alive >= self._base_edges].tolist():
            by_rel.setdefault(int(self.rel[edge]), []).append(edge)
        for code, edges in by_rel.items():
            schema = self._values[code].schema
            columns = {name: [self._values_more[edge].get(name) for edge in edges] for name in schema.names}
            first = self._keep_values(self.rels[code], pa.table(columns, schema=schema))
            row[edges] = first + np.arange(len(edges), dtype=np.int32)
        fresh = Nodes()
        fresh.fill([(table, sorted(old.index[table])) for table in sorted(old.index)])
        moved = np.full(len(old), -1, np.int32)
        for table, places in old.index.items():
            moved[list(places.values())] = [fresh.index[table][key] for key in places]
        bulk = _Bulk(moved[self.source[alive]], moved[self.target[alive]], self.rel[alive], row[alive])
        self.nodes = fresh
        self._install(bulk)

    # --- reading -----------------------------------------------------------------------------------------

    def find(self, table: str, key: Any) -> int | None:
        """The number of a node; None if there is none."""
        return self.nodes.find(table, key)

    def spaces(self) -> list[str]:
        """The namespaces that there are."""
        return self.nodes.spaces

    def of_table(self, table: str) -> Numbers:
        """Numbers of all nodes of a table."""
        return np.array(list(self.nodes.index.get(table, {}).values()), np.int64)

    def alive_nodes(self) -> Numbers:
        """Numbers of all nodes."""
        numbers = np.arange(len(self.nodes), dtype=np.int64)
        return np.delete(numbers, list(self._gone)) if self._gone else numbers

    def alive_edges(self) -> Numbers:
        """Numbers of all edges."""
        return np.flatnonzero(~self._dead[: self._edges])

    def expand(self, numbers: Numbers, direction: Direction, rels: frozenset[str] | None) -> Steps:
        """The edges at some nodes; see `Edges.expand`."""
        parts: list[Steps] = []
        if direction != "in":
            parts.append(self._met(numbers, self._out_start, None, self._out_more, self.target))
        if direction != "out":
            back = self._met(numbers, self._in_start, self._in, self._in_more, self.source)
            if direction == "both":
                once = back.source != back.target
                back = Steps(*(part[once] for part in back))
            parts.append(back)
        steps = parts[0] if len(parts) == 1 else Steps(*map(np.concatenate, zip(*parts, strict=True)))
        if rels is None or (len(rels) >= len(self.rels) and rels.issuperset(self.rels)):
            return steps
        wanted = np.array([rel in rels for rel in self.rels], bool)
        chosen = wanted[self.rel[steps.edge]] if len(self.rels) else np.zeros(len(steps.edge), bool)
        return Steps(*(part[chosen] for part in steps))

    def _met(
        self,
        numbers: Numbers,
        starts: NDArray[np.int64],
        through: NDArray[np.int32] | None,
        more: Mapping[int, list[int]],
        far: NDArray[np.int32],
    ) -> Steps:
        base = numbers if len(self.nodes) == self._base_nodes else numbers[numbers < self._base_nodes]
        first = starts[base]
        counts = starts[base + 1] - first
        total = int(counts.sum())
        edges = np.arange(total, dtype=np.int64)
        if len(base) == 1:
            edges += first[0]
            source = np.full(total, base[0])
        else:
            edges += np.repeat(first - np.cumsum(counts) + counts, counts)
            source = np.repeat(base, counts)
        if through is not None:
            edges = through[edges].astype(np.int64)
        if self._any_dead:
            alive = ~self._dead[edges]
            edges, source = edges[alive], source[alive]
        if more and (pairs := [(n, edge) for n in numbers.tolist() if n in more for edge in more[n]]):
            beside = np.array(pairs, np.int64)
            source, edges = np.concatenate([source, beside[:, 0]]), np.concatenate([edges, beside[:, 1]])
        return Steps(source, far[edges].astype(np.int64), edges)

    def reached(self, numbers: Iterable[int], direction: Direction, rels: frozenset[str] | None) -> set[int] | None:
        """The nodes that edges at some nodes lead to: as `expand`, without arrays, which cost more than a few edges.

        None: where edges lie beside the arrays, or went.
        """
        if self._any_dead or self._out_more or len(self.nodes) != self._base_nodes:
            return None
        codes = None
        if rels is not None and not rels.issuperset(self.rels):
            codes = {code for code, rel in enumerate(self.rels) if rel in rels}
        found: set[int] = set()
        for number in numbers:
            if direction != "in":
                first, last = self._out_start[number : number + 2].tolist()
                self._add(found, self.target[first:last], self.rel[first:last], codes)
            if direction != "out":
                first, last = self._in_start[number : number + 2].tolist()
                edges = self._in[first:last]
                self._add(found, self.source[edges], self.rel[edges] if codes is not None else edges, codes)
        return found

    @staticmethod
    def _add(found: set[int], far: NDArray[Any], rel: NDArray[Any], codes: set[int] | None) -> None:
        if codes is None:
            found.update(far.tolist())
        else:
            found.update(node for node, code in zip(far.tolist(), rel.tolist(), strict=True) if code in codes)

    def of_types(self, edges: Numbers, rels: frozenset[str] | None) -> NDArray[np.bool_]:
        """Which of these edges are of some types; None for all."""
        if rels is None:
            return np.ones(len(edges), bool)
        wanted = np.array([rel in rels for rel in self.rels], bool)
        return np.asarray(wanted[self.rel[edges]])

    def ends(self, edge: int) -> tuple[str, int, int]:
        """Type, source and target of an edge."""
        return self.rels[self.rel[edge]], int(self.source[edge]), int(self.target[edge])

    def values(self, edges: Sequence[int]) -> list[dict[str, Any]]:
        """The values of edges."""
        found: dict[int, dict[str, Any]] = {}
        rows: dict[int, list[int]] = {}
        for edge in edges:
            if edge >= self._base_edges:
                found[edge] = self._values_more[edge]
            else:
                rows.setdefault(int(self.rel[edge]), []).append(edge)
        for code, some in rows.items():
            table = self._values[code]
            if table.num_columns:
                taken = table.take(pa.array(self._row[some])).to_pylist()
                found.update(zip(some, taken, strict=True))
        return [found.get(edge, {}) for edge in edges]

    def held(self, edge: int) -> Held:
        """Where the values of an edge lie, whatever becomes of the graph."""
        if edge >= self._base_edges:
            return self._values_more[edge]
        return self._values[self.rel[edge]], int(self._row[edge])

    def column(self, name: str, edges: Numbers) -> NDArray[np.float64]:
        """A numeric value of each edge; NaN where it has none."""
        base = self._numbers(name)
        if len(self.source) == self._base_edges or not len(edges) or int(edges.max()) < self._base_edges:
            return base[edges]
        numbers = base[np.minimum(edges, self._base_edges - 1)] if len(base) else np.empty(len(edges))
        for place in np.flatnonzero(edges >= self._base_edges).tolist():
            value = self._values_more[int(edges[place])].get(name)
            if isinstance(value, str | bool):
                raise BadInput(f"{name} holds no numbers", where="weight")
            numbers[place] = np.nan if value is None else float(value)
        return numbers

    def instants(self, name: str, edges: Numbers, missing: int) -> NDArray[np.int64]:
        """A time of each edge in microseconds since 1970; `missing` where it has none."""
        base = self._instants(name)
        found = base[np.minimum(edges, self._base_edges - 1)] if len(base) else np.full(len(edges), NEVER)
        if len(self.source) != self._base_edges:
            for place in np.flatnonzero(edges >= self._base_edges).tolist():
                value = self._values_more[int(edges[place])].get(name)
                found[place] = NEVER if value is None else micros(utc(value, where=name))
        return np.where(found == NEVER, missing, found)

    def _instants(self, name: str) -> NDArray[np.int64]:
        """A column of times of the edges that lie in the arrays."""
        known = self._times.get(name)
        if known is None:
            known = np.full(self._base_edges, NEVER)
            for code, table in enumerate(self._values):
                if name in table.column_names and pa.types.is_timestamp(table[name].type):
                    chosen = self.rel[: self._base_edges] == code
                    moments = table[name].cast(pa.timestamp("us")).cast(pa.int64())
                    known[chosen] = pc.fill_null(moments, NEVER).to_numpy()[self._row[chosen]]
            self._times[name] = known
        return known

    def _numbers(self, name: str) -> NDArray[np.float64]:
        """A numeric column of the edges that lie in the arrays."""
        known = self._columns.get(name)
        if known is None:
            known = np.full(self._base_edges, np.nan)
            for code, table in enumerate(self._values):
                if name in table.column_names:
                    type = table[name].type
                    if not (pa.types.is_integer(type) or pa.types.is_floating(type)):
                        raise BadInput(f"{name} of {self.rels[code]} holds no numbers", where="weight")
                    chosen = self.rel[: self._base_edges] == code
                    known[chosen] = table[name].cast(pa.float64()).to_numpy()[self._row[chosen]]
            self._columns[name] = known
        return known


def _joined(parts: Sequence[_Bulk]) -> _Bulk:
    names = (("source", np.int32), ("target", np.int32), ("rel", np.int16), ("row", np.int32))
    return _Bulk(*(np.concatenate([np.empty(0, type), *(getattr(p, name) for p in parts)]) for name, type in names))


class Kept:
    """The adjacency of a graph that is being written: read from it at first use, kept up, dropped where in doubt.

    Args:
        read: reads it from the graph, while nothing is applied. Raises TooMuch if it would take more than it may.
        quiet: a lock that whoever applies changes holds. It is taken before this one's own, by all who take both.
        budget: bytes that it may take.
    """

    def __init__(self, read: Callable[[int], Adjacency], quiet: threading.Lock, budget: int) -> None:
        self._read = read
        self._quiet = quiet
        self._budget = budget
        self._lock = threading.RLock()
        self._held: Adjacency | None = None
        self.too_much = False

    def apply(self, net: NetEffect) -> None:
        """The graph has taken a batch. Called by who holds `quiet`."""
        with self._lock:
            if self._held is not None:
                self._held.apply(net)
                if self._held.nbytes > self._budget:
                    self._held, self.too_much = None, True

    def drop(self) -> None:
        """What is held may not be what the graph holds: read it again when it is next asked for."""
        with self._lock:
            self._held, self.too_much = None, False

    @contextmanager
    def reading(self) -> Iterator[Adjacency | None]:
        """The adjacency, which doesn't change for the length of the `with`; None if it is too large to be kept."""
        while True:
            with self._lock:
                if self._held is not None or self.too_much:
                    yield self._held
                    return
            self._load()

    def _load(self) -> None:
        with self._quiet:
            if self._held is not None or self.too_much:
                return
            try:
                held = self._read(self._budget)
            except TooMuch:
                held = None
            with self._lock:
                self._held, self.too_much = held, held is None


__all__ = ["NOTHING", "NO_STEPS", "Adjacency", "Kept", "Table", "TooMuch"]
