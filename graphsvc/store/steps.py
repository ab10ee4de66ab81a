"""One batch of the graph: what a net effect asks for, as steps that write one table each, and how they are run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphsvc.errors import FollowerStopped
from graphsvc.model.change import Ends
from graphsvc.model.graph import NODE_TABLES, REL_TABLES, NetEffect, rows_by_table
from graphsvc.store.arrow import pa
from graphsvc.store.arrow_rows import arrow_type
from graphsvc.store.queries import own_statement
from graphsvc.store.transaction import Transaction

ONE_ROW = {"kuzu": 0.6, "ladybug": 0.25}
"""Milliseconds of one prepared statement for one row."""
BULK = {"kuzu": 2.5, "ladybug": 1.5}
"""Milliseconds of one `LOAD FROM`, however few its rows."""
SCAN = {"kuzu": 1e-4, "ladybug": 0.0}
"""Milliseconds for each node of a table that `LOAD FROM … MATCH` looks in: Kuzu reads it all, Ladybug has an index."""

Columns = Mapping[str, str]
Row = dict[str, Any]

_KEY = {"key_": "STRING"}
ENDS = {"source_": "STRING", "target_": "STRING"}
_EPISODE_ENDS = {"session_": "STRING", "task_": "STRING"}


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of write on one table.

    Attributes:
        name: of the template for one row; the one in bulk has an 's' behind it.
        table: that is written.
        columns: that the template sets, and their types.
        keys: what else it takes, to find nodes by.
        rows: values of both.
        reads: node tables that it finds nodes in; of an edge's statement those of its source and target.
        exact: whether each row does exactly one thing.
    """

    name: str
    table: str
    columns: Columns
    keys: Columns
    rows: list[Row]
    reads: tuple[str, ...] = ()
    exact: bool = True


def steps_of(net: NetEffect) -> Iterator[Step]:
    """What a net effect asks for, in the order that `NetEffect` wants."""
    yield from _deletions(net)
    created = dict(rows_by_table(net.created))
    whole, links = _whole_episodes(created, net)
    for table, rows in created.items():
        yield Step("create_node", table, NODE_TABLES[table], {}, rows)
    if whole:
        columns = NODE_TABLES["Episode"]
        yield Step("create_episode", "Episode", columns, _EPISODE_ENDS, whole, ("Session", "Task"))
    for (table, names), rows in _patches(net.patched).items():
        columns = {name: NODE_TABLES[table][name] for name in names}
        yield Step("set_node", table, columns, _KEY, rows, (table,))
    # edges that are there get their values before others come: so none is read beside some of the same transaction
    yield from _relinked(net)
    renewed = {ends: links.pop(ends) for ends in net.unlinks if ends in links}
    for name, chosen in (("merge_edge", renewed), ("create_edge", links)):
        for (rel, *pair), rows in _edges(chosen).items():
            yield Step(name, rel, REL_TABLES[rel].columns, ENDS, rows, tuple(pair))


def _relinked(net: NetEffect) -> Iterator[Step]:
    """Edges that get other values, those of the same columns together."""
    groups: dict[tuple[str, ...], dict[Ends, dict[str, Any]]] = {}
    for ends, values in net.relinked.items():
        groups.setdefault(tuple(sorted(values)), {})[ends] = values
    for names, edges in groups.items():
        for (rel, *pair), rows in _edges(edges).items():
            columns = {name: REL_TABLES[rel].columns[name] for name in names}
            yield Step("set_edge", rel, columns, {**ENDS, **REL_TABLES[rel].identity}, rows, tuple(pair))


def cut(steps: Iterable[Step], start: int, end: int) -> Iterator[Step]:
    """The rows from `start` to `end` of all steps, counted through."""
    first = 0
    for step in steps:
        last = first + len(step.rows)
        if start < last and first < end:
            yield replace(step, rows=step.rows[max(0, start - first) : end - first])
        first = last


def _deletions(net: NetEffect) -> Iterator[Step]:
    """Edges that go, then edges of nodes that go, then those nodes. An edge that comes again isn't deleted."""
    for (rel, *pair), rows in _edges({ends: {} for ends in net.unlinks if ends not in net.links}).items():
        keys = {**ENDS, **REL_TABLES[rel].identity}
        yield Step("delete_edge", rel, {}, keys, rows, tuple(pair), exact=False)
    gone = keys_of(net.gone)
    for name, joined in REL_TABLES.items():
        for source in dict.fromkeys(source for source, _ in joined.pairs if source in gone):
            yield Step("delete_out_edge", name, {}, _KEY, gone[source], (source,), exact=False)
        for target in dict.fromkeys(target for _, target in joined.pairs if target in gone):
            yield Step("delete_in_edge", name, {}, _KEY, gone[target], (target,), exact=False)
    for table, rows in gone.items():
        yield Step("delete_node", table, {}, _KEY, rows, (table,))


class Batch:
    """Runs steps in one transaction, each row by row or in bulk, whichever is faster."""

    def __init__(self, engine: str, transaction: Transaction, sizes: Mapping[str, int]) -> None:
        self._engine = engine
        self._transaction = transaction
        self._sizes = sizes
        self.thinned: set[tuple[str, str, str]] = set()
        """Of which edges some were deleted: their table, and the tables at their ends."""

    def run(self, step: Step) -> None:
        done = self._bulk(step) if self._bulk_pays(step) else self._each(step)
        # a row whose node or end isn't there is dropped in silence; then the graph isn't what the log says
        if step.exact and done != len(step.rows):
            raise FollowerStopped(
                f"{step.name} of {step.table}: {len(step.rows):,} asked for, {done:,} done",
                where="graph",
                hint="The graph differs from the log: run `graphsvc repair`.",
            )
        if done and step.name.startswith("delete_") and step.table in REL_TABLES:
            self.thinned |= {(step.table, *pair) for pair in _pairs(step)}

    def _bulk_pays(self, step: Step) -> bool:
        """Whether `LOAD FROM` is faster than a statement a row, given what it has to read of the tables."""
        scanned = sum(self._sizes[table] for table in step.reads)
        return len(step.rows) * ONE_ROW[self._engine] > BULK[self._engine] + scanned * SCAN[self._engine]

    def _bulk(self, step: Step) -> int:
        columns = {**step.keys, **step.columns}
        table = pa.table(
            {name: pa.array([row.get(name) for row in step.rows], arrow_type(type)) for name, type in columns.items()}
        )
        statement = own_statement(step.name + "s", step.table, tuple(step.columns), step.reads)
        return self._transaction.bulk_load(statement, table)

    def _each(self, step: Step) -> int:
        names = (*step.keys, *step.columns)
        statement = own_statement(step.name, step.table, tuple(step.columns), step.reads)
        return self._transaction.each(statement, ({name: row.get(name) for name in names} for row in step.rows))


def _pairs(step: Step) -> Iterator[tuple[str, str]]:
    """The tables at the ends of the edges that a step deletes."""
    for pair in REL_TABLES[step.table].pairs:
        if {"delete_out_edge": pair[:1], "delete_in_edge": pair[1:]}.get(step.name, pair) == step.reads:
            yield pair


def _whole_episodes(created: dict[str, list[Row]], net: NetEffect) -> tuple[list[Row], dict[Ends, dict[str, Any]]]:
    """Episodes that can be created with the edges to their session and task, taken out of `created`.

    Returns: their rows, and the links that are left.
    """
    session: dict[str, Ends] = {}
    task: dict[str, Ends] = {}
    for ends in net.links:
        if ends[0] == "IN_SESSION":
            session[ends[2]] = ends
        elif ends[0] == "ATTEMPTS":
            task[ends[2]] = ends
    links = dict(net.links)
    whole: list[Row] = []
    rest: list[Row] = []
    for row in created.pop("Episode", []):
        key = row["key"]
        if key in session and key in task:
            del links[session[key]], links[task[key]]
            whole.append({**row, "session_": session[key][4], "task_": task[key][4]})
        else:
            rest.append(row)
    if rest:
        created["Episode"] = rest
    return whole, links


def _edges(links: Mapping[Ends, Mapping[str, Any]]) -> dict[tuple[str, str, str], list[Row]]:
    """Rows of edges by their type and the tables at their ends."""
    tables: dict[tuple[str, str, str], list[Row]] = {}
    for (rel, source_table, source, target_table, target, id), values in links.items():
        row = {"source_": source, "target_": target, **values}
        if id:
            row["key"] = id
        tables.setdefault((rel, source_table, target_table), []).append(row)
    return tables


def keys_of(nodes: Iterable[tuple[str, str]]) -> dict[str, list[Row]]:
    tables: dict[str, list[Row]] = {}
    for table, key in nodes:
        tables.setdefault(table, []).append({"key_": key})
    return tables


def _patches(
    patched: Mapping[tuple[str, str], Mapping[str, Any]],
) -> dict[tuple[str, tuple[str, ...]], list[Row]]:
    """Patches of the same columns together: one statement sets them all."""
    groups: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
    for (table, key), values in patched.items():
        if values:
            groups.setdefault((table, tuple(sorted(values))), []).append({"key_": key, **values})
    return groups
