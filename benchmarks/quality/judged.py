"""What a task of retrieval is made of: documents, and questions whose right documents are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        text: asked. right: ids of the documents that answer it.
        group: what it is about; all questions of a group are in the same half.
        where: which documents may answer it, as a filter; None for all.
    """

    text: str
    right: frozenset[str]
    group: str
    where: Mapping[str, Any] | None = None

    @property
    def tunes(self) -> bool:
        """Whether it belongs to the half on which the weight is chosen."""
        return number_of(self.group) % 2 == 0


@dataclass(frozen=True, slots=True)
class Judged:
    """Documents of one kind, as `create_many` or `store_many` takes them, and the questions."""

    kind: str
    documents: Sequence[Mapping[str, Any]]
    questions: Sequence[Question]


def number_of(text: str) -> int:
    """A number that depends on the text alone, the same on every machine."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def drawn(questions: Sequence[Question], count: int) -> list[Question]:
    """At most so many questions, drawn by their text and group, whole groups not kept together."""
    return sorted(questions, key=lambda asked: number_of(f"{asked.group}\0{asked.text}"))[:count]
