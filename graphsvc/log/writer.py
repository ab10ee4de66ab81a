"""The one writer: a thread with a queue and a private connection. What waits is committed together.

A caller is answered after the commit has reached the disk, and after the columns in memory know of it, so
an acknowledged write is durable, known by id and filterable.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphsvc.config import Settings
from graphsvc.errors import Closed, GraphsvcError, Overloaded, StorageFailed, StorageFull, WriterStopped, again
from graphsvc.log import causes, consolidation, entities, episodes, facts, feedback, skills, statements, taking
from graphsvc.log.columns import Columns
from graphsvc.log.database import translated
from graphsvc.log.forget import forget
from graphsvc.log.rebuild import rewrite
from graphsvc.log.state import RowEvent, State
from graphsvc.model import requests as r
from graphsvc.model.change import Change

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("graphsvc.log")

DECISIONS: dict[type[Any], Callable[[State, Any], Any]] = {
    r.StoreEpisodes: episodes.store,
    r.AmendEpisode: episodes.amend,
    r.PruneEpisodes: episodes.prune,
    r.CreateSkills: skills.create,
    r.ReviseSkill: skills.revise,
    r.RecordOutcome: skills.record_outcome,
    r.LinkSkills: skills.link,
    r.UnlinkSkills: skills.unlink,
    r.PruneSkills: skills.prune,
    r.UpsertEntities: entities.upsert,
    r.LinkEpisodes: entities.link,
    r.UnlinkEpisode: entities.unlink,
    r.AddFacts: facts.add,
    r.RetractFact: facts.retract,
    r.CorrectFact: facts.correct,
    r.DefinePredicate: facts.define,
    r.AddCauses: causes.add,
    r.ExpireCause: causes.expire,
    r.Consolidate: consolidation.consolidate,
    r.RecordFeedback: feedback.record,
    r.TakeRecords: taking.take_records,
    r.TakeLinks: taking.take_links,
    r.Forget: forget,
    r.AppendStatement: statements.append,
    r.Conclude: statements.conclude,
    r.Follow: statements.follow,
}



def _move_cursor(state: State, request: r.MoveCursor) -> None:
    state.connection.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?)", (request.name, request.n))


DECISIONS[r.MoveCursor] = _move_cursor

_DELETIONS = {
    "episode": episodes.delete, "skill": skills.delete,
    "entity": entities.delete, "variable": entities.delete, "cause": entities.delete,
}  # fmt: skip

_BUFFERED = (r.StoreEpisodes, r.AddCauses, r.MoveCursor)
"""Verbs that check everything before they change anything: they need no savepoint."""

_NEVER_WAITS = (r.MoveCursor, r.RebuildRecords, r.LetGo, r.Conclude, r.Follow)
"""What goes on while the writer is held, and is admitted to a full queue: who holds it waits for these."""


class Ticket:
    """One call's place in the queue, and later its answer."""

    __slots__ = ("_done", "answered", "error", "future", "n", "request", "result")

    def __init__(self, request: r.Request, future: asyncio.Future[Ticket] | None = None) -> None:
        self.request = request
        self.result: Any = None
        self.error: GraphsvcError | None = None
        self.n = 0
        self.answered = False
        self.future = future
        self._done: threading.Lock | None = None
        if future is None:
            # A held lock is the cheapest thing to wait on: an Event costs ten times as much to make.
            self._done = threading.Lock()
            self._done.acquire()

    def wait(self) -> Any:
        """Block until answered; the result, or the error raised."""
        assert self._done is not None, "an asynchronous ticket is awaited"
        self._done.acquire()
        return self.answer()

    def answer(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result

    def release(self) -> None:
        if self._done is not None:
            self._done.release()


class Writer:
    """Owns the connection that writes.

    Args:
        connection: private to the writer's thread from now on.
        path: the file, for messages.
        columns: of the committed records, kept up by `publish`.
        publish: called after each commit, before callers are answered, with what was committed.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        settings: Settings,
        columns: Columns,
        publish: Callable[[list[Change], list[RowEvent]], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._settings = settings
        self._publish = publish
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._stopped: GraphsvcError | None = None
        self._state = State(connection, columns)
        self._rate = 1000.0
        self._gate = threading.Lock()
        self._holding = threading.Lock()
        self._held = False
        self._aside: list[Ticket] = []
        self._thread = threading.Thread(target=self._run, name="graphsvc-writer", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Calls that wait now."""
        return self._queue.qsize() + len(self._aside)

    @property
    def stopped(self) -> GraphsvcError | None:
        """Why it stopped, if it did."""
        return self._stopped

    @property
    def sound(self) -> bool:
        """Whether what is in memory is what is on disk: it never stopped for an error."""
        return self._stopped is None or isinstance(self._stopped, Closed)

    def use(self, columns: Columns) -> None:
        """From now on these are the columns of the committed records."""
        self._state.columns = columns

    def submit(self, request: r.Request) -> Ticket:
        """Queue a request and wait for its answer; gives the ticket, answered without error.

        Raises:
            Overloaded: the queue stayed full for `queue_wait` seconds.
            WriterStopped, Closed: nothing can be written any more.
        """
        ticket = Ticket(request)
        deadline = 0.0
        while not self._admit(ticket):
            deadline = deadline or time.monotonic() + self._settings.queue_wait
            if time.monotonic() >= deadline:
                raise self._overloaded()
            time.sleep(0.002)
        ticket.wait()
        return ticket

    async def submit_async(self, request: r.Request) -> Ticket:
        """The same, awaited."""
        import asyncio  # here: it takes 30 ms that synchronous use does without

        ticket = Ticket(request, asyncio.get_running_loop().create_future())
        deadline = 0.0
        while not self._admit(ticket):
            deadline = deadline or time.monotonic() + self._settings.queue_wait
            if time.monotonic() >= deadline:
                raise self._overloaded()
            await asyncio.sleep(0.002)
        assert ticket.future is not None
        await ticket.future
        ticket.answer()
        return ticket

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """For the length of a `with`, writes wait and nothing is appended. One thread at a time."""
        with self._holding:
            self.submit(r.Hold())
            try:
                yield
            finally:
                with contextlib.suppress(Closed, WriterStopped):  # then nothing waits any more
                    self.submit(r.LetGo())

    def _admit(self, ticket: Ticket) -> bool:
        if self._stopped is not None:
            raise again(self._stopped)
        if self.depth >= self._settings.queue_limit and not isinstance(ticket.request, _NEVER_WAITS):
            return False
        # The gate orders admissions before the end of the queue: none is left behind unanswered by `close`.
        with self._gate:
            if self._stopped is not None:
                raise again(self._stopped)
            self._queue.put(ticket)
        return True

    def _overloaded(self) -> Overloaded:
        after = max(0.05, self.depth / self._rate)
        return Overloaded(f"{self.depth:,} writes wait already", retry_after=round(after, 2))

    def close(self) -> None:
        """Commit what waits, then stop."""
        with self._gate:
            if self._stopped is None:
                self._stopped = Closed("the memory is closed")
            self._queue.put(None)
        self._thread.join()
        self._connection.close()

    # --- the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        ended = False
        while not ended:
            group, ended = self._next_group()
            try:
                self._take(group)
            except BaseException as error:  # a defect; nobody may wait for ever for a thread that is no more
                logger.exception("the writer met an unexpected error")
                waiting, self._aside = [*group, *self._aside], []
                self._fail(waiting, self._stop(WriterStopped(f"unexpected {type(error).__name__}: {error}")))
        self._go_on()

    def _next_group(self) -> tuple[list[Ticket], bool]:
        """What waits now, up to the group limit; waits for the first. True with it: the queue has ended."""
        group: list[Ticket] = []
        ticket = self._queue.get()
        while ticket is not None:
            group.append(ticket)
            if len(group) >= self._settings.group_limit:
                return group, False
            try:
                ticket = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _work_alone(self, ticket: Ticket, request: r.Alone) -> None:
        if self._stopped is not None and not isinstance(self._stopped, Closed):
            ticket.error = again(self._stopped)
        else:
            try:
                ticket.result = request.work(self._connection)
            except sqlite3.Error as error:
                ticket.error = translated(error, self._path)
            except GraphsvcError as error:
                ticket.error = error
            self._state.reset()

    def _take(self, tickets: list[Ticket]) -> None:
        """Decide and commit what may be; while the writer is held the rest is put aside."""
        group: list[Ticket] = []
        for ticket in tickets:
            request = ticket.request
            if self._held and not isinstance(request, _NEVER_WAITS):
                self._aside.append(ticket)
            elif isinstance(request, r.Hold | r.LetGo | r.RebuildRecords | r.Alone):
                self._commit(group)
                group = []
                self._turn(ticket)
            else:
                group.append(ticket)
        self._commit(group)

    def _turn(self, ticket: Ticket) -> None:
        """What isn't a write: it comes after what was asked before it, and before what was asked after it."""
        if isinstance(ticket.request, r.RebuildRecords):
            self._rebuild(ticket)
        elif isinstance(ticket.request, r.Alone):
            self._work_alone(ticket, ticket.request)
        elif isinstance(ticket.request, r.Hold):
            self._held = True
        else:
            self._go_on()
        self._answer([ticket])

    def _go_on(self) -> None:
        self._held = False
        waiting, self._aside = self._aside, []
        for start in range(0, len(waiting), self._settings.group_limit):
            self._take(waiting[start : start + self._settings.group_limit])

    def _rebuild(self, ticket: Ticket) -> None:
        request = ticket.request
        assert isinstance(request, r.RebuildRecords), "the only one that is rebuilt by"
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            rewrite(self._connection, request.replay())
            self._connection.execute("COMMIT")
            self._state.reset()
            request.renew()
        except sqlite3.Error as error:
            ticket.error = self._rolled_back(error)
        except GraphsvcError as error:
            self._connection.execute("ROLLBACK")
            ticket.error = error
        except BaseException as error:
            logger.exception("the records couldn't be made anew")
            ticket.error = self._stop(WriterStopped(f"unexpected {type(error).__name__}: {error}"))

    def _commit(self, group: list[Ticket]) -> None:
        if not group:
            return
        began = time.monotonic()
        self._commit_together(group)
        elapsed = time.monotonic() - began
        self._rate += 0.2 * (len(group) / max(elapsed, 1e-6) - self._rate)

    def _commit_together(self, group: list[Ticket]) -> None:
        if self._stopped is not None and not isinstance(self._stopped, Closed):
            self._fail(group, self._stopped)
            return
        try:
            self._decide(group)
        except sqlite3.Error as error:
            self._fail(group, self._rolled_back(error))
            return
        except BaseException as error:
            # A decision that fails unexpectedly is a defect; what it may have half done must not be kept.
            logger.exception("the writer met an unexpected error")
            self._fail(group, self._stop(WriterStopped(f"unexpected {type(error).__name__}: {error}")))
            return
        try:
            self._publish(*self._state.committed())
        except BaseException as error:
            # The group is on disk, so its callers get their answers; what is in memory can't be relied on any more.
            logger.exception("the writer met an unexpected error after a commit")
            self._stop(WriterStopped(f"unexpected {type(error).__name__} after a commit: {error}"))
        self._answer(group)

    def _decide(self, group: list[Ticket]) -> None:
        connection, state = self._connection, self._state
        connection.execute("BEGIN IMMEDIATE")
        state.now = time.time_ns() // 1000
        for ticket in group:
            try:
                if isinstance(ticket.request, _BUFFERED):
                    ticket.result = DECISIONS[type(ticket.request)](state, ticket.request)
                else:
                    ticket.result = self._decide_apart(ticket.request)
                ticket.n = state.n - 1
            except GraphsvcError as error:
                ticket.error = error
        state.flush()
        connection.execute("COMMIT")

    def _decide_apart(self, request: r.Request) -> Any:
        """A decision under a savepoint, undone alone if it is refused half-way."""
        state = self._state
        mark = state.mark()
        self._connection.execute("SAVEPOINT decision")
        try:
            if isinstance(request, r.Delete):
                result = _DELETIONS[request.kind](state, request)
            else:
                result = DECISIONS[type(request)](state, request)
            state.flush()
        except GraphsvcError:
            self._connection.execute("ROLLBACK TO decision")
            self._connection.execute("RELEASE decision")
            state.go_back(mark)
            raise
        self._connection.execute("RELEASE decision")
        state.keep()
        return result

    def _rolled_back(self, error: sqlite3.Error) -> GraphsvcError:
        """Undo the group. A full disk passes, and another's lock; anything else stops the writer."""
        reason = translated(error, self._path)
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._state.reset()
        except sqlite3.Error as worse:
            return self._stop(translated(worse, self._path))
        return reason if isinstance(reason, StorageFull | Overloaded) else self._stop(reason)

    def _stop(self, reason: GraphsvcError) -> GraphsvcError:
        if isinstance(reason, StorageFailed):
            reason = WriterStopped(reason.what, where=reason.where)
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        if self._stopped is None:
            self._stopped = reason
        return reason

    def _fail(self, group: list[Ticket], reason: GraphsvcError) -> None:
        for ticket in group:
            ticket.error = again(reason)  # one each: every thread that raises it adds its traceback
        self._answer(group)

    def _answer(self, group: list[Ticket]) -> None:
        waiting: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
        for ticket in group:
            if ticket.answered:
                continue
            ticket.answered = True
            if ticket.future is None:
                ticket.release()
            else:
                waiting.setdefault(ticket.future.get_loop(), []).append(ticket)
        for loop, tickets in waiting.items():
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits there any more
                loop.call_soon_threadsafe(_resolve, tickets)


def _resolve(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        if ticket.future is not None and not ticket.future.done():
            ticket.future.set_result(ticket)
