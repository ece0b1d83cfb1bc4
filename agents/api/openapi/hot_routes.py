"""The hot routes in the OpenAPI document: they are not Django views, so their operations are written here.

A test holds them against the routes that are served (agents.faces.app.ROUTES).
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from agents.api.openapi.forms import ref
from agents.api.openapi.headers import QUEUE, RATE_LIMITS
from agents.api.openapi.operations import JSON, SECURITY, STREAM, content, operation, refusals
from agents.faces.idempotency import IDEMPOTENCY_KEY_MAX
from agents.faces.openai.response_query import LIMIT, LIMIT_MAX
from agents.faces.requests import CURSOR_MAX

MODEL_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
TASK_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
RESPONSE_ID = {
    "name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^resp_[0-9a-f-]{36}$"}
}  # fmt: skip
TRACE = [
    {
        "name": "traceparent",
        "in": "header",
        "schema": {"type": "string"},
        "description": "The caller's trace (W3C Trace Context), which the task's spans continue where the service exports traces. "
        "What is no traceparent is ignored.",
    },
    {
        "name": "tracestate",
        "in": "header",
        "schema": {"type": "string"},
        "description": "Carried on with `traceparent`, to the tenant's tools and webhooks too.",
    },
]
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX},
}


def _task(status: int, description: str) -> dict[str, Any]:
    return {str(status): {"description": description, **content(ref("TaskInQueue"))}}


def _either(schema: str) -> dict[str, Any]:
    return {JSON: {"schema": ref(schema)}, STREAM: {"schema": ref("StreamEvent")}}


def _told(description: str, schema: str) -> dict[str, Any]:
    """An answer of a task that was just accepted, whole or streamed."""
    return {"200": {"description": description, "headers": {**RATE_LIMITS, **QUEUE}, "content": _either(schema)}}


def _health(name: str, summary: str, *statuses: int) -> dict[str, Any]:
    answers = {str(status): {"description": "As `status` says", **content(ref("Health"))} for status in statuses}
    return {"operationId": name, "summary": summary, "tags": ["health"], "security": [], "responses": answers}


_CANCEL = (_task(202, "It will end as cancelled, unless it has ended already"), 404)
_TRUNCATED = {"schema": {"const": "true"}, "description": "Sent where a text was cut to what the model takes."}
_PARAMETERS: dict[str, Any] = {"parameters": [TASK_ID]}

PATHS: dict[str, Any] = {
    "/api/v1/tasks": {
        "post": operation(
            "submit_a_task",
            "Submit a task",
            {
                "202": {
                    "description": "Accepted: it will end in exactly one outcome",
                    "headers": {"Location": {"schema": {"type": "string"}}, **RATE_LIMITS},
                    **content(ref("TaskInQueue")),
                }
            },
            400, 409, 413, 422, 429,
            body="TaskRequest",
            parameters=[IDEMPOTENCY_KEY, *TRACE],
        )
    },
    "/api/v1/tasks/{id}": {
        "get": operation("get_a_task", "Get a task", _task(200, "The task"), 404, **_PARAMETERS),
        "delete": operation("cancel_a_task", "Cancel a task", *_CANCEL, **_PARAMETERS),
    },
    "/api/v1/tasks/{id}/cancel": {
        "post": operation("cancel_a_task_by_post", "Cancel a task", *_CANCEL, **_PARAMETERS)
    },
    "/api/v1/tasks/{id}/answers": {
        "post": operation(
            "answer_an_agent",
            "Answer an agent that asked a person",
            _task(202, "The task goes on with the answer"),
            400, 404, 409, 413,
            body="AnswerRequest",
            **_PARAMETERS,
        )
    },
    "/api/v1/tasks/{id}/events": {
        "get": operation(
            "follow_a_task",
            "Follow a task's events",
            {
                "200": {
                    "description": "Server-sent events: `state`, `attempt` (another worker goes on; nothing is to be done), "
                    "`context` (what of the messages is sent, before the text of a turn whose context has a rule), `text`, "
                    "`summary` (what was said before was summed up, or could not be; the answer follows in the next turn), "
                    "`tool_calls` and `tool_result` (the agent calls its tools, between two turns), and last `outcome`; "
                    "`id` is the cursor. "
                    "After `restart` (Redis has lost its data) forget the text so far: it comes anew.",
                    **content(ref("StreamEvent"), STREAM),
                }
            },
            400, 404,
            parameters=[
                TASK_ID,
                {"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer", "minimum": 0}},
                {
                    "name": "after",
                    "in": "query",
                    "description": "The same, for a client that cannot set the header.",
                    "schema": {"type": "integer", "minimum": 0},
                },
            ],
        )
    },
    "/v1/models": {
        "get": operation(
            "list_models",
            "List models",
            {"200": {"description": "Agents and pools, in OpenAI's form", **content(ref("ModelList"))}},
            tag="openai",
        )
    },
    "/v1/models/{id}": {
        "get": operation(
            "get_a_model",
            "Get a model",
            {"200": {"description": "The agent or pool of that name, in OpenAI's form", **content(ref("Model"))}},
            404,
            tag="openai",
            parameters=[MODEL_ID],
        )
    },
    "/v1/chat/completions": {
        "post": operation(
            "create_a_chat_completion",
            "Create a chat completion",
            _told("In OpenAI's form; with `stream`, as server-sent events", "ChatCompletion"),
            400, 404, 409, 413, 422, 429, 500,
            tag="openai",
            body="ChatRequest",
            parameters=[IDEMPOTENCY_KEY, *TRACE],
        )
    },
    "/v1/completions": {
        "post": operation(
            "create_a_completion",
            "Create a completion of a plain prompt",
            _told("In OpenAI's form; with `stream`, as server-sent events", "Completion"),
            400, 404, 409, 413, 422, 429, 500,
            tag="openai",
            body="CompletionRequest",
            parameters=[IDEMPOTENCY_KEY, *TRACE],
        )
    },
    "/v1/responses": {
        "post": operation(
            "create_a_response",
            "Create a response",
            _told("In OpenAI's form; with `stream`, as server-sent events", "Response"),
            400, 404, 409, 413, 422, 429, 500,
            tag="openai",
            body="ResponseRequest",
            parameters=[IDEMPOTENCY_KEY, *TRACE],
        )
    },
    "/v1/responses/{id}": {
        "get": operation(
            "get_a_response",
            "Get or follow a response",
            {
                "200": {
                    "description": "The response as it is now; with `stream=true`, its events, under the same numbers whenever "
                    "they are told. Where their log is gone (an hour after the end), a reader who has some is told the end.",
                    "content": _either("Response"),
                }
            },
            400, 404,
            tag="openai",
            parameters=[
                RESPONSE_ID,
                {"name": "stream", "in": "query", "schema": {"type": "boolean"}},
                {
                    "name": "starting_after",
                    "in": "query",
                    "description": "The `sequence_number` of the last event that was seen; with `stream=true` only.",
                    "schema": {"type": "integer", "minimum": 0, "maximum": CURSOR_MAX},
                },
                {"name": "include_obfuscation", "in": "query", "schema": {"type": "boolean", "enum": [False]}},
            ],
        ),
        "delete": operation(
            "delete_a_response",
            "Delete a response",
            {
                "200": {
                    "description": "It can be neither retrieved nor continued any more; the record of its task stays",
                    **content(ref("ResponseDeleted")),
                }
            },
            404, 409,
            tag="openai",
            parameters=[RESPONSE_ID],
        ),
    },
    "/v1/responses/{id}/cancel": {
        "post": operation(
            "cancel_a_response",
            "Cancel a response that runs in the background",
            {"200": {"description": "What has become of it", **content(ref("Response"))}},
            400, 404,
            tag="openai",
            parameters=[RESPONSE_ID],
        )
    },
    "/v1/responses/{id}/input_items": {
        "get": operation(
            "list_the_input_of_a_response",
            "List the items that came with a response's request",
            {"200": {"description": "A page of them, the newest first", **content(ref("ResponseItemList"))}},
            400, 404,
            tag="openai",
            parameters=[
                RESPONSE_ID,
                {
                    "name": "limit",
                    "in": "query",
                    "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
                },
                {"name": "order", "in": "query", "schema": {"type": "string", "enum": ["asc", "desc"], "default": "desc"}},
                {
                    "name": "after",
                    "in": "query",
                    "description": "The id of an item: the page begins behind it.",
                    "schema": {"type": "string"},
                },
            ],
        )
    },
    "/v1/embeddings": {
        "post": operation(
            "create_embeddings",
            "Create embeddings",
            {
                "200": {
                    "description": "In OpenAI's form",
                    "headers": {**RATE_LIMITS, **QUEUE, "x-truncated": _TRUNCATED},
                    **content(ref("EmbeddingList")),
                }
            },
            400, 404, 409, 413, 422, 429,
            tag="openai",
            body="EmbeddingRequest",
        )
    },
    "/livez": {"get": _health("livez", "The process serves", 200)},
    "/readyz": {"get": _health("readyz", "A task could be accepted now", 200, 503)},
}  # fmt: skip


def socket() -> dict[str, Any]:
    """The websocket's page, as the description of its handshake."""
    page = (settings.BASE_DIR / "docs" / "websocket.md").read_text()
    return {
        "operationId": "websocket",
        "summary": "Open a websocket: submit, follow many tasks, resume, cancel",
        "description": page.partition("\n")[2].strip(),
        "tags": ["websocket"],
        "security": [*SECURITY, {}],
        "responses": {
            "101": {"description": "The connection is a websocket; messages as `ClientMessage` and as said above"},
            **refusals(426),
        },
    }
