"""`graphsvc graph …`: walk what is joined, figures over the whole of it, and files."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphsvc.cli import records
from graphsvc.cli.causal import as_of
from graphsvc.cli.graph import graph
from graphsvc.cli.options import Agent
from graphsvc.cli.output import Answer, fields, line, table
from graphsvc.cli.shell import Shell, add, command, parsed
from graphsvc.errors import BadInput
from graphsvc.model.graph import NODE_TABLES
from graphsvc.model.names import DEFAULT_AGENT, parts_of

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory
    from graphsvc.memory.reached import LazyNode, Way

BY_TABLE = '\'{"Episode": {"success": true}}\''
BY_TYPE = '\'{"USED": {"reward": {"ge": 0.5}}}\''

Node = Annotated[str, typer.Argument(metavar="LABEL:ID", help="A node: its table and id, like Skill:json.loads.")]
Rel = Annotated[list[str] | None, typer.Option("--rel", help="Only this type of edge; give it several times.")]
Tables = Annotated[list[str] | None, typer.Option("--table", help="Only this node table; give it several times.")]
Direction = Annotated[Literal["out", "in", "both"], typer.Option(help="Along edges, against them, or both.")]
Depth = Annotated[int, typer.Option("--depth", "-d", min=0, help="How many steps.")]
NodeFilter = Annotated[str | None, typer.Option("--where", metavar="JSON", help=f"Filters by table, like {BY_TABLE}.")]
EdgeFilter = Annotated[str | None, typer.Option("--edges", metavar="JSON", help=f"Filters by type, like {BY_TYPE}.")]
Valid = Annotated[str | None, typer.Option("--valid", metavar="TIME", help="Only what held then.")]
Known = Annotated[str | None, typer.Option("--known", metavar="TIME", help="As was known then.")]
FanOut = Annotated[int | None, typer.Option(min=1, help="Edges to take from each node at most.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
Weight = Annotated[str | None, typer.Option(help="Column of edges that counts instead of 1.")]
Top = Annotated[int, typer.Option("-k", min=1, help="How many to show; --json gives all.")]


def _taken(rel: Any, table: Any, where: Any, edges: Any, then: Any = None) -> dict[str, Any]:
    """What a walk may take, as the verbs call it."""
    return {
        "rel": rel or None, "tables": table or None, "where": parsed(where, "--where", BY_TABLE),
        "edges": parsed(edges, "--edges", BY_TYPE), **({} if then is None else {"as_of": then}),
    }  # fmt: skip


def node_of(memory: Memory, text: str, agent: str | None) -> tuple[Any, ...]:
    """The node that `LABEL:ID` means."""
    label, colon, id = text.partition(":")
    if not colon or not label or not id:
        raise BadInput(f"{text!r} names no node", where="LABEL:ID", hint="Write its table and id, like Skill:NAME.")
    known = memory.graph.schema().get(label) if memory.agent is None else None
    if known is not None and known.nodes and known.columns[known.key] != "STRING":
        try:
            return (label, int(id))
        except ValueError:
            raise BadInput(f"keys of {label} are whole numbers, not {id!r}", where="LABEL:ID") from None
    return (label, id) if agent is None else (label, id, agent)


def shown(label: str, key: Any) -> str:
    """A node as `LABEL:ID`, with its namespace where that isn't the default."""
    if label not in NODE_TABLES:
        return f"{label}:{key}"
    agent, id = parts_of(key)
    return f"{label}:{id}" if agent == DEFAULT_AGENT else f"{label}:{id} ({agent})"


def _node_table(nodes: Sequence[LazyNode], title: str) -> Any:
    rows = [(node.depth, node.label, node.id, line(_about(node))) for node in nodes]
    return table(title, ("steps", "label", "id", "what"), rows, whole=("id",))


def _about(node: LazyNode) -> str:
    for name in ("task", "text", "description", "name", "signature"):
        value = node.properties.get(name)
        if isinstance(value, str) and value and value != node.id:
            return value
    return ""


@command(graph, "node", example="graphsvc graph node Skill:json.loads")
def node(shell: Shell, node: Node, valid: Valid = None, known: Known = None, agent: Agent = None) -> Answer:
    """Show one node in full; of a temporal table also as it was."""
    with shell.open() as memory:
        found = memory.graph.node(node_of(memory, node, agent), as_of=as_of(valid, known))
        data = {**found.row(), "properties": found.properties}
    return Answer(data, records.printed(fields(dict(data["properties"]), f"{found.label} {found.id}")))


@command(graph, "nodes", example="graphsvc graph nodes Skill --limit 5")
def nodes(
    shell: Shell,
    name: Annotated[str, typer.Argument(metavar="TABLE", help="A table of nodes.")],
    where: Annotated[str | None, typer.Option(metavar="JSON", help="A filter, like '{\"success\": true}'.")] = None,
    valid: Valid = None, known: Known = None, limit: Limit = 50,
) -> Answer:  # fmt: skip
    """List the nodes of a table, by key; of a temporal one also as they were."""
    with shell.open() as memory:
        chosen = parsed(where, "--where", '{"success": true}')
        found = memory.graph.nodes(name, chosen, as_of=as_of(valid, known), limit=limit).fetched()
        view = _node_table(found, f"{len(found):,}{' and more' if found.more else ''} of {name}")
        data = [{**one.row(), "properties": one.properties} for one in found]
    return Answer({"nodes": data, "more": found.more, "behind": found.behind}, records.printed(view))


@command(graph, "neighbours", example="graphsvc graph neighbours Skill:json.loads --rel CALLS --depth 2")
def neighbours(
    shell: Shell, node: Node, depth: Depth = 1, rel: Rel = None, direction: Direction = "both", table: Tables = None,
    where: NodeFilter = None, edges: EdgeFilter = None, valid: Valid = None, known: Known = None,
    fan_out: FanOut = None, limit: Limit = 50, agent: Agent = None,
) -> Answer:  # fmt: skip
    """List the nodes within some steps of a node, nearest first."""
    taken = _taken(rel, table, where, edges, as_of(valid, known))
    with shell.open() as memory:
        found = memory.graph.neighbours(
            node_of(memory, node, agent), depth=depth, direction=direction, fan_out=fan_out, limit=limit, **taken
        ).fetched()
        view = _node_table(found, f"{len(found):,}{' and more' if found.more else ''} near {node}")
    data = {"nodes": [one.row() for one in found], "more": found.more, "behind": found.behind}
    return Answer(data, records.printed(view))


@command(graph, "subgraph", example="graphsvc graph subgraph Skill:json.loads --depth 1 --json")
def subgraph(
    shell: Shell,
    nodes: Annotated[list[str], typer.Argument(metavar="LABEL:ID…", help="Nodes, like Skill:json.loads.")],
    depth: Depth = 1, rel: Rel = None, direction: Direction = "both", table: Tables = None, where: NodeFilter = None,
    edges: EdgeFilter = None, valid: Valid = None, known: Known = None,
    fan_out: FanOut = None, limit: Limit = 200, agent: Agent = None,
) -> Answer:  # fmt: skip
    """Show the nodes within some steps of some nodes, and all edges between them."""
    taken = _taken(rel, table, where, edges, as_of(valid, known))
    with shell.open() as memory:
        refs = [node_of(memory, name, agent) for name in nodes]
        found = memory.graph.subgraph(refs, depth=depth, direction=direction, fan_out=fan_out, limit=limit, **taken)
    return Answer(found.as_dict(), records.printed(_edge_table(found.edges, f"{len(found.nodes):,} nodes")))


def _edge_table(edges: Sequence[Any], title: str) -> Any:
    rows = [
        (shown(*edge.source), edge.label, shown(*edge.target), edge.properties) for edge in edges
    ]
    return table(title, ("source", "edge", "target", "values"), rows)


@command(graph, "path", example="graphsvc graph path Skill:json.load Skill:json.scanner.make_scanner --rel CALLS")
def path(
    shell: Shell,
    start: Node,
    end: Node,
    every: Annotated[bool, typer.Option("--all", help="All shortest ways, not just the first.")] = False,
    weight: Annotated[str | None, typer.Option(help="Cheapest by this column of edges, not shortest.")] = None,
    max_hops: Annotated[int, typer.Option(min=1, help="The most edges that it may have.")] = 64,
    rel: Rel = None, direction: Direction = "both", table: Tables = None, where: NodeFilter = None,
    edges: EdgeFilter = None, valid: Valid = None, known: Known = None, limit: Limit = 20, agent: Agent = None,
) -> Answer:  # fmt: skip
    """Find the shortest way, or the cheapest, from one node to another."""
    taken = {**_taken(rel, table, where, edges, as_of(valid, known)), "direction": direction}
    with shell.open() as memory:
        first, last = node_of(memory, start, agent), node_of(memory, end, agent)
        if weight is not None:
            cheapest = memory.graph.cheapest_path(first, last, weight=weight, **taken)
            ways, more = [cheapest] if cheapest else [], False
        else:
            most = limit if every else 1
            found = memory.graph.all_shortest_paths(first, last, max_hops=max_hops, limit=most, **taken)
            ways, more = list(found), found.more and every
    return Answer({"paths": [way.as_dict() for way in ways], "more": more}, _ways(ways))


@command(graph, "paths", example="graphsvc graph paths Skill:json.load --max-hops 2 --rel CALLS --direction out")
def paths(
    shell: Shell,
    start: Node,
    end: Annotated[str | None, typer.Argument(metavar="LABEL:ID", help="Where ways must end; anywhere.")] = None,
    min_hops: Annotated[int, typer.Option(min=0, help="The fewest edges.")] = 1,
    max_hops: Annotated[int, typer.Option(min=1, help="The most edges.")] = 3,
    rel: Rel = None, direction: Direction = "both", table: Tables = None, where: NodeFilter = None,
    edges: EdgeFilter = None, valid: Valid = None, known: Known = None,
    fan_out: FanOut = None, limit: Limit = 50, agent: Agent = None,
) -> Answer:  # fmt: skip
    """List every way of some length that takes no edge twice, the shortest first."""
    taken = _taken(rel, table, where, edges, as_of(valid, known))
    taken |= {"direction": direction, "fan_out": fan_out, "limit": limit}
    with shell.open() as memory:
        last = None if end is None else node_of(memory, end, agent)
        first = node_of(memory, start, agent)
        found = memory.graph.paths(first, last, min_hops=min_hops, max_hops=max_hops, **taken)
    return Answer({"paths": [way.as_dict() for way in found], "more": found.more}, _ways(found))


def _ways(ways: Sequence[Way]) -> Any:
    rows = [(len(way), way.cost, _told(way)) for way in ways]
    return records.printed(table("", ("edges", "cost", "way"), rows) if rows else "There is no such way.")


def _told(way: Way) -> str:
    text = shown(*way.nodes[0].end)
    for before, edge, after in zip(way.nodes, way.edges, way.nodes[1:], strict=False):
        arrow = f" -[{edge.label}]-> " if edge.source == before.end else f" <-[{edge.label}]- "
        text += arrow + shown(*after.end)
    return text


# --- figures over the whole graph ---------------------------------------------------------------------

ALGORITHMS: dict[str, tuple[str, dict[str, Any]]] = {
    "pagerank": ("PageRank: how much of a random walk along the edges is spent at each node.", {"weight": None}),
    "degree": ("How many edges each node has, or their weights added up.", {"direction": "both", "weight": None}),
    "components": ("Which nodes hang together, the largest component first.", {"strong": False}),
    "communities": (
        "Communities of high modularity, the largest first.",
        {"method": "louvain", "resolution": 1.0, "seed": 0, "weight": None},
    ),
    "label-propagation": ("Communities: each node takes the label that most neighbours have.", {"weight": None}),
    "k-core": ("The largest k for which a node is among nodes that have k neighbours each.", {}),
    "triangles": ("How many triangles each node is a corner of.", {}),
    "closeness": ("How near a node is to those that reach it, 0 to 1.", {"direction": "in", "weight": None}),
    "betweenness": (
        "The share of shortest ways between others that lead through a node.",
        {"directed": True, "sample": None, "seed": 0, "weight": None},
    ),
}
"""By command: what it says, and its own options with the defaults of `Algorithms`, which `--help` mustn't load."""

_OPTIONS: dict[str, Any] = {
    "weight": Weight,
    "direction": Direction,
    "strong": Annotated[bool, typer.Option("--strong", help="Along the edges, each node from each.")],
    "method": Annotated[Literal["louvain", "leiden"], typer.Option(help="How they are found.")],
    "resolution": Annotated[float, typer.Option(help="Above 1: smaller communities.")],
    "seed": Annotated[int, typer.Option(help="Of the chance that is taken.")],
    "directed": Annotated[bool, typer.Option("--directed/--undirected", help="Along the edges only.")],
    "sample": Annotated[int | None, typer.Option(min=1, help="Count from so many nodes only, and scale up.")],
}
GROUPS = ("components", "communities", "label-propagation")


def _add_algorithm(name: str, says: str, more: dict[str, Any]) -> None:
    def run(shell: Shell, k: int, rel: Any, table: Any, where: Any, edges: Any, **options: Any) -> Answer:
        taken = _taken(rel, table, where, edges)
        with shell.open() as memory:
            scores = getattr(memory.graph, name.replace("-", "_"))(**taken, **options)
        view = _groups(scores, k) if name in GROUPS else _top(scores, k)
        return Answer({"values": scores.as_dicts()}, view)

    run.__doc__ = says
    shared = {"k": (Top, 10), "rel": (Rel, None), "table": (Tables, None), "where": (NodeFilter, None)}
    own = {**shared, "edges": (EdgeFilter, None), **{one: (_OPTIONS[one], default) for one, default in more.items()}}
    options = [
        inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for one, (annotation, default) in own.items()
    ]
    add(graph, name, run, options, example=f"graphsvc graph {name} --table Skill --rel CALLS")


def _top(scores: Any, k: int) -> Any:
    rows = [(shown(label, key), value) for label, key, value in scores.top(k)]
    return records.printed(table(f"{len(scores):,} nodes", ("node", scores.name), rows, whole=("node",)))


def _groups(scores: Any, k: int) -> Any:
    groups = scores.groups()
    rows = [
        (number, len(group), ", ".join(shown(*end) for end in group[:8]) + (", …" if len(group) > 8 else ""))
        for number, group in enumerate(groups[:k])
    ]
    return records.printed(table(f"{len(groups):,} of {len(scores):,} nodes", (scores.name, "nodes", "of them"), rows))


for _name, (_says, _more) in ALGORITHMS.items():
    _add_algorithm(_name, _says, _more)


@command(graph, "similar", example="graphsvc graph similar Skill:json.loads --rel CALLS -k 5")
def similar(
    shell: Shell,
    node: Node,
    k: Annotated[int, typer.Option("-k", min=1, help="How many at most.")] = 10,
    measure: Annotated[Literal["jaccard", "cosine"], typer.Option(help="How likeness is measured.")] = "jaccard",
    direction: Direction = "both", rel: Rel = None, table: Tables = None, where: NodeFilter = None,
    edges: EdgeFilter = None, agent: Agent = None,
) -> Answer:  # fmt: skip
    """List the nodes whose neighbours are most like those of a node."""
    taken = {**_taken(rel, table, where, edges), "direction": direction}
    with shell.open() as memory:
        found = memory.graph.similarity(node_of(memory, node, agent), k, measure=measure, **taken)
    return Answer({"values": found.as_dicts()}, _top(found, k))


# --- out and in ---------------------------------------------------------------------------------------


@command(graph, "export", example="graphsvc graph export calls.graphml --table Skill --rel CALLS")
def export(
    shell: Shell,
    path: Annotated[Path, typer.Argument(help="A file for graphml, else a new directory.")],
    format: Annotated[Literal["graphml", "csv", "parquet"], typer.Option(help="Of the files.")] = "graphml",
    rel: Rel = None, table: Tables = None, where: NodeFilter = None, edges: EdgeFilter = None,
) -> Answer:  # fmt: skip
    """Write the graph, or a part of it, as GraphML, CSV or Parquet."""
    taken = _taken(rel, table, where, edges)
    with shell.open() as memory:
        counts = memory.graph.save(path, format=format, **taken)
    return records.told(
        {"path": str(path), **counts}, f"wrote {counts['nodes']:,} nodes and {counts['edges']:,} edges into {path}"
    )


@command(graph, "load", example="graphsvc graph load people.csv --into Person")
def load(
    shell: Shell,
    path: Annotated[Path, typer.Argument(help="A file that ends in .csv, .parquet or .graphml.")],
    into: Annotated[str | None, typer.Option(help="The table, for CSV and Parquet.")] = None,
    nodes: Annotated[str | None, typer.Option(help="The table of nodes, for GraphML.")] = None,
    edges: Annotated[str | None, typer.Option(help="The table of edges, for GraphML.")] = None,
) -> Answer:
    """Take a file into tables of one's own."""
    with shell.open() as memory:
        counts = memory.graph.load(path, table=into, nodes=nodes, edges=edges)
    return records.told(counts, ", ".join(f"{count:,} {name}" for name, count in counts.items()))


__all__ = ["ALGORITHMS", "graph"]
