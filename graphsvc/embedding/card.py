"""What a model's directory says about it: dimension, limit, pooling, and a digest of all that counts."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphsvc.embedding.locate import weight_files
from graphsvc.errors import EmbeddingFailed

DIGEST_BYTES = 8
MEMO_ENTRIES = 50
KNOWN_WEIGHTS = {"a22e6a6ad8c13ac7": "all-MiniLM-L6-v2"}
"""Families by the digest of their weights: a fingerprint is named by what the model is, not by its folder."""

_NO_MEANING = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}
"""Entries of config.json that differ between copies of one model."""

_CASING = {
    "tokenizer_config.json": {"do_lower_case", "strip_accents", "tokenize_chinese_chars"},
    "sentence_bert_config.json": {"do_lower_case"},
}
"""Entries of other files that change how text is read."""

_SLOW_TOKENIZERS = {"vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"}

_LEGACY_POOLING = "pooling_mode_"


@dataclass(frozen=True)
class Card:
    """A sentence-transformers model as its files describe it.

    Attributes:
        directory: where the model is.
        dimension: length of its vectors.
        max_tokens: the longest text that it sees; None if no file says.
        pooling: `mean` or `cls`; empty if it is neither.
        no_onnx: why no ONNX form can be made of it; empty if one can.
    """

    directory: Path
    dimension: int
    max_tokens: int | None
    pooling: str
    no_onnx: str


def read_card(directory: Path) -> Card:
    """The card of the model in `directory`.

    Raises:
        EmbeddingFailed: a file is missing or doesn't parse.
    """
    try:
        modules = _modules(directory)
        transformer = directory / modules["Transformer"] if "Transformer" in modules else directory
        config = _json(transformer / "config.json")
        pooling, width = _pooling(directory / modules["Pooling"]) if "Pooling" in modules else ("mean", 0)
        dense = _json(directory / modules["Dense"] / "config.json") if "Dense" in modules else {}
        dimension = int(dense.get("out_features") or width or config["hidden_size"])
        limit, no_onnx = _max_tokens(transformer, config), _no_onnx(directory, modules, pooling)
        return Card(directory, dimension, limit, pooling, no_onnx)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbeddingFailed(
            f"the model's description can't be read: {error!r}", where=str(directory)
        ) from error


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _modules(directory: Path) -> dict[str, str]:
    """Folder of each module, by the last part of its class name. A plain transformer has only itself."""
    path = directory / "modules.json"
    if not path.exists():
        return {"Transformer": ""}
    return {module["type"].rsplit(".", 1)[-1]: module["path"] for module in _json(path)}


def _pooling(directory: Path) -> tuple[str, int]:
    config = _json(directory / "config.json")
    width = int(config.get("embedding_dimension") or config.get("word_embedding_dimension") or 0)
    mode = config.get("pooling_mode")
    if mode is None:
        mode = [
            name.removeprefix(_LEGACY_POOLING).removesuffix("_tokens").removesuffix("_token")
            for name, on in config.items()
            if name.startswith(_LEGACY_POOLING) and on is True
        ]
    modes = [mode] if isinstance(mode, str) else list(mode or ["mean"])
    known = modes[0] if len(modes) == 1 and modes[0] in ("mean", "cls") else ""
    return known, width * len(modes)


def _max_tokens(transformer: Path, config: dict[str, Any]) -> int | None:
    """As sentence-transformers finds it: its own file first, else what tokenizer and positions allow."""
    for name in ("sentence_bert_config.json", "sentence_roberta_config.json"):
        if (transformer / name).exists():
            stated = _json(transformer / name).get("max_seq_length")
            if stated:
                return int(stated)
    limits = [config.get("max_position_embeddings")]
    if (transformer / "tokenizer_config.json").exists():
        limits.append(_json(transformer / "tokenizer_config.json").get("model_max_length"))
    sensible = [int(limit) for limit in limits if limit and 0 < limit < 1_000_000]
    return min(sensible) if sensible else None


def _no_onnx(directory: Path, modules: dict[str, str], pooling: str) -> str:
    other = set(modules) - {"Transformer", "Pooling", "Normalize"}
    if other:
        return f"it has modules other than transformer, pooling and normalisation: {', '.join(sorted(other))}"
    if not pooling:
        return "it pools neither by mean nor by the first token"
    prompts = directory / "config_sentence_transformers.json"
    if prompts.exists() and _json(prompts).get("default_prompt_name"):
        return "it puts a prompt before every text"
    return ""


def fingerprint(card: Card, memo: Path | None) -> str:
    """The identity of the model's vectors: its family and a digest of weights, tokenizer and configuration.

    Reading 90 MB takes a third of a second, so digests are kept in the file `memo`, by the path, size and
    time of every file that counts. Without it (None, or not writable) they are computed each time.
    """
    stamp = hashlib.blake2b(digest_size=16)
    for file in [*weight_files(card.directory), *sorted(card.directory.rglob("*.json"))]:
        stat = file.stat()
        stamp.update(f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    kept = _remembered(memo)
    found = kept.pop(stamp.hexdigest(), None)
    if not isinstance(found, str):
        found = _computed(card)
        newest = dict(list(kept.items())[-MEMO_ENTRIES:])
        _remember(memo, {**newest, stamp.hexdigest(): found})
    return found


def _computed(card: Card) -> str:
    weights = hashlib.blake2b(digest_size=32)
    for file in weight_files(card.directory):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                weights.update(block)
    whole = hashlib.blake2b(weights.digest(), digest_size=DIGEST_BYTES)
    whole.update(f"{card.dimension}|{card.max_tokens}|{card.pooling}|{card.no_onnx}".encode())
    for file in sorted(card.directory.rglob("*")):
        whole.update(_meaning(file))
    family = KNOWN_WEIGHTS.get(weights.hexdigest()[:16]) or f"model-{card.dimension}"
    return f"{family}:{whole.hexdigest()}"


def _meaning(file: Path) -> bytes:
    """The part of a file that changes what the model computes, the same for every copy of the model.

    Limit and pooling aren't among it: the card has them.
    """
    if file.name in _SLOW_TOKENIZERS and not (file.parent / "tokenizer.json").exists():
        return file.read_bytes()
    if file.name == "tokenizer.json":
        content = {key: value for key, value in _json(file).items() if key not in ("truncation", "padding")}
    elif file.name == "config.json":
        content = {key: value for key, value in _json(file).items() if key not in _NO_MEANING}
    elif file.name in _CASING:
        content = {key: value for key, value in _json(file).items() if key in _CASING[file.name]}
    else:
        return b""
    return json.dumps(content, sort_keys=True).encode()


def _remembered(memo: Path | None) -> dict[str, Any]:
    try:
        kept = _json(memo) if memo else {}
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _remember(memo: Path | None, digests: dict[str, Any]) -> None:
    if memo is None:
        return
    beside = memo.with_suffix(f".{os.getpid()}")
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(digests), encoding="utf-8")
        os.replace(beside, memo)
    except OSError:
        beside.unlink(missing_ok=True)  # computed again next time: slower, not wrong
