"""ORDER BY, SKIP, LIMIT, DISTINCT."""

from __future__ import annotations

from .case import case

CASES = [
    case("MATCH (p:Person) RETURN p.name ORDER BY p.name", [("Ann",), ("Bob",), ("Cid",), ("Dee",), ("Eve",)]),
    case("MATCH (p:Person) RETURN p.name ORDER BY p.name DESC", [("Eve",), ("Dee",), ("Cid",), ("Bob",), ("Ann",)]),
    case("MATCH (p:Person) RETURN p.name ORDER BY p.name DESCENDING LIMIT 1", [("Eve",)]),
    case("MATCH (p:Person) RETURN p.name ORDER BY p.name ASCENDING LIMIT 1", [("Ann",)]),
    case("MATCH (p:Person) RETURN p.age, p.name ORDER BY p.age, p.name", [
        (25, "Bob"), (30, "Ann"), (30, "Dee"), (41, "Eve"), (None, "Cid")]),
    case("MATCH (p:Person) RETURN p.age, p.name ORDER BY p.age DESC, p.name", [
        (None, "Cid"), (41, "Eve"), (30, "Ann"), (30, "Dee"), (25, "Bob")]),
    case("MATCH (p:Person) RETURN p.age, p.name ORDER BY p.age DESC, p.name DESC", [
        (None, "Cid"), (41, "Eve"), (30, "Dee"), (30, "Ann"), (25, "Bob")]),
    case("MATCH (p:Person) RETURN p.active, p.name ORDER BY p.active, p.name", [
        (False, "Bob"), (False, "Eve"), (True, "Ann"), (True, "Dee"), (None, "Cid")]),
    case("MATCH (p:Person) RETURN p.height ORDER BY p.height", [(1.58,), (1.65,), (1.7,), (1.8,), (None,)]),
    case("MATCH (p:Person) WHERE p.born IS NOT NULL RETURN p.name ORDER BY p.born", [
        ("Eve",), ("Dee",), ("Ann",), ("Bob",)]),
    case("MATCH (p:Person) RETURN p.name ORDER BY p.seen DESC, p.name", [
        ("Bob",), ("Eve",), ("Cid",), ("Ann",), ("Dee",)]),
    case("UNWIND ['b', 'B', 'a', '', 'ä', 'aa'] AS x RETURN x ORDER BY x", [
        ("",), ("B",), ("a",), ("aa",), ("b",), ("ä",)]),
    case("UNWIND [3, null, 1, 2] AS x RETURN x ORDER BY x", [(1,), (2,), (3,), (None,)]),
    case("UNWIND [3, null, 1, 2] AS x RETURN x ORDER BY x DESC", [(None,), (3,), (2,), (1,)]),
    case("UNWIND [1.5, -2.0, 0.0] AS x RETURN x ORDER BY x", [(-2.0,), (0.0,), (1.5,)]),
    case("UNWIND [[2], [1, 5], [1], [1, 2]] AS x RETURN x ORDER BY x", [([1],), ([1, 2],), ([1, 5],), ([2],)],
         differs="order-of-lists"),
    case("MATCH (p:Person) RETURN p.name AS who ORDER BY who LIMIT 2", [("Ann",), ("Bob",)]),
    case("MATCH (p:Person) RETURN p.name AS who ORDER BY who SKIP 3", [("Dee",), ("Eve",)]),
    case("MATCH (p:Person) RETURN p.name AS who ORDER BY who SKIP 1 LIMIT 2", [("Bob",), ("Cid",)]),
    case("MATCH (p:Person) RETURN p.name AS who ORDER BY who SKIP 9", []),
    case("MATCH (p:Person) RETURN p.name AS who ORDER BY who LIMIT 0", []),
    case("MATCH (p:Person) RETURN p.name AS who ORDER BY who SKIP $s LIMIT $l", [("Bob",)], params={"s": 1, "l": 1}),
    case("MATCH (p:Person) RETURN p.name AS who ORDER BY who LIMIT 1 + 1", [("Ann",), ("Bob",)]),
    case("MATCH (p:Person) RETURN p.name ORDER BY p.age LIMIT 1", [("Bob",)]),
    case("MATCH (p:Person) WHERE p.age IS NOT NULL RETURN p.name ORDER BY -p.age, p.name", [
        ("Eve",), ("Ann",), ("Dee",), ("Bob",)]),
    case("MATCH (p:Person) RETURN p.name ORDER BY size(p.name), p.name LIMIT 1", [("Ann",)]),
    case("MATCH (p:Person) RETURN DISTINCT p.age ORDER BY p.age", [(25,), (30,), (41,), (None,)]),
    case("MATCH (p:Person)-[:LIVES_IN]->(c) RETURN DISTINCT c.name ORDER BY c.name", [("Bonn",), ("Oslo",), ("Rome",)]),
    case("UNWIND [[1, 2], [1, 2], [2, 1]] AS x RETURN DISTINCT x", [([1, 2],), ([2, 1],)]),
    case("MATCH (p:Person) WITH p ORDER BY p.name DESC LIMIT 2 RETURN p.name ORDER BY p.name", [("Dee",), ("Eve",)]),
    case("MATCH (p:Person) RETURN p.age AS age, count(*) AS n ORDER BY n DESC, age LIMIT 2", [(30, 2), (25, 1)]),
    case("MATCH (p:Person) WITH p.age AS age ORDER BY age LIMIT 3 RETURN collect(age) AS ages", [([25, 30, 30],)], differs="order-before-aggregates"),
    case("MATCH (p:Person) RETURN p.name AS name, p.age AS age ORDER BY p.age + 0, name LIMIT 2", [("Bob", 25), ("Ann", 30)]),
]  # fmt: skip
