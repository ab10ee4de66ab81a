"""A program: operations in a row, with its source text and the way back from it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from smith.operations import OPERATIONS, Argument, Operation
from smith.values import Value, clipped

FAULTS = (ValueError, IndexError, TypeError, AttributeError)
"""What a program may raise on a value it was not made for; a judge counts it as a failed case."""


@dataclass(frozen=True)
class Step:
    """An operation with its arguments bound."""

    name: str
    arguments: tuple[Argument, ...] = ()

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.name]

    @property
    def source(self) -> str:
        return f"{self.name}({', '.join(repr(a) for a in self.arguments)})" if self.arguments else self.name


@dataclass(frozen=True)
class Program:
    """Steps applied one after the other."""

    steps: tuple[Step, ...]

    @property
    def source(self) -> str:
        return " | ".join(step.source for step in self.steps)

    def run(self, value: Value) -> Value:
        for step in self.steps:
            value = step.operation.run(value, step.arguments)
        return value

    def trace(self, value: Value) -> str:
        """The value after every step, as an agent would print it while debugging."""
        shown = [clipped(value)]
        for step in self.steps:
            try:
                value = step.operation.run(value, step.arguments)
            except FAULTS as fault:
                return " -> ".join([*shown, f"stopped at {step.name}: {type(fault).__name__}"])
            shown.append(clipped(value))
        return " -> ".join(shown)


STEP = re.compile(r"([a-z_]+)(?:\(((?:[^()']|'[^']*')*)\))?")


def parse(source: str) -> Program:
    """Read a program back from its source; raises ValueError on what is none."""
    steps = []
    at = 0
    while True:
        match = STEP.match(source, at)
        if match is None or match[1] not in OPERATIONS:
            raise ValueError(f"no program: {source!r}")
        arguments = ast.literal_eval(f"({match[2]},)") if match[2] else ()
        steps.append(Step(match[1], arguments))
        at = match.end()
        if at == len(source):
            return Program(tuple(steps))
        if not source.startswith(" | ", at):
            raise ValueError(f"no program: {source!r}")
        at += 3
