"""The settings, from `graphsvc.config.Settings`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

from graphsvc import config
from graphsvc.config import PREFIX, SERVICE_PREFIX, ServiceSettings, Settings

from .markdown import code, page, said, table


def made() -> str:
    """The page."""
    return page(
        "Settings",
        said(config.__doc__, "config"),
        "Of a memory, all are options of `graphsvc.open`, too: `graphsvc.open(path, readers=8)`.",
        said(Settings.__doc__, "Settings"),
        _listed(Settings, PREFIX),
        "## The service",
        said(ServiceSettings.__doc__, "ServiceSettings"),
        _listed(ServiceSettings, SERVICE_PREFIX),
    )


def _listed(kind: type[Settings] | type[ServiceSettings], prefix: str) -> str:
    hints = get_type_hints(kind)
    rows = []
    for setting in fields(kind):
        meaning = said(setting.metadata["doc"], f"the setting {setting.name}")
        if setting.metadata["choices"]:
            meaning += f" One of {', '.join(map(code, setting.metadata['choices']))}."
        if setting.metadata["least"] is not None:
            meaning += f" At least {_number(setting.metadata['least'])}."
        names = code(setting.name), code(prefix + setting.name.upper())
        rows.append((*names, hints[setting.name].__name__, _default(setting.default), meaning))
    return table(("name", "environment variable", "type", "default", "meaning"), rows)


def _default(value: Any) -> str:
    if value == "":
        return "empty"
    if isinstance(value, bool):
        return code(str(value).lower())
    exact, short = str(value), _number(value) if isinstance(value, int) else str(value)
    return code(exact) if exact == short else f"{code(exact)} ({short})"


def _number(value: float) -> str:
    """Large round numbers of bytes in a unit that reads well."""
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        count = int(value) >> shift
        if count and count << shift == value:
            return f"{count} {unit}"
    return f"{value:g}"
