"""What changes, as it does: read on from a number, and wait for more. `memory.changes`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from graphsvc.errors import BadInput
from graphsvc.memory.opened import Opened
from graphsvc.model.change import Change
from graphsvc.model.kinds import KINDS
from graphsvc.model.times import from_micros

READ = 1_000
"""Entries of the log that are read at once."""
LONGEST_WAIT = 60
"""Seconds that `changes` may be asked to wait."""
ENDING_SECONDS = 1.0
"""The longest wait while the memory is about to be closed: who asked again at once, and again, would take time from
what ends."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One thing that happened to a record.

    Attributes:
        n: number in the log. at: ISO 8601 time when it was acknowledged. verb: what was asked for.
        what: `store`, `amend`, `delete` or `forget`. kind, agent, id: of the record.
        values: the record as stored, or the fields that changed.
    """

    n: int
    at: str
    verb: str
    what: str
    kind: str
    agent: str
    id: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Changes(Sequence[Changed]):
    """What changed, in order.

    Attributes:
        items: the changes. reached: number of the last entry that was looked at: go on from there.
    """

    items: tuple[Changed, ...]
    reached: int

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


def changes(
    opened: Opened, after: Any, kinds: Collection[str] | None, agents: tuple[str, ...] | None, wait: Any
) -> Changes:
    """See `Memory.changes`."""
    if would_wait(opened, after, kinds, wait):
        opened.log.wait_beyond(after, *_how_long(opened, wait))
    return read_on(opened, after, kinds, agents)


def nothing_since(opened: Opened, after: int) -> Changes | None:
    """The answer where nothing came since; None where something did."""
    head = opened.log.head  # once: what came between two looks would be passed over
    return Changes((), head) if head <= after else None


def read_on(opened: Opened, after: int, kinds: Collection[str] | None, agents: tuple[str, ...] | None) -> Changes:
    """What there is now. None where a wait ended with nothing, perhaps since the memory is being closed."""
    if (nothing := nothing_since(opened, after)) is not None:
        return nothing
    read = opened.log.read(after, READ)
    found = [
        one
        for change in read
        for one in _of(change)
        if (kinds is None or one.kind in kinds) and (agents is None or (one.agent in agents and one.kind != "row"))
    ]
    return Changes(tuple(found), read[-1].n if read else after)


def would_wait(opened: Opened, after: Any, kinds: Collection[str] | None, wait: Any) -> bool:
    """Whether `changes` would wait. Raises BadInput for an argument."""
    if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after < 1 << 63:
        raise BadInput(f"expected the number of an entry, got {after!r}", where="after")
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= LONGEST_WAIT:
        raise BadInput(f"expected 0 to {LONGEST_WAIT} seconds, got {wait!r}", where="wait")
    for kind in kinds or ():
        if kind not in KINDS:
            raise BadInput(f"{kind!r} is not one of {', '.join(KINDS)}", where="kinds")
    return bool(wait) and opened.log.head <= after


async def sleep(opened: Opened, after: int, wait: float) -> None:
    """Wait as `changes` would, without a thread."""
    await opened.log.sleep_beyond(after, *_how_long(opened, wait))


def _how_long(opened: Opened, wait: float) -> tuple[float, Callable[[], bool]]:
    """The longest wait in seconds, and what tells that it is over."""
    ended = opened.ending
    return min(wait, ENDING_SECONDS) if ended else wait, lambda: opened.closed or (opened.ending and not ended)


def _of(change: Change) -> Iterator[Changed]:
    """What an entry did to records; nothing for one that stands for trimmed ones, whose changes are known no more."""
    if change.trimmed is not None:
        return
    at = from_micros(change.at).isoformat()
    for put in change.puts:
        record = msgspec.json.decode(put.record)
        yield Changed(change.n, at, change.verb, "store", put.kind, record["agent"], record["id"], record)
    for patch in change.patches:
        yield Changed(change.n, at, change.verb, "amend", patch.kind, patch.agent, patch.id, dict(patch.values))
    forgotten = {one.row for one in change.forgotten}
    for gone in change.gone:
        what = "forget" if gone.row in forgotten else "delete"
        yield Changed(change.n, at, change.verb, what, gone.kind, gone.agent, gone.id, {})
