from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from graphsvc.embedding.cache import FILE, DiskCache, MemoryCache, Row, key_of
from graphsvc.errors import ReadOnly


def row(number: int, dimension: int = 8) -> Row:
    vector = np.zeros(dimension, dtype=np.float32)
    vector[number % dimension] = 1
    return vector, number, min(number, 5)


def rows(*texts: str) -> dict[bytes, Row]:
    return {key_of("model:1", text): row(number) for number, text in enumerate(texts)}


def assert_same(found: dict[bytes, Row], wanted: dict[bytes, Row]) -> None:
    assert found.keys() == wanted.keys()
    for key, (vector, tokens, kept) in wanted.items():
        np.testing.assert_array_equal(found[key][0], vector)
        assert found[key][1:] == (tokens, kept)


def test_keys_differ_by_model_and_by_text() -> None:
    assert len({key_of(model, text) for model in ("a", "b") for text in ("", "b", "\ud800")}) == 6
    assert key_of("a", "b") != key_of("ab", "")


def test_memory_lets_go_of_what_was_unused_for_longest() -> None:
    memory = MemoryCache(2)
    memory.put({b"a": row(1), b"b": row(2)})
    memory.get([b"a"])
    memory.put({b"c": row(3)})
    assert set(memory.get([b"a", b"b", b"c"])) == {b"a", b"c"}


def test_what_was_written_is_read_by_another_process_of_the_same_user(tmp_path: Path) -> None:
    kept = rows(*(f"text {number}" for number in range(1200)))
    DiskCache(tmp_path).put(kept, "model:1")
    assert_same(DiskCache(tmp_path).get([*kept, b"absent"], 8), kept)


def test_no_text_is_in_the_file_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put(rows("the secret sentence"), "model:1")
    cache.close()
    assert b"secret" not in cache.path.read_bytes()
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600


def test_a_vector_of_another_dimension_or_length_is_not_an_answer(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    kept = rows("a", "b")
    cache.put(kept, "model:1")
    assert cache.get(list(kept), 384) == {}
    with sqlite3.connect(cache.path) as other:
        other.execute("UPDATE embeddings SET vector = zeroblob(32) WHERE key = ?", (key_of("model:1", "a"),))
    assert set(cache.get(list(kept), 8)) == {key_of("model:1", "b")}


@pytest.mark.parametrize("damage", [b"not a database at all" * 500, b""])
def test_a_damaged_file_is_set_aside_and_a_new_one_made(tmp_path: Path, damage: bytes, caplog) -> None:
    (tmp_path / FILE).write_bytes(damage)
    cache = DiskCache(tmp_path)
    assert cache.get([b"key"], 8) == {}
    kept = rows("a")
    cache.put(kept, "model:1")
    assert_same(DiskCache(tmp_path).get(list(kept), 8), kept)
    assert ("damaged" in caplog.text) == bool(damage)
    assert cache.broken == ""


def test_a_file_damaged_in_the_middle_never_fails_a_call(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    kept = rows(*(f"text {number}" for number in range(2000)))
    cache.put(kept, "model:1")
    cache.close()
    content = bytearray(cache.path.read_bytes())
    content[4096:-4096] = os.urandom(len(content) - 8192)
    cache.path.write_bytes(content)
    found = cache.get(list(kept), 8)
    for key, (vector, _, _) in found.items():
        np.testing.assert_array_equal(vector, kept[key][0])
    cache.put(kept, "model:1")
    assert_same(cache.get(list(kept), 8), kept)


def test_a_directory_that_cannot_be_used_turns_the_cache_off(tmp_path: Path, caplog) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = DiskCache(tmp_path / "file")
    cache.put(rows("a"), "model:1")
    assert cache.get(list(rows("a")), 8) == {}
    assert cache.broken
    assert caplog.text.count("aren't kept on disk") == 1


def test_a_busy_file_is_done_without(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put(rows("a"), "model:1")
    other = sqlite3.connect(cache.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    cache.put(rows("a", "b"), "model:1")
    assert time.monotonic() - began < 3
    assert set(cache.get(list(rows("a", "b")), 8)) == set(rows("a"))
    other.execute("ROLLBACK")
    other.close()
    cache.put(rows("a", "b"), "model:1")
    assert len(cache.get(list(rows("a", "b")), 8)) == 2


def test_the_oldest_go_when_the_file_is_too_large(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, limit_bytes=200_000)
    for start in range(0, 600 * 5, 5):
        cache.put({key_of("model:1", str(n)): row(n, 384) for n in range(start, start + 5)}, "model:1")
    cache.close()
    assert cache.path.stat().st_size < 2_500_000  # checked every 200 writes
    assert key_of("model:1", "2999") in cache.get([key_of("model:1", "2999")], 384)
    assert cache.get([key_of("model:1", "0")], 384) == {}


def test_forgetting_takes_the_text_under_every_model_and_overwrites_the_bytes(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    vector = np.random.default_rng(1).normal(size=384).astype(np.float32)
    vector /= np.linalg.norm(vector)
    for model in ("one:1", "two:1"):
        cache.put({key_of(model, "gone"): (vector, 1, 1), key_of(model, "kept"): row(0, 384)}, model)
    assert cache.forget(["kept elsewhere", "gone"]) == {1}
    assert cache.get([key_of("one:1", "gone"), key_of("two:1", "gone")], 384) == {}
    assert len(cache.get([key_of("one:1", "kept"), key_of("two:1", "kept")], 384)) == 2
    files = list(tmp_path.iterdir())
    assert not any(vector.tobytes()[:200] in file.read_bytes() for file in files)


def test_forgetting_without_a_file_is_nothing_to_do(tmp_path: Path) -> None:
    assert DiskCache(tmp_path).forget(["gone"]) == set()
    assert list(tmp_path.iterdir()) == []


def test_forgetting_in_a_damaged_file_removes_it(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"garbage with vectors" * 1000)
    assert DiskCache(tmp_path).forget(["gone"]) == set()
    assert all(b"garbage" not in file.read_bytes() for file in tmp_path.iterdir())


def test_forgetting_what_cannot_be_changed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()  # root may write every file, but not open a directory as one
    with pytest.raises(ReadOnly):
        DiskCache(tmp_path).forget(["gone"])


def test_many_processes_and_threads_write_at_once(tmp_path: Path, python) -> None:
    script = """
        import sys
        from pathlib import Path
        import numpy as np
        from graphsvc.embedding.cache import DiskCache, key_of
        cache = DiskCache(Path(sys.argv[1]))
        vector = np.eye(8, dtype=np.float32)[0]
        for n in range(100):
            cache.put({key_of("model:1", f"{sys.argv[2]} {n}"): (vector, 1, 1)}, "model:1")
        assert cache.broken == ""
    """
    threads = [threading.Thread(target=python, args=(script, str(tmp_path), name)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    cache = DiskCache(tmp_path)
    keys = [key_of("model:1", f"{name} {n}") for name in "abc" for n in range(100)]
    assert len(cache.get(keys, 8)) >= 290  # one that found the file busy for too long is let go
    assert not (tmp_path / (FILE + ".damaged")).exists()
