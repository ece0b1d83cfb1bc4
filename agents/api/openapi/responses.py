"""Schemas of the answers of the Responses API."""

from __future__ import annotations

from agents.api.openapi.forms import Schema, object_of, or_null, ref

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_STATUSES = ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

RESPONSES: dict[str, Schema] = {
    "Response": object_of(
        ("id", "object", "created_at", "status", "background", "store", "model", "output", "error", "incomplete_details",
         "usage", "instructions", "previous_response_id", "conversation", "max_output_tokens", "metadata", "temperature",
         "top_p", "text", "tools", "tool_choice", "parallel_tool_calls"),
        id=_TEXT,
        object={"const": "response"},
        created_at={**_COUNT, "description": "Seconds since 1970."},
        completed_at={
            "type": ["integer", "null"],
            "description": "Seconds since 1970; null as long as the end was not recorded, which takes a moment.",
        },
        status={"enum": _STATUSES},
        background={"type": "boolean"},
        store={"type": "boolean"},
        model=_TEXT,
        output={"type": "array", "items": {"anyOf": [ref("ResponseMessage"), ref("ResponseCall")]}},
        error=or_null(object_of(("code", "message"), code=_TEXT, message=_TEXT)),
        incomplete_details=or_null(object_of(("reason",), reason={"enum": ["max_output_tokens"]})),
        usage=or_null(ref("ResponseUsage")),
        instructions={"type": ["string", "null"]},
        previous_response_id={"type": ["string", "null"]},
        conversation=or_null(object_of(("id",), id=_TEXT)),
        max_output_tokens={"type": ["integer", "null"]},
        metadata={"type": "object", "additionalProperties": _TEXT},
        temperature={"type": "number"},
        top_p={"type": "number"},
        text=object_of(("format",), format=object_of(("type",), type={"enum": ["text", "json_object", "json_schema"]})),
        tools={"type": "array", "items": ref("FunctionTool")},
        tool_choice={"anyOf": [{"enum": ["auto", "none", "required"]}, object_of(("type",), type=_TEXT)]},
        parallel_tool_calls={"type": "boolean"},
    ),
    "ResponseMessage": object_of(
        ("id", "type", "role", "status", "content"),
        id=_TEXT,
        type={"const": "message"},
        role={"enum": ["system", "user", "assistant"]},
        status={"enum": ["in_progress", "completed", "incomplete"]},
        content={
            "type": "array",
            "items": object_of(("type", "text"), type={"enum": ["input_text", "output_text"]}, text=_TEXT),
        },
    ),
    "ResponseCall": object_of(
        ("id", "type", "call_id", "name", "arguments", "status"),
        id=_TEXT,
        type={"const": "function_call"},
        call_id=_TEXT,
        name=_TEXT,
        arguments={**_TEXT, "description": "JSON text."},
        status={"enum": ["in_progress", "completed"]},
    ),
    "ResponseCallOutput": object_of(
        ("id", "type", "call_id", "output", "status"),
        id=_TEXT,
        type={"const": "function_call_output"},
        call_id=_TEXT,
        output=_TEXT,
        status={"const": "completed"},
    ),
    "ResponseUsage": object_of(
        ("input_tokens", "output_tokens", "total_tokens"),
        input_tokens=_COUNT,
        output_tokens=_COUNT,
        total_tokens=_COUNT,
    ),
    "ResponseItemList": object_of(
        ("object", "data", "first_id", "last_id", "has_more"),
        object={"const": "list"},
        data={
            "type": "array",
            "items": {"anyOf": [ref("ResponseMessage"), ref("ResponseCall"), ref("ResponseCallOutput")]},
        },
        first_id={"type": ["string", "null"]},
        last_id={"type": ["string", "null"]},
        has_more={"type": "boolean"},
    ),
    "ResponseDeleted": object_of(
        ("id", "object", "deleted"), id=_TEXT, object={"const": "response"}, deleted={"const": True}
    ),
}  # fmt: skip
