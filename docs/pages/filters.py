"""The filter language, from `graphsvc.model.filters`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from graphsvc.errors import BadInput
from graphsvc.model import filters
from graphsvc.model.kinds import KINDS, Field, Kind

from .markdown import UndescribedError, code, page, said, table

OPERATORS = {
    "eq": ("v", "F.x == v", "equal to the value"),
    "ne": ("v", "F.x != v", "not equal to it, also where the field has no value"),
    "gt": ("v", "F.x > v", "greater; of times, later"),
    "ge": ("v", "F.x >= v", "greater or equal"),
    "lt": ("v", "F.x < v", "less; of times, earlier"),
    "le": ("v", "F.x <= v", "less or equal"),
    "in": ("[…]", "F.x.is_in([…])", f"one of up to {filters.MAX_VALUES:,} values; of tags, any of them"),
    "contains": ("v", "F.x.contains(v)", "a text that holds this one, with its capitals; tags or a list that have it"),
    "exists": ("true", "F.x.exists()", "there; with `false`, missing"),
}
"""Of each operator an operand, its form in Python, and what it says."""

SAMPLES: dict[str, Any] = {
    "name": "a", "text": "a", "float": 0.5, "int": 1, "bool": True, "time": datetime(2026, 1, 1, tzinfo=UTC),
    "tags": "a", "metadata": "a",
}  # fmt: skip
"""A value of each type, to ask the language with."""

LIMITS = f"""
A filter has at most {filters.MAX_TERMS} comparisons and nests at most {filters.MAX_DEPTH} deep. `F` terms are joined
with `&`, `|` and `~`, in parentheses. A path into metadata is `F.metadata.region`, or `F.metadata["odd.name"]`, in
JSON `metadata."odd.name"`. Either form is checked when it is used: an unknown field, an operator that the field doesn't
take, and a value of the wrong type are errors that name the place.
"""


def made() -> str:
    """The page."""
    if set(OPERATORS) != set(filters.OPERATORS):
        raise UndescribedError(f"operators without description: {set(OPERATORS) ^ set(filters.OPERATORS)}")
    rows = (
        (code(op), code(f'{{"x": {{"{op}": {operand}}}}}'), code(python), meaning)
        for op, (operand, python, meaning) in OPERATORS.items()
    )
    return page(
        "Filters",
        said(filters.__doc__, "model.filters"),
        "## Operators",
        table(("operator", "as JSON", "as Python", "holds where the field is"), rows),
        LIMITS,
        "## Fields",
        *(_fields(kind) for kind in KINDS.values() if kind.in_columns),
    )


def _fields(kind: Kind) -> str:
    rows = (
        (code(_place(field)), field.type, ", ".join(code(op) for op in filters.OPERATORS if _takes(kind, field, op)))
        for field in kind.fields.values()
    )
    return f"### Of {kind.name}s\n\n{table(('field', 'type', 'operators'), rows)}"


def _place(field: Field) -> str:
    return "metadata.KEY" if field.type == "metadata" else field.name


def _takes(kind: Kind, field: Field, op: str) -> bool:
    """Whether the field can be compared so: the language itself is asked."""
    value = SAMPLES[field.type]
    try:
        filters.parse({_place(field): {op: [value] if op == "in" else True if op == "exists" else value}}, kind)
    except BadInput:
        return False
    return True
