"""How a call gets to a memory that another process owns: sent, sent again where that does no harm, its answer read."""

from __future__ import annotations

import inspect
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from graphsvc.config import whole_path
from graphsvc.errors import (
    BadInput,
    Closed,
    Forbidden,
    Forked,
    GraphsvcError,
    InUse,
    OutcomeUnknown,
    Overloaded,
    RateLimited,
    Unavailable,
    Unsupported,
    told,
)
from graphsvc.memory.feed import LONGEST_WAIT
from graphsvc.memory.opened import absolute
from graphsvc.memory.verbs import new_id
from graphsvc.remote import wire
from graphsvc.service.operations import OPERATIONS, Operation, Role

CONNECT_SECONDS = 5.0
RETRY_SECONDS = 120.0
"""The longest that a write is sent again; the service remembers keys for longer."""
FIRST_DELAY, LONGEST_DELAY = 0.05, 2.0
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
REPORTS = ("progress", "report")
OWN_ID = frozenset({"episodes.store", "skills.create", "skills.record_outcome", "facts.add", "causal.add"})
"""Writes that make an id if none is given: made here, before they are sent, so that they can be sent again."""
MANY = {
    "episodes.store_many": "episodes", "skills.create_many": "skills", "facts.add_many": "facts",
    "causal.add_many": "edges",
}  # fmt: skip
"""The same of many, and the argument that holds them."""
LONG = frozenset({
    "wait", "forget", "verify", "repair", "reembed", "progress", "snapshot", "trim", "export", "size", "cypher",
    "episodes.prune", "skills.prune", "skills.consolidate",
    *(name for name, operation in OPERATIONS.items() if name.startswith("graph.") and operation.unbound),
})  # fmt: skip
"""What ends when it ends: it has limits of its own, or none."""


@dataclass(slots=True)
class Call:
    """A call on its way.

    Attributes:
        operation: its name. body: what is sent. headers: that go with it.
        safe: whether it may be done twice: it reads, or has an id of its own.
        deadline: of the monotonic clock, after which it isn't sent again. long: whether its answer may take longer.
        reports: what is called with what is reported.
        attempt: how often it was sent. perhaps: whether it may have been done. flying: whether an attempt is under way.
    """

    operation: str
    body: bytes
    headers: dict[str, str]
    safe: bool
    deadline: float
    long: bool
    reports: Callable[..., Any] | None = None
    attempt: int = 0
    perhaps: bool = False
    flying: bool = False
    own_id: str = ""

    @property
    def timeout(self) -> httpx.Timeout:
        """Of the next attempt."""
        left = max(0.001, self.deadline - time.monotonic())
        return httpx.Timeout(None if self.long else left, connect=min(left, CONNECT_SECONDS), pool=left)


@dataclass(slots=True)
class Peer:
    """Who is called, and what is known of it; the same for the synchronous and the asynchronous client.

    Attributes:
        name: for messages. attached: whether over the Unix socket of the owner on this machine.
        timeout: seconds that a call may take, what is sent again included. era: see `graphsvc.service.rpc`.
        said: what it said at first.
    """

    name: str
    token: str | None
    timeout: float
    attached: bool = False
    era: str | None = None
    closed: bool = False
    process: int = field(default_factory=os.getpid)
    said: dict[str, Any] = field(default_factory=dict)

    def prepared(self, name: str, options: dict[str, Any], agent: str | None, shared: tuple[str, ...]) -> Call:
        """A call of an operation, ready to be sent. Raises BadInput, Forbidden, Unsupported, Closed, Forked."""
        self.check()
        operation = OPERATIONS[name]
        reports = next((function for word in REPORTS if (function := options.pop(word, None)) is not None), None)
        self._check_sendable(operation, options)
        options = self._portable(operation, options)
        role = OPERATIONS["cypher.write"].role if name == "cypher" and options.get("write") else operation.role
        options, own_id, identified = _identified(name, options)
        safe = role is Role.READER or identified or name in ("verify", "warm", "snapshots", "size", "interrupt")
        body = wire.encode({"options": options, "agent": agent, "shared": shared})
        call = Call(
            name, body, {"content-type": wire.MEDIA}, safe, time.monotonic() + self.timeout, name in LONG, reports,
            own_id=own_id,
        )  # fmt: skip
        if name == "changes" and isinstance(wait := options.get("wait"), int | float) and 0 <= wait <= LONGEST_WAIT:
            call.deadline += wait
        if not safe:
            call.headers[wire.KEY] = new_id()
            call.deadline = min(call.deadline, time.monotonic() + RETRY_SECONDS)
        if reports is not None:
            call.headers[wire.PROGRESS] = "1"
        return call

    def check(self) -> None:
        """Raise if this can't be used: closed, or carried into a forked child."""
        if self.closed:
            raise self._closed()
        if os.getpid() != self.process:
            raise Forked(f"it was opened by process {self.process}, before the fork", where=self.name)

    def closed_amid(self, call: Call) -> GraphsvcError:
        """What is raised by a call that was under way when this was closed."""
        call.perhaps = call.perhaps or call.flying
        return self._ended(call, self._closed())

    def _closed(self) -> Closed:
        return Closed("this handle is closed", where=self.name, hint="Open or connect again.")

    def _check_sendable(self, operation: Operation, options: Mapping[str, Any]) -> None:
        if operation.files and not self.attached:
            raise Forbidden(
                "this names files of the service's machine", where=operation.name,
                hint="Use it there, with the memory attached: graphsvc.open(directory).",
            )  # fmt: skip
        for option in ("count", "embedder"):
            check_sendable(options.get(option), option)

    def _portable(self, operation: Operation, options: dict[str, Any]) -> dict[str, Any]:
        """Options as the owner can use them: whole paths, for it has another directory, and a seed for a generator."""
        if operation.files and isinstance(options.get("path"), str | os.PathLike):
            options["path"] = str(whole_path(options["path"]))
        if isinstance(options.get("rng"), random.Random):
            options["rng"] = options["rng"].getrandbits(63)
        if isinstance(options.get("embedder"), str | os.PathLike):
            options["embedder"] = absolute(options["embedder"])
        return options

    # --- what came of an attempt ------------------------------------------------------------------------------

    def begun(self, call: Call) -> dict[str, str]:
        """The headers of the next attempt."""
        call.attempt += 1
        call.flying = True
        headers = dict(call.headers)
        if not call.safe and self.era is not None:
            if call.attempt == 1:
                call.headers[wire.AGAIN] = self.era  # of all that follow
            elif not call.perhaps:
                headers.pop(wire.AGAIN, None)
        return headers

    def read(self, response: httpx.Response) -> Any:
        """The result in a response. Raises the error in it."""
        self.era = response.headers.get(wire.ERA, self.era)
        if response.headers.get("content-type", "").partition(";")[0] != wire.MEDIA:
            raise self._foreign(response)
        content = wire.decode(response.content)
        if response.status_code == 200:
            return content
        raise self.told(content)

    def told(self, error: Any) -> GraphsvcError:
        """The error that a service tells, as it is raised here."""
        if not isinstance(error, GraphsvcError):
            return GraphsvcError("answered with something else than an error", where=self.name)
        if isinstance(error, Closed):
            closing = self.gone(error)
            closing.__cause__ = error
            return closing
        return error

    def _foreign(self, response: httpx.Response) -> GraphsvcError:
        """The error in a response that isn't of the calls: of what stands before them, or of another program."""
        try:
            said = response.json()["error"]
            error = told({"code": said["code"], "what": said["what"], **said})
        except (ValueError, KeyError, TypeError):
            if response.status_code == 408 or response.status_code >= 502:
                unanswered = Unavailable(f"answered with status {response.status_code}", where=self.name)
                # Not the service's own words: what stands before it may have sent the call on, and lost the answer.
                cause = httpx.HTTPStatusError(unanswered.what, request=response.request, response=response)
                unanswered.__cause__ = cause
                return unanswered
            hint = "Is it the address of `graphsvc serve`?"
            return Unsupported(f"is no service of graphsvc (status {response.status_code})", where=self.name, hint=hint)
        wait = response.headers.get("retry-after", "")
        if isinstance(error, Overloaded | RateLimited):
            error.retry_after = float(wait) if wait.isdigit() else 1.0
        return error

    def gone(self, error: BaseException) -> Unavailable:
        """That whoever owned the memory has gone."""
        hint = "Call graphsvc.open() again: it attaches to the next owner, or becomes it." if self.attached else ""
        what = f"can't be reached: {error or type(error).__name__}"
        if isinstance(error, httpx.ReadTimeout):
            what = f"didn't answer in {self.timeout:g} s"
        elif self.attached:
            what = "the process that owns the memory has closed it, or ended"
        return Unavailable(what, where=self.name, hint=hint or "Try again later.")

    def delay(self, call: Call, error: Exception) -> float:
        """After how many seconds to send a call again. Raises what ends it."""
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            raise BadInput(f"is no address of a service: {error}", where="url") from None
        unsent = isinstance(error, UNSENT)
        call.flying = False
        if isinstance(error, httpx.TransportError):
            call.perhaps = call.perhaps or not unsent
        if self.closed and isinstance(error, httpx.TransportError | RuntimeError):  # the latter between two attempts
            raise self._ended(call, self._closed()) from error
        if isinstance(error, httpx.TransportError):
            final: GraphsvcError = self.gone(error)
            if unsent and self.attached:
                raise self._ended(call, final) from error
        elif isinstance(error, Overloaded | RateLimited | InUse) or (
            isinstance(error, Unavailable) and not self.attached
        ):
            final = error
            call.perhaps = call.perhaps or error.__cause__ is not None
        else:
            raise error
        # By chance, so that not all come at once.
        wait: float = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (call.attempt - 1)) * random.uniform(0.5, 1.5)  # nosec B311
        wait = max(wait, getattr(error, "retry_after", 0.0))
        if time.monotonic() + wait >= call.deadline:
            raise self._ended(call, final) from error
        return wait

    def _ended(self, call: Call, error: GraphsvcError) -> GraphsvcError:
        """What is raised where a call isn't sent again."""
        if not call.perhaps or OPERATIONS[call.operation].role is Role.READER:
            return error
        hint = f"Send it again with id={call.own_id!r}: it is written once." if call.own_id else ""
        return OutcomeUnknown("it was sent, and its answer was lost", where=call.operation, hint=hint)


def check_sendable(value: Any, where: str) -> Any:
    """The value, unless it is a function. Raises Unsupported."""
    if callable(value):
        hint = "Leave it out, or do this in the process that owns the memory."
        raise Unsupported("a function can't be sent to the process that owns the memory", where=where, hint=hint)
    return value


def _identified(name: str, options: dict[str, Any]) -> tuple[dict[str, Any], str, bool]:
    """The options with an id for each record that is to be made; the one, where there is one; whether all have one."""
    if name in OWN_ID:
        given = options.get("id")
        own_id = new_id() if given is None else given  # one that is none is refused there
        return {**options, "id": own_id}, own_id if isinstance(own_id, str) else "", True
    rows = options.get(MANY.get(name, ""))
    if not isinstance(rows, list | tuple) or not all(isinstance(row, dict) for row in rows):
        return options, "", False
    given = [row if row.get("id") is not None else {**row, "id": new_id()} for row in rows]
    return {**options, MANY[name]: given}, "", True


def bound_options(
    signature: inspect.Signature, verb: Any, args: tuple[Any, ...], given: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by name. Raises TypeError as the verb would."""
    options = signature.bind(verb, *args, **given).arguments
    options.pop("self", None)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            options.update(options.pop(name, {}))
    return options
