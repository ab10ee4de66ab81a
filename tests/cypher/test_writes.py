"""What a write may be: tables of a user's own, and an effect that a replay repeats."""

from __future__ import annotations

import pytest

from graphsvc.cypher.parse import parse
from graphsvc.cypher.writes import TYPES, check_write
from graphsvc.errors import BadInput, NotAllowed, NotDeterministic, OwnedTable
from graphsvc.model.names import RESERVED_NODES, RESERVED_RELS
from graphsvc.model.tables import SCALARS

OWN = {"own_nodes": RESERVED_NODES, "own_rels": RESERVED_RELS}

ACCEPTED = [
    "CREATE (:P {id: 1}), (:P {id: 2})",
    "CREATE (a:P {id: 1})-[:K {w: 1}]->(b:P {id: 2})",
    "UNWIND $rows AS r CREATE (:P {id: r.id, name: r.name})",
    "UNWIND $rows AS r CREATE (p:P {id: r.id}) SET p.name = r.name",
    "UNWIND $rows AS r MERGE (p:P {id: r.id}) SET p.name = r.name",
    "UNWIND $rows AS r MERGE (p:P {id: r.id}) ON CREATE SET p.n = 1 ON MATCH SET p.n = p.n + 1",
    "UNWIND $rows AS r MATCH (p:P) WHERE p.id = r.id SET p.name = r.name, p.age = r.age",
    "UNWIND $rows AS r MERGE (a:P {id: r.a}) MERGE (b:P {id: r.b}) MERGE (a)-[:K]->(b)",
    "UNWIND $rows AS r MATCH (a:P {id: r.a}), (b:P {id: r.b}) MERGE (a)-[k:K]->(b) SET k.w = r.w",
    "UNWIND $rows AS r MATCH (a:P), (b:P) WHERE a.id = r.a AND b.id = r.b CREATE (a)-[:K {w: r.w}]->(b)",
    "UNWIND $rows AS r MERGE (a:P {id: r.a}) SET a.seen = true MERGE (b:P {id: r.b}) SET b.seen = true",
    "UNWIND range(1, 10) AS i MERGE (p:P {id: i}) SET p.x = i * 2",
    "MATCH (p:P) SET p.x = 1",
    r"CREATE (:P {id: 1, name: 'it\'s a \\n'})",
    "MATCH (p:P {id: $i}) SET p.x = p.x + 1, p.y = $y RETURN p.x",
    "MATCH (p:P) WHERE p.age > 3 SET p.old = true RETURN p.id",
    "MATCH (p:P) SET p = {a: 1, b: $b}",
    "MATCH (a:P {id: $a}), (b:P {id: $b}) CREATE (a)-[:K {since: 1}]->(b)",
    "MATCH (a:P)-[k:K]->(b:P) SET k.w = a.age + b.age",
    "MATCH (p:P)-[:K]->(q:P) WITH p, count(q) AS n SET p.degree = n",
    "MATCH (a:P) OPTIONAL MATCH (a)-[:K]->(b:P) WITH a, count(b) AS n SET a.n = n",
    "MATCH (a:P)-[:K]->(b:P) WITH a, sum(cast(b.age AS INT64)) AS s, max(b.score) AS m SET a.s = s, a.m = m",
    "MATCH (p:P) WITH p.city AS c, count(*) AS n MATCH (q:City {name: c}) SET q.n = n",
    "MATCH (p:P) WITH DISTINCT p.city AS c MERGE (:City {name: c})",
    "MATCH (p:P) SET p.n = COUNT { MATCH (p)-[:K]->(:P) }",
    "MATCH (p:P) WHERE EXISTS { MATCH (p)-[:K]->(:P) } SET p.social = true",
    "MATCH (p:P) DETACH DELETE p",
    "MATCH (a:P)-[k:K]->(b:P) WHERE k.since < 3 DELETE k",
    "MATCH (e:Episode)-[:IN_SESSION]->(s:Session) WHERE e.id = $e MERGE (n:Note {id: $n}) CREATE (n)-[:ON_EPISODE]->(e)",
    "MATCH (p:P) WITH p SET p.x = 1 RETURN collect(p.x), id(p)",
    "MATCH (p:P) SET p.x = 1 RETURN string(p)",
    "MATCH (p:P) SET p.x = split_part(p.name, ',', 1), p.n = label(p)",
    "CREATE NODE TABLE P (id INT64, name STRING DEFAULT 'x', s STRING[], PRIMARY KEY (id))",
    "CREATE NODE TABLE IF NOT EXISTS P (id INT64 PRIMARY KEY, d DOUBLE[], b BOOLEAN, m BLOB)",
    "CREATE REL TABLE K (FROM P TO Episode, FROM P TO P, since INT64 DEFAULT -1, MANY_MANY)",
    "ALTER TABLE P ADD IF NOT EXISTS age INT64",
    "ALTER TABLE P DROP IF EXISTS age",
    "ALTER TABLE P RENAME TO Q",
    "ALTER TABLE P RENAME age TO years",
    "ALTER TABLE K ADD FROM Q TO P",
    "DROP TABLE IF EXISTS P",
    "COMMENT ON TABLE P IS 'people'",
]

REFUSED = [
    ("order", "MATCH (p:P) WITH p LIMIT 3 SET p.x = 1"),
    ("order", "MATCH (p:P) WITH p ORDER BY p.x SKIP 3 DELETE p"),
    ("order", "MATCH (p:P) SET p.x = 1 RETURN p LIMIT 1"),
    ("order", "MATCH (p:P) WITH collect(p.x) AS l CREATE (:Q {l: l})"),
    ("order", "MATCH p = (a:P)-[:K* SHORTEST]->(b:P) CREATE (a)-[:F]->(b)"),
    ("order", "MATCH (a:P)-[k:K]->(b:P) DELETE k, a"),
    ("float", "MATCH (p:P)-[:K]->(q:P) WITH p, avg(q.x) AS m SET p.m = m"),
    ("float", "MATCH (p:P)-[:K]->(q:P) WITH p, sum(q.x) AS m SET p.m = m"),
    ("float", "MATCH (p:P)-[:K]->(q:P) WITH p, sum(cast(q.x AS INTERVAL)) AS m SET p.m = m"),
    ("chance", "MATCH (p:P) SET p.u = gen_random_uuid()"),
    ("chance", "CREATE (:P {id: 1, u: cast(gen_random_uuid() AS STRING)})"),
    ("place", "MATCH (p:P) SET p.u = offset(id(p))"),
    ("place", "MATCH (p:P) WHERE offset(id(p)) < 3 DELETE p"),
    ("place", "MATCH (p:P) SET p.u = hash(p.x)"),
    ("place", "MATCH (p:P) SET p.x = cast(p AS STRING)"),
    ("place", "MATCH (p:P) SET p.x = string(p)"),
    ("place", "MATCH (p:P) SET p.x = cast([p] AS STRING)"),
    ("place", "MATCH (p:P) SET p.x = cast({a: p} AS STRING)"),
    ("place", "MATCH (p:P) SET p.x = list_to_string(',', [p, p])"),
    ("place", "MATCH w = (p:P)-[:R]->(:P) SET p.x = md5(cast(w AS STRING))"),
    ("place", "MATCH w = (p:P)-[:R*1..2]->(:P) UNWIND nodes(w) AS n WITH n, p SET p.x = string(n)"),
    ("place", "MATCH w = (p:P)-[:R]->(:P) SET p.x = list_to_string(',', list_transform(nodes(w), n -> cast(n AS STRING)))"),
    ("place", "MATCH (p:P) SET p.x = [p]"),
    ("place", "MATCH (p:P) CREATE (:Q {id: 7, x: {a: p}})"),
    ("place", "MATCH (p:P), (q:P) WHERE p < q SET p.u = 1"),
    ("place", "MATCH (p:P) WHERE cast(p AS STRING) CONTAINS '0:3' SET p.u = 1"),
    ("place", "MATCH (p:P), (q:P) WITH p, list_sort([p, q]) AS l WHERE size(l) = 2 SET p.u = 1"),
    ("hidden", "MATCH (p:P) SET p.x = cast(struct_extract(p, '_ID') AS STRING)"),
    ("wrong", "MATCH (p:P) SET p.x = initcap(p.x)"),
    ("wrong", "MATCH (p:P) SET p.x = split_part(p.x, p.x, 1)"),
    ("wrong", "MATCH (p:P) SET p.x = regexp_replace(p.x, p.x, 'a')"),
    ("last_wins", "MATCH (p:P), (q:Q) SET q.x = P.x"),
    ("last_wins", "UNWIND [1, 2] AS x MATCH (p:P {id: 1}) SET P.x = X"),
    ("place", "MATCH (p:P) WITH id(P) AS u MATCH (q:Q {id: 1}) SET q.x = U"),
    ("last_wins", "MATCH (a:P)-[:K]->(b:P) SET a.x = b.x"),
    ("last_wins", "MATCH (a:P)-[:K]->(b:P) SET a.x = a.x + 1"),
    ("last_wins", "MATCH (a:P)-[k:K]-(b:P) SET k.w = a.age"),
    ("last_wins", "MATCH (a:P) MERGE (g:G {id: a.g}) SET g.x = a.x"),
    ("last_wins", "MATCH (a:P) MERGE (g:G {id: a.g}) ON CREATE SET g.x = a.x"),
    ("last_wins", "MATCH (a:P) MERGE (g:G {id: a.g}) ON MATCH SET g.n = g.n + 1"),
    ("last_wins", "MATCH (a:P), (b:P) SET a.x = 1, b.x = 2"),
    ("last_wins", "UNWIND $rows AS r MERGE (a:P {id: r.a}) SET a.kind = 's' MERGE (b:P {id: r.b}) SET b.kind = 't'"),
    ("last_wins", "UNWIND [{id: 1, x: 1}, {id: 1, x: 2}] AS r MERGE (p:P {id: r.id}) SET p.x = r.x"),
    ("last_wins", "UNWIND [1, 2, 3] AS i MATCH (a:P) SET a.x = a.x + i"),
    ("last_wins", "MATCH (p:P) UNWIND p.tags AS t MERGE (x:T {name: t}) SET x.owner = p.id"),
    ("last_wins", "UNWIND [1, 2] AS i MERGE (p:P {id: 1}) ON MATCH SET p.n = 1"),
    ("read_after_write", "MERGE (a:P {id: 1}) WITH a MATCH (b:P) CREATE (a)-[:K]->(b)"),
    ("read_after_write", "MATCH (p:P) SET p.x = 1 WITH p WHERE EXISTS { MATCH (q:P {x: 1}) } CREATE (:Q {id: p.id})"),
    ("read_after_write", "MATCH (p:P) DELETE p CREATE (:P {id: 3})"),
    ("read_after_write", "MATCH (p:P {id: 1}) SET p.x = 1 MERGE (q:P {x: 1})"),
    ("read_after_write", "CREATE (a:P {id: 1}) MERGE (b:P {x: 1})"),
    ("default", "CREATE NODE TABLE P (id SERIAL, PRIMARY KEY (id))"),
    ("default", "CREATE NODE TABLE P (id INT64, at TIMESTAMP DEFAULT current_timestamp(), PRIMARY KEY (id))"),
    ("default", "CREATE NODE TABLE P (id INT64, n INT64 DEFAULT nextval('s'), PRIMARY KEY (id))"),
    ("default", "ALTER TABLE P ADD u STRING DEFAULT cast(gen_random_uuid() AS STRING)"),
    ("procedure", "CALL page_rank('g') WITH node CREATE (:P {id: node.id})"),
    ("procedure", "CALL show_tables() WITH name CREATE (:P {id: name})"),
    ("files", "LOAD FROM 'x.csv' CREATE (:P {id: 1})"),
    ("files", "COPY P FROM 'x.csv'"),
    ("ddl", "CREATE SEQUENCE s"),
    ("ddl", "CREATE NODE TABLE P AS MATCH (e:Episode) RETURN e.key"),
    ("type", "CREATE NODE TABLE P (id INT64, x JSON, PRIMARY KEY (id))"),
    ("type", "CREATE NODE TABLE P (id INT64, x TIMESTAMP_TZ, PRIMARY KEY (id))"),
    ("label", "MATCH (n) SET n.x = 1"),
    ("label", "MATCH (n) DETACH DELETE n"),
    ("label", "MATCH (a:P)-[r]->(b:P) DELETE r"),
    ("label", "MERGE (n {id: 1})"),
    ("escape", r"CREATE (:P {id: 1, name: 'a\nb'})"),
    ("escape", r"MATCH (p:P) WHERE p.name = '\u0041' SET p.x = 1"),
    ("no_write", "MATCH (p:P) RETURN p"),
    ("no_write", "EXPLAIN CREATE (:P {id: 1})"),
    ("hidden", "CREATE (:_Applied {_row: 1})"),
    ("hidden", "MATCH (p:P) SET p._x = 1"),
    ("hidden", "MATCH (p:P) SET p.at = $_now"),
]  # fmt: skip

OWNED = [
    "CREATE (:Episode {key: 'x'})", "CREATE (:episode {key: 'x'})", "MERGE (:`SKILL` {key: 'x'})",
    "MATCH (e:Episode) SET e.reward = 1", "MATCH (e:P:Episode) SET e.reward = 1", "MATCH (e:Session) DETACH DELETE e",
    "MATCH (e:Episode) WITH e AS x SET x.reward = 1", "MATCH (a:Episode)-[k:NEXT]->(b:Episode) DELETE k",
    "MATCH (a:Episode), (b:Episode) CREATE (a)-[:NEXT]->(b)", "MATCH (a:P), (b:P) MERGE (a)-[:CAUSES]->(b)",
    "MERGE (e:Episode {key: 'x'})-[:MINE]->(p:P {id: 1})", "MATCH (e:Episode) MERGE (e)-[k:USED]->(e) ON MATCH SET k.uses = 1",
    "DROP TABLE Episode", "ALTER TABLE Skill ADD x INT64", "ALTER TABLE P RENAME TO Fact", "CREATE NODE TABLE Variable (id INT64, PRIMARY KEY (id))",
    "CREATE REL TABLE causes (FROM P TO P)", "COMMENT ON TABLE Episode IS 'x'",
]  # fmt: skip


@pytest.mark.parametrize("statement", ACCEPTED)
def test_everyday_writes_are_accepted(statement: str) -> None:
    write = check_write(statement, **OWN)
    assert write.kind == ("dml" if hasattr(parse(statement), "parts") else "ddl")
    assert write.writes
    assert not write.writes & {*RESERVED_NODES, *RESERVED_RELS}


@pytest.mark.parametrize(("rule", "statement"), REFUSED)
def test_what_a_replay_may_not_repeat_or_nobody_may_is_refused(rule: str, statement: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        check_write(statement, parameters={}, **OWN)
    assert caught.value.rule == rule


@pytest.mark.parametrize("statement", OWNED)
def test_own_tables_are_written_by_their_verbs(statement: str) -> None:
    with pytest.raises(OwnedTable) as caught:
        check_write(statement, **OWN)
    assert caught.value.code == "owned_table"
    assert "memory." in caught.value.hint or "Choose another name" in caught.value.hint


def test_the_error_names_the_verb_to_use() -> None:
    with pytest.raises(OwnedTable, match=r"memory\.episodes"):
        check_write("MATCH (e:Episode) SET e.reward = 1", **OWN)


def test_two_rows_about_the_same_must_say_the_same() -> None:
    statement = "UNWIND $rows AS r MERGE (p:P {id: r.id}) SET p.name = r.name"
    same = [{"id": 1, "name": "a"}, {"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert check_write(statement, **OWN, parameters={"rows": same}).writes == {"P"}
    for rows in (
        [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}],
        [{"id": 1, "name": "a"}, {"id": 1.0, "name": "b"}],
        [{"id": 1, "name": "a"}, {"id": "1", "name": "b"}],
        [{"id": 1, "name": "1"}, {"id": 1, "name": 1}],
    ):
        with pytest.raises(NotDeterministic):
            check_write(statement, **OWN, parameters={"rows": rows})
    counted = "UNWIND $rows AS r MERGE (p:P {id: r.id}) ON MATCH SET p.n = p.n + 1"
    with pytest.raises(NotDeterministic):
        check_write(counted, **OWN, parameters={"rows": same})


def test_the_clock_is_a_parameter() -> None:
    write = check_write("CREATE (:P {id: 1, at: current_timestamp(), day: CURRENT_DATE ( )})", **OWN)
    assert write.statement == "CREATE (:P {id: 1, at: $_now, day: cast($_now AS DATE)})"
    texts = check_write("CREATE (:P {id: 1, at: 'current_timestamp()'})", **OWN)
    assert texts.statement == "CREATE (:P {id: 1, at: 'current_timestamp()'})"


def test_a_write_says_what_it_does() -> None:
    made = check_write("CREATE NODE TABLE P (id INT64, PRIMARY KEY (id))", **OWN)
    assert (made.kind, made.defines, made.writes) == ("ddl", "P", {"P"})
    renamed = check_write("ALTER TABLE P RENAME TO Q", **OWN)
    assert (renamed.defines, renamed.writes, renamed.deletes) == ("Q", {"P"}, False)
    assert check_write("DROP TABLE P", **OWN).deletes
    gone = check_write("MATCH (p:P)-[k:K]->(:P) DELETE k RETURN p.id", **OWN)
    assert (gone.writes, gone.returns, gone.deletes) == ({"K"}, True, True)


def test_growth_counts_in_writes_too() -> None:
    with pytest.raises(NotAllowed) as caught:
        check_write("CREATE (:P {id: size(range(1, 30000000))})", **OWN)
    assert caught.value.rule == "growth"


def test_a_name_that_no_user_may_give_is_refused() -> None:
    for statement in (
        "CREATE NODE TABLE `a.b` (id INT64, PRIMARY KEY (id))",
        "CREATE NODE TABLE P (`_x` INT64 PRIMARY KEY)",
    ):
        with pytest.raises(BadInput):
            check_write(statement, **OWN)


def test_ddl_takes_the_types_that_define_takes() -> None:
    assert TYPES - {"BOOLEAN", "INT"} == set(SCALARS)
    for kind in ("UINT8", "INT128", "UUID", "INTERVAL", "BLOB[]", "INT64[][]", "DOUBLE[3]", "DECIMAL(10, 2)",
                 "STRUCT(a INT64)", "MAP(STRING, INT64)", "UNION(a INT64)", "VARCHAR"):  # fmt: skip
        for statement in (f"CREATE NODE TABLE P (id INT64, x {kind}, PRIMARY KEY (id))", f"ALTER TABLE P ADD x {kind}"):
            with pytest.raises(NotAllowed, match="is no type of a column here") as refused:
                check_write(statement, own_nodes=(), own_rels=())
            assert refused.value.rule == "type"
