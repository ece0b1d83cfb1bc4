"""The tools that a task may call: the agent's own, or those that its client offers; and what is asked of the calls."""

from __future__ import annotations

import asyncio
from functools import lru_cache

import msgspec
from msgspec import UNSET

from agents.faces.principals import AgentRef
from agents.faces.requests import TaskRequest
from agents.problems import Problem, bad_field
from agents.schemas import check_schema
from taskqueue.grammar import objection
from taskqueue.messages import OutputForm, ToolSpec, TurnBody

CALLS_BY = frozenset({"vllm", "transformers", "scripted"})
"""The engines that can be made to call a tool; what a script says is checked afterwards."""


async def offered(agent: AgentRef, request: TaskRequest) -> TurnBody:
    """That part of a turn's body. Schemas that calls are held to are checked on a thread: a large one takes a while."""
    body = _offered(agent, request)
    held_to = [index for index, tool in enumerate(body.tools) if _is_held(tool, body)]
    if body.tool_choice == "required" and agent.engine not in CALLS_BY:
        runs = f"the pool {agent.pool!r} runs the engine {agent.engine!r}, which cannot be made to call a tool"
        raise bad_field("tool_choice", f"{runs}; {', '.join(sorted(CALLS_BY))} can")
    for index in held_to:
        schema = msgspec.json.encode(body.tools[index].arguments_schema).decode()
        try:
            await asyncio.to_thread(_check, schema, f"tools[{index}].parameters")
        except Problem as problem:
            if not agent.tools:
                raise
            message = f"the arguments of {body.tools[index].name!r} cannot be guided: {problem.detail}"
            raise bad_field("tool_choice", message) from problem
    return body


def _is_held(tool: ToolSpec, body: TurnBody) -> bool:
    return tool in body.callable_tools and (tool.strict or body.tool_choice == "required")


def _offered(agent: AgentRef, request: TaskRequest) -> TurnBody:
    if request.tools and agent.tools:
        raise bad_field("tools", f"the agent {agent.slug!r} calls tools of its own; use an agent without")
    if agent.tools and request.prompt is not UNSET:
        raise bad_field(
            "prompt", f"the agent {agent.slug!r} has tools, for which a plain prompt has no room; send messages"
        )
    tools = agent.tools or tuple(
        ToolSpec(tool.name, tool.description, tool.parameters, tool.strict is True) for tool in request.tools
    )
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise bad_field("tools", f"there are two of the name {twice!r}")
    if request.tool_choice not in ("auto", "none", "required"):
        raise bad_field("tool_choice", "is `auto`, `none` or `required`")
    if request.tool_choice == "required" and not tools:
        raise bad_field("tool_choice", "there is no tool that could be called")
    return TurnBody(
        tools=tools,
        tool_choice=request.tool_choice,
        allowed_tools=_allowed(request, names),
        parallel_tool_calls=request.parallel_tool_calls is not False,
        tools_run_here=bool(agent.tools),
    )


def _allowed(request: TaskRequest, names: list[str]) -> tuple[str, ...]:
    if request.allowed_tools is UNSET:
        return ()
    if not request.allowed_tools:
        raise bad_field("allowed_tools", "name one tool at least, or leave it out")
    if unknown := next((name for name in request.allowed_tools if name not in names), None):
        raise bad_field("allowed_tools", f"there is no tool {unknown!r}; there are {', '.join(names) or 'none'}")
    return tuple(request.allowed_tools)


@lru_cache(maxsize=512)
def _check(text: str, field: str) -> None:
    """Refuse a schema that arguments cannot be held to."""
    schema = msgspec.json.decode(text)
    if schema["type"] != "object":
        raise bad_field(f"{field}.type", "must be 'object': arguments have names")
    check_schema(schema, field=field)
    if reason := objection(OutputForm("json_schema", schema)):
        raise bad_field(field, f"no arguments can be held to it: {reason}")
