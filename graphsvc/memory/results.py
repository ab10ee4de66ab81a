"""What retrieval gives back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import msgspec

from graphsvc.errors import BadInput
from graphsvc.memory.rows_in import arrow_fields
from graphsvc.model.kinds import KINDS
from graphsvc.model.records import Episode, Fact, Record, Skill

if TYPE_CHECKING:
    import pyarrow as pa

PARTS = (
    "cosine", "bm25", "vector", "text", "recency", "mmr", "similarity", "success", "reward", "uses", "feedback",
    "sample", "pending", "unread",
)  # fmt: skip
"""Everything that a score can be made of."""

CHANGEABLE = ("metadata", "texts", "endings")
"""Fields of records that hold JSON."""

R = TypeVar("R", bound=Record)
T_co = TypeVar("T_co", bound=Record, covariant=True)


@dataclass(frozen=True, slots=True)
class Hit(Generic[T_co]):
    """One record found, and why.

    Attributes:
        record: the record; `episode`, `skill` or `fact` by its proper name.
        score: what it is ranked by, higher is better.
        parts: what the score is made of: `cosine` and `bm25` raw, `vector` and `text` as they were blended
            (0 to 1 within this answer), and others where asked for: `recency`, `success`, `reward`, `uses`,
            `feedback`, `sample`. `pending` is 1.0 where the record isn't embedded yet. `unread` is how many tokens at
            the end of its text the model didn't read, where it is longer than the model reads.
    """

    record: T_co
    score: float
    parts: dict[str, float]

    @property
    def episode(self) -> Episode:
        """The record, where it is an episode. Raises BadInput where it isn't."""
        if not isinstance(self.record, Episode):
            raise BadInput("this hit is not an episode", where="episode", hint="Use hit.record, or hit.skill.")
        return self.record

    @property
    def skill(self) -> Skill:
        """The record, where it is a skill. Raises BadInput where it isn't."""
        if not isinstance(self.record, Skill):
            raise BadInput("this hit is not a skill", where="skill", hint="Use hit.record, or hit.episode.")
        return self.record

    @property
    def fact(self) -> Fact:
        """The record, where it is a fact. Raises BadInput where it isn't."""
        if not isinstance(self.record, Fact):
            raise BadInput("this hit is not a fact", where="fact", hint="Use hit.record.")
        return self.record

    def as_dict(self) -> dict[str, Any]:
        """The hit as JSON has it."""
        return {"score": self.score, "parts": dict(self.parts), **msgspec.to_builtins(self.record)}


class Hits(Sequence[Hit[T_co]], Generic[T_co]):
    """Records found, best first.

    Attributes:
        items: the hits.
        pending: records that pass the filter and are acknowledged, but not embedded yet.
        behind: whether graph or text hadn't reached the last write when the wait for them ended.
        query: the text that was asked for.
        kind: of the records: `episode`, `skill` or `fact`.
        unread: how many tokens at the end of the query the model didn't read.
    """

    __slots__ = ("_items", "_own", "behind", "kind", "pending", "query", "unread")

    def __init__(
        self,
        items: tuple[Hit[T_co], ...] = (),
        pending: int = 0,
        behind: bool = False,
        query: str = "",
        kind: str = "episode",
        unread: int = 0,
    ) -> None:
        self._items = items
        self._own = True
        self.pending = pending
        self.behind = behind
        self.query = query
        self.kind = kind
        self.unread = unread

    @property
    def items(self) -> tuple[Hit[T_co], ...]:
        """The hits."""
        if not self._own:  # copied when they are first looked at: many an answer is only counted, or never read
            self._items = tuple([_copied(hit) for hit in self._items])
            self._own = True
        return self._items

    def again(self) -> Hits[T_co]:
        """The same answer for another reader, of which nothing that can be changed is shared."""
        other = Hits(self._items, self.pending, self.behind, self.query, self.kind, self.unread)
        other._own = False
        return other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hits):
            return NotImplemented
        about = [(hits.pending, hits.behind, hits.query, hits.kind) for hits in (self, other)]
        return about[0] == about[1] and self._items == other._items

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Hits of {self.query!r}: {len(self)}, pending={self.pending}, behind={self.behind}: {self._items!r}>"

    @overload
    def __getitem__(self, index: int) -> Hit[T_co]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit[T_co]]: ...
    def __getitem__(self, index: int | slice) -> Hit[T_co] | Sequence[Hit[T_co]]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Hit[T_co]]:
        return iter(self.items)

    @property
    def records(self) -> list[T_co]:
        """The records alone."""
        return [hit.record for hit in self.items]

    def as_dicts(self) -> list[dict[str, Any]]:
        """The hits as JSON has them."""
        return [hit.as_dict() for hit in self.items]

    def arrow(self) -> pa.Table:
        """The hits as an Arrow table: a row each, the record's fields beside the score and its parts.

        The columns are the same whatever was found: `score`, `part_…` for each of `PARTS` (null where the score has no
        such part), and the fields of the kind, metadata as JSON. `store_many` takes the fields back.
        """
        import pyarrow as pa

        fields = arrow_fields(KINDS[self.kind])
        parts = {f"part_{name}": [hit.parts.get(name) for hit in self.items] for name in PARTS}
        columns: dict[str, list[Any]] = {"score": [hit.score for hit in self.items], **parts}
        for one in fields:
            values = [getattr(hit.record, one.name) for hit in self.items]
            if one.name == "metadata":
                values = [msgspec.json.encode(value).decode() for value in values]
            columns[one.name] = values
        floats = [pa.field(name, pa.float64()) for name in ("score", *parts)]
        return pa.table(columns, schema=pa.schema([*floats, *fields]))


def _copied(hit: Hit[T_co]) -> Hit[T_co]:
    return Hit(copied(hit.record), hit.score, hit.parts.copy())


def copied(record: R) -> R:
    """The same record, of which nothing that can be changed is shared."""
    changeable = {name: _copied_json(held) for name in CHANGEABLE if (held := getattr(record, name, None))}
    return msgspec.structs.replace(record, **changeable) if changeable else record


def _copied_json(value: Any) -> Any:
    """A copy of JSON: a tenth of what `copy.deepcopy` takes, which expects anything."""
    kind = type(value)
    if kind is dict:
        return {key: item if type(item) is str else _copied_json(item) for key, item in value.items()}
    return [_copied_json(item) for item in value] if kind is list else value


@dataclass(frozen=True, slots=True)
class Trend:
    """How the latest part of a record compares with what came before.

    Attributes:
        days: length of the latest part.
        recent, earlier: episodes in each.
        success_rate, reward: recent minus earlier; None where either has none.
    """

    days: float
    recent: int
    earlier: int
    success_rate: float | None
    reward: float | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of a set of episodes, or of the uses of a skill. None where nothing is known.

    Attributes:
        count: how many there are.
        judged, successes: with a known success; of those successful.
        success_rate: successes over judged.
        reward, best_reward: mean and highest reward.
        latency_ms, tokens: means.
        first, last: ISO 8601 times of the earliest and the latest.
        trend: the last seven days against what came before them.
    """

    count: int
    judged: int
    successes: int
    success_rate: float | None
    reward: float | None
    best_reward: float | None
    latency_ms: float | None
    tokens: float | None
    first: str | None
    last: str | None
    trend: Trend


@dataclass(frozen=True, slots=True)
class Lesson:
    """What several episodes say alike.

    Attributes:
        text: the critique, or the output, in the words of the most relevant of them.
        episodes: ids of those that say so, the most relevant first.
        score: relevance of the first.
        reward: their mean reward; None if none has one.
    """

    text: str
    episodes: tuple[str, ...]
    score: float
    reward: float | None

    @property
    def count(self) -> int:
        """How many episodes say so."""
        return len(self.episodes)


@dataclass(frozen=True, slots=True)
class Relations:
    """What an episode is joined to in the graph.

    Attributes:
        before, after: ids of its neighbours in the session, None at the ends.
        attempts: other episodes at the same task, oldest first.
        skills: ids of the skills that it used.
    """

    before: str | None
    after: str | None
    attempts: tuple[str, ...]
    skills: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a record.

    Attributes:
        n: number in the log.
        at: ISO 8601 time when it was acknowledged.
        verb: what was asked for.
        what: `store`, `amend`, `delete` or `forget`; `trim` where the log was trimmed: what happened before isn't held.
        values: the record as stored, or the fields that changed. At a `trim` the record as it was then; of one gone by
            then `state` says whether it was deleted or forgotten.
    """

    n: int
    at: str
    verb: str
    what: str
    values: dict[str, Any] = field(default_factory=dict)
