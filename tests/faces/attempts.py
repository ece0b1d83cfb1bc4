"""What is tried with another tenant's names: on every route that is served, in every message that is understood."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec

from tests.faces.attempt import Attempt, Names

NIGHTLY = {"name": "nightly", "cron": "0 3 * * *"}
DOCUMENT = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://shop.example"}],
    "paths": {"/orders": {"get": {"operationId": "orders"}}},
}
HELLO = [{"role": "user", "content": "Hello"}]


def _cursor(theirs: Names, own: Names) -> dict[str, Any]:
    """A place in a list by another's row, newer than all that there is."""
    place = msgspec.json.encode((datetime(2100, 1, 1, tzinfo=UTC), theirs.task))
    return {"cursor": base64.urlsafe_b64encode(place).decode().rstrip("=")}


GONE = (Attempt(404),)
PUBLIC = (Attempt(200, public=True),)

ATTEMPTS: dict[str, tuple[Attempt, ...]] = {
    "GET /api/v1/agents": (
        Attempt(200),
        Attempt(200, query=_cursor),
        Attempt(200, query=lambda theirs, own: {"archived": "true"}),
    ),
    "POST /api/v1/agents": (
        Attempt(
            400, ("AgentInput.tools",), "tools[0]",
            body=lambda theirs, own: {"slug": "mine", "pool": own.pool, "tools": [{"tool": theirs.tool}]},
        ),
        Attempt(
            400, ("AgentInput.pool",), "pool",
            body=lambda theirs, own: {"slug": "mine", "pool": theirs.pool},
        ),
        Attempt(
            201, ("AgentInput.slug",), own=True,
            body=lambda theirs, own: {"slug": theirs.agent, "pool": own.pool},
        ),
    ),
    "GET /api/v1/agents/{slug}": GONE,
    "PATCH /api/v1/agents/{slug}": (
        Attempt(404, body=lambda theirs, own: {"name": "taken"}),
        Attempt(404, body=lambda theirs, own: {"system_prompt": "taken", "params": {"max_tokens": 1}}),
        Attempt(400, ("AgentChange.pool",), "pool", at="agent", body=lambda theirs, own: {"pool": theirs.pool}),
        Attempt(
            400, ("AgentChange.tools",), "tools[0].agents", at="agent",
            body=lambda theirs, own: {"tools": [{"builtin": "hand_off", "agents": [theirs.agent]}]},
        ),
    ),
    "DELETE /api/v1/agents/{slug}": GONE,
    "GET /api/v1/agents/{slug}/revisions": GONE,
    "POST /api/v1/agents/{slug}/revisions": (
        Attempt(404, body=lambda theirs, own: {"system_prompt": "taken"}),
        Attempt(400, ("DraftInput.pool",), "pool", at="agent", body=lambda theirs, own: {"pool": theirs.pool}),
        Attempt(
            400, ("DraftInput.tools",), "tools[0]", at="agent",
            body=lambda theirs, own: {"tools": [{"tool": theirs.agent}]},
        ),
    ),
    "GET /api/v1/agents/{slug}/revisions/{number}": GONE,
    "POST /api/v1/agents/{slug}/revisions/{number}/publish": GONE,
    "GET /api/v1/agents/{slug}/traffic": GONE,
    "PUT /api/v1/agents/{slug}/traffic": (
        Attempt(404, body=lambda theirs, own: {"shares": [{"revision": 1, "percent": 100}]}),
    ),
    "GET /api/v1/agents/{slug}/publications": GONE,
    "POST /api/v1/agents/{slug}/roll-back": (Attempt(404, body=lambda theirs, own: {}),),
    "GET /api/v1/schedules": (
        Attempt(200),
        Attempt(200, ("ScheduleFilter.agent",), query=lambda theirs, own: {"agent": theirs.agent}),
    ),
    "POST /api/v1/schedules": (
        Attempt(
            400, ("ScheduleInput.task",), "task.agent",
            body=lambda theirs, own: {**NIGHTLY, "task": {"agent": theirs.agent, "input": "Hi"}},
        ),
        Attempt(
            400, ("ScheduleInput.task",), "task.conversation",
            body=lambda theirs, own: {
                **NIGHTLY, "task": {"agent": own.agent, "input": "Hi", "conversation": theirs.conversation},
            },
        ),
    ),
    "GET /api/v1/schedules/{pk}": GONE,
    "PATCH /api/v1/schedules/{pk}": (Attempt(404, body=lambda theirs, own: {"name": "taken"}),),
    "DELETE /api/v1/schedules/{pk}": GONE,
    "GET /api/v1/schedules/{pk}/next": GONE,
    "GET /api/v1/schedules/{pk}/firings": GONE,
    "GET /api/v1/input-sets": (
        Attempt(200),
        Attempt(200, ("OfAgent.agent",), query=lambda theirs, own: {"agent": theirs.agent}),
    ),
    "POST /api/v1/input-sets": (
        Attempt(
            400, ("InputSetInput.agent",), "agent",
            body=lambda theirs, own: {"agent": theirs.agent, "name": "mine", "items": [{"input": "Hi"}]},
        ),
    ),
    "GET /api/v1/input-sets/{pk}": GONE,
    "DELETE /api/v1/input-sets/{pk}": GONE,
    "GET /api/v1/comparisons": (Attempt(200), Attempt(200, query=lambda theirs, own: {"agent": theirs.agent})),
    "POST /api/v1/comparisons": (
        Attempt(
            400, ("ComparisonInput.input_set",), "input_set",
            body=lambda theirs, own: {"input_set": theirs.task, "left": 1, "right": 2},
        ),
    ),
    "GET /api/v1/comparisons/{pk}": GONE,
    "DELETE /api/v1/comparisons/{pk}": GONE,
    "GET /api/v1/comparisons/{pk}/report": GONE,
    "GET /api/v1/comparisons/{pk}/csv": GONE,
    "GET /api/v1/conversations": (
        Attempt(200),
        Attempt(200, query=_cursor),
        Attempt(200, ("ConversationFilter.agent",), query=lambda theirs, own: {"agent": theirs.agent}),
    ),
    "POST /api/v1/conversations": (
        Attempt(400, ("ConversationInput.agent",), "agent", body=lambda theirs, own: {"agent": theirs.agent}),
    ),
    "GET /api/v1/conversations/{pk}": GONE,
    "PATCH /api/v1/conversations/{pk}": (
        Attempt(404, body=lambda theirs, own: {"title": "taken"}),
        Attempt(
            400, ("ConversationChange.agent",), "agent", at="conversation",
            body=lambda theirs, own: {"agent": theirs.agent},
        ),
        Attempt(
            400, ("ConversationChange.head",), "head", at="conversation",
            body=lambda theirs, own: {"head": theirs.message},
        ),
    ),
    "DELETE /api/v1/conversations/{pk}": GONE,
    "GET /api/v1/conversations/{pk}/branches": GONE,
    "GET /api/v1/conversations/{pk}/messages": (
        Attempt(404),
        Attempt(
            400, ("MessageFilter.head",), "head", at="conversation",
            query=lambda theirs, own: {"head": theirs.message},
        ),
    ),
    "POST /api/v1/conversations/{pk}/messages": (
        Attempt(404, body=lambda theirs, own: HELLO[0]),
        Attempt(
            400, ("MessageInput.after_message",), "after_message", at="conversation",
            body=lambda theirs, own: {**HELLO[0], "after_message": theirs.message},
        ),
    ),
    "GET /api/v1/tasks": (
        Attempt(200),
        Attempt(200, query=_cursor),
        Attempt(200, ("TaskFilter.agent",), query=lambda theirs, own: {"agent": theirs.agent}),
        Attempt(200, ("TaskFilter.conversation",), query=lambda theirs, own: {"conversation": theirs.conversation}),
        Attempt(200, query=lambda theirs, own: {"metadata.mark": theirs.task}),
    ),
    "POST /api/v1/tasks": (
        Attempt(400, ("TaskRequest.agent",), "agent", body=lambda theirs, own: {"agent": theirs.agent, "input": "Hi"}),
        Attempt(
            400, ("TaskRequest.conversation",), "conversation",
            body=lambda theirs, own: {"agent": own.agent, "input": "Hi", "conversation": theirs.conversation},
        ),
        Attempt(
            400, ("TaskRequest.after_message",), "after_message",
            body=lambda theirs, own: {
                "agent": own.agent, "input": "Hi", "conversation": own.conversation, "after_message": theirs.message,
            },
        ),
        Attempt(
            202, ("TaskRequest.idempotency_key",), own=True,
            body=lambda theirs, own: {
                "agent": own.agent, "messages": HELLO, "idempotency_key": theirs.idempotency_key,
            },
        ),
        Attempt(
            202, own=True,
            body=lambda theirs, own: {"agent": own.agent, "messages": HELLO},
            headers=lambda theirs, own: {"Idempotency-Key": theirs.idempotency_key},
        ),
    ),
    "GET /api/v1/tasks/{id}": GONE,
    "DELETE /api/v1/tasks/{id}": GONE,
    "POST /api/v1/tasks/{id}/cancel": GONE,
    "GET /api/v1/tasks/{pk}/steps": GONE,
    "POST /api/v1/tasks/{id}/answers": (Attempt(404, body=lambda theirs, own: {"call": "call_1", "answer": "taken"}),),
    "GET /api/v1/tools": (
        Attempt(200),
        Attempt(200, query=_cursor),
        Attempt(200, query=lambda theirs, own: {"kind": "http"}),
    ),
    "POST /api/v1/tools": (
        Attempt(
            201, ("ToolInput.name",), own=True,
            body=lambda theirs, own: {"name": theirs.tool, "request": {"url": "https://tools.example/"}},
        ),
    ),
    "GET /api/v1/tools/{name}": GONE,
    "PATCH /api/v1/tools/{name}": (
        Attempt(404, body=lambda theirs, own: {"description": "taken"}),
        Attempt(404, ("ToolChange.name",), body=lambda theirs, own: {"name": theirs.tool}),
    ),
    "DELETE /api/v1/tools/{name}": GONE,
    "POST /api/v1/tools/import": (Attempt(201, own=True, body=lambda theirs, own: {"document": DOCUMENT}),),
    "GET /api/v1/mcp-servers": (Attempt(200), Attempt(200, query=_cursor)),
    "POST /api/v1/mcp-servers": (
        Attempt(
            201, ("McpServerInput.name",), own=True,
            body=lambda theirs, own: {"name": theirs.mcp_server, "url": "https://mcp.example/"},
        ),
    ),
    "GET /api/v1/mcp-servers/{name}": GONE,
    "PATCH /api/v1/mcp-servers/{name}": (Attempt(404, body=lambda theirs, own: {"url": "https://taken.example/"}),),
    "DELETE /api/v1/mcp-servers/{name}": GONE,
    "POST /api/v1/mcp-servers/{name}/discover": GONE,
    "GET /api/v1/tasks/{id}/events": (Attempt(404), Attempt(404, query=lambda theirs, own: {"after": "1"})),
    "GET /api/v1/usage": (
        Attempt(200),
        Attempt(200, ("UsageFilter.key",), query=lambda theirs, own: {"key": theirs.api_key}),
        Attempt(200, ("UsageFilter.agent",), query=lambda theirs, own: {"agent": theirs.agent, "group_by": "agent"}),
        Attempt(200, ("UsageFilter.model",), query=lambda theirs, own: {"model": theirs.pool, "format": "csv"}),
    ),
    "GET /api/v1/usage/gpu": (
        Attempt(200),
        Attempt(200, ("GpuFilter.model",), query=lambda theirs, own: {"model": theirs.pool}),
    ),
    "GET /api/v1/secrets": (Attempt(200), Attempt(200, query=_cursor)),
    "PUT /api/v1/secrets/{name}": (Attempt(201, own=True, body=lambda theirs, own: {"value": "mine"}),),
    "DELETE /api/v1/secrets/{name}": GONE,
    "GET /api/v1/webhooks": (
        Attempt(200),
        Attempt(200, query=_cursor),
        Attempt(200, query=lambda theirs, own: {"enabled": "true"}),
    ),
    "POST /api/v1/webhooks": (Attempt(201, own=True, body=lambda theirs, own: {"url": "https://hooks.example/"}),),
    "GET /api/v1/webhooks/{pk}": GONE,
    "PATCH /api/v1/webhooks/{pk}": (Attempt(404, body=lambda theirs, own: {"enabled": False}),),
    "DELETE /api/v1/webhooks/{pk}": GONE,
    "POST /api/v1/webhooks/{pk}/rotate": (Attempt(404, body=lambda theirs, own: {}),),
    "POST /api/v1/webhooks/{pk}/test": GONE,
    "GET /api/v1/webhooks/{pk}/deliveries": GONE,
    "POST /api/v1/webhooks/{pk}/deliveries/{delivery}/replay": GONE,
    "GET /v1/models": (Attempt(200),),
    "GET /v1/models/{id}": GONE,
    "POST /v1/chat/completions": (
        Attempt(404, ("ChatRequest.model",), body=lambda theirs, own: {"model": theirs.agent, "messages": HELLO}),
        Attempt(404, ("ChatRequest.model",), body=lambda theirs, own: {"model": theirs.pool, "messages": HELLO}),
        Attempt(
            200, own=True,
            body=lambda theirs, own: {"model": own.agent, "messages": HELLO, "stream": True},
            headers=lambda theirs, own: {"Idempotency-Key": theirs.idempotency_key},
        ),
    ),
    "POST /v1/files": (Attempt(400),),
    "GET /v1/files": (Attempt(200), Attempt(400, query=lambda theirs, own: {"after": theirs.file})),
    "GET /v1/files/{id}": GONE,
    "DELETE /v1/files/{id}": GONE,
    "GET /v1/files/{id}/content": GONE,
    "POST /v1/batches": (
        Attempt(
            400, ("BatchRequest.input_file_id",),
            body=lambda theirs, own: {
                "input_file_id": theirs.file, "endpoint": "/v1/chat/completions", "completion_window": "24h",
            },
        ),
    ),
    "GET /v1/batches": (Attempt(200), Attempt(400, query=lambda theirs, own: {"after": theirs.batch})),
    "GET /v1/batches/{id}": GONE,
    "POST /v1/batches/{id}/cancel": GONE,
    "POST /v1/completions": (
        Attempt(404, ("CompletionRequest.model",), body=lambda theirs, own: {"model": theirs.agent, "prompt": "Hi"}),
        Attempt(404, ("CompletionRequest.model",), body=lambda theirs, own: {"model": theirs.pool, "prompt": "Hi"}),
        Attempt(
            200, own=True,
            body=lambda theirs, own: {"model": own.agent, "prompt": "Hi", "echo": True, "stream": True},
        ),
    ),
    "POST /v1/responses": (
        Attempt(404, ("ResponseRequest.model",), body=lambda theirs, own: {"model": theirs.agent, "input": "Hi"}),
        Attempt(404, ("ResponseRequest.model",), body=lambda theirs, own: {"model": theirs.pool, "input": "Hi"}),
        Attempt(
            404, ("ResponseRequest.previous_response_id",),
            body=lambda theirs, own: {"model": own.agent, "input": "Hi", "previous_response_id": theirs.response},
        ),
        Attempt(
            400, ("ResponseRequest.conversation",),
            body=lambda theirs, own: {"model": own.agent, "input": "Hi", "conversation": theirs.conversation},
        ),
        Attempt(
            200, own=True,
            body=lambda theirs, own: {"model": own.agent, "input": "Hi", "background": True},
        ),
    ),
    "GET /v1/responses/{id}": (Attempt(404), Attempt(404, query=lambda theirs, own: {"stream": "true"})),
    "DELETE /v1/responses/{id}": GONE,
    "POST /v1/responses/{id}/cancel": GONE,
    "GET /v1/responses/{id}/input_items": (
        Attempt(404),
        Attempt(404, query=lambda theirs, own: {"after": theirs.response}),
    ),
    "POST /v1/embeddings": (
        Attempt(404, ("EmbeddingRequest.model",), body=lambda theirs, own: {"model": theirs.agent, "input": "Hi"}),
        Attempt(404, ("EmbeddingRequest.model",), body=lambda theirs, own: {"model": theirs.pool, "input": "Hi"}),
    ),
    "GET /api/v1/collections": (Attempt(200), Attempt(200, query=_cursor)),
    "POST /api/v1/collections": (
        Attempt(
            400, ("CollectionInput.pool",), "pool", body=lambda theirs, own: {"slug": "mine", "pool": theirs.pool}
        ),
        Attempt(
            201, ("CollectionInput.slug",), own=True,
            body=lambda theirs, own: {"slug": theirs.collection, "pool": own.pool},
        ),
    ),
    "GET /api/v1/collections/{slug}": GONE,
    "DELETE /api/v1/collections/{slug}": GONE,
    "GET /api/v1/collections/{slug}/documents": (
        Attempt(404),
        Attempt(
            200, ("DocumentFilter.title",), at="collection", query=lambda theirs, own: {"title": theirs.document}
        ),
    ),
    "POST /api/v1/collections/{slug}/documents": (
        Attempt(404, body=lambda theirs, own: {"title": "taken", "text": "taken"}),
        Attempt(
            201, ("DocumentInput.title",), own=True, at="collection",
            body=lambda theirs, own: {"title": theirs.document, "text": "mine"},
        ),
        Attempt(
            400, ("UploadQuery.title",), at="collection",
            body=lambda theirs, own: {"text": "mine"}, query=lambda theirs, own: {"title": theirs.document},
        ),
    ),
    "POST /api/v1/collections/{slug}/search": (Attempt(404, body=lambda theirs, own: {"query": "secret"}),),
    "GET /api/v1/documents/{pk}": GONE,
    "DELETE /api/v1/documents/{pk}": GONE,
    "GET /livez": PUBLIC,
    "GET /readyz": PUBLIC,
}  # fmt: skip

MESSAGES: dict[str, tuple[Attempt, ...]] = {
    "auth": (Attempt(400, ("ClientMessage.key",), body=lambda theirs, own: {"key": theirs.api_key}),),
    "submit": (
        Attempt(400, body=lambda theirs, own: {"task": {"agent": theirs.agent, "input": "Hi"}}),
        Attempt(
            400, body=lambda theirs, own: {"task": {"agent": own.agent, "input": "", "conversation": theirs.conversation}}
        ),
        Attempt(
            0, ("ClientMessage.task",), own=True, answer="accepted",
            body=lambda theirs, own: {
                "task": {"agent": own.agent, "input": "Hi", "idempotency_key": theirs.idempotency_key}, "follow": False,
            },
        ),
    ),
    "follow": (
        *(Attempt(404, body=lambda theirs, own, of=of: {"task": getattr(theirs, of)}) for of in Names._fields),
        Attempt(404, body=lambda theirs, own: {"task": theirs.task, "cursor": 1}),
    ),
    "unfollow": (Attempt(0, answer="unfollowed", body=lambda theirs, own: {"task": theirs.task}),),
    "cancel": tuple(
        Attempt(404, body=lambda theirs, own, of=of: {"task": getattr(theirs, of)}) for of in Names._fields
    ),
    "ping": (Attempt(0, answer="pong", body=lambda theirs, own: {"task": theirs.task}),),
}  # fmt: skip
