"""What each operation of the document is asked so that it succeeds. What is not in the table is asked for nothing but its path."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.belongings import HELLO, LINE, Belongings

_keys = itertools.count()


def _once() -> dict[str, str]:
    """The headers of a submission."""
    return {
        "Idempotency-Key": f"once-{next(_keys)}",
        "traceparent": f"00-{'1' * 32}-{'2' * 16}-01",
        "tracestate": "a=1",
    }


MOMENT = "2026-01-01T00:00:00Z"
PAGE = {"page_size": "1"}
SHAPE = {"type": "object", "properties": {"place": {"type": "string"}}}
CALLED = {
    "url": "https://tools.example/{place}", "method": "GET", "headers": {"X-Key": "${secret:KEY}"}, "query": [],
    "header_arguments": [], "body": "json",
}  # fmt: skip
FUNCTION = {"type": "function", "function": {"name": "weather", "description": "Weather", "parameters": SHAPE}}
DOCUMENT = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://shop.example"}],
    "paths": {
        "/orders/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "post": {
                "operationId": "order",
                "summary": "Order",
                "parameters": [{"name": "at", "in": "query", "schema": {"$ref": "#/components/schemas/At"}}],
                "requestBody": {"content": {"application/json": {"schema": SHAPE}}},
            },
        }
    },
    "components": {"schemas": {"At": {"type": "string"}}},
}


@dataclass(frozen=True)
class Good:
    """A request, beside its path. `status`: of its answer, where the document shows several that mean success."""

    body: dict[str, Any] | None = None
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    files: dict[str, Any] | None = None
    status: int | None = None


def _agent(own: Belongings) -> dict[str, Any]:
    return {
        "name": "An agent",
        "pool": own.pool.slug,
        "system_prompt": "Rhyme.",
        "params": {"temperature": 0.5, "max_tokens": 8, "stop": ["x"]},
        "output": None,
        "tools": [{"builtin": "calculator"}, {"tool": own.tool()}, {"builtin": "hand_off", "agents": ["poet"]}],
        "limits": {"max_turns": 3, "max_tokens": 100, "max_seconds": 60},
        "context": {"strategy": "summarise", "max_tokens": 500, "summarise_at": 0.5},
    }


def _draft(own: Belongings) -> dict[str, Any]:
    return {name: value for name, value in _agent(own).items() if name != "name"}


def _task(own: Belongings) -> dict[str, Any]:
    return {
        "agent": "poet",
        "messages": HELLO,
        "conversation": own.conversation(),
        "parameters": {"temperature": 0.5, "max_tokens": 4, "seed": 1},
        "context": {"strategy": "trim", "keep_last": 2},
        "when_busy": "queue",
        "priority": 5,
        "deadline_s": 300.5,
        "metadata": {"mark": "x"},
        "split_key": "someone",
    }


def _webhook(own: Belongings) -> Good:
    own.without_endpoints()
    return Good(WEBHOOK)


SCHEDULE = {
    "name": "nightly",
    "task": {"agent": "poet", "input": "Hi", "metadata": {"mark": "x"}, "priority": 5, "parameters": {"top_p": 0.5}},
    "cron": "*/5 3 1-7 1,2 *",
    "time_zone": "Europe/Berlin",
    "catch_up": "all",
    "overlap": "skip",
    "is_enabled": True,
}
WEBHOOK = {
    "url": "https://hooks.example/in", "description": "Mine", "event_types": ["task.succeeded"], "enabled": True,
}  # fmt: skip
TOOL = {
    "name": "weather", "description": "Weather", "parameters": SHAPE, "request": CALLED, "is_idempotent": True,
    "timeout_s": 5.5,
}  # fmt: skip
MCP_SERVER = {"url": "https://mcp.example/mcp", "headers": {"X-Key": "${secret:KEY}"}}
SAMPLED = {"temperature": 0.5, "top_p": 0.5, "max_tokens": 4, "seed": 1, "stop": ["zz"]}

GOOD: dict[str, Callable[[Belongings], Good]] = {
    "GET /api/v1/agents": lambda own: Good(query={**PAGE, "archived": "false"}),
    "POST /api/v1/agents": lambda own: Good({"slug": "mine", **_agent(own)}),
    "PATCH /api/v1/agents/{slug}": lambda own: Good(_agent(own)),
    "GET /api/v1/agents/{slug}/publications": lambda own: Good(query=PAGE),
    "GET /api/v1/agents/{slug}/revisions": lambda own: Good(query=PAGE),
    "POST /api/v1/agents/{slug}/revisions": lambda own: Good(_draft(own)),
    "POST /api/v1/agents/{slug}/roll-back": lambda own: Good({"publication": 1}),
    "PUT /api/v1/agents/{slug}/traffic": lambda own: Good(
        {"shares": [{"revision": 1, "percent": 40}, {"revision": 2, "percent": 60}]}
    ),
    "GET /api/v1/collections": lambda own: Good(query=PAGE),
    "POST /api/v1/collections": lambda own: Good(
        {"slug": "mine", "name": "Mine", "pool": own.pool.slug, "chunk_size": 100, "chunk_overlap": 10}
    ),
    "GET /api/v1/collections/{slug}/documents": lambda own: Good(query={**PAGE, "state": "ready", "title": "A title"}),
    "POST /api/v1/collections/{slug}/documents": lambda own: Good(
        {"title": "Another", "text": "Words.", "format": "markdown", "metadata": {"mark": "x"}}, status=201
    ),
    "POST /api/v1/collections/{slug}/search": lambda own: Good(
        {"query": "Some text", "k": 3, "metadata": {"mark": "x"}}
    ),
    "GET /api/v1/comparisons": lambda own: Good(query={**PAGE, "agent": "poet"}),
    "POST /api/v1/comparisons": lambda own: Good({"input_set": own.input_set(), "left": 1, "right": 2}),
    "GET /api/v1/comparisons/{id}/report": lambda own: Good(query={"after": "1", "count": "1"}),
    "GET /api/v1/conversations": lambda own: Good(query={**PAGE, "agent": "poet"}),
    "POST /api/v1/conversations": lambda own: Good(
        {"title": "A talk", "agent": "poet", "metadata": {"mark": "x"}, "when_busy": "refuse"}
    ),
    "PATCH /api/v1/conversations/{id}": lambda own: Good(
        {"title": "Another", "agent": "poet", "metadata": {"mark": "y"}, "when_busy": "roll_back"}
    ),
    "GET /api/v1/conversations/{id}/branches": lambda own: Good(query=PAGE),
    "GET /api/v1/conversations/{id}/messages": lambda own: Good(query={**PAGE, "all": "true"}),
    "POST /api/v1/conversations/{id}/messages": lambda own: Good({"role": "user", "content": "Hello"}),
    "GET /api/v1/input-sets": lambda own: Good(query={**PAGE, "agent": "poet"}),
    "POST /api/v1/input-sets": lambda own: Good(
        {
            "agent": "poet",
            "name": "A set",
            "items": [
                {"input": "Hi", "checks": {"text": "Hello", "regex": "H.", "json": {"a": 1}}},
                {"messages": HELLO},
            ],
        }
    ),
    "GET /api/v1/mcp-servers": lambda own: Good(query=PAGE),
    "POST /api/v1/mcp-servers": lambda own: Good({"name": "box", **MCP_SERVER}),
    "PATCH /api/v1/mcp-servers/{name}": lambda own: Good(MCP_SERVER),
    "GET /api/v1/schedules": lambda own: Good(query={**PAGE, "agent": "poet"}),
    "POST /api/v1/schedules": lambda own: Good(SCHEDULE),
    "PATCH /api/v1/schedules/{id}": lambda own: Good({**SCHEDULE, "name": f"renamed {next(_keys)}"}),
    "GET /api/v1/schedules/{id}/firings": lambda own: Good(query=PAGE),
    "GET /api/v1/schedules/{id}/next": lambda own: Good(query={"count": "3"}),
    "GET /api/v1/secrets": lambda own: Good(query=PAGE),
    "PUT /api/v1/secrets/{name}": lambda own: Good({"value": "another value"}, status=200),
    "GET /api/v1/tasks": lambda own: Good(
        query={
            **PAGE, "agent": "poet", "conversation": own.conversation(), "created_after": MOMENT,
            "created_before": "2999-01-01T00:00:00Z", "metadata.mark": "x", "state": "queued",
        }
    ),
    "POST /api/v1/tasks": lambda own: Good(_task(own), headers=_once()),
    "POST /api/v1/tasks/{id}/answers": lambda own: Good({"call": "call_1", "answer": "This one."}),
    "GET /api/v1/tasks/{id}/events": lambda own: Good(query={"after": "0"}, headers={"Last-Event-ID": "0"}),
    "GET /api/v1/tools": lambda own: Good(query={**PAGE, "kind": "http"}),
    "POST /api/v1/tools": lambda own: Good(TOOL),
    "PATCH /api/v1/tools/{name}": lambda own: Good({**TOOL, "name": f"renamed-{next(_keys)}"}),
    "POST /api/v1/tools/import": lambda own: Good(
        {"document": DOCUMENT, "base_url": "https://shop.example/v2", "operations": ["order"], "headers": {"X-A": "b"}}
    ),
    "GET /api/v1/usage": lambda own: Good(
        query={
            "agent": "poet", "format": "json", "from": MOMENT, "to": "2026-01-02T00:00:00Z", "group_by": "agent",
            "interval": "hour", "key": str(own.key.pk), "model": own.pool.slug,
        }
    ),
    "GET /api/v1/usage/gpu": lambda own: Good(
        query={
            "format": "json", "from": MOMENT, "to": "2026-01-02T00:00:00Z", "interval": "day", "model": own.pool.slug,
        }
    ),
    "GET /api/v1/webhooks": lambda own: Good(query={**PAGE, "enabled": "true"}),
    "POST /api/v1/webhooks": _webhook,
    "PATCH /api/v1/webhooks/{id}": lambda own: Good(WEBHOOK),
    "GET /api/v1/webhooks/{id}/deliveries": lambda own: Good(query={**PAGE, "state": "failed"}),
    "POST /api/v1/webhooks/{id}/rotate": lambda own: Good({"overlap_s": 60}),
    "POST /v1/chat/completions": lambda own: Good(
        {
            "model": "poet", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], **SAMPLED,
            "n": 1, "stream": False, "user": "someone", "tools": [FUNCTION], "tool_choice": "none",
        },
        headers=_once(),
    ),
    "POST /v1/completions": lambda own: Good(
        {"model": "poet", "prompt": ["Hi"], **SAMPLED, "n": 1, "echo": True, "stream": False},
        headers=_once(),
    ),
    "POST /v1/responses": lambda own: Good(
        {
            "model": "poet", "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
            "instructions": "Rhyme.", "max_output_tokens": 4, "temperature": 0.5, "store": True, "background": True,
            "metadata": {"mark": "x"},
        },
        headers=_once(),
    ),
    "GET /v1/responses/{id}": lambda own: Good(query={"stream": "true", "starting_after": "0"}),
    "GET /v1/responses/{id}/input_items": lambda own: Good(query={"limit": "1", "order": "asc"}),
    "POST /v1/embeddings": lambda own: Good(
        {"model": "poet", "input": ["Some text"], "encoding_format": "base64", "truncate": True}
    ),
    "POST /v1/files": lambda own: Good(
        files={
            "file": ("lines.jsonl", LINE, "application/jsonl"),
            "purpose": (None, "batch"),
            "expires_after[anchor]": (None, "created_at"),
            "expires_after[seconds]": (None, "3600"),
        }
    ),
    "GET /v1/files": lambda own: Good(query={"limit": "1", "order": "asc", "purpose": "batch", "after": own.file()}),
    "POST /v1/batches": lambda own: Good(
        {
            "input_file_id": own.file(), "endpoint": "/v1/chat/completions", "completion_window": "24h",
            "metadata": {"mark": "x"},
        }
    ),
    "GET /v1/batches": lambda own: Good(query={"limit": "1", "after": own.batch()}),
    "GET /ws/v1/": lambda own: Good(status=426),
}  # fmt: skip


def good(label: str, own: Belongings) -> Good:
    """A request that succeeds, with objects that are made for it."""
    return GOOD.get(label, lambda own: Good())(own)
