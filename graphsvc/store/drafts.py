"""Directories that come whole or not at all: filled beside their place, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphsvc.errors import BadInput, StorageFull
from graphsvc.store.directory import LOCK, DirectoryLock, sync_directory, unwritable

SUFFIX = ".unfinished"


@contextmanager
def drafted(target: Path, *, outside: Path, where: str) -> Iterator[Path]:
    """An empty directory beside `target`. It becomes `target` at the end of the `with`, on disk and whole, or goes.

    What a kill leaves of it, under the same name with `.unfinished` behind it, is removed by the next attempt.

    Args:
        outside: a directory that `target` may not lie in. where: what errors call `target`.

    Raises:
        BadInput: there is something at `target`, or it lies within `outside`. InUse: another process is filling it.
        StorageFull, ReadOnly: it can't be made or written.
    """
    check_free(target, outside=outside, where=where)
    draft = target.with_name(target.name + SUFFIX)
    if draft.exists() and not (draft / LOCK).exists():
        raise BadInput(f"{draft} is in the way and none of ours", where=where, hint="Remove it, or use another name.")
    try:
        draft.mkdir(parents=True, exist_ok=True)
        (draft / LOCK).touch()
    except OSError as error:
        raise unwritable(error, draft) from error
    lock = DirectoryLock(draft)
    try:
        _empty(draft)
        yield draft
        sync_tree(draft)
        draft.replace(target)
        sync_directory(target.parent)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, OSError):
            raise unwritable(error, target) from error
        raise
    finally:
        lock.release()


def check_free(target: Path, *, outside: Path, where: str) -> None:
    """Refuse a place that is taken, or that lies within a directory of ours. Raises BadInput."""
    real = target.resolve()
    if real.is_relative_to(outside.resolve()):
        raise BadInput(f"lies within {outside}", where=where, hint="Name a place outside of it.")
    if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
        raise BadInput(f"{target} exists already", where=where, hint="Name a directory that isn't there yet.")


def check_room(place: Path, needed: int) -> None:
    """Refuse to begin what can't be ended. Raises StorageFull."""
    free = shutil.disk_usage(place).free
    if free < needed:
        raise StorageFull(f"{needed >> 20:,} MiB are needed, {free >> 20:,} are free", where=str(place))


def _empty(draft: Path) -> None:
    for path in draft.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def sync_tree(directory: Path) -> None:
    """Have the disk hold every file and name below a directory."""
    for folder, _, files in os.walk(directory):
        for name in files:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(folder))
