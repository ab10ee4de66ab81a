"""Parameters of a statement as engines take them: checked by name, converted, and of one type within a list.

Both engines guess where they should refuse: of a list of maps with different keys they use the last map's for all, a
list of numbers and texts fails with an error of Python, a map with a null in it with an assertion of C++.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from graphsvc.cypher.expected import Wanted
from graphsvc.cypher.values import Schema
from graphsvc.errors import BadInput
from graphsvc.model.elements import Edge, Node, Path

_INT64 = 1 << 63
_DEPTH = 16
_SIMPLE = str | bool | float | date | timedelta | Decimal | UUID


def check_names(wanted: frozenset[str], params: Any) -> dict[str, Any]:
    """The parameters, where they are those that the statement uses.

    Raises:
        BadInput: it isn't a mapping from names, or a name is missing, or one too many.
    """
    if params is None:
        params = {}
    if type(params) is dict and params.keys() == wanted:
        return params
    if not isinstance(params, Mapping):
        raise BadInput(f"expected a mapping from names to values, got {type(params).__name__}", where="params")
    given = {name[1:] if isinstance(name, str) and name.startswith("$") else name: params[name] for name in params}
    for name in given:
        if not isinstance(name, str):
            raise BadInput(f"names are texts, not {name!r}", where="params")
    missing, extra = sorted(wanted - given.keys()), sorted(given.keys() - wanted)
    if missing:
        near = difflib.get_close_matches(missing[0], extra, 1)
        hint = f"Did you mean it by {near[0]!r}?" if near else f"Pass it: params={{{missing[0]!r}: …}}."
        raise BadInput(f"no value for ${missing[0]}", where="params", hint=hint)
    if extra:
        used = ", ".join(f"${name}" for name in sorted(wanted)) or "no parameters"
        raise BadInput(f"the statement has no ${extra[0]}", where="params", hint=f"It uses {used}.")
    return given


def converted(value: Any, where: str, depth: int = 0) -> Any:
    """A value as both engines take it.

    numpy and pandas values become Python's, their missing ones None; times with a zone UTC without one.

    Raises:
        BadInput: it has no type in Cypher, or its parts have different ones.
    """
    kind = type(value)
    if kind is str or kind is float or kind is bool or value is None:
        return value
    if kind is int and -_INT64 <= value < _INT64:
        return value
    if depth > _DEPTH:
        raise BadInput("nests too deep", where=where)
    if kind.__module__.partition(".")[0] in ("numpy", "pandas"):
        return _foreign(value, where, depth)
    if isinstance(value, int) and not isinstance(value, bool):
        if not -_INT64 <= value < _INT64:
            raise BadInput(f"{value} doesn't fit 64 bits", where=where)
        return int(value)
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, list | tuple):
        return _one_type([converted(item, f"{where}[{place}]", depth + 1) for place, item in enumerate(value)], where)
    if isinstance(value, Mapping):
        return _map(value, where, depth)
    if isinstance(value, _SIMPLE):
        return value
    if isinstance(value, Node | Edge | Path):
        raise BadInput(
            f"a {kind.__name__.lower()} can't be passed", where=where, hint="Pass its key, and match it by that."
        )
    raise BadInput(f"{kind.__name__} is no type of a parameter", where=where, hint=_HINTS.get(kind.__name__, ""))


_HINTS = {
    "set": "Pass a list.", "frozenset": "Pass a list.", "generator": "Pass a list.", "time": "Pass a text.",
    "Table": "Pass table.to_pylist().",
    "bytes": "Pass a text, and write blob($x) of it.", "complex": "Pass two numbers.",
}  # fmt: skip


def _foreign(value: Any, where: str, depth: int) -> Any:
    """A value of numpy or pandas."""
    kind = type(value).__name__
    if kind in ("NAType", "NaTType"):
        return None
    if kind == "datetime64":
        return converted(value.astype("datetime64[us]").item(), where, depth)
    if kind == "timedelta64":
        return converted(value.astype("timedelta64[us]").item(), where, depth)
    for method in ("to_pydatetime", "to_pytimedelta"):
        if hasattr(value, method) and not hasattr(value, "__len__"):
            return converted(getattr(value, method)(**({"warn": False} if "date" in method else {})), where, depth)
    if kind == "DataFrame":
        raise BadInput(f"{kind} is no type of a parameter", where=where, hint="Pass frame.to_dict('records').")
    if hasattr(value, "tolist"):
        return converted(value.tolist(), where, depth)
    raise BadInput(f"{kind} is no type of a parameter", where=where)


def _map(value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise BadInput(f"keys of a map are texts, not {name!r}", where=where)
        made[name] = converted(item, f"{where}.{name}", depth + 1)
        if item is None and depth == 0:
            raise BadInput("a null in a map has no type", where=f"{where}.{name}", hint="Leave the key out.")
    return made


def _family(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    if isinstance(value, float):
        return "DOUBLE"
    if isinstance(value, datetime):
        return "TIMESTAMP"
    return _NAMES.get(type(value), type(value).__name__)


_NAMES: dict[type, str] = {
    str: "STRING", date: "DATE", timedelta: "INTERVAL", Decimal: "DECIMAL", list: "LIST", dict: "MAP",
}  # fmt: skip


def _one_type(items: list[Any], where: str) -> list[Any]:
    """The items of a list, all of one type; numbers of both kinds become floats, maps have the first one's order."""
    families = {_family(item): place for place, item in enumerate(items) if item is not None}
    if families.keys() == {"INT64", "DOUBLE"}:
        return [None if item is None else float(item) for item in items]
    if len(families) > 1:
        (first, _), (second, place) = sorted(families.items(), key=lambda one: one[1])[:2]
        raise BadInput(f"is {second}, where others are {first}", where=f"{where}[{place}]", hint="A list has one type.")
    return _same_keys(items, where) if "MAP" in families else items


def _same_keys(items: list[Any], where: str) -> list[Any]:
    keys: list[str] | None = None
    made: list[Any] = []
    for place, item in enumerate(items):
        keys = list(item) if keys is None and item is not None else keys
        if item is None or keys is None:
            raise BadInput("is null among maps", where=f"{where}[{place}]", hint="Leave it out.")
        if item.keys() != set(keys):
            odd = min(item.keys() ^ set(keys))
            raise BadInput(f"differs from {where}[0] in the key {odd!r}", where=f"{where}[{place}]",
                           hint="Maps of one list have the same keys; a value may be None.")  # fmt: skip
        made.append({name: item[name] for name in keys})
    for name in keys or ():
        column = _one_type([item[name] for item in made], f"{where}[].{name}")
        if all(value is None for value in column):
            raise BadInput("is null in all maps and has no type", where=f"{where}[].{name}", hint="Leave the key out.")
        for item, value in zip(made, column, strict=True):
            item[name] = value
    return made


# --- what the statement wants -------------------------------------------------------------------------

def check_types(wanted: Iterable[Wanted], values: dict[str, Any], schema: Schema) -> None:
    """Compare values with what the statement wants of them; texts of times become times.

    Engines compare all the same: a text with an integer by reading every text of the table as a number, a map's
    value of another type with nothing.

    Raises:
        BadInput: a value can't be equal to anything in the column that it is compared with, or isn't a list or number
            of rows where one stands.
    """
    for one in wanted:
        value = values.get(one.name)
        if value is None or _is_plainly(value, one, schema):
            continue
        where = f"${one.name}"
        if one.form == "list" and not isinstance(value, list):
            raise BadInput(f"is {_family(value)}; a list is wanted", where=where)
        if one.form == "text" and not isinstance(value, str):
            raise BadInput(f"is {_family(value)}; a text is wanted", where=where)
        if one.form == "count" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise BadInput(f"is {value!r}; a number of rows is wanted, 0 or more", where=where)
        if not one.tables:
            continue
        types = {table: schema.get(table, {}).get(one.column) for table in one.tables}
        known = [type for type in types.values() if type is not None]
        if len(known) == len(types) and len(set(known)) == 1:
            values[one.name] = _fitting(value, known[0], one, where)


def _is_plainly(value: Any, wanted: Wanted, schema: Schema) -> bool:
    """Whether it is at a glance what one column holds."""
    if wanted.form != "value" or len(wanted.tables) != 1:
        return False
    columns = schema.get(wanted.tables[0])
    return columns is not None and _PLAIN.get(type(value)) == columns.get(wanted.column, "")


_PLAIN: dict[type, str] = {str: "STRING", int: "INT64", float: "DOUBLE", bool: "BOOL"}


def _fitting(value: Any, type: str, wanted: Wanted, where: str) -> Any:
    column = f"{wanted.tables[0]}.{wanted.column} is {type}"
    if wanted.form == "values":
        return [_fit(item, type, column, f"{where}[{place}]") for place, item in enumerate(value)]
    if wanted.form == "element":
        return _fit(value, type.removesuffix("[]"), column, where)
    return _fit(value, type, column, where)


def _fit(value: Any, type: str, column: str, where: str) -> Any:
    if value is None:
        return None
    if type.endswith("[]"):
        if not isinstance(value, list):
            raise BadInput(f"is {_family(value)}, and {column}", where=where)
        return [_fit(item, type[:-2], column, f"{where}[{place}]") for place, item in enumerate(value)]
    if type in ("DATE", "TIMESTAMP") and isinstance(value, str):
        return _time(value, type, column, where)
    allowed = _ALLOWED.get(_NUMBER if type.startswith(_NUMBERS) else type)
    if allowed is not None and _family(value) not in allowed:
        raise BadInput(f"is {_family(value)}, and {column}", where=where, hint="They can't be compared.")
    return value


_NUMBERS = ("INT", "UINT", "DOUBLE", "FLOAT", "DECIMAL", "SERIAL")
_NUMBER = "a number"
_ALLOWED = {
    "STRING": {"STRING"}, "BOOL": {"BOOL"}, _NUMBER: {"INT64", "DOUBLE", "DECIMAL"}, "DATE": {"DATE", "TIMESTAMP"},
    "TIMESTAMP": {"DATE", "TIMESTAMP"}, "BLOB": {"BLOB"}, "INTERVAL": {"INTERVAL"},
}  # fmt: skip


def _time(text: str, type: str, column: str, where: str) -> Any:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text!r} is no time in ISO 8601, and {column}", where=where) from None
    if type == "DATE" and len(text) <= len("2020-01-01"):
        return moment.date()
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
