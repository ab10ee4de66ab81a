"""A memory, open: the handle that users hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from graphsvc.errors import BadInput
from graphsvc.memory.causal import Causal, NodeLike
from graphsvc.memory.entities import Entities
from graphsvc.memory.episodes import Episodes
from graphsvc.memory.facts import Facts
from graphsvc.memory.feedback import FeedbackList, give, listed
from graphsvc.memory.graph import Graph
from graphsvc.memory.namespaces import Namespaces
from graphsvc.memory.opened import Embedder, Handle, Listen, Opened, acquire
from graphsvc.memory.paging import Paging
from graphsvc.memory.recall import Recall, Recalled, Weights, recall_request, share
from graphsvc.memory.results import Event, Hits
from graphsvc.memory.retrieval import Where
from graphsvc.memory.skills import Skills
from graphsvc.memory.upkeep import Upkeep
from graphsvc.memory.verbs import NotKept, history
from graphsvc.model.as_of import When
from graphsvc.model.kinds import SEARCHABLE
from graphsvc.model.recalling import DEFAULT_K, SHARE_OF_NEARNESS
from graphsvc.model.texts import WEIGHT

if TYPE_CHECKING:
    from graphsvc.memory.briefing import Brief
    from graphsvc.memory.cypher import Result
    from graphsvc.memory.exported import Format
    from graphsvc.memory.exporting import ExportReport
    from graphsvc.memory.feed import Changes
    from graphsvc.memory.forgetting import ForgetReport
    from graphsvc.model.schema import Schema
    from graphsvc.store.verify import Report

__all__ = ["Memory", "Report", "open_memory"]


class Memory(Paging, Upkeep):
    """What an agent remembers. Made by `graphsvc.open`; close it, or use it in a `with`.

    Attributes:
        episodes: what was tried. skills: what was learnt to do. entities: what episodes are about. facts: what is true,
        since when, until when. causal: what makes a difference to what. graph: how they
        are joined, and tables of one's own.
    """

    def __init__(self, opened: Opened, namespaces: Namespaces, *, owner: bool, only_kept: bool = False) -> None:
        self._only_kept = only_kept
        self._opened = opened
        self._namespaces = namespaces
        self._owner = owner
        self.episodes = Episodes(opened, namespaces)
        self.skills = Skills(opened, namespaces)
        self.entities = Entities(opened, namespaces)
        self.graph = Graph(opened, namespaces)
        self.facts = Facts(opened, namespaces)
        self.causal = Causal(opened, namespaces)

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", closed" if self._opened.closed else ""
        bound = f", agent={self.agent!r}" if self.agent else ""
        return f"<Memory {str(self.path)!r}{bound}{state}>"

    @property
    def path(self) -> Path:
        """The directory."""
        return self._opened.directory

    @property
    def id(self) -> str:
        """What tells this memory from any other, for ever."""
        return self._opened.manifest.id

    @property
    def agent(self) -> str | None:
        """The namespace that this handle is bound to; None if it sees everything."""
        return self._namespaces.agent

    @property
    def sees(self) -> tuple[str, ...] | None:
        """The namespaces that this handle reads; None if it sees everything."""
        return self._namespaces.reads()

    @property
    def attached(self) -> bool:
        """Whether another process of this machine owns the memory, and this handle uses it there."""
        return False

    @property
    def owner(self) -> bool:
        """Whether closing this handle lets go of the directory, where it is the last one."""
        return self._owner

    @property
    def threads(self) -> int:
        """How many threads an asynchronous handle runs verbs on."""
        return self._opened.settings.readers

    def as_agent(self, agent: str, *, shared: Iterable[str] = ()) -> Memory:
        """A handle bound to a namespace: it writes there, and sees that and the `shared` ones.

        It needn't be closed; it ends with the handle that it was made from. From a bound handle only namespaces that
        it sees can be had: else BadInput.
        """
        return Memory(self._opened, self._namespaces.narrowed(agent, shared), owner=False)

    def close(self) -> None:
        """Commit what waits and let go of the directory. Closing twice does nothing."""
        if self._owner:
            self._owner = False
            cast(Handle, self._opened).let_go()

    def history(self, id: str, *, agent: str | None = None) -> list[Event]:
        """Everything that happened to an episode or skill, oldest first; deleted ones too.

        Raises:
            NotFound: nothing ever had this id. Ambiguous: several records have it.
        """
        self._opened.check()
        return history(self._opened, SEARCHABLE, id, self._namespaces.reads(agent))

    def changes(
        self,
        after: int,
        *,
        kinds: Sequence[str] | None = None,
        agent: str | Sequence[str] | None = None,
        wait: float = 0.0,
    ) -> Changes:
        """What changed after an entry of the log, in order: records stored, amended, deleted, forgotten.

        To follow a memory, begin at `memory.status()["head"]` and go on from `reached` each time.

        Args:
            after: number of an entry; 0 for all that the log holds. kinds: like `episode`; all if None.
            agent: namespace or namespaces; None for all that the handle sees.
            wait: seconds, at most 60, to wait for something where nothing is there yet.

        Returns:
            What happened in the next entries, at most 1,000 of them; `reached` says how far it looked, which may be on
            though nothing is in it.

        Raises:
            BadInput: for an argument.
        """
        from graphsvc.memory.feed import changes

        self._opened.check()
        return changes(self._opened, after, kinds, self._namespaces.reads(agent), wait)

    def brief(
        self,
        task: str,
        max_tokens: int = 500,
        *,
        where: Where = None,
        agent: str | Sequence[str] | None = None,
        min_similarity: float | None = 0.25,
        count: Callable[[str], int] | None = None,
    ) -> Brief:
        """What memory knows of tasks like this one, within a budget of tokens: figures, a recommendation, what worked,
        what failed and why. Each sentence is quoted or counted and names its evidence; the same memory says the same.

        Args:
            max_tokens: that the text may take, at least 16.
            where: only these episodes. agent: namespace or namespaces; None for all that the handle sees.
            min_similarity: lowest cosine of what counts as like it, -1 to 1 (of short texts about other things it
            was .24 at most); attempts at the very task always do.
            count: counts the tokens of a text; the embedding model's own tokenizer if not given.

        Returns:
            The briefing; `str()` of it is Markdown. It says so where nothing is known.

        Raises:
            BadInput, UnknownField: for an argument; or the embedder is a function, and `count` isn't given.
        """
        from graphsvc.memory.briefing import brief

        self._opened.check()
        return brief(
            self, task, max_tokens, where, agent, min_similarity, count or self._opened.embedding.count_tokens
        )

    def recall(
        self,
        text: str,
        k: int = DEFAULT_K,
        *,
        kinds: str | Sequence[str] | None = None,
        where: Where = None,
        agent: str | Sequence[str] | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        gamma: float | None = None,
        goal: NodeLike | None = None,
        near: Any = None,
        nearness: float = SHARE_OF_NEARNESS,
        as_of: When = None,
        weight: float = WEIGHT,
        half_life: float | str | timedelta | None = None,
        feedback: float = 0.0,
        min_similarity: float | None = None,
        vector: Any = None,
    ) -> Recalled:
        """What is worth knowing for a text, of every kind at once: utility = α·similarity + β·uplift - γ·latency.

        Similarity is the blend of meaning and words, scaled over the candidates of all kinds together. Uplift is the
        mean, weighted by confidence, of the causal edges that are valid now from the item to the goal, or else from
        the skill that it is evidence of, from -1 to 1. Latency is the item's in seconds, at most 1.

        Args:
            text: a task, or anything. k: how many, of all kinds together.
            kinds: that are searched; None for all of them.
            where: one filter, for the kinds that have its fields; or one for each kind, by its name.
            agent: namespace or namespaces; None for all that the handle sees.
            alpha, beta, gamma: the weights; if None the settings `recall_similarity`, `recall_uplift`,
                `recall_latency`.
            goal: the node that uplifts are about, like a variable's name; all variables that measure a reward if None.
            near: nodes to be near to in the graph, named as for `memory.graph`, one or a list. nearness: its share.
            as_of: when causal edges must hold and facts be true, and as was known when, see `graphsvc.AsOf`. If None
                edges hold now, and facts are believed now: of those, the ones that aren't true now are flagged `past`
                or `future`.
            weight: share of the vector part in the blend.
            half_life: age at which similarity counts half, e.g. "30d". feedback: share of what `memory.feedback` said.
            min_similarity: lowest cosine, -1 to 1. vector: of the text, if you have it.

        Returns:
            At most k items, best first, each with its parts; and how long each stage took.

        Raises:
            BadInput, UnknownField, TooLarge: for an argument. ModelNotFound, EmbeddingFailed: for the model.
            FollowerStopped: a projection stopped.
        """
        self._opened.check()
        settings = self._opened.settings
        request = None
        if near is None and half_life is None and not feedback:  # else it hangs on more than the records and the time
            request = recall_request(
                vector, text, k, kinds, where, agent, alpha, beta, gamma, goal, as_of, weight, min_similarity
            )
        recall = Recall(self._opened, self._namespaces)
        if request is not None and (kept := recall.kept(request)) is not None:
            return kept
        if self._only_kept:
            raise NotKept
        weights = Weights(
            share(alpha, "alpha", settings.recall_similarity),
            share(beta, "beta", settings.recall_uplift),
            share(gamma, "gamma", settings.recall_latency),
        )
        return recall.recall(
            request, text, k, kinds=kinds, where=where, agent=agent, weights=weights, goal=goal, as_of=as_of, near=near,
            nearness_share=nearness, weight=weight, half_life=half_life, feedback=feedback,
            min_similarity=min_similarity, vector=vector,
        )  # fmt: skip

    def feedback(
        self,
        answer: str | Hits[Any],
        used: Mapping[str, float] | Iterable[str],
        *,
        kind: str = "episode",
        agent: str | None = None,
    ) -> FeedbackList:
        """Say which records of an answer were useful. Kept for training; retrieval weighs it if asked to.

        Args:
            answer: the hits of a retrieval or search, or the text that was asked.
            used: ids of those that were useful, or for each how useful it was, 0 to 1. Of hits, those not named are
            kept too, as shown.
            kind: of the records, where the answer is a text: "episode" or "skill". agent: namespace that says so;
            each record's own if not given.

        Returns:
            What was kept, one for each record.

        Raises:
            BadInput: for an argument. NotFound, Ambiguous: for an id.
        """
        return give(self._opened, self._namespaces, answer, used, kind, agent)

    def feedbacks(
        self,
        k: int = 100,
        *,
        record: str | None = None,
        kind: str = "episode",
        agent: str | Sequence[str] | None = None,
    ) -> FeedbackList:
        """What feedback was given, the newest first, at most k; of deleted records too.

        Args:
            record: id of the only record that it shall be about. kind: of that record.
            agent: namespace or namespaces that gave it; None for all that the handle sees.
        """
        return listed(self._opened, self._namespaces, k, record, kind, agent)

    def forget(
        self,
        ids: str | Sequence[str],
        *,
        kind: str | None = None,
        agent: str | None = None,
        dry_run: bool = False,
    ) -> ForgetReport:
        """Forget records for good: no byte of their texts, labels, metadata and vectors stays in any file.

        Their ids, kinds, times, numbers and links stay in the log, which is overwritten; so do their histories, which
        say that they were forgotten. A skill's versions and outcomes go with it, feedback with what it is about, a
        task's text if no other episode ever named it. Deleted records can be forgotten, too. The embedding cache loses
        their vectors. Graph, text and vectors are built anew from the log, once for all ids, so the call takes as long
        as that; writes go on meanwhile, but for the rewriting of the log's file. Killed on the way, the next opening
        finishes it.

        Args:
            ids: of records. kind: of which kind, where an id means several. agent: in which namespace.
            dry_run: change nothing, only tell.

        Raises:
            NotFound: nothing ever had one of the ids: nothing is forgotten then. Ambiguous: several records have one.
            WaitTimeout, StorageFull: files could not be cleaned; the next call or opening goes on.
        """
        from graphsvc.memory.forgetting import forget, references

        self._opened.check()
        refs = references(self._opened, self._namespaces, ids, kind, agent)
        return forget(self._opened, refs, self._namespaces.reads(), dry_run=dry_run)

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        format: Format = "jsonl",
        vectors: bool = False,
        where: Mapping[str, Any] | None = None,
        agent: str | Sequence[str] | None = None,
        progress: Callable[[float, str], None] | None = None,
    ) -> ExportReport:
        """Write all live records and links into a new directory, one state of them, whatever is written meanwhile.

        `import_memory` of `graphsvc.memory.importing` takes them in again: ids, times, statistics, versions and the
        graph's digest are the same then, and exported once more they give equal bytes. What was deleted, and history,
        stay behind. Killed on the way, no directory of that name is there.

        Args:
            path: of the directory; it mustn't exist.
            format: "jsonl" or "parquet", a file for each kind.
            vectors: also the vectors, as float32 in Parquet, once all are made.
            where: filters by kind, like `{"episode": {"success": True}}`; kinds without one are exported whole,
                versions and outcomes with their skills.
            agent: namespace or namespaces; None for all that the handle sees.
            progress: called with the share that is done and what is being written.

        Raises:
            BadInput: there is something of that name already, or for an argument. StorageFull, ReadOnly: for the disk.
        """
        from graphsvc.memory.exporting import export

        self._opened.check()
        return export(
            self._opened, path, format=format, vectors=vectors, where=where, agents=self._namespaces.reads(agent),
            progress=progress,
        )  # fmt: skip

    def cypher(
        self,
        query: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        limit: int | None = None,
        write: bool = False,
        wait: float | None = None,
    ) -> Result:
        """Run a Cypher statement; see [Cypher](../cypher.md) for what it may say.

        A read waits, bounded, until the graph has what was acknowledged before. A write is of tables of your own: it is
        appended to the log, done in its turn whole or not at all, and this waits for its outcome.

        Args:
            query: one statement. params: values of its parameters by name, without the `$`; numpy, pandas and times
                with a zone are taken, and every name and type is checked before the engine sees them.
            timeout: seconds, of a write from its turn on; None for the setting `graph_timeout`.
            limit: rows at most; None for the setting `cypher_rows`. `result.more` says whether there were more.
            write: whether the statement writes; one that reads is refused then, and without it one that writes.
            wait: seconds to wait at most, a read for what was written before (None: the setting `read_wait`), a write
                for its outcome (None: `timeout` and half a minute).

        Raises:
            NeedsUnbound: this handle is bound to a namespace, which Cypher can't keep to.
            BadInput: a name or a type of the parameters is wrong.
            NotAllowed: the statement does what it may not; `rule` says which rule. Of a write OwnedTable: it is on a
                table of the memory's own; NotDeterministic: it might do something else in a replay.
            BadStatement: the engine can't make sense of it; `where` is the line and column.
            QueryTimeout, TooLarge, BufferFull, Conflict, EngineError: it took too long, or failed as it ran. Of a write
                nothing was done.
            Pending: `wait` ended before a write was decided. It stays in the log, and must not be sent again.
        """
        from graphsvc.memory.cypher import cypher

        return cypher(self._opened, self._namespaces, query, params, timeout, limit, write, wait)

    def schema(self, *, counts: bool = True) -> Schema:
        """The tables of the graph as the engine has them, the memory's own and yours: columns, types, ends, counts.

        Args:
            counts: whether to count what each of them holds.

        Raises:
            NeedsUnbound: this handle is bound to a namespace, and the counts are of all.
        """
        from graphsvc.memory.cypher import schema

        return schema(self._opened, self._namespaces, counts)


def open_memory(
    path: str | os.PathLike[str],
    *,
    agent: str | None = None,
    shared: Iterable[str] = (),
    engine: str | None = None,
    embedder: Embedder | None = None,
    create: bool = True,
    listen: Listen | None = None,
    **settings: Any,
) -> Memory:
    """Open the memory in a directory; see `graphsvc.open`. Raises InUse where another process has it open.

    Args:
        listen: has other processes use it, too.
    """
    namespaces = check_binding(agent, shared)
    handle = Handle(acquire(path, embedder, create=create, listen=listen, engine=engine, **settings))
    return Memory(cast(Opened, handle), namespaces, owner=True)


def check_binding(agent: str | None, shared: Iterable[str]) -> Namespaces:
    """What a handle is to be bound to."""
    if agent is None and shared:
        raise BadInput("says what a bound handle sees", where="shared", hint="Give agent= too; unbound, it sees all.")
    return Namespaces.bound(agent, shared) if agent is not None else Namespaces()
