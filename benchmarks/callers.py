"""Callers over HTTP, in a process of their own: `python -m benchmarks.callers`, a plan in each line of its input.

Each has a connection, and sends its next request when the one before is answered. What is told to come again
(429, 503) does so after the seconds that `Retry-After` says. Sockets and bytes, no client library: what is measured
shares the machine with them.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import msgspec

RUN_SECONDS = 3_600.0
AGAIN = frozenset({429, 503})
MOST_TRIES = 1_000
SHOWN = 5
CONNECTING = 256
"""Connections that are opened at the same time; the system's queue for them is short."""


class Plan(msgspec.Struct, frozen=True):
    """What callers do.

    Attributes:
        port: on loopback; path: there. callers: how many. first: how many of them begin; the rest do `first_seconds`
            later, and as long as they are there these go on.
        reads: bodies of requests. once: each is sent once at most, else again and again.
        write: body of a write, in which a `@` stands for its id; empty: none. writes: share of the operations.
        skewed: reads are drawn, few of them often (weights 1, 1/2, 1/3, …), else taken in turn.
        answer: what the answer to a read must hold; written: to a write.
        each: operations of a caller; 0: until the seconds are over. seconds: after which no operation begins.
        token: sent with each request. again: whether 429 and 503 are followed, else they are failures.
    """

    port: int
    callers: int
    path: str = "/graphql"
    first: int = 0
    first_seconds: float = 0.0
    reads: list[str] = []
    once: bool = False
    write: str = ""
    writes: float = 0.0
    skewed: bool = False
    answer: str = ""
    written: str = ""
    each: int = 0
    seconds: float = 0.0
    token: str = ""
    again: bool = False


class Done(msgspec.Struct):
    """What came of it.

    Attributes:
        elapsed: seconds from the first request to the last answer. reads, writes: seconds of each operation, with all
            that was sent again. again: answers that told to come again. failures: the first
            ones. failed: how many. ids: of acknowledged writes.
    """

    elapsed: float
    reads: list[float]
    writes: list[float]
    again: int = 0
    failures: list[str] = []
    failed: int = 0
    ids: list[str] = []

    @property
    def all(self) -> list[float]:
        return self.reads + self.writes


class Callers:
    """A process that does what plans say, one after the other."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors

    def load(self, plan: Plan) -> Done:
        """Have it done. Raises RuntimeError where it can't be, or an operation fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(plan) + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._errors.seek(0)
            raise RuntimeError(f"callers ended: {self._errors.read().decode()[-2000:]}")
        found = msgspec.json.decode(answer, type=Done)
        if found.failed:
            raise RuntimeError(f"{found.failed:,} operations failed: {'; '.join(found.failures)}")
        if not found.reads and not found.writes:
            raise RuntimeError("nothing was answered")
        return found


@contextmanager
def calling() -> Iterator[Callers]:
    """Callers, until the end of the block."""
    command = [sys.executable, "-m", "benchmarks.callers"]
    with TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        try:
            yield Callers(process, errors)
        finally:
            process.kill()
            process.communicate()


class Operation(NamedTuple):
    """One request: its bytes, what its answer must hold, the id that it writes (empty: it reads)."""

    request: bytes
    answer: bytes
    id: str


class Crowd:
    """All callers of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.done = Done(0.0, [], [])
        self.left = plan.callers
        self.over = asyncio.Event()
        self.end = float("inf")
        self.connecting = asyncio.Semaphore(CONNECTING)
        self.tasks: set[asyncio.Task[None]] = set()
        self._chance = random.Random(1)
        head = f"POST {plan.path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\nContent-Type: application/json\r\n"
        self._head = head + (f"Authorization: Bearer {plan.token}\r\n" if plan.token else "")
        self._reads = [self._request(body) for body in plan.reads]
        self._turn: Iterator[bytes] = iter(self._reads) if plan.once else itertools.cycle(self._reads)
        self._weights = list(itertools.accumulate(1 / place for place in range(1, len(self._reads) + 1)))

    def _request(self, body: str) -> bytes:
        content = body.encode()
        return f"{self._head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    def next(self, caller: int, number: int) -> Operation | None:
        """What a caller does next; None where it is done."""
        plan = self.plan
        stays = caller < plan.first and self.left > plan.first
        if (plan.each and number >= plan.each and not stays) or time.perf_counter() >= self.end:
            return None
        if plan.write and self._chance.random() < plan.writes:
            id = f"{caller}-{number}"
            return Operation(self._request(plan.write.replace("@", id)), plan.written.encode(), id)
        if plan.skewed:
            request = self._chance.choices(self._reads, cum_weights=self._weights)[0]
        elif (request := next(self._turn, b"")) == b"":
            return None
        return Operation(request, plan.answer.encode(), "")

    async def run(self) -> Done:
        """Do it all."""
        first = self.plan.first or self.plan.callers
        began = time.perf_counter()
        if self.plan.seconds:
            self.end = began + self.plan.seconds
        callers = [Caller(self, number) for number in range(self.plan.callers)]
        for caller in callers[:first]:
            caller.connect()
        if first < len(callers):
            await asyncio.sleep(self.plan.first_seconds)
            for caller in callers[first:]:
                caller.connect()
        async with asyncio.timeout(RUN_SECONDS):
            await self.over.wait()
        self.done.elapsed = time.perf_counter() - began
        return self.done

    def fail(self, what: str) -> None:
        self.done.failed += 1
        if len(self.done.failures) < SHOWN:
            self.done.failures.append(what)


class Caller(asyncio.Protocol):
    """One caller: a connection at a time, a request at a time."""

    transport: asyncio.Transport

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd = crowd
        self._number = number
        self._count = 0
        self._operation = crowd.next(number, 0)
        self._began = 0.0
        self._tries = 0
        self._answer = b""
        self._waits = False

    def connect(self) -> None:
        if self._operation is None:
            self._end()
            return
        task = asyncio.get_running_loop().create_task(self._connect())
        self._crowd.tasks.add(task)
        task.add_done_callback(self._crowd.tasks.discard)

    async def _connect(self) -> None:
        self._began = self._began or time.perf_counter()
        async with self._crowd.connecting:
            try:
                await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._crowd.plan.port)
            except OSError as error:
                self._crowd.fail(f"no connection: {error}")
                self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._send()

    def _send(self) -> None:
        assert self._operation is not None
        self._began = self._began or time.perf_counter()
        self._waits = True
        self.transport.write(self._operation.request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._answer[:end].lower()
        if len(self._answer) < end + 4 + int(_header(head, b"content-length") or 0):
            return
        answer, self._answer, self._waits = self._answer[end + 4 :], b"", False
        self._take(int(head[9:12]), head, answer)

    def _take(self, status: int, head: bytes, answer: bytes) -> None:
        """Take in a whole answer, and go on."""
        closes = _header(head, b"connection") == b"close"
        if closes:
            self.transport.close()
        go_on = self.connect if closes else self._send
        operation = self._operation
        assert operation is not None
        if status in AGAIN and self._crowd.plan.again:
            self._crowd.done.again += 1
            self._tries += 1
            if self._tries < MOST_TRIES:
                asyncio.get_running_loop().call_later(float(_header(head, b"retry-after") or 1), go_on)
                return
        if status == 200 and operation.answer in answer and b'"errors"' not in answer:
            taken = time.perf_counter() - self._began
            if operation.id:
                self._crowd.done.writes.append(taken)
                self._crowd.done.ids.append(operation.id)
            else:
                self._crowd.done.reads.append(taken)
        else:
            self._crowd.fail(f"{status} after {self._tries + 1} tries: {answer[:300]!r}")
        self._count += 1
        self._began, self._tries = 0.0, 0
        self._operation = self._crowd.next(self._number, self._count)
        if self._operation is None:
            self.transport.close()
            self._end()
        else:
            go_on()

    def connection_lost(self, error: Exception | None) -> None:
        if self._waits:
            self._waits = False
            self._crowd.fail(f"the connection was lost before the answer: {error!r}")
            self._end()

    def _end(self) -> None:
        self._crowd.left -= 1
        if not self._crowd.left:
            self._crowd.over.set()


def _header(head: bytes, name: bytes) -> bytes:
    _, found, rest = head.partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip() if found else b""


def files_for(callers: int) -> None:
    """Allow as many open files as callers take. Raises SystemExit where the system doesn't."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = callers + 100
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise SystemExit(f"{callers:,} callers take {wanted:,} open files, and the system allows {hard:,}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    for line in sys.stdin.buffer:
        plan = msgspec.json.decode(line, type=Plan)
        files_for(plan.callers)
        done = asyncio.run(_run(plan))
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
        sys.stdout.buffer.flush()


async def _run(plan: Plan) -> Done:
    gc.collect()
    crowd = Crowd(plan)
    gc.freeze()
    try:
        return await crowd.run()
    finally:
        gc.unfreeze()


if __name__ == "__main__":
    main()
