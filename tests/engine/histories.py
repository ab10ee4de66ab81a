"""Histories: valid sequences of changes, as the log would make them, and what a graph must hold after each.

What it must hold is computed with dictionaries alone, so that it owes nothing to the code under test.
"""

from __future__ import annotations

import bisect
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import Any

import msgspec

from graphsvc.model.change import Change, GoneRecord, Link, NodeRef, Patch, Put
from graphsvc.model.graph import REL_TABLES, cause_edge, own_links
from graphsvc.model.kinds import kind_of
from graphsvc.model.names import key_of, task_key
from graphsvc.model.records import Cause, Entity, Episode, Fact, Record, Skill, SkillVersion, Variable
from graphsvc.store.contents import Content, link_content, record_content, ref_content

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CONTROL = "".join(map(chr, range(1, 32)))
TEXTS = ("", "plain", "tab\tand\nline", "\u202eright to left", "e\u0301 😀 \uffff", CONTROL, "'\"`$x\\")
SKILL_LINKS = ("PREREQUISITE", "ALTERNATIVE", "REFINES", "PART_OF", "CALLS")

Step = tuple[int, int, int, int]
Ends = tuple[str, str, str]
Session = tuple[str, str]


class History:
    """Grows a list of changes step by step; each step is four numbers, whatever they are."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.episodes: dict[str, Episode] = {}
        self.skills: dict[str, Skill] = {}
        self.versions: dict[str, SkillVersion] = {}
        self.entities: dict[str, Entity] = {}
        self.facts: dict[str, Fact] = {}
        self.fact_links: dict[Ends, Link] = {}
        self.variables: dict[str, Variable] = {}
        self.causes: dict[str, Cause] = {}
        self.links: dict[Ends, dict[str, Any]] = {}
        self._sessions: dict[Session, list[tuple[datetime, str, str]]] = {}
        self._named: dict[tuple[str, str], NodeRef] = {}
        self._uses: Counter[tuple[str, str]] = Counter()
        self._made = 0

    @classmethod
    def random(cls, seed: int, steps: int) -> History:
        return cls.of(random_steps(seed, steps))

    @classmethod
    def of(cls, steps: list[Step]) -> History:
        history = cls()
        for step in steps:
            history.step(step)
        return history

    def step(self, step: Step) -> None:
        """One more change."""
        what, a, b, c = step
        verbs = (
            self._store, self._store, self._store, self._store, self._amend, self._move, self._delete,
            self._create, self._create, self._revise, self._join, self._join, self._part, self._use, self._drop,
            self._upsert, self._upsert, self._tell, self._tell, self._remove,
            self._say, self._say, self._cut_fact, self._name_variable, self._cause, self._cause, self._cause, self._expire, self._uncause,
        )  # fmt: skip
        change = Change(verb="test", n=len(self.changes) + 1)
        self._pairs_before: dict[Session, list[Ends]] = {}
        self._named_before: dict[tuple[str, str], bool] = {}
        verbs[what % len(verbs)](change, a, b, c)
        self._say_next(change)
        self._say_named(change)
        self.changes.append(change)

    # what the graph must hold

    def contents(self) -> Iterator[Content]:
        """Every node and edge that the graph must hold now."""
        records: tuple[dict[str, Any], ...] = (
            self.episodes, self.skills, self.versions, self.entities, self.facts, self.variables
        )  # fmt: skip
        for record in chain.from_iterable(one.values() for one in records):
            content = record_content(record)
            assert content is not None
            yield content
        yield from (ref_content(node) for node in self._named.values())
        yield from (link_content(link) for link in self._edges())

    def next_pairs(self) -> list[Ends]:
        """Every NEXT edge."""
        return [pair for session in self._sessions for pair in self._pairs(session)]

    def _edges(self) -> Iterator[Link]:
        for episode in self.episodes.values():
            yield Link("IN_SESSION", "Episode", episode.key, "Session", key_of(episode.agent, episode.session))
            yield Link("ATTEMPTS", "Episode", episode.key, "Task", key_of(episode.agent, task_key(episode.task)))
        for version in self.versions.values():
            yield Link("VERSION_OF", "SkillVersion", version.key, "Skill", key_of(version.agent, version.skill))
        for cause in self.causes.values():
            yield from own_links(cause)
        yield from self.fact_links.values()
        yield from (_link(ends) for ends in self.next_pairs())
        yield from (_link(ends, values) for ends, values in self.links.items())

    # sessions, tasks and agents come and go with the records that name them, NEXT with the order in a session

    def _pairs(self, session: Session) -> list[Ends]:
        return [("NEXT", a[2], b[2]) for a, b in pairwise(self._sessions.get(session, []))]

    def _enter(self, record: Record) -> None:
        self._name(record, 1)
        if isinstance(record, Episode):
            session = (record.agent, record.session)
            self._pairs_before.setdefault(session, self._pairs(session))
            bisect.insort(self._sessions.setdefault(session, []), (record.at, record.id, record.key))

    def _leave(self, record: Record) -> None:
        self._name(record, -1)
        if isinstance(record, Episode):
            session = (record.agent, record.session)
            self._pairs_before.setdefault(session, self._pairs(session))
            self._sessions[session].remove((record.at, record.id, record.key))

    def _name(self, record: Record, more: int) -> None:
        agent = record.agent
        refs = [NodeRef("Agent", key_of(agent, agent), {"id": agent})]
        if isinstance(record, Episode):
            task = task_key(record.task)
            refs.append(NodeRef("Session", key_of(agent, record.session), {"id": record.session, "agent": agent}))
            values = {"id": task, "agent": agent, "text": record.task}
            refs.append(NodeRef("Task", key_of(agent, task), values))
        for ref in refs:
            name = (ref.table, ref.key)
            self._named_before.setdefault(name, name in self._named)
            self._uses[name] += more
            if self._uses[name]:
                self._named[name] = ref
            else:
                del self._named[name]

    def _say_named(self, change: Change) -> None:
        for name, before in self._named_before.items():
            if name in self._named and not before:
                change.nodes.append(self._named[name])
            if name not in self._named and before:
                change.vanished.append(NodeRef(*name))

    def _say_next(self, change: Change) -> None:
        """How NEXT differs from before; edges at a node that goes need no word."""
        before = [ends for pairs in self._pairs_before.values() for ends in pairs]
        after = [ends for session in self._pairs_before for ends in self._pairs(session)]
        gone = {key_of(record.agent, record.id) for record in change.gone}
        change.links.extend(_link(ends) for ends in after if ends not in before)
        change.unlinks.extend(_link(ends) for ends in before if ends not in after and not gone & set(ends[1:]))

    # what may happen

    def _put(self, change: Change, kind: str, record: Record) -> None:
        change.puts.append(Put(kind, 0, msgspec.Raw(msgspec.json.encode(record))))

    def _store(self, change: Change, a: int, b: int, c: int) -> None:
        for offset in range(1 + a % 3):
            self._made += 1
            episode = Episode(
                id=f"é/{self._made}", agent=f"agent {a % 2}", at=BEGIN + timedelta(microseconds=b + offset * c),
                session=f"s{b % 4}", task=f"task {c % 5}", input=TEXTS[a % len(TEXTS)], output=TEXTS[b % len(TEXTS)],
                critique=TEXTS[c % len(TEXTS)] or None, reward=a / 7 if b % 3 else None,
                success=(True, False, None)[c % 3], latency_ms=float(b) if a % 2 else None,
                tokens=c if b % 2 else None, tags=("x", "y y")[: a % 3],
                metadata={"b": b, "a": [None, True, 1.5]} if c % 2 else {},
            )  # fmt: skip
            self.episodes[episode.key] = episode
            self._enter(episode)
            self._put(change, "episode", episode)

    def _amend(self, change: Change, a: int, b: int, c: int) -> None:
        if not self.episodes:
            return
        old = _pick(self.episodes, a)
        choices = {"critique": TEXTS[b % len(TEXTS)] or None, "reward": c / 3, "tags": ("z",) * (b % 2),
                   "metadata": {"c": c}, "success": None}  # fmt: skip
        values = {name: value for place, (name, value) in enumerate(choices.items()) if (b >> place) & 1}
        self._patch(change, "episode", old, values)
        self.episodes[old.key] = msgspec.structs.replace(old, **values)

    def _move(self, change: Change, a: int, b: int, c: int) -> None:
        """An episode gets another session, task and time."""
        if not self.episodes:
            return
        old = _pick(self.episodes, a)
        at = BEGIN + timedelta(microseconds=c)
        values: dict[str, Any] = {"session": f"s{b % 4}", "task": f"task {c % 5}", "at": at}
        new: Episode = msgspec.structs.replace(old, **values)
        self.episodes[old.key] = new
        self._leave(old)
        self._enter(new)
        self._patch(change, "episode", old, values)
        if new.session != old.session:
            change.unlinks.append(Link("IN_SESSION", "Episode", old.key, "Session", key_of(old.agent, old.session)))
            change.links.append(Link("IN_SESSION", "Episode", new.key, "Session", key_of(new.agent, new.session)))
        if new.task != old.task:
            change.unlinks.append(Link("ATTEMPTS", "Episode", old.key, "Task", key_of(old.agent, task_key(old.task))))
            change.links.append(Link("ATTEMPTS", "Episode", new.key, "Task", key_of(new.agent, task_key(new.task))))

    def _delete(self, change: Change, a: int, b: int, c: int) -> None:
        for place in range(1 + b % 3):
            if self.episodes:
                old = _pick(self.episodes, a + place)
                del self.episodes[old.key]
                self._leave(old)
                self._forget_links(old.key)
                self._cut_causes(change, old)
                change.gone.append(GoneRecord("episode", old.agent, old.id, 0))

    def _create(self, change: Change, a: int, b: int, c: int) -> None:
        self._made += 1
        skill = Skill(id=f"skill {self._made}", agent=f"agent {a % 2}", at=BEGIN, name=f"n{b}",
                      description=TEXTS[c % len(TEXTS)], tags=("t",) * (b % 2))  # fmt: skip
        self.skills[skill.key] = skill
        self._enter(skill)
        self._put(change, "skill", skill)
        self._add_version(change, skill)

    def _add_version(self, change: Change, skill: Skill) -> None:
        version = SkillVersion(id=f"{skill.id}@{skill.version}", agent=skill.agent, at=skill.at, skill=skill.id,
                               version=skill.version, name=skill.name, code=skill.code)  # fmt: skip
        self.versions[version.key] = version
        self._put(change, "skill_version", version)

    def _revise(self, change: Change, a: int, b: int, c: int) -> None:
        if not self.skills:
            return
        old = _pick(self.skills, a)
        values = {"version": old.version + 1, "code": f"code {b}", "last_used": BEGIN + timedelta(days=c)}
        self.skills[old.key] = msgspec.structs.replace(old, **values)
        self._patch(change, "skill", old, values)
        self._add_version(change, self.skills[old.key])

    def _join(self, change: Change, a: int, b: int, c: int) -> None:
        if len(self.skills) < 2:
            return
        source, target, rel = _pick(self.skills, a), _pick(self.skills, b), SKILL_LINKS[c % len(SKILL_LINKS)]
        self._set_link(change, (rel, source.key, target.key), {} if rel == "CALLS" else {"weight": c / 8})

    def _use(self, change: Change, a: int, b: int, c: int) -> None:
        if not self.skills or not self.episodes:
            return
        ends = ("USED", _pick(self.episodes, a).key, _pick(self.skills, b).key)
        uses = self.links.get(ends, {}).get("uses", 0) + 1
        self._set_link(change, ends, {"uses": uses, "success": bool(c % 2), "reward": None if c % 3 else c / 5})

    def _set_link(self, change: Change, ends: Ends, values: dict[str, Any]) -> None:
        if ends in self.links:
            change.unlinks.append(_link(ends))
        change.links.append(_link(ends, values))
        self.links[ends] = values

    def _part(self, change: Change, a: int, b: int, c: int) -> None:
        if self.links:
            ends = list(self.links)[a % len(self.links)]
            del self.links[ends]
            change.unlinks.append(_link(ends))

    def _drop(self, change: Change, a: int, b: int, c: int) -> None:
        """A skill goes, with its versions."""
        if not self.skills:
            return
        old = _pick(self.skills, a)
        for number in range(1, old.version + 1):
            version = self.versions.pop(key_of(old.agent, f"{old.id}@{number}"))
            change.gone.append(GoneRecord("skill_version", version.agent, version.id, 0))
        del self.skills[old.key]
        self._leave(old)
        self._forget_links(old.key)
        self._cut_causes(change, old)
        change.gone.append(GoneRecord("skill", old.agent, old.id, 0))

    def _upsert(self, change: Change, a: int, b: int, c: int) -> None:
        """A new entity, or new values for an old one."""
        if self.entities and c % 2:
            old = _pick(self.entities, a)
            values = {"description": TEXTS[b % len(TEXTS)], "metadata": {"b": b}}
            self.entities[old.key] = msgspec.structs.replace(old, **values)
            self._patch(change, "entity", old, values)
            return
        self._made += 1
        entity = Entity(id=f"file:{self._made}", agent=f"agent {a % 3}", at=BEGIN, kind="file", name=f"é/{b}",
                        tags=("t",) * (b % 2))  # fmt: skip
        self.entities[entity.key] = entity
        self._enter(entity)
        self._put(change, "entity", entity)

    def _tell(self, change: Change, a: int, b: int, c: int) -> None:
        """An episode is about an entity, or another episode is evidence of how it went."""
        if not self.episodes or not self.entities:
            return
        source, evidence = _pick(self.episodes, a), _pick(self.episodes, b)
        if c % 2:
            self._set_link(change, ("ABOUT", source.key, _pick(self.entities, b).key), {})
        elif source is not evidence:
            self._set_link(change, ("EVIDENCE", source.key, evidence.key), {})

    def _remove(self, change: Change, a: int, b: int, c: int) -> None:
        if self.entities:
            old = _pick(self.entities, a)
            del self.entities[old.key]
            self._leave(old)
            self._forget_links(old.key)
            self._cut_causes(change, old)
            change.gone.append(GoneRecord("entity", old.agent, old.id, 0))

    def _name_variable(self, change: Change, a: int, b: int, c: int) -> None:
        self._made += 1
        variable = Variable(id=f"größe {self._made}", agent=f"agent {a % 2}", at=BEGIN, name=f"v{b}", is_reward=bool(c % 2))
        self.variables[variable.key] = variable
        self._enter(variable)
        self._put(change, "variable", variable)

    def _cause(self, change: Change, a: int, b: int, c: int) -> None:
        """Edges between any two nodes, also beside each other, and from one to itself."""
        nodes = [*list(self.episodes.values())[:3], *list(self.skills.values())[:3], *self.entities.values(),
                 *self.variables.values()]  # fmt: skip
        if not nodes:
            return
        source, target = nodes[a % len(nodes)], nodes[b % len(nodes)]
        for parallel in range(1 + c % 2):
            self._made += 1
            cause = Cause(
                id=f"c/{self._made}", agent=f"agent {a % 2}", at=BEGIN + timedelta(microseconds=c), cause=source.id,
                cause_kind=kind_of(source).name, cause_agent=source.agent, effect=target.id,
                effect_kind=kind_of(target).name, effect_agent=target.agent, uplift=(c % 5 - 2) / 2, n=c if b % 2 else None,
                mechanism=TEXTS[b % len(TEXTS)], evidence=("é/1", "é/2")[: a % 3], metadata={"p": parallel},
                valid_to=BEGIN if c % 3 else None,
            )  # fmt: skip
            self.causes[cause.key] = cause
            self._enter(cause)
            self._put(change, "cause", cause)

    def _expire(self, change: Change, a: int, b: int, c: int) -> None:
        if self.causes:
            old = _pick(self.causes, a)
            end = BEGIN + timedelta(days=b)
            values = {"valid_to": end, "endings": {str(c): end.isoformat()}}
            self.causes[old.key] = msgspec.structs.replace(old, **values)
            self._patch(change, "cause", old, values)
            change.patches[-1] = msgspec.structs.replace(change.patches[-1], edge=cause_edge(old))

    def _uncause(self, change: Change, a: int, b: int, c: int) -> None:
        if self.causes:
            self._retire(change, _pick(self.causes, a))

    def _retire(self, change: Change, cause: Cause) -> None:
        del self.causes[cause.key]
        self._leave(cause)
        change.unlinks.append(cause_edge(cause))
        change.gone.append(GoneRecord("cause", cause.agent, cause.id, 0))

    def _cut_causes(self, change: Change, record: Record) -> None:
        """A node that goes takes along what it causes, and what causes it."""
        node = (kind_of(record).name, record.agent, record.id)
        for cause in list(self.causes.values()):
            ends = ((cause.cause_kind, cause.cause_agent, cause.cause),
                    (cause.effect_kind, cause.effect_agent, cause.effect))  # fmt: skip
            if node in ends:
                self._retire(change, cause)

    def _say(self, change: Change, a: int, b: int, c: int) -> None:
        """A fact, under a key that an episode may have too, with edges to an entity and an episode if there are any."""
        self._made += 1
        fact = Fact(
            id=f"é/{self._made + c % 2}", agent=f"agent {a % 2}", at=BEGIN, subject=f"s{a}", predicate="is",
            object=TEXTS[b % len(TEXTS)] or "o", valid_from=BEGIN + timedelta(days=b) if b % 2 else None,
            confidence=0.5 if c % 3 else None, tags=("t",) * (b % 2),
        )  # fmt: skip
        if fact.key in self.facts:
            return
        self.facts[fact.key] = fact
        self._enter(fact)
        self._put(change, "fact", fact)
        for rel, table, ends in (("ABOUT", "Entity", self.entities), ("EVIDENCE", "Episode", self.episodes)):
            if ends and c % 3:
                link = Link(rel, "Fact", fact.key, table, _pick(ends, b).key)
                change.links.append(link)
                self.fact_links[(rel, link.source, link.target)] = link

    def _cut_fact(self, change: Change, a: int, b: int, c: int) -> None:
        """A fact is cut by another, or goes."""
        if not self.facts:
            return
        old = _pick(self.facts, a)
        if c % 3:
            values: dict[str, Any] = {"until": BEGIN + timedelta(days=b), "closed_by": f"f{b}", "superseded": bool(c % 2)}
            self.facts[old.key] = msgspec.structs.replace(old, **values)
            self._patch(change, "fact", old, values)
            return
        del self.facts[old.key]
        self._leave(old)
        self.fact_links = {ends: link for ends, link in self.fact_links.items() if ends[1] != old.key}
        change.gone.append(GoneRecord("fact", old.agent, old.id, 0))

    def _forget_links(self, key: str) -> None:
        self.fact_links = {ends: link for ends, link in self.fact_links.items() if ends[2] != key}
        self.links = {ends: values for ends, values in self.links.items() if key not in ends[1:]}

    @staticmethod
    def _patch(change: Change, kind: str, record: Record, values: dict[str, Any]) -> None:
        decoded = msgspec.json.decode(msgspec.json.encode(values))  # as the log gives them back
        change.patches.append(Patch(kind, record.agent, record.id, 0, decoded))


def random_steps(seed: int, steps: int) -> list[Step]:
    """Steps by chance, the same for the same seed, and the first of them whatever the number."""
    chance = random.Random(seed)
    return [
        (chance.randrange(1 << 16), chance.randrange(1 << 16), chance.randrange(1 << 16), chance.randrange(1 << 16))
        for _ in range(steps)
    ]


def _link(ends: Ends, values: dict[str, Any] | None = None) -> Link:
    rel, source, target = ends
    (source_table, target_table), *_ = REL_TABLES[rel].pairs
    return Link(rel, source_table, source, target_table, target, values or {})


def _pick(records: dict[str, Any], place: int) -> Any:
    return list(records.values())[place % len(records)]
