"""`graphsvc graphql …`."""

from __future__ import annotations

from typing import Annotated

import typer

from graphsvc.cli import records
from graphsvc.cli.output import Answer
from graphsvc.cli.shell import Shell, command

graphql = typer.Typer(no_args_is_help=True, help="GraphQL, as `graphsvc serve` offers it.")


@command(graphql, "schema", example="graphsvc graphql schema")
def schema(
    shell: Shell,
    own: Annotated[bool, typer.Option("--own", help="With types for the tables of this memory.")] = False,
) -> Answer:
    """Print the schema, in the language that GraphQL has for that."""
    from rich.text import Text

    from graphsvc.service.graphql.schema import sdl

    if own:
        with shell.open() as memory:
            text = sdl(memory.graph.schema())
    else:
        text = sdl({})
    return Answer({"schema": text}, records.printed(Text(text.rstrip("\n"))))
