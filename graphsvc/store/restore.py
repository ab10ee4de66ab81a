"""Restore a memory from a snapshot, or from a memory that nobody has open, as it is or at an earlier entry of the log.

The log's file decides. A graph, text or vectors that lie behind it read on when the memory is opened; what lies past
the point that is asked for is left out, and made anew from the log.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from graphsvc.config import CONFIG_FILE
from graphsvc.errors import Corrupt, NotAMemory
from graphsvc.log import database
from graphsvc.log.backup import back_up, check_point, cut, last_entry, rename
from graphsvc.store import lance, text
from graphsvc.store.directory import DirectoryLock, Manifest, read_manifest
from graphsvc.store.drafts import check_room, drafted
from graphsvc.store.snapshot import CONTENTS, Report, Snapshot, check_file, read


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored.

    Attributes:
        path: where it is. id: of the memory there, which is a new one: the old one may live on beside it.
        n: number of its last entry. origin: id of the memory that it was.
        rebuilt: which projections are made anew from the log when it is opened.
    """

    path: str
    id: str
    n: int
    origin: str
    rebuilt: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(msgspec.to_builtins(self))


def restore(source: Path, target: Path, to: int | None, report: Report) -> Restored:
    """Build a memory at `target`; see `graphsvc.restore`."""
    if (source / CONTENTS).exists() or read_manifest(source) is None:
        snapshot = read(source)
        if to is not None:
            check_file(source / database.FILE, snapshot.files[database.FILE])
            _check_to(source / database.FILE, to)
        with drafted(target, outside=source, where="target") as draft:
            check_room(draft, snapshot.bytes)
            kept = _copy(snapshot, source, draft, to, report)
            return _finish(draft, target, to, kept)
    lock = DirectoryLock(source)
    try:
        _check_to(source / database.FILE, to)
        with drafted(target, outside=source, where="target") as draft:
            check_room(draft, (source / database.FILE).stat().st_size)
            back_up(source / database.FILE, draft / database.FILE, {})
            for name in ("graphsvc.json", CONFIG_FILE):
                if (source / name).exists():
                    shutil.copyfile(source / name, draft / name)
            return _finish(draft, target, to, ())
    finally:
        lock.release()


def _check_to(path: Path, to: int | None) -> None:
    if to is not None:
        with closing(database.connect(path)) as connection:
            check_point(connection, to)


def _copy(snapshot: Snapshot, source: Path, draft: Path, to: int | None, report: Report) -> tuple[str, ...]:
    """Copy what is needed, each file checked; gives the projections that came along."""
    kept = tuple(name for name, applied in snapshot.applied.items() if _holds(name, applied, snapshot.n, to))
    done = 0
    for name, expected in snapshot.files.items():
        part = _part(name)
        if part is None or part in kept:
            copy = draft / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(source / name, copy)
            except FileNotFoundError as error:
                raise Corrupt("is missing", where=str(source / name), hint="Use another snapshot.") from error
            _check_copy(copy, source / name, expected)
        else:
            check_file(source / name, expected)
        done += expected.bytes
        report(done, snapshot.bytes)
    return kept


def _holds(name: str, applied: int, n: int, to: int | None) -> bool:
    """Whether a projection holds nothing of what came after `to`.

    Text and vectors take a record that was amended as it is when they come to it, which may be later than their number.
    """
    return to is None or to == n or (name == "graph" and applied <= to)


def _check_copy(copy: Path, source: Path, expected: Any) -> None:
    try:
        check_file(copy, expected)
    except Corrupt as error:
        raise Corrupt(error.what, where=str(source), hint=error.hint) from None


def _part(name: str) -> str | None:
    """Which projection a file belongs to; None for the log and the manifest."""
    if name.startswith("graph."):
        return "graph"
    return {text.DIRECTORY: "text", lance.DIRECTORY: "vectors"}.get(name.split("/")[0])


def _finish(draft: Path, target: Path, to: int | None, kept: tuple[str, ...]) -> Restored:
    """Take the log back to the point, and write the manifest of a memory of its own."""
    path = draft / database.FILE
    if to is not None:
        with closing(database.connect(path)) as connection:
            last = last_entry(connection)
        if to < last and cut(path, to):
            # the graph must not hold what is decided again
            for file in draft.glob("graph.*"):
                file.unlink()
            kept = tuple(name for name in kept if name != "graph")
    manifest = read_manifest(draft)
    if manifest is None:
        raise NotAMemory("holds no memory", where=str(draft))
    with closing(database.connect(path)) as connection:
        n = last_entry(connection)
    new = _manifest_at(manifest, n, rename(path))
    new.write(draft)
    rebuilt = tuple(name for name in ("graph", "text", "vectors") if name not in kept)
    return Restored(str(target), new.id, n, manifest.id, rebuilt)


def _manifest_at(manifest: Manifest, n: int, id: str) -> Manifest:
    """What the restored memory's manifest says: its own id, and nothing of what came after `n`."""
    embedding = {**manifest.embedding, "since": min(manifest.embedding["since"], n)}
    return replace(manifest, id=id, embedding=embedding, reembedding=None, snapshots=[])
