"""What forgetting leaves of records, and of the changes that told of them. Pure functions.

Only values go: texts, labels and metadata become empty, vectors are cut out, names that say something become a
placeholder. Ids, kinds, times, numbers and what belongs to what stay, so that a replay builds bare nodes and removes
them where they were forgotten.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from graphsvc.model.change import Change, GoneRecord, Link, NodeRef, Patch, Put
from graphsvc.model.held import PLACEHOLDER, Held
from graphsvc.model.kinds import KINDS, Kind
from graphsvc.model.names import key_of, task_key
from graphsvc.model.records import judged, row_place

POINTING = frozenset({
    "id", "agent", "session", "skill", "episode", "kind", "record", "owner", "answer", "closed_by", "corrects",
    "cause", "cause_kind", "cause_agent", "effect", "effect_kind", "effect_agent", "evidence",
})  # fmt: skip
"""Fields that say which record is meant, or what one belongs to: they stay."""

Tasks = Mapping[tuple[str, str], str]
"""For each namespace and task's text, what it is replaced by."""


RowName = tuple[str, str, str]
"""What the record of a searchable row is called: its id, table and key."""


def bare(kind: Kind, agent: str, values: Mapping[str, Any], tasks: Tasks) -> dict[str, Any]:
    """A record's values, or some of them, without what is to be forgotten."""
    return {name: _bare(kind, name, agent, value, tasks) for name, value in values.items()}


def _bare(kind: Kind, name: str, agent: str, value: Any, tasks: Tasks) -> Any:
    field = kind.fields[name]
    if value is None or name in POINTING:
        return value
    if name == "task":
        return tasks.get((agent, value), value)
    empty: dict[str, Any] = {"text": None if field.optional else "", "tags": [], "metadata": {}, "name": PLACEHOLDER}
    return empty.get(field.type, value)


def overwrite(change: Change, rows: Container[int], tasks: Tasks) -> None:
    """Take out of a change what it tells of some rows, and the texts of some tasks."""
    _cut_vectors(change, rows)
    change.puts = [_bare_put(put, tasks) if put.row in rows else put for put in change.puts]
    change.patches = [_bare_patch(patch, tasks) if patch.row in rows else patch for patch in change.patches]
    change.held = [replace(held, hash=b"", task=None) if held.row in rows else held for held in change.held]
    keys = {
        key_of(agent, task_key(text)): NodeRef(
            "Task", key_of(agent, task_key(new)), {"id": task_key(new), "agent": agent, "text": new}
        )
        for (agent, text), new in tasks.items()
    }
    change.nodes = [keys.get(node.key, node) if node.table == "Task" else node for node in change.nodes]
    change.vanished = [
        NodeRef("Task", keys[node.key].key) if node.table == "Task" and node.key in keys else node
        for node in change.vanished
    ]
    change.links = [_moved(link, keys) for link in change.links]
    change.unlinks = [_moved(link, keys) for link in change.unlinks]


def overwrite_rows(change: Change, rows: Container[int], held: Held) -> None:
    """Take out of a change what searchable rows of the user's tables held of a text."""
    change.puts = [_cleaned_put(put, held) if put.row in rows else put for put in change.puts]
    change.patches = [
        msgspec.structs.replace(patch, values=held.cleaned(patch.values)) if patch.row in rows else patch
        for patch in change.patches
    ]


def _cleaned_put(put: Put, held: Held) -> Put:
    values = msgspec.json.decode(put.record)
    record = {**values, "texts": held.cleaned(values["texts"])}
    return msgspec.structs.replace(put, record=msgspec.Raw(msgspec.json.encode(record)))


def rename_rows(change: Change, names: Mapping[int, RowName], ids: Mapping[tuple[str, str], str]) -> None:
    """Call searchable rows of the user's tables otherwise, whose id and key hold a text, and leave none of theirs.

    Args:
        ids: the new ones by namespace and old one: what was said of such a row names it.
    """
    parents = {judged("row", key_of(*old)): judged("row", key_of(old[0], id)) for old, id in ids.items()}
    _cut_vectors(change, names)
    change.puts = [_renamed_put(put, *names[put.row]) if put.row in names else put for put in change.puts]
    change.patches = [
        Patch(patch.kind, patch.agent, names[patch.row][0], patch.row, {"texts": {}}, patch.text)
        if patch.row in names
        else patch
        for patch in change.patches
    ]
    change.gone = [_renamed(gone, names) for gone in change.gone]
    change.forgotten = [_renamed(gone, names) for gone in change.forgotten]
    change.held = [
        replace(held, id=names[held.row][0] if held.id else held.id, hash=b"",
                parent=held.parent and row_place(*names[held.row][1:]))
        if held.row in names
        else replace(held, parent=parents.get(held.parent or "", held.parent))
        for held in change.held
    ]  # fmt: skip
    change.puts = [_judging_anew(put, ids) if put.kind == "feedback" else put for put in change.puts]


def _judging_anew(put: Put, ids: Mapping[tuple[str, str], str]) -> Put:
    values = msgspec.json.decode(put.record)
    id = ids.get((values["owner"], values["record"])) if values.get("kind") == "row" else None
    return replace(put, record=msgspec.Raw(msgspec.json.encode({**values, "record": id}))) if id else put


def _renamed_put(put: Put, id: str, table: str, node: str) -> Put:
    values = {**msgspec.json.decode(put.record), "id": id, "table": table, "node": node, "texts": {}}
    return Put(put.kind, put.row, msgspec.Raw(msgspec.json.encode(values)))


def _renamed(gone: GoneRecord, names: Mapping[int, RowName]) -> GoneRecord:
    return replace(gone, id=names[gone.row][0]) if gone.row in names else gone


def _cut_vectors(change: Change, rows: Container[int]) -> None:
    carriers = [put.row for put in change.puts if put.vector]
    carriers += [patch.row for patch in change.patches if patch.vector]
    if not carriers:
        return
    size = len(change.vectors) // len(carriers)
    change.vectors = b"".join(
        change.vectors[place * size : (place + 1) * size] for place, row in enumerate(carriers) if row not in rows
    )


def _bare_put(put: Put, tasks: Tasks) -> Put:
    values = msgspec.json.decode(put.record)
    record = bare(KINDS[put.kind], values["agent"], values, tasks)
    return Put(put.kind, put.row, msgspec.Raw(msgspec.json.encode(record)))


def _bare_patch(patch: Patch, tasks: Tasks) -> Patch:
    values = bare(KINDS[patch.kind], patch.agent, patch.values, tasks)
    return Patch(patch.kind, patch.agent, patch.id, patch.row, values, patch.text)


def _moved(link: Link, keys: Mapping[str, NodeRef]) -> Link:
    if link.target_table == "Task" and link.target in keys:
        return msgspec.structs.replace(link, target=keys[link.target].key)
    return link
