"""Links between skills: their types, and what is asked for and told of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graphsvc.errors import BadInput
from graphsvc.model.names import check_name
from graphsvc.model.requests import SkillLink

LinkType = Literal["prerequisite", "alternative", "refinement", "composition", "calls"]
RELS = {
    "prerequisite": "PREREQUISITE",
    "alternative": "ALTERNATIVE",
    "refinement": "REFINES",
    "composition": "PART_OF",
    "calls": "CALLS",
}
"""Link types by the word that users say. A link reads from source to target: the source has the target as its
prerequisite or alternative, refines it, is part of it, calls it."""


@dataclass(frozen=True, slots=True)
class Linked:
    """A skill joined to another.

    Attributes:
        type: of the link. direction: "out" if the skill asked about is the source, "in" if it is the target.
        id, name: of the other skill. weight: of the link.
    """

    type: str
    direction: str
    id: str
    name: str
    weight: float | None


def links_of(links: Any, space: str) -> list[SkillLink]:
    """Links given as source, target and type, within one namespace."""
    if isinstance(links, str) or not isinstance(links, Iterable):
        raise BadInput(f"expected a list of links, got {type(links).__name__}", where="links")
    joined = []
    for index, link in enumerate(links):
        if isinstance(link, str) or not isinstance(link, Sequence) or len(link) != 3:
            raise BadInput(f"expected source id, target id and type, got {link!r}", where=f"links[{index}]")
        source, target = (check_name(end, f"links[{index}]") for end in link[:2])
        joined.append(SkillLink(rel_of(link[2]), (space, source), (space, target)))
    return joined


def rel_of(type: Any) -> str:
    """The relation of a link type."""
    if not isinstance(type, str) or type not in RELS:
        raise BadInput(f"{type!r} is not one of {', '.join(RELS)}", where="type")
    return RELS[type]
