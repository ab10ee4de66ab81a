"""What a statement is made of, once parsed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Expr:
    """An expression.

    Attributes:
        kind: `literal` (value: it), `parameter`, `variable` (value: name), `property` (value: key, or `*`),
            `call` (value: the function in capitals), `lambda` (value: names), `list`, `struct` (value: keys),
            `case` (value: whether it compares its first), `op` (value: operator), `index`, `slice`, `cast` (value:
            type), `quantifier` (value: variable), `exists` and `count` (value: a `Match`), `pattern` (value: a `Path`),
            `all` (the star of `count(*)`).
        args: the expressions in it.
        distinct: whether a call says so.
    """

    kind: str
    at: int
    value: Any = None
    args: tuple[Expr, ...] = ()
    distinct: bool = False


Properties = tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a pattern."""

    at: int
    variable: str
    labels: tuple[str, ...]
    properties: Properties


@dataclass(frozen=True, slots=True)
class Hops:
    """What stands behind the star of an edge: `* SHORTEST 1..3 (r, n | WHERE … | {…}, {…})`.

    Attributes:
        way: '', 'SHORTEST', 'ALL SHORTEST', 'WSHORTEST', 'ALL WSHORTEST', 'TRAIL' or 'ACYCLIC'.
        names: of the edge and node in `where` and `shown`.
    """

    way: str
    lower: int | None
    upper: int | None
    names: tuple[str, ...] = ()
    where: Expr | None = None
    shown: tuple[Expr, ...] = ()
    weight: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge of a pattern; `arrow` is `->`, `<-` or `-`."""

    at: int
    variable: str
    types: tuple[str, ...]
    properties: Properties
    arrow: str
    hops: Hops | None


@dataclass(frozen=True, slots=True)
class Path:
    """A path of a pattern: one node more than edges."""

    at: int
    variable: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()

    @property
    def parts(self) -> tuple[Node | Edge, ...]:
        """Its nodes, then its edges."""
        return (*self.nodes, *self.edges)


@dataclass(frozen=True, slots=True)
class Match:
    """`MATCH`, `OPTIONAL MATCH`, and what stands in `EXISTS {…}` and `COUNT {…}`.

    Attributes:
        hint: where it says in which order to join, if it does.
    """

    at: int
    paths: tuple[Path, ...]
    where: Expr | None = None
    optional: bool = False
    hint: int | None = None


@dataclass(frozen=True, slots=True)
class Unwind:
    """`UNWIND expr AS name`."""

    at: int
    expr: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """What a projection gives: an expression and its name, '' where none is said."""

    expr: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Projection:
    """`WITH` or `RETURN`."""

    at: int
    final: bool
    items: tuple[Item, ...]
    star: bool = False
    distinct: bool = False
    order: tuple[Expr, ...] = ()
    skip: Expr | None = None
    limit: Expr | None = None
    where: Expr | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """`CALL name(…) WHERE … YIELD a AS b`."""

    at: int
    name: str
    args: tuple[Expr, ...]
    where: Expr | None = None
    yields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """`variable.key = value`."""

    at: int
    variable: str
    key: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Create:
    """`CREATE` of nodes and edges."""

    at: int
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """`MERGE`, with `ON CREATE SET` and `ON MATCH SET`."""

    at: int
    paths: tuple[Path, ...]
    on_create: tuple[Assignment, ...] = ()
    on_match: tuple[Assignment, ...] = ()


@dataclass(frozen=True, slots=True)
class Set:
    """`SET`."""

    at: int
    items: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """`DELETE` or `DETACH DELETE` of variables."""

    at: int
    names: tuple[str, ...]
    detach: bool


Clause = Match | Unwind | Projection | Call | Create | Merge | Set | Delete


@dataclass(frozen=True, slots=True)
class Query:
    """Clauses that read or write; several lists of them where UNION joins them."""

    parts: tuple[tuple[Clause, ...], ...]
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, as DDL declares it."""

    at: int
    name: str
    type: str
    default: Expr | None = None
    key: bool = False


@dataclass(frozen=True, slots=True)
class CreateTable:
    """`CREATE NODE TABLE` or `CREATE REL TABLE`.

    Attributes:
        ends: pairs of tables that edges lead from and to.
    """

    at: int
    name: str
    columns: tuple[Column, ...]
    key: str = ""
    ends: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AlterTable:
    """`ALTER TABLE`; `action` is `add`, `drop`, `rename`, `rename to`, `add ends` or `drop ends`."""

    at: int
    name: str
    action: str
    column: Column | None = None
    old: str = ""
    new: str = ""
    ends: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class DropTable:
    """`DROP TABLE`."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class CommentOn:
    """`COMMENT ON TABLE`."""

    at: int
    name: str


Statement = Query | CreateTable | AlterTable | DropTable | CommentOn


# --- going through it -----------------------------------------------------------------------------------


def within(expr: Expr) -> list[Expr]:
    """The expressions that one is made of, those of its subquery or pattern too."""
    if isinstance(expr.value, Match):
        return [*_of_match(expr.value), *expr.args]
    if isinstance(expr.value, Path):
        return [*_of_path(expr.value), *expr.args]
    return list(expr.args)


def inside(expr: Expr) -> Iterator[Expr]:
    """An expression and all within it, each before what it is made of."""
    waiting = [expr]
    while waiting:
        yield (one := waiting.pop())
        waiting += reversed(within(one))


def height(exprs: Iterable[Expr]) -> int:
    """How many expressions lie within one another at most."""
    layer, found = list(exprs), 0
    while layer:
        layer, found = [inner for one in layer for inner in within(one)], found + 1
    return found


def _of_path(path: Path) -> Iterator[Expr]:
    for part in path.parts:
        for _, value in part.properties:
            yield value
        if isinstance(part, Edge) and part.hops:
            yield from (*filter(None, [part.hops.where]), *part.hops.shown)


def _of_match(match: Match) -> Iterator[Expr]:
    for path in match.paths:
        yield from _of_path(path)
    if match.where:
        yield match.where


def of_clause(clause: Clause) -> Iterator[Expr]:
    """The expressions of a clause, but for those within them."""
    match clause:
        case Match():
            yield from _of_match(clause)
        case Unwind():
            yield clause.expr
        case Projection():
            tail = filter(None, (*clause.order, clause.skip, clause.limit, clause.where))
            yield from (*(item.expr for item in clause.items), *tail)
        case Call():
            yield from (*clause.args, *filter(None, [clause.where]))
        case Create() | Merge():
            for path in clause.paths:
                yield from _of_path(path)
            if isinstance(clause, Merge):
                yield from (item.value for item in (*clause.on_create, *clause.on_match))
        case Set():
            yield from (item.value for item in clause.items)


def in_clause(clause: Clause) -> Iterator[Expr]:
    """All expressions of a clause."""
    for expr in of_clause(clause):
        yield from inside(expr)


def paths_of(clause: Clause) -> Iterator[Path]:
    """All paths of a clause, those in its expressions too."""
    if isinstance(clause, Match | Create | Merge):
        yield from clause.paths
    for expr in in_clause(clause):
        if isinstance(expr.value, Match):
            yield from expr.value.paths
        elif isinstance(expr.value, Path):
            yield expr.value


def every_clause(query: Query) -> Iterator[Clause]:
    for part in query.parts:
        yield from part
