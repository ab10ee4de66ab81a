"""Whole nodes, edges and paths that an engine has no right form for.

Where two tables have a column of one name and different types, a node that may be of either has that column as text,
numbers cut to six digits. A path takes the type of each column from the first of its parts and copies the others'
into it as they lie, which ends the process, however the path is used: counted, compared, handed on. Only its length is
known without it. Columns by name are fine. A path from outside of a lambda is empty within it on Kuzu, or ends the
process, whatever its tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from graphsvc.cypher.names import folded
from graphsvc.cypher.patterns import Bound, Ends, Patterns, Scope
from graphsvc.cypher.syntax import (
    Call,
    Clause,
    Create,
    Edge,
    Expr,
    Match,
    Merge,
    Node,
    Path,
    Projection,
    Query,
    Set,
    Unwind,
)
from graphsvc.cypher.tokens import place
from graphsvc.cypher.values import Schema
from graphsvc.errors import NotAllowed

WHOLE_NOT_NEEDED = frozenset({"COUNT", "ID", "INTERNAL_ID", "LABEL", "LABELS", "LENGTH", "OFFSET", "SIZE"})
"""Functions of a node, edge or path that don't read its columns."""
COMPARED = frozenset({"=", "<>", "IS NULL", "IS NOT NULL"})
"""Operators that don't, either."""


def check_mixed(
    statement: str, query: Query, tables: Schema, nodes: Collection[str], ends: Ends
) -> Mapping[int, tuple[Node | Edge, tuple[str, ...]]]:
    """Refuse whole values of tables that disagree.

    Args:
        tables: columns with their types, by table. nodes: which of them are of nodes. ends: of the others.

    Returns:
        Parts of patterns that name no table and are to be told theirs, by where they stand.

    Raises:
        NotAllowed: rule `crash` of paths, `wrong` of nodes and edges.
    """
    walk = _Walk(statement, Patterns(statement, tables, nodes, ends))
    for part in query.parts:
        walk.part(part)
    return walk.patterns.told


class _Walk:
    """Goes through a statement as an engine binds its names."""

    def __init__(self, statement: str, patterns: Patterns) -> None:
        self._statement = statement
        self.patterns = patterns

    def part(self, clauses: Collection[Clause]) -> None:
        scope: Scope = {}
        for clause in clauses:
            match clause:
                case Match():
                    self._match(clause, scope)
                case Unwind():
                    self._expression(clause.expr, scope)
                    scope[folded(clause.name)] = None
                case Call():
                    for expr in (*clause.args, *filter(None, [clause.where])):
                        self._expression(expr, scope)
                    scope |= {folded(name): None for _, name in clause.yields}
                case Projection():
                    scope = self._projection(clause, scope)
                case Create() | Merge():
                    for path in clause.paths:
                        self._properties(path, scope)
                        self.patterns.bind(path, scope, tell=False)
                    for item in (*clause.on_create, *clause.on_match) if isinstance(clause, Merge) else ():
                        self._expression(item.value, scope)
                case Set():
                    for item in clause.items:
                        self._expression(item.value, scope)

    def _match(self, match: Match, scope: Scope) -> None:
        before = set(scope) if match.optional else set()
        for path in match.paths:
            self.patterns.bind(path, scope, before=before)
        for path in match.paths:
            self._properties(path, scope)
        if match.where is not None:
            self._expression(match.where, scope)

    def _properties(self, path: Path, scope: Scope) -> None:
        for part in path.parts:
            for _, value in part.properties:
                self._expression(value, scope)
            if isinstance(part, Edge) and part.hops:
                for expr in (*filter(None, [part.hops.where]), *part.hops.shown):
                    self._expression(expr, scope)

    def _projection(self, clause: Projection, scope: Scope) -> Scope:
        """Look at a projection; what is bound behind it, under its new names."""
        for name in scope if clause.star else ():
            self._used(name, scope, "whole" if clause.final else "kept")
        passed: Scope = dict(scope) if clause.star else {}
        for item in clause.items:
            if item.expr.kind != "variable":
                self._expression(item.expr, scope)
                passed |= {folded(item.name): None} if item.name else {}
                continue
            name = folded(str(item.expr.value))
            self._used(name, scope, "whole" if clause.final or clause.distinct else "kept")
            passed[folded(item.name) if item.name else name] = scope.get(name)
        behind: Scope = {**scope, **{name: one for name, one in passed.items() if name not in scope}}
        for expr in filter(None, (*clause.order, clause.skip, clause.limit, clause.where)):
            self._expression(expr, behind)
        return passed

    def _expression(self, expr: Expr, scope: Scope, *, inside: bool = False) -> None:
        """Look at an expression; `inside`: of what is computed for each element of a list."""
        if expr.kind == "variable":
            self._used(folded(str(expr.value)), scope, "whole", expr.at if inside else None)
            return
        if isinstance(expr.value, Match):
            self._match(expr.value, _far(scope))
        elif isinstance(expr.value, Path):
            inner = _far(scope)
            self.patterns.bind(expr.value, inner)
            self._properties(expr.value, inner)
        how = ""
        if expr.kind == "call" and expr.value in WHOLE_NOT_NEEDED:
            how = "length" if expr.value == "LENGTH" and not inside else "kept"
        elif (expr.kind == "property" and expr.value != "*") or (expr.kind == "op" and expr.value in COMPARED):
            how = "kept"
        for index, arg in enumerate(expr.args):
            if how and arg.kind == "variable":
                self._used(folded(str(arg.value)), scope, how)
            else:
                each = expr.kind == "lambda" or (expr.kind == "quantifier" and index > 0)
                self._expression(arg, scope, inside=inside or each)

    def _used(self, name: str, scope: Scope, how: str, inside: int | None = None) -> None:
        """A name is used `whole`, only told apart or handed on (`kept`), or for its `length`."""
        one = scope.get(name)
        if one is None:
            return
        if one.torn and (how != "length" or one.far):
            raise self._refused(one, one.torn)
        if how != "whole":
            return
        if one.kind in ("walk", "path") and inside is not None:
            raise NotAllowed(
                "a lambda takes no path from outside", where=place(self._statement, inside),
                hint="UNWIND the list, and use the path there.", rule="crash",
            )  # fmt: skip
        for part in one.parts:
            if column := self.patterns.disagreed(part):
                raise self._refused(one, column)

    def _refused(self, one: Bound, column: str) -> NotAllowed:
        what = "path" if one.kind == "walk" else one.kind
        hints = {
            "path": "Give back its length, or name one table in each node and edge of it.",
            "walk": "Give back its length, or name the types of its edges.",
        }
        return NotAllowed(
            f"this may be of tables that have {column!r} with different types; as a whole {what} it has no right form",
            where=place(self._statement, one.at),
            hint=hints.get(one.kind, "Name one table in the pattern, or return columns."),
            rule="crash" if one.torn else "wrong",
        )


def _far(scope: Scope) -> Scope:
    """What is bound, as a subquery sees it."""
    return {name: replace(one, far=True) if one is not None and one.torn else one for name, one in scope.items()}
