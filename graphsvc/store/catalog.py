"""What tables the graph has, read from the engine's own catalog: the memory's, and the user's."""

from __future__ import annotations

from graphsvc.model.names import RESERVED_NODES, RESERVED_RELS
from graphsvc.model.schema import GraphTable
from graphsvc.store.answers import quoted
from graphsvc.store.engine import Engine
from graphsvc.store.queries import load, query

_OWN = {*RESERVED_NODES, *RESERVED_RELS}


def describe(engine: Engine, *, count: bool = True) -> list[GraphTable]:
    """The tables that there are, but for those whose names begin with `_`. Nodes first, each by name."""
    found = [
        _table(engine, name, type == "NODE", count)
        for name, type in engine.execute(query("show_tables")).rows
        if not name.startswith("_") and type in ("NODE", "REL")
    ]
    return sorted(found, key=lambda table: (not table.nodes, table.name))


def _table(engine: Engine, name: str, nodes: bool, count: bool) -> GraphTable:
    within = quoted(name)
    own = name in _OWN
    columns = engine.execute(load("node_columns" if nodes else "table_columns").fill(name=within)).rows
    types = {column[0]: column[1] for column in columns if not column[0].startswith("_")}
    number = None
    if count:
        row = engine.execute(load("count_of_nodes" if nodes else "count_of_edges").fill(name=name)).one()
        number = int(row[0]) if row else 0
    if nodes:
        return GraphTable(name, types, next(column[0] for column in columns if column[2]), (), own, number)
    ends = engine.execute(load("edge_ends").fill(name=within)).rows
    return GraphTable(name, types, "", tuple((source, target) for source, target in ends), own, number)
