"""Options that several commands share, and those made from a record's declaration."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable
from typing import Annotated, Any, Literal, get_args

import typer

from graphsvc.cli.shell import parsed
from graphsvc.model.kinds import KINDS, Field

FILTER = '\'{"success": false, "reward": {"lt": 0.5}}\''
_TYPES: dict[str, Any] = {
    "name": str | None, "text": str | None, "time": str | None, "metadata": str | None, "float": float | None,
    "int": int | None, "bool": bool | None, "tags": list[str] | None,
}  # fmt: skip
_HINTS = {"time": " ISO 8601 with a zone.", "tags": " Give it several times.", "metadata": " A JSON object."}

Where = Annotated[str | None, typer.Option("--where", metavar="JSON", help=f"Filter, like {FILTER}.")]
Agent = Annotated[str | None, typer.Option("--agent", help="Only this namespace.")]
ManyAgents = Annotated[list[str] | None, typer.Option("--agent", help="Only this namespace; give it several times.")]
K = Annotated[int, typer.Option("-k", min=1, help="How many at most.")]
Mode = Annotated[
    Literal["blend", "vector", "text", "rrf"], typer.Option(help="By meaning and words, or one of them.")
]
Order = Annotated[Literal["newest", "oldest", "id"], typer.Option(help="What comes first.")]
Id = Annotated[str, typer.Argument(help="Its id.")]
Ids = Annotated[list[str], typer.Argument(help="Ids.")]
MaxAge = Annotated[str | None, typer.Option("--max-age", metavar="30d", help="Those older: 90s, 12h, 30d, 2w.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing, only tell.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it can be searched.")]
Clear = Annotated[list[str] | None, typer.Option("--clear", metavar="FIELD", help="Take a field's value away.")]


def filtered(where: str | None, name: str = "--where") -> Any:
    """The filter that an option says."""
    return parsed(where, name, FILTER)


def agents(names: list[str] | None) -> list[str] | None:
    """Namespaces to look in; None for all."""
    return list(names) if names else None


def of_record(kind: str, *, only: Iterable[str] = (), required: Collection[str] = ()) -> list[inspect.Parameter]:
    """An option for each field of a record, its help the field's description."""
    known = KINDS[kind].fields
    return [_option(known[name], name in required) for name in (only or known)]


def _option(field: Field, required: bool) -> inspect.Parameter:
    flag = field.name.replace("_", "-")
    declared = f"--{flag}/--no-{flag}" if field.type == "bool" else f"--{flag}"
    metavar = "JSON" if field.type == "metadata" else "TIME" if field.type == "time" else None
    help = field.description + _HINTS.get(field.type, "")
    if required:
        kind = _TYPES[field.type]
        annotation: Any = Annotated[next(iter(get_args(kind)), kind), typer.Option(declared, help=help)]
        default: Any = inspect.Parameter.empty
    else:
        annotation = Annotated[_TYPES[field.type], typer.Option(declared, help=help, metavar=metavar)]
        default = None
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def given(values: dict[str, Any], clear: list[str] | None = None) -> dict[str, Any]:
    """The field values that were given, metadata parsed; fields to clear are null."""
    known = {name: value for name, value in values.items() if value is not None and value != []}
    if "metadata" in known:
        known["metadata"] = parsed(known["metadata"], "--metadata", '\'{"region": "eu"}\'')
    return {**known, **dict.fromkeys(clear or ())}
