"""How much at once: requests of one caller, requests under way, bytes of a body. What is too much is told when to come
again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphsvc.errors import BadInput, GraphsvcError, Overloaded, QueryTimeout, RateLimited, RequestTimeout, TooLarge
from graphsvc.service.access import Caller
from graphsvc.service.problems import problem

T = TypeVar("T")

UNLIMITED = frozenset({"/health", "/ready", "/metrics"})
"""What watches the service must be answered when it is busy."""
BUCKETS = 10_000
"""Callers whose rate is remembered; the one that was away longest is forgotten first."""
PACE = 1_000.0
"""Turns in a second, before it is known: who comes again too soon learns of it, who comes late leaves turns unused."""
PACE_SECONDS = 2.0
"""How long turns are counted."""
MOST_AGAIN = 60.0
"""Seconds after which anybody may try again; those who would be later come spread over the second half of them."""
RESTARTS = 1012
"""https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number"""
GOLDEN = 0.6180339887
BODIES = 8
"""So many bodies of the largest size may be held at the same time."""


class Buckets:
    """A bucket of tokens for each caller: `rate` come into it in a second, up to `burst`, and each request takes one.

    https://en.wikipedia.org/wiki/Token_bucket
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, who: str, many: int = 1) -> float:
        """Take a token, or many, but no more than there may be. 0 if there were, else the seconds until there are."""
        if not self._rate or not who:
            return 0.0
        many = min(many, int(self._burst))
        now = self._clock()
        left, at = self._left.pop(who, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        short = left < many - 1e-9  # what was added up in parts may be a bit less
        self._left[who] = (left if short else left - many, now)  # at the end: the first is who was away longest
        if len(self._left) > BUCKETS:
            del self._left[next(iter(self._left))]
        return (many - left) / self._rate if short else 0.0


class Rate:
    """Refuses a caller's requests beyond their rate; messages of a WebSocket wait instead, until the service ends."""

    def __init__(self, app: ASGIApp, buckets: Buckets, ending: asyncio.Event) -> None:
        self._app = app
        self._buckets = buckets
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        wait = self._buckets.take(_identity(scope))
        if wait:
            error = RateLimited("more requests than this key may make", retry_after=wait)
            await problem(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["buckets"] = self._buckets  # for what asks for several things at once

        async def at_their_rate() -> Message:
            message = await receive()
            while message["type"] == "websocket.receive" and (wait := self._buckets.take(_identity(scope))):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), wait)
                    return {"type": "websocket.disconnect", "code": RESTARTS}
            return message

        await self._app(scope, at_their_rate if scope["type"] == "websocket" else receive, send)


def _identity(scope: Scope) -> str:
    caller = scope.get("state", {}).get("caller")
    return caller.identity if isinstance(caller, Caller) else ""


class Body:
    """Takes in the body of a request before anything works on it: no longer than it may be, and no slower.

    Who is slow to send holds no place among the requests that are worked on.
    """

    def __init__(self, app: ASGIApp, most: int, seconds: float) -> None:
        self._app = app
        self._most = most
        self._seconds = seconds
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            try:
                whole = await self._taken(scope, receive, body)
            except GraphsvcError as error:
                await problem(error)(scope, receive, send)
                return
            if whole:
                await self._app(scope, _first(bytes(body), receive), send)
        finally:
            self._held -= len(body)

    async def _taken(self, scope: Scope, receive: Receive, body: bytearray) -> bool:
        """Fill `body`. False where the sender went away."""
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        coded = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        if not coded and (not lengths or lengths[0] == b"0"):
            return True  # nothing comes, and whoever waits for the sender to go away does so themselves
        if not coded and (not lengths[0].isdigit() or len(lengths) > 1):
            raise BadInput("is no length", where="Content-Length")
        too_large = TooLarge(f"is over {self._most:,} bytes", where="body", hint="Send it in parts.")
        if lengths and lengths[0].isdigit() and int(lengths[0]) > self._most:
            raise too_large
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return False
                    part = message.get("body", b"")
                    body += part
                    self._held += len(part)
                    if len(body) > self._most:
                        raise too_large
                    if self._held > BODIES * self._most:
                        raise Overloaded("too many large bodies at the same time", where="body")
                    if not message.get("more_body"):
                        return True
        except TimeoutError:
            raise RequestTimeout(f"the body didn't come within {self._seconds:g} s", where="body") from None


def _first(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was taken in, then what comes after it: that the sender went away."""
    given = False

    async def taken() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return taken


class Pace:
    """How many turns end in a second while all are taken; and so when who is refused should come again.

    Each of those refused is given a time behind the one before, as far as turns end apart. Told the same they would all
    come back together, again and again, and refusing them would leave no time for what waits.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = 0.0
        self._ended = 0
        self._since = clock()
        self._given = 0.0
        self._spread = 0.0

    def begin(self) -> None:
        """All are taken from now on."""
        self._ended, self._since = 0, self._clock()

    def end(self) -> None:
        """A turn has ended."""
        self._ended += 1

    def refuse(self) -> float:
        """Seconds after which to come again."""
        now = self._clock()
        if now - self._since >= PACE_SECONDS:
            found = max(1.0, self._ended / (now - self._since))
            self._rate = (self._rate + found) / 2 if self._rate else found
            self.begin()
        self._given = max(self._given, now) + 1 / (self._rate or PACE)
        if self._given - now <= MOST_AGAIN:
            return self._given - now
        self._given = now + MOST_AGAIN
        self._spread = (self._spread + GOLDEN) % 1  # evenly, however many there are
        return MOST_AGAIN * (1 + self._spread) / 2


class Turn:
    """A place among what is worked on: held until everybody who shares it has left."""

    def __init__(self, turns: asyncio.Semaphore, pace: Pace) -> None:
        self._turns = turns
        self._pace = pace
        self._sharing = 1
        self._resting = False

    def share(self) -> None:
        """Hold it for one more: for work that may go on when its request has ended."""
        self._sharing += 1

    def leave(self) -> None:
        """Hold it for one less."""
        self._sharing -= 1
        if not self._sharing and not self._resting:
            self._release()

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Let others have it for the length of an `async with`, where nothing is to be done but to wait.

        Left in order, it is waited for anew; not so where there is an error, or the waiting is cancelled.
        """
        self._resting = True
        self._release()
        yield
        await self._turns.acquire()
        self._resting = False

    def _release(self) -> None:
        self._pace.end()
        self._turns.release()


class Turns:
    """So much is worked on at a time, whatever way it came; so many others wait their turn, for a while; the rest come
    again.
    """

    def __init__(self, most: int, queue: int, seconds: float) -> None:
        self._turns = asyncio.Semaphore(most)
        self._queue = queue
        self._seconds = seconds
        self._pace = Pace()
        self.waiting = 0

    async def take(self) -> Turn:
        """Wait for a turn. Raises Overloaded."""
        if not self._turns.locked():
            await self._turns.acquire()
            if self._turns.locked():
                self._pace.begin()
            return Turn(self._turns, self._pace)
        if self.waiting >= self._queue:
            raise Overloaded("as many requests wait as may", retry_after=math.ceil(self._pace.refuse()))
        self.waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded(
                f"its turn didn't come within {self._seconds:g} s", retry_after=math.ceil(self._pace.refuse())
            ) from None
        finally:
            self.waiting -= 1
        return Turn(self._turns, self._pace)


class Concurrency:
    """Has each request wait for its turn, which stands in `scope["state"]["turn"]` then."""

    def __init__(self, app: ASGIApp, turns: Turns) -> None:
        self._app = app
        self._turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self._app(scope, receive, send)
            return
        try:
            turn = await self._turns.take()
        except Overloaded as error:
            await problem(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["turn"] = turn
        held = True

        def leave() -> None:
            nonlocal held
            if held:
                held = False
                turn.leave()

        async def told(message: Message) -> None:
            # Streams of events last; each event takes a turn of its own.
            if message["type"] == "http.response.start" and is_stream(message):
                leave()
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            leave()


class Work:
    """What is done on connections that last, a WebSocket or a stream of events: each piece in its turn, and in time.

    Args:
        turns: shared with the requests; None: no limit. seconds: that a piece may take once it has its turn.
    """

    def __init__(self, turns: Turns | None = None, seconds: float | None = None) -> None:
        self._turns = turns
        self._seconds = seconds

    async def __call__(self, piece: Awaitable[T]) -> T:
        """Do it. Raises Overloaded, QueryTimeout, and what it raises."""
        try:
            turn = await self._turns.take() if self._turns is not None else None
        except BaseException:
            if isinstance(piece, Coroutine):
                piece.close()
            raise
        try:
            return await in_time(piece, self._seconds)
        finally:
            if turn is not None:
                turn.leave()


async def in_time(piece: Awaitable[T], seconds: float | None) -> T:
    """Do a piece of work. Raises QueryTimeout where it takes longer, and what it raises."""
    try:
        async with asyncio.timeout(seconds) as time:
            return await piece
    except TimeoutError:
        if not time.expired():
            raise
        raise QueryTimeout(f"it took longer than {seconds:g} s", where="document") from None


def is_stream(message: Message) -> bool:
    """Whether what begins with this is a stream of events, which stays open."""
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )
