"""What is known of one node of a temporal table: versions, each of which holds in the world for an interval. Pure.

Those of one moment of knowledge don't overlap. What is written holds for a portion of the world's time, as SQL:2011 has
it (FOR PORTION OF; Kulkarni and Michels 2012): where a version reaches beyond the portion, it stays there as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

Portion = tuple[datetime | None, datetime | None]
"""[from, to) of the world's time; None is open."""


class Version(NamedTuple):
    """What holds of a node in [start, end).

    Attributes:
        start, end: None is open. values: its other columns by name.
    """

    start: datetime | None
    end: datetime | None
    values: Mapping[str, Any]


def written(
    known: Sequence[Version], portion: Portion, values: Mapping[str, Any], *, fill: bool
) -> list[Version]:
    """The versions after values were written for a portion, those that it doesn't touch as they were.

    Args:
        known: the versions before, by time. fill: whether it then holds where nothing did, too.
    """
    found: list[Version] = []
    upto: datetime | None = portion[0]
    open_end = False
    for version in known:
        inside = _overlap((version.start, version.end), portion)
        if inside is None:
            found.append(version)
            continue
        found += _outside(version, inside)
        found.append(Version(*inside, {**version.values, **values}))
        if fill and not open_end and _later(inside[0], upto):
            found.append(Version(upto, inside[0], values))
        upto, open_end = inside[1], inside[1] is None
    if fill and not open_end and (upto is None or portion[1] is None or upto < portion[1]):
        found.append(Version(upto, portion[1], values))
    return in_order(found)


def removed(known: Sequence[Version], portion: Portion) -> list[Version]:
    """The versions after nothing is left in a portion."""
    found: list[Version] = []
    for version in known:
        inside = _overlap((version.start, version.end), portion)
        found += [version] if inside is None else _outside(version, inside)
    return in_order(found)


def in_order(versions: Iterable[Version]) -> list[Version]:
    """Versions in the order of time."""
    return sorted(versions, key=_place)


def reaches(known: Sequence[Version], portion: Portion) -> bool:
    """Whether anything holds in a portion."""
    return any(_overlap((version.start, version.end), portion) for version in known)


def shown(known: Sequence[Version], moment: datetime) -> Version:
    """The version that holds at a moment; else the last one that began before it; else the first of all."""
    begun = [version for version in known if version.start is None or version.start <= moment]
    return max(begun, key=_place) if begun else min(known, key=_place)


def _place(version: Version) -> tuple[bool, datetime]:
    return version.start is not None, version.start or datetime.min


def _later(one: datetime | None, other: datetime | None) -> bool:
    """Whether a beginning comes after another."""
    return one is not None and (other is None or one > other)


def _overlap(one: Portion, other: Portion) -> Portion | None:
    start = one[0] if _later(one[0], other[0]) else other[0]
    end = one[1] if other[1] is None or (one[1] is not None and one[1] < other[1]) else other[1]
    return None if start is not None and end is not None and start >= end else (start, end)


def _outside(version: Version, inside: Portion) -> list[Version]:
    """What is left of a version before and behind a part of it."""
    found = []
    if _later(inside[0], version.start):
        found.append(version._replace(end=inside[0]))
    if inside[1] is not None and (version.end is None or inside[1] < version.end):
        found.append(version._replace(start=inside[1]))
    return found
