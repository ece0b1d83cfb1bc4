"""The forms of secrets: names and dates come out, values only go in."""

from __future__ import annotations

from rest_framework import serializers

from agents.api.serializers import Form, QueryForm
from tenants.models import Secret
from tenants.secrets import VALUE_MAX, VALUE_MIN


class SecretSerializer(serializers.ModelSerializer[Secret]):
    """A secret, without its value."""

    class Meta:
        model = Secret
        fields = ("name", "created_at", "changed_at")


class SecretInput(Form):
    """A secret's value. It is encrypted, and never shown again."""

    value = serializers.CharField(
        min_length=VALUE_MIN,
        max_length=VALUE_MAX,
        trim_whitespace=False,
        write_only=True,
        style={"input_type": "password"},
    )


class SecretFilter(QueryForm):
    """The list of secrets has no filters."""
