"""After a kill: the graph is built anew from the log.

Measured: a graph whose process was killed can't be trusted, though it opens. Replaying its own write-ahead file,
Kuzu 0.11.3 came back without an edge, or with an edge and a value at the wrong node (about 1 of 40 kills, after
nodes had been deleted with their edges); going back to its last checkpoint instead did the same. Closed in order, it
was right every time. So a mark stands beside the graph while it is open; where it is found again, the graph's files go.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from graphsvc.config import Settings
from graphsvc.store.directory import sync_directory, unwritable

logger = logging.getLogger("graphsvc.store")

MARK = "graph.in-use"


def begin_use(path: Path) -> bool:
    """Put up the mark; where it stands already, remove the graph's files first.

    Args:
        path: of the graph's data file, which nobody has open.

    Returns:
        Whether the graph was closed in order: then the mark goes again if the graph can't be opened.

    Raises:
        StorageFull, ReadOnly: the directory can't be written; the mark is as it was.
    """
    mark = path.with_name(MARK)
    clean = not mark.exists()
    if not clean and path.exists():
        logger.info("the process that had the graph open was killed; the graph is built anew from the log")
    try:
        if not clean:
            remove(path)
        mark.touch()
        descriptor = os.open(mark, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(path.parent)
    except OSError as error:
        if clean:
            end_use(path)
        raise unwritable(error, mark) from error
    return clean


def end_use(path: Path) -> None:
    """Take the mark down: the graph was closed in order, or never opened."""
    path.with_name(MARK).unlink(missing_ok=True)


MIGRATING = "graph.migrating"
"""A directory in which another engine's graph is built, see `store/migrate.py`."""
REPLAYED = "graph.replayed-"
"""How directories begin in which the log is replayed, to be compared, see `store/verify.py`."""


def remove_other_engines(directory: Path, engine: str) -> None:
    """Remove what a migration between engines, or a verifying, killed on the way, has left."""
    for path in directory.glob(f"{REPLAYED}*"):
        shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(directory / MIGRATING, ignore_errors=True)
    for other in Settings.__dataclass_fields__["engine"].metadata["choices"]:
        if other != engine:
            remove(directory / f"graph.{other}")


def remove(path: Path) -> None:
    """Remove the graph's files, but for those set aside."""
    for file in (path, *path.parent.glob(f"{path.name}.*")):
        if ".damaged-" not in file.name:
            file.unlink(missing_ok=True)
