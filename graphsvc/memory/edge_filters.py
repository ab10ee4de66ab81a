"""Filters of a traversal: of nodes by their table, of edges by their type, in the language of `where`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from graphsvc.errors import BadInput, UnknownField
from graphsvc.memory.opened import Opened
from graphsvc.memory.traversal import Test
from graphsvc.model.filters import matches, parse
from graphsvc.model.graph import NODE_TABLES, REL_TABLES
from graphsvc.model.kinds import KINDS, ColumnType, Field
from graphsvc.model.names import parts_of
from graphsvc.model.tables import Table
from graphsvc.store.user_tables import Catalog

_TYPES: dict[str, ColumnType] = {
    "STRING": "name", "DOUBLE": "float", "FLOAT": "float", "INT64": "int", "INT32": "int", "INT16": "int",
    "INT8": "int", "BOOL": "bool", "TIMESTAMP": "time", "STRING[]": "tags",
}  # fmt: skip
"""Of the types of columns, those that can be filtered by."""


@dataclass(frozen=True, slots=True)
class Columned:
    """A table of the graph, to be filtered by its columns."""

    name: str
    fields: dict[str, Field]

    @classmethod
    def of(cls, name: str, columns: Mapping[str, str]) -> Columned:
        """From the Cypher types of its columns."""
        known = {column: _TYPES[type] for column, type in columns.items() if type in _TYPES}
        return cls(name, {column: Field(column, type, True, "") for column, type in known.items()})

    def row(self, values: Mapping[str, Any]) -> SimpleNamespace:
        """Values as a filter reads them."""
        return SimpleNamespace(
            **{name: _seen(field.type, values.get(name)) for name, field in self.fields.items()}
        )


def _seen(type: ColumnType, value: Any) -> Any:
    if type == "tags":
        return value or []
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


def edge_test(catalog: Catalog, rel: str, where: Any) -> Test:
    """A filter of one type's edges, as a test of their values."""
    rel_names(catalog, rel, "edges")
    own = REL_TABLES.get(rel)
    table = Columned.of(rel, own.columns if own else catalog[rel].columns)
    filter = parse(where, table)
    return lambda edges: [matches(filter, table.row(values)) for values in edges]


def node_test(opened: Opened, catalog: Catalog, table: str, where: Any, then: Any = None) -> Test:
    """A filter of one table's nodes, as a test of their keys. Records are as they are now.

    Args:
        then: knows the rows of the table, where it isn't the graph as it is now.
    """
    table_names(catalog, table, "where")
    kind = next((kind for kind in KINDS.values() if kind.table == table), None)
    if kind is not None:
        filter = parse(where, kind)

        def recorded(keys: list[Any]) -> list[bool]:
            refs = [parts_of(key) for key in keys]
            records = opened.log.records_of(kind.name, refs)
            return [ref in records and matches(filter, records[ref]) for ref in refs]

        return recorded
    own = NODE_TABLES.get(table)
    columns = Columned.of(table, own if own else catalog[table].columns)
    filter = parse(where, columns)

    def in_graph(keys: list[Any]) -> list[bool]:
        rows = (then or opened.store.graph).rows_of(table, keys)
        return [key in rows and matches(filter, columns.row(rows[key])) for key in keys]

    return in_graph


def rel_names(catalog: Catalog, names: Any, where: str = "rel") -> frozenset[str] | None:
    """Types of edges, checked; None for all, or all but the pasts of temporal tables."""
    if names is None and not any(table.is_past for table in catalog.values()):
        return None
    if isinstance(names, str) and (names in REL_TABLES or _is_shown(catalog.get(names), nodes=False)):
        return frozenset((names,))
    known = [*REL_TABLES, *(table.name for table in catalog.values() if table.ends and not table.is_past)]
    if names is None:
        return frozenset(known)
    return _known(names, known, "type of edge", where)


def table_names(catalog: Catalog, names: Any, where: str = "tables") -> frozenset[str] | None:
    """Node tables, checked; None for all, or all but those beside temporal tables."""
    if names is None and not any(table.nodes and table.is_past for table in catalog.values()):
        return None
    if isinstance(names, str) and (names in NODE_TABLES or _is_shown(catalog.get(names), nodes=True)):
        return frozenset((names,))
    known = [*NODE_TABLES, *(table.name for table in catalog.values() if table.nodes and not table.is_past)]
    if names is None:
        return frozenset(known)
    return _known(names, known, "node table", where)


def _is_shown(table: Table | None, *, nodes: bool) -> bool:
    return table is not None and bool(table.nodes if nodes else table.ends) and not table.is_past


def _known(names: Any, known: Sequence[str], what: str, where: str) -> frozenset[str]:
    if not isinstance(names, str | Iterable):
        raise BadInput(f"expected a name or several, got {type(names).__name__}", where=where)
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
            raise UnknownField(f"there is no {what} {name!r}", where=where, hint=hint)
    return frozenset(wanted)
