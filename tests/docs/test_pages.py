"""What the pages name is there: files, tests, targets, markers, rooms."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from .examples import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """What a link may lead to within a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@EVERY_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.exists(), target
        assert not anchor or anchor in anchors(goal), target


@EVERY_PAGE
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    for place, test in re.findall(r"(tests/[\w/]+\.py)(?:::(test_\w+))?", page.read_text(encoding="utf-8")):
        assert (ROOT / place).exists(), place
        assert not test or f"def {test}(" in text_of(place), test


@EVERY_PAGE
def test_no_page_names_a_place_of_this_machine(page: Path) -> None:
    assert not re.search(r"/work/|/home/|/root/|~/", page.read_text(encoding="utf-8"))


@EVERY_PAGE
def test_every_target_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets()


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", text_of("Makefile"), re.MULTILINE))


def test_every_target_is_told_of_to_contributors() -> None:
    text = text_of("docs/contributing.md")
    assert all(f"`make {target}`" in text for target in targets() - {"help"})


def test_every_marker_is_told_of_to_contributors() -> None:
    text = text_of("docs/contributing.md")
    for marker in PROJECT["tool"]["pytest"]["markers"]:
        assert f"| `{marker.partition(':')[0]}` |" in text


def test_every_room_is_in_the_architecture() -> None:
    text = text_of("docs/architecture.md")
    rooms = {path.parent.name for path in (ROOT / "graphsvc").glob("*/__init__.py")}
    assert all(f"`{room}/`" in text for room in rooms)


def test_the_architecture_stays_one_page() -> None:
    assert len(text_of("docs/architecture.md").splitlines()) <= 210


def test_the_readme_has_a_place_for_the_benchmark() -> None:
    text = text_of("README.md")
    assert text.count("<!-- bench:begin -->") == text.count("<!-- bench:end -->") == 1
    assert text.index("<!-- bench:begin -->\n") < text.index("\n<!-- bench:end -->")


def test_the_changelog_tells_of_this_version() -> None:
    assert f"\n## {PROJECT['project']['version']}\n" in text_of("CHANGELOG.md")


def test_the_page_of_skills_shows_ten_with_their_evidence_and_calls_some_bad() -> None:
    _, *shown = re.split(r"^## \d+\. ", text_of("docs/consolidated-skills.md"), flags=re.MULTILINE)
    assert len(shown) == 10
    assert all(re.search(r"^- Successes \d.* \(\d+\);", skill, flags=re.MULTILINE) for skill in shown)
    assert any(skill.startswith("Bad") for skill in shown)
