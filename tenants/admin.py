"""Tenants and their keys in the console."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm, ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from staff.console_admin import ConsoleAdmin
from staff.lists.columns import way
from staff.shown_once import Made, shown_once
from tenants import keys, secrets, services
from tenants.models import ApiKey, Secret, Tenant
from tenants.scoping import TenantOwned, tenant_scope

QUEUE_LIMITS = ("max_waiting", "max_running")
LIMITS = ("requests_per_minute", "tokens_per_minute", "tokens_per_month")


class AcrossTenants(ConsoleAdmin):
    """Staff see all tenants, unless their role is one tenant's: the one place where the console says so."""

    tenant_lookup = "tenant"

    def all_rows(self) -> QuerySet[Any]:
        return self.model._default_manager.all().across_tenants()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A row that a form refers to may be any tenant's; the form says which tenant's it must be."""
        if issubclass(db_field.related_model, TenantOwned):
            kwargs.setdefault("queryset", db_field.related_model.objects.across_tenants())
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


def _limit(most: int) -> str:
    """A limit as its list has it; 0 is none."""
    return f"{most:,}" if most else "no limit"


class Facts(ConsoleAdmin):
    """What happened: looked at, never changed by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnly(Facts, AcrossTenants):
    """A tenant's history."""


@admin.register(Tenant)
class TenantAdmin(ConsoleAdmin):
    """Organisations, with their limits. A tenant with history is made inactive, not deleted."""

    tenant_lookup = "pk"

    list_display = (
        "shown_slug", "name", "weight", "waiting", "running", "requests", "tokens", "month", "is_active", "created_at", "form_page",
    )  # fmt: skip
    list_display_links = None
    export_columns = ("slug", "name", "weight", *QUEUE_LIMITS, *LIMITS, "is_active", "created_at")
    list_filter = ("is_active",)
    search_fields = ("slug", "name")
    readonly_fields = ("id", "created_at")

    def get_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        """What it is called first, then what bounds it; what the service gives it, once it is there."""
        asked = ("slug", "name", "weight", *QUEUE_LIMITS, *LIMITS, "cancel_on_disconnect", "is_active")
        return asked if obj is None else (*asked, *self.readonly_fields)

    @display(description="slug", ordering="slug")
    def shown_slug(self, tenant: Tenant) -> SafeString:
        """With the way to its page."""
        return way(reverse("console:tenant", args=[tenant.console_name]), tenant.slug)

    @display(description="most waiting", ordering="max_waiting")
    def waiting(self, tenant: Tenant) -> str:
        return _limit(tenant.max_waiting)

    @display(description="most running", ordering="max_running")
    def running(self, tenant: Tenant) -> str:
        return _limit(tenant.max_running)

    @display(description="requests per minute", ordering="requests_per_minute")
    def requests(self, tenant: Tenant) -> str:
        return _limit(tenant.requests_per_minute)

    @display(description="tokens per minute", ordering="tokens_per_minute")
    def tokens(self, tenant: Tenant) -> str:
        return _limit(tenant.tokens_per_minute)

    @display(description="tokens per month", ordering="tokens_per_month")
    def month(self, tenant: Tenant) -> str:
        return _limit(tenant.tokens_per_month)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(AcrossTenants):
    """Keys: made here, shown once, revoked here."""

    list_display = ("prefix", "name", "tenant", "may_do", "expires_at", "revoked_at", "last_used_at")
    export_columns = ("prefix", "name", "tenant", "scopes", "expires_at", "revoked_at", "last_used_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "tenant")
    search_fields = ("prefix", "name", "tenant__slug")
    list_select_related = ("tenant",)
    autocomplete_fields = ("tenant",)
    actions: ClassVar = ["revoke"]
    readonly_fields = ("id", "prefix", "last_used_at", "revoked_at", "created_at")

    @display(description="may do")
    def may_do(self, key: ApiKey) -> str:
        """Its scopes; without any it may do everything."""
        return ", ".join(key.scopes) or "everything"

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        asked = ("tenant", "name", "scopes", "expires_at", *QUEUE_LIMITS, *LIMITS)
        return asked if obj is None else (*asked, *self.readonly_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return () if obj is None else (*self.readonly_fields, "tenant")

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ModelForm[ApiKey], change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        issued = services.issue_key(
            tenant=obj.tenant,
            name=obj.name,
            scopes=obj.scopes or (),
            expires_at=obj.expires_at,
            **{limit: getattr(obj, limit) for limit in (*QUEUE_LIMITS, *LIMITS)},
        )
        obj.__dict__.update({name: value for name, value in issued.key.__dict__.items() if name != "_state"})
        obj._state.adding = False
        obj.shown_once = Made(obj.name, "key", issued.secret)  # type: ignore[attr-defined]  # until the answer

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        return shown_once(request, [obj.shown_once], title="A new key", back=self.list_url(), opts=self.opts)  # type: ignore[attr-defined]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        if "scopes" in form.base_fields:
            form.base_fields["scopes"].help_text = f"Comma-separated, of {', '.join(keys.SCOPES)}. Empty: everything."
        return form

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            services.revoke_key(key=key)
        self.message_user(request, "The keys are refused from now on (within a second).")


class OwnedForm(forms.ModelForm[Any]):
    """A form of a tenant's row: whether it is unique is asked within its tenant."""

    def _post_clean(self) -> None:
        tenant = self.cleaned_data.get("tenant") or (self.instance.tenant_id and self.instance.tenant)
        with tenant_scope(tenant) if tenant else nullcontext():
            super()._post_clean()  # type: ignore[misc]  # ModelForm's, which the stubs leave out


class SecretForm(OwnedForm):
    """A secret's value goes in, and never comes out."""

    value = forms.CharField(
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}), strip=False, help_text="It is not shown again."
    )

    class Meta:
        model = Secret
        fields = ("tenant", "name")

    def clean(self) -> dict[str, Any] | None:
        """Refuse what the service would."""
        cleaned = super().clean()
        try:
            secrets.check_value(self.cleaned_data.get("value", ""))
        except secrets.BadSecret as error:
            raise ValidationError({"value": error.message}) from None
        return cleaned


@admin.register(Secret)
class SecretAdmin(AcrossTenants):
    """Tenants' secrets: which there are, and since when. Values are set here, and shown to nobody."""

    form = SecretForm
    list_display = ("name", "tenant", "created_at", "changed_at")
    list_filter = ("tenant",)
    search_fields = ("name", "tenant__slug")
    list_select_related = ("tenant",)
    autocomplete_fields = ("tenant",)
    readonly_fields = ("created_at", "changed_at")

    def get_fields(self, request: HttpRequest, obj: Secret | None = None) -> Any:
        return ("tenant", "name", "value") if obj is None else ("tenant", "name", "value", *self.readonly_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Secret | None = None) -> Any:
        return () if obj is None else ("tenant", "name", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Secret, form: ModelForm[Secret], change: bool) -> None:
        row, _ = secrets.put_secret(tenant=obj.tenant, name=obj.name, value=form.cleaned_data["value"])
        obj.pk = row.pk
        obj._state.adding = False
