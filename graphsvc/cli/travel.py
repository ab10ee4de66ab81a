"""`graphsvc snapshot`, `snapshots`, `restore`, `trim`, `migrate`, `size`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from graphsvc.cli import records
from graphsvc.cli.options import DryRun
from graphsvc.cli.output import Answer, fields, size, table
from graphsvc.cli.shell import PROBLEMS, Shell, command
from graphsvc.errors import GraphsvcError

PANEL = "Travel"

Report = Callable[[int, int], None]


def add_travel(app: typer.Typer) -> None:
    """Give the app these commands."""
    command(app, "snapshot", example="graphsvc snapshot ./monday", panel=PANEL)(snapshot)
    command(app, "snapshots", example="graphsvc snapshots --verify", panel=PANEL)(snapshots)
    command(app, "restore", example="graphsvc restore ./monday ./memory-again --to 1200", panel=PANEL)(restore)
    command(app, "trim", example="graphsvc trim --before 1200 --dry-run", panel=PANEL)(trim)
    command(app, "migrate", example="graphsvc migrate --engine ladybug", panel=PANEL)(migrate)
    command(app, "size", example="graphsvc size --json", panel=PANEL)(size_)


@contextlib.contextmanager
def _reporting(shell: Shell, what: str, unit: Callable[[int], str]) -> Iterator[Report]:
    with shell.bar(what) as show:
        yield lambda done, total: show(done / total if total else None, f"{unit(done)} of {unit(total)}")


def snapshot(
    shell: Shell,
    path: Annotated[Path, typer.Argument(help="A directory that isn't there yet, outside of the memory.")],
) -> Answer:
    """Copy the memory as it is now, with a checksum for every file, and note that it was."""
    with shell.open() as memory, _reporting(shell, "Copying", size) as report:
        taken = memory.snapshot(path, report=report)
    pauses = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in taken.pauses.items())
    return records.told(
        taken.as_dict(), f"{taken.path}: the memory at entry {taken.n:,}, {size(taken.bytes)}; rested: {pauses}"
    )


def snapshots(
    shell: Shell,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its checksum.")] = False,
) -> Answer:
    """List the snapshots that were taken of the memory. With --verify it ends with 3 if one is damaged or missing."""
    import graphsvc

    with shell.open() as memory:
        known = memory.snapshots()
    if verify:
        for one in known:
            with _reporting(shell, f"Reading {one['path']}", size) as report:
                try:
                    graphsvc.verify_snapshot(one["path"], report=report)
                    one["problem"] = None
                except GraphsvcError as error:
                    one["problem"] = str(error)
    rows = (
        (one["path"], one["n"], one["at"], size(one["bytes"]), one["present"], one.get("problem")) for one in known
    )
    view = table("Snapshots", ("path", "entry", "taken", "size", "present", "problem"), rows, whole=("path",))
    broken = any(one.get("problem") for one in known)
    return Answer({"snapshots": known}, records.printed(view), PROBLEMS if broken else 0)


def restore(
    shell: Shell,
    source: Annotated[Path, typer.Argument(help="A snapshot, or a memory's directory that nobody has open.")],
    target: Annotated[Path, typer.Argument(help="A directory that isn't there yet.")],
    to: Annotated[int | None, typer.Option(min=0, help="The last entry of the log to have; all if not given.")] = None,
) -> Answer:
    """Make a memory of a snapshot, as it is or as it was at an earlier entry of the log. Checksums are compared."""
    import graphsvc

    with _reporting(shell, "Restoring", size) as report:
        restored = graphsvc.restore(source, target, to=to, report=report)
    anew = f"; made anew when it is opened: {', '.join(restored.rebuilt)}" if restored.rebuilt else ""
    return records.told(restored.as_dict(), f"{restored.path}: the memory at entry {restored.n:,}{anew}")


def trim(
    shell: Shell,
    before: Annotated[int, typer.Option(help="The first entry of the log that stays as it is.")],
    dry_run: DryRun = False,
) -> Answer:
    """Take entries out of the log that a snapshot holds. Records stay; earlier points are the snapshot's then."""
    with shell.open() as memory, shell.bar("Trimming") as show:
        done = memory.trim(before=before, dry_run=dry_run, progress=show)
    title = "Would be trimmed (nothing was changed)" if dry_run else "Trimmed"
    shown = {
        "entries": f"{done.entries:,}, {size(done.bytes)}",
        "in their place": f"{done.base_entries:,}, {size(done.base_bytes)}",
        "held by the snapshot": done.snapshot or None,
        "memory.sqlite is smaller by": None if dry_run else size(done.freed),
    }
    view = fields({name: value for name, value in shown.items() if value is not None}, title)
    return Answer(done.as_dict(), records.printed(view))


def migrate(
    shell: Shell,
    engine: Annotated[
        Literal["kuzu", "ladybug"] | None, typer.Option(help="Graph engine to move to. [default: the one it has]")
    ] = None,
) -> Answer:
    """Bring a memory that nobody has open to the current format, and its graph to another engine."""
    import graphsvc

    with _reporting(shell, "Building the graph", lambda count: f"{count:,}") as report:
        done = graphsvc.migrate(shell.directory, engine=engine, report=report)
    return records.told(
        done.as_dict(),
        f"{done.path}: {done.engine}, before {done.before}; {done.entries:,} entries, digest {done.digest}",
    )


def size_(shell: Shell) -> Answer:
    """Show how many bytes what takes on disk: each file, each kind of record, each table of the log's file."""
    with shell.open() as memory:
        memory.progress(lambda lag: None)
        data = memory.size()
    kinds = ((name, *_of_kind(entry)) for name, entry in data["kinds"].items())
    columns = ("kind", "live", "stored", "records", "log", "vectors", "bytes a record")
    parts = [
        table("By kind of record", columns, kinds),
        table("By file", ("file", "size"), ((name, size(count)) for name, count in data["files"].items())),
        table("Within memory.sqlite", ("table", "size"), ((name, size(n)) for name, n in data["tables"].items())),
        fields({"bytes a live record": data["bytes_a_live_record"]}),
    ]
    return Answer(data, records.printed(*parts))


def _of_kind(entry: dict[str, Any]) -> tuple[Any, ...]:
    sizes = (size(entry[name]) for name in ("record_bytes", "log_bytes", "vector_bytes"))
    return (entry["live"], entry["records"], *sizes, entry["bytes_a_record"])
