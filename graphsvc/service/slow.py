"""What took long, in the log: of Cypher the statement and its plan, so that it can be mended."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from graphsvc.errors import GraphsvcError
from graphsvc.service.gate import WAITS, Call, Gate

logger = structlog.get_logger("graphsvc.slow")

PLAN_SECONDS = 5.0


class SlowLog:
    """Listens at the gate for what takes longer than `seconds`. Values of parameters are never logged."""

    def __init__(self, gate: Gate, seconds: float) -> None:
        self._gate = gate
        self._seconds = seconds
        self._plans: set[asyncio.Task[None]] = set()
        gate.listeners.append(self._look)

    def _look(self, call: Call) -> None:
        if call.seconds < self._seconds or _waited(call):
            return
        about: dict[str, Any] = {
            "operation": call.operation, "seconds": round(call.seconds, 3), "caller": call.caller.name,
            "error": call.code or None,
        }  # fmt: skip
        statement = call.arguments.get("query") if call.operation.partition(".")[0] == "cypher" else None
        if not isinstance(statement, str):
            logger.warning("slow", **about)
            return
        task = asyncio.get_running_loop().create_task(self._explain(statement, call.arguments.get("params"), about))
        self._plans.add(task)
        task.add_done_callback(self._plans.discard)

    async def _explain(self, statement: str, params: Any, about: dict[str, Any]) -> None:
        plan = ""
        try:
            found = await self._gate.memory.cypher(f"EXPLAIN {statement}", params, timeout=PLAN_SECONDS)
            plan = str(found.value())
        except GraphsvcError as error:
            plan = f"none: {error.code}"
        logger.warning("slow", **about, statement=statement, plan=plan)


def _waited(call: Call) -> bool:
    """Whether the time went by in waiting for what others do."""
    wait = call.arguments.get("wait")
    return call.operation in WAITS and (call.operation != "changes" or (isinstance(wait, int | float) and wait > 0))
