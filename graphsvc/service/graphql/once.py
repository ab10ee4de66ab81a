"""Mutations that came with a client's id, for as long as they may be sent again: each is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from graphsvc.errors import GraphsvcError
from graphsvc.service.access import Caller
from graphsvc.service.limits import Turn
from graphsvc.service.problems import status_of
from graphsvc.service.repeats import Repeats, begun

Place = tuple[Caller, str, str]
"""Who asked, the mutation, and the client's id."""


class Once:
    """Does each mutation once, however often it is sent; what it gave is kept for a while, within bounds."""

    def __init__(self) -> None:
        self._repeats: Repeats[Place] = Repeats("clientMutationId", _weight)

    async def do(
        self, place: Place, asked: Any, turn: Turn | None, begin: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        """What `begin` gives, or gave when this came before. It goes on where who asked goes, holding the turn.

        Raises:
            Conflict: where other things were asked for under this id.
        """
        text = msgspec.json.encode(asked, enc_hook=repr, order="deterministic")
        return await asyncio.shield(self._repeats.task(place, text, lambda: begun(begin(), turn)))


def _weight(task: asyncio.Task[Any]) -> int | None:
    """About as many bytes as its result holds."""
    error = task.exception()
    if error is not None:
        return None if isinstance(error, GraphsvcError) and status_of(error) in (429, 503) else 1_000
    given = task.result()
    try:
        return len(msgspec.json.encode(getattr(given, "rows", given), enc_hook=repr))
    except (TypeError, ValueError):  # keys of a kind that JSON hasn't
        return len(repr(given))
