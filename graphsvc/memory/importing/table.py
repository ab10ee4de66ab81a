"""Episodes from tables: CSV, Parquet, a DataFrame or an Arrow table, with a column for each field."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphsvc.errors import BadInput, GraphsvcError
from graphsvc.memory.importing.jsonl import Rest, Rows
from graphsvc.memory.importing.lines import MAX_LINE
from graphsvc.memory.importing.report import Acknowledged, ImportReport, Progress
from graphsvc.memory.importing.storing import Share, Storing
from graphsvc.memory.rows_in import rows_of
from graphsvc.model.kinds import KINDS, ColumnType
from graphsvc.model.names import check_name

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory

Row = tuple[int, Mapping[str, Any] | GraphsvcError]
"""A row's number, from 1 behind the header, and its cells by column; or why it can't be read."""


def import_table(
    memory: Memory,
    source: Any,
    *,
    fields: Mapping[str, str] | None = None,
    id: str | Sequence[str] | None = None,
    session: str | None = None,
    rest: Rest = "metadata",
    delimiter: str | None = None,
    strict: bool = False,
    agent: str | None = None,
    dry_run: bool = False,
    batch: int = 500,
    progress: Progress | None = None,
    acknowledged: Acknowledged | None = None,
) -> ImportReport:
    """Store the rows of a table as episodes, read in batches.

    In CSV every cell is text and is read as its field's type wants it: `true`/`false`, `yes`/`no` or `1`/`0` for
    success, numbers, ISO 8601 times with a zone, tags parted by commas or as a JSON list, metadata as a JSON object. An
    empty cell is no value. In Parquet, Arrow and DataFrames the cell has to be of the type.

    Args:
        memory: to store in.
        source: path of a CSV file (plain or gzip, UTF-8) or a Parquet file; a DataFrame, Arrow table or reader of
            Arrow batches.
        fields: the table's column for an episode's field: {"task": "prompt"}. Others go by their own names.
        id: the column or columns that make a row's id. If not given it is made of the row's content and how often that
            came before, so that importing the table again adds nothing.
        session: of rows that name none; a file's name if not given.
        rest: what becomes of columns that are no field: "metadata" keeps them there, "error" skips the row, "drop".
        delimiter: of CSV; a comma, or a tab in `.tsv` if not given.
        strict: the first bad row is an error. What was stored before it stays.
        agent: namespace of rows that name none.
        dry_run: store nothing, only report.
        batch: rows stored together.
        progress: called after each batch. acknowledged: called with the ids of each batch once it is durable.

    Returns:
        The report; rows that can't be taken are skipped, with the reason.

    Raises:
        BadInput, UnknownField: for an argument, a file that can't be read, or with `strict` a row. StorageFull and the
        like.
    """
    rows = Rows(fields, rest)
    ids = [id] if isinstance(id, str) else list(id or ())
    named = check_name(session if session is not None else _stem(source), "session")
    report = ImportReport(dry_run=dry_run)
    storing = Storing(memory, agent, report, acknowledged, batch)
    with _opened(source, delimiter, batch) as (found, share, texts):

        def take(numbered: Row) -> None:
            number, row = numbered
            report.read += 1
            try:
                storing.take(f"row {number}", _values(rows, row, ids, named, texts))
            except GraphsvcError as error:
                if strict:
                    raise type(error)(error.what, where=f"row {number}: {error.where}", hint=error.hint) from None
                storing.refuse(f"row {number}", error)

        return storing.through(found, take, share, progress)


def _stem(source: Any) -> str:
    if not isinstance(source, str | os.PathLike):
        return "table"
    return Path(source).name.partition(".")[0] or "table"


# --- a row ----------------------------------------------------------------------------------------------------


def _values(
    rows: Rows, row: Mapping[str, Any] | GraphsvcError, ids: list[str], session: str, texts: bool
) -> dict[str, Any]:
    """The episode's field values that a row says."""
    if isinstance(row, GraphsvcError):
        raise row
    cells = {name: cell for name, value in row.items() if (cell := _plain(value)) is not None and cell != ""}
    values = rows.values(cells)
    if texts:
        types = {name: field.type for name, field in KINDS["episode"].fields.items()}
        for name, value in values.items():
            if isinstance(value, str):
                values[name] = _read(types[name], value, name)
    values.setdefault("session", session)
    if ids:
        values["id"] = _id(row, ids)
    return values


def _id(row: Mapping[str, Any], columns: list[str]) -> str:
    """The id that some columns make: the one's own text, or a digest of several."""
    for column in columns:
        if row.get(column) in (None, ""):
            why = "is empty, and the id is made of it" if column in row else "there is no such column"
            raise BadInput(why, where=column)
    if len(columns) == 1:
        return str(row[columns[0]])
    told = json.dumps([str(row[column]) for column in columns])
    return blake2b(told.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    """A cell as episodes take it: missing ones as None, decimals as numbers."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return value


_TRUE, _FALSE = {"true", "yes", "1", "t", "y"}, {"false", "no", "0", "f", "n"}


def _read(type: ColumnType, text: str, where: str) -> Any:
    """A text of CSV as a field's type wants it."""
    readers: dict[ColumnType, Callable[[str], Any]] = {
        "float": float, "int": int, "bool": _truth, "tags": _tags, "metadata": json.loads,
    }  # fmt: skip
    reader = readers.get(type)
    if reader is None:
        return text
    try:
        return reader(text.strip())
    except (ValueError, RecursionError):
        raise BadInput(f"{text[:80]!r} is no {_WANTED[type]}", where=where) from None


_WANTED = {
    "float": "number", "int": "whole number", "bool": "true or false", "tags": "list of labels",
    "metadata": "JSON object",
}  # fmt: skip


def _truth(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _tags(text: str) -> Any:
    return json.loads(text) if text.startswith("[") else [tag.strip() for tag in text.split(",") if tag.strip()]


# --- sources --------------------------------------------------------------------------------------------------

@contextmanager
def _opened(source: Any, delimiter: str | None, batch: int) -> Iterator[tuple[Iterator[Row], Share, bool]]:
    """The rows of a source, how much of it is read, and whether its cells are texts."""
    if not isinstance(source, str | os.PathLike):
        yield _frame(source), lambda: None, False
        return
    path = Path(source)
    try:
        with path.open("rb") as raw:
            begins = raw.read(4)
            raw.seek(0)
            size = os.fstat(raw.fileno()).st_size
            if begins == b"PAR1":
                yield (*_parquet(path, batch), False)
                return
            stream = gzip.GzipFile(fileobj=raw) if begins[:2] == b"\x1f\x8b" else raw
            tabs = path.suffix == ".tsv" or path.name.endswith(".tsv.gz")
            rows = _csv(stream, delimiter or ("\t" if tabs else ","), str(path))
            yield rows, lambda: min(1.0, raw.tell() / size) if size else None, True
    except OSError as error:
        raise BadInput(f"can't be read: {error.strerror or error}", where=str(path)) from None


def _csv(stream: Any, delimiter: str, where: str) -> Iterator[Row]:
    # What isn't UTF-8 becomes half a surrogate pair, and so a bad row of its own instead of the end of the file.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    try:
        reader = csv.reader(text, delimiter=delimiter)
        header = next(reader, None)
    except (csv.Error, TypeError, EOFError) as error:
        raise BadInput(f"is no CSV: {error}", where=where) from None
    if not header:
        raise BadInput("has no header", where=where)
    twice = [name for index, name in enumerate(header) if name in header[:index]]
    if twice:
        raise BadInput(f"has the column {twice[0]!r} twice", where=where)
    number = 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            number += 1
            yield number, BadInput(f"is no CSV: {error}")
            continue
        except (OSError, EOFError) as error:
            raise BadInput(f"is damaged behind row {number} ({error})", where=where) from None
        if cells is None:
            return
        if not cells:
            continue
        number += 1
        if len(cells) == len(header):
            yield number, dict(zip(header, cells, strict=True))
        else:
            yield number, BadInput(f"has {len(cells)} cells, the header has {len(header)}")


def _parquet(path: Path, batch: int) -> tuple[Iterator[Row], Share]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"is no sound Parquet file: {error}", where=str(path)) from None
    total = max(1, file.metadata.num_rows)
    done = 0

    def rows() -> Iterator[Row]:
        nonlocal done
        try:
            for part in file.iter_batches(batch_size=max(1, min(batch, 10_000))):
                for row in rows_of(part, where=str(path)):
                    done += 1
                    yield done, row
        except (pa.ArrowException, OSError) as error:
            raise BadInput(f"is damaged behind row {done}: {error}", where=str(path)) from None

    return rows(), lambda: done / total


def _frame(source: Any) -> Iterator[Row]:
    """Rows of a DataFrame or Arrow table; of a reader of Arrow batches one batch after the other."""
    parts = source if hasattr(source, "read_next_batch") else [source]
    number = 0
    for part in parts:
        for row in rows_of(part, where="source"):
            number += 1
            yield number, row
