"""What can go wrong, as one small tree of exceptions.

Every error says what was wrong, where, and what to do, and carries a `code` that never changes, so that a
program can act on it and a person can look it up in `docs/reference/errors.md` (generated from this file).
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar


class GraphsvcError(Exception):
    """Any error that graphsvc raises on purpose.

    Attributes:
        code: stable identifier, snake case, the same in every release.
        where: what the error is about: a field, a path, an id. Empty if it is about the call itself.
        hint: what to do about it.
        retryable: whether the same call may succeed later, unchanged.
    """

    code: ClassVar[str] = "graphsvc_error"
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint or self.default_hint
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.hint:
            text += f". {self.hint}" if not text.endswith((".", "!", "?")) else f" {self.hint}"
        return f"[{self.code}] {text}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.hint, self.__dict__.copy()))

    def as_dict(self) -> dict[str, Any]:
        """The error as data, for `--json` and for networks."""
        return {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "hint": self.hint,
            "retryable": self.retryable,
        }


def _rebuild(
    kind: type[GraphsvcError], what: str, where: str, hint: str, state: dict[str, Any]
) -> GraphsvcError:
    """Unpickle: an error crosses process borders (embedding workers) whole."""
    error = kind.__new__(kind)
    GraphsvcError.__init__(error, what, where=where, hint=hint)
    error.__dict__.update(state)
    return error


def again(error: GraphsvcError) -> GraphsvcError:
    """A copy of an error that is kept, to be raised: raised itself, it would gain a traceback each time, and keep
    alive what the frames hold.
    """
    fresh = copy.copy(error)
    fresh.__cause__ = error.__cause__
    return fresh


# --- what the caller gave -----------------------------------------------------------------------------


class BadInput(GraphsvcError):
    """A value has the wrong type, is out of range, or is malformed."""

    code = "bad_input"


class UnknownField(BadInput):
    """A field, filter operator or option that doesn't exist."""

    code = "unknown_field"


class TooLarge(BadInput):
    """A text, batch or result is over its limit."""

    code = "too_large"


class NotAllowed(BadInput):
    """A statement does what the rules of Cypher here don't allow.

    Attributes:
        rule: its name in `docs/reference/cypher.md`.
    """

    code = "not_allowed"

    def __init__(self, what: str, *, where: str = "statement", hint: str = "", rule: str = "grammar") -> None:
        self.rule = rule
        super().__init__(what, where=where, hint=hint)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "rule": self.rule}


class OwnedTable(NotAllowed):
    """A statement would write a table of the memory's own, which its verbs keep."""

    code = "owned_table"


class NotDeterministic(NotAllowed):
    """A statement would write something else when it is replayed: what it writes hangs on order, chance or place."""

    code = "not_deterministic"
    default_hint = "Read first, then write the values as parameters."


class NotTemporal(BadInput):
    """`as_of` was asked of something that keeps no times: they are kept of facts, causal edges and temporal tables."""

    code = "not_temporal"


class NotFound(GraphsvcError):
    """No record has this id in the namespaces that the handle sees."""

    code = "not_found"


class Conflict(GraphsvcError):
    """Another record, of different content, already has this id."""

    code = "conflict"
    default_hint = "Use another id, or amend the existing record."


class Gone(GraphsvcError):
    """The record with this id was deleted; its id is not used again."""

    code = "gone"
    default_hint = "Store it under another id."


class Ambiguous(GraphsvcError):
    """The id exists in several namespaces."""

    code = "ambiguous"
    default_hint = "Pass agent=… to say which one is meant."


class NeedsUnbound(GraphsvcError):
    """The user's own tables have no namespace: a handle that is bound to one can't use them."""

    code = "needs_unbound"
    default_hint = "Open the memory without agent=."


class Cycle(GraphsvcError):
    """A prerequisite link would make a skill its own prerequisite."""

    code = "cycle"


# --- the directory ------------------------------------------------------------------------------------


class NotAMemory(GraphsvcError):
    """The directory holds no memory, or something else."""

    code = "not_a_memory"
    default_hint = "Make one with `graphsvc init DIRECTORY` or graphsvc.open(DIRECTORY)."


class InUse(GraphsvcError):
    """Another process owns the directory."""

    code = "in_use"
    retryable = True


class NewerFormat(GraphsvcError):
    """The memory was written by a newer graphsvc than this one."""

    code = "newer_format"
    default_hint = "Upgrade graphsvc; nothing was changed."


class ReadOnly(GraphsvcError):
    """The directory can't be written, or not even read."""

    code = "read_only"


class NotRetained(GraphsvcError):
    """A point in the log that can't be had: it is past the end, within one call, or no longer held.

    The hint names the nearest points that can.
    """

    code = "not_retained"


class NeedsSnapshot(GraphsvcError):
    """What would leave the log must be in a snapshot first: one of this memory, noted, present and whole."""

    code = "needs_snapshot"
    default_hint = "Take one with memory.snapshot(path), keep it, and trim again."


class Unsupported(GraphsvcError):
    """It can't be done: the platform or file system can't keep the promises that graphsvc makes, or the log can't."""

    code = "unsupported"


class Closed(GraphsvcError):
    """The memory was closed."""

    code = "closed"
    default_hint = "Open it again with graphsvc.open()."


class Forked(GraphsvcError):
    """The memory was opened before this process was forked."""

    code = "forked"
    default_hint = "Open the memory in the child, or start workers with the spawn method."


# --- storage ------------------------------------------------------------------------------------------


class StorageFull(GraphsvcError):
    """The disk is full. Nothing of the failed write was kept; everything acknowledged is."""

    code = "storage_full"
    retryable = True
    default_hint = "Free some space and write again."


class Corrupt(GraphsvcError):
    """A file of the memory is damaged."""

    code = "corrupt"


class NoResources(GraphsvcError):
    """The system gave no memory, thread or file handle. The files of the memory are as they were."""

    code = "no_resources"
    retryable = True
    default_hint = "Raise the limits of this process (ulimit -a), or end what else runs."


class StorageFailed(GraphsvcError):
    """SQLite failed a statement, for a reason that says nothing of the file."""

    code = "storage_failed"


class WriterStopped(GraphsvcError):
    """The log's writer met an error that it can't go on from; reading still works."""

    code = "writer_stopped"
    default_hint = "Close the memory, run `graphsvc verify`, and open it again."


class FollowerStopped(GraphsvcError):
    """A projection met a change that it can't apply."""

    code = "follower_stopped"
    default_hint = "Run `graphsvc repair`; the log is safe."


class Overloaded(GraphsvcError):
    """The queue of writes was full for as long as the caller may wait.

    Attributes:
        retry_after: seconds after which to try again.
    """

    code = "overloaded"
    retryable = True

    def __init__(self, what: str, *, where: str = "", hint: str = "", retry_after: float = 1.0) -> None:
        self.retry_after = retry_after
        super().__init__(what, where=where, hint=hint or f"Try again in {retry_after:g} s.")

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "retry_after": self.retry_after}


class WaitTimeout(GraphsvcError):
    """A wait ended before what it waited for; a write that was acknowledged stays acknowledged."""

    code = "wait_timeout"
    retryable = True


class Pending(WaitTimeout):
    """A statement was appended, and its outcome isn't known yet: it runs in its turn, and isn't to be sent again.

    Attributes:
        change: its number in the log, by which `memory.graph.outcome` tells how it ended.
    """

    code = "pending"
    retryable = False

    def __init__(self, what: str, *, change: int, where: str = "", hint: str = "") -> None:
        self.change = change
        super().__init__(what, where=where, hint=hint or f"Ask later: memory.graph.outcome({change}).")

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "change": self.change}


class AnswerLost(GraphsvcError):
    """A command did what it was to do, and its answer couldn't be written: standard output is full or closed."""

    code = "answer_lost"
    default_hint = "What was acknowledged is safe; free some space, or send the output elsewhere, and ask again."


# --- engines ------------------------------------------------------------------------------------------


class EngineMissing(GraphsvcError):
    """The graph engine that this memory needs isn't installed, or another one is loaded already."""

    code = "engine_missing"


class EngineError(GraphsvcError):
    """The graph engine refused or failed a statement."""

    code = "engine_error"


class BadStatement(EngineError):
    """The graph engine can't make sense of a statement: its syntax, a name in it, the type of a value."""

    code = "bad_statement"


class BufferFull(EngineError):
    """A statement or batch needs more memory than the graph engine may take."""

    code = "buffer_full"
    default_hint = "Raise the setting graph_buffer_bytes."


class QueryTimeout(EngineError):
    """A statement ran longer than it may."""

    code = "query_timeout"


class MemoryLimit(EngineError):
    """A statement took more memory than it may, and was stopped."""

    code = "memory_limit"
    default_hint = "Narrow it, or raise the setting graph_memory_bytes."


class ModelNotFound(GraphsvcError):
    """The embedding model isn't on this machine."""

    code = "model_not_found"


class EmbeddingMismatch(GraphsvcError):
    """The memory's vectors were made by another embedding model than the one asked for."""

    code = "embedding_mismatch"


class EmbeddingFailed(GraphsvcError):
    """The embedding model failed, or gave something that isn't vectors of the right shape."""

    code = "embedding_failed"


class MissingExtra(GraphsvcError):
    """An optional dependency isn't installed."""

    code = "missing_extra"


# --- the service ---------------------------------------------------------------------------------------


class Unauthenticated(GraphsvcError):
    """The service doesn't know who calls: no key or token, or one that isn't valid."""

    code = "unauthenticated"
    default_hint = "Send a key or token: Authorization: Bearer …."


class Forbidden(GraphsvcError):
    """The caller is known, and may not do this."""

    code = "forbidden"


class RateLimited(GraphsvcError):
    """A key made more requests than it may, or the service has as many under way as it takes.

    Attributes:
        retry_after: seconds after which to try again.
    """

    code = "rate_limited"
    retryable = True

    def __init__(self, what: str, *, where: str = "", hint: str = "", retry_after: float = 1.0) -> None:
        self.retry_after = retry_after
        super().__init__(what, where=where, hint=hint or f"Try again in {retry_after:g} s.")

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "retry_after": self.retry_after}


class Unavailable(GraphsvcError):
    """The service can't be reached, is stopping, or is being started again."""

    code = "unavailable"
    retryable = True


class RequestTimeout(GraphsvcError):
    """A request didn't come whole within the time that it may take."""

    code = "request_timeout"
    retryable = True
    default_hint = "Send it faster, or in parts."


class WorkerFailed(GraphsvcError):
    """The service's worker couldn't begin: the memory can't be opened, or it ends again and again."""

    code = "worker_failed"


class OutcomeUnknown(GraphsvcError):
    """A write was sent, its answer was lost, and whether it was done can't be told any more."""

    code = "outcome_unknown"
    default_hint = "Look whether it is there before you send it again."


def told(data: dict[str, Any]) -> GraphsvcError:
    """An error from what `as_dict` made of it, in another process.

    Raises:
        TypeError: these data are of no error.
    """
    if not isinstance(code := data.get("code"), str):
        raise TypeError("an error has a code")
    kind = next((kind for kind in every_error() if kind.code == code), None)
    more = {name: value for name, value in data.items() if name not in ("code", "what", "where", "hint", "retryable")}
    if kind is None:  # of a newer service
        kind, more = GraphsvcError, {**more, "code": code, "retryable": bool(data.get("retryable"))}
    return _rebuild(kind, str(data.get("what", "")), str(data.get("where", "")), str(data.get("hint", "")), more)


def every_error() -> list[type[GraphsvcError]]:
    """All error classes, the root first, in the order of their definition."""

    def below(kind: type[GraphsvcError]) -> list[type[GraphsvcError]]:
        return [kind, *(deeper for child in kind.__subclasses__() for deeper in below(child))]

    return below(GraphsvcError)
