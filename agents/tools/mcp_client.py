"""Servers of the Model Context Protocol: what tools there are, and calls of them, by the official package over streamable HTTP.

Each call is a session of its own: no session has to outlive the process that began it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp
import mcp_types
from mcp.client.streamable_http import streamable_http_client

from agents.tools.results import CallFailed, Result, bounded
from outbound.client import Outbound
from outbound.failures import OutboundError
from tenants.references import masked

PAGES_MAX = 20
CONNECT_S = 10.0


async def list_tools(
    outbound: Outbound, *, tenant: uuid.UUID, url: str, headers: Mapping[str, str], timeout_s: float = 30.0
) -> list[mcp_types.Tool]:
    """All tools of a server, or `CallFailed`."""
    found: list[mcp_types.Tool] = []
    async with _session(outbound, tenant=tenant, url=url, headers=headers, timeout_s=timeout_s) as client:
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if not cursor:
                return found
    raise CallFailed(f"The server lists more than {PAGES_MAX} pages of tools.")


async def call(
    outbound: Outbound,
    *,
    tenant: uuid.UUID,
    url: str,
    headers: Mapping[str, str],
    tool: str,
    arguments: dict[str, Any],
    timeout_s: float,
    secrets: Mapping[str, str],
) -> Result:
    """Call a tool; what it says as text, or `CallFailed`."""
    async with _session(outbound, tenant=tenant, url=url, headers=headers, timeout_s=timeout_s) as client:
        answer = await client.call_tool(tool, arguments)
        text = "\n".join(part.text for part in answer.content if isinstance(part, mcp_types.TextContent))
        others = sorted({part.type for part in answer.content if not isinstance(part, mcp_types.TextContent)})
        if others:
            text += f"\n[left out: {', '.join(others)}; only text is understood here]"
        return Result(bounded(masked(text, secrets)), is_error=bool(answer.is_error))


@asynccontextmanager
async def _session(
    outbound: Outbound, *, tenant: uuid.UUID, url: str, headers: Mapping[str, str], timeout_s: float
) -> AsyncIterator[mcp.Client]:
    """One session, all of it within the time. Whatever goes wrong in it is a `CallFailed`: the call may have been answered."""
    timeout = httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S))
    try:
        async with (
            asyncio.timeout(timeout_s + CONNECT_S),
            outbound.http_client(tenant=tenant, headers=headers, timeout=timeout) as http,
            mcp.Client(
                streamable_http_client(url, http_client=http), read_timeout_seconds=timeout_s, cache=None
            ) as client,
        ):
            yield client
    except TimeoutError as error:
        raise CallFailed(f"The MCP server took longer than {timeout_s:g} s.") from error
    except Exception as error:
        raise _failure(error) from error


def _failure(error: Exception) -> CallFailed:
    """The first cause that says something; of a group of the library's tasks, too."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, CallFailed):
        return error
    if isinstance(error, OutboundError):
        return CallFailed(error.message, sent=error.sent)
    return CallFailed(f"The MCP server answered: {error}"[:2000])
