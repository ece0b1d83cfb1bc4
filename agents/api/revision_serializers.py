"""The forms of an agent's revisions and of what was published when."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agents.api.serializers import AgentChange, Form, RevisionSerializer
from agents.models import AgentRevision, Publication, TrafficShare
from agents.publications import SHARES_MAX

NUMBER_MAX = 2**31 - 1


class RevisionInTraffic(RevisionSerializer):
    """A revision and what of the agent's traffic it gets. `published_at`: when first; null for a draft."""

    published_at = serializers.DateTimeField(read_only=True, allow_null=True)
    percent = serializers.IntegerField(read_only=True, help_text="Of the agent's new tasks.")

    class Meta(RevisionSerializer.Meta):
        model = AgentRevision
        fields = (*RevisionSerializer.Meta.fields, "published_at", "percent")  # type: ignore[assignment]


class DraftInput(AgentChange):
    """A revision that serves nobody yet: what is left out is as in the current one."""

    name = None  # type: ignore[assignment]  # how REST framework takes a field away


class ShareSerializer(serializers.ModelSerializer[TrafficShare]):
    """A revision's part of the traffic."""

    revision = serializers.IntegerField(source="revision.number", read_only=True)

    class Meta:
        model = TrafficShare
        fields = ("revision", "percent")


class PublicationSerializer(serializers.ModelSerializer[Publication]):
    """A decision on which revisions serve. The one with the highest number counts."""

    shares = ShareSerializer(many=True, read_only=True)

    class Meta:
        model = Publication
        fields = ("number", "kind", "shares", "published_by", "published_at")


class ShareInput(Form):
    """A revision's part of the traffic."""

    revision = serializers.IntegerField(min_value=1, max_value=NUMBER_MAX)
    percent = serializers.IntegerField(min_value=1, max_value=100)


class TrafficInput(Form):
    """How new tasks are shared between revisions: whole percents that sum to 100."""

    shares = serializers.ListField(child=ShareInput(), allow_empty=False, max_length=SHARES_MAX)

    def validate_shares(self, shares: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse a revision that stands there twice."""
        numbers = [share["revision"] for share in shares]
        if twice := next((number for number in numbers if numbers.count(number) > 1), None):
            raise serializers.ValidationError(f"revision {twice} stands there twice")
        return shares


class RollBackInput(Form):
    """Back to an earlier publication; left out: the one before the last."""

    publication = serializers.IntegerField(min_value=1, max_value=NUMBER_MAX, required=False)
