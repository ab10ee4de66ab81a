"""The main job on real data, told step by step: take in, be killed on the way, lose nothing, answer.

`graphsvc demo` shows it. A child process imports; it is this module run as a program, and prints the ids of what is
durable as soon as it knows. What its parent has read of that is what was acknowledged.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from graphsvc.errors import BadInput, Corrupt, GraphsvcError
from graphsvc.memory.importing import import_jsonl, import_python
from graphsvc.memory.memory import Memory, open_memory
from graphsvc.memory.opened import remove
from graphsvc.memory.results import Hits
from graphsvc.model.records import Episode, Skill

MARK = "made-by-graphsvc-demo"
BATCH = 20
PAUSE = 0.02
"""Seconds between two batches of the child: without it the import is over before it can be killed."""

MODULES = (
    "json", "csv", "configparser", "argparse", "pathlib", "shutil", "tempfile", "zipfile", "tarfile", "gzip",
    "datetime", "calendar", "statistics", "random", "collections", "heapq", "functools", "textwrap",
    "difflib", "logging", "threading", "queue", "concurrent", "subprocess", "urllib", "smtplib", "base64",
    "hmac", "secrets", "os", "glob", "fnmatch", "html",
)  # fmt: skip
"""Of the standard library: over 1,000 public functions."""

EPISODE_QUERIES = (
    "number the lines of an agenda, without the empty ones",
    "how far apart the highest and lowest score of the season are",
)
SKILL_QUERIES = (
    "make a temporary directory that is removed afterwards",
    "parse a JSON document",
    "median of some numbers",
)

Watch = Callable[[Memory, str], AbstractContextManager[None]]


@dataclass(slots=True)
class Shown:
    """What the demonstration came to.

    Attributes:
        acknowledged: ids that the killed process had acknowledged. missing: of those, what wasn't there afterwards.
        durable: episodes found after the kill. episodes, skills, links: at the end.
        verified: whether everything agreed, after the kill and at the end.
        found: hits by query. seconds: by step. bytes: of the directory.
    """

    acknowledged: int = 0
    missing: int = 0
    durable: int = 0
    episodes: int = 0
    skills: int = 0
    links: int = 0
    verified: bool = False
    found_episodes: dict[str, Hits[Episode]] = field(default_factory=dict)
    found_skills: dict[str, Hits[Skill]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)


def show(
    directory: Path, source: Path, embedder: str, *, tell: Callable[[str], None], watch: Watch, workers: int = 2
) -> Shown:
    """Do it all.

    Args:
        directory: for the memory; an earlier demonstration there is removed. source: episodes, JSON Lines.
        embedder: as for `graphsvc.open`. workers: processes that embed.
        tell: gets each step in words. watch: is entered while something takes long.

    Raises:
        BadInput: something else is in the directory, or the source isn't there.
        Corrupt: an acknowledged write is missing or something doesn't agree, which is what mustn't be.
    """
    shown = Shown()
    lines = _count(source)
    make(directory, embedder)
    tell(f"A new memory in {directory}, its embedding model {embedder}.")
    tell(f"\nA process of its own imports {lines:,} episodes of a small agent; it will be killed half way.")
    begun = time.monotonic()
    ids = _killed_import(directory, source, lines // 2)
    shown.seconds["import until killed"] = time.monotonic() - begun
    shown.acknowledged = len(ids)
    tell(f"It had acknowledged {len(ids):,} episodes when signal 9 (SIGKILL) ended it.")
    tell("\nThe memory is opened again.")
    begun = time.monotonic()
    with open_memory(directory, workers=workers, create=False) as memory:
        shown.seconds["open after the kill"] = time.monotonic() - begun
        _check(memory, ids, shown, tell, watch)
        _go_on(memory, source, shown, tell)
        _learn(memory, shown, tell)
        _catch_up(memory, shown, tell, watch)
        _ask(memory, shown)
        shown.bytes = memory.stats()["bytes"]
    return shown


# --- the steps ---------------------------------------------------------------------------------------------


def make(directory: Path, embedder: str) -> None:
    """A new memory for a demonstration, in place of an earlier one. Raises BadInput where something else is."""
    another = "Name another with --directory."
    try:
        if (directory / MARK).exists():
            remove(directory)
        if directory.exists() and any(directory.iterdir()):
            raise BadInput("holds something that isn't a demonstration", where=str(directory), hint=another)
    except OSError as error:  # a file, or a directory that can't be read
        raise BadInput(f"can't be used ({error.strerror})", where=str(directory), hint=another) from None
    with open_memory(directory, embedder=embedder):
        (directory / MARK).write_text("`graphsvc demo` removes this directory when it runs again.\n", encoding="utf-8")


def _killed_import(directory: Path, source: Path, enough: int) -> list[str]:
    """Have a child import, kill it once it has acknowledged enough, and give what it acknowledged."""
    command = [sys.executable, "-m", "graphsvc.demo", str(directory), str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None, "it was asked for"
        ids: list[str] = []
        for line in child.stdout:
            ids.append(line.decode().strip())
            if len(ids) >= enough:
                child.send_signal(signal.SIGKILL)
                break
        ids += _whole_lines(child.stdout)
        code = child.wait()
    if code != -signal.SIGKILL:
        raise GraphsvcError(f"the importing process ended by itself, with {code}", hint="See what it said above.")
    return ids


def _whole_lines(pipe: IO[bytes]) -> list[str]:
    """What was still on its way; half a line acknowledges nothing."""
    return [line.decode().strip() for line in pipe if line.endswith(b"\n")]


def _check(memory: Memory, ids: Sequence[str], shown: Shown, tell: Callable[[str], None], watch: Watch) -> None:
    shown.durable = memory.episodes.count()
    shown.missing = len(ids) - memory.episodes.count({"id": {"in": list(ids)}})
    if shown.missing:
        raise Corrupt(f"{shown.missing} acknowledged episodes are missing", where=str(memory.path))
    more = shown.durable - len(ids)
    tell(f"All {len(ids):,} are there" + (f", and {more:,} that it hadn't come to say." if more else "."))
    _verify(memory, "after the kill", shown, tell, watch)


def _verify(memory: Memory, when: str, shown: Shown, tell: Callable[[str], None], watch: Watch) -> None:
    begun = time.monotonic()
    with watch(memory, "Embedding and verifying"):
        memory.progress(lambda lag: None)
        report = memory.verify()
    shown.seconds[f"catch up and verify {when}"] = time.monotonic() - begun
    if not report.ok:
        raise Corrupt("; ".join(map(str, report.problems)), where=str(memory.path))
    checked = report.checked
    tell(f"Verified {when}: log, {checked['records']:,} records, {checked['graph']:,} nodes and edges, "
         f"{checked['text']:,} texts and {checked['vectors']:,} vectors agree.")  # fmt: skip
    shown.verified = True


def _go_on(memory: Memory, source: Path, shown: Shown, tell: Callable[[str], None]) -> None:
    report = import_jsonl(memory, source)
    shown.seconds["import the rest"] = report.seconds
    tell(f"\nThe import is run again: {report.already:,} were there already, {report.stored:,} are new, "
         f"{report.skipped_count:,} skipped, in {report.seconds:.1f} s.")  # fmt: skip


def _learn(memory: Memory, shown: Shown, tell: Callable[[str], None]) -> None:
    report = import_python(memory, MODULES)
    shown.seconds["import functions"] = report.seconds
    shown.links = report.links
    tell(f"{report.stored:,} functions of Python's standard library become skills, with {report.links:,} links to "
         f"what they call, in {report.seconds:.1f} s.")  # fmt: skip


def _catch_up(memory: Memory, shown: Shown, tell: Callable[[str], None], watch: Watch) -> None:
    shown.episodes, shown.skills = memory.episodes.count(), memory.skills.count()
    tell("They can be found by id, filter and words now, and by meaning as they are embedded.")
    _verify(memory, "at the end", shown, tell, watch)


def _ask(memory: Memory, shown: Shown) -> None:
    begun = time.monotonic()
    for query in EPISODE_QUERIES:
        where = {"success": False, "critique": {"exists": True}}
        shown.found_episodes[query] = memory.episodes.retrieve(query, 3, where=where)
    for query in SKILL_QUERIES:
        shown.found_skills[query] = memory.skills.search(query, 3)
    asked = len(EPISODE_QUERIES) + len(SKILL_QUERIES)
    shown.seconds["a question, on average"] = (time.monotonic() - begun) / asked


def _count(source: Path) -> int:
    try:
        with source.open("rb") as file:
            return sum(1 for line in file if line.strip())
    except OSError as error:
        raise BadInput(f"can't be read: {error.strerror}", where=str(source)) from None


# --- the child ---------------------------------------------------------------------------------------------


def _import_and_say() -> None:
    """Import, and print each id as soon as it is durable."""
    directory, source = sys.argv[1:]

    def say(ids: Sequence[str]) -> None:
        sys.stdout.write("".join(f"{id}\n" for id in ids))
        sys.stdout.flush()
        time.sleep(PAUSE)

    with open_memory(directory, create=False) as memory:
        import_jsonl(memory, source, batch=BATCH, acknowledged=say)


def summary(shown: Shown) -> dict[str, Any]:
    """What it came to, as JSON."""
    return {
        "acknowledged": shown.acknowledged, "missing": shown.missing, "durable_after_kill": shown.durable,
        "episodes": shown.episodes, "skills": shown.skills, "links": shown.links, "verified": shown.verified,
        "found": {
            "episodes": {query: hits.as_dicts() for query, hits in shown.found_episodes.items()},
            "skills": {query: hits.as_dicts() for query, hits in shown.found_skills.items()},
        },
        "seconds": shown.seconds, "bytes": shown.bytes,
    }  # fmt: skip


if __name__ == "__main__":
    try:
        _import_and_say()
    except BrokenPipeError:
        os._exit(1)  # the parent has gone; nothing is left to say
