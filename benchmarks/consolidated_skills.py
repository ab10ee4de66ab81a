"""`python -m benchmarks.consolidated_skills EPISODES`: writes docs/consolidated-skills.md.

EPISODES is a JSON Lines file of published reflexion episodes (fields: episode_id, session_id, task, trial, input,
output, critique, reward, success, tags, domain). They are stored in a memory of their own, embedded and consolidated;
the ten skills that the page shows are chosen by the rules in `CHOICES`, not by hand.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import graphsvc
from graphsvc.memory.consolidation import SIMILARITY, Consolidation, Learnt

PAGE = Path(__file__).parents[1] / "docs" / "consolidated-skills.md"
QUOTED, LINES, IDS = 150, 7, 8
"""Characters of a line, lines of code, and ids of evidence that the page shows."""

_PROBLEM = re.compile(r"HumanEval[/_](\d+)")


def problem_of(task: str) -> str:
    """What a task is about: the same problem of HumanEval has a name for each language."""
    found = _PROBLEM.match(task)
    return f"HumanEval {found[1]}" if found else task


@dataclass(frozen=True)
class Drawn:
    """A skill with what the page says of it: problems, domain and languages of its successes, and its steps.

    `given`: the lines of the input that the quoted attempt was given; what it repeats of them is not shown.
    """

    learnt: Learnt
    problems: Counter[str]
    domain: str
    language: str
    steps: list[dict[str, Any]]
    given: set[str]

    @property
    def purity(self) -> float:
        return self.problems.most_common(1)[0][1] / sum(self.problems.values())

    @property
    def shared(self) -> float:
        held = [step["successes"] for step in self.steps if step["successes"] is not None]
        return sum(held) / len(held) if held else 1.0

    @property
    def telling(self) -> float:
        """By how much the successes took its steps more often than the failures."""
        pairs = [(step["successes"], step["failures"]) for step in self.steps]
        return sum(good - bad for good, bad in pairs if good is not None and bad is not None)

    @property
    def own_tests(self) -> bool:
        """Whether it only quotes the tests that agents wrote for themselves."""
        lines = self.learnt.code.splitlines()
        return bool(lines) and all(line.startswith("assert") for line in lines)

    @property
    def failed_share(self) -> float:
        return len(self.learnt.failures) / (len(self.learnt.failures) + len(self.learnt.successes))


@dataclass(frozen=True)
class Choice:
    """A skill that the page shows: of those that may be, the first of the highest rank."""

    title: str
    how: str
    may: Callable[[Drawn], bool]
    rank: Callable[[Drawn], Any]


def successes(one: Drawn) -> int:
    return len(one.learnt.successes)


CHOICES = (
    Choice(
        "The best attested in Python", "most successes, all at one problem",
        lambda one: one.purity == 1 and one.language == "python" and not one.own_tests, successes,
    ),
    Choice(
        "The best attested in Rust", "most successes, all at one problem",
        lambda one: one.purity == 1 and one.language == "rust", successes,
    ),
    Choice(
        "What the failures lacked", "the steps that tell most between successes and failures at one problem",
        lambda one: one.purity == 1, lambda one: one.telling,
    ),
    Choice(
        "Across problems", "most problems of those whose successes share nine tenths of the steps",
        lambda one: one.purity < 1 and one.shared >= 0.9 and len(one.learnt.code.splitlines()) > 4,
        lambda one: len(one.problems),
    ),
    Choice(
        "From questions and answers", "most successes at HotpotQA", lambda one: one.domain == "qa", successes,
    ),
    Choice(
        "From questions and answers, another", "most failures at HotpotQA",
        lambda one: one.domain == "qa", lambda one: len(one.learnt.failures),
    ),
    Choice(
        "Bad: problems that only look alike", "most problems of all", lambda one: one.purity < 1,
        lambda one: len(one.problems),
    ),
    Choice(
        "Doubtful: some of one thing, some of another",
        "the least part of its successes at one problem, of those with six and more",
        lambda one: successes(one) >= 6, lambda one: (-one.purity, successes(one)),
    ),
    Choice(
        "Bad: hardly anything in common", "the least share of its steps taken by the other successes",
        lambda one: not one.own_tests, lambda one: -one.shared,
    ),
    Choice(
        "Doubtful: mostly failure", "the largest part of its evidence are failures", lambda one: True,
        lambda one: (one.failed_share, len(one.learnt.failures)),
    ),
)  # fmt: skip


def rows(source: Path) -> Iterator[dict[str, Any]]:
    """The episodes as a memory takes them."""
    with gzip.open(source, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            row = json.loads(line)
            output = row["output"] or ""
            yield {
                "id": str(row["episode_id"]), "session": row["session_id"], "task": row["task"],
                "input": row["input"] or "", "critique": row["critique"], "reward": row["reward"],
                "success": row["success"], "tags": row["tags"], "metadata": {"domain": row["domain"]},
                "output": "\n".join(output) if isinstance(output, list) else output,
                "at": f"2023-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",  # no source has times
            }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.consolidated_skills", description=__doc__)
    parser.add_argument("episodes", type=Path, help="JSON Lines, gzip")
    parser.add_argument("--out", type=Path, default=PAGE, help="where the page goes")
    given = parser.parse_args()
    episodes = {row["id"]: row for row in rows(given.episodes)}
    with tempfile.TemporaryDirectory() as folder, graphsvc.open(Path(folder) / "memory") as memory:
        memory.episodes.store_many(list(episodes.values()))
        memory.wait(timeout=3600)
        began = time.perf_counter()
        done = memory.skills.consolidate()
        seconds = time.perf_counter() - began
        again = memory.skills.consolidate()
        drawn = [_drawn(memory, one, episodes) for one in done.by("created")]
        assert memory.verify().ok
    text = page(done, again, drawn, seconds)
    given.out.write_text(text, encoding="utf-8")
    print(f"{len(drawn)} skills, {given.out}")
    return 0


def _drawn(memory: graphsvc.Memory, learnt: Learnt, episodes: dict[str, dict[str, Any]]) -> Drawn:
    of = [episodes[id] for id in learnt.successes]
    languages = {tag for row in of for tag in row["tags"] if tag in ("python", "rust")}
    domain = Counter(row["metadata"]["domain"] for row in of).most_common(1)[0][0]
    about = memory.skills.get(learnt.id).metadata["consolidation"]
    given = {line.strip() for line in episodes[about["quoted"]]["input"].splitlines()}
    problems = Counter(problem_of(row["task"]) for row in of)
    return Drawn(learnt, problems, domain, "/".join(sorted(languages)), about["steps"], given)


# --- the page --------------------------------------------------------------------------------------------------


def page(done: Consolidation, again: Consolidation, drawn: list[Drawn], seconds: float) -> str:
    """The page, as Markdown."""
    parts = [_opening(done, again, drawn, seconds), _figures(drawn)]
    left = list(drawn)
    for number, choice in enumerate(CHOICES, 1):
        among = [one for one in left if choice.may(one)]
        if among:
            best = max(among, key=choice.rank)  # of equals the one with the oldest success
            left.remove(best)
            parts.append(f"## {number}. {choice.title}\n\nChosen as: {choice.how}.\n\n{_shown(best)}")
    return "\n\n".join(parts) + "\n"


def _opening(done: Consolidation, again: Consolidation, drawn: list[Drawn], seconds: float) -> str:
    unchanged, shared_nothing = len(again.by("unchanged")), len(done.by("nothing shared"))
    return f"""# Skills drawn from real runs

This page was written by `python -m benchmarks.consolidated_skills`, not by hand: it shows what
`memory.skills.consolidate()` makes of {done.episodes:,} episodes of published language agents, the bad ones too. The
episodes are the text logs of *Reflexion* (Shinn et al. 2023, MIT licence), with texts of HotpotQA and Wikipedia
(CC BY-SA), MBPP (CC BY 4.0) and HumanEval (MIT) in them; quotations here are short. Ids are numbers of episodes in that
collection. The titles below say by which rule a skill was chosen, and are no judgement of a person.

Stored as they are (task, input, output, critique, reward, success), embedded by all-MiniLM-L6-v2, and consolidated
with the defaults: at least 3 successes, reward at least 0.7, similarity {SIMILARITY}. {done.successes:,} successes fell
into {done.clusters:,} clusters, {len(drawn):,} of which became skills in {seconds:.1f} s; {shared_nothing} more were
large enough, but their successes share no step. A second run found {unchanged:,} unchanged and wrote nothing."""


def _figures(drawn: list[Drawn]) -> str:
    pure = sum(one.problems.most_common(1)[0][1] for one in drawn)
    total = sum(sum(one.problems.values()) for one in drawn)
    lines = ["| of the skills | count |", "|---|---|"]
    counts = {
        "all": len(drawn),
        "whose successes are all at one problem": sum(one.purity == 1 for one in drawn),
        "at two problems": sum(len(one.problems) == 2 for one in drawn),
        "at three and more": sum(len(one.problems) > 2 for one in drawn),
        "from code": sum(one.domain == "code" for one in drawn),
        "of these, that quote only tests which agents wrote for themselves": sum(one.own_tests for one in drawn),
        "from questions and answers": sum(one.domain == "qa" for one in drawn),
        "from shopping and from household tasks": sum(one.domain in ("webshop", "alfworld") for one in drawn),
        "with failures among the evidence": sum(bool(one.learnt.failures) for one in drawn),
        "that can say what the failures lacked": sum("The failures lacked" in one.learnt.description for one in drawn),
        "with more failures than successes": sum(one.failed_share > 0.5 for one in drawn),
    }
    lines += [f"| {name} | {count:,} |" for name, count in counts.items()]
    failed, told = counts["with failures among the evidence"], counts["that can say what the failures lacked"]
    alone = counts["whose successes are all at one problem"]
    many = counts["at two problems"] + counts["at three and more"]
    return "\n".join(lines) + f"""

What to make of it:

- **Clusters are mostly right.** {pure / total:.0%} of the successes stand in a skill whose main problem is theirs. The
  others are neighbours that look alike to the embedding: a problem and its variant, or short functions of one shape.
- **A skill of one problem is a remembered answer** ({alone} of {len(drawn)}). It helps when the problem
  comes again, hardly with another. What carries over is in those of the {many} skills of several problems whose
  successes really share steps, like numbers 4 and 8.
- **{failed - told} of the {failed} skills with failures can't say what these lacked.** Of most failed attempts
  at code the source keeps no output, only the critique. Then a skill quotes the critique that was given most often,
  which may be about one attempt alone.
- **Questions and answers give weak skills**: searches for one question's own names, or the bare answer. The way of
  searching is in them, but not told apart from the names.
- **Shopping and household tasks give none.** The source has no output of those attempts, so there is nothing to quote;
  their clusters are reported as “nothing shared”."""


def _shown(one: Drawn) -> str:
    learnt = one.learnt
    most = one.problems.most_common(3)
    more = f", and {len(one.problems) - 3} more" if len(one.problems) > 3 else ""
    problems = ", ".join(f"{_plain(name, 60)} ({count})" for name, count in most) + more
    code = [_cut(line) for line in learnt.code.splitlines() if line.strip() and line.strip() not in one.given]
    quoted = code[:LINES] + [f"… {len(code) - LINES} more lines"] * (len(code) > LINES)
    facts = [
        f"**{_plain(learnt.name, 80)}** (`{learnt.id}`, {one.language or one.domain})",
        "",
        f"- Problems of its successes: {problems}. Similarity to their middle {learnt.similarity:.2f}, share of the "
        f"others that take a quoted step {one.shared:.2f}.",
        f"- Successes {_ids(learnt.successes)}; failures {_ids(learnt.failures)}.",
    ]
    said = [line for line in learnt.description.splitlines() if line.startswith(("The failures", "Said of"))]
    facts += [f"- {_plain(line, QUOTED)}" for line in said]
    return "\n".join(facts) + "\n\n````text\n" + "\n".join(quoted) + "\n````"


def _ids(ids: tuple[str, ...]) -> str:
    if not ids:
        return "none"
    more = f" and {len(ids) - IDS} more" if len(ids) > IDS else ""
    return f"{', '.join(ids[:IDS])}{more} ({len(ids)})"


def _cut(text: str, limit: int = QUOTED) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _plain(text: str, limit: int) -> str:
    """A line whose signs Markdown leaves alone."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", _cut(" ".join(text.split()), limit))


if __name__ == "__main__":
    sys.exit(main())
