"""Episodes that an import has made of what it read: gathered, compared with what is there, stored in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from graphsvc.errors import Conflict, Gone, GraphsvcError
from graphsvc.memory.importing.report import Acknowledged, ImportReport, Progress, check_batch
from graphsvc.memory.importing.standing import is_live, stored
from graphsvc.model.requests import NewRecord, StoreEpisodes

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory

T = TypeVar("T")
Share = Callable[[], float | None]
"""How much of a source has been read, from 0 to 1; None where nobody knows."""

BATCH_BYTES = 16 << 20
"""Texts of so many bytes are stored together, however few they are."""


class Storing:
    """The episodes of one import that wait to be stored, and its report.

    Args:
        memory: to store in. agent: namespace of episodes that name none. report: that is filled.
        batch: episodes stored together. acknowledged: called with the ids of each batch once it is durable.
    """

    def __init__(
        self,
        memory: Memory,
        agent: str | None,
        report: ImportReport,
        acknowledged: Acknowledged | None,
        batch: int = 500,
    ) -> None:
        check_batch(batch)
        self.memory = memory
        self.agent = memory.episodes._namespaces.writes(agent)
        self.report = report
        self.acknowledged = acknowledged
        self.batch = batch
        self._waiting: list[tuple[int, str, NewRecord]] = []
        self._faults: list[tuple[int, str, GraphsvcError]] = []
        self._taken = 0
        self._bytes = 0
        self._repeats: Counter[bytes] = Counter()
        self._seen: dict[tuple[str, str], bytes] = {}

    @property
    def is_full(self) -> bool:
        """Whether so many wait, or so long ones, that they should be stored now."""
        return len(self._waiting) + len(self._faults) >= self.batch or self._bytes >= BATCH_BYTES

    def take(self, place: str, values: dict[str, Any]) -> None:
        """Put an episode, by its field values, with those that wait. `place` says where it stands in the source.

        Without an id it gets one made of its content and how often that came before.

        Raises:
            BadInput and the like: for a value. Nothing waits then; give the error to `refuse`, or on.
        """
        item = self._item(values)
        self._bytes += len(item.body)
        self._waiting.append((self._next(), place, item))

    def refuse(self, place: str, error: GraphsvcError) -> None:
        """Note why something can't be taken; it is reported in its turn."""
        self._faults.append((self._next(), place, error))

    def _next(self) -> int:
        self._taken += 1
        return self._taken

    def _item(self, values: dict[str, Any]) -> NewRecord:
        space = values.get("agent")
        values["agent"] = self.agent if space is None else self.memory.episodes._namespaces.writes(space)
        item: NewRecord = self.memory.episodes._new(values)
        if values.get("id") is not None:
            return item
        told = item.hash + (str(item.record.at).encode() if values.get("at") is not None else b"")
        repeat = self._repeats[told]
        self._repeats[told] += 1
        id = blake2b(told + repeat.to_bytes(8, "big"), digest_size=16).hexdigest()
        return NewRecord.of(msgspec.structs.replace(item.record, id=id), item.hash)

    def through(
        self, items: Iterable[T], take: Callable[[T], None], share: Share, progress: Progress | None
    ) -> ImportReport:
        """Take each item of a source, and store whenever enough wait; the rest in any case."""
        try:
            for item in items:
                take(item)
                if self.is_full:
                    self.store()
                    if progress:
                        progress(share(), self.report)
        finally:
            self.store()
        if progress:
            progress(1.0, self.report)
        return self.report.finish()

    def store(self) -> list[NewRecord]:
        """Store what waits, but for what is there already or can't be; that is reported, in the source's order.

        Returns:
            Those that are in the memory now, or would be: stored, or there already.
        """
        new, old = self._sorted()
        self._waiting, self._bytes = [], 0
        try:
            if self.report.dry_run:
                self.report.stored += len(new)
                return [*old, *(item for _, _, item in new)]
            self._seen.clear()
            return [*old, *self._submit(new)]
        finally:
            for _, place, error in sorted(self._faults, key=lambda fault: fault[0]):
                self.report.skip(place, error.code, said(error))
            self._faults = []

    def _sorted(self) -> tuple[list[tuple[int, str, NewRecord]], list[NewRecord]]:
        """Those whose ids the memory doesn't know, and those there already, which are counted; others are faults."""
        places = [(item.record.agent, item.record.id) for _, _, item in self._waiting]
        known_ones = stored(self.memory, "episode", places)
        new, old = [], []
        for (turn, where, item), place, known in zip(self._waiting, places, known_ones, strict=True):
            if known is not None and not is_live(known):
                self._faults.append((turn, where, Gone(f"the episode {known.id!r} was deleted", where="id")))
                continue
            hash = known.hash if known is not None else self._seen.get(place)
            if hash is None:
                self._seen[place] = item.hash
                new.append((turn, where, item))
            elif hash == item.hash:
                self.report.already += 1
                old.append(item)
            else:
                conflict = Conflict(f"the episode {place[1]!r} exists, with other content", where="id")
                self._faults.append((turn, where, conflict))
        return new, old

    def _submit(self, items: Sequence[tuple[int, str, NewRecord]]) -> list[NewRecord]:
        """Store these; what another thread has meanwhile made impossible is found by halving."""
        if not items:
            return []
        records = [item for _, _, item in items]
        try:
            self.memory.episodes._submit(StoreEpisodes(records))
        except (Conflict, Gone) as error:
            if len(items) == 1:
                self._faults.append((*items[0][:2], error))
                return []
            half = len(items) // 2
            return [*self._submit(items[:half]), *self._submit(items[half:])]
        self.report.stored += len(items)
        if self.acknowledged:
            self.acknowledged([item.record.id for item in records])
        return records


def said(error: GraphsvcError) -> str:
    """An error in words, with what it is about."""
    return f"{error.where}: {error.what}" if error.where else error.what


def excerpt(text: str, limit: int) -> str:
    """The end of a text that is longer than `limit` characters, saying how much is left out."""
    if len(text) <= limit:
        return text
    return f"[{len(text) - limit:,} characters left out]\n{text[-limit:]}"


