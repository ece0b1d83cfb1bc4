"""Of the effects processes."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from telemetry.metrics.buckets import TASK_BUCKETS_S

TOOL_CALLS = Counter(
    "opsite_tool_calls_total",
    "Tool calls that were made, by kind (`http`, `mcp`, `builtin`) and outcome (`ok`, `error`: what the model is told, `waits`, "
    "`fault`: tried again).",
    ["kind", "outcome"],
)
TOOL_SECONDS = Histogram(
    "opsite_tool_call_duration_seconds", "What a tool call took.", ["kind"], buckets=TASK_BUCKETS_S
)
WEBHOOKS = Counter(
    "opsite_webhook_attempts_total",
    "Attempts at deliveries of webhooks, by what became of the delivery (`succeeded`, `pending`: again later, `failed`).",
    ["state"],
)
CHORES_FAILED = Counter("opsite_chore_failures_total", "Chores of effects that failed and began again.", ["chore"])
