"""Arguments and results as bytes, and back: msgpack, and what it lacks as extensions that name a registered class.

Nothing is unpickled, and only classes that are named here are made. Tables travel as Arrow IPC, arrays as their bytes;
of nodes the properties travel along.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from types import GenericAlias
from typing import Any, cast, get_args, get_origin
from uuid import UUID

import msgspec

from graphsvc.errors import BadInput, GraphsvcError, told

MEDIA = "application/vnd.graphsvc.v1+msgpack"
"""The media type of what this writes."""
ERA, KEY, AGAIN, PROGRESS = "graphsvc-era", "idempotency-key", "graphsvc-again", "graphsvc-progress"
"""Headers of calls, see `graphsvc.service.rpc`."""
ARRAYS = "biufcSUmM"
"""Kinds of arrays that travel: numbers, texts and times of numpy."""

_CLASSES = {
    "graphsvc.log.adjacent": "CausalEdge CausalNode",
    "graphsvc.memory.briefing": "Brief Sentence",
    "graphsvc.memory.causal": "Consequence WhatIf",
    "graphsvc.memory.causal_paths": "CausalPath CausalPaths",
    "graphsvc.memory.feed": "Changed Changes",
    "graphsvc.memory.paging": "Page",
    "graphsvc.memory.consolidation": "Consolidation Learnt",
    "graphsvc.memory.exporting": "ExportReport",
    "graphsvc.memory.facts": "Belief Contradiction",
    "graphsvc.memory.forgetting": "ForgetReport KeptTask Named",
    "graphsvc.memory.reached": "Joint Nodes Subgraph Way Ways",
    "graphsvc.memory.recall": "Item Recalled Weights",
    "graphsvc.memory.results": "Event Hit Lesson Relations Statistics Trend",
    "graphsvc.memory.scores": "Scores",
    "graphsvc.memory.skills": "Linked",
    "graphsvc.memory.trimming": "TrimReport",
    "graphsvc.memory.uplift": "Uplift",
    "graphsvc.model.as_of": "AsOf",
    "graphsvc.model.elements": "Edge End Node Path",
    "graphsvc.model.records": "Cause Entity Episode Fact Feedback Outcome Predicate Row Skill SkillVersion Variable",
    "graphsvc.model.schema": "GraphTable Schema",
    "graphsvc.model.statements": "Outcome:StatementOutcome",
    "graphsvc.model.tables": "Table",
    "graphsvc.store.answers": "Answer",
    "graphsvc.store.snapshot": "Snapshot",
    "graphsvc.store.verify": "Problem Report",
}
_TUPLE, _SET, _FROZENSET, _MAP, _INT, _TIME, _DATE, _CLOCK, _DURATION, _DECIMAL, _UUID, _PATH, _TYPE = range(1, 14)
_ARRAY, _SCALAR, _TABLE, _FRAME, _STRUCT, _OBJECT, _NAMED, _ERROR, _GRAPH = range(20, 29)

_TYPES = {kind.__name__: kind for kind in (str, bool, int, float, bytes, date, datetime)}
"""Types that columns of tables are declared with."""
_PLAIN = frozenset({str, float, bool, type(None), bytes})
_encoder = msgspec.msgpack.Encoder()
_named_raw = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])


def encode(value: Any) -> bytes:
    """A value as bytes.

    Raises:
        BadInput: it can't be sent: a function, or an object of a class that isn't registered.
    """
    try:
        return _encoder.encode(_packed(value))
    except RecursionError:
        raise BadInput("nests too deep, or holds itself", hint="Only data can be sent.") from None
    except UnicodeEncodeError:
        raise BadInput("the text holds half a surrogate pair, which is no character") from None


def decode(data: bytes | memoryview) -> Any:
    """What `encode` made. Raises BadInput for anything else."""
    try:
        return _decoder.decode(data)
    except GraphsvcError:
        raise
    except RecursionError:
        raise BadInput("nests too deep", where="body") from None
    except Exception as error:  # whatever a library says of bytes that aren't its own
        raise BadInput(f"isn't what {MEDIA} holds: {error}"[:300], where="body") from None


# --- packing -------------------------------------------------------------------------------------------------


def _packed(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 64 else _ext(_INT, str(value))
    if kind is dict:
        return _packed_map(value)
    if kind is list:
        return [_packed(item) for item in value]
    if kind is datetime and value.tzinfo is UTC:
        return value
    packer = _packers().get(kind)
    return packer(value) if packer is not None else _packed_other(value)


def _packed_map(value: Mapping[Any, Any]) -> Any:
    if all(type(name) is str for name in value):
        return {name: _packed(item) for name, item in value.items()}
    return _ext(_MAP, [[_packed(name), _packed(item)] for name, item in value.items()])


def _ext(code: int, content: Any) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, _encoder.encode(content))


def _named(code: int, name: str, content: Any) -> msgspec.msgpack.Ext:
    return _ext(code, (name, content))


@functools.cache
def _packers() -> dict[type, Callable[[Any], Any]]:
    """How to pack what is of exactly one of these classes."""
    found: dict[type, Callable[[Any], Any]] = {
        tuple: lambda value: _ext(_TUPLE, [_packed(item) for item in value]),
        set: lambda value: _ext(_SET, [_packed(item) for item in value]),
        frozenset: lambda value: _ext(_FROZENSET, [_packed(item) for item in value]),
        date: lambda value: _ext(_DATE, value.isoformat()),
        time: lambda value: _ext(_CLOCK, value.isoformat()),
        timedelta: lambda value: _ext(_DURATION, (value.days, value.seconds, value.microseconds)),
        Decimal: lambda value: _ext(_DECIMAL, str(value)),
        UUID: lambda value: _ext(_UUID, value.bytes),
    }
    for name, kind in _classes().items():
        found[kind] = functools.partial(_packer_of(kind), name)
    for name, (kind, take, _) in _special().items():
        found[kind] = functools.partial(_packed_special, name, take)
    return found


def _packer_of(kind: type) -> Callable[[str, Any], Any]:
    if issubclass(kind, msgspec.Struct):
        return _packed_struct
    return _packed_tuple if issubclass(kind, tuple) else _packed_dataclass


def _packed_struct(name: str, value: Any) -> Any:
    return _named(_STRUCT, name, value)


def _packed_tuple(name: str, value: Any) -> Any:
    return _named(_NAMED, name, [_packed(item) for item in value])


def _packed_special(name: str, take: Callable[[Any], Any], value: Any) -> Any:
    return _named(_OBJECT, name, _packed(take(value)))


def _packed_dataclass(name: str, value: Any) -> Any:
    _fetched(name, value)
    fields = {field: getattr(value, field) for field in _fields(cast("Any", type(value)))}
    return _named(_OBJECT, name, {field: _packed(item) for field, item in fields.items()})


def _fetched(name: str, value: Any) -> None:
    """Have the nodes in a result know their properties, with one question for all of them."""
    if name not in ("Nodes", "Subgraph", "Way", "Ways"):
        return
    from graphsvc.memory.reached import LazyNode, fetch_all

    ways = value.items if name == "Ways" else [value]
    nodes = value.items if name == "Nodes" else [node for way in ways for node in way.nodes]
    fetch_all([node for node in nodes if isinstance(node, LazyNode)])


@functools.cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


def _packed_other(value: Any) -> Any:
    """What is of no registered class, by what it is like."""
    if isinstance(value, bool | str | int | float):
        plain = next(base for base in (bool, str, int, float) if isinstance(value, base))
        return _packed(plain(value)) if not hasattr(value, "dtype") else _packed_numpy(value)
    if type(value).__name__ in ("NaTType", "NAType"):  # pandas' missing values, known without importing it
        return None
    if isinstance(value, datetime):
        return _ext(_TIME, value.isoformat())
    if isinstance(value, GraphsvcError):
        return _ext(_ERROR, _packed(value.as_dict()))
    if isinstance(value, PurePath):
        return _ext(_PATH, str(value))
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, type | GenericAlias) and (name := _type_name(value)):
        return _ext(_TYPE, name)
    module = type(value).__module__.partition(".")[0]
    if module in ("numpy", "pandas", "networkx") or hasattr(value, "__arrow_c_stream__"):
        return _packed_foreign(module, value)
    if isinstance(value, Mapping):
        return _packed_map(value)
    if isinstance(value, Iterable) and not callable(value):
        return [_packed(item) for item in value]
    for base in type(value).__mro__[1:]:
        if base is not object and (packer := _packers().get(base)) is not None:
            return packer(value)
    what = "a function" if callable(value) else f"an object of {type(value).__name__}"
    raise BadInput(f"{what} can't be sent", hint="Only data can; call it where the memory is.")


def _type_name(value: Any) -> str:
    """How a type travels, as `str` or `list[str]`; empty where it doesn't."""
    listed = get_origin(value) is list
    (kind,) = get_args(value) if listed else (value,)
    name = next((name for name, known in _TYPES.items() if known is kind), "")
    return f"list[{name}]" if listed and name else name


def _type(name: str) -> Any:
    inner = name.removeprefix("list[").removesuffix("]")
    return list[_TYPES[inner]] if inner != name else _TYPES[name]  # type: ignore[valid-type]


def _packed_foreign(module: str, value: Any) -> Any:
    if module == "numpy":
        return _packed_numpy(value)
    if module == "networkx":
        return _packed_graph(value)
    import pyarrow as pa

    if module != "pandas":
        return _ext(_TABLE, _ipc(value if isinstance(value, pa.Table) else pa.table(value)))
    if not hasattr(value, "columns"):
        return _packed(value.tolist())
    try:
        return _ext(_FRAME, _ipc(pa.Table.from_pandas(value)))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):  # a column of different things
        return _ext(_FRAME, {str(name): _packed(value[name].tolist()) for name in value.columns})


def _packed_numpy(value: Any) -> Any:
    import numpy as np

    if isinstance(value, np.generic):
        return _ext(_SCALAR, (value.dtype.str, value.tobytes()))
    if value.dtype.kind not in ARRAYS:
        return _packed(value.tolist())
    return _ext(_ARRAY, (value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes()))


def _packed_graph(value: Any) -> Any:
    keyed = {"keys": True} if value.is_multigraph() else {}
    return _ext(
        _GRAPH,
        {
            "multi": value.is_multigraph(), "directed": value.is_directed(), "graph": _packed(value.graph),
            "nodes": [[_packed(node), _packed(values)] for node, values in value.nodes(data=True)],
            "edges": [_packed(list(edge)) for edge in value.edges(data=True, **keyed)],
        },
    )  # fmt: skip


def _ipc(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


# --- unpacking ------------------------------------------------------------------------------------------------


def _unpacked(code: int, data: memoryview) -> Any:
    maker = _MAKERS.get(code)
    if maker is None:
        raise BadInput(f"no such extension: {code}", where="body")
    return maker(data)


_decoder = msgspec.msgpack.Decoder(ext_hook=_unpacked)


def _struct(data: memoryview) -> Any:
    name, raw = _named_raw.decode(data)
    return _struct_decoder(_class(name)).decode(raw)


@functools.cache
def _struct_decoder(kind: type) -> msgspec.msgpack.Decoder[Any]:
    if not issubclass(kind, msgspec.Struct):
        raise BadInput(f"{kind.__name__} is no struct", where="body")
    return msgspec.msgpack.Decoder(kind)


def _object(data: memoryview) -> Any:
    name, values = _decoder.decode(data)
    if name in _special():
        return _special()[name][2](values)
    kind = _class(name)
    if not dataclasses.is_dataclass(kind):
        raise BadInput(f"{name} is no dataclass", where="body")
    return kind(**values)


def _tuple_of(data: memoryview) -> Any:
    name, values = _decoder.decode(data)
    kind = _class(name)
    if not issubclass(kind, tuple):
        raise BadInput(f"{name} is no tuple", where="body")
    return kind(*values)


def _class(name: str) -> type:
    kind = _classes().get(name)
    if kind is None:
        raise BadInput(f"no such class: {name!r}", where="body", hint="Client and service may differ in version.")
    return kind


@functools.cache
def _classes() -> dict[str, type]:
    """The registered classes by the names that they travel under, which stand behind a colon where they differ."""
    found: dict[str, type] = {}
    for module, names in _CLASSES.items():
        for own, _, other in (name.partition(":") for name in names.split()):
            found[other or own] = getattr(importlib.import_module(module), own)
    return found


def _array(data: memoryview) -> Any:
    import numpy as np

    given, shape, content = msgspec.msgpack.decode(data)
    dtype = _dtype(given)
    return np.frombuffer(content, dtype).reshape([int(size) for size in shape]).copy()


def _scalar(data: memoryview) -> Any:
    import numpy as np

    given, content = msgspec.msgpack.decode(data)
    return np.frombuffer(content, _dtype(given))[0]


def _dtype(given: Any) -> Any:
    import numpy as np

    dtype = np.dtype(str(given))
    if dtype.kind not in ARRAYS or dtype.hasobject:
        raise BadInput(f"arrays of {given!r} aren't taken", where="body")
    return dtype


def _table(data: memoryview) -> Any:
    import pyarrow as pa

    return _read_ipc(pa, msgspec.msgpack.decode(data))


def _read_ipc(pa: Any, content: bytes) -> Any:
    with pa.ipc.open_stream(content) as reader:
        table = reader.read_all()
    table.validate(full=True)
    return table


def _frame(data: memoryview) -> Any:
    import pandas as pd
    import pyarrow as pa

    content = _decoder.decode(data)
    return pd.DataFrame(content) if isinstance(content, dict) else _read_ipc(pa, content).to_pandas()


def _graph(data: memoryview) -> Any:
    import networkx as nx

    content = _decoder.decode(data)
    kinds = {
        (False, False): nx.Graph, (False, True): nx.DiGraph, (True, False): nx.MultiGraph,
        (True, True): nx.MultiDiGraph,
    }  # fmt: skip
    graph = kinds[content["multi"], content["directed"]](**content["graph"])
    graph.add_nodes_from((node, values) for node, values in content["nodes"])
    graph.add_edges_from(tuple(edge) for edge in content["edges"])
    return graph


def _error(data: memoryview) -> GraphsvcError:
    return told(_decoder.decode(data))


def _all(make: Callable[[Any], Any]) -> Callable[[memoryview], Any]:
    return lambda data: make(_decoder.decode(data))


_MAKERS: dict[int, Callable[[memoryview], Any]] = {
    _TUPLE: _all(tuple), _SET: _all(set), _FROZENSET: _all(frozenset),
    _MAP: _all(lambda pairs: dict(map(tuple, pairs))),
    _INT: _all(lambda text: int(text[:5000])), _TIME: _all(datetime.fromisoformat), _DATE: _all(date.fromisoformat),
    _CLOCK: _all(time.fromisoformat), _DURATION: _all(lambda parts: timedelta(*parts)), _DECIMAL: _all(Decimal),
    _UUID: _all(lambda content: UUID(bytes=content)), _PATH: _all(Path), _TYPE: _all(_type),
    _ARRAY: _array, _SCALAR: _scalar, _TABLE: _table, _FRAME: _frame, _STRUCT: _struct, _OBJECT: _object,
    _NAMED: _tuple_of, _ERROR: _error, _GRAPH: _graph,
}  # fmt: skip


# --- classes that are made in their own way ---------------------------------------------------------------------

Special = tuple[type, Callable[[Any], dict[str, Any]], Callable[[dict[str, Any]], Any]]


@functools.cache
def _special() -> dict[str, Special]:
    """By name: the class, what is sent of one, and how it is made again."""
    from graphsvc.memory.cypher import Result
    from graphsvc.memory.reached import LazyNode
    from graphsvc.memory.results import Hits
    from graphsvc.model.filters import Expression

    return {
        "Hits": (Hits, _of_hits, _hits),
        "LazyNode": (LazyNode, lambda node: {**node.row(), "properties": node.properties}, _lazy_node),
        "Expression": (Expression, lambda value: {"json": value.json}, lambda values: Expression(values["json"])),
        "CypherResult": (
            Result,
            lambda result: {"answer": result._answer, "took": result.took, "behind": result.behind},
            lambda values: Result(values["answer"], values["took"], behind=values["behind"]),
        ),
    }


def _of_hits(hits: Any) -> dict[str, Any]:
    return {name: getattr(hits, name) for name in ("items", "pending", "behind", "query", "kind", "unread")}


def _hits(values: dict[str, Any]) -> Any:
    from graphsvc.memory.results import Hit, Hits
    from graphsvc.model.records import Record

    items = values["items"]
    whole = isinstance(items, tuple) and all(isinstance(hit, Hit) and isinstance(hit.record, Record) for hit in items)
    if not whole:
        raise BadInput("hits are of records", where="body")
    return Hits(**values)


def _lazy_node(values: dict[str, Any]) -> Any:
    from graphsvc.memory.reached import LazyNode

    node = LazyNode(values["label"], values["key"], _gone, values["depth"])
    node.learn(values["properties"])
    return node


def _gone(nodes: Any) -> list[dict[str, Any]]:
    return [{} for _ in nodes]
