"""Subqueries that an engine crashes on, or answers wrongly. Refused on both, with another way.

A subquery is joined to the rows outside by what it takes from there. Where that is null, Kuzu loses rows, gives the
values of others, or ends the process where rows are gathered behind it; and both take the subquery for empty, whatever
it asks. `COUNT {…}` that takes values, and not just nodes, counts wrongly on both even where none is null. So
`EXISTS {…}` and patterns may take only what can't be null: what MATCH bound, and values that a WHERE has sorted out.
Properties, in its pattern, of a node from outside (`EXISTS { MATCH (a {age: 3})-->() }`) sort out the rows outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from graphsvc.cypher.functions import AGGREGATES
from graphsvc.cypher.names import folded
from graphsvc.cypher.syntax import (
    Call,
    Clause,
    Create,
    Edge,
    Expr,
    Match,
    Merge,
    Path,
    Projection,
    Unwind,
    in_clause,
    inside,
)  # fmt: skip
from graphsvc.cypher.tokens import place
from graphsvc.errors import NotAllowed

Unit = tuple[str, str]
"""What is taken from outside: a variable, and a property of it or '' for itself."""
_HINT = "Count by OPTIONAL MATCH, and WITH …, count(x)."
_SUBQUERIES = ("exists", "count", "pattern")
_STRICT = frozenset({
    "=", "<>", "<", "<=", ">", ">=", "=~", "STARTS WITH", "ENDS WITH", "CONTAINS", "+", "-", "*", "/", "%", "^",
    "NEGATE", "NOT",
})  # fmt: skip
"""Operators that give null where either side is null."""
_STRICT_CALLS = frozenset({"ABS", "CEIL", "FLOOR", "LOWER", "REVERSE", "SIZE", "TRIM", "UPPER"})
_NEVER_NULL = frozenset({"COUNT", "ID", "RANGE"})


@dataclass(slots=True)
class _Scope:
    """What is bound, and what of it is never null."""

    names: set[str] = field(default_factory=set)
    sure: set[Unit] = field(default_factory=set)

    def copy(self) -> _Scope:
        return _Scope(set(self.names), set(self.sure))

    def bind(self, match: Match | Path, where: Expr | None = None) -> None:
        """Take in what a pattern binds, none of it null where it matches, and what its condition says."""
        for path in match.paths if isinstance(match, Match) else (match,):
            bound = [folded(name) for name in (path.variable, *(part.variable for part in path.parts)) if name]
            self.names.update(bound)
            self.sure.update((name, "") for name in bound)
            self.sure.update((folded(part.variable), folded(key)) for part in path.parts for key, _ in part.properties)
        self.sure |= _needed(where)

    def never_null(self, expr: Expr) -> bool:
        match expr.kind:
            case "literal":
                return expr.value is not None
            case "list":
                return all(map(self.never_null, expr.args))
            case "call":
                return expr.value in _NEVER_NULL
            case "exists" | "count" | "pattern":
                return True
        unit = _unit(expr)
        return unit is not None and unit in self.sure


def check_subqueries(statement: str, part: Sequence[Clause]) -> None:
    """Raises NotAllowed (rules `crash` and `wrong`) for such a subquery."""
    scope = _Scope()
    tied = False
    for clause in part:
        match clause:
            case Match():
                within = scope.copy()
                within.bind(clause, clause.where)
                _check(statement, _direct(clause), within)
                if clause.optional:
                    scope.names |= within.names
                else:
                    scope = within
            case Projection():
                computed = [*(item.expr for item in clause.items), *clause.order]
                _check(statement, computed, scope)
                found = _outermost(computed)
                tied = tied or any(next(_taken(_direct(expr.value), scope.names), None) for expr in found)
                if tied and (clause.distinct or any(map(_gathers, computed))):
                    what = "rows are gathered behind a subquery that takes values from outside"
                    raise NotAllowed(what, where=place(statement, clause.at), hint=_HINT, rule="crash")
                scope = _passed(clause, scope)
                if clause.where is not None:
                    scope.sure |= _needed(clause.where)
                    _check(statement, [clause.where], scope)
            case _:
                _check(statement, in_clause(clause), scope)
        if isinstance(clause, Create | Merge):
            for path in clause.paths:
                scope.bind(path)
        elif isinstance(clause, Unwind):
            scope.names.add(folded(clause.name))
            each = clause.expr.args if clause.expr.kind == "list" else (clause.expr,)
            scope.sure -= {unit for unit in scope.sure if unit[0] == folded(clause.name)}
            if each and clause.expr.kind in ("list", "call") and all(map(scope.never_null, each)):
                scope.sure.add((folded(clause.name), ""))
        elif isinstance(clause, Call):
            scope.names |= {folded(name) for _, name in clause.yields}


def _check(statement: str, exprs: Iterable[Expr], scope: _Scope) -> None:
    for expr in _outermost(exprs):
        direct = _direct(expr.value)
        paths = expr.value.paths if isinstance(expr.value, Match) else (expr.value,)
        joined = {folded(node.variable) for path in paths for node in path.nodes} & scope.names
        edges = {folded(edge.variable) for path in paths for edge in path.edges} & scope.names
        kind = "a pattern" if expr.kind == "pattern" else f"{expr.kind.upper()} {{…}}"
        for part in (part for path in paths for part in path.parts if part.properties):
            if folded(part.variable) in scope.names:
                what = f"properties of {part.variable}, bound outside of {kind}, are taken for a condition on all rows"
                hint = f"Put it before: WHERE {part.variable}.{part.properties[0][0]} = … AND."
                raise NotAllowed(what, where=place(statement, part.at), hint=hint, rule="wrong")
        values = [*((name, "") for name in sorted(edges)), *_taken(direct, scope.names)]
        values = [unit for unit in values if unit[1] or unit[0] not in joined]
        if expr.kind == "count" and values:
            what = f"COUNT {{…}} that takes values from outside counts wrongly, as {_written(values[0])} here"
            raise NotAllowed(what, where=place(statement, expr.at), hint=_HINT, rule="wrong")
        for unit in (*((name, "") for name in sorted(joined)), *values):
            if unit not in scope.sure:
                name = _written(unit)
                what = f"{kind} answers wrongly where {name}, which it takes from outside, is null"
                hint = f"Put WHERE {name} IS NOT NULL AND before it, or write OPTIONAL MATCH, and WITH …, count(x)."
                raise NotAllowed(what, where=place(statement, expr.at), hint=hint, rule="wrong")
        within = scope.copy()
        within.bind(expr.value, expr.value.where if isinstance(expr.value, Match) else None)
        _check(statement, direct, within)


def _passed(clause: Projection, scope: _Scope) -> _Scope:
    passed = scope.copy() if clause.star else _Scope()
    for item in clause.items:
        name = folded(item.name) or (folded(item.expr.value) if item.expr.kind == "variable" else "")
        if not name:
            continue
        passed.names.add(name)
        passed.sure -= {unit for unit in passed.sure if unit[0] == name}
        if item.expr.kind == "variable":
            passed.sure |= {(name, key) for of, key in scope.sure if of == folded(item.expr.value)}
        elif scope.never_null(item.expr):
            passed.sure.add((name, ""))
    return passed


def _direct(match: Match | Path) -> list[Expr]:
    """The expressions of a pattern and its condition, not those within them."""
    found = []
    for path in match.paths if isinstance(match, Match) else (match,):
        for part in path.parts:
            found += [value for _, value in part.properties]
            if isinstance(part, Edge) and part.hops:
                found += [*filter(None, [part.hops.where]), *part.hops.shown]
    return [*found, *filter(None, [match.where if isinstance(match, Match) else None])]


def _outermost(exprs: Iterable[Expr]) -> list[Expr]:
    """The subqueries in expressions that are in no other."""
    found = []
    for expr in exprs:
        found += [expr] if expr.kind in _SUBQUERIES else _outermost(expr.args)
    return found


def _taken(exprs: Iterable[Expr], names: set[str]) -> Iterator[Unit]:
    """What expressions use of these variables."""
    for expr in exprs:
        unit = _unit(expr)
        if unit is not None:
            if unit[0] in names:
                yield unit
        elif expr.kind in _SUBQUERIES:
            yield from _taken(_direct(expr.value), names)
        elif expr.kind == "lambda":
            yield from _taken(expr.args, names - set(map(folded, expr.value)))
        elif expr.kind == "quantifier":
            yield from _taken(expr.args[:1], names)
            yield from _taken(expr.args[1:], names - {folded(expr.value)})
        else:
            yield from _taken(expr.args, names)


def _unit(expr: Expr) -> Unit | None:
    if expr.kind == "variable":
        return folded(expr.value), ""
    if expr.kind == "property" and expr.args and expr.args[0].kind == "variable":
        return folded(expr.args[0].value), "" if expr.value == "*" else folded(expr.value)
    return None


def _written(unit: Unit) -> str:
    return ".".join(filter(None, unit))


def _needed(expr: Expr | None) -> set[Unit]:
    """What is not null wherever a condition holds."""
    if expr is None or expr.kind != "op":
        return set()
    match expr.value:
        case "AND":
            return set().union(*map(_needed, expr.args))
        case "OR":
            return set.intersection(*map(_needed, expr.args))
        case "NOT" if expr.args[0].kind == "op" and expr.args[0].value == "IS NULL":
            return _nulled(expr.args[0].args[0])
        case "IS NOT NULL" | "IN":
            return _nulled(expr.args[0])
    return _nulled(expr)


def _nulled(expr: Expr) -> set[Unit]:
    """What makes an expression null where it is null."""
    unit = _unit(expr)
    if unit is not None:
        return {unit}
    strict = (expr.kind == "op" and expr.value in _STRICT) or (expr.kind == "call" and expr.value in _STRICT_CALLS)
    if strict or expr.kind == "cast":
        return set().union(*map(_nulled, expr.args))
    return set()


def _gathers(expr: Expr) -> bool:
    return any(each.kind == "call" and each.value in AGGREGATES for each in inside(expr))
