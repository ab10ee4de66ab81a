"""Count what the README says about the file, so that the two can be held together.

python datasets/smith/figures.py datasets/episodes.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def figures(episodes: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Each figure by the name the README's table gives it."""
    solved = {one["task"] for one in episodes if one["success"]}
    tasks = {one["task"] for one in episodes}
    failures = [one for one in episodes if not one["success"]]
    return {
        "episodes": str(len(episodes)),
        "sessions": str(len({one["session"] for one in episodes})),
        "distinct tasks": str(len(tasks)),
        "families": str(len({one["metadata"]["family"] for one in episodes})),
        "successful episodes": f"{len(episodes) - len(failures)} ({1 - len(failures) / len(episodes):.1%})",
        "tasks solved at least once": f"{len(solved)} ({len(solved) / len(tasks):.1%})",
        "failures with part of the reward": str(sum(one["reward"] > 0 for one in failures)),
        "failures that did not fit the examples": str(
            sum(not one["metadata"]["fits_examples"] for one in failures)
        ),
        "episodes on a task gone back to": str(sum(one["metadata"]["revisit"] for one in episodes)),
    }


def table(counted: dict[str, str]) -> str:
    return "".join(f"| {name} | {value} |\n" for name, value in counted.items())


if __name__ == "__main__":
    sys.stdout.write(table(figures(read(Path(sys.argv[1])))))
