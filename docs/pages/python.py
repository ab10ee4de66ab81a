"""The Python API, from signatures and docstrings."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any, Union, get_args, get_origin

import graphsvc
from graphsvc.errors import every_error
from graphsvc.log.adjacent import CausalEdge, CausalNode
from graphsvc.memory import briefing, consolidation, cypher, facts, joined, opened, results, retrieval, skills, verbs
from graphsvc.memory.causal import Causal, Consequence, NodeLike, RuleName, WhatIf
from graphsvc.memory.causal_paths import CausalPath, CausalPaths
from graphsvc.memory.entities import Entities
from graphsvc.memory.episodes import Episodes
from graphsvc.memory.exporting import ExportReport
from graphsvc.memory.forgetting import ForgetReport, KeptTask, Named
from graphsvc.memory.graph import Graph
from graphsvc.memory.importing import (
    ImportReport,
    Skipped,
    import_git,
    import_jsonl,
    import_junit,
    import_memory,
    import_messages,
    import_python,
    import_table,
)
from graphsvc.memory.memory import Memory
from graphsvc.memory.paging import Page
from graphsvc.memory.reached import Joint, LazyNode, Nodes, Subgraph, Way, Ways
from graphsvc.memory.recall import Item, Recalled, Weights
from graphsvc.memory.scores import Scores
from graphsvc.memory.travel import migrate, restore, verify_snapshot
from graphsvc.memory.trimming import TrimReport
from graphsvc.model.as_of import AsOf, When
from graphsvc.model.elements import Edge, Node, Path
from graphsvc.model.schema import GraphTable, Schema
from graphsvc.store.migrate import Migrated
from graphsvc.store.restore import Restored
from graphsvc.store.snapshot import Snapshot
from graphsvc.store.verify import Problem, Report

from .markdown import code, entries, page, said, sections, table

CLASSES: tuple[type, ...] = (
    Memory, Episodes, skills.Skills, Entities, facts.Facts, facts.Belief, facts.Contradiction, Causal, CausalPaths,
    CausalPath, CausalEdge, CausalNode, WhatIf, Consequence, AsOf, results.Hits, results.Hit, results.Statistics,
    results.Trend, results.Lesson, results.Relations, results.Event, Recalled,
    Item, Weights, cypher.Result, Node, Edge, Path, Schema,
    GraphTable, skills.Linked, consolidation.Consolidation, consolidation.Learnt, briefing.Brief,
    briefing.Sentence, Graph, Nodes, LazyNode, Joint, Page, Subgraph, Ways, Way, Scores,
    ExportReport, ForgetReport, Named, KeptTask, Report, Problem, Snapshot, Restored,
    TrimReport, Migrated,
)  # fmt: skip
NOT_FOR_USERS = {Memory: ("owner", "threads"), Report: ("note",), ImportReport: ("skip", "finish", "in_vain")}
"""Members that are public for the program's own parts only."""

IMPORTERS = (import_jsonl, import_table, import_messages, import_git, import_junit, import_python, import_memory)

TYPES = {
    "Where": (retrieval.Where, "A [filter](filters.md)."),
    "Wait": (verbs.Wait, "What a write waits for, beyond being durable."),
    "Mode": (retrieval.Mode, "How relevance is computed."),
    "Embedder": (opened.Embedder, "`minilm`, `hashing` (tests), a path, a model's name, or a function texts → array."),
    "LinkType": (skills.LinkType, "What joins two skills."),
    "EpisodeLinkType": (joined.EpisodeLinkType, "What joins an episode to an entity or another episode."),
    "NodeLike": (NodeLike, "What causal edges join: `\"skill:ID\"`, a variable's name, (kind, id), or a record."),
    "RuleName": (RuleName, "How effects along a path compound."),
    "When": (When, "(valid, known), a moment alone, or `graphsvc.AsOf`."),
    "WEIGHTS": (skills.WEIGHTS, "How a search of skills weighs what it knows, if it isn't told otherwise."),
}

OPENING = """
Records are in [records.md](records.md), `graphsvc.F` in [filters.md](filters.md), errors in [errors.md](errors.md), and
the settings that `open` takes in [settings.md](settings.md).
"""
AWAITED = """
`graphsvc.aopen` gives an `AsyncMemory`: the same names, arguments, results and errors as `Memory`, each verb to be
awaited: `await memory.episodes.retrieve("…")`. Attributes and `as_agent` are used as they are.
"""
TRAVELS_AWAITED = """
`graphsvc.averify_snapshot`, `graphsvc.arestore` and `graphsvc.amigrate` are the same, to be awaited.
"""


def made() -> str:
    """The page."""
    named = ((code(name), code(_spelled(value)), meaning) for name, (value, meaning) in TYPES.items())
    return page(
        "Python API",
        OPENING,
        _function("graphsvc.open", graphsvc.open, "##"),
        _function("graphsvc.aopen", graphsvc.aopen, "##"),
        _function("graphsvc.connect", graphsvc.connect, "##"),
        _function("graphsvc.aconnect", graphsvc.aconnect, "##"),
        AWAITED,
        *(_function(f"graphsvc.{verb.__name__}", verb, "##") for verb in (verify_snapshot, restore, migrate)),
        TRAVELS_AWAITED,
        "## Names of types",
        table(("name", "values", "meaning"), named),
        *map(_class, CLASSES),
        "## Importing",
        "In `graphsvc.memory.importing`.",
        *(_function(importer.__name__, importer, "###") for importer in IMPORTERS),
        _class(ImportReport),
        _class(Skipped),
    )


def _class(kind: type) -> str:
    summary, more = sections(said(kind.__doc__, kind.__name__))
    parts = [f"## {kind.__name__}", summary]
    if "Attributes" in more:
        made = {"episodes", "skills", "entities", "facts", "causal", "graph"}  # in the constructor
        parts.append(entries(more["Attributes"], {*_hints(kind), *dir(kind), *made}))
    for name, member in _members(kind):
        title = f"{kind.__name__}.{name}"
        if inspect.isfunction(member):
            parts.append(_function(title, member, "###"))
        elif f"`{name}`" not in parts[-1]:  # a property that the attributes don't tell of
            parts.append(f"### {title}\n\n{said(member.__doc__, title)}")
    return "\n\n".join(parts)


def _hints(kind: type) -> dict[str, Any]:
    return getattr(kind, "__annotations__", {})


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties, its own in their order before those that it inherits from us."""
    seen = set(NOT_FOR_USERS.get(kind, ()))
    for owner in kind.__mro__:
        if owner.__module__.startswith("graphsvc"):
            for name, member in vars(owner).items():
                if name not in seen and not name.startswith("_") and isinstance(member, _DOCUMENTED):
                    seen.add(name)
                    yield name, member


_DOCUMENTED = (types.FunctionType, property)


def _function(title: str, function: Callable[..., Any], level: str) -> str:
    signature = inspect.signature(function)
    summary, more = sections(said(function.__doc__, title))
    parts = [f"{level} {title}", f"```python\n{_signed(title, function, signature)}\n```", summary]
    for name, text in more.items():
        known = _ERRORS if name == "Raises" else {*signature.parameters, "Others"}
        parts.append(f"**{name}**\n\n{entries(text, known)}")
    return "\n\n".join(parts)


_ERRORS = {kind.__name__ for kind in every_error()}


def _signed(title: str, function: Callable[..., Any], signature: inspect.Signature) -> str:
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    shown = list(map(str, (parameter.replace(annotation=_Bare(parameter.annotation)) for parameter in own)))
    by_name = [place for place, parameter in enumerate(own) if parameter.kind == parameter.KEYWORD_ONLY]
    if by_name:
        shown.insert(by_name[0], "*")
    name = title if title.startswith("graphsvc.") else title.rsplit(".", 1)[-1]
    returned = _returned(function, signature)
    plain = f"{name}({', '.join(shown)}) -> {returned}"
    if len(plain) <= 100:
        return plain
    # Wrapped between parameters, never within one.
    lines = textwrap.wrap(", ".join(one.replace(" ", "\0") for one in shown), 96, break_long_words=False)
    body = "\n".join(f"    {line}" for line in lines).replace("\0", " ")
    return f"{name}(\n{body},\n) -> {returned}"


class _Bare(str):
    """An annotation that shows itself without quotes."""

    __slots__ = ()

    def __new__(cls, annotation: Any) -> _Bare:
        return super().__new__(cls, str(annotation).strip("'\""))

    def __repr__(self) -> str:
        return str(self)


def _returned(function: Callable[..., Any], signature: inspect.Signature) -> str:
    """The type of the result; a name that stands for `list[…]` in its module is spelled out."""
    name = str(signature.return_annotation).strip("'\"")
    value = vars(sys.modules[function.__module__]).get(name)
    return _spelled(value) if isinstance(value, types.GenericAlias) else name


def _spelled(value: Any) -> str:
    """A type as it is written, without the modules that it lives in."""
    if get_origin(value) in (Union, types.UnionType):
        return " | ".join(map(_spelled, get_args(value)))
    if isinstance(value, type) and not get_args(value):
        return "None" if value is types.NoneType else value.__name__
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", str(value))
