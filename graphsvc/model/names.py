"""Ids, namespaces and keys.

A record is identified by its namespace (`agent`), kind and id. Projections know it by one text, its key:
percent-encoded agent, '/', percent-encoded id.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b
from urllib.parse import quote, unquote

from graphsvc.errors import BadInput, TooLarge

DEFAULT_AGENT = "default"
MAX_NAME = 512
"""The longest id, agent, session or tag, in UTF-8 bytes."""


RESERVED_NODES = (
    "Episode", "Session", "Task", "Agent", "Skill", "SkillVersion", "Variable", "Entity", "Fact", "Pattern",
    "Experiment",
)  # fmt: skip
RESERVED_RELS = (
    "IN_SESSION", "ATTEMPTS", "NEXT", "USED", "DERIVED_FROM", "VERSION_OF", "CALLS", "PREREQUISITE",
    "ALTERNATIVE", "REFINES", "PART_OF", "CAUSES", "ABOUT", "EVIDENCE",
)  # fmt: skip
"""Names that belong to the memory from format 1 on, those that later work needs too."""

_SAFE = re.compile(r"[A-Za-z0-9_.~-]+").fullmatch


def key_of(agent: str, id: str) -> str:
    """The key of a record: unique per kind over all namespaces, order and characters safe everywhere."""
    if _SAFE(agent) and _SAFE(id):  # most are: quoting costs ten times as much as looking
        return f"{agent}/{id}"
    return f"{quote(agent, safe='')}/{quote(id, safe='')}"


def parts_of(key: str) -> tuple[str, str]:
    """The agent and the id that `key_of` joined."""
    agent, _, id = key.partition("/")
    return unquote(agent), unquote(id)


def task_key(task: str) -> str:
    """The id of a task: a BLAKE2b digest of its exact text. Likeness of tasks is a search, not identity."""
    return blake2b(task.encode(), digest_size=16).hexdigest()


def entity_id(kind: str, name: str) -> str:
    """The id of an entity that was given none: `kind:name`; a digest of the name where that would be too long."""
    prefix = kind.replace("%", "%25").replace(":", "%3A")
    whole = f"{prefix}:{name}"
    if len(whole.encode()) <= MAX_NAME:
        return whole
    return blake2b(whole.encode(), digest_size=16).hexdigest()


def task_text(text: str) -> str:
    """A task's text as it is kept: NFC, ends stripped, so that equal-looking texts are one task."""
    return unicodedata.normalize("NFC", text).strip()


def check_name(value: object, where: str) -> str:
    """A name (id, agent, session, tag): text, not empty, no control characters, at most `MAX_NAME` bytes."""
    if not isinstance(value, str):
        raise BadInput(f"expected text, got {type(value).__name__}", where=where)
    if value.isascii() and value.isprintable():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise BadInput(
                "the text holds half a surrogate pair, which is no character", where=where
            ) from None
        if any(unicodedata.category(character) == "Cc" for character in value):
            raise BadInput("a name can't hold control characters", where=where)
    if not value or value.isspace():
        raise BadInput("is empty", where=where)
    if size > MAX_NAME:
        raise TooLarge(f"{size} bytes; a name has at most {MAX_NAME}", where=where)
    return value
