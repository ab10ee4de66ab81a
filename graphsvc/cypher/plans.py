"""The second wall: what an engine says it will do, judged before it does it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from graphsvc.errors import NotAllowed

READING = frozenset({
    "AGGREGATE", "AGGREGATE_FINALIZE", "AGGREGATE_SCAN", "COUNT_REL_TABLE", "CROSS_PRODUCT", "DUMMY_SINK",
    "EMPTY_RESULT", "FILTER", "FLATTEN", "HASH_JOIN_BUILD", "HASH_JOIN_PROBE", "INTERSECT", "INTERSECT_BUILD",
    "LIMIT", "MULTIPLICITY_REDUCER", "ORDER_BY", "ORDER_BY_MERGE", "ORDER_BY_SCAN", "PATH_PROPERTY_PROBE",
    "PRIMARY_KEY_SCAN_NODE_TABLE", "PROJECTION", "QUERY_PRIMARY_KEY_LOOKUP", "RECURSIVE_EXTEND",
    "RESULT_COLLECTOR", "SCAN_NODE_TABLE", "SCAN_REL_TABLE", "SEMI_MASKER", "SKIP", "TABLE_FUNCTION_CALL",
    "TOP_K", "TOP_K_SCAN", "UNION_ALL_SCAN", "UNWIND",
})  # fmt: skip
"""Operators of both engines' plans that only read the graph, and what is in memory."""
TABLE_FUNCTIONS = frozenset({
    "READ_FTABLE", "SHOW_TABLES", "TABLE_INFO", "SHOW_CONNECTION", "SHOW_FUNCTIONS", "SHOW_INDEXES", "DB_VERSION",
})  # fmt: skip
"""What TABLE_FUNCTION_CALL may call: READ_FTABLE is the engines' own, over rows in memory."""

_OPERATOR = re.compile(r"│ +([A-Z][A-Z0-9_]*)\[\d+\] +(?=│)")
_FUNCTION = re.compile(r"│ +Function: (\S*) *(?=│)")


def operators(plan: str) -> Iterator[str]:
    """The operators of a plan as EXPLAIN draws it, and behind each TABLE_FUNCTION_CALL what it calls.

    Only the line behind the upper border of boxes names operators, and the second after that functions: what a
    statement's own texts put elsewhere doesn't count.
    """
    lines = plan.splitlines()
    for index, line in enumerate(lines):
        if "┌" not in line or index + 3 >= len(lines):
            continue
        named = _OPERATOR.findall(lines[index + 1])
        called = _FUNCTION.findall(lines[index + 3])
        yield from named
        yield from (f"Function {name}" for name in called)
        yield from ["Function unnamed"] * (named.count("TABLE_FUNCTION_CALL") - len(called))


def check_plan(plan: str) -> None:
    """Refuse a read whose plan does anything but read.

    Raises:
        NotAllowed: an operator isn't listed, or there is none at all; `rule` is `plan`.
    """
    found = list(operators(plan))
    allowed = READING | {f"Function {name}" for name in TABLE_FUNCTIONS}
    other = [name for name in found if name not in allowed]
    if other or not any(name in READING for name in found):
        what = f"the engine would do {other[0]}" if other else "the engine shows no plan"
        raise NotAllowed(what, hint="Only operators that read are allowed.", rule="plan")
