"""An example of everything that can be asked or given, made from the schema, so that none can differ from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_enum_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

SHOWN = 3
"""Fields of an answer that an example asks for."""
DEEP = 3
"""How far it goes into what has no fields without others below them."""
TELLING = frozenset({"critique", "first", "k", "reward", "uplift", "of", "start", "nodes", "rows", "keys"})
"""Arguments that an example gives though they needn't be."""
MAIN = ("items", "nodes", "record", "recommendation")
"""What is most of an answer, where it has one of them."""
LEAVES = (
    "recordId", "task", "name", "subject", "predicate", "object", "label", "key", "values", "uplift", "confidence",
    "reward", "critique", "text", "score", "utility",
)  # fmt: skip
"""Fields that tell most; others come behind them."""
ALONE = {"NodeRef": ("table", "key"), "AsOf": ("known",)}
"""Fields that an example gives of an input that needs none; else its first."""
OF_KIND: Mapping[str, Mapping[str, Any]] = {
    "skill": {"id": "sort_letters"}, "entit": {"id": "acme", "name": "Acme", "kind": "customer"},
    "fact": {"id": "fact-1"}, "predicate": {"name": "lives_in"}, "variable": {"name": "cache"},
    "cause": {"id": "edge-1"}, "causal": {"id": "edge-1"}, "table": {"name": "City"}, "rows": {"name": "City"},
    "statement": {"n": 41}, "writecypher": {"query": "CREATE (:City {name: 'Oslo', size: 700})"},
    "loadgraph": {"nodes": "City"}, "addnetworkx": {"nodes": "City", "edges": "ROAD"}, "trim": {"before": 1000},
    "linkepisode": {"target": "acme"},
    "linkskills": {"source": "sort_letters", "target": "open_mail"}, "nodechanged": {"id": "RXBpc29kZTptYWlsLTE"},
}  # fmt: skip
"""What examples give where the operation's name has these letters."""
VALUES: Mapping[str, Any] = {
    "a": "cache", "after": "eyJhdCI6MX0", "agent": "builder", "alpha": 0.7, "answer": "three", "b": "latency",
    "before": "eyJhdCI6MX0", "beta": 0.2, "cause": "cache", "clientMutationId": "0192f1c2-7a3e-7000-8000-000000000001",
    "code": "def sort(letters): ...", "column": "rank", "columns": {"name": "STRING", "size": "INT64"},
    "confidence": 0.9,
    "contains": "mail", "critique": "sort by date first", "damping": 0.85, "default": 1.0, "depth": 2,
    "description": "Sorts letters by date.", "effect": "latency", "embedder": "minilm",
    "ends": ["City", "City"], "episode": "mail-1", "episodes": ["mail-1"], "evidence": ["mail-1"], "fanOut": 100,
    "feedback": 0.1, "first": 3, "gamma": 0.1, "goal": "latency", "halfLife": "30d", "id": "mail-1", "ids": ["mail-1"],
    "input": "200 letters", "interval": [0.1, 0.4], "k": 3, "keepMinPerTask": 1, "key": "Oslo", "keys": ["Oslo"],
    "kind": "episode", "kinds": ["episode", "skill"], "last": 3, "latencyMs": 120.0, "limit": 100, "maxAge": "90d",
    "maxDepth": 4, "maxHops": 3, "maxTokens": 500, "measure": "jaccard", "mechanism": "fewer reads of the disk",
    "metadata": {"model": "small"}, "minAttempts": 3, "minConfidence": 0.5, "minHops": 1, "minReward": 0.6,
    "minSimilarity": 0.8, "minSuccessRate": 0.5, "minUses": 2, "mmr": 0.3, "n": 40, "name": "sort_letters",
    "nearness": 0.2, "node": "cache", "number": 1, "object": "Oslo", "of": "cache", "output": "sorted by sender",
    "params": {"name": "Oslo"}, "path": "/var/backups/memory", "predicate": "lives_in", "prerequisites": ["open_mail"],
    "query": "MATCH (e:Episode) RETURN count(e) AS n", "record": "mail-1", "ref": ["City", "Oslo"], "rel": ["CAUSES"],
    "resolution": 1.0, "reward": 0.8, "rng": 7, "rows": [{"name": "Oslo", "size": 700}], "sample": 100,
    "searchable": ["name"], "seed": 7, "session": "monday", "signature": "sort(letters) -> letters", "similarity": 0.9,
    "skill": "sort_letters", "source": "cache", "subject": "Ann", "table": "City", "tables": ["City"],
    "tags": ["mail"], "target": "latency", "task": "sort the mail", "text": "sort the mail", "texts": ["sort the mail"],
    "timeout": 5.0, "tokens": 900, "tolerance": 1e-6, "uplift": 0.25, "value": 0.5, "vector": [0.1, 0.2, 0.3],
    "globalId": "RXBpc29kZTptYWlsLTE", "weight": 0.5, "weights": {"similarity": 0.7}, "window": "7d",
    "graph": {"directed": True, "nodes": [], "links": []},
    "used": {"sort_letters": True}, "nodes": ["cache"], "runtime": "onnx", "method": "measured",
}  # fmt: skip
"""What examples give, by the name of the argument; else by its type."""
BY_TYPE: Mapping[str, Any] = {
    "Boolean": True, "DateTime": "2026-03-01T12:00:00Z", "Duration": "30d", "Float": 0.5, "ID": "mail-1", "Int": 3,
    "JSON": {"name": "Oslo"}, "Long": 3, "String": "mail",
}  # fmt: skip


def add_examples(schema: GraphQLSchema) -> GraphQLSchema:
    """The same schema, whose operations, arguments and fields of inputs tell an example behind what they are."""
    roots = {"query": schema.query_type, "mutation": schema.mutation_type, "subscription": schema.subscription_type}
    for operation, root in roots.items():
        for name, field in root.fields.items() if root is not None else ():
            field.description = f"{field.description}\n\nExample: `{example(operation, name, field)}`"
    for type in schema.type_map.values():
        for name, given in _given(type):
            about = given.description or ""
            if isinstance(get_named_type(given.type), GraphQLScalarType) and "Example:" not in about:
                given.description = f"{about} Example: `{_written(name, given.type)}`."
    return schema


def example(operation: str, name: str, field: GraphQLField) -> str:
    """A document of one field, as short as it can be and tell something."""
    values = dict(VALUES)
    for letters, told in OF_KIND.items():
        values.update(told if letters in name.lower() else {})
    given = [
        f"{argument}: {_written(argument, one.type, values)}"
        for argument, one in field.args.items()
        if is_required_argument(one) or argument in TELLING
    ]
    arguments = f"({', '.join(given)})" if given else ""
    document = f"{{ {name}{arguments}{_selection(field.type, DEEP)} }}"
    return document if operation == "query" else f"{operation} {document}"


def _given(type: Any) -> Iterator[tuple[str, GraphQLArgument | GraphQLInputField]]:
    if isinstance(type, GraphQLInputObjectType):
        yield from type.fields.items()
    elif isinstance(type, GraphQLObjectType | GraphQLInterfaceType) and not type.name.startswith("__"):
        for field in type.fields.values():
            yield from field.args.items()


def _selection(type: Any, depth: int) -> str:
    """What an answer is asked for: leaves, pages by their nodes, a union by what is good and by what went wrong."""
    named = get_named_type(type)
    if is_leaf_type(named):
        return ""
    if isinstance(named, GraphQLUnionType):
        good = named.types[0]
        return f" {{ ... on {good.name}{_selection(good, depth)} ... on Error {{ what hint }} }}"
    assert isinstance(named, GraphQLObjectType | GraphQLInterfaceType)
    free = {name: one for name, one in named.fields.items() if not any(map(is_required_argument, one.args.values()))}
    if named.name.endswith("Connection"):
        return f" {{ nodes{_selection(free['nodes'].type, depth)} totalCount }}"
    leaves = [name for name, one in free.items() if is_leaf_type(get_named_type(one.type))]
    leaves.sort(key=lambda leaf: LEAVES.index(leaf) if leaf in LEAVES else len(LEAVES))
    main = [name for name in MAIN if name in free and name not in leaves]
    if not main and not [name for name in leaves if name != "clientMutationId"]:
        main = [name for name in free if name not in leaves]
    if depth and main:
        below = f"{main[0]}{_selection(free[main[0]].type, depth - 1)}"
        return f" {{ {' '.join([below, *(leaf for leaf in leaves if leaf in LEAVES)][:SHOWN])} }}"
    return f" {{ {' '.join(leaves[:SHOWN]) or '__typename'} }}"


def _written(name: str, type: Any, values: Mapping[str, Any] = VALUES) -> str:
    """A value as it stands in a document."""
    bare = get_nullable_type(type)
    if isinstance(bare, GraphQLList):
        several = values.get(name)
        if isinstance(several, list) and is_leaf_type(get_named_type(bare)) and not _is_list(bare.of_type):
            return f"[{', '.join(_literal(one, bare.of_type) for one in several)}]"
        return f"[{_written(name, bare.of_type, values)}]"
    if isinstance(bare, GraphQLInputObjectType):
        values = {**values, "table": "Skill", "key": "sort_letters"} if bare.name == "NodeRef" else values
        wanted: Sequence[str] = [
            field for field, one in bare.fields.items() if is_required_input_field(one) or field in TELLING
        ]
        wanted = wanted or ALONE.get(bare.name) or [next(iter(bare.fields))]
        return f"{{{', '.join(f'{field}: {_written(field, bare.fields[field].type, values)}' for field in wanted)}}}"
    value = values.get(name, BY_TYPE.get(bare.name))
    return _literal(value[0] if isinstance(value, list) and bare.name != "JSON" else value, bare)


def _is_list(type: Any) -> bool:
    return isinstance(get_nullable_type(type), GraphQLList)


def _literal(value: Any, type: Any) -> str:
    named = get_named_type(type)
    if is_enum_type(named):
        return str(next(iter(named.values)))
    if not _fits(value, named.name):
        value = BY_TYPE[named.name]
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_literal(one, type)}' for name, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_literal(one, type) for one in value)}]"
    return json.dumps(value)


def _fits(value: Any, type: str) -> bool:
    match type:
        case "String" | "ID":
            return isinstance(value, str)
        case "Int" | "Long":
            return isinstance(value, int) and not isinstance(value, bool)
        case "Float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "Boolean":
            return isinstance(value, bool)
        case "DateTime" | "Date":
            return isinstance(value, str) and value[:4].isdigit()
    return value is not None
