"""Consolidation: what successful attempts at like tasks have in common becomes a skill, with the evidence kept.

    successes ─► clusters by meaning (`clusters`) ─► those of enough attempts
    failures  ─► the nearest of these that has their task, or is as like as its own members
    each      ─► what it says (`drafting`) ─► the skill that shares most evidence with it, or a new one
              ─► one entry of the log: record, version, edges to the evidence, statistics

Nothing in it depends on a clock (but for `window`) or on chance: the same memory gives the same skills.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, cast

import msgspec
import numpy as np

from graphsvc.errors import BadInput
from graphsvc.log.consolidation import CREATED, DELETED, LEARNT, REL, UNCHANGED, UPDATED, digest_in
from graphsvc.log.state import LIVE
from graphsvc.memory.clusters import clusters
from graphsvc.memory.drafting import Draft, draft, line_of
from graphsvc.memory.opened import Opened
from graphsvc.model.filters import Filter
from graphsvc.model.records import Episode, Skill
from graphsvc.model.requests import Consolidate, LearntSkill
from graphsvc.store.hot import HotIndex, Rows, Vectors

BATCH = 64
"""Skills decided together; each is an entry of its own."""
SIMILARITY = 0.75
"""Mean cosine from which attempts mean the same. Measured: the same short tasks in other words have .74 to .92; of
10,359 episodes of published agents, 85 % of a skill's successes are then at one problem (.78 at .7, .90 at .8)."""
TAG = "consolidated"
STEPS = 20
"""Steps whose figures are kept in a skill's metadata."""
NOTHING_SHARED = "nothing shared"

Progress = Callable[[float | None, str], None]


@dataclass(frozen=True, slots=True)
class Learnt:
    """A skill that the evidence speaks for.

    Attributes:
        action: `created`, `updated`, `unchanged`, `deleted` (it was deleted once and stays so) or `nothing shared`
            (no skill: the successes have no step in common, or don't say what was done).
        id: of the skill; empty where there is none. version: that it is in now, or would be; 0 where there is none.
        agent, name, description, code: what the evidence says, for `unchanged` too.
        successes, failures: ids of the evidence, oldest first.
        tasks: how many different ones. similarity: mean cosine of the successes to their middle.
    """

    action: str
    id: str
    version: int
    agent: str
    name: str
    description: str
    code: str
    successes: tuple[str, ...]
    failures: tuple[str, ...]
    tasks: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Consolidation:
    """What consolidating did, or in a dry run would do.

    Attributes:
        skills: those created, updated and left unchanged, and why others came to nothing; by namespace, then in
            the order of their oldest success.
        episodes, successes, failures: looked at. pending: left out, not embedded yet.
        clusters: of successes, whatever their size.
        dry_run: whether nothing was written. seconds: it took.
    """

    skills: list[Learnt] = field(default_factory=list)
    episodes: int = 0
    successes: int = 0
    failures: int = 0
    pending: int = 0
    clusters: int = 0
    dry_run: bool = False
    seconds: float = 0.0

    def by(self, action: str) -> list[Learnt]:
        """Those of one action: `created`, `updated`, `unchanged`, `deleted`, `nothing shared`."""
        return [skill for skill in self.skills if skill.action == action]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, with the number of each action."""
        counts = {name.replace(" ", "_"): len(self.by(name)) for name in ACTIONS}
        return {"counts": counts, **msgspec.to_builtins(self)}


ACTIONS = (CREATED, UPDATED, UNCHANGED, DELETED, NOTHING_SHARED)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which attempts count, and how alike they must be; see `Skills.consolidate`."""

    min_attempts: int
    min_reward: float
    similarity: float
    filter: Filter | None


def check_similarity(value: Any) -> float:
    """A cosine that likeness is judged by: over 0, at most 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise BadInput(f"expected a number over 0 and at most 1, got {value!r}", where="similarity")
    return float(value)


@dataclass(slots=True)
class _Group:
    """Attempts that mean the same: rows, oldest first; the skill that was drawn from them before, if any."""

    agent: str
    successes: list[int]
    failures: list[int]
    similarity: float
    skill: Skill | None = None


@dataclass(slots=True)
class _Known:
    """A skill that was consolidated before, and the rows of its evidence."""

    skill: Skill
    evidence: set[int]


class Consolidating:
    """One consolidation under way.

    Args:
        agents: namespaces, None for all. progress: called with the share done, or None, and a word on it.
    """

    def __init__(self, opened: Opened, agents: tuple[str, ...] | None, rule: Rule, progress: Progress | None) -> None:
        self.log = opened.log
        self.vectors = opened.store.vectors
        self.agents = agents
        self.rule = rule
        self.progress = progress or (lambda share, note: None)

    def run(self, *, dry_run: bool) -> Consolidation:
        began = time.monotonic()
        self._wait_for_vectors()
        known = self._known()
        report: dict[str, int] = {}
        groups = self._groups(known, report)
        _match(groups, known)
        learnt: list[Learnt] = []
        for start in range(0, len(groups), BATCH):
            self.progress(start / len(groups), "comparing attempts")
            planned = list(self._planned(groups[start : start + BATCH]))
            learnt.extend(one for one, _ in planned) if dry_run else learnt.extend(self._written(planned))
        return Consolidation(learnt, dry_run=dry_run, seconds=round(time.monotonic() - began, 3), **report)

    def _wait_for_vectors(self) -> None:
        head = self.log.head
        while not self.vectors.follower.wait(head, 0.5):
            self.progress(None, f"{self.vectors.pending:,} not embedded yet")

    def _known(self) -> dict[int, _Known]:
        """By row, the skills that have evidence."""
        with self.log.connection() as connection:
            edges = connection.execute("SELECT source, target FROM link WHERE rel = ?", (REL,)).fetchall()
        skills = self.log.records(sorted({source for source, _ in edges}))
        known = {
            row: _Known(skill, set())
            for row, skill in sorted(skills.items())
            if isinstance(skill, Skill) and (self.agents is None or skill.agent in self.agents)
        }
        for source, target in edges:
            if source in known:
                known[source].evidence.add(target)
        return known

    # --- gathering -----------------------------------------------------------------------------------------

    def _groups(self, known: dict[int, _Known], report: dict[str, int]) -> list[_Group]:
        rows, _ = self.log.mask("episode", self.rule.filter, self.agents)
        # What a skill was drawn from stays in view, whatever the filter: new evidence must find it.
        earlier = np.array(sorted({row for one in known.values() for row in one.evidence}), np.int64)
        rows = np.union1d(rows, earlier)
        column = {name: self.log.columns.values("episode", name, rows) for name in ("success", "reward", "agent")}
        rewarded, poor = column["reward"] >= self.rule.min_reward, column["reward"] < self.rule.min_reward
        good = ((column["success"] == 1) & ~poor) | ((column["success"] < 0) & rewarded)
        bad = (column["success"] == 0) | ((column["success"] < 0) & poor)
        hot = self.vectors.hot
        places = hot.fresh(rows, self.log.columns.hash_of(rows))
        report.update(
            episodes=len(rows), successes=int(good.sum()), failures=int(bad.sum()), pending=int((places < 0).sum()),
            clusters=0,
        )  # fmt: skip
        names = self.log.columns.kinds["episode"].names["agent"].texts
        groups: list[_Group] = []
        for code in sorted(set(column["agent"].tolist()), key=lambda code: names[code]):
            among = (column["agent"] == code) & (places >= 0)
            self.progress(None, "clustering")
            found, count = self._of_namespace(hot, names[code], rows[good & among], rows[bad & among])
            groups.extend(found)
            report["clusters"] += count
        return groups

    def _of_namespace(self, hot: HotIndex, agent: str, good: Rows, bad: Rows) -> tuple[list[_Group], int]:
        """The groups of one namespace that are large enough, by their oldest success, and how many clusters."""
        done = self._by_time(good)
        vectors = hot.vectors(hot.positions(done))
        labels = clusters(vectors, self.rule.similarity)
        sizes = np.bincount(labels)
        kept = np.flatnonzero(sizes >= self.rule.min_attempts)
        members = [np.flatnonzero(labels == label) for label in kept]
        groups, middles = [], np.zeros((len(kept), vectors.shape[1] if len(vectors) else 0), np.float32)
        for number, some in enumerate(members):
            mean = vectors[some].astype(np.float64).mean(axis=0)
            middle = mean / max(float(np.linalg.norm(mean)), 1e-12)
            middles[number] = middle
            similarity = round(float((vectors[some] @ middle).mean()), 4)
            groups.append(_Group(agent, done[some].tolist(), [], similarity))
        self._add_failures(hot, groups, middles, self._by_time(bad))
        return groups, len(sizes)

    def _by_time(self, rows: Rows) -> Rows:
        at = self.log.columns.values("episode", "at", rows)
        return rows[np.lexsort((rows, at))]

    def _add_failures(self, hot: HotIndex, groups: list[_Group], middles: Vectors, rows: Rows) -> None:
        """Give each failure to the nearest group that has its task, else to the nearest that is like enough."""
        if not groups or not len(rows):
            return
        task = self.log.columns.values("episode", "task", rows)
        having: dict[int, list[int]] = {}
        for number, group in enumerate(groups):
            for code in set(self.log.columns.values("episode", "task", np.array(group.successes)).tolist()):
                having.setdefault(code, []).append(number)
        for start in range(0, len(rows), 1_000):
            part = rows[start : start + 1_000]
            near = np.round(hot.vectors(hot.positions(part)) @ middles.T, 6)
            for place, (row, code) in enumerate(zip(part.tolist(), task[start : start + 1_000].tolist(), strict=True)):
                among = having.get(code)
                best = int(near[place].argmax()) if among is None else max(among, key=lambda one: near[place, one])
                if among is not None or near[place, best] >= self.rule.similarity:
                    groups[best].failures.append(row)

    # --- what each says ------------------------------------------------------------------------------------

    def _planned(self, groups: list[_Group]) -> Iterator[tuple[Learnt, LearntSkill | None]]:
        rows = [row for group in groups for row in (*group.successes, *group.failures)]
        episodes = cast("dict[int, Episode]", self.log.records(rows))
        for group in groups:
            good = [episodes[row] for row in group.successes if row in episodes]
            bad = [episodes[row] for row in group.failures if row in episodes]
            if len(good) >= self.rule.min_attempts:
                yield self._plan(group, good, bad)

    def _plan(self, group: _Group, good: list[Episode], bad: list[Episode]) -> tuple[Learnt, LearntSkill | None]:
        said = draft(good, bad)
        tasks = len({episode.task for episode in good})
        about = (tuple(one.id for one in good), tuple(one.id for one in bad), tasks, group.similarity)
        if said is None:
            name = line_of(good[0].task, 80)
            return Learnt(NOTHING_SHARED, "", 0, group.agent, name, "", "", *about), None
        digest = _digest(said, good, bad)
        old = group.skill
        id, taken = (old.id, False) if old is not None else self._new_id(group.agent, good)
        action, version = CREATED, 1
        if taken:
            action, version = DELETED, 0
        elif old is not None:
            action = UNCHANGED if digest_in(old) == digest else UPDATED
            version = old.version + (action == UPDATED)
        learnt = Learnt(action, id, version, group.agent, said.name, said.description, said.code, *about)
        skill = _skill(learnt, said, digest, good, bad)
        return learnt, LearntSkill(skill, (*about[0], *about[1])) if action in (CREATED, UPDATED) else None

    def _new_id(self, agent: str, good: list[Episode]) -> tuple[str, bool]:
        """An id made of the oldest success, so that doing it again gives the same; and whether it was deleted."""
        with self.log.connection() as connection:
            for episode in good:
                mark = blake2b(f"{agent}\0{episode.id}".encode(), digest_size=8).hexdigest()
                row = connection.execute(
                    "SELECT state FROM record WHERE kind = 'skill' AND id = ? AND agent = ?", (f"learnt-{mark}", agent)
                ).fetchone()
                if row is None or row[0] != LIVE:
                    return f"learnt-{mark}", row is not None
        return f"learnt-{mark}", True

    def _written(self, planned: Iterable[tuple[Learnt, LearntSkill | None]]) -> Iterator[Learnt]:
        pairs = list(planned)
        items = [item for _, item in pairs if item is not None]
        answers = iter(self.log.submit(Consolidate(items)).result if items else ())
        for learnt, item in pairs:
            if item is None:
                yield learnt
            else:
                action, version = next(answers)
                yield replace(learnt, action=action, version=version)


def _match(groups: list[_Group], known: dict[int, _Known]) -> None:
    """Give each group the skill that shares most of its successes, each skill to one group; of equals the oldest."""
    owners: dict[int, list[int]] = {}
    for row, one in known.items():
        for episode in one.evidence:
            owners.setdefault(episode, []).append(row)
    shared: Counter[tuple[int, int]] = Counter()
    for number, group in enumerate(groups):
        for row in group.successes:
            shared.update((skill, number) for skill in owners.get(row, ()))
    for (row, number), _ in sorted(shared.items(), key=lambda pair: (-pair[1], pair[0])):
        if row in known and groups[number].skill is None:
            groups[number].skill = known.pop(row).skill


def _digest(said: Draft, good: list[Episode], bad: list[Episode]) -> str:
    """Of all that a skill is drawn from and says: equal digests, nothing to do."""
    evidence = [(one.id, one.success, one.reward, one.latency_ms, one.at) for one in (*good, *bad)]
    steps = [(step.text, step.successes, step.failures) for step in said.steps]
    content = msgspec.json.encode([said.name, said.description, said.code, steps, evidence])
    return blake2b(content, digest_size=16).hexdigest()


def _skill(learnt: Learnt, said: Draft, digest: str, good: list[Episode], bad: list[Episode]) -> Skill:
    about = {
        "digest": digest,
        "successes": len(good),
        "failures": len(bad),
        "tasks": learnt.tasks,
        "similarity": learnt.similarity,
        "quoted": said.quoted.id,
        "steps": [
            {"text": line_of(step.text), "successes": step.successes, "failures": step.failures}
            for step in said.steps[:STEPS]
        ],
    }
    common = set(good[0].tags).intersection(*(episode.tags for episode in good))
    return Skill(
        id=learnt.id,
        agent=learnt.agent,
        at=max(episode.at for episode in (*good, *bad)),
        name=learnt.name,
        description=learnt.description,
        code=learnt.code,
        tags=tuple(sorted({TAG, *common})),
        metadata={LEARNT: about},
    )
