from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from graphsvc.errors import BadInput, EmbeddingFailed


def letters(texts: Sequence[str]) -> Any:
    """3-d: length, vowels, 1. Not normalised."""
    return [[len(text), sum(letter in "aeiou" for letter in text), 1] for text in texts]


def test_a_function_of_the_users_is_normalised(service) -> None:
    embedded = service(letters).encode(["hello", "a", ""])
    assert embedded.vectors.shape == (3, 3)
    np.testing.assert_allclose(np.linalg.norm(embedded.vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(embedded.vectors[0], np.array([5, 2, 1]) / np.sqrt(30), atol=1e-6)


def test_its_identity_names_the_function_and_its_dimension(service) -> None:
    identity = service(letters).identity()
    assert identity.fingerprint.startswith(f"callable:{__name__}.letters:3:")
    assert (identity.dimension, identity.max_tokens) == (3, None)


def test_an_object_that_can_be_called_is_named_by_its_class(service) -> None:
    class Embedder:
        def __call__(self, texts: Sequence[str]) -> Any:
            return np.ones((len(texts), 2))

    assert ".Embedder:2:" in service(Embedder()).identity().fingerprint


def test_token_counts_of_a_function_are_unknown(service) -> None:
    embedded = service(letters).encode(["hello"])
    assert embedded.tokens.tolist() == embedded.kept.tolist() == [-1]


def test_a_failing_model_is_never_replaced_in_silence(service) -> None:
    calls = []

    def breaks_later(texts: Sequence[str]) -> Any:
        calls.append(list(texts))
        if len(calls) > 1:
            raise RuntimeError("out of memory")
        return letters(texts)

    embedding = service(breaks_later)
    embedding.identity()
    for _ in range(2):
        with pytest.raises(EmbeddingFailed, match="out of memory") as caught:
            embedding.encode(["hello"])
        assert isinstance(caught.value.__cause__, RuntimeError)
    assert embedding.stats()["computed"] == 0


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (lambda n: np.ones(n), "shape"),
        (lambda n: np.ones((n + 1, 3)), "shape"),
        (lambda n: np.ones((n, 3, 1)), "shape"),
        (lambda n: np.ones((n, 0)), "no dimensions"),
        (lambda n: np.zeros((n, 3)), "zeros"),
        (lambda n: np.full((n, 3), np.nan), "finite"),
        (lambda n: np.full((n, 3), np.inf), "finite"),
        (lambda n: [[1, 2], [3]] * n, "numbers"),
        (lambda n: None, "numbers"),
        (lambda n: "text", "numbers"),
        (lambda n: np.ones((n, 2)) * 1j, "numbers"),
    ],
    ids=[
        "flat", "a row too many", "three axes", "no columns", "zeros", "nan", "infinite", "ragged", "none", "text",
        "complex",
    ],
)
def test_what_is_not_vectors_is_refused(service, output, said) -> None:
    with pytest.raises(EmbeddingFailed, match=said):
        service(lambda texts: output(len(texts))).encode(["hello"])


def test_a_dimension_that_changes_is_refused(service) -> None:
    embedding = service(lambda texts: np.ones((len(texts), len(texts[0]))))
    dimension = embedding.identity().dimension
    with pytest.raises(EmbeddingFailed, match=f"not \\[1, {dimension}\\]"):
        embedding.encode(["hello"])


@pytest.mark.parametrize("value", [1e300, 1e-300, 1e-45])
def test_huge_and_tiny_values_are_normalised_all_the_same(service, value) -> None:
    vectors = service(lambda texts: np.full((len(texts), 4), value)).encode(["hello"]).vectors
    np.testing.assert_allclose(vectors, 0.5, atol=1e-6)


def test_a_text_that_fails_does_not_fail_other_callers_texts(service) -> None:
    import threading

    running, go = threading.Event(), threading.Event()

    def picky(texts: Sequence[str]) -> Any:
        if "first" in texts:
            running.set()
            go.wait(10)
        if "bad" in texts:
            raise ValueError("bad text")
        return letters(texts)

    embedding = service(picky)
    outcomes: dict[str, Any] = {}

    def ask(text: str) -> None:
        try:
            outcomes[text] = embedding.encode([text])
        except EmbeddingFailed as error:
            outcomes[text] = error

    threads = [threading.Thread(target=ask, args=(text,)) for text in ("first", "good", "bad")]
    threads[0].start()
    assert running.wait(10)
    for thread in threads[1:]:
        thread.start()
    while embedding.stats()["waiting"] < 3:
        pass
    go.set()
    for thread in threads:
        thread.join(10)
    assert isinstance(outcomes["bad"], EmbeddingFailed)
    assert outcomes["good"].vectors.shape == outcomes["first"].vectors.shape == (1, 3)


def test_neither_a_name_nor_a_function_is_refused(service) -> None:
    with pytest.raises(BadInput, match="embedder"):
        service(42)
