"""`graphsvc demo`: be killed and lose nothing; and, in `trial.py`, whether a memory helps an agent."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from graphsvc.cli.output import Answer, fields, line, size, table
from graphsvc.cli.records import printed
from graphsvc.cli.shell import Shell, behind, command
from graphsvc.cli.trial import learn
from graphsvc.errors import GraphsvcError

if TYPE_CHECKING:
    from graphsvc.calls import Explored
    from graphsvc.demo import Shown
    from graphsvc.memory.memory import Memory

SAY_EVERY = 10.0
"""Seconds between two words on the progress where there is no terminal for a bar."""


class Demonstrations(TyperGroup):
    """The first of them is meant where none is named: `graphsvc demo` is `graphsvc demo kill`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put its name in."""
        named = args and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named else ["kill", *args])


demo = typer.Typer(
    cls=Demonstrations,
    help="What it does, shown on real data; `graphsvc demo` alone is `demo kill`.",
    epilog="Example: graphsvc demo --directory ./demo-memory",
)
command(demo, "learn", example="graphsvc demo learn --seed 101 --plot learnt.svg")(learn)


@command(demo, "kill", example="graphsvc demo kill --directory ./demo-memory")
def kill(
    shell: Shell,
    directory: Annotated[
        Path, typer.Option(help="For the memory; an earlier demonstration there is removed.")
    ] = Path("demo-memory"),
    embedder: Annotated[str, typer.Option(help="Embedding model.")] = "minilm",
    workers: Annotated[int, typer.Option(min=0, help="Processes that embed.")] = 2,
) -> Answer:
    """Import the runs of a small agent and 1,000 functions of Python's standard library, be killed on the way, show
    that nothing is lost, and answer. Takes some minutes with minilm, which embeds all the texts.
    """
    from graphsvc.config import resource
    from graphsvc.demo import show, summary

    begun = time.monotonic()
    shown = show(
        directory, resource("datasets", "episodes.jsonl"), embedder, workers=workers, tell=shell.tell,
        watch=lambda memory, what: watched(shell, memory, what),
    )  # fmt: skip
    shown.seconds["all of it"] = time.monotonic() - begun
    return Answer(summary(shown), printed(*_view(shown, directory)))


@command(demo, "calls", example="graphsvc demo calls --picture calls")
def calls(
    shell: Shell,
    directory: Annotated[
        Path, typer.Option(help="Of a demonstration's memory; made anew if there is none.")
    ] = Path("demo-memory"),
    picture: Annotated[Path | None, typer.Option(help="Draw it under this name, as .svg and as .png.")] = None,
) -> Answer:
    """Explore who calls whom in Python's standard library: what is called most, the longest way, communities, a
    picture.
    """
    import msgspec

    from graphsvc.calls import check_picture, explore

    found = explore(directory, check_picture(picture), tell=shell.tell)
    return Answer(msgspec.to_builtins(found), printed(*_calls(found)))


def _calls(found: Explored) -> list[Any]:
    communities = ((number, ", ".join(group)) for number, group in enumerate(found.communities))
    parts: list[Any] = [
        table("Called by most others", ("function", "callers"), found.called, whole=("function",)),
        fields({"its callers": ", ".join(found.callers), "the longest way": " → ".join(found.way)}),
        table("Most central, by PageRank", ("function", "pagerank"), found.central, whole=("function",)),
        table(f"Communities of {found.functions:,} functions", ("community", "most central"), communities),
    ]
    return [*parts, *(f"Drawn: {path}" for path in found.pictures)]


@contextlib.contextmanager
def watched(shell: Shell, memory: Memory, what: str) -> Iterator[None]:
    """A bar, or where there is no terminal a line now and then."""
    if shell.shows_progress or shell.json:
        with shell.watching(memory, what):
            yield
        return
    done = threading.Event()
    teller = threading.Thread(target=_tell, args=(shell, memory, what, done), daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _tell(shell: Shell, memory: Memory, what: str, done: threading.Event) -> None:
    while not done.wait(SAY_EVERY):
        with contextlib.suppress(GraphsvcError):
            left = behind(memory)["vectors"]
            shell.tell(f"  {what}: {left:,} texts to embed" if left else f"  {what} …")


def _view(shown: Shown, directory: Path) -> list[Any]:
    parts: list[Any] = []
    for query, episodes in shown.found_episodes.items():
        rows = (
            (f"{hit.score:.2f}", line(hit.episode.task), hit.episode.reward, line(hit.episode.critique or "", 400))
            for hit in episodes
        )
        parts.append(table(f"Failed attempts most like: {query}", ("score", "task", "reward", "critique"), rows))
    for query, skills in shown.found_skills.items():
        rows_ = ((f"{hit.score:.2f}", hit.skill.id, line(hit.skill.description)) for hit in skills)
        parts.append(table(f"Skills for: {query}", ("score", "skill", "description"), rows_, whole=("skill",)))
    counts = {
        "episodes": f"{shown.episodes:,}", "skills": f"{shown.skills:,}", "links between skills": f"{shown.links:,}",
        "acknowledged before the kill": f"{shown.acknowledged:,}", "missing after it": f"{shown.missing:,}",
    }  # fmt: skip
    times = {name: f"{seconds:,.1f} s" if seconds >= 1 else f"{1000 * seconds:,.0f} ms"
             for name, seconds in shown.seconds.items()}  # fmt: skip
    sizes = {"the log and the records": size(shown.bytes["memory.sqlite"]), "all of it": size(shown.bytes["total"])}
    parts += [fields(counts, "What is there"), "", fields(times, "Times"), "", fields(sizes, "On disk")]
    parts += ["", f"Try it: graphsvc recall 'parse a date' --memory {directory}"]
    return parts
