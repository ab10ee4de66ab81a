"""`as_of`: at which moment of the world, and as it was known at which moment, something is asked for.

Two times are kept of what changes: when it was true (valid), and when it was known here. Intervals are half-open,
[from, to): what ends at a moment isn't true at it any more. Everything is UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from graphsvc.errors import BadInput, NotTemporal
from graphsvc.model.times import EARLIEST, micros, utc

HOW = "Write a moment, (valid, known), or AsOf(valid=…, known=…); None in either place leaves that one open."


class AsOf(NamedTuple):
    """A pair of times to ask for. `graphsvc.AsOf(known="2026-03-01T00:00:00Z")`.

    Attributes:
        valid: what was true then; None: at whatever time.
        known: as it was known then; None: as it is known now.
    """

    valid: datetime | str | None = None
    known: datetime | str | None = None


When = AsOf | tuple[Any, Any] | datetime | str | Mapping[str, Any] | None
"""What an argument `as_of` may be; see `parse_as_of`."""


class Moments(NamedTuple):
    """An `AsOf`, checked: microseconds since 1970, UTC."""

    valid: int | None
    known: int | None


def parse_as_of(value: Any, *, where: str = "as_of") -> Moments | None:
    """What an argument `as_of` says; None where it says nothing.

    Args:
        value: None; one moment, which means valid; (valid, known) as a pair, `AsOf` or an object with these names.

    Raises:
        BadInput: it is none of that, or a moment isn't one.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        unknown = [name for name in value if name not in AsOf._fields]
        if unknown:
            raise BadInput(f"{unknown[0]!r} is neither valid nor known", where=where, hint=HOW)
        value = AsOf(**value)
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise BadInput(f"expected two moments, got {len(value)}", where=where, hint=HOW)
        valid, known = (
            None if moment is None else micros(utc(moment, where=f"{where}.{name}"))
            for name, moment in zip(AsOf._fields, value, strict=True)
        )
        return None if valid is known is None else Moments(valid, known)
    return Moments(micros(utc(value, where=where)), None)


def refuse_as_of(value: Any, what: str) -> None:
    """Raise NotTemporal where a time is asked for of something that has none: `what`, like 'the table Person'."""
    if parse_as_of(value) is not None:
        raise NotTemporal(f"{what} keeps no times", where="as_of", hint="Ask without as_of: it is as it is now.")


def check_interval(start: datetime | None, end: datetime | None, *, where: str = "valid_to") -> None:
    """Raise BadInput unless the interval holds a moment."""
    if end is not None and (start or EARLIEST) >= end:
        raise BadInput("must be later than the beginning", where=where, hint="Intervals are half-open: [from, to).")
