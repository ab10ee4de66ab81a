"""Settings: what can't be is refused before anything is written, what does nothing is told."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tantivy

import graphsvc
from graphsvc import config
from graphsvc.config import STEMMERS, Settings, UnknownVariable, load
from graphsvc.errors import BadInput


def test_an_unknown_language_is_refused_before_anything_is_written(path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        graphsvc.open(path, embedder="hashing", stemmer="klingon")
    assert caught.value.where == "stemmer"
    assert "german" in caught.value.what
    assert not path.exists()


def test_every_language_offered_is_one_that_full_text_can_stem() -> None:
    for language in STEMMERS:
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        assert builder.filter(tantivy.Filter.stemmer(language)).build().analyze("a") == ["a"]


def test_a_language_written_with_a_capital_is_the_same_language() -> None:
    assert Settings(stemmer="German").stemmer == "german"


@pytest.mark.parametrize("value", [math.nan, math.inf, "NaN", "-inf"])
def test_a_setting_that_is_not_a_finite_number_is_refused_as_that(value: object) -> None:
    with pytest.raises(BadInput, match="expected a finite number"):
        load(read_wait=value)


def test_a_misspelt_variable_is_told_once_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_told", set())
    monkeypatch.setenv("GRAPHSVC_READRES", "3")
    monkeypatch.setenv("GRAPHSVC_MEMORY", "here")
    with pytest.warns(UnknownVariable, match="GRAPHSVC_READRES .* Did you mean 'GRAPHSVC_READERS'") as told:
        load()
    assert len(told) == 1
    assert load().readers == Settings().readers


def test_config_check_says_where_each_setting_comes_from(tmp_path: Path) -> None:
    def check(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "graphsvc", "config", "check", "--memory", str(tmp_path), "--json"],
            env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    (tmp_path / "graphsvc.toml").write_text("readers = 7\n[service]\nport = 9000\n")
    found = {
        (each["group"], each["name"]): each
        for each in json.loads(check(GRAPHSVC_SERVICE_SLOW_SECONDS="0.5").stdout)["settings"]
    }
    assert {("memory", "readers"), ("service", "port"), ("service", "slow_seconds")} <= found.keys()
    assert found["service", "port"]["value"] == 9000
    assert found["service", "port"]["from"] == str(tmp_path / "graphsvc.toml")
    assert found["service", "slow_seconds"]["from"] == "GRAPHSVC_SERVICE_SLOW_SECONDS"
    (tmp_path / "graphsvc.toml").write_text("[service]\nprot = 9000\n")
    wrong = check()
    assert wrong.returncode == 1
    error = json.loads(wrong.stderr)["error"]
    assert (error["code"], error["hint"]) == ("unknown_field", "Did you mean 'port'?")


@pytest.mark.parametrize("name", ["graph_threads", "embedder_threads", "readers", "blas_threads", "workers"])
def test_no_setting_asks_for_more_threads_than_a_machine_has(name: str) -> None:
    with pytest.raises(BadInput, match="is more than"):
        Settings(**{name: 999_999_999_999})
