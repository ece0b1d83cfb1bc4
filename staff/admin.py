"""Accounts of staff in the console, with their roles; for operators only."""

from __future__ import annotations

from typing import Any, ClassVar

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as PlainUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Exists, OuterRef, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.dataclasses import ActionDialog
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, BaseDialogForm

from audit.acting import one_act
from audit.recording import record
from staff.account_forms import AccountForm, NewAccountForm
from staff.accounts import LastOperator, an_operator_stays, give_role
from staff.console_admin import ConsoleAdmin
from staff.second_factor import forget_second_factor

for model in (User, Group, EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken):
    admin.site.unregister(model)  # Groups give nothing here; the rest holds what nobody is to see

ROLE_COLOURS = {"operator": "success", "viewer": "info", "tenant administrator": "warning", "none": "danger"}


@admin.register(User)
class UserAdmin(PlainUserAdmin[User], ConsoleAdmin):  # type: ignore[misc]  # of `get_form`, which both only hand on
    """Accounts: made with a role, changed, shut. None is deleted, since history names them."""

    form = AccountForm
    add_form = NewAccountForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "name", "shown_role", "tenant", "has_second_factor", "is_active", "last_login")
    list_filter = ("is_active", "staff_role__role")
    search_fields = ("username", "first_name", "last_name", "email")
    list_select_related = ("staff_role__tenant",)
    filter_horizontal = ()
    actions_detail: ClassVar = ["reset_second_factor"]
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("May do", {"fields": ("role", "tenant", "is_active")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "usable_password", "password1", "password2", "role", "tenant")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        codes = Authenticator.objects.filter(user=OuterRef("pk"), type=Authenticator.Type.TOTP)
        return super().get_queryset(request).annotate(second_factor=Exists(codes))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except LastOperator as refusal:  # nothing was changed
            messages.error(request, str(refusal))
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        with an_operator_stays():
            super().save_model(request, obj, form, change)
            tenant = form.cleaned_data.get("tenant")
            give_role(user=obj, role=form.cleaned_data["role"], tenant_id=tenant.pk if tenant else None)

    @display(description="name")
    def name(self, user: User) -> str:
        """First and last."""
        return user.get_full_name()

    @display(description="role", ordering="staff_role__role", label=ROLE_COLOURS)
    def shown_role(self, user: Any) -> str:
        """In words, with its colour."""
        given = getattr(user, "staff_role", None)
        role = given.role if given else "operator" if user.is_superuser else "none"
        return str(role).replace("_", " ")

    @display(description="tenant", ordering="staff_role__tenant__slug")
    def tenant(self, user: Any) -> str:
        """A tenant administrator's."""
        given = getattr(user, "staff_role", None)
        return str(given.tenant) if given and given.tenant else ""

    @display(description="second factor", boolean=True, ordering="second_factor")
    def has_second_factor(self, user: Any) -> bool:
        """Whether a code is asked for after the password."""
        return bool(user.second_factor)

    def has_reset_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Whoever may change accounts."""
        return self.has_change_permission(request)

    @action(
        description="Reset second factor",
        icon="lock_reset",
        permissions=["reset"],
        dialog=ActionDialog(
            title="Reset the second factor",
            description="The password alone lets this account in until its owner sets up another. Do this only for who asks you in "
            "a way that you trust.",
            form_class=None,
            form_submit_text="Reset",
        ),
    )
    def reset_second_factor(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        user = self.get_object(request, object_id)
        assert user is not None
        with one_act(request):
            if forgotten := forget_second_factor(user):
                record(request, "staff.reset_second_factor", user)
        if forgotten:
            messages.success(request, f"{user} logs in by password alone until a new second factor is set up.")
        else:
            messages.warning(request, f"{user} has no second factor.")
        return HttpResponse(headers={"HX-Redirect": reverse("admin:auth_user_change", args=[user.pk])})
