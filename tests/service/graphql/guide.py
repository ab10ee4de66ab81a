"""The queries of docs/graphql.md: run against the memory that the page makes, compared with what it shows.

python -m tests.service.graphql.guide        writes what each gives into the page
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from graphql import graphql

import graphsvc
from graphsvc.service.access import Caller
from graphsvc.service.gate import Gate
from graphsvc.service.graphql.context import Context
from graphsvc.service.graphql.schema import Schemas
from graphsvc.service.operations import Role

PAGE = Path(__file__).parents[3] / "docs" / "graphql.md"
QUERY = re.compile(r"^```graphql\n(.*?)^```\n\n```json\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
MADE = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def answers(directory: Path) -> list[tuple[str, str, str]]:
    """Each query of the page, what the page shows, and what it gives."""
    text = PAGE.read_text(encoding="utf-8")
    before = Path.cwd()
    os.chdir(directory)
    try:
        for block in MADE.findall(text):
            exec(compile(block, str(PAGE), "exec"), {})
    finally:
        os.chdir(before)
    return asyncio.run(_asked(directory / "graphql-memory", QUERY.findall(text)))


async def _asked(directory: Path, queries: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    found = []
    async with graphsvc.aopen(directory, embedder="hashing") as memory:
        gate = Gate(memory)
        schemas, caller = Schemas(gate), Caller("reader of the page", Role.ADMIN)
        for query, shown in queries:
            first = query.splitlines()[0]
            variables: dict[str, Any] = json.loads(first[1:]) if first.startswith("# {") else {}
            context = Context(gate, caller)
            given = await graphql(schemas.of(caller), query, variable_values=variables, context_value=context)
            found.append((query, shown, written(given.formatted)))
    return found


def written(answer: Any) -> str:
    """An answer as the page shows it: what fits a line on a line."""

    def lines(value: Any, indent: int, room: int) -> str:
        plain = json.dumps(value, ensure_ascii=False)
        if len(plain) + indent <= room or not isinstance(value, dict | list) or not value:
            return plain
        inner = " " * (indent + 2)
        if isinstance(value, dict):
            parts = [f"{inner}{json.dumps(key)}: {lines(one, indent + 2, room)}" for key, one in value.items()]
            return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"
        return "[\n" + ",\n".join(inner + lines(one, indent + 2, room) for one in value) + "\n" + " " * indent + "]"

    return lines(answer, 0, 110) + "\n"


def main() -> None:
    """Write what each query gives."""
    with tempfile.TemporaryDirectory() as directory:
        given = iter(answers(Path(directory)))
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(QUERY.sub(lambda found: f"```graphql\n{found[1]}```\n\n```json\n{next(given)[2]}```\n", text), "utf-8")


if __name__ == "__main__":
    main()
