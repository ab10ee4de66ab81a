"""Entities: what episodes are about, like files, services or people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from graphsvc.errors import BadInput
from graphsvc.memory.joined import far_ends
from graphsvc.memory.retrieval import Where, check_k
from graphsvc.memory.rows_in import rows_of
from graphsvc.memory.verbs import Verbs, Wait, check_wait
from graphsvc.model.names import check_name, entity_id
from graphsvc.model.records import Entity, Episode
from graphsvc.model.requests import Delete, NewRecord, UpsertEntities

EpisodeList = list[Episode]
EntityList = list[Entity]  # named here: inside the class `list` is a verb

KEPT = ("id", "agent", "at")
"""What an entity has from its making on: an upsert of one that exists leaves these alone."""


class Entities(Verbs):
    """Make, list and follow what episodes are about. `memory.entities`."""

    kind = "entity"

    def upsert(
        self,
        *,
        kind: str,
        name: str,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        agent: str | None = None,
        at: datetime | str | None = None,
        wait: Wait = None,
    ) -> Entity:
        """Make an entity, or give the one that exists what is new of it; what says nothing new is no write.

        Args:
            kind: what sort of thing it is, like "file". name: what it is called.
            description: what is to be known of it. tags: labels. metadata: anything else, as JSON. What isn't given
            stays as it is.
            id: made of kind and name if not given, so that the same kind and name are one entity.
            agent: namespace. at: when it was made or first seen; counts for a new one only.
            wait: "graph" waits until it is in the graph.

        Returns:
            The entity as it now is.

        Raises:
            BadInput, TooLarge: for a bad value, naming the field. Gone: the id was deleted.
        """
        values = {
            "kind": kind, "name": name, "description": description, "tags": tags, "metadata": metadata, "id": id,
            "agent": agent, "at": at,
        }  # fmt: skip
        return cast(Entity, self._submit(self._upserts([values], None), wait)[0])

    def upsert_many(self, entities: Any, *, agent: str | None = None, wait: Wait = None) -> EntityList:
        """`upsert` for many, all or none.

        Args:
            entities: dicts or Entities, or a DataFrame or Arrow table with their fields as columns.
            agent: namespace of those that name none. wait: as for `upsert`.

        Returns:
            The entities as they now are, in the order given.
        """
        rows = list(rows_of(entities, where="entities"))
        if not rows:
            check_wait(wait)
            return []
        return cast(EntityList, self._submit(self._upserts(rows, agent, "entities"), wait))

    def _upserts(self, rows: Sequence[dict[str, Any]], agent: Any, where: str = "") -> UpsertEntities:
        self._opened.check()
        items: list[NewRecord] = []
        changes: list[dict[str, Any]] = []
        for index, row in enumerate(rows):
            prefix = f"{where}[{index}]." if where else ""
            given = {name: value for name, value in row.items() if value is not None}
            given["agent"] = self._namespaces.writes(given.get("agent", agent))
            if "id" not in given:
                for name in ("kind", "name"):
                    if name not in given:
                        raise BadInput("is required", where=prefix + name)
                    check_name(given[name], prefix + name)
                given["id"] = entity_id(given["kind"], given["name"])
            item = self._new(given, prefix=prefix)
            items.append(item)
            changes.append({name: getattr(item.record, name) for name in given if name not in KEPT})
        return UpsertEntities(items, changes)

    def delete(self, id: str | Sequence[str], *, agent: str | None = None, wait: Wait = None) -> int:
        """Delete one entity or several with their edges, all or none; how many. Their ids stay taken.

        Raises:
            NotFound, Gone, Ambiguous: for an id; nothing is deleted then.
        """
        refs = self._refs(id, agent)
        return cast(int, self._submit(Delete(self.kind, refs), wait)) if refs else 0

    def get(self, id: str, *, agent: str | None = None) -> Entity:
        """The entity with this id. Raises NotFound, Gone, Ambiguous."""
        return cast(Entity, self._resolve(id, self._namespaces.reads(agent)).record)

    def list(
        self, where: Where = None, k: int = 100, *, agent: str | Sequence[str] | None = None, order: str = "newest"
    ) -> EntityList:
        """Entities that pass a filter, like {"kind": "file"}: `newest` first, `oldest` first, or by `id`; at most k."""
        return cast(EntityList, self._list(where, agent, k, order))

    def episodes(self, id: str, k: int = 100, *, agent: str | None = None) -> EpisodeList:
        """The episodes that are about an entity, newest first; at most k.

        Raises:
            NotFound, Gone, Ambiguous: for the id.
        """
        stored = self._resolve(id, self._namespaces.reads(agent))
        limit = check_k(k, self._opened.settings.max_results)
        found = [record for record in far_ends(self, stored, "ABOUT", "in") if isinstance(record, Episode)]
        return sorted(found, key=lambda episode: (episode.at, episode.id), reverse=True)[:limit]
