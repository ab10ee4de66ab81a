"""What a tool is: a function whose annotations are its JSON Schema, checked on the way in and on the way out."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import msgspec

from graphsvc.errors import BadInput, UnknownField
from graphsvc.service.access import Caller
from graphsvc.service.gate import Gate


@dataclass(frozen=True, slots=True)
class Asker:
    """A caller at the gate: what a tool does, it does through this.

    Attributes:
        gate: of the memory. caller: who asks. agent, shared: namespaces that the connection is bound to, if it is.
    """

    gate: Gate
    caller: Caller
    agent: str | None = None
    shared: Sequence[str] = ()

    async def __call__(self, operation: str, /, *args: Any, **options: Any) -> Any:
        """Do an operation; options that are None count as not given."""
        given = {name: value for name, value in options.items() if value is not None}
        return await self.gate.call(
            self.caller, operation, *args, agent_bound=self.agent, shared_bound=self.shared, **given
        )


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool.

    Attributes:
        name: as it is called. title: as people read it. description: what it does and when to use it.
        reads: whether it changes nothing. destroys: whether it takes something away. repeatable: whether doing it
        again with the same arguments changes nothing more.
        input_schema, output_schema: JSON Schema (2020-12) of arguments and answer.
    """

    name: str
    title: str
    description: str
    reads: bool
    destroys: bool
    repeatable: bool
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    arguments: type[msgspec.Struct]
    function: Callable[..., Awaitable[msgspec.Struct]]

    async def __call__(self, asker: Asker, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """Do it.

        Args:
            given: the arguments, as JSON had them; none is ignored.

        Returns:
            The answer as JSON has it, as the output schema says.

        Raises:
            UnknownField: for an argument that the tool doesn't have. BadInput: for one of another type. Else what the
            memory raises.
        """
        given = dict(given or {})
        unknown = [name for name in given if name not in self.arguments.__struct_fields__]
        if unknown:
            known = ", ".join(self.arguments.__struct_fields__)
            raise UnknownField("no such argument", where=unknown[0], hint=f"The tool {self.name} takes {known}.")
        try:
            checked = msgspec.convert(given, self.arguments)
        except msgspec.ValidationError as error:
            raise BadInput(str(error), where=self.name, hint="See the tool's input schema.") from None
        answer = await self.function(asker, **msgspec.structs.asdict(checked))
        return msgspec.to_builtins(answer, order="deterministic", enc_hook=str)  # type: ignore[no-any-return]


TOOLS: dict[str, Tool] = {}
"""All of them by name; filled by `tools`."""


def tool(
    title: str, *, reads: bool = False, destroys: bool = False, repeatable: bool = False
) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., Awaitable[Any]]]:
    """Make a function a tool: its name, docstring, annotated arguments and annotated answer are the tool's."""

    def register(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        hints = get_type_hints(function, include_extras=True)
        answer = hints.pop("return")
        fields: list[Any] = []
        for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
            if parameter.default is inspect.Parameter.empty:
                fields.append((name, hints[name]))
            else:
                fields.append((name, hints[name], parameter.default))
        arguments = msgspec.defstruct(
            f"{function.__name__}_arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        TOOLS[function.__name__] = Tool(
            function.__name__, title, inspect.cleandoc(function.__doc__ or ""), reads, destroys, reads or repeatable,
            _schema(arguments), _schema(answer), arguments, function,
        )  # fmt: skip
        return function

    return register


def _schema(kind: Any) -> dict[str, Any]:
    """JSON Schema of a struct, the struct itself at its root."""
    found = msgspec.json.schema(kind, ref_template="#/$defs/{name}")
    definitions = dict(found.get("$defs", {}))
    name = found["$ref"].rpartition("/")[2]
    root = definitions.pop(name)
    return {**root, **({"$defs": definitions} if definitions else {})}
