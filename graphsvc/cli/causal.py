"""`graphsvc causal …`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from graphsvc.cli import records
from graphsvc.cli.options import Agent, Id, Ids, K, ManyAgents, Mode, Order, Where, agents, filtered, given, of_record
from graphsvc.cli.output import Answer, line, table
from graphsvc.cli.shell import Shell, add, command

causal = typer.Typer(no_args_is_help=True, help="What makes a difference to what: causal edges, and what follows.")

Node = Annotated[
    str, typer.Argument(metavar="NODE", help="A variable's name; or episode:, skill:, entity:, fact:, variable:ID.")
]
Rule = Annotated[Literal["product", "weakest", "additive"], typer.Option(help="How effects along a path compound.")]
Valid = Annotated[str | None, typer.Option("--valid", metavar="TIME", help="What held then; now if not given.")]
Known = Annotated[str | None, typer.Option("--known", metavar="TIME", help="As it was known then.")]
Depth = Annotated[int, typer.Option("--max-depth", min=1, help="Edges along a path at most.")]
Sure = Annotated[float, typer.Option("--min-confidence", help="Leave out edges less sure than this, 0 to 1.")]
HEAD = ("id", "cause", "effect", "uplift", "confidence", "n", "until", "mechanism")


def as_of(valid: str | None, known: str | None) -> Any:
    """The pair of times that two options say."""
    return None if valid is known is None else (valid, known)


def edge_table(found: Any, title: str) -> Any:
    """Causal edges, a line each."""
    rows = (
        (one.id, f"{one.cause_kind}:{one.cause}", f"{one.effect_kind}:{one.effect}", f"{one.uplift:g}",
         f"{one.confidence:g}", one.n, one.valid_to, line(one.mechanism))
        for one in found
    )  # fmt: skip
    return table(title, HEAD, rows, whole=("id",))


def _edges(found: Any, title: str) -> Answer:
    return Answer({"edges": found}, records.printed(edge_table(found, title)))


def variable(shell: Shell, **values: Any) -> Answer:
    """Make a variable, or give the one that exists what is new of it."""
    known = given(values)
    table, key = known.pop("ref_table", None), known.pop("ref_key", None)
    with shell.open() as memory:
        made = memory.causal.variable(**known, ref=None if table is key is None else (table, key))
    return records.one(made, "Variable") if shell.json else records.told(records.one(made).data, f"kept {made.id}")


def _add_variable() -> None:
    fields = ("name", "description", "is_reward", "ref_table", "ref_key", "tags", "metadata", "id", "agent")
    options = of_record("variable", only=fields, required=("name",))
    example = "graphsvc causal variable --name latency --description 'of a request, in ms'"
    add(causal, "variable", variable, options, example=example)


_add_variable()


@command(causal, "variables", example="graphsvc causal variables --where '{\"is_reward\": true}'")
def variables(shell: Shell, where: Where = None, k: K = 50, agent: ManyAgents = None) -> Answer:
    """List variables that pass a filter."""
    with shell.open() as memory:
        found = memory.causal.variables(filtered(where), k, agent=agents(agent))
        missing = [one.id for one in found if one.ref_table and memory.causal.missing(one.id, agent=one.agent)]
    rows = ((one.id, one.name, line(one.description), one.is_reward, _stands_for(one, missing)) for one in found)
    view = table("Variables", ("id", "name", "description", "reward", "stands for"), rows, whole=("id",))
    return Answer({"variables": found, "missing": missing}, records.printed(view))


def _stands_for(one: Any, missing: list[str]) -> str:
    if not one.ref_table:
        return ""
    return f"{one.ref_table} {one.ref_key}" + (" (missing)" if one.id in missing else "")


def _low_high(low: float | None, high: float | None) -> tuple[Any, Any] | None:
    return None if low is None and high is None else (low, high)


def add_edge(shell: Shell, cause: str, effect: str, **values: Any) -> Answer:
    """Say that one node makes a difference to another: by how much, and how sure that is."""
    known = given(values)
    interval = _low_high(known.pop("low", None), known.pop("high", None))
    with shell.open() as memory:
        made = memory.causal.add(cause, effect, known.pop("uplift"), interval=interval, **known)
    return records.one(made) if shell.json else records.told(records.one(made).data, f"added {made.id}")


def _add_adding() -> None:
    options = of_record("cause", only=(
        "uplift", "confidence", "low", "high", "n", "method", "mechanism", "evidence", "valid_from", "valid_to",
        "metadata", "id", "agent",
    ), required=("uplift",))  # fmt: skip
    ends = [
        options[0].replace(name=name, annotation=Annotated[str, typer.Argument(metavar=name.upper(), help=help)])
        for name, help in (
            ("cause", "The node that makes the difference: a variable's name, or KIND:ID."),
            ("effect", "The node that it makes a difference to."),
        )
    ]
    example = "graphsvc causal add 'cold cache' latency --uplift 0.4 --confidence 0.8 --mechanism 'reads from disk'"
    add(causal, "add", add_edge, [*ends, *options], example=example)


_add_adding()


@command(causal, "get", example="graphsvc causal get ID")
def get(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show one causal edge in full."""
    with shell.open() as memory:
        return records.one(memory.causal.get(id, agent=agent))


@command(causal, "expire", example="graphsvc causal expire ID --at 2026-03-01T00:00:00Z")
def expire(
    shell: Shell,
    id: Id,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="From when on it holds no longer; now if not given.")]
    = None,
    agent: Agent = None,
) -> Answer:
    """Say that a causal edge holds no longer; it stays, and so does what was known before."""
    with shell.open() as memory:
        edge = memory.causal.expire(id, at, agent=agent)
    return records.told(records.one(edge).data, f"{id} holds until {edge.valid_to}")


@command(causal, "delete", example="graphsvc causal delete ID ID")
def delete(shell: Shell, ids: Ids, agent: Agent = None) -> Answer:
    """Delete causal edges that were wrong, all or none."""
    with shell.open() as memory:
        count = memory.causal.delete(list(ids), agent=agent)
    return records.told({"deleted": count}, f"deleted {count:,}")


@command(causal, "list", example="graphsvc causal list --where '{\"effect\": \"latency\"}' -k 20")
def list_(
    shell: Shell, where: Where = None, k: K = 50, agent: ManyAgents = None, order: Order = "newest",
    valid: Valid = None, known: Known = None,
) -> Answer:  # fmt: skip
    """List causal edges that pass a filter; expired ones too, unless a time is given."""
    with shell.open() as memory:
        found = memory.causal.list(
            filtered(where), k, agent=agents(agent), order=order, as_of=as_of(valid, known)
        )
        total = memory.causal.count(filtered(where), agent=agents(agent))
    view = records.printed(edge_table(found, f"{len(found):,} of {total:,} causal edges"))
    return Answer({"edges": found, "count": total}, view)


@command(causal, "effects", example="graphsvc causal effects skill:retry")
def effects(
    shell: Shell, node: Node, k: K = 20, valid: Valid = None, known: Known = None, min_confidence: Sure = 0.0,
    agent: ManyAgents = None,
) -> Answer:  # fmt: skip
    """List the edges that lead from a node, the strongest first."""
    with shell.open() as memory:
        found = memory.causal.effects(
            node, k, as_of=as_of(valid, known), min_confidence=min_confidence, agent=agents(agent)
        )
    return _edges(found, f"Effects of {node}")


@command(causal, "causes", example="graphsvc causal causes latency")
def causes(
    shell: Shell, node: Node, k: K = 20, valid: Valid = None, known: Known = None, min_confidence: Sure = 0.0,
    agent: ManyAgents = None,
) -> Answer:  # fmt: skip
    """List the edges that lead to a node, the strongest first."""
    with shell.open() as memory:
        found = memory.causal.causes(
            node, k, as_of=as_of(valid, known), min_confidence=min_confidence, agent=agents(agent)
        )
    return _edges(found, f"Causes of {node}")


@command(causal, "paths", example="graphsvc causal paths 'cold cache' reward -k 3 --rule weakest")
def paths(
    shell: Shell,
    node: Node,
    to: Annotated[str, typer.Argument(metavar="TO", help="The node that they lead to.")],
    k: K = 3,
    rule: Rule = "product",
    max_depth: Depth = 5,
    valid: Valid = None,
    known: Known = None,
    min_confidence: Sure = 0.0,
    agent: ManyAgents = None,
) -> Answer:
    """Find the best chains of causal edges from one node to another."""
    with shell.open() as memory:
        found = memory.causal.paths(
            node, to, k, rule=rule, max_depth=max_depth, as_of=as_of(valid, known), min_confidence=min_confidence,
            agent=agents(agent),
        )  # fmt: skip
    rows = ((f"{path.uplift:g}", f"{path.confidence:g}", str(path)) for path in found)
    view = records.printed(table(f"From {node} to {to}", ("uplift", "confidence", "path"), rows))
    return Answer({"paths": [path.as_dict() for path in found], "complete": found.complete}, view)


@command(causal, "what-if", example="graphsvc causal what-if skill:retry --max-depth 3")
def what_if(
    shell: Shell,
    node: Node,
    k: K = 20,
    rule: Rule = "product",
    max_depth: Depth = 3,
    valid: Valid = None,
    known: Known = None,
    min_confidence: Sure = 0.0,
    agent: ManyAgents = None,
) -> Answer:
    """Tell what follows from a node, and along which path."""
    with shell.open() as memory:
        found = memory.causal.what_if(
            node, k, rule=rule, max_depth=max_depth, as_of=as_of(valid, known), min_confidence=min_confidence,
            agent=agents(agent),
        )  # fmt: skip
    rows = ((str(one.node), f"{one.uplift:g}", f"{one.confidence:g}", str(one.path)) for one in found)
    view = records.printed(table(f"What follows from {node}", ("node", "uplift", "confidence", "path"), rows))
    return Answer({"consequences": [one.as_dict() for one in found], "complete": found.complete}, view)


@command(causal, "similar", example="graphsvc causal similar 'the server recovers' -k 5")
def similar(
    shell: Shell,
    text: Annotated[str, typer.Argument(help="A mechanism, in words.")],
    k: K = 10,
    where: Where = None,
    agent: ManyAgents = None,
    mode: Mode = "blend",
) -> Answer:
    """Find causal edges whose mechanism is like a text."""
    with shell.asking() as memory:
        hits = memory.causal.similar(text, k, where=filtered(where), agent=agents(agent), mode=mode)
    view = records.printed(edge_table(hits.records, f"Mechanisms like {text!r}"), *records.not_embedded(hits))
    return Answer(records.hits_data(hits), view)


@command(causal, "history", example="graphsvc causal history ID")
def history(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show everything that happened to a causal edge, also to a deleted one."""
    with shell.open() as memory:
        return records.history(memory.causal.history(id, agent=agent))


@command(causal, "delete-variable", example="graphsvc causal delete-variable latency")
def delete_variable(shell: Shell, ids: Ids, agent: Agent = None) -> Answer:
    """Delete variables with the causal edges at them, all or none."""
    with shell.open() as memory:
        count = memory.causal.delete_variable(list(ids), agent=agent)
    return records.told({"deleted": count}, f"deleted {count:,}")
