"""Scalars beside GraphQL's own: whole numbers of 64 bits, times, lengths of time, JSON."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

import msgspec
from graphql import GraphQLError, GraphQLScalarType

MOST = 1 << 63


def _long(value: Any) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) <= 1 << 53:  # as JSON of some clients has it
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -MOST <= value < MOST:
        raise GraphQLError(f"expected a whole number of 64 bits, got {value!r}")
    return value


def _time(value: Any) -> str:
    if not isinstance(value, datetime):
        return str(value)
    return value.isoformat() + "Z" if value.tzinfo is None else value.isoformat().replace("+00:00", "Z")


def _text_of_time(value: Any) -> str:
    if not isinstance(value, str):
        raise GraphQLError(f"expected a time as text (ISO 8601, with its zone), got {value!r}")
    return value


def _duration(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise GraphQLError(f'expected seconds, or a text like "30d", got {value!r}')
    return value


def as_json(value: Any) -> Any:
    """Any value that the memory gives, as JSON has it."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_as_json)


def _as_json(value: Any) -> Any:
    for way in ("as_dict", "tolist"):
        if hasattr(value, way):
            return getattr(value, way)()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise NotImplementedError(f"{type(value).__name__} has no form in JSON")


LONG = GraphQLScalarType(
    "Long",
    description="A whole number of 64 bits. Over 2^53 some clients lose digits.",
    coerce_output_value=int,
    coerce_input_value=_long,
)
TIME = GraphQLScalarType(
    "DateTime",
    description="A moment: ISO 8601 with its zone; given back in UTC.",
    coerce_output_value=_time,
    coerce_input_value=_text_of_time,
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
)
DATE = GraphQLScalarType(
    "Date",
    description="A day: ISO 8601, like 2026-03-01.",
    coerce_output_value=str,
    coerce_input_value=_text_of_time,
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
)
JSON = GraphQLScalarType(
    "JSON",
    description="Any JSON value.",
    coerce_output_value=as_json,
    coerce_input_value=lambda value: value,
    specified_by_url="https://www.rfc-editor.org/rfc/rfc8259",
)
DURATION = GraphQLScalarType(
    "Duration",
    description='A length of time: seconds, or a text like "90s", "12h", "30d".',
    coerce_output_value=lambda value: value,
    coerce_input_value=_duration,
)
