from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graphsvc.config import Settings
from graphsvc.embedding import EmbeddingService

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ONNX forms are, made once for all tests."""
    named = os.environ.get("GRAPHSVC_CACHE_DIR")
    return Path(named) if named else tmp_path_factory.mktemp("cache")


@pytest.fixture
def settings(shared_cache: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Settings with an embedding cache of the test's own, and the ONNX forms that all share."""
    (shared_cache / "models").mkdir(parents=True, exist_ok=True)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "models").symlink_to(shared_cache / "models")

    def make(**changes: Any) -> Settings:
        return Settings(**{"cache_dir": str(cache), **changes})

    return make


@pytest.fixture
def service(settings: Callable[..., Settings]) -> Iterator[Callable[..., EmbeddingService]]:
    """Makes services and closes them."""
    made: list[EmbeddingService] = []

    def make(embedder: Any = "hashing", **changes: Any) -> EmbeddingService:
        made.append(EmbeddingService(settings(**changes), embedder))
        return made[-1]

    yield make
    for one in made:
        one.close()


def run_python(
    script: str, *arguments: str, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own that imports this checkout and reaches no network."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if check and process.returncode:
        raise AssertionError(f"the script ended with {process.returncode}:\n{process.stderr}")
    return process


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run_python


TINY = """
import json, sys
from pathlib import Path
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling, Transformer

root = Path(sys.argv[1])
torch.manual_seed(7)
plain = root / "plain"
plain.mkdir(parents=True)
marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
letters = [chr(code) for code in range(97, 123)]
(plain / "vocab.txt").write_text("\\n".join([*marks, *letters, *("##" + letter for letter in letters)]))
BertTokenizerFast(str(plain / "vocab.txt"), model_max_length=64).save_pretrained(plain)
BertModel(BertConfig(vocab_size=57, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=64)).save_pretrained(plain)
word = Transformer(str(plain), max_seq_length=24)
SentenceTransformer(modules=[word, Pooling(32, "cls"), Normalize()]).save(str(root / "cls"))
dense = Dense(32, 16)
SentenceTransformer(modules=[word, Pooling(32, "mean"), dense]).save(str(root / "dense"))
for name in ("plain", "cls", "dense"):
    model = SentenceTransformer(str(root / name), device="cpu")
    vectors = model.encode(["hello there", "", "abc " * 40], normalize_embeddings=True)
    (root / f"{name}.json").write_text(json.dumps(vectors.tolist()))
"""


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`plain` (a transformer alone), `cls` and `dense` (not exportable), with random weights, and what
    sentence-transformers makes of three texts."""
    root = tmp_path_factory.mktemp("tiny")
    run_python(TINY, str(root))
    return root
