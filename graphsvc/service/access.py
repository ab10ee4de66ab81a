"""Who calls, and what they may: the one place that decides. What isn't allowed here is refused."""

from __future__ import annotations

from dataclasses import dataclass

from graphsvc.errors import Forbidden
from graphsvc.service.operations import OPERATIONS, Operation, Role


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from.

    Attributes:
        name: of the key, or the token's subject; `local` where no authentication is asked for.
        role: what it may do.
        namespaces: that it sees and writes, the first one by default; None: all.
        local: whether it is the owner's own user on this machine (over the Unix socket or standard input), who may
            name files.
        identity: what limits count it under and the audit log tells it apart by: a key's id, an issuer's subject.
            Empty: not limited.
    """

    name: str
    role: Role
    namespaces: tuple[str, ...] | None = None
    local: bool = False
    identity: str = ""


OPEN = Caller("local", Role.ADMIN, None)
"""Who calls a service on loopback that asks for no authentication."""

def authorize(caller: Caller, name: str) -> Operation:
    """The operation of this name, if the caller may do it. Raises Forbidden, also where there is no such operation."""
    operation = OPERATIONS.get(name)
    if operation is None:
        raise Forbidden("no such operation", where=name)
    if caller.role < operation.role:
        raise Forbidden(
            f"this takes the role {operation.role.name.lower()}, and {caller.name!r} is {caller.role.name.lower()}",
            where=name,
        )
    if operation.unbound and caller.namespaces is not None:
        raise Forbidden(
            "what this reads or writes has no namespace", where=name, hint="It takes a key for all namespaces."
        )
    if operation.files and not caller.local:
        raise Forbidden(
            "this names files of the service's machine", where=name,
            hint="Use it there, with the memory attached: graphsvc.open(directory).",
        )  # fmt: skip
    return operation


def binding(caller: Caller, agent: str | None, shared: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The namespaces that a request is bound to: those asked for, within what the caller may.

    Args:
        agent: namespace that is asked for; None: the caller's own. shared: further ones to read.

    Returns:
        As `Memory.as_agent` takes them; (None, ()) for a handle that sees everything.

    Raises:
        Forbidden: for a namespace that isn't the caller's, whether or not there is such a one.
    """
    if caller.namespaces is None:
        return agent, shared
    for name in (agent, *shared):
        if name is not None and name not in caller.namespaces:
            raise Forbidden("not a namespace of this key", where="agent")
    if agent is not None:
        return agent, shared
    return caller.namespaces[0], caller.namespaces[1:]
