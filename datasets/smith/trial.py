"""Fresh tasks, one session each: how often does the agent solve them, with and without a memory?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from random import Random

from smith.agent import BUDGET, RECALLED, Agent, Attempt, Recall
from smith.judge import bench
from smith.tasks import Task, draw_tasks

TASKS = 96


def fresh_tasks(seed: int, count: int = TASKS) -> list[Task]:
    """Tasks of the same families whose texts are in no dataset, drawn by seed."""
    return list(islice(draw_tasks(Random(f"smith/trial/{seed}"), fresh=True), count))


@dataclass(frozen=True)
class Trial:
    """How one fresh task went."""

    task: Task
    attempts: tuple[Attempt, ...]

    @property
    def solved(self) -> bool:
        return any(attempt.success for attempt in self.attempts)


def run_trials(
    seed: int,
    budget: int = BUDGET,
    recall: Recall | None = None,
    *,
    answers_only: bool = False,
    count: int = TASKS,
    recalled_most: int = RECALLED,
) -> list[Trial]:
    """Every task in a session of its own, so that only `recall` carries experience."""
    trials = []
    for task in fresh_tasks(seed, count):
        agent = Agent(recall, budget, recalled_most, answers_only)
        trials.append(Trial(task, tuple(agent.solve(task.brief, bench(task)))))
    return trials


def evaluate(
    seed: int,
    budget: int = BUDGET,
    recall: Recall | None = None,
    *,
    answers_only: bool = False,
    count: int = TASKS,
) -> float:
    """The share of fresh tasks solved within the budget of attempts."""
    trials = run_trials(seed, budget, recall, answers_only=answers_only, count=count)
    return sum(trial.solved for trial in trials) / len(trials)
