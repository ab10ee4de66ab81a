"""Kuzu: rows made, and lists of rows changed, between the same two checkpoints damage lists.

Where a table got new rows since the last checkpoint and a list of another row was SET, Kuzu 0.11.3's next checkpoint
gives some rows the lists of others (measured: in every third such checkpoint; not where only one of both was done). So
the two are kept apart: a checkpoint comes between them. What does both in one transaction is refused, or cut in two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graphsvc.cypher.parse import parse
from graphsvc.cypher.syntax import Assignment, Create, Merge, Query, Set
from graphsvc.errors import BadInput
from graphsvc.model.change import Change
from graphsvc.model.graph import NODE_TABLES, NetEffect
from graphsvc.model.statements import Statement
from graphsvc.model.tables import Table, folded
from graphsvc.store.arrow_rows import schema_of

MADE, CHANGED = "made", "changed"
Effects = dict[str, frozenset[str]]
"""By table that has lists: whether rows are made, lists changed, or both."""

BOTH = frozenset({MADE, CHANGED})


def has_lists(columns: Mapping[str, str]) -> bool:
    """Whether any of these columns holds lists."""
    return any(type.endswith("[]") for type in columns.values())


def of_net(net: NetEffect) -> Effects:
    """What a net effect does to the memory's own tables."""
    found: dict[str, set[str]] = {}
    for table, _ in net.created:
        found.setdefault(table, set()).add(MADE)
    for (table, _), values in net.patched.items():
        if any(NODE_TABLES[table][name].endswith("[]") for name in values):
            found.setdefault(table, set()).add(CHANGED)
    return {table: frozenset(what) for table, what in found.items() if has_lists(NODE_TABLES[table])}


def making(effects: Effects) -> Effects:
    """The part of it that makes rows."""
    return {table: frozenset({MADE}) for table, what in effects.items() if MADE in what}


def changing(effects: Effects) -> Effects:
    """The part of it that changes lists."""
    return {table: frozenset({CHANGED}) for table, what in effects.items() if CHANGED in what}


def of_call(ask: Statement, call: Sequence[Change], catalog: Mapping[str, Table]) -> Effects:
    """What a statement, with the entries that bring its rows, may do to the user's tables."""
    if ask.op == "cypher":
        return _of_cypher(ask, catalog)
    table = catalog.get(ask.table)
    if table is None or not has_lists(table.columns) or ask.op not in ("add", "upsert", "update"):
        return {}
    names = {name for change in call for name in schema_of(change.vectors)}
    lists = any(table.columns.get(name, "").endswith("[]") for name in names)
    changed = {CHANGED} if lists and ask.op != "add" else set()
    made = {MADE} if ask.op != "update" else set()
    return {table.name: frozenset(made | changed)}


def _of_cypher(ask: Statement, catalog: Mapping[str, Table]) -> Effects:
    written = {folded(name) for name in ask.writes}
    tables = [table for table in catalog.values() if folded(table.name) in written and has_lists(table.columns)]
    if ask.ddl:  # a column that is added is written for every row
        return {table.name: BOTH for table in tables}
    query = parse(ask.text)
    clauses = [clause for part in query.parts for clause in part] if isinstance(query, Query) else []
    made = any(isinstance(clause, Create | Merge) for clause in clauses)
    keys = {folded(item.key) for clause in clauses for item in _items(clause)}
    found: Effects = {}
    for table in tables:
        changed = any(type.endswith("[]") and folded(name) in keys for name, type in table.columns.items())
        found[table.name] = frozenset({MADE} if made else set()) | frozenset({CHANGED} if changed else set())
    return found


def _items(clause: object) -> Iterable[Assignment]:
    if isinstance(clause, Set):
        return clause.items
    return (*clause.on_create, *clause.on_match) if isinstance(clause, Merge) else ()


def refuse_both(ask: Statement, effects: Effects) -> None:
    """Refuse Cypher that makes rows and changes lists of the same table. On both engines, so that both do the same."""
    both = [table for table, what in effects.items() if what == BOTH]
    if both and ask.op == "cypher" and not ask.ddl:
        raise BadInput(
            f"makes rows of {both[0]} and changes lists in it, which Kuzu can't do at once",
            where="statement",
            hint="Make them in one statement, and change them in another.",
        )
