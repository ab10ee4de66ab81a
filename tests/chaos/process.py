"""Drives a child that may be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ENGINE = os.environ.get("GRAPHSVC_TEST_ENGINE", "kuzu")
"""Of this process; the other engine has a process of its own, see `test_kill_ladybug.py`."""
CHILD = Path(__file__).with_name("child.py")


class Killed(Exception):
    """The child died before it answered."""


class Child:
    """A process with a memory open, spoken to through pipes."""

    def __init__(self, path: Path, engine: str = ENGINE, *seams: str) -> None:
        command = [sys.executable, str(CHILD), str(path), engine, *seams]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.opened = self._answer(allow_death=bool(seams)) is not None

    def _answer(self, *, allow_death: bool = False) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.endswith("\n"):
            self.process.wait()
            if allow_death or self.process.returncode == -signal.SIGKILL:
                return None
            raise AssertionError(f"the child ended by itself with {self.process.returncode}")
        return json.loads(line)

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Run a verb there; its result as JSON. Raises Killed, or AssertionError for an error of ours."""
        answer = self.try_(verb, **arguments)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def try_(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """The same, an error of ours as data."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"verb": verb, "with": arguments}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Killed from None
        answer = self._answer()
        if answer is None:
            raise Killed
        found: dict[str, Any] = answer
        return found

    def kill(self) -> None:
        """kill -9, whatever it is doing."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._close_pipes()

    def close(self) -> None:
        """End it in order."""
        self.ask("close")
        self.process.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
