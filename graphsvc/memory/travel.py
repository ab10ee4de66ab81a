"""A memory's travels: snapshots, restoring, another engine; and how large what is."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphsvc.config import whole_path
from graphsvc.errors import BadInput, GraphsvcError
from graphsvc.log.trim import substitutes
from graphsvc.model.kinds import KINDS
from graphsvc.store import migrate as engines
from graphsvc.store import restore as restoring
from graphsvc.store import snapshot as snapshots
from graphsvc.store.directory import DirectoryLock
from graphsvc.store.formats import bring_up
from graphsvc.store.migrate import Migrated
from graphsvc.store.restore import Restored
from graphsvc.store.snapshot import Snapshot as Snapshot

if TYPE_CHECKING:
    from graphsvc.memory.opened import Opened

Report = Callable[[int, int], None]
AnyPath = str | os.PathLike[str]


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def snapshot(opened: Opened, path: AnyPath, report: Report | None) -> Snapshot:
    """See `Memory.snapshot`."""
    return snapshots.take(opened.store, whole_path(path, "path"), report or _silent)


def registered(opened: Opened) -> list[dict[str, Any]]:
    """See `Memory.snapshots`."""
    trimmed = opened.log.trimmed
    base = trimmed.snapshot if trimmed is not None else None
    return [
        {**one, "present": _present(one), "holds_trimmed": one["path"] == base} for one in opened.manifest.snapshots
    ]


def _present(noted: dict[str, Any]) -> bool:
    try:
        return snapshots.read(Path(noted["path"])).n == int(noted["n"])
    except (GraphsvcError, OSError):
        return False


def verify_snapshot(path: AnyPath, *, report: Report | None = None) -> Snapshot:
    """Compare every file of a snapshot with its checksum.

    Args:
        path: of the snapshot. report: called with how many bytes are done, and of how many.

    Raises:
        NotAMemory: there is no snapshot. Corrupt: a file is damaged or missing; `where` names it.
        NewerFormat: a newer graphsvc took it.
    """
    return snapshots.verify(whole_path(path, "path"), report or _silent)


def restore(source: AnyPath, target: AnyPath, *, to: int | None = None, report: Report | None = None) -> Restored:
    """Make a memory of a snapshot, or of a memory that nobody has open, as it is or as it was at an earlier entry.

    Checksums are compared first. The memory is built beside its place and renamed, so that a kill leaves nothing at
    `target`. It is a memory of its own, with a new id. What lies behind or past the point (graph, text, vectors) reads
    on, or is made anew, when it is opened.

    Args:
        source: a snapshot, or a memory's directory. target: a directory that isn't there yet.
        to: number of an entry of the log, as `memory.status()["head"]` and `Event.n` tell it; None for the last one.
        report: called with how many bytes are done, and of how many.

    Raises:
        NotAMemory: `source` is neither. Corrupt: a file is damaged; `where` names it. NotRetained: the log doesn't hold
        `to`, or it lies within one call. BadInput: there is something at `target`. InUse: the memory is open.
        StorageFull, ReadOnly: it can't be written.
    """
    if to is not None and (isinstance(to, bool) or not isinstance(to, int)):
        raise BadInput(f"expected a number, got {type(to).__name__}", where="to")
    return restoring.restore(whole_path(source, "source"), whole_path(target, "target"), to, report or _silent)


def migrate(path: AnyPath, *, engine: str | None = None, report: Report | None = None) -> Migrated:
    """Bring a memory that nobody has open to the current format, and its graph to another engine.

    An older format is brought up after a backup beside the directory, as opening does too. The other engine's graph is
    built from the same log in a process of its own and must have the same digest as the records and, unless a kill left
    it, as the graph that was there. Killed on the way, the memory is in the old engine or in the new one.

    Args:
        path: the memory's directory. engine: "kuzu" or "ladybug"; None for the one it has, whose graph is compared.
        report: called with how many entries of the log are done, and of how many.

    Raises:
        NotAMemory, InUse, NewerFormat: for the directory. EngineMissing: the engine isn't installed.
        Corrupt: the graph isn't what the records add up to; nothing was changed.
    """
    directory = whole_path(path, "path")
    lock = DirectoryLock(directory) if directory.is_dir() else None
    try:
        bring_up(directory)
    finally:
        if lock is not None:
            lock.release()
    return engines.move_to_engine(directory, engine, report or _silent)


async def averify_snapshot(path: AnyPath, *, report: Report | None = None) -> Snapshot:
    """The same as `verify_snapshot`, awaited."""
    return await asyncio.to_thread(verify_snapshot, path, report=report)


async def arestore(
    source: AnyPath, target: AnyPath, *, to: int | None = None, report: Report | None = None
) -> Restored:
    """The same as `restore`, awaited."""
    return await asyncio.to_thread(restore, source, target, to=to, report=report)


async def amigrate(path: AnyPath, *, engine: str | None = None, report: Report | None = None) -> Migrated:
    """The same as `migrate`, awaited."""
    return await asyncio.to_thread(migrate, path, engine=engine, report=report)


# --- how large what is ----------------------------------------------------------------------------------


def size(opened: Opened, files: dict[str, int]) -> dict[str, Any]:
    """See `Memory.size`."""
    with opened.log.connection() as connection:
        stored = {
            kind: (live, records, body)
            for kind, live, records, body in connection.execute(
                "SELECT kind, sum(state = 0), count(*), sum(coalesce(length(CAST(body AS BLOB)), 0)) "
                "FROM record GROUP BY kind"
            )
        }
        logged = _logged(connection)
        tables = _tables(connection)
    vectors = _vectors(opened)
    kinds = {}
    for kind in sorted({*stored, *logged} & {*KINDS}):
        live, records, body = stored.get(kind, (0, 0, 0))
        entry = {"live": live, "records": records, "record_bytes": body, "log_bytes": logged.get(kind, 0)}
        held = vectors.get(kind, 0)
        entry["vector_bytes"] = held
        entry["bytes_a_record"] = round((body + entry["log_bytes"] + held) / records, 1) if records else 0.0
        kinds[kind] = entry
    live = sum(entry["live"] for entry in kinds.values())
    return {
        "files": files,
        "kinds": kinds,
        "tables": tables,
        "bytes_a_live_record": round(files["total"] / live, 1) if live else 0.0,
    }


def _logged(connection: Any) -> dict[str, int]:
    """Bytes of the log's bodies and given vectors, by the kind that their verbs are about."""
    rows = connection.execute(
        "SELECT substr(verb, 1, instr(verb, '.') - 1), "
        "sum(length(CAST(body AS BLOB)) + coalesce(length(vectors), 0)) FROM log GROUP BY 1"
    )
    logged = Counter(dict(rows.fetchall()))
    for change in substitutes(connection):  # of all kinds together
        for put in change.puts:
            logged[put.kind] += len(put.record)
    return logged


def _tables(connection: Any) -> dict[str, int]:
    """Bytes of each table and index of memory.sqlite, as its pages lie on disk; {} where SQLite can't tell."""
    import sqlite3

    try:
        return dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC").fetchall())
    except sqlite3.OperationalError:  # built without dbstat
        return {}


def _vectors(opened: Opened) -> dict[str, int]:
    """Bytes of the vectors by kind: those that there are, times the bytes of one in hot index and LanceDB's table."""
    store = opened.store.vectors
    hot = store.hot
    lance = sum(path.stat().st_size for path in store.lance.path.rglob("*") if path.is_file())
    counted = {}
    for kind, spec in KINDS.items():
        if spec.searchable:
            rows, _ = opened.log.mask(kind, None, None)
            counted[kind] = int((hot.positions(rows) >= 0).sum())
    total = sum(counted.values())
    return {kind: round(count * (hot.slot_bytes + lance / total)) for kind, count in counted.items() if total}
