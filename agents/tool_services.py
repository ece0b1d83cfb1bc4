"""Changes to tools and MCP servers."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import mcp_types
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from agents.bodies import refuse_nul
from agents.lifecycle import CallState
from agents.models import TOOL_NAME, Agent, AgentRevision, McpServer, Tool, ToolCall
from agents.problems import FieldError, Problem, bad_field
from agents.submissions import TOOLS_CHANNEL
from agents.tools.arguments import checked_schema
from agents.tools.builtins import BUILTINS
from agents.tools.http_request import checked_request, secret_names
from agents.tools.openapi_document import Imported
from agents.tools.results import CallFailed, Result, event_of
from outbound.client import Outbound
from taskqueue.failures import QueueUnavailable
from taskqueue.sync_client import Queue
from tenants.models import Secret, Tenant
from tenants.references import UnknownSecret, filled, masked
from tenants.secrets import open_secrets

if TYPE_CHECKING:
    import mcp_types

log = logging.getLogger(__name__)
RESERVED = ("import",)
"""What stands in the place of a tool's name in the API's paths: a tool of that name could be neither read nor deleted."""
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


class NameTaken(Problem):
    """409: the tenant has one of that name."""

    def __init__(self, what: str, name: str) -> None:
        message = f"there is a {what} {name!r} already; choose another name"
        super().__init__(409, "conflict", f"name: {message}", errors=(FieldError("name", message),))


class InUse(Problem):
    """409: an agent's current revision names the tool."""

    def __init__(self, name: str, agents: Sequence[str]) -> None:
        super().__init__(
            409, "in_use", f"The tool {name!r} is used by the agents {', '.join(agents)}; change them first."
        )


class NotDiscovered(Problem):
    """502: the server did not say which tools it has."""

    def __init__(self, message: str) -> None:
        super().__init__(502, "mcp_server_failed", message)


def check_name(name: str) -> str:
    """A tool's name, or the problem."""
    if not re.fullmatch(TOOL_NAME, name):
        raise bad_field("name", "must be 1 to 64 letters, digits, dashes and underscores")
    if name in BUILTINS:
        raise bad_field("name", f"{name!r} is the name of a built-in tool")
    if name in RESERVED:
        raise bad_field("name", f"{name!r} has a meaning in the API's paths; choose another name")
    return name


def save_http_tool(*, tenant: Tenant, tool: Tool | None = None, **fields: Any) -> Tool:
    """Make an HTTP tool, or change one; what is left out stays. Raises the `Problem` that names what does not fit."""
    if tool is not None and tool.kind != "http":
        raise Problem(
            409, "of_a_server", "This tool is an MCP server's; change it there, and discover its tools again."
        )
    tool = tool or Tool(tenant=tenant, kind="http")
    for name, value in fields.items():
        setattr(tool, name, value)
    check_http_tool(tool)
    try:
        with transaction.atomic():
            tool.save()
    except IntegrityError as error:
        raise NameTaken("tool", tool.name) from error
    return tool


def check_http_tool(tool: Tool) -> None:
    """Whether an HTTP tool can be called as its row says, or the problem that names what does not fit."""
    check_name(tool.name)
    refuse_nul({"description": tool.description, "parameters": tool.parameters, "request": tool.request})
    checked_schema(tool.parameters, field="parameters")
    checked_request(tool.request, properties=tool.parameters.get("properties", {}))
    if not 0 < tool.timeout_s <= 600:
        raise bad_field("timeout_s", "must be above 0 and at most 600")


def unknown_secrets(tool: Tool | McpServer) -> list[str]:
    """The secrets that a tool or a server refers to and its tenant does not have: calls fail until they are stored."""
    if isinstance(tool, McpServer):
        named = secret_names(tool.headers)
    elif tool.kind == "http":
        named = secret_names(checked_request(tool.request, properties=tool.parameters.get("properties", {})))
    else:
        return []
    known = set(Secret.objects.for_tenant(tool.tenant_id).filter(name__in=named).values_list("name", flat=True))
    return sorted(set(named) - known)


def users_of(tools: Sequence[Tool]) -> list[str]:
    """The agents whose current revisions name one of these tools of one tenant."""
    named = Q()
    for tool in tools:
        named |= Q(tools__contains=[{"tool": tool.name}])
    if not tools:
        return []
    tenant = tools[0].tenant_id
    current = AgentRevision.objects.for_tenant(tenant).filter(named, pk__in=_current(tenant))
    return sorted(set(current.values_list("agent__slug", flat=True)))


def delete_tool(*, tool: Tool) -> None:
    """A tool goes, unless an agent's current revision names it."""
    if agents := users_of([tool]):
        raise InUse(tool.name, agents)
    tool.delete()


def _current(tenant: uuid.UUID) -> Any:
    return Agent.objects.for_tenant(tenant).filter(archived_at__isnull=True).values("current_revision")


@transaction.atomic
def import_tools(*, tenant: Tenant, tools: Sequence[Imported], headers: dict[str, str]) -> list[Tool]:
    """HTTP tools from an OpenAPI document; those of the same names are changed. `headers` go with each request."""
    saved = []
    for one in tools:
        known = Tool.objects.for_tenant(tenant).filter(name=one.name).first()
        saved.append(save_http_tool(tenant=tenant, tool=known, **_imported(one, headers)))
    return saved


def check_import(*, tenant: Tenant, tools: Sequence[Imported], headers: dict[str, str]) -> None:
    """Whether `import_tools` would take them, or the problem."""
    taken = Tool.objects.for_tenant(tenant).filter(name__in=[one.name for one in tools], kind="mcp")
    if (name := taken.values_list("name", flat=True).first()) is not None:
        raise bad_field("operations", f"{name!r} is the name of an MCP server's tool; name the operations without it")
    for one in tools:
        check_http_tool(Tool(tenant=tenant, kind="http", **_imported(one, headers)))


def _imported(one: Imported, headers: dict[str, str]) -> dict[str, Any]:
    fields = {name: getattr(one, name) for name in Imported.__struct_fields__}
    return {**fields, "request": {**fields["request"], "headers": headers}}


def save_server(*, tenant: Tenant, server: McpServer | None = None, **fields: Any) -> McpServer:
    """Make an MCP server known, or change it; what is left out stays."""
    server = server or McpServer(tenant=tenant)
    for name, value in fields.items():
        setattr(server, name, value)
    server.clean_fields(exclude=["tenant"])
    if not isinstance(server.headers, dict) or not all(isinstance(value, str) for value in server.headers.values()):
        raise bad_field("headers", "must be an object of texts")
    try:
        with transaction.atomic():
            server.save()
    except IntegrityError as error:
        raise NameTaken("MCP server", server.name) from error
    return server


class NothingAsked(Problem):
    """409: this call waits for no answer."""

    def __init__(self, call: str) -> None:
        message = f"The call {call!r} of this task does not wait for an answer: it was answered, or asks nobody."
        super().__init__(409, "nothing_asked", message)


def answer_call(*, call: ToolCall, answer: str, redis_url: str) -> None:
    """A person's answer to an agent that asked; its task goes on. Raises `NothingAsked`."""
    waits = ToolCall.objects.for_tenant(call.tenant_id).filter(pk=call.pk, name="ask_human", state=CallState.WAITING)
    with transaction.atomic():
        if not waits.update(state=CallState.SUCCEEDED, result=answer, finished_at=timezone.now()):
            raise NothingAsked(call.call_id)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [TOOLS_CHANNEL])
    queue = Queue(redis_url, call.task.pool.slug)
    event = event_of(call.call_id, call.name, Result(answer))
    try:
        queue.note(str(call.task_id), "tool_result", event, once=call.call_id)
    except QueueUnavailable as error:
        log.warning("the stream of task %s shows the answer when the task goes on: %s", call.task_id, error)
    finally:
        queue.close()


@transaction.atomic
def delete_server(*, server: McpServer) -> None:
    """A server and its tools go, unless an agent's current revision names one."""
    for tool in server.tools.all():
        delete_tool(tool=tool)
    server.delete()


def discover(*, server: McpServer) -> list[Tool]:
    """Ask the server for its tools and write them down; those that it no longer has go, unless an agent names them."""
    try:
        secrets = open_secrets(server.tenant_id, secret_names(server.headers))
        # On a thread with a loop of its own: this one may have a loop, and keeps its connection to Postgres to itself.
        with ThreadPoolExecutor(max_workers=1) as thread:
            listed = thread.submit(asyncio.run, _listed(server, secrets)).result()
    except (CallFailed, UnknownSecret) as error:
        server.error = str(error)
        server.save(update_fields=["error"])
        raise NotDiscovered(f"The tools of {server.name} cannot be listed: {error}") from error
    with transaction.atomic():
        tools = [_save_listed(server, tool) for tool in listed]
        for gone in server.tools.exclude(pk__in=[tool.pk for tool in tools]):
            delete_tool(tool=gone)
        server.error, server.discovered_at = "", timezone.now()
        server.save(update_fields=["error", "discovered_at"])
    return tools


async def _listed(server: McpServer, secrets: Mapping[str, str]) -> list[mcp_types.Tool]:
    from agents.tools import mcp_client  # a third of what a web process would need to start, for one rare request

    headers = {name: filled(value, secrets) for name, value in server.headers.items()}
    async with Outbound(settings.OPSITE_OUTBOUND_POLICY) as outbound:
        try:
            return await mcp_client.list_tools(outbound, tenant=server.tenant_id, url=server.url, headers=headers)
        except CallFailed as error:
            raise CallFailed(masked(str(error), secrets), sent=error.sent) from None


def _save_listed(server: McpServer, listed: mcp_types.Tool) -> Tool:
    name = check_name(_NOT_A_NAME.sub("_", f"{server.name}_{listed.name}")[:64])
    hints = listed.annotations
    tool = Tool.objects.for_tenant(server.tenant_id).filter(name=name).first()
    if tool is not None and tool.server_id != server.pk:
        raise NameTaken("tool", name)
    if tool is None:
        # The server's hint is taken where a tool is new; what staff or tenant set later stays.
        tool = Tool(tenant_id=server.tenant_id, kind="mcp", server=server, name=name)
        tool.is_idempotent = bool(hints and (hints.read_only_hint or hints.idempotent_hint))
    tool.remote_name, tool.description = listed.name, (listed.description or "")[:4000]
    tool.parameters = checked_schema(listed.input_schema, field=name)
    tool.save()
    return tool
