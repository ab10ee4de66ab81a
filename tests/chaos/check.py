"""Open a memory, verify it, and say what is there; as a program, as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import graphsvc


def found(path: Path) -> dict[str, Any]:
    """What is in a memory, and what is wrong with it."""
    with graphsvc.open(path, create=False, max_results=1_000_000) as memory:
        report = memory.verify()
        episodes = memory.episodes.list(k=1_000_000)
        return {
            "problems": [str(problem) for problem in report.problems],
            "digest": report.digest,
            "critiques": {episode.id: episode.critique for episode in episodes},
            "uplifts": {edge.id: edge.uplift for edge in memory.causal.list(k=1_000_000)},
            "expired": [edge.id for edge in memory.causal.list({"valid_to": {"exists": True}}, k=1_000_000)],
        }


if __name__ == "__main__":
    print(json.dumps(found(Path(sys.argv[1]))))
