"""Staff accounts in the console, with their roles."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as PlainGroupAdmin
from django.contrib.auth.admin import UserAdmin as PlainUserAdmin
from django.contrib.auth.models import Group, User
from unfold.admin import ModelAdmin, StackedInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from staff.models import StaffRole

admin.site.unregister(User)
admin.site.unregister(Group)


class RoleInline(StackedInline):
    """A user's role, on the user's page."""

    model = StaffRole
    autocomplete_fields = ("tenant",)


@admin.register(User)
class UserAdmin(PlainUserAdmin[User], ModelAdmin):
    """Staff accounts."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines: ClassVar = [RoleInline]


@admin.register(Group)
class GroupAdmin(PlainGroupAdmin, ModelAdmin):
    """Groups of staff."""
