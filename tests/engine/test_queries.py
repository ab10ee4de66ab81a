from __future__ import annotations

import re

import pytest

from graphsvc.cypher.tokens import parameters_of, statements
from graphsvc.model.graph import NODE_TABLES, REL_TABLES
from graphsvc.store import queries
from graphsvc.store.engine import Engine
from graphsvc.store.graph import GraphProjection, migrations

STATEMENTS = [pytest.param(query, id=query.name) for query in queries.every_query()]


@pytest.mark.parametrize("query", STATEMENTS)
def test_header_says_what_the_statement_takes(query: queries.Query) -> None:
    assert query.about
    assert query.params.keys() == parameters_of(query.text)


@pytest.mark.parametrize("query", STATEMENTS)
def test_header_says_what_the_statement_gives(query: queries.Query) -> None:
    last = query.text.rsplit("RETURN", 1)[1]
    names = re.findall(r"\bAS (\w+)", last) or re.findall(r"\w+", last)
    assert list(query.columns) == names


@pytest.mark.parametrize("query", STATEMENTS)
def test_a_statement_with_holes_says_which_tables_it_is_for(query: queries.Query) -> None:
    assert bool(re.search(r"<(table|source|target)>", query.text)) == bool(query.scope)


@pytest.mark.parametrize("query", [one for one in STATEMENTS if not re.search(r"<\w+>", one.values[0].text)])
def test_the_engine_takes_every_statement_as_it_stands(query: queries.Query, graph: GraphProjection) -> None:
    values = {"STRING": "", "INT64": 0}
    parameters = {name: values[type] for name, type in query.params.items()}
    with graph.engine.transaction() as transaction:
        assert transaction.execute(query.text, parameters).columns == list(query.columns)


def test_parameters_in_texts_comments_and_quoted_names_are_none() -> None:
    statement = "MATCH (n) // $a\nWHERE n.x = '$b \\' $c' AND n.`$d` = $e /* $f */ AND n.y = \"$g\" RETURN $e_1"
    assert parameters_of(statement) == {"e", "e_1"}


def test_statements_of_a_migration_are_parted_where_they_end() -> None:
    assert statements("// one; two\nA `;` ';';\n/* ; */ B;\n") == ["A `;` ';'", "B"]


def test_only_names_of_columns_are_filled_in() -> None:
    with pytest.raises(AssertionError):
        queries.assignments(["x}) DETACH DELETE (n"])
    with pytest.raises(KeyError):
        queries.table_holes("Person")


def _columns(engine: Engine, table: str) -> dict[str, tuple[str, bool]]:
    rows = engine.execute(f"CALL table_info('{table}') RETURN *").dicts()
    return {row["name"]: (row["type"], bool(row.get("primary key"))) for row in rows}


def test_the_schema_makes_the_tables_that_the_model_declares(graph: GraphProjection) -> None:
    for table, columns in NODE_TABLES.items():
        expected = {name: (type, name == "key") for name, type in columns.items()}
        assert _columns(graph.engine, table) == expected
    for table, rel in REL_TABLES.items():
        assert {name: type for name, (type, _) in _columns(graph.engine, table).items()} == rel.columns
        ends = graph.engine.execute(f"CALL show_connection('{table}') RETURN *").rows
        assert sorted((row[0], row[1]) for row in ends) == sorted(rel.pairs)
    made = {row[0] for row in graph.read("show_tables").rows}
    assert made == {*NODE_TABLES, *REL_TABLES, "_Applied"}


def test_no_column_has_the_name_of_a_variable_in_the_templates() -> None:
    # `LOAD FROM` makes every column a variable
    names = {name for columns in NODE_TABLES.values() for name in columns}
    assert not names & {"n", "s", "t", "key_", "session_", "task_"}
    names = {name for rel in REL_TABLES.values() for name in rel.columns}
    assert not names & {"a", "b", "r", "source_", "target_"}


def test_migrations_are_numbered_without_gaps() -> None:
    assert list(migrations()) == list(range(1, len(migrations()) + 1))
