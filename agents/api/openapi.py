"""The hot routes in the OpenAPI document: they are not Django views, so their operations are written here.

A test holds them against the routes that are served (agents.faces.app.ROUTES).
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from agents.api.openapi_forms import Schema, ref
from agents.api.openapi_headers import QUEUE, RATE_LIMITS
from agents.api.openapi_schemas import schemas
from agents.faces.idempotency import IDEMPOTENCY_KEY_MAX
from agents.faces.openai.response_query import LIMIT, LIMIT_MAX
from agents.faces.requests import CURSOR_MAX

JSON = "application/json"
STREAM = "text/event-stream"
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
SECURITY: list[dict[str, list[str]]] = [{"ApiKey": []}]
REFUSALS = {
    400: "A field does not fit; it is named",
    401: "No valid API key",
    403: "The key lacks the scope",
    404: "There is no such object, or it is another tenant's",
    406: "`Accept` names no form in which this is answered",
    409: "It conflicts with what is there",
    413: "The body is too large, or may cost more tokens than a limit ever allows",
    415: "The body is of a kind that is not read here",
    422: "The idempotency key was used for another body in the last 24 hours, or the deadline comes too early",
    426: "The request asks for no websocket",
    429: "A limit of the tenant or of the key is reached; see Retry-After",
    500: "The task failed, or something went wrong on our side",
    502: "A server that was asked for this failed; the detail says how",
    503: "The queue or the database is away, too much work waits, or no worker can come; nothing was accepted",
}
ALWAYS = (401, 403, 503)
CONFLICTS = {
    ("post", "/api/v1/agents"),
    ("patch", "/api/v1/agents/{slug}"),
    ("delete", "/api/v1/agents/{slug}"),
    ("post", "/api/v1/agents/{slug}/revisions"),
    ("post", "/api/v1/agents/{slug}/revisions/{number}/publish"),
    ("put", "/api/v1/agents/{slug}/traffic"),
    ("post", "/api/v1/agents/{slug}/roll-back"),
    ("delete", "/api/v1/conversations/{id}"),
    ("post", "/api/v1/conversations/{id}/messages"),
    ("post", "/api/v1/tools"),
    ("patch", "/api/v1/tools/{name}"),
    ("delete", "/api/v1/tools/{name}"),
    ("post", "/api/v1/tools/import"),
    ("post", "/api/v1/mcp-servers"),
    ("delete", "/api/v1/mcp-servers/{name}"),
    ("post", "/api/v1/mcp-servers/{name}/discover"),
    ("post", "/api/v1/webhooks"),
    ("post", "/api/v1/webhooks/{id}/test"),
    ("post", "/api/v1/webhooks/{id}/deliveries/{delivery}/replay"),
    ("post", "/api/v1/input-sets"),
    ("delete", "/api/v1/input-sets/{id}"),
    ("post", "/api/v1/schedules"),
    ("patch", "/api/v1/schedules/{id}"),
    ("post", "/api/v1/collections"),
    ("post", "/api/v1/collections/{slug}/documents"),
}
"""Django's operations that 409 may refuse."""
BY_ENDING = {"discover": (400, 502), "steps": (400,), "csv": (400,)}
"""What else refuses, by a path's last word. `steps` and `csv` take no query, and refuse one."""


def content(schema: Schema, media_type: str = JSON) -> dict[str, Any]:
    """A body of that schema."""
    return {"content": {media_type: {"schema": schema}}}


def _refused(*statuses: int, openai: bool = False) -> dict[str, Any]:
    form = content(ref("OpenAIError")) if openai else content(ref("Problem"), "application/problem+json")
    wait = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        str(status): {
            "description": REFUSALS[status],
            **({"headers": {**wait, **(RATE_LIMITS if status == 429 else {})}} if status in (429, 503) else {}),
            **form,
        }
        for status in sorted(statuses)
    }


def operation(
    name: str, summary: str, answers: dict[str, Any], *refused: int, tag: str = "tasks", body: str = "", **more: Any
) -> dict[str, Any]:
    """An operation of a hot route with its refusals; `body` names the schema of what it takes."""
    described = {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": SECURITY,
        "responses": {**answers, **_refused(*ALWAYS, *refused, openai=tag == "openai")},
        **more,
    }
    if body:
        described["requestBody"] = {"required": True, **content(ref(body))}
    return described


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


def _socket() -> dict[str, Any]:
    """The websocket's page as the description of its handshake."""
    page = (settings.BASE_DIR / "docs" / "websocket.md").read_text()
    return {
        "operationId": "websocket",
        "summary": "Open a websocket: submit, follow many tasks, resume, cancel",
        "description": page.partition("\n")[2].strip(),
        "tags": ["websocket"],
        "security": [*SECURITY, {}],
        "responses": {
            "101": {"description": "The connection is a websocket; messages as `ClientMessage` and as said above"},
            **_refused(426),
        },
    }


def add_hot_routes(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's post-processing hook: Django's routes with their refusals, beside the hot ones."""
    paths: dict[str, Any] = {}
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                _add_refusals(operation, method=method, path=path)
        paths[path.rstrip("/")] = operations  # both are served; the document shows one
    for path, operations in PATHS.items():
        paths.setdefault(path, {}).update(operations)
    paths["/ws/v1/"] = {"get": _socket()}
    result["paths"] = paths
    result.setdefault("components", {}).setdefault("schemas", {}).update(schemas())
    return result


def _add_refusals(operation: dict[str, Any], *, method: str, path: str) -> None:
    statuses = {*ALWAYS, 406, *BY_ENDING.get(path.rstrip("/").rpartition("/")[2], ())}
    if "{" in path:
        statuses.add(404)
    if "requestBody" in operation:
        statuses |= {400, 413, 415}
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        statuses.add(400)
    if (method, path.rstrip("/")) in CONFLICTS:
        statuses.add(409)
    for status, answer in _refused(*statuses).items():
        operation["responses"].setdefault(status, answer)
