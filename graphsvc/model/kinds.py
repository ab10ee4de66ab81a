"""The kinds of records, and what is derived from their declarations: columns, graph tables, JSON Schema."""

from __future__ import annotations

import types
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from graphsvc.model.records import (
    Cause,
    Entity,
    Episode,
    Fact,
    Feedback,
    Outcome,
    Predicate,
    Record,
    Skill,
    SkillVersion,
    Variable,
)

ColumnType = Literal["name", "text", "float", "int", "bool", "time", "tags", "metadata"]

TEXT_FIELDS = frozenset({
    "input", "output", "critique", "description", "code", "signature", "query", "source", "closed_by", "corrects",
    "mechanism",
})  # fmt: skip
"""Long texts, and ids that are seldom asked for: kept with the record only. Filters on them are answered by SQL."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record."""

    name: str
    type: ColumnType
    optional: bool
    description: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record.

    Attributes:
        name: as it stands in the log and in `where`.
        record: its class.
        table: its node table in the graph, if it has one.
        searchable: whether it has a vector and a place in full text.
        is_edge: whether it is an edge in the graph, and brings it along.
        listed: whether it can be listed and filtered, and names its agent, though it isn't searchable.
    """

    name: str
    record: type[Record]
    table: str | None
    searchable: bool
    listed: bool = False
    is_edge: bool = False

    @property
    def in_columns(self) -> bool:
        """Whether its scalar fields are columns in memory, for filters."""
        return self.searchable or self.listed

    @property
    def fields(self) -> dict[str, Field]:
        """Its fields by name, in the order of declaration."""
        return _fields(self.record)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("episode", Episode, "Episode", True),
        Kind("skill", Skill, "Skill", True),
        Kind("skill_version", SkillVersion, "SkillVersion", False),
        Kind("outcome", Outcome, None, False),
        Kind("feedback", Feedback, None, False),
        Kind("entity", Entity, "Entity", False, listed=True),
        Kind("predicate", Predicate, None, False),
        Kind("fact", Fact, "Fact", True),
        Kind("variable", Variable, "Variable", False, listed=True),
        Kind("cause", Cause, None, True, is_edge=True),  # after all that it may join
    )
}

CAUSAL = ("episode", "skill", "entity", "variable", "fact")
"""Kinds whose nodes causal edges may join."""

SEARCHABLE = tuple(kind.name for kind in KINDS.values() if kind.searchable)
IN_COLUMNS = tuple(kind.name for kind in KINDS.values() if kind.in_columns)

KIND_OF = {kind.record: kind for kind in KINDS.values()}


def kind_of(record: Record) -> Kind:
    """The kind that a record is of."""
    return KIND_OF[type(record)]


@cache
def _fields(record: type[Record]) -> dict[str, Field]:
    hints = get_type_hints(record, include_extras=True)
    return {name: _field(name, hints[name]) for name in record.__struct_fields__}


def _field(name: str, hint: Any) -> Field:
    description = ""
    if get_origin(hint) is Annotated:
        for meta in hint.__metadata__:
            description = getattr(meta, "description", None) or description
    bare, optional = _bare(hint)
    return Field(name, _column_type(name, bare), optional, description)


def _bare(hint: Any) -> tuple[Any, bool]:
    """The plain type behind Annotated and `| None`, and whether None was allowed."""
    optional = False
    while True:
        if get_origin(hint) is Annotated:
            hint = hint.__origin__
        elif get_origin(hint) in (Union, types.UnionType):
            members = [member for member in get_args(hint) if member is not type(None)]
            optional = optional or len(members) < len(get_args(hint))
            hint = members[0]
        else:
            return hint, optional


def _column_type(name: str, bare: Any) -> ColumnType:
    if get_origin(bare) is tuple:
        return "tags"
    if get_origin(bare) is dict:
        return "metadata"
    if bare is str:
        return "text" if name in TEXT_FIELDS else "name"
    plain: dict[Any, ColumnType] = {float: "float", int: "int", bool: "bool", datetime: "time"}
    return plain[bare]
