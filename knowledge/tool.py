"""The built-in tool `knowledge_search`: what an agent is told of the passages that are nearest to its question."""

from __future__ import annotations

from typing import Any

from agents.faces.context import Context
from agents.runner.claimed import ClaimedCall
from agents.tools.builtins import Builtin
from agents.tools.results import CallFailed, Result, bounded
from knowledge.search import search

PASSAGES = 5


async def knowledge_search(context: Context, call: ClaimedCall, one: Builtin, arguments: dict[str, Any]) -> Result:
    """Search one of the collections that the revision names, in the name of the key that submitted the task."""
    principal = await context.directory.principal_behind(
        key=call.key, tenant=call.tenant, submitted_by=call.submitted_by
    )
    if principal is None:
        raise CallFailed("This task has no API key any more, so nothing can be searched in its name.", sent=False)
    hits = await search(context, principal, arguments["collection"], arguments["query"], PASSAGES)
    passages = [f"[{number}] {hit.title}\n{hit.text}" for number, hit in enumerate(hits, start=1)]
    return Result(bounded("\n\n".join(passages) or "Nothing was found."))
