"""What travels comes back as it was; what isn't ours is refused, and never run."""

from __future__ import annotations

import pickle
import random
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import networkx as nx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphsvc import AsOf, F
from graphsvc.errors import BadInput, GraphsvcError, NotAllowed, Overloaded, Pending, every_error
from graphsvc.remote import wire

VALUES: list[Any] = [
    None, True, 0, -(1 << 63), (1 << 64) - 1, 1 << 70, -(1 << 99), 1.5, float("inf"), "ß\0", b"\xff", [], {}, (), set(),
    (1, (2, [3])), {1, 2}, frozenset({"a"}), {1: "a", (2, 3): None}, {"a": {"b": [1]}}, date(2026, 1, 2), time(1, 2, 3),
    datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 1, 2), timedelta(-1, 2, 3),
    datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5))), Decimal("1.50"), UUID(int=5), Path("/a/b"), str, list[int],
    AsOf("2026-01-01T00:00:00Z"), np.float32(1.5), np.int64(7), np.datetime64("2026-01-01"), np.bool_(True),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_was_and_of_its_type(value: Any) -> None:
    again = wire.decode(wire.encode(value))
    assert again == value
    assert type(again) is type(value)


small = st.text(max_size=5)
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | small | st.binary(max_size=5) | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(small | st.integers(), inner, max_size=3)
    | st.tuples(inner, inner),
    max_leaves=8,
)  # fmt: skip


@given(data)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nested_values_come_back_as_they_were(value: Any) -> None:
    try:
        data = wire.encode(value)
    except BadInput:  # half a surrogate pair
        return
    assert wire.decode(data) == value


@pytest.mark.parametrize(
    "array",
    [np.zeros((0, 3), np.float32), np.arange(6).reshape(2, 3)[:, ::-1], np.array(["a", "bcd"]), np.array([1 + 2j]),
     np.array(["2026-01-01"], "datetime64[us]"), np.asfortranarray(np.eye(3)), np.array([True, False])],
)  # fmt: skip
def test_an_array_keeps_its_type_shape_and_values_and_can_be_written(array: Any) -> None:
    again = wire.decode(wire.encode(array))
    assert again.dtype == array.dtype
    assert np.array_equal(again, array)
    assert again.shape == array.shape
    assert again.flags.writeable


def test_tables_and_graphs_come_back_as_they_were() -> None:
    frame = pd.DataFrame({"a": [1, 2], "t": pd.to_datetime(["2026-01-01", None], utc=True), "l": [[1], [2, 3]]})
    again = wire.decode(wire.encode(frame))
    assert list(again["a"]) == [1, 2]
    assert again.dtypes.astype(str).equals(frame.dtypes.astype(str))
    mixed = pd.DataFrame({"key": [1, "x"]}, dtype=object)
    assert wire.decode(wire.encode(mixed)).equals(mixed)
    table = pa.table({"a": [1, None], "s": ["x", "y"]})
    assert wire.decode(wire.encode(table)).equals(table)
    for kind in (nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph):
        graph = kind(name="g")
        graph.add_edge(("Person", "ann"), 2, weight=1.5)
        back = wire.decode(wire.encode(graph))
        assert type(back) is kind
        assert nx.utils.graphs_equal(back, graph)
        assert back.graph == graph.graph


def test_a_filter_travels_as_what_it_says() -> None:
    asked = (F.reward >= 0.9) & ~F.tags.contains("done")
    assert wire.decode(wire.encode(asked)).json == asked.json


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.code)
def test_an_error_comes_back_as_its_class_with_all_it_says(kind: type[GraphsvcError]) -> None:
    more: dict[str, Any] = {"change": 7} if kind is Pending else {}
    error = kind("what", where="where", hint="hint", **more)
    again = wire.decode(wire.encode(error))
    assert type(again) is kind
    assert again.as_dict() == error.as_dict()
    assert str(again) == str(error)


def test_what_errors_say_beside_comes_along() -> None:
    assert wire.decode(wire.encode(NotAllowed("x", rule="path"))).rule == "path"
    assert wire.decode(wire.encode(Overloaded("x", retry_after=2.5))).retry_after == 2.5
    known = {"code": "of_the_future", "what": "x", "where": "", "hint": "", "retryable": True}
    newer = wire.decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(wire._ERROR, msgspec.msgpack.encode(known))))
    assert (type(newer), newer.code, newer.retryable) == (GraphsvcError, "of_the_future", True)


@pytest.mark.parametrize("value", [lambda: 1, object(), print, [random.Random()], {"a": open}, BadInput])
def test_what_is_no_data_is_refused_before_it_is_sent(value: Any) -> None:
    with pytest.raises(BadInput, match="can't be sent"):
        wire.encode(value)


def test_what_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(BadInput, match="nests too deep"):
        wire.encode(value)


def ext(code: int, content: Any) -> bytes:
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(code, msgspec.msgpack.encode(content)))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xc1", b"\x91", pickle.dumps({"a": 1}), b"\x91" * 100_000, ext(99, None), ext(wire._OBJECT, ("os.system", {})),
        ext(wire._OBJECT, ("Hit", {"nothing": 1})), ext(wire._OBJECT, ("Episode", {})), ext(wire._NAMED, ("Hit", [1])),
        ext(wire._NAMED, ("End", [1, 2, 3, 4])), ext(wire._STRUCT, ("Episode", {"id": 5})), ext(wire._STRUCT, ("Hit", {})),
        ext(wire._ARRAY, ("O", [1], b"12345678")), ext(wire._ARRAY, ("<f4", [1 << 40], b"1234")), ext(wire._TABLE, b"no"),
        ext(wire._ARRAY, ("<f4", [-1, -1], b"1234")), ext(wire._SCALAR, ("<f4", b"")), ext(wire._MAP, [[1]]),
        ext(wire._MAP, [[[1], 2]]), ext(wire._TIME, "tomorrow"), ext(wire._UUID, b"1"), ext(wire._GRAPH, {}),
        ext(wire._TYPE, "os"), ext(wire._INT, "1e9"), ext(wire._ERROR, {"code": 1}), ext(wire._SET, [[1]]),
        ext(wire._OBJECT, ("Hits", {"items": [1]})), ext(wire._DECIMAL, "x"), ext(wire._FRAME, b"x"),
    ],
)  # fmt: skip
def test_bytes_that_are_none_of_ours_are_bad_input(data: bytes) -> None:
    with pytest.raises(BadInput):
        wire.decode(data)


def test_damaged_bytes_are_bad_input_or_other_data_and_nothing_else() -> None:
    chance = random.Random(3)
    whole = wire.encode({"a": [AsOf("x"), np.eye(3), pa.table({"a": [1]}), Decimal(1), (1, {2})], "e": BadInput("x")})
    for _ in range(2_000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with suppress(BadInput):
            wire.decode(bytes(data[: chance.randint(1, len(data))]))
