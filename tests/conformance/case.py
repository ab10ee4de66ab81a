"""A case of the conformance suite: a statement, and the rows that the openCypher specification gives for it.

Rows are written by hand from the specification (openCypher 9, and its improvement proposals on subqueries), never taken
from an engine. A case that an engine doesn't meet names the difference in `docs/cypher.md` that tells of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphsvc.model.elements import Edge, Node, Path

SETUP = (
    "CREATE NODE TABLE Person (name STRING, age INT64, height DOUBLE, born DATE, seen TIMESTAMP, active BOOL, "
    "nicks STRING[], PRIMARY KEY (name))",
    "CREATE NODE TABLE City (name STRING, people INT64, PRIMARY KEY (name))",
    "CREATE NODE TABLE Step (id INT64, title STRING, PRIMARY KEY (id))",
    "CREATE REL TABLE KNOWS (FROM Person TO Person, since INT64, weight DOUBLE)",
    "CREATE REL TABLE LIVES_IN (FROM Person TO City, since INT64)",
    "CREATE REL TABLE LEADS (FROM Step TO Step, cost INT64)",
    """CREATE (ann:Person {name: 'Ann', age: 30, height: 1.65, born: date('1994-05-01'),
                           seen: timestamp('2024-01-02 03:04:05'), active: true, nicks: ['annie', 'an']}),
              (bob:Person {name: 'Bob', age: 25, height: 1.8, born: date('1999-12-31'), active: false,
                           nicks: cast([] AS STRING[])}),
              (cid:Person {name: 'Cid', seen: timestamp('2024-06-01 00:00:00')}),
              (dee:Person {name: 'Dee', age: 30, height: 1.7, born: date('1994-01-15'),
                           seen: timestamp('2023-12-31 23:59:59'), active: true, nicks: ['d']}),
              (eve:Person {name: 'Eve', age: 41, height: 1.58, born: date('1983-07-20'), active: false,
                           nicks: ['e', 'evie']}),
              (rome:City {name: 'Rome', people: 2800}), (oslo:City {name: 'Oslo', people: 700}),
              (bonn:City {name: 'Bonn', people: 330}),
              (ann)-[:KNOWS {since: 2010, weight: 0.5}]->(bob), (ann)-[:KNOWS {since: 2012}]->(cid),
              (bob)-[:KNOWS {since: 2015, weight: 0.7}]->(cid), (cid)-[:KNOWS {since: 2018, weight: 0.9}]->(dee),
              (dee)-[:KNOWS {since: 2020, weight: 0.2}]->(ann),
              (ann)-[:LIVES_IN {since: 2000}]->(rome), (bob)-[:LIVES_IN {since: 2005}]->(rome),
              (cid)-[:LIVES_IN]->(oslo), (dee)-[:LIVES_IN {since: 2019}]->(bonn)""",
    """CREATE (one:Step {id: 1, title: 'one'}), (two:Step {id: 2, title: 'two'}), (three:Step {id: 3, title: 'three'}),
              (four:Step {id: 4, title: 'four'}), (five:Step {id: 5, title: 'five'}), (six:Step {id: 6, title: 'six'}),
              (one)-[:LEADS {cost: 1}]->(two), (one)-[:LEADS {cost: 9}]->(two), (two)-[:LEADS {cost: 1}]->(three),
              (one)-[:LEADS {cost: 5}]->(three), (three)-[:LEADS {cost: 2}]->(four),
              (four)-[:LEADS {cost: 1}]->(five), (five)-[:LEADS {cost: 0}]->(five)""",
)
"""The fixture graphs.

People: Ann knows Bob and Cid, Bob knows Cid, Cid knows Dee, Dee knows Ann: a circle of three and one of four. Eve knows
nobody. Ann and Bob live in Rome, Cid in Oslo, Dee in Bonn, Eve nowhere. Steps: 1 leads to 2 twice and to 3, 2 to 3,
3 to 4, 4 to 5, 5 to itself; 6 stands alone.
"""


class N(NamedTuple):
    """A node in an expected row, known by label and key."""

    label: str
    key: Any


class E(NamedTuple):
    """An edge in an expected row, known by label and the keys at its ends."""

    label: str
    source: Any
    target: Any


class P(NamedTuple):
    """A path in an expected row: the keys of its nodes."""

    keys: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One statement.

    Attributes:
        statement: it; or what is asked after `writes` were run.
        rows: that it gives, in order where it ends in ORDER BY.
        params: its parameters.
        columns: names of its columns, where the case is about them.
        writes: statements before it, in the transaction that is rolled back afterwards.
        error: whether the specification wants an error.
        differs: the difference of `docs/cypher.md` because of which engines don't meet it; by engine where not all.
    """

    statement: str
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    error: bool = False
    differs: str | dict[str, str] = ""

    def difference(self, engine: str) -> str:
        """The difference that keeps an engine from meeting it; '' if it is to meet it."""
        return self.differs if isinstance(self.differs, str) else self.differs.get(engine, "")

    @property
    def ordered(self) -> bool:
        """Whether the order of the rows counts."""
        return "ORDER BY" in self.statement.upper().rpartition("RETURN")[2]


def case(statement: str, rows: list[tuple[Any, ...]], **more: Any) -> Case:
    """A case that gives rows."""
    return Case(statement, rows, **more)


def value(expression: str, expected: Any, **more: Any) -> Case:
    """A case of one expression."""
    return Case(f"RETURN {expression} AS value", [(expected,)], **more)


def wrong(statement: str, **more: Any) -> Case:
    """A case that the specification wants an error of."""
    return Case(statement, error=True, **more)


def write(writes: str | tuple[str, ...], then: str, rows: list[tuple[Any, ...]], **more: Any) -> Case:
    """A case that writes, and then asks."""
    return Case(then, rows, writes=(writes,) if isinstance(writes, str) else writes, **more)


# --- comparing ----------------------------------------------------------------------------------------


def alike(found: Any, expected: Any) -> bool:
    """Whether a value is the expected one, of the same type; floats to 9 digits."""
    if isinstance(expected, N):
        return isinstance(found, Node) and (found.label, found.key) == tuple(expected)
    if isinstance(expected, E):
        return isinstance(found, Edge) and (found.label, found.source.key, found.target.key) == tuple(expected)
    if isinstance(expected, P):
        return isinstance(found, Path) and tuple(node.key for node in found.nodes) == expected.keys
    if isinstance(expected, float):
        if not isinstance(found, float):
            return False
        return found == expected or (found != found and expected != expected) or abs(found - expected) < 1e-9
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(alike, found, expected))
    if isinstance(expected, dict):
        return isinstance(found, dict) and found.keys() == expected.keys() and all(
            alike(found[name], expected[name]) for name in expected
        )  # fmt: skip
    return type(found) is type(expected) and bool(found == expected)


def same_rows(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]], *, ordered: bool) -> bool:
    """Whether rows are the expected ones."""
    if len(found) != len(expected):
        return False
    if ordered:
        return all(_alike_rows(one, other) for one, other in zip(found, expected, strict=True))
    left = list(expected)
    for row in found:
        place = next((place for place, other in enumerate(left) if _alike_rows(row, other)), None)
        if place is None:
            return False
        left.pop(place)
    return True


def _alike_rows(found: tuple[Any, ...], expected: tuple[Any, ...]) -> bool:
    return len(found) == len(expected) and all(map(alike, found, expected))
