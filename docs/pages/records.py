"""The records, from `graphsvc.model`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from graphsvc.model import names, texts, validate
from graphsvc.model.graph import REL_TABLES, RESERVED_NODES, RESERVED_RELS, RelTable
from graphsvc.model.kinds import KINDS, Kind

from .markdown import code, page, said, table

ABOUT = f"""
Records are immutable objects with these fields; `msgspec.to_builtins(record)` gives one as JSON has it. A name (id,
agent, session, tag) has at most {names.MAX_NAME} bytes of UTF-8 and no control characters. Metadata nests at most
{validate.MAX_DEPTH} deep. Times are UTC; one given without a zone is refused. The sizes of texts, metadata and tags are
bounded by [settings](settings.md).
"""
SCHEMA = """
[`schema/episodes.schema.json`](../../schema/episodes.schema.json) is the JSON Schema of an episode as `graphsvc import
jsonl` takes it, made from the same declarations.
"""
GRAPH = """
A record with a node table is a node there. Its primary key `key` is the percent-encoded agent, `/`, and the
percent-encoded id. Sessions, tasks and agents are nodes while a live record names them. The edges:
"""


def made() -> str:
    """The page."""
    edges = (
        (code(name), sources, targets, ", ".join(map(code, rel.columns)))
        for name, rel in REL_TABLES.items()
        for sources, targets in _ends(rel)
    )
    reserved = ", ".join(map(code, (*RESERVED_NODES, *RESERVED_RELS)))
    return page(
        "Records",
        ABOUT,
        *map(_kind, KINDS.values()),
        "## JSON Schema",
        SCHEMA,
        "## Searched texts",
        said(texts.__doc__, "model.texts").split("\n\n", 1)[1],
        "## In the graph",
        GRAPH,
        table(("edge", "from", "to", "columns"), edges),
        f"Names that belong to the memory, in use or not: {reserved}.",
    )


def _kind(kind: Kind) -> str:
    declared = {field.name: field for field in msgspec.structs.fields(kind.record)}
    rows = []
    for field in kind.fields.values():
        meaning = said(field.description, f"{kind.name}.{field.name}")
        type = f"{field.type} or null" if field.optional else field.type
        rows.append((code(field.name), type, _default(declared[field.name]), meaning))
    counted = [
        f"- `{name}`: {said(member.__doc__, name)}"
        for name, member in vars(kind.record).items()
        if isinstance(member, property)
    ]
    home = f"Node table `{kind.table}`." if kind.table else "Kept in the log; it has no node of its own."
    home += " Has a vector and a place in full text." if kind.searchable else ""
    fields = table(("field", "type", "default", "meaning"), rows)
    parts = [f"## {kind.record.__name__}", said(kind.record.__doc__, kind.name), home, fields, "\n".join(counted)]
    return "\n\n".join(parts).strip()


def _default(field: Any) -> str:
    if field.name in ("id", "at"):
        return "filled in"
    if field.default is not msgspec.NODEFAULT:
        return code(msgspec.json.encode(field.default).decode())
    if field.default_factory is not msgspec.NODEFAULT:
        return code(msgspec.json.encode(field.default_factory()).decode())
    return "required"


def _ends(rel: RelTable) -> Iterator[tuple[str, str]]:
    """Which tables an edge leads from, and to which: sources that have the same targets together."""
    targets: dict[str, list[str]] = {}
    for source, target in rel.pairs:
        targets.setdefault(source, []).append(target)
    sources: dict[str, list[str]] = {}
    for source, reached in targets.items():
        sources.setdefault(", ".join(reached), []).append(source)
    yield from ((", ".join(alike), reached) for reached, alike in sources.items())
