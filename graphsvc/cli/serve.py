"""`graphsvc serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from graphsvc.cli import records
from graphsvc.cli.output import Answer
from graphsvc.cli.shell import Shell, command

PANEL = "Serve"


def add_serve(app: typer.Typer) -> None:
    """Give the app these commands."""
    command(app, "serve", example="graphsvc serve ./memory --port 8080", panel=PANEL)(serve)


def serve(
    shell: Shell,
    directory: Annotated[Path | None, typer.Argument(help="The memory's directory; --memory if not given.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. [default: 8080]")] = None,
    authentication: Annotated[
        Literal["auto", "required"] | None,
        typer.Option(help="Whether callers must say who they are, on loopback too. [default: auto]"),
    ] = None,
    tls_cert_file: Annotated[str | None, typer.Option(metavar="FILE", help="Certificate (PEM); speak HTTPS.")] = None,
    tls_key_file: Annotated[str | None, typer.Option(metavar="FILE", help="Its private key (PEM).")] = None,
    cors_origins: Annotated[
        str | None, typer.Option(help="Origins whose pages may call it from a browser, with commas.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Requests per second of a key. [default: 100]")] = None,
    audit_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Note writes, Cypher and administration here.")
    ] = None,
) -> Answer:
    """Serve a memory over HTTP: GraphQL, Cypher, MCP. Ends with Ctrl-C or SIGTERM, and closes the memory in order."""
    from graphsvc.config import load_service, whole_path
    from graphsvc.service.checked import check
    from graphsvc.service.logs import set_up
    from graphsvc.service.supervisor import Supervisor, address, listen

    shell.directory = whole_path(directory or shell.directory)
    settings = load_service(
        shell.directory, host=host, port=port, authentication=authentication, tls_cert_file=tls_cert_file,
        tls_key_file=tls_key_file, cors_origins=cors_origins, rate=rate, audit_file=audit_file,
    )  # fmt: skip
    set_up(settings)
    check(shell.directory, settings)
    with listen(settings) as listener:
        url = address(listener, tls=bool(settings.tls_cert_file))
        supervisor = Supervisor(
            shell.directory, settings, listener, lambda: shell.tell(f"serving {shell.directory} at {url}")
        )
        supervisor.run()
    return records.told({"stopped": True, "restarts": supervisor.restarts}, "stopped")
