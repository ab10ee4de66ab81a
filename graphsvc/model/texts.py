"""Which texts of a record are searched: what the embedding model reads, and what full text indexes.

The model reads only the first 256 word pieces (all-MiniLM-L6-v2), so what tells most comes first:

| kind | embedded, in this order, each on its line | full text |
|---|---|---|
| episode | task, critique, output | date, task, critique, input, output |
| skill | name in words, description, signature, code | name, name in words, description, signature, tags, code |
| fact | subject, predicate in words, object; source | date of its beginning, all of those, predicate, tags |
| cause | mechanism; without one the ids of its ends | variables and entities at its ends, mechanism, method |

What the model didn't read is counted per vector (`memory.stats()`), never dropped unsaid; full text indexes
all of it.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from graphsvc.model.records import Cause, Episode, Fact, Record, Skill

TEXTS = 3
"""Version of these rules, and of the fields that full text filters by; a memory indexed by others is indexed anew."""

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
    if isinstance(record, Fact):
        said = f"{record.subject} {words_of(record.predicate) or record.predicate} {record.object}"
        return "\n".join(filter(None, (said, record.source)))
    if isinstance(record, Cause):
        return record.mechanism or f"{record.cause} {record.effect}"
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
    if isinstance(record, Fact):
        begins = f"{record.valid_from:%Y-%m-%d %d %B %Y}" if record.valid_from else None
        said = (record.subject, record.predicate, words_of(record.predicate), record.object)
        return "\n".join(filter(None, (begins, *said, record.source, " ".join(record.tags))))
    if isinstance(record, Cause):
        named = [end for kind, end in ((record.cause_kind, record.cause), (record.effect_kind, record.effect))
                 if kind in ("variable", "entity")]  # fmt: skip
        return "\n".join(filter(None, (*named, record.mechanism, record.method)))
    return None


def text_hash(text: str) -> int:
    """64 bits that tell whether a vector belongs to the record's current text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
