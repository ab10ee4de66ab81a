"""Subqueries that an engine crashes on, or counts wrongly. Refused on both, with another way.

`COUNT {…}` that takes values from outside, and no node, gives 1 on both engines where it should give 0. Where rows are
gathered behind a subquery that was given a null from outside, Kuzu ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphsvc.cypher.functions import AGGREGATES
from graphsvc.cypher.names import folded
from graphsvc.cypher.syntax import (
    Call,
    Clause,
    Expr,
    Match,
    Path,
    Projection,
    Unwind,
    in_clause,
    in_match,
    in_path,
    inside,
)  # fmt: skip
from graphsvc.cypher.tokens import place
from graphsvc.errors import NotAllowed

_Scope = dict[str, bool]
"""What is bound, and whether it may be null, or is a mere value."""
_HINT = "Count by OPTIONAL MATCH, and WITH …, count(x)."


def check_subqueries(statement: str, part: Sequence[Clause]) -> None:
    """Raises NotAllowed (rules `crash` and `wrong`) for such a subquery."""
    scope: _Scope = {}
    tied = False
    for clause in part:
        if isinstance(clause, Match):
            for path in clause.paths:
                for name in (path.variable, *(each.variable for each in path.parts)):
                    scope.setdefault(folded(name), clause.optional)
        for expr in _subqueries(in_clause(clause)):
            if expr.kind == "count" and _values(expr, scope) and not _nodes(expr) & scope.keys():
                what = "COUNT {…} that takes values from outside, and no node, counts wrongly"
                raise NotAllowed(what, where=place(statement, expr.at), hint=_HINT, rule="wrong")
        match clause:
            case Unwind():
                scope[folded(clause.name)] = True
            case Call():
                scope |= {folded(name): True for _, name in clause.yields}
            case Projection():
                computed = [*(item.expr for item in clause.items), *clause.order]
                found = _subqueries(each for expr in computed for each in inside(expr))
                tied = tied or any(_loose(expr, scope) for expr in found)
                if tied and (clause.distinct or any(map(_gathers, computed))):
                    what = "rows are gathered behind a subquery that may have been given a null"
                    raise NotAllowed(what, where=place(statement, clause.at), hint=_HINT, rule="crash")
                scope = _passed(clause, scope)


def _passed(clause: Projection, scope: _Scope) -> _Scope:
    passed = dict(scope) if clause.star else {}
    for item in clause.items:
        if item.expr.kind == "variable":
            name = folded(item.expr.value)
            passed[folded(item.name) or name] = scope.get(name, True)
        elif item.name:
            passed[folded(item.name)] = True
    return passed


def _subqueries(exprs: Iterator[Expr]) -> list[Expr]:
    return [expr for expr in exprs if isinstance(expr.value, Match | Path)]


def _paths(subquery: Expr) -> tuple[Path, ...]:
    return subquery.value.paths if isinstance(subquery.value, Match) else (subquery.value,)


def _nodes(subquery: Expr) -> set[str]:
    return {folded(node.variable) for path in _paths(subquery) for node in path.nodes if node.variable}


def _values(subquery: Expr, scope: _Scope) -> bool:
    """Whether its expressions use what is bound outside."""
    exprs = in_match(subquery.value) if isinstance(subquery.value, Match) else in_path(subquery.value)
    return any(expr.kind == "variable" and folded(expr.value) in scope for expr in exprs)


def _loose(subquery: Expr, scope: _Scope) -> bool:
    """Whether it may be given a null from outside."""
    return _values(subquery, scope) or any(scope.get(name, False) for name in _nodes(subquery))


def _gathers(expr: Expr) -> bool:
    return any(each.kind == "call" and each.value in AGGREGATES for each in inside(expr))
