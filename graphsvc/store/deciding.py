"""Statements in the graph: each alone in a transaction, its outcome noted before that commits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphsvc.errors import BufferFull, Closed, EngineError, FollowerStopped, GraphsvcError, StorageFull
from graphsvc.model.change import Change
from graphsvc.model.statements import Outcome, Statement
from graphsvc.store import lists
from graphsvc.store.ledger import Ledger, Refused, Result, asked, parts
from graphsvc.store.statements import Run
from graphsvc.store.transaction import Transaction
from graphsvc.store.user_tables import Catalog, statement

if TYPE_CHECKING:
    from graphsvc.store.graph import GraphProjection

logger = logging.getLogger("graphsvc.store")

CHECKPOINT_SECONDS = 30.0
"""How long readers may hold up a checkpoint that must be."""


def decide(graph: GraphProjection, call: Sequence[Change], ledger: Ledger) -> None:
    """A statement, alone in a transaction. Its outcome is noted before that commits; then `applied` moves.

    A failure of the machine is no outcome: it is tried again.
    """
    n, known = call[-1].n, ledger.outcome(call[-1].n)
    if known is not None and not known.ok:
        graph._commit(lambda transaction: None, n)
        ledger.answered(n, known.error())
        return
    try:
        result = _attempt(graph, call, ledger, known)
    except Refused as refused:
        outcome = _failed(n, refused.error, ledger, known)
        graph._commit(lambda transaction: None, n)
        ledger.answered(n, outcome.error())
    else:
        graph._checkpoint_if_due()
        ledger.answered(n, result)


def _attempt(graph: GraphProjection, call: Sequence[Change], ledger: Ledger, known: Outcome | None) -> Result:
    asks, n = [asked(part) for part in parts(call)], call[-1].n
    ask = asks[0]
    # none for rows, however many, nor for a replay
    timeout = ask.timeout or graph._settings.graph_timeout if known is None and ask.op == "cypher" else None
    effects: lists.Effects = {}
    for part in parts(call):
        effects |= lists.of_call(asked(part), part, graph.tables)  # a call writes a table once
    deletes = any(map(_deletes, asks)) and graph._unsaved != set()
    needed = graph._name == "kuzu" and (deletes or graph._mixes_lists(effects))  # see `_checkpoint_before`
    if needed and not graph._checkpoint(CHECKPOINT_SECONDS):
        raise EngineError("the graph couldn't be checkpointed before it is changed: it is being read")
    kept: list[tuple[Result, Catalog]] = []

    def work(transaction: Transaction) -> None:
        run = Run(graph._name, transaction, graph.tables, timeout)
        try:
            lists.refuse_both(ask, effects)
            result = run.run(call)
        except (BufferFull, StorageFull, Closed):
            raise
        except GraphsvcError as error:
            raise Refused(error) from error
        except Exception as error:  # a defect of ours: it must not keep the graph from all that comes after it
            logger.exception("the statement %d failed unexpectedly", n)
            raise Refused(EngineError(f"unexpected {type(error).__name__}: {error}")) from error
        kept[:] = [(result, run.catalog)]
        if known is None:
            ledger.conclude(Outcome(n, counts=result.counts), run.touched)

    whole = _try(graph, work, n, first=known is None)
    graph._unsaved = None  # nobody knows which nodes got edges
    for one in asks:
        graph._thinned |= _thinned_by(one, kept[0][1])
    graph.adjacency_of_all.drop()
    graph._note_lists(effects)
    result, catalog = kept[0]
    if whole:  # else it was opened anew, and knows
        graph.tables = catalog
    return result


def _thinned_by(ask: Statement, tables: Catalog) -> set[tuple[str, str, str]]:
    """Of which edges of the user's a statement may have deleted some, among the tables that are there after it."""
    if not _deletes(ask):
        return set()
    return {
        (table.name, *ends)
        for table in tables.values()
        for ends in table.ends
        if ask.op != "delete" or ask.table in (table.name, *ends)
    }


def _deletes(ask: Statement) -> bool:
    return ask.deletes or ask.ddl or ask.op in ("delete", "drop")


def _try(graph: GraphProjection, work: Callable[[Transaction], None], n: int, *, first: bool) -> bool:
    """Twice where the engine's memory is full, the second time with all of it free; then it is too small."""
    try:
        return graph._commit(work, n)
    except BufferFull:
        pass  # and the error goes: its frames hold the engine's memory
    graph._free_memory()
    if not graph.engine.closed:
        graph.engine.close()
        graph._open()
    try:
        return graph._commit(work, n)
    except BufferFull as error:
        if first:
            raise Refused(error) from error
        raise FollowerStopped(
            f"the statement {n} needs more than the graph engine's memory",
            where="graph",
            hint=f"Raise the setting graph_buffer_bytes, now {graph._settings.graph_buffer_bytes:,}.",
        ) from error


def _failed(n: int, error: GraphsvcError, ledger: Ledger, known: Outcome | None) -> Outcome:
    """Note that a statement failed. One that was done before may fail only where something was forgotten since."""
    if known is None:
        noted = ledger.conclude(Outcome.failed(n, error), [])
        if noted.ok:  # it was done, and its COMMIT failed: that is the machine's
            raise error
        return noted
    if ledger.forgot_after(n):
        return ledger.conclude(Outcome.failed(n, error, "forgotten"), [])
    raise FollowerStopped(
        f"the statement {n} was done before, and fails now: {error}",
        where="graph",
        hint="Run `graphsvc repair`; where that doesn't help, restore a snapshot.",
    ) from error


def cut_user_edges(
    transaction: Transaction, tables: Catalog, gone: Mapping[str, list[dict[str, Any]]]
) -> set[tuple[str, str, str]]:
    """Edges of the user's onto nodes of the memory's own go when the node goes.

    Args:
        gone: keys of the nodes, by table.

    Returns: of which edges some were deleted: their table, and the tables at their ends.
    """
    thinned: set[tuple[str, str, str]] = set()
    for table in tables.values():
        for ends in table.ends:
            for end, name in zip(ends, ("table_cut_out_edge", "table_cut_in_edge"), strict=True):
                if end in gone and transaction.each(statement(name, tables, table, ends=ends), gone[end]):
                    thinned.add((table.name, *ends))
    return thinned
