"""The Cypher that the program runs: one statement a file in `queries/`, each with a header.

    // What it does, in a sentence or two.
    // takes: $key STRING
    // gives: reward DOUBLE
    MATCH …

A file with a line `// for: node table` or `// for: rel table` is one statement for each of the memory's own
tables: `<table>` and the like are filled in by `Query.fill`, with names that the model declares and nothing else.
`// for: user table` is one for each of the user's: its names are checked (`model/tables.py`), and quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from graphsvc.config import resource
from graphsvc.errors import NotFound
from graphsvc.model.graph import NODE_TABLES, REL_TABLES

_HEADER = re.compile(r"//\s?(?P<text>.*)")
_TAKES = re.compile(r"takes:\s*\$(?P<name>\w+)\s+(?P<type>\S.*)")
_GIVES = re.compile(r"gives:\s*(?P<name>\w+)\s+(?P<type>\S.*)")
_FOR = re.compile(r"for:\s*(?P<what>node table|rel table|user table)")
_HOLE = re.compile(r"<(\w+)>")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Query:
    """One statement.

    Attributes:
        name: of its file, without the ending.
        about: what it does.
        text: the statement without its header.
        params: types of its parameters by name.
        columns: types of its columns by name, in order; empty if it returns nothing, or what its table has.
        scope: '' for one statement, 'node table', 'rel table' or 'user table' for one a table.
    """

    name: str
    about: str
    text: str
    params: dict[str, str]
    columns: dict[str, str]
    scope: str = ""

    def fill(self, **names: str) -> str:
        """The statement for one table: each `<hole>` replaced.

        The values are table names, and lists of columns made by `assignments` and `projection`, all of which
        come from the declared model. A value from a user never gets here: those are parameters.
        """
        return _HOLE.sub(lambda hole: names[hole[1]], self.text)


def parse(name: str, source: str) -> Query:
    """A statement file, read."""
    about: list[str] = []
    params: dict[str, str] = {}
    columns: dict[str, str] = {}
    scope = ""
    lines = source.splitlines()
    while lines and (header := _HEADER.fullmatch(lines[0].strip())):
        text = header["text"].strip()
        if takes := _TAKES.fullmatch(text):
            params[takes["name"]] = takes["type"]
        elif gives := _GIVES.fullmatch(text):
            columns[gives["name"]] = gives["type"]
        elif wanted := _FOR.fullmatch(text):
            scope = wanted["what"]
        else:
            about.append(text)
        lines.pop(0)
    return Query(name, " ".join(about), "\n".join(lines).strip().rstrip(";"), params, columns, scope)


@cache
def load(name: str) -> Query:
    """The statement in `queries/NAME.cypher`.

    Raises:
        NotFound: there is no such file.
    """
    path = resource("queries") / f"{name}.cypher"
    if not path.is_file():
        raise NotFound("no such query", where=name)
    return parse(name, path.read_text(encoding="utf-8"))


def query(name: str) -> str:
    """The text of the statement in `queries/NAME.cypher`."""
    return load(name).text


def every_query() -> list[Query]:
    """All statements, by name."""
    return [load(path.stem) for path in sorted(resource("queries").glob("*.cypher"))]


def assignments(columns: Iterable[str], *, row: str = "") -> str:
    """`key: key, reward: reward`, or with `row='$'` `key: $key, …`: the body of a node's or edge's braces."""
    return ", ".join(f"{_name(column)}: {_value(column, row)}" for column in columns)


def settings(variable: str, columns: Iterable[str], *, row: str = "") -> str:
    """`SET n.reward = reward, …`, or nothing where there is nothing to set."""
    items = [f"{variable}.{_name(column)} = {_value(column, row)}" for column in columns]
    return "SET " + ", ".join(items) if items else ""


def projection(variable: str, columns: Iterable[str]) -> str:
    """`, n.reward AS reward, …`: what a dump returns after its keys."""
    return "".join(f", {variable}.{_name(column)} AS {_name(column)}" for column in columns)


def _value(column: str, row: str) -> str:
    return f"${column}" if row == "$" else _name(column)


def _name(column: str) -> str:
    # quoted, since `group`, `order`, `end` and the like are words of Cypher and good names of columns
    assert _IDENTIFIER.fullmatch(column), column
    return f"`{column}`"


def table_holes(table: str, ends: tuple[str, ...] = ()) -> dict[str, str]:
    """What fills `<table>`, `<source>` and `<target>` for one of the memory's own tables.

    Args:
        ends: node tables of an edge's source and target; one where only that end is asked for.
    """
    if table in NODE_TABLES:
        return {"table": table}
    rel = REL_TABLES[table]
    assert all(any(end in pair for pair in rel.pairs) for end in ends), ends
    return {"table": table, "source": ends[0], "target": ends[-1]} if ends else {"table": table}


@lru_cache(maxsize=512)
def own_statement(name: str, table: str, columns: tuple[str, ...] = (), ends: tuple[str, ...] = ()) -> str:
    """A template of `queries/`, filled in for one of the memory's own tables.

    One file a table and statement would be seventy files that say the same, and patches set any subset of a table's
    columns.
    """
    row = "" if name.endswith("s") else "$"  # a bulk statement names columns of $rows, one for a row parameters
    rel = REL_TABLES.get(table)
    variable, identity = ("r", rel.identity) if rel else ("n", {})
    dumped = "" if "<columns>}" in load(name).text else projection(variable, columns)
    return load(name).fill(
        **table_holes(table, ends),
        columns=dumped or assignments(columns, row=row),
        settings=settings(variable, (column for column in columns if column not in identity), row=row),
        which=f" {{{assignments(identity, row=row)}}}" if identity else "",
    )
