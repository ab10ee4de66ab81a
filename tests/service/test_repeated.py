"""What is kept between requests, and whose it is: answers to calls that are sent again, ids drawn from a client's, documents."""

from __future__ import annotations

import asyncio
import traceback
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

import graphsvc
from graphsvc.config import ServiceSettings
from graphsvc.errors import Closed
from graphsvc.remote import wire
from graphsvc.service.access import Caller
from graphsvc.service.events import Events
from graphsvc.service.gate import Call, Gate
from graphsvc.service.graphql.documents import KEPT_CHARACTERS, Asked, Documents, Refused
from graphsvc.service.graphql.fields import own_id
from graphsvc.service.graphql.schema import build
from graphsvc.service.keys import FILE, Keys
from graphsvc.service.operations import Role

from .conftest import serving


def test_an_answer_is_given_again_to_who_asked_and_to_nobody_of_the_same_name(tmp_path: Path) -> None:
    directory = tmp_path / "memory"
    graphsvc.open(directory, embedder="hashing").close()
    keys = Keys(directory / FILE)

    def ada_of(namespace: str) -> str:
        return keys.create("ada", "writer", [namespace], datetime.now(UTC))[1]

    first = ada_of("a")
    with serving(directory) as url:

        def post(key: str) -> object:
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "the same key"}
            body = wire.encode({"options": {"kind": "city", "name": "Rome", "description": "of the first"}})
            return wire.decode(httpx.post(f"{url}/call/entities.upsert", content=body, headers=headers).content)

        one = post(first)
        assert post(first) == one
        keys.revoke("ada", datetime.now(UTC))
        other = post(ada_of("b"))
        assert (one.agent, other.agent) == ("a", "b")  # type: ignore[attr-defined]


def test_an_id_that_is_drawn_from_a_clients_is_its_callers_own() -> None:
    ann = Caller("ada", Role.WRITER, ("a",), identity="k1")
    drawn = [
        own_id(caller, mutation, client)
        for caller, mutation, client in (
            (ann, "storeEpisode", "x" * 16),
            (Caller("ada", Role.WRITER, ("a",), identity="k2"), "storeEpisode", "x" * 16),
            (ann, "createSkill", "x" * 16),
            (Caller("a", Role.WRITER), "storeEpisode", "storeEpisode/x"),
            (Caller("a/storeEpisode", Role.WRITER), "storeEpisode", "x"),
        )
    ]
    assert len(set(drawn)) == len(drawn)
    assert own_id(ann, "storeEpisode", "x" * 16) == drawn[0]


def test_what_is_refused_again_and_again_holds_no_more_than_once() -> None:
    documents, schema = Documents(ServiceSettings()), build()
    depths = []
    for _ in range(20):
        with pytest.raises(Refused) as caught:
            documents.ready(schema, Asked("{ nothing }", None, None, None))
        depths.append(len(list(traceback.walk_tb(caught.value.__traceback__))))
        assert all(error.__traceback__ is None for error in caught.value.errors)
        assert caught.value.errors[0].formatted["locations"] == [{"line": 1, "column": 3}]
    assert len(set(depths)) == 1


def test_long_documents_are_not_kept() -> None:
    documents, schema = Documents(ServiceSettings()), build()
    for length, kept in ((10, 1), (KEPT_CHARACTERS, 1)):
        text = f'{{ recall(text: "{"x" * length}") {{ pending }} }}'
        assert documents.ready(schema, Asked(text, None, None, None))
        assert len(documents._kept) == kept


def test_those_who_watch_how_far_projections_are_share_one_look(path: Path) -> None:
    admin = Caller("ada", Role.ADMIN)
    calls: list[Call] = []

    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            gate = Gate(memory)
            gate.listeners.append(calls.append)
            events = Events(gate)
            heads: list[list[int]] = [[] for _ in range(5)]

            async def watch(mine: list[int]) -> None:
                async for told in events.status(admin, until_done=False):
                    mine.append(told["head"])

            tasks = [asyncio.create_task(watch(mine)) for mine in heads]
            await asyncio.sleep(0.5)
            stored = await memory.episodes.store(session="s", task="t")
            await memory.wait()
            await asyncio.sleep(1.0)
            assert stored
            assert all(mine[0] == 0 and mine[-1] > 0 for mine in heads), heads
            assert [call.operation for call in calls] == ["status"] * 5
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.5)
            assert events._watch is not None
            assert events._watch.done()  # nobody watches: nothing looks

    asyncio.run(main())


def test_who_listens_when_the_memory_is_closed_is_told_and_waits_no_longer(path: Path) -> None:
    async def main() -> None:
        memory = await graphsvc.aopen(path, embedder="hashing")
        events = Events(Gate(memory))
        caller = Caller("ada", Role.ADMIN)

        async def listen() -> None:
            async for _ in events.changes(caller):
                pass

        async def watch() -> None:
            async for _ in events.status(caller, until_done=False):
                pass

        tasks = [asyncio.create_task(listen()), asyncio.create_task(watch())]
        await asyncio.sleep(0.3)
        await memory.close()
        found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert all(isinstance(error, Closed | RuntimeError) for error in found), found  # its threads may go first

    asyncio.run(main())
