"""Aggregation."""

from __future__ import annotations

from datetime import date

from .case import case

CASES = [
    case("MATCH (p:Person) RETURN count(*) AS n", [(5,)]),
    case("MATCH (p:Person) RETURN count(p) AS n", [(5,)]),
    case("MATCH (p:Person) RETURN count(p.age) AS n", [(4,)]),
    case("MATCH (p:Person) RETURN count(DISTINCT p.age) AS n", [(3,)]),
    case("MATCH (p:Person {name: 'Nobody'}) RETURN count(*) AS n", [(0,)]),
    case("MATCH (p:Person {name: 'Nobody'}) RETURN p.name, count(*) AS n", []),
    case("MATCH (p:Person) RETURN sum(p.age) AS n", [(126,)]),
    case("MATCH (p:Person) RETURN avg(p.age) AS n", [(31.5,)]),
    case("MATCH (p:Person) RETURN min(p.age) AS low, max(p.age) AS high", [(25, 41)]),
    case("MATCH (p:Person) RETURN min(p.name) AS low, max(p.name) AS high", [("Ann", "Eve")]),
    case("MATCH (p:Person) RETURN sum(p.height) AS n", [(6.73,)]),
    case("MATCH (p:Person {name: 'Cid'}) RETURN sum(p.age) AS n", [(0,)], differs="sum-of-nothing"),
    case("MATCH (p:Person {name: 'Nobody'}) RETURN sum(p.age) AS n", [(0,)], differs="sum-of-nothing"),
    case("MATCH (p:Person {name: 'Cid'}) RETURN avg(p.age) AS n", [(None,)]),
    case("MATCH (p:Person {name: 'Cid'}) RETURN min(p.age) AS n", [(None,)]),
    case("MATCH (p:Person) WITH p.age AS age ORDER BY age RETURN collect(age) AS ages", [([25, 30, 30, 41],)], differs="order-within-with"),
    case("MATCH (p:Person) WITH p ORDER BY p.name RETURN collect(p.name) AS names", [
        (["Ann", "Bob", "Cid", "Dee", "Eve"],)], differs="order-within-with"),
    case("MATCH (p:Person {name: 'Cid'}) RETURN collect(p.age) AS ages", [([],)], differs={"kuzu": "collect-of-nothing"}),
    case("MATCH (p:Person {name: 'Nobody'}) RETURN collect(p.name) AS names", [([],)], differs={"kuzu": "collect-of-nothing"}),
    case("MATCH (p:Person) RETURN size(collect(DISTINCT p.age)) AS n", [(3,)]),
    case("MATCH (p:Person) RETURN p.age, count(*) AS n", [(30, 2), (25, 1), (41, 1), (None, 1)]),
    case("MATCH (p:Person) RETURN p.active AS a, min(p.age) AS low", [(True, 30), (False, 25), (None, None)]),
    case("MATCH (p:Person)-[:LIVES_IN]->(c:City) RETURN c.name, count(p) AS n", [("Rome", 2), ("Oslo", 1), ("Bonn", 1)]),
    case("MATCH (p:Person) OPTIONAL MATCH (p)-[:KNOWS]->(q) RETURN p.name, count(q) AS n", [
        ("Ann", 2), ("Bob", 1), ("Cid", 1), ("Dee", 1), ("Eve", 0)]),
    case("MATCH (p:Person) OPTIONAL MATCH (p)-[:KNOWS]->(q) RETURN p.name, count(*) AS n", [
        ("Ann", 2), ("Bob", 1), ("Cid", 1), ("Dee", 1), ("Eve", 1)]),
    case("MATCH (p:Person) WITH p.age AS age, count(*) AS n WHERE n > 1 RETURN age, n", [(30, 2)]),
    case("MATCH (p:Person) RETURN count(*) + 1 AS n", [(6,)]),
    case("MATCH (p:Person) RETURN count(p.age) * 100 / count(*) AS share", [(80,)]),
    case("MATCH (p:Person) RETURN max(p.age) - min(p.age) AS spread", [(16,)]),
    case("MATCH (p:Person) RETURN p.age + 1 AS next, count(*) AS n", [(31, 2), (26, 1), (42, 1), (None, 1)]),
    case("MATCH (p:Person) RETURN p.name, p.age + count(*) AS n ORDER BY p.name LIMIT 1", [("Ann", 31)],
         differs="grouping-by-part"),
    case("UNWIND [1, 2, 2, 3] AS x RETURN sum(DISTINCT x) AS n", [(6,)]),
    case("UNWIND [1, 2, 2, 3] AS x RETURN avg(x) AS n", [(2.0,)]),
    case("UNWIND [1, 2, 3, 4] AS x RETURN stDevP(x) AS n", [(1.118033988749895,)], differs="functions"),
    case("UNWIND [1, 2, 3, 4] AS x RETURN percentileCont(x, 0.5) AS n", [(2.5,)], differs="functions"),
    case("UNWIND [null, null] AS x RETURN count(x) AS n", [(0,)]),
    case("UNWIND [1, null] AS x RETURN count(*) AS all, count(x) AS some", [(2, 1)], differs="reserved-words"),
    case("UNWIND [1, null] AS x RETURN count(*) AS rows, count(x) AS some", [(2, 1)]),
    case("UNWIND [true, false] AS x RETURN min(x) AS low", [(False,)]),
    case("MATCH (p:Person) RETURN min(p.born) AS first, max(p.seen) IS NULL AS never", [(date(1983, 7, 20), False)]),
    case("MATCH (a:Person)-[r:KNOWS]->(b) WITH a, count(b) AS n ORDER BY n DESC LIMIT 1 RETURN a.name, n", [("Ann", 2)]),
    case("MATCH (p:Person) WITH count(*) AS n MATCH (c:City) RETURN n, count(c) AS m", [(5, 3)]),
    case("MATCH (c:City) WITH collect(c.name) AS names UNWIND names AS name RETURN name", [("Rome",), ("Oslo",), ("Bonn",)]),
    case("MATCH (p:Person) RETURN count(DISTINCT p.active) AS n", [(2,)]),
    case("MATCH (a:Person)-[:KNOWS]->(b)-[:KNOWS]->(c) RETURN count(*) AS n", [(6,)]),
    case("MATCH (a:Person)-[:KNOWS]->()-[:KNOWS]->(c) RETURN count(DISTINCT c) AS n", [(4,)]),
]  # fmt: skip
