"""What tools answer: each a struct, from which its JSON Schema is made."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from graphsvc.memory.briefing import Sentence
from graphsvc.memory.results import Event, Statistics
from graphsvc.model.records import Cause, Entity, Episode, Fact, Skill, Variable


class Answer(Struct, frozen=True, kw_only=True):
    """What every answer of a tool is."""


class FoundEpisode(Answer, frozen=True, kw_only=True):
    """An episode that was found, and why."""

    score: Annotated[float, Meta(description="What it is ranked by; higher is better.")]
    parts: Annotated[dict[str, float], Meta(description="What the score is made of, like cosine and bm25.")]
    episode: Episode


class FoundSkill(Answer, frozen=True, kw_only=True):
    """A skill that was found, and why."""

    score: Annotated[float, Meta(description="What it is ranked by; higher is better.")]
    parts: Annotated[dict[str, float], Meta(description="What the score is made of.")]
    skill: Skill


class FoundFact(Answer, frozen=True, kw_only=True):
    """A fact that was found, and why."""

    score: Annotated[float, Meta(description="What it is ranked by; higher is better.")]
    parts: Annotated[dict[str, float], Meta(description="What the score is made of.")]
    fact: Fact


PENDING = Meta(description="Acknowledged, and not embedded yet: their meaning wasn't compared.")


class EpisodesFound(Answer, frozen=True, kw_only=True):
    """Episodes, best first."""

    hits: list[FoundEpisode]
    pending: Annotated[int, PENDING] = 0


class SkillsFound(Answer, frozen=True, kw_only=True):
    """Skills, best first."""

    hits: list[FoundSkill]
    pending: Annotated[int, PENDING] = 0


class FactsFound(Answer, frozen=True, kw_only=True):
    """Facts, best first."""

    hits: list[FoundFact]
    pending: Annotated[int, PENDING] = 0


class Recollection(Answer, frozen=True, kw_only=True):
    """A record that was recalled, and why."""

    kind: Annotated[str, Meta(description="episode, skill, fact, cause or row.")]
    utility: Annotated[float, Meta(description="What it is ranked by: α·similarity + β·uplift - γ·latency.")]
    similarity: Annotated[float, Meta(description="0 to 1.")]
    uplift: Annotated[float, Meta(description="What it is known to cause of the goal, -1 to 1.")]
    latency: Annotated[float, Meta(description="Its seconds, at most 1.")]
    parts: Annotated[dict[str, float], Meta(description="What the similarity is made of.")]
    flags: Annotated[list[str], Meta(description="no_evidence, pending, past, future.")]
    evidence: Annotated[list[str], Meta(description="Ids of the causal edges that the uplift comes from.")]
    record: Annotated[dict[str, Any], Meta(description="The record, with the fields of its kind.")]


class RecallAnswer(Answer, frozen=True, kw_only=True):
    """What is worth knowing, best first."""

    items: list[Recollection]
    pending: Annotated[int, PENDING] = 0
    timings: Annotated[dict[str, float], Meta(description="Milliseconds of each stage.")] = {}


class BriefAnswer(Answer, frozen=True, kw_only=True):
    """What memory knows of tasks like this one."""

    text: Annotated[str, Meta(description="The briefing, as Markdown.")]
    tokens: Annotated[int, Meta(description="That the text takes.")]
    attempts: Annotated[int, Meta(description="Like attempts that were looked at.")]
    success_rate: Annotated[float | None, Meta(description="Share of them that succeeded; null if unknown.")]
    worked: list[Sentence]
    failed: list[Sentence]
    recommendation: list[Sentence]


class EpisodeAnswer(Answer, frozen=True, kw_only=True):
    """An episode, as it is kept."""

    episode: Episode


class SkillAnswer(Answer, frozen=True, kw_only=True):
    """A skill, in its current version."""

    skill: Skill


class ChosenSkill(Answer, frozen=True, kw_only=True):
    """The skill to try; null where none is like the task."""

    skill: Skill | None


class SkillPlan(Answer, frozen=True, kw_only=True):
    """Skills in an order that respects prerequisites."""

    steps: list[Skill]


class FactAnswer(Answer, frozen=True, kw_only=True):
    """A fact, as it is kept."""

    fact: Fact


class FactList(Answer, frozen=True, kw_only=True):
    """Facts, the newest first."""

    facts: list[Fact]


class EntityAnswer(Answer, frozen=True, kw_only=True):
    """An entity, as it is kept."""

    entity: Entity


class CauseAnswer(Answer, frozen=True, kw_only=True):
    """A causal edge, as it is kept."""

    edge: Cause


class VariableAnswer(Answer, frozen=True, kw_only=True):
    """A variable, as it is kept."""

    variable: Variable


class CauseList(Answer, frozen=True, kw_only=True):
    """Causal edges, the strongest first."""

    edges: list[Cause]


class CausalChain(Answer, frozen=True, kw_only=True):
    """A chain of causal edges, and what it comes to."""

    nodes: Annotated[list[str], Meta(description="Along it, first and last included.")]
    edges: Annotated[list[str], Meta(description="Ids of the causal edges.")]
    uplift: float
    confidence: float
    score: Annotated[float, Meta(description="What it is ranked by: |uplift| · confidence.")]


class CausalChains(Answer, frozen=True, kw_only=True):
    """Chains, best first."""

    paths: list[CausalChain]
    complete: Annotated[bool, Meta(description="False where the search ended at its limit.")] = True


class Consequence(CausalChain, frozen=True, kw_only=True):
    """What follows downstream, and by which chain."""

    node: str


class Consequences(Answer, frozen=True, kw_only=True):
    """What follows from a node, the strongest first."""

    items: list[Consequence]
    complete: Annotated[bool, Meta(description="False where not all could be looked at.")] = True


class Neighbour(Answer, frozen=True, kw_only=True):
    """A node that is joined to another."""

    label: Annotated[str, Meta(description="Its table, like Episode, Skill, Task.")]
    id: Annotated[str, Meta(description="Its id; of a table of one's own its key.")]
    agent: Annotated[str | None, Meta(description="Its namespace; null for a table of one's own.")]
    depth: Annotated[int, Meta(description="Steps away.")]


class Neighbourhood(Answer, frozen=True, kw_only=True):
    """Nodes near another, the nearest first."""

    nodes: list[Neighbour]


class StatisticsAnswer(Answer, frozen=True, kw_only=True):
    """Figures of attempts."""

    statistics: Statistics
    records: Annotated[dict[str, int], Meta(description="Live records of each kind that you see.")]


class HistoryAnswer(Answer, frozen=True, kw_only=True):
    """What happened to a record, oldest first."""

    events: list[Event]


class Done(Answer, frozen=True, kw_only=True):
    """How many records a call changed."""

    count: int


class Rows(Answer, frozen=True, kw_only=True):
    """What a statement returned."""

    columns: list[str]
    rows: Annotated[list[dict[str, Any]], Meta(description="Values by column; nodes and edges as objects.")]
    more: Annotated[bool, Meta(description="Whether there were more rows than the limit let through.")]
