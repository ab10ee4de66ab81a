"""The reference is what the code says, and says something about everything."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest
import typer

import graphsvc
from graphsvc.cli.app import app
from graphsvc.config import PREFIX, Settings
from graphsvc.errors import every_error
from graphsvc.model.filters import OPERATORS
from graphsvc.model.kinds import KINDS
from graphsvc.store.queries import every_query

from .examples import ROOT

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted(REFERENCE.glob("*.md"))


def text_of(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def generate(docs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(docs / "generate.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_reference_is_what_the_code_says() -> None:
    done = generate(DOCS, "--check")
    assert done.returncode == 0, done.stderr


def test_a_page_that_differs_is_named_and_written_anew(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(DOCS, docs)
    errors = docs / "reference" / "errors.md"
    right = errors.read_text(encoding="utf-8")
    errors.write_text(right.replace("not_found", "lost"), encoding="utf-8")
    (docs / "reference" / "old.md").write_text("of a page that is no more")
    done = generate(docs, "--check")
    assert done.returncode == 1
    assert "errors.md" in done.stderr
    assert "old.md is no page of the reference" in done.stderr
    assert "make docs" in done.stderr
    assert generate(docs).returncode == 0
    assert errors.read_text(encoding="utf-8") == right
    assert generate(docs, "--check").returncode == 0
    assert generate(docs, "--wrong").returncode == 2


def test_something_without_a_description_stops_the_run() -> None:
    markdown = load("markdown")
    assert markdown.said("What it is.", "it") == "What it is."
    for nothing in (None, "", "  \n"):
        with pytest.raises(markdown.UndescribedError, match="the setting x has no description"):
            markdown.said(nothing, "the setting x")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"pages_{name}", DOCS / "pages" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(text: str) -> list[list[str]]:
    """The rows of all tables, their heads left out."""
    lines = text.splitlines()
    rows = [line for line, after in zip(lines, [*lines[1:], ""], strict=True)
            if line.startswith("| ") and not after.startswith("|---")]  # fmt: skip
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


@pytest.mark.parametrize("setting", [setting.name for setting in fields(Settings)])
def test_every_setting_is_documented(setting: str) -> None:
    row = next(row for row in rows_of(text_of("settings.md")) if row[0] == f"`{setting}`")
    assert row[1] == f"`{PREFIX}{setting.upper()}`"
    assert all(row)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_is_documented(kind: type[graphsvc.GraphsvcError]) -> None:
    row = next(row for row in rows_of(text_of("errors.md")) if row[0] == f"`{kind.code}`")
    assert kind.__name__ in row[1]
    assert all(row)


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(codes) == len(set(codes))


def names_of(group: typer.Typer, path: str) -> list[str]:
    below = [names_of(one.typer_instance, f"{path} {one.name}") for one in group.registered_groups if one.typer_instance]
    return [*(f"{path} {command.name}" for command in group.registered_commands), *(name for each in below for name in each)]


@pytest.mark.parametrize("command", names_of(app, "graphsvc"))
def test_every_command_is_documented_with_an_example_that_calls_it(command: str) -> None:
    section = text_of("commands.md").split(f"\n## {command}\n", 1)[1].split("\n## ", 1)[0]
    words, example = re.fullmatch(r"\n(.+?)\n\n```console\n\$ ([^\n]+)\n```\n.*", section, re.DOTALL).groups()  # type: ignore[union-attr]
    assert words.strip()
    assert command in example
    assert all(row[2] for row in rows_of(section))


@pytest.mark.parametrize("query", [query.name for query in every_query()])
def test_every_query_is_documented(query: str) -> None:
    section = text_of("queries.md").split(f"\n## {query}\n\n", 1)[1].split("\n## ", 1)[0]
    assert not section.startswith("```"), "it says what it does"
    assert "```cypher\n" in section


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_field_of_every_record_is_documented(kind: object) -> None:
    name = kind.record.__name__  # type: ignore[attr-defined]
    section = text_of("records.md").split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
    rows = rows_of(section)
    assert [row[0] for row in rows] == [f"`{field}`" for field in kind.fields]  # type: ignore[attr-defined]
    assert all(all(row) for row in rows)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_is_documented(operator: str) -> None:
    row = next(row for row in rows_of(text_of("filters.md")) if row[0] == f"`{operator}`")
    assert all(row)


@pytest.mark.parametrize("name", [name for name in graphsvc.__all__ if not name.startswith("__")])
def test_every_public_name_is_documented(name: str) -> None:
    assert any(re.search(rf"\b{name}\b", page.read_text(encoding="utf-8")) for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_docstring_is_left_in_the_form_of_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"^ *(Args|Returns|Raises|Attributes):$", text, re.MULTILINE)
    assert "graphsvc.memory." not in re.sub(r"`graphsvc\.memory\.importing`", "", text), "where it lives is no matter"
