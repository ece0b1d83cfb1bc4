"""Schemas of what the hot routes take and give: made of the structs that decode it, so that they cannot drift apart."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.faces.idempotency import IDEMPOTENCY_KEY_MAX
from agents.faces.requests import AnswerRequest, ChatRequest, TaskRequest
from agents.faces.socket import ANSWERS, ClientMessage
from agents.sampling import RANGES, STOPS_MAX
from taskqueue.messages import SamplingParams

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A component by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}

# What the structs cannot say, because it is checked behind them.
_DETAILS: dict[str, dict[str, Schema]] = {
    "SamplingParams": {
        **{name: {"minimum": low, "maximum": high} for name, (low, high) in RANGES.items()},
        "stop": {"maxItems": STOPS_MAX, "items": {"type": "string", "minLength": 1}},
    },
    "TaskRequest": {
        "agent": {"description": "The agent's slug; `slug@3` asks for its third revision, published or not."},
        "input": {"description": "One user message. Give either this or `messages`."},
        "conversation": {
            "format": "uuid",
            "description": "Its messages come before the input; both sides are appended.",
        },
        "parameters": {"allOf": [ref("SamplingParams")], "description": "Over the agent's, which are over the pool's."},
        "priority": {"minimum": 0, "maximum": 9, "description": "0 first, 9 last, among the tenant's own tasks."},
        "deadline_s": {
            "exclusiveMinimum": 0,
            "description": "Seconds from now after which the task expires. Refused (422) where no worker can begin it before.",
        },
        "deadline_at": {"format": "date-time", "description": "The same as a moment, with a time zone."},
        "metadata": {"description": "Kept with the task; the list of tasks can be filtered by it."},
        "idempotency_key": {
            "minLength": 1,
            "maxLength": IDEMPOTENCY_KEY_MAX,
            "description": "For 24 hours an equal request with the same key is answered with the same task, and costs nothing.",
        },
        "split_key": {
            "minLength": 1,
            "description": "Such as a user's id: where several revisions share the agent's traffic, tasks of one key get the same "
            "one. A conversation stays with its own, as long as that has a share.",
        },
        "cancel_on_disconnect": {
            "description": "By websocket: whether the task is cancelled when the connection that submitted and follows it is lost. "
            "Left out: as the tenant has it. Not with an idempotency key, and not by POST, where the answer comes otherwise."
        },
    },
    "ClientMessage": {"type": {"enum": ["auth", *ANSWERS]}},
    "ChatRequest": {
        "model": {"description": "An agent or a pool, as `GET /v1/models` lists them; `agent@3` asks for a revision."},
        "user": {"description": "As a task's `split_key`."},
        "cancel_on_disconnect": {
            "description": "Whether the task is cancelled when the client leaves before its answer is complete. Left out: as the "
            "tenant has it. Not with an idempotency key."
        },
    },
}

_ANSWERS: dict[str, Schema] = {
    "Problem": {
        **_object(
            ("type", "title", "status", "code", "detail"),
            type=_TEXT,
            title=_TEXT,
            status={"type": "integer"},
            code={"type": "string", "description": "Stable: programs may depend on it."},
            detail={"type": "string", "description": "What to do about it."},
            errors={"type": "array", "items": _object(("field", "message"), field=_TEXT, message=_TEXT)},
            retry_after_s={**_COUNT, "description": "As the header Retry-After."},
            expected_wait_s={
                "type": ["object", "null"],
                "description": "With the code `deadline_too_early`: how long the task would wait, as in `QueuePlace`.",
            },
        ),
        "description": "Problem details (RFC 9457).",
    },
    "TaskInQueue": {
        "allOf": [ref("Task"), _object(("queue",), queue={"anyOf": [ref("QueuePlace"), {"type": "null"}]})],
        "description": "A task, and its place in the queue while it waits (null: it does not, or the queue cannot be asked).",
    },
    "QueuePlace": _object(
        ("position", "waiting", "expected_wait_s"),
        position={
            "type": "integer",
            "minimum": 1,
            "description": "Its place among the waiting tasks of its own tenant, or of its API key where that has a "
            "running limit; 1 is next. Between tenants goes fair share: all are served alike, by their weights.",
        },
        waiting={
            "type": "integer",
            "minimum": 1,
            "description": "Tasks that wait for this model, it included.",
        },
        expected_wait_s={
            "anyOf": [
                _object(
                    ("low", "high"),
                    low={"type": "number", "minimum": 0},
                    high={"type": ["number", "null"], "minimum": 0},
                ),
                {"type": "null"},
            ],
            "description": "Seconds from now until a worker begins it; about nine in ten begin within the range. `high` is null "
            "where it is not known how long it is at most, all of it where nothing is known.",
        },
    ),
    "OpenAIError": {
        **_object(
            ("error",),
            error=_object(
                ("message", "type", "param", "code"),
                message=_TEXT,
                type=_TEXT,
                param={"type": ["string", "null"]},
                code=_TEXT,
            ),
        ),
        "description": "A refusal in OpenAI's form.",
    },
    "ModelList": _object(
        ("object", "data"),
        object={"const": "list"},
        data={"type": "array", "items": ref("Model")},
    ),
    "Model": _object(
        ("id", "object", "created", "owned_by"),
        id={**_TEXT, "description": "What `model` of a chat completion may say."},
        object={"const": "model"},
        created={**_COUNT, "description": "Seconds since 1970."},
        owned_by={"enum": ["opsite:agent", "opsite:pool"]},
    ),
    "ChatCompletion": _object(
        ("id", "object", "created", "model", "choices", "usage"),
        id=_TEXT,
        object={"const": "chat.completion"},
        created=_COUNT,
        model=_TEXT,
        choices={
            "type": "array",
            "items": _object(
                ("index", "message", "finish_reason"),
                index=_COUNT,
                message=_object(
                    ("role", "content"),
                    role={"const": "assistant"},
                    content={"type": ["string", "null"]},
                    tool_calls={"type": "array", "items": ref("ChatToolCall")},
                ),
                finish_reason={"enum": ["stop", "length", "tool_calls"]},
            ),
        },
        usage=_object(
            ("prompt_tokens", "completion_tokens", "total_tokens"),
            prompt_tokens=_COUNT,
            completion_tokens=_COUNT,
            total_tokens=_COUNT,
        ),
    ),
    "Health": _object(("status",), status=_TEXT, postgres=_TEXT, redis=_TEXT),
}


def schemas() -> dict[str, Schema]:
    """All components, by name."""
    _, requests = msgspec.json.schema_components(
        [TaskRequest, ChatRequest, AnswerRequest, SamplingParams, ClientMessage],
        ref_template="#/components/schemas/{name}",
    )
    for name, schema in requests.items():
        schema["properties"] = {
            field: {**_required(asked), **_DETAILS.get(name, {}).get(field, {})}
            for field, asked in schema["properties"].items()
        }
    return {**_ANSWERS, **requests}


def _required(schema: Schema) -> Schema:
    """Without `null`, which is how the structs say that a field was left out."""
    if "anyOf" not in schema:
        return schema
    kinds = [kind for kind in schema["anyOf"] if kind != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and value is not None}
    return {**kinds[0], **rest} if len(kinds) == 1 else {"anyOf": kinds, **rest}
