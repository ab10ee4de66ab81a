"""A briefing for a task: what memory knows of tasks like it, in few words, each quoted from its evidence.

Nothing is made up: a sentence is one of an output, a critique or a skill, or a count. What matters most comes first
and stays when there is little room: figures, a recommendation, what worked, what failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import msgspec

from graphsvc.errors import BadInput
from graphsvc.memory.drafting import is_code, line_of, steps_of
from graphsvc.memory.results import Hits, Lesson
from graphsvc.memory.retrieval import Where
from graphsvc.model.names import task_text
from graphsvc.model.records import Episode, Skill

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory

LOOKED_AT, SAME = 20, 100
"""Like attempts, and attempts at the very task, that are counted."""
CITED = 2
"""Ids that stand beside a sentence; `evidence` has all."""
LEAST_TOKENS = 16
NOTHING = "Nothing like this task is remembered."

_ADVICE = re.compile(
    r"\b((I|you|we|they) (should|will|must)|should (have|be)|instead|next time|needs? to|avoid|make sure|ensure|to fix"
    r"|in the future)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=\S)|\n+")

TITLES = {
    "worked": "What worked",
    "failed": "What failed, and why",
    "recommendation": "Recommendation",
    "figures": "Key figures",
}

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing that a briefing says.

    Attributes:
        text: quoted, or a count. evidence: ids of the episodes, or of the skill, that it is from.
    """

    text: str
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        cited = ", ".join(self.evidence[:CITED])
        more = f" +{len(self.evidence) - CITED}" if len(self.evidence) > CITED else ""
        return f"- {self.text} [{cited}{more}]"


@dataclass(frozen=True, slots=True)
class Brief:
    """What memory knows of a task; `str()` gives it as Markdown.

    Attributes:
        task: that was asked about.
        worked, failed, recommendation, figures: sentences, each with its evidence.
        attempts, judged, successes: like attempts looked at; with a known success; of those successful.
        success_rate, reward: successes over judged, and the mean reward; None if unknown.
        text: the briefing as Markdown. tokens: that it takes. max_tokens: that it may take.
        dropped: sentences that found no room.
    """

    task: str
    worked: list[Sentence] = field(default_factory=list)
    failed: list[Sentence] = field(default_factory=list)
    recommendation: list[Sentence] = field(default_factory=list)
    figures: list[Sentence] = field(default_factory=list)
    attempts: int = 0
    judged: int = 0
    successes: int = 0
    success_rate: float | None = None
    reward: float | None = None
    text: str = ""
    tokens: int = 0
    max_tokens: int = 0
    dropped: int = 0

    def __str__(self) -> str:
        return self.text

    @property
    def empty(self) -> bool:
        """Whether nothing is known."""
        return not any(getattr(self, name) for name in TITLES)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"empty": self.empty, **msgspec.to_builtins(self)}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of memory: for which task, of which episodes and namespaces, how alike."""

    memory: Memory
    task: str
    where: Where
    agent: str | Sequence[str] | None
    least: float | None


def brief(
    memory: Memory,
    task: str,
    max_tokens: Any,
    where: Where,
    agent: str | Sequence[str] | None,
    min_similarity: float | None,
    count: Count,
) -> Brief:
    """Write a briefing; see `Memory.brief`."""
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < LEAST_TOKENS:
        raise BadInput(f"expected a whole number of at least {LEAST_TOKENS}, got {max_tokens!r}", where="max_tokens")
    hits = memory.episodes.retrieve(task, LOOKED_AT, where=where, agent=agent, min_similarity=min_similarity)
    same = {"and": [{"task": task_text(task)}, *([] if where is None else [where])]}
    at_it = memory.episodes.list(same, SAME, agent=agent)
    figures = _figures(hits, at_it)
    asked = _Asked(memory, task, where, agent, min_similarity)
    very = _Asked(memory, task, same, agent, None)  # the very task, however unlike its attempts may look
    found = {"figures": figures.pop("figures"), **_said([very, asked] if at_it else [asked])}
    return _fitted(task, found, figures, max_tokens, count)


# --- what there is to say ----------------------------------------------------------------------------------


def _figures(hits: Hits[Episode], at_it: Sequence[Episode]) -> dict[str, Any]:
    """Counts over the like attempts, and the sentences that say them."""
    episodes = [hit.episode for hit in hits]
    judged = [one for one in episodes if one.success is not None]
    successes = [one for one in judged if one.success]
    rewards = [one.reward for one in episodes if one.reward is not None]
    known: dict[str, Any] = {
        "attempts": len(episodes),
        "judged": len(judged),
        "successes": len(successes),
        "success_rate": len(successes) / len(judged) if judged else None,
        "reward": sum(rewards) / len(rewards) if rewards else None,
    }
    said = []
    if judged:
        share = f"{len(successes)} of {len(judged)} like attempts succeeded ({known['success_rate']:.0%})"
        mean = f", mean reward {known['reward']:.2f}" if rewards else ""
        said.append(Sentence(f"{share}{mean}.", _ids(judged)))
    same = [one for one in at_it if one.success is not None]
    if same:
        done = sum(one.success is True for one in same)
        said.insert(0, Sentence(f"{done} of {len(same)} attempts at this very task succeeded.", _ids(same)))
    return {**known, "figures": said}


def _ids(episodes: Sequence[Episode]) -> tuple[str, ...]:
    return tuple(one.id for one in episodes)


def _said(asked: Sequence[_Asked]) -> dict[str, list[Sentence]]:
    """Quotations by section, what matters most first; none stands in two of them."""
    last = asked[-1]
    skills = last.memory.skills.search(last.task, 3, agent=last.agent, min_similarity=last.least).records
    lessons = _lessons(last.memory.episodes.strategies, 4, asked)
    failures = _lessons(last.memory.episodes.critiques, 5, asked)
    outputs = [_quoted(lesson, _of_output(lesson.text)) for lesson in lessons]
    whys, advice = [], []
    for lesson in failures:
        sentences = [line_of(one) for one in _SENTENCE.split(lesson.text.strip()) if one.strip()]
        advising = [one for one in sentences if _ADVICE.search(one)]
        whys.append(_quoted(lesson, [one for one in sentences if one not in advising][:2]))
        advice.append(_quoted(lesson, advising[-1:]))
    used = [_of_skill(skill) for skill in skills]
    recommended = list(_in_turn([used[:1], advice[0] if advice else [], *([used[1:]] if used else []), *advice[1:]]))
    if not recommended and outputs:
        recommended, outputs[0] = outputs[0][:1], outputs[0][1:]
    sections = {"recommendation": recommended, "worked": _in_turn(outputs), "failed": _in_turn(whys)}
    seen: set[str] = set()
    return {
        name: [one for one in sentences if not (one.text in seen or seen.add(one.text))]  # type: ignore[func-returns-value]
        for name, sentences in sections.items()
    }


def _lessons(verb: Callable[..., list[Lesson]], k: int, asked: Sequence[_Asked]) -> list[Lesson]:
    """Those that the first asks for before those of the next, at most k."""
    found: dict[str, Lesson] = {}
    for one in asked:
        for lesson in verb(one.task, k, where=one.where, agent=one.agent, min_similarity=one.least):
            found.setdefault(lesson.text, lesson)
    return list(found.values())[:k]


def _quoted(lesson: Lesson, texts: Sequence[str]) -> list[Sentence]:
    return [Sentence(text, lesson.episodes) for text in texts]


def _of_output(output: str) -> list[str]:
    """Up to three steps; of code one quotation, its beginning."""
    steps = steps_of(output)
    if is_code(output):
        return [f"`{line_of(' ⏎ '.join(step.strip() for step in steps)).replace('`', chr(39))}`"] if steps else []
    return [line_of(step) for step in steps[:3]]


def _of_skill(skill: Skill) -> Sentence:
    """Its name, how well it works, and what it says of itself."""
    record = f" ({skill.successes} of {skill.uses} succeeded)" if skill.uses else ""
    about = skill.metadata.get("consolidation")
    steps = [step["text"] for step in about.get("steps", ())] if isinstance(about, dict) else []
    what = " ⏎ ".join(steps) if steps else skill.description or skill.code
    return Sentence(line_of(f"Use “{line_of(skill.name, 80)}”{record}: {line_of(what)}", 400), (skill.id,))


def _in_turn(lists: Sequence[Sequence[Sentence]]) -> Iterator[Sentence]:
    """The first of each, then the second of each, and so on."""
    for row in zip_longest(*lists):
        yield from (one for one in row if one is not None)


# --- what there is room for --------------------------------------------------------------------------------


def _fitted(task: str, found: dict[str, list[Sentence]], known: dict[str, Any], max_tokens: int, count: Count) -> Brief:
    """As much as the budget holds: first of each section the first, by `_ORDER`, then in turn."""
    chosen: dict[str, list[Sentence]] = {name: [] for name in TITLES}
    heading, dropped = False, 0
    text = _rendered(task, chosen, heading=False)
    tokens = count(text)
    if count(with_heading := _rendered(task, chosen, heading=True)) <= max_tokens:
        heading, text, tokens = True, with_heading, count(with_heading)
    queue = [
        (name, sentence)
        for row in zip_longest(*(found[name] for name in _ORDER))
        for name, sentence in zip(_ORDER, row, strict=True)
        if sentence is not None
    ]
    for name, sentence in queue:
        tried = {**chosen, name: [*chosen[name], sentence]}
        longer = _rendered(task, tried, heading=heading)
        if (needed := count(longer)) <= max_tokens:
            chosen, text, tokens = tried, longer, needed
        else:
            dropped += 1
    if tokens > max_tokens:  # what counts tokens counts more for these few words than the least budget
        text, tokens = "", 0
    content: dict[str, Any] = {**chosen, **known}
    return Brief(task, **content, text=text, tokens=tokens, max_tokens=max_tokens, dropped=dropped)


_ORDER = ("figures", "recommendation", "worked", "failed")


def _rendered(task: str, sections: dict[str, list[Sentence]], *, heading: bool) -> str:
    parts = [f"# {line_of(task, 120)}"] if heading else []
    for name, title in TITLES.items():
        if sections[name]:
            parts.append("\n".join([f"## {title}", *map(str, sections[name])]))
    if not any(sections.values()):
        parts.append(NOTHING)
    return "\n\n".join(parts) + "\n"
