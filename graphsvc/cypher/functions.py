"""The functions that a statement may call: what each returns is bounded by, and whether a replay gives the same.

Both engines know several hundred. Of those that aren't here some crash the process (`cost`), keep state
(`nextval`, `setseed`), or are new and untried. What one engine lacks neither has.
"""

from __future__ import annotations

from typing import Literal

Growth = Literal[
    "number", "bounded", "same", "sum", "product", "text", "range", "repeat", "pad", "scan", "compare", "each",
    "filter", "reduce", "collect",
]  # fmt: skip

_BY_GROWTH: dict[Growth, str] = {
    # a number, of whatever it is given
    "number": """
        ABS ACOS ASIN ATAN ATAN2 AVG BITWISE_AND BITWISE_OR BITWISE_XOR CBRT CEIL CEILING CENTURY COS COT COUNT COUNT_IF
        DATE_PART DATEPART DEGREES EVEN EXP FACTORIAL FLOOR GAMMA LGAMMA LN LOG LOG10 LOG2 NEGATE OCTET_LENGTH PI
        POW RADIANS ROUND SIGN SIN SQRT SUM TAN TO_DOUBLE TO_FLOAT TO_INT128 TO_INT16 TO_INT32 TO_INT64 TO_INT8
        TO_UINT16 TO_UINT32 TO_UINT64 TO_UINT8 TO_EPOCH_MS
    """,
    # a value of bounded size: a time, a truth, a checksum
    "bounded": """
        ARRAY_COSINE_SIMILARITY ARRAY_CROSS_PRODUCT ARRAY_DISTANCE ARRAY_DOT_PRODUCT ARRAY_INNER_PRODUCT
        ARRAY_SQUARED_DISTANCE CONTAINS CURRENT_DATE CURRENT_TIMESTAMP DATE DATE_TRUNC DATETRUNC DAYNAME DURATION
        ENDS_WITH EPOCH_MS EQUALS GEN_RANDOM_UUID GREATER_THAN GREATER_THAN_EQUALS HASH ID INTERVAL IS_ACYCLIC IS_TRAIL
        LABEL LABELS LAST_DAY LESS_THAN LESS_THAN_EQUALS MAKE_DATE MD5 MONTHNAME NOT_EQUALS OFFSET PREFIX
        REGEXP_FULL_MATCH REGEXP_MATCHES SHA256 STARTS_WITH SUFFIX TIMESTAMP TO_BOOL TO_DATE TO_DAYS TO_HOURS
        TO_INTERVAL TO_MICROSECONDS TO_MILLISECONDS TO_MINUTES TO_MONTHS TO_SECONDS TO_TIMESTAMP TO_UUID TO_YEARS
        TYPEOF UUID
    """,
    # no more than the largest of what it is given
    "same": """
        ARRAY_EXTRACT ARRAY_SLICE BLOB COALESCE DECODE ELEMENT_AT ENCODE END_NODE GREATEST IFNULL INITCAP KEYS LCASE
        LEAST LEFT LIST_ANY_VALUE LIST_ELEMENT LIST_EXTRACT LIST_REVERSE LIST_SLICE LOWER LTRIM MAP_EXTRACT MAP_KEYS
        MAP_VALUES MAX MIN NODES NULLIF PROPERTIES RELATIONSHIPS RELS REVERSE RIGHT RTRIM SPLIT_PART START_NODE
        STRUCT_EXTRACT SUBSTR SUBSTRING TO_BLOB TOLOWER TOUPPER TRIM UCASE UPPER REGEXP_EXTRACT REGEXP_EXTRACT_ALL
        REGEXP_SPLIT_TO_ARRAY STRING_SPLIT STRING_TO_ARRAY STR_SPLIT
    """,
    # the same, but every element is looked at: counted as work
    "scan": """
        ARRAY_CONTAINS ARRAY_HAS ARRAY_INDEXOF ARRAY_POSITION CARDINALITY LIST_CONTAINS LIST_DISTINCT LIST_HAS
        LIST_INDEXOF LIST_POSITION LIST_PRODUCT LIST_REVERSE_SORT LIST_SORT LIST_SUM LIST_UNIQUE SIZE LENGTH
    """,
    # every element of one is looked at for each of the other: the product is work
    "compare": "LEVENSHTEIN LIST_HAS_ALL",
    # all that it is given, together
    "sum": """
        ARRAY_APPEND ARRAY_CAT ARRAY_CONCAT ARRAY_PREPEND ARRAY_PUSH_BACK ARRAY_PUSH_FRONT ARRAY_VALUE CONCAT
        LIST_APPEND LIST_CAT LIST_CONCAT LIST_CREATION LIST_PREPEND MAP STRUCT_PACK
    """,
    # every place may be replaced by all of another
    "product": "CONCAT_WS LIST_TO_STRING REGEXP_REPLACE",
    # a value as text
    "text": "STRING TO_STRING",
    "range": "RANGE",
    "repeat": "REPEAT",
    "pad": "LPAD RPAD",
    "each": "LIST_TRANSFORM",
    "filter": "LIST_FILTER",
    "reduce": "LIST_REDUCE",
    "collect": "COLLECT",
}

FUNCTIONS: dict[str, Growth] = {name: growth for growth, names in _BY_GROWTH.items() for name in names.split()}
"""Every function that may be called, in capitals, and how far its result may grow."""

AGGREGATES = frozenset({"AVG", "COLLECT", "COUNT", "COUNT_IF", "MAX", "MIN", "SUM"})
CLOCK = frozenset({"CURRENT_DATE", "CURRENT_TIMESTAMP"})
CHANCE = frozenset({"GEN_RANDOM_UUID"})
"""Evaluated anew for each row."""
PLACE = frozenset({"ID", "OFFSET", "HASH"})
"""Where a row lies, or a checksum of an engine's own: other after a rebuild, or on the other engine."""

CRASHES = {"COST": "cost of a path ends the process on both engines"}
"""Functions that end the process, and how that is said."""

PROCEDURES = frozenset({"SHOW_TABLES", "TABLE_INFO", "SHOW_CONNECTION", "SHOW_FUNCTIONS", "SHOW_INDEXES", "DB_VERSION"})
"""What CALL may call: they tell of the schema."""

ALGORITHMS = frozenset({
    "PROJECT_GRAPH", "DROP_PROJECTED_GRAPH", "PAGE_RANK", "LOUVAIN", "WEAKLY_CONNECTED_COMPONENTS",
    "STRONGLY_CONNECTED_COMPONENTS", "STRONGLY_CONNECTED_COMPONENTS_KOSARAJU", "K_CORE_DECOMPOSITION",
})  # fmt: skip
"""What CALL may call in statements of the program's own, too. A user's go through `memory.graph`."""
