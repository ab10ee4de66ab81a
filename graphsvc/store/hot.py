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
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = "hot.index"
MAGIC = b"graphsvc hot index 3\n"
PAGE = 4096
ABOUT = 64
GROWTH = 1.5
LEAST_SLOTS = 256

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


def _slot(dimension: int) -> np.dtype[Any]:
    """A slot: 64 bytes about the vector, so that a vector of 16·n dimensions begins at a line of the cache."""
    about = [("row", "<i8"), ("hash", "<u8"), ("crc", "<u4"), ("cut", "<u4"), ("pad", "<u4", (10,))]
    return np.dtype([*about, ("vector", "<f4", (dimension,))])


class HotIndex:
    """Vectors by row number. One thread adds, any number search.

    Args:
        path: of the file; made if it isn't there, made anew if its header is not of these vectors.
        dimension: of the vectors.
        fingerprint: of the model that made them.
        rows: how many row numbers there are; a slot of a higher one is damaged.
    """

    def __init__(self, path: Path, dimension: int, fingerprint: str, rows: int) -> None:
        self.path = path
        self.dimension = dimension
        self.fingerprint = fingerprint
        self.version = 0
        self._rows = rows
        self._dtype = _slot(dimension)
        self._growing = threading.Lock()
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
        except OSError:
            return False
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
        with draft.open("wb") as file:
            file.write(self._header(0))
            file.truncate(PAGE + LEAST_SLOTS * self._dtype.itemsize)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def _map(self) -> None:
        """Map the whole file. Arrays of an older map stay good for whoever holds them."""
        with self.path.open("r+b") as file:
            capacity = max(0, (os.fstat(file.fileno()).st_size - PAGE) // self._dtype.itemsize)
            self._memory = mmap.mmap(file.fileno(), PAGE + capacity * self._dtype.itemsize)
        self._slots = np.frombuffer(self._memory, self._dtype, capacity, PAGE)

    def _read(self) -> None:
        """Find the used slots; those written since the last sync must prove sound."""
        crcs = self._slots["crc"]
        used = np.flatnonzero(crcs)
        self._count = int(used[-1]) + 1 if len(used) else 0
        numbers = self._slots["row"][: self._count]
        sound = (crcs[: self._count] != 0) & (numbers >= 0) & (numbers < self._rows)
        for position in range(min(self._synced, self._count), self._count):
            sound[position] = sound[position] and _checksum(self._slots[position]) == crcs[position]
        self._hash = np.zeros(len(self._slots), np.uint64)
        self._hash[: self._count] = np.where(sound, self._slots["hash"][: self._count], 0)
        rows = np.where(sound, self._slots["row"][: self._count], -1)
        self._position = np.full(max(1024, int(rows.max(initial=0)) + 1), -1, np.int32)
        kept = np.flatnonzero(rows >= 0)
        self._position[rows[kept]] = kept  # in ascending order: a row's last slot wins

    def _grow(self, needed: int) -> None:
        capacity = max(LEAST_SLOTS, int(len(self._slots) * GROWTH), needed)
        with self.path.open("r+b") as file:
            size = PAGE + capacity * self._dtype.itemsize
            # Reserved now: a full disk is an error here, not a bus error at the first touch of a page.
            os.posix_fallocate(file.fileno(), 0, size) if hasattr(os, "posix_fallocate") else file.truncate(size)
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
        """
        if not len(rows):
            return
        with self._growing:
            start, end = self._count, self._count + len(rows)
            if end > len(self._slots):
                self._grow(end)
            slots = self._slots[start:end]
            slots["row"], slots["hash"], slots["vector"], slots["cut"] = rows, hashes, vectors, cut
            for slot in slots:
                slot["crc"] = _checksum(slot)
            self._hash[start:end] = hashes
            self._place(np.asarray(rows, np.int64), start)
            self._count = end
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
            self._memory.flush()
            self._memory[:PAGE] = self._header(self._count)
            self._memory.flush(0, PAGE)
            self._synced = self._count

    def close(self, live: Iterable[int] | None = None) -> None:
        """Sync; with the `live` rows given, leave out the others if they take over a third."""
        self.sync()
        if live is not None:
            rows = np.fromiter(live, np.int64)
            if self._count > 1.5 * len(rows) + LEAST_SLOTS:
                self.compact(rows)

    def compact(self, rows: Rows) -> None:
        """Write the file anew with the vectors of these rows alone. It must be opened again after that."""
        draft = HotIndex.__new__(HotIndex)
        draft.path = self.path.with_name(self.path.name + ".compact")
        draft.dimension, draft.fingerprint, draft.version = self.dimension, self.fingerprint, 0
        draft._dtype, draft._growing, draft._rows = self._dtype, threading.Lock(), self._rows
        draft._create(draft.path)
        draft._map()
        draft._read()
        positions = self.positions(rows)
        kept = positions >= 0
        slots = self._slots[positions[kept]]
        draft.add(slots["row"].tolist(), slots["hash"].tolist(), slots["vector"], slots["cut"].tolist())
        draft.sync()
        draft.path.replace(self.path)

    # --- searching ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """What the vectors take."""
        return self._count * self._dtype.itemsize

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
        count, slots = self._count, self._slots
        # One dot product a row: measured twice as fast as a matrix product of this shape, and a row's result
        # doesn't depend on which other rows are asked for.
        if len(positions) == count and (not count or positions[-1] == count - 1):
            every: Vectors = np.vecdot(slots["vector"][:count], query)
            return every
        if 3 * len(positions) > count:
            every = np.vecdot(slots["vector"][:count], query)
            return every[positions]
        gathered: Vectors = np.vecdot(slots["vector"][positions], query)
        return gathered

    def vectors(self, positions: NDArray[np.int32]) -> Vectors:
        """The vectors at some positions, copied: shape (n, dimension)."""
        return np.array(self._slots["vector"][positions])

    def cut(self, positions: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many tokens the model didn't read of the texts of the vectors at some positions."""
        found: NDArray[np.int64] = self._slots["cut"][positions].astype(np.int64)
        return found

    def verify(self, rows: Rows) -> list[int]:
        """Those of the rows whose slots don't match their checksums."""
        positions = self.positions(rows)
        numbers = self._slots["row"]
        return [
            int(row)
            for row, position in zip(rows, positions, strict=True)
            if position >= 0
            and (numbers[position] != row or _checksum(self._slots[position]) != self._slots["crc"][position])
        ]

    def forget(self, rows: Iterable[int]) -> None:
        """Have no vector for these rows, so that they are made again."""
        for row in rows:
            if row < len(self._position):
                self._position[row] = -1
        self.version += 1


def _checksum(slot: Any) -> int:
    """CRC-32 of row, hash and vector; never 0, which marks a slot that was never written."""
    data = slot.tobytes()
    return zlib.crc32(data[ABOUT:], zlib.crc32(data[:16])) or 1
