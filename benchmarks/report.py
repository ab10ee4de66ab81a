"""The table: to the terminal, and as Markdown into README.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.run import Outcome
from benchmarks.table import GROUPS, OURS, PEERS, Group, Row, Side

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
WIDTH = 178
NONE = "–"

LEGEND = (
    "Times are medians; p95 behind the slash; of requests over HTTP the median and p99 stand in brackets. × says how "
    "many times as fast (as small, as many a second) graphsvc is: over 1 it is ahead. fsync: an acknowledged write is "
    "on the disk; no fsync: it may be lost with the power."
)


def show(outcome: Outcome, console: Console) -> None:
    """Print the table, the machine, the ceilings."""
    sides = _sides(outcome)
    table = Table(title=machine(outcome), caption=LEGEND, title_justify="left", caption_justify="left")
    table.add_column("", overflow="fold")
    for side in (OURS, *sides):
        table.add_column(side.title, justify="right", overflow="fold")
    for group in GROUPS:
        table.add_section()
        title = group.title.format_map({name: f"{value:,}" for name, value in outcome.sizes.by_name().items()})
        table.add_row(f"[bold]{title}[/bold]")
        for row in group.rows:
            table.add_row(*_cells(outcome, row, sides))
    console.print(table)
    for line in (*_notes(outcome), *_ceilings(outcome), *outcome.notices):
        console.print(escape(line), soft_wrap=True, highlight=False)
    for name, reason in outcome.failures.items():
        console.print(f"[red]{name} failed[/red]: {escape(reason)}", soft_wrap=True)


def markdown(outcome: Outcome, groups: tuple[Group, ...] = GROUPS) -> str:
    """The same as Markdown; or some groups alone, without the ceilings."""
    sides = [side for side in _sides(outcome) if any(
        row.id in outcome.figures[side.id] for group in groups for row in group.rows)]  # fmt: skip
    lines = [
        machine(outcome), "",
        f"| | {' | '.join(side.title for side in (OURS, *sides))} |",
        f"|---|{'---:|' * (1 + len(sides))}",
    ]  # fmt: skip
    for group in groups:
        title = group.title.format_map({name: f"{value:,}" for name, value in outcome.sizes.by_name().items()})
        lines.append(f"| **{title}** |{' |' * (1 + len(sides))}")
        lines.extend(f"| {' | '.join(_cells(outcome, row, sides))} |" for row in group.rows)
    told = (*_notes(outcome), *_ceilings(outcome), *outcome.notices) if groups is GROUPS else ()
    notes = [f"- {line}" for line in told]
    return "\n".join([*lines, "", LEGEND, "", *notes]).rstrip()


def write(text: str, page: Path) -> None:
    """Put Markdown between the markers in a file. Raises ValueError where it has none."""
    before, after = around(page)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def around(page: Path) -> tuple[str, str]:
    """What stands before and after the markers. Raises ValueError where there are none."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no {BEGIN} … {END}")
    return before, after


def _sides(outcome: Outcome) -> list[Side]:
    return [side for side in PEERS if outcome.figures.get(side.id)]


def _cells(outcome: Outcome, row: Row, sides: list[Side]) -> Iterator[str]:
    ours = outcome.ours.get(row.id)
    yield row.title(outcome.sizes)
    yield _cell(row, ours)
    for side in sides:
        theirs = outcome.figures[side.id].get(row.id)
        cell = _cell(row, theirs)
        times = row.advantage(ours.value, theirs.value) if ours and theirs else None
        yield f"{cell}  ×{_short(times)}" if times else cell


def _cell(row: Row, figure: Figure | None) -> str:
    if figure is None:
        return NONE
    value = _short(figure.value)
    if row.unit == "ms":
        value = f"{value} / {_short(figure.p95_ms)} ms" if figure.p95_ms is not None else f"{value} ms"
    elif row.unit == "/s":
        value = f"{value}/s" + (f" ({_short(figure.median_ms)} / {_short(figure.p99_ms)} ms)" if figure.p99_ms else "")
    elif row.unit == "times":
        value = f"×{value}"
    elif row.unit == "share":
        value = f"{figure.value:.0%}"
    elif row.unit == "MiB":
        value = f"{value} MiB"
    elif row.unit == "count":
        value = f"{figure.value:,.0f}"
    else:
        value = f"{value} B"
    return value if figure.fsync is None else f"{value} {'fsync' if figure.fsync else 'no fsync'}"


def _short(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _notes(outcome: Outcome) -> Iterator[str]:
    """What must be known to compare, each said once, with the rows that it is about."""
    about: dict[tuple[str, str], list[str]] = {}
    for row in (row for group in GROUPS for row in group.rows):
        for side in (OURS, *PEERS):
            figure = outcome.figures.get(side.id, {}).get(row.id)
            if figure is not None and figure.note:
                about.setdefault((side.title, figure.note), []).append(row.title(outcome.sizes))
    for (title, note), titles in about.items():
        yield f"{title}: {note} ({'; '.join(titles)})"


def _ceilings(outcome: Outcome) -> Iterator[str]:
    titles = {row.id: row.title(outcome.sizes) for group in GROUPS for row in group.rows}
    sides = {side.id: side.title for side in PEERS}
    for verdict in outcome.verdicts():
        kind, told = "aim" if verdict.aim else "ceiling", "met" if verdict.met else "MISSED"
        measured, most = "not measured", f"{_short(verdict.ceiling)} ms"
        if verdict.side:
            most = f"×{_short(verdict.ceiling)} of what {sides[verdict.side]} takes"
        if verdict.measured is not None:
            measured = f"×{_short(verdict.measured)}" if verdict.side else f"{verdict.measured:,.3g} ms"
        yield f"{kind} {told}: {titles[verdict.row]}, {measured} of {most}"


def machine(outcome: Outcome) -> str:
    about = outcome.machine
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    node = f", node {about['node']}" if about["node"] else ""
    load = " ".join(map(str, about["load_before"]))
    return (
        f"{about['date'][:10]}, {about['cpu']}, {about['cores']} cores, {about['system']}, Python {about['python']}, "
        f"{versions}{node}. Load before: {load}. One fdatasync of 4 kB: {about['fsync_ms']} ms."
    )
