"""The critic: says in plain English what was observed, what it infers is wrong, and what to try instead.

It sees what the agent sees: the description, its own programs, the judge's summaries. It writes when a task
is put down, so what a later attempt showed may speak about an earlier one. It can be wrong, and says what
it only supposes with "Perhaps".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

from smith.brief import Verdict
from smith.clauses import Clause, Description
from smith.lessons import Beliefs
from smith.operations import OPERATIONS
from smith.probes import telling_probe
from smith.program import Program, Step
from smith.search import Candidate, named
from smith.values import Value

SUSPECTS: dict[str, tuple[str, ...]] = {
    "capitals and small letters": ("case", "duplicates", "order"),
    "blanks": ("blanks", "selection"),
    "the order of items": ("order", "duplicates", "tallying", "merging"),
    "the order of characters": ("order", "letters", "picking"),
    "too many items": ("duplicates", "selection", "splitting"),
    "too few items": ("duplicates", "selection", "splitting"),
    "another kind of answer": ("joining", "picking", "counting", "splitting"),
    "the number was too high": ("counting", "duplicates", "selection"),
    "the number was too low": ("counting", "duplicates", "selection"),
    "the text was too long": (
        "joining",
        "picking",
        "selection",
        "blanks",
        "letters",
        "clipping",
        "duplicates",
    ),
    "the text was too short": (
        "joining",
        "picking",
        "selection",
        "blanks",
        "letters",
        "clipping",
        "duplicates",
    ),
    "other characters": (
        "picking",
        "numbering",
        "selection",
        "merging",
        "letters",
        "clipping",
        "joining",
        "case",
    ),
    "the program stopped with a fault": (),
}
"""What each symptom makes the agent look at first: general knowledge, the same for every task."""

TURNED = 1.5
"""What it takes for the agent to believe that two steps answer two clauses the other way round."""


@dataclass(frozen=True)
class Tried:
    """An attempt as the agent remembers it."""

    candidate: Candidate
    verdict: Verdict

    @property
    def program(self) -> Program:
        return self.candidate.program


def suspected(verdict: Verdict) -> frozenset[str]:
    """The aspects of a program the failed cases point at."""
    return frozenset(aspect for kind, _ in verdict.symptoms for aspect in SUSPECTS[kind])


def _fit(step: Step, clause: Clause, belief: float) -> float:
    """How well a step answers a clause, by its arguments, its name and what the agent believes."""
    if step.arguments:
        return (4.0 if all(a in clause.arguments for a in step.arguments) else -4.0) + belief
    return (-2.0 if clause.arguments else 0.0) + 2.0 * named(step.operation, clause.words) + belief


def read_as(program: Program, about: Description, held: Beliefs) -> dict[int, Step]:
    """Which step answers which clause: what all the best pairings agree on; they keep order if they can."""
    steps = [step for step in program.steps if step.operation.aspect != "splitting"]
    size = min(len(steps), len(about.clauses))
    best, score = frozenset[tuple[int, Step]](), float("-inf")
    for places in combinations(range(len(about.clauses)), size):
        for chosen in permutations(range(len(steps)), size):
            pairs = [(place, steps[i]) for place, i in zip(places, chosen, strict=True)]
            turned = sum(one > other for one, other in combinations(chosen, 2))
            fit = sum(_fit(step, about.clauses[p], held.of(p, step.name)) for p, step in pairs)
            fit = round(fit - TURNED * turned, 6)
            if fit > score:
                best, score = frozenset(pairs), fit
            elif fit == score:
                best &= frozenset(pairs)
    return dict(best)


def _observed(tried: Tried) -> str:
    verdict = tried.verdict
    kinds = ", ".join(f"{kind} ({count})" for kind, count in verdict.symptoms)
    note = "" if tried.candidate.fits else " It did not fit the examples either; nothing found did."
    return (
        f"Observed: {verdict.total - verdict.passed} of {verdict.total} hidden cases failed: {kinds}.{note}"
    )


def _explained(name: str) -> str:
    return f"{name} ({OPERATIONS[name].gloss})"


def _contrasted(about: Description, held: Beliefs, tried: Tried, better: Tried, number: int) -> list[str]:
    """Clause by clause, where a better attempt read the description otherwise."""
    ours, theirs = (read_as(one.program, about, held) for one in (tried, better))
    names = {step.name for step in tried.program.steps}
    right = {step.name for step in better.program.steps}
    won = better.verdict.success
    verb = "meant" if won else "came nearer as"
    said = []
    for place, step in sorted(theirs.items()):
        if step.name in names:
            said += [f'"{about.clauses[place].text}" meant {step.name}, read rightly.'] if won else []
            continue
        mine = ours.get(place)
        against = (
            f", not {mine.name}" if mine and mine.name not in right else ", and nothing here answered it"
        )
        said.append(f'"{about.clauses[place].text}" {verb} {_explained(step.name)}{against}.')
    idle = [name for name in (step.name for step in tried.program.steps) if name not in right]
    if idle and not right - names:
        said.append(f"Nothing in the description asked for {' or '.join(idle)}.")
    if names == right:
        said.append("The steps were right, their order was not." if won else "Another order did better.")
    said.append(f"Attempt {number} {'passed' if won else 'did better'}: {better.program.source}.")
    return said


def _supposed(about: Description, held: Beliefs, tried: Tried, untried: Sequence[Candidate]) -> list[str]:
    """Without a better attempt: doubt the step the symptoms point at and name what is still untried."""
    if not tried.candidate.fits:
        return [
            f"Nothing the agent knows about {', '.join(repr(c.text) for c in about.clauses)} led to a fit."
        ]
    blamed = suspected(tried.verdict)
    for place, step in sorted(read_as(tried.program, about, held).items()):
        if step.operation.aspect not in blamed:
            continue
        doubt = f'"{about.clauses[place].text}" is not {_explained(step.name)}, by what failed.'
        others = [
            s.name for c in untried for s in c.program.steps if s.operation.aspect == step.operation.aspect
        ]
        names = [name for name in dict.fromkeys(others) if name not in {s.name for s in tried.program.steps}][
            :2
        ]
        perhaps = f'Perhaps "{about.clauses[place].text}" is {" or ".join(names)}; that is still untried.'
        return [doubt, perhaps] if names else [doubt]
    return ["Perhaps a step is missing; no step of this program answers for what failed."]


@dataclass(frozen=True)
class Critic:
    """What is known when a task is put down."""

    about: Description
    held: Beliefs
    inputs: tuple[Value, ...]
    history: tuple[Tried, ...]
    untried: tuple[Candidate, ...]

    def critique(self, place: int) -> str | None:
        """The critique of one attempt; none for a success."""
        tried = self.history[place]
        if tried.verdict.success:
            return None
        best = max(range(len(self.history)), key=lambda i: (self.history[i].verdict.reward, i))
        said = [_observed(tried)]
        lesson: list[str] = []
        if self.history[best].verdict.reward > tried.verdict.reward:
            lesson = _contrasted(self.about, self.held, tried, self.history[best], best + 1)
        said += lesson or _supposed(self.about, self.held, tried, self.untried)
        if self.history[best].verdict.success:
            said += telling_probe(self.inputs, tried.program, self.history[best].program)
        return " ".join(said)
