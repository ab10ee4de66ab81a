"""Cypher that users write: checked, run, and what it returns."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, overload

from graphsvc.cypher.expected import expected
from graphsvc.cypher.functions import FUNCTIONS
from graphsvc.cypher.tokens import parameters_of
from graphsvc.errors import BadInput, EngineError, MissingExtra, NeedsUnbound
from graphsvc.memory.namespaces import Namespaces
from graphsvc.memory.opened import Opened
from graphsvc.memory.parameters import check_names, check_types, converted
from graphsvc.model.elements import Edge, Node, Path, as_data

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    import pyarrow as pa

    from graphsvc.model.schema import Schema
    from graphsvc.store.answers import Answer
    from graphsvc.store.stop import Stop

SHOWN_ROWS = 10
SHOWN_CELL = 40


class Result(Sequence[dict[str, Any]]):
    """What a statement returned, complete: it can be gone through more than once, and outlives the memory.

    Iterating gives a dictionary for each row, `result[0]` is the first one; `rows` has them as tuples. Times are UTC
    with their zone; nodes, edges and paths are `graphsvc.Node`, `Edge` and `Path`, equal on both engines.

    Attributes:
        more: whether there were more rows than the limit let through.
        took: seconds, the wait for what was written before included.
        behind: whether the graph hadn't reached the last write when the wait for it ended.
    """

    def __init__(self, answer: Answer, took: float, *, behind: bool = False) -> None:
        self._answer = answer
        self.more = answer.more
        self.took = took
        self.behind = behind

    @property
    def columns(self) -> list[str]:
        """Their names, as `AS` gives them."""
        return list(self._answer.columns)

    @property
    def types(self) -> list[str]:
        """The engine's types of the columns, like `INT64`, `STRING[]`, `NODE`."""
        return list(self._answer.types)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows, values in the order of the columns."""
        return self._answer.rows

    def __len__(self) -> int:
        return len(self._answer)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        columns = self._answer.columns
        return (dict(zip(columns, row, strict=True)) for row in self._answer.rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        columns, found = self._answer.columns, self._answer.rows[index]
        if isinstance(index, slice):
            return [dict(zip(columns, row, strict=True)) for row in found]
        return dict(zip(columns, found, strict=True))

    def value(self) -> Any:
        """The first column of the first row; None where there is no row."""
        rows = self._answer.rows
        return rows[0][0] if rows and rows[0] else None

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table: the engine's own memory, not copied, where there are many and values are simple.

        Of nodes, edges and paths it has structs, whose `properties` are JSON texts.
        """
        from graphsvc.store.answers import arrow_table

        return arrow_table(self._answer)

    def df(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame; nodes, edges and paths stay as they are.

        Raises:
            MissingExtra: pandas isn't installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtra("pandas isn't installed", hint="pip install 'graphsvc[dataframe]'.") from error
        if any(isinstance(value, Node | Edge | Path | list | dict) for row in self.rows[:1] for value in row):
            return pd.DataFrame(self.rows, columns=self.columns)
        return self.arrow().to_pandas()

    def graph(self) -> nx.MultiDiGraph[Any]:
        """The nodes, edges and paths of all rows as a networkx MultiDiGraph.

        A node is named by `(label, key)`; attributes are the properties, and the label as `_label`. Nodes that are only
        at the end of an edge have no attributes but that.
        """
        import networkx as nx

        graph: nx.MultiDiGraph[Any] = nx.MultiDiGraph()
        seen: set[Any] = set()
        for row in self.rows:
            for value in row:
                _draw(graph, value, seen)
        return graph

    def json(self) -> str:
        """The rows as a JSON text: a list with an object for each."""
        import msgspec

        return msgspec.json.encode([as_data(row) for row in self], enc_hook=str).decode()

    def __repr__(self) -> str:
        count = f"{len(self):,} row{'' if len(self) == 1 else 's'}{', and more' if self.more else ''}"
        summary = f"<Result: {count}, {self.took * 1000:.1f} ms>"
        if not self._answer.columns or not len(self):
            return f"{summary} {', '.join(self._answer.columns)}".strip()
        shown = [self._answer.columns, *([_cell(value) for value in row] for row in self.rows[:SHOWN_ROWS])]
        widths = [max(len(row[place]) for row in shown) for place in range(len(shown[0]))]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in shown]
        lines.insert(1, "  ".join("─" * width for width in widths))
        if len(self) > SHOWN_ROWS:
            lines.append("…")
        return "\n".join([*lines, summary])


def _cell(value: Any) -> str:
    text = "null" if value is None else value if isinstance(value, str) else repr(value)
    if isinstance(value, date):
        text = value.isoformat()
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= SHOWN_CELL else text[: SHOWN_CELL - 1] + "…"


def _draw(graph: nx.MultiDiGraph[Any], value: Any, seen: set[Any]) -> None:
    if isinstance(value, Node):
        graph.add_node(value.end, **{**value.properties, "_label": value.label})
    elif isinstance(value, Edge):
        for end in (value.source, value.target):
            graph.add_node(end, _label=end.label)
        if value._place is None or value._place not in seen:
            seen.add(value._place)
            graph.add_edge(value.source, value.target, **{**value.properties, "_label": value.label})
    elif isinstance(value, Path):
        for item in (*value.nodes, *value.edges):
            _draw(graph, item, seen)
    elif isinstance(value, list):
        for item in value:
            _draw(graph, item, seen)
    elif isinstance(value, dict):
        for item in value.values():
            _draw(graph, item, seen)


def cypher(
    opened: Opened,
    namespaces: Namespaces,
    query: Any,
    params: Mapping[str, Any] | None,
    timeout: float | None,
    limit: int | None,
    write: bool,
    wait: float | None,
    stop: Stop | None = None,
) -> Result:
    """Run a statement; see `Memory.cypher`. `stop` may end a read; a write that was appended is done."""
    opened.check()
    _check_unbound(namespaces, "cypher")
    if not isinstance(query, str):
        raise BadInput(f"expected a text, got {type(query).__name__}", where="query")
    began = time.perf_counter()
    settings, store, reached = opened.settings, opened.store, True
    most = _limit(limit, settings.cypher_rows)
    seconds = _seconds(timeout, settings.graph_timeout, "timeout")
    waited = None if write and wait is None else _seconds(wait, settings.read_wait, "wait")
    given = check_names(parameters_of(query), params)
    values = {name: converted(value, f"${name}") for name, value in given.items()}
    graph = store.graph  # once it is open: only then does the wait for what it has yet to take in begin
    try:
        if write:
            answer = _written(opened, namespaces, query, values, seconds, most, waited)
        else:
            head, follower = opened.log.head, store.graph_follower
            reached = follower.applied >= head or store.wait((follower,), head, waited or 0.0)
            if values:
                check_types(expected(query), values, graph.engine.schema())
            answer = graph.engine.answer(query, values, timeout=seconds, limit=most, stop=stop)
    except EngineError as error:
        from graphsvc.memory.cypher_errors import explained

        raise explained(error, query, store.graph.engine) from None
    return Result(answer, time.perf_counter() - began, behind=not reached)


def _written(
    opened: Opened,
    namespaces: Namespaces,
    query: str,
    values: dict[str, Any],
    timeout: float,
    limit: int,
    wait: float | None,
) -> Answer:
    from graphsvc.memory.statements import run
    from graphsvc.store.answers import Answer

    answer = run(opened, namespaces, query, values, timeout=timeout, limit=max(1, limit), wait=wait)
    if answer is None:
        return Answer([], [], [])
    return answer if limit else Answer(answer.columns, answer.types, [], more=len(answer) > 0)


def schema(opened: Opened, namespaces: Namespaces, counts: bool) -> Schema:
    """The tables of the graph; see `Memory.schema`."""
    from graphsvc.model.schema import Schema
    from graphsvc.store.catalog import describe

    opened.check()
    _check_unbound(namespaces, "schema")
    store = opened.store
    graph = store.graph
    store.wait((store.graph_follower,), opened.log.head, opened.settings.read_wait)
    return Schema(tuple(describe(graph.engine, count=counts)))


def functions() -> list[str]:
    """Names of the functions that a statement may call."""
    return sorted(map(str.lower, FUNCTIONS))


def _check_unbound(namespaces: Namespaces, where: str) -> None:
    if namespaces.agent is not None:
        raise NeedsUnbound(
            f"a handle bound to {namespaces.agent!r} can't run Cypher, which sees every namespace", where=where
        )


def _limit(limit: Any, default: int) -> int:
    if limit is None:
        return default
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise BadInput(f"expected a number of rows, got {limit!r}", where="limit")
    return limit


def _seconds(given: Any, default: float, where: str) -> float:
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 1e6:
        raise BadInput(f"expected seconds, more than 0, got {given!r}", where=where)
    return float(given)
