"""`POST /cypher`: a statement in, rows out: as JSON, as lines of JSON, or as an Arrow stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from graphsvc.errors import BadInput
from graphsvc.memory.cypher import Result
from graphsvc.model.elements import as_data
from graphsvc.service.authentication import caller_of
from graphsvc.service.gate import Gate
from graphsvc.service.gone import CLIENT_CLOSED, ClientGone, unless_gone

JSON, LINES, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
CHUNK = 1_000
"""Rows that are written at once."""


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request.

    Attributes:
        query: one statement. params: values of its parameters. timeout: seconds. limit: rows at most.
        write: whether it writes. wait: seconds to wait for what was written before, or for a write's outcome.
        explain: give the plan and run nothing.
    """

    query: Annotated[str, Meta(min_length=1)]
    params: dict[str, Any] = {}
    timeout: float | None = None
    limit: int | None = None
    write: bool = False
    wait: float | None = None
    explain: bool = False


def routes(gate: Gate) -> list[Route]:
    """Where it is."""

    async def cypher(request: Request) -> Response:
        kind = _kind(request.headers.get("accept", ""))
        asked = _asked(request, await request.body())
        if asked.explain and asked.write:
            raise BadInput("a plan is of a statement that reads", where="explain")
        query = f"EXPLAIN {asked.query}" if asked.explain else asked.query
        work = gate.call(
            caller_of(request), "cypher", query=query, params=asked.params, timeout=asked.timeout, limit=asked.limit,
            write=asked.write, wait=asked.wait,
        )  # fmt: skip
        try:
            found = await unless_gone(request, work)
        except ClientGone:
            return Response(status_code=CLIENT_CLOSED)
        if asked.explain:
            return Response(msgspec.json.encode({"plan": found.value()}), media_type=JSON)
        return await run_in_threadpool(_answered, found, kind)

    return [Route("/cypher", cypher, methods=["POST"])]


def _asked(request: Request, body: bytes) -> Asked:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise BadInput(f"expected {JSON}, got {kind or 'nothing'}", where="Content-Type")
    try:
        return msgspec.json.decode(body, type=Asked)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(str(error), where="body") from None


def _kind(accept: str) -> str:
    """The form that is asked for: the one of ours with the highest weight, JSON where any will do."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        name, _, parameters = part.partition(";")
        weight = 1.0
        for parameter in parameters.split(";"):
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        weights[name.strip().lower()] = weight
    any_weight = max(weights.get("*/*", 0.0), weights.get("application/*", 0.0), 1.0 if not accept.strip() else 0.0)
    best = max((JSON, LINES, ARROW), key=lambda kind: weights.get(kind, any_weight if kind == JSON else 0.0))
    if weights.get(best, any_weight if best == JSON else 0.0) <= 0:
        raise BadInput(f"none of {JSON}, {LINES}, {ARROW} is accepted", where="Accept")
    return best


def _answered(found: Result, kind: str) -> Response:
    if kind == ARROW:
        return StreamingResponse(_arrow(found), media_type=ARROW)
    if kind == LINES:
        return StreamingResponse(_lines(found), media_type=LINES)
    answer = {**_head(found), "rows": [as_data(list(row)) for row in found.rows], **_tail(found)}
    return Response(msgspec.json.encode(answer, enc_hook=str), media_type=JSON)


def _head(found: Result) -> dict[str, Any]:
    return {"columns": found.columns, "types": found.types}


def _tail(found: Result) -> dict[str, Any]:
    return {"count": len(found), "more": found.more, "behind": found.behind, "took_ms": round(found.took * 1000, 3)}


def _lines(found: Result) -> Iterator[bytes]:
    """The columns first, then an array for each row, then what there is to say of the whole."""
    encoder = msgspec.json.Encoder(enc_hook=str)
    yield encoder.encode(_head(found)) + b"\n"
    rows = found.rows
    for start in range(0, len(rows), CHUNK):
        yield encoder.encode_lines([as_data(list(row)) for row in rows[start : start + CHUNK]])
    yield encoder.encode(_tail(found)) + b"\n"


def _arrow(found: Result) -> Iterator[bytes]:
    """The table as an Arrow IPC stream, what there is to say of the whole as its schema's metadata."""
    import io

    import pyarrow as pa

    table = found.arrow().replace_schema_metadata({name: str(value) for name, value in _tail(found).items()})
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=64 * CHUNK):
            writer.write_batch(batch)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
