"""`graphsvc skills …`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

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
from graphsvc.cli.output import Answer, fields, line, table
from graphsvc.cli.shell import Shell, add, command

skills = typer.Typer(
    no_args_is_help=True,
    help="What agents can do: create, find, choose, link, weigh, plan.",
    epilog="Example: graphsvc skills search 'roll out a release' -k 3",
)

SETTABLE = ("name", "description", "code", "signature", "tags", "metadata")
"""Fields that a caller gives; the others are counted."""

_TYPE = Annotated[
    Literal["prerequisite", "alternative", "refinement", "composition", "calls"],
    typer.Argument(help="What the target is to the source; composition: the source is part of it."),
]
_SOURCE = Annotated[str, typer.Argument(help="Id of the skill that the link starts from.")]
_TARGET = Annotated[str, typer.Argument(help="Id of the skill that it leads to.")]


def create(shell: Shell, needs: list[str] | None = None, **values: Any) -> Answer:
    """Create a skill, in version 1."""
    with shell.open() as memory:
        skill = memory.skills.create(**given(values), prerequisites=list(needs or ()))
    return records.told(records.one(skill).data, f"created {skill.id}")


def revise(shell: Shell, id: str, clear: list[str] | None = None, **values: Any) -> Answer:
    """Give a skill new values; a new name, description, code or signature make a new version."""
    agent = values.pop("in_agent")
    with shell.open() as memory:
        skill = memory.skills.revise(id, agent=agent, **given(values, clear))
    return records.told(records.one(skill).data, f"{id} is in version {skill.version}")


def _add_writing() -> None:
    options = of_record("skill", only=(*SETTABLE, "id", "agent", "at"), required=("name",))
    plain = options[-1]
    help = "Id of a prerequisite. Give it several times."
    needs = plain.replace(name="needs", annotation=Annotated[list[str] | None, typer.Option("--needs", help=help)])
    example = "graphsvc skills create --name deploy --description 'Roll out a release' --code 'kubectl apply'"
    add(skills, "create", create, [*options, needs], example=example)
    changes = of_record("skill", only=SETTABLE)
    id = plain.replace(name="id", annotation=Id, default=plain.empty)
    end = [plain.replace(name="clear", annotation=Clear), plain.replace(name="in_agent", annotation=Agent)]
    add(skills, "revise", revise, [id, *changes, *end], example="graphsvc skills revise ID --code 'kubectl apply -f .'")


_add_writing()


@command(skills, "list", example='graphsvc skills list --where \'{"tags": "json"}\' -k 20')
def list_(
    shell: Shell,
    where: Where = None,
    k: K = 50,
    agent: ManyAgents = None,
    order: Order = "newest",
) -> Answer:
    """List skills that pass a filter."""
    with shell.open() as memory:
        found = memory.skills.list(filtered(where), k, agent=agents(agent), order=order)
        total = memory.skills.count(filtered(where), agent=agents(agent))
    title = f"{len(found):,} of {total:,} skills"
    return Answer({"skills": found, "total": total}, records.printed(records.skill_table(found, title)))


@command(skills, "get", example="graphsvc skills get json.loads")
def get(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show one skill in full, in its current version."""
    with shell.open() as memory:
        return records.one(memory.skills.get(id, agent=agent))


@command(skills, "search", example="graphsvc skills search 'parse a date' -k 5")
def search(
    shell: Shell,
    text: Annotated[str, typer.Argument(help="What is to be done.")],
    k: K = 10,
    where: Where = None,
    agent: ManyAgents = None,
    mode: Mode = "blend",
    mmr: Annotated[float | None, typer.Option(help="1: relevance alone, 0: novelty alone.")] = None,
    min_similarity: Annotated[float | None, typer.Option(help="Lowest cosine, -1 to 1.")] = None,
    wait: Wait = False,
) -> Answer:
    """Find the skills that fit a text, by relevance and by how well they have worked."""
    with shell.asking(wait=wait) as memory:
        hits = memory.skills.search(
            text, k, where=filtered(where), agent=agents(agent), mode=mode, mmr=mmr,
            min_similarity=min_similarity,
        )  # fmt: skip
    view = records.printed(records.skill_hits(hits, f"Skills for {text!r}"), *records.not_embedded(hits))
    return Answer(records.hits_data(hits), view)


@command(skills, "choose", example="graphsvc skills choose 'roll out a release' --seed 1")
def choose(
    shell: Shell,
    text: Annotated[str, typer.Argument(help="What is to be done.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Among so many that fit best.")] = 5,
    where: Where = None,
    agent: ManyAgents = None,
    min_similarity: Annotated[float | None, typer.Option(help="Lowest cosine of what fits, -1 to 1.")] = None,
    seed: Annotated[int | None, typer.Option(help="For a choice that repeats.")] = None,
) -> Answer:
    """Choose one skill by Thompson sampling: what works often, and now and then what isn't known well."""
    with shell.asking() as memory:
        hit = memory.skills.choose(
            text, k=k, where=filtered(where), agent=agents(agent), min_similarity=min_similarity, rng=seed
        )
    if hit is None:
        return records.told({"chosen": None}, "no skill fits")
    skill = hit.skill
    shown = {"id": skill.id, "name": skill.name, "signature": skill.signature, "description": line(skill.description),
             "score": hit.score, **hit.parts}  # fmt: skip
    return Answer({"chosen": hit.as_dict()}, records.printed(fields(shown)))


@command(skills, "outcome", example="graphsvc skills outcome ID --success --reward 0.9 --latency-ms 300")
def outcome(
    shell: Shell,
    id: Id,
    success: Annotated[bool, typer.Option("--success/--no-success", help="Whether it worked.")],
    reward: Annotated[float | None, typer.Option(help="How good it was.")] = None,
    latency_ms: Annotated[float | None, typer.Option(help="How long it took, in milliseconds.")] = None,
    episode: Annotated[str | None, typer.Option(help="Id of the episode that used it.")] = None,
    agent: Agent = None,
) -> Answer:
    """Record a use of a skill, and how it went."""
    with shell.open() as memory:
        skill = memory.skills.record_outcome(
            id, success=success, reward=reward, latency_ms=latency_ms, episode=episode, agent=agent
        )
    return records.told(records.one(skill).data, f"{id}: {skill.successes:,} of {skill.uses:,} uses succeeded")


@command(skills, "link", example="graphsvc skills link deploy build prerequisite")
def link(
    shell: Shell,
    source: _SOURCE,
    target: _TARGET,
    type: _TYPE,
    weight: Annotated[float | None, typer.Option(help="Of the link.")] = None,
    agent: Agent = None,
) -> Answer:
    """Join two skills: the source needs the target, is an alternative to it, refines it, is part of it or calls it."""
    with shell.open() as memory:
        changed = memory.skills.link(source, target, type, weight=weight, agent=agent)
    return records.told({"changed": changed}, "linked" if changed else "they were linked so already")


@command(skills, "unlink", example="graphsvc skills unlink deploy build prerequisite")
def unlink(shell: Shell, source: _SOURCE, target: _TARGET, type: _TYPE, agent: Agent = None) -> Answer:
    """Part two skills."""
    with shell.open() as memory:
        changed = memory.skills.unlink(source, target, type, agent=agent)
    return records.told({"changed": changed}, "parted" if changed else "there was no such link")


@command(skills, "links", example="graphsvc skills links json.dumps")
def links(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show the skills that a skill is joined to, either way."""
    with shell.open() as memory:
        found = memory.skills.links(id, agent=agent)
    arrows = {"out": "→", "in": "←"}
    rows = ((arrows[one.direction], one.type, one.id, one.name, one.weight) for one in found)
    view = table(f"{len(found):,} links of {id}", ("", "type", "id", "name", "weight"), rows, whole=("id",))
    return Answer({"links": found}, records.printed(view))


@command(skills, "plan", example="graphsvc skills plan deploy")
def plan(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """List the skills to have for a goal, prerequisites first."""
    with shell.open() as memory:
        found = memory.skills.plan(id, agent=agent)
    rows = ((number, one.id, one.name, line(one.description)) for number, one in enumerate(found, 1))
    view = table(f"Plan for {id}", ("", "id", "name", "description"), rows, whole=("id",))
    return Answer({"plan": found}, records.printed(view))


@command(skills, "versions", example="graphsvc skills versions deploy")
def versions(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """List the versions of a skill."""
    with shell.open() as memory:
        found = memory.skills.versions(id, agent=agent)
    rows = ((one.version, one.at, one.name, line(one.description), line(one.code)) for one in found)
    view = table(f"Versions of {id}", ("version", "at", "name", "description", "code"), rows)
    return Answer({"versions": found}, records.printed(view))


@command(skills, "consolidate", example="graphsvc skills consolidate --window 7d --dry-run")
def consolidate(
    shell: Shell,
    min_attempts: Annotated[int, typer.Option(help="Successes that speak for a skill, at least.")] = 3,
    min_reward: Annotated[float, typer.Option(help="A lower reward makes a success count for nothing.")] = 0.7,
    window: Annotated[str | None, typer.Option(metavar="7d", help="Only attempts of the last so long.")] = None,
    where: Where = None,
    similarity: Annotated[float, typer.Option(help="Mean cosine of what means the same, over 0 to 1.")] = 0.75,
    agent: Agent = None,
    dry_run: DryRun = False,
) -> Answer:
    """Make skills of what successful attempts at like tasks have in common; done again it adds nothing."""
    with shell.open() as memory, shell.bar("Consolidating") as show:
        done = memory.skills.consolidate(
            min_attempts=min_attempts, min_reward=min_reward, window=window, where=filtered(where),
            similarity=similarity, agent=agent, dry_run=dry_run, progress=show,
        )  # fmt: skip
    data = done.as_dict()
    counts = {**data["counts"], **{name: data[name] for name in ("episodes", "successes", "failures", "clusters")}}
    title = "What would be done (nothing was written)" if dry_run else "Consolidated"
    rows = [
        (one.action, one.id, one.name, one.version, len(one.successes), len(one.failures))
        for one in done.skills
        if one.action in ("created", "updated")
    ]
    columns = ("", "id", "name", "version", "successes", "failures")
    listed = [table("", columns, rows, whole=("id",))] * bool(rows)
    return Answer(data, records.printed(fields(counts, title), *listed))


@command(skills, "evidence", example="graphsvc skills evidence learnt-0123456789abcdef")
def evidence(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """List the episodes that a skill was drawn from."""
    with shell.open() as memory:
        found = memory.skills.evidence(id, agent=agent)
    title = f"{len(found):,} episodes that {id} was drawn from"
    return Answer({"episodes": found}, records.printed(records.episode_table(found, title)))


@command(skills, "delete", example="graphsvc skills delete ID ID")
def delete(shell: Shell, ids: Ids, agent: Agent = None) -> Answer:
    """Delete skills with their versions and outcomes, all or none."""
    with shell.open() as memory:
        count = memory.skills.delete(list(ids), agent=agent)
    return records.told({"deleted": count}, f"deleted {count:,}")


@command(skills, "prune", example="graphsvc skills prune --min-uses 1 --max-age 90d --dry-run")
def prune(
    shell: Shell,
    min_uses: Annotated[int | None, typer.Option(help="Those used less often than this.")] = None,
    min_success_rate: Annotated[float | None, typer.Option(help="Those that succeed less often, 0 to 1.")] = None,
    max_age: MaxAge = None,
    agent: Agent = None,
    dry_run: DryRun = False,
) -> Answer:
    """Delete the skills that meet every criterion given; those that a staying skill requires stay."""
    with shell.open() as memory:
        gone = memory.skills.prune(
            min_uses=min_uses, min_success_rate=min_success_rate, max_age=max_age, agent=agent, dry_run=dry_run
        )
    return records.ids("pruned", gone, f"{len(gone):,} {'would go' if dry_run else 'deleted'}", dry_run=dry_run)


@command(skills, "stats", example="graphsvc skills stats deploy")
def stats(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show figures of a skill's recorded uses."""
    with shell.open() as memory:
        return records.statistics(memory.skills.statistics(id, agent=agent))


@command(skills, "history", example="graphsvc skills history deploy")
def history(shell: Shell, id: Id, agent: Agent = None) -> Answer:
    """Show everything that happened to a skill, also to a deleted one."""
    with shell.open() as memory:
        return records.history(memory.skills.history(id, agent=agent))
