"""Conversations of agents."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import BadInput
from graphsvc.memory.importing import ImportReport, import_messages

from .conftest import Run

Write = Callable[..., Path]

CALLS = [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "weather"}'}}]
WEATHER: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the weather?", "created_at": "2026-01-02T03:04:05Z"},
    {"role": "assistant", "content": None, "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "c1", "content": "rain, 7 °C"},
    {"role": "assistant", "content": "It rains."},
    {"role": "user", "content": [{"type": "text", "text": "And here?"}, {"type": "image_url", "image_url": {"url": "x"}}]},
    {"role": "assistant", "content": [{"type": "text", "text": "Sunny,"}, {"type": "text", "text": "it seems."}]},
    {"role": "user", "content": "Thanks"},
]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*lines: Any, name: str = "talk.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    return write


def counts(report: ImportReport) -> tuple[int, int, int]:
    return report.read, report.stored, report.already


def test_each_turn_of_the_user_is_an_episode_and_nothing_is_lost(memory: graphsvc.Memory, write: Write) -> None:
    report = import_messages(memory, write({"id": "w1", "model": "small", "messages": WEATHER}))
    assert counts(report) == (3, 2, 0)
    assert report.skipped_by_code == {"not_text": 1, "unanswered": 1}
    first, second = (memory.episodes.get(f"w1/{turn}") for turn in (1, 2))
    assert (first.session, first.task, first.output) == ("w1", "What is the weather?", "It rains.")
    assert first.input == 'system: Be brief.\n\nsearch({"q": "weather"})\n\nsearch → rain, 7 °C'
    assert first.metadata == {"turn": 1, "tools": ["search"], "conversation": {"model": "small"}}
    assert first.at.isoformat() == "2026-01-02T03:04:05.000001+00:00"
    assert (first.success, first.reward) == (None, None)
    assert (second.task, second.output) == ("And here?\n[image_url]", "Sunny,\nit seems.")
    assert second.metadata["not_text"] == {"image_url": 1}
    assert memory.episodes.relations("w1/1").after == "w1/2"


def test_a_conversation_that_has_grown_is_imported_again(memory: graphsvc.Memory, write: Write) -> None:
    import_messages(memory, write({"id": "w1", "messages": WEATHER}))
    assert counts(import_messages(memory, write({"id": "w1", "messages": WEATHER}))) == (3, 0, 2)
    grown = [*WEATHER, {"role": "assistant", "content": "You are welcome."}]
    report = import_messages(memory, write({"id": "w1", "messages": grown}))
    assert counts(report) == (3, 1, 2)
    assert memory.episodes.get("w1/3").output == "You are welcome."


@pytest.mark.parametrize("form", ["list a line", "object a line", "message a line", "document", "documents", "indented"])
def test_every_form_gives_the_same_episodes(memory: graphsvc.Memory, write: Write, form: str) -> None:
    lines: dict[str, tuple[list[Any], str]] = {
        "list a line": ([WEATHER], "talk#1"),
        "object a line": ([{"messages": WEATHER, "thread_id": 7}], "7"),
        "message a line": ([dict(message, conversation_id="m") for message in WEATHER], "m"),
        "document": ([json.dumps(WEATHER, indent=1)], "talk"),
        "documents": ([json.dumps([{"id": "d", "messages": WEATHER}, WEATHER], indent=1)], "d"),
        "indented": ([json.dumps({"session": "i", "messages": WEATHER}, indent=1)], "i"),
    }
    given, session = lines[form]
    report = import_messages(memory, write(*given))
    found = memory.episodes.list({"session": session}, order="oldest")
    assert [(episode.task, episode.output) for episode in found] == [
        ("What is the weather?", "It rains."),
        ("And here?\n[image_url]", "Sunny,\nit seems."),
    ]
    assert report.stored == (4 if form == "documents" else 2)


def test_messages_of_several_conversations_a_line_each(memory: graphsvc.Memory, write: Write) -> None:
    lines = [{"role": role, "content": f"{role} {talk}", "conversation_id": talk}
             for talk in ("a", "b") for role in ("user", "assistant")]  # fmt: skip
    assert counts(import_messages(memory, write(*lines))) == (2, 2, 0)
    assert memory.episodes.get("b/1").output == "assistant b"


def test_bad_lines_and_messages_are_reported_and_the_others_stored(memory: graphsvc.Memory, write: Write) -> None:
    answered = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    report = import_messages(memory, write(
        {"id": "a", "messages": answered}, "no json", {"no": "messages"}, 5,
        {"id": "b", "messages": [{"role": "robot"}, *answered, {"role": "assistant", "content": 5}]},
        {"id": "c", "messages": [{"role": "user", "content": " "}, answered[1]]},
        {"id": "d", "messages": [{"role": "user", "content": "Hi", "at": "2026-01-01"}, answered[1]]},
    ))  # fmt: skip
    assert report.stored == 2
    assert report.skipped_by_code == {"bad_input": 7}
    assert "message 1: expected a role" in next(one.why for one in report.skipped if one.place == "line 5")


def test_a_bad_first_line_takes_no_others_along(memory: graphsvc.Memory, write: Write) -> None:
    report = import_messages(memory, write("{broken", {"id": "a", "messages": WEATHER}, "[", {"id": "b", "messages": WEATHER}))
    assert report.stored == 4
    assert [one.place for one in report.skipped if one.code == "bad_input"] == ["line 1", "line 3"]


def test_what_is_said_outside_of_turns_is_kept_or_reported(memory: graphsvc.Memory, write: Write) -> None:
    talk = [
        {"role": "developer", "content": "Be kind."}, {"role": "assistant", "content": "How can I help?"},
        {"role": "user", "content": "Sing"}, {"role": "assistant", "content": "La"}, {"role": "system", "content": "Closed."},
    ]  # fmt: skip
    report = import_messages(memory, write({"id": "s", "messages": talk}, {"id": "e", "messages": []}, talk[:1]))
    assert memory.episodes.get("s/1").input == "developer: Be kind.\n\nassistant: How can I help?"
    assert [(one.place, one.why) for one in report.skipped] == [
        ("line 1", "nothing that a user asks follows"),
        ("line 2", "holds no messages"),
        ("line 3", "nothing that a user asks follows"),
    ]


def test_a_text_that_is_too_large_is_skipped_and_not_cut(memory: graphsvc.Memory, write: Write) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x" * (2 << 20)}]
    report = import_messages(memory, write(talk))
    assert (report.stored, report.skipped_by_code) == (0, {"too_large": 1})


def test_calls_of_the_older_form_and_a_refusal(memory: graphsvc.Memory, write: Write) -> None:
    talk = [
        {"role": "user", "content": "Add"}, {"role": "user", "content": "two and two"},
        {"role": "assistant", "function_call": {"name": "add", "arguments": {"a": 2}}, "content": ""},
        {"role": "function", "name": "add", "content": "4"}, {"role": "assistant", "refusal": "I won't say."},
    ]  # fmt: skip
    import_messages(memory, write(talk, name="sum.json"), session="sums")
    (episode,) = memory.episodes.list()
    assert (episode.task, episode.output) == ("Add\n\ntwo and two", "I won't say.")
    assert episode.input == 'add({"a":2})\n\nadd → 4'


def test_gzip_is_read_and_a_missing_file_is_an_error(memory: graphsvc.Memory, tmp_path: Path) -> None:
    packed = tmp_path / "talk.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps({"messages": WEATHER}).encode()))
    assert import_messages(memory, packed).stored == 2
    with pytest.raises(BadInput):
        import_messages(memory, tmp_path / "none.jsonl")


def test_the_command(run: Run, answer: Run, write: Write) -> None:
    run("init", "--embedder", "hashing")
    path = str(write({"id": "w1", "messages": WEATHER}))
    assert answer("import", "messages", path, "--dry-run")["stored"] == 2
    assert "unanswered" in run("import", "messages", path).stdout
    assert answer("import", "messages", "-", input=json.dumps({"id": "w1", "messages": WEATHER}))["already"] == 2
