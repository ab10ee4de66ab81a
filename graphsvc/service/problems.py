"""Errors as HTTP tells them."""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import JSONResponse

from graphsvc.errors import GraphsvcError

STATUS = {
    "unauthenticated": 401,
    "forbidden": 403,
    "needs_unbound": 403,
    "not_found": 404,
    "request_timeout": 408,
    "conflict": 409,
    "ambiguous": 409,
    "cycle": 409,
    "gone": 410,
    "too_large": 413,
    "rate_limited": 429,
    "overloaded": 503,
    "unavailable": 503,
    "outcome_unknown": 502,
    "in_use": 503,
    "closed": 503,
    "storage_full": 507,
    "query_timeout": 504,
    "wait_timeout": 504,
    "memory_limit": 422,
    "buffer_full": 422,
    "engine_error": 422,
    "pending": 202,
}
"""Of errors by their code; for others 400 where the caller gave something wrong, else 500."""

CALLERS_FAULT = frozenset({
    "bad_input", "unknown_field", "not_allowed", "owned_table", "not_deterministic", "not_temporal", "bad_statement",
    "not_retained", "needs_snapshot", "unsupported",
})  # fmt: skip


def status_of(error: GraphsvcError) -> int:
    """The HTTP status of an error."""
    return STATUS.get(error.code, 400 if error.code in CALLERS_FAULT else 500)


def headers_of(error: GraphsvcError) -> dict[str, str]:
    """What the response to an error says in headers: when to come again, how to say who one is."""
    wait: Any = getattr(error, "retry_after", None)
    headers = {} if wait is None else {"Retry-After": later(wait)}
    return {**headers, "WWW-Authenticate": "Bearer"} if status_of(error) == 401 else headers


def later(seconds: float) -> str:
    """Retry-After: whole seconds, never too few."""
    return str(max(1, math.ceil(seconds)))


def problem(error: GraphsvcError) -> JSONResponse:
    """An error as a response: `{"error": {code, what, where, hint, retryable}}`, with Retry-After where it has one."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **headers_of(error)}
    return JSONResponse({"error": error.as_dict()}, status_code=status_of(error), headers=headers)
