"""From programs that fit the examples to the other readings the examples leave open.

A few plain examples cannot tell, say, two ways of breaking ties apart. So once some program fits, its
neighbours (one step put in, or one exchanged) that fit as well are candidates too, and their neighbours.
"""

from __future__ import annotations

import heapq

from smith.brief import Brief
from smith.clauses import Description
from smith.lessons import Beliefs
from smith.program import FAULTS, Program, Step
from smith.search import DEPTH, Candidate, Choice, Found
from smith.values import Kind, Value, kind_of

LOOKS = 5000
KEPT = 120
IDLE_COST = 150
MISSED_COST = 600
COUNT_COST = 250


def fits(program: Program, brief: Brief) -> bool:
    """Whether a program gives every visible answer."""
    try:
        return all(program.run(value) == answer for value, answer in brief.examples)
    except FAULTS:
        return False


def expected_cost(program: Program, about: Description, held: Beliefs) -> int:
    """What a program costs beyond its steps: phrases and figures it leaves unanswered, clauses left over."""
    names = {step.name for step in program.steps}
    missed = sum(min(1.0, sure) for name, sure in held.expected() if name not in names)
    splits = any(step.operation.aspect == "splitting" for step in program.steps)
    used = [argument for step in program.steps for argument in step.arguments]
    unused = sum(argument not in used for argument in (*about.numbers, *about.marks))
    uneven = abs(len(program.steps) - splits - len(about.clauses))
    return round(MISSED_COST * (missed + unused)) + COUNT_COST * uneven


class Widening:
    """One widening: the readings of a brief that its examples leave open, cheapest first."""

    def __init__(
        self, brief: Brief, about: Description, held: Beliefs, open_steps: dict[Kind, list[Choice]]
    ) -> None:
        self.brief = brief
        self.about = about
        self.held = held
        self.open_steps = open_steps
        self.price = {(kind, c.step): c.cost for kind, row in open_steps.items() for c in row}
        self.looks = 0

    def cost(self, program: Program) -> int | None:
        """What a program that fits costs; None for one that does not, or that cannot be typed."""
        values: tuple[Value, ...] = tuple(value for value, _ in self.brief.examples)
        total = expected_cost(program, self.about, self.held)
        for step in program.steps:
            price = self.price.get((kind_of(values[0]), step))
            self.looks += 1
            if price is None:
                return None
            try:
                after = tuple(step.operation.run(value, step.arguments) for value in values)
            except FAULTS:
                return None
            total += price + (IDLE_COST if after == values else 0)
            values = after
        return total if values == tuple(answer for _, answer in self.brief.examples) else None

    def neighbours(self, program: Program) -> list[Program]:
        """Every program one step away that could still be typed, the likely steps first."""
        steps = program.steps
        kind = kind_of(self.brief.examples[0][0])
        found: list[tuple[int, Program]] = []
        for place in range(len(steps) + 1):
            for choice in self.open_steps[kind]:
                if any(step.name == choice.step.name for step in steps):
                    continue
                found += [(choice.cost, other) for other in _changed(steps, place, kind, choice.step)]
            if place < len(steps):
                kind = _after(kind, steps[place])
        found.sort(key=lambda pair: pair[0])
        return [other for _, other in found]

    def run(self, found: Found) -> list[Candidate]:
        """Widen from what a search found, always from the cheapest reading not yet widened."""
        seen = {c.program for c in found.candidates}
        costs = {c.program: cost for c in found.candidates if (cost := self.cost(c.program)) is not None}
        heap = [(cost, program.source, program) for program, cost in costs.items()]
        heapq.heapify(heap)
        while heap and len(costs) < KEPT:
            _, _, program = heapq.heappop(heap)
            for other in self.neighbours(program):
                if other in seen or self.looks >= LOOKS:
                    continue
                seen.add(other)
                cost = self.cost(other)
                if cost is not None:
                    costs[other] = cost
                    heapq.heappush(heap, (cost, other.source, other))
        return [Candidate(cost, program) for program, cost in costs.items()]


def _after(kind: Kind, step: Step) -> Kind:
    """The kind a step leaves; operations on text leave a list a list."""
    operation = step.operation
    return kind if operation.takes is operation.gives is Kind.TEXT else operation.gives


def _changed(steps: tuple[Step, ...], place: int, kind: Kind, step: Step) -> list[Program]:
    """The step put in at a place where kinds allow, and put in place of the one there."""
    after = _after(kind, step)
    found = []
    if after is kind and len(steps) < DEPTH:
        found.append(Program((*steps[:place], step, *steps[place:])))
    if place < len(steps) and after is _after(kind, steps[place]):
        found.append(Program((*steps[:place], step, *steps[place + 1 :])))
    return found
