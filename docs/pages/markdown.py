"""What the pages are put together from: titles, tables, docstrings as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

NOTICE = "<!-- Written by docs/generate.py from the code: edit there, then run `make docs`. -->\n"
_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes):\n", re.MULTILINE)
_NAMED = re.compile(r"(?:^|(?<=[.!?;:] ))(\w+(?:, \w+)*): ")


class UndescribedError(Exception):
    """Something public says nothing about itself."""


def said(text: str | None, what: str) -> str:
    """The description, which must be there."""
    if not text or not text.strip():
        raise UndescribedError(f"{what} has no description")
    return inspect.cleandoc(text)


def page(title: str, *parts: str) -> str:
    """A page: its title, and its parts with a line between."""
    return "\n\n".join([NOTICE + f"# {title}", *(part.strip("\n") for part in parts if part)]) + "\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    body = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *body)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def code(text: str) -> str:
    """Text as code within a line; nothing for nothing."""
    return f"`{text}`" if text else ""


def sections(docstring: str) -> tuple[str, dict[str, str]]:
    """The text before the first section (Args, Returns, …), and each section's text as one line."""
    parts = _SECTION.split(docstring)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    return parts[0].strip(), {title: " ".join(body.split()) for title, body in bodies.items()}


def entries(text: str, known: set[str]) -> str:
    """A section as a list: `name: meaning. other: meaning.` parted at the names that are known."""
    places = [match for match in _NAMED.finditer(text) if set(match[1].split(", ")) <= known]
    if not places:
        return text
    head = text[: places[0].start()].strip()
    items = [head, ""] if head else []
    for match, end in zip(places, [*(match.start() for match in places[1:]), len(text)], strict=True):
        names = ", ".join(code(name) for name in match[1].split(", "))
        items.append(f"- {names}: {text[match.end() : end].strip()}")
    return "\n".join(items)
