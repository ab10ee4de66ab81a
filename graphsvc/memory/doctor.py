"""What can keep graphsvc from working on this machine, looked at one by one."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from graphsvc.config import Settings, cache_directory, load, whole_path
from graphsvc.errors import GraphsvcError
from graphsvc.store.verify import Report as Report

LOW_DISK = 1 << 30
NO_DISK = 100 << 20
IMPORT_SECONDS = 120
OLDEST_SQLITE = (3, 35, 0)

REQUIRED = ("kuzu", "lancedb", "tantivy", "numpy", "pyarrow", "msgspec")
MODEL = ("onnxruntime", "tokenizers")
MAKING = ("sentence_transformers", "torch", "onnx")
OPTIONAL = ("ladybug",)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what was found, whether it is good, and what to do if not."""

    what: str
    state: Literal["ok", "note", "wrong"]
    found: str
    advice: str = ""


def examine(directory: Path, tell: Callable[[str], None]) -> list[Finding]:
    """Look at everything that matters to a memory in `directory`."""
    findings = [_python(), _platform(), _sqlite()]
    settings, finding = _settings(directory)
    findings.append(finding)
    tell("engines")
    findings += [*_packages(), _blas()]
    tell("model")
    findings += _model(settings)
    tell("disk")
    return [*findings, *_disk(directory, settings), _memory(directory)]


def _python() -> Finding:
    found = f"{platform.python_version()} ({platform.python_implementation()}, {sys.executable})"
    return Finding("Python", "ok", found)


def _platform() -> Finding:
    found = f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores"
    if platform.system() not in ("Linux", "Darwin"):
        return Finding("platform", "wrong", found, "Use Linux or macOS; on Windows, WSL.")
    return Finding("platform", "ok", found)


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return Finding("SQLite", "wrong", sqlite3.sqlite_version, "Use a Python built with SQLite 3.35 or newer.")
    return Finding("SQLite", "ok", sqlite3.sqlite_version)


def _settings(directory: Path) -> tuple[Settings, Finding]:
    try:
        settings = load(directory)
    except GraphsvcError as error:
        return Settings(), Finding("settings", "wrong", str(error), "Mend the environment or graphsvc.toml.")
    changed = [name for name in Settings.__dataclass_fields__ if getattr(settings, name) != getattr(Settings(), name)]
    said = ", ".join(f"{name}={getattr(settings, name)!r}" for name in changed)
    return settings, Finding("settings", "ok", said or "all by default")


def _packages() -> Iterator[Finding]:
    for name in REQUIRED:
        yield _package(name, "wrong", f"pip install {name}")
    for name in MODEL:
        yield _package(name, "wrong", f"pip install {name}; without it no model runs")
    for name in MAKING:
        # Only looked for: importing torch takes longer than all the rest.
        yield _package(name, "note", f"pip install {name.replace('_', '-')}: it makes a model's ONNX form", load=False)
    for name in OPTIONAL:
        if importlib.util.find_spec(name):
            yield _package(name, "note", "")


def _package(name: str, missing: Literal["note", "wrong"], advice: str, *, load: bool = True) -> Finding:
    """Whether a package is there and, in a process of its own, loads: engines don't bear each other's company."""
    if importlib.util.find_spec(name) is None:
        return Finding(name, missing, "not installed", advice)
    try:
        version = importlib.metadata.version(name.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    if load:
        try:
            command = [sys.executable, "-c", f"import {name}"]
            tried = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return Finding(name, "wrong", f"{version}, but takes over {IMPORT_SECONDS} s to load", advice)
        if tried.returncode:
            last = (tried.stderr.strip().splitlines() or [f"ended with {tried.returncode}"])[-1]
            return Finding(name, "wrong", f"{version}, but doesn't load: {last}", f"Install it again: {advice}")
    return Finding(name, "ok", version)


def _blas() -> Finding:
    try:
        import numpy

        built = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    except (ImportError, KeyError, TypeError) as error:
        return Finding("BLAS", "note", f"unknown ({error})")
    return Finding("BLAS", "ok", f"{built.get('name', 'unknown')} {built.get('version', '')}".strip())


def _model(settings: Settings) -> Iterator[Finding]:
    from graphsvc.embedding.choice import choose
    from graphsvc.embedding.forms import form_directory, models_directory, read_form

    name = f"model {settings.embedder}"
    try:
        choice = choose(settings.embedder, settings)
    except GraphsvcError as error:
        yield Finding(name, "wrong", error.what, error.hint)
        return
    if choice.card is None:
        yield Finding(name, "note", "built in, for tests only", "Use minilm to find by meaning.")
        return
    yield Finding(name, "ok", f"{choice.card.directory} ({choice.source})")
    if settings.embedder_runtime == "sentence-transformers" or choice.card.no_onnx:
        yield Finding("ONNX form", "note", choice.card.no_onnx or "not used (embedder_runtime)")
    elif read_form(form_directory(models_directory(settings), choice.identity.fingerprint)) is None:
        yield Finding("ONNX form", "note", "not made yet", "Nothing: it is made at first use, about half a minute.")
    else:
        yield Finding("ONNX form", "ok", "made")


def _disk(directory: Path, settings: Settings) -> Iterator[Finding]:
    from graphsvc.store.directory import NETWORK_FILE_SYSTEMS, file_system

    place = whole_path(directory)
    while not os.path.exists(place):
        place = place.parent
    free = shutil.disk_usage(place).free
    state: Literal["ok", "note", "wrong"] = "wrong" if free < NO_DISK else "note" if free < LOW_DISK else "ok"
    yield Finding("disk", state, f"{free / (1 << 30):,.1f} GiB free at {place}", "Free some space." * (state != "ok"))
    kind = file_system(place)
    remote = kind in NETWORK_FILE_SYSTEMS
    advice = "Use a local disk, or set allow_network_fs if it keeps its promises." if remote else ""
    bad: Literal["note", "wrong"] = "note" if settings.allow_network_fs else "wrong"
    yield Finding("file system", bad if remote else "ok", kind or "unknown", advice)
    if not os.access(place, os.W_OK):
        yield Finding("permissions", "wrong", f"{place} can't be written", "Change them, or use another directory.")
    try:
        yield Finding("cache", "ok", str(cache_directory(settings)))
    except OSError as error:
        yield Finding("cache", "note", f"can't be made: {error.strerror}", "Set cache_dir to a directory to write in.")


def _memory(directory: Path) -> Finding:
    from graphsvc.store.directory import MANIFEST_GONE, read_manifest

    try:
        manifest = read_manifest(directory)
    except GraphsvcError as error:
        return Finding("memory", "wrong", error.what, error.hint)
    if manifest is None and (directory / "memory.sqlite").exists():
        return Finding("memory", "wrong", "graphsvc.json is missing, though there is a memory", MANIFEST_GONE)
    if manifest is None:
        return Finding("memory", "note", f"none in {directory}", "Make one with `graphsvc init`.")
    found = f"{directory}: format {manifest.format}, {manifest.engine}, {manifest.embedding.get('name')}"
    return Finding("memory", "ok", found)
