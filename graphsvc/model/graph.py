"""The graph as records and changes imply it: tables, the node of a record, and the net effect of changes.

The DDL in `schema/` is checked against `NODE_TABLES` and `REL_TABLES` by a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from graphsvc.model.change import Change, Ends, Link, Patch, Put
from graphsvc.model.kinds import CAUSAL, KINDS, ColumnType, Kind, kind_of
from graphsvc.model.names import key_of, task_key
from graphsvc.model.records import Cause, Episode, Record, SkillVersion, ends_of

_CYPHER: dict[ColumnType, str] = {
    "name": "STRING", "text": "STRING", "float": "DOUBLE", "int": "INT64", "bool": "BOOL",
    "time": "TIMESTAMP", "tags": "STRING[]", "metadata": "STRING",
}  # fmt: skip


def _record_columns(kind: Kind) -> dict[str, str]:
    return {"key": "STRING", **{name: _CYPHER[field.type] for name, field in kind.fields.items()}}


NODE_TABLES: dict[str, dict[str, str]] = {
    **{kind.table: _record_columns(kind) for kind in KINDS.values() if kind.table},
    "Session": {"key": "STRING", "id": "STRING", "agent": "STRING"},
    "Task": {"key": "STRING", "id": "STRING", "agent": "STRING", "text": "STRING"},
    "Agent": {"key": "STRING", "id": "STRING"},
}
"""Columns of the memory's own node tables and their Cypher types. `key` is the primary key."""


@dataclass(frozen=True, slots=True)
class RelTable:
    """A relationship table.

    Attributes:
        pairs: of node tables that its edges lead from and to.
        columns: and their Cypher types.
        parallel: whether two nodes may be joined by several of its edges, told apart by the column `key`.
    """

    pairs: tuple[tuple[str, str], ...]
    columns: dict[str, str] = field(default_factory=dict)
    parallel: bool = False

    @property
    def identity(self) -> dict[str, str]:
        """The column that tells parallel edges apart, where there may be some."""
        return {"key": self.columns["key"]} if self.parallel else {}


CAUSE_COLUMNS = {
    name: _CYPHER[field.type]
    for name, field in KINDS["cause"].fields.items()
    if not name.startswith(("cause", "effect"))  # those are its ends
}

_TABLES = [table for name in CAUSAL if (table := KINDS[name].table)]


def _joining(source: str, target: str, columns: dict[str, str] | None = None) -> RelTable:
    return RelTable(((source, target),), columns or {})


REL_TABLES: dict[str, RelTable] = {
    "IN_SESSION": _joining("Episode", "Session"),
    "ATTEMPTS": _joining("Episode", "Task"),
    "NEXT": _joining("Episode", "Episode"),
    "USED": _joining("Episode", "Skill", {"uses": "INT64", "success": "BOOL", "reward": "DOUBLE"}),
    "DERIVED_FROM": _joining("Skill", "Episode"),
    "VERSION_OF": _joining("SkillVersion", "Skill"),
    "CALLS": _joining("Skill", "Skill"),
    "PREREQUISITE": _joining("Skill", "Skill", {"weight": "DOUBLE"}),
    "ALTERNATIVE": _joining("Skill", "Skill", {"weight": "DOUBLE"}),
    "REFINES": _joining("Skill", "Skill", {"weight": "DOUBLE"}),
    "PART_OF": _joining("Skill", "Skill", {"weight": "DOUBLE"}),
    "ABOUT": RelTable((("Episode", "Entity"), ("Fact", "Entity"))),
    "EVIDENCE": RelTable((("Episode", "Episode"), ("Fact", "Episode"))),
    "CAUSES": RelTable(
        tuple((source, target) for source in _TABLES for target in _TABLES),
        {"key": "STRING", **CAUSE_COLUMNS},
        parallel=True,
    ),
}


def column_value(type: ColumnType, value: Any) -> Any:
    """A field's value as its graph column holds it: times naive UTC, metadata as JSON with sorted keys."""
    if value is None:
        return None
    if type == "time":
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=None)
    if type == "metadata":
        return msgspec.json.encode(value, order="sorted").decode()
    if type == "tags":
        return list(value)
    if type == "float":
        return float(value)
    return value


def node_row(record: Record) -> dict[str, Any]:
    """The row of a record's node."""
    row: dict[str, Any] = {"key": record.key}
    for name, spec in kind_of(record).fields.items():
        row[name] = column_value(spec.type, getattr(record, name))
    return row


def own_links(record: Record) -> list[Link]:
    """The edges that a record's node has by what the record says, wherever it stands in the log."""
    if isinstance(record, Episode):
        session = key_of(record.agent, record.session)
        task = key_of(record.agent, task_key(record.task))
        return [
            Link("IN_SESSION", "Episode", record.key, "Session", session),
            Link("ATTEMPTS", "Episode", record.key, "Task", task),
        ]
    if isinstance(record, SkillVersion):
        return [Link("VERSION_OF", "SkillVersion", record.key, "Skill", key_of(record.agent, record.skill))]
    if isinstance(record, Cause):
        fields = KINDS["cause"].fields
        values = {name: column_value(fields[name].type, getattr(record, name)) for name in CAUSE_COLUMNS}
        return [msgspec.structs.replace(cause_edge(record), values=values)]
    return []


def cause_edge(cause: Cause) -> Link:
    """The edge of a causal edge's record, without its values."""
    (source, *source_ref), (target, *target_ref) = ends_of(cause)
    tables = KINDS[source].table or "", KINDS[target].table or ""
    return Link("CAUSES", tables[0], key_of(*source_ref), tables[1], key_of(*target_ref), id=cause.key)


NodeKey = tuple[str, str]
"""Table and key."""


@dataclass(slots=True)
class NetEffect:
    """What a run of changes does to the graph, taken together.

    To be applied in this order: `unlinks` (edges that may or may not be there), `gone` (nodes with all their
    edges), `created` nodes, `patched` values, `relinked` values of edges that are there, `links` (edges that aren't
    there yet).
    """

    unlinks: dict[Ends, None] = field(default_factory=dict)
    gone: dict[NodeKey, None] = field(default_factory=dict)
    created: dict[NodeKey, dict[str, Any]] = field(default_factory=dict)
    patched: dict[NodeKey, dict[str, Any]] = field(default_factory=dict)
    links: dict[Ends, dict[str, Any]] = field(default_factory=dict)
    relinked: dict[Ends, dict[str, Any]] = field(default_factory=dict)

    def create(self, table: str, row: dict[str, Any]) -> None:
        self.created[(table, row["key"])] = row

    def patch(self, table: str, key: str, values: dict[str, Any]) -> None:
        node = (table, key)
        if node in self.created:
            self.created[node] = {**self.created[node], **values}
        else:
            self.patched[node] = {**self.patched.get(node, {}), **values}

    def remove(self, table: str, key: str) -> None:
        node = (table, key)
        self.patched.pop(node, None)
        if self.created.pop(node, None) is None:
            self.gone[node] = None

    def link(self, link: Link) -> None:
        self.links[link.ends] = dict(link.values)

    def unlink(self, ends: Ends) -> None:
        self.links.pop(ends, None)
        self.relinked.pop(ends, None)
        self.unlinks[ends] = None

    def relink(self, ends: Ends, values: dict[str, Any]) -> None:
        """Give an edge that is there other values."""
        if ends in self.links:
            self.links[ends] = {**self.links[ends], **values}
        else:
            self.relinked[ends] = {**self.relinked.get(ends, {}), **values}

    def drop_dangling(self, removed: set[NodeKey]) -> None:
        """Forget edges at nodes that went after the edges came: they went along."""
        if removed:
            self.links, self.relinked = (
                {
                    ends: values
                    for ends, values in edges.items()
                    if (ends[1], ends[2]) not in removed and (ends[3], ends[4]) not in removed
                }
                for edges in (self.links, self.relinked)
            )


def net_effect(changes: Iterable[Change]) -> NetEffect:
    """Fold changes, in their order, into one effect on the graph."""
    net = NetEffect()
    for change in changes:
        _fold(net, change)
    return net


def _fold(net: NetEffect, change: Change) -> None:
    for link in change.unlinks:
        net.unlink(link.ends)
    removed: set[NodeKey] = set()
    for gone in change.gone:
        table = KINDS[gone.kind].table
        if table:
            removed.add((table, key_of(gone.agent, gone.id)))
    removed.update((node.table, node.key) for node in change.vanished)
    for table, key in sorted(removed):  # the same order in every process: a place in it is kept
        net.remove(table, key)
    net.drop_dangling(removed)
    for node in change.nodes:
        net.create(node.table, {"key": node.key, **node.values})
    for put in change.puts:
        _fold_put(net, change, put)
    for patch in change.patches:
        _fold_patch(net, patch)
    for link in change.links:
        net.link(link)


def _fold_put(net: NetEffect, change: Change, put: Put) -> None:
    kind = KINDS[put.kind]
    if kind.table or kind.is_edge:
        record = change.record_of(put)
        if kind.table:
            net.create(kind.table, node_row(record))
        for link in own_links(record):
            net.link(link)


def _fold_patch(net: NetEffect, patch: Patch) -> None:
    kind = KINDS[patch.kind]
    if kind.table or patch.edge:
        types = {name: spec.type for name, spec in kind.fields.items()}
        values = {name: column_value(types[name], value) for name, value in patch.values.items()}
        if kind.table:
            net.patch(kind.table, key_of(patch.agent, patch.id), values)
        elif patch.edge:
            net.relink(patch.edge.ends, values)


def rows_by_table(created: dict[NodeKey, dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows of nodes, gathered by table."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for (table, _), row in created.items():
        tables.setdefault(table, []).append(row)
    yield from tables.items()
