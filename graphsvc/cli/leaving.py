"""`graphsvc export`, `forget`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphsvc.cli import records
from graphsvc.cli.options import Agent, DryRun, Ids, ManyAgents, agents
from graphsvc.cli.output import Answer, fields, size, table
from graphsvc.cli.shell import Shell, command, parsed
from graphsvc.errors import BadInput

if TYPE_CHECKING:
    from graphsvc.memory.forgetting import ForgetReport

PANEL = "Keep"
WHERE = '\'{"episode": {"success": true}}\''


def add_leaving(app: typer.Typer) -> None:
    """Give the app these commands."""
    command(app, "export", example="graphsvc export ./copy --format parquet --vectors", panel=PANEL)(export)
    command(app, "forget", example="graphsvc forget deploy-1 --dry-run", panel=PANEL)(forget)


def export(
    shell: Shell,
    path: Annotated[Path, typer.Argument(help="A directory, which mustn't exist yet.")],
    format: Annotated[Literal["jsonl", "parquet"], typer.Option(help="Of the files, one a kind.")] = "jsonl",
    vectors: Annotated[bool, typer.Option("--vectors", help="Also the vectors, as Parquet.")] = False,
    where: Annotated[str | None, typer.Option(metavar="JSON", help=f"Filters by kind, like {WHERE}.")] = None,
    agent: ManyAgents = None,
) -> Answer:
    """Write all records and links into a directory, to be read by others or taken in by graphsvc import memory."""
    filters = parsed(where, "--where", WHERE)
    with shell.open() as memory, shell.bar("Exporting") as show:
        report = memory.export(
            path, format=format, vectors=vectors, where=filters, agent=agents(agent), progress=show
        )
    shown = {**report.records, "links": report.links, "vectors": report.vectors, "size": size(report.bytes)}
    view = fields({name: value for name, value in shown.items() if value}, f"Exported to {report.path}")
    return Answer(report.as_dict(), records.printed(view))


def forget(
    shell: Shell,
    ids: Ids,
    kind: Annotated[str | None, typer.Option(help="Of which kind they are, where an id means several records.")] = None,
    agent: Agent = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> Answer:
    """Forget records for good: no byte of their texts, metadata and vectors stays in any file. Nothing undoes it."""
    with shell.open() as memory:
        if not dry_run and not yes:
            _ask(shell, memory.forget(ids, kind=kind, agent=agent, dry_run=True))
        with shell.watching(memory, "Forgetting"):
            report = memory.forget(ids, kind=kind, agent=agent, dry_run=dry_run)
    return Answer(report.as_dict(), records.printed(*_shown(report)))


def _ask(shell: Shell, planned: ForgetReport) -> None:
    if shell.json or not sys.stdin.isatty():
        raise BadInput("nothing undoes it", where="forget", hint="Say --yes, or look first with --dry-run.")
    count = sum(planned.records.values())
    if not typer.confirm(f"Forget {count:,} records for good? Nothing undoes it"):
        raise typer.Abort


def _shown(report: ForgetReport) -> list[Any]:
    title = "Would be forgotten (nothing was changed)" if report.dry_run else "Forgotten"
    counts = {**report.records, "texts of tasks": report.tasks, "forgotten before": len(report.already)}
    parts: list[Any] = [fields({name: count for name, count in counts.items() if count}, title)]
    if report.kept_tasks:
        rows = [(one.task, one.episode) for one in report.kept_tasks]
        parts.append(table("Tasks whose text stays", ("task", "also of"), rows))
    if report.derived:
        rows = [(one.kind, one.id) for one in report.derived]
        parts.append(table("Drawn from them, and left as they are", ("kind", "id"), rows))
    if report.snapshots:
        rows = [(str(one.get("path", "")), str(one.get("n", ""))) for one in report.snapshots]
        parts.append(table("Snapshots that still hold them", ("path", "entry"), rows))
    return parts
