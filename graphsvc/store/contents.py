"""What is in the graph, or should be, in one form: to be compared, and added up to a digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC
from hashlib import blake2b
from typing import Any

import msgspec

from graphsvc.model.change import Link, NodeRef
from graphsvc.model.graph import NODE_TABLES, REL_TABLES, RelTable, node_row
from graphsvc.model.kinds import kind_of
from graphsvc.model.records import Record
from graphsvc.model.times import micros

Content = tuple[str, tuple[Any, ...], tuple[Any, ...]]
"""One node or edge: its table; its key, or the keys at its ends, with the tables there where there are several, and its
id where edges may be parallel; its columns but for a node's key, canonical, in their order."""


def node_content(table: str, row: Mapping[str, Any]) -> Content:
    """What the graph should hold for a node, from its row (`model.graph.node_row`, or a NodeRef's values)."""
    return table, (row["key"],), _canonical(without_key(table), row)


def record_content(record: Record) -> Content | None:
    """What the graph should hold for a record; None if its kind has no node."""
    table = kind_of(record).table
    return node_content(table, node_row(record)) if table else None


def ref_content(node: NodeRef) -> Content:
    """What the graph should hold for a session, task or agent."""
    return node_content(node.table, {"key": node.key, **node.values})


def link_content(link: Link) -> Content:
    """What the graph should hold for an edge."""
    rel = REL_TABLES[link.rel]
    values = {**link.values, "key": link.id} if rel.parallel else link.values
    ends = edge_key(rel, (link.source_table, link.target_table), link.source, link.target, link.id)
    return link.rel, ends, _canonical(rel.columns, values)


def edge_key(rel: RelTable, pair: tuple[str, str], source: str, target: str, id: str) -> tuple[str, ...]:
    """What tells an edge from the others of its table: nodes of two tables may have one key."""
    ends = (source, target) if len(rel.pairs) == 1 else (pair[0], source, pair[1], target)
    return (*ends, id) if rel.parallel else ends


def _canonical(columns: Mapping[str, str], values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Values that are equal, and encoded equally, whichever engine or record they came from."""
    return tuple(plain(type, values.get(name)) for name, type in columns.items())


def plain(type: str, value: Any) -> Any:
    if value is None:
        return None
    if type == "TIMESTAMP":
        return micros(value.replace(tzinfo=UTC) if value.tzinfo is None else value)
    return float(value) if type == "DOUBLE" else value


_encoder = msgspec.msgpack.Encoder()


def digest_of(contents: Iterable[Content]) -> str:
    """BLAKE2b over nodes and edges, 64 hexadecimal digits; equal for equal contents, in whatever order they come.

    Each row is hashed for itself and the hashes are added up, so that neither side has to sort: the graph gives
    its rows as they lie, records come by row number.
    """
    total = count = 0
    for content in contents:
        total += int.from_bytes(blake2b(_encoder.encode(content), digest_size=32).digest())
        count += 1
    sealed = (total % (1 << 256)).to_bytes(32) + count.to_bytes(8)
    return blake2b(sealed, digest_size=32).hexdigest()


def without_key(table: str) -> dict[str, str]:
    return {name: type for name, type in NODE_TABLES[table].items() if name != "key"}
