"""How an export is laid out: a file for each kind, one of links, perhaps one of vectors, and `export.json`, the last.

    records     one a line or row: its fields, and `_hash`, the digest of the store as its caller gave it
    table-1 …   rows of the user's own tables, one file each, in the order of `tables` in `export.json`
    links       type, kind, namespace and id of both ends, values
    vectors     Parquet in both formats: kind, namespace, id, and the vector as float32; never as JSON

Everything is in one order, and nothing tells of the time or place of exporting: equal memories export to equal bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import msgspec

from graphsvc.errors import BadInput, Corrupt, NewerFormat, UnknownField
from graphsvc.memory.rows_in import arrow_fields
from graphsvc.model.kinds import KINDS, Kind

T = TypeVar("T")
Format = Literal["jsonl", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
VERSION = 1
MANIFEST = "export.json"
LINKS, VECTORS = "links", "vectors"
HASH = "_hash"
BATCH = 5_000
"""Records written together: a row group of a Parquet file."""
LINK_COLUMNS = (
    "rel", "source_kind", "source_agent", "source_id", "target_kind", "target_agent", "target_id", "values",
)  # fmt: skip


@dataclass(slots=True)
class File:
    """One file: how many records, links or vectors it holds, its size, and its BLAKE2b."""

    name: str
    count: int
    bytes: int
    blake2b: str


@dataclass(slots=True)
class Contents:
    """What `export.json` says.

    Attributes:
        format: of the files. files: what holds which kind, links or vectors, or, under `table:` and its name, the rows
            of a table of the user's. fields: of each kind, as they were. tables: what is declared of the user's.
        defaults: what their columns hold that a row doesn't name, by table and column.
        embedding: name, fingerprint and dimension of the model that made the vectors.
    """

    format: Format
    files: dict[str, File] = field(default_factory=dict)
    fields: dict[str, list[str]] = field(default_factory=dict)
    tables: list[dict[str, Any]] = field(default_factory=list)
    defaults: dict[str, dict[str, Any]] = field(default_factory=dict)
    embedding: dict[str, Any] | None = None
    version: int = VERSION

    def write(self, directory: Path) -> None:
        """Write `export.json`, after all else is on disk."""
        with (directory / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())


def read_contents(directory: Path) -> Contents:
    """What is in an export.

    Raises:
        BadInput: it is none. NewerFormat, UnknownField: a newer graphsvc made it. Corrupt: `export.json` is damaged.
    """
    path = directory / MANIFEST
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["version"] > VERSION:
            raise NewerFormat(
                f"the export has version {said['version']}; this graphsvc knows up to {VERSION}",
                where=str(directory),
                hint="Upgrade graphsvc; nothing was imported.",
            )
        contents = msgspec.convert(said, Contents)
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(
            "holds no whole export", where=str(directory), hint=f"An export is a directory with {MANIFEST} in it."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"is damaged ({error})", where=str(path), hint="Export again.") from None
    for name, fields in contents.fields.items():
        if name not in KINDS:
            raise UnknownField(f"the export holds a kind that this graphsvc doesn't know: {name!r}", where=str(path))
        for unknown in set(fields) - KINDS[name].fields.keys():
            raise UnknownField(f"the export has a field that {name} doesn't: {unknown!r}", where=str(path))
    return contents


def check(directory: Path, contents: Contents) -> None:
    """Compare every file with what `export.json` says of it.

    Raises:
        Corrupt: one is missing, cut off or changed.
    """
    for file in contents.files.values():
        path = directory / file.name
        try:
            found = described(path, file.count)
        except OSError as error:
            raise Corrupt(f"can't be read ({error.strerror})", where=str(path), hint="Nothing was imported.") from None
        if found != file:
            what = "is cut off" if found.bytes < file.bytes else "isn't what was exported: its checksum is another"
            raise Corrupt(what, where=str(path), hint="Copy or export it again; nothing was imported.")


def described(path: Path, count: int) -> File:
    """What is to be said of a file."""
    digest, size = blake2b(digest_size=32), 0
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
            size += len(part)
    return File(path.name, count, size, digest.hexdigest())


# --- rows -------------------------------------------------------------------------------------------------


def schema(kind: Kind) -> Any:
    """Arrow columns of a kind's records."""
    import pyarrow as pa

    return pa.schema([*arrow_fields(kind), pa.field(HASH, pa.binary())])


def link_schema() -> Any:
    """Arrow columns of links; their values as JSON."""
    import pyarrow as pa

    return pa.schema([pa.field(name, pa.string()) for name in LINK_COLUMNS])


def vector_schema(dimension: int) -> Any:
    """Arrow columns of vectors."""
    import pyarrow as pa

    names = [pa.field(name, pa.string()) for name in ("kind", "agent", "id")]
    return pa.schema([*names, pa.field("vector", pa.list_(pa.float32(), dimension))])


class Writer:
    """One file of an export, JSON Lines or Parquet, written a batch at a time."""

    def __init__(self, path: Path, format: Format, schema: Any) -> None:
        self.path = path
        self.count = 0
        self._schema = schema
        self._file = path.open("wb")
        self._parquet: Any = None
        if format == "parquet":
            import pyarrow.parquet as pq

            self._parquet = pq.ParquetWriter(self._file, schema, compression="zstd")

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows: what `json_of` can write, or what the schema takes."""
        if self._parquet is None:
            self._file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)
        else:
            import pyarrow as pa

            self._parquet.write_table(pa.Table.from_pylist(list(rows), self._schema))
        self.count += len(rows)

    def write_table(self, table: Any) -> None:
        """Add an Arrow table."""
        self._parquet.write_table(table)
        self.count += table.num_rows

    def close(self) -> File:
        """End the file, have the disk hold it; what is to be said of it."""
        if self._parquet is not None:
            self._parquet.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return described(self.path, self.count)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def read_rows(path: Path, format: Format) -> Iterator[dict[str, Any]]:
    """The rows of a file, one after the other.

    Raises:
        BadInput: one can't be read.
    """
    if format == "parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                yield from batch.to_pylist()
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = msgspec.json.decode(line)
            except msgspec.DecodeError as error:
                raise BadInput(f"is not JSON: {error}", where=f"{path.name}, line {number}") from None
            if not isinstance(row, dict):
                raise BadInput(f"expected an object, got {type(row).__name__}", where=f"{path.name}, line {number}")
            yield row
