"""Full text: a tantivy index, stemmed, ranked by BM25 (k1 1.2, b 0.75). It follows the log.

Each record with text is one document, found again by its key. The number that it has reached stands in a file beside
the index, replaced after each commit: the index may be ahead of its number, never behind it, and what a kill left
between the two is done again to the same end. (As a document of its own it would count in BM25: every replaced one
until a merge, so that scores depended on how the changes had been gathered.)
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphsvc.config import Settings
from graphsvc.errors import BadInput, Closed, Corrupt, InUse, NoResources, StorageFull
from graphsvc.model.change import Change
from graphsvc.model.filters import Filter
from graphsvc.model.kinds import KINDS, SEARCHABLE, kind_of
from graphsvc.model.names import key_of
from graphsvc.model.records import Record
from graphsvc.model.texts import TEXTS, lexical_text, text_hash
from graphsvc.store.directory import lacks_resources, replace_descriptors
from graphsvc.store.filter_text import INDEXED, Compiler, add_fields, filter_values, write_fields

logger = logging.getLogger("graphsvc.store")

DIRECTORY = "text.tantivy"
CURSOR = "applied"
WRITER_LOCK = ".tantivy-writer.lock"
LOCK_BUSY = "LockBusy"
LOCK_SECONDS = 2.0
HEAP_BYTES = 64 << 20
MAX_QUERY_TERMS = 1024
FEW_ROWS = 300
ROW_TERMS = 5_000
"""Up to so many rows a filter goes into the query as a set of terms; past it the list is fetched deeper."""


class TextIndex:
    """The full-text projection of one memory.

    Args:
        directory: of the memory.
        current: gives the live records of some rows as they are now. A change says which record to index
            again; what is indexed is the record as it now is, so the index may run ahead of a change, never
            behind it.

    Raises:
        Corrupt: the index can't be opened; the caller sets it aside and rebuilds.
        InUse: somebody writes to it. BadInput: there is no such stemmer.
    """

    def __init__(
        self, directory: Path, settings: Settings, current: Callable[[Sequence[int]], dict[int, Record]]
    ) -> None:
        import tantivy

        self._tantivy = tantivy
        self.path = directory / DIRECTORY
        self._current = current
        self.schema = _schema(settings.stemmer)
        try:
            self._analyzer = _analyzer(settings.stemmer)
        except ValueError as error:
            raise BadInput(f"full text has no stemmer for {settings.stemmer!r} ({error})", where="stemmer") from None
        self.path.mkdir(exist_ok=True)
        if not (self.path / "meta.json").exists():
            (self.path / CURSOR).unlink(missing_ok=True)  # an index without it is empty, whatever the number says
        try:
            self._index = tantivy.Index(self.schema, path=str(self.path), reuse=True)
            self._index.register_tokenizer(_tokenizer_name(settings.stemmer), self._analyzer)
            self._writer = self._new_writer()
            self._index.reload()
            self.applied = self._read_cursor()
        except (ValueError, OSError) as error:
            if LOCK_BUSY in str(error):
                raise InUse("somebody else writes to full text", where=str(self.path)) from error
            if lacks_resources(error):
                raise NoResources(f"full text can't be opened: {error}", where=str(self.path)) from error
            raise Corrupt(f"full text can't be opened ({error})", where=str(self.path)) from error
        self._compiler = Compiler(self.schema)
        _opened.add(self)

    def _new_writer(self) -> Any:
        """The one writer; waited for a little, since whoever has just closed may not quite have ended."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                return self._index.writer(heap_size=HEAP_BYTES, num_threads=1)
            except ValueError as error:
                if LOCK_BUSY not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def close(self) -> None:
        """End the writer, whose lock another opening needs, and let the files go. Safe to repeat."""
        writer, self._writer = self._writer, None
        self._index = None
        _opened.discard(self)
        if writer is not None:
            writer.wait_merging_threads()

    def _searcher(self) -> Any:
        index = self._index
        if index is None:
            raise Closed("the memory is closed")
        return index.searcher()

    def after_fork(self) -> None:
        """In a forked child: let the lock go, which the parent holds, and keep what would wait for its threads."""
        lock = self.path / WRITER_LOCK
        with suppress(OSError):
            replace_descriptors(lock)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._writer))
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._index))

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """For the length of a `with` nothing writes to the directory: no commit, and no merge of segments.

        The caller sees to it that nothing is applied meanwhile.
        """
        self._writer.wait_merging_threads()
        try:
            yield
        finally:
            self._writer = self._new_writer()

    def _read_cursor(self) -> int:
        try:
            return int((self.path / CURSOR).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0  # indexed from the beginning: each document replaces the one that is there

    # --- following ---------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change]) -> None:
        """Index what changed in one commit, then move on to the last change's number."""
        touched = _touched(changes)
        for kind, key in touched.gone:
            self._writer.delete_documents_by_term("key", f"{kind}:{key}")
        records = self._current(list(touched.amended)) if touched.amended else {}
        records.update(touched.stored)
        for row, record in records.items():
            kind = kind_of(record).name
            # Stored anew it may be there already: a batch that a kill interrupted is done again.
            self._writer.delete_documents_by_term("key", f"{kind}:{record.key}")
            self._add(kind, row, record)
        self._commit(changes[-1].n)

    def _add(self, kind: str, row: int, record: Record) -> None:
        document = self._tantivy.Document()
        text, values = lexical_text(record) or "", filter_values(kind, record)
        document.add_text("key", f"{kind}:{record.key}")
        document.add_text("kind", kind)
        document.add_integer("row", row)
        document.add_text("text", text)
        document.add_integer("hash", _content_hash(text, values))
        write_fields(document, kind, values)
        self._writer.add_document(document)

    def _commit(self, n: int) -> None:
        try:
            self._writer.commit()
            draft = self.path / f"{CURSOR}.new"
            draft.write_text(str(n), encoding="ascii")
            draft.replace(self.path / CURSOR)
        except (ValueError, OSError) as error:
            raise StorageFull(f"full text can't be written ({error})", where=str(self.path)) from error
        self._index.reload()
        self.applied = n

    # --- searching ---------------------------------------------------------------------------------------

    def search(
        self,
        kind: str,
        text: str,
        limit: int,
        *,
        filter: Filter | None,
        agents: tuple[str, ...] | None,
        rows: NDArray[np.int64],
        narrowed: bool = False,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best records by BM25 among those that pass.

        `rows` are the rows that pass, ascending: what the filter means, or fewer if `narrowed`. The filter itself is
        used where it can be answered from the index, which is faster.

        Returns:
            Row numbers and scores, best first: `limit`, and all that tie with the last of them.
        """
        query = self._words(text)
        if query is None or not len(rows):
            return np.empty(0, np.int64), np.empty(0, np.float64)
        query, exact = self._restricted(query, kind, filter, agents, rows)
        exact = exact and not narrowed
        searcher = self._searcher()
        fetch = limit + 1
        while True:
            hits = searcher.search(query, limit=fetch, count=False).hits
            scores = np.array([hit[0] for hit in hits], np.float64)
            last = scores[-1] if len(hits) == fetch else -np.inf
            numbers = None
            if not exact and len(hits):
                numbers = _rows(searcher, hits)
                passing = _among(numbers, rows)
                numbers, scores = numbers[passing], scores[passing]
            if len(hits) < fetch or (len(scores) > limit and last < scores[limit - 1]):
                # Of equal scores the index gives those first that lie first in it: all of them, or it would matter.
                kept = len(scores) if len(scores) <= limit else int((scores >= scores[limit - 1]).sum())
                return _rows(searcher, hits[:kept]) if numbers is None else numbers[:kept], scores[:kept]
            fetch *= 4

    def scores(self, text: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """BM25 of each of these rows, which ascend; 0 where a record has none of the words."""
        scores = np.zeros(len(rows))
        words = self._words(text)
        if words is None or not len(rows):
            return scores
        query, occur = self._tantivy.Query, self._tantivy.Occur
        among = query.const_score_query(self._of(rows), 0.0)
        searcher = self._searcher()
        hits = searcher.search(
            query.boolean_query([(occur.Must, words), (occur.Must, among)]), limit=len(rows), count=False
        ).hits
        scores[np.searchsorted(rows, _rows(searcher, hits))] = [hit[0] for hit in hits]
        return scores

    def _of(self, rows: NDArray[np.int64]) -> Any:
        """The documents of these rows. A set of terms is looked for in all of the index, which few needn't pay for."""
        query = self._tantivy.Query
        if len(rows) > FEW_ROWS:
            return query.term_set_query(self.schema, "row", rows.tolist())
        should, schema = self._tantivy.Occur.Should, self.schema
        return query.boolean_query([(should, query.term_query(schema, "row", row, "basic")) for row in rows.tolist()])

    def _words(self, text: str) -> Any:
        """Any of the text's words, stemmed; None where it has none."""
        query = self._tantivy.Query
        words = dict.fromkeys(self._analyzer.analyze(text))
        terms = [query.term_query(self.schema, "text", word, "freq") for word in list(words)[:MAX_QUERY_TERMS]]
        if not terms:
            return None
        return query.boolean_query([(self._tantivy.Occur.Should, term) for term in terms])

    def _restricted(
        self, words: Any, kind: str, filter: Filter | None, agents: tuple[str, ...] | None, rows: NDArray[np.int64]
    ) -> tuple[Any, bool]:
        """The query under the filter, and whether the index answers the filter whole."""
        query, occur = self._tantivy.Query, self._tantivy.Occur
        must = [query.term_query(self.schema, "kind", kind)]
        if agents is not None:
            must.append(query.term_set_query(self.schema, "agent", list(agents)))
        exact = True
        if filter is not None:
            compiled = self._compiler.compile(kind, filter)
            if compiled is None and len(rows) <= ROW_TERMS:
                compiled = self._of(rows)
            if compiled is None:
                exact = False
            else:
                must.append(compiled)
        # A filter takes part with score 0, so that the score stays BM25 of the words alone.
        parts = [(occur.Must, words), *((occur.Must, query.const_score_query(part, 0.0)) for part in must)]
        return query.boolean_query(parts), exact

    # --- verifying ---------------------------------------------------------------------------------------

    def contents(self) -> Iterator[tuple[int, str, int]]:
        """Row, key and hash (`document_hash`) of every document."""
        searcher = self._searcher()
        query = self._tantivy.Query.term_set_query(self.schema, "kind", list(SEARCHABLE))
        offset, step = 0, 10_000
        while True:
            hits = searcher.search(query, limit=step, offset=offset, count=False).hits
            for _, address in hits:
                document = searcher.doc(address)
                yield (int(document.get_first("row")), str(document.get_first("key")), int(document.get_first("hash")))
            if len(hits) < step:
                return
            offset += step


_opened: weakref.WeakSet[TextIndex] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for index in list(_opened):
        index.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)


def discard(directory: Path) -> None:
    """Remove the index, to be built anew."""
    shutil.rmtree(directory / DIRECTORY, ignore_errors=True)


def document_hash(record: Record) -> int:
    """What `TextIndex.contents` must say of a record."""
    return _content_hash(lexical_text(record) or "", filter_values(kind_of(record).name, record))


def _content_hash(text: str, values: dict[str, Any]) -> int:
    """64 bits of all that a document is found by, signed."""
    value = text_hash(f"{text}\0{json.dumps(values)}")
    return value - (1 << 64) if value >= 1 << 63 else value


@dataclass(slots=True)
class _Touched:
    """What changes do to documents: which keys go, which records come, which rows are to be read and written anew."""

    gone: list[tuple[str, str]] = field(default_factory=list)
    stored: dict[int, Record] = field(default_factory=dict)
    amended: dict[int, None] = field(default_factory=dict)


def _touched(changes: Iterable[Change]) -> _Touched:
    touched = _Touched()
    for change in changes:
        for put in change.puts:
            if KINDS[put.kind].searchable:
                touched.stored[put.row] = change.record_of(put)
        for patch in change.patches:
            if KINDS[patch.kind].searchable and (patch.text or INDEXED[patch.kind] & patch.values.keys()):
                touched.stored.pop(patch.row, None)
                touched.amended[patch.row] = None
        for gone in change.gone:
            if KINDS[gone.kind].searchable:
                touched.stored.pop(gone.row, None)
                touched.amended.pop(gone.row, None)
                touched.gone.append((gone.kind, key_of(gone.agent, gone.id)))
    return touched


def _among(numbers: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the numbers are in `rows`, which ascend."""
    places = np.minimum(np.searchsorted(rows, numbers), len(rows) - 1)
    found: NDArray[np.bool_] = rows[places] == numbers
    return found


def _rows(searcher: Any, hits: Sequence[tuple[float, Any]]) -> NDArray[np.int64]:
    """The row numbers of what a search found."""
    return np.array(searcher.fast_field_values("row", [address for _, address in hits]), np.int64)


def _tokenizer_name(language: str) -> str:
    return f"graphsvc_{language}_{TEXTS}"


def _analyzer(language: str) -> Any:
    import tantivy

    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(64)).filter(tantivy.Filter.lowercase())
    return builder.filter(tantivy.Filter.ascii_fold()).filter(tantivy.Filter.stemmer(language)).build()


def _schema(language: str) -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("key", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("kind", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("row", stored=True, indexed=True, fast=True)
    builder.add_integer_field("hash", stored=True)
    builder.add_text_field("text", tokenizer_name=_tokenizer_name(language), index_option="freq")
    add_fields(builder)
    return builder.build()
