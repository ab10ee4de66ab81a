"""`graphsvc import …`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphsvc.cli import records
from graphsvc.cli.options import DryRun
from graphsvc.cli.output import Answer, fields, table
from graphsvc.cli.shell import FAILED, Shell, command
from graphsvc.errors import BadInput
from graphsvc.model.kinds import KINDS
from graphsvc.model.texts import words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphsvc.memory.importing import ImportReport
    from graphsvc.memory.memory import Memory

importing = typer.Typer(
    no_args_is_help=True,
    help="Bring in another memory, episodes from JSON Lines, or skills from Python modules.",
    epilog="Example: graphsvc import jsonl runs.jsonl --field session=run_id --rest metadata --dry-run",
)

ALWAYS = ("read", "stored", "seconds")
SHOWN = 20
"""Skipped items that are shown to people; `--json` names up to a thousand."""

_Agent = Annotated[str | None, typer.Option("--agent", help="Namespace of what names none.")]
_Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until all of it can be searched by meaning.")]
_Batch = Annotated[int, typer.Option(min=1, help="So many are stored together.")]


def _run(shell: Shell, wait: bool, job: Callable[[Memory, Any], ImportReport], *, strict: bool = False) -> Answer:
    """Import with a bar, wait if asked to, and show the report.

    It fails where nothing could be taken; `strict`, where anything couldn't.
    """
    with shell.open() as memory:
        with shell.bar("Importing") as show:
            report = job(memory, lambda share, so_far: show(share, f"{so_far.read:,} read"))
        if wait and not report.dry_run:
            with shell.watching(memory, "Embedding"):
                memory.progress(lambda lag: None)
    code = FAILED if report.in_vain or (strict and report.skipped_count) else 0
    return Answer(report.as_dict(), records.printed(*_shown(report)), code)


def _shown(report: ImportReport) -> list[Any]:
    counts = report.as_dict()
    names = ("read", "stored", "already", "revised", "links", "modules", "retired", "skipped_count", "seconds")
    title = "Would be imported (nothing was written)" if report.dry_run else "Imported"
    told = {name.replace("_count", ""): counts[name] for name in names if counts[name] or name in ALWAYS}
    parts: list[Any] = [fields(told, title)]
    if report.vanished:
        parts.append(table("No longer in their modules", ("skill",), ((id,) for id in report.vanished[:SHOWN])))
        more = len(report.vanished) - SHOWN
        parts += [f"… and {more:,} more"] * (more > 0)
        parts += ["They stay as they are; --retire deletes them.\n"] * (not report.retired)
    if report.skipped_by_code:
        parts.append(table("Skipped", ("why", "count"), sorted(report.skipped_by_code.items())))
    parts += _advice(report)
    if report.skipped:
        rows = ((one.place, one.code, one.why) for one in report.skipped[:SHOWN])
        more = len(report.skipped) - SHOWN
        parts.append(table("The first of them" if more > 0 else "", ("place", "code", "why"), rows))
    return parts


def _advice(report: ImportReport) -> list[str]:
    """What to say next time, so that less is skipped."""
    advice = []
    if "unknown_field" in report.skipped_by_code:
        unknown = (one.why.partition(": ")[0].split(", ") for one in report.skipped if one.code == "unknown_field")
        mapped = _suggested(dict.fromkeys(key for keys in unknown for key in keys))
        advice.append("Map a key to a field by --field FIELD=KEY; keep the rest by --rest metadata.")
        if mapped:
            advice.append("Perhaps: " + " ".join(f"--field {name}={key}" for name, key in mapped.items()))
    lists = sorted({one.why.partition(": ")[0] for one in report.skipped if one.why.endswith("text, got list")})
    advice += [f"A list of texts becomes one text by --join {name}." for name in lists]
    return ["\n".join([*advice, ""])] * bool(advice)


def _suggested(keys: Iterable[str]) -> dict[str, str]:
    """Which key may be meant by which field: `session_id` and `sessionId` by `session`, `episode_id` by `id`."""
    found: dict[str, str] = {}
    known = [name for name in KINDS["episode"].fields if name != "id"]
    for key in keys:
        words = words_of(key).lower().split()
        field = next((name for name in known if name in words), "id" if "id" in words else None)
        if field is not None and key.isidentifier():
            found.setdefault(field, key)
    return found


@command(importing, "jsonl", example="graphsvc import jsonl runs.jsonl.gz --field session=run_id --rest metadata")
def jsonl(
    shell: Shell,
    source: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines, plain or gzip; - for standard input.")],
    field: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=KEY", help="The file's key for an episode's field.")
    ] = None,
    rest: Annotated[
        Literal["error", "metadata", "drop"], typer.Option(help="What becomes of keys that are no field.")
    ] = "error",
    join: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="A text field where a list of texts is taken, a line each, too."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 if any line was skipped.")] = False,
    agent: _Agent = None,
    dry_run: DryRun = False,
    batch: _Batch = 500,
    wait: _Wait = True,
) -> Answer:
    """Store the episodes of a JSON Lines file, an object a line. May be repeated: nothing is stored twice.

    Bad lines are skipped and reported, the others stored. Ends with 1 if none could be taken, or by --strict.
    """
    from graphsvc.memory.importing import import_jsonl

    mapped = _mapped(field)
    return _run(shell, wait, lambda memory, progress: import_jsonl(
        memory, source, fields=mapped, rest=rest, join=join or (), agent=agent, dry_run=dry_run, batch=batch,
        progress=progress,
    ), strict=strict)  # fmt: skip


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
    retire: Annotated[bool, typer.Option("--retire", help="Delete the skills of functions that are gone.")] = False,
    agent: _Agent = None,
    dry_run: DryRun = False,
    batch: _Batch = 500,
    wait: _Wait = True,
) -> Answer:
    """Make a skill of each function of Python modules, linked to what it calls. The modules aren't run."""
    from graphsvc.memory.importing import import_python

    return _run(shell, wait, lambda memory, progress: import_python(
        memory, modules, submodules=submodules, private=private, retire=retire, agent=agent, dry_run=dry_run,
        batch=batch, progress=progress,
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
