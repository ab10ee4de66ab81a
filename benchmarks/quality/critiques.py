"""Critiques of real agents' runs, as questions: which task was it, and what did other sessions make of that task?

The runs are those of `reflexion/episodes.jsonl.gz` on code and on question answering, read where they lie beside the
checkout. A task is its exact `input`; exact duplicates of a text within a task are one.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.quality.judged import Judged, Question, drawn, number_of

DOMAINS = ("code", "qa")
AT = "2026-01-01T00:00:00Z"
"""The same for all documents: full text indexes the date."""

DEFINED = re.compile(r"\b(?:def|fn|class|struct|enum|trait)\s+(\w+)")
CAPITALISED = re.compile(r"(?<![\w'’])[A-Z][\w.’'-]*")
TASK_ID = re.compile(r"\b(?:HumanEval|mbpp|env)[/_]\d+\w*", re.IGNORECASE)
WORD = re.compile(r"\b[a-z]+\b")
SHORTEST = 20
"""Characters: what is left of a line of a task is its text only if it has as many, `else:` and `)` are anyone's."""

Run = Mapping[str, Any]


def read(path: Path) -> list[Run]:
    """The runs on code and on question answering that are told there."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        runs = [json.loads(line) for line in file]
    return [run for run in runs if run["domain"] in DOMAINS and run["input"].strip()]


def tasks(runs: Iterable[Run], count: int) -> Judged:
    """Critique to task: a document is a task's input without names and ids, a question what was said of an attempt.

    What has no critique is a document too. Inputs that are equal without their names are one document.
    """
    runs = list(runs)
    plain = _lower_case_words(runs)
    texts = {run["input"]: without_names(run["input"], run["domain"], plain) for run in runs}
    ids = {text: f"task-{number_of(text):016x}" for text in texts.values() if text}
    asked = {(run["input"], run["critique"]) for run in runs if run["critique"]}
    questions = [
        Question(critique, frozenset([ids[texts[task]]]), texts[task]) for task, critique in asked if texts[task]
    ]
    documents = [_document(id, text) for text, id in sorted(ids.items())]
    return Judged("episode", documents, drawn(questions, count))


def other_sessions(runs: Iterable[Run], count: int) -> Judged:
    """Critique to the critiques and outputs of other sessions of its task; the task's text is in neither.

    A text that the question's own session has too is no answer and isn't searched.
    """
    sessions: dict[tuple[str, str], set[str]] = defaultdict(set)
    asked: dict[tuple[str, str], str] = {}
    for run in runs:
        task = run["input"]
        for text in (run["critique"], _written(run["output"])):
            if cleaned := without_task(text or "", task):
                sessions[task, cleaned].add(run["session_id"])
        if said := without_task(run["critique"] or "", task):
            asked.setdefault((task, said), run["session_id"])
    ids = {key: f"text-{number_of(chr(0).join(key)):016x}" for key in sessions}
    of_task: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key in sessions:
        of_task[key[0]].append(key)
    questions = []
    for (task, said), session in asked.items():
        right = frozenset(ids[key] for key in of_task[task] if session not in sessions[key])
        if right:
            questions.append(Question(said, right, task, {"not": {"tags": session}}))
    documents = [_document(id, key[1], tags=sorted(sessions[key])) for key, id in sorted(ids.items())]
    return Judged("episode", documents, drawn(questions, count))


def _document(id: str, text: str, **more: Any) -> dict[str, Any]:
    """A record whose searched text is this text: an episode's task, embedded and indexed as it stands."""
    return {"id": id, "session": "judged", "task": text, "at": AT, **more}


def _written(output: Any) -> str:
    return "\n".join(output) if isinstance(output, list) else output or ""


def _lower_case_words(runs: Iterable[Run]) -> frozenset[str]:
    """Words that some question writes small: capitalised at its beginning they are no names."""
    return frozenset(word for run in runs if run["domain"] == "qa" for word in WORD.findall(run["input"]))


def without_names(text: str, domain: str, plain: frozenset[str]) -> str:
    """An input without ids of tasks, without what its code defines, and without the proper names of a question."""
    text = TASK_ID.sub("", text)
    for name in sorted(set(DEFINED.findall(text)), key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(name)}\b", "", text)
    if domain == "qa":
        text = CAPITALISED.sub(lambda found: _unless_name(found, plain), text)
    return "\n".join(line for line in (" ".join(line.split()) for line in text.splitlines()) if line)


def _unless_name(found: re.Match[str], plain: frozenset[str]) -> str:
    word = found[0]
    return word if found.start() == 0 and word.lower() in plain else ""


def without_task(text: str, task: str) -> str:
    """A text without the task's: whole where it is quoted, else each of its lines."""
    text = text.replace(task.strip(), "")
    for line in {line.strip().strip('"').strip() for line in task.splitlines()}:
        if len(line) >= SHORTEST:
            text = text.replace(line, "")
    return text.strip()
