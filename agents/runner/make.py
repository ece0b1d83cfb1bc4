"""Makes one call. What goes wrong is a result that the model is told, never an error of the task."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async

from agents.problems import Problem
from agents.runner.claimed import ClaimedCall, Waits
from agents.tools import mcp_client
from agents.tools.arguments import parsed
from agents.tools.builtins import Builtin, spec_of
from agents.tools.calculator import calculate
from agents.tools.chosen import builtin
from agents.tools.clock import current_time
from agents.tools.http_request import HttpRequest, checked_request, request_of, result_of, secret_names
from agents.tools.results import RESULT_MAX, CallFailed, Result, bounded
from outbound.client import Outbound
from outbound.failures import OutboundError
from outbound.limits import Limits
from telemetry.context import headers_behind
from tenants.references import UnknownSecret, filled, masked
from tenants.secrets import open_secrets
from tenants.vault import CannotOpen

UNAVAILABLE = 503

Elsewhere = Callable[[ClaimedCall, Builtin, dict[str, Any]], Awaitable["Result | Waits"]]
"""A built-in tool that somebody above brings: hand-off, the search of knowledge."""


async def make(call: ClaimedCall, *, outbound: Outbound, elsewhere: Mapping[str, Elsewhere]) -> Result | Waits:
    """The call's result; raises what is a fault of this process."""
    try:
        if (one := builtin(call.tools, call.name)) is not None:
            return await _builtin(call, one, elsewhere)
        if call.is_own:
            return await _own(call, outbound)
        known = [tool.get("tool") or tool.get("builtin") for tool in call.tools]
        raise CallFailed(f"There is no tool {call.name!r}; there are {', '.join(map(str, known))}.", sent=False)
    except (CallFailed, UnknownSecret) as error:
        return Result(bounded(str(error)), is_error=True)
    except Problem as problem:
        if problem.status == UNAVAILABLE:  # nothing was accepted: it is tried again
            raise
        return Result(bounded(problem.detail), is_error=True)


async def _builtin(call: ClaimedCall, one: Builtin, elsewhere: Mapping[str, Elsewhere]) -> Result | Waits:
    arguments = parsed(call.arguments, spec_of(one).parameters)
    match one.builtin:
        case "calculator":
            return Result(calculate(arguments["expression"]))
        case "current_time":
            return Result(current_time(datetime.now(UTC), arguments.get("timezone", "UTC")))
        case "ask_human":
            return Waits()
        case name if name in elsewhere:
            return await elsewhere[name](call, one, arguments)
    raise CallFailed(f"The tool {call.name!r} is not served here.", sent=False)


async def _own(call: ClaimedCall, outbound: Outbound) -> Result:
    parameters = call.parameters or {}
    arguments = parsed(call.arguments, parameters)
    timeout_s = call.timeout_s or 30.0
    if call.kind == "mcp":
        return await _mcp(call, arguments, outbound, timeout_s=timeout_s)
    tool = checked_request(call.request, properties=parameters.get("properties", {}))
    return await _http(call, tool, arguments, outbound, timeout_s=timeout_s)


async def _mcp(call: ClaimedCall, arguments: dict[str, Any], outbound: Outbound, *, timeout_s: float) -> Result:
    headers = call.server_headers or {}
    secrets = await _secrets(call, secret_names(headers))
    try:
        return await mcp_client.call(
            outbound,
            tenant=call.tenant,
            url=call.server_url or "",
            headers=with_trace(call, {name: filled(value, secrets) for name, value in headers.items()}),
            tool=call.remote_name or call.name,
            arguments=arguments,
            timeout_s=timeout_s,
            secrets=secrets,
        )
    except CallFailed as error:
        raise CallFailed(masked(str(error), secrets), sent=error.sent) from None


async def _http(
    call: ClaimedCall, tool: HttpRequest, arguments: dict[str, Any], outbound: Outbound, *, timeout_s: float
) -> Result:
    secrets = await _secrets(call, secret_names(tool))
    request = request_of(tool, arguments, secrets)
    request = dataclasses.replace(request, headers=with_trace(call, request.headers))
    limits = Limits(total_s=timeout_s, response_bytes=4 * RESULT_MAX, cut=True)
    try:
        response = await outbound.fetch(request, tenant=call.tenant, limits=limits)
    except OutboundError as error:
        raise CallFailed(masked(error.message, secrets), sent=error.sent) from error
    return result_of(response, secrets)


def with_trace(call: ClaimedCall, headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with the call's place in its trace, so that the tenant's own spans stand behind it. The tool's own word stands."""
    own = {name.lower() for name in headers}
    beside = headers_behind(call.trace, call.span) if "traceparent" not in own else {}
    return {**headers, **{name: value for name, value in beside.items() if name not in own}}


async def _secrets(call: ClaimedCall, names: list[str]) -> dict[str, str]:
    try:
        return await sync_to_async(open_secrets)(call.tenant, names) if names else {}
    except CannotOpen as error:
        raise CallFailed(str(error), sent=False) from error
