"""Whether an answer calls tools as it must: the last word on it, whatever has guided the engine. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_worker.output_check import fault
from taskqueue.messages import OutputForm, ToolCall, ToolSpec, TurnBody


def fault_of_calls(body: TurnBody, calls: Sequence[ToolCall]) -> str:
    """Why these are not the calls that were asked for, as a clause; empty if they are."""
    if body.must_call and not calls:
        return "it calls no tool"
    if not body.parallel_tool_calls and len(calls) > 1:
        return f"it calls {len(calls)} tools, where one at most was asked for"
    allowed = {tool.name: tool for tool in body.callable_tools}
    for call in calls:
        tool = allowed.get(call.name)
        if tool is None:
            if body.must_call or body.allowed_tools:
                return f"it calls {call.name!r}, which is none of {', '.join(allowed)}"
        elif (tool.strict or body.must_call) and (why := _misfit(call, tool)):
            return f"the arguments of its call of {call.name!r} do not fit: {why}"
    return ""


def _misfit(call: ToolCall, tool: ToolSpec) -> str:
    return fault(call.arguments, OutputForm("json_schema", tool.arguments_schema))
