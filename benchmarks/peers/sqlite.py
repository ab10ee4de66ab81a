"""Plain SQLite: WAL, synchronous=FULL, one connection behind a lock, the episode as JSON with indexed columns."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

from benchmarks import crowd
from benchmarks.episodes import batches, episode, episodes, question
from benchmarks.figures import Figure, Figures, of_durations, of_throughput, timed
from benchmarks.section import Context
from benchmarks.vectors import Vectors

SCHEMA = """
CREATE TABLE episode (id INTEGER PRIMARY KEY, session TEXT, task TEXT, reward REAL, success INTEGER, body TEXT,
    vector BLOB);
CREATE INDEX episode_session ON episode (session);
CREATE INDEX episode_task ON episode (task);
CREATE INDEX episode_reward ON episode (reward, success);
"""
INSERT = "INSERT INTO episode (session, task, reward, success, body, vector) VALUES (?, ?, ?, ?, ?, ?)"
SEARCH = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT 10"
FULL_TEXT = "CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'porter')"


def measure(context: Context) -> Figures:
    path = context.work / "sqlite"
    path.mkdir()
    figures = _storing(context, path / "storing.sqlite")
    for name in ("small", "middle", "large"):
        figures |= _searching(context, path, name, getattr(context.sizes, name))
    shutil.rmtree(path)
    return figures


def _connect(path: Path, schema: str = "") -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(schema)
    return connection


def _row(values: dict[str, Any], vector: Vectors) -> tuple[Any, ...]:
    return (
        values["session"], values["task"], values["reward"], values["success"], json.dumps(values), vector.tobytes(),
    )  # fmt: skip


def _storing(context: Context, path: Path) -> Figures:
    sizes = context.sizes
    vectors = context.vectors(sizes.crowd_stores)
    connection = _connect(path, SCHEMA)
    lock = threading.Lock()

    def store(number: int) -> None:
        row = _row(episode(number), vectors[number])
        with lock:
            connection.execute(INSERT, row)

    async def store_in_thread(number: int) -> None:
        await asyncio.to_thread(store, number)

    def store_many(number: int) -> None:
        rows = [_row(values, vectors[place]) for place, values in enumerate(episodes(0, sizes.bulk))]
        connection.execute("BEGIN")
        connection.executemany(INSERT, rows)
        connection.execute("COMMIT")

    figures = {"store.1.alone": of_durations(timed(sizes.stores, store, warm_up=20), fsync=True)}
    calls = sizes.crowd_stores // 4
    for callers in (8, 64):
        elapsed, durations = crowd.threads(callers, calls, store)
        figures[f"store.{callers}.alone"] = of_throughput(calls, elapsed, durations, fsync=True)
    elapsed, durations = asyncio.run(crowd.tasks(64, calls, store_in_thread))
    figures["store.tasks.alone"] = of_throughput(calls, elapsed, durations, fsync=True)
    bulk = of_durations(timed(sizes.bulk_rounds, store_many), fsync=True, note="by key and column only")
    figures["bulk"] = bulk
    connection.close()
    # It has no followers: what it does alone is what it does.
    return figures | {row.replace("alone", "followed"): figure for row, figure in figures.items() if "alone" in row}


def _searching(context: Context, folder: Path, name: str, count: int) -> Figures:
    """Full text of FTS5, any of the words, as BM25 ranks them; and opening the file with a first query."""
    path = folder / f"{name}.sqlite"
    connection = _connect(path, SCHEMA + FULL_TEXT)
    vectors = context.vectors(count)
    for start, length in batches(count):
        connection.execute("BEGIN")
        rows = [_row(values, vectors[start + place]) for place, values in enumerate(episodes(start, length))]
        connection.executemany(INSERT, rows)
        texts = [(f"{v['task']} {v['critique']} {v['output']}",) for v in episodes(start, length)]
        connection.executemany("INSERT INTO words VALUES (?)", texts)
        connection.execute("COMMIT")

    def search(number: int) -> list[Any]:
        wanted = " OR ".join(question(number).split())
        rows = [row for (row,) in connection.execute(SEARCH, (wanted,))]
        marks = ", ".join("?" * len(rows))
        return [json.loads(body) for (body,) in connection.execute(
            f"SELECT body FROM episode WHERE id IN ({marks})", rows)]  # fmt: skip

    sizes = context.sizes
    figures = {f"retrieve.text.{name}": of_durations(timed(sizes.queries, search, warm_up=sizes.warm_up))}
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    if name == "middle":
        figures["bytes.total"] = Figure(round(path.stat().st_size / count, 1), n=count)
    return figures
