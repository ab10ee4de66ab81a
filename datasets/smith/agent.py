"""The agent: reads a brief, searches, hands in programs, learns from verdicts, writes its critiques.

What it is given: a brief, a way to submit, a budget of attempts, and what `recall` returns. Within a session
it also keeps its own notes, the episodes of the tasks it has just put down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from smith.brief import Brief, Submit
from smith.clauses import Description, description
from smith.critic import Critic, Tried, suspected
from smith.lessons import Beliefs, Memory, beliefs, remembered_programs
from smith.probes import behaviour
from smith.program import Program
from smith.search import Candidate, choices, search
from smith.values import Value, shown
from smith.widening import Widening, fits

Recall = Callable[[str, int], Sequence[Mapping[str, Any]]]
"""A memory: the text of a task (or of a part of one) and how many episodes at most; nearest first."""

BUDGET = 6
EFFORT = 2500
RECALLED = 48
SHIFT_COST = 250
STAY_COST = 120
COPIED_GAIN = 200


@dataclass(frozen=True)
class Attempt:
    """One episode before it is written down."""

    task: str
    shown_input: str
    output: str
    critique: str | None
    reward: float
    success: bool
    program: Program
    passed: int
    total: int
    symptoms: tuple[tuple[str, int], ...]
    fits: bool
    looks: int
    recalled: int

    def note(self) -> Memory:
        """The episode as the agent's own notes hold it."""
        return {"task": self.task, "output": self.output, "critique": self.critique, "success": self.success}


def examples_shown(brief: Brief) -> str:
    return "\n".join(f"{shown(value)} => {shown(answer)}" for value, answer in brief.examples)


def output_of(program: Program, brief: Brief) -> str:
    """The program as source, then its trace on each visible example."""
    return "\n".join(
        [f"program: {program.source}", *(f"trace: {program.trace(value)}" for value, _ in brief.examples)]
    )


def _aspects(one: Program, other: Program) -> frozenset[str]:
    """What two programs differ in."""
    return frozenset(step.operation.aspect for step in set(one.steps) ^ set(other.steps))


def _spent(history: Sequence[Tried]) -> frozenset[str]:
    """Aspects that were changed between two attempts without changing the verdict: little to gain there."""
    found: frozenset[str] = frozenset()
    for one, other in combinations(history, 2):
        if one.verdict == other.verdict:
            found |= _aspects(one.program, other.program)
    return found


def _rank(candidate: Candidate, history: Sequence[Tried], spent: frozenset[str]) -> int:
    """The cost of believing in a candidate after what the verdicts so far have shown.

    Change what the symptoms point at, not what made no difference; stay near what nearly passed.
    """
    cost = candidate.cost
    for tried in history:
        changed = _aspects(candidate.program, tried.program)
        cost += -SHIFT_COST if changed & suspected(tried.verdict) - spent else SHIFT_COST
        distance = len(set(candidate.program.steps) ^ set(tried.program.steps))
        cost += round(STAY_COST * tried.verdict.reward * distance)
    return cost


@dataclass
class Agent:
    """An agent in one session. `answers_only` keeps it from reading critiques, for comparison."""

    recall: Recall | None = None
    budget: int = BUDGET
    recalled_most: int = RECALLED
    answers_only: bool = False
    effort: int = EFFORT
    notes: list[Memory] = field(default_factory=list)

    def solve(self, brief: Brief, submit: Submit) -> list[Attempt]:
        """Attempt a task until it passes, the budget is spent or nothing is left to try."""
        about = description(brief.text)
        recalled = self._recalled(brief, about)
        episodes = [*recalled, *self.notes]
        held = beliefs(about, [] if self.answers_only else episodes)
        pool, looks = self._pool(brief, about, held, episodes)
        history, untried = self._try(brief, pool, submit)
        inputs = tuple(value for value, _ in brief.examples)
        critic = Critic(about, held, inputs, tuple(history), tuple(untried))
        attempts = _written(brief, critic, looks, len(recalled))
        self.notes += [attempt.note() for attempt in attempts]
        return attempts

    def _recalled(self, brief: Brief, about: Description) -> list[Memory]:
        """Ask the memory for the whole task, then for each clause as if it were a task of its own."""
        if self.recall is None:
            return []
        asked = [brief.text, *(clause.text for clause in about.clauses)]
        share = max(1, self.recalled_most // len(asked))
        found = [episode for text in asked for episode in self.recall(text, share)]
        return list({(e.get("task"), e.get("output")): e for e in found}.values())

    def _pool(
        self, brief: Brief, about: Description, held: Beliefs, episodes: Sequence[Memory]
    ) -> tuple[list[Candidate], int]:
        """What to try, cheapest first, remembered programs that fit among it; and the steps it took."""
        open_steps = choices(about, held)
        found = search(brief, open_steps, self.effort)
        widening = Widening(brief, about, held, open_steps)
        pool = {c.program: c for c in widening.run(found)}
        cheapest = min((c.cost for c in pool.values()), default=0)
        for program in remembered_programs(episodes):
            if fits(program, brief):
                known = pool[program].cost if program in pool else cheapest + COPIED_GAIN
                cost = cheapest - COPIED_GAIN if self.answers_only else known - COPIED_GAIN
                pool[program] = Candidate(cost, program)
        ranked = sorted(pool.values() or found.candidates, key=lambda c: (c.cost, c.program.source))
        return ranked, found.looks + widening.looks

    def _try(
        self, brief: Brief, pool: list[Candidate], submit: Submit
    ) -> tuple[list[Tried], list[Candidate]]:
        """Submit one program after another, each unlike all before on the agent's own probes."""
        inputs = tuple(value for value, _ in brief.examples)
        history: list[Tried] = []
        behaved: set[tuple[Value, ...]] = set()
        while pool and len(history) < self.budget:
            spent = _spent(history)
            ranks = [(_rank(c, history, spent), c.program.source) for c in pool]
            candidate = pool[ranks.index(min(ranks))]
            pool = [other for other in pool if other is not candidate]
            behaves = behaviour(candidate.program, inputs)
            if behaves in behaved:
                continue
            behaved.add(behaves)
            history.append(Tried(candidate, submit(candidate.program)))
            if history[-1].verdict.success:
                break
        return history, pool


def _written(brief: Brief, critic: Critic, looks: int, recalled: int) -> list[Attempt]:
    """The attempts at a task as episodes, each with the critic's word on it."""
    return [
        Attempt(
            task=brief.text,
            shown_input=examples_shown(brief),
            output=output_of(tried.program, brief),
            critique=critic.critique(place),
            reward=tried.verdict.reward,
            success=tried.verdict.success,
            program=tried.program,
            passed=tried.verdict.passed,
            total=tried.verdict.total,
            symptoms=tried.verdict.symptoms,
            fits=tried.candidate.fits,
            looks=looks if place == 0 else 0,
            recalled=recalled,
        )
        for place, tried in enumerate(critic.history)
    ]
