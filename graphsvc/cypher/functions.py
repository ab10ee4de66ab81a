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
        ABS ACOS ASIN ATAN ATAN2 AVG CBRT CEIL CEILING CENTURY COS COT COUNT COUNT_IF
        DATE_PART DATEPART DEGREES EVEN EXP FACTORIAL FLOOR GAMMA LGAMMA LN LOG LOG10 LOG2 OCTET_LENGTH PI
        POW RADIANS ROUND SIGN SIN SQRT SUM TAN TO_DOUBLE TO_FLOAT TO_INT128 TO_INT16 TO_INT32 TO_INT64 TO_INT8
        TO_UINT16 TO_UINT32 TO_UINT64 TO_UINT8 TO_EPOCH_MS
    """,
    # a value of bounded size: a time, a truth, a checksum
    "bounded": """
        ARRAY_COSINE_SIMILARITY ARRAY_CROSS_PRODUCT ARRAY_DISTANCE ARRAY_DOT_PRODUCT ARRAY_INNER_PRODUCT
        ARRAY_SQUARED_DISTANCE CONTAINS CURRENT_DATE CURRENT_TIMESTAMP DATE DATE_TRUNC DATETRUNC DAYNAME DURATION
        ENDS_WITH EPOCH_MS GEN_RANDOM_UUID HASH ID INTERVAL IS_ACYCLIC IS_TRAIL
        LABEL LABELS LAST_DAY MAKE_DATE MD5 MONTHNAME OFFSET PREFIX
        REGEXP_FULL_MATCH REGEXP_MATCHES SHA256 STARTS_WITH SUFFIX TIMESTAMP TO_BOOL TO_DATE TO_DAYS TO_HOURS
        TO_INTERVAL TO_MICROSECONDS TO_MILLISECONDS TO_MINUTES TO_MONTHS TO_SECONDS TO_TIMESTAMP TO_UUID TO_YEARS
        TYPEOF UUID
    """,
    # no more than the largest of what it is given
    "same": """
        ARRAY_EXTRACT ARRAY_SLICE BLOB COALESCE DECODE ELEMENT_AT ENCODE END_NODE GREATEST IFNULL KEYS LCASE
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

CRASHES = {"COST": "cost of a path ends the process"}
"""Functions that end the process on an engine, and how that is said."""
WRONG = {"INITCAP": "initcap cuts characters apart: of 'ß' it makes what is no text"}
"""Functions that an engine answers wrongly, and how that is said."""
HOLDING = frozenset({
    "LABEL", "LABELS", "KEYS", "ID", "NODES", "RELS", "RELATIONSHIPS", "PROPERTIES", "START_NODE", "END_NODE", "LENGTH",
    "SIZE", "CARDINALITY", "COUNT", "COUNT_IF", "COLLECT", "IS_TRAIL", "IS_ACYCLIC", "OFFSET", "HASH", "LIST_CREATION",
    "LIST_APPEND", "LIST_PREPEND", "LIST_CONCAT", "LIST_CAT", "LIST_EXTRACT", "LIST_ELEMENT", "LIST_SLICE",
    "LIST_REVERSE", "LIST_CONTAINS", "LIST_HAS", "LIST_POSITION", "LIST_INDEXOF", "LIST_TRANSFORM", "LIST_FILTER",
    "STRUCT_EXTRACT", "SLICE", "=", "<>", "IN", "IS NULL", "IS NOT NULL", "NOT", "+", "CASE",
})  # fmt: skip
"""Functions and operators that a write may give nodes, edges and paths: what comes of it holds no internal id but
within such an element itself, and none hangs on one. Those of `PLACE` have a rule of their own."""

_KINDS = {
    "text": """
        CONCAT_WS DAYNAME DECODE LABEL LCASE LEFT LIST_TO_STRING LOWER LPAD LTRIM MD5 MONTHNAME REGEXP_EXTRACT
        REGEXP_REPLACE REPEAT RIGHT RPAD RTRIM SHA256 SPLIT_PART STRING SUBSTR SUBSTRING TO_STRING TOLOWER TOUPPER TRIM
        TYPEOF UCASE UPPER
    """,
    "list": """
        ARRAY_APPEND ARRAY_CAT ARRAY_CONCAT ARRAY_PREPEND ARRAY_PUSH_BACK ARRAY_PUSH_FRONT ARRAY_SLICE
        COLLECT KEYS LIST_APPEND LIST_CAT LIST_CONCAT LIST_CREATION LIST_DISTINCT LIST_PREPEND LIST_REVERSE
        LIST_REVERSE_SORT LIST_SLICE LIST_SORT MAP_KEYS MAP_VALUES NODES RANGE REGEXP_EXTRACT_ALL REGEXP_SPLIT_TO_ARRAY
        RELATIONSHIPS RELS STRING_SPLIT STRING_TO_ARRAY STR_SPLIT
    """,
    "time": "CURRENT_DATE CURRENT_TIMESTAMP DATE EPOCH_MS LAST_DAY MAKE_DATE TIMESTAMP TO_DATE TO_TIMESTAMP",
    "interval": """
        DURATION INTERVAL TO_DAYS TO_HOURS TO_INTERVAL TO_MICROSECONDS TO_MILLISECONDS TO_MINUTES TO_MONTHS TO_SECONDS
        TO_YEARS
    """,
    "node": "START_NODE END_NODE",
    "id": "ID",
    "array": "ARRAY_CROSS_PRODUCT ARRAY_VALUE",
    "number": """
        SIZE LENGTH CARDINALITY LEVENSHTEIN LIST_POSITION LIST_INDEXOF ARRAY_POSITION ARRAY_INDEXOF LIST_UNIQUE OFFSET
    """,
    "other": """
        ARRAY_CONTAINS ARRAY_HAS CONTAINS ENDS_WITH GEN_RANDOM_UUID IS_ACYCLIC IS_TRAIL LIST_CONTAINS LIST_HAS
        LIST_HAS_ALL PREFIX REGEXP_FULL_MATCH REGEXP_MATCHES STARTS_WITH SUFFIX TO_BOOL TO_UUID UUID BLOB TO_BLOB ENCODE
    """,
}
GIVES = {name: kind for kind, names in _KINDS.items() for name in names.split()}
"""What kind of value a function surely gives."""
PASSES = frozenset({"COALESCE", "GREATEST", "IFNULL", "LEAST", "MAX", "MIN", "NULLIF", "LIST_ANY_VALUE", "LIST_ELEMENT",
    "LIST_EXTRACT", "ARRAY_EXTRACT"})  # fmt: skip
"""Functions that give one of their arguments, or an element of it."""
ELEMENTS = frozenset({"LIST_ANY_VALUE", "LIST_ELEMENT", "LIST_EXTRACT", "ARRAY_EXTRACT"})
LENGTHS = frozenset({"SIZE", "CARDINALITY", "LENGTH"})

PROCEDURES = frozenset({"SHOW_TABLES", "TABLE_INFO", "SHOW_CONNECTION", "SHOW_FUNCTIONS", "SHOW_INDEXES", "DB_VERSION"})
"""What CALL may call: they tell of the schema."""

ALGORITHMS = frozenset({
    "PROJECT_GRAPH", "DROP_PROJECTED_GRAPH", "PAGE_RANK", "LOUVAIN", "WEAKLY_CONNECTED_COMPONENTS",
    "STRONGLY_CONNECTED_COMPONENTS", "STRONGLY_CONNECTED_COMPONENTS_KOSARAJU", "K_CORE_DECOMPOSITION",
})  # fmt: skip
"""What CALL may call in statements of the program's own, too. A user's go through `memory.graph`."""
