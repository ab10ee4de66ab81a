"""Output types, derived from records and from the classes that verbs give back: fields, types and descriptions."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from graphql import (
    GraphQLBoolean,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLString,
)

from graphsvc.memory.cypher import Result
from graphsvc.memory.reached import Joint, LazyNode
from graphsvc.memory.results import Hit, Hits
from graphsvc.model import elements, statements
from graphsvc.model.kinds import KIND_OF, KINDS, Kind
from graphsvc.model.records import Record
from graphsvc.service.described import entries, sections, summary
from graphsvc.service.graphql.global_ids import global_id_of
from graphsvc.service.graphql.scalars import JSON, LONG, TIME

PLAIN: dict[Any, Any] = {
    str: GraphQLString, bool: GraphQLBoolean, int: LONG, float: GraphQLFloat, datetime: TIME, Any: JSON, object: JSON,
}  # fmt: skip

GLOBAL_ID = "Tells it from anything else, everywhere: what `node` takes."


def camel(name: str) -> str:
    """A Python name as GraphQL has it: `latency_ms` → `latencyMs`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def attribute(name: str) -> Callable[[Any, Any], Any]:
    """A resolver that reads an attribute, and does nothing else."""
    get = attrgetter(name)
    return lambda source, info: get(source)


def bare(hint: Any) -> tuple[Any, bool]:
    """A type without Annotated and `| None`, and whether None is allowed. Of other unions all members stay."""
    optional = False
    while True:
        if get_origin(hint) is Annotated:
            hint = hint.__origin__
        elif get_origin(hint) in (Union, types.UnionType):
            members = tuple(member for member in get_args(hint) if member is not type(None))
            optional = optional or len(members) < len(get_args(hint))
            if len(members) > 1:
                return Union[members], optional  # noqa: UP007
            hint = members[0]
        else:
            return hint, optional


class Types:
    """Object types by what they stand for. Others add fields to those of records before the schema is built."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}
        self.more: dict[str, dict[str, GraphQLField]] = {}
        whole = GraphQLField(GraphQLNonNull(GraphQLID), description=GLOBAL_ID)
        about = "Anything that can be had by its global id: `node(id: …)`."
        self.node = GraphQLInterfaceType("Node", {"id": whole}, description=about)
        self.record = GraphQLInterfaceType(
            "Record", self._record_fields, [self.node], description=summary(Record)
        )

    def of_kind(self, kind: str) -> GraphQLObjectType:
        """The type of a kind of record."""
        made: GraphQLObjectType = self.of(KINDS[kind].record)
        return made

    @property
    def of_joint(self) -> GraphQLObjectType:
        """The type of an edge at a node."""
        made: GraphQLObjectType = self.of(Joint)
        return made

    @property
    def of_node(self) -> GraphQLObjectType:
        """The type of a node of the graph, whatever its table."""
        made: GraphQLObjectType = self.of(LazyNode)
        return made

    def name_of(self, record: Record) -> str:
        """The name of a record's type."""
        return _name(type(record))

    def of(self, hint: Any) -> Any:
        """The nullable type of a Python type."""
        hint, _ = bare(hint)
        if hint in PLAIN:
            return PLAIN[hint]
        origin, args = get_origin(hint), get_args(hint)
        if hint is Record:
            return self.record
        if hint is elements.Node:  # walks give those that are fetched when they are asked for
            hint = LazyNode
        if origin in (list, tuple, Sequence) or (origin is not None and _is(origin, Sequence) and origin is not Hits):
            item = args[0]
            return JSON if get_origin(item) is tuple else GraphQLList(self.output(item))
        if origin is Literal:
            return GraphQLString
        if origin is Union or _is(origin or hint, Mapping):
            return JSON
        if _is(origin or hint, np.ndarray):
            return GraphQLList(GraphQLNonNull(GraphQLFloat))
        if hint not in self._made:
            self._made[hint] = self._object(hint)
        return self._made[hint]

    def output(self, hint: Any) -> Any:
        """The type of a Python type, non-null unless it allows None."""
        made = self.of(hint)
        return made if bare(hint)[1] else GraphQLNonNull(made)

    def _object(self, hint: Any) -> GraphQLObjectType:
        kind = get_origin(hint) or hint
        if kind in KIND_OF:
            described = KIND_OF[kind]
            interfaces = [self.record, self.node]
            return GraphQLObjectType(
                _name(hint), lambda: self._fields_of_record(described), interfaces, description=summary(kind)
            )
        return GraphQLObjectType(_name(hint), lambda: self._fields(hint), description=summary(kind))

    def _record_fields(self) -> dict[str, GraphQLField]:
        fields = self._fields_of_record(KINDS["episode"])
        return {name: fields[name] for name in ("id", "recordId", "agent", "at")}

    def _fields_of_record(self, kind: Kind) -> dict[str, GraphQLField]:
        hints = get_type_hints(kind.record, include_extras=True)
        made = {"id": GraphQLField(
            GraphQLNonNull(GraphQLID), resolve=lambda record, info: global_id_of(record),
            description=GLOBAL_ID,
        )}  # fmt: skip
        for name, field in kind.fields.items():
            shown = "recordId" if name == "id" else camel(name)
            made[shown] = GraphQLField(
                self.output(hints[name]), resolve=attribute(name), description=field.description
            )
        made |= self._properties(kind.record, {"key"})
        return {**made, **self.more.get(kind.name, {})}

    def _fields(self, hint: Any) -> dict[str, GraphQLField]:
        """Of a class that a verb gives back: a dataclass, a struct, a named tuple, or Hits."""
        kind = get_origin(hint) or hint
        one: Any = Hit
        if kind is Hits:
            attributes = {
                "items": types.GenericAlias(list, (one[get_args(hint)],)), "pending": int, "behind": bool, "query": str,
                "unread": int,
            }  # fmt: skip
        elif kind is Result:
            attributes = {"columns": list[str], "types": list[str], "rows": list[Any], "more": bool, "took": float,
                          "behind": bool}  # fmt: skip
        elif kind is LazyNode:
            attributes = {"label": str, "key": Any, "depth": int, "properties": dict[str, Any]}
        else:
            attributes = {name: type for name, type in _hints(kind).items() if not name.startswith("_")}
        if kind is Hit:
            attributes["record"] = get_args(hint)[0]
        said = _said(kind, tuple(attributes))
        made = {
            camel(name): GraphQLField(
                self.output(type), resolve=attribute(name), description=said.get(name) or COMMON.get(name)
            )
            for name, type in attributes.items()
            if name not in UNSEEN.get(kind.__name__, ())
        }
        if kind not in (Hit, Hits, Result):
            made |= self._properties(kind, set(attributes) | set(UNSEEN.get(kind.__name__, ())))
        return {**made, **self.more.get(_name(hint), {})}

    def _properties(self, kind: type, seen: set[str]) -> dict[str, GraphQLField]:
        made: dict[str, GraphQLField] = {}
        for owner in kind.__mro__:
            for name, member in vars(owner).items():
                if isinstance(member, property) and not name.startswith("_") and name not in seen:
                    seen.add(name)
                    assert member.fget is not None
                    returned = get_type_hints(member.fget, include_extras=True)["return"]
                    made[camel(name)] = GraphQLField(
                        self.output(returned), resolve=attribute(name), description=summary(member)
                    )
        return made


UNSEEN: dict[str, tuple[str, ...]] = {
    "CausalEdge": ("row", "said"), "Nodes": ("columns", "rows"), "Subgraph": ("columns", "rows"),
    "Ways": ("columns", "rows"), "Scores": ("columns",), "LazyNode": ("end",), "Table": ("past", "named"),
    "Recalled": ("records",),
}  # fmt: skip
"""Attributes of classes that GraphQL doesn't show: ways to look at the same that only Python has."""


COMMON = {
    "record": "The record itself.", "columns": "Names of the columns, in their order.",
    "types": "Types of the columns, as the engine calls them.", "rows": "A list of values for each row.",
    "tables": "The tables, those of nodes first.", "items": "What was found, the best first.",
    "complete": "Whether all was looked at: if not, there may be more, or better.", "kind": "Of the record.",
    "agent": "Its namespace.", "id": "Its own id, unique within namespace and kind.", "path": "What leads there.",
    "label": "Its table.", "key": "The value of its primary key.", "where": "What it is about.",
    "nodes": "The nodes, in their order.",
}  # fmt: skip
"""What attributes are that say nothing of themselves in their class."""


def _is(kind: Any, of: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, of)


def _name(hint: Any) -> str:
    kind = get_origin(hint) or hint
    if kind in (Hit, Hits):
        return f"{_name(get_args(hint)[0])}{kind.__name__}"
    if kind is statements.Outcome:
        return "StatementOutcome"
    return NAMED.get(str(kind.__name__), str(kind.__name__))


NAMED = {
    "LazyNode": "GraphNode", "Edge": "GraphEdge", "End": "GraphEnd", "Schema": "GraphSchema", "Report": "Verification",
    "Table": "UserTable", "Item": "RecalledItem", "Named": "NamedRecord", "Result": "CypherResult",
    "Nodes": "GraphNodes",
}  # fmt: skip
"""What classes are called whose own name would say too little, or is taken."""


def _hints(kind: type) -> dict[str, Any]:
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    if _is(kind, msgspec.Struct) or _is(kind, tuple):
        return get_type_hints(kind, include_extras=True)
    raise TypeError(f"{kind} says nothing of its fields")


@cache
def _said(kind: type, names: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if owner.__module__.startswith("graphsvc"):
            _, more = sections(owner)
            found |= entries(more.get("Attributes", ""), {*names, *dir(owner)})
    return found
