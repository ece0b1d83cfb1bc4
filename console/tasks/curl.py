"""A task as commands that its tenant could run: submit the same, and follow its events. Pure.

The body stands in a here-document with a quoted delimiter, where a shell changes nothing, however long it is; it is JSON on one
line, so no line of it can be the delimiter. The address and the key come from OPSITE_URL and OPSITE_KEY, as in the quick start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

END = "END_OF_TASK"
PRIORITY = 5
"""A task's, where its request says nothing of it."""
OF_BATCHES = ("batch", "custom_id")
KEY = '-H "Authorization: Bearer $OPSITE_KEY"'
COMMANDS = f"""\
TASK=$(curl -sS "$OPSITE_URL/api/v1/tasks" {KEY} \\
  -H 'Content-Type: application/json' --data-binary @- <<'{END}' | sed 's/^{{"id":"\\([^"]*\\)".*/\\1/'
%s
{END}
)
echo "$TASK"
curl -sSN "$OPSITE_URL/api/v1/tasks/$TASK/events" {KEY}
"""


def request_of(
    *,
    agent: str,
    asked: str | Sequence[Mapping[str, Any]],
    system_prompt: str,
    params: Mapping[str, Any],
    output: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    has_own_tools: bool,
    priority: int,
    metadata: Mapping[str, Any],
) -> dict[str, Any]:
    """The body of `POST /api/v1/tasks` that asks for the same; the agent puts its own system prompt and tools before and beside it.

    What was said before in a conversation stands in it as messages, so the conversation itself is left alone. What a batch wrote
    into the metadata is left out: it names the batch's own lines.
    """
    body: dict[str, Any] = {"agent": agent, **_asked(asked, system_prompt, options)}
    if params and "embed" not in body:
        body["parameters"] = dict(params)
    if output:
        body["output"] = dict(output)
    body |= _tools(options, has_own_tools=has_own_tools)
    if priority != PRIORITY:
        body["priority"] = priority
    kept = {name: value for name, value in metadata.items() if name not in OF_BATCHES}
    return {**body, "metadata": kept} if kept else body


def _asked(asked: str | Sequence[Mapping[str, Any]], system_prompt: str, options: Mapping[str, Any]) -> dict[str, Any]:
    if options.get("embed"):
        return {"embed": list(options["embed"]), **({"truncate": True} if options.get("truncate") else {})}
    return {"prompt": asked} if isinstance(asked, str) else {"messages": _said(asked, system_prompt)}


def _tools(options: Mapping[str, Any], *, has_own_tools: bool) -> dict[str, Any]:
    """Tools of the client's, and what is asked of the calls."""
    asked: dict[str, Any] = {}
    if options.get("tools") and not has_own_tools:
        asked["tools"] = list(options["tools"])
    if options.get("tool_choice", "auto") != "auto":
        asked["tool_choice"] = options["tool_choice"]
    if options.get("allowed_tools"):
        asked["allowed_tools"] = list(options["allowed_tools"])
    if options.get("parallel_tool_calls") is False:
        asked["parallel_tool_calls"] = False
    return asked


def commands(request: Mapping[str, Any]) -> str:
    """The two commands, for any POSIX shell."""
    return COMMANDS % msgspec.json.encode(request).decode()


def _said(messages: Sequence[Mapping[str, Any]], system_prompt: str) -> list[Mapping[str, Any]]:
    """Without the agent's own instructions at the start, which it puts there again."""
    first, rest = (messages[0], list(messages[1:])) if messages else ({}, [])
    told = str(first.get("content", ""))
    if not system_prompt or first.get("role") != "system" or not told.startswith(system_prompt) or not rest:
        return list(messages)
    own = told.removeprefix(system_prompt).lstrip("\n")  # a response's instructions stand behind the agent's
    return [{**first, "content": own}, *rest] if own else rest
