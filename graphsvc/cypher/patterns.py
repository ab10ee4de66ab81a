"""What the parts of a pattern may be: by the tables that they name, and by what edges join.

To an engine a part that names no table is of any, and so has the columns of all of them, each with one type: where two
tables have a column of one name and different types, text mostly. So such parts are told which tables they may be of,
where that helps; and hidden ones are kept out, which no other way leaves out of a count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from graphsvc.cypher.names import folded, hidden
from graphsvc.cypher.syntax import Edge, Node, Path
from graphsvc.cypher.tokens import place
from graphsvc.cypher.values import Schema
from graphsvc.errors import NotAllowed

Ends = Mapping[str, Collection[tuple[str, str]]]
"""Pairs of node tables that each edge table joins."""
Names = frozenset[str]
"""Tables, by their folded names."""


@dataclass(frozen=True, slots=True)
class Part:
    """A node or edge of a pattern, or those within a walk.

    Attributes:
        tables: what it may be of.
        seen: the tables that the engine takes its columns from, whether it may be of them or not.
    """

    tables: Names
    seen: Names


@dataclass(frozen=True, slots=True)
class Bound:
    """What a name stands for.

    Attributes:
        at: where it is bound.
        kind: `node`, `edge`, `walk` (an edge of variable length) or `path`.
        parts: what is in it.
        torn: of a path, a column that two of its parts have with different types.
        far: whether it is used within a subquery, and bound outside of it.
    """

    at: int
    kind: str
    parts: tuple[Part, ...]
    torn: str = ""
    far: bool = False


Scope = dict[str, Bound | None]
"""What is bound; None is something else than a part of a pattern."""


class Patterns:
    """What the parts of the patterns of a statement may be.

    Attributes:
        told: parts that name no table and are to be told theirs, by where they stand.
    """

    def __init__(self, statement: str, tables: Schema, nodes: Collection[str], ends: Ends) -> None:
        self._statement = statement
        self.told: dict[int, tuple[Node | Edge, tuple[str, ...]]] = {}
        self._columns = {folded(name): {folded(key): type for key, type in tables[name].items()} for name in tables}
        self._spelt = {folded(name): name for name in (*tables, *nodes, *ends)}
        self._nodes, self._edges = frozenset(map(folded, nodes)), frozenset(map(folded, ends))
        self._ends = {
            folded(name): {(folded(source), folded(target)) for source, target in pairs} for name, pairs in ends.items()
        }
        self._seen_nodes = frozenset(folded(name) for name in nodes if not hidden(name))
        self._seen_edges = frozenset(folded(name) for name in ends if not hidden(name))
        # no edge leads to the memory's notes, but edges do to the nodes beside a temporal table
        away = [name for name in nodes if hidden(name)]
        self._past = any(folded(name[1:]) in self._seen_nodes for name in away)
        self._types: dict[Names, dict[str, Names]] = {}

    # columns

    def types(self, tables: Names) -> dict[str, Names]:
        """The types that some tables have each column with."""
        if tables not in self._types:
            found: dict[str, set[str]] = {}
            for table in tables:
                for column, type in self._columns.get(table, {}).items():
                    found.setdefault(column, set()).add(type)
            self._types[tables] = {column: frozenset(types) for column, types in found.items()}
        return self._types[tables]

    def disagreed(self, part: Part) -> str:
        """A column that the engine gives with another type than it has; '' if there is none."""
        types = self.types(part.seen)
        for table in sorted(part.tables):
            for column, type in self._columns.get(table, {}).items():
                if types.get(column, {type}) != {type}:
                    return column
        return ""

    def _torn(self, parts: Iterable[Part]) -> str:
        """A column that the engine has with different types for two parts of a path; '' if there is none."""
        first: dict[str, Names] = {}
        for part in parts:
            for column, types in self.types(part.seen).items():
                if first.setdefault(column, types) != types:
                    return column
        return ""

    # patterns

    def bind(self, path: Path, scope: Scope, *, before: Collection[str] = (), tell: bool = True) -> None:
        """Take in what the names of a path stand for.

        Args:
            before: names that it says nothing new of, since they are there though it isn't.
            tell: whether its parts may be told their tables.

        Raises:
            NotAllowed: rule `wrong`; a node is named again, with other tables.
        """
        may_be = [self._of_node(node, path, index, scope) for index, node in enumerate(path.nodes)]
        steps = [index for index, edge in enumerate(path.edges) if edge.hops is None]
        for index in (*steps, *reversed(steps)):  # what one end may be says something of the other
            may_be[index], may_be[index + 1] = self._joined(path.edges[index], may_be[index], may_be[index + 1])[1:]
        nodes: list[Part] = []
        for node, tables in zip(path.nodes, may_be, strict=True):
            nodes.append(self._node(node, tables, path, scope, tell))
            if node.variable:
                self._meet(scope, node, nodes[-1], before)
        edges: list[Part] = []
        for index, edge in enumerate(path.edges):
            tables = self._types_of(edge)
            if edge.hops is None:
                tables = self._joined(edge, may_be[index], may_be[index + 1])[0]
            edges.append(self._edge(edge, tables, tell))
            within: tuple[Part, ...] = ()
            if edge.hops is not None:
                within = (Part(self._between(edge, tables), self._at_ends(edges[-1].seen)),)
                nodes += within
            if edge.variable:
                kind = "edge" if edge.hops is None else "walk"
                scope[folded(edge.variable)] = Bound(edge.at, kind, (edges[-1], *within))
        if path.variable:
            torn = self._torn(nodes) or self._torn(edges)
            scope[folded(path.variable)] = Bound(path.at, "path", (*nodes, *edges), torn)

    def _node(self, node: Node, tables: Names, path: Path, scope: Scope, tell: bool) -> Part:
        known = scope.get(folded(node.variable)) if node.variable else None
        if known is not None:
            return Part(tables, known.parts[0].seen)
        if node.labels:
            return Part(tables, tables)
        if not tell or (node.variable and folded(node.variable) in scope):
            return Part(tables, self._nodes)
        alone = all(edge.hops is not None and edge.hops.lower == 0 for edge in path.edges)
        hides = self._nodes != self._seen_nodes and (self._past or alone)
        return Part(tables, self._say(node, tables, self._seen_nodes, self._nodes, hides))

    def _edge(self, edge: Edge, tables: Names, tell: bool) -> Part:
        if edge.types or not tell:
            return Part(tables, frozenset(map(folded, edge.types)) or self._edges)
        hides = self._edges != self._seen_edges
        return Part(tables, self._say(edge, tables, self._seen_edges, self._edges, hides))

    def _say(self, part: Node | Edge, tables: Names, shown: Names, every: Names, hides: bool) -> Names:
        """The tables that a part is told, or all."""
        torn = any(len(types) > 1 for types in self.types(every).values())
        said = tables or shown
        if said and (hides or (torn and said < every)):
            self.told[part.at] = part, tuple(sorted(self._spelt[name] for name in said))
            return said
        return every

    def _meet(self, scope: Scope, node: Node, part: Part, before: Collection[str]) -> None:
        """A node named again is of what all its places allow."""
        name = folded(node.variable)
        known = scope.get(name)
        if known is None:
            if name not in scope:
                scope[name] = Bound(node.at, "node", (part,))
        elif known.kind == "node":
            one = known.parts[0]
            if node.labels and not one.tables <= part.tables <= one.seen:
                what = f"{node.variable} is named again with other tables, of which the engines take it to be too"
                where = place(self._statement, node.at)
                raise NotAllowed(what, where=where, hint="Name its tables once, where it first stands.", rule="wrong")
            if name not in before:
                scope[name] = Bound(known.at, "node", (Part(one.tables & part.tables, one.seen),))

    def _of_node(self, node: Node, path: Path, index: int, scope: Scope) -> Names:
        known = scope.get(folded(node.variable)) if node.variable else None
        if node.labels:
            return frozenset(map(folded, node.labels))
        found = known.parts[0].tables if known is not None and known.kind == "node" else self._seen_nodes
        beside = ((index - 1, False), (index, True))
        for edge, outgoing in ((path.edges[at], outgoing) for at, outgoing in beside if 0 <= at < len(path.edges)):
            if edge.hops is None or edge.hops.lower != 0:  # else it may be no step at all
                found &= self._at_end(edge, outgoing=outgoing)
        return found

    def _types_of(self, edge: Edge) -> Names:
        return frozenset(map(folded, edge.types)) or self._seen_edges

    def _joined(self, edge: Edge, before: Names, behind: Names) -> tuple[Names, Names, Names]:
        """What a single step between nodes of these tables may be: its types, and what that leaves of either end."""
        types, near, far = set(), set(), set()
        for type in self._types_of(edge):
            for source, target in self._ends.get(type, ()):
                for one, other in _ways(edge, source, target):
                    if one in before and other in behind:
                        types.add(type)
                        near.add(one)
                        far.add(other)
        return frozenset(types), frozenset(near), frozenset(far)

    def _at_end(self, edge: Edge, *, outgoing: bool) -> Names:
        """Tables of the node before an edge (`outgoing`) or behind it."""
        pairs = [pair for type in self._types_of(edge) for pair in self._ends.get(type, ())]
        sources, targets = frozenset(source for source, _ in pairs), frozenset(target for _, target in pairs)
        if edge.arrow == "-":
            return sources | targets
        return sources if (edge.arrow == "->") == outgoing else targets

    def _at_ends(self, types: Names) -> Names:
        return frozenset(end for type in types for pair in self._ends.get(type, ()) for end in pair)

    def _between(self, edge: Edge, types: Names) -> Names:
        """Tables of the nodes within a walk."""
        pairs = [pair for type in types for pair in self._ends.get(type, ())]
        sources, targets = frozenset(source for source, _ in pairs), frozenset(target for _, target in pairs)
        return sources | targets if edge.arrow == "-" else sources & targets


def _ways(edge: Edge, source: str, target: str) -> tuple[tuple[str, str], ...]:
    """The tables before and behind an edge of a pattern that leads from one to the other."""
    return {"->": ((source, target),), "<-": ((target, source),), "-": ((source, target), (target, source))}[edge.arrow]
