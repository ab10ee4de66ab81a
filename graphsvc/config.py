"""Every setting, of a memory and of the service: from arguments, the environment, or a TOML file, in that order.

An environment variable is the setting's name in capitals behind `GRAPHSVC_`: `GRAPHSVC_EMBEDDER=hashing`; a setting of
the service's behind `GRAPHSVC_SERVICE_`. The file is `graphsvc.toml` in the memory's directory, or the one that
`GRAPHSVC_CONFIG` names; the service's stand in its table `[service]`.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, TypeVar, get_type_hints

from graphsvc.errors import BadInput, UnknownField

FORMAT = 2
"""The version of the directory's layout that this program writes."""

PREFIX = "GRAPHSVC_"
SERVICE_PREFIX = "GRAPHSVC_SERVICE_"
SERVICE_TABLE = "service"
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


MOST_THREADS = 256
"""Of one kind: each takes memory, and a machine has tens of thousands at most for all."""


def _setting(
    default: Any,
    doc: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    secret: bool = False,
) -> Any:
    metadata = {"doc": doc, "choices": choices, "least": least, "most": most, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """Values that are checked as they are set."""

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for setting in fields(self):
            value = getattr(self, setting.name)
            object.__setattr__(self, setting.name, _checked(setting, types[setting.name], value))

    def with_(self, **changes: Any) -> Self:
        """A copy with some settings changed."""
        known = {setting.name for setting in fields(self)}
        for name in changes:
            if name not in known:
                raise _unknown(name, known)
        return dataclasses.replace(self, **changes)

    def each(self) -> Iterator[tuple[str, Any, bool]]:
        """Name and value of every setting, and whether it is a secret, which is never shown."""
        for setting in fields(self):
            yield setting.name, getattr(self, setting.name), setting.metadata["secret"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(_Checked):
    """The settings of one open memory. Durations are seconds, sizes are bytes, unless the name says else."""

    engine: str = _setting("kuzu", "Graph engine of a new memory.", choices=("kuzu", "ladybug"))
    embedder: str = _setting(
        "minilm", "Embedding model of a new memory: `minilm`, `hashing` (tests), a path, or a model's name."
    )
    embedder_runtime: str = _setting(
        "onnx", "What runs the model.", choices=("onnx", "onnx-int8", "sentence-transformers")
    )
    embedder_threads: int = _setting(1, "Threads that one model instance computes with.", least=1, most=MOST_THREADS)
    embedder_batch: int = _setting(32, "Texts per forward pass.", least=1)
    workers: int = _setting(0, "Embedding processes beside this one; 0 embeds in this process.", least=0, most=64)
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
    vector_optimize_every: int = _setting(
        20, "LanceDB flushes between two optimisations, which compact the hot index too.", least=1
    )
    vector_cache_bytes: int = _setting(
        64 << 20, "What LanceDB may keep in memory of how its files are made, old versions too.", least=64 << 10
    )
    read_wait: float = _setting(
        1.0, "How long a read waits for graph, text and vectors to reach what was acknowledged.", least=0
    )
    readers: int = _setting(
        4, "Connections kept for reading; also the threads of an asynchronous memory.", least=1, most=MOST_THREADS
    )

    hot_index_bytes: int = _setting(
        2 << 30, "Vectors searched exactly in memory; past it LanceDB's approximate index answers.", least=0
    )
    query_cache_entries: int = _setting(1_000, "Answers kept; 0 keeps none.", least=0)
    query_cache_bytes: int = _setting(
        64 << 20, "What the answers kept may take together; one that takes more than a tenth of it isn't kept.", least=0
    )
    query_cache_ttl: float = _setting(300.0, "How long an answer may be given again.", least=0)
    blas_threads: int = _setting(
        1, "Threads of numpy's BLAS in this process; 0 leaves them alone.", least=0, most=MOST_THREADS
    )

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
    graph_threads: int = _setting(2, "Threads that one graph query may use.", least=1, most=MOST_THREADS)
    adjacency_bytes: int = _setting(
        512 << 20, "Who is joined to whom, kept in memory for traversal; past it the graph engine answers.", least=0
    )
    graph_timeout: float = _setting(30.0, "Time limit of one graph query.", least=0.001)
    cypher_rows: int = _setting(1_000_000, "Rows that `memory.cypher` gives at most, where it isn't told.", least=1)
    graph_checkpoint_bytes: int = _setting(
        16 << 20, "Size of the graph's write-ahead file at which it is checkpointed.", least=1 << 20
    )
    share: bool = _setting(
        True, "Let other processes of this user use the memory while this one owns it, and use another's."
    )
    allow_network_fs: bool = _setting(False, "Open a memory on a network file system all the same.")
    stemmer: str = _setting(
        "english", "Language that full text of a new memory is stemmed for.", choices=STEMMERS
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings(_Checked):
    """The settings of the service. Durations are seconds, sizes are bytes, unless the name says else."""

    host: str = _setting("127.0.0.1", "Address to listen on; any but loopback takes authentication.")
    port: int = _setting(8080, "Port to listen on; 0 takes a free one.", least=0, most=65_535)
    backlog: int = _setting(2_048, "Connections that may wait to be taken.", least=1)
    keep_alive: int = _setting(75, "How long a connection may rest between two requests.", least=1)
    drain: float = _setting(20.0, "When it is stopped: how long requests under way may take to end.", least=0)
    close_within: float = _setting(30.0, "How long the memory may then take to be closed in order.", least=0)
    worker_memory_bytes: int = _setting(
        0, "Memory of its own (mapped files don't count) that the worker may take before it is started anew; "
        "0: four fifths of what the machine, or its container, has.", least=0,
    )
    worker_silence: float = _setting(60.0, "After how long without a sign of life the worker is started anew.", least=1)
    warm: bool = _setting(
        True, "Whether the embedding model is loaded at the start, in the background, and not at the first question."
    )

    graphql_depth: int = _setting(15, "Fields within fields that a GraphQL document may ask.", least=1)
    graphql_cost: int = _setting(
        10_000, "Values that the answer to a GraphQL document may hold, its pages counted as large as asked.", least=1
    )
    graphql_aliases: int = _setting(50, "Fields that a GraphQL document may ask under other names.", least=0)
    graphql_tokens: int = _setting(5_000, "Tokens of a GraphQL document.", least=1)
    graphql_batch: int = _setting(10, "GraphQL documents in one request; 1 takes no lists of them.", least=1)
    graphql_timeout: float = _setting(30.0, "How long a GraphQL document may take.", least=0.001)
    graphql_subscriptions: int = _setting(20, "GraphQL operations under way on one WebSocket.", least=1)
    graphql_introspection: bool = _setting(True, "Whether the GraphQL schema may be asked for.")
    graphql_documents: str = _setting(
        "", "File of trusted GraphQL documents, a JSON object of texts by id: no others are taken then. Empty: any is."
    )
    graphiql: bool = _setting(True, "A page to try GraphQL in, at /graphql.")

    log_level: str = _setting(
        "info", "What is logged, on standard error.", choices=("debug", "info", "warning", "error")
    )
    log_format: str = _setting("json", "How it is logged.", choices=("json", "text"))
    log_requests: bool = _setting(True, "A line for each request.")
    slow_seconds: float = _setting(1.0, "What takes longer is logged as slow, of Cypher with its plan.", least=0)
    tracing: bool = _setting(False, "Spans by OpenTelemetry, sent where its own variables say.")

    authentication: str = _setting(
        "auto", "Whether callers must say who they are. `auto`: where there are keys or tokens, and on any address but "
        "loopback.", choices=("auto", "required"),
    )  # fmt: skip
    keys_file: str = _setting("", "Where API keys are kept, as hashes; empty: `graphsvc.keys.json` in the memory.")
    jwt_key_file: str = _setting("", "Public key (PEM) or keys (JWKS) that tokens are checked with.")
    jwt_secret: str = _setting("", "Shared secret that tokens are checked with, of 32 bytes or more.", secret=True)
    jwt_secret_file: str = _setting("", "File that holds that secret.")
    jwt_algorithms: str = _setting("", "Algorithms that a token may use, with commas; empty: the one of the key.")
    jwt_audience: str = _setting("", "Whom tokens must be for (`aud`).")
    jwt_issuer: str = _setting("", "Who must have issued them (`iss`).")
    jwt_role_claim: str = _setting("role", "The claim that gives the role: `reader`, `writer` or `admin`.")
    jwt_namespaces_claim: str = _setting("namespaces", "The claim that lists the namespaces, or says `*`.")
    jwt_leeway: float = _setting(30.0, "How far a token's clock may be off.", least=0)

    rate: float = _setting(100.0, "Requests per second that a key or a token's subject may make; 0: any.", least=0)
    rate_burst: int = _setting(200, "How many of them may come at once.", least=1)
    concurrency: int = _setting(64, "Requests worked on at the same time.", least=1)
    concurrency_queue: int = _setting(1_000, "Requests that may wait for their turn; further ones get 503.", least=0)
    concurrency_wait: float = _setting(10.0, "How long one waits before it gets 503.", least=0)
    connections: int = _setting(
        20_000, "Connections at the same time, fewer where the system allows fewer open files; further ones get 503.",
        least=1,
    )  # fmt: skip
    max_body_bytes: int = _setting(32 << 20, "The largest body of a request, and message of a WebSocket.", least=1)
    max_header_bytes: int = _setting(32 << 10, "The largest head of a request: its line and headers.", least=1 << 10)
    header_timeout: float = _setting(10.0, "How long a request's head may take to come.", least=0.1)
    body_timeout: float = _setting(60.0, "How long its body may take.", least=0.1)
    write_timeout: float = _setting(60.0, "How long a caller may take nothing of an answer.", least=0.1)
    hosts: str = _setting(
        "", "Names that requests may call the service by (`Host`), with commas; empty: on loopback those of loopback, "
        "else any.",
    )  # fmt: skip
    cors_origins: str = _setting("", "Origins whose pages may call it from a browser, with commas; empty: none.")
    audit_file: str = _setting(
        "", "Where writes, Cypher and administration are noted; empty: in the log, as `graphsvc.audit`."
    )
    tls_cert_file: str = _setting("", "Certificate, with its chain, as PEM; with it HTTPS is spoken.")
    tls_key_file: str = _setting("", "Its private key, as PEM.")
    tls_key_password: str = _setting("", "The password of that key, if it has one.", secret=True)
    tls_key_password_file: str = _setting("", "File that holds that password.")
    tls_minimum: str = _setting("1.2", "The oldest version of TLS that is spoken.", choices=("1.2", "1.3"))

    snapshot_dir: str = _setting("", "Where snapshots are taken on schedule; empty: none are.")
    snapshot_every: float = _setting(86_400.0, "How long after a snapshot the next is due.", least=1)
    snapshot_keep: float = _setting(7 * 86_400.0, "How long a snapshot is kept; the latest always is.", least=1)


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
        shown = "something else" if setting.metadata["secret"] else repr(value)
        raise BadInput(f"expected {kind.__name__}, got {shown}", where=name)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"expected a finite number, got {value!r}", where=name)
    choices, least, most = (setting.metadata[name] for name in ("choices", "least", "most"))
    if choices and isinstance(value, str):
        value = value.lower()
    if choices and value not in choices:
        raise BadInput(f"{value!r} is not one of {', '.join(choices)}", where=name)
    if least is not None and not value >= least:
        raise BadInput(f"{value!r} is less than {least}", where=name)
    if most is not None and not value <= most:
        raise BadInput(f"{value!r} is more than {most}", where=name)
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


S = TypeVar("S", bound=_Checked)


def load(directory: Path | None = None, **arguments: Any) -> Settings:
    """The settings in force: arguments before environment before file before defaults.

    Arguments that are None count as not given.

    Raises:
        UnknownField: a name that is no setting, as an argument or in the file; in the environment it is warned of.
        BadInput: a value of the wrong type or range, or a file that isn't TOML.
    """
    found = _from_file(directory)
    found.pop(SERVICE_TABLE, None)
    return _loaded(Settings, PREFIX, found, arguments)


def load_service(directory: Path | None = None, **arguments: Any) -> ServiceSettings:
    """The service's settings in force; as `load`."""
    found = _from_file(directory).get(SERVICE_TABLE, {})
    if not isinstance(found, dict):
        raise BadInput(f"expected a table, got {found!r}", where=SERVICE_TABLE)
    return _loaded(ServiceSettings, SERVICE_PREFIX, dict(found), arguments)


def _loaded(kind: type[S], prefix: str, values: dict[str, Any], arguments: dict[str, Any]) -> S:
    known = {setting.name for setting in fields(kind)}
    for name in known:
        text = os.environ.get(prefix + name.upper())
        if text is not None:
            values[name] = text
    _warn_of_others()
    values.update({name: value for name, value in arguments.items() if value is not None})
    for name in values:
        if name not in known:
            raise _unknown(name, known)
    return kind(**values)


def _warn_of_others() -> None:
    """Tell, once in a process, of variables that look like settings and are none: a misspelt one does nothing."""
    variables = {PREFIX + setting.name.upper() for setting in fields(Settings)}
    variables |= {SERVICE_PREFIX + setting.name.upper() for setting in fields(ServiceSettings)}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in variables | OTHER_VARIABLES | _told:
            _told.add(name)
            message = f"{name} in the environment is no setting and does nothing. {_nearest(name, variables)}".strip()
            logger.warning("%s", message)
            warnings.warn(message, UnknownVariable, stacklevel=4)


def set_in_file(directory: Path | None, group: str) -> dict[str, Path]:
    """The settings that a file sets, of a memory or of the `service`, and which file."""
    path = _file(directory)
    found = _from_file(directory)
    chosen = found.get(SERVICE_TABLE, {}) if group == SERVICE_TABLE else found
    return dict.fromkeys(chosen, path) if path is not None else {}


def _file(directory: Path | None) -> Path | None:
    named = os.environ.get(PREFIX + "CONFIG")
    path = Path(named) if named else directory / CONFIG_FILE if directory else None
    return path if named or (path is not None and os.path.exists(path)) else None


def _from_file(directory: Path | None) -> dict[str, Any]:
    path = _file(directory)
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"can't be read: {error.strerror}", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"is not TOML: {error}", where=str(path)) from None


def whole_path(path: Any, where: str = "path") -> Path:
    """A path from the root on, `~` replaced by the home directory. Raises BadInput where it is none."""
    if not isinstance(path, str | os.PathLike):
        raise BadInput(f"expected a path, got {type(path).__name__}", where=where)
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise BadInput("is no path", where=where)
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise BadInput(f"{text!r} names a home directory that there isn't", where=where) from None


def listed(text: str) -> tuple[str, ...]:
    """The parts of a setting that is a list with commas."""
    return tuple(part for part in (part.strip() for part in text.split(",")) if part)


def secret(settings: ServiceSettings, name: str) -> str:
    """A secret, from its setting or from the file that the setting with `_file` names; empty if it has none.

    Raises:
        BadInput: it is given twice, or its file can't be read.
    """
    given, path = getattr(settings, name), getattr(settings, f"{name}_file")
    if given and path:
        raise BadInput("is given itself and as a file", where=name, hint="Give one of them.")
    if not path:
        return str(given)
    try:
        return whole_path(path, f"{name}_file").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't text"
        raise BadInput(f"can't be read ({reason})", where=f"{name}_file") from None


def cache_directory(settings: Settings) -> Path:
    """Where exported models and computed embeddings are kept. Made if it doesn't exist."""
    if settings.cache_dir:
        path = whole_path(settings.cache_dir, "cache_dir")
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
