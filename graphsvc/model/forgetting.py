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

from graphsvc.model.change import Change, Link, NodeRef, Patch, Put
from graphsvc.model.kinds import KINDS, Kind
from graphsvc.model.names import key_of, task_key

PLACEHOLDER = "[forgotten]"
POINTING = frozenset({
    "id", "agent", "session", "skill", "episode", "kind", "record", "owner", "answer", "closed_by", "corrects",
    "cause", "cause_kind", "cause_agent", "effect", "effect_kind", "effect_agent", "evidence",
})  # fmt: skip
"""Fields that say which record is meant, or what one belongs to: they stay."""

Tasks = Mapping[tuple[str, str], str]
"""For each namespace and task's text, what it is replaced by."""


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
