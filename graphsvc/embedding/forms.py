"""ONNX forms of models: where they are kept, whether one is whole, and having one made once.

A form is a directory in the cache, named by the fingerprint, that holds `model.onnx` (texts' tokens in, unit
vectors out), `tokenizer.json`, and `form.json`: what the runtime needs to know, and how near the form came to
sentence-transformers on a sample. It is made by `onnx_export` in a process of its own, so that torch never
enters this one.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from graphsvc.config import Settings, cache_directory
from graphsvc.embedding.card import Card
from graphsvc.errors import Closed, MissingExtra

log = logging.getLogger(__name__)

FORMAT = 1
INT8 = "+int8"
EXPORT_LIMIT = 900.0
"""Seconds that making a form may take; about 20 on two slow cores."""


class FormFailed(Exception):
    """No ONNX form could be made; the message says why."""


def models_directory(settings: Settings) -> Path:
    """Where forms and digests are kept. May not exist yet."""
    return cache_directory(settings) / "models"


def form_directory(models: Path, fingerprint: str) -> Path:
    """The directory of one form: the fingerprint, but for the colon, which not every file system takes."""
    return models / fingerprint.replace(":", "-")


def read_form(directory: Path) -> dict[str, Any] | None:
    """What `form.json` says, or None if there is no whole form in `directory`."""
    try:
        form = json.loads((directory / "form.json").read_text(encoding="utf-8"))
        whole = form["format"] == FORMAT and (directory / "model.onnx").stat().st_size == form["bytes"]
        return form if whole and (directory / "tokenizer.json").exists() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def discard_form(directory: Path) -> None:
    """Remove a damaged form. First moved away, so that no one finds half of one."""
    aside = directory.with_name(f".discarded-{directory.name}-{os.getpid()}-{time.monotonic_ns()}")
    try:
        directory.rename(aside)
    except OSError:
        return
    shutil.rmtree(aside, ignore_errors=True)


def ensure_form(card: Card, fingerprint: str, settings: Settings, cancel: threading.Event) -> Path:
    """The directory of the model's ONNX form, made first if there is none: half a minute, once.

    Raises:
        FormFailed: it can't be made.
        MissingExtra: there is none yet and sentence-transformers, which makes it, isn't installed.
        Closed: `cancel` was set meanwhile.
    """
    try:
        models = models_directory(settings)
    except OSError as error:
        raise FormFailed(f"the cache directory can't be used: {error}") from error
    directory = form_directory(models, fingerprint)
    if read_form(directory) is None:
        _require_maker()
        log.info("making the ONNX form of %s in %s; this happens once", card.directory, directory)
        began = time.monotonic()
        _run_export(card, fingerprint, models, settings, cancel)
        if read_form(directory) is None:
            raise FormFailed(f"the export left no whole form in {directory}")
        log.info("made the ONNX form in %.0f s", time.monotonic() - began)
    return directory


def _require_maker() -> None:
    missing = [name for name in ("torch", "sentence_transformers", "onnx") if find_spec(name) is None]
    if missing == ["onnx"]:
        raise FormFailed("the package onnx isn't installed")
    if missing:
        raise MissingExtra(
            f"making the model's ONNX form needs {', '.join(missing)}, once; after that it isn't needed",
            hint="Run `pip install sentence-transformers onnx`.",
        )


def child_environment(threads: int) -> dict[str, str]:
    """The environment of a process of ours: it imports what this one does and computes with few threads."""
    ours = str(Path(__file__).parents[2])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([ours, *(path for path in sys.path if path)]),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads),
        # the model has been found by now; whatever else its libraries would like to fetch, they do without
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def _run_export(
    card: Card, fingerprint: str, models: Path, settings: Settings, cancel: threading.Event
) -> None:
    order = {
        "model": str(card.directory),
        "models": str(models),
        "fingerprint": fingerprint,
        "pooling": card.pooling,
        "dimension": card.dimension,
        "max_tokens": card.max_tokens,
        "threads": settings.embedder_threads,
    }
    command = [sys.executable, "-P", "-m", "graphsvc.embedding.onnx_export", json.dumps(order)]
    try:
        process = subprocess.Popen(
            command,
            env=child_environment(settings.embedder_threads),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise FormFailed(f"the export can't be started: {error}") from error
    said = _outcome(process, cancel)
    if process.returncode != 0:
        lines = said.strip().splitlines() or [f"it ended with {process.returncode} and said nothing"]
        log.debug("the export said:\n%s", said)
        raise FormFailed(lines[-1])


def _outcome(process: subprocess.Popen[bytes], cancel: threading.Event) -> str:
    """What the process wrote to stderr until it ended. Ends it when cancelled or too late."""
    began = time.monotonic()
    while True:
        try:
            return process.communicate(timeout=0.2)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            late = time.monotonic() - began > EXPORT_LIMIT
        if cancel.is_set() or late:
            process.kill()
            process.communicate()
            if late:
                raise FormFailed(f"the export took longer than {EXPORT_LIMIT:g} s")
            raise Closed("closed while the model's ONNX form was made")
