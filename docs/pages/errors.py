"""The errors, from `graphsvc.errors`."""

from __future__ import annotations

from graphsvc.errors import GraphsvcError, every_error

from .markdown import code, entries, page, said, sections, table

ABOUT = """
Every error that graphsvc raises on purpose is a `graphsvc.GraphsvcError`; all classes are in `graphsvc.errors`. Its
text is `[code] where: what. hint`; `as_dict()` gives it as data, as the command line prints it with `--json`.
"""


def made() -> str:
    """The page."""
    attributes = sections(said(GraphsvcError.__doc__, "GraphsvcError"))[1]["Attributes"]
    rows = []
    for kind in every_error():
        depth = kind.__mro__.index(GraphsvcError)
        about, more = sections(said(kind.__doc__, f"the error {kind.__name__}"))
        if kind is not GraphsvcError and "Attributes" in more:
            name, _, meaning = more["Attributes"].rstrip(".").partition(": ")
            about += f" It has `{name}`, {meaning}."
        rows.append((code(kind.code), "– " * max(0, depth - 1) + code(kind.__name__), about,
                     "yes" if kind.retryable else "no", kind.default_hint or "comes with the error"))  # fmt: skip
    return page(
        "Errors",
        ABOUT,
        entries(attributes, set(GraphsvcError.__annotations__) | {"where", "hint"}),
        "A class with a dash is a kind of the one above it.",
        table(("code", "class", "meaning", "retryable", "hint"), rows),
    )
