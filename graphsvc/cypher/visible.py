"""Patterns that name no table, made to mean the tables that they may be of, and none that is hidden.

To the engines `(n)` is a node of any table and `-[r]-` an edge of any: of the memory's own notes about the graph too,
and of the tables in which the past of temporal ones lies.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from graphsvc.cypher.mixed import check_mixed
from graphsvc.cypher.names import quoted
from graphsvc.cypher.patterns import Ends
from graphsvc.cypher.syntax import Node, Query
from graphsvc.cypher.tokens import LEFT_HEADS, MAX_STATEMENT, Token, place, tokens
from graphsvc.cypher.values import Schema
from graphsvc.errors import TooLarge

MOST = 8 * MAX_STATEMENT
"""Characters that a statement may have with the names of tables in it."""


def visible(statement: str, query: Query, tables: Schema, nodes: Collection[str], ends: Ends) -> str:
    """The statement as an engine is to be given it: where a part of a pattern names no table, it names those that it
    may be of, if tables are hidden or disagree.

    Args:
        tables: columns with their types, by table. nodes: which of them are of nodes. ends: of the others.

    Raises:
        NotAllowed: as `check_mixed`.
        TooLarge: there are too many such parts, and tables, for a statement.
    """
    told = check_mixed(statement, query, tables, nodes, ends)
    if not told:
        return statement
    found = tokens(statement)
    begins = {token.at: index for index, token in enumerate(found)}
    made = statement
    for at, (part, names) in sorted(told.items(), reverse=True):
        said = (":" if isinstance(part, Node) else "|").join(map(quoted, names))
        end, bracketed = _behind(found, begins[at], part.variable, isinstance(part, Node))
        if len(made) + len(said) > MOST:
            raise TooLarge("too many nodes name no table", where=place(statement, at), hint="Name their tables.")
        made = made[:end] + (f":{said}" if bracketed else f"[:{said}]") + made[end:]
    return made


def _behind(found: Sequence[Token], index: int, variable: str, node: bool) -> tuple[int, bool]:
    """Where the tables of a part go, and whether it has brackets already."""
    if not node:
        index += found[index].word in LEFT_HEADS  # to the first dash
        if found[index + 1].word != "[":
            return found[index].end, False
        index += 1
    return found[index + bool(variable)].end, True
