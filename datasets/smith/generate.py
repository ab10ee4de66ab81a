"""Run the agent through its sessions and write down every episode.

    python datasets/smith/generate.py --seed 7 --out datasets/episodes.jsonl

A session is a handful of tasks, mostly of one family. Within it the agent keeps its notes; into the next it
takes nothing. Some sessions end by going back to a task an earlier one had put down unsolved.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from smith.agent import Agent
from smith.episodes import Episode, Place, episode, written
from smith.judge import bench
from smith.tasks import Task, draw_tasks
from smith.vocabulary import FAMILIES

SEED = 7
SESSIONS = 72
TASKS_A_SESSION = 5
BUDGET = 6
EFFORT = 10_000


class Run:
    """A whole run: sessions one after the other, and what was put down unsolved on the way."""

    def __init__(self, seed: int, sessions: int = SESSIONS) -> None:
        self.seed = seed
        self.sessions = sessions
        self.rng = Random(f"smith/run/{seed}")
        self.unsolved: dict[str, list[Task]] = {family: [] for family in FAMILIES}
        self.supply = {
            family: draw_tasks(Random(f"smith/run/{seed}/{family}"), fresh=False, families=(family,))
            for family in FAMILIES
        }
        self.serial = 0

    def episodes(self) -> Iterator[Episode]:
        for session in range(self.sessions):
            yield from self._session(session)

    def _planned(self, session: int) -> list[tuple[Task, bool]]:
        """A session's tasks, and whether each is one gone back to."""
        main = sorted(FAMILIES)[session % len(FAMILIES)]
        other = self.rng.choice(sorted(FAMILIES))
        families = [main] * (TASKS_A_SESSION - 1) + [other if session % 3 == 0 else main]
        planned = [(next(self.supply[family]), False) for family in families]
        if session % 3 == 2 and self.unsolved[main]:
            planned.append((self.unsolved[main].pop(0), True))
        return planned

    def _session(self, session: int) -> Iterator[Episode]:
        agent = Agent(budget=BUDGET, effort=EFFORT)
        in_session = 0
        for task, again in self._planned(session):
            attempts = agent.solve(task.brief, bench(task))
            for number, attempt in enumerate(attempts, 1):
                yield episode(
                    task, attempt, Place(self.seed, self.serial, session, in_session, number, again)
                )
                self.serial += 1
                in_session += 1
            if not again and not any(attempt.success for attempt in attempts):
                self.unsolved[task.family].append(task)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the episodes of a run of the smith agent.")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "episodes.jsonl")
    chosen = parser.parse_args(arguments)
    chosen.out.write_bytes(written(Run(chosen.seed, chosen.sessions).episodes()).encode())


if __name__ == "__main__":
    main()
