"""The scalar fields of live records as columns in memory, so that a filter is a mask over row numbers.

The writer adds to them before it acknowledges; readers look without a lock. What a reader sees of a record
that changes under it may be half old, which is why every hit is checked again against the record itself.

Saved at close to `hot.columns`, with the log number that they reached; read on from there at open.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphsvc.log.filter_sql import rows_where
from graphsvc.log.state import RowEvent, unsigned
from graphsvc.model.change import decode_record
from graphsvc.model.filters import And, Compare, Filter, Not, Or
from graphsvc.model.kinds import IN_COLUMNS, KINDS, Field, Kind
from graphsvc.model.records import Record
from graphsvc.model.times import micros

Mask = NDArray[np.bool_]
FILE = "hot.columns"
VERSION = 1
NO_INT = np.iinfo(np.int64).min
LEAST = 16
"""Places that an array has when it first grows."""

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal, "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal,
}  # fmt: skip
_DTYPE: dict[str, Any] = {"float": np.float64, "int": np.int64, "time": np.int64, "bool": np.int8, "name": np.int32}


class Growing:
    """A one-dimensional array that grows at its end. Readers may hold an older, shorter one."""

    __slots__ = ("_fill", "data")

    def __init__(self, dtype: Any, fill: Any = 0, data: NDArray[Any] | None = None) -> None:
        self._fill = fill
        self.data: NDArray[Any] = np.full(1024, fill, dtype) if data is None else data

    def __setitem__(self, index: int, value: Any) -> None:
        if index >= len(self.data):
            self._grow(index + 1)
        self.data[index] = value

    def extend(self, start: int, values: Sequence[Any]) -> None:
        """Write values from `start` on."""
        end = start + len(values)
        if end > len(self.data):
            self._grow(end)
        self.data[start:end] = values

    def _grow(self, needed: int) -> None:
        larger = np.full(max(LEAST, 2 * len(self.data), needed), self._fill, self.data.dtype)
        larger[: len(self.data)] = self.data
        self.data = larger


class Names:
    """Texts as small numbers: equal texts have equal numbers."""

    __slots__ = ("codes", "texts")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts = list(texts)
        self.codes = {text: code for code, text in enumerate(self.texts)}

    def code(self, text: str) -> int:
        code = self.codes.get(text)
        if code is None:
            code = len(self.texts)
            self.texts.append(text)
            self.codes[text] = code
        return code


class Postings:
    """The records that have a tag, by local number. One thread adds, any number read meanwhile.

    (Not an `array`: it can't grow while somebody copies it.)
    """

    __slots__ = ("_count", "_locals")

    def __init__(self, locals_: NDArray[np.int64] | None = None) -> None:
        self._locals = Growing(np.int64, 0, np.empty(0, np.int64) if locals_ is None else locals_)
        self._count = len(self._locals.data)

    def add(self, local: int) -> None:
        self._locals[self._count] = local
        self._count += 1

    def without(self, local: int) -> Postings:
        """The same without one record."""
        return Postings(self.data[self.data != local])

    @property
    def data(self) -> NDArray[np.int64]:
        return self._locals.data[: self._count]


def _in_columns(field: Field) -> bool:
    return field.type in _DTYPE and field.name != "id"


class KindColumns:
    """The columns of one kind. `local` numbers count its records from 0, in the order of their rows."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.count = 0
        self.rows = Growing(np.int64, -1)
        self.live = Growing(np.bool_, False)
        self.columns = {
            field.name: Growing(_DTYPE[field.type], 0) for field in kind.fields.values() if _in_columns(field)
        }
        self.names = {name: Names() for name in self.columns if kind.fields[name].type == "name"}
        self._encoders = {name: self._encoder(name) for name in self.columns}
        self._labels = next((field.name for field in kind.fields.values() if field.type == "tags"), "")
        self.tags: dict[str, Postings] = {}
        self.tags_of: list[tuple[str, ...]] = []
        self.tag_counts = Growing(np.int32, 0)

    def put(self, local: int, row: int, record: Record) -> None:
        """Write the values of a record that is there."""
        for name, column in self.columns.items():
            column[local] = self._encoders[name](getattr(record, name))
        tags = self._tags_of(record)
        if tags != self.tags_of[local]:
            self._retag(local, tags)
        self.rows[local] = row
        self.live[local] = True

    def extend(self, rows: Sequence[int], records: Sequence[Record]) -> None:
        """Add records, in the order of their rows: a column at a time, for that is what arrays are fast at."""
        start = self.count
        for name, column in self.columns.items():
            encode = self._encoders[name]
            column.extend(start, [encode(getattr(record, name)) for record in records])
        for local, record in enumerate(records, start):
            tags = self._tags_of(record)
            self.tags_of.append(())
            self._retag(local, tags)
        self.rows.extend(start, rows)
        self.live.extend(start, [True] * len(records))
        self.count = start + len(records)

    def _tags_of(self, record: Record) -> tuple[str, ...]:
        """Its labels; of a kind that has none, none."""
        return getattr(record, self._labels) if self._labels else ()

    def _encoder(self, name: str) -> Callable[[Any], Any]:
        """What turns a field's value into its column's."""
        type = self.kind.fields[name].type
        if type == "name":
            code = self.names[name].code
            return lambda value: -1 if value is None else code(value)
        if type == "float":
            return lambda value: np.nan if value is None else value
        if type == "bool":
            return lambda value: -1 if value is None else value
        if type == "time":
            return lambda value: NO_INT if value is None else micros(value)
        return lambda value: NO_INT if value is None else value

    def _retag(self, local: int, tags: tuple[str, ...]) -> None:
        for tag in self.tags_of[local]:
            if tag not in tags:
                self.tags[tag] = self.tags[tag].without(local)
        for tag in tags:
            if tag not in self.tags_of[local]:
                self.tags.setdefault(tag, Postings()).add(local)
        self.tags_of[local] = tags
        self.tag_counts[local] = len(tags)

    def drop(self, local: int) -> None:
        """The record went. Its tags' postings keep it: what isn't live is in no mask, and numbers aren't used again."""
        self.tags_of[local] = ()
        self.tag_counts[local] = 0
        self.live.data[local] = False

    def naming(self, agent: str, name: str | None = None, value: str = "") -> int:
        """How many live records are an agent's, and have this value in the column `name`."""
        space = self.names["agent"].codes.get(agent)
        code = self.names[name].codes.get(value) if name else 0
        if space is None or code is None:
            return 0
        among = self.live.data[: self.count] & (self.columns["agent"].data[: self.count] == space)
        if name:
            among &= self.columns[name].data[: self.count] == code
        return int(among.sum())

    def latest(self, times: tuple[str, ...], among: Mapping[str, str]) -> int:
        """The latest of some times of the live records that have these names."""
        if any(text not in self.names[name].codes for name, text in among.items()):
            return NO_INT
        mask = self.live.data[: self.count].copy()
        for name, text in among.items():
            mask &= self._names_in(name, (text,), self.count)
        return max(int(self.columns[name].data[: self.count][mask].max(initial=NO_INT)) for name in times)

    def next_after(self, moment: int, times: tuple[str, ...]) -> int | None:
        """The earliest of some times of the live records that lies after a moment; None if none does."""
        live, found = self.live.data[: self.count], []
        for name in times:
            column = self.columns[name].data[: self.count]
            found += [int(later.min())] if len(later := column[live & (column > moment)]) else []
        return min(found, default=None)

    def agrees(self, local: int, row: int, record: Record) -> bool:
        """Whether the values are those of a live record."""
        if not self.live.data[local] or self.rows.data[local] != row:
            return False
        if self.tags_of[local] != self._tags_of(record):
            return False
        return all(
            self._agrees(name, column.data[local], getattr(record, name)) for name, column in self.columns.items()
        )

    def _agrees(self, name: str, held: Any, value: Any) -> bool:
        if name in self.names:  # looked up only: the writer alone gives out numbers
            return bool(held == (-1 if value is None else self.names[name].codes.get(value)))
        return bool(np.array_equal(held, self._encoders[name](value), equal_nan=True))

    # --- masks -------------------------------------------------------------------------------------------

    def mask(self, filter: Filter | None, agents: tuple[str, ...] | None, sql: sqlite3.Connection) -> Mask:
        """Which of the records, by local number, live, belong to `agents` (None: anyone's) and pass the filter."""
        count = self.count
        mask = self.live.data[:count].copy()
        if agents is not None:
            mask &= self._names_in("agent", agents, count)
        if filter is not None:
            mask &= self._filtered(filter, count, sql)
        return mask

    def _filtered(self, filter: Filter, count: int, sql: sqlite3.Connection) -> Mask:
        if isinstance(filter, And):
            mask = np.ones(count, np.bool_)
            for part in filter.parts:
                mask &= self._filtered(part, count, sql)
            return mask
        if isinstance(filter, Or):
            mask = np.zeros(count, np.bool_)
            for part in filter.parts:
                mask |= self._filtered(part, count, sql)
            return mask
        if isinstance(filter, Not):
            return ~self._filtered(filter.part, count, sql)
        if filter.field.type == "tags":
            return self._tagged(filter, count)
        if filter.field.name in self.columns:
            return self._compared(filter, count)
        return self._from_rows(rows_where(sql, self.kind.name, filter), count)

    def _from_rows(self, rows: NDArray[np.int64], count: int) -> Mask:
        mask = np.zeros(count, np.bool_)
        known = self.rows.data[:count]
        locals_ = np.searchsorted(known, rows)
        inside = locals_ < count
        locals_ = locals_[inside]
        mask[locals_[known[locals_] == rows[inside]]] = True
        return mask

    def _tagged(self, filter: Compare, count: int) -> Mask:
        if filter.op == "exists":
            there: Mask = (self.tag_counts.data[:count] > 0) == filter.value
            return there
        mask = np.zeros(count, np.bool_)
        for tag in filter.value if filter.op == "in" else (filter.value,):
            if (postings := self.tags.get(tag)) is not None:
                numbers = postings.data
                mask[numbers[numbers < count]] = True
        return mask

    def _names_in(self, name: str, values: Iterable[str], count: int) -> Mask:
        codes = self.names[name].codes
        wanted = [codes[value] for value in values if value in codes]
        column = self.columns[name].data[:count]
        if not wanted:
            return np.zeros(count, np.bool_)
        mask: Mask = np.equal(column, wanted[0])
        if len(wanted) > 1:
            known = np.zeros(len(self.names[name].texts) + 1, np.bool_)  # the last place is -1, no value
            known[wanted] = True
            mask = known[column]
        return mask

    def _compared(self, filter: Compare, count: int) -> Mask:
        name, op, value = filter.field.name, filter.op, filter.value
        type = filter.field.type
        column = self.columns[name].data[:count]
        if op == "exists":
            there: Mask = column != NO_INT if type in ("int", "time") else column >= 0
            if type == "float":
                there = ~np.isnan(column)
            return there if value else ~there
        if op == "ne":
            return ~self._compared(Compare(filter.field, "eq", value), count)
        if type == "name":
            return self._compared_names(name, op, value, count)
        if op == "in":
            mask = np.zeros(count, np.bool_)
            for item in value:
                mask |= self._compared(Compare(filter.field, "eq", item), count)
            return mask
        return self._ordered(column, type, op, value)

    def _compared_names(self, name: str, op: str, value: Any, count: int) -> Mask:
        if op == "contains":
            texts = self.names[name].texts
            return self._names_in(name, [text for text in list(texts) if value in text], count)
        return self._names_in(name, value if op == "in" else (value,), count)

    @staticmethod
    def _ordered(column: NDArray[Any], type: str, op: str, value: Any) -> Mask:
        mask: Mask
        if type == "bool":
            mask = np.equal(column, int(value))
            return mask
        operand = micros(value) if type == "time" else value
        if type == "int" and isinstance(operand, float):
            # Whole numbers beside fractions: compare as floats only where that is exact enough to be right.
            mask = _COMPARE[op](column.astype(np.float64), operand)
        else:
            mask = _COMPARE[op](column, operand)
        if type != "float":
            mask &= column != NO_INT
        return mask

    # --- on disk -----------------------------------------------------------------------------------------

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Everything as arrays, by name."""
        prefix = self.kind.name
        yield f"{prefix}:rows", self.rows.data[: self.count]
        yield f"{prefix}:live", self.live.data[: self.count]
        for name, column in self.columns.items():
            yield f"{prefix}.{name}", column.data[: self.count]
        for name, names in self.names.items():
            yield f"{prefix}.{name}:texts", _packed(names.texts)
        codes = Names()
        flat = [codes.code(tag) for tags in self.tags_of for tag in tags]
        yield f"{prefix}:tags", np.array(flat, np.int32)
        yield f"{prefix}:tag_counts", self.tag_counts.data[: self.count]
        yield f"{prefix}:tag_texts", _packed(codes.texts)

    def restore(self, saved: Any) -> None:
        """The opposite of `arrays`. Raises KeyError or ValueError where something is missing or odd."""
        prefix = self.kind.name
        self.rows = Growing(np.int64, -1, saved[f"{prefix}:rows"])
        self.live = Growing(np.bool_, False, saved[f"{prefix}:live"])
        self.count = len(self.rows.data)
        for name, column in self.columns.items():
            self.columns[name] = Growing(column.data.dtype, 0, saved[f"{prefix}.{name}"])
        for name in self.names:
            self.names[name] = Names(_unpacked(saved[f"{prefix}.{name}:texts"]))
        self._encoders = {name: self._encoder(name) for name in self.columns}
        texts = _unpacked(saved[f"{prefix}:tag_texts"])
        flat, counts = saved[f"{prefix}:tags"], saved[f"{prefix}:tag_counts"]
        self._restore_tags(texts, flat, counts)

    def _restore_tags(self, texts: list[str], flat: NDArray[np.int32], counts: NDArray[np.int32]) -> None:
        owners = np.repeat(np.arange(self.count, dtype=np.int64), counts)
        by_tag = np.argsort(flat, kind="stable")
        ends = np.searchsorted(flat[by_tag], np.arange(len(texts)), side="right").tolist()
        for text, start, end in zip(texts, [0, *ends], ends, strict=False):
            self.tags[text] = Postings(owners[by_tag[start:end]])
        self.tag_counts = Growing(np.int32, 0, counts)
        names = [texts[code] for code in flat.tolist()]
        self.tags_of = [()] * self.count
        start = 0
        for local, length in enumerate(counts.tolist()):
            if length:
                self.tags_of[local] = tuple(names[start : start + length])
                start += length


def _packed(texts: list[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(texts).encode(), np.uint8)


def _unpacked(data: NDArray[np.uint8]) -> list[str]:
    return list(json.loads(data.tobytes()))


class Columns:
    """The columns of all kinds that can be filtered, and where each row is in them."""

    def __init__(self) -> None:
        self.n = 0
        self.kinds = {name: KindColumns(KINDS[name]) for name in IN_COLUMNS}
        self.local = Growing(np.int32, -1)
        self.text_hash = Growing(np.uint64, 0)
        self.changed = dict.fromkeys(KINDS, 0)
        self._every: dict[str, tuple[int, NDArray[np.int64]]] = {}

    def apply(self, events: Iterable[RowEvent], n: int, also: Iterable[str] = ()) -> None:
        """What the writer has just committed, up to log number `n`; kinds that it changed `also` by links alone."""
        kinds = set(also)
        new: dict[str, dict[int, RowEvent]] = {}
        for event in events:
            kinds.add(event.kind)
            if event.kind in self.kinds:
                self._apply(event, new.setdefault(event.kind, {}))
        for kind, waiting in new.items():
            self._add(kind, waiting)
        for kind in kinds:
            self.changed[kind] = n  # only now: who sees the new number sees the new values
        self.n = n

    def _apply(self, event: RowEvent, new: dict[int, RowEvent]) -> None:
        """Bring a row up to date; rows that have no place yet are gathered in `new`, to be added together."""
        local = int(self.local.data[event.row]) if event.row < len(self.local.data) else -1
        self.text_hash[event.row] = event.text_hash if event.record is not None else 0
        if local >= 0:
            if event.record is None:
                self.kinds[event.kind].drop(local)
            else:
                self.kinds[event.kind].put(local, event.row, event.record)
        elif event.record is None:
            new.pop(event.row, None)
        else:
            new[event.row] = event

    def _add(self, kind: str, waiting: dict[int, RowEvent]) -> None:
        columns = self.kinds[kind]
        rows = sorted(waiting)
        for local, row in enumerate(rows, columns.count):
            self.local[row] = local
        columns.extend(rows, [record for row in rows if (record := waiting[row].record) is not None])

    def mask(
        self, kind: str, filter: Filter | None, agents: tuple[str, ...] | None, sql: sqlite3.Connection
    ) -> tuple[NDArray[np.int64], bool]:
        """Row numbers, ascending, of the live records that pass; and whether all live records do."""
        every = filter is None and agents is None
        changed = self.changed[kind]
        known = self._every.get(kind)
        if every and known is not None and known[0] == changed:
            return known[1], True
        columns = self.kinds[kind]
        mask = columns.mask(filter, agents, sql)
        rows: NDArray[np.int64] = columns.rows.data[: len(mask)][mask]
        if every:
            self._every[kind] = (changed, rows)
        return rows, every

    def hash_of(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The current text hash of each row; 0 where it has no text or is gone."""
        known = self.text_hash.data
        inside = rows < len(known)
        hashes = np.zeros(len(rows), np.uint64)
        hashes[inside] = known[rows[inside]]
        return hashes

    def naming(self, name: str, agent: str, id: str) -> int:
        """How many live records name a session, a task (by its text) or an agent, in a namespace."""
        if name == "Agent":
            return sum(columns.naming(agent) for columns in self.kinds.values())
        return self.kinds["episode"].naming(agent, "session" if name == "Session" else "task", id)

    def latest(self, kind: str, times: tuple[str, ...], among: Mapping[str, str] | None = None) -> int:
        """The latest of some times of the live records of a kind, of those with these names; `NO_INT` without any."""
        return self.kinds[kind].latest(times, among or {})

    def next_after(self, kind: str, moment: int, times: tuple[str, ...]) -> int | None:
        """The earliest of some times of the live records of a kind that lies after a moment; None if none does."""
        return self.kinds[kind].next_after(moment, times)

    def agrees(self, row: int, kind: str, record: Record) -> bool:
        """Whether the columns hold what a live record says."""
        columns = self.kinds[kind]
        local = int(self.local.data[row]) if row < len(self.local.data) else -1
        return 0 <= local < columns.count and columns.agrees(local, row, record)

    def values(self, kind: str, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The values of a column at some rows of a kind, in their order."""
        locals_ = self.local.data[rows]
        found: NDArray[Any] = self.kinds[kind].columns[name].data[locals_]
        return found

    def catch_up(self, connection: sqlite3.Connection) -> None:
        """Read what was written after the saved columns."""
        head = int(connection.execute("SELECT coalesce(max(n), 0) FROM log").fetchone()[0])
        if head > self.n:
            rows = connection.execute(
                "SELECT row, kind, text_hash, body FROM record WHERE last > ? ORDER BY row", (self.n,)
            )
            self.apply((_event(*row) for row in rows), head)

    def save(self, directory: Path) -> None:
        """Write to `hot.columns`, the old one or the new one there at any instant."""
        target, draft = directory / FILE, directory / f"{FILE}.new"
        arrays: dict[str, NDArray[Any]] = {
            "version": np.array([VERSION, self.n], np.int64),
            "changed": np.array([self.changed[name] for name in KINDS], np.int64),
            "local": self.local.data,
            "text_hash": self.text_hash.data,
        }
        for columns in self.kinds.values():
            arrays.update(columns.arrays())
        with draft.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)

    @classmethod
    def load(cls, directory: Path, head: int) -> Columns:
        """The saved columns; empty ones if there are none, they are damaged, or ahead of the log."""
        columns = cls()
        try:
            with np.load(directory / FILE, allow_pickle=False) as saved:
                version, n = saved["version"].tolist()
                if version != VERSION or n > head:
                    return columns
                columns.changed = dict(zip(KINDS, saved["changed"].tolist(), strict=True))
                columns.local = Growing(np.int32, -1, saved["local"])
                columns.text_hash = Growing(np.uint64, 0, saved["text_hash"])
                for kind in columns.kinds.values():
                    kind.restore(saved)
                columns.n = n
        except Exception:  # a damaged file can fail in any way in numpy; it is a cache, read from the records again
            return cls()
        return columns


def _event(row: int, kind: str, text_hash: int, body: str | None) -> RowEvent:
    return RowEvent(row, kind, decode_record(kind, body) if body is not None else None, unsigned(text_hash))
