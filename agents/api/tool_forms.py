"""The forms of tools, MCP servers and the steps of a task."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agents.api.serializers import ContextUseSerializer, Form, QueryForm
from agents.models import McpServer, Tool, ToolCall, Turn


class ToolSerializer(serializers.ModelSerializer[Tool]):
    """A function that agents may call. `server` is the name of the MCP server that it is of."""

    server = serializers.SlugRelatedField[Any](slug_field="name", read_only=True, allow_null=True)

    class Meta:
        model = Tool
        fields = (
            "id", "name", "kind", "description", "parameters", "server", "request", "is_idempotent", "timeout_s", "created_at",
        )  # fmt: skip


class ToolChange(Form):
    """What a caller says of an HTTP tool; what is left out stays."""

    name = serializers.CharField(max_length=64, required=False)
    description = serializers.CharField(max_length=4000, required=False, allow_blank=True)
    parameters = serializers.DictField(required=False, help_text="A JSON schema of an object.")
    request = serializers.DictField(
        required=False,
        help_text="`url` (arguments stand there as `{name}`), `method`, `headers`, `query`, `header_arguments`, `body`: "
        "`json` or `form`. URL and headers may hold `${secret:NAME}`.",
    )
    is_idempotent = serializers.BooleanField(required=False)
    timeout_s = serializers.FloatField(required=False)


class ToolInput(ToolChange):
    """A new HTTP tool."""

    name = serializers.CharField(max_length=64)
    request = serializers.DictField()
    parameters = serializers.DictField(default=lambda: {"type": "object", "properties": {}})


class OpenApiImport(Form):
    """An OpenAPI 3 document whose operations become tools."""

    document = serializers.DictField()
    base_url = serializers.CharField(max_length=2000, default="", help_text="Left out: the document's first server.")
    operations = serializers.ListField(
        child=serializers.CharField(max_length=200), default=list, help_text="Operation ids; left out: all."
    )
    headers = serializers.DictField(child=serializers.CharField(max_length=4000), default=dict)


class ToolFilter(QueryForm):
    """Filters of the list of tools."""

    kind = serializers.ChoiceField(choices=Tool.KINDS, required=False)


class McpServerSerializer(serializers.ModelSerializer[McpServer]):
    """An MCP server. `headers` hold references to secrets, never their values."""

    class Meta:
        model = McpServer
        fields = ("id", "name", "url", "headers", "discovered_at", "error", "created_at")


class McpServerChange(Form):
    """What a caller says of an MCP server; what is left out stays."""

    url = serializers.URLField(max_length=2000, required=False)
    headers = serializers.DictField(child=serializers.CharField(max_length=4000), required=False)


class McpServerInput(Form):
    """A new MCP server."""

    name = serializers.SlugField(max_length=40)
    url = serializers.URLField(max_length=2000)
    headers = serializers.DictField(child=serializers.CharField(max_length=4000), default=dict)


class NoFilter(QueryForm):
    """A list without filters."""


class CallSerializer(serializers.ModelSerializer[ToolCall]):
    """One tool call: `result` is what the model was told."""

    id = serializers.CharField(source="call_id")

    class Meta:
        model = ToolCall
        fields = ("id", "name", "arguments", "state", "attempts", "result", "created_at", "started_at", "finished_at")


class SummarisesSerializer(serializers.Serializer[dict[str, Any]]):
    """What a summary stands for: so many of the messages that the task would have been sent."""

    count = serializers.IntegerField()
    last = serializers.UUIDField(help_text="The id of the last one in the conversation.")


class StepSerializer(serializers.ModelSerializer[Turn]):
    """One turn of a task, and the calls that it asked for. `output` is what it said before them."""

    calls = CallSerializer(many=True)
    context = ContextUseSerializer(  # type: ignore[assignment]
        source="context_use", read_only=True, allow_null=True, help_text="Null where the context has no rule."
    )

    summarises = SummarisesSerializer(
        read_only=True,
        allow_null=True,
        help_text="Of a turn that writes a summary; its output is that. Null of any other.",
    )

    class Meta:
        model = Turn
        fields = (
            "number", "summarises", "state", "attempts", "worker", "output", "prompt_tokens", "completion_tokens", "context",
            "queued_at", "claimed_at", "first_token_at", "finished_at", "calls",
        )  # fmt: skip
