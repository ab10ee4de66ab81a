"""Facts in time: what is true of whom, since when, until when; and what we knew of it when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast

from graphsvc.errors import BadInput, NotFound
from graphsvc.log import believed
from graphsvc.log.state import LIVE, every
from graphsvc.memory.joined import far_ends
from graphsvc.memory.query_cache import request_of
from graphsvc.memory.results import Hits
from graphsvc.memory.retrieval import Mode, Where, check_k
from graphsvc.memory.rows_in import rows_of
from graphsvc.memory.verbs import ORDERS, Verbs, Wait, check_wait, new_id
from graphsvc.model.as_of import Moments, When, check_interval, parse_as_of
from graphsvc.model.change import decode_record
from graphsvc.model.facts import ALWAYS, KEPT, Span, claim_of, end_of, moment_of, spans, start_of
from graphsvc.model.filters import Expression, parse
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import check_name
from graphsvc.model.records import Entity, Episode, Fact, Predicate
from graphsvc.model.requests import AddFacts, CorrectFact, DefinePredicate, NewFact, NewRecord, Ref, RetractFact
from graphsvc.model.texts import WEIGHT
from graphsvc.model.times import from_micros, micros, utc
from graphsvc.model.validate import build, check_values, content_hash

FactList = list[Fact]
EpisodeList = list[Episode]
PredicateList = list[Predicate]
Refs = list[Ref]
Source = str | Episode | Sequence[str | Episode] | None


@dataclass(frozen=True, slots=True)
class Belief:
    """For how long a fact was believed to be true for how long. Both intervals are half-open, None an open end.

    Attributes:
        fact: as it is now. valid_from, valid_to: it was believed to be true from then until then.
        known_from, known_to: that was believed from then until then.
    """

    fact: Fact
    valid_from: datetime | None
    valid_to: datetime | None
    known_from: datetime
    known_to: datetime | None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two facts that can't both be true.

    Attributes:
        held: the one that counts where they overlap. overruled: the other.
        start, end: where they overlap; None is an open end.
        reason: `same_start`: they begin at the same moment. `overlap`: the overruled one says that it lasts longer.
        held_evidence, overruled_evidence: ids of the episodes that each comes from.
    """

    held: Fact
    overruled: Fact
    start: datetime | None
    end: datetime | None
    reason: str
    held_evidence: tuple[str, ...] = ()
    overruled_evidence: tuple[str, ...] = ()


Beliefs = list[Belief]
Contradictions = list[Contradiction]  # named here: inside the class `list` is a verb


@dataclass(slots=True)
class _Named:
    """Texts that may be ids of records, looked up once for a call: the namespace of each, None where it is a text."""

    verbs: Verbs
    found: dict[tuple[str, str, str], str | None] = field(default_factory=dict)

    def space(self, kind: str, id: str, own: str) -> str | None:
        """The namespace in which a live record of a kind has this id, of those that the handle sees from its own."""
        key = (kind, id, own)
        if key not in self.found:
            seen = self.verbs._namespaces.reads() or (own,)
            with self.verbs._opened.log.connection() as connection:
                live = {one.agent for one in every(connection, kind, id) if one.state == LIVE}
            self.found[key] = next((agent for agent in (own, *seen) if agent in live), None)
        return self.found[key]


class Facts(Verbs):
    """Say, retract and ask what is true, by two times. `memory.facts`."""

    kind = "fact"

    # --- predicates --------------------------------------------------------------------------------------

    def predicate(
        self,
        name: str,
        *,
        single: bool | None = None,
        description: str | None = None,
        agent: str | None = None,
        wait: Wait = None,
    ) -> Predicate:
        """Say what a predicate means: how many objects a subject has for it at a time. What isn't given stays.

        Cardinality is how facts are read, not something that was learnt at some moment: where it changes, all facts of
        the predicate in the namespace are cut anew by it, and questions about the past are answered by it, too.

        Args:
            name: as facts have it. single: one object at a time; many, if nobody says otherwise.
            description: what it means. agent: namespace that it is for. wait: "graph" waits for the graph.

        Returns:
            The predicate as it now is.

        Raises:
            BadInput, TooLarge: for an argument. Gone: it was forgotten.
        """
        self._opened.check()
        values = {"name": name, "single": single, "description": description}
        given = {key: value for key, value in values.items() if value is not None}
        space = self._namespaces.writes(agent)
        kind, at = KINDS["predicate"], datetime.now(UTC)
        checked = check_values(kind, given, self._opened.limits)
        record = build(kind, {**checked, "id": checked["name"], "agent": space, "at": at}, self._opened.limits)
        item = NewRecord.of(record, content_hash("predicate", checked))
        return cast(Predicate, self._submit(DefinePredicate(item, checked), wait))

    def predicates(self, *, agent: str | Sequence[str] | None = None) -> PredicateList:
        """The predicates that were defined, by name. Others are many."""
        self._opened.check()
        agents = self._namespaces.reads(agent)
        with self._opened.log.connection() as connection:
            rows = connection.execute(
                "SELECT agent, body FROM record WHERE kind = 'predicate' AND state = 0 ORDER BY id, agent"
            ).fetchall()
        found = (decode_record("predicate", body) for owner, body in rows if agents is None or owner in agents)
        return [cast(Predicate, record) for record in found]

    # --- writing -----------------------------------------------------------------------------------------

    def add(
        self,
        subject: str | Entity,
        predicate: str,
        object: str | Entity,
        valid_from: datetime | str | None = None,
        valid_to: datetime | str | None = None,
        source: Source = None,
        confidence: float | None = None,
        *,
        episodes: Sequence[str | Episode] = (),
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        agent: str | None = None,
        at: datetime | str | None = None,
        vector: Any = None,
        wait: Wait = None,
    ) -> Fact:
        """Add a fact: durable, and part of every answer, when this returns.

        Where its predicate is single it cuts what of its subject began before it, and is cut by what begins after it,
        in whatever order they arrive; of equal beginnings the one learnt last counts.

        Args:
            subject, object: texts, or entities. A text that is the id of an entity is a reference to it.
            predicate: what is said of the subject.
            valid_from: true from then on; "always": since ever. Not given: from when it was learnt, or since ever where
                only `valid_to` is given.
            valid_to: true until then, not at it; open if not given.
            source: where it comes from: in words, the id of an episode, an episode, or a list of episodes or their ids.
            confidence: how sure it is, 0 to 1. episodes: that it comes from, beside a source in words.
            tags: labels. metadata: anything else, as JSON.
            id: unique in the namespace; made if not given. The same id and content again is one write.
            agent: namespace.
            at: when it was learnt, for importing: not in the future, and not before anything that is known of its
                subject and predicate already. Now, if not given.
            vector: its embedding if you have it. wait: as for `episodes.store`.

        Returns:
            The fact as it now is: `until` is when it ends, given the others.

        Raises:
            BadInput, TooLarge: for a bad value, naming the field. NotFound, Gone: an episode or entity isn't there.
            Conflict: the id has other content.
        """
        values = {
            "subject": subject, "predicate": predicate, "object": object, "valid_from": valid_from,
            "valid_to": valid_to, "source": source, "confidence": confidence, "episodes": episodes, "tags": tags,
            "metadata": metadata, "id": id, "agent": agent, "at": at,
        }  # fmt: skip
        self._opened.check()
        request = AddFacts([self._new_fact(values, agent, vector, "", _Named(self))])
        return cast(Fact, self._submit(request, wait)[0])

    def add_many(
        self, facts: Any, *, agent: str | None = None, vectors: Any = None, wait: Wait = None
    ) -> FactList:
        """`add` for many, all or none; those that say when they were learnt in that order, whatever theirs.

        Args:
            facts: dicts with the arguments of `add`, or Facts, or a DataFrame or Arrow table with such columns.
            agent: namespace of those that name none. vectors: their embeddings. wait: as for `add`.

        Returns:
            The facts as they are after the call, but for what later ones of it did to them, in the order given.
        """
        self._opened.check()
        rows = [_asserted(row) for row in rows_of(facts, where="facts")]
        given = self._vectors(vectors, len(rows), "facts")
        named = _Named(self)
        new = [
            self._new_fact(row, agent, given[index], f"facts[{index}].", named) for index, row in enumerate(rows)
        ]
        if not new:
            check_wait(wait)
            return []
        return cast(FactList, self._submit(AddFacts(new), wait))

    def _new_fact(self, row: dict[str, Any], agent: Any, vector: Any, prefix: str, named: _Named) -> NewFact:
        given = {name: value for name, value in row.items() if value is not None}
        for name in given.keys() & set(KEPT):
            raise BadInput("is filled in by the memory", where=prefix + name)
        space = given["agent"] = self._namespaces.writes(given.get("agent", agent))
        about = [
            *self._end(given, "subject", space, prefix, named), *self._end(given, "object", space, prefix, named)
        ]  # fmt: skip
        evidence = self._sources(given, space, prefix, named)
        always = given.get("valid_from") == ALWAYS
        said = {name: value for name, value in given.items() if not (always and name == "valid_from")}
        begins = not always and "valid_from" not in said and "valid_to" not in said
        item = self._new(said, vector=vector, prefix=prefix)
        fact = cast(Fact, item.record)
        check_interval(fact.valid_from, fact.valid_to, where=f"{prefix}valid_to")
        item.hash = self._hash(fact, said, begins=begins)
        return NewFact(item, "at" in given, begins, tuple(about), tuple(evidence))

    def _hash(self, fact: Fact, said: dict[str, Any], *, begins: bool) -> bytes:
        """Digest of what was said: a fact that is got and added again says the same, though all is filled in then."""
        fields = {name: getattr(fact, name) for name in said}
        if fact.valid_from is None or begins:
            fields["valid_from"] = None if begins else ALWAYS
        elif fact.valid_from == fact.at:
            fields["valid_from"] = None
        return content_hash(self.kind, fields)

    def _end(self, given: dict[str, Any], name: str, space: str, prefix: str, named: _Named) -> Refs:
        """The entity that a subject or object is, if it is one; `given` has its id then."""
        value = given.get(name)
        if isinstance(value, Entity):
            given[name] = value.id
            self._check_seen(value.agent, prefix + name)
            return [(value.agent, value.id)]
        owner = named.space("entity", value, space) if isinstance(value, str) else None
        return [] if owner is None else [(owner, str(value))]

    def _sources(self, given: dict[str, Any], space: str, prefix: str, named: _Named) -> Refs:
        """The episodes that a fact comes from; `given` has its source in words then, if there is one."""
        source, episodes = given.get("source"), given.pop("episodes", ())
        refs: list[Ref] = []
        if isinstance(source, str):
            owner = named.space("episode", source, space) if len(source) <= 512 else None
            refs += [] if owner is None else [(owner, source)]
        elif source is not None:
            given.pop("source")
            refs += self._episodes([source] if isinstance(source, Episode) else source, space, f"{prefix}source", named)
        return refs + self._episodes(episodes, space, f"{prefix}episodes", named)

    def _episodes(self, items: Any, space: str, where: str, named: _Named) -> Refs:
        if isinstance(items, str | Mapping) or not isinstance(items, Iterable):
            raise BadInput(f"expected episodes or their ids, got {type(items).__name__}", where=where)
        refs: list[Ref] = []
        for item in items:
            if isinstance(item, Episode):
                self._check_seen(item.agent, where)
                refs.append((item.agent, item.id))
                continue
            owner = named.space("episode", check_name(item, where), space)
            if owner is None:
                raise NotFound(f"no episode {item!r}", where=where)
            refs.append((owner, item))
        return refs

    def _check_seen(self, agent: str, where: str) -> None:
        seen = self._namespaces.reads()
        if seen is not None and agent not in seen:
            raise NotFound(f"this handle doesn't see {agent!r}", where=where)

    def retract(
        self, id: str, at: datetime | str | None = None, *, agent: str | None = None, wait: Wait = None
    ) -> Fact:
        """Believe a fact no more: from now on, or since `at`. That it was believed until then stays known.

        What it cut in its line holds again. Retracted once more, it stays as it is.

        Args:
            at: when that was learnt, for importing; as for `add`.

        Returns:
            The fact as it now is.

        Raises:
            NotFound, Gone, Ambiguous: for the id. BadInput: for `at`.
        """
        moment = None if at is None else micros(utc(at))
        return cast(Fact, self._submit(RetractFact(self._ref(id, agent), moment), wait))

    def correct(
        self,
        id: str,
        *,
        object: str | Entity | None = None,
        valid_from: datetime | str | None = None,
        valid_to: datetime | str | None = None,
        source: Source = None,
        confidence: float | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        agent: str | None = None,
        at: datetime | str | None = None,
        wait: Wait = None,
    ) -> Fact:
        """Put another fact in the place of one that was wrong: it is retracted when the new one is learnt.

        What isn't given is as it was; "always" as `valid_from` or `valid_to` takes that bound away. `corrects` of the
        new fact is the id of the old one.

        Returns:
            The new fact; the old one if nothing is different.

        Raises:
            NotFound, Ambiguous: for the id. Gone: it was retracted. BadInput: for a value.
        """
        self._opened.check()
        given = {
            name: value
            for name, value in {
                "object": object, "valid_from": valid_from, "valid_to": valid_to, "source": source,
                "confidence": confidence, "tags": tags, "metadata": metadata,
            }.items()
            if value is not None
        }  # fmt: skip
        if not given:
            raise BadInput("nothing to correct", hint="Say what is right: correct(id, object='Rome').")
        stored = self._resolve(id, self._namespaces.changes(agent))
        old, named, space = cast(Fact, stored.record), _Named(self), stored.agent
        ends = {"subject": old.subject, "object": given.get("object", old.object)}
        about = [*self._end(ends, "subject", space, "", named), *self._end(ends, "object", space, "", named)]
        evidence = tuple(self._sources(given, space, "", named)) if source is not None else None
        if "object" in given:
            given["object"] = ends["object"]
        open_ends = [name for name in ("valid_from", "valid_to") if given.get(name) == ALWAYS]
        said = {name: value for name, value in given.items() if name not in open_ends}
        values = {**check_values(KINDS[self.kind], said, self._opened.limits), **dict.fromkeys(open_ends)}
        moment = None if at is None else micros(utc(at))
        request = CorrectFact(
            (stored.agent, stored.id), values, new_id(), moment, about=tuple(about), evidence=evidence
        )
        return cast(Fact, self._submit(request, wait))

    # --- reading -----------------------------------------------------------------------------------------

    def get(self, id: str, *, agent: str | None = None) -> Fact:
        """The fact with this id, retracted or not. Raises NotFound, Gone, Ambiguous."""
        return cast(Fact, self._resolve(id, self._namespaces.reads(agent)).record)

    def list(
        self,
        where: Where = None,
        k: int = 100,
        *,
        subject: str | Entity | None = None,
        predicate: str | None = None,
        object: str | Entity | None = None,
        as_of: When = None,
        agent: str | Sequence[str] | None = None,
        order: str = "newest",
    ) -> FactList:
        """Facts that are believed: those learnt last first (`newest`), first (`oldest`), or by `id`; at most k.

        Args:
            where: filter on the facts as they are known now.
            subject, predicate, object: only those with it.
            as_of: a moment: true then. (valid, known) or `AsOf(valid=…, known=…)`: true then, as it was known then;
                either may be None. Not given: believed now, true at whatever time.
            agent: namespace or namespaces; None for all that the handle sees.

        Returns:
            The facts; `until`, `closed_by` and `superseded` are what was known at the moment asked for.
        """
        self._opened.check()
        limit = check_k(k, self._opened.settings.max_results)
        if order not in ORDERS:
            raise BadInput(f"{order!r} is not one of {', '.join(ORDERS)}", where="order")
        rows, cuts = self._believed(where, subject, predicate, object, parse_as_of(as_of), agent)
        log = self._opened.log
        if order != "id":
            times = log.columns.values(self.kind, "at", rows)
            rows = rows[(-times if order == "newest" else times).argsort(kind="stable")[:limit]]
        records = cast("dict[int, Fact]", log.records(rows))
        cutting = log.records([cuts[row].by for row in records if row in cuts])
        found = [
            believed.as_known(records[row], cuts.get(row), cutting) for row in rows.tolist() if row in records
        ]
        return sorted(found, key=lambda fact: (fact.id, fact.agent))[:limit] if order == "id" else found

    def current(
        self,
        subject: str | Entity | None = None,
        predicate: str | None = None,
        *,
        object: str | Entity | None = None,
        k: int = 100,
        agent: str | Sequence[str] | None = None,
    ) -> FactList:
        """What is true now, as far as we know; of a single predicate one fact for each subject and namespace."""
        now = datetime.now(UTC)
        return self.list(None, k, subject=subject, predicate=predicate, object=object, as_of=now, agent=agent)

    def count(
        self, where: Where = None, *, as_of: When = None, agent: str | Sequence[str] | None = None
    ) -> int:
        """How many facts are believed and pass a filter; as of a pair of times, see `list`."""
        self._opened.check()
        return len(self._believed(where, None, None, None, parse_as_of(as_of), agent)[0])

    def _believed(
        self, where: Where, subject: Any, predicate: Any, object: Any, moments: Moments | None, agent: Any
    ) -> tuple[Any, dict[int, believed.Cut]]:
        line = _given(subject=subject, predicate=predicate)
        wanted = {**line, **_given(object=object)}
        json = where.json if isinstance(where, Expression) else where
        both = wanted if json is None else json if not wanted else {"and": [wanted, json]}
        agents = self._namespaces.reads(agent)
        return believed.rows(self._opened.log, moments, line, parse(both, KINDS[self.kind]), agents)

    def history(  # type: ignore[override]  # of knowledge; what happened to a record is `memory.history`
        self, subject: str | Entity, predicate: str | None = None, *, agent: str | Sequence[str] | None = None
    ) -> Beliefs:
        """What was believed when of a subject: each fact with the interval in which it was believed to be true, and the
        interval in which that was believed; in the order in which it was learnt.
        """
        self._opened.check()
        line = _given(subject=subject, predicate=predicate)
        log, agents = self._opened.log, self._namespaces.reads(agent)
        rows, _ = log.mask(self.kind, parse(line, KINDS[self.kind]), agents)
        lines: dict[tuple[str, str], list[Fact]] = {}
        for record in log.records(rows).values():
            fact = cast(Fact, record)
            lines.setdefault((fact.agent, fact.predicate), []).append(fact)
        single = set(believed.single_predicates(log))
        told: list[Belief] = []
        for name, facts in lines.items():
            by_id = {fact.id: fact for fact in facts}
            claims = [(claim_of(fact), micros(fact.known_to) if fact.known_to else None) for fact in facts]
            told += [_belief(by_id[span.id], span) for span in spans(claims, single=name in single)]
        return sorted(told, key=lambda one: (one.known_from, start_of(one.fact), one.fact.id))

    def evidence(self, id: str, *, agent: str | None = None) -> EpisodeList:
        """The episodes that a fact comes from, oldest first. Raises NotFound, Gone, Ambiguous."""
        stored = self._resolve(id, self._namespaces.reads(agent))
        found = cast(EpisodeList, far_ends(self, stored, "EVIDENCE", "out"))
        return sorted(found, key=lambda episode: (episode.at, episode.id))

    def contradictions(
        self,
        subject: str | Entity | None = None,
        predicate: str | None = None,
        k: int = 100,
        *,
        known: datetime | str | None = None,
        agent: str | Sequence[str] | None = None,
    ) -> Contradictions:
        """Facts that can't both be true, two and two, with where each comes from; at most k.

        They say different objects of one subject and single predicate, in one namespace, are both believed, and
        begin at the same moment, or the one that begins first says that it lasts beyond the beginning of the other. One
        without an end that gives way to a later one is no contradiction, but how things change.

        Args:
            known: as it was known then; now if not given.
        """
        self._opened.check()
        limit = check_k(k, self._opened.settings.max_results)
        line, log = _given(subject=subject, predicate=predicate), self._opened.log
        rows, _ = log.mask(self.kind, parse(line, KINDS[self.kind]), self._namespaces.reads(agent))
        moment = None if known is None else micros(utc(known, where="known"))
        pairs = list(islice(believed.conflicts(log, believed.known_at(log, rows, moment)), limit))
        records = cast("dict[int, Fact]", log.records([row for pair in pairs for row in pair]))
        return [
            self._contradiction(records[first], records[second])
            for first, second in pairs
            if first in records and second in records
        ]

    def _contradiction(self, overruled: Fact, held: Fact) -> Contradiction:
        end = min(end_of(overruled.valid_to), end_of(held.valid_to))
        same = start_of(overruled) == start_of(held)
        return Contradiction(
            held, overruled, held.valid_from, moment_of(end), "same_start" if same else "overlap",
            *(tuple(one.id for one in self.evidence(fact.id, agent=fact.agent)) for fact in (held, overruled)),
        )  # fmt: skip

    def search(
        self,
        text: str,
        k: int = 10,
        *,
        where: Where = None,
        as_of: When = None,
        agent: str | Sequence[str] | None = None,
        mode: Mode = "blend",
        weight: float = WEIGHT,
        min_similarity: float | None = None,
        vector: Any = None,
    ) -> Hits[Fact]:
        """The believed facts most relevant to a text, by meaning and by words.

        Args:
            as_of: only what was true then, as it was known then; see `list`.
            The others: as for `episodes.retrieve`.

        Raises:
            As `episodes.retrieve`. TooLarge: more than 10,000 facts were true then, as known in the past.
        """
        self._opened.check()
        moments = parse_as_of(as_of)

        def find() -> Hits[Fact]:
            query = self._query(
                text, k, where, agent, mode=mode, weight=weight, min_similarity=min_similarity, vector=vector
            )
            found = self._retrieval.find(replace(query, moments=moments or Moments(None, None)))
            if moments is None or moments.known is None:
                return found
            ended = believed.ended_then(self._opened.log, found.records, moments, query.agents)
            hits = tuple(replace(hit, record=fact) for hit, fact in zip(found, ended, strict=True))
            return Hits(hits, found.pending, found.behind, found.query, found.kind, found.unread)

        request = None
        if vector is None:
            times = None if moments is None else tuple(moments)
            request = request_of(text, k, where, times, agent, mode, weight, min_similarity)
        return self._answered(request, find)


def _given(**names: Any) -> dict[str, str]:
    """Those of the names that were given, of entities their ids."""
    given = {name: value.id if isinstance(value, Entity) else value for name, value in names.items()}
    return {name: check_name(value, name) for name, value in given.items() if value is not None}


def _asserted(row: dict[str, Any]) -> dict[str, Any]:
    """What a row says; where it is a Fact, without what the memory filled in."""
    if not row.keys() >= set(KEPT):
        return row
    said = {name: value for name, value in row.items() if name not in KEPT}
    return {**said, "valid_from": ALWAYS} if row["valid_from"] is None else said


def _belief(fact: Fact, span: Span) -> Belief:
    return Belief(
        fact, fact.valid_from, moment_of(span.end), from_micros(span.known),
        None if span.known_to is None else from_micros(span.known_to),
    )  # fmt: skip


__all__ = ["Belief", "Contradiction", "Facts"]
