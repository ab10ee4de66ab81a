"""The graph as a projection of the log: changes applied exactly once, and what is in it, to be compared."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

from graphsvc.config import Settings, resource
from graphsvc.cypher.tokens import statements
from graphsvc.errors import BufferFull, EngineError, FollowerStopped, GraphsvcError, NewerFormat
from graphsvc.model.change import Change
from graphsvc.model.graph import NODE_TABLES, REL_TABLES, NetEffect, RelTable, net_effect
from graphsvc.model.requests import Touched
from graphsvc.store import lists
from graphsvc.store.adjacency import Adjacency, Kept
from graphsvc.store.anew import write_own_edges_anew, write_user_edges_anew
from graphsvc.store.connection import Rows
from graphsvc.store.contents import Content, digest_of, edge_key, plain, without_key
from graphsvc.store.deciding import cut_user_edges, decide
from graphsvc.store.engine import Engine, check_room, open_engine
from graphsvc.store.ledger import Ledger, calls
from graphsvc.store.queries import own_statement, query
from graphsvc.store.reach import Asked, EdgeSource, NodeSource, own_sources, read_adjacency, user_sources
from graphsvc.store.steps import Batch, Step, cut, keys_of, steps_of
from graphsvc.store.transaction import CommitUnclear, Transaction
from graphsvc.store.user_tables import Catalog, all_texts, read_catalog, statement, user_contents

logger = logging.getLogger("graphsvc.store")

ONE_BY_ONE = 8
"""Nodes up to which each is found by its index; for more, reading their table once is faster on Kuzu."""

CHECKPOINT_SECONDS = 30.0
"""How long readers may hold up a checkpoint that must be; they are held back meanwhile."""


class GraphProjection:
    """Nodes and edges in the graph engine, following the log.

    One thread applies; any thread reads.

    Args:
        directory: of the memory; the graph is the file `graph.kuzu` or `graph.ladybug` in it.
        engine: `kuzu` or `ladybug`.
        settings: those of the memory.

    Raises:
        Corrupt: the file can't be opened; `where` is its path. Set it aside, with what lies beside it under the same
            name (`.wal` and more), and rebuild from the log.
        NewerFormat: it has migrations that this program doesn't know.
    """

    def __init__(self, directory: Path, engine: str, settings: Settings) -> None:
        self.path = directory / f"graph.{engine}"
        self._name = engine
        self._settings = settings
        self._lock = threading.Lock()
        self._refused = False
        self._sound = True
        self.adjacency = Kept(self._read_own, self._lock, settings.adjacency_bytes)
        self.adjacency_of_all = Kept(self._read_all, self._lock, settings.adjacency_bytes)
        self._thinned: set[tuple[str, str, str]] = set()
        self._open()
        if self._unsaved is None:
            self._thinned = {(name, *pair) for name, rel in REL_TABLES.items() for pair in rel.pairs}
            self._thinned |= {(name, *ends) for name, table in self.tables.items() for ends in table.ends}

    def _open(self) -> None:
        self.engine: Engine = open_engine(self._name, self.path, self._settings)
        try:
            # Nodes that got edges since the last checkpoint, by table and key; None where nobody knows.
            self._unsaved: set[tuple[str, str]] | None = None if self.engine.wal_bytes() else set()
            # What was done since then to tables that have lists, by table; None where nobody knows.
            self._lists: lists.Effects | None = None if self._unsaved is None else {}
            self._migrate()
            self._applied, self._done = self._read_applied()
            self.tables: Catalog = read_catalog(self.engine.execute)
            self._count_nodes()
        except CommitUnclear as unclear:  # of a migration
            raise EngineError("the graph's schema couldn't be written", hint=str(unclear)) from unclear
        except BaseException:
            self.engine.close()
            raise

    def _count_nodes(self) -> None:
        self._sizes = {table: self._count("count_nodes", table) for table in NODE_TABLES}

    @property
    def applied(self) -> int:
        """Number of the last change in the graph."""
        return self._applied

    @property
    def sound(self) -> bool:
        """Whether its files can be trusted once they are closed: no COMMIT ever failed, to be replayed in part."""
        return self._sound

    def close(self) -> None:
        """Close the engine, which puts everything into its file. Safe to repeat."""
        try:
            if not self.engine.closed:
                self._renew()
        except (GraphsvcError, CommitUnclear) as error:
            self._sound = False
            logger.warning("the graph will be built anew: it couldn't be closed in order: %s", error)
        self.engine.close()

    # applying

    def apply(self, changes: Sequence[Change], ledger: Ledger | None = None) -> None:
        """Apply changes, dense and in order, in one transaction, or in several where the engine's memory is too small
        for one. Those that the graph has already are passed over. A statement has a transaction of its own.

        Args:
            changes: if a statement is among them, all its entries. ledger: keeps the outcomes of statements.

        Raises:
            FollowerStopped: a number is missing, the graph isn't what the changes assume, or one row is too large; or a
                statement fails that was done before.
            EngineError, StorageFull: the engine failed; the same call may be repeated.
        """
        with self._lock:
            if self._refused:
                self._reopen()
            for fresh in calls(self._fresh(changes)):
                if fresh[0].statement is not None:
                    assert ledger is not None, "statements need a place for their outcomes"
                    decide(self, fresh, ledger)
                    continue
                if self._done:
                    self._apply_in_pieces(fresh[0])
                    fresh = fresh[1:]
                if fresh:
                    self._apply(fresh)

    def _apply(self, fresh: Sequence[Change]) -> None:
        try:
            net = net_effect(fresh)
            effects = lists.of_net(net)
            if self._name == "kuzu" and lists.BOTH in effects.values():
                self._apply_apart(fresh)
                return
            self._checkpoint_before(net, effects)
            if self._write(steps_of(net), fresh[-1].n, gone=net.gone):
                self._note(net)
            else:
                self._drop_adjacency()
            self._note_lists(effects)
            self._checkpoint_if_due()
            return
        except BufferFull:
            pass  # and the error goes: its frames hold statements, and those hold the engine's memory
        self._free_memory()
        middle = len(fresh) // 2
        if middle:
            self._apply(fresh[:middle])
            self._apply(fresh[middle:])
        else:
            self._apply_in_pieces(fresh[0])

    def _apply_apart(self, fresh: Sequence[Change]) -> None:
        """What makes rows and changes lists of one table, in parts that do one of both; see `store/lists.py`."""
        middle = len(fresh) // 2
        if middle:
            self._apply(fresh[:middle])
            self._apply(fresh[middle:])
            return
        net = net_effect(fresh)
        steps = list(steps_of(net))
        making = sum(len(step.rows) for step in takewhile(lambda step: step.name != "set_node", steps))
        effects = lists.of_net(net)
        self._checkpoint_before(net, lists.making(effects))
        self._write(cut(steps, 0, making), self._applied, making, gone=net.gone)
        self._note_lists(lists.making(effects))
        self._apply_in_pieces(fresh[0], begun=True)
        self._note_lists(lists.changing(effects))

    def _note_lists(self, effects: lists.Effects) -> None:
        if self._lists is not None:
            for table, what in effects.items():
                self._lists[table] = self._lists.get(table, frozenset()) | what

    def _mixes_lists(self, effects: lists.Effects) -> bool:
        """Whether what is to be done and what was done since the last checkpoint together damage lists."""
        if self._lists is None:
            return bool(effects)
        known = self._lists
        return any(what | known[table] == lists.BOTH for table, what in effects.items() if known.get(table))

    def _apply_in_pieces(self, change: Change, *, begun: bool = False) -> None:
        """One entry that is too much for one transaction: its rows in several, each of which notes how many are done.

        In their order the steps are valid one by one, so any cut between rows is.

        Args:
            begun: some rows were done just now, and nobody has read the graph since.
        """
        net = net_effect([change])
        whole = begun or not self._done
        effects = lists.of_net(net)
        self._checkpoint_before(net, lists.changing(effects) if self._done else effects)
        steps = list(steps_of(net))
        total = sum(len(step.rows) for step in steps)
        size, renewed = max(1, (total - self._done) // 2), False
        while self._applied < change.n:
            end = min(total, self._done + size)
            try:
                piece = cut(steps, self._done, end)
                gone = () if self._done else net.gone
                n, done = (change.n, 0) if end == total else (self._applied, end)
                self._write(piece, n, done, gone=gone)
                self._checkpoint_if_due()
                renewed = False
                continue
            except BufferFull as error:
                if size == 1 and renewed:
                    raise FollowerStopped(
                        f"entry {change.n} holds more than the graph engine's memory takes at once",
                        where="graph",
                        hint=f"Raise the setting graph_buffer_bytes, now {self._settings.graph_buffer_bytes:,}.",
                    ) from error
            if size == 1:  # memory that the engine doesn't give back (Ladybug keeps some of each bulk load) may be all
                renewed = True
                self._renew()
                self.engine.close()
                self._open()
            size = max(1, (end - self._done) // 2)
            self._free_memory()
        self._unsaved = None
        self._count_nodes()
        if whole:
            self._note_adjacency(net)
        else:
            self._drop_adjacency()

    def _fresh(self, changes: Sequence[Change]) -> Sequence[Change]:
        fresh = [change for change in changes if change.n > self._applied]
        # An empty graph begins wherever the log does.
        first = fresh[0].n if fresh and not self._applied and fresh[0].trimmed is not None else self._applied + 1
        for expected, change in enumerate(fresh, first):
            if change.n != expected:
                raise FollowerStopped(f"change {expected} is missing; the next one given is {change.n}", where="graph")
        return fresh

    def _write(self, steps: Iterable[Step], n: int, done: int = 0, *, gone: Iterable[tuple[str, str]] = ()) -> bool:
        """Run steps, and note that change `n` is reached and `done` rows of the next; false if that had to be read."""

        def work(transaction: Transaction) -> None:
            self._thinned |= cut_user_edges(transaction, self.tables, keys_of(gone))
            batch = Batch(self._name, transaction, self._sizes)
            for step in steps:
                batch.run(step)
            self._thinned |= batch.thinned

        return self._commit(work, n, done)

    def _commit(self, work: Callable[[Transaction], None], n: int, done: int = 0) -> bool:
        """Work in a transaction that also moves `applied`; false if what it came to had to be read."""
        try:
            with self.engine.transaction() as transaction:
                work(transaction)
                transaction.execute(query("set_applied"), {"n": _place(n, done)})
        except CommitUnclear as unclear:
            reason, full = str(unclear), isinstance(unclear.__cause__, BufferFull)
        else:
            self._applied, self._done = n, done
            return True
        self._refused, self._sound = True, False
        self._reopen()
        if (self._applied, self._done) != (n, done):
            raise (BufferFull if full else EngineError)(f"the graph couldn't be written up to change {n}", hint=reason)
        return False

    def _reopen(self) -> None:
        """After a COMMIT that failed: see what it left. Not before there is room, since each failure costs memory."""
        if self.engine.closed:
            self._open()
        check_room(self.path, probe=True)
        self._refused = False

    def _note(self, net: NetEffect) -> None:
        self._note_adjacency(net)
        for table, _ in net.gone:
            self._sizes[table] -= 1
        for table, _ in net.created:
            self._sizes[table] += 1
        if self._unsaved is not None:
            for _, source_table, source, target_table, target, _ in net.links:
                self._unsaved.update(((source_table, source), (target_table, target)))

    def _checkpoint_before(self, net: NetEffect, effects: lists.Effects) -> None:
        """Kuzu: put edges into its file before they are deleted, and rows before lists change, or the other way round.

        Where all edges that some nodes got since the last checkpoint were deleted again, Kuzu's next checkpoint
        leaves the table such that reading it, or the checkpoint after that, crashes the process.
        """
        needed = self._name == "kuzu" and (self._deletes_unsaved(net) or self._mixes_lists(effects))
        if needed and not self._checkpoint(CHECKPOINT_SECONDS):
            raise EngineError("the graph couldn't be checkpointed before it is changed: it is being read")

    def _deletes_unsaved(self, net: NetEffect) -> bool:
        if self._unsaved is None:
            return bool(net.gone or net.unlinks)
        if not self._unsaved.isdisjoint(net.gone):
            return True
        # an edge is missed by nobody if both its ends get another one in the same table; each pair of ends has its own
        sources = {(rel, a_table, b_table, a) for rel, a_table, a, b_table, _, _ in net.links}
        targets = {(rel, a_table, b_table, b) for rel, a_table, _, b_table, b, _ in net.links}
        return any(
            (rel, a_table, b_table, a) not in sources or (rel, a_table, b_table, b) not in targets
            for rel, a_table, a, b_table, b, _ in net.unlinks
            if (a_table, a) in self._unsaved and (b_table, b) in self._unsaved
        )

    def _checkpoint(self, wait: float) -> bool:
        self._renew()
        done = self.engine.checkpoint(wait)
        if done:
            self._unsaved, self._lists = set(), {}
        return done

    # Kuzu's checkpoint rewrites those stretches of 1,024 nodes, within a group of 131,072, whose edges changed. Where
    # no edge is left in any of them it drops the edges of the whole group, seen from these nodes. So before it one edge
    # of each group that has some left is written anew; in a transaction of its own, since reading edges beside others
    # that the same transaction created gives wrong ones.

    def _renew(self) -> None:
        """Kuzu: delete and create again one edge of each group where some were deleted since the last checkpoint."""
        if self._name == "kuzu" and self._thinned:
            try:
                with self.engine.transaction() as transaction:
                    for rel, source, target in self._thinned:
                        if rel in REL_TABLES:
                            write_own_edges_anew(transaction, rel, source, target)
                        else:
                            write_user_edges_anew(transaction, self.tables, rel, (source, target))
            except CommitUnclear as unclear:
                self._refused, self._sound = True, False
                raise EngineError("the graph couldn't be made ready for a checkpoint", hint=str(unclear)) from unclear
        self._thinned.clear()

    def _free_memory(self) -> None:
        """What was committed since the last checkpoint takes the engine's memory: have it written, if there is enough
        left for that.
        """
        with suppress(BufferFull):
            self._checkpoint(CHECKPOINT_SECONDS)

    def settle(self) -> None:
        """Put everything into the graph's file, so that it is whole on its own; readers are held back for that.

        Raises:
            EngineError: a read that was going on didn't end in time. StorageFull: there is no room.
        """
        with self._lock:
            if self._refused:
                self._reopen()
            if not self._checkpoint(CHECKPOINT_SECONDS):
                raise EngineError("the graph couldn't be checkpointed: it is being read", hint="Try again.")

    def _checkpoint_if_due(self) -> None:
        limit = self._settings.graph_checkpoint_bytes
        size = self.engine.wal_bytes()
        if size >= limit:
            # readers come first, until the file is four times what it should be: then they are held back
            try:
                self._checkpoint(0.0 if size < 4 * limit else 1.0)
            except GraphsvcError as error:
                logger.warning("the graph couldn't be checkpointed; it is tried again after the next batch: %s", error)

    # reading

    def read(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> Rows:
        """Rows of the statement `queries/NAME.cypher`. Errors as `Engine.execute`."""
        return self.engine.execute(query(name), parameters, limit=limit, timeout=timeout)

    def counts(self) -> dict[str, int]:
        """How many nodes or edges each of the memory's own tables has."""
        nodes = {table: self._count("count_nodes", table) for table in NODE_TABLES}
        return nodes | {table: self._count("count_edges", table) for table in REL_TABLES}

    # traversal

    def _note_adjacency(self, net: NetEffect) -> None:
        self.adjacency.apply(net)
        self.adjacency_of_all.apply(net)

    def _drop_adjacency(self) -> None:
        self.adjacency.drop()
        self.adjacency_of_all.drop()

    def _read_own(self, budget: int) -> Adjacency:
        return read_adjacency(self.engine, *own_sources(own_statement), budget)

    def _read_all(self, budget: int) -> Adjacency:
        return read_adjacency(self.engine, *self._sources(), budget)

    def read_all(self) -> Adjacency:
        """Everything as it is now, whatever it takes: for one use, where it is too large to be kept."""
        with self._lock:
            return self._read_all(1 << 62)

    def _sources(self) -> tuple[list[NodeSource], list[EdgeSource]]:
        nodes, edges = own_sources(own_statement)
        more_nodes, more_edges = user_sources(self.tables)
        return [*nodes, *more_nodes], [*edges, *more_edges]

    def asked(self, *, own: bool = False) -> Asked:
        """The edges as the engine gives them, a step at a time: of the memory's own tables, or of all."""
        return Asked(self.engine, *(own_sources(own_statement) if own else self._sources()))

    def rows_of(self, table: str, keys: Sequence[Any]) -> dict[Any, dict[str, Any]]:
        """The columns of some nodes of a table by key; of those that there are."""
        user = self.tables.get(table)
        single = len(keys) <= ONE_BY_ONE
        if user is None:
            columns = tuple(without_key(table))
            text = own_statement("node_by_key" if single else "nodes_by_key", table, columns)
        else:
            columns = tuple(user.columns)
            name = "table_read_one" if single else "table_read_by_key"
            text = statement(name, self.tables, user, columns)
        values = [{"key_": key} for key in keys] if single else [{"keys": list(keys)}]
        rows = [row for value in values for row in self.engine.execute(text, value).rows]
        return {key: dict(zip(columns, row, strict=True)) for key, *row in rows}

    def contents(self) -> Iterator[Content]:
        """Every node and edge of the memory's own tables, in no order within a table.

        An edge that only one of its ends knows of (see `queries/dump_edges_back.cypher`) is none.
        """
        for table in NODE_TABLES:
            types = without_key(table).values()
            for key, *values in self._dump("dump_nodes", table, without_key(table)):
                yield table, (key,), tuple(map(plain, types, values))
        for table, rel in REL_TABLES.items():
            if len(rel.pairs) == 1 or self._count("count_edges", table):  # else a statement for each of many pairs
                for pair in rel.pairs:
                    yield from self._edges(table, rel, pair)

    def _edges(self, table: str, rel: RelTable, pair: tuple[str, str]) -> Iterator[Content]:
        types = rel.columns.values()
        place = list(rel.columns).index("key") if rel.parallel else -1
        hashed = _hash_with_lists if "STRING[]" in types else _hash
        back = {hashed(row) for row in self._dump("dump_edges_back", table, rel.columns, pair)}
        for source, target, *values in self._dump("dump_edges", table, rel.columns, pair):
            if hashed((source, target, *values)) in back:
                id = values[place] if rel.parallel else ""
                yield table, edge_key(rel, pair, source, target, id), tuple(map(plain, types, values))

    def searched(self) -> list[Touched]:
        """What is to be searched of every table of the user's that has searchable columns."""
        tables = [table for table in self.tables.values() if table.searchable]
        return [all_texts(self.engine.execute, self.tables, table) for table in tables]

    def user_contents(self) -> Iterator[Content]:
        """What is declared of the user's own tables, and every row of them, in no order."""
        return user_contents(self.engine.stream, self.tables)

    def digest(self, *, own: bool = False) -> str:
        """`digest_of` what is in the graph, or in the memory's own tables; equal on both engines for the same log."""
        return digest_of(self.contents() if own else chain(self.contents(), self.user_contents()))

    def _dump(
        self, name: str, table: str, columns: Mapping[str, str], ends: tuple[str, ...] = ()
    ) -> Iterator[list[Any]]:
        for rows in self.engine.stream(own_statement(name, table, tuple(columns), ends)):
            yield from rows

    def _count(self, name: str, table: str) -> int:
        row = self.engine.execute(own_statement(name, table)).one()
        return int(row[0]) if row else 0

    # schema

    def _read_applied(self) -> tuple[int, int]:
        row = self.read("applied").one()
        return _of_place(int(row[0])) if row else (0, 0)

    def _migrate(self) -> None:
        """Run the migrations that the graph hasn't seen, each in a transaction of its own.

        Kuzu: then put the tables into its file. Where a full disk cuts short the checkpoint that is their first, Kuzu
        reads pages that were never written, and its next statement hangs.
        """
        done = self._migration()
        steps = migrations()
        if done > max(steps):
            raise NewerFormat(f"the graph's schema is {done}, this program knows {max(steps)}", where=str(self.path))
        for number in sorted(steps):
            if number > done:
                with self.engine.transaction() as transaction:
                    for statement in steps[number]:
                        transaction.execute(statement)
                    transaction.execute(query("set_migration"), {"migration": number})
        if done < max(steps) and self._name == "kuzu":
            self._checkpoint(CHECKPOINT_SECONDS)

    def _migration(self) -> int:
        tables = {name for name, _ in self.read("show_tables").rows}
        if "_Applied" not in tables:
            return 0
        row = self.read("applied").one()
        return int(row[1]) if row else 0


def _hash(row: Sequence[Any]) -> int:
    return hash(tuple(row))


def _hash_with_lists(row: Sequence[Any]) -> int:
    return hash(tuple(tuple(value) if isinstance(value, list) else value for value in row))


_DONE_BITS = 32


def _place(n: int, done: int) -> int:
    """Change and rows of the next one as the one number that the graph keeps: negative in the middle of a change."""
    return -(n << _DONE_BITS | done) if done else n


def _of_place(place: int) -> tuple[int, int]:
    return (place, 0) if place >= 0 else divmod(-place, 1 << _DONE_BITS)


_MIGRATION = re.compile(r"(\d{4})_\w+\.cypher")


def migrations() -> dict[int, list[str]]:
    """The statements of each migration in `schema/`, by its number."""
    steps: dict[int, list[str]] = {}
    for path in sorted(resource("schema").glob("*.cypher")):
        if numbered := _MIGRATION.fullmatch(path.name):
            steps[int(numbered[1])] = statements(path.read_text(encoding="utf-8"))
    return steps
