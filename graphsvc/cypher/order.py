"""Whether a replay of a write gives the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphsvc.cypher.functions import CHANCE, PLACE
from graphsvc.cypher.syntax import Clause, Expr, Projection, in_clause, paths_of
from graphsvc.cypher.tokens import place
from graphsvc.errors import NotDeterministic


def check_order(statement: str, clauses: Sequence[Clause], parameters: Mapping[str, Any] | None) -> None:
    """Refuse a write whose effect hangs on the order of rows, on chance, or on where rows lie.

    Raises:
        NotDeterministic: `rule` says on what.
    """
    for clause in clauses:
        if isinstance(clause, Projection) and (clause.limit or clause.skip):
            raise _differs(statement, clause.at, "which rows LIMIT and SKIP take isn't the same each time", "order")
        if isinstance(clause, Projection) and clause.final:
            continue
        for expr in in_clause(clause):
            if expr.kind == "call":
                _check_call(statement, expr)
        for path in paths_of(clause):
            for edge in path.edges:
                if edge.hops and edge.hops.way in ("SHORTEST", "WSHORTEST"):
                    raise _differs(statement, edge.at, "of several shortest paths it may be any", "order")


def _check_call(statement: str, expr: Expr) -> None:
    if expr.value in CHANCE:
        raise _differs(statement, expr.at, f"{expr.value.lower()} is chance", "chance")
    if expr.value in PLACE:
        raise _differs(statement, expr.at, f"{expr.value.lower()} is other after a rebuild", "place")
    if expr.value == "COLLECT":
        raise _differs(statement, expr.at, "collect gathers in no fixed order", "order")
    if expr.value == "AVG" or (expr.value == "SUM" and not _whole(expr.args)):
        hint = "Say that it is whole: sum(cast(x AS INT64))." if expr.value == "SUM" else ""
        raise _differs(
            statement, expr.at, f"{expr.value.lower()} of floating-point numbers differs by order", "float", hint
        )


def _whole(args: tuple[Expr, ...]) -> bool:
    """Whether a sum surely is of whole numbers."""
    if not args:
        return True
    expr = args[0]
    if expr.kind == "literal":
        return isinstance(expr.value, int)
    if expr.kind == "cast":
        return str(expr.value).startswith(("INT", "UINT")) and expr.value != "INTERVAL"
    if expr.kind == "call":
        return expr.value in ("SIZE", "LENGTH", "COUNT") or expr.value.startswith(("TO_INT", "TO_UINT"))
    if expr.kind == "op" and expr.value in ("+", "-", "*"):
        return all(_whole((arg,)) for arg in expr.args)
    return expr.kind == "case" and all(_whole((arg,)) for arg in expr.args[1::2])


def _differs(statement: str, at: int, what: str, rule: str, hint: str = "") -> NotDeterministic:
    return NotDeterministic(what, where=place(statement, at), hint=hint, rule=rule)
