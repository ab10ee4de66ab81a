"""A second process on one directory: it uses the memory through the one that owns it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphsvc
from graphsvc.errors import (
    BadInput,
    Closed,
    EmbeddingMismatch,
    Forked,
    InUse,
    NeedsUnbound,
    NotFound,
    Unavailable,
    Unsupported,
)
from graphsvc.service.sharing import user_of

from .conftest import serving
from .test_contract import owning

GOOD: dict[str, Any] = {"session": "s", "task": "t"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
def owner(directory: Path) -> Iterator[subprocess.Popen[str]]:
    with owning(directory) as process:
        yield process


def run(program: str, *arguments: str) -> str:
    """Run a program in a process of its own; what it prints."""
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_second_process_attaches_and_both_see_what_either_writes(directory: Path) -> None:
    with graphsvc.open(directory, embedder="hashing") as memory:
        assert not memory.attached
        memory.episodes.store(**GOOD, id="ours")
        said = run(
            """
            import sys, graphsvc
            with graphsvc.open(sys.argv[1], embedder="hashing") as memory:
                memory.episodes.store(session="s", task="theirs", id="theirs", wait="graph")
                print(memory.attached, memory.episodes.count(), str(memory.path) == sys.argv[1])
            """,
            str(directory),
        )
        assert said.split() == ["True", "2", "True"]
        assert memory.episodes.get("theirs").task == "theirs"
    with graphsvc.open(directory) as memory:
        assert [one.id for one in memory.episodes.list(order="id")] == ["ours", "theirs"]


def test_nothing_of_the_service_is_loaded_until_somebody_connects(directory: Path) -> None:
    said = run(
        """
        import subprocess, sys, graphsvc
        names = ("starlette", "uvicorn", "httpx")
        with graphsvc.open(sys.argv[1], embedder="hashing"):
            print([name in sys.modules for name in names])
            other = "import sys, graphsvc; graphsvc.open(sys.argv[1]).close()"
            subprocess.run([sys.executable, "-c", other, sys.argv[1]], check=True)
            print([name in sys.modules for name in names[:2]])
        """,
        str(directory),
    )
    assert said.splitlines() == ["[False, False, False]", "[True, True]"]


@pytest.mark.usefixtures("owner")
def test_a_handle_may_be_bound_and_is_held_to_it(directory: Path) -> None:
    with graphsvc.open(directory, agent="a", shared=["b"]) as memory:
        memory.episodes.store(**GOOD, id="e")
        assert (memory.attached, memory.agent, memory.episodes.get("e").agent) == (True, "a", "a")
        with pytest.raises(NeedsUnbound):
            memory.cypher("RETURN 1")
        with pytest.raises(BadInput, match="doesn't see"):
            memory.as_agent("c")
        with pytest.raises(NotFound):
            memory.as_agent("b").episodes.get("e")
    with graphsvc.open(directory) as memory, pytest.raises(NotFound):
        memory.as_agent("b").episodes.get("e")


@pytest.mark.usefixtures("owner")
def test_other_settings_than_the_owners_are_refused(directory: Path) -> None:
    with graphsvc.open(directory, embedder="hashing", engine="kuzu", queue_limit=10_000) as memory:
        assert memory.attached
    with pytest.raises(BadInput, match="open already"):
        graphsvc.open(directory, read_wait=9.0)
    with pytest.raises(BadInput):
        graphsvc.open(directory, engine="ladybug")
    with pytest.raises(EmbeddingMismatch):
        graphsvc.open(directory, embedder="minilm")
    with pytest.raises(Unsupported, match="function"):
        graphsvc.open(directory, embedder=lambda texts: np.zeros((len(texts), 8)))


def test_who_does_not_share_is_in_use_and_says_so_who_will_not_attach(directory: Path) -> None:
    program = "import sys, graphsvc\ntry: graphsvc.open(sys.argv[1], share=sys.argv[2] == 'y')\nexcept Exception as e: print(e)"
    with graphsvc.open(directory, embedder="hashing", share=False):
        assert not (directory / "graphsvc.sock").exists()
        assert f"[in_use] {directory}: the memory is open in process {os.getpid()}" in run(program, str(directory), "y")
    with graphsvc.open(directory):
        assert "in_use" in run(program, str(directory), "n")


def test_where_the_owner_closes_calls_say_so_and_the_next_opening_owns_it(directory: Path) -> None:
    with owning(directory) as owner:
        memory = graphsvc.open(directory)
        memory.episodes.store(**GOOD, id="e")
        owner.communicate(timeout=30)
        with pytest.raises(Unavailable, match="has closed it") as kept:
            memory.episodes.get("e")
        assert kept.value.retryable
        with pytest.raises(Unavailable):
            memory.episodes.store(**GOOD)
        with graphsvc.open(directory) as again:
            assert not again.attached
            assert again.episodes.count() == 1
    memory.close()
    with pytest.raises(Closed):
        memory.episodes.get("e")


def test_after_kill_9_of_the_owner_the_socket_that_stayed_is_nobodys(directory: Path) -> None:
    with owning(directory) as owner:
        memory = graphsvc.open(directory)
        memory.episodes.store(**GOOD, id="e")
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert (directory / "graphsvc.sock").exists()
        with pytest.raises(Unavailable):
            memory.episodes.get("e")
    with owning(directory), graphsvc.open(directory) as again:
        assert again.attached
        assert again.episodes.get("e").task == "t"
    assert not (directory / "graphsvc.sock").exists()


def test_processes_that_open_at_once_share_one_memory(directory: Path) -> None:
    graphsvc.open(directory, embedder="hashing").close()
    program = """
        import sys, time, graphsvc
        with graphsvc.open(sys.argv[1]) as memory:
            memory.episodes.store(session="s", task=sys.argv[2], id=sys.argv[2])
            print(memory.attached, flush=True)
            sys.stdin.read()
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), str(directory)]
    started = [
        subprocess.Popen([*command, f"e{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    said = [one.stdout.readline() for one in started if one.stdout is not None]
    assert sorted(said) == ["False\n", "True\n", "True\n"]
    for one in sorted(started, key=lambda one: said[started.index(one)], reverse=True):
        one.communicate(timeout=60)
    with graphsvc.open(directory) as memory:
        assert memory.episodes.count() == 3


@pytest.mark.usefixtures("owner")
def test_threads_and_tasks_share_one_attached_handle(directory: Path) -> None:
    with graphsvc.open(directory) as memory:
        threads = [
            threading.Thread(target=lambda n=n: [memory.episodes.store(**GOOD, id=f"e{n}-{i}") for i in range(10)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert memory.episodes.count() == 80

    async def many() -> int:
        async with graphsvc.aopen(directory) as memory:
            assert memory.attached
            await asyncio.gather(*(memory.episodes.store(**GOOD, id=f"a{n}") for n in range(50)))
            return await memory.episodes.count()

    assert asyncio.run(many()) == 130


# --- forked children ----------------------------------------------------------------------------------


def test_a_process_with_thousands_of_files_open_shares_its_memory(directory: Path) -> None:
    attaching = "import sys, graphsvc; memory = graphsvc.open(sys.argv[1]); print(memory.episodes.count()); memory.close()"
    program = f"""
    import os, resource, subprocess, sys, graphsvc

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if most != resource.RLIM_INFINITY else 4096, most))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    memory = graphsvc.open(sys.argv[1], embedder="hashing")
    memory.episodes.store(session="s", task="t")
    subprocess.run([sys.executable, "-c", {attaching!r}, sys.argv[1]], check=True, timeout=60)
    memory.close()
    """
    assert run(program, str(directory)).split() == ["1"]


def test_a_forked_child_attaches_to_its_parent_and_cannot_use_its_handles(directory: Path) -> None:
    program = """
        import os, sys, graphsvc
        from graphsvc.errors import Forked
        memory = graphsvc.open(sys.argv[1], embedder="hashing")
        memory.episodes.store(session="s", task="by the parent")
        memory.wait()  # a child keeps the locks of modules that other threads import when it is forked
        if (child := os.fork()) == 0:
            try:
                memory.episodes.count()
            except Forked:
                with graphsvc.open(sys.argv[1]) as attached:
                    attached.episodes.store(session="s", task="by the child")
                    os._exit(0 if attached.attached else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), memory.episodes.count())
        memory.close()
    """
    assert run(program, str(directory)).split() == ["0", "2"]


@pytest.mark.usefixtures("owner")
def test_an_attached_handle_does_not_outlive_a_fork(directory: Path) -> None:
    with graphsvc.open(directory) as memory:
        if (child := os.fork()) == 0:
            try:
                memory.episodes.count()
            except Forked:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert memory.episodes.count() == 0


CALLER = """
import sys, time, graphsvc
memory = graphsvc.open(sys.argv[1])
memory.episodes.count()
print("attached", flush=True)
sys.stdin.read()
began = time.monotonic()
try:
    memory.episodes.count()
except graphsvc.GraphsvcError as error:
    print(error.code, time.monotonic() - began < 5)
with graphsvc.open(sys.argv[1]) as mine:
    print(mine.attached)
"""


def test_an_idle_child_of_the_owner_keeps_no_caller_waiting_when_that_closes(directory: Path) -> None:
    program = """
        import os, subprocess, sys, time, graphsvc
        memory = graphsvc.open(sys.argv[1], embedder="hashing")
        command = [sys.executable, "-W", "ignore", "-c", sys.argv[2], sys.argv[1]]
        caller = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        caller.stdout.readline()
        if (child := os.fork()) == 0:
            os.close(caller.stdin.fileno())
            time.sleep(60)
            os._exit(0)
        memory.close()
        print(caller.communicate(timeout=30)[0])
        os.kill(child, 9)
    """
    assert run(program, str(directory), CALLER).split() == ["unavailable", "True", "False"]


# --- the socket -----------------------------------------------------------------------------------------


def test_the_socket_is_the_users_alone_and_goes_when_the_memory_is_closed(directory: Path) -> None:
    with graphsvc.open(directory, embedder="hashing"):
        file = directory / "graphsvc.sock"
        deadline = time.monotonic() + 5
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(file.stat().st_mode)
    assert not file.exists()
    assert not any(thread.name == "graphsvc-share" for thread in threading.enumerate())


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the kernel doesn't tell who calls")
def test_the_kernel_says_who_calls() -> None:
    one, other = socket.socketpair()
    with closing(one), closing(other):
        assert user_of(one) == os.getuid()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="takes another user")
def test_another_user_is_sent_away_even_where_the_file_would_let_them(directory: Path) -> None:
    program = """
        import os, socket, sys
        os.setuid(65534)
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(sys.argv[1])
        try:
            caller.sendall(b"GET /call HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            print(caller.recv(100))
        except (BrokenPipeError, ConnectionResetError):
            print(b"")
    """
    with owning(directory), graphsvc.open(directory) as memory:
        assert memory.episodes.count() == 0
        (directory / "graphsvc.sock").chmod(0o666)
        for folder in (directory, *directory.parents):
            if folder.stat().st_uid == 0 and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o055)
        said = run(program, str(directory / "graphsvc.sock"))
    assert said.strip() == "b''"


def test_a_directory_with_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 20) / ("path" * 20)
    with owning(directory), graphsvc.open(directory) as memory:
        assert memory.attached
        assert not (directory / "graphsvc.sock").exists()
        memory.episodes.store(**GOOD)
        place = Path(memory._link.peer.name)  # type: ignore[attr-defined]
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert not place.exists()


# --- beside it ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("owner")
def test_the_command_line_works_beside_an_owner(directory: Path) -> None:
    command = [sys.executable, "-m", "graphsvc"]
    store = [*command, "store", "-m", str(directory), "--session", "s", "--task", "Deploy the API", "--json"]
    subprocess.run(store, check=True, capture_output=True)
    found = subprocess.run(
        [*command, "recall", "deploy", "-m", str(directory), "--json"], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert "Deploy the API" in found.stdout


@pytest.mark.usefixtures("owner")
def test_serving_an_owned_memory_is_an_error_that_names_the_owner(
    directory: Path, owner: subprocess.Popen[str]
) -> None:
    command = [sys.executable, "-m", "graphsvc", "serve", str(directory), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"[in_use] {directory}: the memory is open in process {owner.pid}" in done.stderr.replace("\n", " ")


def test_a_notebook_attaches_to_a_service(directory: Path) -> None:
    with serving(directory) as url, graphsvc.open(directory) as memory, graphsvc.connect(url) as remote:
        memory.episodes.store(**GOOD, id="e")
        assert memory.attached
        assert not remote.attached
        assert remote.episodes.get("e") == memory.episodes.get("e")
        assert remote.id == memory.id


@pytest.mark.usefixtures("owner")
def test_what_works_on_the_memorys_own_files_says_that_it_is_elsewhere(directory: Path) -> None:
    from graphsvc.memory.importing import import_git

    with graphsvc.open(directory) as memory, pytest.raises(Unsupported, match="own files"):
        import_git(memory, Path(__file__).parents[2])


def test_in_use_is_still_what_a_lock_of_a_restore_is(directory: Path) -> None:
    with owning(directory), pytest.raises(InUse):
        graphsvc.migrate(directory, engine="ladybug")
