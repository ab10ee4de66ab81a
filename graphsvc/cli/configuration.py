"""`graphsvc config`: what settings are in force, where each comes from, and whether they are right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from graphsvc.cli import records
from graphsvc.cli.output import Answer, table
from graphsvc.cli.shell import Shell, command

config = typer.Typer(no_args_is_help=True, help="Look at settings, and check them.")
HIDDEN = "(set)"
"""In place of a secret."""


def add_config(app: typer.Typer) -> None:
    """Give the app these commands."""
    command(config, "check", example="graphsvc config check --memory ./memory")(check)
    app.add_typer(config, name="config", rich_help_panel="Serve")


def check(
    shell: Shell,
    all: Annotated[bool, typer.Option("--all", help="Show the settings that nobody changed, too.")] = False,
) -> Answer:
    """Check the settings of a memory and of its service, and show those that were changed, and where."""
    from graphsvc.config import PREFIX, SERVICE_PREFIX, SERVICE_TABLE, load, load_service, set_in_file

    directory: Path = shell.directory
    found: list[dict[str, Any]] = []
    for settings, prefix, group in (
        (load(directory), PREFIX, "memory"), (load_service(directory), SERVICE_PREFIX, SERVICE_TABLE),
    ):  # fmt: skip
        in_file = set_in_file(directory, group)
        for name, value, secret in settings.each():
            variable = prefix + name.upper()
            where = variable if variable in os.environ else str(in_file[name]) if name in in_file else "default"
            shown = HIDDEN if secret and value else value
            found.append({"group": group, "name": name, "value": shown, "from": where})
    told = found if all else [each for each in found if each["from"] != "default"]
    rows = [(each["group"], each["name"], str(each["value"]), each["from"]) for each in told]
    title = "Settings are right; these were changed" if rows else "Settings are right; none was changed"
    shown_table = table(title, ("of", "setting", "value", "from"), rows, whole=("setting",))
    return Answer({"settings": told}, records.printed(shown_table))
