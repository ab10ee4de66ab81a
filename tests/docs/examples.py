"""The examples of a Markdown page: found, run as a reader would paste them, compared with what the page shows.

Blocks of `python` run one after the other in one interpreter, a `text` block behind one is what it prints. In a block of
`console` the lines behind `$ ` run in a shell, the others are what they print. `…` stands for anything.

    python -m tests.docs.examples README.md        writes the output of each example into the page
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
COLUMNS = "100"
SECONDS = 300

_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)

# Runs blocks in one namespace; a block's lines are counted as in the page, so that a trace names them.
RUNNER = """
import contextlib, io, json, sys
page, blocks = json.load(sys.stdin)
namespace, printed = {"__name__": "__main__"}, []
for line, code in blocks:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile("\\n" * line + code, page, "exec"), namespace)
    printed.append(output.getvalue())
json.dump(printed, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to run.

    Attributes:
        language: python or console. code: a block, or one command. shown: what the page says that it prints.
        line: of the page before the code. start, end: of the shown output in the page's text.
    """

    language: str
    code: str
    shown: str
    line: int
    start: int
    end: int


def examples(text: str) -> Iterator[Example]:
    """The examples of a page, in order."""
    for block in _BLOCK.finditer(text):
        if block[1] == "console":
            yield from _commands(text, block.start(2), block[2])
        else:
            start, end = block.span(3) if block[3] is not None else (block.end(), block.end())
            yield Example("python", block[2], block[3] or "", text.count("\n", 0, block.start(2)), start, end)


def _commands(text: str, start: int, block: str) -> Iterator[Example]:
    for part in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        first, last = part.span(2)
        yield Example("console", part[1], part[2], text.count("\n", 0, start + part.start()), start + first, start + last)


def run(page: Path, directory: Path, *, languages: Sequence[str] = ("python", "console")) -> list[tuple[Example, str]]:
    """Run a page's examples, of these languages, in a directory; each with what it printed."""
    done: list[tuple[Example, str]] = []
    environment = _environment(directory)
    wanted = (one for one in examples(page.read_text(encoding="utf-8")) if one.language in languages)
    for language, group in groupby(wanted, lambda example: example.language):
        found = list(group)
        if language == "python":
            printed = _run_python(page, found, directory, environment)
        else:
            printed = [_run_command(example.code, directory, environment) for example in found]
        done += zip(found, printed, strict=True)
    return done


def _environment(directory: Path) -> dict[str, str]:
    """That of a reader at a terminal of ordinary width, with this checkout installed."""
    own = {name: value for name, value in os.environ.items() if name != "GRAPHSVC_MEMORY"}
    commands = directory / ".commands"
    commands.mkdir(exist_ok=True)
    for name, words in (("graphsvc", f'"{sys.executable}" -m graphsvc'), ("python", f'"{sys.executable}"')):
        (commands / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (commands / name).chmod(0o755)
    own.setdefault("GRAPHSVC_CACHE_DIR", str(ROOT / ".cache" / "tests"))
    path = f"{commands}{os.pathsep}{own['PATH']}"
    return {**own, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": COLUMNS, "HF_HUB_OFFLINE": "1"}


def _run_python(page: Path, found: list[Example], directory: Path, environment: dict[str, str]) -> list[str]:
    blocks = json.dumps([str(page), [(example.line, example.code) for example in found]])
    command = [sys.executable, "-c", RUNNER]
    done = subprocess.run(
        command, input=blocks, capture_output=True, text=True, cwd=directory, env=environment, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed: list[str] = json.loads(done.stdout)
    return printed


def _run_command(code: str, directory: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=directory,
        env=environment, timeout=SECONDS, check=False,
    )  # fmt: skip
    return done.stdout


def plain(text: str) -> str:
    """Without blanks at the ends of lines, and without empty lines at the end of all."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def agrees(shown: str, printed: str) -> bool:
    """Whether the page shows what was printed."""
    pattern = ".*?".join(map(re.escape, plain(shown).split("…")))
    return re.fullmatch(pattern, plain(printed), re.DOTALL) is not None


def rewritten(text: str, done: list[tuple[Example, str]]) -> str:
    """The page with the output of each example that shows another."""
    for example, printed in reversed(done):
        if not agrees(example.shown, printed):
            output = plain(printed) + "\n" if plain(printed) else ""
            if example.language == "python" and example.start == example.end:
                output = f"\n```text\n{output}```\n"
            text = text[: example.start] + output + text[example.end :]
    return text


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(name)
            outcome = run(page, Path(folder))
            page.write_text(rewritten(page.read_text(encoding="utf-8"), outcome), encoding="utf-8")
