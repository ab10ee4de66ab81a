"""Opening, importing, asking for help: each in fresh processes, files in the page cache.

`python -m benchmarks.ours.opening PATH` is such a process: it opens a memory that `retrieval` has built, and
prints the seconds until it was open and until the first query was answered.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import Figure, Figures, of_durations
from benchmarks.section import Context

IMPORTING = """
import json, sys, time
began = time.perf_counter()
import graphsvc
elapsed = time.perf_counter() - began
heavy = {"kuzu", "ladybug", "lancedb", "numpy", "pyarrow", "tantivy", "torch", "onnxruntime", "sqlite3"}
print(json.dumps([elapsed, sorted(heavy & set(sys.modules))]))
"""

CREATING = """
import json, sys, time
import graphsvc
began = time.perf_counter()
memory = graphsvc.open(sys.argv[1])
print(json.dumps([time.perf_counter() - began]))
memory.close()
"""


def measure(context: Context) -> Figures:
    sizes = context.sizes
    figures = {"import": _import(sizes.starts), "help": _help(sizes.starts)}
    figures |= _empty(context)
    for name in ("middle", "large"):
        opened, answered = [], []
        for _ in range(sizes.reopenings):
            open_seconds, query_seconds = _printed([sys.executable, "-m", __name__, str(context.work / name)])
            opened.append(open_seconds)
            answered.append(open_seconds + query_seconds)
        figures[f"open.{name}"] = of_durations(opened)
        figures[f"reopen.{name}"] = of_durations(answered)
    return figures


def _printed(command: list[str]) -> list:  # type: ignore[type-arg]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[:3]} failed:\n{done.stderr[-2000:]}")
    return list(json.loads(done.stdout.splitlines()[-1]))


def _import(times: int) -> Figure:
    """Best of several: what it costs, not what else the machine does."""
    runs = [_printed([sys.executable, "-c", IMPORTING]) for _ in range(times)]
    heavy = runs[0][1]
    return _best([seconds for seconds, _ in runs], f"loads {', '.join(heavy)}" if heavy else "")


def _help(times: int) -> Figure:
    """The whole command, the interpreter's start included; best of several."""
    durations = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "graphsvc", "--help"], capture_output=True, check=True)
        durations.append(time.perf_counter() - began)
    return _best(durations)


def _best(durations: list[float], note: str = "") -> Figure:
    all_of_them = of_durations(durations)
    best = round(min(durations) * 1e3, 3)
    return Figure(best, all_of_them.median_ms, all_of_them.p95_ms, len(durations), note=note)


def _empty(context: Context) -> Figures:
    """A memory of the default model: made, then opened again with nothing in it."""
    made, opened = [], []
    for number in range(context.sizes.reopenings):
        path = str(context.work / f"empty-{number}")
        made.append(_printed([sys.executable, "-c", CREATING, path])[0])
        opened.append(_printed([sys.executable, "-c", CREATING, path])[0])
    return {"open.new": of_durations(made), "open.empty": of_durations(opened)}


def main(path: Path) -> None:
    """Open, ask one question, tell how long each took."""
    import graphsvc
    from benchmarks.episodes import Precomputed, question

    embedder = Precomputed()
    vector = embedder([question(0)])[0]
    began = time.perf_counter()
    memory = graphsvc.open(path, embedder=embedder)
    opened = time.perf_counter()
    hits = memory.episodes.retrieve(question(0), 10, vector=vector)
    answered = time.perf_counter()
    memory.close()
    if len(hits) != 10:
        raise SystemExit(f"{len(hits)} results after reopening")
    print(json.dumps([opened - began, answered - opened]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
