"""A tenant's keys: made, and shown once; revoked."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from audit.acting import one_act
from audit.recording import record
from console.confirming import confirm
from console.frame import StaffRequest, render_page, staff_page
from console.tenants.forms import KeyForm
from console.tenants.found import tenant_to_change
from console.tenants.trail import trail
from staff.shown_once import Made, shown_once
from tenants.models import ApiKey
from tenants.services import MadeAlready, issue_key, revoke_key


@staff_page(for_tenant_administrators=True)
@require_http_methods(["GET", "POST"])
def new_key(request: StaffRequest, name: str) -> HttpResponseBase:
    """Make a key. The answer to the form is the one page that ever shows it, and nobody keeps that page."""
    tenant = tenant_to_change(request.access, name)
    form = KeyForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        now, asked = timezone.now(), form.cleaned_data
        try:
            with one_act(request):
                issued = issue_key(
                    tenant=tenant,
                    name=asked["name"],
                    scopes=asked["scopes"],
                    expires_at=form.expires_at(now=now),
                    key_id=asked["key_id"],
                )
                record(request, "key.create", issued.key, after=_facts(issued.key))
        except MadeAlready:
            messages.error(request, "This key was made already and cannot be shown again. Revoke it if nobody has it.")
            return redirect("console:tenant", tenant.console_name)
        back = reverse("console:tenant", args=[tenant.console_name])
        made = Made(issued.key.name, "key", issued.secret)
        return shown_once(request, [made], title="A new key", back=back, trail=trail(request, tenant))
    return render_page(
        request,
        "console/tenants/key_form.html",
        title="Make a key",
        trail=trail(request, tenant),
        tenant=tenant,
        form=form,
    )


@staff_page(for_tenant_administrators=True)
@require_http_methods(["GET", "POST"])
def revoke(request: StaffRequest, name: str, key_id: uuid.UUID) -> HttpResponseBase:
    """Revoke a key, after a word on what that does."""
    tenant = tenant_to_change(request.access, name)
    key = ApiKey.objects.for_tenant(tenant).filter(pk=key_id).first()
    if key is None:
        raise Http404("This tenant has no such key.")

    def do() -> None:
        with one_act(request):
            was = key.revoked_at
            revoke_key(key=key)
            if was is None:
                record(request, "key.revoke", key, before={"revoked_at": None}, after=_facts(key))
        messages.success(request, f"The key {key} is refused from now on (within a second).")

    return confirm(
        request,
        "console/tenants/revoke.html",
        title=f"Revoke {key.name}",
        trail=trail(request, tenant),
        does="Revoke the key",
        do=do,
        back=reverse("console:tenant", args=[tenant.console_name]),
        key=key,
    )


def _facts(key: ApiKey) -> dict[str, object]:
    """What the log has of a key: enough to recognise it, and nothing of the secret but what all lists show."""
    return {
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
