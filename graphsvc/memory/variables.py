"""Variables: named quantities and events that causal edges join, or that stand there for a user's node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from graphsvc.errors import BadInput
from graphsvc.memory.opened import Opened
from graphsvc.memory.verbs import Verbs, Wait
from graphsvc.model.names import check_name
from graphsvc.model.records import Variable
from graphsvc.model.requests import UpsertEntities

KEPT = ("id", "agent", "at")


class Variables(Verbs):
    """The verbs of variables, for `memory.causal`."""

    kind = "variable"

    def upsert(
        self,
        *,
        name: str,
        description: str | None,
        is_reward: bool | None,
        ref: tuple[str, str] | None,
        tags: Iterable[str] | None,
        metadata: Mapping[str, Any] | None,
        id: str | None,
        agent: str | None,
        wait: Wait,
    ) -> Variable:
        """See `Causal.variable`."""
        self._opened.check()
        values = {
            "name": name, "description": description, "is_reward": is_reward, "tags": tags, "metadata": metadata,
            "id": check_name(name, "name") if id is None else id, "agent": self._namespaces.writes(agent),
        }  # fmt: skip
        if ref is not None:
            if not isinstance(ref, tuple | list) or len(ref) != 2:
                raise BadInput(f"expected (table, key), got {ref!r}", where="ref")
            values["ref_table"], values["ref_key"] = ref[0], None if ref[1] is None else str(ref[1])
        given = {field: value for field, value in values.items() if value is not None}
        item = self._new(given)
        if len({"ref_table", "ref_key"} & given.keys()) == 1:
            raise BadInput("says a table without a key, or a key without a table", where="ref")
        changes = {field: getattr(item.record, field) for field in given if field not in KEPT}
        return cast(Variable, self._submit(UpsertEntities([item], [changes]), wait)[0])

    def missing(self, id: str, agent: str | None) -> bool:
        """See `Causal.missing`."""
        variable = cast(Variable, self._resolve(id, self._namespaces.reads(agent)).record)
        return variable.ref_table is not None and row_of(self._opened, variable.ref_table, variable.ref_key) is None


def row_of(opened: Opened, table: str, key: str | None) -> Mapping[str, Any] | None:
    """The user's node that a variable stands for; None where there is no such node, or no such table of nodes."""
    store = opened.store
    store.wait([store.graph_follower], opened.log.head, opened.settings.read_wait)
    known = store.graph.tables.get(table)
    if known is None or not known.nodes or key is None:
        return None
    if known.columns[known.key] == "STRING":
        return store.graph.rows_of(table, [key]).get(key)
    try:
        number = int(key)
    except ValueError:
        return None
    return store.graph.rows_of(table, [number]).get(number) if -(2**63) <= number < 2**63 else None
