"""Filters as typed inputs: one input for each kind of record, with the operators that its fields have."""

from __future__ import annotations

from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLFloat,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLString,
)

from graphsvc.model.kinds import ColumnType, Kind
from graphsvc.service.graphql.scalars import JSON, LONG, TIME
from graphsvc.service.graphql.types import camel

MEANING = {
    "eq": "Equal to this; null: has no value.", "ne": "Not equal to this: true of what has no value, too.",
    "gt": "More than this; of times later.", "ge": "This or more.", "lt": "Less than this; of times earlier.",
    "le": "This or less.", "in": "One of these.", "contains": "The text holds this text; the list has this value.",
    "exists": "Has a value, or has none.",
}  # fmt: skip
ORDERED = ("eq", "ne", "gt", "ge", "lt", "le", "in", "exists")
SORTS: dict[str, tuple[str, str, Any, tuple[str, ...]]] = {
    "Text": ("A text", "name text", GraphQLString, ("eq", "ne", "in", "contains", "exists")),
    "Number": ("A number", "float", GraphQLFloat, ORDERED),
    "Whole": ("A whole number", "int", LONG, ORDERED),
    "Truth": ("What is true or false", "bool", GraphQLBoolean, ("eq", "ne", "exists")),
    "Time": ("A moment", "time", TIME, ORDERED),
    "Tags": ("Labels", "tags", GraphQLString, ("contains", "in", "exists")),
    "Metadata": ("A value in metadata", "metadata", JSON, (*ORDERED, "contains")),
}
"""Comparisons by what is compared: what that is, types of columns, the type of an operand, and operators."""


class Filters:
    """The inputs of filters, made when they are asked for."""

    def __init__(self) -> None:
        self._made: dict[str, GraphQLInputObjectType] = {}
        self._compare = {sort: _comparison(sort) for sort in SORTS}

    def of_kind(self, kind: Kind) -> GraphQLInputObjectType:
        """The filter of a kind of record: `EpisodeFilter`."""
        made: GraphQLInputObjectType = self.of(
            kind.record.__name__, {name: field.type for name, field in kind.fields.items()}
        )
        return made

    def of(self, name: str, columns: dict[str, ColumnType], names: dict[str, str] | None = None) -> Any:
        """The filter of what has these columns; `names` says how GraphQL calls them where that isn't camel case."""
        if name not in self._made:
            shown = {column: (names or {}).get(column) or _shown(column) for column in columns}
            self._made[name] = GraphQLInputObjectType(
                f"{name}Filter",
                lambda: self._fields(name, columns, shown),
                description=f"Which are meant of type {name}: those for which all that is said here is true.",
                out_type=_out,
            )
        return self._made[name]

    def _fields(
        self, name: str, columns: dict[str, ColumnType], shown: dict[str, str]
    ) -> dict[str, GraphQLInputField]:
        own = self._made[name]
        several = GraphQLList(GraphQLNonNull(own))
        fields = {
            "and": GraphQLInputField(several, description="All of these."),
            "or": GraphQLInputField(several, description="Any of these."),
            "not": GraphQLInputField(own, description="Not this."),
        }
        for column, type in columns.items():
            compare: Any = self._compare[_sort(type)]
            about = f"What its {shown[column]} is."
            if type == "metadata":
                compare, about = GraphQLList(GraphQLNonNull(compare)), "What is at places in its metadata."
            fields[shown[column]] = GraphQLInputField(compare, description=about, out_name=column)
        return fields


def _comparison(sort: str) -> GraphQLInputObjectType:
    what, _, type, operators = SORTS[sort]
    fields = {
        name: GraphQLInputField(GraphQLList(GraphQLNonNull(type)) if name == "in" else
                                GraphQLBoolean if name == "exists" else type, description=MEANING[name])
        for name in operators
    }  # fmt: skip
    if sort == "Metadata":
        path = "Keys joined by dots; one with dots in it in double quotes."
        fields["path"] = GraphQLInputField(GraphQLNonNull(GraphQLString), description=path)
    return GraphQLInputObjectType(f"{sort}Is", fields, description=f"{what}, compared. All that is said is true.")


def _sort(type: ColumnType) -> str:
    return next(sort for sort, (_, types, *_) in SORTS.items() if type in types.split())


def _shown(column: str) -> str:
    return "recordId" if column == "id" else camel(column)


def _out(value: dict[str, Any]) -> dict[str, Any]:
    """A filter as `where` takes it. What stands at places in metadata becomes `metadata.PATH`."""
    places = value.pop("metadata", None)
    if not isinstance(places, list):
        return value
    parts = [{f"metadata.{place['path']}": {op: of for op, of in place.items() if op != "path"}} for place in places]
    return {"and": [value, *parts]} if value else {"and": parts}
