"""One section, in a process of its own: `python -m benchmarks.section NAME --work DIR --out FILE [--quick]`.

So none measures what another has loaded, and one that fails takes no other along.
"""

from __future__ import annotations

import argparse
import importlib
import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sizes import FULL, QUICK, Sizes
from benchmarks.vectors import Vectors, make


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
    parser.add_argument("name")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    module = importlib.import_module(f"benchmarks.{given.name}")
    figures = module.measure(Context(QUICK if given.quick else FULL, given.work, given.vectors))
    given.out.write_text(json.dumps({row: figure.as_json() for row, figure in figures.items()}))


if __name__ == "__main__":
    main()
