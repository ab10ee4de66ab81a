"""Which texts of a record are searched: what the embedding model reads, and what full text indexes.

The model reads only the first 256 word pieces (all-MiniLM-L6-v2), so what tells most comes first:

| kind | embedded, in this order, each on its line | full text |
|---|---|---|
| episode | task, critique, output | date, task, critique, input, output |
| skill | name in words, description, signature, code | name, name in words, description, signature, tags, code |
| row | its searchable columns, as they were declared | the same |

What the model didn't read is counted per vector (`memory.stats()`), never dropped unsaid; full text indexes
all of it.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from graphsvc.model.records import Episode, Record, Row, Skill

TEXTS = 3
"""Version of these rules; a memory indexed by other rules is indexed anew."""

WEIGHT = 0.75
"""How much meaning counts in the blend, words the rest, unless the caller says otherwise: see `docs/quality.md`."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")


def words_of(identifier: str) -> str:
    """An identifier as words: `parseHTTPReply_v2` gives `parse HTTP Reply v 2`."""
    return " ".join(_WORD.findall(identifier))


def embedded_text(record: Record) -> str | None:
    """What the embedding model reads of a record; None if records of its kind have no vector."""
    if isinstance(record, Episode):
        return "\n".join(filter(None, (record.task, record.critique, record.output)))
    if isinstance(record, Skill):
        return "\n".join(
            filter(None, (words_of(record.name), record.description, record.signature, record.code))
        )
    if isinstance(record, Row):
        return "\n".join(record.texts.values()) or None
    return None


def lexical_text(record: Record) -> str | None:
    """What full text indexes of a record; None if records of its kind aren't indexed."""
    if isinstance(record, Episode):
        date = f"{record.at:%Y-%m-%d %d %B %Y}"
        return "\n".join(filter(None, (date, record.task, record.critique, record.input, record.output)))
    if isinstance(record, Skill):
        tags = " ".join(record.tags)
        parts = (record.name, words_of(record.name), record.description, record.signature, tags, record.code)
        return "\n".join(filter(None, parts))
    return embedded_text(record) if isinstance(record, Row) else None


def text_hash(text: str) -> int:
    """64 bits that tell whether a vector belongs to the record's current text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
