"""Agents and conversations in the console. History is looked at, never changed."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldBooleanWidget

import agents.task_admin
import agents.tool_admin  # noqa: F401 - both register their pages
from agents import services
from agents.models import Agent, AgentRevision, Conversation, Message, Summary
from agents.output_forms import given
from agents.problems import Problem
from agents.publications import StandsForPool
from agents.revision_admin import PublishAction, TrafficActions
from agents.sampling import validated
from orchestrator.models import Pool
from staff.inlines import HistoryInline, link_to_all
from tenants.admin import AcrossTenants, OwnedForm, ReadOnly


class RevisionInline(HistoryInline):
    """An agent's newest revisions."""

    model = AgentRevision
    ordering = ("-number",)
    fk_name = "agent"
    fields = (
        "number",
        "pool",
        "system_prompt",
        "params",
        "output_form",
        "limits",
        "context",
        "created_by",
        "created_at",
    )
    readonly_fields = fields


class AgentForm(OwnedForm):
    """An agent as its current revision says; what changes becomes a new revision."""

    pool = forms.ModelChoiceField(Pool.objects.all(), widget=UnfoldAdminSelectWidget)
    system_prompt = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget)
    params = forms.JSONField(
        required=False, initial=dict, widget=UnfoldAdminTextareaWidget, help_text="Sampling parameters."
    )
    output = forms.JSONField(
        required=False,
        widget=UnfoldAdminTextareaWidget,
        help_text='What answers must look like where a task does not say: {"kind": "json_schema", "json_schema": {…}}, '
        '{"kind": "json_object"} or {"kind": "regex", "regex": "…"}. Empty: free text.',
    )
    limits = forms.JSONField(
        required=False,
        initial=dict,
        widget=UnfoldAdminTextareaWidget,
        help_text='How far one task may go: {"max_turns": 10, "max_tokens": 0, "max_seconds": 0, "max_cost": "0.50"}. '
        "Money needs a price of the pool's tokens.",
    )
    is_draft = forms.BooleanField(
        required=False,
        label="save as a draft",
        widget=UnfoldBooleanWidget,
        help_text="The new revision serves nobody until it is published.",
    )

    class Meta:
        model = Agent
        fields = ("tenant", "slug", "name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        revision = self.instance.current_revision if self.instance.pk and not self.instance._state.adding else None
        if revision:
            self.initial.update(pool=revision.pool_id, system_prompt=revision.system_prompt, params=revision.params)
            self.initial.update(output=given(revision.output_form), limits=revision.limits)

    def clean(self) -> dict[str, Any] | None:
        """Refuse to change what stands for a bare pool, and an output form that the pool rules out."""
        if self.instance.stands_for_id is not None:
            raise ValidationError(StandsForPool(self.instance).detail)
        cleaned = super().clean() or self.cleaned_data
        if (pool := cleaned.get("pool")) and (output := cleaned.get("output")):
            try:
                services.check_output(output, pool=pool)
            except Problem as problem:
                self.add_error("output", problem.detail)
        if pool and "limits" in cleaned:
            try:
                cleaned["limits"] = services.check_limits(cleaned["limits"] or {}, pool=pool)
            except Problem as problem:
                self.add_error("limits", problem.detail)
        return cleaned

    def clean_params(self) -> dict[str, Any]:
        """Refuse parameters that the queue would not understand."""
        params: dict[str, Any] = self.cleaned_data["params"] or {}
        if not isinstance(params, dict):
            raise ValidationError('params is an object, {"name": value}.')
        try:
            validated(params, field="params")
        except Problem as problem:
            raise ValidationError(problem.detail) from problem
        return params


@admin.register(Agent)
class AgentAdmin(TrafficActions, AcrossTenants):
    """Agents; saving a change makes a new revision, which all new tasks get unless it is saved as a draft."""

    form = AgentForm
    list_display = ("slug", "name", "tenant", "revision", "pool", "archived_at", "created_at")
    list_filter = (("archived_at", admin.EmptyFieldListFilter), "tenant", "current_revision__pool")
    search_fields = ("slug", "name", "tenant__slug")
    list_select_related = ("tenant", "current_revision__pool")
    autocomplete_fields = ("tenant",)
    inlines: ClassVar = [RevisionInline]
    actions: ClassVar = ["archive"]
    actions_detail: ClassVar = ["split_traffic", "roll_back"]

    def get_fields(self, request: HttpRequest, obj: Agent | None = None) -> tuple[str, ...]:
        asked = ("tenant", "slug", "name", "pool", "system_prompt", "params", "output", "limits")
        return asked if obj is None else (*asked, "is_draft", "traffic", "all_revisions")

    def get_readonly_fields(self, request: HttpRequest, obj: Agent | None = None) -> tuple[str, ...]:
        return () if obj is None else ("tenant", "slug", "traffic", "all_revisions")

    @display(description="revisions")
    def all_revisions(self, agent: Agent) -> SafeString:
        """The newest stand below; the list has them all."""
        return link_to_all(AgentRevision, "all in a list", agent__id__exact=agent.pk)

    def has_delete_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Agent, form: AgentForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        definition = {name: form.cleaned_data[name] for name in ("pool", "system_prompt", "params", "output", "limits")}
        if form.cleaned_data.get("is_draft"):
            draft = services.draft_revision(
                agent=obj,
                tenant=obj.tenant,
                changes={**definition, "pool": definition["pool"].slug},
                created_by=str(request.user),
            )
            self.message_user(request, f"Revision {draft.number} is a draft; publish it on its own page.")
        else:
            now = obj.current_revision  # what this form does not show stays
            kept = {} if now is None else {"tools": now.tools, "context": now.context}
            services.revise_agent(agent=obj, created_by=str(request.user), **definition, **kept)

    @display(description="revision")
    def revision(self, agent: Agent) -> str:
        """The current revision's number."""
        return f"r{agent.current_revision.number}" if agent.current_revision else "none"

    @display(description="pool")
    def pool(self, agent: Agent) -> str:
        """Where it runs."""
        return agent.current_revision.pool.slug if agent.current_revision else ""

    @admin.action(description="Archive the selected agents", permissions=["change"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        for agent in queryset:
            try:
                services.archive_agent(agent=agent)
            except StandsForPool as refusal:
                self.message_user(request, refusal.detail, messages.ERROR)


@admin.register(AgentRevision)
class AgentRevisionAdmin(PublishAction, ReadOnly):
    """All revisions."""

    list_display = ("agent", "number", "tenant", "pool", "created_by", "created_at")
    readonly_fields = ("serves",)
    actions_detail: ClassVar = ["publish"]
    list_filter = ("tenant", "pool")
    search_fields = ("agent__slug", "system_prompt")
    list_select_related = ("agent", "tenant", "pool")


class MessageInline(HistoryInline):
    """A conversation's newest messages."""

    model = Message
    ordering = ("-number",)
    fields = ("number", "parent_number", "role", "content", "interrupted", "task", "created_at")
    readonly_fields = fields


class SummaryInline(HistoryInline):
    """What stands for the beginning of a conversation in tasks that come after; the messages stay."""

    model = Summary
    fields = ("text", "messages", "last_message", "turn", "created_at")
    readonly_fields = fields


@admin.register(Conversation)
class ConversationAdmin(ReadOnly):
    """Contexts."""

    is_large = True
    ordering = ("-id",)
    list_display = ("shown_id", "title", "tenant", "agent", "head_number", "when_busy", "created_at")
    export_columns = ("id", *list_display[1:])
    list_filter = ("tenant", "agent", "when_busy")
    readonly_fields = ("head_number", "all_messages")
    search_fields = ("id", "agent__slug")
    list_select_related = ("tenant", "agent")
    inlines: ClassVar = [SummaryInline, MessageInline]

    @display(description="messages")
    def all_messages(self, conversation: Conversation) -> SafeString:
        """The newest stand below; the list has them all."""
        return link_to_all(Message, "all in a list", conversation__id__exact=conversation.pk)


@admin.register(Message)
class MessageAdmin(ReadOnly):
    """All messages."""

    is_large = True
    ordering = ("-id",)
    list_display = ("conversation", "number", "role", "tenant", "content", "created_at")
    list_display_links = ("number",)
    list_filter = ("role", "tenant")
    search_fields = ("id", "conversation__id", "task__id")
    list_select_related = ("conversation", "tenant")
