"""The commands, put together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import graphsvc
from graphsvc.cli.causal import causal
from graphsvc.cli.configuration import add_config
from graphsvc.cli.cypher import add_cypher
from graphsvc.cli.demonstration import demo
from graphsvc.cli.entities import add_links, entities
from graphsvc.cli.episodes import add_store, episodes
from graphsvc.cli.facts import facts
from graphsvc.cli.graphql import graphql
from graphsvc.cli.importing import importing
from graphsvc.cli.keys import keys
from graphsvc.cli.learning import add_learning
from graphsvc.cli.leaving import add_leaving
from graphsvc.cli.many import add_many
from graphsvc.cli.mcp import add_mcp
from graphsvc.cli.recall import add_recall
from graphsvc.cli.serve import add_serve
from graphsvc.cli.shell import complain
from graphsvc.cli.skills import skills
from graphsvc.cli.travel import add_travel
from graphsvc.cli.upkeep import add_upkeep
from graphsvc.cli.walks import graph


class Commands(TyperGroup):
    """All commands. Wrong options too are reported as JSON to who asked for JSON."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and end the process with the exit code."""
        words = list(sys.argv[1:] if args is None else args)
        if not standalone_mode or "--json" not in words:
            return super().main(args, prog_name, complete_var, standalone_mode, windows_expand_args, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            message = error.format_message()
            complain({"code": "usage", "what": message, "hint": "See --help."}, message, json=True)
            sys.exit(getattr(error, "exit_code", 2))
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Example: graphsvc init && graphsvc import python json && graphsvc recall 'parse a document'",
    help="The memory that AI agents keep: episodes and skills in one directory.",
)

add_store(app)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"graphsvc {graphsvc.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Options before the command."""


add_recall(app)
add_cypher(app)
add_learning(app)
add_many(app)
app.add_typer(episodes, name="episodes", rich_help_panel="Remember")
app.add_typer(skills, name="skills", rich_help_panel="Remember")
app.add_typer(entities, name="entities", rich_help_panel="Remember")
app.add_typer(facts, name="facts", rich_help_panel="Remember")
app.add_typer(causal, name="causal", rich_help_panel="Remember")
add_links(episodes)
app.add_typer(graph, name="graph", rich_help_panel="Remember")
app.add_typer(importing, name="import", rich_help_panel="Remember")
add_upkeep(app)
add_travel(app)
add_leaving(app)
add_serve(app)
app.add_typer(keys, name="keys", rich_help_panel="Serve")
add_mcp(app)
add_config(app)
app.add_typer(graphql, name="graphql", rich_help_panel="Serve")
app.add_typer(demo, name="demo", rich_help_panel="Keep")


def leave_out(words: Sequence[str]) -> None:
    """Make no commands of groups that aren't among the words: making all takes as long as many a command does."""
    for group in app.registered_groups:
        if group.name not in words and group.typer_instance is not None:
            group.typer_instance.registered_commands.clear()
