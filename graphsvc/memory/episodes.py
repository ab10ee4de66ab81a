"""Episodes: what agents tried, how it went, and what they learnt from it (reflexion; Shinn et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import BadInput
from graphsvc.log.episodes import select_prunable
from graphsvc.memory.feedback import helpfulness
from graphsvc.memory.joined import Joined
from graphsvc.memory.query_cache import request_of
from graphsvc.memory.results import Hit, Hits, Lesson, Relations, Statistics, Trend
from graphsvc.memory.retrieval import Mode, Values, Where, check_k, check_share
from graphsvc.memory.rows_in import rows_of
from graphsvc.memory.verbs import Wait, check_wait
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import parts_of
from graphsvc.model.records import Episode
from graphsvc.model.requests import AmendEpisode, Delete, PruneEpisodes, PruneRule, StoreEpisodes
from graphsvc.model.texts import WEIGHT
from graphsvc.model.times import from_micros, micros, seconds
from graphsvc.model.validate import check_values
from graphsvc.store.hot import Rows

Lessons = list[Lesson]
ManyHits = list[Hits[Episode]]  # named here: inside the class `list` is a verb

ALIKE = 0.85
"""Cosine from which two critiques or outputs count as saying the same."""


class Episodes(Joined):
    """Store, find and weigh what agents tried. `memory.episodes`."""

    kind = "episode"

    # --- writing -----------------------------------------------------------------------------------------

    def store(
        self,
        *,
        session: str,
        task: str,
        agent: str | None = None,
        input: str = "",
        output: str = "",
        critique: str | None = None,
        reward: float | None = None,
        success: bool | None = None,
        latency_ms: float | None = None,
        tokens: int | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        at: datetime | str | None = None,
        vector: Any = None,
        wait: Wait = None,
    ) -> Episode:
        """Store one episode. It is durable, and found by id and filter, when this returns.

        Args:
            session: the run that it belongs to. task: what was to be done.
            agent: namespace. input, output: what the agent got and gave.
            critique: what went wrong and what to do instead. reward: how good it was.
            success: whether it did the task. latency_ms: milliseconds that it took. tokens: that it used.
            tags: labels. metadata: anything else, as JSON.
            id: unique in the namespace; made if not given. The same id and content again is one write.
            at: when it happened, with a zone; now if not given.
            vector: its embedding if you have it, of the model's dimension; scaled to length 1.
            wait: "searchable" waits until text and vector are searched, "graph" until it is in the graph.

        Returns:
            The episode as stored.

        Raises:
            BadInput, TooLarge: for a bad value, naming the field. Conflict: the id has other content.
            Gone: the id was deleted. Overloaded: too many writes wait. StorageFull: the disk is full.
        """
        request = self._store_request(
            session=session, task=task, agent=agent, input=input, output=output, critique=critique, reward=reward,
            success=success, latency_ms=latency_ms, tokens=tokens, tags=tags, metadata=metadata, id=id, at=at,
            vector=vector,
        )  # fmt: skip
        return cast(Episode, self._submit(request, wait)[0])

    def _store_request(self, *, vector: Any, **values: Any) -> StoreEpisodes:
        self._opened.check()
        values["agent"] = self._namespaces.writes(values["agent"])
        return StoreEpisodes([self._new(values, vector=vector)])

    def store_many(
        self, episodes: Any, *, agent: str | None = None, vectors: Any = None, wait: Wait = None
    ) -> list[Episode]:
        """Store many episodes, all or none.

        Args:
            episodes: dicts or Episodes, or a DataFrame or Arrow table with their fields as columns; `vector` too.
            agent: namespace of those that name none.
            vectors: their embeddings, shape (n, dimension), if you have them.
            wait: as for `store`.

        Returns:
            The episodes as stored, in the order given.

        Raises:
            As `store`; the field is named with its place: `episodes[3].reward`. Nothing is stored then.
        """
        rows = list(rows_of(episodes, where="episodes"))
        given = self._vectors(vectors, len(rows), "episodes")
        items = []
        for index, row in enumerate(rows):
            row["agent"] = self._namespaces.writes(row.get("agent", agent))
            items.append(self._new(row, vector=given[index], prefix=f"episodes[{index}]."))
        if not items:
            check_wait(wait)
            return []
        return cast(list[Episode], self._submit(StoreEpisodes(items), wait))

    def amend(
        self, /, id: str, *, agent: str | None = None, vector: Any = None, wait: Wait = None, **values: Any
    ) -> Episode:
        """Give fields of an episode new values; all but `id` and `agent` may change.

        Returns:
            The episode as it now is.

        Raises:
            NotFound, Gone, Ambiguous: for the id. BadInput, UnknownField: for a value or field.
        """
        if not values and vector is None:
            raise BadInput("nothing to amend", hint="Give fields their new values: amend(id, reward=1.0).")
        checked = check_values(KINDS[self.kind], values, self._opened.limits)
        ref = self._ref(id, agent)
        data = b"" if vector is None else self._vector(vector)
        episode = cast(Episode, self._submit(AmendEpisode(ref, checked, data), wait))
        if data:
            self._note_given(episode)
        return episode

    def delete(self, id: str | Sequence[str], *, agent: str | None = None, wait: Wait = None) -> int:
        """Delete one episode or several, all or none. Their ids stay taken, their history stays.

        Returns:
            How many were deleted.

        Raises:
            NotFound, Gone, Ambiguous: for an id; nothing is deleted then.
        """
        refs = self._refs(id, agent)
        return cast(int, self._submit(Delete(self.kind, refs), wait)) if refs else 0

    def prune(
        self,
        *,
        min_reward: float | None = None,
        max_age: float | str | timedelta | None = None,
        keep_min_per_task: int = 5,
        agent: str | None = None,
        dry_run: bool = False,
        wait: Wait = None,
    ) -> list[str]:
        """Delete the episodes that meet every criterion given, but never a task's best.

        Args:
            min_reward: those with a reward below this. max_age: those older, e.g. "30d".
            keep_min_per_task: of all of a task's episodes, so many of the highest reward stay.
            agent: only this namespace. dry_run: delete nothing, only tell.

        Returns:
            Ids of the deleted episodes, oldest first.

        Raises:
            BadInput: no criterion, or a bad one.
        """
        if min_reward is None and max_age is None:
            raise BadInput("no criterion: everything would go", hint="Give min_reward, max_age, or both.")
        if isinstance(keep_min_per_task, bool) or not isinstance(keep_min_per_task, int) or keep_min_per_task < 0:
            raise BadInput(f"expected a whole number, got {keep_min_per_task!r}", where="keep_min_per_task")
        reward = check_values(KINDS[self.kind], {"reward": min_reward}, self._opened.limits, prefix="min_")["reward"]
        before = None
        if max_age is not None:
            before = micros(datetime.now(UTC) - timedelta(seconds=seconds(max_age, where="max_age")))
        rule = PruneRule(self._namespaces.changes(agent), reward, before, keep_min_per_task)
        if dry_run:
            self._opened.check()
            with self._opened.log.connection() as connection:
                return [id for _, id in select_prunable(connection, rule)]
        return cast(list[str], self._submit(PruneEpisodes(rule), wait))

    # --- reading -----------------------------------------------------------------------------------------

    def get(self, id: str, *, agent: str | None = None) -> Episode:
        """The episode with this id.

        Raises:
            NotFound, Gone, Ambiguous: for the id.
        """
        return cast(Episode, self._resolve(id, self._namespaces.reads(agent)).record)

    def list(
        self, where: Where = None, k: int = 100, *, agent: str | Sequence[str] | None = None, order: str = "newest"
    ) -> list[Episode]:
        """Episodes that pass a filter: `newest` first, `oldest` first, or by `id`; at most k."""
        return cast("list[Episode]", self._list(where, agent, k, order))

    def retrieve(
        self,
        text: str,
        k: int = 10,
        *,
        where: Where = None,
        agent: str | Sequence[str] | None = None,
        mode: Mode = "blend",
        weight: float = WEIGHT,
        mmr: float | None = None,
        half_life: float | str | timedelta | None = None,
        min_similarity: float | None = None,
        feedback: float = 0.0,
        vector: Any = None,
    ) -> Hits[Episode]:
        """The episodes most relevant to a text, by meaning and by words.

        Args:
            text: a task, or anything. k: how many. where: filter, see `graphsvc.F`.
            agent: namespace or namespaces; None for all that the handle sees.
            mode: "blend" of both, "vector", "text" (BM25), or "rrf" (reciprocal rank fusion).
            weight: share of the vector part in the blend.
            mmr: between 1 (relevance alone) and 0 (novelty alone); not used if None.
            half_life: age at which a score counts half, e.g. "30d"; a cosine c counts as (1 + c) / 2 then.
            min_similarity: lowest cosine, -1 to 1, in every mode; what isn't embedded yet is left out.
            feedback: share of what `memory.feedback` said of each in its score, 0 to 1; see `helpfulness`.
            vector: of the text, if you have it.

        Returns:
            At most k hits, best first; k whenever k episodes pass the filter (in the modes "blend" and, of
            those embedded, "vector"). `pending` says how many that pass aren't embedded yet.

        Raises:
            BadInput, UnknownField, TooLarge: for an argument. ModelNotFound, EmbeddingFailed: for the model.
            FollowerStopped: a projection stopped.
        """
        self._opened.check()

        def find() -> Hits[Episode]:
            query = self._query(
                text, k, where, agent, mode=mode, weight=weight, mmr=mmr, half_life=half_life,
                min_similarity=min_similarity, vector=vector,
            )  # fmt: skip
            share = check_share(feedback, "feedback") or 0.0

            def rescore(rows: Rows, scores: Values) -> tuple[Values, dict[str, Values]]:
                helpful = helpfulness(self._opened.log, self.kind, rows, self._namespaces.reads())
                return (1 - share) * scores + share * helpful, {"feedback": helpful}

            return self._retrieval.find(query, rescore=rescore if share else None)

        request = None
        if vector is None and half_life is None and type(feedback) is float and not feedback:
            # Otherwise the answer depends on the clock, or on what was said of records.
            request = request_of(text, k, where, agent, mode, weight, mmr, min_similarity)
        return self._answered(request, find)

    def retrieve_many(self, /, texts: Sequence[str], k: int = 10, *, vectors: Any = None, **options: Any) -> ManyHits:
        """`retrieve` for many texts; they are embedded together. Options as there.

        Args:
            vectors: of the texts, shape (n, dimension), if you have them.
        """
        return self._many(self.retrieve, texts, k, vectors, options)

    def vector(self, id: str, *, agent: str | None = None) -> NDArray[np.float32] | None:
        """The embedding of an episode's present text, of length 1, shape (dimension,); None if it isn't embedded yet.

        Raises:
            NotFound, Gone, Ambiguous: for the id.
        """
        return self._embedding(id, agent)

    # --- learning from them ------------------------------------------------------------------------------

    def critiques(
        self,
        task: str,
        k: int = 5,
        *,
        where: Where = None,
        agent: str | Sequence[str] | None = None,
        min_similarity: float | None = None,
    ) -> Lessons:
        """What went wrong on tasks like this one: critiques of failures, those that say the same as one.

        Args:
            min_similarity: lowest cosine, -1 to 1. The others: as for `retrieve`.

        Returns:
            At most k lessons, the most relevant first.
        """
        failed = {"success": False, "critique": {"exists": True, "ne": ""}}
        return self._lessons(task, k, failed, where, agent, min_similarity, lambda episode: episode.critique or "")

    def strategies(
        self,
        task: str,
        k: int = 3,
        *,
        where: Where = None,
        agent: str | Sequence[str] | None = None,
        min_similarity: float | None = None,
    ) -> Lessons:
        """What worked on tasks like this one: outputs of successes, those that say the same as one.

        Args:
            min_similarity: lowest cosine, -1 to 1. The others: as for `retrieve`.

        Returns:
            At most k lessons; of equally relevant ones those of the higher reward first.
        """
        done = {"success": True, "output": {"ne": ""}}
        return self._lessons(task, k, done, where, agent, min_similarity, lambda episode: episode.output)

    def _lessons(
        self,
        task: str,
        k: int,
        must: dict[str, Any],
        where: Where,
        agent: Any,
        least: float | None,
        say: Callable[[Episode], str],
    ) -> Lessons:
        self._opened.check()
        check_k(k, self._opened.settings.max_results)
        both = must if where is None else {"and": [must, where]}
        depth = min(4 * k + 16, self._opened.settings.max_results)
        hits = self.retrieve(task, depth, where=both, agent=agent, min_similarity=least)
        if not hits:
            return []
        vectors = self._opened.store.vectors.encode_query([say(hit.episode) for hit in hits])
        lessons = [_lesson([hits[place] for place in group], say) for group in _alike(vectors)]
        lessons.sort(key=lambda lesson: (-round(lesson.score, 2), -(lesson.reward or 0.0), lesson.episodes[0]))
        return lessons[:k]

    def statistics(
        self, task: str | None = None, *, where: Where = None, agent: str | Sequence[str] | None = None
    ) -> Statistics:
        """Figures of the episodes at a task (its exact text), or of all that pass the filter, with the trend."""
        self._opened.check()
        both: Where = {"task": task} if task is not None else None
        if where is not None:
            both = where if both is None else {"and": [both, where]}
        rows = self._rows(both, agent)
        columns = self._opened.log.columns
        values = {
            name: columns.values(self.kind, name, rows)
            for name in ("success", "reward", "latency_ms", "tokens", "at")
        }
        return statistics(values, micros(datetime.now(UTC)))

    def relations(self, id: str, *, agent: str | None = None) -> Relations:
        """What an episode is joined to: neighbours in its session, other attempts at its task, skills used.

        Raises:
            NotFound, Gone, Ambiguous: for the id. FollowerStopped: the graph stopped.
        """
        stored = self._resolve(id, self._namespaces.reads(agent))
        record = stored.record
        store = self._opened.store
        store.wait((store.graph_follower,), self._opened.log.head, self._opened.settings.read_wait)
        rows = store.graph.read("episode_relations", {"key": record.key}).dicts()
        ids: dict[str, Any] = {"previous": [], "next": [], "attempt": [], "skill": []}
        seen = self._namespaces.reads()
        rows = [row for row in rows if seen is None or parts_of(row["key"])[0] in seen]
        for row in sorted(rows, key=lambda row: (row["at"] is None, row["at"], row["key"])):
            ids[row["relation"]].append(parts_of(row["key"])[1])
        first = {relation: found[0] if found else None for relation, found in ids.items()}
        return Relations(first["previous"], first["next"], tuple(ids["attempt"]), tuple(ids["skill"]))


def _alike(vectors: NDArray[np.float32]) -> list[list[int]]:
    """Places gathered so that each is like the first of its group; groups in the order of their firsts."""
    groups: list[list[int]] = []
    for place, vector in enumerate(vectors):
        for group in groups:
            if float(vectors[group[0]] @ vector) >= ALIKE:
                group.append(place)
                break
        else:
            groups.append([place])
    return groups


def _lesson(hits: list[Hit[Episode]], say: Callable[[Episode], str]) -> Lesson:
    rewards = [hit.episode.reward for hit in hits if hit.episode.reward is not None]
    return Lesson(
        say(hits[0].episode),
        tuple(hit.episode.id for hit in hits),
        hits[0].score,
        sum(rewards) / len(rewards) if rewards else None,
    )


TREND_DAYS = 7.0


def statistics(values: dict[str, NDArray[Any]], now: int) -> Statistics:
    """Figures from columns of equal length; `now` in microseconds, for the trend."""
    at, success, reward = values["at"], values["success"], values["reward"]
    recent = at >= now - int(TREND_DAYS * 86_400e6)
    rates = [_rate(success[part]) for part in (recent, ~recent)]
    means = [_mean(reward[part]) for part in (recent, ~recent)]
    judged = success[success >= 0]
    tokens = values["tokens"]
    return Statistics(
        count=len(at),
        judged=len(judged),
        successes=int(judged.sum()),
        success_rate=_rate(success),
        reward=_mean(reward),
        best_reward=float(np.nanmax(reward)) if (~np.isnan(reward)).any() else None,
        latency_ms=_mean(values["latency_ms"]),
        tokens=_mean(np.where(tokens >= 0, tokens, np.nan).astype(np.float64)),
        first=from_micros(int(at.min())).isoformat() if len(at) else None,
        last=from_micros(int(at.max())).isoformat() if len(at) else None,
        trend=Trend(
            TREND_DAYS, int(recent.sum()), int((~recent).sum()), _difference(*rates), _difference(*means)
        ),
    )


def _rate(success: NDArray[Any]) -> float | None:
    judged = success[success >= 0]
    return float(judged.mean()) if len(judged) else None


def _mean(values: NDArray[Any]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _difference(recent: float | None, earlier: float | None) -> float | None:
    return None if recent is None or earlier is None else recent - earlier
