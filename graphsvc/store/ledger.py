"""Where the outcomes of statements are kept, as the graph sees it; and who waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from graphsvc.errors import GraphsvcError
from graphsvc.log.log import Log
from graphsvc.model.change import Change
from graphsvc.model.requests import Conclude, Follow, Touched
from graphsvc.model.statements import Outcome, Statement

if TYPE_CHECKING:
    from graphsvc.store.answers import Answer


class Ledger(Protocol):
    """Where outcomes are kept: the log, as the graph sees it."""

    def outcome(self, n: int) -> Outcome | None:
        """The one noted of a statement."""

    def conclude(self, outcome: Outcome, touched: list[Touched]) -> Outcome:
        """Note one, and what follows for searchable rows, durably; gives the one that counts."""

    def forgot_after(self, n: int) -> bool:
        """Whether anything was forgotten behind an entry."""

    def answered(self, n: int, result: Result | GraphsvcError) -> None:
        """Tell who waits what came of it; the graph has committed."""


@dataclass(slots=True)
class Result:
    """What a statement did, for who waits: counts, and what Cypher returned."""

    counts: dict[str, int] = field(default_factory=dict)
    answer: Answer | None = None


class Refused(Exception):
    """The statement itself failed: its outcome, not the machine's."""

    def __init__(self, error: GraphsvcError) -> None:
        self.error = error
        super().__init__(str(error))


def asked(call: Sequence[Change]) -> Statement:
    """What the entries of one call ask."""
    found = call[0].statement
    assert found is not None, "all entries of a statement say so"
    return found


def parts(call: Sequence[Change]) -> list[Sequence[Change]]:
    """The statements of a call, mostly one: each begins where an entry names a table; behind it come more rows."""
    begins = [at for at, change in enumerate(call) if at == 0 or asked([change]).table]
    return [call[begin:end] for begin, end in zip(begins, [*begins[1:], len(call)], strict=True)]


def calls(changes: Sequence[Change]) -> Iterable[Sequence[Change]]:
    """Changes parted: runs without a statement, and each statement's entries."""
    begun = 0
    for at, change in enumerate(changes):
        if change.statement is not None and (change.call in (0, change.n) or change.trimmed is not None):
            if begun < at:
                yield changes[begun:at]
            begun = at
        if change.statement is not None and _ends(change):
            yield changes[begun : at + 1]
            begun = at + 1
    if begun < len(changes):
        yield changes[begun:]


def _ends(change: Change) -> bool:
    """Whether it is a statement's last entry. In the place of trimmed ones each is a statement of its own."""
    return change.last or change.trimmed is not None


def whole_calls(log: Log, after: int, limit: int) -> list[Change]:
    """The next entries; of a statement all, for they are one transaction."""
    changes = log.read(after, limit)
    while changes and changes[-1].statement is not None and not _ends(changes[-1]):
        changes += log.read(changes[-1].n, limit)
    return changes


class Reply:
    """One caller's wait for an outcome."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Result | GraphsvcError | None = None


class LogLedger:
    """Outcomes in the log's file, noted through its one writer."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._answered: list[Reply] = []
        self._unsettled = False

    def outcome(self, n: int) -> Outcome | None:
        """See `Ledger`."""
        return self._log.outcome(n)

    def conclude(self, outcome: Outcome, touched: list[Touched]) -> Outcome:
        """See `Ledger`."""
        noted: Outcome = self._log.submit(Conclude(outcome, touched)).result
        self._unsettled |= noted.state == "forgotten"
        return noted

    def settle(self, applied: int, searched: Callable[[], list[Touched]]) -> None:
        """Where a statement fails since something was forgotten, tables may lack what their records say: once the
        replay has come to its end the records follow.
        """
        if self._unsettled and applied >= self._log.last_outcome():
            self._log.submit(Follow(searched()))
            self._unsettled = False

    def forgot_after(self, n: int) -> bool:
        """See `Ledger`."""
        return self._log.forgot_after(n)

    def answered(self, n: int, result: Result | GraphsvcError) -> None:
        """See `Ledger`. They are told once `applied` has moved, so that what they read next has it."""
        reply: Reply | None = self._log.waiting.pop(n, None)
        if reply is not None:
            reply.answer = result
            self._answered.append(reply)

    def release(self) -> None:
        """Tell those who were answered."""
        for reply in self._answered:
            reply.done.set()
        self._answered.clear()


class KnownOutcomes:
    """Outcomes as they are noted, for a replay beside the memory: nothing is decided, nothing changed."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def outcome(self, n: int) -> Outcome | None:
        """See `Ledger`."""
        return self._log.outcome(n)

    def conclude(self, outcome: Outcome, touched: list[Touched]) -> Outcome:
        """See `Ledger`."""
        return outcome

    def forgot_after(self, n: int) -> bool:
        """See `Ledger`."""
        return self._log.forgot_after(n)

    def answered(self, n: int, result: Result | GraphsvcError) -> None:
        """Nobody waits."""
