"""What a skill says that was drawn from attempts: all of it quoted from them, chosen by counting.

An attempt's steps are the lines of its output, but for those that repeat its input and those that the world answered
(`Observation 1: …`). A step is another attempt's too where some line of that is like it: cosine of their sets of words
and signs. Of the successes the
one is quoted whose steps the others share most and the failures least; of code all of it, of a course of action the
steps that the other successes share and that aren't commoner among the failures.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphsvc.model.records import Episode

LIKE = 0.6
"""Cosine from which two lines are the same step."""
SHARED = 0.5
"""Share of the other successes that must take a step."""
LACKED = 0.25
"""By how much rarer a step is among the failures that counts as lacking there."""
ATTEMPTS, LINES = 24, 40
"""Successes and failures of a skill, and lines of each, that are compared."""
QUOTED, NAMED, TASKS, TELLING = 240, 80, 3, 3
"""Characters of a quotation and of a name; tasks and telling steps that a description names."""

_ANSWER = re.compile(r"\s*(observation|obs|result|stdout|stderr)\b\s*\d*\s*[:>]", re.IGNORECASE)
_WORD = re.compile(r"\w*[^\W\d_]{2,}\w*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=\S)")
_CODE = re.compile(
    r"(.*[;{}:,(\[]|\s*[)}\]]+[;,]?|\s*(#|//|def |fn |let |return\b|import |const |var |raise |from [\w.]+ import ).*"
    r"|.*(\w\(.*\)|[^=!<>]=[^=]|\+=|->).*)\s*"
)
_words = re.compile(r"\w+|[^\w\s]").findall
_FENCE = re.compile(r"\s*```")


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the quoted attempt.

    Attributes:
        text: as it stands there.
        successes, failures: share of the other successes, and of the failures, that took it; None without any.
    """

    text: str
    successes: float | None
    failures: float | None

    @property
    def shared(self) -> bool:
        """Whether it is one of those that made the successes."""
        held = 1.0 if self.successes is None else self.successes
        return held >= SHARED and (self.failures is None or self.failures <= held)

    @property
    def telling(self) -> bool:
        """Whether the failures lacked it."""
        held = 1.0 if self.successes is None else self.successes
        return self.shared and self.failures is not None and self.failures <= held - LACKED


@dataclass(frozen=True, slots=True)
class Draft:
    """What a skill is to say.

    Attributes:
        name, description, code: of the skill. quoted: the success that the code is from.
        steps: of that, the shared ones.
    """

    name: str
    description: str
    code: str
    quoted: Episode
    steps: tuple[Step, ...]


def steps_of(output: str, input: str = "") -> list[str]:
    """The lines of an output that say what was done, those of the input left out; long ones of prose by sentence."""
    found: list[str] = []
    given = {line.strip() for line in input.splitlines()}
    for line in output.splitlines():
        if _ANSWER.match(line) or _FENCE.match(line) or not _WORD.search(line) or line.strip() in given:
            continue
        found.extend(_SENTENCE.split(line) if len(line) > QUOTED and not _CODE.fullmatch(line) else [line])
    return list(dict.fromkeys(found))[:LINES]


def is_code(text: str) -> bool:
    """Whether most of its lines look like code."""
    lines = [line for line in text.splitlines() if line.strip() and not _FENCE.match(line)]
    return 2 * sum(bool(_CODE.fullmatch(line)) for line in lines) > len(lines)


def draft(successes: Sequence[Episode], failures: Sequence[Episode]) -> Draft | None:
    """What a skill says that these attempts speak for; None if the successes have nothing in common.

    Args:
        successes: oldest first. failures: at the same tasks, oldest first.
    """
    good = [(one, lines) for one in _best(successes) if (lines := steps_of(one.output, one.input))]
    bad = [lines for one in failures[-ATTEMPTS:] if (lines := steps_of(one.output, one.input))]
    if not good or (len(good) == 1 and len(successes) > 1):
        return None
    held = _held([lines for _, lines in good] + bad)
    place = _most_typical([one for one, _ in good], held, len(good))
    quoted, texts = good[place]
    others = np.delete(held[place][:, : len(good)], place, axis=1)
    against = held[place][:, len(good) :]
    steps = [Step(text.strip(), _mean(others[line]), _mean(against[line])) for line, text in enumerate(texts)]
    shared = tuple(step for step in steps if step.shared)
    if not shared:
        return None
    code = quoted.output.strip("\n") if is_code(quoted.output) else "\n".join(step.text for step in shared)
    return Draft(_name(successes, quoted), _description(successes, failures, quoted, shared), code, quoted, shared)


def _best(successes: Sequence[Episode]) -> list[Episode]:
    """Those compared: the highest rewarded, of equals the newest; oldest first again."""
    ranked = sorted(range(len(successes)), key=lambda place: (-(successes[place].reward or 0.0), -place))
    return [successes[place] for place in sorted(ranked[:ATTEMPTS])]


def _held(attempts: list[list[str]]) -> list[NDArray[np.bool_]]:
    """For each attempt, which of its lines (rows) each attempt (columns) has a like one of."""
    places: dict[str, int] = {}
    lines = [np.array([places.setdefault(line, len(places)) for line in attempt]) for attempt in attempts]
    like = _alike([set(_words(line.lower())) for line in places])
    held = np.stack([like[:, attempt].any(axis=1) for attempt in lines], axis=1)
    return [held[attempt] for attempt in lines]


def _alike(lines: Sequence[set[str]]) -> NDArray[np.bool_]:
    """Which pairs of lines are the same step, by their words."""
    from scipy.sparse import csr_array

    columns: dict[str, int] = {}
    indices = [columns.setdefault(word, len(columns)) for words in lines for word in sorted(words)]
    sizes = np.array([len(words) for words in lines])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    table = csr_array((np.ones(len(indices)), indices, starts), shape=(len(lines), len(columns)))
    common = (table @ table.T).toarray()
    like: NDArray[np.bool_] = np.round(common / np.sqrt(np.outer(sizes, sizes)), 6) >= LIKE
    return like


def _most_typical(good: list[Episode], held: list[NDArray[np.bool_]], count: int) -> int:
    """The success whose steps the others share most and the failures least; of equals the best, then the oldest."""

    def value(place: int) -> tuple[float, float, int]:
        table = held[place]
        others = np.delete(table[:, :count], place, axis=1)
        shared = others.mean() if others.size else 1.0
        against = table[:, count:].mean() if table.shape[1] > count else 0.0
        return round(float(shared - against), 6), good[place].reward or 0.0, -place

    return max(range(count), key=value)


def _mean(held: NDArray[np.bool_]) -> float | None:
    return round(float(held.mean()), 4) if len(held) else None


# --- words -----------------------------------------------------------------------------------------------------


def line_of(text: str, limit: int = QUOTED) -> str:
    """A text as one line of at most so many characters, without control characters."""
    plain = "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)
    joined = " ".join(plain.split())
    return joined if len(joined) <= limit else joined[: limit - 1].rstrip() + "…"


def _name(successes: Sequence[Episode], quoted: Episode) -> str:
    """The words of the quoted task that most of the tasks have; the task itself where that says too little."""
    tasks = list(dict.fromkeys(episode.task for episode in successes))
    counts = Counter(word for task in tasks for word in set(task.lower().split()))
    common = [word for word in quoted.task.split() if 2 * counts[word.lower()] > len(tasks)]
    said = [word for word in common if _WORD.search(word)]
    return line_of(" ".join(common) if len(said) > 2 else quoted.task, NAMED)


def _description(
    successes: Sequence[Episode], failures: Sequence[Episode], quoted: Episode, shared: Sequence[Step]
) -> str:
    tasks = list(dict.fromkeys([quoted.task, *(episode.task for episode in successes)]))
    said = [line_of(task) for task in tasks[:TASKS]]
    lines = [f"For: {'; '.join(said)}{f'; and {len(tasks) - TASKS} more' if len(tasks) > TASKS else ''}"]
    if quoted.input.strip() and quoted.input.strip() != quoted.task:
        lines.append(f"Given: {line_of(quoted.input)}")
    lines.append(f"Drawn from {_count(len(successes), 'success')} and {_count(len(failures), 'failure')}.")
    telling = [line_of(step.text) for step in shared if step.telling][:TELLING]
    if telling:
        lines.append(f"The failures lacked: {' | '.join(telling)}")
    critiques = Counter(line_of(episode.critique) for episode in failures if episode.critique)
    if critiques:
        lines.append(f"Said of a failure: {critiques.most_common(1)[0][0]}")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    plural = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else plural}"
