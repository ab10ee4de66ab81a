"""openCypher as the specification says it, on both engines; where not, `docs/cypher.md` says so."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graphsvc.config import Settings
from graphsvc.cypher.tokens import parameters_of
from graphsvc.errors import GraphsvcError
from graphsvc.memory.parameters import check_names, converted
from graphsvc.store.engine import Engine, open_engine

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from conformance import SECTIONS, instead  # noqa: E402
from conformance.case import SETUP, Case, same_rows  # noqa: E402

CASES = [pytest.param(case, id=f"{section}-{number}") for section, cases in SECTIONS.items() for number, case in enumerate(cases)]
PAGE = (ROOT / "docs" / "cypher.md").read_text(encoding="utf-8")
DIFFERENCE = re.compile(r"^\| `([a-z-]+)` \|.*\| (both|Kuzu|Ladybug) \|$", re.MULTILINE)
WRITES = re.compile(r"\b(?:CREATE|SET|DELETE|MERGE|REMOVE|FOREACH)\b")


class _RollBack(Exception):
    """Nothing of a case stays."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, engine_name: str) -> Iterator[Engine]:
    """The fixture graphs, open for all cases."""
    engine = open_engine(engine_name, tmp_path_factory.mktemp("people") / "graph", Settings(graph_buffer_bytes=128 << 20, graph_timeout=5.0))
    with engine.transaction() as transaction:
        for statement in SETUP:
            transaction.execute(statement)
    engine.checkpoint()
    yield engine
    engine.close()


def outcome(engine: Engine, case: Case) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows of a case, as a user of `memory.cypher` gets them."""
    params = {name: converted(value, name) for name, value in check_names(parameters_of(case.statement), case.params).items()}
    if not case.writes and not WRITES.search(case.statement):
        answer = engine.answer(case.statement, params, limit=1_000)
        return answer.columns, answer.rows
    found: list[Any] = []
    try:
        with engine.transaction() as transaction:
            for statement in case.writes:
                transaction.execute(statement, {name: params[name] for name in parameters_of(statement)})
            answer = transaction.answer(case.statement, params)
            found += [answer.columns, answer.rows]
            raise _RollBack
    except _RollBack:
        return found[0], found[1]


def met(engine: Engine, case: Case) -> tuple[bool, object]:
    """Whether the engine gives what the specification says, and what it gives."""
    try:
        columns, rows = outcome(engine, case)
    except GraphsvcError as error:
        return case.error, error
    right = not case.error and same_rows(rows, case.rows, ordered=case.ordered)
    return right and (not case.columns or tuple(columns) == case.columns), (columns, rows)


@pytest.mark.parametrize("case", CASES)
def test_a_statement_gives_what_opencypher_says_or_the_difference_is_documented(people: Engine, engine_name: str, case: Case) -> None:
    right, found = met(people, case)
    difference = case.difference(engine_name)
    if difference:
        assert not right, f"{case.statement}\nmeets the specification: {difference!r} is no difference of it any more"
    else:
        wanted = "an error" if case.error else case.rows
        assert right, f"{case.statement}\n  gives    {found}\n  instead of {wanted}"


def test_the_page_lists_the_differences_that_the_suite_shows_and_no_others(engine_name: str) -> None:
    listed = dict(DIFFERENCE.findall(PAGE))
    shown: dict[str, set[str]] = {}
    for cases in SECTIONS.values():
        for case in cases:
            for engine in ("kuzu", "ladybug"):
                if name := case.difference(engine):
                    shown.setdefault(name, set()).add(engine)
    assert listed == {name: "both" if len(engines) == 2 else min(engines).capitalize() for name, engines in shown.items()}


@pytest.mark.parametrize("case", instead.CASES, ids=lambda case: case.statement)
def test_what_the_page_offers_instead_gives_what_opencypher_says(people: Engine, case: Case) -> None:
    right, found = met(people, case)
    assert right, f"{case.statement}\n  gives    {found}\n  instead of {case.rows}"


def test_the_suite_is_as_large_as_it_is_said_to_be() -> None:
    statements = {(case.writes, case.statement, str(case.params)) for cases in SECTIONS.values() for case in cases}
    assert len(statements) >= 250
    count = sum(len(cases) for cases in SECTIONS.values())
    assert f"{count} statements" in PAGE
