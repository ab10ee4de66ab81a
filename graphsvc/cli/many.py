"""Many at a time: `graphsvc page`, `graphsvc get`, `graphsvc graph rows`, `graphsvc graph joints`, `causal around`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import typer

from graphsvc.cli import records, walks
from graphsvc.cli.causal import Known, Sure, Valid, as_of, causal, edge_table
from graphsvc.cli.graph import graph
from graphsvc.cli.options import Agent, K, ManyAgents, Where, agents, filtered
from graphsvc.cli.output import Answer, line, table
from graphsvc.cli.shell import Shell, command
from graphsvc.errors import BadInput
from graphsvc.model.names import DEFAULT_AGENT

PANEL = "Remember"

_After = Annotated[str | None, typer.Option(metavar="CURSOR", help="Only what stands after this cursor of a page.")]
_Before = Annotated[str | None, typer.Option(metavar="CURSOR", help="Only what stands before it.")]
_Last = Annotated[bool, typer.Option("--last", help="The last of them, not the first.")]
_Named = Annotated[list[str], typer.Argument(metavar="KIND:ID …", help="Records, like episode:e-1 or skill:retry.")]


def add_many(app: typer.Typer) -> None:
    """Give the app these commands."""
    command(app, "page", example="graphsvc page episode -k 20 --order reward", panel=PANEL)(page)
    command(app, "get", example="graphsvc get episode:e-1 skill:retry", panel=PANEL)(get)


def page(
    shell: Shell,
    kind: Annotated[str, typer.Argument(help="episode, skill, entity, fact, variable or cause.")],
    k: K = 20,
    where: Where = None,
    agent: ManyAgents = None,
    order: Annotated[str, typer.Option(help="A field that holds times or numbers.")] = "at",
    ascending: Annotated[bool, typer.Option("--ascending", help="The earliest, or least, first.")] = False,
    after: _After = None,
    before: _Before = None,
    last: _Last = False,
) -> Answer:
    """List the records of a kind a page at a time; each has a cursor, from which the next page goes on."""
    with shell.open() as memory:
        found = memory.page(
            kind, k, where=filtered(where), agent=agents(agent), order=order, descending=not ascending, after=after,
            before=before, last=last,
        )  # fmt: skip
    rows = [
        (one.id, one.at, getattr(one, order), line(_what(one)), cursor)
        for one, cursor in zip(found.items, found.cursors, strict=True)
    ]
    head = ("id", "at", order, "what", "cursor")
    view = table(f"{len(rows):,} of {found.total:,}", head, rows, whole=("id", "cursor"))
    return Answer(found.as_dict(), records.printed(view))


def get(shell: Shell, ids: _Named, agent: Agent = None) -> Answer:
    """Show records of any kind, many at once."""
    named = [_named(text, agent) for text in ids]
    with shell.open() as memory:
        found = memory.get_many(named)
    rows = [(text, "" if one is None else line(_what(one))) for text, one in zip(ids, found, strict=True)]
    view = table("", ("id", "what"), rows, whole=("id",))
    return Answer({"records": msgspec.to_builtins(found)}, records.printed(view))


@command(graph, "rows", example="""graphsvc graph rows Person --where '{"age": {"ge": 18}}'""")
def rows(
    shell: Shell,
    name: Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.")],
    k: K = 20,
    where: Where = None,
    after: _After = None,
    before: _Before = None,
    last: _Last = False,
) -> Answer:
    """List rows of a table of nodes of one's own, by key, a page at a time."""
    with shell.open() as memory:
        found = memory.graph.rows(name, filtered(where), k, after=after, before=before, last=last)
        columns = list(memory.graph.schema()[name].columns)
    shown = [tuple(row[column] for column in columns) for row in found.items]
    view = table(f"{len(shown):,} of {found.total:,}", tuple(columns), shown)
    return Answer(found.as_dict(), records.printed(view))


@command(graph, "joints", example="graphsvc graph joints Skill:json.loads Skill:json.dumps --rel CALLS")
def joints(
    shell: Shell,
    nodes: Annotated[list[str], typer.Argument(metavar="LABEL:ID …", help="Nodes, like Skill:json.loads.")],
    rel: walks.Rel = None,
    direction: walks.Direction = "both",
    table_names: walks.Tables = None,
    agent: Agent = None,
) -> Answer:
    """List the edges at each of many nodes, with what they hold and lead to."""
    with shell.open() as memory:
        refs = [walks.node_of(memory, text, agent) for text in nodes]
        found = memory.graph.joints(refs, rel=rel or None, direction=direction, tables=table_names or None)
    shown = [
        (text, one.rel, one.direction, walks.shown(one.node.label, one.node.key))
        for text, some in zip(nodes, found, strict=True)
        for one in some
    ]
    data = {"joints": [[one.as_dict() for one in some] for some in found]}
    return Answer(data, records.printed(table("", ("node", "type", "direction", "other end"), shown)))


@command(causal, "around", example="graphsvc causal around variable:latency skill:retry --direction in")
def around(
    shell: Shell, nodes: _Named, k: K = 20, direction: Annotated[Literal["out", "in"], typer.Option(
        help="Edges that lead from them, or to them.")] = "out", valid: Valid = None, known: Known = None,
    min_confidence: Sure = 0.0, agent: Agent = None,
) -> Answer:  # fmt: skip
    """List the causal edges at each of many nodes, the strongest first."""
    with shell.open() as memory:
        found = memory.causal.around(
            [_named(text, agent) for text in nodes], k, direction=direction, as_of=as_of(valid, known),
            min_confidence=min_confidence,
        )  # fmt: skip
    view = edge_table([edge for edges in found for edge in edges], f"Around {', '.join(nodes)}")
    return Answer({"edges": found}, records.printed(view))


def _named(text: str, agent: str | None) -> tuple[str, str, str]:
    kind, colon, id = text.partition(":")
    if not colon or not id:
        raise BadInput(f"{text!r} names no record", where="KIND:ID", hint="Write its kind and id, like episode:e-1.")
    return kind, agent or DEFAULT_AGENT, id


def _what(record: Any) -> str:
    for name in ("task", "description", "name", "mechanism", "subject"):
        if value := getattr(record, name, None):
            return str(value)
    return ""
