"""The commands, put together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import graphsvc
from graphsvc.cli import records
from graphsvc.cli.causal import causal
from graphsvc.cli.demonstration import demo
from graphsvc.cli.entities import add_links, entities
from graphsvc.cli.episodes import add_store, episodes
from graphsvc.cli.facts import facts
from graphsvc.cli.importing import importing
from graphsvc.cli.learning import add_learning
from graphsvc.cli.leaving import add_leaving
from graphsvc.cli.options import K, ManyAgents, Wait, Where, agents, filtered
from graphsvc.cli.output import Answer
from graphsvc.cli.shell import Shell, command, complain
from graphsvc.cli.skills import skills
from graphsvc.cli.travel import add_travel
from graphsvc.cli.upkeep import add_upkeep


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


@command(app, "recall", example="graphsvc recall 'deploy the service' -k 5", panel="Remember")
def recall(
    shell: Shell,
    text: Annotated[str, typer.Argument(help="A task, or anything.")],
    k: K = 5,
    where: Where = None,
    skills_where: Annotated[str | None, typer.Option(metavar="JSON", help="Filter on skills.")] = None,
    agent: ManyAgents = None,
    wait: Wait = False,
) -> Answer:
    """Find episodes and skills for a text."""
    with shell.asking(wait=wait) as memory:
        tried = memory.episodes.retrieve(text, k, where=filtered(where), agent=agents(agent))
        known = memory.skills.search(text, k, where=filtered(skills_where, "--skills-where"), agent=agents(agent))
    view = records.printed(
        records.episode_hits(tried, f"Episodes for {text!r}"), records.skill_hits(known, "Skills"),
        *records.not_embedded(tried, known),
    )  # fmt: skip
    return Answer({"episodes": records.hits_data(tried), "skills": records.hits_data(known)}, view)


add_learning(app)
app.add_typer(episodes, name="episodes", rich_help_panel="Remember")
app.add_typer(skills, name="skills", rich_help_panel="Remember")
app.add_typer(entities, name="entities", rich_help_panel="Remember")
app.add_typer(facts, name="facts", rich_help_panel="Remember")
app.add_typer(causal, name="causal", rich_help_panel="Remember")
add_links(episodes)
app.add_typer(importing, name="import", rich_help_panel="Remember")
add_upkeep(app)
add_travel(app)
add_leaving(app)
app.add_typer(demo, name="demo", rich_help_panel="Keep")
