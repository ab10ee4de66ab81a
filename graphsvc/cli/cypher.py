"""`graphsvc cypher`: a statement at a shell, from standard input or a file, or many in a shell of its own."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from graphsvc.cli import records
from graphsvc.cli.output import Answer, safe
from graphsvc.cli.shell import Shell, command
from graphsvc.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from graphsvc.memory.cypher import Result

Format = Literal["table", "csv", "json", "jsonl", "markdown"]
FORMATS: tuple[str, ...] = get_args(Format)
CELL = 200
"""Characters of a value that a table shows."""


def add_cypher(app: typer.Typer) -> None:
    """Give an app the command."""

    @command(app, "cypher", example="graphsvc cypher 'MATCH (e:Episode) RETURN count(*) AS episodes'", panel="Remember")
    def cypher(
        shell: Shell,
        words: Annotated[
            list[str] | None,
            typer.Argument(metavar="[DIRECTORY] [STATEMENT]", help="Where and what; - reads standard input."),
        ] = None,
        file: Annotated[Path | None, typer.Option("--file", "-f", help="A file that holds the statement.")] = None,
        param: Annotated[
            list[str] | None,
            typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter, as JSON or text. Give it often."),
        ] = None,
        params: Annotated[Path | None, typer.Option("--params", help="A JSON file with parameters by name.")] = None,
        format: Annotated[Format, typer.Option(help="How the rows are written.")] = "table",
        limit: Annotated[int | None, typer.Option(min=0, help="Rows at most; else the setting cypher_rows.")] = None,
        timeout: Annotated[float | None, typer.Option(help="Seconds; else the setting graph_timeout.")] = None,
        write: Annotated[bool, typer.Option("--write", help="Write on tables of your own.")] = False,
        wait: Annotated[
            float | None, typer.Option(help="Seconds to wait at most: of a write for its outcome, else for its turn.")
        ] = None,
    ) -> Answer:
        """Run a Cypher statement on the graph; without one, at a terminal, open a shell for many."""
        statement = _statement(shell, list(words or ()), file)
        given = parameters(param or (), params)
        options: dict[str, Any] = {"limit": limit, "timeout": timeout, "write": write, "wait": wait}
        if statement is None:
            from graphsvc.cli.cypher_shell import run

            with shell.open() as memory:
                run(memory, given, format, options)
            return Answer({}, lambda console: None)
        with shell.open() as memory, shell.watching(memory, "Looking"):
            result = memory.cypher(statement, given, **options)
        return Answer(_data(result), lambda console: show(console, result, format))


def _data(result: Result) -> dict[str, Any]:
    from graphsvc.model.elements import as_data

    rows = [as_data(row) for row in result]
    return {"columns": result.columns, "rows": rows, "more": result.more, "took": result.took}


def _statement(shell: Shell, words: list[str], file: Path | None) -> str | None:
    """The statement that was asked for; None for the shell. A directory before it, or alone, is the memory's."""
    if len(words) > 2 or (len(words) == 2 and file is not None):
        raise typer.BadParameter("give a directory, a statement, or both")
    if len(words) == 2 or (words and (file is not None or _is_directory(words[0]))):
        shell.directory = Path(words.pop(0))
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"can't be read: {error}", where=str(file)) from None
    if words and words[0] != "-":
        return words[0]
    if not words and sys.stdin.isatty() and sys.stdout.isatty() and not shell.json:
        return None
    text = sys.stdin.read()
    if not text.strip():
        raise BadInput("there is no statement", where="standard input", hint="Give one, or run it at a terminal.")
    return text


def _is_directory(word: str) -> bool:
    try:
        return Path(word).is_dir()
    except (OSError, ValueError):  # a statement is no path
        return False


# --- parameters ---------------------------------------------------------------------------------------


def parameters(given: Iterable[str], file: Path | None) -> dict[str, Any]:
    """Parameters of a file, and those said one by one, which count more."""
    found: dict[str, Any] = {}
    if file is not None:
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BadInput(f"can't be read: {error}", where=str(file)) from None
        if not isinstance(values, dict):
            raise BadInput("expected a JSON object", where=str(file), hint='Like {"name": "Ada"}.')
        found.update(values)
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise BadInput(f"expected NAME=VALUE, got {text!r}", where="--param", hint="Like --param name=Ada.")
        found[name.strip().removeprefix("$")] = parameter(value)
    return found


def parameter(text: str) -> Any:
    """The value of a parameter: what it is as JSON, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


# --- showing ------------------------------------------------------------------------------------------


def show(console: Console, result: Result, format: str) -> None:
    """Write rows in a format. What a terminal would obey is made visible where one may be."""
    if not result.columns:  # of a write without RETURN
        if format == "table":
            console.print("done", style="dim")
        return
    if format == "table":
        records.printed(_table(result))(console)
        count = f"{len(result):,} row{'' if len(result) == 1 else 's'}"
        more = "; there are more, see --limit" if result.more else ""
        console.print(f"{count}{more}", style="dim")
        return
    text = _WRITERS[format](result)
    if console.is_terminal:
        text = safe(text)
    console.file.write(text)  # as it is: Rich would widen tabs and leave out what it takes for control characters


def _table(result: Result) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, type in zip(result.columns, result.types, strict=True):
        number = type.startswith(("INT", "UINT", "DOUBLE", "FLOAT", "DECIMAL")) and not type.endswith("]")
        made.add_column(Text(safe(name)), overflow="fold", justify="right" if number else "left", vertical="top")
    for row in result.rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: Any) -> Text:
    """A value in a table; null looks like nothing else."""
    from rich.text import Text

    if value is None:
        return Text("null", style="dim italic")
    text = safe(_plain(value))
    return Text(text if len(text) <= CELL else text[: CELL - 1] + "…")


def _plain(value: Any) -> str:
    """A value as a text: texts as they are, times in ISO 8601, maps and lists as JSON, nodes as they are drawn."""
    from datetime import date

    from graphsvc.model.elements import Edge, Node, Path

    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Node):
        shown = ", ".join(f"{name}: {_inner(item)}" for name, item in value.properties.items() if item is not None)
        return f"(:{value.label} {{{shown}}})"
    if isinstance(value, list) and not any(isinstance(item, Node | Edge | Path) for item in value):
        return _json(value)
    return _json(value) if isinstance(value, dict) else str(value)


def _inner(value: Any) -> str:
    return _json(value) if isinstance(value, str | list | dict) else _plain(value)


def _json(value: Any) -> str:
    import msgspec

    from graphsvc.model.elements import as_data

    return msgspec.json.encode(as_data(value), enc_hook=str).decode()


def _csv(result: Result) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows(["" if value is None else _flat(value) for value in row] for row in result.rows)
    return out.getvalue()


def _flat(value: Any) -> str:
    from graphsvc.model.elements import Edge, Node, Path

    return _json(value) if isinstance(value, Node | Edge | Path | list | dict) else _plain(value)


def _lines(result: Result) -> str:
    return "".join(f"{_json(row)}\n" for row in result)


def _markdown(result: Result) -> str:
    lines = [result.columns, ["---"] * len(result.columns)]
    lines += [["*null*" if value is None else _plain(value) for value in row] for row in result.rows]
    escaped = ([text.replace("|", "\\|").replace("\n", " ") for text in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


_WRITERS: Mapping[str, Any] = {
    "csv": _csv, "json": lambda result: result.json() + "\n", "jsonl": _lines, "markdown": _markdown,
}  # fmt: skip
