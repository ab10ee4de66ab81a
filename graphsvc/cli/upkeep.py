"""`graphsvc init`, `stats`, `verify`, `repair`, `doctor`, `version`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphsvc.cli import records
from graphsvc.cli.output import Answer, fields, safe, size, table
from graphsvc.cli.shell import PROBLEMS, Shell, command
from graphsvc.errors import BadInput, WaitTimeout

if TYPE_CHECKING:
    from graphsvc.memory.memory import Report

PANEL = "Keep"
SETTLE_SECONDS = 1.0
"""What `stats` gives the projections to open and catch up, so that it doesn't report what passes."""


def add_upkeep(app: typer.Typer) -> None:
    """Give the app these commands."""
    command(app, "init", example="graphsvc init ./memory", panel=PANEL)(init)
    command(app, "stats", example="graphsvc stats --json", panel=PANEL)(stats)
    command(app, "verify", example="graphsvc verify", panel=PANEL)(verify)
    command(app, "repair", example="graphsvc repair", panel=PANEL)(repair)
    command(app, "doctor", example="graphsvc doctor", panel=PANEL)(doctor)
    command(app, "version", example="graphsvc version --json", panel=PANEL)(version)


def init(
    shell: Shell,
    directory: Annotated[Path | None, typer.Argument(help="Where; --memory if not given.")] = None,
    engine: Annotated[Literal["kuzu", "ladybug"] | None, typer.Option(help="Graph engine. [default: kuzu]")] = None,
    embedder: Annotated[
        str | None, typer.Option(help="Embedding model: minilm, a path, or a model's name. [default: minilm]")
    ] = None,
) -> Answer:
    """Make a memory in a directory. Where there is one already, nothing changes."""
    shell.directory = directory or shell.directory
    new = not os.path.exists(shell.directory / "graphsvc.json")  # Path.exists raises where it may not look
    with shell.open(create=True, engine=engine if new else None, embedder=embedder) as memory:
        found = memory.stats()
        if engine and found["engine"] != engine:
            raise BadInput(f"the memory there uses {found['engine']}, not {engine}", where="--engine")
        data = {"created": new, "path": found["path"], "id": memory.id, "engine": found["engine"],
                "embedder": found["embedding"]["embedder"]}  # fmt: skip
    return records.told(data, f"{'made a memory' if new else 'there is a memory already'} in {data['path']}")


def stats(shell: Shell) -> Answer:
    """Show what is in the memory, how large it is and how far its projections are."""
    with shell.open() as memory:
        with contextlib.suppress(WaitTimeout):
            memory.wait(timeout=SETTLE_SECONDS)
        data = memory.stats()
    trimmed = f", trimmed before {data['trimmed']['before']:,}" if data["trimmed"] else ""
    shown = {
        "path": data["path"], "id": data["id"], "graph engine": data["engine"],
        "embedding": f"{data['embedding']['name']}, {data['embedding']['dimension']} dimensions",
        **{name: f"{count:,}" for name, count in data["records"].items()},
        "vectors": f"{data['vectors']['vectors']:,}", "log entries": f"{data['head']:,}{trimmed}",
        "behind": ", ".join(f"{name} {lag:,}" for name, lag in data["lag"].items() if lag) or "nothing",
        "errors": "; ".join(f"{name}: {error}" for name, error in data["errors"].items()) or "none",
    }  # fmt: skip
    rows = ((name, size(count)) for name, count in data["bytes"].items())
    return Answer(data, records.printed(fields(shown), table("On disk", ("file", "size"), rows, whole=("file",))))


LOG_DAMAGED = (
    "The log is what everything else is built from, so nothing here can mend it. Close the memory and copy its whole "
    "directory away; then put back a copy from before the damage. Without one, what can still be read may be saved by "
    "`sqlite3 memory.sqlite .recover | sqlite3 saved.sqlite`, which not every build of sqlite3 can; put in its place, "
    "`graphsvc verify` tells what it lacks."
)


def _reported(report: Report, elsewhere: str) -> Answer:
    """A report, and what to do where something is wrong: with the log, or `elsewhere`."""
    damaged = any(problem.part == "log" for problem in report.problems)
    advice = "" if report.ok else LOG_DAMAGED if damaged else elsewhere
    rows = ((problem.part, problem.what, problem.count, problem.examples) for problem in report.problems)
    parts: list[Any] = [safe(f"mended: {done}") for done in report.mended]
    if report.ok:
        parts.append("All is well: " + ", ".join(f"{count:,} {name}" for name, count in report.checked.items()))
    else:
        parts += [table("Problems", ("part", "what", "count", "examples"), rows), advice]
    return Answer({**report.as_dict(), "advice": advice}, records.printed(*parts), 0 if report.ok else PROBLEMS)


def verify(shell: Shell) -> Answer:
    """Check everything against everything: log, records, graph, text, vectors. Ends with 3 if something is wrong."""
    with shell.open() as memory, shell.watching(memory, "Verifying"):
        report = memory.verify()
    return _reported(report, "`graphsvc repair` builds it anew from the log.")


def repair(shell: Shell) -> Answer:
    """Check everything, and rebuild from the log what is wrong. Ends with 3 if something is wrong still."""
    with shell.open() as memory, shell.watching(memory, "Repairing"):
        report = memory.repair()
    return _reported(report, "This stays wrong after a repair: keep a copy of the directory, and report it.")


def doctor(shell: Shell) -> Answer:
    """Check this machine: Python, engines, model, disk. Says what is wrong and what to do; then ends with 3."""
    from graphsvc.memory.doctor import examine

    with shell.bar("Looking") as show:
        findings = examine(shell.directory, lambda what: show(None, what))
    marks = {"ok": "ok", "note": "note", "wrong": "WRONG"}
    rows = ((marks[one.state], one.what, one.found, one.advice) for one in findings)
    data = {"ok": all(one.state != "wrong" for one in findings), "checks": findings}
    view = records.printed(table("", ("", "what", "found", "what to do"), rows))
    return Answer(data, view, 0 if data["ok"] else PROBLEMS)


def version(shell: Shell) -> Answer:
    """Show the version of graphsvc, of the format that it writes memories in, and of Python."""
    import platform

    import graphsvc
    from graphsvc.config import FORMAT

    data = {"graphsvc": graphsvc.__version__, "format": FORMAT, "python": platform.python_version()}
    return records.told(data, f"graphsvc {data['graphsvc']} (format {FORMAT}, Python {data['python']})")
