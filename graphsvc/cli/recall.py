"""`graphsvc recall`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from graphsvc.cli import records
from graphsvc.cli.causal import as_of
from graphsvc.cli.options import K, ManyAgents, Wait, Where, agents, filtered
from graphsvc.cli.output import Answer, line, table
from graphsvc.cli.shell import Shell, command
from graphsvc.errors import BadInput
from graphsvc.model.kinds import SEARCHABLE
from graphsvc.model.recalling import DEFAULT_K, NO_EVIDENCE, SHARE_OF_NEARNESS
from graphsvc.model.texts import WEIGHT, embedded_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from graphsvc.memory.recall import Recalled

_Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="|".join(SEARCHABLE), help="Only this kind; give it several times."),
]


def recall(
    shell: Shell,
    text: Annotated[str, typer.Argument(help="A task, or anything.")],
    k: K = DEFAULT_K,
    kinds: _Kinds = None,
    where: Where = None,
    agent: ManyAgents = None,
    alpha: Annotated[float | None, typer.Option(help="What likeness counts; see the settings.")] = None,
    beta: Annotated[float | None, typer.Option(help="What causal uplift counts; see the settings.")] = None,
    gamma: Annotated[float | None, typer.Option(help="What latency takes off; see the settings.")] = None,
    goal: Annotated[
        str | None, typer.Option(metavar="KIND:ID", help="What uplifts are about; a variable by its name.")
    ] = None,
    near: Annotated[
        list[str] | None, typer.Option(metavar="TABLE:ID", help="A node to be near to; give it several times.")
    ] = None,
    nearness: Annotated[float, typer.Option(help="Share of nearness in the likeness, 0 to 1.")] = SHARE_OF_NEARNESS,
    weight: Annotated[float, typer.Option(help="Share of meaning in the blend, 0 to 1.")] = WEIGHT,
    half_life: Annotated[str | None, typer.Option(metavar="30d", help="Age at which likeness counts half.")] = None,
    feedback: Annotated[float, typer.Option(help="Share of what feedback said in the likeness, 0 to 1.")] = 0.0,
    min_similarity: Annotated[float | None, typer.Option(help="Lowest cosine, -1 to 1.")] = None,
    valid: Annotated[
        str | None, typer.Option(metavar="TIME", help="What held then: facts and causal edges; now if not given.")
    ] = None,
    known: Annotated[str | None, typer.Option(metavar="TIME", help="As it was known then.")] = None,
    wait: Wait = False,
) -> Answer:
    """Recall what is worth knowing for a text, of every kind at once, and say what each is worth and why."""
    with shell.asking(wait=wait) as memory:
        found = memory.recall(
            text, k, kinds=kinds or None, where=filtered(where), agent=agents(agent), alpha=alpha, beta=beta,
            gamma=gamma, goal=goal, near=[_node(name) for name in near] if near else None, nearness=nearness,
            weight=weight, half_life=half_life, feedback=feedback, min_similarity=min_similarity,
            as_of=as_of(valid, known),
        )  # fmt: skip
    return Answer(found.as_dict(), records.printed(_view(found, f"Recalled for {text!r}"), *_remarks(found)))


def _node(name: str) -> tuple[str, str]:
    table, sign, id = name.partition(":")
    if not sign:
        raise BadInput(f"expected TABLE:ID, got {name!r}", where="--near", hint="Like --near Skill:parse-json.")
    return table, id


def _view(found: Recalled, title: str) -> RenderableType:
    columns = ("utility", "likeness", "uplift", "latency", "kind", "id", "what")
    rows = (
        (
            f"{item.utility:.3f}", f"{item.similarity:.3f}",
            None if NO_EVIDENCE in item.flags else f"{item.uplift:+.3f}", f"{item.latency:.3f}", item.kind,
            item.record.id, line(embedded_text(item.record) or ""),
        )
        for item in found
    )  # fmt: skip
    return table(title, columns, rows, whole=("id",))


def _remarks(found: Recalled) -> list[str]:
    if not found.pending:
        return []
    return [f"{found.pending:,} records aren't embedded yet and were found by words alone; --wait waits."]


def add_recall(app: typer.Typer) -> None:
    """Give the app this command."""
    command(app, "recall", example="graphsvc recall 'deploy the service' -k 5", panel="Remember")(recall)
