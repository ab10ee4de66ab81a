"""A process that works on a memory and may be killed: commands come as JSON lines, answers go as JSON lines.

It may be told to kill itself at a seam of the program: just before or just after a function's n-th call. The
functions are the real ones; only the moment of death is chosen.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

import graphsvc
from graphsvc.errors import GraphsvcError

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.chaos.killing import die_at


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
