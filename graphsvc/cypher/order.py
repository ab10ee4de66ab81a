"""Whether a replay of a write gives the same.

Rows come in no fixed order. So where a statement gives a value to a node or edge, that value must follow from the node
or edge alone, however many rows are about it: it is a constant, or of the node itself, or of the ends of the edge, or
of what the pattern says is equal to a property of it, or an aggregate over it. This is functional dependency, as
databases have it. Where a list of rows is unwound, UNWIND $rows AS r MERGE (p:P {id: r.id}) SET p.name = r.name, the
rows themselves decide: no two of them may be about the same with different values. The engines do differ here: the
first of two wins on one, the last on the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphsvc.cypher.functions import CHANCE, PLACE
from graphsvc.cypher.growth import aggregates
from graphsvc.cypher.names import folded
from graphsvc.cypher.syntax import (
    Assignment,
    Clause,
    Create,
    Delete,
    Edge,
    Expr,
    Match,
    Merge,
    Node,
    Path,
    Projection,
    Set,
    Unwind,
    in_clause,
    inside,
    paths_of,
)
from graphsvc.cypher.tokens import place
from graphsvc.errors import NotDeterministic

Place = tuple[str, str]
"""A variable, by its symbol, and a property of it, or ''."""


def check_order(statement: str, clauses: Sequence[Clause], parameters: Mapping[str, Any] | None) -> None:
    """Refuse a write whose effect hangs on the order of rows, on chance, or on where rows lie.

    Args:
        parameters: their values; None leaves lists of rows unchecked.

    Raises:
        NotDeterministic: `rule` says on what.
    """
    for clause in clauses:
        if isinstance(clause, Projection) and (clause.limit or clause.skip):
            raise differs(statement, clause.at, "which rows LIMIT and SKIP take isn't the same each time", "order")
        if isinstance(clause, Projection) and clause.final:
            continue
        for expr in in_clause(clause):
            if expr.kind == "call":
                _check_call(statement, expr)
        for path in paths_of(clause):
            for edge in path.edges:
                if edge.hops and edge.hops.way in ("SHORTEST", "WSHORTEST"):
                    raise differs(statement, edge.at, "of several shortest paths it may be any", "order")
    rows = _Rows(statement, parameters)
    seen = _Seen(statement)
    for clause in clauses:
        if isinstance(clause, Projection) and clause.final:
            break
        seen.clause(clause, rows)
        rows.clause(clause)
    rows.finish()


def differs(statement: str, at: int, what: str, rule: str, hint: str = "") -> NotDeterministic:
    return NotDeterministic(what, where=place(statement, at), hint=hint, rule=rule)


def _check_call(statement: str, expr: Expr) -> None:
    if expr.value in CHANCE:
        raise differs(statement, expr.at, f"{expr.value.lower()} is chance", "chance")
    if expr.value in PLACE:
        raise differs(statement, expr.at, f"{expr.value.lower()} is other after a rebuild", "place")
    if expr.value == "COLLECT":
        raise differs(statement, expr.at, "collect gathers in no fixed order", "order")
    if expr.value == "AVG" or (expr.value == "SUM" and not _whole(expr.args)):
        hint = "Say that it is whole: sum(cast(x AS INT64))." if expr.value == "SUM" else ""
        what = f"{expr.value.lower()} of floating-point numbers differs by order"
        raise differs(statement, expr.at, what, "float", hint)


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
    return expr.kind == "case" and all(_whole((arg,)) for arg in expr.args[2 if expr.value else 1 :: 2])


# --- what follows from what -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that a statement gives.

    Attributes:
        symbol: of the variable that gets it. made: whether CREATE has just made that.
        reads: properties of the same variable that it is computed from.
        alone: whether no two rows are about the same.
    """

    symbol: str
    item: Assignment
    made: bool
    reads: frozenset[str]
    alone: bool


class _Rows:
    """The variables of a statement, what makes rows of them, and what follows from what."""

    def __init__(self, statement: str, parameters: Mapping[str, Any] | None) -> None:
        self._statement = statement
        self._parameters = parameters
        self._count = 0
        self.names: dict[str, str] = {}
        self.tables: dict[str, frozenset[str]] = {}
        self._follows: list[tuple[frozenset[Place], Place]] = []
        self._roots: dict[str, None] = {}
        self._made: set[str] = set()
        self._merged: set[str] = set()
        self._lists: dict[str, Sequence[Any] | None] = {}
        self._given_values: list[_Given] = []

    def _symbol(self, name: str = "") -> str:
        self._count += 1
        symbol = f"{name}#{self._count}"
        if name:
            self.names[folded(name)] = symbol
        return symbol

    # clauses

    def clause(self, clause: Clause) -> None:
        match clause:
            case Match():
                for path in clause.paths:
                    self._bind(path, "matched")
                for expr in _conjuncts(clause.where):
                    self._equal(expr, both=not clause.optional)
            case Unwind():
                self._unwind(clause)
            case Projection():
                self._project(clause)
            case Create():
                for path in clause.paths:
                    self._bind(path, "made")
            case Merge():
                self._merge(clause)
            case Set():
                for item in clause.items:
                    self._assign(item)

    def _unwind(self, clause: Unwind) -> None:
        symbol = self._symbol(clause.name)
        self._roots[symbol] = None
        expr = clause.expr
        if expr.kind == "parameter":
            given = None if self._parameters is None else self._parameters.get(expr.value)
            self._lists[symbol] = given if isinstance(given, list | tuple) else None
        elif expr.kind == "list" and all(each.kind in ("literal", "list", "struct") for each in inside(expr)):
            self._lists[symbol] = [_constant(arg) for arg in expr.args]

    def _bind(self, path: Path, how: str) -> None:
        symbols = [self._part(node, how) for node in path.nodes]
        for index, edge in enumerate(path.edges):
            symbol = self._part(edge, how)
            if not edge.hops and edge.arrow != "-":
                for end in symbols[index : index + 2]:
                    self._follows.append((frozenset({(symbol, "")}), (end, "")))
        if path.variable:
            self._symbol(path.variable)

    def _part(self, part: Node | Edge, how: str) -> str:
        symbol = self.names.get(folded(part.variable), "") if part.variable else ""
        if not symbol:
            symbol = self._symbol(part.variable)
            if how == "made":
                self._made.add(symbol)
            else:
                self._roots[symbol] = None
            if how == "merged":
                self._merged.add(symbol)
            self.tables[symbol] = frozenset(map(folded, part.labels if isinstance(part, Node) else part.types))
        elif isinstance(part, Node) and part.labels:
            self.tables[symbol] = frozenset(map(folded, part.labels))
        for key, value in part.properties:
            if other := self._place(value):
                self._follows.append((frozenset({(symbol, folded(key))}), other))
        return symbol

    def _place(self, expr: Expr) -> Place | None:
        """The variable, or property of one, that an expression is."""
        if expr.kind == "variable":
            symbol = self.names.get(folded(expr.value))
            return (symbol, "") if symbol else None
        if expr.kind == "property" and expr.value != "*":
            base = self._place(expr.args[0])
            return (base[0], folded(expr.value)) if base and not base[1] else None
        return None

    def _equal(self, expr: Expr, *, both: bool) -> None:
        if expr.kind == "op" and expr.value == "=":
            left, right = self._place(expr.args[0]), self._place(expr.args[1])
            if left and right:
                self._follows.append((frozenset({left}), right))
                if both:
                    self._follows.append((frozenset({right}), left))

    def _project(self, clause: Projection) -> None:
        outer = self.names
        items = [(folded(item.name) or _named(item.expr), item.expr) for item in clause.items]
        keys: list[Place] = []
        found: dict[str, str] = dict(outer) if clause.star else {}
        gathered: list[str] = []
        for name, expr in items:
            if expr.kind == "variable" and folded(expr.value) in outer:
                found[name] = outer[folded(expr.value)]
                keys.append((found[name], ""))
                continue
            symbol = self._symbol()
            found[name] = symbol
            if aggregates(expr):
                gathered.append(symbol)
                continue
            keys.append((symbol, ""))
            self._follows.append((frozenset(self._needs(expr)), (symbol, "")))
            if same := self._place(expr):
                self._follows.append((frozenset({(symbol, "")}), same))
        if clause.star:
            keys += [(symbol, "") for symbol in outer.values()]
        for symbol in gathered:
            self._follows.append((frozenset(keys), (symbol, "")))
        if gathered or clause.distinct:
            self._roots = dict.fromkeys(symbol for symbol, _ in keys)
        self.names = found
        for expr in _conjuncts(clause.where):
            self._equal(expr, both=True)

    def _merge(self, clause: Merge) -> None:
        for path in clause.paths:
            self._bind(path, "merged")
        parts = [part for path in clause.paths for part in path.parts]
        merged = [self.names[folded(part.variable)] for part in parts if part.variable]
        if clause.on_match and not self._alone({(symbol, "") for symbol in merged}):
            raise self._last_wins(clause.on_match[0], "ON MATCH may meet it more than once")
        for item in (*clause.on_create, *clause.on_match):
            self._assign(item)

    # values that are given

    def _needs(self, expr: Expr, own: frozenset[str] = frozenset()) -> set[Place]:
        """What an expression is computed from, but for the names `own` that it binds itself."""
        if expr.kind in ("variable", "property") and (at := self._place(expr)):
            return set() if _innermost(expr) in own else {at}
        own |= set(_bound(expr))
        found: set[Place] = set()
        for arg in expr.args:
            found |= self._needs(arg, own)
        if isinstance(expr.value, Match | Path):
            paths = expr.value.paths if isinstance(expr.value, Match) else (expr.value,)
            parts = [part for path in paths for part in path.parts]
            named = (self.names.get(folded(part.variable)) for part in parts)
            found.update((symbol, "") for symbol in named if symbol)
            within = [value for part in parts for _, value in part.properties]
            where = expr.value.where if isinstance(expr.value, Match) else None
            for value in (*within, *filter(None, [where])):
                found |= self._needs(value, own)
        return found

    def _closure(self, start: Iterable[Place]) -> set[Place]:
        known = set(start)
        grown = True
        while grown:
            grown = False
            for needs, then in self._follows:
                if then not in known and all(self._given(need, known) for need in needs):
                    known.add(then)
                    grown = True
        return known

    @staticmethod
    def _given(place: Place, known: set[Place]) -> bool:
        return place in known or (place[0], "") in known

    def _settled(self, place: Place, known: set[Place]) -> bool:
        """Whether a value follows from what is known, or from the rows of a list that was unwound."""
        if self._given(place, known):
            return True
        symbol, key = place
        if symbol not in self._lists:
            return False
        rows = self._lists[symbol]
        if rows is None:
            return self._parameters is None
        return _function(rows, [at[1] for at in known if at[0] == symbol], key)

    def _alone(self, start: set[Place]) -> bool:
        """Whether no two rows are about the same."""
        known = self._closure(start)
        return all(self._once((symbol, ""), known) for symbol in self._roots)

    def _once(self, place: Place, known: set[Place]) -> bool:
        if self._given(place, known):
            return True
        symbol = place[0]
        if symbol not in self._lists:
            return False
        rows = self._lists[symbol]
        if rows is None:
            return self._parameters is None
        return _distinct(rows, [at[1] for at in known if at[0] == symbol])

    def _assign(self, item: Assignment) -> None:
        symbol = self.names.get(folded(item.variable), "")
        made = symbol in self._made
        needs = self._needs(item.value)
        reads = frozenset(key for one, key in needs if one == symbol)
        self._given_values.append(_Given(symbol, item, made, reads, made or self._alone({(symbol, "")})))
        known = self._closure({(symbol, "")})
        if not made and any(not self._settled(need, known) for need in needs):
            raise self._last_wins(item, "it may be given several values")

    def finish(self) -> None:
        """What can be judged only of all that is given values."""
        for index, given in enumerate(self._given_values):
            for other in self._given_values[:index]:
                alike = _same_constant(given.item.value, other.item.value)
                apart = other.symbol == given.symbol or given.made or alike or self._one_row()
                if self._same_cell(other, given) and not apart:
                    raise self._last_wins(
                        given.item, f"{other.item.variable} may be the same, and be given another value"
                    )
            keys = {folded(other.item.key) for other in self._given_values if other.symbol == given.symbol}
            if given.reads & (keys | {""}) and not given.alone:
                raise self._last_wins(given.item, "it is read and written, maybe more than once")

    def _same_cell(self, one: _Given, other: _Given) -> bool:
        if folded(one.item.key) != folded(other.item.key):
            return False
        return bool(self.tables.get(one.symbol, frozenset()) & self.tables.get(other.symbol, frozenset()))

    def _one_row(self) -> bool:
        """Whether the statement surely has a single row: all that it binds it makes, or merges by constants."""
        return all(symbol in self._merged for symbol in self._roots)

    def _last_wins(self, item: Assignment, why: str) -> NotDeterministic:
        what = f"{item.variable}.{item.key} would hang on the order of rows: {why}"
        return differs(self._statement, item.at, what, "last_wins")


def _innermost(expr: Expr) -> str:
    while expr.kind == "property":
        expr = expr.args[0]
    return folded(str(expr.value))


def _bound(expr: Expr) -> tuple[str, ...]:
    """The names that an expression binds for what is in it."""
    if expr.kind == "lambda":
        return tuple(map(folded, expr.value))
    return (folded(expr.value),) if expr.kind == "quantifier" else ()


def _conjuncts(expr: Expr | None) -> list[Expr]:
    if expr is None:
        return []
    if expr.kind == "op" and expr.value == "AND":
        return [each for arg in expr.args for each in _conjuncts(arg)]
    return [expr]


def _named(expr: Expr) -> str:
    return folded(expr.value) if expr.kind == "variable" else f"{expr.kind} at {expr.at}"


def _same_constant(one: Expr, other: Expr) -> bool:
    """Whether two expressions are the same value for every row."""
    if any(each.kind in ("variable", "exists", "count", "pattern") for each in (*inside(one), *inside(other))):
        return False
    return _shape(one) == _shape(other)


def _shape(expr: Expr) -> tuple[Any, ...]:
    return expr.kind, repr(expr.value), tuple(map(_shape, expr.args))


# --- rows of lists --------------------------------------------------------------------------------------


def _constant(expr: Expr) -> Any:
    if expr.kind == "list":
        return [_constant(arg) for arg in expr.args]
    if expr.kind == "struct":
        return dict(zip(expr.value, map(_constant, expr.args), strict=True))
    return expr.value


def _field(row: Any, key: str) -> Any:
    """A field of a row, found as the engines find it; the row itself where no field is named."""
    if not key:
        return row
    if isinstance(row, Mapping):
        return next((value for name, value in row.items() if folded(str(name)) == key), None)
    return None


def _alike(value: Any) -> str:
    """A value as a text that is the same for all that an engine may hold equal: `1`, `1.0`, `true` and `'1'`."""
    try:
        return repr(float(value))
    except (TypeError, ValueError, OverflowError):
        return str(value).strip()


def _function(rows: Sequence[Any], by: Sequence[str], key: str) -> bool:
    """Whether rows that are equal in the fields `by` are equal in the field `key`."""
    seen: dict[tuple[str, ...], str] = {}
    for row in rows:
        value = repr(_field(row, key))
        if seen.setdefault(tuple(_alike(_field(row, each)) for each in by), value) != value:
            return False
    return True


def _distinct(rows: Sequence[Any], by: Sequence[str]) -> bool:
    """Whether no two rows are equal in the fields `by`."""
    return len({tuple(_alike(_field(row, each)) for each in by) for row in rows}) == len(rows)


# --- reading what was written ---------------------------------------------------------------------------


class _Seen:
    """The tables that a statement has written so far, and whether a clause behind reads them."""

    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._written: set[str] = set()
        self._set: dict[str, set[str]] = {}
        self._made: set[str] = set()
        self._merged: dict[str, frozenset[str]] = {}
        self._deleted = False

    def clause(self, clause: Clause, rows: _Rows) -> None:
        """Judge a clause, then note what it writes."""
        if self._deleted and not isinstance(clause, Projection | Delete):
            raise self._refuse(clause.at, "behind DELETE a statement writes no more")
        if self._written:
            paths = [path for path in paths_of(clause) if not isinstance(clause, Create) or path not in clause.paths]
            for path in paths if not isinstance(clause, Merge) else ():
                self._reads(path, rows)
        match clause:
            case Create():
                for path in clause.paths:
                    self._made |= self._new(path, rows).keys()
                self._written |= self._made
            case Merge():
                for path in clause.paths:
                    self._merge(path, rows)
                self._note((*clause.on_create, *clause.on_match), rows)
            case Set():
                self._note(clause.items, rows)
            case Delete():
                self._delete(clause, rows)

    def _refuse(self, at: int, what: str) -> NotDeterministic:
        return differs(self._statement, at, what, "read_after_write", "Make two statements of it.")

    def _new(self, path: Path, rows: _Rows) -> dict[str, frozenset[str]]:
        """The tables of the parts of a path that aren't bound yet, with the properties that it names of them."""
        return {
            folded(table): frozenset(folded(key) for key, _ in part.properties)
            for part in path.parts
            if not part.variable or folded(part.variable) not in rows.names
            for table in (part.labels if isinstance(part, Node) else part.types)
        }

    def _reads(self, path: Path, rows: _Rows) -> None:
        for part in path.parts:
            if part.variable and folded(part.variable) in rows.names:
                continue
            tables = part.labels if isinstance(part, Node) else part.types
            if not tables or self._written & set(map(folded, tables)):
                raise self._refuse(part.at, "what the statement has written would be read")

    def _merge(self, path: Path, rows: _Rows) -> None:
        for table, keys in self._new(path, rows).items():
            if table in self._made or self._set.get(table, set()) & keys:
                raise self._refuse(path.at, "MERGE would find what the statement has written")
            if self._merged.setdefault(table, keys) != keys:
                raise self._refuse(path.at, "MERGE would find what another MERGE has made, by other properties")
            self._written.add(table)

    def _note(self, items: Iterable[Assignment], rows: _Rows) -> None:
        for item in items:
            for table in rows.tables.get(rows.names.get(folded(item.variable), ""), ()):
                self._written.add(table)
                self._set.setdefault(table, set()).add(folded(item.key))

    def _delete(self, clause: Delete, rows: _Rows) -> None:
        self._deleted = True
        if not clause.detach and len(clause.names) > 1:
            raise differs(
                self._statement, clause.at, "whether a node has edges left hangs on the order of rows", "order",
                "Write DETACH DELETE of the nodes, or delete one variable a statement.",
            )  # fmt: skip
