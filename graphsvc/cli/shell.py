"""How a command is called and how it ends: common options, errors, exit codes, progress.

Exit codes: 0 done; 1 an error; 2 wrong usage (an option, an argument, a command); 3 `verify`, `repair` or `doctor`
found something wrong; 130 interrupted by Ctrl-C; 143 ended by SIGTERM.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_args

import typer
from typer.models import ParameterInfo

from graphsvc.cli import INTERRUPTED, TERMINATED, Terminated
from graphsvc.cli.output import Answer, as_json, console, safe
from graphsvc.errors import AnswerLost, BadInput, GraphsvcError

if TYPE_CHECKING:
    from rich.progress import Progress

    from graphsvc.memory.memory import Memory

FAILED, PROBLEMS = 1, 3
POLL_SECONDS = 0.3
PATIENCE_SECONDS = 0.5
"""What takes no longer needs no bar."""

MEMORY = Annotated[
    Path,
    typer.Option(
        "--memory", "-m", envvar="GRAPHSVC_MEMORY", help="The memory's directory.", show_envvar=True
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="Answer with one JSON document; errors too, on standard error.")]
DEBUG = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]


def _common(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


COMMON = (_common("memory", MEMORY, Path("memory")), _common("json", JSON, False), _common("debug", DEBUG, False))
"""Options that every command takes."""


class Shell:
    """What a command knows of how it was called, and how it speaks."""

    def __init__(self, memory: Path, *, json: bool, debug: bool) -> None:
        self.directory = memory
        self.json = json
        self.debug = debug

    def open(self, **settings: Any) -> Memory:
        """The memory of this call, opened; it must exist."""
        import graphsvc

        return graphsvc.open(self.directory, create=settings.pop("create", False), **settings)

    def tell(self, text: str) -> None:
        """Say something before the answer: to people only."""
        if not self.json:
            with _answering():
                console().print(safe(text))
                sys.stdout.flush()

    @property
    def shows_progress(self) -> bool:
        """Whether somebody is looking."""
        return not self.json and sys.stderr.isatty()

    @contextlib.contextmanager
    def bar(self, what: str) -> Iterator[Callable[[float | None, str], None]]:
        """A progress bar on standard error; call what it gives with the share done and a word on it."""
        if not self.shows_progress:
            yield lambda share, text: None
            return
        with _progress() as progress:
            task = progress.add_task(what, total=None, note="")

            def show(share: float | None, note: str) -> None:
                progress.update(task, total=None if share is None else 1.0, completed=share or 0.0, note=safe(note))

            yield show

    @contextlib.contextmanager
    def watching(self, memory: Memory, what: str) -> Iterator[None]:
        """A bar that follows how far graph, text and vectors are behind, while something else works or waits."""
        if not self.shows_progress:
            yield
            return
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(memory, what, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _watch(self, memory: Memory, what: str, done: threading.Event) -> None:
        if done.wait(PATIENCE_SECONDS):
            return
        most = 0
        with self.bar(what) as show:
            while not done.wait(POLL_SECONDS):
                left = {}
                with contextlib.suppress(Exception):  # it is closing, or its parts are being rebuilt
                    left = behind(memory)
                total = sum(left.values())
                most = max(most, total)
                note = ", ".join(f"{name} {count:,}" for name, count in left.items() if count)
                show(1 - total / most if most else None, note)

    @contextlib.contextmanager
    def asking(self, *, wait: bool = False) -> Iterator[Memory]:
        """The memory, opened for a question, which may have to wait for the model or, if asked, for everything."""
        with self.open() as memory, self.watching(memory, "Looking"):
            if wait:
                memory.progress(lambda lag: None)
            yield memory

    # --- how a command ends ----------------------------------------------------------------------------------

    def run(self, command: Callable[..., Answer], values: dict[str, Any]) -> NoReturn:
        """Run a command and end with its exit code."""
        try:
            with self._listening():
                answer = command(self, **values)
            self._show(answer)
            code = answer.code
        except GraphsvcError as error:
            code = self._fail(error.as_dict(), str(error))
        except (KeyboardInterrupt, MemoryError) as error:
            code, name, what = _ending(error)
            text = f"[{name}] {what}. What was acknowledged is safe."
            self._fail({"code": name, "what": what}, text)
        except BrokenPipeError:
            _silence(1)  # who read our output has gone
            code = FAILED
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if hasattr(error, "exit_code") and hasattr(error, "format_message"):
                raise  # a wrong option, which Typer reports
            code = self._unexpected(error)
        raise typer.Exit(code)

    def _show(self, answer: Answer) -> None:
        with _answering():
            if self.json:
                sys.stdout.flush()
                sys.stdout.buffer.write(as_json(answer.data, indent=sys.stdout.isatty()))
                sys.stdout.buffer.flush()
            else:
                answer.view(console())
                sys.stdout.flush()

    def _fail(self, error: dict[str, Any], text: str) -> int:
        if self.debug:
            import traceback

            traceback.print_exc()
        complain(error, text, json=self.json)
        return FAILED

    def _unexpected(self, error: Exception) -> int:
        what = f"{type(error).__name__}: {error}"
        hint = "" if self.debug else "Run it again with --debug for the trace, and report it."
        text = f"[unexpected] {what}. {hint}".strip()
        return self._fail({"code": "unexpected", "what": what, "hint": hint}, text)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """What the memory warns of while it works goes to standard error, a line each."""
        logger = logging.getLogger("graphsvc")
        before = logger.handlers, logger.propagate
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # graphsvc's own are in its log too; others' are for developers
            logger.handlers, logger.propagate = [_Warnings(json=self.json)], False
            try:
                yield
            finally:
                logger.handlers, logger.propagate = before


class _Warnings(logging.Handler):
    def __init__(self, *, json: bool) -> None:
        super().__init__(logging.WARNING)
        self._json = json

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        with _complaining():
            if self._json:
                sys.stderr.buffer.write(as_json({"warning": {"what": text}}))
                sys.stderr.flush()
            else:
                console(error=True).print(f"warning: {safe(text)}", style="yellow")


def complain(error: dict[str, Any], text: str, *, json: bool) -> None:
    """An error on standard error: a JSON document, or a line."""
    with _complaining():
        if json:
            whole = {"code": "", "what": "", "where": "", "hint": "", "retryable": False, **error}
            sys.stderr.flush()
            sys.stderr.buffer.write(as_json({"error": whole}))
            sys.stderr.flush()
        else:
            console(error=True).print(f"error {safe(text)}", style="red", soft_wrap=True)


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """Write to standard output. Raises AnswerLost, or BrokenPipeError where a reader has had enough."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _silence(1)
        raise AnswerLost(f"the answer can't be written ({error.strerror})", where="standard output") from error


@contextlib.contextmanager
def _complaining() -> Iterator[None]:
    """Write to standard error, or, where that can't be, go on: the exit code still tells."""
    try:
        yield
    except OSError:
        _silence(2)


def _silence(descriptor: int) -> None:
    """Nothing may be written there any more, also not what is still buffered when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def unwritten(error: OSError, *, json: bool) -> int:
    """Report that a help text can't be written; the exit code."""
    try:
        with _answering():
            raise error
    except AnswerLost as lost:
        complain(lost.as_dict(), str(lost), json=json)
    return FAILED


def _ending(error: BaseException) -> tuple[int, str, str]:
    """Exit code, error code and words for what ends a command from outside."""
    if isinstance(error, Terminated):
        return TERMINATED, "terminated", "ended by SIGTERM"
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted", "interrupted"
    return FAILED, "out_of_memory", "out of memory"


def _progress() -> Progress:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[note]}", markup=False), TimeElapsedColumn(),
        console=console(error=True), transient=True,
    )  # fmt: skip


def behind(memory: Memory) -> dict[str, int]:
    """How much graph and text (entries of the log) and vectors (records) have yet to do."""
    status = memory.status()
    return {**{name: status["lag"][name] for name in ("graph", "text")}, "vectors": status["pending"]}


def command(
    app: typer.Typer, name: str, *, example: str, panel: str | None = None
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Make a function a command: it gets the Shell, then its own options, and gives an Answer.

    Args:
        app: where it belongs. name: of the command. example: a line that works, shown under its help.
        panel: heading under which the help lists it.
    """

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        signature = inspect.signature(function, eval_str=True)
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in list(signature.parameters.values())[1:]
        ]
        add(app, name, function, own, example=example, panel=panel)
        return function

    return register


def add(
    app: typer.Typer,
    name: str,
    function: Callable[..., Answer],
    own: list[inspect.Parameter],
    *,
    example: str,
    panel: str | None = None,
) -> None:
    """Make a function a command whose options are these and the common ones."""

    def run(**values: Any) -> None:
        shell = Shell(values.pop("memory"), json=values.pop("json"), debug=values.pop("debug"))
        shell.run(function, values)

    parameters = [*own, *COMMON]
    for info in (part for parameter in parameters for part in get_args(parameter.annotation)):
        if isinstance(info, ParameterInfo):
            info.readable = False  # whether a path can be read we say ourselves, with what to do
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__doc__ = function.__doc__
    # In epilogues Rich reads brackets as markup.
    epilog = f"Example: {example}".replace("[", "\\[")
    app.command(name, epilog=epilog, rich_help_panel=panel)(run)


def parsed(text: str | None, where: str, example: str) -> Any:
    """What an option's JSON text says; None if it isn't given.

    Raises:
        BadInput: it isn't JSON, or no object.
    """
    if text is None:
        return None
    import json

    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"is not JSON: {error}", where=where, hint=f"Write it like {example}.") from None
    if not isinstance(value, dict):
        raise BadInput(f"expected a JSON object, got {text[:40]!r}", where=where, hint=f"Write it like {example}.")
    return value
