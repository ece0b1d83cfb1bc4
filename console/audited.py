"""What the audit log watches: whatever staff can change in the console, and what tenants' applications configure by the API.

A test holds this list to the console: a form for a model that is not watched fails it.
"""

from __future__ import annotations

from typing import Any

from audit.watching import Watched, watch

WATCHED = (
    Watched("auth.User", hidden=("password",), ignored=("last_login",)),
    Watched("auth.Group"),
    Watched("mfa.Authenticator", hidden=("data",), ignored=("last_used_at",)),
    Watched("staff.StaffRole"),
    Watched("tenants.Tenant"),
    Watched("tenants.ApiKey", hidden=("digest",), ignored=("last_used_at",)),
    Watched("tenants.Secret", hidden=("ciphertext",)),
    Watched("orchestrator.Pool", hidden=("env", "engine_args.*")),
    Watched("orchestrator.ScalingPolicy"),
    Watched("orchestrator.Rollout"),
    Watched("orchestrator.Worker", ignored=("wish", "wished_by", "wished_at")),  # an act of its own
    Watched("agents.Agent"),
    Watched("agents.AgentRevision"),
    Watched("agents.Publication"),
    Watched("agents.McpServer", hidden=("headers",)),
    Watched("agents.Tool", hidden=("request.headers",)),
    Watched("agents.ToolCall", hidden=("arguments", "result"), staff_only=True),  # who answered an agent that asked
    Watched("webhooks.Endpoint", hidden=("secret", "old_secret")),
    Watched("schedules.Schedule", ignored=("next_at", "lease_until")),
    Watched("comparisons.InputSet"),
    Watched("comparisons.Comparison", ignored=("lease_until",)),
    Watched("knowledge.Collection"),
    Watched("knowledge.Document", staff_only=True),
    Watched("batches.Batch", staff_only=True, ignored=("lease_until",)),
    Watched("batches.File", staff_only=True),
    Watched("billing.Budget"),
    Watched("billing.Price"),
)


def watch_tables(**signal: Any) -> None:
    """After migrations, when all tables are there."""
    watch(WATCHED)
