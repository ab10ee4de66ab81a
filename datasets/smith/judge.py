"""The judge: runs a program on the hidden tests and tells the agent only a summary."""

from __future__ import annotations

from collections import Counter

from smith.brief import Submit, Verdict
from smith.program import Program
from smith.tasks import Task, answer
from smith.values import Value


def symptom(expected: Value, given: Value | None) -> str:
    """How a wrong answer differs from the right one, in a few words that do not give it away."""
    if given is None:
        return "the program stopped with a fault"
    if type(expected) is not type(given):
        return "another kind of answer"
    if isinstance(expected, int):
        return "the number was too high" if int(str(given)) > expected else "the number was too low"
    if isinstance(expected, tuple):
        return _items_symptom(expected, given if isinstance(given, tuple) else ())
    return _text_symptom(expected, str(given))


def _items_symptom(expected: tuple[str, ...], given: tuple[str, ...]) -> str:
    if len(given) != len(expected):
        return "too many items" if len(given) > len(expected) else "too few items"
    if sorted(given) == sorted(expected):
        return "the order of items"
    wrong = [pair for pair in zip(expected, given, strict=True) if pair[0] != pair[1]]
    kinds = Counter(_text_symptom(one, other) for one, other in wrong)
    return min(kinds, key=lambda kind: (-kinds[kind], kind))


def _text_symptom(expected: str, given: str) -> str:
    if expected.casefold() == given.casefold():
        return "capitals and small letters"
    if expected.replace(" ", "") == given.replace(" ", ""):
        return "blanks"
    if sorted(expected) == sorted(given):
        return "the order of characters"
    if len(given) != len(expected):
        return "the text was too long" if len(given) > len(expected) else "the text was too short"
    return "other characters"


def judged(task: Task, program: Program) -> Verdict:
    """Run every hidden test; the verdict counts what passed and sums up what did not."""
    symptoms: Counter[str] = Counter()
    for value, expected in task.hidden:
        given = answer(program, value)
        if given != expected:
            symptoms[symptom(expected, given)] += 1
    told = tuple(sorted(symptoms.items(), key=lambda pair: (-pair[1], pair[0])))
    return Verdict(len(task.hidden) - sum(symptoms.values()), len(task.hidden), told)


def bench(task: Task) -> Submit:
    """The one way the agent reaches a task's tests: hand in a program, hear the verdict."""

    def submit(program: Program) -> Verdict:
        return judged(task, program)

    return submit
