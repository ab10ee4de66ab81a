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
    help="Bring in what you have: JSON Lines, tables, git, test reports, conversations, Python, another memory.",
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
    from graphsvc.memory.importing.report import COUNTS

    counts = report.as_dict()
    names = (*COUNTS, "retired", "skipped_count", "seconds")
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


def _mapped(pairs: list[str] | None, option: str = "--field", form: str = "FIELD=KEY") -> dict[str, str]:
    mapped = {}
    for pair in pairs or ():
        name, sign, key = pair.partition("=")
        if not sign or not key or not name:
            raise BadInput(f"expected {form}, got {pair!r}", where=option, hint=f"Like {option} session=run_id.")
        if name in mapped:
            raise BadInput(f"{name!r} is mapped twice", where=option)
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
    """Take in what graphsvc export wrote: ids, times, statistics and links as they were. May be repeated."""
    from graphsvc.memory.importing import import_memory

    return _run(shell, wait, lambda memory, progress: import_memory(
        memory, source, dry_run=dry_run, batch=batch, progress=progress
    ))  # fmt: skip


@command(importing, "git", example="graphsvc import git . --revision main")
def git(
    shell: Shell,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A git repository's directory.")],
    revision: Annotated[str, typer.Option(help="Whose history is read: a branch, tag or hash.")] = "HEAD",
    name: Annotated[str | None, typer.Option(help="Of the repository, if not its directory's.")] = None,
    agent: _Agent = None,
    dry_run: DryRun = False,
    batch: _Batch = 500,
    wait: _Wait = True,
) -> Answer:
    """Make an episode of each commit, joined to its files; what a later commit reverts or fixes has failed."""
    from graphsvc.memory.importing import import_git

    return _run(shell, wait, lambda memory, progress: import_git(
        memory, path, revision=revision, name=name, agent=agent, dry_run=dry_run, batch=batch, progress=progress,
    ))  # fmt: skip


@command(importing, "junit", example="graphsvc import junit build/reports")
def junit(
    shell: Shell,
    sources: Annotated[list[str], typer.Argument(metavar="FILE|DIRECTORY…", help="JUnit XML, or where it lies.")],
    session: Annotated[str | None, typer.Option(help="The run that all of it belongs to.")] = None,
    agent: _Agent = None,
    dry_run: DryRun = False,
    batch: _Batch = 500,
    wait: _Wait = True,
) -> Answer:
    """Store test runs: each test an episode, the failure's message its critique. Skipped tests are counted."""
    from graphsvc.memory.importing import import_junit

    return _run(shell, wait, lambda memory, progress: import_junit(
        memory, sources, session=session, agent=agent, dry_run=dry_run, batch=batch, progress=progress,
    ))  # fmt: skip


@command(importing, "table", example="graphsvc import table runs.csv --map task=prompt --map reward=score --id run")
def table_(
    shell: Shell,
    source: Annotated[str, typer.Argument(metavar="FILE", help="CSV, plain or gzip, or Parquet.")],
    map: Annotated[list[str] | None, typer.Option(metavar="FIELD=COLUMN", help="The column of a field.")] = None,
    id: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="A column that the id is made of.")] = None,
    session: Annotated[str | None, typer.Option(help="Of rows that name none; the file's name by itself.")] = None,
    rest: Annotated[
        Literal["metadata", "error", "drop"], typer.Option(help="What becomes of columns that are no field.")
    ] = "metadata",
    delimiter: Annotated[str | None, typer.Option(help="Of CSV, if no comma.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first bad row.")] = False,
    agent: _Agent = None,
    dry_run: DryRun = False,
    batch: _Batch = 500,
    wait: _Wait = True,
) -> Answer:
    """Store the rows of a CSV or Parquet file as episodes. May be repeated: nothing is stored twice."""
    from graphsvc.memory.importing import import_table

    mapped = _mapped(map, "--map", "FIELD=COLUMN")
    return _run(shell, wait, lambda memory, progress: import_table(
        memory, source, fields=mapped, id=id, session=session, rest=rest, delimiter=delimiter,
        strict=strict, agent=agent, dry_run=dry_run, batch=batch, progress=progress,
    ))  # fmt: skip


@command(importing, "messages", example="graphsvc import messages conversations.jsonl")
def messages(
    shell: Shell,
    source: Annotated[str, typer.Argument(metavar="FILE", help="JSON (Lines), plain or gzip; - for standard input.")],
    session: Annotated[str | None, typer.Option(help="Of conversations that name none.")] = None,
    agent: _Agent = None,
    dry_run: DryRun = False,
    batch: _Batch = 500,
    wait: _Wait = True,
) -> Answer:
    """Store conversations in OpenAI's form of messages: each request of the user with its answer is an episode."""
    from graphsvc.memory.importing import import_messages

    return _run(shell, wait, lambda memory, progress: import_messages(
        memory, source, session=session, agent=agent, dry_run=dry_run, batch=batch, progress=progress,
    ))  # fmt: skip
