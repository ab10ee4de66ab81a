"""The second act of the demonstration: the call graph of Python's standard library, explored and drawn.

`graphsvc demo calls` shows it, on the memory that `graphsvc demo kill` made, or on one of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphsvc.demo import MARK, MODULES, make
from graphsvc.errors import BadInput, MissingExtra
from graphsvc.memory.importing import import_python
from graphsvc.memory.memory import Memory, open_memory
from graphsvc.memory.scores import Scores
from graphsvc.model.names import parts_of

CALLS: dict[str, Any] = {"tables": "Skill", "rel": "CALLS"}
"""The part of the graph that this is about."""
DRAWN, MEMBERS = 6, 9
"""Communities in the picture, and functions of each."""
CANDIDATES = 30
LABEL = 25
"""The longest name in the picture, in characters."""
WIDE, HIGH = 10.0, 5.8
"""From the middle of a ring to that of the next."""
INK, PAPER = "#222222", "#ffffff"
COLOURS = ("#3366aa", "#cc5544", "#338855", "#8855aa", "#bb7722", "#227788")


@dataclass(slots=True)
class Explored:
    """What was found.

    Attributes:
        functions, calls: how many. called: functions by how many others call them. central: by PageRank.
        callers: of the most called one. way: functions on the way from the one that reaches most to the farthest.
        communities: their functions, the most central first. pictures: files written.
    """

    functions: int = 0
    calls: int = 0
    called: list[tuple[str, float]] = field(default_factory=list)
    central: list[tuple[str, float]] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)
    way: list[str] = field(default_factory=list)
    communities: list[list[str]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)


def explore(directory: Path, picture: Path | None, *, tell: Callable[[str], None]) -> Explored:
    """Walk the call graph of the skills in a demonstration's memory.

    Args:
        directory: of the memory; where there is none, one is made of the standard library's functions.
        picture: written as `.svg` and `.png` under this name; None for no picture.
        tell: gets each step in words.

    Raises:
        BadInput: something else is in the directory. MissingExtra: matplotlib isn't installed.
    """
    if picture is not None:
        _drawing()  # before anything is done in vain
    if not (directory / MARK).exists():
        make(directory, "hashing")
    with open_memory(directory, create=False) as memory:
        if not memory.skills.count():
            report = import_python(memory, MODULES)
            tell(f"{report.stored:,} functions of Python's standard library, {report.links:,} calls between them.")
        found, groups, ranks = _found(memory)
        if picture is not None:
            found.pictures = draw(memory, groups, ranks, picture)
    return found


def _found(memory: Memory) -> tuple[Explored, Scores, Scores]:
    graph = memory.graph
    found = Explored()
    called, ranks = graph.degree(direction="in", **CALLS), graph.pagerank(**CALLS)
    groups = graph.communities(**CALLS)
    found.functions, found.calls = len(called), int(called.values.sum())
    found.called, found.central = _named(called.top(5)), _named(ranks.top(5))
    if found.calls:
        (most, _), *_ = found.called
        found.callers = [node.id for node in graph.neighbours(("Skill", most), rel="CALLS", direction="in")]
        (first, _), *_ = _named(graph.closeness(direction="out", **CALLS).top(1))
        reached = graph.neighbours(("Skill", first), rel="CALLS", direction="out", depth=64)
        way = graph.shortest_path(("Skill", first), reached[-1], rel="CALLS", direction="out")
        found.way = [parts_of(node.key)[1] for node in way.nodes] if way else []
    found.communities = [_members(group, ranks, 5) for group in groups.groups()[:DRAWN]]
    return found, groups, ranks


def _named(scores: Scores) -> list[tuple[str, float]]:
    return [(parts_of(key)[1], float(value)) for _, key, value in scores]


def _members(group: Sequence[Any], ranks: Scores, most: int) -> list[str]:
    """Functions of a community, the most central first."""
    rank = ranks.by_node()
    return [parts_of(end.key)[1] for end in sorted(group, key=lambda end: (-rank[end], end))[:most]]


# --- the picture --------------------------------------------------------------------------------------


def draw(memory: Memory, groups: Scores, ranks: Scores, path: Path) -> list[str]:
    """Draw the largest communities, each a ring of its most central functions; gives the files written.

    The size of a dot is its PageRank, an arrow leads from a function to one that it calls.
    """
    figure_of = _drawing()
    rings = [_ring(memory, _members(group, ranks, CANDIDATES)) for group in groups.groups()[:DRAWN]]
    size = dict(_named(ranks))
    figure = figure_of(figsize=(18, 11), facecolor=PAPER)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.92))
    axes.set_axis_off()
    axes.set_xlim(-WIDE / 2 - 0.2, 2.5 * WIDE + 0.2)
    axes.set_ylim(-2.7 - HIGH, 3.1)
    figure.text(0.015, 0.965, "Who calls whom in Python's standard library", size=20, color=INK, va="center")
    said = f"the {len(rings)} largest communities; a dot's size is its PageRank"
    figure.text(0.985, 0.965, said, size=12, color=INK, va="center", ha="right")
    place = _places(rings)
    for number, ring in enumerate(rings):
        _draw_ring(axes, number, ring, place, size)
    part = memory.graph.subgraph([("Skill", name) for name in place], depth=0, rel="CALLS")
    for edge in part.edges:
        a, b = (parts_of(end.key)[1] for end in (edge.source, edge.target))
        if a != b:
            axes.annotate(
                "", place[b], place[a], zorder=1,
                arrowprops={"arrowstyle": "-|>", "color": "#999999", "lw": 0.8, "shrinkA": 7, "shrinkB": 7,
                            "connectionstyle": "arc3,rad=0.12"},
            )  # fmt: skip
    written = [path.with_suffix(ending) for ending in (".svg", ".png")]
    for file in written:
        figure.savefig(file, facecolor=PAPER, dpi=120)
    return [str(file) for file in written]


def _ring(memory: Memory, names: Sequence[str]) -> list[str]:
    """The most central functions that are joined with others in the picture."""
    chosen = list(names)
    for most in (len(chosen), MEMBERS):
        chosen = chosen[:most]
        if not chosen:
            break
        edges = memory.graph.subgraph([("Skill", name) for name in chosen], depth=0, rel="CALLS").edges
        joined = {parts_of(end.key)[1] for e in edges if e.source != e.target for end in (e.source, e.target)}
        chosen = [name for name in chosen if name in joined]
    return chosen


def _places(rings: Sequence[Sequence[str]]) -> dict[str, tuple[float, float]]:
    """Where each function stands: rings in two rows of three."""
    found: dict[str, tuple[float, float]] = {}
    for number, ring in enumerate(rings):
        x, y = number % 3 * WIDE, number // 3 * -HIGH
        for at, name in enumerate(ring):
            angle = math.tau * (at + 0.5) / len(ring) + math.pi / 2
            found[name] = (x + 1.55 * math.cos(angle), y + 1.75 * math.sin(angle))
    return found


def _draw_ring(axes: Any, number: int, ring: Sequence[str], place: dict[str, Any], size: dict[str, float]) -> None:
    colour = COLOURS[number % len(COLOURS)]
    middle = number % 3 * WIDE
    modules = list(dict.fromkeys(name.partition(".")[0] for name in ring))
    title = ", ".join(modules[:3]) + (", …" if len(modules) > 3 else "")
    axes.text(middle, number // 3 * -HIGH + 2.55, title, size=15, color=colour, ha="center", va="center", weight="bold")
    for name in ring:
        x, y = place[name]
        axes.scatter([x], [y], s=60 + 60_000 * size[name], color=colour, zorder=2, edgecolors=PAPER, linewidths=1)
        left = x < middle
        axes.text(
            x + (-0.36 if left else 0.36), y, _label(name), size=10, color=INK, va="center", zorder=3,
            ha="right" if left else "left",
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
        )  # fmt: skip


def _label(name: str) -> str:
    """The end of a function's name, as much of it as there is room for."""
    parts = name.split(".")
    label = next((end for end in (".".join(parts[-2:]), parts[-1]) if len(end) <= LABEL), parts[-1])
    return label if len(label) <= LABEL else "…" + label[1 - LABEL :]


def _drawing() -> Callable[..., Any]:
    """What makes a figure, without a screen."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        hint = "Install it: pip install 'graphsvc[plot]'."
        raise MissingExtra("matplotlib isn't installed", where="picture", hint=hint) from None

    def made(**options: Any) -> Any:
        figure = Figure(**options)
        FigureCanvasAgg(figure)
        return figure

    return made


def check_picture(path: Path | None) -> Path | None:
    """A name for the pictures. Raises BadInput if its directory isn't there."""
    if path is not None and not path.parent.is_dir():
        raise BadInput("its directory isn't there", where=str(path))
    return path
