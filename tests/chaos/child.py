"""A process that works on a memory and may be killed: commands come as JSON lines, answers go as JSON lines.

It may be told to kill itself at a seam of the program: just before or just after a function's n-th call. The
functions are the real ones; only the moment of death is chosen.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import msgspec

import graphsvc
from graphsvc.errors import GraphsvcError


def die_at(place: str, when: str, nth: int) -> None:
    """Have this process killed before or after the n-th call of `module:Class.function`."""
    module_name, _, path = place.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    real: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def dying(*args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == nth and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **options)
        if calls[0] == nth and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def run(memory: graphsvc.Memory, command: dict[str, Any]) -> Any:
    verb, arguments = command["verb"], command.get("with", {})
    if verb == "found":
        return memory.episodes.retrieve(**arguments).as_dicts()
    part: Any = memory
    *parents, name = verb.split(".")
    for parent in parents:
        part = getattr(part, parent)
    result = getattr(part, name)(**arguments)
    return result.as_dict() if hasattr(result, "as_dict") else msgspec.to_builtins(result)


def main() -> None:
    path, engine = sys.argv[1], sys.argv[2]
    for place in sys.argv[3:]:
        at, when, nth = place.rsplit("@", 2)
        die_at(at, when, int(nth))
    memory = graphsvc.open(path, engine=engine, embedder="hashing")
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["verb"] == "close":
            memory.close()
            print(json.dumps({"result": None}), flush=True)
            return
        try:
            answer = {"result": run(memory, command)}
        except GraphsvcError as error:
            answer = {"error": error.as_dict()}
        print(json.dumps(answer), flush=True)


main()
