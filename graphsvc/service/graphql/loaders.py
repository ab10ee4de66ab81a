"""Reads in batches: what many resolvers ask one by one within a turn of the loop is read in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from strawberry.dataloader import DataLoader

from graphsvc.memory.graph import MOST_NODES
from graphsvc.memory.paging import coded
from graphsvc.memory.reached import Joint, LazyNode, fetch_all
from graphsvc.model.records import Cause, Record
from graphsvc.service.graphql.global_ids import global_id

if TYPE_CHECKING:
    from graphsvc.service.graphql.context import Context

Named = tuple[str, str, str]
"""Kind, namespace and id of a record."""
K = TypeVar("K", bound=Hashable)


class Edges(NamedTuple):
    """Edges at a node that are asked for: whose, and which."""

    node: tuple[Any, ...]
    rel: tuple[str, ...] | None = None
    direction: str = "both"
    tables: tuple[str, ...] | None = None


class Causal(NamedTuple):
    """Causal edges at a node that are asked for."""

    node: Named
    direction: str
    min_confidence: float


class Row:
    """A row of a table of the user's."""

    __slots__ = ("key", "table", "values")

    def __init__(self, table: str, key: Any, values: dict[str, Any]) -> None:
        self.table = table
        self.key = key
        self.values = values

    @property
    def id(self) -> str:
        """Its global id."""
        return global_id(f"table:{self.table}", "", self.key)

    def get(self, column: str) -> Any:
        """A value."""
        return self.values.get(column)


class Loaders:
    """The loaders of one request. Each is made when it is first used."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @cached_property
    def records(self) -> DataLoader[Named, Record | None]:
        """Records by kind, namespace and id; None for what isn't there, or isn't seen."""

        async def load(keys: list[Named]) -> Sequence[Record | None]:
            return await self._context.call("get_many", keys)  # type: ignore[no-any-return]

        return DataLoader(load, max_batch_size=MOST_NODES)

    @cached_property
    def joints(self) -> DataLoader[Edges, list[Joint]]:
        """The edges at nodes."""

        async def read(nodes: list[Edges]) -> Sequence[list[Joint]]:
            _, rel, direction, tables = nodes[0]
            return await self._context.call(  # type: ignore[no-any-return]
                "graph.joints", [one.node for one in nodes], rel=rel, direction=direction, tables=tables
            )

        return DataLoader(_grouped(read, lambda key: key[1:]), max_batch_size=MOST_NODES)

    @cached_property
    def causal(self) -> DataLoader[Causal, list[Cause]]:
        """The causal edges at nodes, the strongest first."""

        async def read(nodes: list[Causal]) -> Sequence[list[Cause]]:
            _, direction, least = nodes[0]
            return await self._context.call(  # type: ignore[no-any-return]
                "causal.around", [one.node for one in nodes], direction=direction, min_confidence=least
            )

        return DataLoader(_grouped(read, lambda key: key[1:]), max_batch_size=MOST_NODES)

    @cached_property
    def properties(self) -> DataLoader[LazyNode, dict[str, Any]]:
        """The properties of nodes that a walk met. They are read by the handle that met them, which saw the caller."""

        async def load(nodes: list[LazyNode]) -> Sequence[dict[str, Any]]:
            await asyncio.to_thread(fetch_all, nodes)
            return [node.properties for node in nodes]

        return DataLoader(load, cache_key_fn=lambda node: (node.label, node.key))

    @cached_property
    def rows(self) -> DataLoader[tuple[str, Any], Row | None]:
        """Rows of the user's tables by table and key; None for what isn't there."""

        async def read(keys: list[tuple[str, Any]]) -> Sequence[Row | None]:
            table = keys[0][0]
            wanted = [key for _, key in keys]
            page = await self._context.call("graph.rows", table, None, len(wanted), keys=wanted)
            found = dict(zip(page.cursors, page.items, strict=True))
            places = {key: coded(key) for key in wanted}
            return [Row(table, key, found[place]) if (place := places[key]) in found else None for key in wanted]

        return DataLoader(_grouped(read, lambda key: key[0]), max_batch_size=MOST_NODES)

    async def live(self, named: Iterable[Named]) -> list[Record | None]:
        """Records in one go."""
        return await self.records.load_many(named)


def _grouped(
    read: Callable[[list[K]], Any], alike: Callable[[K], Hashable]
) -> Callable[[list[K]], Any]:
    """A function that loads keys, from one that loads keys that are alike but for whose they are."""

    async def load(keys: list[K]) -> Sequence[Any]:
        groups: dict[Hashable, list[int]] = {}
        for place, key in enumerate(keys):
            groups.setdefault(alike(key), []).append(place)
        answers = await asyncio.gather(*(read([keys[place] for place in places]) for places in groups.values()))
        found: list[Any] = [None] * len(keys)
        for places, answer in zip(groups.values(), answers, strict=True):
            for place, one in zip(places, answer, strict=True):
                found[place] = one
        return found

    return load
