"""Whatever is done to a memory, it stays what a plain dictionary would be; killed and reopened, too."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from graphsvc.embedding.hashing import HashingRuntime
from graphsvc.model.filters import matches, parse
from graphsvc.model.kinds import KINDS
from graphsvc.model.records import Episode
from graphsvc.model.texts import embedded_text

from .chaos.process import Child

START = datetime(2026, 1, 1, tzinfo=UTC)
words = st.sampled_from(
    ["deploy", "the", "api", "roll", "back", "a", "release", "test", "build", "staging", "migration", "queue", "cache"]
)
texts = st.lists(words, min_size=1, max_size=5).map(" ".join)
maybe = st.none() | texts
times = st.integers(0, 30).map(lambda days: START + timedelta(days=days))

fields = st.fixed_dictionaries(
    {"session": st.sampled_from(["s1", "s2"]), "task": texts, "at": times.map(datetime.isoformat)},
    optional={
        "agent": st.sampled_from(["default", "builder"]),
        "output": texts,
        "critique": maybe,
        "reward": st.none() | st.integers(0, 10).map(lambda tenths: tenths / 10),
        "success": st.none() | st.booleans(),
        "tokens": st.none() | st.integers(0, 3),
        "tags": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
        "metadata": st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 2) | st.booleans() | st.just("z")),
    },
)
amendments = st.fixed_dictionaries(
    {},
    optional={
        "session": st.sampled_from(["s1", "s2", "s3"]), "task": texts, "critique": maybe, "at": times.map(datetime.isoformat),
        "reward": st.none() | st.just(0.7), "success": st.none() | st.booleans(), "tags": st.lists(st.sampled_from(["a", "d"])),
    },
).filter(bool)  # fmt: skip
filters = st.sampled_from(
    [
        {}, {"success": False}, {"reward": {"ge": 0.5}}, {"reward": {"lt": 0.5}, "session": "s1"}, {"tags": "a"},
        {"tags": {"in": ["b", "c"]}}, {"metadata.x": 1}, {"metadata.x": True}, {"not": {"metadata.x": {"ge": 1}}},
        {"critique": None}, {"critique": {"contains": "deploy"}}, {"or": [{"tokens": 2}, {"success": True}]},
        {"at": {"ge": (START + timedelta(days=15)).isoformat()}}, {"task": {"contains": "api"}}, {"reward": {"ne": 0.7}},
    ]
)  # fmt: skip


def embed(text: str) -> np.ndarray:
    return HashingRuntime().embed([text]).vectors[0]


def as_record(values: dict[str, Any]) -> Episode:
    known = {**values, "at": datetime.fromisoformat(values["at"]), "tags": tuple(sorted(set(values.get("tags", ()))))}
    return Episode(**known)


class MemoryMachine(RuleBasedStateMachine):
    """The memory lives in a child process, which may be killed; the model is a dictionary here."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model: dict[tuple[str, str], dict[str, Any]] = {}
        self.count = 0
        self.snapshots = 0

    @initialize()
    def start(self) -> None:
        self.child = Child(self.folder / "memory", "kuzu")

    def teardown(self) -> None:
        self.child.kill()
        shutil.rmtree(self.folder)

    def named(self, values: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        return {"agent": "default", **values, "id": f"e{self.count:04}"}

    def learn(self, values: dict[str, Any]) -> tuple[str, str]:
        self.model[(values["agent"], values["id"])] = values
        return values["agent"], values["id"]

    @rule(target=ids, values=fields)
    def store(self, values: dict[str, Any]) -> tuple[str, str]:
        named = self.named(values)
        self.child.ask("episodes.store", **named)
        return self.learn(named)

    @rule(target=ids, many=st.lists(fields, max_size=6))
    def store_many(self, many: list[dict[str, Any]]) -> Any:
        named = [self.named(values) for values in many]
        self.child.ask("episodes.store_many", episodes=named)
        return multiple(*(self.learn(values) for values in named))

    @rule(id=ids, values=amendments)
    def amend(self, id: tuple[str, str], values: dict[str, Any]) -> None:
        answer = self.child.try_("episodes.amend", id=id[1], agent=id[0], **values)
        if id in self.model:
            assert "error" not in answer, answer
            self.model[id] = {**self.model[id], **values}
        else:
            assert answer["error"]["code"] == "gone"

    @rule(id=consumes(ids))
    def delete(self, id: tuple[str, str]) -> None:
        answer = self.child.try_("episodes.delete", id=id[1], agent=id[0])
        if self.model.pop(id, None) is None:
            assert answer["error"]["code"] == "gone"

    @rule(reward=st.sampled_from([0.3, 0.6]), keep=st.integers(0, 2))
    def prune(self, reward: float, keep: int) -> None:
        expected = set()
        by_task: dict[tuple[str, str], list[Episode]] = {}
        for values in self.model.values():
            record = as_record(values)
            by_task.setdefault((record.agent, record.task), []).append(record)
        for episodes in by_task.values():
            # Best first: reward, none last; of equals the newer; of those the smaller id.
            episodes.sort(key=lambda e: (e.reward is None, -(e.reward or 0), -e.at.timestamp(), e.id))
            expected |= {(e.agent, e.id) for e in episodes[keep:] if e.reward is not None and e.reward < reward}
        dry = self.child.ask("episodes.prune", min_reward=reward, keep_min_per_task=keep, dry_run=True)
        gone = self.child.ask("episodes.prune", min_reward=reward, keep_min_per_task=keep)
        assert sorted(gone) == sorted(dry) == sorted(id for _, id in expected)
        for id in expected:
            del self.model[id]

    @rule()
    def reopen(self) -> None:
        self.child.close()
        self.child = Child(self.folder / "memory", "kuzu")

    @rule()
    def kill(self) -> None:
        self.child.kill()
        self.child = Child(self.folder / "memory", "kuzu")

    @rule(back=st.integers(0, 9))
    def trim(self, back: int) -> None:
        self.snapshots += 1
        self.child.ask("snapshot", path=str(self.folder / f"snapshot{self.snapshots}"))
        before = max(1, self.child.ask("status")["head"] + 1 - back)
        self.child.ask("trim", before=before)

    @rule(where=filters)
    def filter_and_count(self, where: dict[str, Any]) -> None:
        wanted = parse(where, KINDS["episode"])
        expected = sorted(values["id"] for values in self.model.values() if matches(wanted, as_record(values)))
        assert self.child.ask("episodes.count", where=where) == len(expected)
        found = self.child.ask("episodes.list", where=where, order="id")
        assert [episode["id"] for episode in found] == expected

    @rule(text=texts, where=filters, k=st.integers(1, 5))
    def retrieve_by_vector(self, text: str, where: dict[str, Any], k: int) -> None:
        """Exact: the k of highest cosine, ties by id."""
        wanted = parse(where, KINDS["episode"])
        records = [as_record(values) for values in self.model.values()]
        query = embed(text)
        scored = [
            (-round(float(query @ embed(embedded_text(record) or "")), 4), record.id)
            for record in records
            if matches(wanted, record)
        ]
        hits = self.child.ask("found", text=text, k=k, where=where, mode="vector")
        assert len(hits) == min(k, len(scored))
        expected = sorted(scored)[:k]
        assert [round(hit["score"], 3) for hit in hits] == pytest.approx([-score for score, _ in expected], abs=2e-3)
        # Scores that differ clearly have their records in the same order.
        assert (
            {hit["id"] for hit in hits} <= {id for score, id in scored if score <= expected[-1][0] + 2e-3}
            if hits
            else True
        )

    @rule(text=texts, where=filters)
    def blend_gives_k_whenever_k_match(self, text: str, where: dict[str, Any]) -> None:
        wanted = parse(where, KINDS["episode"])
        passing = {values["id"] for values in self.model.values() if matches(wanted, as_record(values))}
        hits = self.child.ask("found", text=text, k=4, where=where, mode="blend")
        assert len(hits) == min(4, len(passing))
        assert {hit["id"] for hit in hits} <= passing

    @rule(id=ids)
    def get(self, id: tuple[str, str]) -> None:
        answer = self.child.try_("episodes.get", id=id[1], agent=id[0])
        if id not in self.model:
            assert answer["error"]["code"] == "gone"
            return
        expected = as_record(self.model[id])
        for name, value in self.model[id].items():
            found = answer["result"][name]
            if name == "at":
                assert datetime.fromisoformat(found) == expected.at
            elif name == "tags":
                assert tuple(found) == expected.tags
            else:
                assert found == value

    @rule()
    def verify(self) -> None:
        report = self.child.ask("verify")
        assert report["ok"], report["problems"]

    @invariant()
    def count_is_right(self) -> None:
        if hasattr(self, "child"):
            assert self.child.ask("episodes.count") == len(self.model)


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
TestMemoryIsADictionary = MemoryMachine.TestCase
TestMemoryIsADictionary.settings = settings(
    max_examples=4, stateful_step_count=25, deadline=None, suppress_health_check=CHECKS, derandomize=True
)


class LongMachine(MemoryMachine):
    """The same, for longer."""


TestMemoryIsADictionaryForLong = pytest.mark.slow(LongMachine.TestCase)
TestMemoryIsADictionaryForLong.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=CHECKS
)
