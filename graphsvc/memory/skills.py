"""Skills: what agents learnt to do, in versions, with what is known of how well each works."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import BadInput, Gone, NotFound
from graphsvc.log.consolidation import REL
from graphsvc.log.skills import select_prunable
from graphsvc.memory.consolidation import SIMILARITY, Consolidating, Consolidation, Rule, check_similarity
from graphsvc.memory.episodes import statistics
from graphsvc.memory.feedback import helpfulness
from graphsvc.memory.joined import far_ends
from graphsvc.memory.query_cache import request_of
from graphsvc.memory.results import Hit, Hits, Statistics
from graphsvc.memory.retrieval import Mode, Values, Where
from graphsvc.memory.rows_in import rows_of
from graphsvc.memory.skill_links import RELS, Linked, LinkType, links_of, rel_of
from graphsvc.memory.verbs import Verbs, Wait, check_wait, new_id
from graphsvc.model.filters import parse
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import check_name
from graphsvc.model.records import Episode, Outcome, Skill, SkillVersion
from graphsvc.model.requests import (
    CreateSkills,
    Delete,
    LinkSkills,
    NewRecord,
    PruneSkills,
    RecordOutcome,
    ReviseSkill,
    SkillLink,
    SkillPruneRule,
    UnlinkSkills,
)
from graphsvc.model.skills import COUNTED, plan, version_id
from graphsvc.model.texts import WEIGHT
from graphsvc.model.times import micros, seconds
from graphsvc.model.validate import build, check_values, content_hash
from graphsvc.store.hot import Rows

WEIGHTS = {"similarity": 0.7, "success": 0.15, "reward": 0.1, "uses": 0.05, "feedback": 0.0}
"""How a search weighs relevance against what is known of a skill's success. Success is (1+s)/(2+n), the mean of
the posterior that `choose` samples; reward is clipped to 0…1; uses count up to 1,000; feedback is likewise
(1 + sum of values)/(2 + number of them)."""


class Skills(Verbs):
    """Create, find, weigh and order what agents can do. `memory.skills`."""

    kind = "skill"

    # --- writing -----------------------------------------------------------------------------------------

    def create(
        self,
        *,
        name: str,
        description: str = "",
        code: str = "",
        signature: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        prerequisites: Sequence[str] = (),
        agent: str | None = None,
        id: str | None = None,
        at: datetime | str | None = None,
        vector: Any = None,
        wait: Wait = None,
    ) -> Skill:
        """Create a skill, in version 1.

        Args:
            name: what it is called. description: what it does. code: how. signature: how it is called.
            tags: labels. metadata: anything else, as JSON.
            prerequisites: ids of skills that it needs.
            agent, id, at, vector, wait: as for `episodes.store`.

        Raises:
            As `episodes.store`; NotFound for a prerequisite.
        """
        values = {
            "name": name, "description": description, "code": code, "signature": signature, "tags": tags,
            "metadata": metadata, "agent": self._namespaces.writes(agent), "id": id, "at": at,
        }  # fmt: skip
        if isinstance(prerequisites, str) or not isinstance(prerequisites, Iterable):
            raise BadInput(f"expected a list of ids, got {type(prerequisites).__name__}", where="prerequisites")
        item = self._new(values, vector=vector)
        links = [
            SkillLink("PREREQUISITE", (item.record.agent, item.record.id), self._end(needed, agent))
            for needed in prerequisites
        ]
        return cast(Skill, self._submit(CreateSkills([item], links), wait)[0])

    def create_many(
        self,
        skills: Any,
        *,
        links: Iterable[tuple[str, str, LinkType]] = (),
        agent: str | None = None,
        vectors: Any = None,
        wait: Wait = None,
    ) -> list[Skill]:
        """Create many skills and links between them, all or none.

        Args:
            skills: dicts or Skills, or a DataFrame or Arrow table with their fields as columns; `vector` too. What a
            skill counts (uses, successes, …) isn't taken over from a Skill, and can't be given.
            links: source id, target id and type of each link; ends may be new or exist already.
            agent: namespace of those that name none. vectors: shape (n, dimension), if you have them.
            wait: as for `episodes.store`.

        Returns:
            The skills as they are, in the order given.
        """
        rows = list(rows_of(skills, where="skills"))
        given = self._vectors(vectors, len(rows), "skills")
        items = []
        for index, row in enumerate(rows):
            row["agent"] = self._namespaces.writes(row.get("agent", agent))
            for name in row:
                _refuse_counted(name, f"skills[{index}].")
            items.append(self._new(row, vector=given[index], prefix=f"skills[{index}]."))
        joined = links_of(links, self._namespaces.writes(agent))
        if not items and not joined:
            check_wait(wait)
            return []
        return cast("list[Skill]", self._submit(CreateSkills(items, joined), wait))

    def revise(
        self, /, id: str, *, agent: str | None = None, vector: Any = None, wait: Wait = None, **values: Any
    ) -> Skill:
        """Give a skill new values. A new name, description, code or signature make a new version; old ones stay.

        Returns:
            The skill as it now is.
        """
        if not values and vector is None:
            raise BadInput("nothing to revise", hint="Give fields their new values: revise(id, code=…).")
        for name in values:
            _refuse_counted(name)
        checked = check_values(KINDS[self.kind], values, self._opened.limits)
        data = b"" if vector is None else self._vector(vector)
        request = ReviseSkill(self._ref(id, agent), checked, micros(datetime.now(UTC)), data)
        skill = cast(Skill, self._submit(request, wait))
        if data:
            self._note_given(skill)
        return skill

    def record_outcome(
        self,
        skill: str,
        *,
        success: bool,
        reward: float | None = None,
        latency_ms: float | None = None,
        episode: str | None = None,
        agent: str | None = None,
        id: str | None = None,
        at: datetime | str | None = None,
        wait: Wait = None,
    ) -> Skill:
        """Record a use of a skill; its statistics follow.

        Args:
            skill: its id. success: whether it worked. reward: how good it was. latency_ms: how long it took.
            episode: id of the episode that used it. id: of the outcome; the same again counts once.

        Returns:
            The skill with its new statistics.
        """
        space, skill_id = self._ref(skill, agent)
        user = None if episode is None else self._episode(episode, space)
        given = {
            "skill": skill_id, "agent": space, "success": success, "reward": reward, "latency_ms": latency_ms,
            "episode": episode, "id": new_id() if id is None else id, "at": at or datetime.now(UTC),
        }  # fmt: skip
        known = {name: value for name, value in given.items() if value is not None}
        outcome = build(KINDS["outcome"], known, self._opened.limits)
        known = {name: getattr(outcome, name) for name in known}  # as checked: 1 and 1.0 are the same content
        item = NewRecord.of(outcome, content_hash("outcome", known), fresh=id is None)
        return cast(Skill, self._submit(RecordOutcome(item, user), wait))

    def _episode(self, id: str, space: str) -> tuple[str, str]:
        """The episode that used a skill: in the skill's namespace, or in another that the handle sees."""
        log = self._opened.log
        check_name(id, "episode")
        try:
            stored = log.resolve("episode", id, (space,))
        except (NotFound, Gone):
            stored = log.resolve("episode", id, self._namespaces.reads())
        return stored.agent, stored.id

    def link(
        self,
        source: str,
        target: str,
        type: LinkType,
        *,
        weight: float | None = None,
        agent: str | None = None,
        wait: Wait = None,
    ) -> bool:
        """Join two skills: source has target as `prerequisite` or `alternative`, is a `refinement` of it, is part
        of it (`composition`), or `calls` it.

        Returns:
            Whether anything changed.

        Raises:
            Cycle: the target needs the source already. NotFound: an end doesn't exist.
        """
        return cast(bool, self._submit(LinkSkills(self._link(source, target, type, weight, agent)), wait))

    def unlink(
        self, source: str, target: str, type: LinkType, *, agent: str | None = None, wait: Wait = None
    ) -> bool:
        """Part two skills; whether there was such a link."""
        return cast(bool, self._submit(UnlinkSkills(self._link(source, target, type, None, agent)), wait))

    def _link(self, source: str, target: str, type: Any, weight: Any, agent: Any) -> SkillLink:
        if weight is not None:
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not np.isfinite(weight):
                raise BadInput(f"expected a finite number, got {weight!r}", where="weight")
            weight = float(weight)
            if type == "calls":
                raise BadInput("calls have no weight", where="weight", hint="Leave it out.")
        return SkillLink(rel_of(type), self._ref(source, agent), self._end(target, agent), weight)

    def _end(self, id: str, agent: Any) -> tuple[str, str]:
        """The far end of a link: in a namespace that the handle writes or reads."""
        space = self._namespaces.writes(agent) if self._namespaces.agent or agent else None
        try:
            stored = self._resolve(id, (space,) if space else None)
        except (NotFound, Gone):
            stored = self._resolve(id, self._namespaces.reads())
        return stored.agent, stored.id

    def delete(self, id: str | Sequence[str], *, agent: str | None = None, wait: Wait = None) -> int:
        """Delete skills with their versions and outcomes, all or none; how many."""
        refs = self._refs(id, agent)
        return cast(int, self._submit(Delete(self.kind, refs), wait)) if refs else 0

    def prune(
        self,
        *,
        min_uses: int | None = None,
        min_success_rate: float | None = None,
        max_age: float | str | timedelta | None = None,
        agent: str | None = None,
        dry_run: bool = False,
        wait: Wait = None,
    ) -> list[str]:
        """Delete the skills that meet every criterion given; those that a staying skill requires stay.

        Args:
            min_uses: used less often than this. min_success_rate: success rate below this (unused ones don't meet
            it). max_age: neither created nor used since, e.g. "30d". dry_run: delete nothing, only tell.

        Returns:
            Ids of the deleted skills.

        Raises:
            BadInput: no criterion, or a bad one.
        """
        if min_uses is None and min_success_rate is None and max_age is None:
            raise BadInput("no criterion: everything would go", hint="Give min_uses, min_success_rate or max_age.")
        given = {"uses": min_uses, "reward": min_success_rate}
        checked = check_values(KINDS[self.kind], {k: v for k, v in given.items() if v is not None}, self._opened.limits)
        before = None
        if max_age is not None:
            before = micros(datetime.now(UTC) - timedelta(seconds=seconds(max_age, where="max_age")))
        rule = SkillPruneRule(self._namespaces.changes(agent), checked.get("uses"), checked.get("reward"), before)
        if dry_run:
            self._opened.check()
            with self._opened.log.connection() as connection:
                return [id for _, id in select_prunable(connection, rule)]
        return cast("list[str]", self._submit(PruneSkills(rule), wait))

    def consolidate(
        self,
        *,
        min_attempts: int = 3,
        min_reward: float = 0.7,
        window: float | str | timedelta | None = None,
        where: Where = None,
        similarity: float = SIMILARITY,
        agent: str | None = None,
        dry_run: bool = False,
        wait: Wait = None,
        progress: Callable[[float | None, str], None] | None = None,
    ) -> Consolidation:
        """Make skills of what successful attempts at like tasks have in common, or bring them up to date.

        Successes are clustered by meaning. Of each cluster that is large enough, a skill quotes the success that is
        most typical: its code, or the steps that the others share and that aren't commoner among the failures at
        these tasks. Name and description are quoted too, nothing is made up. The evidence is joined by DERIVED_FROM
        and counts as uses. Done again it changes nothing; new evidence gives the same skill a new version. What was
        deleted stays deleted. One entry of the log each: what an interruption leaves undone, the next run does.

        Args:
            min_attempts: successes that speak for a skill, at least.
            min_reward: a reward below this makes a success count for nothing. Where nobody knows of success, this
                much makes one, and less a failure.
            window: only attempts of the last so long, e.g. "7d", and what skills were drawn from before.
            where: only these attempts, likewise. similarity: mean cosine of what counts as meaning the same.
            agent: only this namespace; each is consolidated by itself. dry_run: write nothing, only tell.
            progress: called with the share done, or None where it isn't known, and a word on what is done.

        Raises:
            BadInput, UnknownField: for an argument. FollowerStopped, EmbeddingFailed: attempts can't be embedded.
        """
        self._opened.check()
        check_wait(wait)
        if isinstance(min_attempts, bool) or not isinstance(min_attempts, int) or min_attempts < 1:
            raise BadInput(f"expected a whole number of at least 1, got {min_attempts!r}", where="min_attempts")
        checked = check_values(KINDS["episode"], {"reward": min_reward}, self._opened.limits, prefix="min_")
        parts = [] if where is None else [where]
        if window is not None:
            start = datetime.now(UTC) - timedelta(seconds=seconds(window, where="window"))
            parts.append({"at": {"ge": start.isoformat()}})
        filter = parse({"and": parts} if parts else None, KINDS["episode"])
        rule = Rule(min_attempts, checked["reward"], check_similarity(similarity), filter)
        job = Consolidating(self._opened, self._namespaces.changes(agent), rule, progress)
        done = job.run(dry_run=dry_run)
        if wait is not None and not dry_run:
            self._await(self._opened.log.head, wait)
        return done

    # --- reading -----------------------------------------------------------------------------------------

    def evidence(self, id: str, *, agent: str | None = None) -> Evidence:
        """The episodes that a skill was drawn from, oldest first: successes and failures. Deleted ones are gone.

        Raises:
            NotFound, Gone, Ambiguous: for the id.
        """
        stored = self._resolve(id, self._namespaces.reads(agent))
        found = cast(Evidence, far_ends(self, stored, REL, "out"))
        return sorted(found, key=lambda episode: (episode.at, episode.id))

    def get(self, id: str, *, agent: str | None = None) -> Skill:
        """The skill with this id, in its current version. Raises NotFound, Gone, Ambiguous."""
        return cast(Skill, self._resolve(id, self._namespaces.reads(agent)).record)

    def version(self, id: str, number: int, *, agent: str | None = None) -> SkillVersion:
        """One version of a skill, as it was. Raises NotFound."""
        stored = self._resolve(id, self._namespaces.reads(agent))
        if isinstance(number, bool) or not isinstance(number, int):
            raise BadInput(f"expected a whole number, got {number!r}", where="number")
        found = self._opened.log.resolve("skill_version", version_id(stored.id, number), (stored.agent,))
        return cast(SkillVersion, found.record)

    def versions(self, id: str, *, agent: str | None = None) -> Versions:
        """All versions of a skill, the first first."""
        skill = self.get(id, agent=agent)
        return [self.version(id, number, agent=skill.agent) for number in range(1, skill.version + 1)]

    def list(
        self, where: Where = None, k: int = 100, *, agent: str | Sequence[str] | None = None, order: str = "newest"
    ) -> SkillList:
        """Skills that pass a filter: `newest` first, `oldest` first, or by `id`; at most k."""
        return cast(SkillList, self._list(where, agent, k, order))

    def search(
        self,
        text: str,
        k: int = 10,
        *,
        where: Where = None,
        agent: str | Sequence[str] | None = None,
        mode: Mode = "blend",
        weight: float = WEIGHT,
        weights: Mapping[str, float] | None = None,
        mmr: float | None = None,
        min_similarity: float | None = None,
        vector: Any = None,
    ) -> Hits[Skill]:
        """The skills that fit a text best.

        Args:
            weights: how much `similarity`, `success`, `reward`, `uses` and `feedback` count, see `WEIGHTS`; what isn't
            named counts nothing. {"similarity": 1} ranks by relevance alone.
            The others: as for `episodes.retrieve`.

        Returns:
            At most k hits, best first, with each part of the score.
        """
        self._opened.check()

        def find() -> Hits[Skill]:
            shares = _weights(weights)
            query = self._query(
                text, k, where, agent, mode=mode, weight=weight, mmr=mmr, min_similarity=min_similarity, vector=vector
            )
            return self._retrieval.find(query, rescore=lambda rows, scores: self._utility(shares, rows, scores))

        request = None
        if vector is None and (weights is None or (type(weights) is dict and "feedback" not in weights)):
            request = request_of(text, k, where, agent, mode, weight, weights, mmr, min_similarity)
        return self._answered(request, find)

    def search_many(self, /, texts: Sequence[str], k: int = 10, *, vectors: Any = None, **options: Any) -> ManySkills:
        """`search` for many texts; they are embedded together. Options as there.

        Args:
            vectors: of the texts, shape (n, dimension), if you have them.
        """
        return self._many(self.search, texts, k, vectors, options)

    def vector(self, id: str, *, agent: str | None = None) -> NDArray[np.float32] | None:
        """The embedding of a skill's present text; as `episodes.vector`."""
        return self._embedding(id, agent)

    def _utility(
        self, weights: tuple[tuple[str, float], ...], rows: Rows, scores: Values
    ) -> tuple[Values, dict[str, Values]]:
        """The weighted sum of relevance and what is known of each skill's success; each part is noted."""
        columns = self._opened.log.columns
        uses, successes, reward = (
            columns.values(self.kind, name, rows).astype(np.float64) for name in ("uses", "successes", "reward")
        )
        parts: dict[str, Values] = {
            "similarity": scores,
            "success": (1 + successes) / (2 + uses),
            "reward": np.clip(np.nan_to_num(reward), 0.0, 1.0),
            "uses": np.minimum(uses / 1000, 1.0),
        }
        if dict(weights)["feedback"]:
            parts["feedback"] = helpfulness(self._opened.log, self.kind, rows, self._namespaces.reads())
        total = np.zeros(len(rows))
        for name, share in weights:
            if name in parts:
                total += share * parts[name]
        return total, parts

    def choose(
        self,
        text: str,
        *,
        k: int = 5,
        where: Where = None,
        agent: str | Sequence[str] | None = None,
        min_similarity: float | None = None,
        rng: random.Random | int | None = None,
    ) -> Hit[Skill] | None:
        """One skill for a task, by Thompson sampling (Thompson 1933) among the k that fit best.

        Each gets a sample of Beta(1 + successes, 1 + failures); the highest wins, so what isn't known well is
        tried in proportion to how good it may be. Only reads: record the outcome yourself.

        Args:
            min_similarity: lowest cosine of those it chooses among: without it all k count as fitting.
            rng: a random.Random or a seed, for a choice that repeats.

        Returns:
            The skill chosen, `sample` among its parts; None where nothing is found.
        """
        if isinstance(rng, bool) or not isinstance(rng, int | np.integer | random.Random | None):
            raise BadInput(f"expected a random.Random or a seed, got {type(rng).__name__}", where="rng")
        # A draw among skills, not a secret.
        chance = rng if isinstance(rng, random.Random) else random.Random(None if rng is None else int(rng))  # nosec B311
        hits = self.search(
            text, k, where=where, agent=agent, min_similarity=min_similarity, weights={"similarity": 1.0}
        )
        sampled = [
            (chance.betavariate(1 + hit.skill.successes, 1 + hit.skill.uses - hit.skill.successes), hit)
            for hit in hits
        ]
        if not sampled:
            return None
        sample, hit = max(sampled, key=lambda pair: pair[0])
        return Hit(hit.record, hit.score, {**hit.parts, "sample": sample})

    def links(self, id: str, *, agent: str | None = None) -> LinkedList:
        """The skills that a skill is joined to, either way. Raises NotFound, Gone, Ambiguous."""
        stored = self._resolve(id, self._namespaces.reads(agent))
        found = self._opened.log.links_of(stored.row)
        words = {rel: word for word, rel in RELS.items()}
        records = self._opened.log.records([row for _, _, row, _ in found])
        seen = self._namespaces.reads()
        return [
            Linked(words[rel], direction, record.id, record.name, values.get("weight"))
            for rel, direction, row, values in found
            if rel in words
            and isinstance(record := records.get(row), Skill)
            and (seen is None or record.agent in seen)
        ]

    def plan(self, id: str, *, agent: str | None = None) -> SkillList:
        """The skills to have for a goal, prerequisites first, the goal last; among those free to come next, by id.

        Raises:
            NotFound, Gone, Ambiguous: for the id. NotFound: something needed lies in a namespace that the handle
            doesn't see.
        """
        goal = self._resolve(id, self._namespaces.reads(agent))
        needs = self._opened.log.prerequisites(goal.row)
        rows = {row for source, target in needs for row in (source, target)} | {goal.row}
        skills = cast(dict[int, Skill], self._opened.log.records(list(rows)))
        names = {row: skill.key for row, skill in skills.items()}
        by_key = {skill.key: skill for skill in skills.values()}
        seen = self._namespaces.reads()
        if seen is not None and any(skill.agent not in seen for skill in skills.values()):
            raise NotFound(
                f"{goal.id!r} needs a skill that this handle doesn't see", where="id", hint="Share its namespace."
            )
        prerequisites: dict[str, list[str]] = {}
        for source, target in needs:
            prerequisites.setdefault(names[source], []).append(names[target])
        return [by_key[key] for key in plan(names[goal.row], prerequisites)]

    def statistics(self, id: str, *, agent: str | None = None) -> Statistics:
        """Figures of a skill's recorded uses, with the trend of the last seven days."""
        stored = self._resolve(id, self._namespaces.reads(agent))
        outcomes = [cast(Outcome, record) for record in self._opened.log.children("outcome", stored.agent, stored.id)]
        values: dict[str, Any] = {
            "at": np.array([micros(outcome.at) for outcome in outcomes], np.int64),
            "success": np.array([outcome.success for outcome in outcomes], np.int8),
            "reward": np.array([_or_nan(outcome.reward) for outcome in outcomes], np.float64),
            "latency_ms": np.array([_or_nan(outcome.latency_ms) for outcome in outcomes], np.float64),
            "tokens": np.full(len(outcomes), -1, np.int64),
        }
        return statistics(values, micros(datetime.now(UTC)))


Versions = list[SkillVersion]
SkillList = list[Skill]
ManySkills = list[Hits[Skill]]
LinkedList = list[Linked]
Evidence = list[Episode]


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _refuse_counted(name: Any, prefix: str = "") -> None:
    if name in ("version", *COUNTED):
        raise BadInput("is counted from outcomes and can't be set", where=f"{prefix}{name}", hint="Use record_outcome.")


def _weights(weights: Mapping[str, float] | None) -> tuple[tuple[str, float], ...]:
    if weights is None:
        return tuple(WEIGHTS.items())
    if not isinstance(weights, Mapping):
        raise BadInput(f"expected an object, got {type(weights).__name__}", where="weights")
    for name, value in weights.items():
        check_name(name, "weights")
        if name not in WEIGHTS:
            raise BadInput(f"{name!r} is not one of {', '.join(WEIGHTS)}", where="weights")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e6:
            raise BadInput(f"expected a number of at least 0, got {value!r}", where=f"weights.{name}")
    return tuple((name, float(weights.get(name, 0.0))) for name in WEIGHTS)

