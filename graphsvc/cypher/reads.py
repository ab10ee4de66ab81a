"""What a read may be: an allow-list by clauses, functions and names, and a budget of growth."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphsvc.cypher.expected import expected
from graphsvc.cypher.functions import ALGORITHMS, PROCEDURES
from graphsvc.cypher.growth import fixed
from graphsvc.cypher.parse import parse
from graphsvc.cypher.patterns import Ends
from graphsvc.cypher.rules import WRITING, check_common
from graphsvc.cypher.syntax import Call, Query, every_clause
from graphsvc.cypher.tokens import Token, place, tokens
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
        keys: parameters that are to equal the key of a table, an INT64: name, begin and end in `text`.
        others: the parameters that stand elsewhere in it.
        ran: whether it has run in a read-only transaction, and gave no nodes and edges.
    """

    text: str
    query: Query
    fixed: bool
    keys: tuple[tuple[str, int, int], ...] = ()
    others: frozenset[str] = frozenset()
    ran: bool = False

    def with_keys(self, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The text with whole numbers of up to 32 bits in the place of `keys`, and the other parameters.

        Kuzu takes a parameter's type from its value, the smallest that holds it, and finds a key in its index only by
        one of the column's: for any other it reads the whole table. A number in the text is an INT64.
        """
        if not self.keys:
            return self.text, values
        text = self.text
        for name, at, end in reversed(self.keys):
            value = values[name]
            if type(value) is not int or not 0 <= value < 1 << 31:
                return self.text, values
            text = f"{text[:at]} {value:d} {text[end:]}"
        return text, {name: value for name, value in values.items() if name in self.others}


def judged(
    statement: str,
    *,
    tables: Schema,
    nodes: Collection[str],
    ends: Ends,
    parameters: Mapping[str, Any],
    keys: Mapping[str, str] | None = None,
) -> Read:
    """A read, if `check_read` lets it pass.

    Args:
        nodes: which of the tables are of nodes. ends: pairs of those that the others join.
        keys: of the tables of nodes, where `Read.keys` are wanted.
    """
    check_read(statement, tables=tables, parameters=parameters)
    query = _reading(statement)
    read = Read(visible(statement, query, tables, nodes, ends), query, fixed(query))
    if keys is not None:
        read.keys, read.others = keys_in(statement, read.text, tables, keys)
    return read


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


def keys_in(
    statement: str, text: str, tables: Schema, keys: Mapping[str, str]
) -> tuple[tuple[tuple[str, int, int], ...], frozenset[str]]:
    """The parameters that are to equal the key of a table, an INT64: name, begin and end; and the names of all others.

    Args:
        text: the statement with names of tables put in, where they stand. keys: the key of each table of nodes.
    """
    sought = {
        one.equal_at
        for one in expected(statement)
        if len(one.tables) == 1
        and keys.get(one.tables[0]) == one.column
        and tables[one.tables[0]].get(one.column) == "INT64"
    }
    if not sought:
        return (), frozenset()
    pairs = list(zip(_parameters(statement), _parameters(text), strict=True))
    return (
        tuple((there.value, there.at, there.end) for here, there in pairs if here.at in sought),
        frozenset(there.value for here, there in pairs if here.at not in sought),
    )


def _parameters(statement: str) -> list[Token]:
    return [token for token in tokens(statement) if token.kind == "parameter"]
