"""The rules that hold for every statement of a user's, and their names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from graphsvc.cypher.functions import CRASHES, FUNCTIONS, PROCEDURES, WRONG
from graphsvc.cypher.growth import check_growth
from graphsvc.cypher.names import folded, hidden
from graphsvc.cypher.shapes import check_shapes
from graphsvc.cypher.syntax import (
    Call,
    Clause,
    Create,
    Delete,
    Edge,
    Expr,
    Match,
    Merge,
    Node,
    Query,
    Set,
    every_clause,
    in_clause,
    paths_of,
)  # fmt: skip
from graphsvc.cypher.tokens import place, tokens
from graphsvc.cypher.values import Schema
from graphsvc.errors import BadInput, NotAllowed

RULES = {
    "grammar": "What isn't written in the Cypher of this page is refused, even where an engine would take it.",
    "one_statement": "One statement a call, with at most one `;` behind it.",
    "write": "A read has no CREATE, MERGE, SET, DELETE or DDL; `write=True` takes statements that write.",
    "no_write": "With `write=True` a statement must write.",
    "ddl": "DDL makes, alters and drops tables, by columns; no macros, types, sequences, indexes, users, graphs.",
    "files": "No LOAD FROM, COPY, EXPORT or IMPORT: nothing reads or writes files, or data frames of the process.",
    "transaction": "No BEGIN, COMMIT, ROLLBACK or CHECKPOINT: each statement is a transaction.",
    "settings": "No CALL that sets an option of the engine.",
    "attach": "No ATTACH, DETACH or USE of other databases.",
    "extension": "No INSTALL, LOAD, UPDATE or UNINSTALL of extensions.",
    "profile": "No PROFILE, which runs what it explains; EXPLAIN shows the plan.",
    "statement": "No other statement of an engine's.",
    "clause": "The clauses are MATCH, OPTIONAL MATCH, UNWIND, WITH, RETURN, UNION, CALL, CREATE, MERGE, SET, DELETE.",
    "procedure": "CALL calls only functions that tell of the schema.",
    "function": "Only listed functions can be called.",
    "crash": "What ends the process on an engine is refused.",
    "wrong": "What an engine is known to answer wrongly, or not in time, is refused on both.",
    "hidden": "Names of tables, properties and parameters that begin with `_` belong to the memory.",
    "growth": "How large values may become is bounded before a statement runs.",
    "plan": "The plan of a read has only operators that read.",
    "own": "The memory's own tables are written by its verbs.",
    "label": "What is written, or tied to what is written, names its table.",
    "order": "Nothing that is written hangs on the order of rows: no LIMIT or SKIP, no collect.",
    "float": "Nothing that is written comes from a sum or mean of floating-point numbers, which differ by order.",
    "chance": "Nothing that is written comes from chance.",
    "place": "Nothing that is written comes from internal ids or an engine's own checksums.",
    "last_wins": "No row is given several values by one statement, of which the last would win.",
    "read_after_write": "Within a statement, nothing reads the tables that it has written before.",
    "default": "A column's default is a constant, and no column counts by itself.",
    "escape": "Texts in a write escape backslashes and quotes alone: other escapes the engines read differently.",
    "type": "A column has a type that both engines keep alike.",
}
"""The rules: the name in an error, and what it says. `docs/reference/cypher.md` is made of it."""


def check_statement(statement: str) -> None:
    """Refuse what would crash an engine's parser. For statements of the program's own, too.

    Raises:
        TooLarge: too long, or nested too deep.
        BadInput: it isn't text that an engine reads as it stands.
    """
    tokens(statement)


def check_common(
    statement: str,
    query: Query,
    parameters: Mapping[str, Any] | None,
    tables: Schema | None,
    *,
    writes: bool = False,
) -> None:
    """What holds for reads and writes: functions, hidden names, known tables, growth."""
    for token in tokens(statement):
        if token.kind == "parameter" and hidden(token.value):
            raise refused(statement, token.at, f"${token.value} begins with _", "hidden")
    known = None if tables is None else {folded(table): table for table in tables}
    for clause in every_clause(query):
        for expr in in_clause(clause):
            _check_expression(statement, expr)
        for at, name, what in _names(clause):
            if hidden(name):
                raise refused(statement, at, f"{name} begins with _", "hidden")
            if what == "table":
                _check_table(statement, at, name, known)
        if isinstance(clause, Call):
            _check_procedure(statement, clause)
        elif isinstance(clause, Match) and clause.hint is not None:
            raise refused(statement, clause.hint, "HINT isn't allowed", "clause")
    check_shapes(statement, query)
    check_growth(statement, query, parameters, tables, writes=writes)


def refused(statement: str, at: int, what: str, rule: str, hint: str = "") -> NotAllowed:
    return NotAllowed(what, where=place(statement, at), hint=hint, rule=rule)


def _check_expression(statement: str, expr: Expr) -> None:
    if expr.kind == "property" and hidden(expr.value):
        raise refused(statement, expr.at, f"{expr.value} begins with _", "hidden")
    if expr.kind == "call" and expr.value not in FUNCTIONS:
        if expr.value in CRASHES:
            raise refused(statement, expr.at, CRASHES[expr.value], "crash")
        if expr.value in WRONG:
            raise refused(statement, expr.at, WRONG[expr.value], "wrong")
        near = difflib.get_close_matches(expr.value, FUNCTIONS, 1)
        hint = f"Did you mean {near[0].lower()}?" if near else "docs/reference/cypher.md lists them."
        raise refused(statement, expr.at, f"{expr.value.lower()} isn't a function that can be called", "function", hint)
    if expr.kind == "call" and expr.value in ("STRUCT_EXTRACT", "PROPERTIES") and len(expr.args) > 1:
        key = expr.args[1]
        if key.kind != "literal" or not isinstance(key.value, str) or hidden(key.value):
            what = f"{expr.value.lower()} takes the name of a property, as a text that begins with no _"
            raise refused(statement, key.at, what, "hidden")


def _check_table(statement: str, at: int, name: str, known: Mapping[str, str] | None) -> None:
    if "." in name or "`" in name:
        raise refused(statement, at, f"{name} is no name of a table", "hidden")
    if known is not None and folded(name) not in known:
        near = difflib.get_close_matches(folded(name), known, 1)
        hint = f"Did you mean {known[near[0]]}?" if near else ""
        raise BadInput(f"there is no table {name}", where=place(statement, at), hint=hint)


def _check_procedure(statement: str, clause: Call) -> None:
    if clause.name not in PROCEDURES:
        hint = "Algorithms are verbs: memory.graph.pagerank and the like."
        raise refused(statement, clause.at, f"CALL {clause.name.lower()} isn't allowed", "procedure", hint)
    for arg in clause.args:
        if arg.kind != "literal":
            raise refused(statement, arg.at, "CALL takes literals", "procedure")
        if isinstance(arg.value, str) and hidden(arg.value):
            raise refused(statement, arg.at, f"{arg.value} begins with _", "hidden")


def _names(clause: Clause) -> Iterator[tuple[int, str, str]]:
    """The names of tables and properties in a clause, but for those in expressions."""
    for path in paths_of(clause):
        for part in path.parts:
            tables = part.labels if isinstance(part, Node) else part.types
            yield from ((part.at, name, "table") for name in tables)
            yield from ((part.at, key, "property") for key, _ in part.properties)
            if isinstance(part, Edge) and part.hops and part.hops.weight:
                yield part.at, part.hops.weight, "property"
    if isinstance(clause, Set):
        yield from ((item.at, item.key, "property") for item in clause.items)
    if isinstance(clause, Merge):
        yield from ((item.at, item.key, "property") for item in (*clause.on_create, *clause.on_match))


WRITING = {Create: "CREATE", Merge: "MERGE", Set: "SET", Delete: "DELETE"}
