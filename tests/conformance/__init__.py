"""The conformance suite: openCypher statements with the rows that the specification gives for them."""

from __future__ import annotations

from . import aggregation, clauses, errors, expressions, lists, nulls, ordering, paths, reading, texts, times, writing
from .case import Case

SECTIONS: dict[str, list[Case]] = {
    module.__name__.rpartition(".")[2]: module.CASES
    for module in (
        reading, nulls, ordering, aggregation, paths, clauses, expressions, lists, texts, times, writing, errors,
    )
}  # fmt: skip
