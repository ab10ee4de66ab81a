"""The protocol itself: the official SDK's server, with our tools, resources and prompts."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import graphsvc
from graphsvc.errors import GraphsvcError, NotFound, Unauthenticated
from graphsvc.memory.aio import AsyncMemory
from graphsvc.service.access import Caller
from graphsvc.service.authentication import caller_of
from graphsvc.service.gate import Gate
from graphsvc.service.mcp import tools  # noqa: F401  fills TOOLS
from graphsvc.service.mcp.resources import PROMPTS, RESOURCES, read, say
from graphsvc.service.mcp.tool import TOOLS, Asker
from graphsvc.service.operations import Role

logger = logging.getLogger("graphsvc.service")

INSTRUCTIONS = (
    "A memory that outlives the conversation. Before a task ask `brief` or `recall`; after it `store_episode` with a "
    "critique, and `record_outcome` of the skills used. Give an `id` where you may send something twice."
)
AT_THE_KEYBOARD = Caller("local", Role.ADMIN, None, local=True)
"""Who speaks over standard input: whoever started the process."""

Context = ServerRequestContext[Any, Any]


def server(
    gate: Gate, agent: str | None = None, shared: tuple[str, ...] = (), *, always: Caller | None = None
) -> Server[Any]:
    """The server of a memory.

    Args:
        gate: of the memory. agent, shared: namespaces that all of it is bound to, if it is.
        always: who calls, where there are no requests of HTTP that say it.
    """

    def asker(context: Context) -> Asker:
        if always is not None:
            return Asker(gate, always, agent, shared)
        if not isinstance(context.request, Request):
            raise Unauthenticated("who calls isn't said")
        return Asker(gate, caller_of(context.request), agent, shared)

    async def list_tools(context: Context, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_told(tool) for tool in TOOLS.values()])

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = TOOLS.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"no such tool: {params.name}")
        try:
            answer = await tool(asker(context), params.arguments)
        except GraphsvcError as error:
            return _refused(error)
        except Exception:
            return _refused(_masked(params.name))
        text = msgspec.json.encode(answer).decode()
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=answer)

    async def list_resources(context: Context, params: Any) -> types.ListResourcesResult:
        found = [
            types.Resource(uri=each.uri, name=each.name, description=each.description, mime_type="application/json")
            for each in RESOURCES if "{" not in each.uri
        ]  # fmt: skip
        return types.ListResourcesResult(resources=found)

    async def list_templates(context: Context, params: Any) -> types.ListResourceTemplatesResult:
        found = [
            types.ResourceTemplate(
                uri_template=each.uri, name=each.name, description=each.description, mime_type="application/json"
            )
            for each in RESOURCES if "{" in each.uri
        ]  # fmt: skip
        return types.ListResourceTemplatesResult(resource_templates=found)

    async def read_resource(context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        with _errors(params.uri):
            text = await read(asker(context), params.uri)
        content = types.TextResourceContents(uri=params.uri, mime_type="application/json", text=text)
        return types.ReadResourceResult(contents=[content])

    async def list_prompts(context: Context, params: Any) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=[
            types.Prompt(name=each.name, description=each.description, arguments=[
                types.PromptArgument(name=name, description=meaning, required=True)
                for name, meaning in each.arguments.items()
            ])
            for each in PROMPTS
        ])  # fmt: skip

    async def get_prompt(context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        with _errors(params.name):
            prompt, text = await say(asker(context), params.name, params.arguments)
        message = types.PromptMessage(role="user", content=types.TextContent(text=text))
        return types.GetPromptResult(description=prompt.description, messages=[message])

    return Server(
        "graphsvc", version=graphsvc.__version__, title="graphsvc", description=graphsvc.__doc__,
        instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool, on_list_resources=list_resources,
        on_list_resource_templates=list_templates, on_read_resource=read_resource, on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )  # fmt: skip


def _told(tool: Any) -> types.Tool:
    return types.Tool(
        name=tool.name, title=tool.title, description=tool.description, input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=types.ToolAnnotations(
            title=tool.title, read_only_hint=tool.reads, destructive_hint=tool.destroys,
            idempotent_hint=tool.repeatable, open_world_hint=False,
        ),
    )  # fmt: skip


def _refused(error: GraphsvcError) -> types.CallToolResult:
    """An error as the answer of a tool: the words for the model, the data beside them."""
    return types.CallToolResult(
        content=[types.TextContent(text=str(error))], is_error=True, _meta={"graphsvc/error": error.as_dict()}
    )


def _masked(what: str) -> GraphsvcError:
    """An error that nobody foresaw: what it was is in the log, under an id."""
    id = secrets.token_hex(8)
    logger.exception("%s failed (error %s)", what, id)
    return GraphsvcError("something went wrong inside", where=what, hint=f"The service's log has it as {id}.")


class _errors:  # noqa: N801  used as a function
    """Errors of the memory as errors of the protocol, which resources and prompts have no other way for."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, MCPError) or not isinstance(error, Exception):
            return
        if not isinstance(error, GraphsvcError):
            error = _masked(self._what)
        code = types.INVALID_PARAMS if isinstance(error, NotFound) else types.INTERNAL_ERROR
        raise MCPError(code, str(error), error.as_dict()) from None


# --- ways to reach it -----------------------------------------------------------------------------------


class OverHTTP:
    """The server over streamable HTTP, at `/mcp`; each request stands alone, so any worker can answer it."""

    def __init__(self, gate: Gate) -> None:
        # Hosts, origins and sizes of bodies are checked before, for all that the service offers.
        self._manager = StreamableHTTPSessionManager(
            server(gate), json_response=True, stateless=True,
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._manager.handle_request(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the application runs."""
        async with self._manager.run():
            yield

    @property
    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/mcp", endpoint=self, methods=["POST"])]  # what stands alone has no stream to listen on


async def over_stdio(memory: AsyncMemory, agent: str | None = None, shared: tuple[str, ...] = ()) -> None:
    """Serve a memory over standard input and output until the input ends."""
    serving = server(Gate(memory), agent, shared, always=AT_THE_KEYBOARD)
    async with stdio_server() as (incoming, outgoing):
        await serving.run(incoming, outgoing, serving.create_initialization_options())
