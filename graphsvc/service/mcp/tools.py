"""The tools that an agent has: one for each verb that it needs, with answers as data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, to_builtins

from graphsvc.memory.causal import RuleName
from graphsvc.memory.joined import EpisodeLinkType
from graphsvc.model.elements import as_data
from graphsvc.model.recalling import DEFAULT_K
from graphsvc.model.records import Count, Name, NotNegative, Share
from graphsvc.service.mcp.answers import (
    BriefAnswer,
    CausalChain,
    CausalChains,
    CauseAnswer,
    CauseList,
    ChosenSkill,
    Consequence,
    Consequences,
    Done,
    EntityAnswer,
    EpisodeAnswer,
    EpisodesFound,
    FactAnswer,
    FactList,
    FactsFound,
    FoundEpisode,
    FoundFact,
    FoundSkill,
    HistoryAnswer,
    Neighbour,
    Neighbourhood,
    RecallAnswer,
    Recollection,
    Rows,
    SkillAnswer,
    SkillPlan,
    SkillsFound,
    StatisticsAnswer,
    VariableAnswer,
)
from graphsvc.service.mcp.tool import Asker, tool

K = Annotated[int, Meta(ge=1, le=1_000, description="How many at most.")]
Id = Annotated[
    Name | None, Meta(description="Give one, and sending it twice stores it once. Made if it isn't given.")
]
Where = Annotated[
    dict[str, Any] | None,
    Meta(description='A filter on fields: {"success": false}, {"reward": {"ge": 0.5}}, {"tags": {"contains": "x"}}.'),
]
Tags = Annotated[list[str] | None, Meta(description="Labels.")]
Metadata = Annotated[dict[str, Any] | None, Meta(description="Anything else, as JSON.")]
Text = Annotated[str, Meta(min_length=1, description="A task or question, in words.")]
Time = Annotated[str | None, Meta(description="ISO 8601 with zone, like 2026-01-31T12:00:00Z.")]
AsOf = Annotated[
    str | None, Meta(description="When it must hold, ISO 8601 with zone; now if not given.")
]
NodeName = Annotated[
    str, Meta(min_length=1, description="A variable's name, or kind:id, like skill:migrate or episode:deploy-1.")
]
Rule = Annotated[RuleName, Meta(description="How uplifts compound along a chain.")]


# --- asking ---------------------------------------------------------------------------------------------


@tool("Recall", reads=True)
async def recall(
    ask: Asker,
    text: Text,
    k: K = DEFAULT_K,
    kinds: Annotated[
        list[str] | None, Meta(description="Of episode, skill, fact, cause, row; all if not given.")
    ] = None,
    where: Where = None,
    goal: Annotated[str | None, Meta(description="The variable of the uplifts; any reward if not given.")] = None,
    as_of: AsOf = None,
) -> RecallAnswer:
    """Everything worth knowing for a text, of every kind at once: what was tried, skills, facts, mechanisms.

    Ranked by likeness, by what it is known to cause, and by what it costs. Ask this first.
    """
    found = await ask("recall", text, k, kinds=kinds, where=where, goal=goal, as_of=as_of)
    items = [
        Recollection(
            kind=item.kind, utility=item.utility, similarity=item.similarity, uplift=item.uplift, latency=item.latency,
            parts=item.parts, flags=list(item.flags), evidence=list(item.evidence), record=to_builtins(item.record),
        )
        for item in found
    ]  # fmt: skip
    return RecallAnswer(items=items, pending=found.pending, timings=found.timings)


@tool("Brief", reads=True)
async def brief(
    ask: Asker,
    task: Text,
    max_tokens: Annotated[int, Meta(ge=16, le=8_000, description="That the text may take.")] = 500,
) -> BriefAnswer:
    """A short briefing before a task: what worked, what failed and why, with evidence, within a budget of tokens."""
    found = await ask("brief", task, max_tokens)
    return BriefAnswer(
        text=found.text, tokens=found.tokens, attempts=found.attempts, success_rate=found.success_rate,
        worked=found.worked, failed=found.failed, recommendation=found.recommendation,
    )  # fmt: skip


@tool("Retrieve episodes", reads=True)
async def retrieve_episodes(ask: Asker, text: Text, k: K = 10, where: Where = None) -> EpisodesFound:
    """What was tried at tasks like this one, with critique and reward, the most like it first."""
    found = await ask("episodes.retrieve", text, k, where=where)
    hits = [FoundEpisode(score=hit.score, parts=hit.parts, episode=hit.record) for hit in found]
    return EpisodesFound(hits=hits, pending=found.pending)


@tool("Search skills", reads=True)
async def search_skills(ask: Asker, text: Text, k: K = 10, where: Where = None) -> SkillsFound:
    """Skills for a task: by likeness, success rate, reward and use."""
    found = await ask("skills.search", text, k, where=where)
    hits = [FoundSkill(score=hit.score, parts=hit.parts, skill=hit.record) for hit in found]
    return SkillsFound(hits=hits, pending=found.pending)


@tool("Choose a skill", reads=True)
async def choose_skill(ask: Asker, text: Text) -> ChosenSkill:
    """The one skill to try for a task, by Thompson sampling: good ones often, little-tried ones now and then.

    Report how it went with record_outcome.
    """
    hit = await ask("skills.choose", text)
    return ChosenSkill(skill=None if hit is None else hit.record)


@tool("Plan a skill", reads=True)
async def plan_skill(ask: Asker, id: Annotated[str, Meta(description="Of the skill.")]) -> SkillPlan:
    """The skills that a skill needs, in an order that respects prerequisites, itself last."""
    return SkillPlan(steps=list(await ask("skills.plan", id)))


@tool("Search facts", reads=True)
async def search_facts(ask: Asker, text: Text, k: K = 10, as_of: AsOf = None) -> FactsFound:
    """Facts about something, by meaning and words."""
    found = await ask("facts.search", text, k, as_of=as_of)
    hits = [FoundFact(score=hit.score, parts=hit.parts, fact=hit.record) for hit in found]
    return FactsFound(hits=hits, pending=found.pending)


@tool("List facts", reads=True)
async def list_facts(
    ask: Asker,
    subject: Annotated[str | None, Meta(description="Only of this subject.")] = None,
    predicate: Annotated[str | None, Meta(description="Only of this predicate.")] = None,
    k: K = 100,
    as_of: AsOf = None,
) -> FactList:
    """Facts of a subject, true now or at another time."""
    if as_of is None:
        return FactList(facts=list(await ask("facts.current", subject, predicate, k=k)))
    return FactList(facts=list(await ask("facts.list", k=k, subject=subject, predicate=predicate, as_of=as_of)))


@tool("Effects", reads=True)
async def causal_effects(ask: Asker, of: NodeName, k: K = 100, as_of: AsOf = None) -> CauseList:
    """What something makes a difference to, the strongest first."""
    return CauseList(edges=list(await ask("causal.effects", of, k, as_of=as_of)))


@tool("Causes", reads=True)
async def causal_causes(ask: Asker, of: NodeName, k: K = 100, as_of: AsOf = None) -> CauseList:
    """What makes a difference to something, the strongest first."""
    return CauseList(edges=list(await ask("causal.causes", of, k, as_of=as_of)))


@tool("Causal paths", reads=True)
async def causal_paths(
    ask: Asker, start: NodeName, end: NodeName, k: K = 3, rule: Rule = "product", as_of: AsOf = None
) -> CausalChains:
    """The best chains of causal edges from one thing to another."""
    found = await ask("causal.paths", start, end, k, rule=rule, as_of=as_of)
    return CausalChains(paths=[CausalChain(**path.as_dict()) for path in found], complete=found.complete)


@tool("What if", reads=True)
async def what_if(
    ask: Asker, node: NodeName, k: K = 20, rule: Rule = "product", as_of: AsOf = None
) -> Consequences:
    """What follows downstream if something changes, the strongest first."""
    found = await ask("causal.what_if", node, k, rule=rule, as_of=as_of)
    return Consequences(items=[Consequence(**item.as_dict()) for item in found], complete=found.complete)


@tool("Neighbours", reads=True)
async def neighbours(
    ask: Asker,
    table: Annotated[str, Meta(description="Table of the node, like Episode, Skill, Task, Session, Entity.")],
    id: Annotated[str, Meta(description="Its id; a task's is its text.")],
    depth: Annotated[int, Meta(ge=1, le=5, description="Steps at most.")] = 1,
    types: Annotated[list[str] | None, Meta(description="Types of edges to take, like NEXT, USED, CAUSES.")] = None,
    k: K = 100,
) -> Neighbourhood:
    """What a node of the graph is joined to, within some steps."""
    found = await ask("graph.neighbours", (table, id), depth=depth, rel=types, limit=k)
    nodes = [
        Neighbour(label=node.label, id=str(node.id), agent=node.agent, depth=node.depth) for node in found
    ]
    return Neighbourhood(nodes=nodes)


@tool("Statistics", reads=True)
async def statistics(
    ask: Asker, task: Annotated[str | None, Meta(description="The exact task; all if not given.")] = None
) -> StatisticsAnswer:
    """How attempts went: counts, success rate, reward, latency, and the trend of the last seven days."""
    records = {
        kind: await ask(f"{kind}.count") for kind in ("episodes", "skills", "entities", "facts", "causal")
    }
    return StatisticsAnswer(statistics=await ask("episodes.statistics", task), records=records)


@tool("History", reads=True)
async def history(ask: Asker, id: Annotated[str, Meta(description="Of an episode, skill or fact.")]) -> HistoryAnswer:
    """Everything that happened to a record, oldest first; of deleted ones too."""
    return HistoryAnswer(events=list(await ask("history", id)))


@tool("Read by Cypher", reads=True)
async def cypher_read(
    ask: Asker,
    query: Annotated[str, Meta(min_length=1, description="One statement that only reads; parameters as $name.")],
    params: Annotated[dict[str, Any] | None, Meta(description="Values of its parameters.")] = None,
    limit: Annotated[int, Meta(ge=1, le=10_000, description="Rows at most.")] = 100,
) -> Rows:
    """Ask the whole graph in Cypher. Its tables are in the resource graphsvc://schema."""
    found = await ask("cypher", query, params, limit=limit)
    return Rows(columns=found.columns, rows=[as_data(row) for row in found], more=found.more)


# --- remembering ----------------------------------------------------------------------------------------


@tool("Store an episode", repeatable=True)
async def store_episode(
    ask: Asker,
    session: Annotated[Name, Meta(description="The run that it belongs to.")],
    task: Annotated[str, Meta(min_length=1, description="What was to be done.")],
    input: Annotated[str, Meta(description="What you were given.")] = "",
    output: Annotated[str, Meta(description="What you did or answered.")] = "",
    critique: Annotated[str | None, Meta(description="What went wrong and what to do instead.")] = None,
    reward: Annotated[float | None, Meta(description="How good it was, 0 to 1 by custom.")] = None,
    success: Annotated[bool | None, Meta(description="Whether it did the task; null if nobody knows.")] = None,
    latency_ms: Annotated[NotNegative | None, Meta(description="How long it took, in milliseconds.")] = None,
    tokens: Annotated[Count | None, Meta(description="Tokens of a language model that it used.")] = None,
    tags: Tags = None,
    metadata: Metadata = None,
    id: Id = None,
) -> EpisodeAnswer:
    """Remember something that was tried: what was done, how it went, a critique. On disk when it returns."""
    episode = await ask(
        "episodes.store", session=session, task=task, input=input, output=output, critique=critique, reward=reward,
        success=success, latency_ms=latency_ms, tokens=tokens, tags=tags, metadata=metadata, id=id,
    )  # fmt: skip
    return EpisodeAnswer(episode=episode)


@tool("Create a skill", repeatable=True)
async def create_skill(
    ask: Asker,
    name: Annotated[Name, Meta(description="What it is called.")],
    description: Annotated[str, Meta(description="What it does and when to use it.")] = "",
    code: Annotated[str, Meta(description="How it is done: code or steps.")] = "",
    signature: Annotated[str | None, Meta(description="How it is called.")] = None,
    tags: Tags = None,
    metadata: Metadata = None,
    prerequisites: Annotated[list[str] | None, Meta(description="Ids of skills that must come before it.")] = None,
    id: Id = None,
) -> SkillAnswer:
    """Remember how something is done."""
    skill = await ask(
        "skills.create", name=name, description=description, code=code, signature=signature, tags=tags,
        metadata=metadata, prerequisites=prerequisites, id=id,
    )  # fmt: skip
    return SkillAnswer(skill=skill)


@tool("Revise a skill")
async def revise_skill(
    ask: Asker,
    id: Annotated[str, Meta(description="Of the skill.")],
    name: Annotated[Name | None, Meta(description="Another name.")] = None,
    description: Annotated[str | None, Meta(description="Another description.")] = None,
    code: Annotated[str | None, Meta(description="Another way of doing it.")] = None,
) -> SkillAnswer:
    """Give a skill a new version; the old ones are kept."""
    return SkillAnswer(skill=await ask("skills.revise", id, name=name, description=description, code=code))


@tool("Record an outcome", repeatable=True)
async def record_outcome(
    ask: Asker,
    skill: Annotated[str, Meta(description="Id of the skill that was used.")],
    success: Annotated[bool, Meta(description="Whether it worked.")],
    reward: Annotated[float | None, Meta(description="How good it was.")] = None,
    latency_ms: Annotated[NotNegative | None, Meta(description="How long it took, in milliseconds.")] = None,
    episode: Annotated[str | None, Meta(description="Id of the episode that used it.")] = None,
    id: Id = None,
) -> SkillAnswer:
    """Say how the use of a skill went; its figures follow."""
    found = await ask(
        "skills.record_outcome", skill, success=success, reward=reward, latency_ms=latency_ms, episode=episode, id=id
    )
    return SkillAnswer(skill=found)


@tool("Give feedback")
async def feedback(
    ask: Asker,
    text: Annotated[str, Meta(min_length=1, description="The text that was asked.")],
    used: Annotated[dict[str, Share], Meta(description="Ids of the records, and how useful each was, 0 to 1.")],
    kind: Annotated[Literal["episode", "skill"], Meta(description="Of the records.")] = "episode",
) -> Done:
    """Say which of the records that were found were useful."""
    return Done(count=len(await ask("feedback", text, used, kind=kind)))


@tool("Add a fact", repeatable=True)
async def add_fact(
    ask: Asker,
    subject: Annotated[Name, Meta(description="Whom or what it is about.")],
    predicate: Annotated[Name, Meta(description="What is said of it, like `lives in`.")],
    object: Annotated[Name, Meta(description="The rest of it.")],
    valid_from: Time = None,
    valid_to: Time = None,
    source: Annotated[str | None, Meta(description="Where it comes from.")] = None,
    confidence: Annotated[Share | None, Meta(description="How sure it is, 0 to 1.")] = None,
    id: Id = None,
) -> FactAnswer:
    """Remember that something is true, since when, until when.

    Where a predicate is single-valued, a later fact ends the earlier one.
    """
    fact = await ask(
        "facts.add", subject, predicate, object, valid_from=valid_from, valid_to=valid_to, source=source,
        confidence=confidence, id=id,
    )  # fmt: skip
    return FactAnswer(fact=fact)


@tool("Define a predicate", repeatable=True)
async def define_predicate(
    ask: Asker,
    name: Annotated[Name, Meta(description="The predicate, as facts have it.")],
    single: Annotated[bool, Meta(description="Whether a subject has one object at a time.")] = False,
) -> Done:
    """Say whether a subject has one object at a time for a predicate, or many."""
    await ask("facts.predicate", name, single=single)
    return Done(count=1)


@tool("Retract a fact", destroys=True)
async def retract_fact(ask: Asker, id: Annotated[str, Meta(description="Of the fact.")]) -> FactAnswer:
    """Believe a fact no more. What was believed before stays known."""
    return FactAnswer(fact=await ask("facts.retract", id))


@tool("Upsert an entity", repeatable=True)
async def upsert_entity(
    ask: Asker,
    kind: Annotated[Name, Meta(description="What sort of thing it is, like file.")],
    name: Annotated[Name, Meta(description="What it is called.")],
    description: Annotated[str | None, Meta(description="What is to be known of it.")] = None,
    tags: Tags = None,
    metadata: Metadata = None,
) -> EntityAnswer:
    """Remember something that episodes are about."""
    entity = await ask(
        "entities.upsert", kind=kind, name=name, description=description, tags=tags, metadata=metadata
    )
    return EntityAnswer(entity=entity)


@tool("Link an episode", repeatable=True)
async def link_episode(
    ask: Asker,
    episode: Annotated[str, Meta(description="Id of the episode.")],
    target: Annotated[str, Meta(description="Id of what it is joined to.")],
    type: Annotated[EpisodeLinkType, Meta(description="about: an entity; evidence: of a skill or a causal edge.")],
) -> Done:
    """Say that an episode is about an entity, or is evidence of something."""
    return Done(count=int(await ask("episodes.link", episode, target, type)))


@tool("Define a variable", repeatable=True)
async def define_variable(
    ask: Asker,
    name: Annotated[Name, Meta(description="What it is called.")],
    description: Annotated[str | None, Meta(description="What is to be known of it.")] = None,
    is_reward: Annotated[bool | None, Meta(description="Whether it measures how good something was.")] = None,
) -> VariableAnswer:
    """Name a quantity or event that causal edges may lead from and to."""
    variable = await ask("causal.variable", name, description=description, is_reward=is_reward)
    return VariableAnswer(variable=variable)


@tool("Add a causal edge", repeatable=True)
async def add_cause(
    ask: Asker,
    cause: NodeName,
    effect: NodeName,
    uplift: Annotated[float, Meta(description="By how much the effect is more where the cause is; 0: by nothing.")],
    confidence: Annotated[Share, Meta(description="How sure it is, 0 to 1.")] = 1.0,
    n: Annotated[Count | None, Meta(description="How many observations it rests on.")] = None,
    method: Annotated[str | None, Meta(description="How it was found, like experiment or observation.")] = None,
    mechanism: Annotated[str, Meta(description="Why it comes about, in words.")] = "",
    evidence: Annotated[list[str] | None, Meta(description="Ids of the episodes that show it.")] = None,
    id: Id = None,
) -> CauseAnswer:
    """Remember that one thing makes a difference to another."""
    edge = await ask(
        "causal.add", cause, effect, uplift, confidence=confidence, n=n, method=method, mechanism=mechanism,
        evidence=evidence, id=id,
    )  # fmt: skip
    return CauseAnswer(edge=edge)


@tool("Expire a causal edge", destroys=True)
async def expire_cause(
    ask: Asker, id: Annotated[str, Meta(description="Of the causal edge.")], at: Time = None
) -> CauseAnswer:
    """Say that a causal edge holds no longer; it stays known for the time that it did."""
    return CauseAnswer(edge=await ask("causal.expire", id, at=at))


@tool("Delete an episode", destroys=True, repeatable=True)
async def delete_episode(ask: Asker, id: Annotated[str, Meta(description="Of the episode.")]) -> Done:
    """Take an episode away. Its id isn't used again."""
    return Done(count=await ask("episodes.delete", id))
