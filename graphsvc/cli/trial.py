"""`graphsvc demo learn`: the dataset's agent, run live on fresh tasks, with and without what it remembers."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphsvc.cli.output import Answer, safe, table
from graphsvc.cli.shell import Shell
from graphsvc.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

    from graphsvc.memory.memory import Memory

ARMS = {
    "none": "without memory",
    "memory": "with memory",
    "shuffled": "critiques shuffled",
    "answers": "answers looked up",
}
WIDTH = 100
"""Columns of the picture that `--plot` writes."""
BAR = 40


def learn(
    shell: Shell,
    seed: Annotated[int, typer.Option(help="Which fresh tasks; up to 10 were used to make the agent.")] = 101,
    tasks: Annotated[int, typer.Option(min=2, max=960, help="How many.")] = 144,
    attempts: Annotated[int, typer.Option(min=1, max=6, help="Allowed for each task, in every arm.")] = 3,
    embedder: Annotated[str, typer.Option(help="Embedding model.")] = "minilm",
    plot: Annotated[Path | None, typer.Option(help="Write the picture there as SVG too.")] = None,
) -> Answer:
    """Run a small agent on tasks that it has never seen: does its memory help? Takes a minute, more the first time.

    The agent knows nothing but what it is given and what the memory returns. It is tried without memory; with the
    memory of its earlier runs; with one whose critiques are shuffled between episodes; and looking up answers only.
    """
    if plot is not None and plot.suffix.lower() != ".svg":
        raise BadInput("only SVG is written", where="--plot", hint="Name a file that ends in .svg.")
    begun = time.monotonic()
    arms = agent()
    found, count = _run(shell, arms, seed, tasks, embedder)
    data = summary(arms, found, attempts) | {"seed": seed, "episodes": count}
    data["seconds"] = round(time.monotonic() - begun, 1)
    if plot is not None:
        _write(data, plot)
    return Answer(data, lambda screen: _show(data, screen))


def agent() -> Any:
    """The module `smith.arms`, which comes with the dataset."""
    from graphsvc.config import resource

    place = str(resource("datasets"))
    if place not in sys.path:
        sys.path.insert(0, place)
    return importlib.import_module("smith.arms")


def _run(shell: Shell, arms: Any, seed: int, tasks: int, embedder: str) -> tuple[Sequence[Any], int]:
    """What became of each task in every arm, and how many episodes the memory held."""
    from graphsvc.config import resource

    lines = resource("datasets", "episodes.jsonl").read_text(encoding="utf-8").splitlines()
    episodes = [json.loads(line) for line in lines]
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="graphsvc-learn-")))
        shell.tell(f"A memory of {len(episodes):,} attempts that the agent made at other tasks, and why they failed.")
        real = _filled(shell, stack, place / "memory", episodes, embedder)
        shell.tell("Another, each critique exchanged for that of another failure.")
        other = _filled(shell, stack, place / "shuffled", arms.shuffled(episodes, arms.SHUFFLES[0]), embedder)
        shell.tell(f"\n{tasks} fresh tasks of the same families, drawn with seed {seed}, in four arms.")
        recalls = arms.recalling(real.episodes.retrieve), arms.recalling(other.episodes.retrieve)
        through: list[str] = []
        with shell.bar("Trying") as show:

            def done(arm: str) -> None:
                through.append(arm)
                show(len(through) / len(ARMS), ARMS[arm])

            return arms.face(seed, tasks, *recalls, done=done), len(episodes)


def _filled(shell: Shell, stack: ExitStack, path: Path, episodes: Sequence[Any], embedder: str) -> Memory:
    from graphsvc.memory.memory import open_memory

    memory = stack.enter_context(open_memory(path, embedder=embedder))
    memory.episodes.store_many(episodes)
    with shell.watching(memory, "Embedding"):
        memory.wait(timeout=3_600.0)
    return memory


def summary(arms: Any, found: Sequence[Any], attempts: int) -> dict[str, Any]:
    """Shares solved by arm and attempts allowed, and how far memory is ahead, with paired 95 % intervals."""
    solved = {
        arm: [round(arms.share(found, arm, allowed), 4) for allowed in range(1, arms.BUDGET + 1)] for arm in ARMS
    }
    ahead = {}
    for other in ("none", "shuffled", "answers"):
        gain, low, high = arms.advantage(found, other, attempts)
        ahead[other] = {"difference": round(gain, 4), "low": round(low, 4), "high": round(high, 4)}
    return {
        "tasks": len(found), "attempts": attempts, "solved": {arm: solved[arm][attempts - 1] for arm in ARMS},
        "solved_by_attempts": solved, "memory_ahead_of": ahead,
    }  # fmt: skip


def _show(data: Mapping[str, Any], screen: Console) -> None:
    """Bars of what was solved, the differences, and how that grows with the attempts allowed."""
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    title = f"Tasks solved within {data['attempts']} attempts, of {data['tasks']} that no memory has seen"
    bars = Table(title=Text(title, no_wrap=True, overflow="ignore"), title_justify="left", box=None, show_header=False,
                 pad_edge=False)  # fmt: skip
    for arm, name in ARMS.items():
        share = data["solved"][arm]
        bars.add_row(Text(name), Bar(1.0, 0.0, share, width=BAR, color="green" if arm == "memory" else "blue"),
                     Text(f"{share:.0%}"))  # fmt: skip
    screen.print(bars)
    screen.print()
    rows = (
        (ARMS[other], f"{one['difference']:+.1%}", f"{one['low']:+.1%} to {one['high']:+.1%}")
        for other, one in data["memory_ahead_of"].items()
    )
    screen.print(table("Memory is ahead of", ("arm", "by", "paired 95 % interval"), rows))
    most = len(data["solved_by_attempts"]["none"])
    by_attempts = ((ARMS[arm], *(f"{share:.0%}" for share in row)) for arm, row in data["solved_by_attempts"].items())
    screen.print(table("Solved, by attempts allowed", ("arm", *map(str, range(1, most + 1))), by_attempts))


def _write(data: Mapping[str, Any], plot: Path) -> None:
    """The picture as SVG."""
    import io

    from rich.console import Console

    paper = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, markup=False, highlight=False)
    _show(data, paper)
    try:
        paper.save_svg(str(plot), title=safe(f"graphsvc demo learn --seed {data['seed']}"))
    except OSError as error:
        raise BadInput(f"can't be written: {error.strerror}", where=str(plot)) from None
