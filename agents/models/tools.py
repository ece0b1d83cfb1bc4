"""What agents may call, and each call that one made."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from agents.lifecycle import ENDED_CALLS, CallState
from tenants.identifiers import new_id
from tenants.scoping import TenantOwned

TOOL_NAME = r"^[a-zA-Z0-9_-]{1,64}$"
CALL_STATES = [(state.value, state.value) for state in CallState]


class McpServer(TenantOwned):
    """A server of the Model Context Protocol (streamable HTTP) whose tools the tenant's agents may call."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.SlugField(
        max_length=40,
        help_text="Its tools are called by it and their own name: weather_today is the tool today of the server weather.",
    )
    url = models.URLField(max_length=2000)
    headers = models.JSONField(
        default=dict, blank=True, help_text="Sent with each request; a secret is written ${secret:NAME}."
    )
    discovered_at = models.DateTimeField(null=True, blank=True, editable=False)
    error = models.TextField(blank=True, editable=False, help_text="Why its tools could not be listed the last time.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name"]
        verbose_name = "MCP server"
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "name"], name="mcp_server_name_per_tenant")]

    def __str__(self) -> str:
        return self.name


class Tool(TenantOwned):
    """A function that a tenant's agents may call: an HTTP request, or a tool of an MCP server."""

    KINDS: ClassVar = [("http", "HTTP"), ("mcp", "MCP")]

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=64, validators=[RegexValidator(TOOL_NAME)])
    kind = models.CharField(max_length=8, choices=KINDS)
    description = models.TextField(blank=True)
    parameters = models.JSONField(default=dict, help_text="A JSON schema of an object: what the model may give.")
    server = models.ForeignKey(McpServer, null=True, blank=True, on_delete=models.CASCADE, related_name="tools")
    remote_name = models.CharField(max_length=200, blank=True, help_text="What the MCP server calls it.")
    request = models.JSONField(
        default=dict, blank=True, help_text="HTTP: method, url, headers, and where each argument goes."
    )
    is_idempotent = models.BooleanField(
        default=False,
        help_text="A call that may have happened may be repeated. Elsewhere the model is told that it is not known.",
    )
    timeout_s = models.FloatField(default=30.0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="tool_name_per_tenant"),
            models.CheckConstraint(condition=Q(timeout_s__gt=0, timeout_s__lte=600), name="tool_timeout_range"),
            models.CheckConstraint(
                condition=Q(kind="http", server__isnull=True) | Q(kind="mcp", server__isnull=False),
                name="tool_of_a_server_iff_mcp",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ToolCall(TenantOwned):
    """One call that a turn asked for. `lease_until` is until when its runner may be at it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # Without an index of its own: that with the order of the console's list behind it serves.
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    task = models.ForeignKey("agents.Task", on_delete=models.CASCADE, related_name="calls")
    turn = models.ForeignKey("agents.Turn", on_delete=models.CASCADE, related_name="calls")
    number = models.PositiveSmallIntegerField()
    call_id = models.CharField(max_length=100)
    name = models.CharField(max_length=200)
    arguments = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=CALL_STATES, default=CallState.PENDING.value)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    result = models.TextField(blank=True, help_text="What the model is told.")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["task", "turn", "number"]
        indexes: ClassVar = [
            models.Index(fields=["created_at"], name="call_open", condition=~Q(state__in=sorted(ENDED_CALLS))),
            models.Index(fields=["-created_at", "-id"], name="call_by_time"),
            models.Index(fields=["tenant", "-created_at", "-id"], name="call_by_tenant"),
            models.Index(fields=["name", "-created_at", "-id"], name="call_by_name"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["turn", "number"], name="call_number_per_turn"),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in CallState]), name="call_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=sorted(ENDED_CALLS), finished_at__isnull=False)
                | (~Q(state__in=sorted(ENDED_CALLS)) & Q(finished_at__isnull=True)),
                name="call_finished_iff_ended",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"
