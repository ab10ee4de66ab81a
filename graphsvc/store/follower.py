"""Followers: each keeps one projection up with the log, on a thread of its own, at its own pace."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from graphsvc.config import Settings
from graphsvc.errors import Closed, FollowerStopped, GraphsvcError, again
from graphsvc.log.log import Log
from graphsvc.log.sleepers import Sleepers
from graphsvc.model.change import Change

logger = logging.getLogger("graphsvc.store")

RETRY_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0)
POLL_SECONDS = 0.5
PAUSE_POLL_SECONDS = 0.005
LONGEST_LINGER = 0.1
"""Seconds. A follower takes at most about a third of one core from those who write."""


class Follower:
    """Reads on in the log and applies what it reads.

    A fault that may pass (a full disk, a model not yet there) is tried again after a pause, and at once for who
    begins to wait: they get the error of an attempt made for them, not of one before there was room. A change
    that can't be applied stops the follower for good, and all who wait get that.

    Args:
        name: of the projection.
        log: that it follows.
        applied: log number that the projection has reached.
        apply: applies a run of changes and moves the number, together.
    """

    def __init__(
        self,
        name: str,
        log: Log,
        settings: Settings,
        applied: int,
        apply: Callable[[Sequence[Change]], None],
    ) -> None:
        self.name = name
        self.log = log
        self.settings = settings
        self.applied = applied
        self.error: GraphsvcError | None = None
        self._apply = apply
        self._moved = threading.Condition()
        self._sleepers = Sleepers()
        self._hurried = 0
        self._begun = 0
        self._failed = 0
        self._asked = 0
        """Numbers of attempts: the one begun last, the one that failed last, the one that someone waits for."""
        self._ending = False
        self._stepping = False
        self._pauses = 0
        self._thread = threading.Thread(target=self._run, name=f"graphsvc-{name}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    @property
    def started(self) -> bool:
        """Whether it was told to follow."""
        return self._thread.ident is not None

    @property
    def lag(self) -> int:
        """Entries of the log not applied yet."""
        return max(0, self.log.head - self.applied)

    def wait(self, n: int, timeout: float) -> bool:
        """Wait until the projection has reached `n`, for `timeout` seconds; whether it has.

        Raises:
            FollowerStopped, or what keeps it from going on.
        """
        deadline = time.monotonic() + timeout
        before = self._hurry(n)
        with self._moved:
            while (reached := self._reached(n, before, deadline)) is None:
                self._moved.wait(min(max(0.0, deadline - time.monotonic()), POLL_SECONDS))
        return reached

    async def wait_async(self, n: int, timeout: float) -> bool:
        """The same, awaited, without a thread."""
        deadline = time.monotonic() + timeout
        before = self._hurry(n)
        while (reached := self._reached(n, before, deadline)) is None:  # again: a fault may be over by now
            await self._sleepers.until(
                lambda: self.applied >= n or self._ending or self._fault(before) is not None,
                max(0.0, deadline - time.monotonic()),
            )
        return reached

    def _reached(self, n: int, before: int, deadline: float) -> bool | None:
        """Whether it has reached `n`; None while that is open. Raises what keeps it from going on; see `check`."""
        if self.applied >= n:
            return True
        self.check(before)
        if time.monotonic() >= deadline:
            return False
        if self._ending:
            raise Closed("the memory is closed")
        return None

    def _hurry(self, n: int) -> int:
        """Have it go on to `n` without a rest; see `ask`."""
        if self.applied >= n:
            return 0
        with self._moved:
            self._hurried = max(self._hurried, n)
            return self.ask()

    def ask(self) -> int:
        """Have what failed be tried again at once; the number of the attempt begun last, for `check`."""
        with self._moved:
            self._asked = self._begun + 1
            self._moved.notify_all()
            return self._begun

    def check(self, before: int) -> None:
        """Raise what keeps it from going on: for good, or in an attempt begun after `before`."""
        error = self._fault(before)
        if error is not None:
            raise again(error)

    def _fault(self, before: int) -> GraphsvcError | None:
        error = self.error
        if error is not None and (self._failed > before or isinstance(error, FollowerStopped | Closed)):
            return error
        return None

    @property
    def ending(self) -> bool:
        """Whether it was told to stop."""
        return self._ending

    def close(self) -> None:
        """Stop after the batch under way."""
        with self._moved:
            self._ending = True
            self._moved.notify_all()
        self._sleepers.rouse()
        self.log.wake()
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For the length of a `with` it rests between two batches, at `applied`.

        Raises:
            FollowerStopped: it can't go on anyway. Closed: the memory is closed.
        """
        with self._moved:
            self._pauses += 1
            self._moved.notify_all()
        try:
            with self._moved:
                while self._stepping:
                    self.log.wake()  # it may have begun to wait for the log a moment after the last call
                    self._moved.wait(PAUSE_POLL_SECONDS)
                if isinstance(self.error, FollowerStopped):
                    raise self.error
                if self._ending:
                    raise Closed("the memory is closed")
            yield
        finally:
            with self._moved:
                self._pauses -= 1
                self._moved.notify_all()

    # --- the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._follow()
        finally:
            with self._moved:
                self._stepping = False
                self._moved.notify_all()

    def _follow(self) -> None:
        failures = 0
        while not self._ending:
            self._stand_while_paused()
            self._begun += 1
            try:
                self._step()
                failures = 0
                self.error = None
            except Closed as error:
                self._fail(error, failures)  # who waits is told, though nothing is wrong
                return
            except GraphsvcError as error:
                self._fail(error, failures)
                if isinstance(error, FollowerStopped):
                    return
                self._rest(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
            except BaseException as error:  # a panic inside an index is no Exception, and ends this thread all the same
                reason = FollowerStopped(
                    f"{self.name} can't apply entry {self.applied + 1} or one soon after it: "
                    f"{type(error).__name__}: {error}"
                )
                reason.__cause__ = error
                self._fail(reason, failures)
                return

    def _stand_while_paused(self) -> None:
        with self._moved:
            self._stepping = False
            self._moved.notify_all()
            while self._pauses and not self._ending:
                self._moved.wait(POLL_SECONDS)
            self._stepping = True

    def _step(self) -> None:
        """Apply what is there; wait where there is nothing."""
        changes = self.read()
        if not changes:
            if not self._ending:
                self.log.wait_beyond(self.applied, self.patience())
            return
        began = time.monotonic()
        self._apply(changes)
        self.moved(changes[-1].n)
        if len(changes) < self.settings.group_limit:
            # Let some more gather, longer where a batch costs much: many small batches cost writers ten times as
            # much as a few large ones. Who waits ends the rest.
            cost = time.monotonic() - began
            self._rest(max(self.settings.linger, min(2 * cost, LONGEST_LINGER)), until_hurried=True)

    def read(self) -> list[Change]:
        """The next entries that it applies together."""
        return self.log.read(self.applied, self.settings.group_limit)

    def patience(self) -> float:
        """How long to sleep at most while nothing happens, in seconds."""
        return POLL_SECONDS

    def moved(self, n: int) -> None:
        """The projection has reached `n`: tell who waits."""
        with self._moved:
            self.applied = max(self.applied, n)
            self.error = None
            self._moved.notify_all()
        self._sleepers.rouse()

    def _rest(self, seconds: float, *, until_hurried: bool = False) -> None:
        deadline = time.monotonic() + seconds
        with self._moved:
            while not self._ending:
                if self._pauses or (until_hurried and self._hurried > self.applied):
                    return
                if not until_hurried and self._asked > self._begun:
                    return
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._moved.wait(left)

    def _fail(self, error: GraphsvcError, failures: int) -> None:
        if failures == 0 and not (self._ending and isinstance(error, Closed)):
            logger.error("%s stopped following: %s", self.name, error, exc_info=error.__cause__)
        with self._moved:
            self.error = error
            self._failed = self._begun
            self._moved.notify_all()
        self._sleepers.rouse()
