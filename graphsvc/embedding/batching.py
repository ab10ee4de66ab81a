"""What is to be embedded and in which order: urgent texts first, then the backlog, like lengths together.

Plain data without a lock; the service holds one around every call.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from graphsvc.embedding.cache import Row
from graphsvc.errors import GraphsvcError

WINDOW = 16
"""Forward passes planned at once: among their texts like lengths are put together."""

TOKENS_PER_TEXT = 32
"""A pass holds as many tokens, padding included, as `pass_size` texts of this length. Measured with all-MiniLM on
one slow core: 32 texts of 256 tokens in one pass take 3.6 s (9 texts/s), for which a query would have to wait;
4 take 0.3 s (13 texts/s), 8 take 0.6 s (13 texts/s)."""

PADDING = 32
"""Padding a text by more than its own length and so many tokens costs more than another pass."""

LEAST_SHARE = 4
"""Fewer texts than this aren't worth another worker."""


@dataclass(eq=False)
class Call:
    """One caller that waits.

    Attributes:
        pending: jobs that it still waits for.
        error: why it waits in vain.
    """

    pending: int = 0
    error: GraphsvcError | None = None
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class Job:
    """One text to compute, for all who asked for it meanwhile.

    Attributes:
        tokens: estimate of its length.
        taken: handed out, or dropped because no one waits any more.
        keep: whether its vector may go into the caches; false once it was forgotten.
    """

    key: bytes
    text: str
    tokens: int
    calls: list[Call] = field(default_factory=list)
    taken: bool = False
    urgent: bool = False
    keep: bool = True
    row: Row | None = None


class Backlog:
    """Jobs in waiting, handed out in batches for one forward pass each."""

    def __init__(self, pass_size: int, max_tokens: int | None, lanes: int) -> None:
        self._pass_size = pass_size
        self._max_tokens = max_tokens
        self._lanes = lanes
        self._urgent: deque[Job] = deque()
        self._waiting: deque[Job] = deque()
        self._planned: deque[list[Job]] = deque()

    def new_job(self, key: bytes, text: str) -> Job:
        """A job that isn't in the queue yet."""
        # about four characters a token in English, one in Chinese, which is three bytes
        estimate = len(text.encode("utf-8", "surrogatepass")) // 3 + 2
        return Job(key, text, min(estimate, self._max_tokens or estimate))

    def add(self, job: Job) -> None:
        """Queue a job."""
        (self._urgent if job.urgent else self._waiting).append(job)

    def promote(self, job: Job) -> None:
        """Move a job ahead of the backlog."""
        if not job.urgent and not job.taken:
            job.urgent = True
            self._urgent.append(job)

    def take(self) -> list[Job]:
        """The next batch, marked as taken; empty if nothing waits."""
        batch = self._next_urgent()
        while not batch and (self._planned or self._waiting):
            if not self._planned:
                self._plan()
            batch = [job for job in self._planned.popleft() if not job.taken] if self._planned else []
        for job in batch:
            job.taken = True
        return batch

    def _room(self, count: int, longest: int) -> bool:
        """Whether a pass of `count` texts, the longest of so many tokens, isn't too much."""
        return count <= self._pass_size and longest * count <= self._pass_size * TOKENS_PER_TEXT

    def _next_urgent(self) -> list[Job]:
        batch: list[Job] = []
        longest = 0
        while self._urgent:
            job = self._urgent[0]
            longest = max(longest, job.tokens)
            if batch and not self._room(len(batch) + 1, longest):
                break
            self._urgent.popleft()
            if not job.taken:
                batch.append(job)
        return batch

    def _plan(self) -> None:
        """Move a window of the backlog into passes, longest first, at least one for each lane."""
        window: list[Job] = []
        while self._waiting and len(window) < WINDOW * self._pass_size:
            job = self._waiting.popleft()
            if not job.taken:
                window.append(job)
        window.sort(key=lambda job: job.tokens, reverse=True)
        share = max(LEAST_SHARE, -(-len(window) // self._lanes))
        batch: list[Job] = []
        for job in window:
            # sorted, so the first of a batch is its longest
            full = batch and (len(batch) == share or not self._room(len(batch) + 1, batch[0].tokens))
            if full or (batch and batch[0].tokens > 2 * job.tokens + PADDING):
                self._planned.append(batch)
                batch = []
            batch.append(job)
        if batch:
            self._planned.append(batch)
