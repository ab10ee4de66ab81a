"""What is known of a value before a statement runs: how large it may be, within which bounds, of what kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from graphsvc.cypher.names import folded

Schema = Mapping[str, Mapping[str, str]]
"""The tables that there are: their columns, and the engine's types of those."""

STORED_SIZE = 100
"""The size taken for a value that is stored."""


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a value.

    Attributes:
        size: its elements and characters, all in all, at most.
        count: its elements, if it is a list.
        low, most: what it is at least and at most, if it is a number of which that is known.
        kind: what it surely is: `number`, `text`, `list`, `array` (a list of fixed length), `time` (a date too),
            `interval`, `node`, `edge`, `path`, `id` (an internal one), `other`; `given` if it is trusted to be what is
            wanted; '' if it may be anything.
        null: whether it may be a NULL of which no type is known. Many functions of both engines end the process on one.
        item: of its elements, if that is known apart.
        tables: of a node or edge, those that it may be of; none if it may be of any.
        bound: whether it is a node or edge that a pattern binds, and not one out of a list or struct.
        taken: whether an expression takes it out of a list or struct; what UNWIND or a lambda names isn't.
        sure: whether `count`, or of a text `size`, is a bound that holds; else it is a guess.
        text: itself, if it is a text that is at hand.
    """

    size: float = 1
    count: float | None = None
    low: float | None = None
    most: float | None = None
    kind: str = ""
    null: bool = False
    item: Value | None = None
    tables: tuple[str, ...] = ()
    bound: bool = False
    taken: bool = False
    sure: bool = False
    text: str | None = None

    @property
    def number(self) -> bool:
        return self.kind == "number"

    @property
    def elements(self) -> float:
        return self.size if self.count is None else self.count

    @property
    def element(self) -> Value:
        return replace(self.item, bound=False, taken=False) if self.item else Value(self.size, null=self.null)

    def unbound(self) -> Value:
        """The same, but for the bounds of a number, and for which text it is."""
        return replace(self, low=None, most=None, text=None)

    @property
    def holds_element(self) -> bool:
        """Whether it is a node, edge, path or internal id, or a list or struct that holds one."""
        return self.kind in (*ELEMENTS, "id") or (self.item is not None and self.item.holds_element)


NUMBER = Value(kind="number")
STORED = Value(STORED_SIZE, kind="given")
"""What is stored, or given, and of which the type isn't known: trusted to be what is wanted."""
TRUTH = Value(kind="other")
ELEMENTS = ("node", "edge", "path")


def known(value: Any) -> Value:
    """A value that is at hand: a literal, or a parameter."""
    if value is None:
        return Value(null=True)
    if isinstance(value, bool):
        return TRUTH
    if isinstance(value, int | float):
        bound = _float(value)
        return Value(low=bound, most=bound, kind="number")
    if isinstance(value, str | bytes):
        if isinstance(value, bytes):
            return Value(max(1, len(value)), kind="other", sure=True)
        return Value(max(1, len(value)), kind="text", sure=True, text=value)
    if isinstance(value, dict):
        return struct([known(each) for each in value.values()])
    if isinstance(value, list | tuple):
        return listed([known(each) for each in value])
    size = 1 + len(value) if isinstance(value, Sized) else 1
    kind = "interval" if isinstance(value, timedelta) else "time" if isinstance(value, date) else "other"
    return Value(size, kind=kind)


def struct(fields: list[Value]) -> Value:
    element = next((Value(field.size, kind=field.kind) for field in fields if field.kind in ELEMENTS), None)
    return Value(1 + sum(field.size for field in fields), null=any(field.null for field in fields), item=element)


def listed(items: list[Value]) -> Value:
    """A list of some values; an element of an empty one has no type."""
    item = largest(items) if items else Value(null=True)
    size = 1 + sum(each.size for each in items)
    return Value(size, len(items), kind="list", null=item.null, item=item, sure=True)


def largest(values: list[Value]) -> Value:
    """What holds of each of some values; a NULL among others is of their kind."""
    if not values:
        return Value()
    typed = [value for value in values if value != Value(null=True)] or values
    items = [value.item for value in typed]
    return Value(
        max(value.size for value in values),
        max(value.elements for value in values),
        _extreme(min, [value.low for value in values]),
        _extreme(max, [value.most for value in values]),
        typed[0].kind if all(value.kind == typed[0].kind for value in typed) else "",
        any(value.null for value in typed),
        largest([item for item in items if item]) if all(items) else None,
        typed[0].tables if all(value.tables == typed[0].tables for value in typed) else (),
        sure=all(value.sure for value in typed),
    )


def _float(bound: float) -> float | None:
    """A bound as a float; None where that is no number."""
    try:
        bound = float(bound)
    except OverflowError:
        return None
    return bound if bound == bound else None


def _extreme(which: Callable[[list[float]], float], bounds: list[float | None]) -> float | None:
    at_hand = [bound for bound in bounds if bound is not None]
    return which(at_hand) if len(at_hand) == len(bounds) else None


def computed(operator: str, left: Value, right: Value) -> Value:
    """What an operator gives, but for `+` of texts and lists: within which bounds, where they are known."""
    if operator == "NEGATE":
        return replace(left, low=_negated(left.most), most=_negated(left.low))
    kinds = {left.kind, right.kind}
    if operator == "-" and kinds <= {"time", "interval", ""}:
        return Value(kind="time" if kinds == {"time", "interval"} else "interval")
    if operator == "/" and left.kind == "interval":
        return left
    if operator not in ("+", "-", "*", "/", "%", "^", "<<", ">>", "&", "|"):
        return TRUTH
    if operator in ("+", "-") and not (left.number and right.number):
        return Value(kind=next((kind for kind in ("time", "interval") if kind in kinds), "number"))
    bounds = [left.low, left.most, right.low, right.most]
    if operator == "%" and right.most is not None and right.low is not None:
        most = max(abs(right.most), abs(right.low))
        return Value(low=0 if left.low is not None and left.low >= 0 else -most, most=most, kind="number")
    if operator not in ("+", "-", "*") or None in bounds:
        return NUMBER
    low, most, below, above = (bound or 0.0 for bound in bounds)
    if operator == "+":
        return Value(low=_float(low + below), most=_float(most + above), kind="number")
    if operator == "-":
        return Value(low=_float(low - above), most=_float(most - below), kind="number")
    corners = [low * below, low * above, most * below, most * above]
    if any(corner != corner for corner in corners):  # no number: 0 times infinity
        return NUMBER
    return Value(low=min(corners), most=max(corners), kind="number")


def _negated(bound: float | None) -> float | None:
    return None if bound is None else -bound


def chosen(name: str, values: list[Value]) -> Value:
    """What `least` or `greatest` gives: one bound is enough for it."""
    found = largest(values)
    if name == "LEAST":
        mosts = [value.most for value in values if value.most is not None]
        return replace(found, most=min(mosts, default=None))
    lows = [value.low for value in values if value.low is not None]
    return replace(found, low=max(lows, default=None))


# --- types --------------------------------------------------------------------------------------------


def of_type(kind: str) -> Value:
    """A stored value of an engine's type."""
    kind = kind.strip().upper()
    if kind.endswith("]"):
        begin = kind.rindex("[")
        fixed = kind[begin + 1 : -1].strip()
        return Value(STORED_SIZE, STORED_SIZE, kind="array" if fixed else "list", item=of_type(kind[:begin]))
    word = kind.split("(")[0].strip()
    if word in ("STRING", "VARCHAR", "TEXT"):
        return Value(STORED_SIZE, kind="text")
    if word.startswith(("INT", "UINT", "DECIMAL", "FLOAT", "DOUBLE", "SERIAL")) and word != "INTERVAL":
        return NUMBER
    if word.startswith("TIMESTAMP") or word == "DATE":
        return Value(kind="time")
    if word in ("BOOL", "BOOLEAN", "UUID", "BLOB"):
        return Value(STORED_SIZE, kind="other")
    return Value(kind="interval") if word == "INTERVAL" else Value(STORED_SIZE)


def column(schema: Schema | None, tables: tuple[str, ...], key: str) -> Value:
    """A property of a node or edge of one of some tables; of any, if there are none."""
    if schema is None:
        return STORED
    asked = {folded(table) for table in tables}
    types = {
        kind
        for table, columns in schema.items()
        if not asked or folded(table) in asked
        for name, kind in columns.items()
        if folded(name) == folded(key)
    }
    return largest([of_type(kind) for kind in sorted(types)]) if types else Value(STORED_SIZE)
