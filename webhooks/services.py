"""Changes to endpoints and deliveries."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from outbound.failures import OutboundError
from outbound.targets import checked
from tenants.models import Tenant
from tenants.secrets import vault
from webhooks.events import PING, UnknownEventType, check_types
from webhooks.models import Delivery, Endpoint
from webhooks.retries import WINDOW
from webhooks.signing import SECRET_BYTES, secret_of

PURPOSE = "webhook"
"""What endpoints' secrets are sealed for."""
ENDPOINTS_MAX = 20
TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
"""Of UTC, as Django gives it."""
URL_MAX = 2000
OVERLAP = timedelta(days=1)
OVERLAP_MAX = timedelta(days=7)


class BadEndpoint(ValueError):
    """A field does not fit."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class TooManyEndpoints(Exception):
    """The tenant has as many as it may have."""

    def __init__(self) -> None:
        super().__init__(f"A tenant may have {ENDPOINTS_MAX} endpoints; delete one first.")


class EndpointDisabled(Exception):
    """Nothing is sent to a disabled endpoint."""

    def __init__(self) -> None:
        super().__init__("The endpoint is disabled; enable it first.")


class StillPending(Exception):
    """What is on its way is not replayed."""

    def __init__(self) -> None:
        super().__init__("The delivery is pending; it will be attempted by itself.")


class NewSecret(NamedTuple):
    """An endpoint with a secret that is shown this once."""

    endpoint: Endpoint
    secret: str


@transaction.atomic
def create_endpoint(
    *, tenant: Tenant, url: str, description: str = "", event_types: list[str] | None = None, enabled: bool = True
) -> NewSecret:
    """A new endpoint. Raises BadEndpoint, TooManyEndpoints."""
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)  # so that two at once do not pass the limit
    if Endpoint.objects.for_tenant(tenant).count() >= ENDPOINTS_MAX:
        raise TooManyEndpoints
    secret = _new_secret()
    endpoint = Endpoint.objects.create(
        tenant=tenant,
        url=check_url(url),
        description=description,
        event_types=check_event_types(event_types or []),
        enabled=enabled,
        secret=vault().seal(secret, tenant=tenant.pk, purpose=PURPOSE),
    )
    return NewSecret(endpoint, secret)


def change_endpoint(*, endpoint: Endpoint, changes: Mapping[str, Any]) -> Endpoint:
    """Set url, description, event_types, enabled: what is left out stays. Raises BadEndpoint.

    Who enables an endpoint takes away the reason why it was disabled; what is still pending is then attempted.
    """
    if "url" in changes:
        endpoint.url = check_url(changes["url"])
    if "event_types" in changes:
        endpoint.event_types = check_event_types(changes["event_types"])
    endpoint.description = changes.get("description", endpoint.description)
    if changes.get("enabled", endpoint.enabled) != endpoint.enabled:
        endpoint.enabled = changes["enabled"]
        endpoint.disabled_reason, endpoint.failing_since = "", None
    endpoint.save()
    return endpoint


@transaction.atomic
def rotate_secret(*, endpoint: Endpoint, overlap: timedelta = OVERLAP) -> NewSecret:
    """A new secret; with the one before it messages are signed, too, until `overlap` is over. Raises BadEndpoint."""
    if not timedelta() <= overlap <= OVERLAP_MAX:
        raise BadEndpoint("overlap_s", f"must be between 0 and {OVERLAP_MAX.total_seconds():.0f}")
    row = Endpoint.objects.for_tenant(endpoint.tenant_id).select_for_update().get(pk=endpoint.pk)
    secret = _new_secret()
    row.old_secret = row.secret if overlap else ""
    row.old_secret_expires_at = timezone.now() + overlap if overlap else None
    row.secret = vault().seal(secret, tenant=row.tenant_id, purpose=PURPOSE)
    row.save()
    return NewSecret(row, secret)


def ping(*, endpoint: Endpoint) -> Delivery:
    """Announce a test to this endpoint. Raises EndpointDisabled."""
    if not endpoint.enabled:
        raise EndpointDisabled
    now = timezone.now()
    payload = {"type": PING, "timestamp": now.strftime(TIMESTAMP), "data": {"endpoint": str(endpoint.pk)}}
    return Delivery.objects.create(
        tenant_id=endpoint.tenant_id, endpoint=endpoint, type=PING, payload=payload, give_up_at=now + WINDOW
    )


@transaction.atomic
def replay(*, delivery: Delivery) -> Delivery:
    """Deliver once more, under the same id, with a day of attempts. Raises EndpointDisabled, StillPending."""
    row = Delivery.objects.for_tenant(delivery.tenant_id).select_for_update().get(pk=delivery.pk)
    if not row.endpoint.enabled:
        raise EndpointDisabled
    if row.state == Delivery.State.PENDING:
        raise StillPending
    now = timezone.now()
    row.state, row.finished_at, row.tries = Delivery.State.PENDING, None, 0
    row.due_at, row.give_up_at = now, now + WINDOW
    row.save()
    return row


def forget_deliveries(*, before: datetime) -> int:
    """Delete what was announced before, with its attempts; returns how many deliveries went."""
    _, deleted = Delivery.objects.across_tenants().filter(created_at__lt=before).delete()
    return deleted.get(Delivery._meta.label, 0)


def reseal_endpoints() -> int:
    """All endpoints' secrets under the newest key; returns how many endpoints. One that was rotated meanwhile stays."""
    count = 0
    for row in Endpoint.objects.across_tenants().iterator():
        same = Endpoint.objects.for_tenant(row.tenant_id).filter(
            pk=row.pk, secret=row.secret, old_secret=row.old_secret
        )
        count += same.update(
            secret=_resealed(row.secret, row.tenant_id),
            old_secret=row.old_secret and _resealed(row.old_secret, row.tenant_id),
        )
    return count


def check_url(url: str) -> str:
    """The URL, if it may be called as far as it says itself. Raises BadEndpoint."""
    if len(url) > URL_MAX:
        raise BadEndpoint("url", f"must have at most {URL_MAX} characters")
    try:
        checked(url, policy=settings.OPSITE_OUTBOUND_POLICY)
    except OutboundError as error:
        raise BadEndpoint("url", error.message) from None
    return url


def check_event_types(types: list[str]) -> list[str]:
    """The types, each once. Raises BadEndpoint."""
    try:
        return check_types(types)
    except UnknownEventType as error:
        raise BadEndpoint("event_types", str(error)) from None


def _new_secret() -> str:
    return secret_of(secrets.token_bytes(SECRET_BYTES))


def _resealed(ciphertext: str, tenant: uuid.UUID) -> str:
    return vault().reseal(ciphertext, tenant=tenant, purpose=PURPOSE)
