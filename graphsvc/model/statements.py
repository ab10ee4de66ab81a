"""A write on the user's own tables, as data: Cypher, or an operation on one table with its rows. And how it ended."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any, Literal

from msgspec import Struct, field

from graphsvc.errors import BadInput, GraphsvcError, every_error
from graphsvc.model.tables import Table

Op = Literal["cypher", "define", "drop", "add", "upsert", "update", "delete"]


class Statement(Struct, frozen=True, omit_defaults=True):
    """What is asked of the user's own tables.

    Attributes:
        op: Cypher, or what is to be done with `table`.
        text: the Cypher. params: its parameters, each as `tagged` makes it.
        writes: names of the tables that it writes. deletes: whether it may delete. ddl: whether it changes tables.
        table: that the operation is on. ends: of edges, which pair of node tables, where the table has several.
        declared: what is defined. defaults: of its columns, by name, each as `tagged` makes it.
        verbatim: rows are added as they are, also to a past: of a temporal table nothing is noted.
        timeout: seconds that the first run of Cypher may take. limit: rows that it may return.
    """

    op: Op
    text: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    writes: tuple[str, ...] = ()
    deletes: bool = False
    ddl: bool = False
    table: str = ""
    ends: tuple[str, str] | None = None
    declared: Table | None = None
    defaults: dict[str, Any] = field(default_factory=dict)
    timeout: float = 0.0
    limit: int = 0
    verbatim: bool = False


State = Literal["ok", "failed", "forgotten"]


class Outcome(Struct, frozen=True, omit_defaults=True):
    """How a statement ended.

    Attributes:
        n: number of its last entry in the log.
        state: `ok`, `failed`, or `forgotten`: it was ok, and fails since what it wrote on was forgotten.
        code, what, hint: of the error. counts: what was done, like {"created": 3}.
        derived: number of the last entry that follows from it, 0 if none does.
    """

    n: int
    state: State = "ok"
    code: str = ""
    what: str = ""
    where: str = ""
    hint: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    derived: int = 0

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.state == "ok"

    def error(self) -> GraphsvcError:
        """The error that it ended with."""
        kinds = {kind.code: kind for kind in every_error()}
        return kinds.get(self.code, GraphsvcError)(self.what, where=self.where, hint=self.hint)

    @classmethod
    def failed(cls, n: int, error: GraphsvcError, state: State = "failed") -> Outcome:
        """The outcome of a statement that ended with an error."""
        return cls(n, state, error.code, error.what, error.where, error.hint)


# --- parameters, so that times and bytes survive JSON ------------------------------------------------------

_TAG = "$"


def tagged(value: Any, where: str = "parameters") -> Any:
    """A parameter's value as JSON, so that `untagged` gives it back.

    Raises:
        BadInput: it is of no type that a parameter of a write may have.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_TAG: "float", "v": repr(float(value))}
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return {_TAG: "time", "v": moment.isoformat()}
    if isinstance(value, date):
        return {_TAG: "date", "v": value.isoformat()}
    if isinstance(value, list | tuple):
        return [tagged(item, f"{where}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, dict):
        return {_TAG: "map", "v": {str(name): tagged(item, f"{where}.{name}") for name, item in value.items()}}
    if isinstance(value, bytes):
        raise BadInput("bytes can't be a parameter of a write", where=where, hint="Use memory.graph.add for them.")
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return tagged(value.tolist(), where)
    raise BadInput(f"{type(value).__name__} is no type of a parameter", where=where)


def untagged(value: Any) -> Any:
    """The opposite of `tagged`."""
    if isinstance(value, list):
        return [untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value[_TAG]:
        case "time":
            return datetime.fromisoformat(value["v"])
        case "date":
            return date.fromisoformat(value["v"])
        case "float":
            return float(value["v"])
        case _:
            return {name: untagged(item) for name, item in value["v"].items()}
