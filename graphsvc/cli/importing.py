"""`graphsvc import …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from graphsvc.cli import records
from graphsvc.cli.options import DryRun
from graphsvc.cli.output import Answer, fields, table
from graphsvc.cli.shell import FAILED, Shell, command
from graphsvc.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphsvc.memory.importing import ImportReport
    from graphsvc.memory.memory import Memory

importing = typer.Typer(
    no_args_is_help=True, help="Bring in another memory, episodes from JSON Lines, or skills from Python modules."
)

SHOWN = 20
"""Skipped items that are shown to people; `--json` names up to a thousand."""

_Agent = Annotated[str | None, typer.Option("--agent", help="Namespace of what names none.")]
_Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until all of it can be searched by meaning.")]
_Batch = Annotated[int, typer.Option(min=1, help="So many are stored together.")]


def _run(shell: Shell, wait: bool, job: Callable[[Memory, Any], ImportReport]) -> Answer:
    """Import with a bar, wait if asked to, and show the report."""
    with shell.open() as memory:
        with shell.bar("Importing") as show:
            report = job(memory, lambda share, so_far: show(share, f"{so_far.read:,} read"))
        if wait and not report.dry_run:
            with shell.watching(memory, "Embedding"):
                memory.progress(lambda lag: None)
    code = FAILED if report.in_vain else 0
    return Answer(report.as_dict(), records.printed(*_shown(report)), code)


def _shown(report: ImportReport) -> list[Any]:
    counts = report.as_dict()
    names = ("read", "stored", "already", "revised", "links", "modules", "skipped_count", "seconds")
    title = "Would be imported (nothing was written)" if report.dry_run else "Imported"
    parts: list[Any] = [fields({name.replace("_count", ""): counts[name] for name in names if counts[name]}, title)]
    if report.skipped_by_code:
        parts.append(table("Skipped", ("why", "count"), sorted(report.skipped_by_code.items())))
    if "unknown_field" in report.skipped_by_code:
        parts.append("Map a key to a field by --field FIELD=KEY; keep the rest by --rest metadata.\n")
    if report.skipped:
        rows = ((one.place, one.code, one.why) for one in report.skipped[:SHOWN])
        more = len(report.skipped) - SHOWN
        parts.append(table("The first of them" if more > 0 else "", ("place", "code", "why"), rows))
    return parts


@command(importing, "jsonl", example="graphsvc import jsonl runs.jsonl.gz --field session=run_id --rest metadata")
def jsonl(
    shell: Shell,
    source: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines, plain or gzip; - for standard input.")],
    field: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=KEY", help="The file's key for an episode's field.")
    ] = None,
    rest: Annotated[
        str, typer.Option(metavar="error|metadata|drop", help="What becomes of keys that are no field.")
    ] = "error",
    agent: _Agent = None,
    dry_run: DryRun = False,
    batch: _Batch = 500,
    wait: _Wait = True,
) -> Answer:
    """Store the episodes of a JSON Lines file, an object a line. May be repeated: nothing is stored twice."""
    from graphsvc.memory.importing import import_jsonl

    mapped = _mapped(field)
    return _run(shell, wait, lambda memory, progress: import_jsonl(
        memory, source, fields=mapped, rest=cast(Any, rest), agent=agent, dry_run=dry_run, batch=batch,
        progress=progress,
    ))  # fmt: skip


def _mapped(pairs: list[str] | None) -> dict[str, str]:
    mapped = {}
    for pair in pairs or ():
        name, sign, key = pair.partition("=")
        if not sign or not key or not name:
            raise BadInput(f"expected FIELD=KEY, got {pair!r}", where="--field", hint="Like --field session=run_id.")
        if name in mapped:
            raise BadInput(f"{name!r} is mapped twice", where="--field")
        mapped[name] = key
    return mapped


@command(importing, "python", example="graphsvc import python json argparse asyncio")
def python(
    shell: Shell,
    modules: Annotated[list[str], typer.Argument(metavar="MODULE…", help="Names of installed modules or packages.")],
    submodules: Annotated[bool, typer.Option("--submodules/--no-submodules", help="Also what packages hold.")] = True,
    private: Annotated[bool, typer.Option("--private", help="Also names that begin with an underscore.")] = False,
    agent: _Agent = None,
    dry_run: DryRun = False,
    batch: _Batch = 500,
    wait: _Wait = True,
) -> Answer:
    """Make a skill of each function of Python modules, linked to what it calls. The modules aren't run."""
    from graphsvc.memory.importing import import_python

    return _run(shell, wait, lambda memory, progress: import_python(
        memory, modules, submodules=submodules, private=private, agent=agent, dry_run=dry_run, batch=batch,
        progress=progress,
    ))  # fmt: skip


@command(importing, "memory", example="graphsvc import memory ./copy")
def whole(
    shell: Shell,
    source: Annotated[str, typer.Argument(metavar="PATH", help="The directory that `graphsvc export` made.")],
    dry_run: DryRun = False,
    batch: _Batch = 500,
    wait: _Wait = True,
) -> Answer:
    """Take in what another memory exported: ids, times, statistics and links as they were. May be repeated."""
    from graphsvc.memory.importing import import_memory

    return _run(shell, wait, lambda memory, progress: import_memory(
        memory, source, dry_run=dry_run, batch=batch, progress=progress
    ))  # fmt: skip
