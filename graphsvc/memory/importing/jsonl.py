"""Episodes from JSON Lines: one object a line, its keys the fields of an episode or mapped to them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from graphsvc.errors import BadInput, GraphsvcError, TooLarge, UnknownField
from graphsvc.memory.importing.lines import MAX_LINE, Lines
from graphsvc.memory.importing.report import Acknowledged, ImportReport, Progress
from graphsvc.memory.importing.storing import Storing
from graphsvc.model.kinds import KINDS

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory

Rest = Literal["error", "metadata", "drop"]
RESTS: tuple[Rest, ...] = ("error", "metadata", "drop")

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
    rows = Rows(fields, rest, join)
    report = ImportReport(dry_run=dry_run)
    storing = Storing(memory, agent, report, acknowledged, batch)

    def take(numbered: tuple[int, bytes | None]) -> None:
        number, line = numbered
        report.read += 1
        try:
            storing.take(f"line {number}", rows.values(_decoded(line)))
        except GraphsvcError as error:
            storing.refuse(f"line {number}", error)

    with Lines(source) as lines:
        return storing.through(lines, take, lambda: lines.share, progress)


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


class Rows:
    """What rows of a source say of episodes: which key is which field, and what becomes of the others."""

    def __init__(self, fields: Mapping[str, str] | None, rest: str, join: Collection[str] = ()) -> None:
        self.keys = _keys(fields)
        self.rest = _one_of(rest)
        self.join = _texts(join)

    def values(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The episode's field values that a row says. Raises UnknownField, BadInput."""
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
