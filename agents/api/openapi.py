"""The hot routes in the OpenAPI document: they are not Django views, so their operations are written here."""

from __future__ import annotations

from typing import Any

JSON = "application/json"
PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
TASK = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Task"}}}}
TASK_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
SECURITY: list[dict[str, list[str]]] = [{"ApiKey": []}]

SCHEMAS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string"},
            "detail": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                },
            },
        },
    },
    "ChatMessage": {
        "type": "object",
        "required": ["role", "content"],
        "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": {"type": "string"}},
    },
    "SamplingParams": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "max_tokens": {"type": "integer", "minimum": 1},
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            "top_p": {"type": "number", "minimum": 0, "maximum": 1},
            "top_k": {"type": "integer", "minimum": 0},
            "seed": {"type": "integer"},
            "stop": {"type": "array", "items": {"type": "string"}, "maxItems": 16},
            "ignore_eos": {"type": "boolean"},
        },
    },
    "TaskRequest": {
        "type": "object",
        "required": ["agent"],
        "description": "Either `input` or `messages`.",
        "properties": {
            "agent": {"type": "string"},
            "input": {"type": "string"},
            "messages": {"type": "array", "items": {"$ref": "#/components/schemas/ChatMessage"}},
            "conversation": {"type": "string", "format": "uuid"},
            "parameters": {"$ref": "#/components/schemas/SamplingParams"},
            "priority": {"type": "integer", "minimum": 0, "maximum": 9, "default": 5},
            "deadline_s": {"type": "number", "description": "Seconds from now after which the task expires."},
            "deadline_at": {"type": "string", "format": "date-time"},
            "metadata": {"type": "object"},
            "idempotency_key": {"type": "string", "maxLength": 255},
        },
    },
}


def _operation(summary: str, answers: dict[str, Any], *, tag: str = "tasks", **more: Any) -> dict[str, Any]:
    name = summary.lower().replace(" ", "_").replace("'", "")
    refusals = {
        code: {"description": text, **PROBLEM} for code, text in (("401", "No valid API key"), ("503", "Try again"))
    }
    return {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": SECURITY,
        "responses": {**answers, **refusals},
        **more,
    }


def _refused(*statuses: int) -> dict[str, Any]:
    texts = {
        400: "A field does not fit",
        404: "No such task",
        413: "The body is too large",
        422: "The idempotency key was used for another body",
        429: "A limit is reached; see Retry-After",
    }
    return {str(status): {"description": texts[status], **PROBLEM} for status in statuses}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {JSON: {"schema": schema}}}


PATHS: dict[str, Any] = {
    "/api/v1/tasks": {
        "post": _operation(
            "Submit a task",
            {
                "202": {"description": "Accepted: it will end in exactly one outcome", **TASK},
                **_refused(400, 413, 422, 429),
            },
            parameters=[{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255}}],
            requestBody=_body({"$ref": "#/components/schemas/TaskRequest"}),
        )
    },
    "/api/v1/tasks/{id}": {
        "get": _operation(
            "Get a task", {"200": {"description": "The task", **TASK}, **_refused(404)}, parameters=[TASK_ID]
        ),
        "delete": _operation(
            "Cancel a task",
            {"202": {"description": "It will end as cancelled", **TASK}, **_refused(404)},
            parameters=[TASK_ID],
        ),
    },
    "/api/v1/tasks/{id}/cancel": {
        "post": _operation(
            "Cancel a task by post",
            {"202": {"description": "It will end as cancelled", **TASK}, **_refused(404)},
            parameters=[TASK_ID],
        )
    },
    "/api/v1/tasks/{id}/events": {
        "get": _operation(
            "Follow a tasks events",
            {
                "200": {
                    "description": "Server-sent events: `state`, `text`, and last `outcome`; `id` is the cursor.",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                },
                **_refused(404),
            },
            parameters=[
                TASK_ID,
                {"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer"}},
                {"name": "after", "in": "query", "schema": {"type": "integer"}},
            ],
        )
    },
    "/v1/models": {
        "get": _operation(
            "List models",
            {
                "200": {
                    "description": "Agents and pools, in OpenAI's form",
                    "content": {JSON: {"schema": {"type": "object"}}},
                }
            },
            tag="openai",
        )
    },
    "/v1/chat/completions": {
        "post": _operation(
            "Create a chat completion",
            {
                "200": {
                    "description": "In OpenAI's form; with `stream`, server-sent events",
                    "content": {
                        JSON: {"schema": {"type": "object"}},
                        "text/event-stream": {"schema": {"type": "string"}},
                    },
                },
                **_refused(400, 413, 429),
            },
            tag="openai",
            requestBody=_body({"type": "object", "required": ["model", "messages"]}),
        )
    },
}


def add_hot_routes(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's post-processing hook."""
    for path, operations in PATHS.items():
        result["paths"].setdefault(path, {}).update(operations)
    result.setdefault("components", {}).setdefault("schemas", {}).update(SCHEMAS)
    return result
