"""The forms of a tenant's page."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django import forms

from tenants.identifiers import new_id
from tenants.keys import SCOPES

LIFETIMES = (("", "never"), ("7", "in 7 days"), ("30", "in 30 days"), ("90", "in 90 days"), ("365", "in a year"))


class KeyForm(forms.Form):
    """A new API key. `key_id` is made with the form, so that a form that is sent twice makes one key."""

    key_id = forms.UUIDField(widget=forms.HiddenInput, initial=new_id)
    name = forms.CharField(max_length=200, help_text="What it is for, so that whoever revokes it knows whom to ask.")
    lifetime = forms.ChoiceField(choices=LIFETIMES, required=False, label="Expires")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="What the key may do; none ticked: everything.",
    )

    def clean_key_id(self) -> uuid.UUID:
        """As it was given out."""
        return uuid.UUID(str(self.cleaned_data["key_id"]))

    def expires_at(self, *, now: datetime) -> datetime | None:
        """When it expires; None: never."""
        days = self.cleaned_data["lifetime"]
        return now + timedelta(days=int(days)) if days else None


class SuspendForm(forms.Form):
    """The confirmation of a suspension."""

    cancel = forms.BooleanField(required=False, label="Cancel what waits and runs now")
