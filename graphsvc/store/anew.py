"""One edge of each group of nodes, written anew: see `GraphProjection._renew`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphsvc.errors import EngineError
from graphsvc.model.graph import REL_TABLES
from graphsvc.model.tables import Table, quoted
from graphsvc.store.arrow import pa
from graphsvc.store.arrow_rows import arrow_type
from graphsvc.store.queries import load, own_statement
from graphsvc.store.steps import ENDS, Row
from graphsvc.store.transaction import Transaction
from graphsvc.store.user_tables import Catalog, key_type, statement

NODE_GROUP = 1 << 17
"""How many nodes, by their numbers, Kuzu keeps the edges of together."""


def groups(transaction: Transaction, table: str) -> Iterator[dict[str, int]]:
    """The numbers at which each group of a table's nodes begins and ends."""
    [[last]] = transaction.execute(load("last_node").fill(table=quoted(table))).rows
    for first in range(0, 0 if last is None else last + 1, NODE_GROUP):
        yield {"first": first, "beyond": first + NODE_GROUP}


def write_user_edges_anew(transaction: Transaction, catalog: Catalog, name: str, ends: tuple[str, str]) -> None:
    """Delete and create again an edge for each group of nodes at either end that has one; nothing if the table is gone.

    Edges have no key, and several may join the same two nodes: the one meant is known by the engine's number of it.
    """
    table = catalog.get(name)
    if table is None or ends not in table.ends:
        return
    found = _one_of_each_group(transaction, catalog, table, ends)
    if not found:
        return
    text = statement("table_delete_numbered_edge", catalog, table, ends=ends)
    rows = ({"source_": row[0], "target_": row[1], "edge_": edge} for edge, row in found.items())
    deleted = transaction.each(text, rows)
    types = [*(key_type(catalog, end) for end in ends), *table.columns.values()]
    names = ["source_", "target_", *(f"c{at}" for at in range(len(table.columns)))]
    columns = zip(zip(*found.values(), strict=True), types, strict=True)
    data = pa.table([pa.array(values, arrow_type(type)) for values, type in columns], names=names)
    # in bulk, since bytes are no parameter on Kuzu
    created = transaction.bulk_load(
        statement("table_create_edge", catalog, table, table.columns, ends=ends, bulk=True), data
    )
    if (deleted, created) != (len(found), len(found)):
        raise EngineError(f"{len(found)} edges of {table.name} to be written anew: {deleted} went, {created} came",
                          where="graph")  # fmt: skip


def _one_of_each_group(
    transaction: Transaction, catalog: Catalog, table: Table, ends: tuple[str, str]
) -> dict[int, list[Any]]:
    """Edges by their number: the keys at their ends, and their columns."""
    found: dict[int, list[Any]] = {}
    for name, end in zip(("table_dump_edge_from", "table_dump_edge_to"), ends, strict=True):
        text = statement(name, catalog, table, table.columns, ends=ends)
        for group in groups(transaction, end):
            for source, target, edge, *values in transaction.execute(text, group).rows:
                found[edge] = [source, target, *values]
    return found


def write_own_edges_anew(transaction: Transaction, rel: str, source: str, target: str) -> None:
    joined = REL_TABLES[rel]
    rows = _own_of_each_group(transaction, rel, source, target).values()
    for name, columns, keys in (("delete_edge", {}, joined.identity), ("create_edge", joined.columns, {})):
        statement = own_statement(name, rel, tuple(columns), (source, target))
        names = (*ENDS, *keys, *columns)
        done = transaction.each(statement, ({name: row[name] for name in names} for row in rows))
        if done != len(rows):
            raise EngineError(f"{name} of {rel}: {len(rows)} asked for, {done} done", where="graph")


def _own_of_each_group(transaction: Transaction, rel: str, source: str, target: str) -> dict[tuple[str, ...], Row]:
    """An edge for each group of nodes at either end that has one."""
    columns = tuple(REL_TABLES[rel].columns)
    found: dict[tuple[str, ...], Row] = {}
    for name, table in (("dump_edge_from", source), ("dump_edge_to", target)):
        for group in groups(transaction, table):
            for row in transaction.execute(own_statement(name, rel, columns, (source, target)), group).rows:
                values = dict(zip(("source_", "target_", *columns), row, strict=True))
                found[row[0], row[1], *(values[name] for name in REL_TABLES[rel].identity)] = values
    return found
