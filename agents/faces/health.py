"""`/livez` and `/readyz`: alive means that the loop turns; ready, that Postgres answers and Redis takes something in now."""

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
        _answers(context.db.one("SELECT 1", timeout_s=CHECK_S)), _answers(context.hub.takes())
    )
    ready = postgres == redis == "ok"
    body = {"status": "ok" if ready else "unavailable", "postgres": postgres, "redis": redis}
    return answers.json(body, 200 if ready else 503)


async def _answers(check: Awaitable[object]) -> str:
    """A check that hangs is not waited for, nor is its end: a paused Postgres would not even end what is cancelled."""
    asking = asyncio.ensure_future(check)
    await asyncio.wait((asking,), timeout=CHECK_S)
    if not asking.done():
        asking.cancel()
        asking.add_done_callback(lambda late: late.cancelled() or late.exception())
        return "does not answer"
    try:
        asking.result()
    except (Problem, QueueUnavailable):
        return "does not answer"
    return "ok"
