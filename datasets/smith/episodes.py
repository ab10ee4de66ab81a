"""How an attempt is written down: one episode, one line of JSON, the same bytes every time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from smith.agent import Attempt
from smith.tasks import Task

AGENT = "smith"
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SESSION_EVERY = timedelta(hours=3)
EPISODE_EVERY = timedelta(seconds=90)

ATTEMPT_MS = 20.0
LOOK_MS = 0.02
CASE_MS = 1.5

Episode = dict[str, Any]


def latency_ms(looks: int, cases: int) -> float:
    """The cost model: a fixed part an attempt, a part for every step executed in search, one for every test.

    Not a clock: a clock would give other bytes on every run.
    """
    return round(ATTEMPT_MS + LOOK_MS * looks + CASE_MS * cases, 2)


def tokens(attempt: Attempt) -> int:
    """The words the agent wrote: its program and its critique."""
    return len(attempt.program.source.split()) + len((attempt.critique or "").split())


@dataclass(frozen=True)
class Place:
    """Where in the whole run an episode stands."""

    seed: int
    serial: int
    session: int
    in_session: int
    attempt: int
    again: bool

    @property
    def at(self) -> str:
        moment = START + self.session * SESSION_EVERY + self.in_session * EPISODE_EVERY
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def episode(task: Task, attempt: Attempt, place: Place) -> Episode:
    return {
        "id": f"smith-{place.serial:06d}",
        "session": f"smith-session-{place.session:03d}",
        "agent": AGENT,
        "task": attempt.task,
        "input": attempt.shown_input,
        "output": attempt.output,
        "critique": attempt.critique,
        "reward": attempt.reward,
        "success": attempt.success,
        "latency_ms": latency_ms(attempt.looks, attempt.total),
        "tokens": tokens(attempt),
        "tags": [task.family, task.difficulty],
        "metadata": {
            "family": task.family,
            "number": task.number,
            "seed": place.seed,
            "attempt": place.attempt,
            "revisit": place.again,
            "size": len(attempt.program.steps),
            "fits_examples": attempt.fits,
            "hidden_passed": attempt.passed,
            "hidden_total": attempt.total,
            "symptoms": dict(attempt.symptoms),
            "steps_searched": attempt.looks,
        },
        "at": place.at,
    }


def written(episodes: Iterable[Episode]) -> str:
    """The file: an episode a line."""
    return "".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n" for one in episodes)
