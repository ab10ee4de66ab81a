"""The agent's own experiments: the visible inputs, bent a little, to tell two programs apart."""

from __future__ import annotations

from collections.abc import Iterator

from smith.program import FAULTS, Program
from smith.values import Value, clipped, shown

FAULT = "a fault"


def _bent_text(text: str) -> Iterator[str]:
    yield text
    yield text.swapcase()
    yield "  " + text.replace(" ", "  ") + " "
    yield text[::-1]
    yield text + text[:1] + "; Of 2"


def bent(value: Value) -> Iterator[Value]:
    """Variants of an input that bring out capitals, blanks, repeats, order and emptiness."""
    if isinstance(value, str):
        yield from _bent_text(value)
        lines = value.split("\n")
        yield "\n".join([*lines[::-1], lines[0].swapcase(), "", " ", lines[0]])
    elif isinstance(value, tuple):
        yield value
        yield (*value[::-1], value[0], value[-1])
        yield (*value, *(item.swapcase() for item in value))
        yield tuple(f" {item.replace(' ', '  ')} " for item in value)
        yield (*value, "", " ")
        yield tuple(item.title() for item in value)


def outcome(program: Program, value: Value) -> Value:
    try:
        return program.run(value)
    except FAULTS:
        return FAULT


def behaviour(program: Program, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
    """What a program does on every bent input; programs that agree here are not worth trying twice."""
    return tuple(outcome(program, probe) for value in inputs for probe in bent(value))


def _parted(one: str, other: str, width: int = 40) -> tuple[str, str]:
    """Two answers cut to where they begin to differ."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
    start = max(0, same - 12) if max(len(one), len(other)) > width else 0
    cut = [
        ("..." if start else "") + text[start : start + width] + ("..." if len(text) > start + width else "")
        for text in (one, other)
    ]
    return cut[0], cut[1]


def telling_probe(inputs: tuple[Value, ...], failed: Program, passed: Program) -> list[str]:
    """A sentence on an input of the agent's own where a failed program and a passing one part ways."""
    probes = [probe for value in inputs for probe in bent(value)]
    for probe in sorted(probes, key=lambda probe: len(str(probe))):
        one, other = outcome(failed, probe), outcome(passed, probe)
        if one != other:
            ours, theirs = _parted(shown(one), shown(other))
            return [f"On {clipped(probe, 60)} it gives {ours} where the passing one gives {theirs}."]
    return []
