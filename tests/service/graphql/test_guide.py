"""docs/graphql.md shows what its queries give."""

from __future__ import annotations

import re
from pathlib import Path

from .guide import PAGE, answers


def test_every_query_of_the_guide_gives_what_it_shows(tmp_path: Path) -> None:
    given = answers(tmp_path)
    assert len(given) == len(re.findall(r"^```graphql$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)) >= 20
    for query, shown, found in given:
        assert shown == found, query
