"""What an engine says of a statement, in words and with its place: engines name a place for syntax alone."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress

from graphsvc.errors import BadStatement, Conflict, EngineError, GraphsvcError
from graphsvc.store.catalog import describe
from graphsvc.store.engine import Engine

_PREFIX = re.compile(r"^(Parser|Binder|Catalog|Runtime|Conversion|Overflow|Query) exception: ", re.IGNORECASE)
_SYNTAX = re.compile(r"Parser exception: (?P<what>.*) \(line: (?P<line>\d+), offset: (?P<offset>\d+)\)", re.DOTALL)
_NO_TABLE = re.compile(r"Table (?P<name>\S+) does not exist")
_NO_PROPERTY = re.compile(r"Cannot find property (?P<name>.+?) for (?P<variable>.+?)\.?$")
_NO_VARIABLE = re.compile(r"Variable (?P<name>\S+) is not in scope")
_NO_FUNCTION = re.compile(r"function (?P<name>\S+) does not exist", re.IGNORECASE)
_NO_MATCH = re.compile(
    r"Cannot match a built-in function for given function (?P<name>[^(]+)\((?P<given>.*?)\)\. Supported inputs are\s*"
    r"(?P<known>.*)",
    re.DOTALL,
)
_SMALL = re.compile(r"not within (?:INT8|INT16|INT32) range")
_WRONG_CALL = re.compile(
    r"Function (?P<name>\S+) did not receive correct arguments:\s*Actual:\s*\((?P<given>.*?)\)\s*"
    r"Expected:\s*(?P<known>.*)",
    re.DOTALL,
)
_DUPLICATE = re.compile(r"Found duplicated primary key value (?P<key>.*), which violates the uniqueness", re.DOTALL)
STATEMENT = "statement"


def explained(error: EngineError, statement: str, engine: Engine) -> GraphsvcError:
    """An engine's error on a user's statement, in our words; as it is where there is nothing to add."""
    if type(error) is not EngineError or error.where:
        return error  # of ours: a time limit, memory, an interruption
    text = error.what
    for explain in (_syntax, _table, _property, _variable, _function, _arguments, _key):
        found = explain(text, statement, engine)
        if found is not None:
            return found
    bare = _PREFIX.sub("", text).strip()
    what = bare.splitlines()[0].rstrip(".") if bare else text
    if text.startswith("Assertion failed"):
        hint = "Give the value a type, as in cast($x AS INT64), or pass it another way."
        return EngineError("the engine failed an assertion of its own", where=STATEMENT, hint=hint)
    if "vector with ANY type" in text:
        return BadStatement("a value has no type: an empty list, or null alone", where=STATEMENT,
                            hint="Give it one, as in cast($x AS STRING[]).")  # fmt: skip
    if _SMALL.search(text):
        hint = "A parameter has the smallest type that holds it; write cast($x AS INT64)."
        return EngineError(what, where=STATEMENT, hint=hint)
    kind = BadStatement if text.startswith(("Parser", "Binder", "Catalog")) else EngineError
    return kind(what, where=STATEMENT)


def place(statement: str, at: int) -> str:
    """Line and column of a character, both from 1."""
    line = statement.count("\n", 0, at) + 1
    return f"{STATEMENT}, line {line}, column {at - (statement.rfind(chr(10), 0, at) + 1) + 1}"


def _where(statement: str, pattern: str) -> str:
    found = re.search(pattern, statement, re.IGNORECASE)
    return place(statement, found.start()) if found else STATEMENT


def _near(name: str, known: Iterable[str], otherwise: Callable[[list[str]], str]) -> str:
    names = sorted(known)
    folded = {one.casefold(): one for one in names}
    near = difflib.get_close_matches(name.casefold(), folded, 1)
    return f"Did you mean {folded[near[0]]!r}?" if near else otherwise(names)


def _syntax(text: str, statement: str, engine: Engine) -> GraphsvcError | None:
    found = _SYNTAX.search(text)
    if not found:
        return None
    what = found["what"].partition("expected rule")[0]
    invalid = re.match(r"Invalid input <(.*)>", what, re.DOTALL)
    near = f" near {invalid[1].strip()[-30:]!r}" if invalid else f": {what.strip().splitlines()[0][:120]}"
    column = int(found["offset"]) + 1
    if found["line"] == "1" and "<EXPLAIN " in what and statement.lstrip()[:7].upper() != "EXPLAIN":
        column -= len("EXPLAIN ")  # the plan was asked for first
    return BadStatement(f"isn't Cypher{near}", where=f"{STATEMENT}, line {found['line']}, column {column}",
                        hint="See docs/cypher.md for what there is.")  # fmt: skip


def _table(text: str, statement: str, engine: Engine) -> GraphsvcError | None:
    found = _NO_TABLE.search(text)
    if not found:
        return None
    tables = [table.name for table in describe(engine, count=False)]
    hint = _near(found["name"], tables, lambda names: f"There are {', '.join(names[:20])}.")
    name = found["name"]
    return BadStatement(f"there is no table {name!r}", where=_where(statement, _word(name)), hint=hint)


def _property(text: str, statement: str, engine: Engine) -> GraphsvcError | None:
    found = _NO_PROPERTY.search(text)
    if not found:
        return None
    name, variable = found["name"], found["variable"].strip()
    known: set[str] = set()
    label = re.search(rf"[(\[]\s*{re.escape(variable)}\s*:\s*`?(\w+)", statement)
    with suppress(GraphsvcError):
        tables = describe(engine, count=False)
        known = {column for table in tables if not label or table.name == label[1] for column in table.columns}
    hint = _near(name, known, lambda names: f"It has {', '.join(names[:30])}." if label and names else "")
    where = _where(statement, rf"(?<=\.)\s*`?{re.escape(name)}\b")
    return BadStatement(f"{variable} has no property {name!r}", where=where, hint=hint)


def _variable(text: str, statement: str, engine: Engine) -> GraphsvcError | None:
    found = _NO_VARIABLE.search(text)
    if not found:
        return None
    name = found["name"].rstrip(".")
    hint = "Bind it in MATCH, WITH or UNWIND before; WITH hands on only what it names."
    return BadStatement(f"{name!r} isn't bound here", where=_where(statement, _word(name)), hint=hint)


def _function(text: str, statement: str, engine: Engine) -> GraphsvcError | None:
    found = _NO_FUNCTION.search(text)
    if not found:
        return None
    name = found["name"].lower()
    return BadStatement(f"there is no function {name}", where=_where(statement, _word(name) + r"\s*\("))


def _arguments(text: str, statement: str, engine: Engine) -> GraphsvcError | None:
    found = _NO_MATCH.search(text) or _WRONG_CALL.search(text)
    if not found:
        return None
    known = [line.partition(" -> ")[0].strip() for line in found["known"].splitlines() if line.strip()]
    hint = f"It takes {', '.join(known[:5])}{' and more' if len(known) > 5 else ''}." if known else ""
    name = found["name"].strip().lower()
    where = _where(statement, _word(name)) if name.isidentifier() else STATEMENT
    return BadStatement(f"{name} doesn't take ({found['given']})", where=where, hint=hint)


def _key(text: str, statement: str, engine: Engine) -> GraphsvcError | None:
    found = _DUPLICATE.search(text)
    if not found:
        return None
    hint = "MERGE takes the node that is there, MATCH … SET changes it."
    return Conflict(f"there is a node with the key {found['key']} already", where=STATEMENT, hint=hint)


def _word(name: str) -> str:
    return rf"(?<![\w$]){re.escape(name)}(?!\w)"
