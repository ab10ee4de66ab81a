"""From one format of the directory to the next: after a backup, step by step, killed anywhere and gone on with.

SQLite's `user_version` says which format its file has, so that a kill between the two files is noticed.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphsvc.config import FORMAT
from graphsvc.errors import Corrupt
from graphsvc.log import database
from graphsvc.log.backup import back_up, last_entry
from graphsvc.store.directory import MANIFEST, Manifest, read_manifest
from graphsvc.store.drafts import drafted
from graphsvc.store.snapshot import seal

logger = logging.getLogger("graphsvc.store")


@dataclass(frozen=True, slots=True)
class Step:
    """One format to the next. Neither function reads a clock or another file, so each may be run again.

    Attributes:
        tables: changes memory.sqlite, within a transaction.
        manifest: from what `graphsvc.json` says to what it is to say.
    """

    tables: Callable[[sqlite3.Connection], object]
    manifest: Callable[[dict[str, Any]], dict[str, Any]]


STEPS: dict[int, Step] = {
    1: Step(lambda connection: connection.execute(database.OUTCOME), lambda manifest: manifest),
}
"""By the format that each begins from. 2 has outcomes of statements."""


def bring_up(directory: Path, *, to: int = FORMAT) -> Path | None:
    """Bring a memory that this process owns to the current format; gives the backup, None where none was needed.

    The backup is a snapshot of the old format, beside the directory.

    Raises:
        NewerFormat: a newer graphsvc wrote it; nothing is changed. Corrupt: no step begins from its format.
    """
    manifest = read_manifest(directory)
    if manifest is None or manifest.format >= to:
        return None
    missing = [number for number in range(manifest.format, to) if number not in STEPS]
    if missing:
        raise Corrupt(f"says format {missing[0]}, which never was", where=str(directory / MANIFEST))
    backup = _backed_up(directory, manifest)
    content = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    for number in range(manifest.format, to):
        _change_tables(directory / database.FILE, number)
        content = {**STEPS[number].manifest(content), "format": number + 1}
        Manifest(**content).write(directory)
        logger.info("the memory has format %d now", number + 1)
    return backup


def _backed_up(directory: Path, manifest: Manifest) -> Path:
    target = directory.with_name(f"{directory.name}.format-{manifest.format}")
    if not target.exists():  # else a kill came after it was complete
        with drafted(target, outside=directory, where="backup") as draft:
            back_up(directory / database.FILE, draft / database.FILE, {})
            shutil.copyfile(directory / MANIFEST, draft / MANIFEST)
            with closing(database.connect(draft / database.FILE)) as connection:
                n = last_entry(connection)
            seal(draft, manifest, n)
    return target


def _change_tables(path: Path, number: int) -> None:
    """Run a step's change in one transaction, unless a kill came after it."""
    with closing(database.connect(path, writer=True)) as connection:
        if int(connection.execute("PRAGMA user_version").fetchone()[0]) > number:
            return
        connection.execute("BEGIN IMMEDIATE")
        STEPS[number].tables(connection)
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
