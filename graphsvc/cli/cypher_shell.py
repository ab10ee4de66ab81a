"""The shell of `graphsvc cypher`: many statements at a terminal, with history and completion."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphsvc.cli.cypher import FORMATS, parameter, show
from graphsvc.cli.output import console, safe, table
from graphsvc.errors import BadInput, GraphsvcError
from graphsvc.memory.cypher import functions

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.key_binding import KeyBindings

    from graphsvc.memory.memory import Memory
    from graphsvc.model.schema import Schema

KEYWORDS = (
    "ALL", "ALTER TABLE", "AND", "AS", "ASC", "CALL", "CASE", "CONTAINS", "COUNT", "CREATE", "CREATE NODE TABLE",
    "CREATE REL TABLE", "DELETE", "DESC", "DETACH DELETE", "DISTINCT", "DROP TABLE", "ELSE", "END", "ENDS WITH",
    "EXISTS", "EXPLAIN", "FALSE", "IN", "IS NOT NULL", "IS NULL", "LIMIT", "MATCH", "MERGE", "NOT", "NULL",
    "ON CREATE SET", "ON MATCH SET", "OPTIONAL MATCH", "OR", "ORDER BY", "RETURN", "SET", "SHORTEST", "SKIP",
    "STARTS WITH", "THEN", "TRUE", "UNION", "UNION ALL", "UNWIND", "WHEN", "WHERE", "WITH", "XOR",
)  # fmt: skip
HELP = {
    ":help": "This list.",
    ":tables": "Tables, what they join, and how much they hold.",
    ":schema [TABLE]": "Columns and their types, of all tables or one.",
    ":param NAME VALUE": "Give $NAME a value, as JSON or text; without a value it is taken away.",
    ":params": "The parameters that are given.",
    f":format {'|'.join(FORMATS)}": "How rows are written.",
    ":write on|off": "Whether statements write on tables of your own, or read, as at first.",
    ":timing": "Say, or don't say, how long a statement took.",
    ":history": "Statements of before, the last at the end.",
    ":quit": "End; so does Ctrl-D.",
}
POLL_SECONDS = 0.1


def history_file() -> Path:
    """Where statements are kept from one shell to the next, for this user alone."""
    root = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = root / "graphsvc"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "cypher_history"
    path.touch(mode=0o600, exist_ok=True)
    return path


def run(memory: Memory, params: dict[str, Any], format: str, options: dict[str, Any]) -> None:
    """Read statements and commands until the end, and show what they give."""
    shell = _CypherShell(memory, params, format, options)
    console().print(f"{safe(str(memory.path))}: end statements with ;  :help lists commands, Ctrl-D ends", style="dim")
    while True:
        try:
            text = shell.session.prompt()
        except KeyboardInterrupt:
            continue  # the line is thrown away
        except EOFError:
            return
        try:
            if not shell.take(text.strip()):
                return
        except GraphsvcError as error:
            console(error=True).print(f"error {safe(str(error))}", style="red", soft_wrap=True)


class _CypherShell:
    def __init__(self, memory: Memory, params: dict[str, Any], format: str, options: dict[str, Any]) -> None:
        self.memory = memory
        self.params = params
        self.format = format
        self.options = options
        self.timing = True
        self.schema = memory.schema(counts=False)
        self.threads = ThreadPoolExecutor(1, thread_name_prefix="graphsvc-cypher")
        self.session = _session(lambda: self.schema, write=options["write"])

    def take(self, text: str) -> bool:
        """Do what a line says; false if it is the end."""
        if text.startswith(":"):
            name, _, rest = text.rstrip(";").strip().partition(" ")
            if name in (":quit", ":exit", ":q"):
                return False
            commands: dict[str, Callable[[str], None]] = {
                ":help": self._help, ":tables": self._tables, ":schema": self._columns, ":param": self._param,
                ":params": self._params, ":format": self._format, ":timing": self._timing, ":history": self._history,
                ":write": self._write,
            }  # fmt: skip
            if name not in commands:
                raise BadInput(f"{name} is no command", where="shell", hint=":help lists them.")
            commands[name](rest.strip())
        elif text.rstrip("; \n"):
            self._statement(text)
        return True

    def _statement(self, text: str) -> None:
        began = time.perf_counter()
        wanted = {name: value for name, value in self.params.items() if re.search(rf"\${re.escape(name)}\b", text)}
        running = self.threads.submit(self.memory.cypher, text, wanted, **self.options)
        result = self._await(running)
        show(console(), result, self.format)
        if self.timing:
            console().print(f"{(time.perf_counter() - began) * 1000:,.1f} ms", style="dim")

    def _await(self, running: Future[Any]) -> Any:
        """Its result. Ctrl-C stops the statement, and nothing else."""
        while True:
            try:
                while not running.done():
                    time.sleep(POLL_SECONDS / 10 if running.running() else POLL_SECONDS)
                return running.result()
            except KeyboardInterrupt:
                self.memory.interrupt()

    # commands

    def _help(self, rest: str) -> None:
        console().print(table("", ("command", "what it does"), HELP.items(), whole=("command",)))

    def _tables(self, rest: str) -> None:
        self.schema = self.memory.schema()
        rows = (
            (one.name, "nodes" if one.nodes else "; ".join(f"{source} → {target}" for source, target in one.ends),
             f"{one.count:,}", "the memory's" if one.own else "yours")
            for one in self.schema
        )  # fmt: skip
        console().print(table("", ("table", "what", "count", "whose"), rows, whole=("table",)))

    def _columns(self, rest: str) -> None:
        self.schema = self.memory.schema(counts=False)
        tables = [self.schema[rest]] if rest else list(self.schema)
        rows = (
            (one.name if place == 0 else " ", column, type + (" key" if column == one.key else ""))
            for one in tables
            for place, (column, type) in enumerate(one.columns.items() or [("–", "–")])
        )
        console().print(table("", ("table", "column", "type"), rows, whole=("table", "column")))

    def _param(self, rest: str) -> None:
        name, _, value = rest.replace("=", " ", 1).partition(" ") if "=" in rest.split(" ")[0] else rest.partition(" ")
        name = name.removeprefix("$")
        if not name.isidentifier():
            raise BadInput(f"expected NAME VALUE, got {rest!r}", where=":param", hint="Like :param name 'Ada'.")
        if not value.strip():
            self.params.pop(name, None)
        else:
            text = value.strip()
            quoted = len(text) > 1 and text[0] == text[-1] == "'"
            self.params[name] = text[1:-1] if quoted else parameter(text)

    def _params(self, rest: str) -> None:
        rows = ((f"${name}", json.dumps(value, ensure_ascii=False, default=str)) for name, value in self.params.items())
        console().print(table("", ("parameter", "value"), rows, whole=("parameter",)))

    def _format(self, rest: str) -> None:
        if rest not in FORMATS:
            raise BadInput(f"{rest!r} is not one of {', '.join(FORMATS)}", where=":format")
        self.format = rest

    def _write(self, rest: str) -> None:
        if rest not in ("on", "off"):
            raise BadInput(f"{rest!r} is not on or off", where=":write")
        self.options["write"] = rest == "on"
        self.session.message = _prompt(self.options["write"])

    def _timing(self, rest: str) -> None:
        self.timing = not self.timing
        console().print(f"timing is {'on' if self.timing else 'off'}", style="dim")

    def _history(self, rest: str) -> None:
        for text in self.session.history.get_strings()[-50:]:
            console().print(safe(text), soft_wrap=True)


# --- the line editor ----------------------------------------------------------------------------------


def _prompt(write: bool) -> str:
    return "cypher (write)> " if write else "cypher> "


def _session(schema: Callable[[], Schema], *, write: bool) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        history: Any = FileHistory(str(history_file()))
    except OSError:  # a home that can't be written
        history = InMemoryHistory()
    return PromptSession(
        _prompt(write), history=history, completer=_completer(schema), complete_while_typing=False, multiline=True,
        prompt_continuation="      > ", key_bindings=_keys(), enable_history_search=True,
    )  # fmt: skip


def _keys() -> KeyBindings:
    """Enter ends a command or a statement with its `;`, and else begins the next line."""
    from prompt_toolkit.filters import completion_is_selected
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter", filter=~completion_is_selected)
    def _(event: Any) -> None:
        text = event.current_buffer.text.strip()
        if not text or text.startswith(":") or text.endswith(";"):
            event.current_buffer.validate_and_handle()
        else:
            event.current_buffer.insert_text("\n")

    return keys


_BEFORE = re.compile(r"(?P<mark>[:.$])?(?P<word>\w*)$")


def completions(text: str, schema: Schema) -> Iterator[tuple[str, int]]:
    """What may come next, each with how many characters of `text` it takes the place of: commands at the start, tables
    behind `(n:` and `[r:`, columns behind a dot, else keywords, functions, tables and columns.
    """
    if text.lstrip().startswith(":") and " " not in text.strip():
        word = text.strip()
        yield from ((name.split()[0], len(word)) for name in HELP if name.startswith(word))
        return
    found = _BEFORE.search(text)
    assert found is not None
    mark, word = found["mark"], found["word"]
    columns = sorted({column for one in schema for column in one.columns})
    if mark == ":":
        names = [one.name for one in schema]
    elif mark == ".":
        variable = re.search(r"(\w+)\.\w*$", text)
        label = variable and re.search(rf"[(\[]\s*{variable[1]}\s*:\s*`?(\w+)", text)
        names = list(schema[label[1]].columns) if label and label[1] in schema else columns
    elif mark == "$":
        names = []
    else:
        calls = (f"{name}(" for name in functions())
        names = [*KEYWORDS, *calls, *(one.name for one in schema), *columns] if word else []
    yield from ((name, len(word)) for name in names if name.casefold().startswith(word.casefold()))


def _completer(schema: Callable[[], Schema]) -> Completer:
    from prompt_toolkit.completion import Completer, Completion

    class Names(Completer):
        def get_completions(self, document: Any, event: Any) -> Iterator[Completion]:
            for name, length in completions(document.text_before_cursor, schema()):
                yield Completion(name, -length)

    return Names()
