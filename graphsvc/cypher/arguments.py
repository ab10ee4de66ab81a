"""What ends the process on an engine, by the arguments that a function or operator is given.

Found by giving every function and operator of both engines values of every type: they look at some arguments without
having checked what those are. Each is shown in `tests/cypher/hostile.toml`.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphsvc.cypher.names import folded
from graphsvc.cypher.syntax import Clause, Expr, Match, Path, Projection, paths_of
from graphsvc.cypher.values import ELEMENTS, Value

_NESTED = (
    "LIST_", "ARRAY_", "MAP", "STRUCT_", "ELEMENT_AT", "NODES", "REL", "START_NODE", "END_NODE", "ID", "LABEL", "KEYS",
    "PROPERTIES", "IS_TRAIL", "IS_ACYCLIC", "OFFSET",
)  # fmt: skip
"""Functions of lists, maps, nodes, edges and paths: a NULL without a type ends the process in most of them."""
_TEXTS: dict[str, int] = {
    "REGEXP_EXTRACT": 2, "REGEXP_EXTRACT_ALL": 2, "REGEXP_FULL_MATCH": 2, "REGEXP_MATCHES": 2, "REGEXP_REPLACE": 4,
    "REGEXP_SPLIT_TO_ARRAY": 2, "SPLIT_PART": 2, "STR_SPLIT": 2, "STRING_SPLIT": 2, "STRING_TO_ARRAY": 2, "=~": 2,
}  # fmt: skip
"""What takes any value for a text, and how many of its arguments it takes so."""
_SPLITS = frozenset({"STRING_SPLIT", "STR_SPLIT", "STRING_TO_ARRAY", "SPLIT_PART"})
_PATTERNS = frozenset({"REGEXP_EXTRACT", "REGEXP_EXTRACT_ALL", "REGEXP_REPLACE", "REGEXP_SPLIT_TO_ARRAY"})
_BYTE = "\\C"
"""Of a regular expression: one byte, which needn't be a character. The engines take two backslashes for one."""
_SPANS = (
    "TO_DAYS",
    "TO_HOURS",
    "TO_MICROSECONDS",
    "TO_MILLISECONDS",
    "TO_MINUTES",
    "TO_MONTHS",
    "TO_SECONDS",
    "TO_YEARS",
)
_MAX_SPAN = 10**9
_ELEMENTS: dict[str, tuple[str, ...]] = {
    "END_NODE": ("edge",), "START_NODE": ("edge",), "ID": ("node", "edge"), "KEYS": ("node", "edge"),
    "LABEL": ("node", "edge"), "LABELS": ("node", "edge"), "IS_ACYCLIC": ("path",), "IS_TRAIL": ("path",),
    "NODES": ("path",), "RELATIONSHIPS": ("path",), "RELS": ("path",), "OFFSET": ("id",), "PROPERTIES": ("list",),
}  # fmt: skip
"""Functions of elements of the graph, and which they take: some end the process on anything else."""
_COMPARED = frozenset({"=", "<>", "<", "<=", ">", ">="})
_CONSTANT = frozenset({"KEYS", "TYPEOF"})
"""Functions of which an engine knows the result by the type of what they are given, so that it doesn't look at it."""
LAMBDAS = {"LIST_TRANSFORM": 1, "LIST_FILTER": 1, "LIST_REDUCE": 2}
"""Functions that take a list and a lambda of so many names. Any other ends the process on one."""
MAX_FACTORIAL = 1_000


def why_refused(name: str, expr: Expr, values: list[Value]) -> tuple[str, str]:
    """What is wrong with the arguments of a function or operator, and what to do; ('', '') if nothing is."""
    shown = name.lower()
    lambdas = [index for index, arg in enumerate(expr.args) if arg.kind == "lambda"]
    if name in LAMBDAS:
        if len(expr.args) != 2 or lambdas != [1] or len(expr.args[1].value) != LAMBDAS[name]:
            return f"{shown} takes a list and a lambda", "list_transform(l, x -> x + 1)"
    elif lambdas:
        return f"{shown} takes no lambda", ""
    nested = values if name.startswith(_NESTED) else []
    if name == "IN":  # an empty list, or one of NULLs, harms nobody; NULL in its place does
        nested = [value for value in values[1:] if value.kind != "list"]
    if any(value.null for value in nested):
        return f"{shown} may be given a NULL without a type", "Say which: cast(NULL AS INT64[])."
    texts = values[: _TEXTS.get(name, 0)]
    if any(value.kind not in ("text", "given") for value in texts):
        return f"{shown} is given what isn't surely a text", "Cast it: cast(x AS STRING)."
    if name in ("SLICE", "LIST_SLICE", "ARRAY_SLICE") and values and values[0].kind not in ("list", "text", "given"):
        return "a part is taken of what isn't surely a list or text", "Cast it: cast(x AS STRING)."
    if name in ("LIST_SORT", "LIST_REVERSE_SORT") and any(value.kind not in ("text", "given") for value in values[1:]):
        return f"{shown} is told its order by texts: 'DESC', 'NULLS LAST'", ""
    kinds = _ELEMENTS.get(name)
    if kinds and any(value.kind not in (*kinds, "given") for value in values[:1]):
        return f"{shown} takes {' or '.join(kinds)}", "Give it a variable of a pattern."
    if name in ("LABEL", "LABELS") and values and (values[0].taken or expr.args[0].kind not in ("variable", "call")):
        return f"{shown} is of a name, not of what is taken out of a list or struct", "UNWIND the list first."
    if name in _COMPARED and any(value.kind in ELEMENTS and not value.bound for value in values):
        return "a node, edge or path out of a list or struct is compared", "Compare its key, or use IN."
    if name in ("CASE", "COALESCE", "IFNULL", "NULLIF", "LEAST", "GREATEST") and any(
        value.kind in ELEMENTS for value in values
    ):
        return f"{shown} takes no node, edge or path", "Choose between properties."
    return _numbers(name, expr, values)


def why_no_text(name: str, values: list[Value], writes: bool) -> tuple[str, str]:
    """Why a function of texts may make what is no text, and what to do; ('', '') if it can't.

    Engines cut texts into bytes by an empty separator, and where a regular expression says so.
    """
    given = values[1].text if len(values) > 1 else None
    if name in _SPLITS and not given:
        return f"{name.lower()} cuts by a known text that isn't empty", "Give it a literal, or a parameter: ','."
    if name in _PATTERNS and ((given is None and writes) or (given is not None and _BYTE in given)):
        return f"{name.lower()} may cut characters apart", "Give it a pattern that is known, without \\C."
    return "", ""


def _numbers(name: str, expr: Expr, values: list[Value]) -> tuple[str, str]:
    """The same, where numbers decide."""
    first, last = (values[0], values[-1]) if values else (Value(), Value())
    if name == "/" and first.kind == "interval" and not (last.low or 0) > 0:
        return "a duration may be divided by zero", "Divide by a literal that isn't 0."
    if name == "SPLIT_PART" and not (len(values) == 3 and (last.low or 0) >= 1):
        return "split_part counts from 1: its last argument is a known whole number", ""
    if name == "FACTORIAL" and not _within(first, MAX_FACTORIAL):
        return f"factorial is of a number that is known to be at most {MAX_FACTORIAL:,}", "factorial(abs(x) % 20)"
    if name == "REPEAT" and (last.low is None or last.low < 0) and last.kind != "given":
        return "repeat may be given a negative number", "repeat(s, abs(n) % 100)"
    if name in _SPANS and not (_within(first, _MAX_SPAN) and _within_below(first, _MAX_SPAN)):
        return (
            f"{name.lower()} is of a number that is known to be small",
            f"Bound it: x % {_MAX_SPAN}.",
        )
    return "", ""


def _within(value: Value, most: float) -> bool:
    return value.most is not None and value.most <= most


def _within_below(value: Value, most: float) -> bool:
    return value.low is not None and value.low >= -most


def all_shortest_unseen(part: Sequence[Clause]) -> int | None:
    """Where ALL SHORTEST stands in a path that isn't given back: if it finds none, the process ends."""
    final = part[-1]
    items = final.items if isinstance(final, Projection) and final.final else ()
    seen = {folded(item.expr.value) for item in items if item.expr.kind == "variable"}
    for item in items:
        if item.expr.kind == "call" and item.expr.value in ("NODES", "RELS", "RELATIONSHIPS"):
            seen.update(folded(arg.value) for arg in item.expr.args if arg.kind == "variable")
    for clause in part:
        for path in paths_of(clause):
            for edge in path.edges:
                if edge.hops and edge.hops.way == "ALL SHORTEST" and folded(path.variable) not in seen:
                    return edge.at
    return None


def why_unused(names: Sequence[str], body: Expr) -> str:
    """What is wrong with what a lambda or a quantifier computes: Kuzu reads what it computes for each element, and ends
    the process, or answers by other rows, where that doesn't take the element itself, not only in another lambda.
    """
    return "" if _takes(names, body) else f"what is computed for each element doesn't use {' or '.join(names)}"


def _takes(names: Sequence[str], expr: Expr) -> bool:
    if expr.kind == "variable":
        return folded(str(expr.value)) in names
    if isinstance(expr.value, Match | Path) or expr.kind == "lambda":
        return False
    if expr.kind == "call" and expr.value in _CONSTANT:
        return False
    return any(_takes(names, arg) for arg in (expr.args[:1] if expr.kind == "quantifier" else expr.args))


def why_reduce_refused(among: Value, body: Expr) -> str:
    """What is wrong with what list_reduce computes: it gives the type of its elements, or the process ends."""
    inner = body
    arithmetic = inner.kind == "op" and inner.value in ("+", "-", "*", "%")
    plain = inner.kind == "variable" or (inner.kind == "call" and inner.value in ("LEAST", "GREATEST"))
    if among.element.kind not in ("number", "text", "given") or not (arithmetic or plain):
        return "list_reduce adds, multiplies or compares numbers or texts that are known to be that"
    return ""
