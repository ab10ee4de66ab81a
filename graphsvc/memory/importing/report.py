"""What an import did, and what it left out and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphsvc.errors import BadInput

LISTED = 1_000
"""Skipped items that a report names; the rest are counted."""


COUNTS = ("read", "stored", "already", "revised", "links", "modules", "entities", "amended")
"""What a report counts, beside what it left out."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that wasn't imported.

    Attributes:
        place: where it stands: `line 12`, or the name of a module or function.
        code: of the reason; where it is an error's, the error's own.
        why: in words.
    """

    place: str
    code: str
    why: str


@dataclass(slots=True)
class ImportReport:
    """What an import did. Read is what it found: each is stored, already there, revised or skipped.

    Attributes:
        dry_run: nothing was written; the counts say what would have been.
        read: lines, functions, commits, test cases, rows, or turns.
        stored: new in the memory. already: there before, the same. revised: there before, now in a new version.
        links: made between skills, or from episodes to entities and evidence. modules: read.
        entities: new ones, like files. amended: episodes there before that something later has judged.
        vanished: skills whose functions are no longer in modules that were read. retired: of these, deleted.
        skipped: the first of what was left out. skipped_by_code: how many of each reason, also of those not listed.
        seconds: that it took.
    """

    dry_run: bool = False
    read: int = 0
    stored: int = 0
    already: int = 0
    revised: int = 0
    links: int = 0
    modules: int = 0
    entities: int = 0
    amended: int = 0
    vanished: list[str] = field(default_factory=list)
    retired: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    skipped_by_code: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    _begun: float = field(default_factory=time.monotonic, repr=False)

    @property
    def skipped_count(self) -> int:
        """How many were left out."""
        return sum(self.skipped_by_code.values())

    @property
    def in_vain(self) -> bool:
        """Whether something was to be imported and nothing could be."""
        return bool(self.skipped_by_code) and not self.stored + self.already + self.revised

    def skip(self, place: str, code: str, why: str, *, listed: bool = True) -> None:
        """Note that something is left out; not `listed`, it is only counted."""
        self.skipped_by_code[code] = self.skipped_by_code.get(code, 0) + 1
        if listed and len(self.skipped) < LISTED:
            self.skipped.append(Skipped(place, code, why))

    def finish(self) -> ImportReport:
        """Note the time that it took."""
        self.seconds = time.monotonic() - self._begun
        return self

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        counts = {name: getattr(self, name) for name in COUNTS}
        return {
            "dry_run": self.dry_run,
            **counts,
            "vanished": self.vanished,
            "retired": self.retired,
            "skipped_count": self.skipped_count,
            "skipped_by_code": dict(sorted(self.skipped_by_code.items())),
            "skipped": [{"place": one.place, "code": one.code, "why": one.why} for one in self.skipped],
            "seconds": round(self.seconds, 3),
        }


Progress = Callable[[float | None, ImportReport], None]
"""Called now and then with the share of the source that is read, 0 to 1 (None: unknown), and the report so far."""

Acknowledged = Callable[[Sequence[str]], None]
"""Called with the ids of what has just become durable."""


def check_batch(batch: object) -> None:
    """So many are stored together: a whole number of at least 1. Raises BadInput."""
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise BadInput(f"expected a whole number of at least 1, got {batch!r}", where="batch")
