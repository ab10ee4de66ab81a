"""From what a caller gave to a record: every value checked, one clear error for the first that is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import blake2b
from typing import Any

import msgspec

from graphsvc.errors import BadInput, TooLarge, UnknownField
from graphsvc.model.kinds import KIND_OF, Field, Kind
from graphsvc.model.names import check_name, task_text
from graphsvc.model.records import Record
from graphsvc.model.times import utc

MAX_DEPTH = 16
_INT64 = 1 << 63


@dataclass(frozen=True, slots=True)
class Limits:
    """How large the parts of a record may be; see the settings of the same names."""

    max_text_bytes: int = 1 << 20
    max_metadata_bytes: int = 64 << 10
    max_tags: int = 64


def build(kind: Kind, values: Mapping[str, Any], limits: Limits, *, prefix: str = "") -> Record:
    """A record of `kind` from field values that are not yet to be trusted.

    Raises:
        UnknownField: for a name that is no field.
        BadInput, TooLarge: for a value of the wrong type, range or size, naming the field.
    """
    checked = check_values(kind, values, limits, prefix=prefix)
    for name, field in kind.fields.items():
        if name not in checked and not field.optional and _required(kind, name):
            raise BadInput("is required", where=prefix + name)
    return kind.record(**checked)


def check_values(kind: Kind, values: Mapping[str, Any], limits: Limits, *, prefix: str = "") -> dict[str, Any]:
    """The given fields of a record, each checked and in its final form."""
    checkers = _checkers(kind.record)
    checked = {}
    for name, value in values.items():
        checker = checkers.get(name)
        if checker is None:
            raise _unknown(kind, name, prefix)
        checked[name] = checker(value, limits, prefix + name)
    return checked


MAX_UPLIFT = 1e18
Checker = Callable[[Any, Limits, str], Any]


@cache
def _checkers(record: type[Record]) -> dict[str, Checker]:
    """What checks each field of a record, chosen once."""
    return {name: _checker(field) for name, field in KIND_OF[record].fields.items()}


def _checker(field: Field) -> Checker:
    check = _CHECKS["task" if field.name == "task" else field.type]
    if field.name == "latency_ms":
        check = _not_negative
    if field.name == "confidence":
        check = _share
    if field.name == "uplift":
        check = _uplift
    if field.type in ("tags", "metadata"):
        empty: Any = () if field.type == "tags" else {}
        return lambda value, limits, where: empty if value is None else check(value, limits, where)
    if field.optional:
        return lambda value, limits, where: None if value is None else check(value, limits, where)
    return check


def _required(kind: Kind, name: str) -> bool:
    return name in _required_fields(kind.record)


_required_cache: dict[type[Record], frozenset[str]] = {}


def _required_fields(record: type[Record]) -> frozenset[str]:
    known = _required_cache.get(record)
    if known is None:
        known = frozenset(
            field.name
            for field in msgspec.structs.fields(record)
            if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
        )
        _required_cache[record] = known
    return known


def _unknown(kind: Kind, name: str, prefix: str) -> UnknownField:
    import difflib

    near = difflib.get_close_matches(str(name), kind.fields, 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Fields: {', '.join(kind.fields)}."
    return UnknownField(f"{_a(kind.name)} has no such field", where=f"{prefix}{name}", hint=hint)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _name(value: Any, limits: Limits, where: str) -> str:
    return check_name(value, where)


def _time(value: Any, limits: Limits, where: str) -> datetime:
    return utc(value, where=where)


def _task(value: Any, limits: Limits, where: str) -> str:
    task = task_text(_text(value, limits, where))
    if not task:
        raise BadInput("is empty", where=where, hint="Say what was to be done.")
    return task


def _text(value: Any, limits: Limits, where: str) -> str:
    if not isinstance(value, str):
        raise BadInput(f"expected text, got {type(value).__name__}", where=where)
    if "\x00" in value:
        raise BadInput("the text holds a NUL character", where=where, hint="Remove it, or encode binary data.")
    if not value.isascii() or len(value) > limits.max_text_bytes:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise BadInput("the text holds half a surrogate pair, which is no character", where=where) from None
        if size > limits.max_text_bytes:
            raise TooLarge(
                f"{size:,} bytes; a text has at most {limits.max_text_bytes:,}",
                where=where,
                hint="Shorten it, or raise the setting max_text_bytes.",
            )
    return str(value)


def plain(value: Any) -> Any:
    """A numpy scalar as the Python value that it stands for; anything else as it is."""
    if type(value) in _PLAIN:
        return value
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () else value


_PLAIN = frozenset({str, int, float, bool, dict, list, tuple, type(None)})


def _number(value: Any, limits: Limits, where: str) -> float:
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"expected a number, got {type(value).__name__}", where=where)
    try:
        number = float(value)
    except OverflowError:
        raise BadInput("the number is out of range", where=where) from None
    if not math.isfinite(number):
        raise BadInput(f"expected a finite number, got {number}", where=where, hint="Leave it out if it is unknown.")
    return number + 0.0  # -0.0 becomes 0.0: both engines and JSON then agree on one zero


def _not_negative(value: Any, limits: Limits, where: str) -> float:
    number = _number(value, limits, where)
    if number < 0:
        raise BadInput(f"can't be negative, got {number}", where=where)
    return number


def _share(value: Any, limits: Limits, where: str) -> float:
    number = _number(value, limits, where)
    if not 0 <= number <= 1:
        raise BadInput(f"expected a number from 0 to 1, got {number}", where=where)
    return number


def _uplift(value: Any, limits: Limits, where: str) -> float:
    """Small enough that the product along the longest path is a number."""
    number = _number(value, limits, where)
    if abs(number) > MAX_UPLIFT:
        raise BadInput(f"expected a number from {-MAX_UPLIFT:g} to {MAX_UPLIFT:g}, got {number:g}", where=where)
    return number


def _whole(value: Any, limits: Limits, where: str) -> int:
    value = plain(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInput(f"expected a whole number, got {value!r}", where=where)
    if not 0 <= value < _INT64:
        raise BadInput(f"{value} is out of range", where=where)
    return value


def _truth(value: Any, limits: Limits, where: str) -> bool:
    value = plain(value)
    if not isinstance(value, bool):
        raise BadInput(f"expected true or false, got {value!r}", where=where)
    return value


def _tags(value: Any, limits: Limits, where: str) -> tuple[str, ...]:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise BadInput(f"expected a list of texts, got {type(value).__name__}", where=where)
    tags = sorted({check_name(tag, f"{where}[{index}]") for index, tag in enumerate(value)})
    if len(tags) > limits.max_tags:
        raise TooLarge(f"{len(tags)} tags; a record has at most {limits.max_tags}", where=where)
    return tuple(tags)


def _metadata(value: Any, limits: Limits, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput(f"expected an object, got {type(value).__name__}", where=where)
    if not value:
        return {}
    checked: dict[str, Any] = _json(value, where, 0)
    size = len(msgspec.json.encode(checked))
    if size > limits.max_metadata_bytes:
        raise TooLarge(f"{size:,} bytes; metadata has at most {limits.max_metadata_bytes:,}", where=where)
    return checked


def _json(value: Any, where: str, depth: int) -> Any:
    """`value` as JSON has it, copied, so that the caller's later edits don't reach the record."""
    if depth > MAX_DEPTH:
        raise TooLarge(f"is nested deeper than {MAX_DEPTH}", where=where)
    value = plain(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _json_text(value, where)
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise BadInput(f"{value} doesn't fit 64 bits", where=where, hint="Write it as text.")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadInput(f"{value} isn't JSON", where=where)
        return value + 0.0
    if isinstance(value, Mapping):
        return {_json_key(key, where): _json(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
    raise BadInput(f"{type(value).__name__} isn't JSON", where=where, hint="Convert it to text or numbers first.")


def _json_key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise BadInput(f"keys are texts, got {key!r}", where=where)
    return _json_text(key, where)


def _json_text(value: str, where: str) -> str:
    if "\x00" in value:
        raise BadInput("the text holds a NUL character", where=where)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadInput("the text holds half a surrogate pair, which is no character", where=where) from None
    return value


_CHECKS: dict[str, Checker] = {
    "name": _name, "task": _task, "text": _text, "float": _number, "int": _whole, "bool": _truth, "time": _time,
    "tags": _tags, "metadata": _metadata,
}  # fmt: skip

_sorted = msgspec.json.Encoder(order="sorted")


def content_hash(kind: str, given: Mapping[str, Any]) -> bytes:
    """Digest of a store as the caller gave it: id, time and vector left out, defaults as good as unsaid.

    16 bytes of BLAKE2b over canonical JSON. The same id with the same hash is the same write. Null, empty text, no
    tags and no metadata say nothing; zero and false do say something.
    """
    content = {
        name: value
        for name, value in given.items()
        if (value or value == 0) and value is not None and name not in ("id", "at")
    }
    return blake2b(kind.encode() + _sorted.encode(content), digest_size=16).digest()
