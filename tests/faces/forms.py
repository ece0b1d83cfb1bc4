"""Every form that a caller can fill in: which of its fields can name an object, and which cannot."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.api import revision_serializers as revision_forms
from agents.api import secret_forms, tool_forms, webhook_forms
from agents.api import serializers as forms
from agents.faces import requests
from agents.faces.openai.completion_request import CompletionRequest
from agents.faces.openai.response_request import ResponseRequest
from agents.faces.socket import ClientMessage
from batches.faces.batches import BatchRequest
from billing.api import forms as usage_forms
from comparisons.api import serializers as comparison_forms
from knowledge.api import serializers as knowledge
from knowledge.face import SearchRequest
from schedules.api import serializers as schedule_forms

RESPONSE_NAMES = {"model", "previous_response_id", "conversation"}
FORMS: dict[type[Any], tuple[set[str], set[str]]] = {
    forms.AgentInput: ({"slug", "pool", "tools"}, {"name", "system_prompt", "params", "output", "limits", "context"}),
    forms.AgentChange: ({"pool", "tools"}, {"name", "system_prompt", "params", "output", "limits", "context"}),
    tool_forms.ToolInput: ({"name"}, {"description", "parameters", "request", "is_idempotent", "timeout_s"}),
    tool_forms.ToolChange: ({"name"}, {"description", "parameters", "request", "is_idempotent", "timeout_s"}),
    tool_forms.ToolFilter: (set(), {"kind"}),
    tool_forms.OpenApiImport: (set(), {"document", "base_url", "operations", "headers"}),
    tool_forms.McpServerInput: ({"name"}, {"url", "headers"}),
    tool_forms.McpServerChange: (set(), {"url", "headers"}),
    tool_forms.NoFilter: (set(), set()),
    requests.AnswerRequest: (set(), {"call", "answer"}),
    forms.AgentFilter: (set(), {"archived"}),
    revision_forms.DraftInput: ({"pool", "tools"}, {"system_prompt", "params", "limits", "output", "context"}),
    schedule_forms.ScheduleInput: ({"task"}, {"name", "cron", "time_zone", "catch_up", "overlap", "is_enabled"}),
    schedule_forms.ScheduleFilter: ({"agent"}, set()),
    comparison_forms.InputSetInput: ({"agent"}, {"name", "items"}),
    comparison_forms.OfAgent: ({"agent"}, set()),
    comparison_forms.ComparisonInput: ({"input_set"}, {"left", "right"}),
    revision_forms.TrafficInput: (set(), {"shares"}),
    revision_forms.RollBackInput: (set(), {"publication"}),
    forms.ConversationInput: ({"agent"}, {"title", "metadata", "when_busy"}),
    forms.ConversationChange: ({"agent", "head"}, {"title", "metadata", "when_busy"}),
    forms.ConversationFilter: ({"agent"}, set()),
    forms.MessageInput: ({"after_message"}, {"role", "content"}),
    forms.MessageFilter: ({"head"}, {"all"}),
    forms.TaskFilter: ({"agent", "conversation"}, {"state", "created_after", "created_before"}),
    usage_forms.UsageFilter: ({"key", "agent", "model"}, {"from", "to", "interval", "format", "group_by"}),
    usage_forms.GpuFilter: ({"model"}, {"from", "to", "interval", "format"}),
    secret_forms.SecretInput: (set(), {"value"}),
    secret_forms.SecretFilter: (set(), set()),
    webhook_forms.EndpointInput: (set(), {"url", "description", "event_types", "enabled"}),
    webhook_forms.EndpointChange: (set(), {"url", "description", "event_types", "enabled"}),
    webhook_forms.EndpointFilter: (set(), {"enabled"}),
    webhook_forms.RotateInput: (set(), {"overlap_s"}),
    webhook_forms.DeliveryFilter: (set(), {"state"}),
    requests.TaskRequest: (
        {"agent", "conversation", "after_message", "idempotency_key"},
        {
            "when_busy",
            "input",
            "messages",
            "embed",
            "truncate",
            "context",
            "parameters",
            "tools",
            "tool_choice",
            "allowed_tools",
            "parallel_tool_calls",
            "output",
            "priority",
            "deadline_s",
            "deadline_at",
            "metadata",
            "split_key",
            "cancel_on_disconnect",
            "prompt",
        },
    ),
    CompletionRequest: ({"model"}, set(CompletionRequest.__struct_fields__) - {"model"}),
    ResponseRequest: (RESPONSE_NAMES, set(ResponseRequest.__struct_fields__) - RESPONSE_NAMES),
    requests.ChatRequest: ({"model"}, set(requests.ChatRequest.__struct_fields__) - {"model"}),
    BatchRequest: ({"input_file_id"}, {"endpoint", "completion_window", "metadata", "output_expires_after"}),
    requests.EmbeddingRequest: ({"model"}, set(requests.EmbeddingRequest.__struct_fields__) - {"model"}),
    knowledge.CollectionInput: ({"slug", "pool"}, {"name", "chunk_size", "chunk_overlap"}),
    knowledge.CollectionFilter: (set(), set()),
    knowledge.DocumentInput: ({"title"}, {"text", "format", "metadata"}),
    knowledge.DocumentFilter: ({"title"}, {"state"}),
    knowledge.UploadQuery: ({"title"}, set()),
    SearchRequest: (set(), {"query", "k", "metadata"}),
    ClientMessage: ({"task", "key"}, {"type", "ref", "cursor", "follow", "traceparent", "tracestate"}),
}
"""Each form's fields: those that can name an object, and those that cannot."""


def fields_of(form: type[Any]) -> set[str]:
    """What a caller may say."""
    return set(form.__struct_fields__ if issubclass(form, msgspec.Struct) else form().fields)
