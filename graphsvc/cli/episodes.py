"""`graphsvc store` and `graphsvc episodes …`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import typer

from graphsvc.cli import records
from graphsvc.cli.options import (
    Agent,
    Clear,
    DryRun,
    Id,
    Ids,
    K,
    ManyAgents,
    MaxAge,
    Mode,
    Order,
    Wait,
    Where,
    agents,
    filtered,
    given,
    of_record,
)
from graphsvc.cli.output import Answer, line, table
from graphsvc.cli.shell import Shell, add, command
from graphsvc.model.kinds import KINDS
from graphsvc.model.texts import WEIGHT

episodes = typer.Typer(
    no_args_is_help=True,
    help="What agents tried: list, find, amend, delete, prune, learn from.",
    epilog="Example: graphsvc episodes retrieve 'deploy the service' -k 5",
)

_FIELDS = KINDS["episode"].fields
_WAIT = Annotated[Literal["searchable", "graph"] | None, typer.Option("--wait", help="Wait until it is.")]


def store(shell: Shell, wait: str | None = None, **values: Any) -> Answer:
    """Store one episode: what was to be done, what was done, how it went."""
    with shell.open() as memory:
        episode = memory.episodes.store(**given(values), wait=cast(Any, wait))
    answer = records.one(episode, "Stored")
    return answer if shell.json else records.told(answer.data, f"stored {episode.id}")


def add_store(app: typer.Typer) -> None:
    """Give the app the command `store`."""
    options = of_record("episode", required=("session", "task"))
    wait = options[0].replace(name="wait", annotation=_WAIT)
    add(app, "store", store, [*sorted(options, key=lambda option: option.default is None), wait],
        example="graphsvc store --session s1 --task 'Deploy the API' --critique 'Migrate first' --no-success",
        panel="Remember")  # fmt: skip


def amend(shell: Shell, id: str, clear: list[str] | None = None, **values: Any) -> Answer:
    """Give fields of an episode new values."""
    agent = values.pop("in_agent")
    with shell.open() as memory:
        episode = memory.episodes.amend(id, agent=agent, **given(values, clear))
    return records.one(episode, "Amended") if shell.json else records.told(records.one(episode).data, f"amended {id}")


def _amend_options() -> list[Any]:
    options = of_record("episode", only=[name for name in _FIELDS if name not in ("id", "agent")])
    kind = options[0]
    return [
        kind.replace(name="id", annotation=Id, default=kind.empty), *options,
        kind.replace(name="clear", annotation=Clear),
        kind.replace(name="in_agent", annotation=Agent),
    ]  # fmt: skip


add(
    episodes, "amend", amend, _amend_options(),
    example="graphsvc episodes amend ID --reward 1 --success --clear critique",
)  # fmt: skip


@command(episodes, "list", example="graphsvc episodes list --where '{\"success\": false}' -k 20")
def list_(
    shell: Shell,
    where: Where = None,
    k: K = 50,
    agent: ManyAgents = None,
    order: Order = "newest",
) -> Answer:
    """List episodes that pass a filter."""
    with shell.open() as memory:
        found = memory.episodes.list(filtered(where), k, agent=agents(agent), order=order)
        total = memory.episodes.count(filtered(where), agent=agents(agent))
    title = f"{len(found):,} of {total:,} episodes"
    return Answer({"episodes": found, "total": total}, records.printed(records.episode_table(found, title)))


@command(episodes, "get", example="graphsvc episodes get ID --json")
def get(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show one episode in full."""
    with shell.open() as memory:
        return records.one(memory.episodes.get(id, agent=agent))


@command(episodes, "retrieve", example="graphsvc episodes retrieve 'deploy the service' -k 5 --half-life 30d")
def retrieve(
    shell: Shell,
    text: Annotated[str, typer.Argument(help="A task, or anything.")],
    k: K = 10,
    where: Where = None,
    agent: ManyAgents = None,
    mode: Mode = "blend",
    weight: Annotated[float, typer.Option(help="Share of meaning in the blend, 0 to 1.")] = WEIGHT,
    mmr: Annotated[float | None, typer.Option(help="1: relevance alone, 0: novelty alone.")] = None,
    half_life: Annotated[str | None, typer.Option(metavar="30d", help="Age at which a score counts half.")] = None,
    min_similarity: Annotated[float | None, typer.Option(help="Lowest cosine, -1 to 1.")] = None,
    feedback: Annotated[float, typer.Option(help="Share of what feedback said in the score, 0 to 1.")] = 0.0,
    wait: Wait = False,
) -> Answer:
    """Find the episodes most relevant to a text."""
    with shell.asking(wait=wait) as memory:
        hits = memory.episodes.retrieve(
            text, k, where=filtered(where), agent=agents(agent), mode=mode, weight=weight, mmr=mmr,
            half_life=half_life, min_similarity=min_similarity, feedback=feedback,
        )  # fmt: skip
    view = records.printed(records.episode_hits(hits, f"Episodes for {text!r}"), *records.not_embedded(hits))
    return Answer(records.hits_data(hits), view)


@command(episodes, "delete", example="graphsvc episodes delete ID ID")
def delete(shell: Shell, ids: Ids, agent: Agent = None) -> Answer:
    """Delete episodes, all or none. Their history stays, their ids stay taken."""
    with shell.open() as memory:
        count = memory.episodes.delete(list(ids), agent=agent)
    return records.told({"deleted": count}, f"deleted {count:,}")


@command(episodes, "prune", example="graphsvc episodes prune --min-reward 0.3 --max-age 30d --dry-run")
def prune(
    shell: Shell,
    min_reward: Annotated[float | None, typer.Option(help="Those with a reward below this.")] = None,
    max_age: MaxAge = None,
    keep_min_per_task: Annotated[int, typer.Option(help="Of a task's episodes so many of the best stay.")] = 5,
    agent: Agent = None,
    dry_run: DryRun = False,
) -> Answer:
    """Delete the episodes that meet every criterion given, but never a task's best."""
    with shell.open() as memory:
        gone = memory.episodes.prune(
            min_reward=min_reward, max_age=max_age, keep_min_per_task=keep_min_per_task, agent=agent, dry_run=dry_run
        )
    title = f"{len(gone):,} {'would go' if dry_run else 'deleted'}"
    return records.ids("pruned", gone, title, dry_run=dry_run)


@command(episodes, "stats", example="graphsvc episodes stats --task 'Deploy the API'")
def stats(
    shell: Shell,
    task: Annotated[str | None, typer.Option(help="Only this task, by its exact text.")] = None,
    where: Where = None,
    agent: ManyAgents = None,
) -> Answer:
    """Show figures of the episodes at a task, or of all that pass a filter."""
    with shell.open() as memory:
        return records.statistics(memory.episodes.statistics(task, where=filtered(where), agent=agents(agent)))


def _lessons(found: Any, name: str, title: str) -> Answer:
    rows = ((f"{lesson.score:.3f}", lesson.count, lesson.reward, lesson.text, lesson.episodes) for lesson in found)
    data = {name: [{"text": one.text, "count": one.count, "episodes": one.episodes, "score": one.score,
                    "reward": one.reward} for one in found]}  # fmt: skip
    return Answer(data, records.printed(table(title, ("score", "times", "reward", "text", "episodes"), rows)))


@command(episodes, "critiques", example="graphsvc episodes critiques 'deploy the service'")
def critiques(
    shell: Shell,
    task: Annotated[str, typer.Argument(help="A task, in any words.")],
    k: K = 5,
    where: Where = None,
    agent: ManyAgents = None,
) -> Answer:
    """Say what went wrong on tasks like this one."""
    with shell.asking() as memory:
        found = memory.episodes.critiques(task, k, where=filtered(where), agent=agents(agent))
    return _lessons(found, "critiques", f"What went wrong: {line(task)}")


@command(episodes, "strategies", example="graphsvc episodes strategies 'deploy the service'")
def strategies(
    shell: Shell,
    task: Annotated[str, typer.Argument(help="A task, in any words.")],
    k: K = 3,
    where: Where = None,
    agent: ManyAgents = None,
) -> Answer:
    """Say what worked on tasks like this one."""
    with shell.asking() as memory:
        found = memory.episodes.strategies(task, k, where=filtered(where), agent=agents(agent))
    return _lessons(found, "strategies", f"What worked: {line(task)}")


@command(episodes, "history", example="graphsvc episodes history ID")
def history(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show everything that happened to an episode, also to a deleted one."""
    with shell.open() as memory:
        return records.history(memory.episodes.history(id, agent=agent))


@command(episodes, "relations", example="graphsvc episodes relations ID")
def relations(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show what an episode is joined to: before and after it, at the same task, skills it used."""
    import msgspec

    from graphsvc.cli.output import fields

    with shell.open() as memory:
        data = msgspec.to_builtins(memory.episodes.relations(id, agent=agent))
    return Answer(data, records.printed(fields(data)))
