"""Cleaning the projections of what was forgotten: deleting alone leaves the bytes in their files.

Every file that may hold them is removed, and built anew from the log, whose values are overwritten by then. Only the
hot index is copied, without the vectors of what is gone, so that nothing is embedded again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from graphsvc.log.forget import PENDING
from graphsvc.store import hot, lance, text
from graphsvc.store.directory import sync_directory
from graphsvc.store.follower import Follower
from graphsvc.store.store import GraphFollower, Store, log_failure
from graphsvc.store.unclean import remove
from graphsvc.store.vectors import CURSOR


def is_pending(store: Store) -> bool:
    """Whether files must still be cleaned: a forget was killed, or failed, after its entry was written."""
    return store.log.cursor(PENDING) > 0


def halt(store: Store) -> None:
    """Stop following: an entry that forgets speaks of tasks as they are called after it, in all entries before, too.

    Who asks the graph meanwhile waits for `renew`.
    """
    store.graph_follower.close()
    store.graph_follower = GraphFollower(store)
    store.text_follower.close()
    store.vectors.follower.close()


def renew(store: Store, *, clean: bool) -> None:
    """Follow again: `clean`, with projections made anew, without a byte of what was forgotten in any file.

    Killed on the way, it is done again as a whole.
    """
    with log_failure("closing full text"):
        store.text.close()
    if clean:
        remove(store.directory / f"graph.{store.manifest.engine}")
        text.discard(store.directory)
        _clean_vectors(store)
        for path in store.directory.glob("*.damaged-*"):
            _delete(path)
        sync_directory(store.directory)
    store.text = store._open_text()
    store.text_follower = Follower("text", store.log, store.settings, store.text.applied, store.text.apply)
    if not clean:
        with log_failure("closing the vectors"):
            store.vectors.close()
    old, store.vectors = store.vectors, store._open_vectors(store.manifest.embedding, store.vectors.embedding)
    old.hot.close()
    old.lance.close()


def finish(store: Store) -> None:
    """Clean the log's own files; then nothing is left to be done.

    Raises:
        WaitTimeout: who reads the log since before didn't come to an end. StorageFull: there is no room.
    """
    store.log.clean()
    store.log.move_cursor(PENDING, 0)


def _clean_vectors(store: Store) -> None:
    hot_index = store.vectors.hot
    rows, _ = store.vectors.wanted()
    hot_index.compact(rows)
    lance.discard(store.directory)
    for path in store.directory.glob(f"{hot.FILE}*"):
        if path != hot_index.path:
            _delete(path)
    for plan in (store.manifest.embedding, store.manifest.reembedding):
        if plan is not None:
            store.log.move_cursor(f"{CURSOR}.{plan['generation']}", 0)


def _delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
