"""Endpoints and deliveries in the console: rotated, tested and replayed here. A secret is shown once."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from audit.recording import record
from staff.inlines import HistoryInline
from staff.lists.columns import end_of, moment, two_lines
from staff.shown_once import Made, shown_once
from tenants.admin import AcrossTenants, OwnedForm, ReadOnly
from webhooks import services
from webhooks.events import EVENT_TYPES
from webhooks.models import Attempt, Delivery, Endpoint

STATE_COLOURS = {"pending": "info", "delivered": "success", "failed": "danger"}
CHANGEABLE = ("url", "description", "event_types", "enabled")


class EndpointForm(OwnedForm):
    """An endpoint as a tenant would set it."""

    url = forms.CharField(max_length=services.URL_MAX, help_text="Where messages are POSTed to.")

    class Meta:
        model = Endpoint
        fields = ("tenant", *CHANGEABLE)

    def clean_url(self) -> str:
        """Refuse what is never called."""
        try:
            return services.check_url(self.cleaned_data["url"])
        except services.BadEndpoint as error:
            raise ValidationError(error.message) from None

    def clean_event_types(self) -> list[str]:
        """Refuse what nothing announces."""
        try:
            return services.check_event_types(self.cleaned_data["event_types"] or [])
        except services.BadEndpoint as error:
            raise ValidationError(error.message) from None


@admin.register(Endpoint)
class EndpointAdmin(AcrossTenants):
    """Where tenants are told of events."""

    form = EndpointForm
    list_display = (
        "shown_id",
        "tenant",
        "description",
        "url",
        "event_types",
        "shown_state",
        "disabled_reason",
        "failing_since",
    )
    export_columns = ("id", *list_display[1:])
    list_filter = ("enabled", "tenant")
    search_fields = ("id", "url", "description", "tenant__slug")
    list_select_related = ("tenant",)
    autocomplete_fields = ("tenant",)
    readonly_fields = ("disabled_reason", "failing_since", "old_secret_expires_at", "created_at", "changed_at")
    actions: ClassVar = ["rotate", "test"]

    def get_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        return ("tenant", *CHANGEABLE) if obj is None else ("tenant", *CHANGEABLE, *self.readonly_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        return () if obj is None else ("tenant", *self.readonly_fields)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        if "event_types" in form.base_fields:
            form.base_fields[
                "event_types"
            ].help_text = f"Comma-separated, of {', '.join(EVENT_TYPES)}. Empty: everything."
        return form

    def save_model(self, request: HttpRequest, obj: Endpoint, form: ModelForm[Endpoint], change: bool) -> None:
        said = {name: form.cleaned_data[name] for name in CHANGEABLE}
        if change:
            was = Endpoint.objects.for_tenant(obj.tenant_id).get(pk=obj.pk)
            services.change_endpoint(endpoint=was, changes=said)
            return
        made = services.create_endpoint(tenant=obj.tenant, **said)
        obj.pk = made.endpoint.pk
        obj._state.adding = False
        obj.shown_once = _shown(made)  # type: ignore[attr-defined]  # until the answer

    def response_add(self, request: HttpRequest, obj: Endpoint, post_url_continue: str | None = None) -> HttpResponse:
        return self._show(request, [obj.shown_once], title="A new endpoint")  # type: ignore[attr-defined]

    @display(description="state", label={"enabled": "success", "disabled": "danger"})
    def shown_state(self, endpoint: Endpoint) -> str:
        """Whether it is told of anything."""
        return "enabled" if endpoint.enabled else "disabled"

    @admin.action(description="Rotate the secrets of the selected endpoints", permissions=["change"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> HttpResponse:
        with transaction.atomic():
            made = [_shown(services.rotate_secret(endpoint=endpoint)) for endpoint in queryset]
        return self._show(request, made, title="New signing secrets")

    @admin.action(description="Send a test to the selected endpoints", permissions=["change"])
    def test(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for endpoint in queryset:
            try:
                with transaction.atomic():
                    sent = services.ping(endpoint=endpoint)
                    record(request, "endpoint.test", endpoint, after={"delivery": str(sent.pk)})
                self.message_user(request, f"A test is on its way: {sent.pk}.")
            except services.EndpointDisabled as refusal:
                self.message_user(request, f"{endpoint}: {refusal}", messages.WARNING)

    def _show(self, request: HttpRequest, made: list[Made], *, title: str) -> HttpResponse:
        return shown_once(request, made, title=title, back=self.list_url(), opts=self.opts)


def _shown(made: services.NewSecret) -> Made:
    return Made(made.endpoint.description or made.endpoint.url, "signing secret", made.secret)


class AttemptInline(HistoryInline):
    """A delivery's newest attempts."""

    model = Attempt
    ordering = ("-number",)
    fields = ("number", "at", "duration_ms", "status", "error", "excerpt")
    readonly_fields = fields


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    """What was sent, what came of it, and what is still to be."""

    list_display = ("shown_id", "tenant", "shown_endpoint", "type", "shown_state", "claims", "created_at", "shown_end")
    export_columns = ("id", "tenant", "endpoint", "type", "state", "claims", "due_at", "created_at", "finished_at")
    list_filter = ("state", "type", "tenant")
    is_large = True
    search_fields = ("id", "endpoint__id")
    list_select_related = ("tenant", "endpoint")
    inlines: ClassVar = [AttemptInline]
    actions: ClassVar = ["replay"]

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def shown_state(self, delivery: Delivery) -> str:
        """The state in its colour."""
        return delivery.state

    @display(description="endpoint")
    def shown_endpoint(self, delivery: Delivery) -> str:
        """What it is called, or the end of its id."""
        return delivery.endpoint.description or end_of(delivery.endpoint_id)

    @display(description="due, or ended at")
    def shown_end(self, delivery: Delivery) -> str:
        """When it is attempted next, or when that was over."""
        if delivery.finished_at is None:
            return two_lines(moment(delivery.due_at), "due")
        return moment(delivery.finished_at)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Whoever may change endpoints may replay to them."""
        return request.user.has_perm("webhooks.change_endpoint")

    @admin.action(description="Replay the selected deliveries", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        for delivery in queryset:
            try:
                with transaction.atomic():
                    services.replay(delivery=delivery)
                    record(request, "delivery.replay", delivery)
            except (services.EndpointDisabled, services.StillPending) as refusal:
                self.message_user(request, f"{delivery}: {refusal}", messages.WARNING)
            else:
                self.message_user(request, f"{delivery} is delivered once more, under the same id.")
