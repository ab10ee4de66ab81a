"""Documents: parsed, validated and measured once, and kept; trusted ones by their id."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

import msgspec
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    execute,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from graphql.execution import ExecutionResult

from graphsvc.config import ServiceSettings, whole_path
from graphsvc.errors import BadInput
from graphsvc.service.graphql.context import Context
from graphsvc.service.graphql.limits import Limits, check, check_length

KEPT = 1_000
"""Documents that are kept parsed."""
KEPT_CHARACTERS = 20_000
"""The longest of them: few tokens can be long texts."""
MAX_ERRORS = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks.

    Attributes:
        query: a document, or None. id: of a trusted one, or None. operation: which of its operations.
        variables: values.
    """

    query: str | None
    id: str | None
    operation: str | None
    variables: Mapping[str, Any] | None


class Refused(Exception):
    """A request isn't done.

    Attributes:
        errors: why. status: of the response. headers: of it.
        of_document: whether it came well formed, and what it asks can't be done.
    """

    def __init__(
        self,
        what: str | Sequence[GraphQLError],
        *,
        status: int = 400,
        code: str = "bad_input",
        headers: Mapping[str, str] | None = None,
        of_document: bool = False,
    ) -> None:
        self.errors = [GraphQLError(what, extensions={"code": code})] if isinstance(what, str) else list(what)
        self.status = status
        self.headers = headers
        self.of_document = of_document
        super().__init__(what)

    @property
    def told(self) -> list[Any]:
        """The errors, as a response has them."""
        return [error.formatted for error in self.errors]


@dataclass(frozen=True, slots=True)
class Ready:
    """An operation that may be done.

    Attributes:
        schema, document: which. operation: of the document. name, variables: as asked.
    """

    schema: GraphQLSchema
    document: DocumentNode
    operation: OperationDefinitionNode
    name: str | None
    variables: Mapping[str, Any] | None

    async def execute(self, context: Context) -> ExecutionResult:
        """Do it."""
        found = execute(
            self.schema, self.document, context_value=context, variable_values=dict(self.variables or {}),
            operation_name=self.name,
        )  # fmt: skip
        return await found if isawaitable(found) else found


class Documents:
    """What documents become. Kept by text and schema, so that one sent again is neither parsed nor validated again."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._limits = Limits.of(settings)
        hidden = () if settings.graphql_introspection else (NoSchemaIntrospectionCustomRule,)
        self._rules = [*specified_rules, *hidden]
        self._trusted = _trusted(settings.graphql_documents)
        self._kept: OrderedDict[tuple[GraphQLSchema, str], DocumentNode | tuple[GraphQLError, ...]] = OrderedDict()

    def ready(self, schema: GraphQLSchema, asked: Asked) -> Ready:
        """The operation that is asked for. Raises Refused."""
        document = self._document(schema, self._text(asked))
        operation = get_operation_ast(document, asked.operation)
        if operation is None:
            what = f"no operation {asked.operation!r}" if asked.operation else "several operations, and none is named"
            raise Refused(f"the document has {what}", of_document=True)
        try:
            check(schema, document, self._limits, asked.variables)
        except GraphQLError as error:
            raise Refused([error], of_document=True) from None
        return Ready(schema, document, operation, asked.operation, asked.variables)

    def _text(self, asked: Asked) -> str:
        if asked.id is None:
            if self._trusted is not None:
                what = "only documents that are known here are taken, by documentId"
                raise Refused(what, status=403, code="forbidden")
            assert asked.query is not None
            return asked.query
        text = (self._trusted or {}).get(asked.id)
        if text is None:
            raise Refused(f"no document {asked.id!r} is known here", status=404, code="not_found")
        return text

    def _document(self, schema: GraphQLSchema, text: str) -> DocumentNode:
        place = (schema, text)
        found = self._kept.get(place)
        if found is not None:
            self._kept.move_to_end(place)
        else:
            found = self._validated(schema, text)
            if len(text) <= KEPT_CHARACTERS:
                self._kept[place] = found
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        if isinstance(found, tuple):  # a new one each time: an exception that is kept grows by where it was raised
            raise Refused([_told_again(error) for error in found], of_document=True)
        return found

    def _validated(self, schema: GraphQLSchema, text: str) -> DocumentNode | tuple[GraphQLError, ...]:
        """The document, or why it is refused."""
        try:
            check_length(text, self._limits)
            document = parse(text, max_tokens=self._limits.tokens)
            check(schema, document, self._limits, None)  # before validation, whose work can grow faster than the text
        except GraphQLError as error:
            return (_told_again(error),)
        except RecursionError:
            return (GraphQLError("the document is nested too deeply", extensions={"code": "too_large"}),)
        errors = validate(schema, document, self._rules, max_errors=MAX_ERRORS)
        return tuple(map(_told_again, errors)) or document


def _told_again(error: GraphQLError) -> GraphQLError:
    """The same error, without where it was raised and what was there."""
    return GraphQLError(
        error.message, source=error.source, positions=error.positions, path=error.path, extensions=error.extensions
    )


def _trusted(path: str) -> dict[str, str] | None:
    """Trusted documents by id. Raises BadInput where the file isn't one."""
    if not path:
        return None
    try:
        return msgspec.json.decode(whole_path(path, "graphql_documents").read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"can't be read as a JSON object of documents by id: {error}", where=path) from None
