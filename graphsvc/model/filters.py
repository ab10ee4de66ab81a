"""The filter language: which records a call is about.

A filter is a tree of comparisons under and, or, not. It is written as JSON (or a Python dict):

    {"success": False}                              a value: equal to it; for tags: contains it
    {"reward": {"ge": 0.9}, "session": ["a", "b"]}  several fields: all of them; a list: one of these
    {"metadata.region": {"ne": "eu"}}               a path into metadata; with dots in a key: metadata."a.b".c
    {"critique": {"contains": "timeout"}}           text: holds it, case and all; tags and lists: have it
    {"critique": None}                              has no value
    {"or": [{"reward": {"lt": 0.2}}, {"not": {"tags": "done"}}]}

or with `graphsvc.F`: `(F.reward >= 0.9) & ~F.tags.contains("done")`.

A comparison with a missing value is false; `ne` is the opposite of `eq`, so it is true there, and `not` is
the plain opposite of what it holds.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from graphsvc.errors import BadInput, TooLarge, UnknownField
from graphsvc.model.kinds import Field
from graphsvc.model.names import task_text
from graphsvc.model.times import utc
from graphsvc.model.validate import plain

OPERATORS = ("eq", "ne", "gt", "ge", "lt", "le", "in", "contains", "exists")
MAX_VALUES = 10_000
MAX_TERMS = 256
MAX_DEPTH = 16
STEP = re.compile(r'\.(?:"([^"\\]+)"|([^."\\]+))')
"""A key in a path into metadata, in quotes where it has dots."""

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison. `path` is empty but for metadata, where it leads to the value."""

    field: Field
    op: str
    value: Any
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class And:
    """All of these."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of these."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    part: Filter


Filter = Compare | And | Or | Not


class Fielded(Protocol):
    """What can be filtered: a kind of record, a table of the graph."""

    @property
    def name(self) -> str: ...

    @property
    def fields(self) -> Mapping[str, Field]: ...


class Expression:
    """A filter written in Python, see `F`. It carries the same JSON that `where` takes."""

    def __init__(self, json: dict[str, Any]) -> None:
        self.json = json

    def __and__(self, other: Expression) -> Expression:
        return Expression({"and": [self.json, other.json]})

    def __or__(self, other: Expression) -> Expression:
        return Expression({"or": [self.json, other.json]})

    def __invert__(self) -> Expression:
        return Expression({"not": self.json})

    def __bool__(self) -> bool:
        raise BadInput("a filter is neither true nor false", hint="Join filters with & | ~, in parentheses.")

    def __repr__(self) -> str:
        return f"Expression({self.json!r})"


class Term:
    """A field to compare: `F.reward`, `F.metadata.region`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Term:
        if name.startswith("__"):
            raise AttributeError(name)
        return Term(f"{self._name}.{name}")

    def __getitem__(self, name: str) -> Term:
        return Term(f'{self._name}."{name}"' if "." in name else f"{self._name}.{name}")

    def _is(self, op: str, value: Any) -> Expression:
        return Expression({self._name: {op: value}})

    def __eq__(self, value: object) -> Expression:  # type: ignore[override]
        return self._is("eq", value)

    def __ne__(self, value: object) -> Expression:  # type: ignore[override]
        return self._is("ne", value)

    def __gt__(self, value: object) -> Expression:
        return self._is("gt", value)

    def __ge__(self, value: object) -> Expression:
        return self._is("ge", value)

    def __lt__(self, value: object) -> Expression:
        return self._is("lt", value)

    def __le__(self, value: object) -> Expression:
        return self._is("le", value)

    __hash__ = None  # type: ignore[assignment]

    def is_in(self, values: Any) -> Expression:
        """One of these values."""
        return self._is("in", list(values))

    def contains(self, value: Any) -> Expression:
        """The text holds this text; the tags or list have this value."""
        return self._is("contains", value)

    def exists(self, truth: bool = True) -> Expression:
        """Has a value (or has none)."""
        return self._is("exists", truth)


class _Fields:
    """Where filters in Python start: `F.reward >= 0.9`."""

    def __getattr__(self, name: str) -> Term:
        if name.startswith("__"):
            raise AttributeError(name)
        return Term(name)


F = _Fields()


def parse(where: Mapping[str, Any] | Expression | None, kind: Fielded) -> Filter | None:
    """The typed filter that `where` says, for records of `kind`; None if it says nothing.

    Raises:
        UnknownField: for a field, operator or word that doesn't exist.
        BadInput: for a value that the field can't be compared with.
        TooLarge: for more than 256 comparisons or nesting over 16.
    """
    if where is None:
        return None
    json = where.json if isinstance(where, Expression) else where
    budget = [MAX_TERMS]
    return _all_of(json, kind, "where", 0, budget)


def _all_of(json: Any, kind: Fielded, where: str, depth: int, budget: list[int]) -> Filter | None:
    if isinstance(json, Expression):
        json = json.json
    if not isinstance(json, Mapping):
        raise BadInput(f"expected an object, got {type(json).__name__}", where=where)
    if depth > MAX_DEPTH:
        raise TooLarge(f"is nested deeper than {MAX_DEPTH}", where=where)
    parts: list[Filter] = []
    for name, value in json.items():
        if not isinstance(name, str):
            raise BadInput(f"field names are texts, got {name!r}", where=where)
        inside = f"{where}.{name}"
        if name in ("and", "or"):
            parts.append(_joined(name, value, kind, inside, depth, budget))
        elif name == "not":
            part = _all_of(value, kind, inside, depth + 1, budget)
            parts.append(Not(part) if part is not None else Or(()))
        else:
            parts.extend(_comparisons(name, value, kind, inside, budget))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _joined(word: str, value: Any, kind: Fielded, where: str, depth: int, budget: list[int]) -> Filter:
    if not isinstance(value, list | tuple):
        raise BadInput(f"expected a list, got {type(value).__name__}", where=where)
    every = And(())
    parts = tuple(
        _all_of(part, kind, f"{where}[{index}]", depth + 1, budget) or every for index, part in enumerate(value)
    )
    return And(parts) if word == "and" else Or(parts)


def _comparisons(name: str, value: Any, kind: Fielded, where: str, budget: list[int]) -> list[Filter]:
    field, path = _target(name, kind, where)
    if isinstance(value, Mapping):
        pairs = list(value.items())
        if not pairs:
            raise BadInput("says no comparison", where=where, hint=f"Operators: {', '.join(OPERATORS)}.")
    elif value is None:
        pairs = [("exists", False)]
    elif isinstance(value, list | tuple | set | frozenset):
        pairs = [("in", list(value))]
    else:
        pairs = [("contains" if field.type == "tags" else "eq", value)]
    budget[0] -= len(pairs)
    if budget[0] < 0:
        raise TooLarge(f"more than {MAX_TERMS} comparisons", where="where")
    return [_compare(field, path, op, operand, f"{where}.{op}") for op, operand in pairs]


def _target(name: str, kind: Fielded, where: str) -> tuple[Field, tuple[str, ...]]:
    first, _, rest = name.partition(".")
    field = kind.fields.get(first)
    if field is None or (rest and field.type != "metadata"):
        near = difflib.get_close_matches(name, kind.fields, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Fields: {', '.join(kind.fields)}."
        raise UnknownField(f"{kind.name} records have no such field", where=where, hint=hint)
    if field.type != "metadata":
        return field, ()
    if not rest:
        raise BadInput("say which key: metadata.KEY", where=where)
    path = tuple(quoted or bare for quoted, bare in STEP.findall(f".{rest}"))
    if STEP.sub("", f".{rest}") or not all(step.isprintable() for step in path):
        raise BadInput(
            "a path has keys without quotes, backslashes and control characters, joined by dots", where=where,
            hint='A key with dots in it stands in double quotes: metadata."a.b".c',
        )  # fmt: skip
    return field, path


def _compare(field: Field, path: tuple[str, ...], op: Any, value: Any, where: str) -> Filter:
    if op not in OPERATORS:
        raise UnknownField("no such operator", where=where, hint=f"Operators: {', '.join(OPERATORS)}.")
    if op == "exists":
        if not isinstance(value, bool):
            raise BadInput(f"expected true or false, got {value!r}", where=where)
        return Compare(field, op, value, path)
    if value is None and op in ("eq", "ne"):
        return Compare(field, "exists", op == "ne", path)
    if op == "in":
        if isinstance(value, str | Mapping) or not isinstance(value, list | tuple | set | frozenset):
            raise BadInput(f"expected a list, got {type(value).__name__}", where=where)
        if len(value) > MAX_VALUES:
            raise TooLarge(f"{len(value):,} values; at most {MAX_VALUES:,}", where=where)
        return Compare(field, op, tuple(_operand(field, item, where) for item in value), path)
    if field.type == "tags" and op != "contains":
        raise BadInput(f"tags can't be compared with {op}", where=where, hint="Use contains, in or exists.")
    if op == "contains" and field.type not in ("tags", "name", "text", "metadata"):
        raise BadInput(f"{field.name} holds no text or list", where=where)
    if op in _ORDER and field.type in ("bool", "name", "text"):
        raise BadInput(f"{field.name} has no order", where=where, hint="Use eq, in or contains.")
    operand = _operand(field, value, where, whole=op != "contains")
    if op in _ORDER and isinstance(operand, bool):
        raise BadInput("true and false have no order", where=where)
    return Compare(field, op, operand, path)


def _operand(field: Field, value: Any, where: str, *, whole: bool = True) -> Any:
    """A value that the field may be compared with, as the field holds it; a part of a text where it isn't `whole`."""
    value = plain(value)
    match field.type:
        case "time":
            return utc(value, where=where)
        case "bool":
            good = isinstance(value, bool)
        case "float" | "int":
            good = isinstance(value, int | float) and not isinstance(value, bool) and value == value
        case "metadata":
            good = isinstance(value, str | int | float | bool) and value == value
        case _:
            good = isinstance(value, str)
    if not good:
        raise BadInput(f"{field.name} ({field.type}) can't be compared with {value!r}", where=where)
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        raise BadInput("the number doesn't fit 64 bits", where=where)
    if isinstance(value, str):
        _sound(value, where)
    if field.name != "task":
        return value
    return task_text(value) if whole else unicodedata.normalize("NFC", value)


def _sound(value: str, where: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadInput("the text holds half a surrogate pair, which is no character", where=where) from None


def matches(filter: Filter | None, record: Any) -> bool:
    """Whether a record passes. The definition that every other way of filtering must agree with."""
    if filter is None:
        return True
    if isinstance(filter, And):
        return all(matches(part, record) for part in filter.parts)
    if isinstance(filter, Or):
        return any(matches(part, record) for part in filter.parts)
    if isinstance(filter, Not):
        return not matches(filter.part, record)
    return _holds(filter, _value(filter, record))


def _value(compare: Compare, record: Any) -> Any:
    value = getattr(record, compare.field.name)
    for step in compare.path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _holds(compare: Compare, value: Any) -> bool:
    op, operand = compare.op, compare.value
    if compare.field.type == "tags":
        if op == "exists":
            return bool(bool(value) == operand)
        return any(tag in operand for tag in value) if op == "in" else bool(operand in value)
    if op == "exists":
        return bool((value is not None) == operand)
    if op == "ne":
        return not same(value, operand)
    if value is None:
        return False
    if op == "eq":
        return same(value, operand)
    if op == "in":
        return any(same(value, item) for item in operand)
    if op == "contains":
        if isinstance(value, list):
            return any(same(item, operand) for item in value)
        return isinstance(value, str) and isinstance(operand, str) and operand in value
    return comparable(value, operand) and _ORDER[op](value, operand)


def _sort(value: Any) -> str:
    """What values can be equal or ordered with each other: 1 and 1.0 can, 1 and true can't."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "time" if isinstance(value, datetime) else type(value).__name__


def same(a: Any, b: Any) -> bool:
    """Equal, and of one sort."""
    return _sort(a) == _sort(b) and bool(a == b)


def comparable(a: Any, b: Any) -> bool:
    """Of one sort that has an order."""
    return _sort(a) == _sort(b) and _sort(a) in ("number", "str", "time")
