"""Trimming the log: what `memory.trim` does, in its order, and what it tells of it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from graphsvc.errors import BadInput, GraphsvcError, NeedsSnapshot, StorageFull, WaitTimeout
from graphsvc.log import database
from graphsvc.log.backup import check_point, entries
from graphsvc.log.trim import DRAFT, Staged, fold, has_statements, held_from, stage
from graphsvc.memory.opened import Opened
from graphsvc.model.change import Change, Trimmed
from graphsvc.store import snapshot as snapshots
from graphsvc.store.lance import LanceVectors
from graphsvc.store.retold import Retold
from graphsvc.store.store import Store
from graphsvc.store.vectors import CURSOR

CATCH_UP_SECONDS = 24 * 3600.0
STEP = 1_000

Progress = Callable[[float, str], None]


@dataclass(slots=True)
class TrimReport:
    """What was trimmed.

    Attributes:
        dry_run: nothing was changed; the rest says what would have been.
        before: the first entry that stays as it is; the points from `before` - 1 on can be restored from the memory.
        entries: how many went. bytes: what they took: texts and given vectors.
        base_entries: how many came in their place, under the last of their numbers. base_bytes: what those take.
        snapshot: path of the snapshot that holds those that went; "" where none did.
        freed: how many bytes smaller memory.sqlite is now.
        seconds: that it took.
    """

    before: int
    dry_run: bool = False
    entries: int = 0
    bytes: int = 0
    base_entries: int = 0
    base_bytes: int = 0
    snapshot: str = ""
    freed: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(msgspec.to_builtins(self))


def trim(opened: Opened, before: Any, *, dry_run: bool, progress: Progress | None) -> TrimReport:
    """Trim the log; see `Memory.trim`."""
    if isinstance(before, bool) or not isinstance(before, int) or before < 1:
        raise BadInput(f"expected a number from 1 on, got {before!r}", where="before")
    began, n = time.monotonic(), before - 1
    report = TrimReport(before, dry_run)
    progress = progress or (lambda share, what: None)
    size = _size(opened)
    with opened.undisturbed():
        with opened.log.connection() as connection:
            held = held_from(connection)
            if n > held:
                check_point(connection, n, "before")
        if n > held:
            _trim(opened, n, report, progress)
        if not dry_run:
            progress(0.9, "giving room back")
            _give_back(opened, trimmed=n > held)
    report.freed = max(0, size - _size(opened))
    report.seconds = round(time.monotonic() - began, 3)
    return report


def _trim(opened: Opened, n: int, report: TrimReport, progress: Progress) -> None:
    snapshot = _snapshot(opened, n, progress)
    report.snapshot = snapshot.path
    draft = opened.directory / DRAFT
    try:
        staged = _staged(opened, n, Trimmed(n, snapshot.path, snapshot.n), draft, report, progress)
        report.base_entries, report.base_bytes = staged.entries, staged.bytes
        if not report.dry_run:
            _replace(opened, staged, n)
    finally:
        draft.unlink(missing_ok=True)


def _snapshot(opened: Opened, n: int, progress: Progress) -> snapshots.Snapshot:
    """A noted snapshot of this memory that reaches `n`, every file of it as it was; the newest such."""
    wrong: list[str] = []
    for noted in reversed(opened.manifest.snapshots):
        if noted["n"] < n:
            continue
        try:
            found = snapshots.verify(
                Path(noted["path"]), lambda done, total: progress(0.4 * done / max(total, 1), "reading the snapshot")
            )
        except GraphsvcError as error:
            wrong.append(str(error))
            continue
        if found.memory == opened.manifest.id and found.n == noted["n"]:
            return found
        wrong.append(f"{noted['path']}: is another memory's, or another one than was noted")
    why = f": {'; '.join(wrong)}" if wrong else ""
    raise NeedsSnapshot(f"no snapshot of this memory is whole that reaches entry {n}{why}", where="before")


def _staged(
    opened: Opened, n: int, trimmed: Trimmed, draft: Path, report: TrimReport, progress: Progress
) -> Staged:
    """Fold the log up to `n`, as it stands at one instant, and write the entries that add up to the same."""
    embedding = opened.manifest.embedding
    retold = _retold(opened, n, progress)
    with opened.log.pool.instant() as connection:

        def counted(changes: Iterator[Change]) -> Iterator[Change]:
            for change in changes:
                if change.n % STEP == 0:
                    progress(0.4 + 0.3 * change.n / n, "reading the log")
                yield change

        def vectors(number: int) -> bytes:
            return connection.execute("SELECT vectors FROM log WHERE n = ?", (number,)).fetchone()[0] or b""

        report.entries, report.bytes = connection.execute(
            "SELECT count(*), sum(length(CAST(body AS BLOB)) + coalesce(length(vectors), 0)) FROM log WHERE n <= ?",
            (n,),
        ).fetchone()
        changes = entries(opened.log.path, connection, 0, n)
        folded = fold(counted(changes), since=embedding["since"], dimension=embedding["dimension"])
        progress(0.7, "writing what it adds up to")
        try:
            staged = stage(folded, trimmed, draft, vectors, retold.statements if retold else ())
        except sqlite3.Error as error:
            raise database.translated(error, draft) from error
    if retold:
        retold.check(draft)
    return staged


def _retold(opened: Opened, n: int, progress: Progress) -> Retold | None:
    """Statements that make the user's tables as they were at `n`; None where there were none."""
    store = opened.store
    if not store.wait([store.graph_follower], n, CATCH_UP_SECONDS):  # so that each is decided
        raise WaitTimeout(f"the graph isn't caught up after {CATCH_UP_SECONDS:g} s", where="before")
    with opened.log.connection() as connection:
        if not has_statements(connection, n):
            return None
    progress(0.4, "reading one's own tables")
    return Retold(opened.log, store, n)


def _replace(opened: Opened, staged: Staged, n: int) -> None:
    """Let the entries take their place, once nobody has to read those that go."""
    store = opened.store
    _catch_up(store, n)
    with store.steady:
        _catch_up(store, n)  # what was begun anew meanwhile; from here on nothing is
        plan = opened.manifest.reembedding
        if plan is not None and opened.log.cursor(f"{CURSOR}.{plan['generation']}") < n:
            # Vectors of another model, interrupted: they couldn't read on, so they are begun again.
            LanceVectors(opened.directory, plan["dimension"], plan["generation"]).drop()
            opened.log.move_cursor(f"{CURSOR}.{plan['generation']}", 0)
        opened.log.trim(staged, n)


def _catch_up(store: Store, n: int) -> None:
    if not store.wait(store.followers, n, CATCH_UP_SECONDS):
        raise WaitTimeout(f"not caught up after {CATCH_UP_SECONDS:g} s: {store.lag()}", where="before")
    store.vectors.flush_now()


def _give_back(opened: Opened, *, trimmed: bool) -> None:
    try:
        opened.log.give_back()
    except StorageFull as error:
        what = "the log is trimmed, but" if trimmed else "nothing was left to trim, and"
        raise StorageFull(
            f"{what} its file couldn't be written anew without what went ({error.what})",
            where=error.where,
            hint="Make room for a copy of it, and trim again.",
        ) from error


def _size(opened: Opened) -> int:
    """Bytes of the log's file, with what SQLite hasn't moved into it yet."""
    names = (database.FILE, f"{database.FILE}-wal")
    return sum(path.stat().st_size for name in names if (path := opened.directory / name).exists())
