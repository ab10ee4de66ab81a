"""Shapes of statements that an engine crashes on, or answers wrongly in silence. Refused on both, with another way.

Each is shown on the raw engine in `tests/engine/test_shapes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphsvc.cypher.functions import AGGREGATES
from graphsvc.cypher.subqueries import check_subqueries
from graphsvc.cypher.syntax import Clause, Expr, Projection, Query, every_clause, in_clause, inside
from graphsvc.cypher.tokens import place
from graphsvc.errors import NotAllowed


def check_shapes(statement: str, query: Query) -> None:
    """Raises NotAllowed (rules `crash` and `wrong`) for a shape that an engine doesn't do right."""
    for part in query.parts:
        _check_filter_of_nothing(statement, part)
        _check_first_of_ordered(statement, part)
        check_subqueries(statement, part)
    for clause in every_clause(query):
        for expr in in_clause(clause):
            if expr.kind == "case":
                _check_case(statement, expr)


def _check_filter_of_nothing(statement: str, part: Sequence[Clause]) -> None:
    """`WITH 1 AS x WHERE x = 1 …`: Kuzu crashes where it filters a row that comes from no table, list or call."""
    for clause in part:
        if not isinstance(clause, Projection) or _aggregates(clause):
            return  # rows come from somewhere
        if clause.where is not None:
            hint = "Begin with UNWIND [1] AS one, say."
            raise _refused(statement, clause.at, "WITH … WHERE before any rows ends the process", "crash", hint)


def _check_first_of_ordered(statement: str, part: Sequence[Clause]) -> None:
    """`WITH x ORDER BY x LIMIT 3 RETURN collect(x)`: Ladybug takes any three where all of them become one row."""
    ordered = False
    for clause in part:
        if not isinstance(clause, Projection):
            ordered = False
            continue
        if ordered and _aggregates(clause) and all(map(_is_aggregate, (item.expr for item in clause.items))):
            hint = "Put UNWIND [1] AS one before it."
            raise _refused(statement, clause.at, "what aggregates the first of an order takes any", "wrong", hint)
        limited = bool(clause.order) and (clause.limit is not None or clause.skip is not None)
        ordered = limited or (ordered and not clause.distinct and not _aggregates(clause))


def _check_case(statement: str, case: Expr) -> None:
    """`CASE WHEN p.active THEN …`: Kuzu takes and repeats wrong rows where a condition is a mere column."""
    if case.value:  # CASE x WHEN …: compared, not a condition
        return
    for condition in case.args[: len(case.args) // 2 * 2 : 2]:
        if condition.kind in ("property", "variable", "parameter"):
            what = "a mere column as the condition of CASE mixes up rows"
            raise _refused(statement, condition.at, what, "wrong", "Compare it: CASE WHEN … = true THEN.")


def _aggregates(clause: Projection) -> bool:
    return any(_is_aggregate(item.expr) for item in clause.items)


def _is_aggregate(expr: Expr) -> bool:
    return any(one.kind == "call" and one.value in AGGREGATES for one in inside(expr))


def _refused(statement: str, at: int, what: str, rule: str, hint: str) -> NotAllowed:
    return NotAllowed(what, where=place(statement, at), hint=hint, rule=rule)
