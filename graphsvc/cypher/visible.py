"""Patterns that name no table, made to mean the tables that aren't hidden.

To the engines `(n)` is a node of any table, and the memory's own notes about the graph are nodes of two more. No edge
leads to those, so that only a node by itself, or at a walk that may have no edges, could be one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from graphsvc.cypher.names import folded, hidden
from graphsvc.cypher.syntax import (
    Assignment,
    Call,
    Clause,
    Create,
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
from graphsvc.cypher.tokens import MAX_STATEMENT, place, tokens
from graphsvc.errors import TooLarge

MOST = 8 * MAX_STATEMENT
"""Characters that a statement may have with the names of tables in it."""


def visible(statement: str, query: Query, tables: Collection[str]) -> str:
    """The statement as an engine is to be given it: where such a node names no table, it names all that aren't hidden.

    Args:
        tables: the node tables that there are.

    Raises:
        TooLarge: there are too many such nodes, and tables, for a statement.
    """
    bare = {node.at: node for part in query.parts for node in _bare(part)} if any(map(hidden, tables)) else {}
    if not bare:
        return statement
    said = "".join(f":`{name}`" for name in sorted(tables) if not hidden(name))
    found = tokens(statement)
    begins = {token.at: index for index, token in enumerate(found)}
    made = statement
    for at, node in sorted(bare.items(), reverse=True):
        if len(made) + len(said) > MOST:
            raise TooLarge("too many nodes name no table", where=place(statement, at), hint="Name their tables.")
        end = found[begins[at] + (1 if node.variable else 0)].end
        made = made[:end] + said + made[end:]
    return made


def _bare(part: Iterable[Clause]) -> Iterator[Node]:
    """The nodes in question. One that is bound before is what it was bound to."""
    names: set[str] = set()
    for clause in part:
        if isinstance(clause, Match):
            yield from _in_match(clause, names)
            continue
        for expr in _expressions(clause):
            yield from _in_expression(expr, names)
        match clause:
            case Unwind():
                names.add(folded(clause.name))
            case Call():
                names.update(folded(name) for _, name in clause.yields)
            case Create() | Merge():
                for path in clause.paths:
                    _bind(path, names)
            case Projection():
                projected = _projected(clause)
                for expr in filter(None, (*clause.order, clause.skip, clause.limit, clause.where)):
                    yield from _in_expression(expr, names | projected)
                names = projected | (names if clause.star else set())


def _projected(clause: Projection) -> set[str]:
    items = (item for item in clause.items if item.name or item.expr.kind == "variable")
    return {folded(item.name or str(item.expr.value)) for item in items}


def _expressions(clause: Clause) -> Iterator[Expr]:
    """The expressions of a clause that see what was bound before it, without those within them."""
    assigned: tuple[Assignment, ...] = ()
    match clause:
        case Unwind():
            yield clause.expr
        case Projection():
            yield from (item.expr for item in clause.items)
        case Call():
            yield from filter(None, (*clause.args, clause.where))
        case Create() | Merge():
            for path in clause.paths:
                yield from _of_path(path)
            assigned = (*clause.on_create, *clause.on_match) if isinstance(clause, Merge) else ()
        case Set():
            assigned = clause.items
    yield from (item.value for item in assigned)


def _of_path(path: Path) -> Iterator[Expr]:
    yield from (value for part in path.parts for _, value in part.properties)
    for edge in path.edges:
        if edge.hops:
            yield from filter(None, (edge.hops.where, *edge.hops.shown))


def _in_match(match: Match, names: set[str]) -> Iterator[Node]:
    for path in match.paths:
        yield from _in_path(path, names)
    for expr in filter(None, (*(expr for path in match.paths for expr in _of_path(path)), match.where)):
        yield from _in_expression(expr, names)


def _in_path(path: Path, names: set[str]) -> Iterator[Node]:
    if all(edge.hops and edge.hops.lower == 0 for edge in path.edges):
        bound = set(names)
        for node in path.nodes:
            if not node.labels and folded(node.variable) not in bound:
                yield node
            if node.variable:
                bound.add(folded(node.variable))
    _bind(path, names)


def _bind(path: Path, names: set[str]) -> None:
    names.update(folded(name) for name in (path.variable, *(part.variable for part in path.parts)) if name)


def _in_expression(expr: Expr, names: set[str]) -> Iterator[Node]:
    if isinstance(expr.value, Match):
        yield from _in_match(expr.value, set(names))
    elif isinstance(expr.value, Path):
        yield from _in_path(expr.value, set(names))
        names = names | {folded(part.variable) for part in expr.value.parts if part.variable}
        for inner in _of_path(expr.value):
            yield from _in_expression(inner, names)
    elif expr.kind == "quantifier":
        names = names | {folded(expr.value)}
    elif expr.kind == "lambda":
        names = names | set(map(folded, expr.value))
    for arg in expr.args:
        yield from _in_expression(arg, names)
