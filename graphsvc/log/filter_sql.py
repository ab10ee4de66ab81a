"""Comparisons that columns in memory can't answer (ids, long texts, metadata), by SQL over the records."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.model.filters import Compare

_SQL = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def rows_where(connection: sqlite3.Connection, kind: str, compare: Compare) -> NDArray[np.int64]:
    """Row numbers, ascending, of the live records for which a comparison holds."""
    test, values = _test(compare)
    rows = connection.execute(
        f"SELECT row FROM record WHERE kind = ? AND state = 0 AND {test} ORDER BY row", (kind, *values)
    ).fetchall()
    return np.array([row[0] for row in rows], np.int64)


def _test(compare: Compare) -> tuple[str, list[Any]]:
    """A condition and its parameters. Paths and values go in as parameters, never as text of the statement."""
    op, value = compare.op, compare.value
    if compare.field.name == "id" and op in ("eq", "ne", "in"):
        return _id_test(op, value)
    path = "$." + ".".join(f'"{step}"' for step in (compare.field.name, *compare.path))
    if op == "exists":
        there = "coalesce(json_type(body, ?), 'null') <> 'null'"
        return (there if value else f"NOT ({there})"), [path]
    if op == "ne":
        test, values = _equal(path, value)
        return f"NOT coalesce({test}, 0)", values
    if op == "eq":
        return _equal(path, value)
    if op == "in":
        return _among(path, value)
    if op == "contains":
        return _contains(path, value)
    sort = "('integer', 'real')" if isinstance(value, int | float) else "('text')"
    return f"(json_type(body, ?) IN {sort} AND json_extract(body, ?) {_SQL[op]} ?)", [path, path, value]


def _id_test(op: str, value: Any) -> tuple[str, list[Any]]:
    if op == "in":
        return "id IN (SELECT value FROM json_each(?))", [_json(value)]
    return f"id {'=' if op == 'eq' else '<>'} ?", [value]


def _equal(path: str, value: Any) -> tuple[str, list[Any]]:
    if isinstance(value, bool):
        return "coalesce(json_type(body, ?) = ?, 0)", [path, "true" if value else "false"]
    sort = "('integer', 'real')" if isinstance(value, int | float) else "('text')"
    return f"(json_type(body, ?) IN {sort} AND json_extract(body, ?) = ?)", [path, path, value]


def _among(path: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """One of several, each list as one parameter: a statement has a limit of terms."""
    truths = [_equal(path, value) for value in (True, False) if any(value is item for item in values)]
    tests, parameters = [test for test, _ in truths], [value for _, more in truths for value in more]
    for sort, kind in (("('integer', 'real')", int | float), ("('text')", str)):
        alike = [value for value in values if isinstance(value, kind) and not isinstance(value, bool)]
        if alike:
            among = "json_extract(body, ?) IN (SELECT value FROM json_each(?))"
            tests.append(f"(json_type(body, ?) IN {sort} AND {among})")
            parameters += [path, path, _json(alike)]
    return f"({' OR '.join(tests) or '0'})", parameters


def _json(values: Sequence[Any]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _contains(path: str, value: Any) -> tuple[str, list[Any]]:
    if isinstance(value, bool):
        within = "type = ?"
        operand: Any = "true" if value else "false"
    else:
        sort = "('integer', 'real')" if isinstance(value, int | float) else "('text')"
        within, operand = f"type IN {sort} AND atom = ?", value
    listed = f"(json_type(body, ?) = 'array' AND EXISTS (SELECT 1 FROM json_each(body, ?) WHERE {within}))"
    values = [path, path, operand]
    if isinstance(value, str):
        return f"({listed} OR (json_type(body, ?) = 'text' AND instr(json_extract(body, ?), ?) > 0))", [
            *values, path, path, value,
        ]  # fmt: skip
    return listed, values
