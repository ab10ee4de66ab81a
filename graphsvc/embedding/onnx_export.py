"""Makes a model's ONNX form: `python -m graphsvc.embedding.onnx_export ORDER`, ORDER being JSON.

Run by `forms.ensure_form` in a process of its own, because it imports torch. Two at once make one form: the
second waits for the first one's lock and finds the form made. A form appears whole, by a rename, or not at
all, and only after it came near enough to what sentence-transformers computes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from graphsvc.embedding.forms import FORMAT, INT8, FormFailed, form_directory, read_form
from graphsvc.embedding.runtimes import OnnxRuntime

LEAST_COSINE = 0.9999
LEAST_MEAN_COSINE_INT8 = 0.98
"""Of int8 the mean over the sample: single short texts come out at .97 to .99 (measured)."""

OPSET = 17

SAMPLE = [
    "",
    "a",
    "!!!",
    "fix the login test by waiting for the element to be visible",
    "The agent retried the request with exponential backoff after the server answered 503.",
    "def f(x):\n    return x + 1  # one more",
    "SELECT name FROM users WHERE id = 3;",
    "Größe, naïve café, Ελληνικά, русский, 日本語のテスト, العربية",
    "emoji 🙂🚀 and a zero width​space",
    "Craft a wooden pickaxe: collect three logs, make planks and sticks, place a table.",
    "Traceback (most recent call last): ValueError: invalid literal for int() with base 10: 'x'",
    "one two three four five six seven eight nine ten " * 12,
    "The quick brown fox jumps over the lazy dog. " * 120,
    "x" * 3000,
]
"""Short, long beyond the limit, empty, code, other scripts."""


def main() -> int:
    """Make the form that the order describes, unless there is one."""
    order = json.loads(sys.argv[1])
    models = Path(order["models"])
    try:
        models.mkdir(parents=True, exist_ok=True)
        base = order["fingerprint"].removesuffix(INT8)
        plain = form_directory(models, base)
        with _locked(models / f".{plain.name}.lock"):
            if read_form(plain) is None:
                _make(models, plain, order, _export)
            wanted = form_directory(models, order["fingerprint"])
            if wanted != plain and read_form(wanted) is None:
                _make(models, wanted, order, lambda making, order: _quantise(plain, making))
    except Exception as error:
        traceback.print_exc()
        kind = "" if isinstance(error, FormFailed) else f"{type(error).__name__}: "
        reason = str(error).strip().splitlines() or ["no reason given"]
        sys.stderr.write(f"{kind}{reason[0]}\n")  # the last line is what the caller is told
        return 1
    return 0


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the kernel lets go of the lock if the process dies."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make(models: Path, final: Path, order: dict[str, Any], write: Any) -> None:
    """Write a form beside its final place, check it, and rename it there."""
    for left in models.glob(f".making-{final.name}-*"):
        shutil.rmtree(left, ignore_errors=True)  # of a process that was killed: we hold the lock
    making = models / f".making-{final.name}-{os.getpid()}"
    making.mkdir()
    try:
        form = write(making, order)
        form["bytes"] = (making / "model.onnx").stat().st_size
        _write_json(making / "form.json", form)
        form["check"] = _checked(making, order, int8=final.name.endswith(INT8))
        _write_json(making / "form.json", form)
        _sync(making)
        if final.exists():
            shutil.rmtree(final)  # not whole, or read_form would have known it
        making.rename(final)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _sync(directory: Path) -> None:
    for path in directory.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())


def _reference(order: dict[str, Any]) -> Any:
    """The sentence-transformers model, with the attention that exports to plain operators."""
    import_module("torch").set_num_threads(order["threads"])
    transformers = import_module("sentence_transformers")
    return transformers.SentenceTransformer(
        order["model"], device="cpu", local_files_only=True, model_kwargs={"attn_implementation": "eager"}
    )


def _export(making: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Write `model.onnx` (transformer, pooling, normalisation) and `tokenizer.json`; return the form."""
    torch = import_module("torch")
    model = _reference(order)
    transformer, tokenizer = model[0].auto_model.eval(), model.tokenizer
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(making / "tokenizer.json"))
    features = tokenizer(["an example of some length", "another"], padding=True, return_tensors="pt")
    inputs = [name for name in tokenizer.model_input_names if name in features]
    graph = _graph(torch, transformer, inputs, order["pooling"])
    with torch.no_grad():
        torch.onnx.export(
            graph,
            tuple(features[name] for name in inputs),
            str(making / "model.onnx"),
            input_names=inputs,
            output_names=["vectors"],
            dynamic_axes={**{name: {0: "texts", 1: "tokens"} for name in inputs}, "vectors": {0: "texts"}},
            opset_version=OPSET,
            dynamo=False,  # the other exporter needs onnxscript, and makes no faster graph
        )
    return {
        "format": FORMAT,
        "inputs": inputs,
        "dimension": order["dimension"],
        "max_tokens": order["max_tokens"],
        "pad_id": int(tokenizer.pad_token_id or 0),
        "pooling": order["pooling"],
        "alone": False,
        "made_with": {
            name: version(name)
            for name in ("torch", "transformers", "sentence-transformers", "onnx", "onnxruntime")
        },
    }


def _graph(torch: Any, transformer: Any, inputs: list[str], pooling: str) -> Any:
    """A torch module from the tokenizer's arrays to unit vectors."""

    class Graph(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, *values: Any) -> Any:
            given = dict(zip(inputs, values, strict=True))
            hidden = self.transformer(**given).last_hidden_state
            if pooling == "cls":
                pooled = hidden[:, 0]
            else:
                weight = given["attention_mask"].unsqueeze(-1).to(hidden.dtype)
                pooled = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(pooled, dim=1)

    return Graph()


def _quantise(plain: Path, making: Path) -> dict[str, Any]:
    """Write the int8 form of a plain form: weights per channel, activations as they come."""
    quantization = import_module("onnxruntime.quantization")
    quantization.quantize_dynamic(
        plain / "model.onnx",
        making / "model.onnx",
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
    )
    shutil.copyfile(plain / "tokenizer.json", making / "tokenizer.json")
    form = read_form(plain)
    if form is None:
        raise FormFailed(f"the form in {plain} went away")
    return {**form, "alone": True}


def _checked(making: Path, order: dict[str, Any], *, int8: bool) -> dict[str, Any]:
    """How near the form comes to sentence-transformers on the sample.

    Raises:
        FormFailed: not near enough.
    """
    wanted = _reference(order).encode(SAMPLE, normalize_embeddings=True, show_progress_bar=False)
    got = OnnxRuntime(making, threads=order["threads"]).embed(SAMPLE).vectors
    cosines = (np.asarray(wanted) * got).sum(axis=1)
    least, mean = float(cosines.min()), float(cosines.mean())
    near = mean >= LEAST_MEAN_COSINE_INT8 if int8 else least >= LEAST_COSINE
    if not near:
        raise FormFailed(
            "the ONNX form isn't near enough to sentence-transformers: "
            f"cosine {least:.5f} at least, {mean:.5f} on average"
        )
    return {"texts": len(SAMPLE), "least_cosine": round(least, 6), "mean_cosine": round(mean, 6)}


if __name__ == "__main__":
    sys.exit(main())
