"""Writes on the user's own tables: appended, run by the graph in their turn, answered when they are decided."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from graphsvc.cypher.tokens import parameters_of
from graphsvc.errors import BadInput, Closed, GraphsvcError, NeedsUnbound, NotFound, NotRetained, Pending, again
from graphsvc.memory.namespaces import Namespaces
from graphsvc.model.names import RESERVED_NODES, RESERVED_RELS
from graphsvc.model.requests import AppendStatement
from graphsvc.model.statements import Outcome, Statement, tagged
from graphsvc.store.ledger import Reply, Result

if TYPE_CHECKING:
    from graphsvc.memory.opened import Opened
    from graphsvc.store.answers import Answer

POLL_SECONDS = 0.25
MARGIN_SECONDS = 30.0
"""How much longer than its time limit a statement is waited for, for others may come before it."""


def check_unbound(namespaces: Namespaces) -> None:
    """Raise NeedsUnbound on a handle that is bound to a namespace."""
    if namespaces.agent is not None:
        raise NeedsUnbound(f"this handle is bound to {namespaces.agent!r}", where="agent")


def check_seconds(value: object, where: str) -> float | None:
    """A number of seconds over 0, or None. Raises BadInput."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise BadInput(f"expected seconds over 0, got {value!r}", where=where)
    return float(value)


def submit(
    opened: Opened,
    statement: Statement,
    batches: Sequence[bytes] = (),
    *,
    then: Sequence[tuple[Statement, list[bytes]]] = (),
    verb: str = "",
    wait: float | None = None,
) -> Result:
    """Append a statement and wait for its outcome.

    Args:
        then: more, each with its rows: all are done, or none. verb: that the log calls it by.
        wait: seconds to wait at most; by default its time limit and half a minute.

    Raises:
        Pending: that ended first; the statement runs in its turn.
        GraphsvcError: it failed, and nothing of it was done; or the memory was closed meanwhile.
    """
    limit = statement.timeout or opened.settings.graph_timeout
    verb = verb or ("cypher.write" if statement.op == "cypher" else f"graph.{statement.op}")
    reply = Reply()
    n: int = opened.log.submit(AppendStatement(verb, statement, list(batches), list(then), reply)).result
    why = _wait(opened, reply, n, limit + MARGIN_SECONDS if wait is None else wait)
    if not reply.done.is_set():
        opened.log.waiting.pop(n, None)
    if isinstance(reply.answer, GraphsvcError):
        raise again(reply.answer)
    if reply.answer is None:
        raise Pending(f"the statement is entry {n}, and isn't decided yet{why}", change=n)
    return reply.answer


def _wait(opened: Opened, reply: Reply, n: int, seconds: float) -> str:
    """Wait for an answer; what holds it up, where that is known."""
    deadline, why = time.monotonic() + seconds, ""
    while not reply.done.is_set() and (left := deadline - time.monotonic()) > 0:
        if opened.closed:
            raise Closed("the memory was closed; the statement runs when it is opened again")
        follower = opened.store.graph_follower  # a repair, or a forget, puts another in its place
        try:
            follower.wait(n, min(left, POLL_SECONDS))
            reply.done.wait(min(left, POLL_SECONDS))
        except Closed:
            time.sleep(min(left, 0.01))
        except GraphsvcError as error:
            why = f" ({error})"
            if error.code == "follower_stopped":
                break
            time.sleep(min(left, POLL_SECONDS))
    return why


def outcome(opened: Opened, n: int) -> Outcome:
    """How a statement ended.

    Raises:
        NotFound: entry `n` is no statement's last one. Pending: it isn't decided yet. NotRetained: it was trimmed.
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise BadInput(f"expected a number, got {type(n).__name__}", where="n")
    if not 0 < n < 1 << 63:
        raise NotFound(f"entry {n} is no statement", where="n")
    trimmed = opened.log.trimmed
    if trimmed is not None and n <= trimmed.n:
        hint = f"The snapshot {trimmed.snapshot} has it." if n <= trimmed.held else ""
        raise NotRetained(f"entry {n} was trimmed, and how it ended", where="n", hint=hint)
    found = opened.log.outcome(n)
    if found is None:
        with opened.log.connection() as connection:
            row = connection.execute("SELECT verb, last FROM log WHERE n = ?", (n,)).fetchone()
        if row is None or not row[1] or row[0].split(".")[0] not in ("graph", "cypher"):
            raise NotFound(f"entry {n} is no statement", where="n")
        raise Pending(f"the statement {n} isn't decided yet", change=n)
    return found


def run(
    opened: Opened,
    namespaces: Namespaces,
    query: str,
    params: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = None,
    limit: int | None = None,
    wait: float | None = None,
) -> Answer | None:
    """Write on tables of one's own by Cypher; see `Memory.cypher`.

    Args:
        params: values of the statement's parameters. timeout: seconds that it may take when its turn has come.
        limit: rows that it may return. wait: seconds to wait for its outcome, by default `timeout` and half a minute.

    Returns:
        What its RETURN gives; of one without, no columns; of DDL None.

    Raises:
        OwnedTable, NotDeterministic, BadInput, TooLarge: it isn't appended. Pending: it is, and not decided yet.
        EngineError, QueryTimeout, Conflict: it failed, and nothing of it was done. NeedsUnbound: on a bound handle.
    """
    opened.check()
    check_unbound(namespaces)
    seconds = check_seconds(timeout, "timeout") or opened.settings.graph_timeout
    statement = checked(query, params, seconds, limit or opened.settings.cypher_rows)
    return submit(opened, statement, wait=check_seconds(wait, "wait")).answer


def checked(query: Any, params: Mapping[str, Any] | None, timeout: float, limit: int) -> Statement:
    """A statement to be appended, from Cypher that isn't to be trusted yet. The time is filled in."""
    from graphsvc.cypher.writes import NOW, check_write

    if not isinstance(query, str):
        raise BadInput(f"expected a text, got {type(query).__name__}", where="query")
    write = check_write(query, own_nodes=RESERVED_NODES, own_rels=RESERVED_RELS, parameters=dict(params or {}))
    wanted = parameters_of(write.statement) - {NOW}
    given = dict(params or {})
    if given.keys() != wanted:
        missing, extra = sorted(wanted - given.keys()), sorted(map(str, given.keys() - wanted))
        what = f"no value for ${missing[0]}" if missing else f"the statement has no ${extra[0]}"
        raise BadInput(what, where="params")
    values = {name: tagged(value, f"${name}") for name, value in given.items()}
    if NOW in parameters_of(write.statement):
        values[NOW] = tagged(datetime.now(UTC))
    return Statement(
        "cypher",
        text=write.statement,
        params=values,
        writes=tuple(sorted(write.writes)),
        deletes=write.deletes,
        ddl=write.kind == "ddl",
        timeout=timeout,
        limit=limit,
    )
