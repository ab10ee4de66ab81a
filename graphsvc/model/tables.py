"""The user's own tables: how they may be called, what their columns hold, and what is declared of them. Pure."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Any, get_args, get_origin

from msgspec import Struct

from graphsvc.errors import BadInput, OwnedTable, TooLarge, UnknownField, Unsupported
from graphsvc.model.names import RESERVED_NODES, RESERVED_RELS

SCALARS = (
    "STRING", "BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "DATE", "TIMESTAMP", "BLOB",
)  # fmt: skip
TYPES = (*SCALARS, *(f"{name}[]" for name in SCALARS if name != "BLOB"))
"""Types that a column may have: those that come back from both engines as they went in."""
KEY_TYPES = ("STRING", "INT64")
MAX_NAME = 128
MAX_COLUMNS = 256
NOTES = ("_Applied", "_Table")
"""The memory's own notes in the graph."""
ENDS = ("source", "target")
"""What rows of edges call the keys at their ends."""

PAST = "_"
"""What the name of a table begins with that belongs to a temporal one.

The past of edges lies in `_R`, beside R. A table of nodes N has a node in `_N` for each key that there ever was, which
edges of the past lead to, and its versions in `__N`, as edges from that node to itself: so a node that was deleted, and
what led to it, can be asked for as it was.
"""
VALID = ("valid_from", "valid_to")
"""Columns of a temporal table: its rows hold in the world in [from, to), UTC; null is open."""
KNOWN = ("known_from", "known_to")
"""Columns of its past: a version was known in [from, to)."""

_PYTHON: dict[Any, str] = {
    str: "STRING", bool: "BOOL", int: "INT64", float: "DOUBLE", date: "DATE", datetime: "TIMESTAMP", bytes: "BLOB",
}  # fmt: skip


class Table(Struct, frozen=True, omit_defaults=True):
    """A table of the user's: nodes if it has a key, else edges.

    Attributes:
        name: of the table. columns: their types by name, in order; of nodes the key is one of them.
        key: of nodes, the column that tells them apart.
        ends: of edges, the node tables that they lead from and to; mostly one pair.
        searchable: columns whose text is found by meaning and by words.
        temporal: whether what was known of its rows before is kept, in tables beside it: see `PAST`.
    """

    name: str
    columns: dict[str, str]
    key: str = ""
    ends: tuple[tuple[str, str], ...] = ()
    searchable: tuple[str, ...] = ()
    temporal: bool = False

    def beside(self, kept: Collection[str]) -> tuple[Table, ...]:
        """The tables beside a temporal one, in which every version lies, with the times from and until it was known.

        Args:
            kept: the tables of nodes that are temporal.
        """
        if not self.temporal:
            return ()
        past, known = past_of(self.name), dict.fromkeys(KNOWN, "TIMESTAMP")
        if not self.nodes:
            ends = tuple((then(source, kept), then(target, kept)) for source, target in self.ends)
            return (Table(past, {**self.columns, **known}, "", ends),)
        columns = {name: type for name, type in self.columns.items() if name != self.key}
        return (
            Table(past, {self.key: self.columns[self.key]}, self.key),
            Table(versions_of(self.name), {**columns, **known}, "", ((past, past),)),
        )

    @property
    def is_past(self) -> bool:
        """Whether it holds the past of another."""
        return self.name.startswith(PAST)

    @property
    def nodes(self) -> bool:
        """Whether its rows are nodes."""
        return bool(self.key)

    @property
    def named(self) -> tuple[str, ...]:
        """What a row must have: the key, or the keys at both ends."""
        return (self.key,) if self.key else ENDS

    def column(self, name: str, where: str = "") -> str:
        """The type of a column. Raises UnknownField."""
        if name in self.columns:
            return self.columns[name]
        known = (*self.columns, *(() if self.nodes else ENDS))
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Columns: {', '.join(known) or 'none'}."
        raise UnknownField(f"{self.name} has no column {name!r}", where=where or name, hint=hint)


def past_of(name: str) -> str:
    """The name of the table beside a temporal one: its edges' past, or its nodes. Nobody can give such a name."""
    return PAST + name


def versions_of(name: str) -> str:
    """The name of the table that holds the versions of a temporal table's nodes."""
    return PAST + PAST + name


def then(end: str, kept: Collection[str]) -> str:
    """The table of nodes that edges of the past lead to, for one that edges of the present lead to."""
    return past_of(end) if end in kept else end


def kept_nodes(tables: Mapping[str, Table]) -> frozenset[str]:
    """The tables of nodes that are temporal."""
    return frozenset(name for name, table in tables.items() if table.nodes and table.temporal)


def quoted(name: str) -> str:
    """A name as it stands in a statement: every name, for many a word of Cypher is a good name of a column."""
    assert "`" not in name, name
    return f"`{name}`"


def folded(name: str) -> str:
    """A name as it is compared: engines find `Person` by `person`, too."""
    return name.upper().casefold()


OWN = {folded(name): name for name in (*RESERVED_NODES, *RESERVED_RELS)}
"""The memory's own tables; engines take no notice of case."""


def check_identifier(name: Any, where: str) -> str:
    """A name of a table or column.

    Raises:
        BadInput: it is empty, begins with `_`, begins or ends with a space, or holds a backtick, a dot or a control
            character. TooLarge: it has over `MAX_NAME` characters.
    """
    if not isinstance(name, str):
        raise BadInput(f"expected text, got {type(name).__name__}", where=where)
    if len(name) > MAX_NAME:
        raise TooLarge(f"{len(name)} characters; a name has at most {MAX_NAME}", where=where)
    if not name or name != name.strip() or any(_odd(character) for character in name):
        hint = "It has no backtick, dot or control character, and no space at its ends."
        raise BadInput(f"{name!r} is no name", where=where, hint=hint)
    if unicodedata.normalize("NFKC", name[0]).startswith("_"):
        raise BadInput(f"{name!r} begins with _, as names of the memory and the engines do", where=where)
    return name


def _odd(character: str) -> bool:
    return character in "`." or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def check_table_name(name: Any, where: str = "name") -> str:
    """The name of a table of the user's. Raises OwnedTable for one of the memory's own, else as `check_identifier`."""
    check_identifier(name, where)
    if folded(name) in OWN:
        raise OwnedTable(f"{OWN[folded(name)]} is a table of the memory's own", where=where)
    return str(name)


def type_of(given: Any, where: str) -> str:
    """A column's type as engines call it, from their name for it or from a Python type like `str` or `list[int]`."""
    found: Any = given
    if get_origin(given) is list and len(get_args(given)) == 1:
        found = f"{_PYTHON.get(get_args(given)[0], given)}[]"
    elif isinstance(given, type) and given in _PYTHON:
        found = _PYTHON[given]
    if isinstance(found, str) and found.upper().replace(" ", "") in TYPES:
        return found.upper().replace(" ", "")
    raise BadInput(f"{given!r} is no type of a column", where=where, hint=f"Types: {', '.join(TYPES)}.")


def declared(
    name: Any, columns: Any, *, key: Any = None, source: Any = None, target: Any = None, searchable: Any = (),
    temporal: Any = False,
) -> Table:  # fmt: skip
    """A table as a caller declares it.

    Raises:
        BadInput, UnknownField, OwnedTable: naming what is wrong. Unsupported: a temporal table with lists.
    """
    check_table_name(name)
    if not isinstance(columns, Mapping):
        raise BadInput(f"expected types by name, got {type(columns).__name__}", where="columns")
    found = {
        check_identifier(column, "columns"): type_of(type, f"columns.{column}") for column, type in columns.items()
    }
    if (source is None) != (target is None) or (key is None) == (source is None):
        hint = "Nodes have key=, edges source= and target=."
        raise BadInput("is either a table of nodes or one of edges", where="name", hint=hint)
    ends = () if source is None else ((_node_table(source, "source"), _node_table(target, "target")),)
    if key is not None and key not in found:
        raise BadInput(f"{key!r} is none of the columns", where="key", hint=f"Columns: {', '.join(found)}.")
    if temporal is not True and temporal is not False:
        raise BadInput(f"expected true or false, got {temporal!r}", where="temporal")
    if temporal:
        found = {**found, **{column: "TIMESTAMP" for column in VALID if column not in found}}
    table = Table(str(name), found, key or "", ends, _texts(searchable), temporal)
    check(table)
    return table


def _node_table(name: Any, where: str) -> str:
    check_identifier(name, where)
    return OWN.get(folded(name), str(name))


def _texts(columns: Any) -> tuple[str, ...]:
    if isinstance(columns, str):
        columns = (columns,)
    if not isinstance(columns, Iterable):
        raise BadInput(f"expected names of columns, got {type(columns).__name__}", where="searchable")
    return tuple(dict.fromkeys(columns))


def check(table: Table) -> None:
    """Refuse what either engine, or a row as data, can't have.

    Raises:
        BadInput, UnknownField, TooLarge: naming the column.
    """
    seen: dict[str, str] = {}
    for name, type in table.columns.items():
        where = f"columns.{name}"
        check_identifier(name, where)
        if folded(name) in seen:
            raise BadInput(f"is {seen[folded(name)]!r} in other letters", where=where)
        seen[folded(name)] = name
        if type not in TYPES:
            raise BadInput(f"{type} is no type of a column", where=where, hint=f"Types: {', '.join(TYPES)}.")
        if not table.nodes and folded(name) in ENDS:
            raise BadInput("is what rows of edges call the keys at their ends", where=where)
    if len(table.columns) > MAX_COLUMNS:
        raise TooLarge(f"{len(table.columns)} columns; a table has at most {MAX_COLUMNS}", where="columns")
    if table.nodes and table.columns[table.key] not in KEY_TYPES:
        raise BadInput(f"a key is {' or '.join(KEY_TYPES)}, not {table.columns[table.key]}", where="key")
    for name in table.searchable:
        if table.column(name, "searchable") != "STRING":
            raise BadInput(f"{name!r} is no text: only STRING is searchable", where="searchable")
    if table.temporal:
        _check_temporal(table)
    if table.searchable and not table.nodes:
        raise BadInput("only nodes are searchable", where="searchable")


def _check_temporal(table: Table) -> None:
    if table.key in VALID:
        raise BadInput("of a temporal table is no key", where=f"columns.{table.key}")
    if past_of(folded(table.name)) in map(folded, NOTES):
        raise BadInput(f"{table.name!r} is no name for a temporal table", where="name")
    for name, type in table.columns.items():
        where = f"columns.{name}"
        if folded(name) in map(folded, KNOWN):
            raise BadInput("is kept by the memory in a temporal table", where=where)
        if folded(name) in map(folded, VALID) and (name not in VALID or type != "TIMESTAMP"):
            raise BadInput("of a temporal table is TIMESTAMP, in small letters", where=where)
        if type.endswith("[]"):
            raise Unsupported("a temporal table can't have lists", where=where)
    if len(table.name) > MAX_NAME - 2:
        raise TooLarge(f"the name of a temporal table has at most {MAX_NAME - 2} characters", where="name")
