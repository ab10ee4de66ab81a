"""The sources of Python modules, found by the import system's finders. No module is imported or run."""

from __future__ import annotations

import importlib.abc
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, cast

MAX_SOURCE = 4 << 20
"""The largest source that is read, in characters: a module of that size is generated tables."""

MAX_DEPTH = 12
"""Packages deeper than this are taken for a loop of links on the disk."""


@dataclass(frozen=True, slots=True)
class Source:
    """A module's source.

    Attributes:
        name: of the module. text: its source. package: whether it is a package, for relative imports.
        file: where it stands.
    """

    name: str
    text: str
    package: bool
    file: str


class NoSourceError(Exception):
    """There is no source to read; `code` and the text say why."""

    def __init__(self, code: str, why: str) -> None:
        self.code = code
        super().__init__(why)


def find(name: str) -> ModuleSpec | None:
    """The module's specification. Unlike `importlib.util.find_spec` it doesn't run the packages above it."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    spec: ModuleSpec | None = None
    for depth in range(1, len(parts) + 1):
        path = None if depth == 1 else (spec.submodule_search_locations if spec else None)
        if depth > 1 and path is None:
            return None
        spec = _find_one(".".join(parts[:depth]), path)
    return spec


def _find_one(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    # The path finder first: it gives the files of modules that Python itself carries frozen, like `os`.
    for finder in (PathFinder, *sys.meta_path):
        try:
            spec: ModuleSpec | None = cast(Any, finder).find_spec(name, path)
        except (ImportError, AttributeError, ValueError, OSError):
            continue
        if spec is not None:
            return spec
    return None


def below(name: str, *, private: bool) -> Iterator[str]:
    """The module's own name, and those of the modules in it if it is a package; private ones if asked for."""
    yield name
    spec = find(name)
    places = spec.submodule_search_locations if spec else None
    if not places or name.count(".") >= MAX_DEPTH:
        return
    for found in sorted(pkgutil.iter_modules(list(places)), key=lambda found: found.name):
        if private or not found.name.startswith("_"):
            yield from below(f"{name}.{found.name}", private=private)


def read(name: str) -> Source:
    """The module's source.

    Raises:
        NoSourceError: there is none, or it can't be read.
    """
    spec = find(name)
    if spec is None:
        raise NoSourceError("not_found", "no such module is installed")
    loader = spec.loader
    if not isinstance(loader, importlib.abc.InspectLoader):
        raise NoSourceError("no_source", f"its loader gives no source ({type(loader).__name__})")
    try:
        text = loader.get_source(name)
    except (ImportError, OSError, SyntaxError, UnicodeDecodeError) as error:
        raise NoSourceError("unreadable", f"its source can't be read: {error}") from None
    if text is None:
        kind = "it is built in" if spec.origin == "built-in" else "it is compiled"
        raise NoSourceError("no_source", f"{kind} ({spec.origin})")
    if len(text) > MAX_SOURCE:
        raise NoSourceError("too_large", f"{len(text):,} characters; at most {MAX_SOURCE:,} are read")
    return Source(name, text, spec.submodule_search_locations is not None, spec.origin or name)
