"""What is asked of the log's writer: each verb's arguments, checked and complete, before it is decided."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from graphsvc.model.kinds import kind_of
from graphsvc.model.records import Episode, Record, Skill
from graphsvc.model.statements import Outcome, Statement
from graphsvc.model.texts import embedded_text, text_hash

encode_record = msgspec.json.Encoder().encode

Ref = tuple[str, str]
"""Agent and id of a record."""

KindRef = tuple[str, str, str]
"""Kind, agent and id of a record."""


@dataclass(slots=True)
class NewRecord:
    """A record to be stored.

    Attributes:
        record: the record, id and time filled in.
        hash: digest of the store as the caller gave it.
        body: the record as JSON.
        text_hash: of its embedded text, 0 if it has none.
        vector: the vector that the caller gave: float32, little endian; empty if none.
        fresh: its id was made here and can't exist yet.
    """

    record: Record
    hash: bytes
    body: bytes
    text_hash: int
    vector: bytes = b""
    fresh: bool = False

    @classmethod
    def of(cls, record: Record, hash: bytes, *, vector: bytes = b"", fresh: bool = False) -> NewRecord:
        """A new record with its body and text hash."""
        text = embedded_text(record) if kind_of(record).searchable else None
        return cls(record, hash, encode_record(record), text_hash(text) if text else 0, vector, fresh)


@dataclass(slots=True)
class StoreEpisodes:
    """Store episodes, all or none. Gives the records as they now are."""

    items: list[NewRecord]


@dataclass(slots=True)
class AmendEpisode:
    """Give some fields of an episode new values."""

    ref: Ref
    values: dict[str, Any]
    vector: bytes = b""


@dataclass(slots=True)
class Delete:
    """Delete records of a kind, all or none."""

    kind: str
    refs: list[Ref]


@dataclass(frozen=True, slots=True)
class PruneRule:
    """Which episodes to prune: those that meet every criterion given, but for each task's best.

    Attributes:
        agents: namespaces; None for all.
        below_reward: reward under this; an episode without reward doesn't meet it.
        before: happened before, microseconds since 1970.
        keep_min_per_task: how many of a task's episodes stay whatever they are, the best by reward.
    """

    agents: tuple[str, ...] | None
    below_reward: float | None
    before: int | None
    keep_min_per_task: int


@dataclass(slots=True)
class PruneEpisodes:
    """Delete what a rule selects, decided in the transaction that deletes."""

    rule: PruneRule


@dataclass(frozen=True, slots=True)
class SkillPruneRule:
    """Which skills to prune: those that meet every criterion given and that no kept skill requires.

    Attributes:
        agents: namespaces; None for all.
        min_uses: fewer recorded uses than this.
        below_success_rate: success rate under this; an unused skill doesn't meet it.
        before: created and last used before, microseconds since 1970.
    """

    agents: tuple[str, ...] | None
    min_uses: int | None
    below_success_rate: float | None
    before: int | None


@dataclass(slots=True)
class PruneSkills:
    """Delete the skills that a rule selects."""

    rule: SkillPruneRule


@dataclass(frozen=True, slots=True)
class SkillLink:
    """An edge between two skills, `rel` as in the graph."""

    rel: str
    source: Ref
    target: Ref
    weight: float | None = None


@dataclass(slots=True)
class CreateSkills:
    """Create skills with their first versions, and links between them, all or none."""

    items: list[NewRecord]
    links: list[SkillLink] = field(default_factory=list)


@dataclass(slots=True)
class ReviseSkill:
    """Give a skill new values; new name, description, code or signature make a new version."""

    ref: Ref
    values: dict[str, Any]
    at: int
    vector: bytes = b""


@dataclass(slots=True)
class RecordOutcome:
    """Record a use of a skill and update its statistics; `episode` used it, in whichever namespace."""

    item: NewRecord
    episode: Ref | None = None


@dataclass(slots=True)
class LearntSkill:
    """A skill that evidence speaks for, to be made, or to be brought up to date under its id.

    Attributes:
        skill: as it is to be, statistics not counted yet; the digest of what it was drawn from in its metadata.
        evidence: ids of the episodes that it is drawn from, in the skill's namespace.
    """

    skill: Skill
    evidence: tuple[str, ...]


@dataclass(slots=True)
class Consolidate:
    """Make or update skills from evidence, each in one entry of the log. Gives each one's `CREATED`, … and version."""

    items: list[LearntSkill]


@dataclass(slots=True)
class RecordFeedback:
    """Keep what was said of retrieved records."""

    items: list[NewRecord]


@dataclass(slots=True)
class LinkSkills:
    """Join two skills."""

    link: SkillLink


@dataclass(slots=True)
class UnlinkSkills:
    """Part two skills."""

    link: SkillLink


@dataclass(slots=True)
class UpsertEntities:
    """Make entities or variables, or give those that exist what of `values` is new to them, all or none. Gives them as
    they are.
    """

    items: list[NewRecord]
    values: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class EpisodeLink:
    """An edge from an episode, `rel` as in the graph: ABOUT an entity, or EVIDENCE in another episode."""

    rel: str
    source: Ref
    target: Ref


@dataclass(slots=True)
class LinkEpisodes:
    """Join episodes with what they are about or are judged by, all or none. Gives how many edges are new."""

    links: list[EpisodeLink]


@dataclass(slots=True)
class UnlinkEpisode:
    """Part an episode from what it is joined to."""

    link: EpisodeLink


@dataclass(slots=True)
class NewFact:
    """A fact to be added.

    Attributes:
        item: the fact; the moment when it was learnt is a guess, unless `learnt`.
        learnt: the caller said when it was learnt.
        begins: it is true from when it was learnt.
        about: entities that are its subject or object. evidence: episodes that it comes from.
    """

    item: NewRecord
    learnt: bool = False
    begins: bool = False
    about: tuple[Ref, ...] = ()
    evidence: tuple[Ref, ...] = ()


@dataclass(slots=True)
class AddFacts:
    """Add facts, all or none. Gives them as they now are."""

    facts: list[NewFact]


@dataclass(slots=True)
class RetractFact:
    """Believe a fact no more, from a moment on: `at`, in microseconds, or now. Gives it as it now is."""

    ref: Ref
    at: int | None = None


@dataclass(slots=True)
class CorrectFact:
    """Put another fact in the place of one. Gives the new one.

    Attributes:
        ref: the fact to be corrected. values: what is else about the new one.
        id: of the new one. vector: of the new one.
        about: entities of the new one. evidence: episodes of the new one; None: those of the old one.
    """

    ref: Ref
    values: dict[str, Any]
    id: str
    at: int | None = None
    vector: bytes = b""
    about: tuple[Ref, ...] = ()
    evidence: tuple[Ref, ...] | None = None


@dataclass(slots=True)
class DefinePredicate:
    """Say what a predicate means, or give the one that exists what of `values` is new to it. Gives it as it is."""

    item: NewRecord
    values: dict[str, Any]


@dataclass(slots=True)
class AddCauses:
    """Add causal edges, all or none. Gives them as they are, each with the time from which it is known."""

    items: list[NewRecord]


@dataclass(slots=True)
class ExpireCause:
    """Say until when a causal edge holds: microseconds since 1970, None for now. Gives it as it is."""

    ref: Ref
    end: int | None


@dataclass(slots=True)
class TakeRecords:
    """Take records in as they were elsewhere, statistics and all. Gives of each what became of it."""

    items: list[NewRecord]


@dataclass(frozen=True, slots=True)
class TakenLink:
    """A link as it was elsewhere."""

    rel: str
    source: KindRef
    target: KindRef
    values: dict[str, Any]


@dataclass(slots=True)
class TakeLinks:
    """Take links in. Gives of each what became of it."""

    items: list[TakenLink]


@dataclass(slots=True)
class Forget:
    """Forget records, their parts and what was said of them, all or none: their values are overwritten in the log."""

    refs: list[KindRef]


@dataclass(slots=True)
class AppendStatement:
    """Append a statement on the user's own tables, in an entry for each batch of its rows. It is decided later.

    Attributes:
        batches: its rows as Arrow streams, none for Cypher and definitions.
        then: statements that are done with it or not at all, behind it, with their rows.
        reply: whoever waits for the outcome.
    """

    verb: str
    statement: Statement
    batches: list[bytes] = field(default_factory=list)
    then: list[tuple[Statement, list[bytes]]] = field(default_factory=list)
    reply: Any = None


@dataclass(slots=True)
class Touched:
    """Searchable rows of one table that a statement wrote or may have written.

    Attributes:
        texts: what each, by its key as text, has to be searched now, by column; None for those that are gone.
        whole: these are all rows that the table has.
    """

    table: str
    texts: dict[str, dict[str, str] | None]
    whole: bool = False


@dataclass(slots=True)
class Conclude:
    """Note how a statement ended, and append what follows from it for searchable rows. Gives the outcome that counts:
    where one is noted already it stays, unless this one says that it was forgotten.
    """

    outcome: Outcome
    touched: list[Touched] = field(default_factory=list)


@dataclass(slots=True)
class Follow:
    """Have the records of searchable rows say what their tables do. Gives how many entries that took."""

    touched: list[Touched]


@dataclass(slots=True)
class Alone:
    """Do something with the writer's connection between two transactions. Not a change: nothing is logged."""

    work: Callable[[sqlite3.Connection], Any]


@dataclass(slots=True)
class MoveCursor:
    """Note how far a follower has come. Not a change: nothing is logged."""

    name: str
    n: int


@dataclass(slots=True)
class RebuildRecords:
    """Make the records anew from what the log adds up to. Not a change: nothing is logged.

    Attributes:
        replay: folds the log; called in the writer's thread, so that nothing is appended meanwhile.
        renew: called when the records are committed.
    """

    replay: Callable[[], Any]
    renew: Callable[[], None]


@dataclass(slots=True)
class Hold:
    """From now on let writes wait, all but those of the followers' numbers. Not a change: nothing is logged."""


@dataclass(slots=True)
class LetGo:
    """Go on with the writes that wait. Not a change: nothing is logged."""


Request = (
    StoreEpisodes
    | AmendEpisode
    | Delete
    | PruneEpisodes
    | PruneSkills
    | CreateSkills
    | ReviseSkill
    | RecordOutcome
    | Consolidate
    | RecordFeedback
    | LinkSkills
    | UnlinkSkills
    | UpsertEntities
    | LinkEpisodes
    | UnlinkEpisode
    | AddFacts
    | RetractFact
    | CorrectFact
    | DefinePredicate
    | AddCauses
    | ExpireCause
    | TakeRecords
    | TakeLinks
    | Forget
    | AppendStatement
    | Conclude
    | Follow
    | Alone
    | MoveCursor
    | RebuildRecords
    | Hold
    | LetGo
)

__all__ = ["Episode", "NewRecord", "Ref", "Request", "Skill"]
