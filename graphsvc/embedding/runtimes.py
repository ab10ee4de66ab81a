"""What computes vectors: onnxruntime, sentence-transformers, the hashing embedder, a function of the user's.

A runtime computes one batch at a time and knows nothing of threads, queues and caches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from graphsvc.embedding.forms import read_form
from graphsvc.embedding.hashing import HashingRuntime
from graphsvc.embedding.vectors import UNKNOWN, Embedded, unit_rows
from graphsvc.errors import EmbeddingFailed, MissingExtra


class Runtime(Protocol):
    """Computes vectors in the calling thread, for one caller at a time."""

    @property
    def name(self) -> str:
        """What is shown as the runtime in `stats`."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The unit vectors of one batch. Raises `EmbeddingFailed`."""

    def close(self) -> None:
        """End what was started."""


@dataclass(frozen=True)
class RuntimeSpec:
    """Which runtime to build; crosses to worker processes."""

    kind: Literal["onnx", "sentence-transformers", "hashing"]
    path: str = ""
    threads: int = 1
    dimension: int = 0


class FormDamaged(Exception):
    """The ONNX form doesn't load, though its size is right."""


def build(spec: RuntimeSpec) -> Runtime:
    """Load the runtime: the slow part.

    Raises:
        FormDamaged: the ONNX form doesn't load.
        MissingExtra: a library isn't installed.
        EmbeddingFailed: the model doesn't load.
    """
    if spec.kind == "onnx":
        return OnnxRuntime(Path(spec.path), threads=spec.threads)
    if spec.kind == "sentence-transformers":
        return SentenceTransformersRuntime(Path(spec.path), threads=spec.threads, dimension=spec.dimension)
    return HashingRuntime()


def _library(name: str, package: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        hint = f"Run `pip install {package}`."
        raise MissingExtra(f"{name} can't be imported: {error}", hint=hint) from error


def readable(texts: Sequence[str]) -> list[str]:
    """`texts` with lone surrogates replaced: tokenizers take nothing but whole Unicode."""
    return [
        text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        for text in texts
    ]


def tokenizer(path: Path) -> Any:
    """The tokenizer of a file, which cuts and pads nothing. Raises EmbeddingFailed, MissingExtra."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizers = _library("tokenizers", "tokenizers")
    try:
        made = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a kind of its own
        raise EmbeddingFailed(f"the tokenizer doesn't load: {error}", where=str(path)) from error
    made.no_padding()
    made.no_truncation()
    return made


class OnnxRuntime:
    """onnxruntime and tokenizers on an ONNX form; imports neither torch nor transformers."""

    name = "onnx"

    def __init__(self, directory: Path, *, threads: int) -> None:
        # must be set before the first use; it would start a thread per core
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        onnxruntime = _library("onnxruntime", "onnxruntime")
        tokenizers = _library("tokenizers", "tokenizers")
        form = read_form(directory)
        if form is None:
            raise FormDamaged(f"no whole ONNX form in {directory}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # an idle thread sleeps instead of burning a core that others need
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
        except Exception as error:  # both libraries raise kinds of their own
            raise FormDamaged(f"the ONNX form in {directory} doesn't load: {error}") from error
        self._tokenizer.no_padding()
        if form["max_tokens"]:
            self._tokenizer.enable_truncation(form["max_tokens"])
        self._marks = self._tokenizer.num_special_tokens_to_add(False)
        self._inputs: list[str] = form["inputs"]
        self._pad_id: int = form["pad_id"]
        self._dimension: int = form["dimension"]
        self._alone: bool = form["alone"]

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Unit vectors of `texts`, [n, dimension], in one forward pass padded to its longest text.

        An int8 form takes one text at a time: it scales activations by the largest in the whole pass, so a
        text's vector would depend on the texts that it shares the pass with (measured: cosine .967 to .997
        between alone and in a batch of 8).
        """
        try:
            encodings = self._tokenizer.encode_batch(readable(texts))
            passes = [[encoding] for encoding in encodings] if self._alone else [encodings]
            output = np.concatenate([self._session.run(None, self._arrays(some))[0] for some in passes])
        except Exception as error:
            raise EmbeddingFailed(f"the model failed: {error}", where=self.name) from error
        kept = [len(encoding) for encoding in encodings]
        # what was cut off comes as further encodings, each with the marks again
        tokens = [
            length + sum(len(rest) - self._marks for rest in encoding.overflowing)
            for length, encoding in zip(kept, encodings, strict=True)
        ]
        vectors = unit_rows(output, len(texts), self._dimension, self.name)
        return Embedded(vectors, np.array(tokens, dtype=np.int32), np.array(kept, dtype=np.int32))

    def close(self) -> None:
        """Nothing to end: the session goes with the object."""

    def _arrays(self, encodings: Sequence[Any]) -> dict[str, NDArray[np.int64]]:
        shape = (len(encodings), max((len(encoding) for encoding in encodings), default=0))
        arrays = {name: np.zeros(shape, dtype=np.int64) for name in self._inputs}
        arrays["input_ids"][:] = self._pad_id
        for row, encoding in enumerate(encodings):
            arrays["input_ids"][row, : len(encoding)] = encoding.ids
            if "attention_mask" in arrays:
                arrays["attention_mask"][row, : len(encoding)] = 1
            if "token_type_ids" in arrays:
                arrays["token_type_ids"][row, : len(encoding)] = encoding.type_ids
        return arrays


class SentenceTransformersRuntime:
    """The reference, in this process: torch is imported."""

    name = "sentence-transformers"

    def __init__(self, directory: Path, *, threads: int, dimension: int) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        transformers = _library("sentence_transformers", "sentence-transformers")
        import_module("torch").set_num_threads(threads)
        try:
            self._model = transformers.SentenceTransformer(
                str(directory), device="cpu", local_files_only=True
            )
        except Exception as error:
            raise EmbeddingFailed(f"the model doesn't load: {error}", where=str(directory)) from error
        self._dimension = dimension

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Unit vectors of `texts`, [n, dimension]."""
        given = readable(texts)
        try:
            output = self._model.encode(
                given, batch_size=max(1, len(given)), normalize_embeddings=True, show_progress_bar=False
            )
            tokens = [len(ids) for ids in self._model.tokenizer(given, truncation=False)["input_ids"]]
        except Exception as error:
            raise EmbeddingFailed(f"the model failed: {error}", where=self.name) from error
        limit = self._model.max_seq_length or max(tokens, default=0)
        counts = np.array(tokens, dtype=np.int32)
        kept = np.minimum(counts, limit).astype(np.int32)
        return Embedded(unit_rows(output, len(given), self._dimension, self.name), counts, kept)

    def close(self) -> None:
        """Nothing to end: the model goes with the object."""


class CallableRuntime:
    """A function of the user's, texts → array [n, d]; what it gives is checked and normalised."""

    name = "callable"

    def __init__(self, function: Callable[[Sequence[str]], Any], *, dimension: int | None = None) -> None:
        self._function = function
        self._who = callable_name(function)
        self._dimension = dimension

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Unit vectors of `texts`; token counts are `UNKNOWN`."""
        try:
            output = self._function(list(texts))
        except Exception as error:
            raise EmbeddingFailed(
                f"the embedding function failed: {type(error).__name__}: {error}", where=self._who
            ) from error
        unknown = np.full(len(texts), UNKNOWN, dtype=np.int32)
        return Embedded(unit_rows(output, len(texts), self._dimension, self._who), unknown, unknown.copy())

    def close(self) -> None:
        """Nothing to end."""


def callable_name(function: Callable[..., Any]) -> str:
    """`module.qualname` of a function, or of the class of a callable object."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
