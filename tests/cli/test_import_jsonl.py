"""Episodes from JSON Lines."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc.config import resource
from graphsvc.errors import BadInput, UnknownField
from graphsvc.memory.importing import ImportReport, import_jsonl
from graphsvc.memory.importing import lines as lines_module
from graphsvc.memory.importing.schema import as_text, episode_schema

from .conftest import ROOT, Run

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*rows: Any, name: str = "episodes.jsonl") -> Path:
        path = tmp_path / name
        lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write


def row(number: int = 0, **values: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "session": "s", "task": f"task {number}", **values}


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    assert report.read == report.stored + report.already + report.revised + report.skipped_count
    return report.read, report.stored, report.already, report.skipped_count


def test_a_line_becomes_an_episode_with_all_its_fields(memory: graphsvc.Memory, write: Write) -> None:
    whole = row(agent="builder", input="i", output="o", critique="c", reward=0.5, success=True, latency_ms=1.5,
                tokens=3, tags=["b", "a"], metadata={"x": [1, None]}, at="2026-01-02T03:04:05+01:00")  # fmt: skip
    assert counts(import_jsonl(memory, write(whole))) == (1, 1, 0, 0)
    found = json.loads(msgspec.json.encode(memory.episodes.get("e0")))
    assert found == {**whole, "tags": ["a", "b"], "at": "2026-01-02T02:04:05Z"}


def test_bad_lines_are_skipped_with_place_and_reason_and_the_others_stored(
    memory: graphsvc.Memory, write: Write
) -> None:
    bad: list[Any] = [
        b"{not json", b"[1, 2]", b"\xff\xfe", row(1, reward="high"), {"id": "e2", "task": "no session"},
        row(3, colour="red"), row(4, at="2026-01-01T00:00:00"), row(5, tags="a"), row(6, task=" "),
        row(7, metadata={"big": "x" * 70_000}), b'{"session": "s", "task": "t", "reward": NaN}', row(8, id=True),
    ]  # fmt: skip
    mixed = [line for pair in zip(bad, [row(100 + n) for n in range(len(bad))], strict=True) for line in pair]
    report = import_jsonl(memory, write(*mixed))
    assert counts(report) == (2 * len(bad), len(bad), 0, len(bad))
    assert [skipped.place for skipped in report.skipped] == [f"line {2 * n + 1}" for n in range(len(bad))]
    reasons = {int(skipped.place[5:]): (skipped.code, skipped.why) for skipped in report.skipped}
    assert reasons[1][1].startswith("is not JSON")
    assert reasons[7] == ("bad_input", "reward: expected a number, got str")
    assert reasons[9] == ("bad_input", "session: is required")
    assert reasons[11] == ("unknown_field", "colour: an episode has no such field")
    assert reasons[19][0] == "too_large"
    assert memory.episodes.count() == len(bad)


def test_importing_again_adds_nothing(memory: graphsvc.Memory, write: Write) -> None:
    same = {"session": "s", "task": "the same twice"}
    file = write(row(1), same, {**same, "output": "o"}, same, {**same, "at": "2026-01-01T00:00:00Z"}, row(2))
    assert counts(import_jsonl(memory, file, batch=2)) == (6, 6, 0, 0)
    head = memory.status()["head"]
    assert counts(import_jsonl(memory, file, batch=5)) == (6, 0, 6, 0)
    assert memory.status()["head"] == head
    assert memory.episodes.count() == 6


def test_the_same_id_with_other_content_is_skipped_as_a_conflict(memory: graphsvc.Memory, write: Write) -> None:
    report = import_jsonl(memory, write(row(1), row(1, output="other"), row(1)))
    assert counts(report) == (3, 1, 1, 1)
    assert report.skipped[0].code == "conflict"
    again = import_jsonl(memory, write(row(1, output="another")))
    assert again.skipped_by_code == {"conflict": 1}
    assert memory.episodes.get("e1").output == ""


def test_an_amended_episode_is_there_already(memory: graphsvc.Memory, write: Write) -> None:
    file = write(row(1, reward=0.1))
    import_jsonl(memory, file)
    memory.episodes.amend("e1", reward=0.9)
    assert counts(import_jsonl(memory, file)) == (1, 0, 1, 0)
    assert memory.episodes.get("e1").reward == 0.9


def test_a_deleted_episode_stays_deleted(memory: graphsvc.Memory, write: Write) -> None:
    file = write(row(1), row(2))
    import_jsonl(memory, file)
    memory.episodes.delete("e1")
    report = import_jsonl(memory, file)
    assert counts(report) == (2, 0, 1, 1)
    assert report.skipped[0].code == "gone"


def test_a_dry_run_tells_the_same_and_writes_nothing(memory: graphsvc.Memory, write: Write) -> None:
    import_jsonl(memory, write(row(1)))
    file = write(row(1), row(2), row(2), row(2, output="x"), row(3, reward="?"), name="more.jsonl")
    head = memory.status()["head"]
    dry = import_jsonl(memory, file, dry_run=True, batch=1)
    assert memory.status()["head"] == head
    wet = import_jsonl(memory, file)
    assert {**dry.as_dict(), "dry_run": False, "seconds": 0} == {**wet.as_dict(), "seconds": 0}


def test_keys_can_be_mapped_and_the_rest_kept_dropped_or_refused(memory: graphsvc.Memory, write: Write) -> None:
    foreign = {"episode_id": 7, "run": "r", "task": "t", "trial": 2, "note": None}
    fields = {"id": "episode_id", "session": "run"}
    assert import_jsonl(memory, write(foreign), fields=fields).skipped_by_code == {"unknown_field": 1}
    import_jsonl(memory, write(foreign), fields=fields, rest="metadata", agent="kept")
    assert memory.episodes.get("7", agent="kept").metadata == {"trial": 2, "note": None}
    import_jsonl(memory, write(foreign), fields=fields, rest="drop", agent="dropped")
    assert memory.episodes.get("7", agent="dropped").metadata == {}


def test_a_key_both_in_the_metadata_and_beside_it_is_no_guess(memory: graphsvc.Memory, write: Write) -> None:
    report = import_jsonl(memory, write(row(1, metadata={"trial": 1}, trial=2)), rest="metadata")
    assert report.skipped[0].why == "trial: stands in the metadata and beside it"


def test_wrong_arguments_are_refused_before_anything_is_read(memory: graphsvc.Memory, write: Write) -> None:
    file = write(row())
    with pytest.raises(UnknownField, match="colour"):
        import_jsonl(memory, file, fields={"colour": "c"})
    with pytest.raises(BadInput, match="twice"):
        import_jsonl(memory, file, fields={"input": "x", "output": "x"})
    with pytest.raises(BadInput):
        import_jsonl(memory, file, rest="keep")  # type: ignore[arg-type]
    with pytest.raises(BadInput):
        import_jsonl(memory, file, batch=0)
    with pytest.raises(BadInput, match="No such file"):
        import_jsonl(memory, "no/such/file")
    assert memory.episodes.count() == 0


def test_gzip_blank_lines_and_a_byte_order_mark_are_read(memory: graphsvc.Memory, tmp_path: Path) -> None:
    file = tmp_path / "packed"
    text = f"\ufeff{json.dumps(row(1))}\r\n\n  \n{json.dumps(row(2))}"
    file.write_bytes(gzip.compress(text.encode()))
    assert counts(import_jsonl(memory, file)) == (2, 2, 0, 0)


def test_a_cut_off_file_gives_what_it_has_and_an_error(memory: graphsvc.Memory, tmp_path: Path) -> None:
    packed = gzip.compress("\n".join(json.dumps(row(n, output="x" * n)) for n in range(2_000)).encode())
    file = tmp_path / "cut.gz"
    file.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(BadInput, match="cut off"):
        import_jsonl(memory, file)
    assert 0 < memory.episodes.count() < 2_000


def test_a_line_without_an_end_does_not_fill_the_memory(
    memory: graphsvc.Memory, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "MAX_LINE", 1_000)
    report = import_jsonl(memory, write(row(1), row(2, output="x" * 5_000), row(3)))
    assert counts(report) == (3, 2, 0, 1)
    assert (report.skipped[0].place, report.skipped[0].code) == ("line 2", "too_large")


def test_the_report_names_a_thousand_and_counts_the_rest(memory: graphsvc.Memory, write: Write) -> None:
    report = import_jsonl(memory, write(*[b"x"] * 1_200))
    assert (len(report.skipped), report.skipped_count, report.in_vain) == (1_000, 1_200, True)


def test_progress_and_acknowledgements_come_as_batches_are_durable(memory: graphsvc.Memory, write: Write) -> None:
    shares: list[float | None] = []
    ids: list[str] = []

    def acknowledged(batch: Any) -> None:
        assert memory.episodes.count({"id": {"in": list(batch)}}) == len(batch)
        ids.extend(batch)

    import_jsonl(
        memory, write(*(row(n) for n in range(95))), batch=10, acknowledged=acknowledged,
        progress=lambda share, report: shares.append(share),
    )  # fmt: skip
    assert ids == [f"e{n}" for n in range(95)]
    assert shares == sorted(shares, key=lambda share: share or 0)
    assert shares[-1] == 1.0


def test_a_bound_handle_writes_only_its_own_namespace(memory: graphsvc.Memory, write: Write) -> None:
    report = import_jsonl(memory.as_agent("mine"), write(row(1), row(2, agent="yours")))
    assert counts(report) == (2, 1, 0, 1)
    assert memory.episodes.get("e1").agent == "mine"


def test_the_command_reports_to_people_and_programs(
    memory: graphsvc.Memory, write: Write, run: Run, answer: Run
) -> None:
    file = str(write(row(1), row(2, reward="?\x1b")))
    assert answer("import", "jsonl", file, "--dry-run")["stored"] == 1
    assert memory.episodes.count() == 0
    shown = run("import", "jsonl", file).stdout
    assert "line 2" in shown
    assert "expected a number" in shown
    lines = json.dumps({"run": "r", "task": "t"})
    assert answer("import", "jsonl", "-", "--field", "session=run", input=lines)["stored"] == 1


def test_an_import_of_nothing_but_bad_lines_is_a_failure(memory: graphsvc.Memory, write: Write, run: Run) -> None:
    run("import", "jsonl", str(write(b"x", b"y")), code=1)
    run("import", "jsonl", str(write()), code=0)


@pytest.mark.parametrize("word", ["session", "=x", "session=", "a=b=c"])
def test_a_mapping_that_says_nothing_is_refused(word: str, memory: graphsvc.Memory, write: Write, error: Run) -> None:
    assert error("import", "jsonl", str(write(row())), "--field", word)["code"] in ("bad_input", "unknown_field")


# --- the schema --------------------------------------------------------------------------------------------


def test_the_published_schema_is_what_the_records_say() -> None:
    published = (ROOT / "schema" / "episodes.schema.json").read_text()
    assert published == as_text(), "python -m graphsvc.memory.importing.schema > schema/episodes.schema.json"


def test_the_schema_is_valid_and_accepts_the_projects_own_dataset() -> None:
    jsonschema.Draft202012Validator.check_schema(episode_schema())
    dataset = resource("datasets", "episodes.jsonl")
    if not dataset.exists():
        pytest.skip("the dataset isn't in this checkout")
    validator = jsonschema.Draft202012Validator(episode_schema())
    for line in dataset.read_text().splitlines()[::20]:
        validator.validate(json.loads(line))


names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(str.strip)
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=50)
LINE = st.fixed_dictionaries(
    {"session": names, "task": texts.filter(lambda text: text.strip())},
    optional={
        "id": names, "agent": names, "input": texts, "output": texts, "critique": st.none() | texts,
        "reward": st.none() | st.floats(allow_nan=False, allow_infinity=False), "success": st.none() | st.booleans(),
        "latency_ms": st.none() | st.floats(0, 1e9), "tokens": st.none() | st.integers(0, 1 << 40),
        "tags": st.lists(names, max_size=5), "metadata": st.dictionaries(names, st.integers(-9, 9) | texts, max_size=4),
    },
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(LINE, max_size=20))
def test_what_the_schema_accepts_is_imported_once_whatever_it_holds(
    rows: list[dict[str, Any]], memory: graphsvc.Memory, tmp_path: Path
) -> None:
    validator = jsonschema.Draft202012Validator(episode_schema())
    for one in rows:
        validator.validate(one)
    file = tmp_path / "any.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    before = memory.episodes.count()
    first = import_jsonl(memory, file)
    assert set(first.skipped_by_code) <= {"conflict"}
    counts(first)
    assert memory.episodes.count() == before + first.stored
    again = import_jsonl(memory, file)
    assert (again.stored, again.already) == (0, first.stored + first.already)


# --- real data ---------------------------------------------------------------------------------------------


def test_ten_thousand_real_episodes_are_taken_but_those_whose_output_is_a_list(
    memory: graphsvc.Memory, shared_data: Path
) -> None:
    file = shared_data / "reflexion" / "episodes.jsonl.gz"
    if not file.exists():
        pytest.skip("no reflexion data here")
    fields = {"id": "episode_id", "session": "session_id"}
    report = import_jsonl(memory, file, fields=fields, rest="metadata")
    assert (report.read, report.stored, report.skipped_by_code) == (10_523, 10_359, {"bad_input": 164})
    assert report.skipped[0].why == "output: expected text, got list"
    assert import_jsonl(memory, file, fields=fields, rest="metadata").already == 10_359
    assert memory.episodes.get("0").metadata["domain"] == "qa"


def test_standard_input_is_a_file_like_any(memory: graphsvc.Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(json.dumps(row(1)).encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(packed)))
    assert counts(import_jsonl(memory, "-")) == (1, 1, 0, 0)


def test_a_line_that_gives_a_key_twice_is_skipped(memory: graphsvc.Memory, write: Write) -> None:
    twice = b'{"session": "s", "task": "one", "task": "two"}'
    deeper = b'{"session": "s", "task": "t", "metadata": {"a": {"b": 1, "b": 2}}}'
    report = import_jsonl(memory, write(twice, deeper, row(1)))
    assert [(one.place, one.code, one.why) for one in report.skipped] == [
        ("line 1", "bad_input", "task: has several values"), ("line 2", "bad_input", "b: has several values"),
    ]  # fmt: skip
    assert report.stored == 1


def test_a_list_of_texts_is_joined_where_asked_and_the_command_says_how(
    memory: graphsvc.Memory, write: Write, run: Run
) -> None:
    file = write(row(1, output=["first", "second"]), row(2, output=[1]), row(3, output="one"))
    assert "--join output" in run("import", "jsonl", str(file), "--dry-run").stdout
    report = import_jsonl(memory, file, join=["output"])
    assert [one.why for one in report.skipped] == ["output: expected texts in the list"]
    assert memory.episodes.get("e1").output == "first\nsecond"
    assert memory.episodes.get("e3").output == "one"
    with pytest.raises(BadInput, match="no text field"):
        import_jsonl(memory, file, join=["tags"])


def test_unknown_keys_come_with_the_options_that_would_take_them(
    memory: graphsvc.Memory, write: Write, run: Run
) -> None:
    file = write({"episode_id": "1", "sessionId": "s", "task": "t", "domain": "qa"})
    shown = run("import", "jsonl", str(file), code=1).stdout
    assert "Perhaps: --field id=episode_id --field session=sessionId" in shown
    assert "episode_id, sessionId, domain: an episode has no such field" in shown
    run("import", "jsonl", str(file), "--field", "id=episode_id", "--field", "session=sessionId", "--rest", "metadata")
    assert memory.episodes.get("1").metadata == {"domain": "qa"}


def test_a_strict_import_ends_with_1_if_a_line_was_skipped(memory: graphsvc.Memory, write: Write, run: Run) -> None:
    file = write(row(1), row(2, reward="high"))
    assert "stored" in run("import", "jsonl", str(file)).stdout
    run("import", "jsonl", str(file), "--strict", code=1)
    run("import", "jsonl", str(write(row(1))), "--strict")


def test_a_wrong_word_for_the_rest_is_wrong_usage(memory: graphsvc.Memory, write: Write, run: Run) -> None:
    assert "metadata" in run("import", "jsonl", str(write(row(1))), "--rest", "keep", code=2).stderr


def test_an_empty_file_says_that_nothing_was_read(memory: graphsvc.Memory, write: Write, run: Run) -> None:
    shown = run("import", "jsonl", str(write())).stdout.split()
    assert shown[:5] == ["Imported", "read", "0", "stored", "0"]
