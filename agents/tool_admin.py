"""Tools, MCP servers and calls in the console: servers are asked for their tools, agents that ask a person are answered."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from agents import tool_services
from agents.lifecycle import CallState
from agents.models import McpServer, Tool, ToolCall
from agents.problems import Problem
from agents.tool_admin_forms import McpServerForm, OpenApiForm, ToolForm
from audit.recording import record
from tenants.admin import AcrossTenants, Facts

IMPORT = "import"
"""In the address of the page that adds a tool: it asks for an OpenAPI document."""
CALL_COLOURS = {"pending": "info", "running": "info", "waiting": "warning", "succeeded": "success", "failed": "danger"}


class OneByOne(AcrossTenants):
    """Rows that are deleted one by one: each is asked whether an agent uses it."""

    def get_actions(self, request: HttpRequest) -> Any:
        return {name: one for name, one in super().get_actions(request).items() if name != "delete_selected"}


@admin.register(McpServer)
class McpServerAdmin(OneByOne):
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

    def has_delete_permission(self, request: HttpRequest, obj: McpServer | None = None) -> bool:
        used = obj is not None and tool_services.users_of(list(obj.tools.across_tenants()))
        return not used and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: McpServer, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        warn_of_secrets(request, obj)

    @admin.action(description="Ask for their tools", permissions=["change"])
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
class ToolAdmin(OneByOne):
    """What agents may call: HTTP tools are made and changed here as by API; a server's come by its discovery."""

    form = ToolForm
    list_display = ("name", "tenant", "kind", "server", "is_idempotent", "timeout_s", "created_at")
    list_filter = ("kind", "tenant")
    search_fields = ("name", "description", "tenant__slug")
    list_select_related = ("tenant", "server")
    autocomplete_fields = ("tenant",)
    actions_list: ClassVar = ["import_document"]
    ASKED: ClassVar = ("tenant", "name", "description", "parameters", "request", "is_idempotent", "timeout_s")
    SHOWN: ClassVar = ("kind", "server", "remote_name", "created_at")
    OF_SERVER: ClassVar = ("name", "description", "parameters")

    def imports(self, request: HttpRequest, obj: Tool | None) -> bool:
        """Whether the page asks for a document of many tools."""
        return obj is None and IMPORT in request.GET

    def get_form(self, request: HttpRequest, obj: Tool | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = OpenApiForm if self.imports(request, obj) else ToolForm
        return super().get_form(request, obj, change, **{"form": form, **kwargs})

    def get_fields(self, request: HttpRequest, obj: Tool | None = None) -> Any:
        if self.imports(request, obj):
            return ("tenant", "document", "base_url", "operations", "headers")
        if obj is None:
            return self.ASKED
        hidden = ("request",) if obj.kind == "mcp" else ("server", "remote_name")
        return tuple(name for name in (*self.ASKED, *self.SHOWN) if name not in hidden)

    def get_readonly_fields(self, request: HttpRequest, obj: Tool | None = None) -> Any:
        if obj is None:
            return ()
        return ("tenant", *(self.OF_SERVER if obj.kind == "mcp" else ()), *self.SHOWN)

    def has_delete_permission(self, request: HttpRequest, obj: Tool | None = None) -> bool:
        used = obj is not None and tool_services.users_of([obj])
        return not used and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Tool, form: Any, change: bool) -> None:
        if not self.imports(request, obj if change else None):
            super().save_model(request, obj, form, change)
            warn_of_secrets(request, obj)
            return
        tools = tool_services.import_tools(
            tenant=form.cleaned_data["tenant"], tools=form.found, headers=form.cleaned_data["headers"]
        )
        obj.__dict__.update({name: value for name, value in tools[0].__dict__.items() if name != "_state"})
        obj._state.adding = False
        messages.success(request, f"Tools of the document: {', '.join(tool.name for tool in tools)}.")
        warn_of_secrets(request, tools[0])

    def response_add(self, request: HttpRequest, obj: Tool, post_url_continue: str | None = None) -> HttpResponse:
        if self.imports(request, None):
            return HttpResponseRedirect(reverse("admin:agents_tool_changelist"))
        return super().response_add(request, obj, post_url_continue)

    @action(description="Import an OpenAPI document", icon="upload_file", permissions=["add"])
    def import_document(self, request: HttpRequest) -> HttpResponse:
        """The page that asks for it."""
        return HttpResponseRedirect(f"{reverse('admin:agents_tool_add')}?{IMPORT}=1")


def warn_of_secrets(request: HttpRequest, saved: Tool | McpServer) -> None:
    """Say which secrets are still to be stored."""
    for name in tool_services.unknown_secrets(saved):
        messages.warning(
            request, f"The tenant has no secret {name!r} yet: calls fail until it is stored under Secrets."
        )


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
    is_large = True
    list_defer = ("arguments", "result", "task__input", "task__output")
    ordering = ("-created_at", "-id")
    list_filter = ("state", "name", "tenant")
    search_fields = ("id", "task__id", "turn__id")
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
            with transaction.atomic():
                record(request, "toolcall.answer", obj)
                tool_services.answer_call(call=obj, answer=form.cleaned_data["answer"], redis_url=settings.REDIS_URL)
        except Problem as problem:
            messages.error(request, problem.detail)

    @display(description="state", ordering="state", label=CALL_COLOURS)
    def shown_state(self, call: ToolCall) -> str:
        """With its colour."""
        return call.state
