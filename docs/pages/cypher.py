"""What a user's statement may be, from `graphsvc.cypher`."""

from __future__ import annotations

from graphsvc.cypher import expressions, growth, names, order, parse, rules, tokens, writes
from graphsvc.cypher.functions import FUNCTIONS, PROCEDURES, Growth

from .markdown import code, page, said, table

ABOUT = """
What `memory.cypher` takes. An error for a statement that isn't allowed has the code `not_allowed`, `owned_table` or
`not_deterministic`, the name of the rule, and the line and column. Statements are parsed by rules of our own, which
follow the engines' grammar: they are an allow-list, so that what isn't described is refused. Before a read runs, the
operators that the engine's EXPLAIN shows are compared with a list of those that read.
"""
GROWTH: dict[Growth, str] = {
    "number": "a number", "bounded": "a value of bounded size", "same": "no more than its largest argument",
    "scan": "no more than its argument; each element counts as work", "compare": "the product counts as work",
    "sum": "its arguments together", "product": "the product of its arguments", "text": "its argument as text",
    "range": "as many elements as its bounds are apart", "repeat": "its text times its number",
    "pad": "as many characters as its number", "each": "a value for each element", "filter": "no more than its list",
    "reduce": "its elements added up", "collect": "an element for each row",
}  # fmt: skip
"""What the result of a function is bounded by."""
LIMITS = (
    (tokens, "MAX_STATEMENT", "characters of a statement"),
    (tokens, "MAX_TOKENS", "words and marks of a statement"),
    (tokens, "MAX_NESTING", "how deep brackets, CASE and EXISTS nest"),
    (tokens, "MAX_CASES", "how deep CASE nests"),
    (parse, "MAX_HEIGHT", "operators strung together"),
    (expressions, "MAX_DIGITS", "digits of a whole number"),
    (growth, "MAX_VALUE", "elements and characters of one value"),
    (growth, "MAX_GIVEN", "elements of one value that is given back"),
    (growth, "MAX_GROWN", "elements and characters that growing values have, all rows together"),
    (growth, "MAX_WORK", "elements that functions look at one by one"),
    (growth, "MAX_UNWOUND", "rows that UNWIND makes of lists of known length"),
    (growth, "MAX_HOPS", "hops of an edge of variable length"),
    (names, "MAX_NAME", "characters of a name that a user gives"),
)
TIME = """
A read has a time limit (`graph_timeout`, or `timeout=`), a limit of rows, and may take `graph_memory_bytes` of memory
beyond the buffer pool. These three take effect between an engine's steps; the limits above bound what one step may do.
Numbers that decide over a length must be known: literals, parameters, or bounded by `x % 1000`.
"""


def made() -> str:
    """The page."""
    by_growth: dict[Growth, list[str]] = {}
    for name, kind in FUNCTIONS.items():
        by_growth.setdefault(kind, []).append(code(name.lower()))
    functions = [(", ".join(sorted(names_of)), GROWTH[kind]) for kind, names_of in by_growth.items()]
    return page(
        "Cypher",
        ABOUT,
        "## Rules",
        table(("rule", "what it says"), [(code(rule), said(text, rule)) for rule, text in rules.RULES.items()]),
        "## Limits",
        table(("limit", "at most"), [(about, f"{getattr(module, name):,}") for module, name, about in LIMITS]),
        TIME,
        "## Functions",
        "Besides `cast`, `exists`, `count`, `any`, `all`, `none` and `single`; and what bounds the result of each:",
        table(("functions", "the result is"), functions),
        f"CALL calls {', '.join(sorted(code(name.lower()) for name in PROCEDURES))}.",
        "## Writes",
        said(order.__doc__, "order"),
        f"Columns have the types {', '.join(sorted(map(code, writes.TYPES)))}, and lists of them, but for `BLOB`. "
        "The clock is read once: `current_timestamp()` and `current_date()` are the parameter "
        f"`${writes.NOW}` of the statement that is logged.",
        "## Names",
        "These words are names only within backticks: " + ", ".join(sorted(map(code, names.RESERVED))) + ".",
    )
