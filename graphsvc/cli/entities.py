"""`graphsvc entities …`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from graphsvc.cli import records
from graphsvc.cli.options import Agent, Id, Ids, K, ManyAgents, Order, Where, agents, filtered, given, of_record
from graphsvc.cli.output import Answer, line, table
from graphsvc.cli.shell import Shell, add, command

entities = typer.Typer(no_args_is_help=True, help="What episodes are about: files, services, people.")


def upsert(shell: Shell, **values: Any) -> Answer:
    """Make an entity, or give the one that exists what is new of it."""
    with shell.open() as memory:
        entity = memory.entities.upsert(**given(values))
    return records.one(entity, "Entity") if shell.json else records.told(records.one(entity).data, f"kept {entity.id}")


add(
    entities, "upsert", upsert,
    sorted(of_record("entity", required=("kind", "name")), key=lambda option: option.default is None),
    example="graphsvc entities upsert --kind file --name src/api.py --description 'The HTTP interface'",
)  # fmt: skip


@command(entities, "list", example="graphsvc entities list --where '{\"kind\": \"file\"}' -k 20")
def list_(
    shell: Shell,
    where: Where = None,
    k: K = 50,
    agent: ManyAgents = None,
    order: Order = "newest",
) -> Answer:
    """List entities that pass a filter."""
    with shell.open() as memory:
        found = memory.entities.list(filtered(where), k, agent=agents(agent), order=order)
        total = memory.entities.count(filtered(where), agent=agents(agent))
    rows = ((one.id, one.kind, one.name, line(one.description)) for one in found)
    title = f"{len(found):,} of {total:,} entities"
    view = table(title, ("id", "kind", "name", "description"), rows, whole=("id",))
    return Answer({"entities": found, "count": total}, records.printed(view))


@command(entities, "get", example="graphsvc entities get file:src/api.py")
def get(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show one entity in full."""
    with shell.open() as memory:
        return records.one(memory.entities.get(id, agent=agent))


@command(entities, "episodes", example="graphsvc entities episodes file:src/api.py -k 10")
def episodes(shell: Shell, id: Id, k: K = 20, agent: Agent = None) -> Answer:
    """List the episodes that are about an entity, newest first."""
    with shell.open() as memory:
        found = memory.entities.episodes(id, k, agent=agent)
    return Answer({"episodes": found}, records.printed(records.episode_table(found, f"About {id}")))


@command(entities, "delete", example="graphsvc entities delete ID ID")
def delete(shell: Shell, ids: Ids, agent: Agent = None) -> Answer:
    """Delete entities with their edges, all or none."""
    with shell.open() as memory:
        count = memory.entities.delete(list(ids), agent=agent)
    return records.told({"deleted": count}, f"deleted {count:,}")


@command(entities, "history", example="graphsvc entities history ID")
def history(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show everything that happened to an entity, also to a deleted one."""
    with shell.open() as memory:
        return records.history(memory.entities.history(id, agent=agent))


_EPISODE = Annotated[str, typer.Argument(metavar="EPISODE", help="Id of the episode.")]
_TARGET = Annotated[str, typer.Argument(metavar="TARGET", help="Id of the entity, or of the other episode.")]
_TYPE = Annotated[Literal["about", "evidence"], typer.Argument(help="about an entity, or another episode is evidence.")]


def add_links(app: typer.Typer) -> None:
    """Give `graphsvc episodes` the commands that join episodes and follow their edges."""

    @command(app, "link", example="graphsvc episodes link ID file:src/api.py about")
    def link(shell: Shell, episode: _EPISODE, target: _TARGET, type: _TYPE, agent: Agent = None) -> Answer:
        """Join an episode with an entity that it is about, or with an episode that is evidence of how it went."""
        with shell.open() as memory:
            changed = memory.episodes.link(episode, target, type, agent=agent)
        return records.told({"changed": changed}, "joined" if changed else "they were joined already")

    @command(app, "unlink", example="graphsvc episodes unlink ID file:src/api.py about")
    def unlink(shell: Shell, episode: _EPISODE, target: _TARGET, type: _TYPE, agent: Agent = None) -> Answer:
        """Take such an edge away."""
        with shell.open() as memory:
            changed = memory.episodes.unlink(episode, target, type, agent=agent)
        return records.told({"changed": changed}, "parted" if changed else "they weren't joined")

    @command(app, "about", example="graphsvc episodes about ID")
    def about(shell: Shell, id: Id, agent: Agent = None) -> Answer:
        """List the entities that an episode is about."""
        with shell.open() as memory:
            found = memory.episodes.about(id, agent=agent)
        rows = ((one.id, one.kind, one.name) for one in found)
        return Answer({"entities": found}, records.printed(table("", ("id", "kind", "name"), rows, whole=("id",))))

    @command(app, "evidence", example="graphsvc episodes evidence ID")
    def evidence(shell: Shell, id: Id, agent: Agent = None) -> Answer:
        """List the episodes that show how an episode went, oldest first."""
        with shell.open() as memory:
            found = memory.episodes.evidence(id, agent=agent)
        return Answer({"episodes": found}, records.printed(records.episode_table(found, f"Evidence on {id}")))
