"""Lines of a file that may be large, compressed, damaged, or standard input."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from graphsvc.errors import BadInput

MAX_LINE = 16 << 20
"""Longer lines are skipped, so that one without an end doesn't fill the memory. Bytes."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class Lines:
    """The lines of a file, one after the other, with their numbers from 1.

    Args:
        source: a path, plain or gzip, or "-" for standard input.

    Raises:
        BadInput: it can't be read.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self.name = "standard input" if source == "-" else os.fspath(source)
        try:
            raw: BinaryIO = sys.stdin.buffer if source == "-" else open(source, "rb")  # noqa: SIM115  closed with self
            self._size = os.fstat(raw.fileno()).st_size if source != "-" else 0
        except OSError as error:
            raise BadInput(f"can't be read: {error.strerror}", where=self.name) from None
        self._raw = raw
        buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, raw))
        packed = buffered.peek(2)[:2] == _GZIP
        self._lines: BinaryIO = cast(BinaryIO, gzip.GzipFile(fileobj=buffered)) if packed else buffered

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        if self._raw is not sys.stdin.buffer:
            self._raw.close()

    @property
    def share(self) -> float | None:
        """How much of the file is read, 0 to 1; None where its size isn't known."""
        return min(1.0, self._raw.tell() / self._size) if self._size else None

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        """Number and bytes of each line that isn't blank; None for one that is too long.

        Raises:
            BadInput: the file is damaged from there on.
        """
        number = 0
        while line := self._read(number):
            number += 1
            if len(line) > MAX_LINE:
                while line and not line.endswith(b"\n"):
                    line = self._read(number)
                yield number, None
                continue
            if number == 1:
                line = line.removeprefix(_BOM)
            if line.strip():
                yield number, line

    def _read(self, number: int) -> bytes:
        try:
            return self._lines.readline(MAX_LINE + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(
                f"is damaged or cut off behind line {number} ({error})",
                where=self.name,
                hint="What stands before it was imported; import the whole file again when it is mended.",
            ) from None
