"""What a read may be: an allow-list by clauses, functions and names, and a budget of growth."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphsvc.cypher.functions import ALGORITHMS, PROCEDURES
from graphsvc.cypher.growth import fixed
from graphsvc.cypher.parse import parse
from graphsvc.cypher.rules import WRITING, check_common
from graphsvc.cypher.syntax import Call, Query, every_clause
from graphsvc.cypher.tokens import place
from graphsvc.cypher.values import Schema
from graphsvc.cypher.visible import visible
from graphsvc.errors import NotAllowed

_WRITE = "Pass write=True; at a shell --write, or :write on."


def check_read(
    statement: str,
    *,
    tables: Schema | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Refuse a user's statement that isn't a read of the graph, or might grow without bound.

    Args:
        tables: the tables that there are, with the types of their columns; None looks at none, and trusts types.
        parameters: their values, whose sizes count; None takes them for small.

    Raises:
        NotAllowed: what it does isn't allowed; `rule` is a name of `rules.RULES`.
        TooLarge: too long, or nested too deep. BadInput: not text, or an unknown table.
    """
    query = _reading(statement)
    check_common(statement, query, parameters, tables)


@dataclass(slots=True)
class Read:
    """A user's statement that was found to be a read.

    Attributes:
        text: as the engine is to be given it. query: parsed.
        fixed: whether no value of a parameter can change what was found; else the budget of growth is for each time.
    """

    text: str
    query: Query
    fixed: bool


def judged(statement: str, *, tables: Schema, nodes: Collection[str], parameters: Mapping[str, Any]) -> Read:
    """A read, if `check_read` lets it pass.

    Args:
        nodes: which of the tables are of nodes.
    """
    check_read(statement, tables=tables, parameters=parameters)
    query = _reading(statement)
    return Read(visible(statement, query, nodes), query, fixed(query))


@lru_cache(maxsize=512)
def check_own_read(statement: str) -> None:
    """Refuse a statement of the program's own that isn't a read: hidden names and algorithms are its to use."""
    for clause in every_clause(_reading(statement)):
        if isinstance(clause, Call) and clause.name not in PROCEDURES | ALGORITHMS:
            raise NotAllowed(
                f"CALL {clause.name.lower()} isn't allowed", where=place(statement, clause.at), rule="procedure"
            )


def _reading(statement: str) -> Query:
    parsed = parse(statement)
    if not isinstance(parsed, Query):
        raise NotAllowed("DDL isn't a read", where=place(statement, parsed.at), hint=_WRITE, rule="write")
    for clause in every_clause(parsed):
        if type(clause) in WRITING:
            what, where = f"{WRITING[type(clause)]} writes", place(statement, clause.at)
            raise NotAllowed(what, where=where, hint=_WRITE, rule="write")
    return parsed
