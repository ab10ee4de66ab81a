"""The task setter: descriptions, reference programs, visible examples and hidden tests.

A task is a function of its text: the same text always means the same program and the same cases. The
text also decides, by its hash, whether the task may be practised on or is kept fresh for evaluation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from smith.brief import Brief, Example
from smith.operations import OPERATIONS, Argument
from smith.program import FAULTS, Program, Step
from smith.samples import SAMPLES
from smith.values import Value
from smith.vocabulary import FAMILIES, Family, Slot

VISIBLE = 2
HIDDEN = 8
HIDDEN_MOST = 14
PLAIN = 0.1
TRICKY = 0.8
DRAWS = 60
CONNECTIVES = (
    ("", ", then ", ", and finally "),
    ("", "; after that ", "; last, "),
    ("first ", ", next ", ", lastly "),
)
LENGTHS = (1, 2, 2, 2, 2, 3, 3, 4)


@dataclass(frozen=True)
class Task:
    """All of a task. Only `brief` is ever handed to the agent."""

    family: str
    number: int
    text: str
    program: Program
    examples: tuple[Example, ...]
    hidden: tuple[Example, ...]

    @property
    def brief(self) -> Brief:
        return Brief(self.text, self.examples)

    @property
    def difficulty(self) -> str:
        size = len(self.program.steps) - (self.program.steps[0].name == FAMILIES[self.family].opens_with)
        return "easy" if size == 1 else "medium" if size == 2 else "hard"


def is_fresh(text: str) -> bool:
    """Whether a task is kept out of every dataset; about three in ten are."""
    return hashlib.sha256(text.encode()).digest()[0] < 77


def _chosen_slots(family: Family, rng: Random) -> list[Slot]:
    size = max(len(family.must), min(rng.choice(LENGTHS), len(family.slots)))
    others = [i for i in range(len(family.slots)) if i not in family.must]
    places = sorted([*family.must, *rng.sample(others, size - len(family.must))])
    return [family.slots[i] for i in places]


def _filled(wording: str, wants: str, family: Family, rng: Random) -> tuple[str, tuple[Argument, ...]]:
    """The wording with its numbers or mark filled in, and the arguments they stand for."""
    if wants == "n":
        n = rng.randint(*family.numbers)
        return wording.format(n=n), (n,)
    if wants == "nn":
        a = rng.randint(2, 3)
        b = a + rng.randint(2, 3)
        return wording.format(a=a, b=b), (a, b)
    if wants == "m":
        m = rng.choice(family.marks)
        return wording.format(m=m), (m,)
    return wording, ()


def _sentence(opener: str, clauses: list[str], rng: Random) -> str:
    first, middle, last = rng.choice(CONNECTIVES)
    text = first + clauses[0]
    for i, clause in enumerate(clauses[1:], 1):
        text += (last if i == len(clauses) - 1 else middle) + clause
    return f"{opener}: {text}."


def _worded(family: Family, rng: Random) -> tuple[str, Program, list[list[str]]]:
    """A description, the program it means, and for every step the operations it might be taken for."""
    steps, rivals, clauses = [], [], []
    opener = rng.choice(family.openers)
    if family.opens_with:
        opener, mark = _filled(opener, OPERATIONS[family.opens_with].wants, family, rng)
        steps.append(Step(family.opens_with, mark))
        rivals.append([family.opens_with])
    for slot in _chosen_slots(family, rng):
        name = rng.choice(sorted(slot))
        clause, arguments = _filled(rng.choice(slot[name]), OPERATIONS[name].wants, family, rng)
        clauses.append(clause)
        steps.append(Step(name, arguments))
        rivals.append([other for other in sorted(slot) if OPERATIONS[other].wants == OPERATIONS[name].wants])
    return _sentence(opener, clauses, rng), Program(tuple(steps)), rivals


def answer(program: Program, value: Value) -> Value | None:
    """What a program gives, or None where it stops with a fault."""
    try:
        return program.run(value)
    except FAULTS:
        return None


def _variants(program: Program, rivals: list[list[str]]) -> list[Program]:
    """The reference with one step misread: what the hidden tests must tell apart from it."""
    found = []
    for i, names in enumerate(rivals):
        for name in names:
            steps = list(program.steps)
            steps[i] = Step(name, steps[i].arguments)
            found.append(Program(tuple(steps)))
        if len(program.steps) > 1:
            found.append(Program(program.steps[:i] + program.steps[i + 1 :]))
    return [variant for variant in found if variant != program]


def _drawn(family: Family, program: Program, rng: Random, tricky: float) -> Iterator[Example]:
    """Cases on which the reference answers, and with more than nothing."""
    mark = next((str(a) for a in program.steps[0].arguments if isinstance(a, str)), "")
    for _ in range(DRAWS):
        value = SAMPLES[family.name](rng, tricky, mark)
        given = answer(program, value)
        if given is not None and given not in ("", ()) and given != value:
            yield value, given


def _hidden(family: Family, program: Program, rivals: list[list[str]], rng: Random) -> tuple[Example, ...]:
    """Tricky cases: a first few, then those that expose a misreading not exposed before.

    None at all where a step could be left out unnoticed: such a task would teach the wrong lesson.
    """
    cases: list[Example] = []
    unexposed = _variants(program, rivals)
    for value, given in _drawn(family, program, rng, TRICKY):
        left = [variant for variant in unexposed if answer(variant, value) == given]
        if len(cases) < HIDDEN or (len(left) < len(unexposed) and len(cases) < HIDDEN_MOST):
            cases.append((value, given))
            unexposed = left
    return () if any(len(variant.steps) < len(program.steps) for variant in unexposed) else tuple(cases)


def set_task(family_name: str, number: int) -> Task | None:
    """The task of that family and number, or None where the words drawn make no sound task."""
    family = FAMILIES[family_name]
    text, program, rivals = _worded(family, Random(f"smith/{family_name}/{number}"))
    rng = Random(f"smith/cases/{text}")
    visible = []
    for case in _drawn(family, program, rng, PLAIN):
        visible.append(case)
        if len(visible) == VISIBLE:
            break
    hidden = _hidden(family, program, rivals, rng)
    if len(visible) < VISIBLE or len(hidden) < HIDDEN:
        return None
    return Task(family_name, number, text, program, tuple(visible), hidden)


def draw_tasks(rng: Random, fresh: bool, families: tuple[str, ...] = tuple(FAMILIES)) -> Iterator[Task]:
    """Distinct tasks without end, families in turn, either all fresh or all for practice."""
    seen: set[str] = set()
    while True:
        for family in families:
            task = set_task(family, rng.randrange(1_000_000))
            if task and is_fresh(task.text) == fresh and task.text not in seen:
                seen.add(task.text)
                yield task
