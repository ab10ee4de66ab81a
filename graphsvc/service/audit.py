"""Who did what: a line for each write, each Cypher statement, each act of administration, and each refusal.

Ids and names are noted, a statement as it was sent; never texts of records, values of parameters, or secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from graphsvc.config import whole_path
from graphsvc.errors import BadInput
from graphsvc.service.gate import Call, Gate
from graphsvc.service.operations import OPERATIONS, Role

logger = structlog.get_logger("graphsvc.audit")

IDS = ("id", "ids", "episode", "skill", "target", "record")
"""Arguments that hold ids."""
MOST = 100
"""Ids that are noted of one call; their number is noted of all."""
STATEMENT = 10_000
"""Characters of a statement that are noted; its hash is of all."""


class Audit:
    """Listens at the gate, and notes.

    Args:
        gate: whose calls are noted. path: file that lines of JSON are added to; empty: they go to the log.

    Raises:
        BadInput: the file can't be written.
    """

    def __init__(self, gate: Gate, path: str) -> None:
        self._file = _opened(whole_path(path, "audit_file")) if path else None
        gate.listeners.append(self._note)

    def _note(self, call: Call) -> None:
        if not _is_noted(call):
            return
        noted = entry(call)
        if self._file is None:
            logger.info("audit", **noted)
            return
        noted["request"] = structlog.contextvars.get_contextvars().get("request")
        line = json.dumps(noted, ensure_ascii=False, default=str)
        try:
            os.write(self._file, line.encode(errors="backslashreplace") + b"\n")
        except OSError as error:
            logger.error("an entry of the audit can't be written to its file", reason=error.strerror, **noted)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadInput(f"{path} can't be written ({error.strerror})", where="audit_file") from None


def _is_noted(call: Call) -> bool:
    operation = OPERATIONS.get(call.operation)
    changes = operation is None or operation.role > Role.READER or call.operation == "cypher"
    return changes or call.code == "forbidden"


def entry(call: Call) -> dict[str, Any]:
    """What is noted of a call."""
    ids = list(_ids(call))
    noted: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "caller": call.caller.name,
        "identity": call.caller.identity,
        "role": call.caller.role.name.lower(),
        "operation": call.operation,
        "namespace": call.agent if call.agent is not None else _name(call.arguments.get("agent")),
        "ids": ids[:MOST],
        "count": len(ids),
        "outcome": call.code or "done",
        "seconds": round(call.seconds, 4),
    }
    if call.operation.startswith("graph."):
        noted["table"] = _name(call.arguments.get("name"))
    statement = call.arguments.get("query") if call.operation.partition(".")[0] == "cypher" else None
    if isinstance(statement, str):
        noted["statement"] = statement[:STATEMENT]
        noted["sha256"] = hashlib.sha256(statement.encode(errors="surrogatepass")).hexdigest()
    return noted


def _ids(call: Call) -> Iterable[str]:
    """The ids in what was asked and, of what it made, in what was answered."""
    seen: dict[str, None] = {}
    names = (*IDS, "source") if call.operation.endswith("link") else IDS
    asked = [call.arguments.get(name) for name in names]
    for value in (*asked, call.result):
        for one in value if isinstance(value, list | tuple) else (value,):
            id = one if isinstance(one, str) else getattr(one, "id", None)
            if isinstance(id, str):
                seen[id[:512]] = None
    return seen


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) else None
