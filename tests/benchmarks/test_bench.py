"""The bench runs, measures every row that it declares, and the ceilings hold with room to spare."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.ceilings import AIMS, BESIDE, CEILINGS, ROOM, Verdict  # noqa: E402
from benchmarks.run import Outcome  # noqa: E402
from benchmarks.table import GROUPS, rows  # noqa: E402
from benchmarks.vectors import make  # noqa: E402

SLACK = 5.0
"""Tests run beside other load; `make bench` holds the ceilings exactly."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    out = tmp_path_factory.mktemp("bench") / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(out), "--slack", str(SLACK)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert out.exists(), done.stderr
    return Outcome.from_json(json.loads(out.read_text()))


def test_no_section_of_a_quick_run_fails(outcome: Outcome) -> None:
    assert outcome.failures == {}


def test_a_quick_run_measures_every_row(outcome: Outcome) -> None:
    missing = [row.id for row in rows(extra=False) if row.id not in outcome.ours]
    assert missing == []


def test_every_measured_figure_has_a_row(outcome: Outcome) -> None:
    declared = {row.id for row in rows()}
    assert {row for figures in outcome.figures.values() for row in figures} <= declared


def test_the_ceilings_hold_at_five_times_their_value(outcome: Outcome) -> None:
    late = [verdict for verdict in outcome.verdicts(slack=SLACK) if not verdict.met]
    assert late == []


def test_a_crowd_is_told_to_come_again_and_nothing_is_lost(outcome: Outcome) -> None:
    assert outcome.ours["crowd.crowd.again"].value > 0
    assert outcome.ours["crowd.lost"].value == 0
    assert outcome.ours["crowd.lost"].n > 0


def test_importing_loads_no_engine(outcome: Outcome) -> None:
    assert outcome.ours["import"].note == ""


def test_each_ceiling_is_a_row() -> None:
    assert {*CEILINGS, *AIMS, *(row for row, _ in BESIDE)} <= {row.id for row in rows()}


def test_an_aim_may_be_missed_but_not_by_far_and_a_ceiling_not_at_all() -> None:
    assert Verdict("r", 1.0, 1.1, aim=True).held
    assert not Verdict("r", 1.0, 1.0 * ROOM, aim=True).held
    assert not Verdict("r", 1.0, 1.1).held
    assert not Verdict("r", 1.0, None, aim=True).held


def test_the_table_is_written_between_its_markers_and_nowhere_else(outcome: Outcome, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nthe old table\n{report.END}\nafter\n")
    report.write(report.markdown(outcome), readme)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "the old table" not in text
    assert all(row.title(outcome.sizes) in text for group in GROUPS for row in group.rows)


def test_vectors_are_the_same_whatever_the_number_asked_for() -> None:
    assert np.array_equal(make(150)[:40], make(40))


@pytest.mark.slow
def test_a_memory_of_100_000_episodes_opens_in_time(tmp_path: Path) -> None:
    from benchmarks.ours.retrieval import build

    build(tmp_path / "large", 100_000, make(100_000))
    command = [sys.executable, "-m", "benchmarks.ours.opening", str(tmp_path / "large")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    opened, *_ = json.loads(done.stdout.splitlines()[-1])
    assert opened * 1e3 < SLACK * CEILINGS["open.large"]
