"""Errors that a client can act on, as types: each implements `Error`, and stands in the unions of results."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLField,
    GraphQLFloat,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLString,
    GraphQLUnionType,
)

from graphsvc import errors
from graphsvc.errors import GraphsvcError
from graphsvc.service.described import summary
from graphsvc.service.graphql.scalars import LONG

OF_ALL: tuple[type[GraphsvcError], ...] = (errors.BadInput, errors.Forbidden, errors.RateLimited)
OF_ONE = (*OF_ALL, errors.NotFound, errors.Gone, errors.Ambiguous)
"""Of what is asked for by id."""
OF_WRITES = (
    *OF_ONE, errors.Conflict, errors.Cycle, errors.NeedsUnbound, errors.UnknownField, errors.TooLarge,
    errors.NotAllowed, errors.BadStatement, errors.Overloaded, errors.Unavailable, errors.StorageFull,
    errors.Pending, errors.WaitTimeout, errors.QueryTimeout, errors.MemoryLimit, errors.NotRetained,
    errors.NeedsSnapshot, errors.Unsupported,
)  # fmt: skip

_TOLD = {
    "code": (GraphQLNonNull(GraphQLString), "Tells what went wrong; the same in every release."),
    "what": (GraphQLNonNull(GraphQLString), "What was wrong, in words."),
    "where": (GraphQLNonNull(GraphQLString), "What it is about: an argument, a field, an id. Empty: the call itself."),
    "hint": (GraphQLNonNull(GraphQLString), "What to do about it."),
    "retryable": (GraphQLNonNull(GraphQLBoolean), "Whether the same may succeed later, unchanged."),
}
_MORE = {
    errors.Overloaded: {"retryAfter": ("retry_after", GraphQLFloat, "Seconds after which to try again.")},
    errors.RateLimited: {"retryAfter": ("retry_after", GraphQLFloat, "Seconds after which to try again.")},
    errors.Pending: {"change": ("change", LONG, "Its number in the log: ask for `outcome`.")},
    errors.NotAllowed: {"rule": ("rule", GraphQLString, "Name of the rule, as the reference of Cypher has it.")},
}


class Told:
    """An error as a value: an exception that a resolver gives back counts as raised."""

    __slots__ = ("error",)

    def __init__(self, error: GraphsvcError) -> None:
        self.error = error


def _of_error(name: str) -> Callable[[Told, Any], Any]:
    return lambda told, info: getattr(told.error, name)


def _fields() -> dict[str, GraphQLField]:
    return {
        name: GraphQLField(type, resolve=_of_error(name), description=about) for name, (type, about) in _TOLD.items()
    }


ERROR = GraphQLInterfaceType("Error", _fields, description="Why something wasn't done, for a client to act on.")


def _type(kind: type[GraphsvcError]) -> GraphQLObjectType:
    more = {
        shown: GraphQLField(GraphQLNonNull(type), resolve=_of_error(name), description=about)
        for shown, (name, type, about) in _MORE.get(kind, {}).items()
    }
    return GraphQLObjectType(kind.__name__, lambda: {**_fields(), **more}, [ERROR], description=summary(kind))


TYPES = {kind: _type(kind) for kind in OF_WRITES}


def result(name: str, good: Any, kinds: tuple[type[GraphsvcError], ...], about: str) -> GraphQLUnionType:
    """A union of what is given where all went well, and of errors."""

    def which(value: Any, info: Any, union: Any) -> str:
        return _shown(type(value.error)).__name__ if isinstance(value, Told) else str(good.name)

    return GraphQLUnionType(name, [good, *(TYPES[kind] for kind in kinds)], which, description=about)


def _shown(kind: type) -> type:
    return next(parent for parent in kind.__mro__ if parent in TYPES)


def told(
    resolve: Callable[..., Awaitable[Any]], kinds: tuple[type[GraphsvcError], ...]
) -> Callable[..., Awaitable[Any]]:
    """A resolver that gives back errors of these kinds, where it raised them before."""

    async def run(source: Any, info: Any, /, **arguments: Any) -> Any:
        try:
            return await resolve(source, info, **arguments)
        except kinds as error:
            return Told(error)

    return run
