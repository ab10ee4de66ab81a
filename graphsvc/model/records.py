"""The records of a memory, each declared once.

Tables of the graph, columns in memory, filters, JSON Schema, options of the command line and the reference
are derived from these classes. A field's description is its documentation everywhere.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from graphsvc.model.names import DEFAULT_AGENT, key_of

Name = Annotated[str, Meta(min_length=1, max_length=512)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Moment = Annotated[datetime, Meta(tz=True)]


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What every record has. The garbage collector needn't look: metadata is a copy of JSON, it holds no cycles."""

    id: Annotated[Name, Meta(description="Unique within namespace and kind, for ever; made if not given.")]
    agent: Annotated[Name, Meta(description="The namespace: whose memory it is.")] = DEFAULT_AGENT
    at: Annotated[datetime, Meta(tz=True, description="When it happened, UTC; now if not given.")]

    @property
    def key(self) -> str:
        """What projections know it by."""
        return key_of(self.agent, self.id)


class Episode(Record, frozen=True, kw_only=True, gc=False):
    """Something an agent tried: the task, what it did, how that went, and what it thinks of it."""

    session: Annotated[
        Name, Meta(description="The run that it belongs to; its episodes follow one another in time.")
    ]
    task: Annotated[str, Meta(min_length=1, description="What was to be done. Equal texts are one task.")]
    input: Annotated[str, Meta(description="What the agent was given.")] = ""
    output: Annotated[str, Meta(description="What the agent did or answered.")] = ""
    critique: Annotated[str | None, Meta(description="What went wrong and what to do instead.")] = None
    reward: Annotated[float | None, Meta(description="How good it was; any scale, 0 to 1 by custom.")] = None
    success: Annotated[bool | None, Meta(description="Whether it did the task; null if nobody knows.")] = None
    latency_ms: Annotated[NotNegative | None, Meta(description="How long it took, in milliseconds.")] = None
    tokens: Annotated[Count | None, Meta(description="Tokens of a language model that it used.")] = None
    tags: Annotated[tuple[Name, ...], Meta(description="Labels, sorted and without repeats.")] = ()
    metadata: Annotated[dict[str, Any], Meta(description="Anything else, as JSON.")] = {}


class Skill(Record, frozen=True, kw_only=True, gc=False):
    """Something an agent can do, in its current version, with what is known of how well it works."""

    name: Annotated[Name, Meta(description="What it is called.")]
    description: Annotated[str, Meta(description="What it does and when to use it.")] = ""
    code: Annotated[str, Meta(description="How it is done: code or steps.")] = ""
    signature: Annotated[str | None, Meta(description="How it is called.")] = None
    tags: Annotated[tuple[Name, ...], Meta(description="Labels, sorted and without repeats.")] = ()
    metadata: Annotated[dict[str, Any], Meta(description="Anything else, as JSON.")] = {}
    version: Annotated[int, Meta(ge=1, description="Number of the current version, from 1.")] = 1
    uses: Annotated[int, Meta(ge=0, description="Recorded uses.")] = 0
    successes: Annotated[int, Meta(ge=0, description="Recorded uses that succeeded.")] = 0
    rewards: Annotated[int, Meta(ge=0, description="Recorded uses that carried a reward.")] = 0
    reward: Annotated[float | None, Meta(description="Mean reward of those.")] = None
    latencies: Annotated[int, Meta(ge=0, description="Recorded uses that carried a latency.")] = 0
    latency_ms: Annotated[NotNegative | None, Meta(description="Mean latency of those, in milliseconds.")] = (
        None
    )
    last_used: Annotated[Moment | None, Meta(description="Time of the latest recorded use, UTC.")] = None

    @property
    def success_rate(self) -> float | None:
        """Successes over uses; None before the first use."""
        return self.successes / self.uses if self.uses else None


class SkillVersion(Record, frozen=True, kw_only=True, gc=False):
    """One version of a skill, kept as it was. Its id is the skill's id, '@' and the version's number."""

    skill: Annotated[Name, Meta(description="Id of the skill.")]
    version: Annotated[int, Meta(ge=1, description="Number of the version.")]
    name: Annotated[Name, Meta(description="What it was called.")]
    description: Annotated[str, Meta(description="What it did.")] = ""
    code: Annotated[str, Meta(description="How it was done.")] = ""
    signature: Annotated[str | None, Meta(description="How it was called.")] = None


class Outcome(Record, frozen=True, kw_only=True, gc=False):
    """One use of a skill, and how it went."""

    skill: Annotated[Name, Meta(description="Id of the skill.")]
    success: Annotated[bool, Meta(description="Whether it worked.")]
    reward: Annotated[float | None, Meta(description="How good it was.")] = None
    latency_ms: Annotated[NotNegative | None, Meta(description="How long it took, in milliseconds.")] = None
    episode: Annotated[Name | None, Meta(description="Id of the episode that used it.")] = None


class Feedback(Record, frozen=True, kw_only=True, gc=False):
    """What was said of one record that an answer showed. Kept for training; retrieval may weigh it."""

    query: Annotated[str, Meta(description="What was asked.")]
    kind: Annotated[Name, Meta(description="Kind of the record that was shown.")]
    record: Annotated[Name, Meta(description="Its id.")]
    owner: Annotated[Name, Meta(description="Its namespace.")]
    value: Annotated[
        float | None, Meta(description="How useful it was, 0 to 1; null: shown, and nothing said.")
    ] = None
    rank: Annotated[int | None, Meta(description="Its place among the hits, from 1.")] = None
    score: Annotated[float | None, Meta(description="Its score there.")] = None
    answer: Annotated[Name, Meta(description="What all feedback on one answer has in common.")]


def judged(kind: str, key: str) -> str:
    """What feedback belongs to: the record that it is about, by kind and key."""
    return f"{kind}:{key}"


class Entity(Record, frozen=True, kw_only=True, gc=False):
    """Something that episodes are about: a file, a service, a person. Its id is made of kind and name if not given."""

    kind: Annotated[Name, Meta(description="What sort of thing it is, like `file`.")]
    name: Annotated[Name, Meta(description="What it is called, unique within its kind by custom.")]
    description: Annotated[str, Meta(description="What is to be known of it.")] = ""
    tags: Annotated[tuple[Name, ...], Meta(description="Labels, sorted and without repeats.")] = ()
    metadata: Annotated[dict[str, Any], Meta(description="Anything else, as JSON.")] = {}


class Row(Record, frozen=True, kw_only=True, gc=False):
    """A row of a table of one's own, as far as it is searched. It follows from what is written there, by itself."""

    table: Annotated[Name, Meta(description="The table.")]
    node: Annotated[str, Meta(description="The row's key, as text.")]
    texts: Annotated[dict[str, Any], Meta(description="The texts of its searchable columns, by column.")] = {}


def row_place(table: str, node: str) -> str:
    """What a searchable row belongs to: its table and key. No name of a table holds a dot."""
    return f"{table}.{node}"


class Predicate(Record, frozen=True, kw_only=True, gc=False):
    """What a predicate of facts means, and how many objects a subject has for it at a time. Its id is its name."""

    name: Annotated[Name, Meta(description="The predicate, as facts have it.")]
    single: Annotated[bool, Meta(description="Whether a subject has one object at a time; else many.")] = False
    description: Annotated[str, Meta(description="What it means.")] = ""


class Fact(Record, frozen=True, kw_only=True, gc=False):
    """Something that is true for a time, as somebody said it: known from `at` on."""

    at: Annotated[datetime, Meta(tz=True, description="When it was learnt, UTC: known from then on; filled in.")]
    subject: Annotated[Name, Meta(description="Whom or what it is about: a text, or the id of an entity.")]
    predicate: Annotated[Name, Meta(description="What is said of it, like `lives in`.")]
    object: Annotated[Name, Meta(description="The rest of it: a text, or the id of an entity.")]
    valid_from: Annotated[Moment | None, Meta(description="True from then on, UTC; null: since ever.")] = None
    valid_to: Annotated[Moment | None, Meta(description="Said to be true until then, not at it; null: no end.")] = None
    until: Annotated[
        Moment | None, Meta(description="True until then, given all that is known now: another may cut it short.")
    ] = None
    closed_by: Annotated[Name | None, Meta(description="Id of the fact whose beginning cuts it short.")] = None
    superseded: Annotated[
        bool, Meta(description="Whether another, known later, begins when it does: it is true at no time then.")
    ] = False
    known_to: Annotated[Moment | None, Meta(description="Retracted then, UTC: not believed from then on.")] = None
    corrects: Annotated[Name | None, Meta(description="Id of the fact that it was put in the place of.")] = None
    source: Annotated[str | None, Meta(description="Where it comes from, in words.")] = None
    confidence: Annotated[
        Share | None, Meta(description="How sure it is, 0 to 1; null if nobody said.")
    ] = None
    tags: Annotated[tuple[Name, ...], Meta(description="Labels, sorted and without repeats.")] = ()
    metadata: Annotated[dict[str, Any], Meta(description="Anything else, as JSON.")] = {}


class Variable(Record, frozen=True, kw_only=True, gc=False):
    """A quantity or event that causal edges may name, like `latency` or `cache is cold`. Its id is its name if not
    given.
    """

    name: Annotated[Name, Meta(description="What it is called.")]
    description: Annotated[str, Meta(description="What is to be known of it: unit, how it is measured.")] = ""
    is_reward: Annotated[bool, Meta(description="Whether it measures how good something was: a goal.")] = False
    ref_table: Annotated[Name | None, Meta(description="Table of the user's node that it stands for.")] = None
    ref_key: Annotated[Name | None, Meta(description="That node's key, as text; not checked when it is set.")] = None
    tags: Annotated[tuple[Name, ...], Meta(description="Labels, sorted and without repeats.")] = ()
    metadata: Annotated[dict[str, Any], Meta(description="Anything else, as JSON.")] = {}


class Cause(Record, frozen=True, kw_only=True, gc=False):
    """A causal edge: that one node makes a difference to another, how large, and how sure that is."""

    at: Annotated[datetime, Meta(tz=True, description="When it was learnt, UTC: known from then on; filled in.")]
    cause: Annotated[Name, Meta(description="Id of the node that makes the difference.")]
    cause_kind: Annotated[Name, Meta(description="Its kind, like `variable` or `skill`.")]
    cause_agent: Annotated[Name, Meta(description="Its namespace.")]
    effect: Annotated[Name, Meta(description="Id of the node that it makes a difference to.")]
    effect_kind: Annotated[Name, Meta(description="Its kind.")]
    effect_agent: Annotated[Name, Meta(description="Its namespace.")]
    uplift: Annotated[
        float, Meta(description="By how much the effect is more where the cause is there; 0: by nothing.")
    ]
    confidence: Annotated[Share, Meta(description="How sure it is, 0 to 1.")] = 1.0
    low: Annotated[float | None, Meta(description="Lower end of the uplift's interval.")] = None
    high: Annotated[float | None, Meta(description="Upper end of it.")] = None
    n: Annotated[Count | None, Meta(description="How many observations it rests on.")] = None
    method: Annotated[Name | None, Meta(description="How it was found, like `experiment` or `observation`.")] = None
    mechanism: Annotated[str, Meta(description="Why it comes about, in words; searched.")] = ""
    evidence: Annotated[tuple[Name, ...], Meta(description="Ids of the episodes that show it, sorted.")] = ()
    valid_from: Annotated[Moment | None, Meta(description="Holds from then on, UTC; null: since ever.")] = None
    valid_to: Annotated[Moment | None, Meta(description="Holds until then, not at it; null: no end.")] = None
    endings: Annotated[
        dict[str, Any],
        Meta(description="What its end was said to be, by the time that each was learnt; empty if it never changed."),
    ] = {}
    metadata: Annotated[dict[str, Any], Meta(description="Anything else, as JSON.")] = {}


def ends_of(cause: Cause) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    """Kind, namespace and id of the nodes that a causal edge leads from and to."""
    return (
        (cause.cause_kind, cause.cause_agent, cause.cause),
        (cause.effect_kind, cause.effect_agent, cause.effect),
    )
