"""README and guide: every example runs as pasted and prints what the page shows."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from graphsvc.memory.causal import Causal
from graphsvc.memory.entities import Entities
from graphsvc.memory.episodes import Episodes
from graphsvc.memory.facts import Facts
from graphsvc.memory.graph import Graph
from graphsvc.memory.memory import Memory
from graphsvc.memory.skills import Skills
from graphsvc.memory.tables import Tables
from graphsvc.model.filters import OPERATORS

from .examples import ROOT, agrees, examples, rewritten, run

README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "getting-started.md"
IMPORTING = ROOT / "docs" / "importing.md"
GRAPH = ROOT / "docs" / "graph.md"
TABLES = ROOT / "docs" / "tables.md"
FACTS = ROOT / "docs" / "facts.md"
CAUSAL = ROOT / "docs" / "causal.md"
RECALL = ROOT / "docs" / "recall.md"
CYPHER = ROOT / "docs" / "cypher.md"
SECURITY = ROOT / "docs" / "security.md"
CLIENT = ROOT / "docs" / "client.md"


def check(page: Path, directory: Path, **options: Any) -> None:
    done = run(page, directory, **options)
    assert done, "the page has examples"
    for example, printed in done:
        assert agrees(example.shown, printed), f"{page.name}, line {example.line}, printed:\n{printed}"


def test_the_guide_prints_what_it_shows(tmp_path: Path) -> None:
    check(GUIDE, tmp_path)


def test_the_page_on_many_processes_prints_what_it_shows(tmp_path: Path) -> None:
    check(CLIENT, tmp_path)


def test_the_page_on_importing_prints_what_it_shows(tmp_path: Path) -> None:
    check(IMPORTING, tmp_path)


def test_the_page_on_the_graph_prints_what_it_shows(tmp_path: Path) -> None:
    check(GRAPH, tmp_path)


def test_every_walk_and_figure_is_in_the_page_on_the_graph() -> None:
    text = GRAPH.read_text(encoding="utf-8")
    verbs = {name for name, _ in inspect.getmembers(Graph, inspect.isfunction) if not name.startswith("_")}
    assert not {verb for verb in verbs - vars(Tables).keys() if f"`{verb}" not in text and f"memory.graph.{verb}" not in text}


def test_the_page_on_tables_prints_what_it_shows(tmp_path: Path) -> None:
    check(TABLES, tmp_path)


def test_the_page_on_facts_prints_what_it_shows(tmp_path: Path) -> None:
    check(FACTS, tmp_path)


def test_the_page_on_recall_prints_what_it_shows(tmp_path: Path) -> None:
    check(RECALL, tmp_path)


def test_the_page_on_causal_edges_prints_what_it_shows(tmp_path: Path) -> None:
    check(CAUSAL, tmp_path)


def test_the_page_on_cypher_prints_what_it_shows(tmp_path: Path) -> None:
    check(CYPHER, tmp_path)


def test_the_page_on_security_prints_what_it_shows(tmp_path: Path) -> None:
    check(SECURITY, tmp_path)


def test_the_readme_prints_what_it_shows_and_its_tour_run_again_the_same(tmp_path: Path) -> None:
    check(README, tmp_path)
    check(README, tmp_path, languages=["python"])


@pytest.mark.parametrize(("kind", "place"), [(Memory, "memory"), (Episodes, "memory.episodes"), (Skills, "memory.skills"), (Entities, "memory.entities"), (Facts, "memory.facts"), (Causal, "memory.causal"), (Tables, "memory.graph")])
def test_every_verb_is_in_the_guide(kind: type, place: str) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    verbs = {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
    missing = {verb for verb in verbs if f"{place}.{verb}" not in text}
    assert not missing


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_is_in_the_guide(operator: str) -> None:
    assert f'{{"{operator}": ' in GUIDE.read_text(encoding="utf-8")


def test_every_block_that_can_be_run_is_run() -> None:
    for page in (README, GUIDE, IMPORTING, TABLES, GRAPH, FACTS, CAUSAL, CYPHER, RECALL, SECURITY):
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```(\w+)$", text, re.MULTILINE)
        assert set(blocks) <= {"python", "text", "console", "sh", "json", "py"}
        found = list(examples(text))
        assert sum(example.language == "python" for example in found) == blocks.count("python")
        assert blocks.count("text") == sum(example.language == "python" and bool(example.shown) for example in found)
        assert sum(example.language == "console" for example in found) == len(re.findall(r"^\$ ", text, re.MULTILINE))


PAGE = """\
Words.

```python
print("one")
```

```text
one
```

```python
print("two")
```

```console
$ echo three
three
$ date
… 20…
```
"""


def test_examples_are_found_with_what_they_are_to_print() -> None:
    found = [(example.language, example.code, example.shown) for example in examples(PAGE)]
    assert found == [
        ("python", 'print("one")\n', "one\n"),
        ("python", 'print("two")\n', ""),
        ("console", "echo three", "three\n"),
        ("console", "date", "… 20…\n"),
    ]


def test_an_example_that_prints_something_else_is_found_and_can_be_rewritten(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("three\n$", "four\n$"), encoding="utf-8")
    done = run(page, tmp_path)
    assert [agrees(example.shown, printed) for example, printed in done] == [True, False, False, True]
    page.write_text(rewritten(page.read_text(encoding="utf-8"), done), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == PAGE.replace('"two")\n```\n', '"two")\n```\n\n```text\ntwo\n```\n')


def test_an_example_that_fails_names_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Words.\n\n```python\n1 / 0\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"page\.md\", line 4(.|\n)*ZeroDivisionError"):
        run(page, tmp_path)


def test_an_ellipsis_stands_for_anything_and_blanks_at_ends_for_nothing() -> None:
    assert agrees("took … s\n", "took 0.2 s   \n\n")
    assert agrees("…", "")
    assert not agrees("took … s", "took 0.2 ms")
