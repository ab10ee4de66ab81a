"""Filters as tantivy queries over indexed fast fields."""

from __future__ import annotations

import math
from typing import Any

from graphsvc.model.filters import And, Compare, Filter, Not, Or
from graphsvc.model.kinds import KINDS, SEARCHABLE, Field
from graphsvc.model.names import task_key
from graphsvc.model.records import Record
from graphsvc.model.times import micros

STATISTICS = frozenset({
    "version", "uses", "successes", "rewards", "reward", "latencies", "latency_ms", "last_used",
})  # fmt: skip
"""Fields of a skill that every use changes: not worth indexing its text again each time."""


def _is_indexed(kind: str, field: Field) -> bool:
    return field.type not in ("text", "metadata") and field.name != "id" and not (
        kind == "skill" and field.name in STATISTICS
    )


INDEXED: dict[str, frozenset[str]] = {
    kind: frozenset(field.name for field in KINDS[kind].fields.values() if _is_indexed(kind, field))
    for kind in SEARCHABLE
}
"""Fields of each kind that the index can filter by."""


def _fields() -> dict[str, Field]:
    """The indexed fields of all kinds; a name means the same type in each."""
    return {name: KINDS[kind].fields[name] for kind in SEARCHABLE for name in sorted(INDEXED[kind])}


def add_fields(builder: Any) -> None:
    """Declare the filter fields in a schema."""
    for name, field in _fields().items():
        if field.type in ("name", "tags"):
            builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=True)
        elif field.type == "float":
            builder.add_float_field(name, indexed=True, fast=True)
        elif field.type == "bool":
            builder.add_boolean_field(name, indexed=True, fast=True)
        else:
            builder.add_integer_field(name, indexed=True, fast=True)


def filter_values(kind: str, record: Record) -> dict[str, Any]:
    """A record's filter fields as its document holds them, by name, in the order of their names."""
    values: dict[str, Any] = {}
    for name in sorted(INDEXED[kind]):
        value = getattr(record, name)
        if value is not None:
            type = KINDS[kind].fields[name].type
            values[name] = micros(value) if type == "time" else task_key(value) if name == "task" else value
    return values


def write_fields(document: Any, kind: str, values: dict[str, Any]) -> None:
    """Put filter fields into a document."""
    for name, value in values.items():
        match KINDS[kind].fields[name].type:
            case "name":
                document.add_text(name, value)
            case "tags":
                for tag in value:
                    document.add_text(name, tag)
            case "float":
                document.add_float(name, value)
            case "bool":
                document.add_boolean(name, value)
            case _:
                document.add_integer(name, value)


class Compiler:
    """Compiles filters against one schema."""

    def __init__(self, schema: Any) -> None:
        import tantivy

        self._schema = schema
        self._query = tantivy.Query
        self._occur = tantivy.Occur
        self._type = tantivy.FieldType

    def compile(self, kind: str, filter: Filter) -> Any:
        """The filter as a query, or None where the index can't answer it whole."""
        if isinstance(filter, And | Or):
            parts = [self.compile(kind, part) for part in filter.parts]
            if any(part is None for part in parts):
                return None
            if not parts:
                return self._query.all_query() if isinstance(filter, And) else self._query.empty_query()
            occur = self._occur.Must if isinstance(filter, And) else self._occur.Should
            return self._query.boolean_query([(occur, part) for part in parts])
        if isinstance(filter, Not):
            part = self.compile(kind, filter.part)
            return None if part is None else self._not(part)
        if filter.field.name not in INDEXED[kind]:
            return None
        return self._compare(filter)

    def _not(self, part: Any) -> Any:
        must = (self._occur.Must, self._query.all_query())
        return self._query.boolean_query([must, (self._occur.MustNot, part)])

    def _compare(self, compare: Compare) -> Any:
        field, op, value = compare.field, compare.op, compare.value
        if op == "exists":
            there = self._query.exists_query(field.name)
            return there if value else self._not(there)
        if op == "ne":
            return self._not(self._equal(field, value))
        if op == "in":
            if not value:
                return self._query.empty_query()
            return self._query.boolean_query([(self._occur.Should, self._equal(field, item)) for item in value])
        if op == "eq" or (op == "contains" and field.type == "tags"):
            return self._equal(field, value)
        if op == "contains":
            return None
        return self._range(field, op, value)

    def _equal(self, field: Field, value: Any) -> Any:
        if field.type == "name":
            return self._query.term_query(
                self._schema, field.name, task_key(value) if field.name == "task" else value
            )
        if field.type in ("tags", "bool"):
            return self._query.term_query(self._schema, field.name, value)
        if field.type == "float":
            return self._between(field, float(value), float(value))
        if field.type == "int" and isinstance(value, float):
            if not value.is_integer():
                return self._query.empty_query()
            value = int(value)
        number = micros(value) if field.type == "time" else value
        return self._between(field, number, number)

    def _range(self, field: Field, op: str, value: Any) -> Any:
        if field.type == "float":
            value = float(value)
            if op in ("gt", "ge"):
                return self._between(field, value, None, include_lower=op == "ge")
            return self._between(field, None, value, include_upper=op == "le")
        number = micros(value) if field.type == "time" else value
        # On whole numbers every bound is an inclusive whole number.
        if op in ("gt", "ge"):
            least = math.floor(number) + 1 if op == "gt" else math.ceil(number)
            return self._between(field, least, None)
        most = math.ceil(number) - 1 if op == "lt" else math.floor(number)
        return self._between(field, None, most)

    def _between(
        self, field: Field, lower: Any, upper: Any, *, include_lower: bool = True, include_upper: bool = True
    ) -> Any:
        type = self._type.Float if field.type == "float" else self._type.Integer
        if type == self._type.Integer:
            if (lower is not None and lower >= 1 << 63) or (upper is not None and upper < -(1 << 63)):
                return self._query.empty_query()
            lower = None if lower is None or lower < -(1 << 63) else lower
            upper = None if upper is None or upper >= 1 << 63 else upper
            if lower is None and upper is None:
                return self._query.exists_query(field.name)
        return self._query.range_query(
            self._schema, field.name, type, lower, upper, include_lower=include_lower, include_upper=include_upper
        )
