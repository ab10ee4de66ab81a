"""Settings: what can't be is refused before anything is written, what does nothing is told."""

from __future__ import annotations

import math
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
