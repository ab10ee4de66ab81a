"""Does a memory help? Four arms face the same fresh tasks with the same budget of attempts.

    none      the agent alone
    memory    what its practice runs recorded, recalled from a memory
    shuffled  the same, each critique exchanged for that of another failure: what is left if critiques say nothing
    answers   the same memory, only programs that passed are taken from it and no critique is read

What differs between arms is `recall` and nothing else; tasks, budget, effort and judge are the same. The seeds in
`TUNED_ON` are there to work on the agent with; what is reported comes from those in `REPORTED`, on which nothing is
chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from smith.agent import Recall
from smith.tasks import Task
from smith.trial import Trial, run_trials

ARMS = ("none", "memory", "shuffled", "answers")
BUDGET = 6
"""Attempts at most; how a smaller budget does is seen from the same runs, since the agent doesn't look ahead."""
ALLOWED = 3
"""Attempts of the main comparison."""
TUNED_ON = tuple(range(1, 11))
REPORTED = tuple(range(101, 111))
SHUFFLES = (11, 12, 13)
RESAMPLES = 4_000

Episode = Mapping[str, Any]
Retrieve = Callable[[str, int], Iterable[Any]]
"""`memory.episodes.retrieve`: hits, each with its `episode`."""


def recalling(retrieve: Retrieve) -> Recall:
    """A memory as the agent takes it."""

    def recall(text: str, k: int) -> list[Episode]:
        found = [hit.episode for hit in retrieve(text, k)]
        return [
            {"task": one.task, "output": one.output, "critique": one.critique, "success": one.success} for one in found
        ]

    return recall


def shuffled(episodes: Sequence[Episode], seed: int) -> list[Episode]:
    """The same episodes, each critique given to another of the failures: all texts are there, none where it was."""
    failed = [place for place, one in enumerate(episodes) if one["critique"]]
    order = failed.copy()
    Random(f"smith/shuffle/{seed}").shuffle(order)
    given = {place: episodes[order[turn - 1]]["critique"] for turn, place in enumerate(order)}
    return [{**one, "critique": given.get(place, one["critique"])} for place, one in enumerate(episodes)]


@dataclass(frozen=True, slots=True)
class Faced:
    """One fresh task in every arm: after how many attempts it was solved, None where it wasn't."""

    task: Task
    seed: int
    attempts: Mapping[str, int | None]

    def solved(self, arm: str, allowed: int = ALLOWED) -> bool:
        """Whether the arm solved it within so many attempts."""
        needed = self.attempts[arm]
        return needed is not None and needed <= allowed


def face(seed: int, count: int, memory: Recall, confused: Recall, done: Callable[[str], None]) -> list[Faced]:
    """Every arm on the fresh tasks of a seed; `done` is told each arm that is through."""
    recalls = {"none": None, "memory": memory, "shuffled": confused, "answers": memory}
    trials: dict[str, list[Trial]] = {}
    for arm in ARMS:
        trials[arm] = run_trials(seed, BUDGET, recalls[arm], answers_only=arm == "answers", count=count)
        done(arm)
    return [
        Faced(one.task, seed, {arm: _needed(trials[arm][place]) for arm in ARMS})
        for place, one in enumerate(trials["none"])
    ]


def _needed(trial: Trial) -> int | None:
    return len(trial.attempts) if trial.solved else None


def share(faced: Sequence[Faced], arm: str, allowed: int = ALLOWED) -> float:
    """How many of the tasks an arm solved within so many attempts, 0 to 1."""
    return sum(one.solved(arm, allowed) for one in faced) / len(faced)


def advantage(faced: Sequence[Faced], over: str, allowed: int = ALLOWED) -> tuple[float, float, float]:
    """How much larger a share memory solved than another arm, and the paired 95 % interval of that."""
    differences = [float(one.solved("memory", allowed)) - one.solved(over, allowed) for one in faced]
    return paired_interval(differences, [one.task.text for one in faced])


def paired_interval(
    differences: Sequence[float], groups: Sequence[str], *, seed: int = 0
) -> tuple[float, float, float]:
    """The mean of paired differences and its 95 % bootstrap interval (Efron 1979, percentiles).

    Drawn are whole groups, with replacement: what is in one isn't independent.
    """
    number = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    sums, counts = np.zeros(len(number)), np.zeros(len(number))
    places = [number[group] for group in groups]
    np.add.at(sums, places, differences)
    np.add.at(counts, places, 1.0)
    draws = np.random.default_rng(seed).multinomial(len(number), np.full(len(number), 1 / len(number)), RESAMPLES)
    low, high = np.percentile((draws @ sums) / (draws @ counts), [2.5, 97.5])
    return float(sums.sum() / counts.sum()), float(low), float(high)
