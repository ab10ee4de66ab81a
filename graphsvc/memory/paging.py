"""Many records at a time: pages of a list, and records by their ids."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import BadInput
from graphsvc.log import believed
from graphsvc.log.columns import NO_INT
from graphsvc.log.state import every
from graphsvc.memory.edge_filters import Columned
from graphsvc.memory.retrieval import Where, check_k
from graphsvc.model.filters import matches, parse
from graphsvc.model.kinds import IN_COLUMNS, KINDS
from graphsvc.model.records import Record
from graphsvc.model.tables import Table
from graphsvc.model.times import micros
from graphsvc.store.user_tables import nodes_of

if TYPE_CHECKING:
    from graphsvc.memory.namespaces import Namespaces
    from graphsvc.memory.opened import Opened
    from graphsvc.store.graph import GraphProjection

PAGED = tuple(name for name in IN_COLUMNS if not KINDS[name].derived)
"""Kinds of records that can be paged through."""
MOST_IDS = 10_000

Named = tuple[str, str, str]
"""Kind, namespace and id of a record."""


def orders(kind: str) -> tuple[str, ...]:
    """The fields that a kind can be ordered by: times and numbers."""
    return tuple(field.name for field in KINDS[kind].fields.values() if field.type in ("time", "int", "float"))


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of records, or of rows of a table of one's own.

    Attributes:
        items: the records or rows, in the order asked for. cursors: where each stands, for `after` and `before`.
        total: how many there are on all pages. more_before, more_after: whether there are some before it, after it.
    """

    items: tuple[T, ...]
    cursors: tuple[str, ...]
    total: int
    more_before: bool
    more_after: bool

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return cast("dict[str, Any]", msgspec.to_builtins(self))


class Paging:
    """The verbs of a memory that read many records, of any kind."""

    _opened: Opened
    _namespaces: Namespaces

    def get_many(self, ids: Sequence[Named]) -> list[Record | None]:
        """Records by kind, namespace and id, in the order given; None for each that isn't there, or isn't seen.

        Args:
            ids: like `("episode", "default", "e-1")`, at most 10,000.

        Raises:
            BadInput, TooLarge: for an id.
        """
        self._opened.check()
        given: Any = ids
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise BadInput(f"expected a list of (kind, namespace, id), got {type(ids).__name__}", where="ids")
        check_k(max(1, len(ids)), MOST_IDS, "ids")
        seen = self._namespaces.reads()
        wanted: dict[str, list[tuple[str, str]]] = {}
        for place, named in enumerate(given):
            parts = named if isinstance(named, tuple | list) else ()
            if len(parts) != 3 or not all(isinstance(part, str) for part in parts):
                raise BadInput(f"expected (kind, namespace, id), got {named!r}", where=f"ids[{place}]")
            kind, agent, id = named
            if kind not in KINDS:
                hint = f"Kinds: {', '.join(KINDS)}."
                raise BadInput(f"{kind!r} is no kind of record", where=f"ids[{place}]", hint=hint)
            if seen is None or agent in seen:
                wanted.setdefault(kind, []).append((agent, id))
        found = {kind: self._opened.log.records_of(kind, list(dict.fromkeys(refs))) for kind, refs in wanted.items()}
        return [found.get(kind, {}).get((agent, id)) for kind, agent, id in ids]

    def page(
        self,
        kind: str,
        k: int = 100,
        *,
        where: Where = None,
        agent: str | Sequence[str] | None = None,
        order: str = "at",
        descending: bool = True,
        after: str | None = None,
        before: str | None = None,
        last: bool = False,
    ) -> Page[Record]:
        """A page of the records of a kind that pass a filter; of facts those that are believed.

        Args:
            kind: "episode", "skill", "entity", "fact", "variable" or "cause". k: how many at most. where: the filter.
            agent: namespace or namespaces; None for all that the handle sees.
            order: a field that holds times or numbers. Records without a value come last, those of equal value in the
                order of their making.
            descending: whether the latest, or most, comes first.
            after, before: only what stands after, before this cursor of another page of the same order.
            last: the last k of them, not the first.

        Returns:
            The page. Its `total` counts all that pass, whatever the cursors.

        Raises:
            BadInput, UnknownField, TooLarge: for an argument.
        """
        self._opened.check()
        if kind not in PAGED:
            raise BadInput(f"{kind!r} can't be paged through", where="kind", hint=f"Kinds: {', '.join(PAGED)}.")
        limit = check_k(k, self._opened.settings.max_results)
        if order not in orders(kind):
            raise BadInput(f"{order!r} is no order", where="order", hint=f"Orders: {', '.join(orders(kind))}.")
        log, agents = self._opened.log, self._namespaces.reads(agent)
        filter = parse(where, KINDS[kind])
        rows, _ = believed.rows(log, None, {}, filter, agents) if kind == "fact" else log.mask(kind, filter, agents)
        values = self._ranks(kind, order, rows, descending)
        sorted_ = np.lexsort((rows, values))
        rows, values = rows[sorted_], values[sorted_]
        start = 0 if after is None else self._place(kind, rows, values, after, "after", descending, "right")
        end = len(rows) if before is None else self._place(kind, rows, values, before, "before", descending, "left")
        end = max(start, end)
        first, beyond = (max(start, end - limit), end) if last else (start, min(end, start + limit))
        by_row = log.records(rows[first:beyond])
        items = [by_row[row] for row in rows[first:beyond].tolist() if row in by_row]
        cursors = tuple(_cursor(item, order) for item in items)
        return Page(tuple(items), cursors, len(rows), first > 0, beyond < len(rows))

    def _ranks(self, kind: str, order: str, rows: NDArray[Any], descending: bool) -> NDArray[np.float64]:
        """What rows are ordered by, ascending; infinite where there is no value."""
        held = self._opened.log.columns.values(kind, order, rows)
        values = held.astype(np.float64)
        missing = np.isnan(values) if KINDS[kind].fields[order].type == "float" else held == NO_INT
        values *= -1 if descending else 1
        values[missing] = np.inf
        return values

    def _place(
        self, kind: str, rows: NDArray[Any], values: NDArray[np.float64], cursor: Any, where: str, descending: bool,
        side: Any,
    ) -> int:  # fmt: skip
        """How many of the ordered rows stand before a cursor; with `side` "right" it is counted itself."""
        value, agent, id = _decoded(cursor, where, tuple[float | int | None, str, str])
        with self._opened.log.pool.connection() as connection:
            own = [stored.row for stored in every(connection, kind, id) if stored.agent == agent]
        rank = np.inf if value is None else -value if descending else value
        low, high = np.searchsorted(values, rank, "left"), np.searchsorted(values, rank, "right")
        return int(low + np.searchsorted(rows[low:high], own[0] if own else -1, side))


def page_of_rows(
    graph: GraphProjection, name: str, where: Where, k: int, keys: Sequence[Any] | None, after: str | None,
    before: str | None, last: bool,
) -> Page[dict[str, Any]]:  # fmt: skip
    """Rows of a table of the user's, by key; see `Graph.rows`."""
    table = graph.tables[name]
    columned = Columned.of(name, table.columns)
    filter = parse(where, columned)
    columns = () if filter is None else tuple(columned.fields)
    if keys is not None:
        there = graph.rows_of(name, list(dict.fromkeys(keys)))
        chosen = sorted(key for key, row in there.items() if matches(filter, columned.row(row)))
    else:
        every = nodes_of(graph.engine.stream, graph.tables, table, columns)
        chosen = sorted(key for key, row in every if filter is None or matches(filter, columned.row(row)))
    start = 0 if after is None else bisect_right(chosen, _key(after, "after", table))
    end = len(chosen) if before is None else bisect_left(chosen, _key(before, "before", table))
    end = max(start, end)
    low, high = (max(start, end - k), end) if last else (start, min(end, start + k))
    shown = chosen[low:high]
    rows = there if keys is not None else graph.rows_of(name, shown) if shown else {}
    items = [rows[key] for key in shown if key in rows]
    cursors = tuple(coded(item[table.key]) for item in items)
    return Page(tuple(items), cursors, len(chosen), low > 0, high < len(chosen))


def coded(value: Any) -> str:
    """What a cursor holds, as one text: of rows of a table their key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def _key(cursor: Any, where: str, table: Table) -> Any:
    type = str if table.columns[table.key] == "STRING" else int
    return _decoded(cursor, where, type)


def _decoded(cursor: Any, where: str, type: Any) -> Any:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=type)
    except (TypeError, ValueError, binascii.Error, msgspec.MsgspecError):
        raise BadInput(f"{cursor!r} is no cursor of a page", where=where) from None


def _cursor(record: Record, order: str) -> str:
    value = getattr(record, order)
    return coded([micros(value) if isinstance(value, datetime) else value, record.agent, record.id])
