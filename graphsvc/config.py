"""Every setting, in one class: from arguments, the environment, or a TOML file, in that order.

An environment variable is the setting's name in capitals behind `GRAPHSVC_`: `GRAPHSVC_EMBEDDER=hashing`.
The file is `graphsvc.toml` in the memory's directory, or the one that `GRAPHSVC_CONFIG` names.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import tomllib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from graphsvc.errors import BadInput, UnknownField

FORMAT = 2
"""The version of the directory's layout that this program writes."""

PREFIX = "GRAPHSVC_"
CONFIG_FILE = "graphsvc.toml"
OTHER_VARIABLES = frozenset({"GRAPHSVC_CONFIG", "GRAPHSVC_MEMORY", "GRAPHSVC_SHARED", "GRAPHSVC_TEST_ENGINE"})
"""Of the environment, that are no setting: of this module, of the command line, of the tests."""

# What tantivy stems; it says so only when the index is made, which is too late.
STEMMERS = (
    "arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hungarian", "italian",
    "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish", "tamil", "turkish",
)  # fmt: skip

logger = logging.getLogger("graphsvc")


class UnknownVariable(UserWarning):
    """A variable of the environment looks like a setting and is none: it was left alone."""


_told: set[str] = set()


def _setting(default: Any, doc: str, *, choices: tuple[str, ...] = (), least: float | None = None) -> Any:
    return field(default=default, metadata={"doc": doc, "choices": choices, "least": least})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one open memory. Durations are seconds, sizes are bytes, unless the name says else."""

    engine: str = _setting("kuzu", "Graph engine of a new memory.", choices=("kuzu", "ladybug"))
    embedder: str = _setting(
        "minilm", "Embedding model of a new memory: `minilm`, `hashing` (tests), a path, or a model's name."
    )
    embedder_runtime: str = _setting(
        "onnx", "What runs the model.", choices=("onnx", "onnx-int8", "sentence-transformers")
    )
    embedder_threads: int = _setting(1, "Threads that one model instance computes with.", least=1)
    embedder_batch: int = _setting(32, "Texts per forward pass.", least=1)
    workers: int = _setting(0, "Embedding processes beside this one; 0 embeds in this process.", least=0)
    allow_network: bool = _setting(False, "Whether a missing model may be fetched from the model hub.")
    cache_dir: str = _setting(
        "", "Where exported models and computed embeddings are kept; empty means the user's cache directory."
    )
    embedding_cache: bool = _setting(True, "Keep computed embeddings on disk, by model and text.")
    embedding_cache_entries: int = _setting(20_000, "Embeddings kept in memory.", least=0)

    queue_limit: int = _setting(10_000, "Writes that may wait for the writer before callers wait.", least=1)
    queue_wait: float = _setting(
        5.0, "How long a write waits for room in the queue before `overloaded`.", least=0
    )
    group_limit: int = _setting(
        1_000, "Writes committed together, and changes a follower takes at once.", least=1
    )
    linger: float = _setting(0.01, "How long a follower waits after a partial batch for more.", least=0)
    vector_flush_rows: int = _setting(1_000, "Vectors gathered before they are written to LanceDB.", least=1)
    vector_flush_seconds: float = _setting(1.0, "The longest that a vector waits for that.", least=0)
    vector_optimize_every: int = _setting(20, "LanceDB flushes between two optimisations.", least=1)
    read_wait: float = _setting(
        1.0, "How long a read waits for graph, text and vectors to reach what was acknowledged.", least=0
    )
    readers: int = _setting(
        4, "Connections kept for reading; also the threads of an asynchronous memory.", least=1
    )

    hot_index_bytes: int = _setting(
        2 << 30, "Vectors searched exactly in memory; past it LanceDB's approximate index answers.", least=0
    )
    query_cache_entries: int = _setting(1_000, "Answers kept; 0 keeps none.", least=0)
    query_cache_ttl: float = _setting(300.0, "How long an answer may be given again.", least=0)
    blas_threads: int = _setting(1, "Threads of numpy's BLAS in this process; 0 leaves them alone.", least=0)

    recall_similarity: float = _setting(
        0.7, "α of `memory.recall`: what likeness counts in an item's utility.", least=0
    )
    recall_uplift: float = _setting(0.2, "β of `memory.recall`: what the item is known to cause.", least=0)
    recall_latency: float = _setting(0.1, "γ of `memory.recall`: what its seconds, at most 1, are taken off.", least=0)

    max_text_bytes: int = _setting(1 << 20, "The longest text in one field.", least=1)
    max_metadata_bytes: int = _setting(64 << 10, "The largest metadata of one record, as JSON.", least=2)
    max_tags: int = _setting(64, "Tags of one record.", least=0)
    max_results: int = _setting(10_000, "The largest k, and the most rows that a listing gives.", least=1)

    graph_buffer_bytes: int = _setting(512 << 20, "Buffer pool of the graph engine.", least=16 << 20)
    graph_memory_bytes: int = _setting(
        1 << 30, "Memory that a user's statement may take beyond the buffer pool before it is stopped.", least=16 << 20
    )
    graph_threads: int = _setting(2, "Threads that one graph query may use.", least=1)
    adjacency_bytes: int = _setting(
        512 << 20, "Who is joined to whom, kept in memory for traversal; past it the graph engine answers.", least=0
    )
    graph_timeout: float = _setting(30.0, "Time limit of one graph query.", least=0.001)
    cypher_rows: int = _setting(1_000_000, "Rows that `memory.cypher` gives at most, where it isn't told.", least=1)
    graph_checkpoint_bytes: int = _setting(
        16 << 20, "Size of the graph's write-ahead file at which it is checkpointed.", least=1 << 20
    )
    allow_network_fs: bool = _setting(False, "Open a memory on a network file system all the same.")
    stemmer: str = _setting(
        "english", "Language that full text of a new memory is stemmed for.", choices=STEMMERS
    )

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for setting in fields(self):
            value = getattr(self, setting.name)
            object.__setattr__(self, setting.name, _checked(setting, types[setting.name], value))

    def with_(self, **changes: Any) -> Settings:
        """A copy with some settings changed."""
        known = {setting.name for setting in fields(self)}
        for name in changes:
            if name not in known:
                raise _unknown(name, known)
        return dataclasses.replace(self, **changes)


def _unknown(name: str, known: set[str]) -> UnknownField:
    return UnknownField("no such setting", where=name, hint=_nearest(name, known) or "See docs/reference/settings.md.")


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {near[0]!r}?" if near else ""


def _checked(setting: dataclasses.Field[Any], kind: type, value: Any) -> Any:
    """`value` as the setting's type, or `BadInput`. Text is read as environment variables hold it."""
    name = setting.name
    if isinstance(value, str) and kind is not str:
        value = _parsed(name, kind, value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadInput(f"expected {kind.__name__}, got {value!r}", where=name)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"expected a finite number, got {value!r}", where=name)
    choices, least = setting.metadata["choices"], setting.metadata["least"]
    if choices and isinstance(value, str):
        value = value.lower()
    if choices and value not in choices:
        raise BadInput(f"{value!r} is not one of {', '.join(choices)}", where=name)
    if least is not None and not value >= least:
        raise BadInput(f"{value!r} is less than {least}", where=name)
    return value


def _parsed(name: str, kind: type, text: str) -> Any:
    if kind is bool:
        truth = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if text.lower() not in truth:
            raise BadInput(f"{text!r} is neither true nor false", where=name)
        return truth[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise BadInput(f"expected {kind.__name__}, got {text!r}", where=name) from None


def load(directory: Path | None = None, **arguments: Any) -> Settings:
    """The settings in force: arguments before environment before file before defaults.

    Arguments that are None count as not given.

    Raises:
        UnknownField: a name that is no setting, as an argument or in the file; in the environment it is warned of.
        BadInput: a value of the wrong type or range, or a file that isn't TOML.
    """
    values: dict[str, Any] = {}
    values.update(_from_file(directory))
    known = {setting.name for setting in fields(Settings)}
    for name in known:
        text = os.environ.get(PREFIX + name.upper())
        if text is not None:
            values[name] = text
    _warn_of_others(known)
    values.update({name: value for name, value in arguments.items() if value is not None})
    for name in values:
        if name not in known:
            raise _unknown(name, known)
    return Settings(**values)


def _warn_of_others(known: Iterable[str]) -> None:
    """Tell, once in a process, of variables that look like settings and are none: a misspelt one does nothing."""
    variables = {PREFIX + name.upper() for name in known}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in variables | OTHER_VARIABLES | _told:
            _told.add(name)
            message = f"{name} in the environment is no setting and does nothing. {_nearest(name, variables)}".strip()
            logger.warning("%s", message)
            warnings.warn(message, UnknownVariable, stacklevel=4)


def _from_file(directory: Path | None) -> dict[str, Any]:
    named = os.environ.get(PREFIX + "CONFIG")
    path = Path(named) if named else directory / CONFIG_FILE if directory else None
    if path is None or (not named and not os.path.exists(path)):
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"can't be read: {error.strerror}", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"is not TOML: {error}", where=str(path)) from None


def cache_directory(settings: Settings) -> Path:
    """Where exported models and computed embeddings are kept. Made if it doesn't exist."""
    if settings.cache_dir:
        path = Path(settings.cache_dir).expanduser()
    else:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        path = Path(root) / "graphsvc"
    path.mkdir(parents=True, exist_ok=True)
    return path


def resource(*parts: str) -> Path:
    """A file that comes with graphsvc: `resource("queries")`. In a checkout beside the package, else in it."""
    package = Path(__file__).parent
    inside = package.joinpath(*parts)
    return inside if inside.exists() else package.parent.joinpath(*parts)
