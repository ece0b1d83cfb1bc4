"""`/livez` and `/readyz`: alive means that the loop turns; ready means that Postgres and Redis answer right now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from starlette.requests import Request
from starlette.responses import Response

from agents.faces import answers
from agents.faces.context import Context
from agents.problems import Problem
from taskqueue.failures import QueueUnavailable

CHECK_S = 1.0


async def livez(context: Context, request: Request) -> Response:
    """200 as long as the process serves."""
    return answers.json({"status": "ok"})


async def readyz(context: Context, request: Request) -> Response:
    """200 if a task could be accepted now, else 503 with what is missing."""
    postgres, redis = await asyncio.gather(
        _answers(context.db.one("SELECT 1", timeout_s=CHECK_S)), _answers(context.hub.ping())
    )
    ready = postgres == redis == "ok"
    body = {"status": "ok" if ready else "unavailable", "postgres": postgres, "redis": redis}
    return answers.json(body, 200 if ready else 503)


async def _answers(check: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(CHECK_S):
            await check
    except (Problem, QueueUnavailable, TimeoutError):
        return "does not answer"
    return "ok"
