"""The schema as a whole: every verb is in it, everything says what it is, and what is exported is what is served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    build_schema,
    find_breaking_changes,
    get_named_type,
    is_enum_type,
    is_scalar_type,
    parse,
    parse_const_value,
    validate,
    validate_schema,
)

from graphsvc.service.graphql.schema import build, sdl
from graphsvc.service.graphql.verbs import LISTED, LOOKUPS, MUTATIONS, OTHERWISE, QUERIES
from graphsvc.service.operations import OPERATIONS, Role

from ...conftest import ROOT
from .conftest import OWNER, Asked

SDL = ROOT / "schema" / "schema.graphql"
RELEASED = ROOT / "schema" / "released.graphql"
"""The schema of the last release: copied from the other when a release is made."""
MEANT: tuple[str, ...] = ()
"""Changes since then that break clients, and are meant to; each stands in CHANGELOG.md."""


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build()


def test_every_operation_is_a_field_or_is_had_in_another_way(schema: GraphQLSchema) -> None:
    assert set(QUERIES) | set(LOOKUPS) | set(OTHERWISE) | set(MUTATIONS) == set(OPERATIONS)
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    assert set(schema.query_type.fields) == {*QUERIES.values(), *LOOKUPS.values(), *LISTED.values(), "node", "nodes"}
    assert set(schema.mutation_type.fields) == {shown for shown, _ in MUTATIONS.values()}


def test_every_write_is_a_mutation_and_no_read_is() -> None:
    reads = {*QUERIES, *LOOKUPS, *OTHERWISE}
    assert not reads & set(MUTATIONS)
    for name, operation in OPERATIONS.items():
        if operation.role is Role.WRITER:
            assert name in MUTATIONS, name
        if operation.role is Role.READER:
            assert name in reads, name


def test_what_is_had_in_another_way_is_there(schema: GraphQLSchema) -> None:
    for name, places in OTHERWISE.items():
        for place in places.split(" of ")[0].split(", "):
            first, _, field = place.partition(".")
            if first in ("Subscription", "causes", "effects", "tables"):
                continue
            owner = schema.get_type(first) if first[0].isupper() else schema.query_type
            assert isinstance(owner, GraphQLObjectType), name
            found: GraphQLField = owner.fields[field if first[0].isupper() else first]
            if field == "totalCount":
                connection = schema.get_type(str(found.type).rstrip("!"))
                assert isinstance(connection, GraphQLObjectType), name
                assert field in connection.fields, name


def test_it_is_valid_and_everything_says_what_it_is(schema: GraphQLSchema) -> None:
    assert validate_schema(schema) == []
    silent = []
    for name, type in schema.type_map.items():
        if name.startswith("__"):
            continue
        silent += [] if type.description else [name]
        for field, one in getattr(type, "fields", {}).items():
            silent += [] if one.description else [f"{name}.{field}"]
            silent += [f"{name}.{field}({a})" for a, given in getattr(one, "args", {}).items() if not given.description]
        if is_enum_type(type):
            silent += [f"{name}.{value}" for value, one in type.values.items() if not one.description]
    assert silent == []


def test_every_operation_has_an_example_that_is_valid_and_every_value_one(schema: GraphQLSchema) -> None:
    wrong = []
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        assert root is not None
        for name, field in root.fields.items():
            wrong += [(name, error.message) for error in validate(schema, parse(shown_in(field.description)))]
    assert wrong == []
    silent, astray = [], []
    for name, type in schema.type_map.items():
        given = type.fields if isinstance(type, GraphQLInputObjectType) else {}
        if isinstance(type, GraphQLObjectType) and not name.startswith("__"):
            given = {f"{field}({a})": it for field, one in type.fields.items() for a, it in one.args.items()}
        for field, one in given.items():
            if is_scalar_type(get_named_type(one.type)) and "Example: `" not in (one.description or ""):
                silent.append(f"{name}.{field}")
            if shown := shown_in((one.description or "").removesuffix(".")):
                parse_const_value(shown)
            if re.search(r"(^|\W)[Ss]ee `[A-Z]|thers: (see|as for)|^(Filter|Which part)\.", one.description or ""):
                astray.append((name, field, one.description))
    assert silent == []
    assert astray == [], "what the docstrings of Python refer to isn't there"
    filters = schema.query_type.fields["pagerank"].args
    assert "by table" in filters["filter"].description
    assert "column" in filters["weight"].description


def test_examples_are_answered(asked: Asked) -> None:
    async def filled() -> int:
        memory = asked.memory
        await memory.episodes.store(session="monday", task="sort the mail", id="mail-1", success=True, reward=0.8)
        await memory.skills.create_many([{"name": name, "id": name} for name in ("sort_letters", "open_mail")])
        await memory.entities.upsert(kind="customer", name="Acme", id="acme")
        await memory.causal.variable("cache")
        await memory.causal.variable("latency", is_reward=True)
        await memory.causal.add("cache", "latency", 0.2, id="edge-1")
        await memory.facts.add("Ann", "lives_in", "Oslo", id="fact-1")
        await memory.graph.define("City", {"name": str, "size": int}, key="name")
        await memory.wait()
        return int((await memory.status())["head"])

    head = asked.run(filled())  # of the last entry, the statement that defined the table
    schema = asked.schemas.of(OWNER)
    assert schema.query_type is not None
    failed = {}
    for name, field in schema.query_type.fields.items():
        found = asked.raw(shown_in(field.description).replace("n: 41", f"n: {head}"))
        if found.errors or "hint" in str(found.data):
            failed[name] = (found.errors, found.data)
    assert failed == {}


def shown_in(description: str | None) -> str:
    """The example in a description."""
    return (description or "").partition("Example: `")[2].removesuffix("`")


def test_the_exported_schema_is_what_is_served() -> None:
    assert SDL.read_text(encoding="utf-8") == sdl({}), "out of date: run `make docs`"


def test_no_client_of_the_last_release_is_broken(schema: GraphQLSchema) -> None:
    breaking = find_breaking_changes(build_schema(RELEASED.read_text(encoding="utf-8")), schema)
    assert [change.description for change in breaking if change.description not in MEANT] == []


def test_a_change_that_breaks_clients_would_be_found(schema: GraphQLSchema) -> None:
    text = RELEASED.read_text(encoding="utf-8")
    older = build_schema(text.replace("type Query {", 'type Query {\n  """Gone since."""\n  gone: String\n', 1))
    assert [change.type.name for change in find_breaking_changes(older, schema)] == ["FIELD_REMOVED"]
    assert older.query_type is not None
    assert older.query_type.fields["gone"].type is GraphQLString


def test_the_command_prints_the_exported_schema(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from graphsvc.cli.app import app

    done = CliRunner().invoke(app, ["graphql", "schema", "--memory", str(tmp_path / "none")])
    assert done.exit_code == 0
    assert build_schema(done.stdout).query_type is not None
