"""Arguments and inputs, derived from the signatures and docstrings of verbs, and from the fields of records."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_args, get_origin

import numpy as np
from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLDefaultInput,
    GraphQLEnumType,
    GraphQLEnumValue,
    GraphQLFloat,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLString,
)

from graphsvc.errors import BadInput
from graphsvc.memory import exported
from graphsvc.memory.scores import Scores
from graphsvc.model.as_of import AsOf
from graphsvc.model.kinds import KINDS
from graphsvc.service.described import entries, sections
from graphsvc.service.graphql.filters import Filters
from graphsvc.service.graphql.global_ids import parsed
from graphsvc.service.graphql.scalars import DURATION, JSON, LONG, TIME
from graphsvc.service.graphql.types import camel
from graphsvc.service.operations import OPERATIONS, Operation

KIND_OF_GROUP = {
    "episodes": "episode", "skills": "skill", "entities": "entity", "facts": "fact", "causal": "cause",
}  # fmt: skip

IDS = {"id", "episode", "target", "source", "skill"}
"""Parameters of texts that are ids of records, where the verb isn't one of the graph or of facts."""

PARTS = {
    "str": GraphQLString, "int": LONG, "float": GraphQLFloat, "bool": GraphQLBoolean, "datetime | str": TIME,
    "float | str | timedelta": DURATION, "Mapping[str, Any]": JSON, "Mapping[str, float]": JSON,
    "Mapping[str, float] | Iterable[str]": JSON, "str | Hits[Any]": GraphQLString, "str | Entity": GraphQLString,
    "random.Random | int": LONG, "Embedder": GraphQLString, "str | os.PathLike[str]": GraphQLString,
    "nx.Graph": JSON, "Filters": JSON, "NodeLike": GraphQLID,
}  # fmt: skip
LISTS = {
    "Iterable[str]": GraphQLString, "Sequence[str]": GraphQLString, "str | Sequence[str]": GraphQLString,
    "str | Iterable[str]": GraphQLString, "Names": GraphQLString, "Source": GraphQLString,
    "Sequence[str | Episode]": GraphQLString, "tuple[float, float]": GraphQLFloat,
    "tuple[str, str]": GraphQLString,
}  # fmt: skip
BY_NAME = {
    "vector": GraphQLList(GraphQLNonNull(GraphQLFloat)),
    "vectors": GraphQLList(GraphQLList(GraphQLNonNull(GraphQLFloat))),
    "rows": GraphQLList(GraphQLNonNull(JSON)),
    "keys": GraphQLList(GraphQLNonNull(JSON)),
    "columns": JSON,
    "k": GraphQLInt, "limit": GraphQLInt, "depth": GraphQLInt, "max_depth": GraphQLInt, "min_hops": GraphQLInt,
    "max_hops": GraphQLInt, "fan_out": GraphQLInt, "max_tokens": GraphQLInt,
}  # fmt: skip
CHOICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "direction": ("Direction", ("out", "in", "both")),
    "order": ("Order", ("newest", "oldest", "id")),
}
MEANT = {
    "out": "Along the edges.", "in": "Against the edges.", "both": "Both ways.",
    "newest": "The latest first.", "oldest": "The earliest first.", "id": "By id.",
    "blend": "By meaning and by words.", "vector": "By meaning.", "text": "By words: BM25.",
    "rrf": "Both, by rank: reciprocal rank fusion.",
    "searchable": "Until text and vector are searched.", "graph": "Until it is in the graph.",
    "prerequisite": "The source has the target as a prerequisite.", "alternative": "Either does.",
    "refinement": "The source is a refinement of the target.", "composition": "The source is part of the target.",
    "calls": "The source calls the target.", "about": "The episode is about an entity.",
    "evidence": "The target shows how the episode went.",
    "product": "Uplifts and confidences are multiplied.", "weakest": "The weakest edge counts.",
    "additive": "Uplifts are added up.", "louvain": "Louvain (Blondel et al. 2008).",
    "leiden": "Leiden (Traag et al. 2019).", "jsonl": "JSON Lines.", "parquet": "Parquet.",
    "graphml": "GraphML.", "csv": "CSV.",
}  # fmt: skip
ENUMS = {"Mode": "SearchMode", "Wait": "WaitFor", "LinkType": "SkillLinkType", "RuleName": "CausalRule",
         "Method": "CommunityMethod"}  # fmt: skip
COMMON = {
    "agent": "Namespace that is meant; the request's own if not given.",
    "k": "How many at most.",
    "where": "Only those that pass this filter.",
    "wait": "What to wait for, beyond that it is durable.",
    "order": "In which order.",
    "id": "Its own id, or its global one, which says the namespace, too.",
    "as_of": "At which moment; now if not given.",
    "dry_run": "Change nothing, only tell.",
    "vector": "The embedding, if you have it.",
    "min_confidence": "Edges less sure are left out.",
    "min_similarity": "Lowest cosine, -1 to 1.",
    "limit": "How many at most.",
    "mode": "How relevance is computed.",
    "weight": "Share of the vector part in the blend.",
    "direction": "Which way edges are taken.",
    "task": "What was to be done, or is: its text.",
    "text": "What is looked for: a task, a question, anything.",
    "texts": "What is looked for, each on its own.",
    "tags": "Labels.",
    "metadata": "Anything else, as JSON.",
    "rel": "Types of edges to take, like NEXT; all if not given.",
    "tables": "The only node tables to enter.",
    "fan_out": "Edges to take from each node at most.",
    "min_hops": "The fewest edges of a way.",
    "max_hops": "The most edges of a way.",
    "start": "Where it starts.",
    "end": "Where it is to end.",
    "default": "The weight of edges that have none.",
    "seed": "What chance starts from: the same gives the same.",
    "node": "The node that is asked about.",
    "a": "The node to begin at.",
    "b": "The node to end at.",
    "known": "As it was known then; now if not given.",
    "name": "What it is called.",
    "timeout": "Seconds to wait at most.",
    "number": "Of the version, from 1.",
    "n": "Number in the log, as `Pending` says it.",
    "episode": "The episode: its id, or its global one.",
    "target": "What it leads to: its id, or its global one.",
    "source": "What it leads from: its id, or its global one.",
    "type": "Of the link.",
    "embedder": "The model: `minilm`, a path, or the name of a model.",
}  # fmt: skip
OF_GROUP: Mapping[str, Mapping[str, str]] = {
    "graph": {
        "where": "Filters of nodes by table. Example: `{City: {size: {ge: 500}}}`.",
        "edges": "Filters of edges by type. Example: `{CAUSES: {uplift: {ge: 0.5}}}`.",
        "weight": "The column of edges that counts instead of 1. Example: `\"uplift\"`.",
    },
}
"""What parameters of a group of verbs are, where other verbs mean something else by them."""
SKIPPED = ("Callable",)
"""What parameters are of that can't come over a wire."""


class Inputs:
    """Input types by name, made when they are first needed."""

    def __init__(self) -> None:
        self.filters = Filters()
        self._enums: dict[str, GraphQLEnumType] = {}
        self._made: dict[str, GraphQLInputObjectType] = {}
        self.as_of = GraphQLInputObjectType(
            "AsOf",
            {
                "valid": GraphQLInputField(TIME, description="What was true then; null: at whatever time."),
                "known": GraphQLInputField(TIME, description="As it was known then; null: as it is known now."),
            },
            description="A pair of times to ask for.",
            out_type=lambda value: AsOf(value.get("valid"), value.get("known")),
        )
        self.node = GraphQLInputObjectType(
            "NodeRef",
            {
                "globalId": GraphQLInputField(GraphQLID, description="Its global id; nothing else is needed then."),
                "table": GraphQLInputField(GraphQLString, description="Its table, like `Skill` or one of your own."),
                "key": GraphQLInputField(JSON, description="Its id, or the key of a row of your own."),
                "agent": GraphQLInputField(GraphQLString, description="Its namespace, where several have the id."),
            },
            description="A node of the graph, by its global id, or by table and key.",
            out_type=_node,
        )

    def enum(self, name: str, values: tuple[str, ...], description: str) -> GraphQLEnumType:
        """An enum of texts that verbs take."""
        if name not in self._enums:
            self._enums[name] = GraphQLEnumType(
                name,
                {value.upper(): GraphQLEnumValue(value, description=MEANT[value]) for value in values},
                description=description,
            )
        return self._enums[name]

    def object(self, name: str, fields: Callable[[], dict[str, GraphQLInputField]], about: str) -> Any:
        """An input of this name."""
        if name not in self._made:
            self._made[name] = GraphQLInputObjectType(name, fields, description=about)
        return self._made[name]

    def order(self, record: str, fields: Mapping[str, str]) -> GraphQLInputObjectType:
        """The order of a page: by which field, and which way."""
        by = GraphQLEnumType(
            f"{record}OrderBy",
            {snake.upper(): GraphQLEnumValue(snake, description=about) for snake, about in fields.items()},
            description=f"What {record} can be ordered by.",
        )
        return GraphQLInputObjectType(
            f"{record}Order",
            {
                "by": GraphQLInputField(GraphQLNonNull(by), description="Which field.", out_name="order"),
                "descending": GraphQLInputField(
                    GraphQLNonNull(GraphQLBoolean), default=GraphQLDefaultInput(value=True),
                    description="Whether the most, or latest, comes first. Those without a value come last.",
                ),
            },
            description="An order of records.",
        )  # fmt: skip

    def parameters(
        self, name: str, make: Any = GraphQLArgument, *, skip: tuple[str, ...] = (), unneeded: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The parameters of an operation as arguments, or as fields of an input."""
        made = {}
        for parameter in parameters_of(name):
            if parameter.name in skip or any(word in str(parameter.annotation) for word in SKIPPED):
                continue
            type, needed = self._type(OPERATIONS[name], parameter)
            default = parameter.default
            plain = isinstance(default, bool | int | float | str) and not isinstance(type, GraphQLEnumType)
            required = needed and default is parameter.empty and parameter.name not in unneeded
            made["filter" if parameter.name == "where" else camel(parameter.name)] = make(
                GraphQLNonNull(type) if required or plain else type,
                default=GraphQLDefaultInput(value=default) if plain else None,
                description=said_of(name).get(parameter.name),
                out_name=parameter.name,
            )
        return made

    def values_of(self, kind: str) -> dict[str, GraphQLInputField]:
        """Fields of a record that may be given new values, all optional."""
        made = self.parameters(CREATES[kind], GraphQLInputField, skip=(*FIXED, "vector", "wait"))
        for name, field in made.items():
            bare = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
            made[name] = GraphQLInputField(bare, description=field.description, out_name=field.out_name)
        return made

    def of_record(self, kind: str, name: str) -> Any:
        """What one of many is given as, where many are written at once: the parameters of the verb that writes one."""
        skip = ("wait",)
        about = f"One {kind} of many that are written at once."
        return self.object(
            f"{KINDS[kind].record.__name__}Input",
            lambda: self.parameters(name, GraphQLInputField, skip=skip),
            about,
        )

    def _type(self, operation: Operation, parameter: inspect.Parameter) -> tuple[Any, bool]:
        """The type of a parameter, and whether None isn't allowed."""
        text = str(parameter.annotation).strip("'")
        group = operation.name.rpartition(".")[0]
        needed = not text.endswith(" | None")
        text = text.removesuffix(" | None")
        name = parameter.name
        if (operation.name, name) in MANY:
            kind, one = MANY[operation.name, name]
            return GraphQLList(GraphQLNonNull(self.of_record(kind, one))), needed
        if text.startswith("Iterable[tuple[str, str, LinkType]]"):
            return GraphQLList(GraphQLNonNull(self.skill_link)), False
        if name in CHOICES and text == "str":
            title, values = CHOICES[name]
            return self.enum(title, values, f"Values of `{name}`."), needed
        if text == "Where":
            of = KIND_OF_GROUP.get(group)
            return (JSON if of is None else self.filters.of_kind(KINDS[of])), False
        if text == "When":
            return self.as_of, False
        if text == "Ref":
            return self.node, True
        if name == "near":
            return GraphQLList(GraphQLNonNull(self.node)), False
        if text in ("Ref | Sequence[Ref]", "Sequence[Ref]"):
            return GraphQLList(GraphQLNonNull(self.node)), needed
        if text in ("Mapping[Ref, float]", "Scores"):
            return GraphQLList(GraphQLNonNull(self.score)), needed
        if name in BY_NAME and (text == "Any" or BY_NAME[name] is GraphQLInt or name == "columns"):
            return BY_NAME[name], name in ("rows", "keys", "columns", *_WHOLE)
        if (group not in ("graph", "facts") and name in IDS and text == "str") or (name == "id" and text == "str"):
            return GraphQLID, needed
        if text == "str | Sequence[str]" and name in ("id", "ids", "name"):
            return GraphQLList(GraphQLNonNull(GraphQLID)), needed
        if text in LISTS:
            return GraphQLList(GraphQLNonNull(LISTS[text])), needed and text not in ("Names", "Source")
        if text in PARTS:
            return PARTS[text], needed and text != "Filters"
        if values := _literal(operation.verb, text):
            title = "GraphFormat" if text == "Format" and group == "graph" else ENUMS.get(text, text)
            return self.enum(title, values, f"Values of `{name}`."), needed and text != "Wait"
        raise TypeError(f"{operation.name}: {name}: {text} has no input type")

    @property
    def skill_link(self) -> Any:
        """A link between skills that are made together."""
        if "SkillLink" not in self._made:
            fields = self.parameters("skills.link", GraphQLInputField, skip=("weight", "agent", "wait"))
            self._made["SkillLink"] = GraphQLInputObjectType(
                "SkillLinkInput", fields, description="A link between two skills.",
                out_type=lambda value: (value["source"], value["target"], value["type"]),
            )  # fmt: skip
        return self._made["SkillLink"]

    @property
    def score(self) -> Any:
        """A node and a number."""
        return self.object(
            "NodeScore",
            lambda: {
                "node": GraphQLInputField(GraphQLNonNull(self.node), description="The node."),
                "value": GraphQLInputField(GraphQLNonNull(GraphQLFloat), description="Its value."),
            },
            "A node of the graph, and a value for it.",
        )


CREATES = {"episode": "episodes.store", "skill": "skills.create"}
FIXED = ("id", "agent", "prerequisites")
MANY = {
    ("episodes.store_many", "episodes"): ("episode", "episodes.store"),
    ("skills.create_many", "skills"): ("skill", "skills.create"),
    ("entities.upsert_many", "entities"): ("entity", "entities.upsert"),
    ("facts.add_many", "facts"): ("fact", "facts.add"),
    ("causal.add_many", "edges"): ("cause", "causal.add"),
}
"""Parameters that take many records: their kind, and the operation that writes one."""
_WHOLE = tuple(name for name, type in BY_NAME.items() if type is GraphQLInt)


def parameters_of(name: str) -> list[inspect.Parameter]:
    """The parameters of an operation, without `self` and those that gather others."""
    found = inspect.signature(OPERATIONS[name].verb).parameters.values()
    return [one for one in found if one.name != "self" and one.kind is not one.VAR_KEYWORD]


@cache
def said_of(name: str) -> Mapping[str, str]:
    """What is said of the parameters of an operation: by its docstring, by those that it refers to, of all verbs."""
    verb = OPERATIONS[name].verb
    names = [parameter.name for parameter in parameters_of(name)]
    group = name.rpartition(".")[0]
    kind = KINDS.get(KIND_OF_GROUP.get(group, ""))
    common = {**COMMON, **OF_GROUP.get(group, {})}
    found = {one: common[one] for one in names if one in common}
    if kind is not None:
        found |= {one: kind.fields[one].description for one in names if one in kind.fields and one != "id"}
    arguments = sections(verb)[1].get("Args", "")
    for referred in re.findall(r"[Aa]s (?:for )?`([\w.]+)`", f"{verb.__doc__}"):
        other = referred if referred in OPERATIONS else f"{group}.{referred}"
        if other in OPERATIONS and other != name:
            found |= {one: text for one, text in said_of(other).items() if one in names}
    own = entries(arguments, {*names, "The others"})
    found |= {one: text for one, text in own.items() if one in names and not text.startswith("As ")}
    return found


def _literal(verb: Any, name: str) -> tuple[str, ...]:
    value = vars(sys.modules[verb.__module__]).get(name, exported.Format if name == "Format" else None)
    if value is None:
        return ()
    members = [one for one in get_args(value) if one is not type(None)]
    if members and all(isinstance(one, str) for one in members):
        return tuple(members)
    nested = [get_args(one) for one in members if get_origin(one) is not None]
    return tuple(nested[0]) if len(nested) == 1 else ()


def _node(value: dict[str, Any]) -> Any:
    """A node as verbs of the graph take it."""
    if value.get("globalId") is not None:
        found = parsed(value["globalId"])
        if found is None:
            return value["globalId"]  # which the verb refuses
        if found.kind.startswith("table:"):
            return (found.kind.removeprefix("table:"), found.id)
        kind = KINDS.get(found.kind)
        return (kind.table if kind else found.kind, found.id, found.agent)
    named = (value.get("table"), value.get("key"))
    return named if value.get("agent") is None else (*named, value["agent"])


def own_ids(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Arguments with global ids taken apart: the verb gets a record's own id, and its namespace where none is given."""
    for name in names:
        value = given.get(name)
        if isinstance(value, str) and (found := parsed(value)) is not None:
            given[name] = found.id
            given.setdefault("agent", found.agent)
        elif isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            taken = [parsed(one) for one in value]
            given[name] = [one if whole is None else whole.id for one, whole in zip(value, taken, strict=True)]
            agents = {whole.agent for whole in taken if whole is not None}
            if len(agents) == 1 and None not in taken:
                given.setdefault("agent", agents.pop())
    return given


def own_scores(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments whose scores of nodes are as verbs of the graph take them."""
    if "start" in given and isinstance(given["start"], list):
        try:
            given["start"] = {one["node"]: one["value"] for one in given["start"]}
        except TypeError:
            raise BadInput("the key of a node is a text, a number or a time", where="start") from None
    if "scores" in given:
        scores = given["scores"]
        if any(isinstance(one["node"], str) for one in scores):
            raise BadInput("no global id", where="scores")
        nodes = [one["node"][:2] for one in scores]
        values = np.array([one["value"] for one in scores], np.float64)
        given["scores"] = Scores([table for table, _ in nodes], [key for _, key in nodes], values, given["column"])
    return given


def causal_node(value: Any) -> Any:
    """A node as causal verbs take it: from a global id, else as it is."""
    found = parsed(value) if isinstance(value, str) else None
    return value if found is None else (found.kind, found.agent, found.id)


__all__ = ["Inputs", "causal_node", "own_ids", "own_scores", "parameters_of", "said_of"]
