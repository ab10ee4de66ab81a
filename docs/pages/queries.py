"""The Cypher that the program runs, from `queries/` and `schema/`."""

from __future__ import annotations

from pathlib import Path

from graphsvc.config import resource
from graphsvc.store.queries import Query, every_query

from .markdown import code, page, said

ABOUT = """
Every Cypher statement that the program runs is a file in `queries/`, with a header that says what it takes and gives.
One for tables stands for a statement for each of the memory's own tables: `<…>` is filled in with names that the model
declares. Values are always parameters.
"""
SCHEMA = "The graph's own tables are made by numbered migrations in `schema/`; each runs once."


def made() -> str:
    """The page."""
    migrations = sorted(resource("schema").glob("*.cypher"))
    return page("Queries", ABOUT, *map(_query, every_query()), "## Schema", SCHEMA, *map(_migration, migrations))


def _query(query: Query) -> str:
    lines = [f"## {query.name}", said(query.about, f"queries/{query.name}.cypher")]
    facts = [f"For each {query.scope}."] if query.scope else []
    for word, sign, types in (("Takes", "$", query.params), ("Gives", "", query.columns)):
        if types:
            facts.append(f"{word} {', '.join(f'{code(sign + name)} {type}' for name, type in types.items())}.")
    return "\n\n".join([*lines, " ".join(facts), f"```cypher\n{query.text}\n```"])


def _migration(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = " ".join(line.removeprefix("//").strip() for line in lines if line.startswith("//"))
    body = "\n".join(line for line in lines if not line.startswith("//")).strip()
    return f"### {path.name}\n\n{said(head, path.name)}\n\n```cypher\n{body}\n```"
