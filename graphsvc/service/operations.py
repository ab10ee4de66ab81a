"""Every verb that can be had from afar: what it is called, and which role it takes.

One table for GraphQL, MCP, calls and the client: what isn't here can't be had from afar, by any way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from graphsvc.memory.causal import Causal
from graphsvc.memory.entities import Entities
from graphsvc.memory.episodes import Episodes
from graphsvc.memory.facts import Facts
from graphsvc.memory.graph import Graph
from graphsvc.memory.memory import Memory
from graphsvc.memory.skills import Skills


class Role(IntEnum):
    """What a caller may do; each may also what those before it may."""

    READER = 1
    WRITER = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Operation:
    """A verb that can be had from afar.

    Attributes:
        name: as it is called: `episodes.store`, `recall`.
        role: the least that its caller must have.
        verb: of the embedded interface, whose signature and docstring it shares.
        unbound: whether its caller must have all namespaces, for what it reads or writes has none.
        files: whether it names files of the machine where the memory is: only for callers on that machine.
    """

    name: str
    role: Role
    verb: Callable[..., Any]
    unbound: bool = False
    files: bool = False


_GROUPS: dict[str, type] = {
    "": Memory, "episodes": Episodes, "skills": Skills, "entities": Entities, "facts": Facts, "causal": Causal,
    "graph": Graph,
}  # fmt: skip

_READ = {
    "": "recall brief changes get_many page history feedbacks wait",
    "episodes": "get list count history retrieve retrieve_many vector critiques strategies statistics relations about "
    "evidence",
    "skills": "get list count history search search_many vector choose evidence links plan statistics version versions",
    "entities": "get list count history episodes",
    "facts": "get list current count history evidence contradictions predicates search",
    "causal": "get list count history effects causes around paths what_if similar variables missing",
    "graph": "node nodes neighbours joints subgraph paths shortest_path all_shortest_paths cheapest_path",
}
_READ_ALL = {
    "": "cypher schema status stats",
    "graph": "schema rows outcome to_networkx pagerank degree components communities label_propagation k_core "
    "triangles closeness betweenness similarity",
}
"""Of tables of one's own, or of the whole graph, which have no namespace."""
_WRITE = {
    "": "feedback",
    "episodes": "store store_many amend delete prune link unlink",
    "skills": "create create_many revise record_outcome link unlink delete prune consolidate",
    "entities": "upsert upsert_many delete",
    "facts": "predicate add add_many retract correct",
    "causal": "variable delete_variable add add_many expire delete",
}
_WRITE_ALL = {"graph": "define drop add upsert update delete from_networkx write_back"}
_ADMIN = {"": "forget verify repair warm reembed snapshots size interrupt progress"}
_ADMIN_FILES = {"": "snapshot trim export", "graph": "load save"}

NOT_FROM_AFAR = MappingProxyType(
    {
        "as_agent": "the namespace is said with each call",
        "close": "a client closes its own connection; the service is stopped where it was started",
    }
)
"""Public verbs of the embedded interface that are no operations, and why."""


def _operations() -> Iterator[Operation]:
    tables = (
        (_READ, Role.READER, False, False), (_READ_ALL, Role.READER, True, False), (_WRITE, Role.WRITER, False, False),
        (_WRITE_ALL, Role.WRITER, True, False), (_ADMIN, Role.ADMIN, True, False),
        (_ADMIN_FILES, Role.ADMIN, True, True),
    )  # fmt: skip
    for table, role, unbound, files in tables:
        for group, verbs in table.items():
            for verb in verbs.split():
                name = f"{group}.{verb}" if group else verb
                yield Operation(name, role, getattr(_GROUPS[group], verb), unbound, files)
    yield Operation("cypher.write", Role.WRITER, Memory.cypher, unbound=True)


OPERATIONS = MappingProxyType({operation.name: operation for operation in _operations()})
"""All of them by name. `cypher.write` is `cypher` with `write=True`, which takes another role."""
