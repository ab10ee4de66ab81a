"""Which function a call means: names followed through modules, imports and base classes, as far as text tells."""

from __future__ import annotations

from collections.abc import Mapping

from graphsvc.memory.importing.python_functions import Outline

MAX_STEPS = 64
"""Imports and base classes followed for one name; more is a circle."""


class Names:
    """What names mean over all modules of an import."""

    def __init__(self, outlines: Mapping[str, Outline]) -> None:
        self._outlines = outlines

    def function(self, call: str, module: str, owner: str) -> str | None:
        """The full name of what is called, `call` written as in `Function.calls`; None if the text doesn't tell.

        A name that leads out of the modules read is returned as it is: it may be in the memory from before.

        Args:
            module: where it is called. owner: the class whose method calls it; empty if none.
        """
        first, _, rest = call.partition(".")
        if first in ("self", "super") and owner:
            if "." in rest:
                return None  # an attribute's method: what the attribute is, the text doesn't say
            home = self._outlines[module]
            classes = self._bases(home, owner) if first == "super" else [(home, owner)]
            return next(filter(None, (self._method(*one, rest, MAX_STEPS) for one in classes)), None)
        return self._named(call, module, MAX_STEPS)

    def _named(self, name: str, module: str, steps: int) -> str | None:
        found = self._found(name, module, steps)
        if isinstance(found, str):
            return found
        return self._method(*found, "__init__", steps) if found else None

    def _found(self, name: str, module: str, steps: int) -> str | tuple[Outline, str] | None:
        """The full name of a function, or a class as its module and qualified name."""
        if steps <= 0:
            return None
        if name.startswith("."):
            outline: Outline | None = self._outlines[module]
            parts = name[1:].split(".")
        else:
            outline, parts = self._split(name)
        if outline is None:
            return name
        if not parts:
            return None
        qualname = ".".join(parts)
        if qualname in outline.functions:
            return f"{outline.name}.{qualname}"
        if qualname in outline.classes:
            return outline, qualname
        owner = ".".join(parts[:-1])
        if owner in outline.classes:
            return self._method(outline, owner, parts[-1], steps - 1)
        return self._elsewhere(outline, parts, steps - 1)

    def _elsewhere(self, outline: Outline, parts: list[str], steps: int) -> str | tuple[Outline, str] | None:
        """A name that the module has from another one."""
        if parts[0] in outline.imports:
            target = ".".join([outline.imports[parts[0]], *parts[1:]])
            return self._found(target, outline.name, steps)
        for star in outline.stars:
            if star in self._outlines:
                found = self._found(".".join([star, *parts]), outline.name, steps)
                if found is not None:
                    return found
        return None

    def _split(self, name: str) -> tuple[Outline | None, list[str]]:
        """The module that a full name begins with, the longest that was read, and what stands behind it."""
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            outline = self._outlines.get(".".join(parts[:length]))
            if outline is not None:
                return outline, parts[length:]
        return None, parts

    def _bases(self, outline: Outline, name: str, steps: int = MAX_STEPS) -> list[tuple[Outline, str]]:
        found = (self._found(base, outline.name, steps) for base in outline.classes.get(name, ()))
        return [base for base in found if isinstance(base, tuple)]

    def _method(self, outline: Outline, owner: str, name: str, steps: int) -> str | None:
        """A method of a class or, depth first, of the classes above it."""
        if steps <= 0:
            return None
        if f"{owner}.{name}" in outline.functions:
            return f"{outline.name}.{owner}.{name}"
        for base in self._bases(outline, owner, steps - 1):
            method = self._method(*base, name, steps - 8)
            if method is not None:
                return method
        return None
