"""What a statement wants of its parameters, where it can be told: the type of the column that one is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from graphsvc.cypher.parse import parse
from graphsvc.cypher.syntax import (
    Clause,
    Expr,
    Match,
    Projection,
    Query,
    Unwind,
    every_clause,
    in_clause,
    paths_of,
)

Form = Literal["value", "values", "element", "list", "count", "text"]
"""A column's value, a list of those, an element of what a column lists; a list, a number of rows, a text."""

_COMPARED = frozenset({"=", "<>", "<", ">", "<=", ">="})
_TEXTS = frozenset({"STARTS WITH", "ENDS WITH", "CONTAINS", "=~"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one use of a parameter wants.

    Attributes:
        name: of the parameter. form: what it is to be.
        tables: that the column may be of. column: its name; '' where it hangs on no column.
        equal_at: where the parameter stands, if it is in a MATCH, and the column is to be equal to it; else -1.
    """

    name: str
    form: Form
    tables: tuple[str, ...] = ()
    column: str = ""
    equal_at: int = -1


@lru_cache(maxsize=512)
def expected(statement: str) -> tuple[Wanted, ...]:
    """What is known of the parameters of a statement; of a variable that is bound twice, nothing.

    Raises:
        NotAllowed, BadInput: as `parse`.
    """
    query = parse(statement)
    return tuple(_expected(query)) if isinstance(query, Query) else ()


def _expected(query: Query) -> list[Wanted]:
    tables = _tables(query)
    found: list[Wanted] = []
    for clause in every_clause(query):
        found += _of_clause(clause)
        matched = isinstance(clause, Match)  # elsewhere it may be part of the name of a column
        for path in paths_of(clause):
            for part in path.parts:
                labels = tables.get(part.variable) or _labels(part)
                for column, value in part.properties:
                    if value.kind == "parameter" and labels:
                        found.append(Wanted(value.value, "value", labels, column, value.at if matched else -1))
        for expr in in_clause(clause):
            found += _of_expression(expr, tables, matched=matched)
    return found


def _labels(part: object) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(part, "labels", None) or getattr(part, "types", None) or ()
    return found


def _tables(query: Query) -> dict[str, tuple[str, ...]]:
    """The tables of variables that patterns bind, and nothing else does."""
    found: dict[str, tuple[str, ...]] = {}
    others: set[str] = set()
    for clause in every_clause(query):
        for path in paths_of(clause):
            for part in path.parts:
                labels = _labels(part)
                if part.variable and labels and found.setdefault(part.variable, labels) != labels:
                    others.add(part.variable)
        if isinstance(clause, Unwind):
            others.add(clause.name)
        elif isinstance(clause, Projection):
            renamed = (item for item in clause.items if (item.expr.kind, item.expr.value) != ("variable", item.name))
            others |= {item.name for item in renamed}
        others |= {str(expr.value) for expr in in_clause(clause) if expr.kind == "quantifier"}
    return {name: tables for name, tables in found.items() if name not in others}


def _of_clause(clause: Clause) -> Iterator[Wanted]:
    if isinstance(clause, Unwind) and clause.expr.kind == "parameter":
        yield Wanted(clause.expr.value, "list")
    elif isinstance(clause, Projection):
        for expr in (clause.skip, clause.limit):
            if expr is not None and expr.kind == "parameter":
                yield Wanted(expr.value, "count")


def _of_expression(expr: Expr, tables: dict[str, tuple[str, ...]], *, matched: bool) -> Iterator[Wanted]:
    if expr.kind != "op" or len(expr.args) != 2:
        return
    left, right = expr.args
    if expr.value in _COMPARED:
        for one, other in ((left, right), (right, left)):
            if one.kind == "parameter":
                yield from _like(one, other, "value", tables, equal=matched and expr.value == "=")
    elif expr.value == "IN":
        if right.kind == "parameter":
            yield Wanted(right.value, "list")
            yield from _like(right, left, "values", tables)
        if left.kind == "parameter":
            yield from _like(left, right, "element", tables)
    elif expr.value in _TEXTS and right.kind == "parameter":
        yield Wanted(right.value, "text")


def _like(
    parameter: Expr, other: Expr, form: Form, tables: dict[str, tuple[str, ...]], *, equal: bool = False
) -> Iterator[Wanted]:
    if other.kind == "property" and other.args and other.args[0].kind == "variable" and other.args[0].value in tables:
        at = parameter.at if equal else -1
        yield Wanted(parameter.value, form, tables[other.args[0].value], other.value, at)


