"""Which embedder it is, and which runtime computes its vectors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from graphsvc.config import Settings
from graphsvc.embedding.card import Card, fingerprint, read_card
from graphsvc.embedding.forms import INT8, FormFailed, discard_form, ensure_form, models_directory
from graphsvc.embedding.hashing import DIMENSION as HASHING_DIMENSION
from graphsvc.embedding.locate import locate
from graphsvc.embedding.runtimes import CallableRuntime, FormDamaged, Runtime, RuntimeSpec, build, callable_name
from graphsvc.embedding.vectors import Identity
from graphsvc.embedding.workers import WorkerRuntime
from graphsvc.errors import BadInput, EmbeddingFailed, EmbeddingMismatch

log = logging.getLogger(__name__)

HASHING = "hashing"
CALLABLE = "callable"
"""What stands in a manifest for a function of the user's, which can't be kept."""

PROBES = ("graphsvc",)
"""Text whose vector tells whether a function is the one that made a memory's vectors: its name doesn't."""
ALIKE = 0.9999
"""Cosine from which two vectors of one text are one model's: another machine or batch rounds otherwise."""

Function = Callable[[Sequence[str]], Any]


@dataclass(frozen=True)
class Choice:
    """An embedder, found and identified, nothing of it loaded.

    Attributes:
        identity: what its vectors are comparable by.
        card: its files' description; None for what has no files.
        source: by which way the files were found.
        function: the user's own, if it is one.
        probes: its vectors of `PROBES`.
    """

    identity: Identity
    card: Card | None = None
    source: str = ""
    function: Function | None = None
    probes: tuple[tuple[float, ...], ...] = ()


def choose(embedder: str | Function, settings: Settings) -> Choice:
    """Find and identify an embedder. A function is called once.

    Raises:
        ModelNotFound: the model isn't on this machine.
        EmbeddingFailed: its files can't be read, or the function fails.
        BadInput: int8 was asked for of a model that no ONNX form can be made of.
    """
    if not isinstance(embedder, str):
        name = callable_name(embedder)
        vectors = CallableRuntime(embedder).embed(PROBES).vectors.round(6)
        dimension = vectors.shape[1]
        digest = blake2b(vectors.tobytes(), digest_size=8).hexdigest()
        identity = Identity(name, f"{CALLABLE}:{name}:{dimension}:{digest}", dimension, None)
        probes = tuple(tuple(float(str(value)) for value in vector) for vector in vectors)
        return Choice(identity, function=embedder, probes=probes)
    if embedder == HASHING:
        return Choice(Identity(HASHING, f"{HASHING}:{HASHING_DIMENSION}", HASHING_DIMENSION, None))
    found = locate(embedder, settings)
    card = read_card(found.directory)
    int8 = settings.embedder_runtime == "onnx-int8"
    if int8 and card.no_onnx:
        raise BadInput(f"no int8 form can be made of {found.name}: {card.no_onnx}", where="embedder_runtime")
    try:
        mark = fingerprint(card, _memo(settings))
    except (OSError, ValueError) as error:
        raise EmbeddingFailed(f"the model can't be read: {error}", where=str(found.directory)) from error
    identity = Identity(found.name, mark + INT8 * int8, card.dimension, card.max_tokens)
    return Choice(identity, card, found.source)


def check_same(choice: Choice, known: Mapping[str, Any]) -> None:
    """That an embedder makes the vectors that a manifest describes.

    Files are compared by their fingerprints, however they are spelt or wherever they lie; functions by the vectors
    that they give, whatever they are called.

    Raises:
        EmbeddingMismatch: it doesn't.
    """
    identity = choice.identity
    if identity.fingerprint == known["fingerprint"] or same_probes(choice.probes, known.get("probes")):
        return
    unprobed = known["embedder"] == CALLABLE and not known.get("probes")  # written before there were any
    if unprobed and (identity.name, identity.dimension) == (known["name"], known["dimension"]):
        return
    again = "gives other vectors now" if identity.name == known["name"] else f"isn't {identity.name!r}"
    raise EmbeddingMismatch(
        f"what made the memory's vectors, {known['name']!r} ({known['dimension']} dimensions, {known['fingerprint']}), "
        f"{again} ({identity.dimension} dimensions, {identity.fingerprint})",
        where="embedder",
        hint="Give back the model that it was, or make the vectors anew with memory.reembed(embedder=…).",
    )


def same_probes(ours: Any, theirs: Any) -> bool:
    """Whether two functions gave the same vectors of the probe texts, but for rounding."""
    if not ours or not theirs:
        return False
    a, b = np.array(ours), np.array(theirs)
    return a.shape == b.shape and bool(((a * b).sum(axis=1) >= ALIKE).all())


def _memo(settings: Settings) -> Path | None:
    try:
        return models_directory(settings) / "digests.json"
    except OSError:
        return None


def load(choice: Choice, settings: Settings, cancel: threading.Event) -> Runtime:
    """A loaded runtime for the choice, in this process or, with `settings.workers`, in one of its own.

    The first time, the model's ONNX form is made; `cancel` ends that.

    Raises:
        MissingExtra: a library isn't installed.
        EmbeddingFailed: the model doesn't load.
        Closed: `cancel` was set.
    """
    if choice.function is not None:
        return CallableRuntime(choice.function, dimension=choice.identity.dimension)
    spec = _spec(choice, settings, cancel)
    try:
        return _built(spec, settings)
    except FormDamaged as damage:
        log.warning("%s; it is made again", damage)
        discard_form(Path(spec.path))
    try:
        return _built(_spec(choice, settings, cancel), settings)
    except FormDamaged as damage:
        raise EmbeddingFailed(str(damage), where=spec.path) from damage


def _built(spec: RuntimeSpec, settings: Settings) -> Runtime:
    return WorkerRuntime(spec) if settings.workers else build(spec)


def _spec(choice: Choice, settings: Settings, cancel: threading.Event) -> RuntimeSpec:
    threads, card = settings.embedder_threads, choice.card
    if card is None:
        return RuntimeSpec("hashing", threads=threads)
    reference = RuntimeSpec("sentence-transformers", str(card.directory), threads, card.dimension)
    if settings.embedder_runtime == "sentence-transformers":
        return reference
    try:
        if card.no_onnx:
            raise FormFailed(card.no_onnx)
        form = ensure_form(card, choice.identity.fingerprint, settings, cancel)
        return RuntimeSpec("onnx", str(form), threads, card.dimension)
    except FormFailed as error:
        if settings.embedder_runtime == "onnx-int8":
            raise EmbeddingFailed(
                f"no int8 form could be made: {error}",
                where=str(card.directory),
                hint="Mend the cause, or use embedder_runtime='onnx', whose vectors are others.",
            ) from error
        # the same vectors, so no other embedder: only slower, and with torch in this process
        log.warning("no ONNX form of %s: %s; sentence-transformers runs it", choice.identity.name, error)
        return reference
