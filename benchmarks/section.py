"""Sections, in a process of their own: `python -m benchmarks.section NAME … --work DIR --out FILE [--quick]`.

One has a process for itself where speed counts, so none measures what another has loaded; a quick run shares one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sizes import FULL, QUICK, Sizes
from benchmarks.vectors import Vectors, make

SIDES = {
    "peers.agentdb": "agentdb",
    "peers.agentdb_durable": "agentdb_durable",
    "peers.sqlite": "sqlite",
    "ours.storing": "ours",
    "ours.retrieval": "ours",
    "ours.skills": "ours",
    "ours.facts": "ours",
    "ours.causal": "ours",
    "ours.opening": "ours",  # opens what `retrieval` built
    "ours.travel": "ours",  # takes along what `retrieval` built, and goes on writing it
    "ours.recall": "ours",  # widens what `retrieval` built
    "ours.graph": "ours",
    "peers.kuzu": "kuzu",
    "peers.networkx": "networkx",
    "peers.lancedb": "lancedb",
    "ours.service": "",  # and its peers, in turn
    "ours.crowds": "ours",
    "ours.embedding": "ours",
    "quality.finding": "ours",
    "quality.helping": "ours",
    "peers.sentence_transformers": "sentence_transformers",
}
"""Sections in the order in which they run, each with the side that it measures (none: several, which it gives itself).
AgentDB is first, for it writes the vectors that all use."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a section is given.

    Attributes:
        sizes: how much to measure. work: a directory for the run, on the disk that is measured.
        vectors_file: where AgentDB's bench has written its vectors, if it ran.
    """

    sizes: Sizes
    work: Path
    vectors_file: Path

    def vectors(self, count: int) -> Vectors:
        """The first `count` of the vectors that all sides use."""
        return make(count, self.vectors_file)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    context = Context(QUICK if given.quick else FULL, given.work, given.vectors)
    with given.out.open("w", encoding="utf-8") as out:
        for name in given.names:
            print(json.dumps({"name": name, **_measured(name, context)}), file=out, flush=True)


def _measured(name: str, context: Context) -> dict[str, Any]:
    """What a section measured, by side, and in what time; or why it failed."""
    began = time.monotonic()
    try:
        measured = importlib.import_module(f"benchmarks.{name}").measure(context)
    except Exception:
        return {"failed": traceback.format_exc(), "seconds": time.monotonic() - began}
    by_side = {SIDES[name]: measured} if SIDES[name] else measured
    return {
        "figures": {
            side: {row: figure.as_json() for row, figure in figures.items()} for side, figures in by_side.items()
        },
        "seconds": time.monotonic() - began,
    }


if __name__ == "__main__":
    main()
