"""The hot index: vectors in memory's own layout, in a memory-mapped file, searched exactly.

`hot.index` is a page of header and then slots, each a vector with its row number, the hash of the text that it
was made from, and a checksum. A vector that changes gets a new slot; the last slot of a row counts. It is a
cache of what LanceDB holds: slots that don't prove sound are read from there again.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import Closed
from graphsvc.store.directory import sync_directory, unwritable

FILE = "hot.index"
MAGIC = b"graphsvc hot index 3\n"
PAGE = 4096
ABOUT = 64
GROWTH = 1.5
LEAST_SLOTS = 256
SHARE = 2048
"""Vectors compared at once, where two threads share the work: 50 µs of it."""
COPIED = 1_000
"""Slots copied at once into a successor: others get their turn in between."""
FLUSHED = 1 << 22
"""Bytes that the disk is to hold at once: while it is waited for, no other thread runs."""

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


def _slot(dimension: int) -> np.dtype[Any]:
    """A slot: 64 bytes about the vector, so that a vector of 16·n dimensions begins at a line of the cache."""
    about = [("row", "<i8"), ("hash", "<u8"), ("crc", "<u4"), ("cut", "<u4"), ("pad", "<u4", (10,))]
    return np.dtype([*about, ("vector", "<f4", (dimension,))])


class _Helper:
    """A thread that takes part in comparing, for one search at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="graphsvc-compare")
        self._busy = threading.Lock()

    def ask(self, compare: Callable[[], None]) -> Future[None] | None:
        """Have it begin; None where it takes part in another search, or has ended."""
        if not self._busy.acquire(blocking=False):
            return None
        try:
            helped = self._thread.submit(compare)
        except RuntimeError:  # shut down
            self._busy.release()
            return None
        helped.add_done_callback(lambda _: self._busy.release())
        return helped

    def end(self) -> None:
        self._thread.shutdown(wait=False)


class HotIndex:
    """Vectors by row number. One thread adds, any number search.

    A position stays good for as long as somebody holds the index that gave it; of its successor (`renewed`) it means
    nothing. So whoever looks up positions and then vectors takes both from one.

    Args:
        path: of the file; made if it isn't there, made anew if its header is not of these vectors.
        dimension: of the vectors.
        fingerprint: of the model that made them.
        rows: how many row numbers there are; a slot of a higher one is damaged.
        helper: of the index that this one succeeds.

    Raises:
        StorageFull: there is no room for the file.
    """

    def __init__(self, path: Path, dimension: int, fingerprint: str, rows: int, helper: _Helper | None = None) -> None:
        self.path = path
        self.dimension = dimension
        self.fingerprint = fingerprint
        self.version = 0
        self._rows = rows
        self._dtype = _slot(dimension)
        self.looked_up: dict[str, tuple[int, int, Rows, NDArray[np.int32]]] = {}
        """For whoever searches: where the vectors of some rows were, under a name. It goes with the index."""
        self._growing = threading.Lock()
        self._helper = helper or _Helper()
        self._closed = False
        if not self._header_fits():
            self._create(path)
        self._map()
        self._read()

    # --- the file ----------------------------------------------------------------------------------------

    def _header(self, synced: int) -> bytes:
        content = {"dimension": self.dimension, "fingerprint": self.fingerprint, "synced": synced}
        text = json.dumps(content).encode()
        return (MAGIC + zlib.crc32(text).to_bytes(4, "little") + text).ljust(PAGE, b"\0")

    def _header_fits(self) -> bool:
        try:
            with self.path.open("rb") as file:
                page = file.read(PAGE)
                size = os.fstat(file.fileno()).st_size
        except OSError:
            return False
        if size < PAGE + LEAST_SLOTS * self._dtype.itemsize:
            return False  # cut short: it was never made so small
        text = page[len(MAGIC) + 4 :].rstrip(b"\0")
        crc = int.from_bytes(page[len(MAGIC) : len(MAGIC) + 4], "little")
        if not page.startswith(MAGIC) or zlib.crc32(text) != crc:
            return False
        content = json.loads(text)
        self._synced = int(content["synced"])
        return (content["dimension"], content["fingerprint"]) == (self.dimension, self.fingerprint)

    def _create(self, path: Path) -> None:
        self._synced = 0
        draft = path.with_name(path.name + ".new")
        with _room(path), draft.open("wb") as file:
            file.write(self._header(0))
            file.flush()
            _reserve(file.fileno(), PAGE + LEAST_SLOTS * self._dtype.itemsize)
            os.fsync(file.fileno())
            draft.replace(path)

    def _map(self) -> None:
        """Map the whole file. Arrays of an older map stay good for whoever holds them."""
        with _room(self.path), self.path.open("r+b") as file:
            capacity = (os.fstat(file.fileno()).st_size - PAGE) // self._dtype.itemsize
            size = PAGE + capacity * self._dtype.itemsize
            _reserve(file.fileno(), size)
            self._memory = mmap.mmap(file.fileno(), size)
        self._slots = np.frombuffer(self._memory, self._dtype, capacity, PAGE)

    def _read(self) -> None:
        """Find the used slots; those written since the last sync must prove sound."""
        crcs = self._slots["crc"]
        used = np.flatnonzero(crcs)
        self._count = int(used[-1]) + 1 if len(used) else 0
        numbers = self._slots["row"][: self._count]
        sound = (crcs[: self._count] != 0) & (numbers >= 0) & (numbers < self._rows)
        self._synced = min(self._synced, self._count)
        later = slice(self._synced, self._count)
        sound[later] &= _sound(self._slots[later])
        self._hash = np.zeros(len(self._slots), np.uint64)
        self._hash[: self._count] = np.where(sound, self._slots["hash"][: self._count], 0)
        rows = np.where(sound, self._slots["row"][: self._count], -1)
        self._position = np.full(max(1024, int(rows.max(initial=0)) + 1), -1, np.int32)
        kept = np.flatnonzero(rows >= 0)
        self._position[rows[kept]] = kept  # in ascending order: a row's last slot wins

    def _grow(self, needed: int) -> None:
        capacity = max(LEAST_SLOTS, int(len(self._slots) * GROWTH), needed)
        with _room(self.path), self.path.open("r+b") as file:
            _reserve(file.fileno(), PAGE + capacity * self._dtype.itemsize)
        self._map()
        hashes = np.zeros(capacity, np.uint64)
        hashes[: self._count] = self._hash[: self._count]
        self._hash = hashes

    # --- adding ------------------------------------------------------------------------------------------

    def add(self, rows: Sequence[int], hashes: Sequence[int], vectors: Vectors, cut: Sequence[int]) -> None:
        """Add vectors, or replace those of the rows that have one.

        Args:
            rows: row numbers, n of them.
            hashes: of the texts that they were made from.
            vectors: unit vectors, shape (n, dimension).
            cut: how many tokens at the end of each text the model didn't read.

        Raises:
            StorageFull: there is no room for them; none was added.
        """
        if not len(rows):
            return
        with self._growing:
            self._check_open()
            if self._count + len(rows) > len(self._slots):
                self._grow(self._count + len(rows))
            slots = np.zeros(len(rows), self._dtype)
            slots["row"], slots["hash"], slots["vector"], slots["cut"] = rows, hashes, vectors, cut
            slots["crc"] = _checksums(slots)
            self._append(slots)

    def _append(self, slots: NDArray[Any]) -> None:
        """Put whole slots behind the others, where there is room for them."""
        if len(slots):
            start, end = self._count, self._count + len(slots)
            self._slots[start:end] = slots
            self._hash[start:end] = slots["hash"]
            self._count = end  # before the positions: who finds one there finds it counted
            self._place(slots["row"].astype(np.int64), start)
            self.version += 1

    def _place(self, rows: Rows, start: int) -> None:
        highest = int(rows.max())
        if highest >= len(self._position):
            larger = np.full(max(2 * len(self._position), highest + 1), -1, np.int32)
            larger[: len(self._position)] = self._position
            self._position = larger
        self._position[rows] = np.arange(start, start + len(rows), dtype=np.int32)

    def sync(self) -> None:
        """Have the disk hold what was added."""
        with self._growing:
            self._check_open()
            size = self._dtype.itemsize
            start, end = PAGE + self._synced * size, PAGE + self._count * size
            for offset in range(start - start % mmap.PAGESIZE, end, FLUSHED):
                self._memory.flush(offset, min(FLUSHED, len(self._memory) - offset))
            self._memory[:PAGE] = self._header(self._count)
            self._memory.flush(0, PAGE)
            self._synced = self._count

    def close(self, live: Iterable[int] | None = None) -> None:
        """Sync; with the `live` rows given, leave out the others if they take over a third. Safe to repeat."""
        if self._closed:
            return
        try:
            self.sync()
            if live is not None:
                rows = np.fromiter(live, np.int64)
                if self.wasteful(len(rows)):
                    self.compact(rows)
        finally:
            self._helper.end()
            self._unmap()

    def drop(self) -> None:
        """Close, and remove the file."""
        self._helper.end()
        self._unmap()
        self.path.unlink(missing_ok=True)

    def _unmap(self) -> None:
        """Let the file go, unless somebody still searches: then it goes with the last array of theirs."""
        with self._growing:
            self._closed = True
            self._slots = self._slots[:0].copy()
            with suppress(BufferError):
                self._memory.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the memory is closed")

    def _mapped(self) -> NDArray[Any]:
        """The slots, for searching."""
        slots = self._slots
        self._check_open()
        return slots

    def wasteful(self, live: int) -> bool:
        """Whether vectors that nobody needs take over a third, when so many rows are live."""
        return self._count > 1.5 * live + LEAST_SLOTS

    def compact(self, rows: Rows) -> None:
        """Write the file anew with the slots of these rows that are sound. What is open here stays the old one."""
        self.renewed(np.setdiff1d(rows, self.verify(rows)))._unmap()

    def renewed(self, rows: Rows) -> Self:
        """A successor, in the place of this index's file: the slots of these rows, which must be sound, as they are.

        Whoever searches this index goes on; its file goes with the last of them.

        Raises:
            StorageFull, ReadOnly: there is no room for both files, or the disk fails; this one stays.
        """
        path = self.path.with_name(self.path.name + ".compact")
        with _room(self.path):
            try:
                path.unlink(missing_ok=True)
                later = type(self)(path, self.dimension, self.fingerprint, self._rows, self._helper)
                later._take(self, rows)
                later.sync()
                path.replace(self.path)
            except BaseException:
                for left in (path, path.with_name(path.name + ".new")):
                    left.unlink(missing_ok=True)
                raise
        later.path = self.path  # from here on nothing may fail: this index's file has no name any more
        with suppress(OSError):
            sync_directory(self.path.parent)
        return later

    def _take(self, other: HotIndex, rows: Rows) -> None:
        """Copy the slots of these rows, with their checksums: a new one would vouch for damage."""
        positions = other.positions(rows)
        positions = positions[positions >= 0]
        self._grow(len(positions))
        for start in range(0, len(positions), COPIED):
            self._append(other._slots[positions[start : start + COPIED]])

    # --- searching ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """What the vectors take."""
        return self._count * self.slot_bytes

    @property
    def slot_bytes(self) -> int:
        """What one takes."""
        return int(self._dtype.itemsize)

    def positions(self, rows: Rows) -> NDArray[np.int32]:
        """Where each row's vector is; -1 where it has none."""
        known = self._position
        if len(rows) and int(rows.max()) < len(known):
            return known[rows]
        found = np.full(len(rows), -1, np.int32)
        inside = rows < len(known)
        found[inside] = known[rows[inside]]
        return found

    def fresh(self, rows: Rows, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Where each row's vector is, -1 where it has none of its current text."""
        positions = self.positions(rows)
        made_from = self._hash[np.maximum(positions, 0)]
        return np.where((positions >= 0) & (made_from == hashes), positions, np.int32(-1))

    def hashes(self, rows: Rows) -> NDArray[np.uint64]:
        """The hash of the text that each row's vector was made from; 0 where it has none."""
        positions = self.positions(rows)
        return np.where(positions >= 0, self._hash[np.maximum(positions, 0)], np.uint64(0))

    def cosines(self, query: Vectors, positions: NDArray[np.int32]) -> Vectors:
        """Cosine of the query (a unit vector) with the vectors at some positions, in their order."""
        return self.comparing(query, positions)()

    def comparing(self, query: Vectors, positions: NDArray[np.int32], *, shared: bool = False) -> Callable[[], Vectors]:
        """Begin with `cosines`; what this gives ends it, and gives them.

        `shared`: another thread takes part, unless it does already for somebody else. It begins at once, so that the
        caller may do something else meanwhile; whoever is free takes the next piece.
        """
        count, slots = self._count, self._mapped()
        whole = 3 * len(positions) > count
        vectors = slots["vector"][:count] if whole else slots["vector"][positions]
        every = len(positions) == count and np.array_equal(positions, np.arange(count, dtype=np.int32))
        in_order = not whole or every
        cosines: Vectors = np.empty(len(vectors), np.float32)
        starts = iter(range(0, len(vectors), SHARE))

        def compare() -> None:
            # One dot product a row: measured twice as fast as a matrix product of this shape, and a row's result
            # doesn't depend on which other rows are asked for.
            for start in starts:
                np.vecdot(vectors[start : start + SHARE], query, out=cosines[start : start + SHARE])

        helped = self._helper.ask(compare) if shared and len(vectors) > SHARE else None

        def end() -> Vectors:
            compare()
            if helped is not None and not helped.cancel():
                helped.result()
            return cosines if in_order else cosines[positions]

        return end

    def vectors(self, positions: NDArray[np.int32]) -> Vectors:
        """The vectors at some positions, copied: shape (n, dimension)."""
        return np.array(self._mapped()["vector"][positions])

    def cut(self, positions: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many tokens the model didn't read of the texts of the vectors at some positions."""
        found: NDArray[np.int64] = self._mapped()["cut"][positions].astype(np.int64)
        return found

    def verify(self, rows: Rows) -> list[int]:
        """Those of the rows whose slots don't match their checksums."""
        positions, slots, unsound = self.positions(rows), self._mapped(), []
        rows, positions = rows[positions >= 0], positions[positions >= 0]
        for start in range(0, len(rows), COPIED):
            some = slots[positions[start : start + COPIED]]
            wrong = (some["row"] != rows[start : start + COPIED]) | ~_sound(some)
            unsound += rows[start : start + COPIED][wrong].tolist()
        return unsound

    def forget(self, rows: Iterable[int]) -> None:
        """Have no vector for these rows, so that they are made again."""
        for row in rows:
            if row < len(self._position):
                self._position[row] = -1
        self.version += 1


def _reserve(descriptor: int, size: int) -> None:
    """Take the room now: a full disk is an error here, not a bus error at the first touch of a page."""
    status = os.fstat(descriptor)
    if status.st_size >= size and status.st_blocks * 512 >= size:
        return
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for start in range(status.st_size, size, 1 << 20):
        os.pwrite(descriptor, bytes(min(1 << 20, size - start)), start)


@contextmanager
def _room(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(error, path) from error


def _checksums(slots: NDArray[Any]) -> list[int]:
    """CRC-32 of row, hash and vector of each slot; never 0, which marks a slot that was never written."""
    size, data = slots.dtype.itemsize, slots.view(np.uint8).data
    return [
        zlib.crc32(data[start + ABOUT : start + size], zlib.crc32(data[start : start + 16])) or 1
        for start in range(0, len(data), size)
    ]


def _sound(slots: NDArray[Any]) -> NDArray[np.bool_]:
    """Which slots match their checksums."""
    sound: NDArray[np.bool_] = slots["crc"] == np.array(_checksums(slots), np.uint32)
    return sound
