"""Who stays, over a WebSocket or a stream of events: known before anything is done, and gone once their key is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from graphsvc.config import ServiceSettings
from graphsvc.errors import Unauthenticated
from graphsvc.service import authentication
from graphsvc.service.authentication import Authentication, Authenticator, caller_of
from graphsvc.service.headers import Sites
from graphsvc.service.keys import FILE, Keys

from .conftest import listening


@contextlib.contextmanager
def running(tmp_path: Path, heard: list[str] | None = None) -> Iterator[str]:
    """A WebSocket and a stream of events behind authentication; `heard` is what came over it."""
    settings = ServiceSettings(authentication="required")
    known = Authenticator(tmp_path, settings)

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                said = await socket.receive_text()
                if heard is not None:
                    heard.append(said)
                if said.startswith("gsvc_"):
                    try:
                        known.admit(socket.scope, said)
                    except Unauthenticated as error:
                        await socket.close(1008, error.code)
                        return
                try:
                    await socket.send_text(caller_of(socket).name)
                except Unauthenticated as error:
                    await socket.send_text(error.code)

    async def events(request: Request) -> Response:
        async def some() -> AsyncIterator[str]:
            for number in range(100):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.05)

        return StreamingResponse(some(), media_type="text/event-stream")

    app = Starlette(
        routes=[WebSocketRoute("/talk", talk), Route("/events", events)],
        middleware=[Middleware(Sites, settings=settings), Middleware(Authentication, authenticator=known)],
    )
    with listening(app, settings) as url:
        yield url


def key(tmp_path: Path, name: str = "ada") -> str:
    return Keys(tmp_path / FILE).create(name, "reader", None, datetime.now(UTC))[1]


def talking(url: str, **headers: str) -> ClientConnection:
    return connect(url.replace("http", "ws") + "/talk", additional_headers=headers, proxy=None)


@pytest.fixture
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "LOOK_AGAIN_SECONDS", 0.1)


def test_a_websocket_says_who_it_is_in_its_header_or_in_a_message(tmp_path: Path) -> None:
    text = key(tmp_path)
    with running(tmp_path) as url:
        with talking(url, Authorization=f"Bearer {text}") as socket:
            socket.send("hello")
            assert socket.recv() == "ada"
        with talking(url) as socket:
            socket.send("hello")
            assert socket.recv() == "unauthenticated"
            socket.send(text)
            assert socket.recv() == "ada"
        with talking(url) as socket:
            socket.send(text[:-1])
            with pytest.raises(ConnectionClosed):
                socket.recv()


def test_a_websocket_with_a_wrong_key_or_from_another_page_isnt_opened(tmp_path: Path) -> None:
    text = key(tmp_path)
    with running(tmp_path) as url:
        for headers, status in (
            ({"Authorization": f"Bearer {text[:-1]}"}, 401),
            ({"Authorization": f"Bearer {text}", "Origin": "https://evil.example"}, 403),
        ):
            with pytest.raises(InvalidStatus) as caught:
                talking(url, **headers)
            assert caught.value.response.status_code == status


@pytest.mark.usefixtures("looking_often")
def test_a_websocket_whose_key_was_revoked_hears_nothing_more(tmp_path: Path) -> None:
    text = key(tmp_path)
    for header in (True, False):
        with running(tmp_path) as url, talking(url, **({"Authorization": f"Bearer {text}"} if header else {})) as socket:
            socket.send(text)
            assert socket.recv() == "ada"
            Keys(tmp_path / FILE).revoke("ada", datetime.now(UTC))
            with pytest.raises(ConnectionClosed) as caught:
                for _ in range(100):
                    socket.send("hello")
                    assert socket.recv() == "ada"
                    asyncio.run(asyncio.sleep(0.02))
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1008
        text = key(tmp_path)


@pytest.mark.usefixtures("looking_often")
def test_of_a_websocket_whose_key_was_revoked_nothing_more_is_taken(tmp_path: Path) -> None:
    text, heard = key(tmp_path), list[str]()
    with running(tmp_path, heard) as url, talking(url, Authorization=f"Bearer {text}") as socket:
        socket.send("before")
        assert socket.recv() == "ada"
        Keys(tmp_path / FILE).revoke("ada", datetime.now(UTC))
        asyncio.run(asyncio.sleep(0.2))
        with pytest.raises(ConnectionClosed) as caught:
            for _ in range(5):  # at once, before any is answered
                socket.send("after")
            socket.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, heard) == (1008, ["before"])


@pytest.mark.usefixtures("looking_often")
def test_a_stream_of_events_whose_key_was_revoked_ends(tmp_path: Path) -> None:
    text = key(tmp_path)
    with running(tmp_path) as url, httpx.stream("GET", f"{url}/events", headers={"Authorization": f"Bearer {text}"}) as stream:
        lines = filter(None, stream.iter_lines())
        assert [next(lines) for _ in range(5)] == [f"data: {number}" for number in range(5)]
        Keys(tmp_path / FILE).revoke("ada", datetime.now(UTC))
        assert len(list(lines)) < 20
