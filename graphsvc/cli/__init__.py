"""The command line: the verbs of a memory at a shell. Commands parse, call memory, and show what it answers."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `graphsvc` with the process's arguments."""
    try:
        from graphsvc.cli.app import app

        app(prog_name="graphsvc")
    except KeyboardInterrupt:  # before a command could take it
        sys.exit(130)
