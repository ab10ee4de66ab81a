"""What goes wrong at the command line: one clear line or one JSON document, and the right exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.cli.app import app
from graphsvc.memory.episodes import Episodes
from graphsvc.memory.memory import Memory
from graphsvc.store.verify import Problem, Report

from .conftest import Run


@pytest.fixture
def there(memory: graphsvc.Memory) -> graphsvc.Memory:
    memory.episodes.store(id="e", session="s", task="t")
    return memory


def test_a_filter_that_is_not_json_says_how_to_write_one(there: graphsvc.Memory, error: Run, run: Run) -> None:
    said = error("episodes", "list", "--where", "{success: false}")
    assert (said["code"], said["where"]) == ("bad_input", "--where")
    assert '"success"' in said["hint"]
    assert error("episodes", "list", "--where", "[1]")["code"] == "bad_input"
    assert error("recall", "x", "--near", "{")["where"] == "--near"
    shown = run("episodes", "list", "--where", "{", code=1)
    assert shown.stdout == ""
    assert shown.stderr.startswith("error [bad_input] --where: is not JSON")
    assert shown.stderr.count("\n") == 1


def test_a_filter_with_an_unknown_field_names_the_fields(there: graphsvc.Memory, error: Run) -> None:
    said = error("episodes", "list", "--where", '{"rewrad": 1}')
    assert said["code"] == "unknown_field"
    assert "reward" in said["hint"]


@pytest.mark.parametrize("words", ["episodes get no", "episodes delete no", "skills plan no", "skills links no"])
def test_an_unknown_id_is_not_found(words: str, there: graphsvc.Memory, error: Run) -> None:
    assert error(*words.split())["code"] == "not_found"


def test_a_deleted_id_is_gone_and_its_history_is_there(there: graphsvc.Memory, error: Run, answer: Run) -> None:
    answer("episodes", "delete", "e")
    assert error("episodes", "get", "e")["code"] == "gone"
    assert [event["what"] for event in answer("episodes", "history", "e")["history"]] == ["store", "delete"]


def test_metadata_that_is_not_json_names_its_option(there: graphsvc.Memory, error: Run) -> None:
    said = error("store", "--session", "s", "--task", "t", "--metadata", "eu")
    assert (said["code"], said["where"]) == ("bad_input", "--metadata")


def test_not_a_number_is_refused(there: graphsvc.Memory, error: Run) -> None:
    said = error("store", "--session", "s", "--task", "t", "--reward", "nan")
    assert (said["code"], said["where"]) == ("bad_input", "reward")


def test_commands_do_not_make_a_memory_where_none_is(path: Path, error: Run) -> None:
    said = error("stats")
    assert said["code"] == "not_a_memory"
    assert "graphsvc init" in said["hint"]
    assert not path.exists()


def test_init_refuses_a_directory_with_other_things(path: Path, error: Run) -> None:
    path.mkdir()
    (path / "novel.txt").write_text("It was a dark and stormy night.")
    assert error("init")["code"] == "not_a_memory"
    assert [file.name for file in path.iterdir()] == ["novel.txt"]


def test_init_says_when_the_engine_there_is_another(there: graphsvc.Memory, error: Run) -> None:
    assert error("init", "--engine", "ladybug")["code"] == "bad_input"


@pytest.mark.parametrize("words", ["recall", "recall x --nope", "nosuch", "store --session s", "recall x -k many"])
def test_wrong_usage_ends_with_2_and_is_json_for_who_asked(words: str, run: Run) -> None:
    assert run(*words.split(), code=2).stdout == ""
    result = run(*words.split(), "--json", code=2)
    assert json.loads(result.stderr)["error"]["code"] == "usage"


def test_verify_ends_with_3_where_something_is_wrong(
    there: graphsvc.Memory, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report([Problem("graph", "lacks what the log says", 2, ("a\x1b", "b"))], {"log": 1})
    monkeypatch.setattr(Memory, "verify", lambda self: report)
    shown = run("verify", code=3)
    assert "lacks what the log says" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert json.loads(run("verify", "--json", code=3).stdout)["ok"] is False


def test_an_unexpected_error_is_a_short_line_unless_debugging(
    there: graphsvc.Memory, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("of the \x1b kind")

    monkeypatch.setattr(Episodes, "get", fail)
    short = run("episodes", "get", "e", code=1).stderr
    assert "ZeroDivisionError" in short
    assert "--debug" in short
    assert "Traceback" not in short
    assert "\x1b" not in short
    assert "Traceback" in run("episodes", "get", "e", "--debug", code=1).stderr
    assert json.loads(run("episodes", "get", "e", "--json", code=1).stderr)["error"]["code"] == "unexpected"


def test_an_interruption_ends_with_130_and_without_a_trace(
    there: graphsvc.Memory, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Episodes, "get", interrupt)
    assert "Traceback" not in run("episodes", "get", "e", code=130).stderr
    assert json.loads(run("episodes", "get", "e", "--json", code=130).stderr)["error"]["code"] == "interrupted"


def test_a_command_leaves_the_programs_logging_as_it_was(there: graphsvc.Memory, run: Run) -> None:
    import logging

    logger = logging.getLogger("graphsvc")
    before = (list(logger.handlers), logger.propagate)
    run("stats")
    assert (list(logger.handlers), logger.propagate) == before


def test_a_memory_in_use_by_another_process_that_does_not_share_it_names_that(
    path: Path, process: Callable[..., Any]
) -> None:
    import os

    with graphsvc.open(path, embedder="hashing", share=False):
        result = process("stats", "--memory", str(path), "--json")
    assert result.returncode == 1
    said = json.loads(result.stderr)["error"]
    assert said["code"] == "in_use"
    assert str(os.getpid()) in said["what"] + said["hint"]
    assert said["retryable"] is True


def test_the_app_can_complete_itself() -> None:
    from typer.main import get_command

    names = {parameter.name for parameter in get_command(app).params}
    assert {"install_completion", "show_completion"} <= names


def test_a_misspelt_variable_is_one_line_on_standard_error(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graphsvc import config

    monkeypatch.setattr(config, "_told", set())
    shown = run("init", str(tmp_path / "new"), "--embedder", "hashing", GRAPHSVC_READRES="3")
    assert shown.stderr.count("GRAPHSVC_READRES") == 1
    assert "GRAPHSVC_READERS" in shown.stderr


def test_a_failed_init_leaves_nothing_behind_and_takes_nothing_away(tmp_path: Path, error: Run) -> None:
    deep = tmp_path / "a" / "b"
    assert error("init", str(deep), "--embedder", "no-such/model")["code"] == "model_not_found"
    assert not (tmp_path / "a").exists()
    deep.mkdir(parents=True)
    (deep / "graphsvc.toml").write_text("readers = 2\n")
    assert error("init", str(deep), "--embedder", "no-such/model")["code"] == "model_not_found"
    assert (deep / "graphsvc.toml").read_text() == "readers = 2\n"


def test_a_lost_manifest_is_said_to_be_lost_and_the_advice_for_having_no_copy_works(
    path: Path, tmp_path: Path, run: Run, error: Run
) -> None:
    import sqlite3

    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(id="e", session="s", task="t", wait="searchable")
    (path / "graphsvc.json").unlink()
    for words in ("stats", "init", "verify"):
        said = error(words)
        assert (said["code"], said["where"]) == ("corrupt", str(path / "graphsvc.json"))
        assert "memory.sqlite" in said["hint"]
        assert "graphsvc init DIRECTORY" not in said["hint"]
    run("init", str(tmp_path / "other"), "--embedder", "hashing")
    manifest = json.loads((tmp_path / "other" / "graphsvc.json").read_text())
    with sqlite3.connect(path / "memory.sqlite") as connection:
        manifest["id"] = connection.execute("SELECT id FROM memory").fetchone()[0]
    connection.close()
    (path / "graphsvc.json").write_text(json.dumps(manifest))
    assert json.loads(run("verify", "--json").stdout)["ok"] is True
    assert json.loads(run("episodes", "get", "e", "--json").stdout)["task"] == "t"


def test_a_damaged_page_ends_verify_and_repair_with_what_to_do(path: Path, run: Run) -> None:
    import sqlite3

    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store_many([{"session": "s", "task": f"t{n}", "output": "x" * 500} for n in range(300)])
        memory.wait()
    log = path / "memory.sqlite"
    with sqlite3.connect(log) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with log.open("r+b") as file:
        file.seek(log.stat().st_size // size // 2 * size)
        file.write(b"\xa5" * size)
    for words in ("verify", "repair"):
        said = json.loads(run(words, "--json", code=3).stdout)
        assert said["ok"] is False
        for advice in ("copy its whole directory away", "put back a copy", "sqlite3 memory.sqlite .recover"):
            assert advice in said["advice"]
    assert "put back a copy" in " ".join(run("verify", code=3).stdout.split())


@pytest.mark.parametrize("words", [
    "episodes list --order best", "episodes retrieve x --mode magic", "skills list --order x", "entities list --order x",
    "episodes link a b near", "skills link a b uses", "feedbacks --kind x", "export new --format csv",
    "store --session s --task t --wait soon",
])
def test_a_word_that_is_no_choice_is_wrong_usage_and_names_the_choices(words: str, run: Run) -> None:
    choices = ("newest", "blend", "about", "calls", "skill", "parquet", "graph")
    assert any(f"'{choice}'" in run(*words.split(), code=2).stderr for choice in choices)


def test_the_version_is_told_by_an_option_too(run: Run) -> None:
    assert run("--version").stdout.strip() == f"graphsvc {graphsvc.__version__}"


@pytest.mark.parametrize("group", ["episodes", "skills", "import", "demo"])
def test_the_help_of_a_group_has_an_example(group: str, run: Run) -> None:
    assert f"Example: graphsvc {group}" in run(group, "--help").stdout


def test_a_name_that_is_no_utf_8_is_shown_by_its_bytes(run: Run, path: Path) -> None:
    said = run("stats", "--memory", str(path.parent / "\udcff"), "--json", code=1).stderr
    assert json.loads(said)["error"]["code"] == "not_a_memory"
    assert "\\udcff" in json.loads(said)["error"]["where"] + json.loads(said)["error"]["what"]
    graphsvc.open(path, embedder="hashing").close()
    said = run("episodes", "list", "--where", '{"\\ud800": 1}', "--json", code=1).stderr
    assert "\\ud800" in said


@pytest.mark.parametrize(("words", "code"), [
    (("causal", "add", "a", "b", "--uplift", "x"), 2), (("serve", ".", "--port", "70000"), 1),
    (("graph", "outcome", "9" * 30), 1),
])  # fmt: skip
def test_numbers_that_are_none_or_too_large_are_refused(run: Run, path: Path, words: tuple[str, ...], code: int) -> None:
    graphsvc.open(path, embedder="hashing").close()
    said = run(*words, code=code)
    assert "unexpected" not in said.output + said.stderr
