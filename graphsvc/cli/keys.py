"""`graphsvc keys …`: who may call the service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphsvc.cli import records
from graphsvc.cli.output import Answer, cell, table
from graphsvc.cli.shell import Shell, command
from graphsvc.errors import BadInput, NotAMemory

if TYPE_CHECKING:
    from rich.console import Console

    from graphsvc.service.keys import Key, Keys

keys = typer.Typer(no_args_is_help=True, help="API keys of the service: who may call it, and what each may do.")

Which = Annotated[str, typer.Argument(metavar="KEY", help="Its id or name.")]


def _keys(shell: Shell) -> Keys:
    from graphsvc.config import load_service
    from graphsvc.service.keys import Keys, path_of

    if not (shell.directory / "graphsvc.json").exists():
        raise NotAMemory("holds no memory", where=str(shell.directory))
    return Keys(path_of(shell.directory, load_service(shell.directory)))


def _made(key: Key, text: str, done: str) -> Answer:
    """A key's text, this once."""
    data: dict[str, Any] = {"key": text, **key.told(datetime.now(UTC))}

    def view(console: Console) -> None:
        console.print(f"{done} {key.name} ({key.id}). It is shown this once:")
        console.print(text, soft_wrap=True)  # whole, so that it can be copied

    return Answer(data, view)


def create(
    shell: Shell,
    name: Annotated[str, typer.Argument(help="What to call it: who will hold it.")],
    role: Annotated[
        Literal["reader", "writer", "admin"], typer.Option(help="What it may: read; write too; administer too.")
    ] = "reader",
    namespace: Annotated[
        list[str] | None, typer.Option(help="A namespace that it sees; the first is its own. Give it several times.")
    ] = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", help="It sees all of them.")] = False,
    expires: Annotated[
        str | None, typer.Option(metavar="90d", help="How long it holds: 12h, 90d, 2w. [default: until it is revoked]")
    ] = None,
) -> Answer:
    """Make a key, and show it: only its hash is kept. A service that runs takes it at once."""
    if bool(namespace) == all_namespaces:
        raise BadInput("expected --namespace or --all-namespaces", where="namespaces")
    key, text = _keys(shell).create(
        name, role, None if all_namespaces else namespace, datetime.now(UTC), lasts=expires
    )  # fmt: skip
    return _made(key, text, "made")


def list_(shell: Shell) -> Answer:
    """List all keys, without what they are."""
    now = datetime.now(UTC)
    found = sorted(_keys(shell).all().values(), key=lambda key: key.created)
    rows = (
        (key.id, key.name, key.role, "all" if key.namespaces is None else cell(key.namespaces), key.created,
         key.expires, key.state(now))
        for key in found
    )  # fmt: skip
    columns = ("id", "name", "role", "namespaces", "created", "expires", "state")
    view = table(f"{len(found):,} keys", columns, rows, whole=("id",))
    return Answer({"keys": [key.told(now) for key in found]}, records.printed(view))


def rotate(
    shell: Shell,
    which: Which,
    grace: Annotated[str, typer.Option(metavar="1h", help="How long the old text holds beside the new one.")] = "0s",
) -> Answer:
    """Give a key a new text, and show it. Its id, name, role, namespaces and end stay."""
    key, text = _keys(shell).rotate(which, datetime.now(UTC), grace=grace)
    return _made(key, text, "rotated")


def revoke(shell: Shell, which: Which) -> Answer:
    """Let a key hold no longer, from now on, also where a service runs."""
    key = _keys(shell).revoke(which, datetime.now(UTC))
    return records.told(key.told(datetime.now(UTC)), f"revoked {key.name} ({key.id})")


command(keys, "create", example="graphsvc keys create builder --role writer --namespace builder --expires 90d")(create)
command(keys, "list", example="graphsvc keys list --json")(list_)
command(keys, "rotate", example="graphsvc keys rotate builder --grace 1h")(rotate)
command(keys, "revoke", example="graphsvc keys revoke builder")(revoke)
