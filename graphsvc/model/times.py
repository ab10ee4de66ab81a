"""Times and durations. Inside everything is UTC, to the microsecond; outside any zone is welcome."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from graphsvc.errors import BadInput

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*")


def micros(at: datetime) -> int:
    """Microseconds since 1970, exact."""
    delta = at - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(value: int) -> datetime:
    """The UTC time that many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=value)


def utc(value: datetime | str, *, where: str = "at") -> datetime:
    """A moment in UTC, from an aware datetime or ISO 8601 text with an offset.

    Raises:
        BadInput: for a naive time (it names no moment), a malformed text, or a year out of range.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise BadInput(f"{value!r} is not an ISO 8601 time", where=where) from None
    if not isinstance(value, datetime):
        raise BadInput(f"expected a datetime or ISO 8601 text, got {type(value).__name__}", where=where)
    if value.utcoffset() is None:
        raise BadInput(
            "a time without a zone names no moment",
            where=where,
            hint="Use datetime.now(UTC), or .astimezone() for local time.",
        )
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        raise BadInput("the time is out of range", where=where) from None
    if not EARLIEST <= value <= LATEST:
        raise BadInput("the time is out of range", where=where)
    return value


def seconds(value: float | str | timedelta, *, where: str = "duration") -> float:
    """A duration in seconds, from a number of seconds, a timedelta, or text such as `30d`, `12h`, `90s`.

    Raises:
        BadInput: if it is malformed, negative or not finite.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if not match:
            raise BadInput(
                f"{value!r} is not a duration", where=where, hint="Write 90s, 15m, 12h, 30d or 2w."
            )
        value = float(match[1]) * _UNITS[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"expected a duration, got {type(value).__name__}", where=where)
    if not 0 <= value < 3.2e11:
        raise BadInput(f"{value!r} is out of range", where=where)
    return float(value)
