"""`graphsvc graph …`: tables of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphsvc.cli import records
from graphsvc.cli.output import Answer, table
from graphsvc.cli.shell import Shell, command
from graphsvc.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

    from graphsvc.memory.memory import Memory

graph = typer.Typer(no_args_is_help=True, help="How things are joined, and tables of one's own.")

_Table = Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.")]
_Columns = Annotated[
    list[str], typer.Argument(metavar="NAME:TYPE …", help="Columns, like name:STRING age:INT64 tags:STRING[].")
]
_Ends = Annotated[
    str | None, typer.Option("--ends", metavar="FROM:TO", help="Which tables edges join, where there are several.")
]
_File = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV, Parquet or JSON Lines, by its ending. Edges: source and target.")
]


@command(graph, "define", example="graphsvc graph define Person name:STRING age:INT64 --key name --searchable name")
def define(
    shell: Shell,
    name: _Table,
    columns: _Columns,
    key: Annotated[str | None, typer.Option(help="Of nodes: the column that tells them apart.")] = None,
    source: Annotated[str | None, typer.Option(help="Of edges: the node table that they lead from.")] = None,
    target: Annotated[str | None, typer.Option(help="Of edges: the node table that they lead to.")] = None,
    searchable: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column whose text is searched; give it several times.")
    ] = None,
    temporal: Annotated[bool, typer.Option("--temporal", help="Keep what was known of its rows before.")] = False,
) -> Answer:
    """Make a table of nodes, or of edges between two tables; `-` in place of columns for none."""
    with shell.open() as memory:
        made = memory.graph.define(
            name, _types(columns), key=key, source=source, target=target, searchable=searchable or (),
            temporal=temporal,
        )
    return records.told({"table": made}, f"made {made.name}")


def _types(columns: list[str]) -> dict[str, str]:
    types = {}
    for column in columns:
        name, colon, type = column.rpartition(":")
        if column == "-":
            continue
        if not colon:
            raise BadInput("says no type", where=column, hint="Write NAME:TYPE, like age:INT64.")
        types[name] = type
    return types


@command(graph, "drop", example="graphsvc graph drop Person")
def drop(shell: Shell, name: _Table) -> Answer:
    """Drop a table with all its rows."""
    with shell.open() as memory:
        memory.graph.drop(name)
    return records.told({"dropped": name}, f"dropped {name}")


@command(graph, "schema", example="graphsvc graph schema")
def schema(shell: Shell) -> Answer:
    """Show the tables of one's own, with columns, keys and ends."""
    with shell.open() as memory:
        found = memory.graph.schema()
    rows = (
        (one.name, "nodes" if one.nodes else "edges", ", ".join(f"{name} {type}" for name, type in one.columns.items()),
         one.key or ", ".join(f"{source} → {target}" for source, target in one.ends), ", ".join(one.searchable))
        for one in found.values()
    )  # fmt: skip
    view = table(
        f"{len(found):,} tables", ("table", "of", "columns", "key or ends", "searched"), rows, whole=("table",)
    )
    return Answer({"tables": list(found.values())}, records.printed(view))


@command(graph, "add", example="graphsvc graph add Person people.csv")
def add(shell: Shell, name: _Table, file: _File, ends: _Ends = None) -> Answer:
    """Add the rows of a file: new nodes, or edges between nodes that there are; all or none."""
    pair = _pair(ends)
    with shell.open() as memory:
        count = memory.graph.add(name, _rows(memory, name, file, pair), ends=pair)
    return records.told({"created": count}, f"added {count:,}")


@command(graph, "upsert", example="graphsvc graph upsert Person people.parquet")
def upsert(shell: Shell, name: _Table, file: _File, ends: _Ends = None) -> Answer:
    """Add the rows of a file, or give those that are there the values given; all or none."""
    pair = _pair(ends)
    with shell.open() as memory:
        done = memory.graph.upsert(name, _rows(memory, name, file, pair), ends=pair)
    return records.told(done, ", ".join(f"{count:,} {what}" for what, count in done.items()))


@command(graph, "update", example="graphsvc graph update Person ages.jsonl")
def update(shell: Shell, name: _Table, file: _File, ends: _Ends = None) -> Answer:
    """Give rows that are there the values of a file; all or none."""
    pair = _pair(ends)
    with shell.open() as memory:
        count = memory.graph.update(name, _rows(memory, name, file, pair), ends=pair)
    return records.told({"updated": count}, f"updated {count:,}")


@command(graph, "delete", example="graphsvc graph delete Person gone.csv")
def delete(shell: Shell, name: _Table, file: _File, ends: _Ends = None) -> Answer:
    """Delete the nodes whose keys a file has, with their edges, or edges by source and target; all or none."""
    pair = _pair(ends)
    with shell.open() as memory:
        count = memory.graph.delete(name, _rows(memory, name, file, pair), ends=pair)
    return records.told({"deleted": count}, f"deleted {count:,}")


@command(graph, "outcome", example="graphsvc graph outcome 42")
def outcome(shell: Shell, n: Annotated[int, typer.Argument(metavar="N", help="Its number in the log.")]) -> Answer:
    """Tell how a write on tables of one's own ended, of which only the number is known."""
    with shell.open() as memory:
        found = memory.graph.outcome(n)
    said = found.state if found.ok else f"{found.state}: [{found.code}] {found.what}"
    return records.told({"outcome": found}, said)


def _pair(ends: str | None) -> tuple[str, str] | None:
    if ends is None:
        return None
    source, colon, target = ends.partition(":")
    if not colon:
        raise BadInput("expected FROM:TO", where="--ends")
    return source, target


def _rows(memory: Memory, name: str, file: Path, ends: tuple[str, str] | None) -> pa.Table:
    """The rows of a file for a table, with the types that it has."""
    from graphsvc.memory.graph_files import read_rows

    known = memory.graph.schema()
    return read_rows(file, known.get(name), known, ends)
