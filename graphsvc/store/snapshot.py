"""Snapshots: a memory copied while it is written, every file with its checksum.

Each projection rests between two batches while its files are copied, at a number that it has reached. Then
memory.sqlite is copied as it is at one instant, n. So a projection may lie behind n and never past it; a restored
memory reads on. Appends go on all the while. `snapshot.json` is written last: a directory without it is none.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from graphsvc.config import CONFIG_FILE, FORMAT
from graphsvc.errors import Corrupt, NewerFormat, NotAMemory
from graphsvc.log.backup import back_up
from graphsvc.log.database import FILE
from graphsvc.store import lance, text
from graphsvc.store.directory import LOCK, Manifest
from graphsvc.store.drafts import check_room, drafted, sync_tree
from graphsvc.store.store import Store

CONTENTS = "snapshot.json"
SNAPSHOT_FORMAT = 1

Report = Callable[[int, int], None]
"""Told how many bytes are done, and of how many."""


class FileSum(msgspec.Struct, frozen=True):
    """A file's size, and its BLAKE2b of 32 bytes in hexadecimal digits."""

    bytes: int
    blake2b: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot: what `snapshot.json` says.

    Attributes:
        path: where it is. n: number of the last entry of the log that it holds.
        at: ISO 8601 time when it was taken. memory: id of the memory that it was taken of.
        engine: graph engine. memory_format: of the memory's directory.
        applied: numbers that graph, text and vectors had reached.
        pauses: seconds that each of them rested for it.
        files: size and checksum of every file, by its path.
        format: of the snapshot. seal: checksum of all of this.
    """

    n: int
    at: str
    memory: str
    engine: str
    memory_format: int
    applied: dict[str, int]
    pauses: dict[str, float]
    files: dict[str, FileSum]
    format: int = SNAPSHOT_FORMAT
    seal: str = ""
    path: str = ""

    @property
    def bytes(self) -> int:
        """What its files take together."""
        return sum(file.bytes for file in self.files.values())

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, without the list of files."""
        content = msgspec.to_builtins(self)
        for name in ("files", "seal"):
            del content[name]
        return {**content, "bytes": self.bytes, "files": len(self.files)}


def take(store: Store, target: Path, report: Report) -> Snapshot:
    """Take a snapshot of an open memory; see `Memory.snapshot`."""
    with drafted(target, outside=store.directory, where="path") as draft:
        vectors = store.vectors
        if vectors.follower.error is None:
            vectors.flush_now()  # what isn't in LanceDB yet would have to be made again
        with store.steady:  # for the log, too: trimmed in between, it would begin past what the projections reached
            total = _room(store, draft)
            parts, manifest = _copy_projections(store, draft, total, report)
            cursors = {parts.cursor: parts.applied["vectors"]}
            n = back_up(store.directory / FILE, draft / FILE, cursors)
        replace(manifest, reembedding=None, snapshots=[]).write(draft)
        if (store.directory / CONFIG_FILE).exists():
            shutil.copyfile(store.directory / CONFIG_FILE, draft / CONFIG_FILE)
        report(total, total)
        snapshot = seal(draft, manifest, n, parts.applied, parts.pauses)
    found = msgspec.structs.replace(snapshot, path=str(target))
    with store.steady:
        known = [one for one in store.manifest.snapshots if one["path"] != str(target)]
        store.manifest.snapshots = [*known, {"path": str(target), "n": n, "at": found.at, "bytes": found.bytes}]
        store.manifest.write(store.directory)
    return found


class _Parts:
    """What is known of the projections' copies."""

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        self.applied: dict[str, int] = {}
        self.pauses: dict[str, float] = {}


def _copy_projections(store: Store, draft: Path, total: int, report: Report) -> tuple[_Parts, Manifest]:
    parts = _Parts(store.vectors.cursor)

    def copy(name: str, path: Path, began: float, applied: int) -> None:
        _copy(path, draft / path.relative_to(store.directory))
        parts.applied[name] = applied
        parts.pauses[name] = round(time.perf_counter() - began, 4)
        report(min(total, _below(draft)), total)

    graph = store.graph
    with store.graph_follower.paused():
        began = time.perf_counter()
        graph.settle()
        copy("graph", graph.path, began, graph.applied)
    with store.text_follower.paused():
        began = time.perf_counter()
        with store.text.at_rest():
            copy("text", store.text.path, began, store.text.applied)
    vectors = store.vectors
    with vectors.follower.paused():
        began = time.perf_counter()
        copy("vectors", vectors.lance.path / f"{vectors.lance.name}.lance", began, vectors.safe)
    return parts, replace(store.manifest)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        ignore = shutil.ignore_patterns(".tantivy-*.lock")
        shutil.copytree(source, target, ignore=ignore, copy_function=shutil.copyfile)
    elif source.exists():
        shutil.copyfile(source, target)


def _room(store: Store, draft: Path) -> int:
    """Bytes that the copy will take, about. Raises StorageFull if there is no room for them."""
    names = (FILE, f"{FILE}-wal", f"graph.{store.manifest.engine}", text.DIRECTORY, lance.DIRECTORY)
    total = sum(_below(store.directory / name) for name in names)
    check_room(draft, total)
    return total


def _below(path: Path) -> int:
    """Bytes of a file, or of all files below a directory; 0 if it isn't there."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    sizes = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                sizes += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:  # a projection replaced it meanwhile
                continue
    return sizes


def seal(
    draft: Path,
    manifest: Manifest,
    n: int,
    applied: dict[str, int] | None = None,
    pauses: dict[str, float] | None = None,
) -> Snapshot:
    """Write `snapshot.json` over what lies in a draft: after everything else is on the disk."""
    sync_tree(draft)
    files = {name: checksum(draft / name) for name in _names(draft)}
    unsealed = Snapshot(
        n=n, at=datetime.now(UTC).isoformat(timespec="seconds"), memory=manifest.id, engine=manifest.engine,
        memory_format=manifest.format, applied=applied or {}, pauses=pauses or {}, files=files,
    )  # fmt: skip
    sealed = msgspec.structs.replace(unsealed, seal=_sealed(unsealed))
    with (draft / CONTENTS).open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(sealed), indent=2))
        file.flush()
        os.fsync(file.fileno())
    return sealed


def _names(directory: Path) -> list[str]:
    """Paths of the files below a directory, without what is no part of a snapshot."""
    found = (path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    return sorted(name for name in found if name not in (CONTENTS, LOCK))


def checksum(path: Path) -> FileSum:
    """Size and checksum of a file."""
    with path.open("rb") as file:
        sum = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
        return FileSum(file.tell(), sum)


def _sealed(snapshot: Snapshot) -> str:
    plain = msgspec.structs.replace(snapshot, seal="", path="")
    return hashlib.blake2b(msgspec.json.encode(plain, order="sorted"), digest_size=32).hexdigest()


def read(path: Path) -> Snapshot:
    """What the snapshot at `path` says of itself.

    Raises:
        NotAMemory: it is none. NewerFormat: a newer graphsvc took it. Corrupt: `snapshot.json` is damaged.
    """
    place = path / CONTENTS
    try:
        content = place.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotAMemory("is no snapshot", where=str(path), hint=f"A finished one has a {CONTENTS}.") from None
    try:
        format = msgspec.json.decode(content)["format"]
        if format > SNAPSHOT_FORMAT:
            raise _newer("snapshot", format, SNAPSHOT_FORMAT, path)
        snapshot = msgspec.json.decode(content, type=Snapshot)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"is damaged ({error})", where=str(place)) from error
    if snapshot.seal != _sealed(snapshot):
        raise Corrupt("is damaged: its checksum is another", where=str(place), hint="Use another snapshot.")
    if snapshot.memory_format > FORMAT:
        raise _newer("memory", snapshot.memory_format, FORMAT, path)
    return msgspec.structs.replace(snapshot, path=str(path))


def _newer(what: str, found: int, known: int, path: Path) -> NewerFormat:
    return NewerFormat(f"the {what} has format {found}; this graphsvc knows up to {known}", where=str(path))


def verify(path: Path, report: Report) -> Snapshot:
    """Compare every file with its checksum; see `graphsvc.verify_snapshot`."""
    snapshot = read(path)
    done = 0
    for name, expected in snapshot.files.items():
        check_file(path / name, expected)
        done += expected.bytes
        report(done, snapshot.bytes)
    return snapshot


def check_file(path: Path, expected: FileSum) -> None:
    """Raises Corrupt if a file isn't what it was when the snapshot was taken."""
    try:
        found = checksum(path)
    except OSError as error:
        raise Corrupt(f"can't be read ({error.strerror})", where=str(path), hint="Use another snapshot.") from error
    if found != expected:
        raise Corrupt("is damaged: its checksum is another", where=str(path), hint="Use another snapshot.")


