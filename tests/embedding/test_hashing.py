from __future__ import annotations

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graphsvc.embedding.hashing import DIMENSION, HashingRuntime

runtime = HashingRuntime()


@given(st.lists(st.text(), max_size=8))
def test_every_text_gets_a_unit_vector(texts: list[str]) -> None:
    vectors = runtime.embed(texts).vectors
    assert vectors.shape == (len(texts), DIMENSION)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@given(st.lists(st.text(), min_size=1, max_size=8))
def test_a_vector_does_not_depend_on_the_texts_beside_it(texts: list[str]) -> None:
    together = runtime.embed(texts).vectors
    alone = np.concatenate([runtime.embed([text]).vectors for text in texts])
    assert together.tobytes() == alone.tobytes()


def test_the_same_vectors_in_every_process_whatever_the_hash_seed(python) -> None:
    script = """
        from graphsvc.embedding.hashing import HashingRuntime
        print(HashingRuntime().embed(["Fix the login test", "", "é日本"]).vectors.tobytes().hex())
    """
    outputs = {python(script, PYTHONHASHSEED=seed).stdout for seed in ("0", "1", "random")}
    assert len(outputs) == 1


def test_vectors_stay_what_they_were_in_earlier_releases() -> None:
    # a change here makes every memory built with this embedder unreadable: change the fingerprint with it
    vector = runtime.embed(["Fix the login test"]).vectors[0]
    assert vector.nonzero()[0][:6].tolist() == [3, 26, 34, 65, 93, 140]


def test_common_words_make_texts_near() -> None:
    question, near, far = runtime.embed(
        ["fix the login test", "the login test was fixed by waiting", "craft a wooden pickaxe"]
    ).vectors
    assert question @ near > question @ far + 0.2


def test_case_and_punctuation_do_not_matter() -> None:
    one, other = runtime.embed(["Fix the LOGIN test!", "fix the login test"]).vectors
    assert one @ other > 0.9999


def test_words_are_counted() -> None:
    embedded = runtime.embed(["one two three", ""])
    assert embedded.tokens.tolist() == embedded.kept.tolist() == [3, 0]


def test_thousands_of_short_texts_a_second() -> None:
    texts = [f"the agent fixed login test number {number}" for number in range(5000)]
    began = time.perf_counter()
    runtime.embed(texts)
    assert 5000 / (time.perf_counter() - began) > 5000  # 100,000/s on two quiet slow cores
