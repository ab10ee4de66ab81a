"""How records look to people: episodes and skills found, listed, or one in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from graphsvc.cli.output import Answer, fields, line, table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from graphsvc.memory.results import Event, Hits, Statistics
    from graphsvc.model.records import Episode, Record, Skill


def printed(*parts: RenderableType) -> Callable[[Console], None]:
    """A view that prints these."""

    def view(console: Console) -> None:
        for part in parts:
            console.print(part)

    return view


def one(record: Record, title: str = "") -> Answer:
    """One record in full."""
    data = msgspec.to_builtins(record)
    shown = {name: getattr(record, name) for name in data}
    return Answer(data, printed(fields(shown, title)))


def episode_table(episodes: Sequence[Episode], title: str) -> RenderableType:
    """Episodes, a line each."""
    rows = ((one.id, one.at, one.session, line(one.task), one.success, one.reward) for one in episodes)
    return table(title, ("id", "at", "session", "task", "success", "reward"), rows, whole=("id",))


def skill_table(skills: Iterable[Skill], title: str) -> RenderableType:
    """Skills, some lines each."""
    rows = ((one.id, what(one), one.version, one.uses, one.success_rate) for one in skills)
    return table(title, ("id", "what", "version", "uses", "success"), rows, whole=("id",))


def what(skill: Skill) -> str:
    """A skill's name, where its id isn't that already, and what it does or how it is called."""
    name = "" if skill.name == skill.id else skill.name
    return "\n".join(filter(None, (name, line(skill.description) or skill.signature)))


def episode_hits(hits: Hits[Episode], title: str) -> RenderableType:
    """Episodes found, best first."""
    rows = (
        (f"{hit.score:.3f}", hit.episode.id, line(hit.episode.task), hit.episode.success, hit.episode.reward,
         hit.episode.critique)
        for hit in hits
    )  # fmt: skip
    return table(title, ("score", "id", "task", "success", "reward", "critique"), rows, whole=("id",))


def skill_hits(hits: Hits[Skill], title: str) -> RenderableType:
    """Skills found, best first."""
    rows = ((f"{hit.score:.3f}", hit.skill.id, what(hit.skill), hit.skill.uses) for hit in hits)
    return table(title, ("score", "id", "what", "uses"), rows, whole=("id",))


def not_embedded(*found: Hits[Any]) -> list[str]:
    """What is to be said where not all could be compared by meaning: records, or the end of the question."""
    pending, unread = sum(hits.pending for hits in found), max(hits.unread for hits in found)
    said = [f"{pending:,} records aren't embedded yet and were found by words alone; --wait waits."] * bool(pending)
    return said + [f"The model didn't read the last {unread:,} tokens of the question."] * bool(unread)


def hits_data(hits: Hits[Any]) -> dict[str, Any]:
    """An answer to a search as JSON."""
    return {"hits": hits.as_dicts(), "pending": hits.pending, "behind": hits.behind, "unread": hits.unread}


def history(events: Sequence[Event]) -> Answer:
    """What happened to a record."""
    rows = ((event.n, event.at[:19] + "Z", event.verb, event.what, event.values) for event in events)
    view = printed(table("History", ("n", "at", "verb", "what", "values"), rows))
    return Answer({"history": events}, view)


def statistics(figures: Statistics) -> Answer:
    """Figures of episodes or of a skill's uses."""
    data = msgspec.to_builtins(figures)
    shown = {name: value for name, value in data.items() if name != "trend"}
    days = data["trend"].pop("days")
    trend = {f"last {days:g} days: {name}": value for name, value in data["trend"].items()}
    data["trend"]["days"] = days
    return Answer(data, printed(fields({**shown, **trend})))


def told(data: dict[str, Any], text: str) -> Answer:
    """An answer in a sentence."""
    from graphsvc.cli.output import safe

    return Answer(data, lambda console: console.print(safe(text), soft_wrap=True))


def ids(name: str, found: Sequence[str], title: str, **more: Any) -> Answer:
    """An answer that is a list of ids."""
    rows = ((id,) for id in found)
    return Answer({name: found, **more}, printed(table(title, ("id",), rows, whole=("id",))))
