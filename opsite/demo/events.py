"""A task's server-sent events, as a client reads them line by line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
    """Each event's number (the cursor), kind and data; comments, which keep the connection alive, are passed over.

    It reads what this service sends, one `data:` line to an event, and no other server-sent events.
    """
    number, kind = 0, ""
    async for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "event":
            kind = value
        elif name == "data":
            yield number, kind, json.loads(value)
