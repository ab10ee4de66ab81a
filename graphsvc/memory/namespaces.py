"""Whose memory a handle writes and sees. Every verb asks here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from graphsvc.errors import BadInput
from graphsvc.model.names import DEFAULT_AGENT, check_name


@dataclass(frozen=True, slots=True)
class Namespaces:
    """What a handle is bound to.

    Attributes:
        agent: the namespace that it writes; None: not bound, it sees everything.
        shared: further namespaces that it reads.
    """

    agent: str | None = None
    shared: tuple[str, ...] = ()

    @classmethod
    def bound(cls, agent: Any, shared: Any = ()) -> Namespaces:
        """Bound to an agent, from what a caller gave."""
        if isinstance(shared, str) or not isinstance(shared, Iterable):
            raise BadInput(f"expected a list of names, got {type(shared).__name__}", where="shared")
        names = tuple(check_name(name, f"shared[{index}]") for index, name in enumerate(shared))
        return cls(check_name(agent, "agent"), names)

    def narrowed(self, agent: Any, shared: Any = ()) -> Namespaces:
        """Bound to an agent; from a bound handle only to what it sees: binding again never widens that."""
        wanted = Namespaces.bound(agent, shared)
        if self.agent is not None:
            hidden = [name for name in (wanted.agent, *wanted.shared) if name not in (self.agent, *self.shared)]
            if hidden:
                raise BadInput(f"this handle doesn't see {hidden[0]!r}", where="agent")
        return wanted

    def writes(self, agent: Any = None) -> str:
        """The namespace that a write goes to."""
        if self.agent is not None:
            if agent is not None and agent != self.agent:
                raise BadInput(f"this handle writes as {self.agent!r}, not as {agent!r}", where="agent")
            return self.agent
        return DEFAULT_AGENT if agent is None else check_name(agent, "agent")

    def reads(self, agent: Any = None) -> tuple[str, ...] | None:
        """The namespaces that a read sees: None for all of them."""
        if agent is None:
            return None if self.agent is None else (self.agent, *self.shared)
        wanted = (agent,) if isinstance(agent, str) else tuple(agent) if isinstance(agent, Iterable) else None
        if not wanted:
            raise BadInput(f"expected a name or a list of names, got {agent!r}", where="agent")
        wanted = tuple(dict.fromkeys(check_name(name, "agent") for name in wanted))
        if self.agent is not None:
            hidden = [name for name in wanted if name != self.agent and name not in self.shared]
            if hidden:
                raise BadInput(f"this handle doesn't see {hidden[0]!r}", where="agent")
        return wanted

    def changes(self, agent: Any = None) -> tuple[str, ...] | None:
        """The namespaces whose records a change may touch: a bound handle changes only its own."""
        if self.agent is not None:
            return (self.writes(agent),)
        return None if agent is None else (check_name(agent, "agent"),)
