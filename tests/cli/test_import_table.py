"""Episodes from tables."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc.errors import BadInput, UnknownField
from graphsvc.memory.importing import ImportReport, import_table

from .conftest import Run

Write = Callable[..., Path]

RUNS = """run,prompt,answer,ok,score,ms,labels,when,model
r1,Sort the mail,done,true,0.9,12.5,"mail,daily",2026-01-02T03:04:05Z,small
r2,"Answer,
the mail",,no,0.1,,"[""mail""]",2026-01-02T03:05:05Z,large
r3,Burn the mail,ashes,perhaps,0.5,1,,2026-01-02T03:06:05Z,large
r4,Read the mail,read,yes,high,1,,2026-01-02T03:07:05Z,large
r5,Too few
r6,Weigh the mail,heavy,1,,,,,
"""
FIELDS = {"task": "prompt", "output": "answer", "success": "ok", "reward": "score", "latency_ms": "ms", "tags": "labels",
          "at": "when"}  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str | bytes = RUNS, name: str = "runs.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    assert report.read == report.stored + report.already + report.skipped_count
    return report.read, report.stored, report.already, report.skipped_count


def test_columns_become_fields_of_their_types_and_bad_rows_are_reported(memory: graphsvc.Memory, write: Write) -> None:
    report = import_table(memory, write(), fields=FIELDS, id="run")
    assert counts(report) == (6, 3, 0, 3)
    assert [(one.place, one.why) for one in report.skipped] == [
        ("row 3", "success: 'perhaps' is no true or false"),
        ("row 4", "reward: 'high' is no number"),
        ("row 5", "has 2 cells, the header has 9"),
    ]
    first = memory.episodes.get("r1")
    assert (first.task, first.output, first.success, first.reward) == ("Sort the mail", "done", True, 0.9)
    assert (first.latency_ms, first.tags, first.session) == (12.5, ("daily", "mail"), "runs")
    assert first.metadata == {"run": "r1", "model": "small"}
    second = memory.episodes.get("r2")
    assert (second.task, second.success, second.tags, second.output) == ("Answer,\nthe mail", False, ("mail",), "")
    assert memory.episodes.get("r6").success is True


def test_imported_again_nothing_is_added(memory: graphsvc.Memory, write: Write) -> None:
    path = write("task\nsame\nsame\nother\n")
    assert counts(import_table(memory, path)) == (3, 3, 0, 0)
    head = memory.status()["head"]
    assert counts(import_table(memory, path)) == (3, 0, 3, 0)
    assert memory.status()["head"] == head


def test_several_columns_make_an_id_and_one_that_is_empty_none(memory: graphsvc.Memory, write: Write) -> None:
    path = write("a,b,task\n1,2,x\n12,,y\n1,2,z\n")
    report = import_table(memory, path, id=["a", "b"])
    assert counts(report) == (3, 1, 0, 2)
    assert {one.code for one in report.skipped} == {"bad_input", "conflict"}
    assert import_table(memory, path, id="c").skipped_by_code == {"bad_input": 3}


def test_strict_ends_at_the_first_bad_row_and_keeps_what_came_before(memory: graphsvc.Memory, write: Write) -> None:
    with pytest.raises(BadInput, match="is no true or false") as caught:
        import_table(memory, write(), fields=FIELDS, id="run", strict=True)
    assert caught.value.where == "row 3: success"
    assert memory.episodes.count() == 2
    assert import_table(memory, write(), fields=FIELDS, id="run").stored == 1


def test_columns_that_are_no_field_are_kept_dropped_or_refused(memory: graphsvc.Memory, write: Write) -> None:
    path = write("task,x\na,1\n")
    assert import_table(memory, path, rest="error").skipped_by_code == {"unknown_field": 1}
    assert import_table(memory, path, rest="drop", id="task").stored == 1
    assert memory.episodes.get("a").metadata == {}
    with pytest.raises(UnknownField):
        import_table(memory, path, fields={"tusk": "x"})


def test_gzip_tabs_a_byte_order_mark_and_other_delimiters_are_read(memory: graphsvc.Memory, write: Write) -> None:
    assert import_table(memory, write(gzip.compress(b"task,reward\nzipped,1\n"), "a.csv.gz")).stored == 1
    assert import_table(memory, write("task\treward\ntabbed\t1\n", "b.tsv")).stored == 1
    assert import_table(memory, write(b"\xef\xbb\xbftask;reward\nmarked;1\n", "c.csv"), delimiter=";").stored == 1
    assert {episode.reward for episode in memory.episodes.list()} == {1.0}


def test_a_row_that_is_not_utf_8_is_bad_and_the_next_is_not(memory: graphsvc.Memory, write: Write) -> None:
    report = import_table(memory, write(b"task\ncaf\xe9\nthe\n"))
    assert counts(report) == (2, 1, 0, 1)


@pytest.mark.parametrize("text", [b"", b"a,a\n1,2\n", gzip.compress(b"task\nx\n" * 100, mtime=0)[:-20]])
def test_what_is_no_table_is_an_error(memory: graphsvc.Memory, write: Write, text: bytes) -> None:
    with pytest.raises(BadInput):
        import_table(memory, write(text))


def test_damaged_parquet_and_a_missing_file_are_errors(memory: graphsvc.Memory, write: Write, tmp_path: Path) -> None:
    for wrong in (write(b"PAR1 and no more", "x.parquet"), tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadInput):
            import_table(memory, wrong)


def table(count: int = 4) -> dict[str, list[Any]]:
    return {
        "task": [f"task {number}" for number in range(count)],
        "ok": [bool(number % 2) for number in range(count)],
        "score": [Decimal(number) / 4 if number else None for number in range(count)],
        "at": [datetime(2026, 1, 1, 0, number % 60, tzinfo=UTC) for number in range(count)],
        "tags": [["a", "b"][: number % 3] for number in range(count)],
        "metadata": [{"n": number} for number in range(count)],
    }


def test_parquet_arrow_batches_and_a_dataframe_give_the_same(memory: graphsvc.Memory, tmp_path: Path) -> None:
    arrow = pa.table(table())
    pq.write_table(arrow, tmp_path / "runs.parquet")
    options: dict[str, Any] = {"fields": {"success": "ok", "reward": "score"}, "session": "s"}
    assert counts(import_table(memory, tmp_path / "runs.parquet", **options)) == (4, 4, 0, 0)
    assert counts(import_table(memory, arrow, **options)) == (4, 0, 4, 0)
    assert counts(import_table(memory, arrow.to_reader(max_chunksize=1), **options)) == (4, 0, 4, 0)
    assert counts(import_table(memory, pandas.DataFrame(table()), **options)) == (4, 0, 4, 0)
    found = memory.episodes.list(order="oldest")
    assert [episode.reward for episode in found] == [None, 0.25, 0.5, 0.75]
    assert [episode.tags for episode in found] == [(), ("a",), ("a", "b"), ()]
    assert found[2].metadata == {"n": 2}


def test_types_of_parquet_are_checked(memory: graphsvc.Memory, tmp_path: Path) -> None:
    rows = {"task": ["a", "b"], "reward": ["1", None], "at": [datetime(2026, 1, 1), datetime(2026, 1, 1)]}
    pq.write_table(pa.table(rows), tmp_path / "runs.parquet")
    report = import_table(memory, tmp_path / "runs.parquet")
    assert report.skipped_by_code == {"bad_input": 2}
    with pytest.raises(BadInput):
        import_table(memory, 5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.text("ab,\"\n'é", max_size=5), st.text("01.-e,nai\" ", max_size=4)), max_size=12),
    batch=st.integers(1, 5),
)
def test_whatever_the_cells_each_row_is_counted_once_and_a_repeat_adds_nothing(
    memory: graphsvc.Memory, tmp_path: Path, rows: list[tuple[str, str]], batch: int
) -> None:
    path = tmp_path / "any.csv"
    pandas.DataFrame(rows, columns=["task", "reward"]).to_csv(path, index=False)
    first = import_table(memory, path, batch=batch)
    again = import_table(memory, path)
    assert counts(first)[0] == counts(again)[0] == len(rows)
    assert again.stored == 0
    assert again.already == first.stored + first.already
    assert again.skipped == first.skipped


def test_the_command(run: Run, answer: Run, error: Run, write: Write) -> None:
    run("init", "--embedder", "hashing")
    words = ["import", "table", str(write()), "--id", "run", *(f"--map={name}={column}" for name, column in FIELDS.items())]
    assert answer(*words, "--dry-run")["stored"] == 3
    shown = run(*words).stdout
    assert "row 4" in shown
    assert answer(*words)["already"] == 3
    assert error(*words, "--strict")["where"] == "row 3: success"
    assert error("import", "table", "runs.csv", "--map", "task")["where"] == "--map"
