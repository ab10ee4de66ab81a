"""The same memory, awaited.

Every verb of the synchronous interface is here under its own name. Storing an episode goes straight to the
writer and is awaited without a thread; everything else runs on threads of the memory's own: a few for what is soon
answered, and others for what takes long, so that no read waits for those; what waits holds none.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from graphsvc.errors import Closed
from graphsvc.memory.causal import Causal
from graphsvc.memory.entities import Entities
from graphsvc.memory.episodes import Episodes
from graphsvc.memory.facts import Facts
from graphsvc.memory.graph import Graph
from graphsvc.memory.memory import Memory
from graphsvc.memory.skills import Skills
from graphsvc.memory.tables import Tables
from graphsvc.memory.verbs import NotKept, Verbs, Wait, check_wait, without_waiting
from graphsvc.model.records import Episode
from graphsvc.model.tables import Table

if TYPE_CHECKING:
    from graphsvc.memory.cypher import Result
    from graphsvc.memory.feed import Changes

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


LONG = 32
"""Threads for what takes long; they are made when they are needed."""
STOP_SECONDS = 0.02
"""How often a statement that is to stop is told so, until it has."""


class Threads:
    """The threads of one memory: `quick` for what is soon answered, `patient` for what takes long."""

    def __init__(self, quick: int) -> None:
        self.quick = ThreadPoolExecutor(quick, thread_name_prefix="graphsvc-async")
        self.patient = ThreadPoolExecutor(LONG, thread_name_prefix="graphsvc-patient")

    def run(self, work: Callable[[], T], *, long: bool = False) -> asyncio.Future[T]:
        """Do it on a thread. Raises Closed; what it raises is the future's."""
        try:
            return asyncio.get_running_loop().run_in_executor(self.patient if long else self.quick, work)
        except RuntimeError as error:  # shut down, by another task or loop
            raise Closed("the memory is closed") from error

    def shutdown(self) -> None:
        for pool in (self.quick, self.patient):
            pool.shutdown(wait=False)


class AsyncVerbs:
    """The verbs of one kind of record, awaited."""

    def __init__(self, verbs: Any, threads: Threads) -> None:
        self._verbs = verbs
        self._threads = threads

    @functools.cached_property
    def _only_kept(self) -> Any:
        """The same verbs, which answer only what a kept answer answers."""
        return type(self._verbs)(self._verbs._opened, self._verbs._namespaces, only_kept=True)


def awaited(
    verb: Callable[Concatenate[S, P], T], *, long: bool = False, kept: bool = False
) -> Callable[Concatenate[AsyncVerbs, P], Coroutine[Any, Any, T]]:
    """A synchronous verb as one to be awaited: the same arguments, result and errors.

    `long`: it may take long. `kept`: its answers are kept, and a kept one comes without a thread. What it does on a
    thread doesn't wait there for projections.
    """

    @functools.wraps(verb)
    async def run(self: AsyncVerbs, *args: P.args, **options: P.kwargs) -> T:
        if kept:
            with suppress(NotKept):
                return verb(self._only_kept, *args, **options)
        if options.get("wait") is None:
            return await self._threads.run(lambda: verb(self._verbs, *args, **options), long=long)
        result, left = await self._threads.run(
            lambda: without_waiting(lambda: verb(self._verbs, *args, **options)), long=long
        )
        for n, wait in left:
            await self._verbs._await_async(n, wait)
        return result

    return cast(Callable[Concatenate[AsyncVerbs, P], Coroutine[Any, Any, T]], run)


class AsyncEpisodes(AsyncVerbs):
    """Episodes, awaited; each verb as in `Episodes`."""

    async def store(
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
        """Store one episode; see `Episodes.store`."""
        verbs = cast(Episodes, self._verbs)
        check_wait(wait)
        request = verbs._store_request(
            session=session, task=task, agent=agent, input=input, output=output, critique=critique, reward=reward,
            success=success, latency_ms=latency_ms, tokens=tokens, tags=tags, metadata=metadata, id=id, at=at,
            vector=vector,
        )  # fmt: skip
        ticket = await verbs._opened.log.submit_async(request)
        if wait is not None:
            await verbs._await_async(ticket.n, wait)
        return cast(Episode, ticket.result[0])

    store_many = awaited(Episodes.store_many)
    amend = awaited(Episodes.amend)
    delete = awaited(Episodes.delete)
    prune = awaited(Episodes.prune, long=True)
    get = awaited(Episodes.get)
    list = awaited(Episodes.list)
    count = awaited(Verbs.count)
    history = awaited(Verbs.history)
    retrieve = awaited(Episodes.retrieve, kept=True)
    retrieve_many = awaited(Episodes.retrieve_many)
    vector = awaited(Episodes.vector)
    critiques = awaited(Episodes.critiques)
    strategies = awaited(Episodes.strategies)
    statistics = awaited(Episodes.statistics)
    relations = awaited(Episodes.relations)
    link = awaited(Episodes.link)
    unlink = awaited(Episodes.unlink)
    about = awaited(Episodes.about)
    evidence = awaited(Episodes.evidence)


class AsyncSkills(AsyncVerbs):
    """Skills, awaited; each verb as in `Skills`."""

    create = awaited(Skills.create)
    create_many = awaited(Skills.create_many)
    revise = awaited(Skills.revise)
    record_outcome = awaited(Skills.record_outcome)
    link = awaited(Skills.link)
    unlink = awaited(Skills.unlink)
    delete = awaited(Skills.delete)
    prune = awaited(Skills.prune, long=True)
    consolidate = awaited(Skills.consolidate, long=True)
    evidence = awaited(Skills.evidence)
    get = awaited(Skills.get)
    version = awaited(Skills.version)
    versions = awaited(Skills.versions)
    list = awaited(Skills.list)
    count = awaited(Verbs.count)
    history = awaited(Verbs.history)
    search = awaited(Skills.search, kept=True)
    search_many = awaited(Skills.search_many)
    vector = awaited(Skills.vector)
    choose = awaited(Skills.choose)
    links = awaited(Skills.links)
    plan = awaited(Skills.plan)
    statistics = awaited(Skills.statistics)


class AsyncEntities(AsyncVerbs):
    """Entities, awaited; each verb as in `Entities`."""

    upsert = awaited(Entities.upsert)
    upsert_many = awaited(Entities.upsert_many)
    get = awaited(Entities.get)
    list = awaited(Entities.list)
    count = awaited(Verbs.count)
    history = awaited(Verbs.history)
    delete = awaited(Entities.delete)
    episodes = awaited(Entities.episodes)


class AsyncTables(AsyncVerbs):
    """Tables of one's own, awaited; each verb as in `Tables`."""

    define = awaited(Tables.define, long=True)
    drop = awaited(Tables.drop, long=True)
    add = awaited(Tables.add, long=True)
    upsert = awaited(Tables.upsert, long=True)
    update = awaited(Tables.update, long=True)
    delete = awaited(Tables.delete, long=True)
    schema = awaited(Tables.schema, long=True)
    outcome = awaited(Tables.outcome)

    @property
    def declared(self) -> Mapping[str, Table]:
        """The tables of one's own as far as the graph has come; see `Tables.declared`."""
        return cast(Tables, self._verbs).declared


class AsyncFacts(AsyncVerbs):
    """Facts, awaited; each verb as in `Facts`."""

    predicate = awaited(Facts.predicate)
    predicates = awaited(Facts.predicates)
    add = awaited(Facts.add)
    add_many = awaited(Facts.add_many)
    retract = awaited(Facts.retract)
    correct = awaited(Facts.correct)
    get = awaited(Facts.get)
    list = awaited(Facts.list)
    current = awaited(Facts.current)
    count = awaited(Facts.count)
    history = awaited(Facts.history)
    evidence = awaited(Facts.evidence)
    contradictions = awaited(Facts.contradictions)
    search = awaited(Facts.search, kept=True)


class AsyncCausal(AsyncVerbs):
    """Causal edges, awaited; each verb as in `Causal`."""

    variable = awaited(Causal.variable)
    variables = awaited(Causal.variables)
    missing = awaited(Causal.missing)
    delete_variable = awaited(Causal.delete_variable)
    add = awaited(Causal.add)
    add_many = awaited(Causal.add_many)
    get = awaited(Causal.get)
    expire = awaited(Causal.expire)
    delete = awaited(Causal.delete)
    list = awaited(Causal.list)
    count = awaited(Verbs.count)
    history = awaited(Verbs.history)
    effects = awaited(Causal.effects)
    causes = awaited(Causal.causes)
    around = awaited(Causal.around)
    paths = awaited(Causal.paths)
    what_if = awaited(Causal.what_if)
    similar = awaited(Causal.similar)


class AsyncGraph(AsyncTables):
    """The graph, awaited; each verb as in `Graph`."""

    node = awaited(Graph.node)
    nodes = awaited(Graph.nodes)
    neighbours = awaited(Graph.neighbours)
    joints = awaited(Graph.joints)
    rows = awaited(Graph.rows)
    subgraph = awaited(Graph.subgraph)
    paths = awaited(Graph.paths)
    shortest_path = awaited(Graph.shortest_path)
    all_shortest_paths = awaited(Graph.all_shortest_paths)
    cheapest_path = awaited(Graph.cheapest_path)
    pagerank = awaited(Graph.pagerank, long=True)
    degree = awaited(Graph.degree, long=True)
    components = awaited(Graph.components, long=True)
    communities = awaited(Graph.communities, long=True)
    label_propagation = awaited(Graph.label_propagation, long=True)
    k_core = awaited(Graph.k_core, long=True)
    triangles = awaited(Graph.triangles, long=True)
    closeness = awaited(Graph.closeness, long=True)
    betweenness = awaited(Graph.betweenness, long=True)
    similarity = awaited(Graph.similarity, long=True)
    write_back = awaited(Graph.write_back, long=True)
    to_networkx = awaited(Graph.to_networkx, long=True)
    from_networkx = awaited(Graph.from_networkx, long=True)
    save = awaited(Graph.save, long=True)
    load = awaited(Graph.load, long=True)


class AsyncMemory(AsyncVerbs):
    """What an agent remembers, awaited. Made by `graphsvc.aopen`.

    Attributes:
        episodes: what was tried. skills: what was learnt to do. entities: what episodes are about. facts: what is true,
        since when, until when. causal: what makes a difference to what. graph: how they
        are joined, and tables of one's own.
    """

    def __init__(self, memory: Memory, threads: Threads) -> None:
        super().__init__(memory, threads)
        self.episodes = AsyncEpisodes(memory.episodes, threads)
        self.skills = AsyncSkills(memory.skills, threads)
        self.entities = AsyncEntities(memory.entities, threads)
        self.graph = AsyncGraph(memory.graph, threads)
        self.facts = AsyncFacts(memory.facts, threads)
        self.causal = AsyncCausal(memory.causal, threads)

    async def __aenter__(self) -> AsyncMemory:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Async{repr(self._verbs)[1:]}"

    @property
    def path(self) -> Path:
        """The directory."""
        return self._memory.path

    @property
    def id(self) -> str:
        """What tells this memory from any other, for ever."""
        return self._memory.id

    @property
    def agent(self) -> str | None:
        """The namespace that this handle is bound to; None if it sees everything."""
        return self._memory.agent

    @property
    def sees(self) -> tuple[str, ...] | None:
        """The namespaces that this handle reads; None if it sees everything."""
        return self._memory.sees

    @functools.cached_property
    def _only_kept(self) -> Memory:
        return Memory(self._memory._opened, self._memory._namespaces, owner=False, only_kept=True)

    @property
    def attached(self) -> bool:
        """Whether another process of this machine owns the memory, and this handle uses it there."""
        return self._memory.attached

    @property
    def _memory(self) -> Memory:
        return cast(Memory, self._verbs)

    def as_agent(self, agent: str, *, shared: Iterable[str] = ()) -> AsyncMemory:
        """A handle bound to a namespace; see `Memory.as_agent`."""
        return AsyncMemory(self._memory.as_agent(agent, shared=shared), self._threads)

    async def cypher(
        self,
        query: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        limit: int | None = None,
        write: bool = False,
        wait: float | None = None,
    ) -> Result:
        """Run a Cypher statement; see `Memory.cypher`. Cancelled, a read is stopped; a write is done all the same."""
        from graphsvc.memory.cypher import cypher
        from graphsvc.store.stop import Stop

        memory, stop = self._memory, Stop()
        running = self._threads.run(
            lambda: cypher(memory._opened, memory._namespaces, query, params, timeout, limit, write, wait, stop),
            long=True,
        )
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            while not write and not running.done():
                stop.now()
                await asyncio.wait((running,), timeout=STOP_SECONDS)
            running.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody asks for it any more
            raise

    async def changes(
        self,
        after: int,
        *,
        kinds: Sequence[str] | None = None,
        agent: str | Sequence[str] | None = None,
        wait: float = 0.0,
    ) -> Changes:
        """What changed after an entry of the log; see `Memory.changes`. Any number may wait: they hold no thread."""
        return await self._changes(after, kinds=kinds, agent=agent, wait=wait)

    async def _changes(
        self,
        after: int,
        *,
        kinds: Sequence[str] | None = None,
        agent: str | Sequence[str] | None = None,
        wait: float = 0.0,
        resting: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> Changes:
        """The same. `resting` makes what is entered for as long as there is nothing but to wait."""
        from graphsvc.memory.feed import nothing_since, read_on, sleep, would_wait

        opened, agents = self._memory._opened, self._memory._namespaces.reads(agent)
        opened.check()
        if would_wait(opened, after, kinds, wait):
            async with resting():
                await sleep(opened, after, wait)
            if (nothing := nothing_since(opened, after)) is not None:
                return nothing
        return await self._threads.run(functools.partial(read_on, opened, after, kinds, agents))

    async def wait(self, *, timeout: float = 60.0) -> None:
        """Wait until all is caught up; see `Memory.wait`. Any number may wait: they hold no thread."""
        from graphsvc.memory.upkeep import check_timeout, not_caught_up

        opened = self._memory._opened
        opened.check()
        store, timeout = opened.store, check_timeout(timeout)
        if not await store.wait_async(store.followers, opened.log.head, timeout):
            raise not_caught_up(store, timeout)

    async def progress(self, report: Callable[[dict[str, int]], None]) -> None:
        """Call `report` with the lag of each projection until all is caught up; see `Memory.progress`. It is called on
        the loop: it must take no time.
        """
        opened = self._memory._opened
        opened.check()
        await opened.store.progress_async(report)

    schema = awaited(Memory.schema)
    interrupt = awaited(Memory.interrupt)
    get_many = awaited(Memory.get_many)
    page = awaited(Memory.page)
    history = awaited(Memory.history)
    brief = awaited(Memory.brief)
    recall = awaited(Memory.recall, kept=True)
    feedback = awaited(Memory.feedback)
    feedbacks = awaited(Memory.feedbacks)
    export = awaited(Memory.export, long=True)
    forget = awaited(Memory.forget, long=True)
    status = awaited(Memory.status)
    stats = awaited(Memory.stats)
    verify = awaited(Memory.verify, long=True)
    repair = awaited(Memory.repair, long=True)
    reembed = awaited(Memory.reembed, long=True)
    warm = awaited(Memory.warm, long=True)
    snapshot = awaited(Memory.snapshot, long=True)
    snapshots = awaited(Memory.snapshots)
    trim = awaited(Memory.trim, long=True)
    size = awaited(Memory.size, long=True)
    _close = awaited(Memory.close, long=True)

    async def close(self) -> None:
        """Commit what waits and let go of the directory. Closing twice does nothing."""
        if self._memory.owner:
            await self._close()
            self._threads.shutdown()


class AsyncOpening:
    """What `graphsvc.aopen` and `aconnect` give: to be awaited, or used in an `async with`."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, AsyncMemory]]) -> None:
        self._begin = begin
        self._memory: AsyncMemory | None = None

    def __await__(self) -> Generator[Any, None, AsyncMemory]:
        return self._begin().__await__()

    async def __aenter__(self) -> AsyncMemory:
        self._memory = await self._begin()
        return self._memory

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._memory is not None:
            await self._memory.close()
