"""GraphQL as clients send it: to the letter of the specification, within limits, over HTTP, WebSocket and event streams."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from gql import Client, GraphQLRequest, gql
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport
from graphql import build_schema, get_introspection_query, parse

import graphsvc
from graphsvc.config import ServiceSettings
from graphsvc.service.graphql.documents import Asked, Documents, Refused
from graphsvc.service.graphql.limits import Limits, TooMuch, check, check_length
from graphsvc.service.graphql.schema import build

from ..conftest import ROOT
from .conftest import serving

AUDIT = Path(__file__).parent / "audit"
REFUSED_SECONDS = 0.05
COUNT = "{ episodes(first: 2) { totalCount } }"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where GraphQL is, of a memory with three episodes."""
    directory = tmp_path_factory.mktemp("graphql") / "memory"
    with graphsvc.open(directory, embedder="hashing") as memory:
        memory.episodes.store_many([{"id": f"e{n}", "session": "s", "task": "deploy"} for n in range(3)])
    with serving(directory) as address:
        yield f"{address}/graphql"


def ask(url: str, query: str, **more: Any) -> httpx.Response:
    return httpx.post(url, json={"query": query, **more}, timeout=30)


@pytest.mark.skipif(shutil.which("npm") is None, reason="the audit suite is JavaScript: it needs Node and npm")
def test_all_of_the_specifications_audit_is_met(url: str, tmp_path: Path) -> None:
    shutil.copytree(AUDIT, tmp_path / "audit", ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent"]
    if subprocess.run(install, cwd=tmp_path / "audit", check=False, timeout=120, capture_output=True).returncode:
        pytest.skip("npm can't reach its registry from here")
    done = subprocess.run(
        ["node", "audit.js", url], cwd=tmp_path / "audit", capture_output=True, text=True, check=True, timeout=120
    )
    found = json.loads(done.stdout)
    assert len(found) >= 50
    assert [audit for audit in found if audit["status"] != "ok"] == []


# --- limits ---------------------------------------------------------------------------------------------

BOMBS = {
    "depth": "{ episodes { nodes " + "{ next { nodes " * 30 + "{ id }" + " } }" * 30 + " } }",
    "aliases": "{ " + " ".join(f"a{n}: __typename" for n in range(1_000)) + " }",
    "cost": "{ " + "episodes(first: 1000) { nodes { " * 4 + "id" + " } }" * 4 + " }",
    "tokens": "{ " + "__typename " * 20_000 + "}",
    "fragments": "{ ...f0 } " + " ".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(40))
    + " fragment f40 on Query { __typename }",
    "circle": "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
    "nesting": "{ " + "a { " * 5_000 + "b" + " }" * 5_000 + " }",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_before_anything_is_done_and_at_once(url: str, bomb: str) -> None:
    found = ask(url, BOMBS[bomb])
    assert found.status_code == 200, found.text
    assert "data" not in found.json()
    assert found.json()["errors"]
    documents, schema = Documents(ServiceSettings()), build()
    took = []
    for number in range(5):
        text = BOMBS[bomb] + f" # {number}"  # another each time: what is known is refused sooner
        began = time.thread_time()  # whatever else the machine has to do
        with pytest.raises(Refused):
            documents.ready(schema, Asked(text, None, None, None))
        took.append(time.thread_time() - began)
    assert min(took) < REFUSED_SECONDS


@pytest.mark.parametrize(("query", "variables", "cost"), [
    ("query($n: Int!) { episodes(first: $n) { nodes { id } } }", {"n": 50.0}, 1 + 50 + 50),
    ("query($n: Int!) { episodes(first: $n) { nodes { id } } }", {"n": 50}, 1 + 50 + 50),
    ("query($n: Int = 50) { episodes(first: $n) { nodes { id } } }", {}, 1 + 50 + 50),
    ("query($n: Int) { episodes(first: $n) { nodes { id } } }", {"n": None}, 1 + 20 + 20),
    ("{ episodes { nodes { id } } }", None, 1 + 20 + 20),
    ('{ retrieve(text: "a") { items { score } } }', None, 1 + 10 + 10),
    ("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a"] * 70}, 1 + 70),
    ('{ nodes(ids: ["a", "b", "c"]) { id } }', None, 1 + 3),
    ('{ retrieveMany(texts: ["a", "b"], k: 5) { items { score } } }', None, 1 + 10 + 10),
])  # fmt: skip
def test_what_a_document_costs_is_how_many_values_its_answer_may_hold(query: str, variables: Any, cost: int) -> None:
    schema, document = build(), parse(query)
    check(schema, document, replace(Limits.of(ServiceSettings()), cost=cost), variables)
    with pytest.raises(TooMuch, match="costs too much"):
        check(schema, document, replace(Limits.of(ServiceSettings()), cost=cost - 1), variables)


def test_fragments_that_validation_would_compare_in_pairs_are_limited(url: str) -> None:
    many = 150
    spread = " ".join(f"...f{n}" for n in range(many))
    defined = " ".join(f"fragment f{n} on Query {{ __typename }}" for n in range(many))
    found = ask(url, f"{{ {spread} }} {defined}").json()
    assert found["errors"][0]["extensions"] == {"code": "too_large", "limit": 100}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ('{ a(x: "' + "y " * 6_000 + '") }', 8), ("{ a } # " + "b " * 6_000, 4), ('{ a(x: """' + 'c " ' * 6_000 + '""") }', 8),
        ("{ a(x: 1.5e-3, y: $z) ...f }", 14), ("," * 6_000 + "{ a }", 3), ("{ " + "a " * 4_998 + "}", 5_000),
    ],
)  # fmt: skip
def test_what_is_long_and_has_few_tokens_is_parsed(text: str, tokens: int) -> None:
    limits = Limits.of(ServiceSettings())
    check_length(text, limits)
    assert parse(text, max_tokens=limits.tokens).token_count == tokens


def test_a_batch_has_a_limit_too(url: str) -> None:
    found = httpx.post(url, json=[{"query": COUNT}] * 3).json()
    assert [one["data"]["episodes"]["totalCount"] for one in found] == [3, 3, 3]
    mixed = httpx.post(url, json=[{"query": COUNT}, {"query": "{ nothing }"}]).json()
    assert "data" in mixed[0]
    assert "errors" in mixed[1]
    took = []
    for _ in range(5):
        refused = httpx.post(url, json=[{"query": COUNT}] * 1_000)
        took.append(refused.elapsed.total_seconds())
    assert min(took) < 10 * REFUSED_SECONDS  # by the clock, of a machine that may have else to do
    assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (400, "too_large")


def test_the_cost_of_a_page_is_what_is_asked_for_also_by_a_variable(url: str) -> None:
    query = "query Q($n: Int) { episodes(first: $n) { nodes { id task output critique } } }"
    assert "data" in ask(url, query, variables={"n": 100}).json()
    refused = ask(url, query, variables={"n": 100_000}).json()
    assert refused["errors"][0]["extensions"]["code"] == "too_large"


def test_the_schema_can_be_asked_for_within_the_limits(url: str) -> None:
    found = ask(url, get_introspection_query()).json()
    assert "errors" not in found, found["errors"]
    assert found["data"]["__schema"]["queryType"]["name"] == "Query"


def test_introspection_is_off_where_the_settings_say(tmp_path: Path) -> None:
    with serving(tmp_path / "memory", GRAPHSVC_SERVICE_GRAPHQL_INTROSPECTION="false") as address:
        found = ask(f"{address}/graphql", "{ __schema { queryType { name } } }").json()
        assert "introspection" in found["errors"][0]["message"].lower()
        assert "data" in ask(f"{address}/graphql", COUNT).json()


def test_trusted_documents_alone_are_taken_where_there_are_some(tmp_path: Path) -> None:
    (tmp_path / "documents.json").write_text(json.dumps({"count": COUNT}))
    with serving(tmp_path / "memory", GRAPHSVC_SERVICE_GRAPHQL_DOCUMENTS=str(tmp_path / "documents.json")) as address:
        url = f"{address}/graphql"
        assert httpx.post(url, json={"documentId": "count"}).json()["data"] == {"episodes": {"totalCount": 0}}
        assert httpx.get(url, params={"documentId": "count"}).json()["data"] == {"episodes": {"totalCount": 0}}
        assert ask(url, COUNT).status_code == 403
        assert httpx.post(url, json={"documentId": "other"}).status_code == 404


# --- the page -------------------------------------------------------------------------------------------


def test_the_page_loads_all_that_it_needs_from_the_package(url: str) -> None:
    page = httpx.get(url, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    loaded = [part.partition('"')[0] for part in page.text.split('="/graphql/')[1:]]
    assert len(loaded) == 5
    for name in loaded:
        assert httpx.get(f"{url}/{name}").status_code == 200
    assert "https://" not in page.text


# --- clients --------------------------------------------------------------------------------------------


def test_a_real_client_asks_over_http(url: str) -> None:
    async def main() -> None:
        async with Client(transport=HTTPXAsyncTransport(url=url), fetch_schema_from_transport=True) as session:
            query = "query Q($n: Int) { episodes(first: $n) { nodes { id task } totalCount } }"
            found = await session.execute(GraphQLRequest(query, variable_values={"n": 2}))
            assert found["episodes"]["totalCount"] == 3
            assert len(found["episodes"]["nodes"]) == 2

    asyncio.run(main())


def store(url: str, id: str, task: str) -> None:
    found = ask(url, f'mutation {{ storeEpisode(input: {{session: "live", task: "{task}", id: "{id}"}}) {{ __typename }} }}')
    assert "errors" not in found.json(), found.text


def socket_of(url: str) -> WebsocketsTransport:
    return WebsocketsTransport(url=url.replace("http:", "ws:"), subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL])


def test_a_real_client_listens_over_a_websocket(url: str) -> None:
    async def main() -> None:
        async with Client(transport=socket_of(url)) as session:
            assert (await session.execute(gql(COUNT)))["episodes"]["totalCount"] >= 3
            heard = []
            stream = session.subscribe(gql('subscription { episodeStored(filter: {task: {contains: "wanted"}}) { task } }'))
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.5)
            for number, task in enumerate(("not this", "wanted one", "wanted two")):
                await asyncio.to_thread(store, url, f"ws{number}", task)
            heard.append(await asyncio.wait_for(waiting, 10))
            heard.append(await asyncio.wait_for(anext(stream), 10))
            assert [one["episodeStored"]["task"] for one in heard] == ["wanted one", "wanted two"]
            await stream.aclose()

    asyncio.run(main())


def test_progress_ends_when_all_is_done_and_many_listen_at_once(url: str) -> None:
    async def main() -> None:
        async with Client(transport=socket_of(url)) as session:
            async def progress() -> dict[str, Any]:
                return [one["progress"] async for one in session.subscribe(
                    gql("subscription { progress { head pending lag { projection entries } } }"))][-1]  # fmt: skip

            for last in await asyncio.gather(*(progress() for _ in range(5))):
                assert all(each["entries"] == 0 for each in last["lag"])

    asyncio.run(main())


def test_a_socket_that_breaks_the_protocol_is_closed_with_its_code(url: str) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    async def close_code(*messages: str, protocol: str = "graphql-transport-ws") -> int | None:
        async with connect(url.replace("http:", "ws:"), subprotocols=[protocol]) as socket:  # type: ignore[list-item]
            try:
                for message in messages:
                    await socket.send(message)
                while True:
                    await asyncio.wait_for(socket.recv(), 5)
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else None

    async def main() -> None:
        begin = '{"type": "connection_init"}'
        long = '{"id": "1", "type": "subscribe", "payload": {"query": "subscription { lag { head } }"}}'
        assert await close_code("no JSON") == 4400
        assert await close_code(begin, '{"type": "nothing"}') == 4400
        assert await close_code(begin, begin) == 4429
        assert await close_code(long) == 4401
        assert await close_code(begin, long, long) == 4409
        assert await close_code(begin, protocol="graphql-ws") == 4406

    asyncio.run(main())


def test_an_id_that_is_used_again_at_once_counts_and_ends_with_the_socket(tmp_path: Path) -> None:
    from websockets.asyncio.client import connect

    async def main(url: str) -> None:
        lag = {"type": "subscribe", "payload": {"query": "subscription { lag { head } }"}}
        async with connect(url.replace("http:", "ws:"), subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send('{"type": "connection_init"}')
            for _ in range(6):  # each ends the one before, and takes its id
                await socket.send('{"type": "complete", "id": "again"}')
                await socket.send(json.dumps({**lag, "id": "again"}))
            await socket.send(json.dumps({**lag, "id": "2"}))
            await socket.send(json.dumps({**lag, "id": "3"}))
            refused = []
            while not refused:
                told = json.loads(await asyncio.wait_for(socket.recv(), 5))
                refused += [told["id"]] if told["type"] == "error" else []
            assert refused == ["3"]
            begin = {"id": "q", "type": "subscribe", "payload": {"query": "{ __typename }"}}
            await socket.send('{"type": "complete", "id": "2"}')
            for _ in range(3):  # of a query that is complete the id is free
                await socket.send(json.dumps(begin))
                while json.loads(await asyncio.wait_for(socket.recv(), 5))["type"] != "complete":
                    pass

    with serving(tmp_path / "m", GRAPHSVC_SERVICE_GRAPHQL_SUBSCRIPTIONS="2") as address:
        asyncio.run(main(f"{address}/graphql"))


def test_an_event_stream_tells_changes_and_says_when_it_is_complete(url: str) -> None:
    async def main() -> list[dict[str, Any]]:
        heard = []
        query = 'subscription { changed(kinds: ["episode"]) { what nodeId values node { id } } }'
        async with httpx.AsyncClient(timeout=20) as client, client.stream(
            "POST", url, json={"query": query}, headers={"Accept": "text/event-stream"}
        ) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(asyncio.to_thread(store, url, "sse", "x")))
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    heard.append(json.loads(line[6:])["data"]["changed"])
                    return heard
        return heard

    (one,) = asyncio.run(main())
    assert (one["what"], one["values"]["id"]) == ("store", "sse")
    assert one["node"]["id"] == one["nodeId"]
    done = httpx.post(url, json={"query": COUNT}, headers={"Accept": "text/event-stream"})
    assert done.text.splitlines()[0] == "event: next"
    assert "event: complete" in done.text


EVERY = {
    "episodeStored": "subscription { episodeStored { id } }",
    "changed": 'subscription { changed(kinds: ["episode"]) { what nodeId } }',
    "nodeChanged": "subscription($id: ID!) { nodeChanged(id: $id) { what nodeId } }",
    "progress": "subscription { progress { head pending } }",
    "lag": "subscription { lag { head lag { projection entries } } }",
}


def test_each_subscription_is_told_over_a_websocket_and_as_events(url: str) -> None:
    store(url, "watched", "before")
    whole = ask(url, '{ episode(id: "watched") { ... on Episode { id } } }').json()["data"]["episode"]["id"]
    document = build_schema((ROOT / "schema" / "schema.graphql").read_text(encoding="utf-8"))
    assert document.subscription_type is not None
    assert set(EVERY) == set(document.subscription_type.fields)

    def asked(name: str) -> dict[str, Any]:
        return {"id": whole} if name == "nodeChanged" else {}

    async def by_socket(session: Any, name: str) -> Any:
        stream = session.subscribe(GraphQLRequest(EVERY[name], variable_values=asked(name)))
        try:
            return (await anext(stream))[name]
        finally:
            await stream.aclose()

    async def by_events(client: httpx.AsyncClient, name: str) -> Any:
        body = {"query": EVERY[name], "variables": asked(name)}
        async with client.stream("POST", url, json=body, headers={"Accept": "text/event-stream"}) as stream:
            first = await anext(line async for line in stream.aiter_lines() if line.startswith("data: {"))
            return json.loads(first[6:])["data"][name]

    async def main() -> list[Any]:
        async with Client(transport=socket_of(url)) as session, httpx.AsyncClient(timeout=20) as client:
            waiting = asyncio.gather(*(by_socket(session, each) for each in EVERY), *(by_events(client, each) for each in EVERY))
            for number in range(100):
                await asyncio.wait([waiting], timeout=0.3)
                if waiting.done():
                    break
                await asyncio.to_thread(store, url, f"told{number}", "x")
                await asyncio.to_thread(
                    ask, url, f'mutation {{ amendEpisode(input: {{id: "watched", reward: {number / 100}}}) {{ __typename }} }}'
                )
            return await asyncio.wait_for(waiting, 10)

    told = asyncio.run(main())
    for stored, changed, node, progress, lag in (told[:5], told[5:]):
        assert stored["id"].startswith("g:")
        assert changed["what"] in ("store", "amend")
        assert (node["what"], node["nodeId"]) == ("amend", whole)
        assert progress["head"] > 0
        assert {each["projection"] for each in lag["lag"]} == {"graph", "text", "vectors"}


def test_a_mutation_sent_again_under_its_id_is_done_once(url: str) -> None:
    store(url, "rated", "x")
    rate = ('mutation { giveFeedback(input: {answer: "sent again", used: ["rated"], clientMutationId: "0f8fad5b-d9cb-469f"}) '
            "{ __typename ... on GiveFeedbackPayload { feedback { recordId } } } }")  # fmt: skip
    first, *again = [ask(url, rate).json() for _ in range(3)]
    assert first["data"]["giveFeedback"]["__typename"] == "GiveFeedbackPayload"
    assert again == [first, first]
    found = ask(url, '{ feedbacks(record: "rated") { recordId } }').json()["data"]["feedbacks"]
    assert len(found) == 1
