"""`graphsvc demo`, with the embedder for tests: the same job without waiting for the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.config import resource
from graphsvc.errors import BadInput

from .conftest import Run

DATASET = resource("datasets", "episodes.jsonl")


@pytest.mark.chaos
@pytest.mark.skipif(not DATASET.exists(), reason="the dataset isn't in this checkout")
def test_the_demonstration_is_killed_loses_nothing_and_answers(tmp_path: Path, process: Callable[..., Any]) -> None:
    directory = tmp_path / "demo"
    for _ in range(2):  # the second removes what the first made
        result = process("demo", "--directory", str(directory), "--embedder", "hashing", "--json")
        assert result.returncode == 0, result.stderr
        said = json.loads(result.stdout)
        assert said["acknowledged"] >= 400
        assert said["missing"] == 0
        assert said["durable_after_kill"] >= said["acknowledged"]
        assert said["episodes"] == len(DATASET.read_text().splitlines())
        assert said["skills"] >= 1_000
        assert said["verified"] is True
        assert all(hits for kind in said["found"].values() for hits in kind.values())
        assert all(hit["critique"] for hits in said["found"]["episodes"].values() for hit in hits)
    with graphsvc.open(directory, create=False) as memory:
        assert memory.episodes.count() == said["episodes"]


def test_the_demonstration_removes_nothing_that_it_did_not_make(tmp_path: Path, error: Run) -> None:
    kept = tmp_path / "work"
    graphsvc.open(kept, embedder="hashing").close()
    said = error("demo", "--directory", str(kept), "--embedder", "hashing")
    assert said["code"] == BadInput.code
    assert (kept / "graphsvc.json").exists()


def test_a_file_given_as_the_demonstrations_directory_is_a_coded_error(tmp_path: Path, error: Run) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    said = error("demo", "--directory", str(file), "--embedder", "hashing")
    assert said["code"] == BadInput.code
    assert "--directory" in said["hint"]
    assert file.read_text() == "mine"


@pytest.mark.skipif(not DATASET.exists(), reason="the dataset isn't in this checkout")
def test_the_agent_is_shown_live_with_and_without_memory(run: Run, tmp_path: Path) -> None:
    plot = tmp_path / "learnt.svg"
    words = ("demo", "learn", "--tasks", "12", "--embedder", "hashing", "--seed", "301")
    said = json.loads(run(*words, "--plot", str(plot), "--json").stdout)
    assert (said["tasks"], said["seed"], said["episodes"]) == (12, 301, len(DATASET.read_text().splitlines()))
    assert said["solved"].keys() == {"none", "memory", "shuffled", "answers"}
    for arm, share in said["solved"].items():
        assert share == said["solved_by_attempts"][arm][2]
        assert said["solved_by_attempts"][arm] == sorted(said["solved_by_attempts"][arm])
    for other, ahead in said["memory_ahead_of"].items():
        assert ahead["difference"] == pytest.approx(said["solved"]["memory"] - said["solved"][other], abs=2e-4)
        assert ahead["low"] <= ahead["difference"] <= ahead["high"]
    picture = plot.read_text()
    assert picture.startswith("<svg")
    assert all(name.replace(" ", "&#160;") in picture for name in ("with memory", "critiques shuffled"))
    shown = run(*words).stdout
    assert "paired 95 % interval" in shown
    assert f"{said['solved']['memory']:.0%}" in shown


def test_a_picture_that_is_no_svg_is_refused_before_anything_is_run(error: Run) -> None:
    said = error("demo", "learn", "--plot", "learnt.png")
    assert said["code"] == BadInput.code
    assert said["where"] == "--plot"


def test_demo_alone_is_the_demonstration_of_a_kill(run: Run) -> None:
    assert run("demo", "--help").stdout.count("learn") >= 1
    refused = run("demo", "--workers", "-1", code=2)
    assert "demo kill" in refused.output


def test_the_call_graph_is_explored_and_drawn(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import graphsvc.calls

    monkeypatch.setattr(graphsvc.calls, "MODULES", ("json", "logging", "smtplib", "calendar", "shutil"))
    directory, picture = tmp_path / "memory", tmp_path / "calls"
    said = json.loads(run("demo", "calls", "--directory", str(directory), "--picture", str(picture), "--json").stdout)
    assert said["functions"] > 200
    assert said["calls"] > 100
    assert len(said["callers"]) == said["called"][0][1]
    assert len(said["way"]) >= 3
    assert [len(group) for group in said["communities"]] == [5] * 6
    assert picture.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    drawn = picture.with_suffix(".svg").read_text()
    assert "<svg" in drawn
    again = run("demo", "calls", "--directory", str(directory))
    assert "Most central" in again.stdout


def test_a_picture_that_has_no_place_is_refused_before_anything_is_done(error: Run, tmp_path: Path) -> None:
    said = error("demo", "calls", "--directory", str(tmp_path / "memory"), "--picture", str(tmp_path / "no" / "x"))
    assert said["code"] == BadInput.code
    assert not (tmp_path / "memory").exists()
