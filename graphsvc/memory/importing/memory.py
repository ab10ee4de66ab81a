"""Importing what `memory.export` wrote: records with their ids, times and statistics, links, vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from graphsvc.errors import BadInput
from graphsvc.log import taking
from graphsvc.log.state import Stored, every
from graphsvc.memory.exported import (
    HASH,
    LINK_COLUMNS,
    LINKS,
    VECTORS,
    Contents,
    batched,
    check,
    read_contents,
    read_rows,
)
from graphsvc.memory.importing.report import ImportReport, Progress, check_batch
from graphsvc.model.kinds import KINDS, Kind
from graphsvc.model.records import Cause, Outcome, SkillVersion, ends_of
from graphsvc.model.requests import KindRef, NewRecord, TakeLinks, TakenLink, TakeRecords
from graphsvc.model.validate import build, content_hash

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory

WHY = {
    taking.CONFLICT: "another of this id is there already, with other content",
    taking.GONE: "it was deleted or forgotten here, or what it belongs to was",
    taking.NOT_FOUND: "what it belongs to isn't there",
    taking.CYCLE: "the skill would be its own prerequisite",
    taking.UNKNOWN: "this graphsvc knows no such link",
}
UNIT = 1e-3
"""How far from 1 the length of a vector may be."""


def import_memory(
    memory: Memory,
    source: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    batch: int = 500,
    progress: Progress | None = None,
) -> ImportReport:
    """Take in everything that another memory exported: records of all kinds, links, and vectors if they are there.

    All files are checked before anything is written. Repeated, or begun again after a kill, it takes what isn't there
    yet; a record of the same id and other content, or one deleted here, stays as it is and is reported.

    Args:
        memory: to import into. source: the directory that `memory.export` made.
        dry_run: store nothing, only report.
        batch: records stored together, all of them durable before the next are read.
        progress: called after each batch.

    Returns:
        The report; what can't be taken is skipped, with the reason.

    Raises:
        BadInput: the directory is no whole export, or a line can't be read. Corrupt: a file is missing, cut off or
        changed. NewerFormat, UnknownField: a newer graphsvc made it. StorageFull and the like.
    """
    memory._opened.check()
    check_batch(batch)
    directory = Path(source)
    contents = read_contents(directory)
    check(directory, contents)
    job = _Job(memory, directory, contents, batch, ImportReport(dry_run=dry_run), progress)
    job.run()
    return job.report.finish()


@dataclass(slots=True)
class _Job:
    """One import under way."""

    memory: Memory
    directory: Path
    contents: Contents
    batch: int
    report: ImportReport
    progress: Progress | None
    refused: set[tuple[str, str]] = field(default_factory=set)
    coming: set[KindRef] = field(default_factory=set)

    def run(self) -> None:
        vectors = self._vectors()
        for name, kind in KINDS.items():
            if name in self.contents.files:
                rows = read_rows(self.directory / self.contents.files[name].name, self.contents.format)
                for batch in batched(self._items(kind, rows, vectors), self.batch):
                    self._take(kind, batch)
                    self._tell()
        rows = read_rows(self.directory / self.contents.files[LINKS].name, self.contents.format)
        for links in batched((self._link(row) for row in rows), self.batch):
            self._join(links)
            self._tell()

    def _tell(self) -> None:
        if self.progress:
            total = sum(file.count for name, file in self.contents.files.items() if name != VECTORS)
            self.progress(min(1.0, self.report.read / total) if total else 1.0, self.report)

    # --- reading -------------------------------------------------------------------------------------------

    def _items(self, kind: Kind, rows: Iterator[dict[str, Any]], vectors: _Vectors | None) -> Iterator[NewRecord]:
        writes = self.memory._namespaces
        for number, row in enumerate(rows, 1):
            self.report.read += 1
            item = self._item(kind, row, f"{kind.name}, record {number}: ")
            record = item.record
            if writes.agent is not None and record.agent != writes.agent:
                self._skip(kind.name, record.id, "other_namespace", f"this handle writes as {writes.agent!r}")
                continue
            if isinstance(record, SkillVersion | Outcome) and (record.agent, record.skill) in self.refused:
                self._skip(kind.name, record.id, taking.CONFLICT, f"it belongs to another skill {record.skill!r}")
                continue
            if vectors is not None and kind.searchable:
                item.vector = vectors.of((kind.name, record.agent, record.id))
            yield item

    def _item(self, kind: Kind, row: dict[str, Any], place: str) -> NewRecord:
        values = dict(row)
        hash = values.pop(HASH, None)
        if self.contents.format == "parquet":
            values = {name: _from_column(kind, name, value) for name, value in values.items()}
        record = build(kind, values, self.memory._opened.limits, prefix=place)
        if hash is None:
            return NewRecord.of(record, content_hash(kind.name, msgspec.structs.asdict(record)))
        try:
            return NewRecord.of(record, bytes.fromhex(hash) if isinstance(hash, str) else bytes(hash))
        except (TypeError, ValueError):
            raise BadInput("is no digest", where=f"{place}{HASH}") from None

    def _vectors(self) -> _Vectors | None:
        """The vectors, if they are of this memory's model; else the texts are embedded anew, and the report says so."""
        file, made_by = self.contents.files.get(VECTORS), self.contents.embedding
        if file is None or made_by is None:
            return None
        ours = self.memory._opened.manifest.embedding
        if (made_by.get("fingerprint"), made_by.get("dimension")) != (ours["fingerprint"], ours["dimension"]):
            why = f"made by {made_by.get('name')!r}, not by {ours['name']!r}: the texts are embedded anew"
            self.report.skip(file.name, "embedding_mismatch", why)
            return None
        return _Vectors(read_rows(self.directory / file.name, "parquet"), ours["dimension"])

    def _link(self, row: dict[str, Any]) -> TakenLink:
        self.report.read += 1
        try:
            rel, *ends, values = (row[name] for name in LINK_COLUMNS)
            values = msgspec.json.decode(values) if isinstance(values, str) else values
            return msgspec.convert(
                {"rel": rel, "source": ends[:3], "target": ends[3:], "values": values}, TakenLink
            )
        except (KeyError, ValueError) as error:
            raise BadInput(f"a link can't be read: {error}", where=self.contents.files[LINKS].name) from None

    # --- taking --------------------------------------------------------------------------------------------

    def _take(self, kind: Kind, items: Sequence[NewRecord]) -> None:
        if self.report.dry_run:
            outcomes = self._judged(items)
        else:
            outcomes = self.memory._opened.log.submit(TakeRecords(list(items))).result
        for item, outcome in zip(items, outcomes, strict=True):
            place = (item.record.agent, item.record.id)
            if outcome == taking.STORED:
                self.report.stored += 1
                self.coming.add((kind.name, *place))
            elif outcome == taking.ALREADY:
                self.report.already += 1
            else:
                self._skip(kind.name, item.record.id, outcome, WHY[outcome])
                if outcome == taking.CONFLICT and kind.name == "skill" and not self._same_origin(item):
                    self.refused.add(place)

    def _same_origin(self, item: NewRecord) -> bool:
        """Whether the skill that is there began as the same one, and was only used or revised since."""
        found = self._find("skill", item.record.agent, item.record.id)
        return found is not None and found.hash == item.hash

    def _find(self, kind: str, agent: str, id: str) -> Stored | None:
        with self.memory._opened.log.connection() as connection:
            return next((one for one in every(connection, kind, id) if one.agent == agent), None)

    def _judged(self, items: Sequence[NewRecord]) -> list[str]:
        """What would become of them, were those stored that would be."""
        outcomes = []
        for item in items:
            outcome = taking.judge(self._find, item)
            record = item.record
            if isinstance(record, SkillVersion | Outcome) and ("skill", record.agent, record.skill) in self.coming:
                outcome = taking.STORED
            if isinstance(record, Cause) and outcome == taking.NOT_FOUND:
                ends = [end for end in ends_of(record) if end not in self.coming]
                outcome = taking.STORED if all(self._find(*end) for end in ends) else outcome
            outcomes.append(outcome)
        return outcomes

    def _join(self, links: Sequence[TakenLink]) -> None:
        if self.report.dry_run:
            outcomes = [self._judged_link(link) for link in links]
        else:
            outcomes = self.memory._opened.log.submit(TakeLinks(list(links))).result
        for link, outcome in zip(links, outcomes, strict=True):
            if outcome == taking.STORED:
                self.report.links += 1
            elif outcome == taking.ALREADY:
                self.report.already += 1
            else:
                self._skip(link.rel, f"{link.source[2]} → {link.target[2]}", outcome, WHY[outcome])

    def _judged_link(self, link: TakenLink) -> str:
        outcome = taking.judge_link(self._find, link, lambda *rows: self._link_values(link.rel, *rows))
        ends = [end for end in (link.source, link.target) if end not in self.coming]
        if outcome == taking.NOT_FOUND and all(self._find(*end) for end in ends):
            return taking.STORED
        return outcome

    def _link_values(self, rel: str, source: int, target: int) -> dict[str, Any] | None:
        for known, direction, other, values in self.memory._opened.log.links_of(source):
            if (known, direction, other) == (rel, "out", target):
                return values
        return None

    def _skip(self, kind: str, id: str, code: str, why: str) -> None:
        self.report.skip(f"{kind} {id}", code, why)


class _Vectors:
    """The vectors of an export, asked for in the order that they are in."""

    def __init__(self, rows: Iterator[dict[str, Any]], dimension: int) -> None:
        self._rows = rows
        self._dimension = dimension
        self._next = next(rows, None)

    def of(self, ref: KindRef) -> bytes:
        """The vector of a record; empty if there is none. A record that isn't asked for is passed by."""
        while self._next is not None and _order(self._ref()) < _order(ref):
            self._next = next(self._rows, None)
        if self._next is None or self._ref() != ref:
            return b""
        vector = np.array(self._next["vector"], np.float32)
        self._next = next(self._rows, None)
        if vector.shape != (self._dimension,) or not abs(float(np.linalg.norm(vector)) - 1) < UNIT:
            raise BadInput(f"the vector of {ref[0]} {ref[2]!r} is no unit vector", where=VECTORS)
        return vector.tobytes()

    def _ref(self) -> KindRef:
        assert self._next is not None
        return self._next["kind"], self._next["agent"], self._next["id"]


_PLACES = {name: place for place, name in enumerate(KINDS)}


def _order(ref: KindRef) -> tuple[int, str, str]:
    kind, agent, id = ref
    return _PLACES.get(kind, len(_PLACES)), id, agent


def _from_column(kind: Kind, name: str, value: Any) -> Any:
    """A value of a Parquet column as a record has it."""
    if name in kind.fields and kind.fields[name].type == "metadata" and isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise BadInput(f"is not JSON: {error}", where=name) from None
    return value

