"""What a document may ask at most, looked at before anything of it is done.

The cost of a field is 1, and that of what stands in it times the size of the page that it asks for (`first`, `last`,
`k`, `limit`), and times the length of a list that it takes (`ids`, `texts`): the number of values that an answer may
hold. Fragments count wherever they are spread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

from graphsvc.config import ServiceSettings
from graphsvc.service.graphql.connections import FIRST

FRAGMENTS = 100
"""Of a document: validation compares each with each."""
TOKEN = re.compile(r'''#[^\n\r]*|"""(?:\\"""|[^"]|"(?!""))*"""|"(?:\\.|[^"\\\n\r])*"|\.\.\.|[!$&()\[\]{}:=@|]|\w+|-''')
"""About what the lexer takes for a token, or a comment; found at the speed of C."""
SIZES = ("first", "last", "k", "limit")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may ask.

    Attributes:
        depth: fields within fields. cost: values that its answer may hold. aliases: fields under other names.
        tokens: of the text.
    """

    depth: int
    cost: int
    aliases: int
    tokens: int

    @classmethod
    def of(cls, settings: ServiceSettings) -> Limits:
        """As the settings say."""
        return cls(
            settings.graphql_depth, settings.graphql_cost, settings.graphql_aliases, settings.graphql_tokens,
        )  # fmt: skip


class TooMuch(GraphQLError):
    """A document asks more than it may."""

    def __init__(self, what: str, most: int) -> None:
        super().__init__(
            f"The document asks too much: {what}, at most {most:,} may be asked.",
            extensions={"code": "too_large", "limit": most},
        )


def check_length(text: str, limits: Limits) -> None:
    """Raise TooMuch where a text has far more tokens than may be, before it is parsed; the parser counts exactly."""
    if len(text) > limits.tokens:  # each token has a character
        found = sum(1 for _ in islice(TOKEN.finditer(text), 2 * limits.tokens))
        if found > limits.tokens:
            raise TooMuch("it has too many tokens", limits.tokens)


def check(
    schema: GraphQLSchema, document: DocumentNode, limits: Limits, variables: Mapping[str, Any] | None
) -> None:
    """Raise TooMuch where the document goes over a limit. It takes no longer than what may be asked is large."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    if len(fragments) > FRAGMENTS:
        raise TooMuch("it has too many fragments", FRAGMENTS)
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            counted = _Counted(schema, limits, fragments, each, variables or {})
            counted.selections(each.selection_set, schema.get_root_type(each.operation), 1, 1, ())


class _Counted:
    """Counts up to the limits, and stops at the first that is passed."""

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        fragments: Mapping[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._fragments = fragments
        self._defaults = {each.variable.name.value: each.default_value for each in operation.variable_definitions or ()}
        self._variables = variables
        self._cost = self._aliases = self._looked = 0

    def selections(
        self, selected: SelectionSetNode | None, parent: Any, depth: int, times: int, within: tuple[str, ...]
    ) -> None:
        """Count what is selected of a type, `times` times."""
        if selected is None:
            return
        if depth > self._limits.depth:
            raise TooMuch("it is too deep", self._limits.depth)
        for each in selected.selections:
            self._looked += 1
            if self._looked > self._limits.tokens:
                raise TooMuch("its fragments come to too many fields", self._limits.tokens)
            if isinstance(each, FieldNode):
                self._field(each, parent, depth, times, within)
            elif isinstance(each, InlineFragmentNode):
                on = each.type_condition
                self.selections(each.selection_set, self._type(on.name.value) if on else parent, depth, times, within)
            elif isinstance(each, FragmentSpreadNode):
                name = each.name.value
                fragment = self._fragments.get(name)
                if fragment is not None and name not in within:  # a circle is told by validation
                    on_type = self._type(fragment.type_condition.name.value)
                    self.selections(fragment.selection_set, on_type, depth, times, (*within, name))

    def _type(self, name: str) -> Any:
        return self._schema.get_type(name)

    def _field(self, field: FieldNode, parent: Any, depth: int, times: int, within: tuple[str, ...]) -> None:
        if field.alias is not None:
            self._aliases += 1
            if self._aliases > self._limits.aliases:
                raise TooMuch("it has too many aliases", self._limits.aliases)
        self._cost += times
        if self._cost > self._limits.cost:
            raise TooMuch("it costs too much", self._limits.cost)
        definition = getattr(parent, "fields", {}).get(field.name.value)
        inner = get_named_type(definition.type) if definition is not None else None
        size = 1 if definition is None else self._size(field, definition)
        self.selections(field.selection_set, inner, depth + 1, times * size, within)

    def _size(self, field: FieldNode, definition: GraphQLField) -> int:
        """How many of what stands in a field its answer may hold."""
        given = {argument.name.value: argument.value for argument in field.arguments or ()}
        size = 1
        for name, argument in definition.args.items():
            if isinstance(argument.type, GraphQLNonNull) and isinstance(argument.type.of_type, GraphQLList):
                size *= max(1, self._length(given.get(name)))
        pages = {name: definition.args[name] for name in SIZES if name in definition.args}
        said = [self._number(given[name], argument) for name, argument in pages.items() if name in given]
        return size * max(1, *(said or map(_default, pages.values())), 1)

    def _value(self, value: Any) -> Any:
        """What a variable stands for: a value, or a literal."""
        if isinstance(value, VariableNode):
            return self._variables.get(value.name.value, self._defaults.get(value.name.value))
        return value

    def _number(self, value: Any, argument: GraphQLArgument) -> int:
        found = self._value(value)
        if isinstance(found, IntValueNode):
            found = int(found.value) if len(found.value) < 12 else self._limits.cost + 1
        if isinstance(found, int | float) and not isinstance(found, bool) and found < self._limits.cost:
            return int(found)
        if isinstance(found, int | float):
            return self._limits.cost + 1
        return _default(argument)  # null, or nothing that it could be

    def _length(self, value: Any) -> int:
        found = self._value(value)
        return len(found.values) if isinstance(found, ListValueNode) else len(found) if isinstance(found, list) else 1


def _default(argument: GraphQLArgument) -> int:
    """The size of a page that isn't said: the argument's own, else that of a page of records."""
    value = argument.default.value if argument.default is not None else None
    return value if isinstance(value, int) else FIRST
