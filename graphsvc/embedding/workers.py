"""Embedding processes beside this one: each loads the model once and computes what it is sent.

A worker is a fresh interpreter, never a fork and never multiprocessing's spawn, which would run the user's
main script again. They talk over a socket; when this process ends, however it ends, the worker reads the end of
the socket and ends too.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from graphsvc.embedding.forms import child_environment
from graphsvc.embedding.runtimes import FormDamaged, RuntimeSpec, build
from graphsvc.embedding.vectors import Embedded
from graphsvc.errors import Closed, EmbeddingFailed, GraphsvcError

log = logging.getLogger(__name__)

ATTEMPTS = 2
"""A batch whose worker died is tried once more; if that one dies too, the batch is to blame."""

ANSWER_LIMIT = 300.0
"""Seconds for one answer, loading included. A worker that takes longer is ended and counts as dead."""


class WorkerRuntime:
    """A runtime that computes in a process of its own. A dead process is replaced."""

    def __init__(self, spec: RuntimeSpec) -> None:
        self.name = spec.kind
        self._spec = spec
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._retrying(self._start)

    @property
    def pid(self) -> int | None:
        """The worker's process."""
        return self._process.pid if self._process else None

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The unit vectors of one batch.

        Raises:
            EmbeddingFailed: the model failed, or the worker died twice over these texts.
        """

        def attempt() -> Embedded:
            if self._process is None:
                self._start()
            assert self._connection is not None
            self._connection.send(list(texts))
            answer = self._answer()
            assert isinstance(answer, Embedded)
            return answer

        answer: Embedded = self._retrying(attempt)
        return answer

    def close(self) -> None:
        """End the process. From any thread; an `embed` that waits raises `Closed`."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()  # it holds nothing that could be lost
            process.wait()

    def after_fork(self) -> None:
        """In a forked child: let go of the socket, else the worker would outlive the parent."""
        if self._connection is not None:
            self._connection.close()

    def _retrying(self, work: Any) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return work()
            except (EOFError, OSError) as error:
                code = self._bury()
                if self._closed:
                    raise Closed("closed while texts were embedded") from error
                log.warning("an embedding worker ended, exit code %s, attempt %d/%d", code, attempt, ATTEMPTS)
                if attempt == ATTEMPTS:
                    raise EmbeddingFailed(
                        f"the embedding worker ended {ATTEMPTS} times in a row, last with exit code {code}",
                        where=self.name,
                    ) from error
        raise AssertionError("unreachable")

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "graphsvc.embedding.workers", str(theirs.fileno())],
                env=child_environment(self._spec.threads),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()  # else the end of the worker wouldn't be the end of the socket
        self._connection = Connection(ours.detach())
        self._connection.send(self._spec)
        self._answer()
        if self._closed:
            raise EOFError("closed meanwhile")

    def _answer(self) -> Any:
        assert self._connection is not None
        assert self._process is not None
        began = time.monotonic()
        while not self._connection.poll(1.0):
            if time.monotonic() - began > ANSWER_LIMIT:
                self._process.kill()
                raise EOFError(f"no answer in {ANSWER_LIMIT:g} s")
        answer = self._connection.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _bury(self) -> int | None:
        """End what is left of the worker; its exit code."""
        process, self._process = self._process, None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if process is None:
            return None
        process.kill()
        return process.wait()


def main() -> None:
    """Serve one `WorkerRuntime` until it goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that owns this one
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    try:
        runtime = build(connection.recv())
        connection.send("ready")
        while True:
            texts = connection.recv()
            try:
                connection.send(runtime.embed(texts))
            except EmbeddingFailed as error:
                connection.send(error)
    except (EOFError, OSError):
        return  # the owner is gone
    except (GraphsvcError, FormDamaged) as error:
        connection.send(error)
    except Exception as error:  # one of another library's may not survive pickling
        connection.send(EmbeddingFailed(f"embedding failed: {type(error).__name__}: {error}"))


if __name__ == "__main__":
    main()
