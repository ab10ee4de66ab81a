"""How large a statement's values may become, estimated before it runs.

A single step of an engine can't be interrupted: `size(range(1, 30000000))` takes 27 s and 8.5 GB, twelve times
`WITH list_concat(l, l) AS l` 2.3 GB. So the sizes of values are bounded from what is known: literals, parameters, and
how functions make them grow. Sizes count elements and characters; what is stored counts as a guess, since who wrote it
had limits too. The estimate is carried over WITH, so growth that is chained multiplies here as it does there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphsvc.cypher.arguments import (
    all_shortest_unseen,
    why_no_text,
    why_reduce_refused,
    why_refused,
    why_unused,
)
from graphsvc.cypher.functions import AGGREGATES, ELEMENTS, FUNCTIONS, GIVES, HOLDING, LENGTHS, PASSES, Growth
from graphsvc.cypher.names import folded
from graphsvc.cypher.syntax import (
    Call,
    Clause,
    Create,
    Edge,
    Expr,
    Item,
    Match,
    Merge,
    Node,
    Path,
    Projection,
    Query,
    Set,
    Unwind,
    every_clause,
    in_clause,
    inside,
    paths_of,
)
from graphsvc.cypher.tokens import place
from graphsvc.cypher.values import (
    NUMBER,
    STORED,
    STORED_SIZE,
    TRUTH,
    Schema,
    Value,
    chosen,
    column,
    computed,
    known,
    largest,
    listed,
    of_type,
    struct,
)
from graphsvc.errors import NotAllowed, NotDeterministic

MAX_VALUE = 1_000_000
"""Elements and characters of one value."""
MAX_GIVEN = 250_000
"""Elements of one value that is given back: making Python's of them takes 3 µs each on Kuzu, and can't be stopped."""
MAX_GROWN = 50_000_000
"""Elements and characters that a statement may make by growing, all rows together."""
MAX_WORK = 1_000_000_000
"""Elements looked at by functions that go through all of them."""
MAX_UNWOUND = 10_000_000
"""Rows that UNWIND may make of lists whose length is known."""
MAX_HOPS = 30
"""The most hops of an edge of variable length, which is also what `*` alone means to the engines."""

_BATCH = 2_048
"""Rows that an engine computes in one step."""
_MATCHED = 1_000
"""Rows taken for what MATCH finds, where they are gathered into a list."""
_TEXT = 24
"""Characters of a number as text."""
_SMALL = 100
"""Growth up to here isn't counted."""


class Budget:
    """What a statement's values may grow to, clause by clause."""

    def __init__(
        self, statement: str, parameters: Mapping[str, Any] | None, schema: Schema | None, writes: bool
    ) -> None:
        self._statement = statement
        self._writes = writes
        self._parameters = parameters
        self._schema = schema
        self._names: dict[str, Value] = {}
        self._unwound = 1.0
        self._matched = False
        self._guessed = False
        self._grown = 0.0
        self._work = 0.0

    def query(self, query: Query) -> None:
        """Raises: NotAllowed, if it would grow too far."""
        for part in query.parts:
            self._names, self._unwound, self._matched, self._guessed = {}, 1.0, False, False
            self._check_part(part)
            for clause in part:
                self._clause(clause)

    def _check_part(self, part: Sequence[Clause]) -> None:
        """Refuse what ends the process by the whole of a query."""
        unseen = all_shortest_unseen(part)
        if unseen is not None:
            what = "ALL SHORTEST is for paths that are given back"
            hint = "MATCH p = …* ALL SHORTEST … RETURN p, or nodes(p)."
            raise NotAllowed(what, where=place(self._statement, unseen), hint=hint, rule="crash")

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
                self._names |= {folded(name): STORED for _, name in clause.yields}
                self._matched = True
            case Create() | Merge():
                for path in clause.paths:
                    self._path(path)
                if isinstance(clause, Merge):
                    for item in (*clause.on_create, *clause.on_match):
                        self._given(item.value)
            case Set():
                for item in clause.items:
                    self._given(item.value)

    def _match(self, clause: Match) -> None:
        self._matched = True
        for path in clause.paths:
            self._path(path)
        if clause.where:
            self._value(clause.where)

    def _path(self, path: Path) -> None:
        length = len(path.nodes) + len(path.edges)
        for part in path.parts:
            for _, value in part.properties:
                self._given(value)
            if part.variable:
                self._bind(part)
        for edge in path.edges:
            if edge.hops:
                self._hops(edge.at, edge.hops.lower, edge.hops.upper)
                length += 2 * (edge.hops.upper or MAX_HOPS)
                inner = dict.fromkeys(map(folded, edge.hops.names), STORED)
                for expr in (*filter(None, [edge.hops.where]), *edge.hops.shown):
                    self._within(expr, inner, 1)
                self._names[folded(edge.variable)] = Value(STORED_SIZE * length, length, kind="path", sure=True)
        if path.variable:
            self._names[folded(path.variable)] = Value(STORED_SIZE * length, length, kind="path", sure=True)

    def _given(self, expr: Expr) -> None:
        """What a property is to be, or to equal."""
        value = self._value(expr)
        if self._writes and value.holds_element:
            raise self._placed("a property", expr)

    def _bind(self, part: Node | Edge) -> None:
        kind, tables = ("node", part.labels) if isinstance(part, Node) else ("edge", part.types)
        name = folded(part.variable)
        before = self._names.get(name)
        if before is None or (tables and before.kind == kind):
            self._names[name] = Value(STORED_SIZE, kind=kind, tables=tables, bound=True)

    def _hops(self, at: int, lower: int | None, upper: int | None) -> None:
        if max(lower or 0, upper or 0) > MAX_HOPS:
            raise self._refuse(f"an edge has at most {MAX_HOPS} hops", at)

    def _unwind(self, clause: Unwind) -> None:
        value = self._value(clause.expr)
        self._unwound *= max(1, value.elements)
        self._guessed = self._guessed or not value.sure
        if self._unwound > MAX_UNWOUND:
            raise self._refuse(f"UNWIND would make more than {MAX_UNWOUND:,} rows", clause.at)
        self._names[folded(clause.name)] = value.element

    def _projection(self, clause: Projection) -> None:
        writes, self._writes = self._writes, self._writes and not clause.final
        try:
            self._project(clause)
        finally:
            self._writes = writes

    def _project(self, clause: Projection) -> None:
        values = {_name(item): self._value(item.expr) for item in clause.items}
        large = [item for item in clause.items if values[_name(item)].size > MAX_GIVEN]
        for item in large if clause.final else ():
            if values[_name(item)].kind != "text":
                raise self._refuse(f"gives back a value of more than {MAX_GIVEN:,} elements", item.expr.at)
        groups = [item for item in clause.items if not aggregates(item.expr)]
        outer = self._names
        if len(groups) < len(clause.items) and not groups and not clause.star:
            self._unwound, self._matched, self._guessed = 1, False, False
        self._names = {**(outer if clause.star or clause.final else {}), **values}
        for expr in clause.order:
            self._within(expr, outer, 1)
        for bound in (clause.skip, clause.limit):
            if bound is not None:
                most = self._value(bound).most
                if bound is clause.limit and most is not None:
                    self._limited(max(1, most))
        if clause.where:
            self._value(clause.where)

    def _limited(self, most: float) -> None:
        """No more rows than so many: of those that MATCH finds nothing was known before."""
        if not self._matched and not self._guessed:
            self._unwound = min(self._unwound, most)
        elif most <= _MATCHED:
            self._unwound, self._matched, self._guessed = most, False, False

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

    def _grows(self, value: Value, expr: Expr, times: float = 0) -> Value:
        """Count what an expression makes, `times` in all or, if that is 0, once a row."""
        what = f"{expr.value.lower()} " if expr.kind == "call" else ""
        if value.size > MAX_VALUE:
            raise self._refuse(f"{what}may make a value of more than {MAX_VALUE:,} elements or characters", expr.at)
        if value.size > _SMALL:
            self._grown += (times or self._times()) * value.size
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
                    return STORED
                return known(self._parameters.get(expr.value))
            case "variable":
                return self._names.get(folded(expr.value), STORED)
            case "property":
                return self._property(expr)
            case "call":
                return self._call(expr)
            case "op":
                return self._operator(expr)
            case "list":
                return self._grows(listed([self._value(arg) for arg in expr.args]), expr)
            case "struct":
                return self._grows(struct([self._value(arg) for arg in expr.args]), expr)
            case "case":
                return self._case(expr)
            case "cast":
                return self._cast(expr)
            case "index":
                base = self._value(expr.args[0])
                self._value(expr.args[1])
                return replace(base.element, taken=True)
            case "slice":
                values = [self._value(arg) for arg in expr.args]
                self._check("SLICE", expr, values)
                return values[0].unbound()
            case "quantifier":
                among = self._value(expr.args[0])
                self._works(among.elements, expr)
                self._within(expr.args[1], {folded(expr.value): among.element}, among.elements)
                self._check_used(expr, (folded(expr.value),), expr.args[1])
                return TRUTH
            case "exists" | "count":
                self._subquery(expr.value)
                return NUMBER
            case "pattern":
                self._path(expr.value)
                return TRUTH
        return Value()

    def _subquery(self, clause: Match) -> None:
        outer, matched = dict(self._names), self._matched
        self._match(clause)
        self._names, self._matched = outer, matched

    def _check(self, name: str, expr: Expr, values: list[Value]) -> None:
        """Refuse arguments that end the process on an engine."""
        what, hint = why_refused(name, expr, values)
        if what:
            raise NotAllowed(what, where=place(self._statement, expr.at), hint=hint, rule="crash")
        if self._parameters is not None:
            what, hint = why_no_text(name, values, self._writes)
            if what:
                raise NotAllowed(what, where=place(self._statement, expr.at), hint=hint, rule="wrong")
        if self._writes and name not in HOLDING and any(value.holds_element for value in values):
            raise self._placed(name.lower(), expr)

    def _placed(self, what: str, expr: Expr) -> NotDeterministic:
        return NotDeterministic(
            f"{what} is made of a node, edge or path, whose internal id is other after a rebuild",
            where=place(self._statement, expr.at), hint="Take its properties.", rule="place",
        )  # fmt: skip

    def _check_used(self, expr: Expr, names: Sequence[str], body: Expr) -> None:
        if why := why_unused(names, body):
            hint = "Say it outside, or use the element."
            raise NotAllowed(why, where=place(self._statement, expr.at), hint=hint, rule="crash")

    def _property(self, expr: Expr) -> Value:
        base = self._value(expr.args[0])
        if base.kind in ("node", "edge"):
            return column(self._schema, base.tables, expr.value)
        if base.kind == "given":
            return replace(STORED, taken=True)
        inner = base.item.kind if base.item and base.item.kind in ("node", "edge", "path") and not base.kind else ""
        return Value(base.size, item=base.item, null=base.null, kind=inner, taken=True)

    def _case(self, expr: Expr) -> Value:
        values = [self._value(arg) for arg in expr.args][1 if expr.value else 0 :]
        given = values[1::2] + (values[-1:] if len(values) % 2 else [])
        self._check("CASE", expr, given)
        return self._grows(largest(given), expr)

    def _cast(self, expr: Expr) -> Value:
        value = self._value(expr.args[0])
        self._check("CAST", expr, [value])
        to = of_type(expr.value)
        if to.kind == "text":
            return self._grows(Value(self._as_text(value), kind="text"), expr)
        if to.number:
            return replace(value, kind="number", count=None, null=False, item=None) if value.number else NUMBER
        return self._grows(replace(to, size=max(1, value.size), count=value.count, sure=value.sure), expr)

    def _as_text(self, value: Value) -> float:
        return _TEXT if value.number else value.size + _TEXT * (value.count or 0)

    def _operator(self, expr: Expr) -> Value:
        values = [self._value(arg) for arg in expr.args]
        left, right = values[0], values[-1]
        self._check(expr.value, expr, values)
        if expr.value == "IN":
            self._works(right.elements, expr)
        if expr.value != "+" or (left.number and right.number) or {left.kind, right.kind} & {"time", "interval"}:
            return computed(expr.value, left, right)
        kinds = {left.kind, right.kind}
        kind = "text" if "text" in kinds and "list" not in kinds else "list" if "list" in kinds else ""
        item = largest([left.element, right.element])
        both = left.sure and right.sure
        grown = Value(left.size + right.size, left.elements + right.elements, kind=kind, item=item, sure=both)
        return self._grows(replace(grown, null=left.null and right.null), expr)

    # functions

    def _call(self, expr: Expr) -> Value:
        growth = FUNCTIONS.get(expr.value, "product")
        if growth in ("each", "filter", "reduce") and len(expr.args) == 2 and expr.args[1].kind == "lambda":
            return self._lambda(growth, expr)
        values = [Value() if arg.kind == "lambda" else self._value(arg) for arg in expr.args]
        self._check(expr.value, expr, values)
        found = self._grown_by(growth, expr, values)
        if expr.value in GIVES:
            fixed = GIVES[expr.value] == "list" and any(value.kind == "array" for value in values)
            kind = "array" if fixed else GIVES[expr.value]
            return replace(found, kind=kind, null=False, bound=expr.value in ("START_NODE", "END_NODE"))
        if expr.value in PASSES:
            return replace(found, taken=True)
        item = found.item if found.kind == "list" else None
        return replace(found, kind=found.kind if item or found.number else "", null=False, tables=())

    def _grown_by(self, growth: Growth, expr: Expr, values: list[Value]) -> Value:
        """What a function gives: how large, and of what elements."""
        first = values[0] if values else Value()
        sizes = [value.size for value in values]
        match growth:
            case "number":
                return self._numeric(expr.value, values)
            case "bounded":
                return Value(_TEXT)
            case "same":
                if expr.value in ("LEAST", "GREATEST"):
                    return chosen(expr.value, values)
                if expr.value in ELEMENTS:
                    return replace(first.element, size=first.size)
                if expr.value in ("NODES", "RELS", "RELATIONSHIPS"):
                    item = Value(STORED_SIZE, kind="node" if expr.value == "NODES" else "edge")
                    return Value(first.size, first.count, item=item, sure=first.sure)
                return largest(values) if len(values) != 1 else first.unbound()
            case "scan":
                self._works(sum(sizes), expr)
                if expr.value not in LENGTHS:
                    return first.unbound()
                return Value(low=0, most=first.elements if first.sure else None, kind="number")
            case "compare":
                self._works(_product(sizes), expr)
                return Value()
            case "sum":
                items = [value.element if value.kind == "list" else value for value in values]
                return self._grows(
                    Value(
                        1 + sum(sizes), sum(value.elements for value in values), item=largest(items),
                        sure=all(value.sure or value.kind != "list" for value in values),
                    ), expr,
                )  # fmt: skip
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
                sure = not self._matched and not self._guessed
                return self._grows(Value(rows * first.size, rows, item=first, sure=sure), expr, times=1)
        return self._grows(Value(_product([1 + size for size in sizes])), expr)

    def _numeric(self, name: str, values: list[Value]) -> Value:
        if name == "COUNT":
            return Value(low=0, most=None if self._matched or self._guessed else self._unwound, kind="number")
        if values and name == "ABS":
            bounds = [abs(bound) for bound in (values[0].low, values[0].most) if bound is not None]
            return Value(low=0, most=max(bounds) if len(bounds) == 2 else None, kind="number")
        if values and (name in ("CEIL", "CEILING", "FLOOR", "ROUND") or name.startswith(("TO_INT", "TO_UINT"))):
            low, most = values[0].low, values[0].most
            return Value(low=None if low is None else low - 1, most=None if most is None else most + 1, kind="number")
        return NUMBER

    def _bound(self, expr: Expr, values: list[Value], index: int) -> float:
        """What a number that decides over a length is at most."""
        if index >= len(values):
            raise self._refuse(f"{expr.value.lower()} lacks an argument", expr.at)
        value = values[index]
        if value.most is None:
            if self._parameters is None and expr.args[index].kind == "parameter":
                return STORED_SIZE
            raise self._refuse(
                f"how far {expr.value.lower()} goes isn't known before it runs",
                expr.at,
                "Bound it: x % 1000, or give a literal or a parameter.",
            )
        return max(1, value.most)

    def _range(self, expr: Expr, values: list[Value]) -> Value:
        high = self._bound(expr, values, 1)
        low = values[0].low
        if low is None:  # a number that the graph holds may be as small as it likes
            low = 0.0 if self._parameters is None and expr.args[0].kind == "parameter" else -2.0 * MAX_VALUE
        step = 1.0
        if len(values) > 2:  # it may go downwards
            low = min(low, -2.0 * MAX_VALUE if values[1].low is None else values[1].low)
            high = max(high, 2.0 * MAX_VALUE if values[0].most is None else values[0].most)
            if expr.args[2].kind in ("literal", "parameter"):
                step = max(1.0, abs(values[2].most or 1))
        count = max(0.0, high - low) / step + 1
        return self._grows(Value(count, count, item=Value(low=low, most=high, kind="number"), sure=True), expr)

    def _lambda(self, growth: str, expr: Expr) -> Value:
        among = self._value(expr.args[0])
        names, body = tuple(map(folded, expr.args[1].value)), expr.args[1].args[0]
        self._check(expr.value, expr, [among, Value()])
        self._works(among.elements, expr)
        inner = dict.fromkeys(names, among.element)
        if growth == "reduce":
            return self._reduce(expr, among, names, body)
        item = self._within(body, inner, among.elements)
        found = among
        if growth == "each":
            kind = "array" if among.kind == "array" else "list"
            size = 1 + among.elements * item.size
            found = self._grows(Value(size, among.elements, kind=kind, item=item, sure=among.sure), expr)
        self._check_used(expr, names, body)
        return found

    def _reduce(self, expr: Expr, among: Value, names: tuple[str, ...], body: Expr) -> Value:
        """What is gathered is used again for each element, so it may grow by addition and no further."""
        if why := why_reduce_refused(among, body):
            raise NotAllowed(why, where=place(self._statement, expr.at), rule="crash")
        self._check_used(expr, names, body)
        if among.element.number:
            self._within(body, dict.fromkeys(names, NUMBER), among.elements)
            return NUMBER
        uses = [each for each in inside(body) if each.kind == "variable" and folded(each.value) == names[0]]
        calls = [each for each in inside(body) if each.kind in ("call", "cast", "list", "struct")]
        plain = all(FUNCTIONS.get(each.value) in ("number", "bounded", "same") for each in calls if each.kind == "call")
        if len(uses) > 1 or not plain or any(each.kind != "call" for each in calls):
            raise self._refuse("list_reduce may only add to what it has gathered, once for each element", expr.at)
        added = self._within(body, {**dict.fromkeys(names, among.element), names[0]: Value()}, among.elements)
        return self._grows(Value(among.size + among.elements * added.size, kind=among.element.kind), expr)


def _product(sizes: list[float]) -> float:
    found = 1.0
    for size in sizes:
        found *= max(1, size)
    return found


def _name(item: Item) -> str:
    if item.name or item.expr.kind == "variable":
        return folded(item.name or item.expr.value)
    return f"{item.expr.kind} at {item.expr.at}"


def aggregates(expr: Expr) -> bool:
    """Whether an expression aggregates rows."""
    return any(each.kind == "call" and each.value in AGGREGATES for each in inside(expr))


def check_growth(
    statement: str,
    query: Query,
    parameters: Mapping[str, Any] | None,
    schema: Schema | None = None,
    *,
    writes: bool = False,
) -> None:
    """Whether a statement's values stay within bounds, and no function is given what ends the process.

    Args:
        parameters: the values of its parameters; None, where they aren't known yet, takes them for small.
        schema: types of what is stored; None trusts that functions get what they take.
        writes: whether it writes: then no internal id gets into a value.

    Raises:
        NotAllowed: they don't; `rule` is `growth`, `crash`, `wrong` or `place`.
    """
    Budget(statement, parameters, schema, writes).query(query)


_VALUE_UNSEEN = frozenset({"=", "<>", "<", "<=", ">", ">=", "STARTS WITH", "ENDS WITH", "CONTAINS"})


def fixed(query: Query) -> bool:
    """Whether no parameter's value can change what `check_growth` says: each is only compared with something, by an
    operator or as the property of a node or edge in a pattern.
    """
    clauses = list(every_clause(query))
    seen = [expr for clause in clauses for expr in in_clause(clause)]
    unseen = [arg for expr in seen if expr.kind == "op" and expr.value in _VALUE_UNSEEN for arg in expr.args]
    unseen += [
        value for clause in clauses for path in paths_of(clause) for part in path.parts for _, value in part.properties
    ]
    harmless = {id(expr) for expr in unseen}
    return all(id(expr) in harmless for expr in seen if expr.kind == "parameter")
