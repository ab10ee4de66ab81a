"""Episodes from JSON Lines: one object a line, its keys the fields of an episode or mapped to them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from graphsvc.errors import BadInput, Conflict, Gone, GraphsvcError, TooLarge, UnknownField
from graphsvc.memory.importing.lines import MAX_LINE, Lines
from graphsvc.memory.importing.report import Acknowledged, ImportReport, Progress, check_batch
from graphsvc.memory.importing.standing import is_live, stored
from graphsvc.model.kinds import KINDS
from graphsvc.model.requests import NewRecord, StoreEpisodes

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory

Rest = Literal["error", "metadata", "drop"]
RESTS: tuple[Rest, ...] = ("error", "metadata", "drop")

BATCH_BYTES = 16 << 20
"""Lines of so many bytes are stored together, however few they are."""

NAMED = 10
"""Unknown keys of a line that its error names."""

NAMES = ("id", "session", "agent")
"""Fields where a whole number is taken for its digits: other programs number their runs."""


def import_jsonl(
    memory: Memory,
    source: str | os.PathLike[str],
    *,
    fields: Mapping[str, str] | None = None,
    rest: Rest = "error",
    join: Collection[str] = (),
    agent: str | None = None,
    dry_run: bool = False,
    batch: int = 500,
    progress: Progress | None = None,
    acknowledged: Acknowledged | None = None,
) -> ImportReport:
    """Store the episodes of a JSON Lines file. `schema/episodes.schema.json` says what a line may hold.

    A line without `id` gets one made of its content and how often that came before, so that importing the file
    again adds nothing.

    Args:
        memory: to store in.
        source: path of the file, plain or gzip; "-" for standard input.
        fields: the file's key for an episode's field: {"session": "run_id"}. Others go by their own names.
        rest: what becomes of keys that are no field: "error" skips the line, "metadata" keeps them there, "drop".
        join: text fields where a list of texts is taken, too: as one text, each of them on a line of its own.
        agent: namespace of lines that name none.
        dry_run: store nothing, only report.
        batch: lines stored together, all of them durable before the next are read.
        progress: called after each batch. acknowledged: called with the ids of each batch once it is durable.

    Returns:
        The report; lines that can't be taken are skipped, with the reason.

    Raises:
        BadInput, UnknownField: for an argument or a file that can't be read to its end. StorageFull and the like.
    """
    keys, joined = _keys(fields), _texts(join)
    job = _Job(memory, keys, _one_of(rest), joined, agent, ImportReport(dry_run=dry_run), acknowledged)
    check_batch(batch)
    with Lines(source) as lines:
        try:
            for number, line in lines:
                job.take(number, line)
                if job.is_full(batch):
                    job.store()
                    if progress:
                        progress(lines.share, job.report)
        finally:
            job.store()
    if progress:
        progress(1.0, job.report)
    return job.report.finish()


def _keys(fields: Mapping[str, str] | None) -> dict[str, str]:
    """The episode's field for each key of the file that is mapped to one, or is one's own name."""
    known = KINDS["episode"].fields
    for name in fields or {}:
        if name not in known:
            raise UnknownField(
                "an episode has no such field", where=f"fields.{name}", hint=f"Fields: {', '.join(known)}."
            )
    mapped: dict[str, str] = {}
    for name, key in (fields or {}).items():
        if key in mapped:
            raise BadInput(f"{key!r} is mapped twice", where=f"fields.{name}")
        mapped[key] = name
    return {**{name: name for name in known if name not in (fields or {})}, **mapped}


def _one_of(rest: str) -> Rest:
    for known in RESTS:
        if rest == known:
            return known
    raise BadInput(f"{rest!r} is not one of {', '.join(RESTS)}", where="rest")


def _texts(join: Collection[str]) -> frozenset[str]:
    known = KINDS["episode"].fields
    texts = [name for name, field in known.items() if field.type == "text"]
    for name in [join] if isinstance(join, str) else join:
        if name not in texts:
            hint = f"Fields: {', '.join(texts)}."
            raise BadInput(f"{name!r} is no text field of an episode", where="join", hint=hint)
    return frozenset([join] if isinstance(join, str) else join)


class _Job:
    """One import under way: the lines that wait to be stored, and the report."""

    def __init__(
        self,
        memory: Memory,
        keys: dict[str, str],
        rest: Rest,
        join: frozenset[str],
        agent: str | None,
        report: ImportReport,
        acknowledged: Acknowledged | None,
    ) -> None:
        self.memory = memory
        self.keys = keys
        self.rest = rest
        self.join = join
        self.agent = memory.episodes._namespaces.writes(agent)
        self.report = report
        self.acknowledged = acknowledged
        self._waiting: list[tuple[int, NewRecord]] = []
        self._faults: list[tuple[int, GraphsvcError]] = []
        self._bytes = 0
        self._repeats: Counter[bytes] = Counter()
        self._seen: dict[tuple[str, str], bytes] = {}

    def is_full(self, batch: int) -> bool:
        """Whether so many lines wait, or so long ones, that they should be stored now."""
        return len(self._waiting) + len(self._faults) >= batch or self._bytes >= BATCH_BYTES

    # --- a line --------------------------------------------------------------------------------------------

    def take(self, number: int, line: bytes | None) -> None:
        """Put the line's episode with those that wait, or note why it can't be taken."""
        self.report.read += 1
        self._bytes += len(line or b"")
        try:
            self._waiting.append((number, self._item(self._values(line))))
        except GraphsvcError as error:
            self._faults.append((number, error))

    def _values(self, line: bytes | None) -> dict[str, Any]:
        """The episode's field values that a line says."""
        row = _decoded(line)
        values = {self.keys[key]: value for key, value in row.items() if key in self.keys}
        left = {key: value for key, value in row.items() if key not in self.keys}
        if left and self.rest == "error":
            hint = "Map it, or keep the rest as metadata."
            raise UnknownField("an episode has no such field", where=", ".join(list(left)[:NAMED]), hint=hint)
        if left and self.rest == "metadata":
            values["metadata"] = _with_rest(values.get("metadata"), left)
        for name in NAMES:
            if isinstance(values.get(name), int) and not isinstance(values[name], bool):
                values[name] = str(values[name])
        for name in self.join & values.keys():
            values[name] = _joined(name, values[name])
        return values

    def _item(self, values: dict[str, Any]) -> NewRecord:
        space = values.get("agent")
        values["agent"] = self.agent if space is None else self.memory.episodes._namespaces.writes(space)
        item = self.memory.episodes._new(values)
        if values.get("id") is not None:
            return item
        told = item.hash + (str(item.record.at).encode() if values.get("at") is not None else b"")
        repeat = self._repeats[told]
        self._repeats[told] += 1
        id = blake2b(told + repeat.to_bytes(8, "big"), digest_size=16).hexdigest()
        return NewRecord.of(msgspec.structs.replace(item.record, id=id), item.hash)

    # --- many lines ----------------------------------------------------------------------------------------

    def store(self) -> None:
        """Store what waits, but for what is there already or can't be; that is reported, in the file's order."""
        new = self._unseen()
        self._waiting, self._bytes = [], 0
        try:
            if self.report.dry_run:
                self.report.stored += len(new)
            else:
                self._seen.clear()
                self._submit(new)
        finally:
            self._report_faults()

    def _report_faults(self) -> None:
        for number, error in sorted(self._faults, key=lambda fault: fault[0]):
            why = f"{error.where}: {error.what}" if error.where else error.what
            self.report.skip(f"line {number}", error.code, why)
        self._faults = []

    def _unseen(self) -> list[tuple[int, NewRecord]]:
        """Those whose ids the memory doesn't know; the others are counted as already there, or skipped."""
        places = [(item.record.agent, item.record.id) for _, item in self._waiting]
        new = []
        for (number, item), place, known in zip(
            self._waiting, places, stored(self.memory, "episode", places), strict=True
        ):
            if known is not None and not is_live(known):
                self._faults.append((number, Gone(f"the episode {known.id!r} was deleted", where="id")))
                continue
            hash = known.hash if known is not None else self._seen.get(place)
            if hash is None:
                self._seen[place] = item.hash
                new.append((number, item))
            elif hash == item.hash:
                self.report.already += 1
            else:
                conflict = Conflict(f"the episode {place[1]!r} exists, with other content", where="id")
                self._faults.append((number, conflict))
        return new

    def _submit(self, items: Sequence[tuple[int, NewRecord]]) -> None:
        """Store these; what another thread has meanwhile made impossible is found by halving."""
        if not items:
            return
        try:
            self.memory.episodes._submit(StoreEpisodes([item for _, item in items]))
        except (Conflict, Gone) as error:
            if len(items) == 1:
                self._faults.append((items[0][0], error))
                return
            half = len(items) // 2
            self._submit(items[:half])
            self._submit(items[half:])
            return
        self.report.stored += len(items)
        if self.acknowledged:
            self.acknowledged([item.record.id for _, item in items])


def _decoded(line: bytes | None) -> dict[str, Any]:
    """The object that a line holds."""
    if line is None:
        raise TooLarge(f"the line is longer than {MAX_LINE >> 20} MiB")
    try:
        row = msgspec.json.decode(line)
        json.loads(line, object_pairs_hook=_once)  # msgspec takes the last of several values in silence
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadInput(f"is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise BadInput(f"expected an object, got {type(row).__name__}")
    return row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ. Which value is meant where a key has two, nobody can say."""
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        raise BadInput("has several values", where=next(key for key in found if times[key] > 1))
    return found


def _joined(name: str, value: Any) -> Any:
    """A list of texts as one text; anything else as it is."""
    if not isinstance(value, list):
        return value
    if not all(isinstance(part, str) for part in value):
        raise BadInput("expected texts in the list", where=name)
    return "\n".join(value)


def _with_rest(metadata: Any, rest: dict[str, Any]) -> dict[str, Any]:
    """Metadata with the keys that are no field beside its own."""
    if metadata is None:
        return rest
    if not isinstance(metadata, dict):
        raise BadInput(f"expected an object, got {type(metadata).__name__}", where="metadata")
    twice = sorted(metadata.keys() & rest.keys())
    if twice:
        raise BadInput("stands in the metadata and beside it", where=twice[0])
    return {**metadata, **rest}
