"""What `docs/cypher.md` offers in the place of openCypher's words, each with the rows that those would give."""

from __future__ import annotations

from datetime import UTC, date, datetime

from .case import N, P, case, value

CASES = [
    case("MATCH (a:Person {name: 'Ann'})-[:LIVES_IN]->(c)<-[:LIVES_IN]-(b) WHERE a <> b RETURN b.name", [("Bob",)]),
    case("MATCH (a:Person {name: 'Ann'})-[:KNOWS* TRAIL 4..4]->(b) RETURN b.name", [("Ann",), ("Bob",)]),
    case("MATCH (a:Step {id: 1})-[:LEADS* TRAIL 1..7]->(b:Step {id: 5}) RETURN count(*) AS n", [(6,)]),
    value("[1, 2, 3][1]", 1),
    value("[1, 2, 3, 4][2:3]", [2, 3]),
    value("substring('hello', 2, 3)", "ell"),
    case("MATCH (p:Person {name: 'Cid'}) RETURN coalesce(sum(p.age), 0) AS n", [(0,)]),
    value("cast($x AS INT64) * cast($y AS INT64)", 10000, params={"x": 100, "y": 100}),
    case("UNWIND range(1, cast($n AS INT64)) AS x RETURN x * 0.5 AS y", [(0.5,), (1.0,)], params={"n": 2}),
    value("$x", "a\nb", params={"x": "a\nb"}),
    case("MATCH (p:Person {name: 'Ann'}) RETURN label(p) AS l", [("Person",)]),
    case("MATCH (n) WHERE label(n) = 'City' RETURN n.name", [("Rome",), ("Oslo",), ("Bonn",)]),
    value("concat('a', cast(1 AS STRING))", "a1"),
    case("MATCH (:Person {name: 'Ann'})-[r]->(x) RETURN label(r) AS l, x.name", [
        ("KNOWS", "Bob"), ("KNOWS", "Cid"), ("LIVES_IN", "Rome")]),
    case("MATCH (:Person {name: 'Ann'})-[r:KNOWS]->({name: 'Bob'}) RETURN start_node(r) AS s, end_node(r) AS e",
         [(N("Person", "Ann"), N("Person", "Bob"))]),
    value("cast('42' AS INT64)", 42),
    value("cast('1.5' AS DOUBLE)", 1.5),
    value("cast('true' AS BOOL)", True),
    value("cast(42 AS STRING)", "42"),
    value("timestamp('2020-02-29 12:30:00')", datetime(2020, 2, 29, 12, 30, tzinfo=UTC)),
    value("string_split('a,b,c', ',')", ["a", "b", "c"]),
    value("regexp_replace('hello', 'l', 'w', 'g')", "hewwo"),
    value("list_extract([1, 2], 1)", 1),
    value("list_extract([1, 2], -1)", 2),
    value("list_slice([1, 2, 3], 2, 3)", [2, 3]),
    value("list_reverse([1, 2, 3])", [3, 2, 1]),
    value("round(1.5, 0)", 2.0),
    case("UNWIND [1, 2, 3] AS x WITH x WHERE x > 1 RETURN collect(x * 2) AS l", [([4, 6],)]),
    case("MATCH (c:City {name: 'Rome'}) RETURN {name: c.name, people: c.people} AS c", [({"name": "Rome", "people": 2800},)]),
    value("list_append([1, 2], 3)", [1, 2, 3]),
    value("1 < 2 AND 2 < 3", True),
    case("UNWIND [1, null] AS x RETURN count(*) AS `all`", [(2,)]),
    case("MATCH (p:Person) WHERE p.age IS NOT NULL RETURN count(*) AS n", [(4,)]),
    case("MATCH (p:Person) WHERE EXISTS { MATCH (p)-[:LIVES_IN]->(:City {name: 'Oslo'}) } RETURN p.name", [("Cid",)]),
    value("CASE WHEN 1 IN [2, 1] THEN 'either' ELSE 'neither' END", "either"),
    case("MATCH (c:City) OPTIONAL MATCH (p)-[:LIVES_IN]->(c) RETURN c.name, count(p) AS n", [
        ("Rome", 2), ("Oslo", 1), ("Bonn", 1)]),
    case("MATCH p = (a:Step {id: 1})-[:LEADS* SHORTEST 1..5]->(b:Step {id: 4}) RETURN p", [(P((1, 3, 4)),)]),
    case("MATCH p = (a:Step {id: 1})-[:LEADS* ALL SHORTEST 1..5]->(b:Step {id: 2}) RETURN p", [(P((1, 2)),), (P((1, 2)),)]),
    case("MATCH p = (a:Step {id: 1})-[r:LEADS*2]->(b:Step {id: 4}) RETURN length(p) AS n", [(2,)]),
    case("MATCH (p:Person {name: 'Ann'}) WITH p.name AS name, p.age AS age, count(*) AS n RETURN name, age + n AS s", [("Ann", 31)]),
    case("UNWIND [1] AS one WITH 1 AS x WHERE x = 1 RETURN x", [(1,)]),
    case("MATCH (p:Person) RETURN sum(CASE WHEN p.active = true THEN 1 ELSE 0 END) AS n", [(2,)]),
    case("MATCH (p:Person) WITH p.age AS age ORDER BY age LIMIT 3 UNWIND [1] AS one RETURN collect(age) AS l", [([25, 30, 30],)]),
    value("date_part('year', date('2020-02-29'))", 2020),
    value("date('2020-01-31') + interval('1 month')", date(2020, 2, 29)),
]  # fmt: skip
