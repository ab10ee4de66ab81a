"""JUnit XML, as pytest, Surefire and others write it: a run of tests as a session, each test case an episode."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ParseError  # nosec B405

from graphsvc.errors import BadInput, GraphsvcError
from graphsvc.memory.importing.report import Acknowledged, ImportReport, Progress
from graphsvc.memory.importing.storing import Storing, excerpt
from graphsvc.model.names import check_name

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory

OUTPUT = 8_000
"""Characters of what a test printed that are kept: the last ones, with a word on how many there were before."""

BROKEN = ("failure", "error")


def import_junit(
    memory: Memory,
    sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    session: str | None = None,
    agent: str | None = None,
    dry_run: bool = False,
    batch: int = 500,
    progress: Progress | None = None,
    acknowledged: Acknowledged | None = None,
) -> ImportReport:
    """Store the test cases of JUnit XML files. Equal tests of several runs are attempts at one task.

    The task is the test's name with its class, `success` and `reward` (1 or 0) say whether it passed, the critique is
    the failure's message and trace, the output the end of what the test printed. Skipped tests say nothing of how a
    test goes: they aren't stored, but counted, with the reason. A suite's time without a zone is taken for UTC; where
    there is none, the file's time stands for it.

    Args:
        memory: to store in. sources: files, or directories whose `*.xml` are read, also deeper ones.
        session: of all that is read. If not given each file is a run, named by its suite and time, or by a digest of
            the file where there is no time.
        agent: namespace.
        dry_run: store nothing, only report.
        batch: episodes stored together.
        progress: called after each batch. acknowledged: called with the ids of each batch once it is durable.

    Returns:
        The report. Files that aren't JUnit XML, or that declare entities or a document type, are skipped.

    Raises:
        BadInput: for an argument, or where there is no such file. StorageFull and the like.
    """
    files = _files([sources] if isinstance(sources, str | os.PathLike) else list(sources))
    if session is not None:
        check_name(session, "session")
    report = ImportReport(dry_run=dry_run)
    storing = Storing(memory, agent, report, acknowledged, batch)
    seen: Counter[tuple[str, str]] = Counter()
    try:
        for number, file in enumerate(files):
            for case in _cases(file, report):
                _take(storing, file, session, case, seen)
                if storing.is_full:
                    storing.store()
                    if progress:
                        progress(number / len(files), report)
    finally:
        storing.store()
    if progress:
        progress(1.0, report)
    return report.finish()


def _files(sources: list[Any]) -> list[Path]:
    found: list[Path] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            below = sorted(path.rglob("*.xml"))
            if not below:
                raise BadInput("holds no XML file", where=str(path))
            found.extend(below)
        elif path.is_file():
            found.append(path)
        else:
            raise BadInput("is no file or directory", where=str(path))
    if not found:
        raise BadInput("no file was given", where="sources")
    return list(dict.fromkeys(found))


# --- a file ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Suite:
    """A test suite that is being read: its name, and when its next test began, if it says when it did."""

    name: str = ""
    stamp: str = ""
    at: datetime | None = None


@dataclass(slots=True)
class _Case:
    """A test case, as the file says it."""

    name: str
    run: _Suite
    suite: str
    at: datetime | None
    seconds: float | None
    element: Element
    suites: list[str] = field(default_factory=list)


def _cases(file: Path, report: ImportReport) -> Iterator[_Case]:
    """The test cases of a file, one after the other; what can't be read is reported."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    try:
        with file.open("rb") as stream:
            yield from _walk(iterparse(stream, ("start", "end"), forbid_dtd=True), file)
    except ParseError as error:
        report.skip(str(file), "bad_input", f"is not XML from there on: {error}")
    except DefusedXmlException as error:
        report.skip(str(file), "unsafe", f"declares what no test report needs ({type(error).__name__})")
    except OSError as error:
        report.skip(str(file), "unreadable", f"can't be read: {error.strerror}")
    except _NotJUnitError as error:
        report.skip(str(file), "bad_input", str(error))


class _NotJUnitError(Exception):
    """The file is other XML."""


def _walk(events: Iterable[tuple[str, Element]], file: Path) -> Iterator[_Case]:
    suites: list[_Suite] = []
    run = _Suite()
    depth = 0
    for event, element in events:
        tag = element.tag.rpartition("}")[2]
        if event == "start":
            if depth == 0 and tag not in ("testsuites", "testsuite"):
                raise _NotJUnitError(f"is no JUnit XML: it begins with <{tag}>")
            depth += 1
            if tag in ("testsuites", "testsuite"):
                suites.append(_suite(element, suites[-1] if suites else None))
                # The first that has a time names the run: pytest's `testsuites` has none.
                run = next((suite for suite in suites if suite.stamp), suites[0]) if not run.stamp else run
            continue
        depth -= 1
        if tag == "testcase" and suites:
            yield _case(element, suites, run)
            element.clear()
        elif tag in ("testsuites", "testsuite"):
            ended = suites.pop()
            if suites and ended.at and suites[-1].at:
                suites[-1].at = max(suites[-1].at, ended.at)
            element.clear()


def _suite(element: Element, outer: _Suite | None) -> _Suite:
    stamp = element.get("timestamp", "")
    try:
        at: datetime | None = datetime.fromisoformat(stamp)
    except ValueError:
        at, stamp = (outer.at if outer else None), ""
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return _Suite(element.get("name", ""), stamp, at)


def _case(element: Element, suites: list[_Suite], run: _Suite) -> _Case:
    suite = suites[-1]
    seconds = _seconds(element.get("time"))
    within = element.get("classname") or suite.name
    name = "::".join(filter(None, (within, element.get("name", ""))))
    case = _Case(name, run, suite.name, suite.at, seconds, element, [one.name for one in suites if one.name])
    if suite.at is not None:
        suite.at += timedelta(seconds=seconds or 0.0, microseconds=1)  # so that tests keep their order
    return case


def _seconds(text: str | None) -> float | None:
    """Surefire writes `1,234.5`. What is no number, or less than nothing, says nothing."""
    try:
        seconds = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e9 else None


# --- a test case ----------------------------------------------------------------------------------------------


def _take(storing: Storing, file: Path, session: str | None, case: _Case, seen: Counter[tuple[str, str]]) -> None:
    """Put the test with the episodes that wait, or report why not."""
    storing.report.read += 1
    place = f"{file.name}: {case.name or '(a test without a name)'}"
    skipped = _child(case.element, "skipped")
    if skipped is not None:
        storing.report.skip(place, "skipped_test", _words(skipped) or "no reason is given")
        return
    run = session or _session(case, file)
    seen[(run, case.name)] += 1
    try:
        storing.take(place, _values(case, file, run, seen[(run, case.name)]))
    except GraphsvcError as error:
        storing.refuse(place, error)


def _session(case: _Case, file: Path) -> str:
    return f"{case.run.name or file.stem} {case.run.stamp or _digest(file, file.stat().st_mtime_ns)}"


@lru_cache(maxsize=1)  # asked for once a test, file after file
def _digest(file: Path, changed: int) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()[:12]


def _values(case: _Case, file: Path, session: str, turn: int) -> dict[str, Any]:
    """The episode's fields. The id is made of run, name and how often that came before: a repeat is the same."""
    broken = [child for child in case.element if child.tag.rpartition("}")[2] in BROKEN]
    passed = not broken
    at = case.at or datetime.fromtimestamp(file.stat().st_mtime, UTC)
    properties = {
        one.get("name", ""): one.get("value", one.text or "")
        for one in case.element.iter()
        if one.tag.rpartition("}")[2] == "property"
    }
    about = {
        "suites": case.suites, "file": case.element.get("file"), "line": case.element.get("line"),
        "failure": [one.get("type") for one in broken if one.get("type")], "properties": properties,
        "attempt": turn if turn > 1 else None,
    }  # fmt: skip
    kinds = {one.tag.rpartition("}")[2] for one in broken}
    return {
        "id": blake2b("\0".join((session, case.name, str(turn))).encode(), digest_size=16).hexdigest(),
        "session": session, "task": case.name, "at": at, "output": _printed(case.element),
        "critique": "\n\n".join(filter(None, map(_words, broken))) or (None if passed else "failed, without a message"),
        "reward": 1.0 if passed else 0.0, "success": passed,
        "latency_ms": None if case.seconds is None else case.seconds * 1000, "tags": sorted({"test", *kinds}),
        "metadata": {name: value for name, value in about.items() if value},
    }  # fmt: skip


def _child(element: Element, tag: str) -> Element | None:
    return next((child for child in element if child.tag.rpartition("}")[2] == tag), None)


def _words(element: Element) -> str:
    """The message, and the text below it where that says more."""
    message, text = element.get("message", "").strip(), (element.text or "").strip()
    return text if message in text else "\n".join(filter(None, (message, text)))


def _printed(element: Element) -> str:
    parts = []
    for tag in ("system-out", "system-err"):
        child = _child(element, tag)
        text = (child.text or "").strip() if child is not None else ""
        if text:
            parts.append(excerpt(text, OUTPUT))
    return "\n\n".join(parts)
