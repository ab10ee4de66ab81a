"""Conversations of agents in OpenAI-style messages: each turn of the user is an episode."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from graphsvc.errors import BadInput, GraphsvcError, TooLarge
from graphsvc.memory.importing.lines import MAX_LINE, Lines
from graphsvc.memory.importing.report import Acknowledged, ImportReport, Progress
from graphsvc.memory.importing.storing import Storing

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory

IDS = ("id", "conversation_id", "session", "session_id", "thread_id")
"""Keys that may name a conversation."""
TIMES = ("at", "timestamp", "created_at", "created", "create_time")
SYSTEM = ("system", "developer")
ROLES = (*SYSTEM, "user", "assistant", "tool", "function")
MAX_DOCUMENT = 256 << 20
"""The largest file that is one JSON document, which has to be read whole, in bytes; JSON Lines have no such limit."""


def import_messages(
    memory: Memory,
    source: str | os.PathLike[str],
    *,
    session: str | None = None,
    agent: str | None = None,
    dry_run: bool = False,
    batch: int = 500,
    progress: Progress | None = None,
    acknowledged: Acknowledged | None = None,
) -> ImportReport:
    """Store the turns of conversations. A turn is what the user says and what comes until the user speaks again.

    The task is the user's request, the output the assistant's words, the input what the system said and what tools were
    called with and gave. Nothing is shortened: a turn that is too large is skipped and reported. Parts that are no text
    (images, sounds) leave a mark `[image_url]` in the text and are counted in the report. How a turn went is not known:
    success and reward stay empty.

    Args:
        memory: to store in.
        source: JSON Lines, a conversation a line (a list of messages, or an object with `messages`) or a message a
            line; or one JSON document, a conversation or a list of them. Plain or gzip; "-" for standard input.
        session: of a conversation that names none (by `id`, `conversation_id`, `session`, …); the file's name if not
            given, and the conversation's place where there are several.
        agent: namespace.
        dry_run: store nothing, only report.
        batch: turns stored together.
        progress: called after each batch. acknowledged: called with the ids of each batch once it is durable.

    Returns:
        The report. A turn that nobody answered yet is skipped, so that a conversation that has grown can be imported
        again: its new turns are added.

    Raises:
        BadInput: for an argument, or a file that can't be read to its end. StorageFull and the like.
    """
    report = ImportReport(dry_run=dry_run)
    storing = Storing(memory, agent, report, acknowledged, batch)
    name = session or ("conversation" if source == "-" else Path(source).name.partition(".")[0]) or "conversation"
    began = datetime.now(UTC) if source == "-" else _modified(source)
    with Lines(source) as lines:
        conversations = _conversations(lines, report, name)
        return storing.through(conversations, lambda one: _take(storing, one, began), lambda: lines.share, progress)


def _modified(source: str | os.PathLike[str]) -> datetime:
    try:
        return datetime.fromtimestamp(Path(source).stat().st_mtime, UTC)
    except OSError as error:
        raise BadInput(f"can't be read: {error.strerror}", where=os.fspath(source)) from None


# --- conversations --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Conversation:
    """Messages, where they stand, and what else is said of them."""

    place: str
    session: str
    messages: list[Any]
    about: dict[str, Any] = field(default_factory=dict)


def _conversations(lines: Lines, report: ImportReport, name: str) -> Iterator[_Conversation]:
    """A conversation a line, or of lines that are messages; a document over several lines is read whole."""
    numbered = iter(lines)
    first = next(numbered, None)
    if first is None:
        return
    begun = [first]
    if _decoded(first[1])[1] is not None and first[1] is not None:
        size = len(first[1])
        for number, line in numbered:
            begun.append((number, line))
            size += len(line or b"")
            if line is None or size > MAX_DOCUMENT:
                break
        value, error = _decoded(b"".join(line or b"" for _, line in begun))
        if error is None:
            yield from _of(value, "the document", name, report, None)
            return
    yield from _by_line(chain(begun, numbered), report, name)


def _by_line(lines: Iterator[tuple[int, bytes | None]], report: ImportReport, name: str) -> Iterator[_Conversation]:
    running: _Conversation | None = None
    for number, line in lines:
        place = f"line {number}"
        value, error = _decoded(line)
        if error is not None:
            report.skip(place, error.code, error.what)
        elif isinstance(value, dict) and "role" in value:
            key = _named(value, skip=("id",)) or name
            if running is not None and running.session != key:
                yield running
                running = None
            running = running or _Conversation(place, key, [])
            running.messages.append(value)
        else:
            yield from _of(value, place, name, report, number)
    if running is not None:
        yield running


def _decoded(line: bytes | None) -> tuple[Any, GraphsvcError | None]:
    if line is None:
        return None, TooLarge(f"the line is longer than {MAX_LINE >> 20} MiB")
    try:
        return msgspec.json.decode(line), None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return None, BadInput(f"is not JSON: {error}")


def _of(value: Any, place: str, name: str, report: ImportReport, number: int | None) -> Iterator[_Conversation]:
    """The conversations that a JSON value holds: one, or a list of several."""
    several = isinstance(value, list) and not any(isinstance(one, dict) and "role" in one for one in value)
    for index, one in enumerate(value if several else [value], 1):
        where = f"{place}, conversation {index}" if several else place
        default = f"{name}#{number or index}" if several or number is not None else name
        if isinstance(one, list):
            yield _Conversation(where, default, one)
        elif isinstance(one, dict) and isinstance(one.get("messages"), list):
            about = {key: said for key, said in one.items() if key != "messages"}
            yield _Conversation(where, _named(about) or default, one["messages"], about)
        else:
            why = "expected a list of messages, or an object with `messages`"
            report.skip(where, "bad_input", f"{why}, got {type(one).__name__}")


def _named(value: Mapping[str, Any], skip: tuple[str, ...] = ()) -> str | None:
    """What a conversation is called, where it says so."""
    found = (value.get(key) for key in IDS if key not in skip)
    return next((str(id) for id in found if isinstance(id, str | int) and str(id).strip()), None)


# --- turns ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Turn:
    """What a user asked for, and what came of it."""

    request: list[str] = field(default_factory=list)
    context: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    tools: dict[str, None] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    not_text: Counter[str] = field(default_factory=Counter)
    at: Any = None


def _take(storing: Storing, conversation: _Conversation, began: datetime) -> None:
    """Put the turns of a conversation with the episodes that wait."""
    turns, faults = _turns(conversation)
    for why in faults:
        storing.report.skip(conversation.place, "bad_input", why)
    start = _first_time(conversation.about)
    for number, turn in enumerate(turns, 1):
        place = f"{conversation.place}, turn {number}"
        storing.report.read += 1
        if not turn.answer and not turn.calls:
            storing.report.skip(place, "unanswered", "nobody has answered yet")
            continue
        try:
            # A microsecond a turn keeps their order where messages have no times.
            at = _time(turn.at if turn.at is not None else start, began) + timedelta(microseconds=number)
            storing.take(place, _values(conversation, turn, number, at))
        except GraphsvcError as error:
            storing.refuse(place, error)
            continue
        for sort, count in turn.not_text.items():
            storing.report.skip(place, "not_text", f"{count} part(s) {sort}: their place is marked", listed=True)


def _turns(conversation: _Conversation) -> tuple[list[_Turn], list[str]]:
    """The turns, and what is wrong with messages that are left out."""
    turns: list[_Turn] = []
    faults: list[str] = []
    before = _Turn()
    for index, message in enumerate(conversation.messages, 1):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            said = repr(message.get("role")) if isinstance(message, dict) else type(message).__name__
            faults.append(f"message {index}: expected a role of {', '.join(ROLES)}, got {said}")
            continue
        role = message["role"]
        if role == "user" and (not turns or turns[-1].answer or turns[-1].calls):
            greeting = [f"assistant: {said}" for said in before.answer]
            turns.append(_Turn(context=[*before.context, *greeting], not_text=before.not_text))
            before = _Turn()
        # What is said before a user's turn belongs to that: what the system says, an assistant's greeting.
        turn = turns[-1] if turns and (role not in SYSTEM or not turns[-1].answer) else before
        try:
            _hear(turn, role, message)
        except GraphsvcError as error:
            faults.append(f"message {index}: {error.what}")
    if before.context or before.answer or not (turns or faults):
        faults.append("nothing that a user asks follows" if before.context or before.answer else "holds no messages")
    return turns, faults


def _hear(turn: _Turn, role: str, message: dict[str, Any]) -> None:
    text = _text(message.get("content"), turn)
    if role == "user":
        turn.request.append(text)
        turn.at = turn.at if turn.at is not None else _first_time(message)
    elif role == "assistant":
        if text or message.get("refusal"):
            turn.answer.append(text or str(message["refusal"]))
        for id, name, arguments in _calls(message):
            turn.tools[name] = None
            turn.calls[id] = name
            turn.context.append(f"{name}({arguments})")
    elif role in ("tool", "function"):
        name = message.get("name") or turn.calls.get(str(message.get("tool_call_id")), "tool")
        turn.context.append(f"{name} → {text}")
    else:
        turn.context.append(f"{role}: {text}")


def _calls(message: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Id, name and arguments of each call of a tool."""
    calls = message.get("tool_calls") or []
    old = message.get("function_call")
    if not isinstance(calls, list):
        raise BadInput("`tool_calls` is no list")
    for index, call in enumerate([*calls, *([{"function": old}] if old else [])]):
        if not isinstance(call, dict):
            raise BadInput(f"tool call {index + 1} is no object")
        function = call.get("function") or call.get("custom") or call
        if not isinstance(function, dict):
            raise BadInput(f"tool call {index + 1} names no function")
        arguments = function.get("arguments", function.get("input", ""))
        told = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
        yield str(call.get("id", index)), str(function.get("name", "tool")), told


def _text(content: Any, turn: _Turn) -> str:
    """A message's content as text; a part that is no text leaves its sort in brackets."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadInput(f"content is neither text nor a list of parts, but {type(content).__name__}")
    words = []
    for part in content:
        said = part.get("text", part.get("refusal")) if isinstance(part, dict) else part
        if isinstance(said, str):
            words.append(said)
        else:
            sort = str(part.get("type", "part")) if isinstance(part, dict) else type(part).__name__
            turn.not_text[sort] += 1
            words.append(f"[{sort}]")
    return "\n".join(words)


def _first_time(value: Mapping[str, Any]) -> Any:
    return next((value[key] for key in TIMES if value.get(key) is not None), None)


def _time(said: Any, otherwise: datetime) -> datetime:
    """A time as messages say it: seconds since 1970, or ISO 8601 with a zone."""
    if said is None:
        return otherwise
    try:
        at = datetime.fromtimestamp(said, UTC) if isinstance(said, int | float) else datetime.fromisoformat(said)
    except (ValueError, TypeError, OverflowError, OSError):
        raise BadInput(f"{said!r} is no time", where="at") from None
    if at.tzinfo is None:
        raise BadInput("the time has no zone", where="at")
    return at


def _values(conversation: _Conversation, turn: _Turn, number: int, at: datetime) -> dict[str, Any]:
    about = {
        "turn": number, "tools": list(turn.tools), "not_text": dict(turn.not_text),
        "conversation": {key: said for key, said in conversation.about.items() if key not in IDS},
    }  # fmt: skip
    return {
        "id": f"{conversation.session}/{number}", "session": conversation.session, "at": at,
        "task": "\n\n".join(turn.request), "input": "\n\n".join(turn.context), "output": "\n\n".join(turn.answer),
        "tags": ["conversation"], "metadata": {name: value for name, value in about.items() if value},
    }  # fmt: skip
