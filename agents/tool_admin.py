"""Tools, MCP servers and calls in the console: servers are asked for their tools, agents that ask a person are answered."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from agents import tool_services
from agents.lifecycle import CallState
from agents.problems import Problem
from agents.tool_models import McpServer, Tool, ToolCall
from tenants.admin import AcrossTenants, Facts, OwnedForm, ReadOnly

CALL_COLOURS = {"pending": "info", "running": "info", "waiting": "warning", "succeeded": "success", "failed": "danger"}


class McpServerForm(OwnedForm):
    """A server as a tenant would name it."""

    url = forms.URLField(max_length=2000, assume_scheme="https", widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = McpServer
        fields = ("tenant", "name", "url", "headers")


@admin.register(McpServer)
class McpServerAdmin(AcrossTenants):
    """Servers of the Model Context Protocol."""

    form = McpServerForm
    list_display = ("name", "tenant", "url", "discovered_at", "error")
    list_filter = ("tenant",)
    search_fields = ("name", "url", "tenant__slug")
    list_select_related = ("tenant",)
    autocomplete_fields = ("tenant",)
    readonly_fields = ("discovered_at", "error", "created_at")
    actions: ClassVar = ["discover"]

    def get_readonly_fields(self, request: HttpRequest, obj: McpServer | None = None) -> Any:
        return () if obj is None else ("tenant", "name", *self.readonly_fields)

    def get_fields(self, request: HttpRequest, obj: McpServer | None = None) -> Any:
        return ("tenant", "name", "url", "headers", *(() if obj is None else self.readonly_fields))

    @admin.action(description="Ask for their tools")
    def discover(self, request: HttpRequest, queryset: QuerySet[McpServer]) -> None:
        """List each server's tools, and write them down."""
        for server in queryset:
            try:
                tools = tool_services.discover(server=server)
            except Problem as problem:
                messages.error(request, f"{server}: {problem.detail}")
            else:
                messages.success(request, f"{server}: {', '.join(tool.name for tool in tools) or 'no tools'}")


@admin.register(Tool)
class ToolAdmin(ReadOnly):
    """What agents may call. Tenants make tools by API; a server's come by its discovery."""

    list_display = ("name", "tenant", "kind", "server", "is_idempotent", "timeout_s", "created_at")
    list_filter = ("kind", "tenant")
    search_fields = ("name", "description", "tenant__slug")
    list_select_related = ("tenant", "server")


class AnswerForm(forms.ModelForm[ToolCall]):
    """What a person says to an agent that asks."""

    answer = forms.CharField(widget=UnfoldAdminTextareaWidget, help_text="The agent goes on with it.")

    class Meta:
        model = ToolCall
        fields: ClassVar[list[str]] = []


@admin.register(ToolCall)
class ToolCallAdmin(Facts, AcrossTenants):
    """Calls that agents made. One of `ask_human` that waits is answered here."""

    form = AnswerForm
    list_display = ("name", "tenant", "task", "shown_state", "attempts", "created_at", "finished_at")
    list_filter = ("state", "name", "tenant")
    search_fields = ("name", "call_id", "task__id")
    list_select_related = ("tenant", "task")
    SHOWN: ClassVar = ("tenant", "task", "turn", "number", "call_id", "name", "arguments", "state", "attempts", "result",
                       "created_at", "started_at", "finished_at")  # fmt: skip

    def has_change_permission(self, request: HttpRequest, obj: ToolCall | None = None) -> bool:
        asks = obj is not None and obj.name == "ask_human" and obj.state == CallState.WAITING
        return asks and request.user.has_perm("agents.change_toolcall")

    def get_fields(self, request: HttpRequest, obj: ToolCall | None = None) -> Any:
        return (*(("answer",) if self.has_change_permission(request, obj) else ()), *self.SHOWN)

    def get_readonly_fields(self, request: HttpRequest, obj: ToolCall | None = None) -> Any:
        return self.SHOWN

    def save_model(self, request: HttpRequest, obj: ToolCall, form: Any, change: bool) -> None:
        try:
            tool_services.answer_call(call=obj, answer=form.cleaned_data["answer"], redis_url=settings.REDIS_URL)
        except Problem as problem:
            messages.error(request, problem.detail)

    @display(description="state", ordering="state", label=CALL_COLOURS)
    def shown_state(self, call: ToolCall) -> str:
        """With its colour."""
        return call.state
