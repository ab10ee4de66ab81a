"""What a document may ask at most, looked at before anything of it is done.

The cost of a field is 1, and that of what stands in it times the size of the page that it asks for (`first`, `last`,
`k`, `limit`): the number of values that an answer may hold. Fragments count wherever they are spread.
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
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

from graphsvc.config import ServiceSettings

FRAGMENTS = 100
"""Of a document: validation compares each with each."""
TOKEN = re.compile(r'''#[^\n\r]*|"""(?:\\"""|[^"]|"(?!""))*"""|"(?:\\.|[^"\\\n\r])*"|\.\.\.|[!$&()\[\]{}:=@|]|\w+|-''')
"""About what the lexer takes for a token, or a comment; found at the speed of C."""
SIZES = ("first", "last", "k", "limit")
DEFAULT_SIZE = 10
"""Of a page whose size is said by no one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may ask.

    Attributes:
        depth: fields within fields. cost: values that its answer may hold. aliases: fields under other names.
        tokens: of the text. batch: documents in one request.
    """

    depth: int
    cost: int
    aliases: int
    tokens: int
    batch: int

    @classmethod
    def of(cls, settings: ServiceSettings) -> Limits:
        """As the settings say."""
        return cls(
            settings.graphql_depth, settings.graphql_cost, settings.graphql_aliases, settings.graphql_tokens,
            settings.graphql_batch,
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
        if not any(name in definition.args for name in SIZES):
            return 1
        given = {argument.name.value: argument.value for argument in field.arguments or ()}
        sizes = [self._number(given[name]) for name in SIZES if name in given]
        if not sizes:
            declared = [definition.args[name].default_value for name in SIZES if name in definition.args]
            sizes = [value for value in declared if isinstance(value, int)] or [DEFAULT_SIZE]
        return max(1, *sizes)

    def _number(self, value: Any) -> int:
        if isinstance(value, VariableNode):
            given = self._variables.get(value.name.value, self._defaults.get(value.name.value))
            if isinstance(given, int) and not isinstance(given, bool):
                return given
            value = given
        if isinstance(value, IntValueNode):
            return int(value.value) if len(value.value) < 12 else self._limits.cost + 1
        return DEFAULT_SIZE
