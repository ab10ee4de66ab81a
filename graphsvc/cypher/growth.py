"""How large a statement's values may become, estimated before it runs.

A single step of an engine can't be interrupted: `size(range(1, 30000000))` takes 27 s and 8.5 GB, twelve times
`WITH list_concat(l, l) AS l` 2.3 GB. So the sizes of values are bounded from what is known: literals, parameters, and
how functions make them grow. Sizes count elements and characters; what is stored counts as a guess, since who wrote it
had limits too. The estimate is carried over WITH, so growth that is chained multiplies here as it does there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, replace
from typing import Any

from graphsvc.cypher.functions import AGGREGATES, FUNCTIONS
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
    inside,
)  # fmt: skip
from graphsvc.cypher.tokens import place
from graphsvc.errors import NotAllowed

MAX_VALUE = 1_000_000
"""Elements and characters of one value."""
MAX_GROWN = 50_000_000
"""Elements and characters that a statement may make by growing, all rows together."""
MAX_WORK = 1_000_000_000
"""Elements looked at by functions that go through all of them."""
MAX_UNWOUND = 10_000_000
"""Rows that UNWIND may make of lists whose length is known."""
MAX_HOPS = 30
"""The most hops of an edge of variable length, which is also what `*` alone means to the engines."""

_STORED = 100
"""The size taken for a value that is stored."""
_BATCH = 2_048
"""Rows that an engine computes in one step."""
_MATCHED = 1_000
"""Rows taken for what MATCH finds, where they are gathered into a list."""
_TEXT = 24
"""Characters of a number as text."""
_SMALL = 100
"""Growth up to here isn't counted."""


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a value.

    Attributes:
        size: its elements and characters, all in all, at most.
        count: its elements, if it is a list.
        low, most: what it is at least and at most, if it is a number of which that is known.
        number: whether it surely is a number, which doesn't grow.
        item: of its elements, if that is known apart.
    """

    size: float = 1
    count: float | None = None
    low: float | None = None
    most: float | None = None
    number: bool = False
    item: Value | None = None

    @property
    def elements(self) -> float:
        return self.size if self.count is None else self.count

    @property
    def element(self) -> Value:
        return self.item or Value(self.size)


NUMBER = Value(number=True)
STORED = Value(_STORED)


def known(value: Any) -> Value:
    """A value that is at hand: a literal, or a parameter."""
    if isinstance(value, bool) or value is None:
        return Value()
    if isinstance(value, int | float):
        bound = value if value == value else None
        return Value(low=bound, most=bound, number=True)
    if isinstance(value, str | bytes):
        return Value(max(1, len(value)))
    if isinstance(value, dict):
        return Value(1 + sum(known(each).size for each in value.values()))
    if isinstance(value, list | tuple):
        items = [known(each) for each in value]
        return _listed(items, 1 + sum(item.size for item in items))
    return Value(1 + len(value) if isinstance(value, Sized) else 1)


def _listed(items: list[Value], size: float) -> Value:
    if not items:
        return Value(size, 0)
    return Value(size, len(items), item=_largest(items))


def _largest(values: list[Value]) -> Value:
    """What holds of each of some values."""
    if not values:
        return Value()
    return Value(
        max(value.size for value in values),
        max(value.elements for value in values),
        _extreme(min, [value.low for value in values]),
        _extreme(max, [value.most for value in values]),
        all(value.number for value in values),
        _largest([value.item for value in values if value.item]) if all(value.item for value in values) else None,
    )


def _extreme(which: Callable[[list[float]], float], bounds: list[float | None]) -> float | None:
    at_hand = [bound for bound in bounds if bound is not None]
    return which(at_hand) if len(at_hand) == len(bounds) else None


class Budget:
    """What a statement's values may grow to, clause by clause."""

    def __init__(self, statement: str, parameters: Mapping[str, Any] | None) -> None:
        self._statement = statement
        self._parameters = parameters
        self._names: dict[str, Value] = {}
        self._unwound = 1.0
        self._matched = False
        self._grown = 0.0
        self._work = 0.0

    def query(self, query: Query) -> None:
        """Raises: NotAllowed, if it would grow too far."""
        for part in query.parts:
            self._names, self._unwound, self._matched = {}, 1.0, False
            for clause in part:
                self._clause(clause)

    def _refuse(self, what: str, at: int, hint: str = "") -> NotAllowed:
        return NotAllowed(what, where=place(self._statement, at), hint=hint, rule="growth")

    # clauses

    def _clause(self, clause: Clause) -> None:
        match clause:
            case Match():
                self._match(clause)
            case Unwind():
                self._unwind(clause)
            case Projection():
                self._projection(clause)
            case Call():
                for arg in clause.args:
                    self._value(arg)
                self._names |= {name: STORED for _, name in clause.yields}
                self._matched = True
            case Create() | Merge():
                for path in clause.paths:
                    self._path(path)
                if isinstance(clause, Merge):
                    for item in (*clause.on_create, *clause.on_match):
                        self._value(item.value)
            case Set():
                for item in clause.items:
                    self._value(item.value)

    def _match(self, clause: Match) -> None:
        self._matched = True
        for path in clause.paths:
            self._path(path)
        if clause.where:
            self._value(clause.where)

    def _path(self, path: Path) -> None:
        length = len(path.nodes) + len(path.edges)
        parts: tuple[Node | Edge, ...] = (*path.nodes, *path.edges)
        for part in parts:
            for _, value in part.properties:
                self._value(value)
            if part.variable:
                self._names.setdefault(part.variable, STORED)
        for edge in path.edges:
            if edge.hops:
                self._hops(edge.at, edge.hops.lower, edge.hops.upper)
                length += 2 * (edge.hops.upper or MAX_HOPS)
                inner = dict.fromkeys(edge.hops.names, STORED)
                for expr in (*filter(None, [edge.hops.where]), *edge.hops.shown):
                    self._within(expr, inner, 1)
                self._names[edge.variable] = Value(_STORED * length, length)
        if path.variable:
            self._names[path.variable] = Value(_STORED * length, length)

    def _hops(self, at: int, lower: int | None, upper: int | None) -> None:
        if max(lower or 0, upper or 0) > MAX_HOPS:
            raise self._refuse(f"an edge has at most {MAX_HOPS} hops", at)

    def _unwind(self, clause: Unwind) -> None:
        value = self._value(clause.expr)
        self._unwound *= max(1, value.elements)
        if self._unwound > MAX_UNWOUND:
            raise self._refuse(f"UNWIND would make more than {MAX_UNWOUND:,} rows", clause.at)
        self._names[clause.name] = value.element

    def _projection(self, clause: Projection) -> None:
        values = {item.name or _named(item.expr): self._value(item.expr) for item in clause.items}
        groups = [item for item in clause.items if not aggregates(item.expr)]
        outer = self._names
        if len(groups) < len(clause.items) and not groups and not clause.star:
            self._unwound, self._matched = 1, False
        self._names = {**(outer if clause.star or clause.final else {}), **values}
        for expr in clause.order:
            self._within(expr, outer, 1)
        for bound in (clause.skip, clause.limit):
            if bound is not None:
                most = self._value(bound).most
                if bound is clause.limit and most is not None:
                    self._unwound = min(self._unwound, max(1, most))
                    self._matched = self._matched and most > _MATCHED
        if clause.where:
            self._value(clause.where)

    # expressions

    def _within(self, expr: Expr, names: Mapping[str, Value], times: float) -> Value:
        """An expression that is computed `times` for each row, with more names."""
        outer, unwound = self._names, self._unwound
        self._names, self._unwound = {**outer, **names}, unwound * max(1, times)
        try:
            return self._value(expr)
        finally:
            self._names, self._unwound = outer, unwound

    def _times(self) -> float:
        return max(self._unwound, _BATCH) if self._matched else self._unwound

    def _grows(self, value: Value, expr: Expr) -> Value:
        """Count what an expression makes."""
        what = f"{expr.value} " if expr.kind == "call" else ""
        if value.size > MAX_VALUE:
            raise self._refuse(f"{what}may make a value of more than {MAX_VALUE:,} elements or characters", expr.at)
        if value.size > _SMALL:
            self._grown += self._times() * value.size
            if self._grown > MAX_GROWN:
                raise self._refuse(
                    f"{what}may make values of more than {MAX_GROWN:,} elements or characters in all", expr.at
                )
        return value

    def _works(self, amount: float, expr: Expr) -> None:
        self._work += self._times() * amount
        if self._work > MAX_WORK:
            raise self._refuse(f"more than {MAX_WORK:,} comparisons of elements may be needed", expr.at)

    def _value(self, expr: Expr) -> Value:
        match expr.kind:
            case "literal":
                return known(expr.value)
            case "parameter":
                if self._parameters is None:
                    return Value(_STORED)
                return known(self._parameters.get(expr.value))
            case "variable":
                return self._names.get(expr.value, STORED)
            case "property":
                return self._property(expr)
            case "call":
                return self._call(expr)
            case "op":
                return self._operator(expr)
            case "list":
                items = [self._value(arg) for arg in expr.args]
                return self._grows(_listed(items, 1 + sum(item.size for item in items)), expr)
            case "struct":
                return self._grows(Value(1 + sum(self._value(arg).size for arg in expr.args)), expr)
            case "case":
                return self._grows(_largest([self._value(arg) for arg in expr.args]), expr)
            case "cast":
                return self._cast(expr)
            case "index":
                base = self._value(expr.args[0])
                self._value(expr.args[1])
                return base.element
            case "slice":
                values = [self._value(arg) for arg in expr.args]
                return replace(values[0], low=None, most=None)
            case "quantifier":
                among = self._value(expr.args[0])
                self._works(among.elements, expr)
                self._within(expr.args[1], {expr.value: among.element}, among.elements)
                return Value()
            case "exists" | "count":
                self._subquery(expr.value)
                return NUMBER
            case "pattern":
                self._path(expr.value)
                return Value()
        return Value()

    def _subquery(self, clause: Match) -> None:
        outer, matched = dict(self._names), self._matched
        self._match(clause)
        self._names, self._matched = outer, matched

    def _property(self, expr: Expr) -> Value:
        base = self._value(expr.args[0])
        inner = expr.args[0]
        if inner.kind == "variable" and inner.value not in self._names:
            return STORED
        return Value(base.size, item=base.item)

    def _cast(self, expr: Expr) -> Value:
        value = self._value(expr.args[0])
        if expr.value.replace(" ", "") in ("STRING", "VARCHAR", "TEXT", "JSON"):
            return self._grows(Value(self._as_text(value)), expr)
        return replace(value, number=value.number and value.count is None)

    def _as_text(self, value: Value) -> float:
        return _TEXT if value.number else value.size + _TEXT * (value.count or 0)

    def _operator(self, expr: Expr) -> Value:
        values = [self._value(arg) for arg in expr.args]
        left, right = values[0], values[-1]
        if expr.value == "+" and not (left.number and right.number):
            item = _largest([left.element, right.element])
            return self._grows(Value(left.size + right.size, left.elements + right.elements, item=item), expr)
        if expr.value == "IN":
            self._works(right.elements, expr)
        return _computed(expr.value, left, right)

    # functions

    def _call(self, expr: Expr) -> Value:
        growth = FUNCTIONS.get(expr.value, "product")
        if growth in ("each", "filter", "reduce") and len(expr.args) == 2 and expr.args[1].kind == "lambda":
            return self._lambda(growth, expr)
        values = [self._value(arg.args[0] if arg.kind == "lambda" else arg) for arg in expr.args]
        first = values[0] if values else Value()
        sizes = [value.size for value in values]
        match growth:
            case "number" | "bounded":
                return self._numeric(expr.value, values) if growth == "number" else Value(_TEXT)
            case "same":
                if expr.value in ("LEAST", "GREATEST"):
                    return _chosen(expr.value, values)
                return _largest(values) if len(values) != 1 else replace(first, low=None, most=None)
            case "scan":
                self._works(sum(sizes), expr)
                if expr.value in ("SIZE", "CARDINALITY", "LENGTH"):
                    return Value(low=0, most=first.size, number=True)
                return replace(first, low=None, most=None)
            case "compare":
                self._works(_product(sizes), expr)
                return Value()
            case "sum":
                item = _largest([value.element for value in values])
                return self._grows(Value(1 + sum(sizes), sum(value.elements for value in values), item=item), expr)
            case "product":
                return self._grows(Value(_product([1 + size for size in sizes])), expr)
            case "text":
                return self._grows(Value(self._as_text(first)), expr)
            case "range":
                return self._range(expr, values)
            case "repeat":
                return self._grows(Value(first.size * self._bound(expr, values, 1)), expr)
            case "pad":
                return self._grows(Value(max(first.size, self._bound(expr, values, 1))), expr)
            case "collect":
                rows = self._unwound * (_MATCHED if self._matched else 1)
                return self._grows(Value(rows * first.size, rows, item=first), expr)
        return self._grows(Value(_product(sizes)), expr)

    def _numeric(self, name: str, values: list[Value]) -> Value:
        if name == "COUNT":
            return Value(low=0, most=None if self._matched else self._unwound, number=True)
        if values and (name in ("CEIL", "CEILING", "FLOOR", "ROUND") or name.startswith(("TO_INT", "TO_UINT"))):
            low, most = values[0].low, values[0].most
            return Value(low=None if low is None else low - 1, most=None if most is None else most + 1, number=True)
        return NUMBER

    def _bound(self, expr: Expr, values: list[Value], index: int) -> float:
        """What a number that decides over a length is at most."""
        value = values[index] if index < len(values) else Value()
        if value.most is None:
            if self._parameters is None and expr.args[index].kind == "parameter":
                return _STORED
            raise self._refuse(
                f"how far {expr.value} goes isn't known before it runs",
                expr.at,
                "Bound it: least(…, 1000), or give a literal or a parameter.",
            )
        return max(1, value.most)

    def _range(self, expr: Expr, values: list[Value]) -> Value:
        low, high = values[0].low, self._bound(expr, values, 1)
        if low is None:  # a number that the graph holds may be as small as it likes
            low = 0.0 if self._parameters is None and expr.args[0].kind == "parameter" else -2.0 * MAX_VALUE
        step = 1.0
        if len(values) > 2:  # it may go downwards
            low = min(low, -2.0 * MAX_VALUE if values[1].low is None else values[1].low)
            high = max(high, 2.0 * MAX_VALUE if values[0].most is None else values[0].most)
            if expr.args[2].kind in ("literal", "parameter"):
                step = max(1.0, abs(values[2].most or 1))
        count = max(0.0, high - low) / step + 1
        return self._grows(Value(count, count, item=Value(low=low, most=high, number=True)), expr)

    def _lambda(self, growth: str, expr: Expr) -> Value:
        among = self._value(expr.args[0])
        names, body = expr.args[1].value, expr.args[1].args[0]
        self._works(among.elements, expr)
        inner = dict.fromkeys(names, among.element)
        if growth == "reduce":
            return self._reduce(expr, among, names, body)
        item = self._within(body, inner, among.elements)
        if growth == "filter":
            return among
        return self._grows(Value(1 + among.elements * item.size, among.elements, item=item), expr)

    def _reduce(self, expr: Expr, among: Value, names: tuple[str, ...], body: Expr) -> Value:
        """What is gathered is used again for each element, so it may grow by addition and no further."""
        if among.element.number:
            self._within(body, dict.fromkeys(names, NUMBER), among.elements)
            return NUMBER
        uses = [each for each in inside(body) if each.kind == "variable" and each.value == names[0]]
        calls = [each for each in inside(body) if each.kind in ("call", "cast", "list", "struct")]
        plain = all(FUNCTIONS.get(each.value) in ("number", "bounded", "same") for each in calls if each.kind == "call")
        if len(uses) > 1 or not plain or any(each.kind != "call" for each in calls):
            raise self._refuse("list_reduce may only add to what it has gathered, once for each element", expr.at)
        added = self._within(body, {**dict.fromkeys(names, among.element), names[0]: Value()}, among.elements)
        return self._grows(Value(among.size + among.elements * added.size), expr)


def _computed(operator: str, left: Value, right: Value) -> Value:
    """What arithmetic gives: within which bounds, where they are known."""
    if operator not in ("+", "-", "*", "/", "%", "^", "NEGATE", "<<", ">>", "&", "|"):
        return Value()
    bounds = [left.low, left.most, right.low, right.most]
    if operator == "NEGATE":
        return Value(low=_negated(left.most), most=_negated(left.low), number=True)
    if operator == "%" and right.most is not None and right.low is not None:
        most = max(abs(right.most), abs(right.low))
        return Value(low=-most, most=most, number=True)
    if operator not in ("+", "-", "*") or None in bounds:
        return NUMBER
    low, most, below, above = (bound or 0.0 for bound in bounds)
    if operator == "+":
        return Value(low=low + below, most=most + above, number=True)
    if operator == "-":
        return Value(low=low - above, most=most - below, number=True)
    corners = [low * below, low * above, most * below, most * above]
    return Value(low=min(corners), most=max(corners), number=True)


def _negated(bound: float | None) -> float | None:
    return None if bound is None else -bound


def _chosen(name: str, values: list[Value]) -> Value:
    """What `least` or `greatest` gives: one bound is enough for it."""
    chosen = _largest(values)
    if name == "LEAST":
        mosts = [value.most for value in values if value.most is not None]
        return replace(chosen, most=min(mosts, default=None))
    lows = [value.low for value in values if value.low is not None]
    return replace(chosen, low=max(lows, default=None))


def _product(sizes: list[float]) -> float:
    found = 1.0
    for size in sizes:
        found *= max(1, size)
    return found


def _named(expr: Expr) -> str:
    return expr.value if expr.kind == "variable" else f"{expr.kind} at {expr.at}"


def aggregates(expr: Expr) -> bool:
    """Whether an expression aggregates rows."""
    return any(each.kind == "call" and each.value in AGGREGATES for each in inside(expr))


def check_growth(statement: str, query: Query, parameters: Mapping[str, Any] | None) -> None:
    """Whether a statement's values stay within bounds.

    Args:
        parameters: the values of its parameters; None, where they aren't known yet, takes them for small.

    Raises:
        NotAllowed: they may not; `rule` is `growth`.
    """
    Budget(statement, parameters).query(query)
