"""`graphsvc brief`, `graphsvc feedback` and `graphsvc feedbacks`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from graphsvc.cli import records
from graphsvc.cli.options import Agent, K, ManyAgents, Wait, Where, agents, filtered
from graphsvc.cli.output import Answer, safe, table
from graphsvc.cli.shell import Shell, command
from graphsvc.errors import BadInput

_KIND = Annotated[Literal["episode", "skill"], typer.Option("--kind", help="Kind of the records.")]


def brief(
    shell: Shell,
    task: Annotated[str, typer.Argument(help="The task at hand, in any words.")],
    max_tokens: Annotated[int, typer.Option(help="Tokens of the embedding model that the text may take.")] = 500,
    where: Where = None,
    agent: ManyAgents = None,
    min_similarity: Annotated[float, typer.Option(help="Lowest cosine of what counts as like it, -1 to 1.")] = 0.25,
    wait: Wait = False,
) -> Answer:
    """Say what is known of tasks like this one: figures, a recommendation, what worked, what failed and why."""
    with shell.asking(wait=wait) as memory:
        found = memory.brief(
            task, max_tokens, where=filtered(where), agent=agents(agent), min_similarity=min_similarity
        )
    return Answer(found.as_dict(), lambda console: console.print(safe(str(found)), soft_wrap=True))


def feedback(
    shell: Shell,
    query: Annotated[str, typer.Argument(help="What was asked.")],
    used: Annotated[list[str], typer.Option("--used", metavar="ID[=VALUE]", help="How useful, 0 to 1. Give it often.")],
    kind: _KIND = "episode",
    agent: Agent = None,
) -> Answer:
    """Say which of the records that an answer showed were useful."""
    values = dict(_judged(text) for text in used)
    with shell.open() as memory:
        kept = memory.feedback(query, values, kind=kind, agent=agent)
    return records.told({"feedback": kept}, f"kept what was said of {len(kept):,}")


def _judged(text: str) -> tuple[str, float]:
    """An id and how useful it was; an id alone was."""
    id, sign, value = text.rpartition("=")
    if not sign:
        return text, 1.0
    try:
        return id, float(value)
    except ValueError:
        raise BadInput(f"expected ID or ID=VALUE, got {text!r}", where="--used", hint="Like --used ID=0.5.") from None


def feedbacks(
    shell: Shell,
    k: K = 50,
    record: Annotated[str | None, typer.Option("--record", metavar="ID", help="Only on this record.")] = None,
    kind: _KIND = "episode",
    agent: ManyAgents = None,
) -> Answer:
    """List the feedback that was given, the newest first."""
    with shell.open() as memory:
        found = memory.feedbacks(k, record=record, kind=kind, agent=agents(agent))
    rows = ((one.at, one.query, one.kind, one.record, one.value, one.rank) for one in found)
    columns = ("at", "query", "kind", "record", "value", "rank")
    view = table(f"{len(found):,} given", columns, rows, whole=("record",))
    return Answer({"feedback": found}, records.printed(view))


def add_learning(app: typer.Typer) -> None:
    """Give the app these commands."""
    command(app, "brief", example="graphsvc brief 'deploy the service' --max-tokens 300", panel="Remember")(brief)
    example = "graphsvc feedback 'deploy the service' --used ID --used ID=0.2"
    command(app, "feedback", example=example, panel="Remember")(feedback)
    command(app, "feedbacks", example="graphsvc feedbacks -k 20", panel="Remember")(feedbacks)
