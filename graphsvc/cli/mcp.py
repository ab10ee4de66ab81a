"""`graphsvc mcp`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from graphsvc.cli import records
from graphsvc.cli.output import Answer
from graphsvc.cli.serve import PANEL
from graphsvc.cli.shell import Shell, command


def add_mcp(app: typer.Typer) -> None:
    """Give the app these commands."""
    command(app, "mcp", example="graphsvc mcp ./memory --agent builder", panel=PANEL)(mcp)


def mcp(
    shell: Shell,
    directory: Annotated[Path | None, typer.Argument(help="The memory's directory; --memory if not given.")] = None,
    agent: Annotated[str | None, typer.Option(help="Namespace to write and see; all if not given.")] = None,
    shared: Annotated[list[str] | None, typer.Option(help="Further namespace that it reads; may be repeated.")] = None,
    create: Annotated[bool, typer.Option(help="Make the memory if there is none.")] = True,
) -> Answer:
    """Offer a memory to an agent as tools (Model Context Protocol), over standard input and output, until it ends."""
    import graphsvc
    from graphsvc.service.mcp.server import over_stdio

    shell.directory = directory or shell.directory

    async def offer() -> None:
        async with graphsvc.aopen(shell.directory, create=create) as memory:
            await over_stdio(memory, agent, tuple(shared or ()))

    asyncio.run(offer())
    return records.told({}, "")
