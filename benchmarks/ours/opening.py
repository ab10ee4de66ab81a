"""Opening, importing, asking for help: each in fresh processes, files in the page cache.

`python -m benchmarks.ours.opening PATH` is such a process: it opens a memory that `retrieval` has built, and
prints the seconds until it was open, those of them in which it waited for a core, and those until the first query was
answered.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.ceilings import CEILINGS, ROOM
from benchmarks.figures import Figure, Figures, of_durations
from benchmarks.machine import delayed
from benchmarks.section import Context
from benchmarks.sizes import Sizes

IMPORTING = """
import json, sys, time
began = time.perf_counter()
import graphsvc
elapsed = time.perf_counter() - began
heavy = {"kuzu", "ladybug", "lancedb", "numpy", "pyarrow", "tantivy", "torch", "onnxruntime", "sqlite3"}
print(json.dumps([elapsed, 0.0, sorted(heavy & set(sys.modules))]))
"""

CREATING = """
import json, sys, time
import graphsvc
from benchmarks.machine import delayed
delay, began = delayed(), time.perf_counter()
memory = graphsvc.open(sys.argv[1])
print(json.dumps([time.perf_counter() - began, delayed() - delay]))
memory.close()
"""


def measure(context: Context) -> Figures:
    sizes = context.sizes
    figures = {"import": _import(sizes), "help": _help(sizes)}
    figures |= _empty(context)
    for name in ("middle", "large"):
        command = [sys.executable, "-m", __name__, str(context.work / name)]
        runs = _started(lambda command=command: _printed(command), sizes.reopenings, f"open.{name}", sizes.patience)
        figures[f"open.{name}"] = _opened(runs)
        figures[f"reopen.{name}"] = of_durations([opened + queried for opened, _, queried in runs])
    return figures


def _started(start: Callable[[], list[Any]], times: int, row: str, patience: int) -> list[list[Any]]:
    """What processes took: seconds, those of them in which they waited for a core, and more; of so many, and of some
    more while none was near the row's ceiling.
    """
    runs = [start() for _ in range(times)]
    while patience and min(run[0] - run[1] for run in runs) * 1e3 > ROOM * CEILINGS.get(row, float("inf")):
        runs.append(start())
        patience -= 1
    return runs


def _printed(command: list[str]) -> list[Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[:3]} failed:\n{done.stderr[-2000:]}")
    return list(json.loads(done.stdout.splitlines()[-1]))


def _import(sizes: Sizes) -> Figure:
    """Best of several: what it costs, not what else the machine does."""
    command = [sys.executable, "-c", IMPORTING]
    runs = _started(lambda: _printed(command), sizes.starts, "import", sizes.patience)
    heavy = runs[0][2]
    return _best(runs, f"loads {', '.join(heavy)}" if heavy else "")


def _help(sizes: Sizes) -> Figure:
    """The whole command, the interpreter's start included; best of several."""

    def help() -> list[Any]:
        began, delay = time.perf_counter(), 0.0
        process = subprocess.Popen([sys.executable, "-m", "graphsvc", "--help"], stdout=subprocess.DEVNULL)
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            delay = delayed(process.pid)
        if process.wait():
            raise RuntimeError(f"graphsvc --help ended with {process.returncode}")
        return [time.perf_counter() - began, delay]

    return _best(_started(help, sizes.starts, "help", sizes.patience))


def _best(runs: list[list[Any]], note: str = "") -> Figure:
    figure = _opened(runs)
    return replace(figure, value=round(min(run[0] for run in runs) * 1e3, 3), note=note)


def _empty(context: Context) -> Figures:
    """A memory of the default model: made, then opened again with nothing in it."""
    sizes = context.sizes
    paths = itertools.count()

    def make() -> list[Any]:
        return _printed([sys.executable, "-c", CREATING, str(context.work / f"empty-{next(paths)}")])

    made = _started(make, sizes.reopenings, "open.new", sizes.patience)
    command = [sys.executable, "-c", CREATING, str(context.work / "empty-0")]
    opened = _started(lambda: _printed(command), sizes.reopenings, "open.empty", sizes.patience)
    return {"open.new": _opened(made), "open.empty": _opened(opened)}


def _opened(runs: list[list[Any]]) -> Figure:
    """The best is without the time in which others had the core."""
    best = min(seconds - delay for seconds, delay, *_ in runs)
    return replace(of_durations([run[0] for run in runs]), best=round(best * 1e3, 3))


def main(path: Path) -> None:
    """Open, ask one question, tell how long each took."""
    import graphsvc
    from benchmarks.episodes import Precomputed, question

    embedder = Precomputed()
    vector = embedder([question(0)])[0]
    delay, began = delayed(), time.perf_counter()
    memory = graphsvc.open(path, embedder=embedder)
    opened, delay = time.perf_counter(), delayed() - delay
    hits = memory.episodes.retrieve(question(0), 10, vector=vector)
    answered = time.perf_counter()
    memory.close()
    if len(hits) != 10:
        raise SystemExit(f"{len(hits)} results after reopening")
    print(json.dumps([opened - began, delay, answered - opened]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
