"""Docstring to function: the functions of the standard library, asked for by what their docstrings begin with.

A document is a function's full name and its code with the docstring removed; a question the first sentence of the
docstring. Functions that share the sentence all answer it.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from benchmarks.quality.judged import Judged, Question, number_of
from graphsvc.demo import MODULES
from graphsvc.memory.importing.python_functions import contents
from graphsvc.memory.importing.python_modules import below, read

MORE_MODULES = ("asyncio", "decimal", "email", "fractions", "http", "imaplib", "inspect", "ipaddress", "mailbox",
    "multiprocessing", "pickle", "sqlite3", "ssl", "turtle", "typing", "unittest", "xml")  # fmt: skip
"""Beside those of the demonstration: enough for over 1,000 functions with docstrings of their own."""

FEWEST_WORDS = 3
"""A sentence of fewer words asks for nothing."""

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"'(])|\n\s*\n")


def functions(count: int) -> Judged:
    """So many functions, drawn by name, and a question for each sentence that introduces one."""
    found = sorted(_documented(), key=lambda one: number_of(one[0]))[:count]
    answers: dict[str, set[str]] = defaultdict(set)
    for name, sentence, _ in found:
        answers[sentence].add(name)
    questions = [Question(sentence, frozenset(right), sentence) for sentence, right in answers.items()]
    return Judged("skill", [{"id": name, "name": name, "code": code} for name, _, code in found], questions)


def _documented() -> Iterator[tuple[str, str, str]]:
    """Full name, first sentence, and code without docstring of each public function that has all three."""
    for module in dict.fromkeys(deeper for name in (*MODULES, *MORE_MODULES) for deeper in below(name, private=False)):
        for function in contents(read(module)).functions.values():
            sentence = first_sentence(function.description)
            if not function.private and len(sentence.split()) >= FEWEST_WORDS:
                yield function.id, sentence, without_docstring(function.code)


def first_sentence(docstring: str) -> str:
    return " ".join(SENTENCE.split(docstring.strip(), maxsplit=1)[0].split())


def without_docstring(code: str) -> str:
    """A function's source without the lines of its docstring, all else as it was."""
    inner = code[:1].isspace()  # where a text in it stands further left than the function
    tree = ast.parse(f"if True:\n{code}" if inner else code)
    node = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    if ast.get_docstring(node) is None:
        return code
    first = node.body[0]
    lines = code.encode().split(b"\n")
    start, end = (number - 1 - inner for number in (first.lineno, first.end_lineno or first.lineno))
    joint = lines[start][: first.col_offset] + lines[end][first.end_col_offset :]
    return b"\n".join([*lines[:start], *([joint] if joint.strip() else []), *lines[end + 1 :]]).decode()
