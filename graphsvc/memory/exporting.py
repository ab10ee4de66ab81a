"""Writing a memory out, to be read by others and to be imported again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from graphsvc.config import whole_path
from graphsvc.errors import BadInput, ReadOnly, StorageFull, UnknownField, WaitTimeout
from graphsvc.log.state import unsigned
from graphsvc.memory.exported import (
    BATCH,
    FORMATS,
    HASH,
    LINK_COLUMNS,
    LINKS,
    VECTORS,
    Contents,
    Format,
    Writer,
    batched,
    link_schema,
    schema,
    vector_schema,
)
from graphsvc.model.change import decode_record
from graphsvc.model.filters import parse
from graphsvc.model.kinds import CAUSAL, KINDS, Kind
from graphsvc.model.names import key_of
from graphsvc.store.directory import sync_directory

if TYPE_CHECKING:
    from graphsvc.memory.opened import Opened

EMBED_SECONDS = 24 * 3600.0
CATCH_UP_SECONDS = 3600.0


@dataclass(slots=True)
class ExportReport:
    """What was exported.

    Attributes:
        path: the directory. format: of its files.
        records: how many of each kind. links: between them. vectors: of them. tables: rows of each of one's own.
        bytes: on disk. seconds: that it took.
    """

    path: str
    format: Format
    records: dict[str, int] = field(default_factory=dict)
    links: int = 0
    vectors: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(msgspec.to_builtins(self))


Progress = Callable[[float, str], None]
"""Called with the share that is done, 0 to 1, and what is being written."""


def export(
    opened: Opened,
    path: str | os.PathLike[str],
    *,
    format: Any,
    vectors: bool,
    where: Mapping[str, Any] | None,
    agents: tuple[str, ...] | None,
    progress: Progress | None,
) -> ExportReport:
    """Export; see `Memory.export`."""
    if format not in FORMATS:
        raise BadInput(f"{format!r} is not one of {', '.join(FORMATS)}", where="format")
    target = _target(path)
    chosen = _chosen(opened, where, agents)
    store = opened.store
    if vectors and not store.wait([store.vectors.follower], opened.log.head, EMBED_SECONDS):
        raise WaitTimeout("the vectors aren't all made yet", where="vectors")
    draft = target.with_name(f".{target.name}.draft")  # a name that no import takes for an export
    try:
        shutil.rmtree(draft, ignore_errors=True)  # a kill left it
        draft.mkdir(parents=True)
        job = _Job(opened, draft, ExportReport(str(target), format), agents, chosen, progress or _silent)
        job.write(vectors)
        draft.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        full = error.errno in (28, 122)
        raise (StorageFull if full else ReadOnly)(f"can't be written ({error.strerror})", where=str(target)) from None
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return job.finish()


def _silent(share: float, what: str) -> None:
    return


def _target(path: Any) -> Path:
    target = whole_path(path)
    if target.exists():
        raise BadInput("is there already", where=str(target), hint="Name a directory that doesn't exist yet.")
    return target


def _chosen(opened: Opened, where: Any, agents: tuple[str, ...] | None) -> dict[str, set[int]]:
    """The rows that pass, of each kind that has a filter."""
    if where is None:
        return {}
    if not isinstance(where, Mapping):
        raise BadInput(f"expected filters by kind, got {type(where).__name__}", where="where")
    chosen = {}
    for name, filter in where.items():
        if name not in KINDS or not KINDS[name].in_columns:
            known = ", ".join(kind.name for kind in KINDS.values() if kind.in_columns)
            raise UnknownField(f"{name!r} can't be filtered", where="where", hint=f"Filters are by kind: {known}.")
        rows, _ = opened.log.mask(name, parse(filter, KINDS[name]), agents)
        chosen[name] = set(rows.tolist())
    return chosen


@contextmanager
def _reading(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM cursor").fetchone()  # the state is that of the first read
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


@dataclass(slots=True)
class _Job:
    """One export under way, of one state of the log."""

    opened: Opened
    directory: Path
    report: ExportReport
    agents: tuple[str, ...] | None
    chosen: dict[str, set[int]]
    progress: Progress
    rows: dict[int, None] = field(default_factory=dict)
    owners: set[str] = field(default_factory=set)
    _begun: float = field(default_factory=time.monotonic)

    def write(self, vectors: bool) -> None:
        contents = Contents(self.report.format)
        with self.opened.log.connection() as connection, self._one_state(connection):
            self._write_records(connection, contents, vectors)
            contents.files[LINKS] = self._write_links(connection)
            if self.agents is None:
                self._write_tables(contents)
        contents.write(self.directory)
        sync_directory(self.directory)

    @contextmanager
    def _one_state(self, connection: sqlite3.Connection) -> Iterator[None]:
        """One state of the log, whatever is written meanwhile; where there are tables of the user's, the graph rests in
        it until they are written.
        """
        log, store = self.opened.log, self.opened.store
        with ExitStack() as stack:
            if self.agents is None:
                store.graph_follower.wait(log.head, CATCH_UP_SECONDS)
                if store.graph.tables:
                    with log.held():
                        store.graph_follower.wait(log.head, CATCH_UP_SECONDS)
                        stack.enter_context(store.graph_follower.paused())
                        stack.enter_context(_reading(connection))
                    yield
                    return
            stack.enter_context(_reading(connection))
            yield

    def _write_tables(self, contents: Contents) -> None:
        from graphsvc.memory import table_files
        from graphsvc.store.retold import defaults_of

        contents.defaults = defaults_of(self.opened.log, self.opened.store)
        graph = self.opened.store.graph
        for place, table in enumerate(sorted(graph.tables.values(), key=lambda table: table.name), 1):
            writer = self._writer(table_files.file_name(place), table_files.schema(table, graph.tables))
            for batch in table_files.written(graph, table, self.report.format):
                writer.write(batch)
            contents.files[table_files.PREFIX + table.name] = writer.close()
            contents.tables.append(msgspec.to_builtins(table))
            self.report.tables[table.name] = writer.count

    def finish(self) -> ExportReport:
        self.report.bytes = sum(path.stat().st_size for path in Path(self.report.path).iterdir())
        self.report.seconds = round(time.monotonic() - self._begun, 3)
        return self.report

    def _writer(self, name: str, schema: Any, format: Format | None = None) -> Writer:
        format = format or self.report.format
        return Writer(self.directory / f"{name}.{format}", format, schema)

    # --- records -------------------------------------------------------------------------------------------

    def _write_records(self, connection: sqlite3.Connection, contents: Contents, vectors: bool) -> None:
        store = self.opened.store.vectors
        keeper = self._writer(VECTORS, vector_schema(store.dimension), "parquet") if vectors else None
        total = connection.execute("SELECT count(*) FROM record WHERE state = 0").fetchone()[0] or 1
        for kind in (kind for kind in KINDS.values() if not kind.derived):
            writer = self._writer(kind.name, schema(kind))
            for batch in batched(self._records(connection, kind), BATCH):
                writer.write([self._row(kind, hash, body) for _, hash, _, body in batch])
                if keeper is not None and kind.searchable:
                    self._write_vectors(keeper, kind, batch)
                self.progress(min(1.0, len(self.rows) / total), f"{len(self.rows):,} records")
            contents.files[kind.name] = writer.close()
            contents.fields[kind.name] = list(kind.fields)
            self.report.records[kind.name] = writer.count
        if keeper is not None:
            contents.files[VECTORS] = keeper.close()
            embedding = self.opened.manifest.embedding
            contents.embedding = {name: embedding[name] for name in ("name", "fingerprint", "dimension")}
            self.report.vectors = keeper.count

    def _records(self, connection: sqlite3.Connection, kind: Kind) -> Iterator[tuple[int, bytes, int, str]]:
        """Row, hash, text hash and body of the records to be written, by id, then namespace."""
        chosen = self.chosen.get(kind.name)
        in_part = bool(self.chosen) or self.agents is not None
        for row, agent, id, parent, effect, hash, text_hash, body in connection.execute(
            "SELECT row, agent, id, parent, task, hash, text_hash, body FROM record WHERE kind = ? AND state = 0 "
            "ORDER BY id, agent",
            (kind.name,),
        ):
            if self.agents is not None and agent not in self.agents:
                continue
            if chosen is not None and row not in chosen:
                continue
            if self.chosen and not kind.searchable and parent is not None:
                owner = parent if ":" in parent and kind.name == "feedback" else f"skill:{key_of(agent, parent)}"
                if owner not in self.owners:
                    continue
            if in_part and kind.is_edge and not {parent, effect} <= self.owners:
                continue  # a node at its ends stays behind
            self.rows[row] = None
            if in_part and (kind.searchable or kind.name in CAUSAL):
                self.owners.add(f"{kind.name}:{key_of(agent, id)}")
            yield row, hash, text_hash, body

    def _row(self, kind: Kind, hash: bytes, body: str) -> dict[str, Any]:
        if self.report.format == "jsonl":
            return {**msgspec.json.decode(body), HASH: hash.hex()}
        record = decode_record(kind.name, body)
        row: dict[str, Any] = {name: getattr(record, name) for name in kind.fields}
        for name, spec in kind.fields.items():
            if spec.type == "metadata":
                row[name] = msgspec.json.encode(row[name]).decode()
        return {**row, HASH: hash}

    def _write_vectors(self, keeper: Writer, kind: Kind, batch: list[tuple[int, bytes, int, str]]) -> None:
        """The vectors of a batch of records, as they lie in the hot index."""
        import pyarrow as pa

        hot = self.opened.store.vectors.hot
        rows = np.array([row for row, *_ in batch], np.int64)
        hashes = np.array([unsigned(text_hash) for _, _, text_hash, _ in batch], np.uint64)
        positions = np.where(hashes != 0, hot.fresh(rows, hashes), -1)
        there = np.flatnonzero(positions >= 0)
        records = [decode_record(kind.name, batch[place][3]) for place in there]
        flat = pa.array(np.ascontiguousarray(hot.vectors(positions[there])).reshape(-1))
        columns = [
            pa.array([kind.name] * len(records), pa.string()),
            pa.array([record.agent for record in records], pa.string()),
            pa.array([record.id for record in records], pa.string()),
            pa.FixedSizeListArray.from_arrays(flat, hot.dimension),
        ]
        keeper.write_table(pa.table(columns, schema=vector_schema(hot.dimension)))

    # --- links ---------------------------------------------------------------------------------------------

    def _write_links(self, connection: sqlite3.Connection) -> Any:
        writer = self._writer(LINKS, link_schema())
        rows = connection.execute(
            "SELECT source, target, rel, s.kind, s.agent, s.id, t.kind, t.agent, t.id, link.body FROM link "
            "JOIN record s ON s.row = source JOIN record t ON t.row = target "
            "ORDER BY rel, s.kind, s.id, s.agent, t.kind, t.id, t.agent"
        )
        whole = (link for source, target, *link in rows if source in self.rows and target in self.rows)
        for batch in batched(whole, BATCH):
            writer.write([self._link(link) for link in batch])
        file = writer.close()
        self.report.links = writer.count
        return file

    def _link(self, link: list[Any]) -> dict[str, Any]:
        row = dict(zip(LINK_COLUMNS, link, strict=True))
        return row if self.report.format == "parquet" else {**row, "values": msgspec.json.decode(row["values"])}
