"""A bare JSON route of Starlette: the body is read as JSON, and an answer of the same shape given. The floor of all."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.asked import DOCUMENTS, answers

ANSWERS = {DOCUMENTS[name]: {"data": answer} for name, answer in answers().items()}


async def graphql(request: Request) -> JSONResponse:
    return JSONResponse(ANSWERS[(await request.json())["query"]])


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


app = Starlette(routes=[Route("/graphql", graphql, methods=["POST"]), Route("/health", health)])
