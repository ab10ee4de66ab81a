"""Move a memory's graph to the other engine: built from the same log, compared, then switched.

Both engines in one process crash it, so each works in a process of its own: `python -m graphsvc.store.migrate`.
The switch is the replacement of `graphsvc.json`; what a kill leaves of the engine that isn't in use goes at the
next opening.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from graphsvc.config import load
from graphsvc.embedding.forms import child_environment
from graphsvc.errors import Corrupt, EngineError, EngineMissing, GraphsvcError, NotAMemory
from graphsvc.log import database
from graphsvc.log.log import Log
from graphsvc.store.directory import DirectoryLock, read_manifest, sync_directory, unwritable
from graphsvc.store.drafts import sync_tree
from graphsvc.store.ledger import LogLedger, whole_calls
from graphsvc.store.unclean import MARK, MIGRATING, begin_use, end_use, remove_other_engines

Report = Callable[[int, int], None]
"""Told how many entries of the log are done, and of how many."""
STEP = 1_000


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did.

    Attributes:
        path: of the memory. engine: that it has now; `before`: that it had.
        entries: of the log that the graph was built from. digest: of the graph, equal on both engines.
    """

    path: str
    engine: str
    before: str
    entries: int
    digest: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def move_to_engine(directory: Path, engine: str | None, report: Report) -> Migrated:
    """Have the memory's graph in another engine; see `graphsvc.migrate`."""
    manifest = read_manifest(directory)
    if manifest is None:
        raise NotAMemory("holds no memory", where=str(directory))
    before = manifest.engine
    engine = load(directory, engine=engine or before).engine
    lock = DirectoryLock(directory)
    draft = directory / MIGRATING
    try:
        remove_other_engines(directory, before)
        draft.mkdir()
        built = _follow(directory, draft, engine, report)
        expected = _expected(directory / database.FILE)  # after it: what a statement decides is noted
        _compare(engine, built["own"], expected)
        if before != engine and not (directory / MARK).exists() and (directory / f"graph.{before}").exists():
            # A graph that a kill left isn't to be trusted and is built anew at the next opening: nothing to compare.
            old = _follow(directory, directory, before, lambda done, total: None)
            _compare(before, old["own"], expected)
            _compare(before, old["digest"], built["digest"])
        if before != engine:
            sync_tree(draft)
            for file in draft.iterdir():
                file.replace(directory / file.name)
            sync_directory(directory)
            manifest.engine = engine
            manifest.write(directory)
            (directory / MARK).unlink(missing_ok=True)
        remove_other_engines(directory, engine)
        return Migrated(str(directory), engine, before, built["applied"], built["digest"])
    except OSError as error:
        raise unwritable(error, directory) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        lock.release()


def _expected(path: Path) -> str:
    """The digest that the records add up to. Needs no engine."""
    from graphsvc.store.contents import digest_of
    from graphsvc.store.verify import expected_graph

    pool = database.ReadPool(path, 4)
    try:
        return digest_of(expected_graph(pool))
    finally:
        pool.close()


def _compare(engine: str, found: str, expected: str) -> None:
    if found != expected:
        raise Corrupt(
            f"the graph in {engine} isn't what the log adds up to; nothing was changed",
            where=f"graph.{engine}",
            hint="Run `graphsvc verify`, then `graphsvc repair`.",
        )


def _follow(directory: Path, place: Path, engine: str, report: Report) -> dict[str, Any]:
    """In a process of its own: bring the graph at `place` up to the log, and give its digest."""
    command = [sys.executable, "-m", __name__, str(directory), str(place), engine]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=child_environment(1),
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        answer: dict[str, Any] = {}
        try:
            for line in child.stdout:
                answer = json.loads(line)
                if "applied" in answer:
                    report(answer["applied"], answer["head"])
        except BaseException:
            child.kill()
            raise
        said = child.stderr.read().strip().splitlines()
    if "error" in answer:
        kind = EngineMissing if answer["error"]["code"] == EngineMissing.code else EngineError
        raise kind(answer["error"]["what"], where=answer["error"]["where"], hint=answer["error"]["hint"])
    if child.returncode or "digest" not in answer:
        raise EngineError(f"the process that built the graph ended with {child.returncode}", hint=" ".join(said[-1:]))
    return answer


# --- the process of one engine --------------------------------------------------------------------------


def _main(directory: Path, place: Path, engine: str) -> None:
    from graphsvc.store.graph import GraphProjection

    threading.Thread(target=_end_with_parent, daemon=True).start()
    in_use = place / f"graph.{engine}"
    if place == directory:
        begin_use(in_use)
    settings = load(directory, engine=engine)
    manifest = read_manifest(directory)
    assert manifest is not None, "looked at before"
    graph = GraphProjection(place, engine, settings)
    log = Log(directory, settings, manifest.id)  # the parent has the directory: statements not decided yet are, here
    try:
        while changes := whole_calls(log, graph.applied, STEP):
            graph.apply(changes, LogLedger(log))
            _say({"applied": graph.applied, "head": log.head})
        answer = {"own": graph.digest(own=True), "digest": graph.digest(), "applied": graph.applied, "head": log.head}
        graph.close()
    finally:
        log.close(save=False)
    if place == directory and graph.sound:  # else the mark has the graph built anew
        end_use(in_use)
    _say(answer)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """The parent holds the directory's lock: without it nothing may be touched."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    try:
        _main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    except GraphsvcError as error:
        _say({"error": error.as_dict()})
        sys.exit(1)
