"""The figures of `docs/quality.md`, and what is promised of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figure, Figures
from benchmarks.quality.measures import MEASURES
from benchmarks.report import machine
from benchmarks.run import Outcome
from benchmarks.table import ARMS, ATTEMPTS, JUDGED, WAYS

LEAST = -0.01
"""How far below the better single the lower end of the blend's interval may be."""
NONE = "–"


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised, and whether the figures keep it."""

    text: str
    met: bool


def promises(ours: Figures) -> list[Promise]:
    """Each promise that there are figures for."""
    found = []
    lower = [
        figure.low for row, figure in ours.items()
        if row.startswith("quality.") and row.endswith(".gain") and figure.low is not None
    ]  # fmt: skip
    if lower:
        found.append(Promise(f"the blend's interval nowhere begins below {LEAST}", min(lower) >= LEAST))
        found.append(Promise("somewhere it begins above 0", max(lower) > 0))
    for arm in ("none", "shuffled"):
        figure = ours.get(f"helps.over.{arm}")
        if figure is not None:
            text = f"memory beats the arm “{ARMS[arm]}”, its interval above 0"
            found.append(Promise(text, figure.low is not None and figure.low > 0))
    return found


def markdown(outcome: Outcome) -> str:
    """All of it as Markdown."""
    ours = outcome.ours
    lines = [machine(outcome), ""]
    for task, words in JUDGED.items():
        lines += [*_judged(ours, task, words), ""]
    weight = ours.get("quality.weight")
    if weight is not None:
        lines += [f"Share of meaning, as chosen on the other half: {weight.value:g}; {weight.note}.", ""]
    lines += [*_arms(ours), ""]
    lines += [f"- {'kept' if promise.met else 'NOT KEPT'}: {promise.text}" for promise in promises(ours)]
    return "\n".join(lines)


def _judged(ours: Figures, task: str, words: str) -> Iterator[str]:
    documents, first = ours.get(f"quality.{task}.documents"), ours.get(f"quality.{task}.MRR@10.blend")
    if documents is None or first is None:
        yield f"**{words}**: not measured here."
        return
    yield f"**{words}**: {documents.value:,.0f} documents, {first.n:,} questions reported."
    yield ""
    yield f"| | {' | '.join(WAYS.values())} | 95 % interval of that |"
    yield f"|---|{'---:|' * (len(WAYS) + 1)}"
    for measure in MEASURES:
        figures = [ours.get(f"quality.{task}.{measure}.{way}") for way in WAYS]
        cells = [_share(figure, signed=way == "gain") for way, figure in zip(WAYS, figures, strict=True)]
        yield f"| {measure} | {' | '.join(cells)} | {_interval(figures[-1])} |"


def _arms(ours: Figures) -> Iterator[str]:
    first = ours.get("helps.none.1")
    if first is None:
        yield "**the agent's arms**: not measured here."
        return
    yield f"**tasks solved**, of {first.n} fresh ones, by attempts allowed:"
    yield ""
    yield f"| arm | {' | '.join(map(str, ATTEMPTS))} | memory is ahead by, within 3 attempts | 95 % interval |"
    yield f"|---|{'---:|' * (len(ATTEMPTS) + 2)}"
    for arm, words in ARMS.items():
        shares = (_share(ours.get(f"helps.{arm}.{allowed}")) for allowed in ATTEMPTS)
        ahead = ours.get(f"helps.over.{arm}")
        yield f"| {words} | {' | '.join(shares)} | {_share(ahead, signed=True)} | {_interval(ahead)} |"


def _share(figure: Figure | None, *, signed: bool = False) -> str:
    if figure is None:
        return NONE
    return f"{figure.value:+.3f}" if signed else f"{figure.value:.3f}"


def _interval(figure: Figure | None) -> str:
    if figure is None or figure.low is None or figure.high is None:
        return NONE
    return f"{figure.low:+.3f} to {figure.high:+.3f}"
