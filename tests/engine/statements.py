"""Random statements: made by a grammar over the graph of `wall`, and made of those in the data files by mutation."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from graphsvc.cypher.functions import FUNCTIONS
from graphsvc.cypher.tokens import tokens
from graphsvc.errors import GraphsvcError

CLAUSES = (
    "CREATE (:Person {id: 5000})", "SET a.age = 0", "DETACH DELETE a", "MERGE (:City {name: 'Z'})", "DROP TABLE LIVES",
    "LOAD FROM '/etc/passwd' RETURN *", "COPY (MATCH (a:Person) RETURN a.id) TO 'stolen.csv'", "CALL timeout=0", "COMMIT",
    "BEGIN TRANSACTION", "CHECKPOINT", "ATTACH 'x' AS y (dbtype kuzu)", "EXPORT DATABASE 'stolen'", "INSTALL httpfs", ";",
    "PROFILE", "RETURN 1", "UNION ALL", "EXPLAIN", "/*", "*/", "//", "'", '"', "`", "\\", "\n", "\u00a0", "LOAD", "FROM",
)  # fmt: skip
KINDS = ("number", "text", "truth", "list", "time", "any")
_PROPERTIES = {
    "number": ("a.id", "a.age", "a.score", "b.age", "k.since", "k.w", "c.size"),
    "text": ("a.name", "b.name", "c.name", "label(a)"),
    "truth": ("a.id > 3", "a.name = b.name", "k.since IS NULL"),
    "list": ("a.tags", "a.emb", "nodes(p)", "rels(p)", "b.tags"),
    "time": ("a.born", "a.seen", "b.born"),
    "any": ("a", "b", "c", "k", "p", "a.nothing", "b.emb[1]", "properties(nodes(p), 'id')"),
}
_LITERALS = {
    "number": (
        "1",
        "0",
        "-1",
        "1.5",
        "$n",
        "9223372036854775807",
        "1e308",
        "cast(1 AS INT8)",
        "cast(5 AS DECIMAL(10, 2))",
    ),
    "text": ("'p1'", "''", "'a.*'", "$key", "'äöü€'", "'%'", "'DESC'"),
    "truth": ("true", "false", "1 = 1"),
    "list": ("[1, 2, 3]", "['a', 'b']", "[]", "$ids", "[[1], [2]]", "range(1, 5)", "[NULL]", "[1, NULL]"),
    "time": ("date('2020-01-01')", "timestamp('2020-01-01 00:00:00')", "interval('1 day')", "current_date()"),
    "any": (
        "NULL",
        "{a: 1}",
        "cast('x' AS BLOB)",
        "map([1], ['a'])",
        "$nothing",
        "uuid('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')",
    ),
}
# a form names the kinds of what stands in it: {number}, {text}, …
_FORMS = {
    "number": (
        "({number} + {number})", "({number} - {number})", "({number} * {number})", "({number} / {number})",
        "({number} % {number})", "(-{number})", "abs({number})", "round({number}, 1)", "floor({number})", "size({list})",
        "size({text})", "length(p)", "cast({text} AS INT64)", "cast({number} AS INT8)", "list_sum({list})",
        "coalesce({number}, {number})", "CASE WHEN {truth} THEN {number} ELSE {number} END", "sqrt({number})",
        "list_reduce({list}, (u, v) -> u + v)", "COUNT {{ MATCH (q:Person)-[:KNOWS]->() WHERE q.id = {number} }}",
        "COUNT {{ MATCH (a)-[:KNOWS]->(q:Person) WHERE q.age > 3 }}", "levenshtein({text}, {text})", "date_part('year', {time})", "({list})[1]", "count({any})", "sum({number})",
        "min({number})", "({number} ^ {number})", "atan2({number}, {number})", "factorial(abs(a.id) % 5)", "nullif({number}, 1)",
        "({number} << {number})", "to_int64({number})", "list_position({list}, {number})", "{{a: {number}}}.a",
    ),
    "text": (
        "({text} + {text})", "upper({text})", "trim({text})", "substring({text}, 1, 2)", "left({text}, {number})",
        "right({text}, {number})", "reverse({text})", "cast({any} AS STRING)", "concat({text}, {text})", "lpad({text}, 5, 'x')",
        "regexp_replace({text}, {text}, 'q')", "regexp_extract({text}, {text})", "({text})[1:2]", "repeat({text}, 3)",
        "split_part({text}, ',', 1)", "list_to_string(',', {list})", "md5({text})", "typeof({any})", "label({any})", "label(({list})[1])",
        "CASE {number} WHEN 1 THEN {text} ELSE {text} END", "max({text})", "coalesce({text}, 'x')", "dayname({time})",
    ),
    "truth": (
        "({number} = {number})", "({number} < {number})", "({text} STARTS WITH {text})", "({text} CONTAINS {text})",
        "({text} =~ {text})", "({number} IN {list})", "({any}) IS NULL", "NOT {truth}", "({truth} AND {truth})",
        "({truth} OR {truth})", "({truth} XOR {truth})", "any(u IN {list} WHERE {truth})", "any(u IN {list} WHERE u IS NULL OR {truth})", "all(u IN {list} WHERE u = {number})",
        "EXISTS {{ MATCH (q:Person)-[:KNOWS]->() WHERE q.id = {number} }}", "list_contains({list}, {number})", "({time} < {time})",
        "(a.age IS NOT NULL AND EXISTS {{ MATCH (q:Person)-[:KNOWS]->() WHERE q.id = a.age }})", "EXISTS {{ MATCH (a)-[:KNOWS]->(q) WHERE {truth} }}",
        "regexp_matches({text}, {text})", "({any} = {any})", "list_has_all({list}, {list})", "single(u IN {list} WHERE u = 1)",
    ),
    "list": (
        "[{number}, {number}]", "[{text}]", "({list} + {list})", "list_concat({list}, {list})", "list_append({list}, {number})",
        "list_transform({list}, u -> {number})", "list_filter({list}, u -> {truth})",
        "list_transform({list}, u -> u)", "list_filter({list}, u -> u IS NOT NULL AND {truth})", "({list})[1:2]", "list_sort({list})",
        "list_distinct({list})", "list_reverse({list})", "string_split({text}, ',')", "collect({number})", "list_slice({list}, 1, 2)",
        "regexp_extract_all({text}, {text})", "keys(a)", "list_sort({list}, 'DESC')", "list_prepend({list}, {number})",
        "list_transform({list}, u -> [u])", "coalesce({list}, {list})", "array_value({number}, {number})", "list_creation({number})",
    ),
    "time": (
        "({time} + {number})", "({time} - interval('1 day'))", "({time} - {time})", "date_trunc('month', {time})", "last_day({time})",
        "make_date(2020, 1, {number})", "epoch_ms({number})", "cast({text} AS DATE)", "greatest({time}, {time})", "({time} / 2)",
        "to_days({number})", "cast({time} AS TIMESTAMP)", "min({time})", "interval({text})", "to_timestamp({number})",
    ),
    "any": ("{number}", "{text}", "{truth}", "{list}", "{time}", "{{a: {any}, b: {any}}}", "coalesce({any}, {any})", "({list})[{number}]"),
}  # fmt: skip
_HOLE = re.compile(r"\{(number|text|truth|list|time|any)\}")


class Maker:
    """Makes statements that are mostly well formed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._names: list[str] = []

    def statement(self) -> str:
        self._names = []
        parts = [self._reading() for _ in range(self._chance.choice((0, 1, 1, 1, 2, 2, 3)))]
        statement = " ".join([*parts, f"RETURN {self._projection()}"])
        if self._chance.random() < 0.08:
            self._names = []
            statement += f" UNION ALL RETURN {self._projection()}"
        return ("EXPLAIN " if self._chance.random() < 0.05 else "") + statement

    def _reading(self) -> str:
        make: Callable[[], str] = self._chance.choice((self._match, self._match, self._match, self._unwind, self._with))
        return make()

    def _match(self) -> str:
        chance = self._chance
        pattern = chance.choice((
            "(a:Person)", "(a:Person {id: 1})", "(a)", "(c:City)", "(a:Person)-[k:KNOWS]->(b:Person)", "(a:Person)-[k:KNOWS]-(b)",
            "(a:Person)-[:LIVES]->(c:City)", "(a:Person)-[:KNOWS*1..2]->(b:Person)", "p = (a:Person)-[:KNOWS*1..2]->(b:Person)",
            "p = (a:Person {id: 1})-[:KNOWS* SHORTEST 1..4]->(b:Person)", "(a:Person), (c:City)", "(a:Person|City)",
            "(a:Person)-[:KNOWS* ALL SHORTEST 1..3]-(b:Person)", "(a:Person)-[k]->(b)", "(b)<-[k:KNOWS]-(a:Person {id: 7})",
            "p = (a:Person)-[:KNOWS* WSHORTEST(w) 1..3]->(b:Person)", "(a:Person)-[:KNOWS]->(b:Person)-[:LIVES]->(c:City)",
            "(a:Person)-[:KNOWS*1..2 (r, n | WHERE r.since > 1 | {r.w}, {n.name})]->(b:Person)",
        ))  # fmt: skip
        self._names += [
            name for name in "abckp" if f"({name}" in pattern or f"[{name}" in pattern or f"{name} =" in pattern
        ]
        where = f" WHERE {self._expression(2, 'truth')}" if chance.random() < 0.5 else ""
        return ("OPTIONAL " if chance.random() < 0.2 else "") + f"MATCH {pattern}{where}"

    def _unwind(self) -> str:
        source = self._chance.choice(("[1, 2, 3]", "['a', NULL]", "[]", "range(1, 5)", "$ids", "[[1], [2]]", "$rows"))
        source = self._expression(1, "list") if self._chance.random() < 0.2 else source
        self._names.append("x")
        return f"UNWIND {source} AS x"

    def _with(self) -> str:
        kept = [name for name in dict.fromkeys(self._names) if self._chance.random() < 0.7]
        items = [*kept, f"{self._expression(2)} AS y"]
        if self._chance.random() < 0.3:
            items.append(f"{self._chance.choice(('count(*)', 'collect(1)', 'min(1)', 'max(2)', 'sum(3)'))} AS z")
        self._names = [*kept, "y", *(["z"] if len(items) > len(kept) + 1 else [])]
        tail = f" ORDER BY y LIMIT {self._chance.randint(0, 5)}" if self._chance.random() < 0.2 else ""
        return f"WITH {'DISTINCT ' if self._chance.random() < 0.1 else ''}{', '.join(items)}{tail}" + (
            f" WHERE {self._expression(2, 'truth')}" if self._chance.random() < 0.3 else ""
        )

    def _projection(self) -> str:
        items = [f"{self._expression(3)} AS r{index}" for index in range(self._chance.choice((1, 1, 2, 3)))]
        return ", ".join(items) + self._chance.choice(
            ("", " ORDER BY r0", " LIMIT 3", " SKIP 1", " ORDER BY r0 DESC LIMIT 2")
        )

    def _expression(self, depth: int, kind: str = "any") -> str:
        chance = self._chance
        if chance.random() < 0.04:
            kind = chance.choice(KINDS)
        if depth == 0 or chance.random() < 0.2:
            return self._leaf(kind)
        if chance.random() < 0.08:
            arguments = [
                self._expression(depth - 1, chance.choice(KINDS)) for _ in range(chance.choice((1, 1, 2, 2, 3)))
            ]
            return f"{chance.choice(sorted(FUNCTIONS))}({', '.join(arguments)})"
        form = chance.choice(_FORMS[kind])
        parts = _HOLE.split(form)  # texts at even places, kinds at odd ones
        filled = [self._expression(depth - 1, part) if index % 2 else part for index, part in enumerate(parts)]
        return "".join(
            part if index % 2 else part.replace("{{", "{").replace("}}", "}") for index, part in enumerate(filled)
        )

    def _leaf(self, kind: str) -> str:
        chance = self._chance
        bound = [one for one in _PROPERTIES[kind] if any(re.search(rf"\b{name}\b", one) for name in self._names)]
        if bound and chance.random() < 0.7:
            return chance.choice(bound)
        if kind == "any" and self._names and chance.random() < 0.5:
            return chance.choice(self._names)
        return chance.choice(_LITERALS[kind])


def mutated(statement: str, corpus: list[str], chance: random.Random) -> str:
    """A statement with some tokens taken out, doubled, swapped, or put in from elsewhere; some characters, too."""
    try:
        words = [token.text for token in tokens(statement)]
    except GraphsvcError:
        words = list(statement)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(words) + 1)
        match chance.randrange(7):
            case 0:
                del words[at : at + 1]
            case 1:
                words.insert(at, chance.choice(CLAUSES))
            case 2:
                words[at:at] = words[at : at + 3]
            case 3:
                words[at:at] = chance.choice(corpus).split()[:4]
            case 4 if words:
                other = chance.randrange(len(words))
                words[other], words[at - 1] = words[at - 1], words[other]
            case 5:
                words.insert(
                    at, chance.choice(("NULL", "''", "[]", "-1", "$n", "(", ")", "{", "}", "[", "]", ",", ".", "*"))
                )
            case 6:
                words.insert(
                    at, chr(chance.choice((0x2028, 0xFEFF, 0x200B, 0xAD, 0x2014, 0x27E8, 0x1F600, 0x130, 0x17F, 9, 13)))
                )
    return chance.choice((" ", " ", " ", "", "\n", "/**/")).join(words)
