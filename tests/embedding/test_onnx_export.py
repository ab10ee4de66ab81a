"""Making ONNX forms, of small models with random weights."""

from __future__ import annotations

import json
import logging
import threading

import numpy as np
import pytest

from graphsvc.config import Settings
from graphsvc.embedding import EmbeddingService
from graphsvc.embedding.card import read_card
from graphsvc.errors import BadInput, Closed, EmbeddingFailed

TEXTS = ["hello there", "", "abc " * 40]


def expected(tiny_models, name):
    return np.array(json.loads((tiny_models / f"{name}.json").read_text()))


@pytest.fixture
def embed(tmp_path):
    """Makes services that share a cache with nothing in it."""
    made = []

    def make(path, **changes) -> EmbeddingService:
        made.append(EmbeddingService(Settings(**{"cache_dir": str(tmp_path / "cache"), **changes}), str(path)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.slow
def test_pooling_limit_and_dimension_are_read_from_the_models_files(tiny_models) -> None:
    plain, first, dense = (read_card(tiny_models / name) for name in ("plain", "cls", "dense"))
    assert (plain.pooling, plain.dimension, plain.max_tokens, plain.no_onnx) == ("mean", 32, 64, "")
    assert (first.pooling, first.dimension, first.max_tokens, first.no_onnx) == ("cls", 32, 24, "")
    assert dense.dimension == 16
    assert "Dense" in dense.no_onnx


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "cls"])
def test_other_models_give_what_sentence_transformers_gives(embed, tiny_models, tmp_path, name) -> None:
    embedding = embed(tiny_models / name)
    embedded = embedding.encode(TEXTS)
    np.testing.assert_allclose(embedded.vectors, expected(tiny_models, name), atol=1e-5)
    assert embedding.stats()["runtime"] == "onnx"
    limit = embedding.identity().max_tokens
    assert embedded.kept.max() == limit < embedded.tokens.max()
    (form,) = (tmp_path / "cache" / "models").glob("*/form.json")
    assert json.loads(form.read_text())["check"]["least_cosine"] > 0.9999


@pytest.mark.slow
def test_a_model_without_onnx_form_is_run_by_sentence_transformers_and_that_is_logged(python, tiny_models) -> None:
    script = """
        import json, logging, sys
        logging.basicConfig(level=logging.WARNING)
        from graphsvc.config import Settings
        from graphsvc.embedding import EmbeddingService
        embedding = EmbeddingService(Settings(cache_dir=sys.argv[1] + "/cache"), sys.argv[1] + "/dense")
        embedded = embedding.encode(json.loads(sys.argv[2]))
        assert embedding.stats()["runtime"] == "sentence-transformers"
        print(json.dumps(embedded.vectors.tolist()))
    """
    process = python(script, str(tiny_models), json.dumps(TEXTS))
    np.testing.assert_allclose(json.loads(process.stdout.splitlines()[-1]), expected(tiny_models, "dense"), atol=1e-5)
    assert "no ONNX form of dense" in process.stderr
    assert "modules other than" in process.stderr


@pytest.mark.slow
def test_a_failed_export_falls_back_to_the_same_vectors_and_says_why(python, tiny_models) -> None:
    script = """
        import json, logging, sys
        logging.basicConfig(level=logging.WARNING)
        from graphsvc.config import Settings
        from graphsvc.embedding import EmbeddingService
        embedding = EmbeddingService(Settings(cache_dir="/dev/null/cache"), sys.argv[1] + "/cls")
        print(json.dumps(embedding.encode(json.loads(sys.argv[2])).vectors.tolist()))
    """
    process = python(script, str(tiny_models), json.dumps(TEXTS))
    np.testing.assert_allclose(json.loads(process.stdout.splitlines()[-1]), expected(tiny_models, "cls"), atol=1e-5)
    assert "no ONNX form of cls: the cache directory can't be used" in process.stderr


@pytest.mark.slow
def test_int8_is_never_replaced_by_something_else(embed, tiny_models, tmp_path) -> None:
    with pytest.raises(BadInput, match="int8"):
        embed(tiny_models / "dense", embedder_runtime="onnx-int8").identity()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmbeddingFailed, match="no int8 form"):
        embed(tiny_models / "cls", embedder_runtime="onnx-int8", cache_dir=str(tmp_path / "file")).encode(TEXTS)


@pytest.mark.slow
def test_two_processes_at_once_make_one_form(python, tiny_models, tmp_path) -> None:
    script = """
        import logging, sys
        logging.basicConfig(level=logging.INFO)
        from graphsvc.config import Settings
        from graphsvc.embedding import EmbeddingService
        embedding = EmbeddingService(Settings(cache_dir=sys.argv[2]), sys.argv[1])
        embedding.encode(["hello"])
        print(embedding.stats()["runtime"])
    """
    outputs: list[str] = []

    def run() -> None:
        outputs.append(python(script, str(tiny_models / "cls"), str(tmp_path)).stdout.strip())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert outputs == ["onnx", "onnx"]
    left = [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()]
    assert len(left) == 1


@pytest.mark.slow
def test_a_damaged_form_is_made_again(embed, tiny_models, tmp_path, caplog) -> None:
    first = embed(tiny_models / "cls", embedding_cache=False)
    wanted = first.encode(TEXTS).vectors
    (onnx,) = (tmp_path / "cache" / "models").glob("*/model.onnx")
    onnx.write_bytes(b"\xff" * onnx.stat().st_size)
    with caplog.at_level(logging.WARNING):
        got = embed(tiny_models / "cls", embedding_cache=False).encode(TEXTS).vectors
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert "doesn't load" in caplog.text
    onnx.write_bytes(b"cut short")
    again = embed(tiny_models / "cls", embedding_cache=False).encode(TEXTS).vectors
    np.testing.assert_allclose(again, wanted, atol=1e-6)


@pytest.mark.slow
def test_closing_does_not_wait_for_the_export(embed, tiny_models) -> None:
    embedding = embed(tiny_models / "cls")
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            embedding.encode(TEXTS)
        except Closed as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(2)
    assert thread.is_alive()
    embedding.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(errors) == 1


@pytest.mark.slow
def test_a_model_whose_files_do_not_load_is_an_error(embed, tiny_models, tmp_path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(tiny_models / "cls", broken)
    (broken / "config.json").write_text("{not json")
    with pytest.raises(EmbeddingFailed, match="can't be read"):
        embed(broken).identity()
