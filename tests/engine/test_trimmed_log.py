"""Entries in the place of trimmed ones build the graph that those built, and the records, links and history."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from histories import History
from msgspec.structs import replace

from graphsvc.config import Settings
from graphsvc.errors import Unsupported
from graphsvc.log import trim
from graphsvc.log.rebuild import Rebuilt, fold
from graphsvc.model.change import Change, Trimmed, checksum, decode, encode
from graphsvc.model.graph import NetEffect, net_effect
from graphsvc.model.statements import Statement
from graphsvc.store.contents import digest_of
from graphsvc.store.graph import GraphProjection


def substitutes(changes: list[Change], folder: Path) -> list[Change]:
    """What comes in the place of these entries, as it lies in the log."""
    folded = trim.fold(changes, since=0, dimension=4)
    path = folder / "staged"
    staged = trim.stage(folded, Trimmed(folded.n, "/snapshot", folded.n), path, lambda n: b"")
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM log ORDER BY n").fetchall()
    assert all(checksum(*row[:-1]) == row[-1] for row in rows)
    assert (len(rows), sum(len(row[6].encode()) for row in rows)) == (staged.entries, staged.bytes)
    return [decode(*row[:-1]) for row in rows]


def said(rebuilt: Rebuilt) -> dict[str, Any]:
    return {
        "records": {row: asdict(record) for row, record in rebuilt.records.items()},
        "links": rebuilt.links,
        "history": set(rebuilt.history),
    }


def built(net: NetEffect) -> tuple[Any, Any]:
    assert not net.gone
    assert not net.patched
    return net.created, net.links


def as_logged(history: History) -> list[Change]:
    """As they lie in the log: encoded, and each record with a row of its own."""
    rows: dict[tuple[str, str, str], int] = {}

    def row(kind: str, agent: str, id: str) -> int:
        return rows.setdefault((kind, agent, id), len(rows))

    found = []
    for change in history.changes:
        change = decode(change.n, 0, change.verb, 1, 0, True, encode(change).decode(), None)
        records = [change.record_of(put) for put in change.puts]
        change.puts = [
            replace(put, row=row(put.kind, record.agent, record.id))
            for put, record in zip(change.puts, records, strict=True)
        ]
        change.patches = [replace(one, row=row(one.kind, one.agent, one.id)) for one in change.patches]
        change.gone = [replace(one, row=row(one.kind, one.agent, one.id)) for one in change.gone]
        found.append(change)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_they_add_up_to_the_same_records_links_history_nodes_and_edges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(trim, "PIECE", 7)
    changes = as_logged(History.random(seed, 120))
    for n in (1, 2, 17, 60, 119, 120):
        instead = substitutes(changes[:n], tmp_path)
        assert instead[-1].n == n
        assert [change.n for change in instead] == list(range(n - len(instead) + 1, n + 1))
        assert [change.last for change in instead] == [False] * (len(instead) - 1) + [True]
        assert said(fold([*instead, *changes[n:]])) == said(fold(changes))
        assert built(net_effect([*instead, *changes[n:]])) == built(net_effect(changes))
        if n > 17:  # trimmed once more, further on
            twice = substitutes([*substitutes(changes[:17], tmp_path), *changes[17:n]], tmp_path)
            assert [encode(change) for change in twice] == [encode(change) for change in instead]


def test_applied_one_by_one_they_build_the_same_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine_name: str, settings: Settings
) -> None:
    monkeypatch.setattr(trim, "PIECE", 5)
    history = History.random(11, 150)
    instead = [*substitutes(as_logged(history)[:120], tmp_path), *history.changes[120:]]
    assert len([change for change in instead if change.trimmed]) > 10
    graph = GraphProjection(tmp_path, engine_name, settings)
    for change in instead:
        graph.apply([change])
    assert graph.applied == 150
    assert graph.digest() == digest_of(history.contents())
    graph.close()


def test_an_entry_that_they_could_not_stand_for_is_never_dropped(tmp_path: Path) -> None:
    class Later(Change):
        wonder: str = ""

    changes = [Change(verb="episode.store", n=1), Later(verb="wonder.do", n=2, wonder="of a later version")]
    assert substitutes(changes[:1], tmp_path)
    with pytest.raises(Unsupported, match="Trim before 2"):
        substitutes(changes, tmp_path)


def test_tables_that_take_more_entries_than_there_were_are_not_trimmed(tmp_path: Path) -> None:
    folded = trim.fold([Change(verb="graph.add", n=1), Change(verb="graph.add", n=2)], since=0, dimension=4)
    told = (Statement("add", table="T"), b"")
    for count in (1, 2):
        staged = trim.stage(folded, Trimmed(2, "/snapshot", 2), tmp_path / "staged", lambda n: b"", [told] * count)
        assert [change.n for change in trim.staged_entries(staged.path)] == [2, 1, 2][-count:]
    with pytest.raises(Unsupported, match="more entries than there were"):
        trim.stage(folded, Trimmed(2, "/snapshot", 2), tmp_path / "staged", lambda n: b"", [told] * 3)
