"""What resolvers know of the request that they answer."""

from __future__ import annotations

from typing import Any

from graphsvc.service.access import Caller
from graphsvc.service.events import Events
from graphsvc.service.gate import Gate
from graphsvc.service.graphql.loaders import Loaders
from graphsvc.service.graphql.once import Once
from graphsvc.service.limits import Turn, Work


class Context:
    """One request: who asks, bound to what. Made anew for each, since what loaders have read is kept in it.

    Attributes:
        gate: the way to the memory. events: what happens there. caller: who asks.
        agent, shared: namespaces that the request asks to be bound to; None and () for the caller's own.
        loaders: what reads in batches. work: does what a connection that lasts asks for, within limits.
        once: mutations that came before. turn: that the request holds, if it holds one.
    """

    __slots__ = ("agent", "caller", "events", "gate", "loaders", "once", "shared", "turn", "work")

    def __init__(
        self,
        gate: Gate,
        caller: Caller,
        agent: str | None = None,
        shared: tuple[str, ...] = (),
        *,
        events: Events | None = None,
        work: Work | None = None,
        once: Once | None = None,
        turn: Turn | None = None,
    ) -> None:
        self.gate = gate
        self.events = events or Events(gate)
        self.caller = caller
        self.agent = agent
        self.shared = shared
        self.loaders = Loaders(self)
        self.work = work or Work()
        self.once = once or Once()
        self.turn = turn

    async def call(self, name: str, /, *args: Any, **options: Any) -> Any:
        """Do an operation as this request's caller. Raises what `Gate.call` raises."""
        return await self.gate.call(
            self.caller, name, *args, agent_bound=self.agent, shared_bound=self.shared, **options
        )
