"""Global ids: kind, namespace and id of a record as one text, which says nothing that its holder doesn't know."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import msgspec

from graphsvc.model.kinds import kind_of
from graphsvc.model.records import Record

_MARK = "g:"


class GlobalId(NamedTuple):
    """What a global id holds. Of a row of the user's the kind is `table:NAME`, and there is no namespace."""

    kind: str
    agent: str
    id: Any


def global_id(kind: str, agent: str, id: Any) -> str:
    """The global id of a record, or of a row of the user's."""
    packed = msgspec.json.encode([kind, agent, id])
    return _MARK + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def global_id_of(record: Record) -> str:
    """The global id of a record."""
    return global_id(kind_of(record).name, record.agent, record.id)


def parsed(text: str) -> GlobalId | None:
    """What a global id holds; None for a text that is none."""
    if not text.startswith(_MARK):
        return None
    body = text[len(_MARK) :]
    try:
        kind, agent, id = msgspec.json.decode(
            base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=tuple[str, str, str | int]
        )
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    return GlobalId(kind, agent, id)
