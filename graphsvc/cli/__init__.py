"""The command line: the verbs of a memory at a shell. Commands parse, call memory, and show what it answers."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

INTERRUPTED, TERMINATED = 130, 143
COMPLETION = "_GRAPHSVC_COMPLETE"
"""Set where a shell asks how a line may go on."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end, by SIGTERM: it ends as with Ctrl-C."""


def main() -> None:
    """Run `graphsvc` with the process's arguments."""
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)
        _have_streams()
        from graphsvc.cli.app import app, leave_out

        if COMPLETION not in os.environ:
            leave_out(sys.argv[1:])
        app(prog_name="graphsvc")
    except KeyboardInterrupt as error:  # before a command could take it
        sys.exit(TERMINATED if isinstance(error, Terminated) else INTERRUPTED)
    except OSError as error:  # of a help text: a command reports its own
        from graphsvc.cli.shell import unwritten

        sys.exit(unwritten(error, json="--json" in sys.argv))


def _terminate(*_: Any) -> None:
    raise Terminated


def _have_streams() -> None:
    """Where the caller has closed a standard stream, have one: else the next file opened takes its number.

    Standard output is then one that every write to fails, so that an answer isn't lost in silence.
    """
    missing = [number for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)) if stream is None]
    for number in missing:  # ascending: a file opened takes the lowest number that is free
        os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if 0 in missing:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if 1 in missing:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if 2 in missing:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
