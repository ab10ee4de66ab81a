"""`graphsvc facts …`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from graphsvc.cli import records
from graphsvc.cli.options import Agent, Id, K, ManyAgents, Mode, Order, Wait, Where, agents, filtered, given, of_record
from graphsvc.cli.output import Answer, cell, table
from graphsvc.cli.shell import Shell, add, command
from graphsvc.model.as_of import AsOf

facts = typer.Typer(no_args_is_help=True, help="What is true of whom, since when, until when; and what we knew when.")

_SAID = ("agent", "valid_from", "valid_to", "source", "confidence", "tags", "metadata", "id", "at")
Subject = Annotated[str | None, typer.Option(help="Only of this subject: a text, or the id of an entity.")]
PredicateName = Annotated[str | None, typer.Option(help="Only with this predicate.")]
Valid = Annotated[str | None, typer.Option(metavar="TIME", help="What was true then. ISO 8601 with a zone.")]
Known = Annotated[str | None, typer.Option(metavar="TIME", help="As it was known then. ISO 8601 with a zone.")]
_EPISODES = Annotated[
    list[str] | None, typer.Option("--episode", help="Id of an episode that it comes from. Give it several times.")
]


def _argument(name: str, help: str) -> inspect.Parameter:
    annotation = Annotated[str, typer.Argument(help=help)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def _option(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _when(valid: str | None, known: str | None) -> AsOf | None:
    return None if valid is known is None else AsOf(valid, known)


def _ends(fact: Any) -> tuple[str, str]:
    return cell(fact.valid_from) if fact.valid_from else "always", cell(fact.until) if fact.until else "open"


def fact_table(found: Iterable[Any], title: str) -> Any:
    """Facts as a table."""
    rows = ((one.id, one.subject, one.predicate, one.object, *_ends(one), one.confidence) for one in found)
    return table(title, ("id", "subject", "predicate", "object", "from", "until", "confidence"), rows, whole=("id",))


def add_(shell: Shell, subject: str, predicate: str, object: str, episodes: list[str] | None, **values: Any) -> Answer:
    """Add a fact. Of a single predicate it cuts what began before it, and is cut by what begins after it."""
    with shell.open() as memory:
        fact = memory.facts.add(subject, predicate, object, episodes=episodes or (), **given(values))
    return records.one(fact, "Fact") if shell.json else records.told(records.one(fact).data, f"added {fact.id}")


add(
    facts, "add", add_,
    [
        _argument("subject", "Whom or what it is about: a text, or the id of an entity."),
        _argument("predicate", "What is said of it."), _argument("object", "The rest: a text, or the id of an entity."),
        *of_record("fact", only=_SAID), _option("episodes", _EPISODES),
    ],
    example="graphsvc facts add Ada 'lives in' Rome --valid-from 2022-05-01T00:00:00Z --source 'her letter'",
)  # fmt: skip


@command(facts, "predicate", example="graphsvc facts predicate 'lives in' --single")
def predicate(
    shell: Shell,
    name: Annotated[str, typer.Argument(help="The predicate, as facts have it.")],
    single: Annotated[
        bool | None, typer.Option("--single/--many", help="Whether a subject has one object at a time.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it means.")] = None,
    agent: Annotated[str | None, typer.Option(help="The namespace that it is for.")] = None,
) -> Answer:
    """Say what a predicate means, and whether a subject has one object at a time."""
    with shell.open() as memory:
        found = memory.facts.predicate(name, single=single, description=description, agent=agent)
    if shell.json:
        return records.one(found, "Predicate")
    return records.told(records.one(found).data, f"{found.name}: {'one object at a time' if found.single else 'many'}")


@command(facts, "predicates", example="graphsvc facts predicates")
def predicates(shell: Shell, agent: ManyAgents = None) -> Answer:
    """List the predicates that were defined; others are many."""
    with shell.open() as memory:
        found = memory.facts.predicates(agent=agents(agent))
    rows = ((one.name, one.single, one.description, one.agent) for one in found)
    view = table("Predicates", ("name", "single", "description", "agent"), rows, whole=("name",))
    return Answer({"predicates": found}, records.printed(view))


@command(facts, "list", example="graphsvc facts list --subject Ada --valid 2023-01-01T00:00:00Z")
def list_(
    shell: Shell,
    subject: Subject = None,
    predicate: PredicateName = None,
    object: Annotated[str | None, typer.Option(help="Only with this object.")] = None,
    valid: Valid = None,
    known: Known = None,
    now: Annotated[bool, typer.Option("--now", help="Only what is true now.")] = False,
    where: Where = None,
    k: K = 50,
    agent: ManyAgents = None,
    order: Order = "newest",
) -> Answer:
    """List facts that are believed, or were true, or known, at a moment."""
    from datetime import UTC, datetime

    with shell.open() as memory:
        found = memory.facts.list(
            filtered(where), k, subject=subject, predicate=predicate, object=object,
            as_of=AsOf(datetime.now(UTC), known) if now else _when(valid, known), agent=agents(agent), order=order,
        )  # fmt: skip
    return Answer({"facts": found}, records.printed(fact_table(found, f"{len(found):,} facts")))


@command(facts, "get", example="graphsvc facts get ID")
def get(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show one fact in full, retracted or not."""
    with shell.open() as memory:
        return records.one(memory.facts.get(id, agent=agent))


@command(facts, "search", example="graphsvc facts search 'where does Ada live' -k 3")
def search(
    shell: Shell,
    text: Annotated[str, typer.Argument(help="A question, or anything.")],
    k: K = 10,
    where: Where = None,
    valid: Valid = None,
    known: Known = None,
    agent: ManyAgents = None,
    mode: Mode = "blend",
    wait: Wait = False,
) -> Answer:
    """Find the believed facts most relevant to a text."""
    with shell.asking(wait=wait) as memory:
        hits = memory.facts.search(
            text, k, where=filtered(where), as_of=_when(valid, known), agent=agents(agent), mode=mode
        )
    rows = (
        (f"{hit.score:.3f}", hit.fact.id, hit.fact.subject, hit.fact.predicate, hit.fact.object, *_ends(hit.fact))
        for hit in hits
    )
    columns = ("score", "id", "subject", "predicate", "object", "from", "until")
    view = table(f"Facts for {text!r}", columns, rows, whole=("id",))
    return Answer(records.hits_data(hits), records.printed(view, *records.not_embedded(hits)))


@command(facts, "retract", example="graphsvc facts retract ID")
def retract(
    shell: Shell,
    id: Id,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="When that was learnt; now if not given.")] = None,
    agent: Agent = None,
) -> Answer:
    """Believe a fact no more. That it was believed until then stays known."""
    with shell.open() as memory:
        fact = memory.facts.retract(id, at, agent=agent)
    return records.one(fact, "Fact") if shell.json else records.told(records.one(fact).data, f"retracted {fact.id}")


def correct(shell: Shell, id: str, **values: Any) -> Answer:
    """Put another fact in the place of one that was wrong."""
    with shell.open() as memory:
        fact = memory.facts.correct(id, **given(values))
    return records.one(fact, "Fact") if shell.json else records.told(records.one(fact).data, f"corrected by {fact.id}")


add(
    facts, "correct", correct,
    [
        _argument("id", "Id of the fact that is wrong."),
        *of_record("fact", only=[name for name in ("object", *_SAID) if name != "id"]),
    ],
    example="graphsvc facts correct ID --object Turin",
)  # fmt: skip


@command(facts, "history", example="graphsvc facts history Ada --predicate 'lives in'")
def history(
    shell: Shell,
    subject: Annotated[str, typer.Argument(help="A text, or the id of an entity.")],
    predicate: PredicateName = None,
    agent: ManyAgents = None,
) -> Answer:
    """Show what was believed when of a subject."""
    with shell.open() as memory:
        told = memory.facts.history(subject, predicate, agent=agents(agent))
    rows = (
        (one.fact.id, one.fact.predicate, one.fact.object, one.valid_from or "always", one.valid_to or "open",
         one.known_from, one.known_to or "now")
        for one in told
    )  # fmt: skip
    columns = ("id", "predicate", "object", "true from", "until", "known from", "until ")
    return Answer({"history": told}, records.printed(table(f"What was believed of {subject}", columns, rows)))


@command(facts, "contradictions", example="graphsvc facts contradictions --predicate 'lives in'")
def contradictions(
    shell: Shell,
    subject: Subject = None,
    predicate: PredicateName = None,
    known: Known = None,
    k: K = 50,
    agent: ManyAgents = None,
) -> Answer:
    """List facts that can't both be true, with where each comes from."""
    with shell.open() as memory:
        found = memory.facts.contradictions(subject, predicate, k, known=known, agent=agents(agent))
    rows = (
        (one.held.subject, one.held.predicate, _side(one.held, one.held_evidence),
         _side(one.overruled, one.overruled_evidence), one.reason)
        for one in found
    )  # fmt: skip
    columns = ("subject", "predicate", "counts", "overruled", "why")
    return Answer({"contradictions": found}, records.printed(table(f"{len(found):,} contradictions", columns, rows)))


def _side(fact: Any, evidence: tuple[str, ...]) -> str:
    origin = ", ".join(filter(None, (fact.source, *evidence)))
    return f"{fact.object} ({fact.id}{': ' + origin if origin else ''})"


@command(facts, "evidence", example="graphsvc facts evidence ID")
def evidence(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """List the episodes that a fact comes from, oldest first."""
    with shell.open() as memory:
        found = memory.facts.evidence(id, agent=agent)
    return Answer({"episodes": found}, records.printed(records.episode_table(found, f"Evidence of {id}")))


__all__ = ["fact_table", "facts"]
