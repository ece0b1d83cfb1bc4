"""The forms of webhooks. An endpoint's secret is in the answer that makes it, and in no other."""

from __future__ import annotations

from rest_framework import serializers

from agents.api.serializers import Form, QueryForm
from webhooks.events import EVENT_TYPES
from webhooks.models import Attempt, Delivery, Endpoint
from webhooks.services import OVERLAP, OVERLAP_MAX, URL_MAX
from webhooks.signing import message_id

EVENTS_HELP = f"Of {', '.join(EVENT_TYPES)}. Empty: everything."


class EndpointSerializer(serializers.ModelSerializer[Endpoint]):
    """Where the tenant is told of events."""

    class Meta:
        model = Endpoint
        fields: tuple[str, ...] = (
            "id", "url", "description", "event_types", "enabled", "disabled_reason", "failing_since", "old_secret_expires_at",
            "created_at", "changed_at",
        )  # fmt: skip


class NewEndpointSerializer(EndpointSerializer):
    """An endpoint with the secret that its messages are signed with from now on. It is shown this once."""

    secret = serializers.SerializerMethodField()

    class Meta(EndpointSerializer.Meta):
        fields = (*EndpointSerializer.Meta.fields, "secret")

    def get_secret(self, endpoint: Endpoint) -> str:
        """`whsec_…`, as the Standard Webhooks libraries take it."""
        return str(self.context["secret"])


class EndpointInput(Form):
    """What a caller says of a new endpoint."""

    url = serializers.CharField(max_length=URL_MAX)
    description = serializers.CharField(max_length=200, allow_blank=True, default="")
    event_types = serializers.ListField(child=serializers.CharField(max_length=64), default=list, help_text=EVENTS_HELP)
    enabled = serializers.BooleanField(default=True)


class EndpointChange(Form):
    """A change: what is left out stays."""

    url = serializers.CharField(max_length=URL_MAX, required=False)
    description = serializers.CharField(max_length=200, allow_blank=True, required=False)
    event_types = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, help_text=EVENTS_HELP
    )
    enabled = serializers.BooleanField(required=False)


class RotateInput(Form):
    """How long messages are signed with the secret before, too."""

    overlap_s = serializers.IntegerField(
        min_value=0, max_value=int(OVERLAP_MAX.total_seconds()), default=int(OVERLAP.total_seconds())
    )


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    """One request to the endpoint; `status` is null where there was no answer, and `error` says why."""

    error = serializers.DictField(child=serializers.CharField(), read_only=True, allow_null=True)

    class Meta:
        model = Attempt
        fields = ("number", "at", "duration_ms", "status", "error", "excerpt")


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One event on its way to one endpoint, with its attempts, the last first."""

    webhook_id = serializers.SerializerMethodField()
    next_attempt_at = serializers.DateTimeField(read_only=True, allow_null=True)
    attempts = AttemptSerializer(many=True, read_only=True)

    class Meta:
        model = Delivery
        fields = (
            "id", "webhook_id", "type", "payload", "state", "next_attempt_at", "attempts", "created_at", "finished_at",
        )  # fmt: skip

    def get_webhook_id(self, delivery: Delivery) -> str:
        """The header `webhook-id` of all its attempts."""
        return message_id(delivery.pk)


class EndpointFilter(QueryForm):
    """Filters of the list of endpoints."""

    enabled = serializers.BooleanField(required=False, allow_null=True, default=None)


class DeliveryFilter(QueryForm):
    """Filters of an endpoint's deliveries."""

    state = serializers.ChoiceField(choices=Delivery.State.choices, required=False)
