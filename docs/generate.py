"""Writes `docs/reference/` from the code: settings, errors, commands, Python API, records, filters, queries; and the
GraphQL schema, `schema/schema.graphql`.

    python docs/generate.py            writes the pages
    python docs/generate.py --check    ends with 1, and says where, if a page isn't what it would write

Every description comes from where the thing is declared; something without one stops the run.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

from pages import commands, cypher, errors, filters, python, queries, records, settings
from pages.markdown import page

from graphsvc.service.graphql.schema import sdl

REFERENCE = Path(__file__).parent / "reference"
SDL = Path(__file__).parent.parent / "schema" / "schema.graphql"
PAGES = {
    "python.md": ("Python API: what can be called, with what, and what comes back", python.made),
    "commands.md": ("Commands: the same at a shell", commands.made),
    "filters.md": ("Filters: the language of `where`, and `graphsvc.F`", filters.made),
    "records.md": ("Records: fields of episodes, skills, entities, facts, causal edges, …", records.made),
    "settings.md": ("Settings: environment variables, defaults, meaning", settings.made),
    "errors.md": ("Errors: codes, and what to do", errors.made),
    "cypher.md": ("Cypher: what a statement may be, rule by rule", cypher.made),
    "queries.md": ("Queries: the Cypher that the program runs, and the schema", queries.made),
}


def reference() -> dict[str, str]:
    """Every page by its name."""
    listed = "\n".join(f"- [{about}]({name})" for name, (about, _) in PAGES.items())
    return {"README.md": page("Reference", listed), **{name: made() for name, (_, made) in PAGES.items()}}


def drift(pages: dict[str, str]) -> list[str]:
    """Lines that differ on disk from what would be written."""
    found: list[str] = []
    for name, text in pages.items():
        found += _differences(REFERENCE / name, text)
    strangers = [f"{path} is no page of the reference" for path in _strangers(pages)]
    return [*found, *strangers, *_differences(SDL, sdl({}))]


def _differences(path: Path, text: str) -> Iterator[str]:
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    return difflib.unified_diff(old.splitlines(), text.splitlines(), str(path), "the code", lineterm="", n=0)


def write(pages: dict[str, str]) -> None:
    """Make the directory hold these pages and no others."""
    REFERENCE.mkdir(exist_ok=True)
    for path in _strangers(pages):
        path.unlink()
    for name, text in pages.items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    SDL.parent.mkdir(exist_ok=True)
    SDL.write_text(sdl({}), encoding="utf-8")


def _strangers(pages: dict[str, str]) -> list[Path]:
    return sorted(path for path in REFERENCE.glob("*") if path.name not in pages)


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` compare them."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    pages = reference()
    if not arguments:
        write(pages)
        return 0
    differences = drift(pages)
    if differences:
        sys.stderr.write("\n".join([*differences[:60], "", "The reference is out of date: run `make docs`.\n"]))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
