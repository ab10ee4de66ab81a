"""What is asked over HTTP, the same of each side, byte for byte; and answers of the same shape."""

from __future__ import annotations

from typing import Any

import msgspec

from benchmarks.episodes import episode
from benchmarks.vectors import Vectors

K = 10
"""Records that a recall gives."""
NODES = 50
"""Nodes that a walk gives."""

RECALL = """query Recall($text: String!, $k: Int!, $vector: [Float!]) {
  recall(text: $text, k: $k, vector: $vector) {
    items {
      kind utility similarity uplift flags
      record { id ... on Episode { recordId session task output critique reward success } }
    }
  }
}"""
NEAR = """query Near($node: NodeRef!, $limit: Int!) {
  neighbours(node: $node, rel: ["E"], direction: OUT, depth: 2, limit: $limit) { items { label key depth } more }
}"""
STORE = """mutation Store($input: StoreEpisodeInput!) {
  storeEpisode(input: $input) {
    __typename
    ... on StoreEpisodePayload { episode { recordId } }
    ... on Error { code what }
  }
}"""
DOCUMENTS = {"recall": RECALL, "near": NEAR, "store": STORE}
STORED = '"StoreEpisodePayload"'


def body(name: str, variables: dict[str, Any], *, trusted: bool = False) -> str:
    """The body of a request: with the document, or with the id that it is known by."""
    document = {"documentId": name} if trusted else {"query": DOCUMENTS[name]}
    return msgspec.json.encode({**document, "variables": variables}).decode()


def recalls(texts: list[str], vectors: Vectors, *, trusted: bool = False) -> list[str]:
    """Bodies that ask for what is worth knowing, the vectors given."""
    return [
        body("recall", {"text": text, "k": K, "vector": [float(f"{x:.6f}") for x in vector.tolist()]}, trusted=trusted)
        for text, vector in zip(texts, vectors, strict=True)
    ]


def walks(keys: list[int]) -> list[str]:
    """Bodies that ask for what is two steps away."""
    return [body("near", {"node": {"table": "P", "key": key}, "limit": NODES}) for key in keys]


def store(vector: list[float] | None = None, prefix: str = "w") -> str:
    """The body of a write, in which `@` stands for what each has of its own."""
    given: dict[str, Any] = {
        "id": f"{prefix}@", "session": "load", "task": "task @", "output": "alpha3 token7 cache5",
        "critique": "critique @", "reward": 0.5, "success": True,
    }  # fmt: skip
    if vector is not None:
        given["vector"] = vector
    return body("store", {"input": given})


def answers() -> dict[str, dict[str, Any]]:
    """An answer to each document, of the shape and length of those that a memory gives."""
    items = [_item(number) for number in range(K)]
    nodes = [{"label": "P", "key": 1_000 + number * 37, "depth": 1 + number // 10} for number in range(NODES)]
    return {
        "recall": {"recall": {"items": items}},
        "near": {"neighbours": {"items": nodes, "more": True}},
        "store": {"storeEpisode": {"__typename": "StoreEpisodePayload", "episode": {"recordId": "w1-1"}}},
    }


def _item(number: int) -> dict[str, Any]:
    held = episode(number)
    shown = {name: held[name] for name in ("session", "task", "output", "critique", "reward", "success")}
    return {
        "kind": "episode", "utility": 0.61234567 - number / 100, "similarity": 0.8123456 - number / 50, "uplift": 0.0,
        "flags": ["no_evidence"],
        "record": {
            "id": "WyJlcGlzb2RlIiwiZGVmYXVsdCIsImU0MiJd", "recordId": f"01234567-89ab-7def-8123-{number:012d}", **shown,
        },
    }  # fmt: skip
