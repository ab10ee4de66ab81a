"""Test runs from JUnit XML."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import graphsvc
from graphsvc.errors import BadInput
from graphsvc.memory.importing import ImportReport, import_junit

from .conftest import ROOT, Run, environment

Write = Callable[..., Path]

SOME_TESTS = '''
import pytest

def test_passes():
    print("all went well")

@pytest.mark.parametrize("x", [1, 2])
def test_fails_once(x):
    assert x == 1, "x is too large <&>"

@pytest.mark.skip(reason="no network here")
def test_skipped(): ...

@pytest.mark.xfail(reason="known")
def test_known(): assert False

@pytest.fixture
def broken(): raise OSError("no database")

def test_error(broken): ...
'''

SUREFIRE = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="shop.CartTest" time="1,234.5" tests="3">
  <properties><property name="java.version" value="21"/></properties>
  <testcase name="adds" classname="shop.CartTest" time="0.01"/>
  <testcase name="pays" classname="shop.CartTest" time="1,000.5">
    <failure message="expected 3 but was 4" type="AssertionError"><![CDATA[expected 3 but was 4
  at shop.CartTest.pays(CartTest.java:12)]]></failure>
    <rerunFailure message="again" type="AssertionError">x</rerunFailure>
    <system-out><![CDATA[paying]]></system-out><system-err>a warning</system-err>
  </testcase>
  <testcase name="ships" classname="shop.CartTest"><skipped/></testcase>
</testsuite>
"""

NESTED = """<testsuites name="all">
  <testsuite name="outer" timestamp="2026-02-03T04:05:06">
    <testsuite name="inner" timestamp="2026-02-03T05:06:07+01:00">
      <testcase name="one" time="2"/><testcase name="two" time="3"/><testcase name="two" time="4"/>
    </testsuite>
    <testcase name="three" classname="C"><error message="boom" type="E"/><failure>later</failure></testcase>
  </testsuite>
</testsuites>
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str | bytes, name: str = "report.xml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    assert report.read == report.stored + report.already + report.skipped_count
    return report.read, report.stored, report.already, report.skipped_count


def pytest_report(target: Path, tests: str, *words: str, rootdir: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={target}", *words, tests]
    done = subprocess.run(command, cwd=rootdir, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr


def test_a_run_of_our_own_tests_is_imported(memory: graphsvc.Memory, tmp_path: Path) -> None:
    target = tmp_path / "own.xml"
    pytest_report(target, "tests/test_house.py", "-k", "calls_up", rootdir=ROOT)
    read, stored, _, skipped = counts(import_junit(memory, target))
    assert (read, skipped) == (stored, 0)
    assert stored > 40
    episodes = memory.episodes.list(k=1_000)
    assert all(episode.success is True and episode.reward == 1.0 for episode in episodes)
    assert len({episode.session for episode in episodes}) == 1
    task = "tests.test_house::test_nothing_calls_up[model/names.py]"
    (one,) = memory.episodes.list({"task": task})
    assert one.latency_ms is not None
    assert counts(import_junit(memory, target)) == (read, 0, read, 0)
    assert memory.verify().ok


def test_passed_failed_broken_and_skipped_tests_of_pytest(memory: graphsvc.Memory, tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(SOME_TESTS)
    target = tmp_path / "report.xml"
    pytest_report(target, "test_some.py", "-o", "junit_logging=all", rootdir=tmp_path)
    report = import_junit(memory, target)
    assert counts(report) == (6, 4, 0, 2)
    assert report.skipped_by_code == {"skipped_test": 2}
    assert {one.why for one in report.skipped} >= {"known"}
    assert any("no network here" in one.why for one in report.skipped)
    by_task = {episode.task: episode for episode in memory.episodes.list()}
    passed = by_task["test_some::test_passes"]
    assert (passed.success, passed.reward, passed.critique) == (True, 1.0, None)
    assert "all went well" in passed.output
    failed = by_task["test_some::test_fails_once[2]"]
    assert (failed.success, failed.reward) == (False, 0.0)
    assert "x is too large <&>" in (failed.critique or "")
    assert failed.tags == ("failure", "test")
    broken = by_task["test_some::test_error"]
    assert "no database" in (broken.critique or "")
    assert broken.tags == ("error", "test")


def test_two_runs_of_a_test_are_attempts_at_one_task(memory: graphsvc.Memory, tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(SOME_TESTS)
    for number in (1, 2):
        pytest_report(tmp_path / f"report{number}.xml", "test_some.py", rootdir=tmp_path)
    assert import_junit(memory, [tmp_path / "report1.xml", tmp_path / "report2.xml"]).stored == 8
    assert len({episode.session for episode in memory.episodes.list()}) == 2
    assert memory.episodes.statistics("test_some::test_passes").successes == 2


def test_a_report_of_surefire(memory: graphsvc.Memory, write: Write) -> None:
    path = write(SUREFIRE, "TEST-shop.CartTest.xml")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    report = import_junit(memory, path)
    assert counts(report) == (3, 2, 0, 1)
    (paid,) = memory.episodes.list({"task": "shop.CartTest::pays"})
    assert paid.latency_ms == 1_000_500.0
    assert paid.critique == "expected 3 but was 4\n  at shop.CartTest.pays(CartTest.java:12)"
    assert paid.output == "paying\n\na warning"
    assert paid.at.timestamp() == 1_700_000_000
    assert paid.session.startswith("shop.CartTest ")


def test_nested_suites_keep_their_order_times_and_repeats(memory: graphsvc.Memory, write: Write) -> None:
    path = write(NESTED)
    assert counts(import_junit(memory, path)) == (4, 4, 0, 0)
    episodes = memory.episodes.list(order="oldest")
    assert [episode.task for episode in episodes] == ["inner::one", "inner::two", "inner::two", "C::three"]
    assert episodes[0].at.isoformat() == "2026-02-03T04:06:07+00:00"
    assert episodes[2].metadata["attempt"] == 2
    assert episodes[3].critique == "boom\n\nlater"
    assert {episode.session for episode in episodes} == {"outer 2026-02-03T04:05:06"}
    assert counts(import_junit(memory, path)) == (4, 0, 4, 0)
    assert counts(import_junit(memory, path, session="nightly")) == (4, 4, 0, 0)


def test_long_output_is_cut_and_says_so(memory: graphsvc.Memory, write: Write) -> None:
    path = write(f'<testsuite name="s"><testcase name="t"><system-out>{"x" * 20_000}end</system-out></testcase></testsuite>')
    import_junit(memory, path)
    output = memory.episodes.list()[0].output
    assert output.startswith("[12,003 characters left out]\n")
    assert output.endswith("end")


LAUGHS = '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]><testsuite name="&lol2;"/>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/hostname">]><testsuite name="&file;"><testcase name="t"/></testsuite>'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (LAUGHS, "unsafe"),
        (OUTSIDE, "unsafe"),
        ("<html><body/></html>", "bad_input"),
        ("no xml", "bad_input"),
        ("", "bad_input"),
        (b"\xff\xfe\x00", "bad_input"),
    ],
)
def test_unsafe_and_other_files_are_skipped_with_the_reason(
    memory: graphsvc.Memory, write: Write, text: str | bytes, code: str
) -> None:
    bad = write(text, "reports/a.xml")
    write(NESTED, "reports/b.xml")
    report = import_junit(memory, bad.parent)
    assert report.stored == 4
    assert report.skipped_by_code == {code: 1}
    assert report.skipped[0].place == str(bad)


def test_a_cut_off_file_gives_what_it_holds_and_says_so(memory: graphsvc.Memory, write: Write) -> None:
    report = import_junit(memory, write(NESTED[: NESTED.index("<error")]))
    assert (report.stored, report.skipped_by_code) == (3, {"bad_input": 1})


def test_wrong_sources_are_errors(memory: graphsvc.Memory, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "none.xml", tmp_path / "empty", []):
        with pytest.raises(BadInput):
            import_junit(memory, wrong)


def test_the_command(run: Run, answer: Run, error: Run, write: Write) -> None:
    run("init", "--embedder", "hashing")
    path = write(NESTED)
    assert answer("import", "junit", str(path), "--dry-run")["stored"] == 4
    assert "stored" in run("import", "junit", str(path)).stdout
    assert answer("import", "junit", str(path))["already"] == 4
    assert error("import", "junit", "none.xml")["code"] == "bad_input"
