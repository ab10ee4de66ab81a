"""`graphsvc cypher`: statements at a shell, and the shell of its own, at a terminal."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.cli.cypher_shell import completions

from .conftest import ROOT, Run, environment

MANY = [f"n{number}" for number in range(18)]
SLOW = f"MATCH {', '.join(f'({name}:Episode)' for name in MANY)} WHERE {' + '.join(f'{name}.reward' for name in MANY)} > 99 RETURN 1 AS x"
"""Three to the eighteenth rows to look at, which takes minutes."""
NAMES = "MATCH (e:Episode) RETURN e.id AS id, e.reward AS reward ORDER BY id"


@pytest.fixture
def filled(path: Path) -> Iterator[Path]:
    """A memory that stays open in this process, which commands share: so each of them takes milliseconds."""
    with graphsvc.open(path, embedder="hashing") as memory:
        fill(memory)
        yield path


@pytest.fixture
def closed(path: Path) -> Path:
    with graphsvc.open(path, embedder="hashing") as memory:
        fill(memory)
    return path


def fill(memory: graphsvc.Memory) -> None:
    for number in range(3):
        memory.episodes.store(
            id=f"e{number}", session="s", task="deploy | it", output="done", reward=number / 2 if number else None
        )


# --- one statement ------------------------------------------------------------------------------------


def test_rows_are_written_in_every_format(filled: Path, run: Run) -> None:
    rows = [{"id": "e0", "reward": None}, {"id": "e1", "reward": 0.5}, {"id": "e2", "reward": 1.0}]
    assert json.loads(run("cypher", NAMES, "--format", "json").stdout) == rows
    assert [json.loads(line) for line in run("cypher", NAMES, "--format", "jsonl").stdout.splitlines()] == rows
    found = list(csv.reader(io.StringIO(run("cypher", NAMES, "--format", "csv").stdout)))
    assert found == [["id", "reward"], ["e0", ""], ["e1", "0.5"], ["e2", "1.0"]]
    assert run("cypher", NAMES, "--format", "markdown").stdout == (
        "| id | reward |\n| --- | --- |\n| e0 | *null* |\n| e1 | 0.5 |\n| e2 | 1.0 |\n"
    )
    table = run("cypher", NAMES).stdout
    assert re.search(r"e0\s+null", table)
    assert "3 rows" in table
    assert run("cypher", "MATCH (e:Episode) RETURN e.task LIMIT 1", "--format", "markdown").stdout.endswith("deploy \\| it |\n")


def test_a_statement_comes_as_an_argument_from_standard_input_or_a_file(
    filled: Path, run: Run, answer: Run, tmp_path: Path
) -> None:
    count = "MATCH (e:Episode) RETURN count(*) AS n"
    file = tmp_path / "count.cypher"
    file.write_text(f"// how many\n{count};\n")
    asked = [
        answer("cypher", count), answer("cypher", str(filled), count), answer("cypher", input=count),
        answer("cypher", "-", input=count), answer("cypher", "--file", str(file)),
        answer("cypher", str(filled), "--file", str(file)), answer("cypher", str(filled), input=count),
    ]  # fmt: skip
    assert [(one["columns"], one["rows"], one["more"]) for one in asked] == [(["n"], [{"n": 3}], False)] * len(asked)


def test_parameters_are_json_or_text_and_may_come_from_a_file(filled: Path, answer: Run, tmp_path: Path) -> None:
    statement = "RETURN $a AS a, $b AS b, $c AS c"
    said = answer("cypher", statement, "--param", "a=1", "-p", "b=deploy it", "-p", 'c=["x", "y"]')
    assert said["rows"] == [{"a": 1, "b": "deploy it", "c": ["x", "y"]}]
    file = tmp_path / "params.json"
    file.write_text('{"a": 1.5, "b": "of the file", "c": true}')
    assert answer("cypher", statement, "--params", str(file), "-p", "b=said")["rows"] == [{"a": 1.5, "b": "said", "c": True}]


def test_a_limit_cuts_and_says_so(filled: Path, run: Run, answer: Run) -> None:
    assert answer("cypher", NAMES, "--limit", "2")["more"] is True
    assert "there are more" in run("cypher", NAMES, "--limit", "2").stdout


@pytest.mark.parametrize(("words", "code", "where"), [
    (["MATCH (e:Episod) RETURN e"], "bad_input", "statement, line 1, column "),
    (["MATCH (e:Episode) RETURN e.rewad"], "bad_statement", "statement, line 1, column 28"),
    (["MATCH (e:Episode) RETURN\n  e.id,,"], "not_allowed", "statement, line 2"),
    (["CREATE (:Episode {key: 'x'})"], "not_allowed", "statement, line 1, column 1"),
    (["RETURN $x"], "bad_input", "params"),
    (["RETURN 1", "-p", "x=1"], "bad_input", "params"),
    (["RETURN 1", "-p", "x"], "bad_input", "--param"),
    (["RETURN 1", "--params", "nowhere.json"], "bad_input", "nowhere.json"),
    (["--file", "nowhere.cypher"], "bad_input", "nowhere.cypher"),
    ([SLOW, "--timeout", "0.2"], "query_timeout", "statement"),
])  # fmt: skip
def test_what_is_wrong_has_a_code_and_a_place_and_no_trace(
    filled: Path, error: Run, run: Run, words: list[str], code: str, where: str
) -> None:
    told = error("cypher", *words)
    assert told["code"] == code
    assert told["where"].startswith(where)
    assert "Traceback" not in run("cypher", *words, code=1).output


def test_nothing_in_a_value_commands_the_terminal(path: Path, run: Run) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(id="e", session="s", task="red \x1b[31m", output="x", wait="graph")
    assert "\x1b" not in run("cypher", "MATCH (e:Episode) RETURN e.task, e").stdout


# --- the shell ----------------------------------------------------------------------------------------


class Terminal:
    """`graphsvc cypher` at a terminal of its own."""

    def __init__(self, path: Path, state: Path) -> None:
        child, self.ends = pty.fork()
        if child == 0:
            own = {"XDG_STATE_HOME": str(state), "TERM": "xterm", "COLUMNS": "100", "LINES": "40", "PROMPT_TOOLKIT_NO_CPR": "1"}
            os.chdir(ROOT)
            os.execve(sys.executable, [sys.executable, "-m", "graphsvc", "cypher", str(path)], {**environment(), **own})
        self.child = child
        self.seen = ""

    def until(self, text: str, seconds: float = 60.0) -> str:
        """What is shown up to a text that must come."""
        deadline = time.monotonic() + seconds
        while text not in plain(self.seen):
            ready, _, _ = select.select([self.ends], [], [], 0.1)
            if ready:
                self.seen += os.read(self.ends, 65_536).decode(errors="replace")
            assert time.monotonic() < deadline, f"{text!r} isn't in {plain(self.seen)!r}"
        shown = plain(self.seen)
        end = shown.index(text) + len(text)
        self.seen = shown[end:]
        return shown[:end]

    def type(self, text: str) -> None:
        os.write(self.ends, text.encode())

    def end(self, key: str = "") -> int:
        """The exit code, once it has ended; a key that ends it is pressed until it does, for it counts on an empty line."""
        deadline, pressed = time.monotonic() + 60, 0.0
        while time.monotonic() < deadline:
            if key and time.monotonic() - pressed > 1:
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    self.type(key)
                pressed = time.monotonic()
            done, status = os.waitpid(self.child, os.WNOHANG)
            if done:
                self.child = 0
                return os.waitstatus_to_exitcode(status)
            ready, _, _ = select.select([self.ends], [], [], 0.1)
            if ready:
                try:
                    os.read(self.ends, 65_536)
                except OSError:  # the other end is closed
                    key = ""
                    time.sleep(0.05)
        raise AssertionError("it doesn't end")

    def close(self) -> None:
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
        os.close(self.ends)


def plain(shown: str) -> str:
    return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>]|\][^\x07]*\x07)", "", shown).replace("\r", "")


@pytest.fixture
def terminal(closed: Path, tmp_path: Path) -> Iterator[Callable[[], Terminal]]:
    opened: list[Terminal] = []

    def start() -> Terminal:
        opened.append(Terminal(closed, tmp_path / "state"))
        opened[-1].until("cypher>")
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_the_shell_takes_statements_of_many_lines_keeps_parameters_and_completes(
    terminal: Callable[[], Terminal], tmp_path: Path
) -> None:
    shell = terminal()
    shell.type("MATCH (e:Epis\t) WHERE e.rew\t > $least\rRETURN e.id AS id,\re.critique AS critique;\r")
    shell.until("no value for $least")
    shell.type(":param least 0.7\r")
    shell.until("cypher>")
    shell.type("MATCH (e:Episode) WHERE e.reward > $least RETURN e.id AS id, e.critique AS critique;\r")
    assert re.search(r"e2\s+null", shell.until("1 row") + shell.until(" ms"))
    shell.type(":format jsonl\r")
    shell.until("cypher>")
    shell.type("RETURN 1 AS one;\r")
    shell.until('{"one":1}')
    shell.type(":schema Session\r")
    assert re.search(r"key\s+STRING key", shell.until("agent"))
    shell.type(":tables\r")
    shell.until("Episode → Session")
    shell.type(":nonsense\r")
    shell.until(":help lists them")
    shell.type(":quit\r")
    assert shell.end() == 0
    history = (tmp_path / "state" / "graphsvc" / "cypher_history")
    assert "(e:Episode) WHERE e.reward > $least" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


def test_ctrl_c_stops_the_statement_and_not_the_shell_and_history_comes_back(terminal: Callable[[], Terminal]) -> None:
    shell = terminal()
    shell.type(f"{SLOW};\r")
    time.sleep(2)
    shell.type("\x03")
    shell.until("interrupted")
    shell.until("cypher>")
    shell.type("RETURN 6 * 7 AS answer;\r")
    assert "42" in shell.until("1 row")
    shell.until("cypher>")
    shell.type("half a line\x03")
    shell.until("cypher>")
    assert shell.end("\x04") == 0
    again = terminal()
    again.type("\x1b[A\r")
    assert "42" in again.until("1 row")


def test_completion_knows_tables_columns_keywords_and_functions(filled: Path) -> None:
    with graphsvc.open(filled) as memory:
        schema = memory.schema(counts=False)

    def offered(text: str) -> list[str]:
        return [name for name, _ in completions(text, schema)]

    assert offered("MATCH (e:Epi") == ["Episode"]
    assert offered("MATCH ()-[r:IN_") == ["IN_SESSION"]
    assert offered("MATCH (e:Episode) WHERE e.rew") == ["reward"]
    assert offered("MATCH (s:Session) WHERE s.rew") == []
    assert "RETURN" in offered("MATCH (e) RETU")
    assert "regexp_matches(" in offered("RETURN regexp_m")
    assert offered(":fo") == [":format"]
    assert offered("RETURN $x") == []


def test_values_of_any_type_are_shown(filled: Path, answer: Run, run: Run) -> None:
    statement = (
        "MATCH p = (e:Episode {id: 'e0'})-[r:IN_SESSION]->(s) "
        "RETURN p, r, s, e.at AS at, [1, 2] AS l, {a: 'x'} AS m, true AS t, date('2020-01-02') AS d"
    )
    row: dict[str, Any] = answer("cypher", statement)["rows"][0]
    assert row["s"] == {"label": "Session", "key": "default/s", "properties": {"key": "default/s", "id": "s", "agent": "default"}}
    assert row["r"]["source"] == {"label": "Episode", "key": "default/e0"}
    assert [node["key"] for node in row["p"]["nodes"]] == ["default/e0", "default/s"]
    assert (row["l"], row["m"], row["t"], row["d"]) == ([1, 2], {"a": "x"}, True, "2020-01-02")
    for format in ("table", "csv", "markdown", "jsonl", "json"):
        assert "2020-01-02" in run("cypher", statement, "--format", format, COLUMNS="400").stdout


def test_a_statement_writes_where_it_is_told_to(filled: Path, answer: Run, run: Run, error: Run) -> None:
    assert "--write" in error("cypher", "CREATE NODE TABLE P (id INT64, PRIMARY KEY (id))")["hint"]
    assert run("cypher", "CREATE NODE TABLE P (id INT64, PRIMARY KEY (id))", "--write").stdout.strip() == "done"
    made = answer("cypher", "CREATE (p:P {id: $i}) RETURN p.id AS id", "--write", "-p", "i=3")
    assert (made["columns"], made["rows"], made["more"]) == (["id"], [{"id": 3}], False)
    assert run("cypher", "CREATE (:P {id: 4})", "--write", "--format", "csv").stdout == ""
    assert answer("cypher", "MATCH (p:P) RETURN count(*) AS n")["rows"] == [{"n": 2}]


def test_the_shell_writes_once_it_is_told_to(terminal: Callable[[], Terminal]) -> None:
    shell = terminal()
    shell.type("CREATE NODE TABLE P (id INT64, PRIMARY KEY (id));\r")
    shell.until("write=True")
    shell.type(":write on\r")
    shell.until("(write)>")
    shell.type("CREATE NODE TABLE P (id INT64, PRIMARY KEY (id));\r")
    shell.until("done")
    shell.type("CREATE (p:P {id: 7}) RETURN p.id AS id;\r")
    shell.until("1 row")
    shell.type(":write off\r")
    shell.type("MATCH (p:P) RETURN p.id * 6 AS answer;\r")
    assert "42" in shell.until("1 row")
    assert shell.end("\x04") == 0


@pytest.mark.parametrize("format", ["csv", "jsonl", "markdown"])
def test_a_text_comes_out_as_it_is(run: Run, path: Path, format: str) -> None:
    graphsvc.open(path, embedder="hashing").close()
    text = "a\tb\x0bc\x08d"
    out = run("cypher", "UNWIND [$x] AS x RETURN x", "--param", f"x={json.dumps(text)}", "--format", format).stdout
    assert (json.loads(out)["x"] == text) if format == "jsonl" else (text in out)
