"""What a write may be: statements on tables of a user's own that a replay repeats exactly."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from graphsvc.cypher.functions import CLOCK
from graphsvc.cypher.names import check_name, folded
from graphsvc.cypher.order import check_order
from graphsvc.cypher.parse import parse
from graphsvc.cypher.rules import WRITING, check_common, refused
from graphsvc.cypher.syntax import (
    AlterTable,
    Assignment,
    Call,
    Column,
    CommentOn,
    Create,
    CreateTable,
    Delete,
    DropTable,
    Edge,
    Expr,
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
)  # fmt: skip
from graphsvc.cypher.tokens import place, tokens
from graphsvc.cypher.values import Schema
from graphsvc.errors import OwnedTable

NOW = "_now"
"""The parameter that stands in a logged statement for the clock: when it was accepted, a TIMESTAMP in UTC."""

TYPES = frozenset({
    "BLOB", "BOOL", "BOOLEAN", "DATE", "DOUBLE", "FLOAT", "INT", "INT8", "INT16", "INT32", "INT64", "STRING",
    "TIMESTAMP",
})  # fmt: skip
"""Types of columns: those that `memory.graph.define` takes, and two other names that the engines have for some."""

VERBS = {
    "Episode": "memory.episodes", "Session": "memory.episodes", "Task": "memory.episodes", "Agent": "memory.episodes",
    "Skill": "memory.skills", "SkillVersion": "memory.skills", "Entity": "memory.entities", "Fact": "memory.facts",
    "Variable": "memory.causal", "CAUSES": "memory.causal", "IN_SESSION": "memory.episodes",
    "ATTEMPTS": "memory.episodes", "NEXT": "memory.episodes", "USED": "memory.skills", "DERIVED_FROM": "memory.skills",
    "VERSION_OF": "memory.skills", "CALLS": "memory.skills.link", "PREREQUISITE": "memory.skills.link",
    "ALTERNATIVE": "memory.skills.link", "REFINES": "memory.skills.link", "PART_OF": "memory.skills.link",
    "ABOUT": "memory.entities", "EVIDENCE": "memory.episodes",
}  # fmt: skip
"""The verbs that write an own table, for the error."""


@dataclass(frozen=True, slots=True)
class Write:
    """A write that may be logged.

    Attributes:
        kind: `dml` or `ddl`.
        statement: as it is to be logged: what the clock said is the parameter `$_now` in it.
        writes: the tables whose rows it writes, or that it makes, alters or drops, as the statement spells them.
            `DETACH DELETE` of a node takes its edges along, which may be of tables that aren't named here.
        defines: the name of the table that it makes, or renames one to.
        returns: whether it gives rows.
        deletes: whether it deletes nodes or edges, or drops a table or column.
    """

    kind: str
    statement: str
    writes: frozenset[str]
    defines: str | None = None
    returns: bool = False
    deletes: bool = False


@dataclass(frozen=True, slots=True)
class _Owned:
    """The memory's own tables, by their folded names."""

    names: Mapping[str, str]

    def refuse(self, statement: str, at: int, name: str) -> OwnedTable:
        own = self.names[folded(name)]
        verb = VERBS.get(own)
        hint = f"Use {verb}." if verb else "It follows from what is stored."
        return OwnedTable(f"{own} is a table of the memory's own", where=place(statement, at), hint=hint, rule="own")

    def __contains__(self, name: str) -> bool:
        return folded(name) in self.names


def check_write(
    statement: str,
    *,
    own_nodes: Collection[str],
    own_rels: Collection[str],
    parameters: Mapping[str, Any] | None = None,
    tables: Schema | None = None,
) -> Write:
    """What a user's write does, if it may be logged.

    Args:
        own_nodes: node tables of the memory's own. own_rels: its tables of edges.
        parameters: their values. What a statement gives a row may then come from a list of rows, where no two rows of
            it are about the same; without them this isn't looked at.
        tables: as `check_read`.

    Raises:
        OwnedTable: it would write one of the memory's own tables.
        NotDeterministic: a replay might write something else.
        NotAllowed, TooLarge, BadInput: as `check_read`.
    """
    owned = _Owned({folded(name): name for name in (*own_nodes, *own_rels)})
    parsed = parse(statement)
    if not isinstance(parsed, Query):
        return _defining(statement, parsed, owned)
    if parsed.explain:
        raise refused(statement, 0, "EXPLAIN only shows a plan", "no_write", "Leave write=True out.")
    if len(parsed.parts) > 1:
        raise refused(statement, 0, "UNION only reads", "clause")
    clauses = parsed.parts[0]
    if not any(type(clause) in WRITING for clause in clauses):
        raise refused(statement, 0, "the statement doesn't write", "no_write", "Leave write=True out.")
    check_common(statement, parsed, parameters, tables, writes=True)
    if call := next((clause for clause in clauses if isinstance(clause, Call)), None):
        raise refused(statement, call.at, "a write calls no procedure", "procedure", "Read first.")
    _check_texts(statement)
    written = _Written(statement, owned)
    for clause in clauses:
        written.clause(clause)
    check_order(statement, clauses, parameters)
    return Write(
        "dml",
        _without_clock(statement, parsed),
        frozenset(written.tables),
        returns=isinstance(clauses[-1], Projection),
        deletes=any(isinstance(clause, Delete) for clause in clauses),
    )


def _check_texts(statement: str) -> None:
    """Refuse escapes of other than backslashes and quotes: one engine reads a new line where the other reads an n."""
    for token in tokens(statement):
        if token.kind == "text" and re.search(r"\\[^\\'\"]", token.text.replace("\\\\", "")):
            what = "the engines read this escape differently"
            raise refused(statement, token.at, what, "escape", "Pass the text as a parameter.")


class _Written:
    """Which tables the clauses of a statement write, and whether they may."""

    def __init__(self, statement: str, owned: _Owned) -> None:
        self._statement = statement
        self._owned = owned
        self._names: dict[str, tuple[str, ...]] = {}
        self.tables: dict[str, None] = {}

    def clause(self, clause: object) -> None:
        match clause:
            case Match():
                for path in clause.paths:
                    self._bind(path)
            case Unwind():
                self._names.pop(folded(clause.name), None)
            case Projection():
                self._project(clause)
            case Create():
                for path in clause.paths:
                    self._make(path)
            case Merge():
                for path in clause.paths:
                    self._make(path)
                self._set((*clause.on_create, *clause.on_match))
            case Set():
                self._set(clause.items)
            case Delete():
                for name in clause.names:
                    self._write(clause.at, name)

    def _bind(self, path: Path) -> None:
        for node in path.nodes:
            if node.variable and (node.labels or folded(node.variable) not in self._names):
                self._names[folded(node.variable)] = node.labels
        for edge in path.edges:
            if edge.variable:
                self._names[folded(edge.variable)] = () if edge.hops else edge.types

    def _project(self, clause: Projection) -> None:
        named = {
            folded(item.name or item.expr.value): self._names[folded(item.expr.value)]
            for item in clause.items
            if item.expr.kind == "variable" and folded(item.expr.value) in self._names
        }
        self._names = {**(self._names if clause.star else {}), **named}

    def _make(self, path: Path) -> None:
        """Nodes and edges that CREATE makes, and MERGE may."""
        if path.variable:
            raise refused(self._statement, path.at, "a path that is written has no name", "grammar")
        for node in path.nodes:
            if folded(node.variable) in self._names and not node.labels and not node.properties:
                continue
            self._makes(node, node.labels, "node")
        for edge in path.edges:
            if edge.hops:
                raise refused(self._statement, edge.at, "an edge that is written has no length", "grammar")
            self._makes(edge, edge.types, "edge")
        self._bind(path)

    def _makes(self, part: Node | Edge, tables: tuple[str, ...], what: str) -> None:
        if len(tables) != 1:
            raise refused(self._statement, part.at, f"a new {what} names its table", "label")
        self._allowed(part.at, tables[0])

    def _allowed(self, at: int, table: str) -> None:
        if table in self._owned:
            raise self._owned.refuse(self._statement, at, table)
        self.tables[table] = None

    def _set(self, items: tuple[Assignment, ...]) -> None:
        for item in items:
            self._write(item.at, item.variable)

    def _write(self, at: int, name: str) -> None:
        tables = self._names.get(folded(name), ())
        if not tables:
            raise refused(
                self._statement, at, f"{name} may be of any table, the memory's own too", "label",
                f"Say which where it is matched: ({name}:Table).",
            )  # fmt: skip
        for table in tables:
            self._allowed(at, table)


# --- the clock ----------------------------------------------------------------------------------------


def _without_clock(statement: str, query: Query) -> str:
    """The statement with the parameter `$_now` where it asks what time it is."""
    calls = [
        expr
        for clause in every_clause(query)
        for expr in in_clause(clause)
        if expr.kind == "call" and expr.value in CLOCK
    ]
    found = tokens(statement)
    places = {token.at: index for index, token in enumerate(found)}
    for call in sorted(calls, key=lambda call: -call.at):
        if call.args:
            raise refused(statement, call.at, f"{call.value.lower()} takes nothing", "grammar")
        end = found[places[call.at] + 2].end
        said = f"cast(${NOW} AS DATE)" if call.value == "CURRENT_DATE" else f"${NOW}"
        statement = statement[: call.at] + said + statement[end:]
    return statement


# --- tables -------------------------------------------------------------------------------------------


def _defining(statement: str, parsed: CreateTable | AlterTable | DropTable | CommentOn, owned: _Owned) -> Write:
    own = owned.names.values()
    if isinstance(parsed, CreateTable):
        check_name(parsed.name, own=own, where="table")
        for column in parsed.columns:
            _check_column(statement, column)
        for end in (end for ends in parsed.ends for end in ends):
            _check_end(end, owned)
        return Write("ddl", statement, frozenset({parsed.name}), parsed.name)
    if parsed.name in owned:
        raise owned.refuse(statement, parsed.at, parsed.name)
    check_name(parsed.name, where="table")
    defines = None
    if isinstance(parsed, AlterTable):
        if parsed.column:
            _check_column(statement, parsed.column)
        if parsed.action == "rename to":
            check_name(parsed.new, own=own, where="table")
            defines = parsed.new
        elif parsed.new:
            check_name(parsed.new, where="column")
        if parsed.old:
            check_name(parsed.old, where="column")
        for end in filter(None, parsed.ends):
            _check_end(end, owned)
    deletes = isinstance(parsed, DropTable) or (isinstance(parsed, AlterTable) and parsed.action.startswith("drop"))
    return Write("ddl", statement, frozenset({parsed.name}), defines, deletes=deletes)


def _check_end(end: str, owned: _Owned) -> None:
    if end not in owned:
        check_name(end, where="table")


def _check_column(statement: str, column: Column) -> None:
    check_name(column.name, where="column")
    words = [token for token in tokens(column.type) if token.kind in ("name", "quoted")]
    if (words and words[0].word == "SERIAL") or "SERIAL" in column.type.split():
        raise refused(statement, column.at, "SERIAL counts by itself", "default", "Give each row its key.")
    if not _known_type(column.type):
        listed = f"Types: {', '.join(sorted(TYPES))}, and lists of them but for BLOB."
        hint = "TIMESTAMP is UTC." if "TZ" in column.type else listed
        raise refused(statement, column.at, f"{column.type} is no type of a column here", "type", hint)
    if column.default and not _constant(column.default):
        raise refused(statement, column.at, "a default is a constant", "default")


def _known_type(kind: str) -> bool:
    """Whether a type is of `TYPES`, or a list of one."""
    first, *rest = [token.word for token in tokens(kind) if token.kind != "end"]
    return first in TYPES and (not rest or (rest == ["[", "]"] and first != "BLOB"))


def _constant(expr: Expr) -> bool:
    return all(each.kind in ("literal", "list", "struct", "cast") for each in inside(expr))
