"""Forgetting: what `memory.forget` does, in its order, and what it tells of it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from graphsvc.errors import Ambiguous, BadInput, NotFound, WaitTimeout
from graphsvc.log.forget import Plan, plan
from graphsvc.log.state import every
from graphsvc.memory.namespaces import Namespaces
from graphsvc.memory.opened import Opened
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import check_name
from graphsvc.model.requests import Follow, Forget, KindRef
from graphsvc.store.forget import is_pending

CATCH_UP_SECONDS = 24 * 3600.0


@dataclass(slots=True)
class Named:
    """A record, by kind, namespace and id."""

    kind: str
    agent: str
    id: str


@dataclass(slots=True)
class KeptTask:
    """A task whose text stays, for another episode names it, or named it once.

    Attributes:
        task: the text. agent: its namespace. episode: id of one that names it.
    """

    task: str
    agent: str
    episode: str


@dataclass(slots=True)
class ForgetReport:
    """What was forgotten, and what still tells of it.

    Attributes:
        dry_run: nothing was changed; the rest says what would have been.
        forgotten: the records that were named. already: those of them that were forgotten before.
        records: how many records of each kind went, parts and what was said of them counted in.
        statements: how many statements on one's own tables held a text of theirs, and say `[forgotten]` instead.
        tasks: how many texts of tasks went with them. kept_tasks: those that stayed.
        derived: records that were drawn from them and may quote them, skills and facts: they stay as they are.
        snapshots: those known that were taken before and still hold the texts.
        embeddings: how many vectors left the cache.
        seconds: that it took.
    """

    dry_run: bool = False
    forgotten: list[Named] = field(default_factory=list)
    already: list[Named] = field(default_factory=list)
    records: dict[str, int] = field(default_factory=dict)
    statements: int = 0
    tasks: int = 0
    kept_tasks: list[KeptTask] = field(default_factory=list)
    derived: list[Named] = field(default_factory=list)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    embeddings: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(msgspec.to_builtins(self))


def forget(opened: Opened, refs: list[KindRef], seen: tuple[str, ...] | None, *, dry_run: bool) -> ForgetReport:
    """Forget records; see `Memory.forget`. Told is of what lies in the namespaces `seen`; None: of all."""
    began = time.monotonic()
    with opened.log.connection() as connection:
        found = plan(connection, refs)
    embeddings = 0
    if not dry_run and (found.records or found.rows or is_pending(opened.store)):
        found, embeddings = opened.forget(Forget(refs), list(found.texts))
        opened.store.wait(opened.store.followers, opened.log.head, CATCH_UP_SECONDS)
        if found.keyed:
            _find_anew(opened)
    return _told(opened, found, seen, dry_run, embeddings, time.monotonic() - began)


def _find_anew(opened: Opened) -> None:
    """Rows whose key held a text have another one since the graph was built anew: they are to be found by it."""
    store, head = opened.store, opened.log.head
    if not store.wait([store.graph_follower], head, CATCH_UP_SECONDS):
        raise WaitTimeout("the graph isn't built anew yet", hint="Run `graphsvc repair` once it is.")
    with store.graph_follower.paused():  # what is decided meanwhile would be taken back
        opened.log.submit(Follow(store.graph.searched()))
    store.wait(store.followers, opened.log.head, CATCH_UP_SECONDS)


def _told(
    opened: Opened, found: Plan, seen: tuple[str, ...] | None, dry_run: bool, embeddings: int, seconds: float
) -> ForgetReport:
    def is_seen(agent: str) -> bool:
        return seen is None or agent in seen

    every = {**found.records, **found.rows, **found.keyed}
    named = [every[row] for row in found.named]
    first = min((one.first for one in every.values()), default=0)
    held = [snapshot for snapshot in opened.manifest.snapshots if first and snapshot.get("n", first) >= first]
    return ForgetReport(
        dry_run=dry_run,
        forgotten=[Named(one.kind, one.agent, one.id) for one in named],
        already=[Named(*ref) for ref in found.already],
        records=dict(sorted(Counter(one.kind for one in every.values() if is_seen(one.agent)).items())),
        statements=len(found.statements),
        tasks=len(found.tasks),
        kept_tasks=[KeptTask(task, agent, id) for (agent, task), id in found.kept.items() if is_seen(agent)],
        derived=[Named(kind, agent, id) for kind, agent, id in found.derived if is_seen(agent)],
        snapshots=held,
        embeddings=embeddings,
        seconds=round(seconds, 3),
    )


def references(opened: Opened, namespaces: Namespaces, ids: Any, kind: Any, agent: Any) -> list[KindRef]:
    """What the ids mean: the records, live, deleted or forgotten already.

    Raises:
        NotFound: nothing ever had one of the ids. Ambiguous: several records have one. BadInput: for an argument.
    """
    if kind is not None and kind not in KINDS:
        raise BadInput(f"{kind!r} is not one of {', '.join(KINDS)}", where="kind")
    if isinstance(ids, str):
        ids = [ids]
    if not isinstance(ids, list | tuple | set | frozenset):
        raise BadInput(f"expected an id or a list of ids, got {type(ids).__name__}", where="ids")
    agents = namespaces.changes(agent)
    kinds = list(KINDS) if kind is None else [kind]
    return [_reference(opened, kinds, check_name(id, f"ids[{place}]"), agents) for place, id in enumerate(ids)]


def _reference(opened: Opened, kinds: list[str], id: str, agents: tuple[str, ...] | None) -> KindRef:
    with opened.log.connection() as connection:
        rows = [row for kind in kinds for row in every(connection, kind, id)]
    found = [(row.kind, row.agent, row.id) for row in rows if agents is None or row.agent in agents]
    if not found:
        raise NotFound(f"nothing ever had the id {id!r}", where="ids")
    if len(found) > 1:
        names = ", ".join(f"{kind} in {agent!r}" for kind, agent, _ in found)
        raise Ambiguous(f"the id {id!r} means several records: {names}", where="ids", hint="Pass kind= or agent=.")
    return found[0]
