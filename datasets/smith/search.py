"""Best-first search for programs that reproduce the visible examples.

A step costs by how unlikely the agent holds it: the operation's general weight, raised where its own name
occurs in the description, and raised or lowered by what critiques taught about the description's phrases.
Costs are whole hundredths of a bit, so that the order is the same on every machine.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import NamedTuple

from smith.brief import Brief
from smith.clauses import Description
from smith.lessons import Beliefs
from smith.operations import OPERATIONS, Argument, Operation
from smith.program import FAULTS, Program, Step
from smith.values import Kind, Value, kind_of

CORES = 12
DEPTH = 5
NAMED = 5.0
GIVEN = 4.0
DULL = frozenset({"first", "last", "one", "than", "or", "from", "with", "at", "only", "to", "zero", "back"})


def bindings(operation: Operation, about: Description) -> list[tuple[Argument, ...]]:
    """Arguments the description offers an operation; none offered, none guessed."""
    if operation.wants == "n":
        return [(n,) for n in dict.fromkeys(about.numbers)]
    if operation.wants == "m":
        return [(m,) for m in dict.fromkeys(about.marks)]
    if operation.wants == "nn":
        pairs = zip(about.numbers, about.numbers[1:], strict=False)
        return [(a, b) for a, b in pairs if a < b]
    return [()]


def named(operation: Operation, words: Iterable[str]) -> int:
    """How many words of the operation's own name the description uses."""
    stems = {word[:5] for word in words}
    return sum(part[:5] in stems for part in operation.name.split("_") if part not in DULL)


class Choice(NamedTuple):
    """A step the agent may take, and what it costs to believe in it."""

    cost: int
    step: Step


def choices(about: Description, held: Beliefs) -> dict[Kind, list[Choice]]:
    """Every step open from each kind of value, cheapest first."""
    weights: dict[Kind, list[tuple[float, Step]]] = {Kind.TEXT: [], Kind.ITEMS: [], Kind.NUMBER: []}
    for operation in OPERATIONS.values():
        weight = operation.weight * NAMED ** min(2, named(operation, about.words))
        weight *= 2.0 ** (3.0 * held.overall(operation.name))
        for arguments in bindings(operation, about):
            scaled = weight * (GIVEN if arguments else 1.0)
            weights[operation.takes].append((scaled, Step(operation.name, arguments)))
            if operation.takes is operation.gives is Kind.TEXT:
                weights[Kind.ITEMS].append((scaled, Step(operation.name, arguments)))
    return {kind: _priced(rows) for kind, rows in weights.items()}


def _priced(rows: list[tuple[float, Step]]) -> list[Choice]:
    total = sum(weight for weight, _ in rows)
    priced = [Choice(round(-100 * math.log2(weight / total)), step) for weight, step in rows]
    return sorted(priced, key=lambda choice: (choice.cost, choice.step.source))


class Node(NamedTuple):
    """A program so far, what it gives on the examples, and what it cost to believe in."""

    cost: int
    steps: tuple[Step, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Candidate:
    """A program that fits every visible example, or the nearest miss where `fits` is false."""

    cost: int
    program: Program
    fits: bool = True


@dataclass
class Found:
    """What a search came back with. `looks` is the number of steps it executed, the measure of its effort."""

    candidates: list[Candidate] = field(default_factory=list)
    looks: int = 0


def nearness(values: tuple[Value, ...], goals: tuple[Value, ...]) -> float:
    """How far wrong answers resemble the right ones; lets the agent submit its nearest miss."""
    if kind_of(values[0]) is not kind_of(goals[0]):
        return 0.0
    shares = []
    for value, goal in zip(values, goals, strict=True):
        one = set(value) if not isinstance(value, int) else {str(value)}
        other = set(goal) if not isinstance(goal, int) else {str(goal)}
        shares.append(len(one & other) / max(1, len(one | other)))
    return sum(shares) / len(shares)


def _extended(node: Node, choice: Choice) -> Node | None:
    """One step further, or None where the step faults, repeats one before or changes nothing."""
    name, arguments = choice.step.name, choice.step.arguments
    for step in node.steps:
        if step.name == name:
            return None
    run = OPERATIONS[name].run
    try:
        values = tuple([run(value, arguments) for value in node.values])
    except FAULTS:
        return None
    if values == node.values:
        return None
    return Node(node.cost + choice.cost, (*node.steps, choice.step), values)


def _nodes(root: Node, open_steps: dict[Kind, list[Choice]]) -> Iterator[Node | None]:
    """Programs without end, the most believable first; None for a step that led nowhere."""
    heap: list[tuple[int, int, Node, int]] = []
    serial = count()

    def push(node: Node, index: int) -> None:
        row = open_steps[kind_of(node.values[0])]
        if index < len(row) and len(node.steps) < DEPTH:
            heapq.heappush(heap, (node.cost + row[index].cost, next(serial), node, index))

    push(root, 0)
    while heap:
        _, _, node, index = heapq.heappop(heap)
        push(node, index + 1)
        further = _extended(node, open_steps[kind_of(node.values[0])][index])
        if further is not None:
            push(further, 0)
        yield further


def search(brief: Brief, open_steps: dict[Kind, list[Choice]], looks: int) -> Found:
    """The cheapest programs that fit the examples; without any, the single nearest miss."""
    goals = tuple(answer for _, answer in brief.examples)
    root = Node(0, (), tuple(value for value, _ in brief.examples))
    found, nearest = Found(), -1.0
    miss: Candidate | None = None
    for node in islice(_nodes(root, open_steps), looks):
        found.looks += 1
        if node is None:
            continue
        if node.values == goals:
            found.candidates.append(Candidate(node.cost, Program(node.steps)))
            if len(found.candidates) == CORES:
                break
        elif not found.candidates and (near := nearness(node.values, goals)) > nearest:
            miss, nearest = Candidate(node.cost, Program(node.steps), fits=False), near
    if not found.candidates and miss is not None:
        found.candidates.append(miss)
    return found
