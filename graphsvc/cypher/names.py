"""Names: which words must be quoted, which names are hidden, and which a user may give."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from graphsvc.errors import BadInput, OwnedTable

RESERVED = frozenset({
    "ACYCLIC", "ALL", "AND", "ANY", "ASC", "ASCENDING", "CASE", "CAST", "COLUMN", "COMMIT_SKIP_CHECKPOINT",
    "CREATE", "CSR", "DBTYPE", "DEFAULT", "DESC", "DESCENDING", "DISTINCT", "ELSE", "END", "ENDS", "EXISTS",
    "FALSE", "FOR", "GLOB", "GROUP", "HEADERS", "HINT", "IN", "INDEX", "INSTALL", "JOIN", "MACRO", "MULTI_JOIN",
    "NONE", "NOT", "NULL", "ON", "ONLY", "OPTIONAL", "OPTIONS", "OR", "ORDER", "PRIMARY", "PROFILE",
    "ROLLBACK_SKIP_CHECKPOINT", "SHORTEST", "SINGLE", "SORTED", "STARTS", "TABLE", "THEN", "TRAIL", "TRUE",
    "UNION", "UNWIND", "WHEN", "WHERE", "WITH", "WSHORTEST", "XOR",
})  # fmt: skip
"""Words that either engine takes for a name only within backticks."""

MAX_NAME = 128
"""The longest name of a table or column, in characters."""


def folded(name: str) -> str:
    """A name as it is compared: the engines find `Episode` by `episode` too."""
    return name.upper().casefold()


def hidden(name: str) -> bool:
    """Whether a name is one of those that the memory and the engines keep to themselves."""
    return unicodedata.normalize("NFKC", name[:1]).startswith("_")


def check_name(name: str, *, own: Collection[str] = (), where: str = "name") -> None:
    """Whether a user may give a table or column this name. It may need backticks in a statement.

    Args:
        own: names that belong to the memory.

    Raises:
        BadInput: empty, longer than MAX_NAME, begins with `_`, ends or begins with a space, or holds a backtick, a dot
            (which one engine reads as the name of a graph before that of a table) or a control character.
        OwnedTable: it is one of `own`, in whatever case.
    """
    if not 0 < len(name) <= MAX_NAME:
        raise BadInput(f"a name has 1 to {MAX_NAME} characters", where=where)
    if hidden(name):
        raise BadInput("names that begin with _ belong to the memory", where=where)
    odd = any(c in "`." or unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in name)
    if odd or name != name.strip():
        raise BadInput("a name holds no backtick, dot or control character, and no space at its ends", where=where)
    if folded(name) in {folded(each) for each in own}:
        raise OwnedTable(f"{name} is a table of the memory's own", where=where, hint="Choose another name.", rule="own")


def quoted(name: str) -> str:
    """A name as it stands in a statement."""
    assert "`" not in name, name
    return f"`{name}`"
