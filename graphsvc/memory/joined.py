"""What episodes are joined to: the entities that they are about, and the later episodes that judge them."""

from __future__ import annotations

from typing import Any, Literal, cast

from graphsvc.errors import BadInput, Gone, NotFound
from graphsvc.log.state import Stored
from graphsvc.memory.verbs import Verbs, Wait
from graphsvc.model.names import check_name
from graphsvc.model.records import Entity, Episode, Record
from graphsvc.model.requests import EpisodeLink, LinkEpisodes, Ref, UnlinkEpisode

EpisodeLinkType = Literal["about", "evidence"]
"""What joins an episode: it is `about` an entity, or another episode is `evidence` of how it went."""
RELS = {"about": "ABOUT", "evidence": "EVIDENCE"}
_TARGETS = {"about": "entity", "evidence": "episode"}


class Joined(Verbs):
    """The verbs of episodes that make edges and follow them."""

    def link(
        self, episode: str, target: str, type: EpisodeLinkType, *, agent: str | None = None, wait: Wait = None
    ) -> bool:
        """Join an episode with an entity that it is `about`, or with a later episode that is `evidence` of how it went.

        Args:
            episode: id of the episode that the edge starts from. target: id of the entity or episode.
            type: "about" or "evidence". agent: namespace of the episode.

        Returns:
            Whether anything changed.

        Raises:
            NotFound, Gone, Ambiguous: for either end. BadInput: for the type, or an episode joined to itself.
        """
        request = LinkEpisodes([self._edge(episode, target, type, agent)])
        return bool(self._submit(request, wait))

    def unlink(
        self, episode: str, target: str, type: EpisodeLinkType, *, agent: str | None = None, wait: Wait = None
    ) -> bool:
        """Take such an edge away; whether there was one."""
        return cast(bool, self._submit(UnlinkEpisode(self._edge(episode, target, type, agent)), wait))

    def about(self, id: str, *, agent: str | None = None) -> Entities:
        """The entities that an episode is about, by kind and name.

        Raises:
            NotFound, Gone, Ambiguous: for the id.
        """
        stored = self._resolve(id, self._namespaces.reads(agent))
        found = cast("list[Entity]", self._far(stored, "ABOUT", "out"))
        return sorted(found, key=lambda entity: (entity.kind, entity.name, entity.key))

    def evidence(self, id: str, *, agent: str | None = None) -> EvidenceList:
        """The episodes that show how an episode went, oldest first: a revert, a fix, a failure it caused.

        Raises:
            NotFound, Gone, Ambiguous: for the id.
        """
        stored = self._resolve(id, self._namespaces.reads(agent))
        found = cast("list[Episode]", self._far(stored, "EVIDENCE", "out"))
        return sorted(found, key=lambda episode: (episode.at, episode.id))

    def _edge(self, episode: Any, target: Any, type: Any, agent: Any) -> EpisodeLink:
        if not isinstance(type, str) or type not in RELS:
            raise BadInput(f"{type!r} is not one of {', '.join(RELS)}", where="type")
        source = self._ref(episode, agent)
        return EpisodeLink(RELS[type], source, self._end(_TARGETS[type], target, source[0]))

    def _end(self, kind: str, id: Any, space: str) -> Ref:
        """The far end of an edge: in the episode's namespace, or in another that the handle sees."""
        log = self._opened.log
        check_name(id, "target")
        try:
            stored = log.resolve(kind, id, (space,))
        except (NotFound, Gone):
            stored = log.resolve(kind, id, self._namespaces.reads())
        return stored.agent, stored.id

    def _far(self, stored: Stored, rel: str, direction: str) -> list[Record]:
        return far_ends(self, stored, rel, direction)


def far_ends(verbs: Verbs, stored: Stored, rel: str, direction: str) -> list[Record]:
    """The records at the far ends of a record's edges of one type, of those that the handle sees."""
    log = verbs._opened.log
    rows = [row for name, way, row, _ in log.links_of(stored.row) if (name, way) == (rel, direction)]
    seen = verbs._namespaces.reads()
    records = log.records(rows)
    return [records[row] for row in rows if row in records and (seen is None or records[row].agent in seen)]


Entities = list[Entity]
EvidenceList = list[Episode]

__all__ = ["RELS", "EpisodeLinkType", "Joined", "far_ends"]
