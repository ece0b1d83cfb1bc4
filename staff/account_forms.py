"""What operators say of an account."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.forms import ModelForm
from unfold.forms import UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget

from staff.accounts import role_of
from staff.models import StaffRole
from staff.widgets import ObjectSelect

Role = StaffRole.Role


class RoleFields(ModelForm[User]):
    """A role, and the tenant that goes with one of them."""

    role = forms.ChoiceField(choices=[("", "choose"), *Role.choices], widget=UnfoldAdminSelectWidget)
    tenant: Any = forms.ModelChoiceField(
        None,
        required=False,
        widget=ObjectSelect(StaffRole._meta.get_field("tenant"), admin.site),
        help_text="A tenant administrator's; others have none.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tenants: Any = StaffRole._meta.get_field("tenant").related_model
        self.fields["tenant"].queryset = tenants.objects.order_by("slug")  # type: ignore[attr-defined]
        given = role_of(self.instance) if self.instance.pk else None
        if given is not None:
            self.initial.update(role=given.role, tenant=given.tenant_id)

    def clean(self) -> dict[str, Any] | None:
        """Role and tenant go together."""
        cleaned = super().clean() or self.cleaned_data
        role, tenant = cleaned.get("role"), cleaned.get("tenant")
        if role == Role.TENANT_ADMINISTRATOR and tenant is None:
            self.add_error("tenant", "Say which tenant this administrator looks after.")
        if role in (Role.OPERATOR, Role.VIEWER) and tenant is not None:
            self.add_error("tenant", "Operators and viewers have no tenant: leave this empty.")
        return cleaned


class AccountForm(RoleFields, UserChangeForm):
    """An account that is there."""


class NewAccountForm(RoleFields, UserCreationForm):
    """A new account, with a password or for single sign-on alone."""
