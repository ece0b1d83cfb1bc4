"""Reads on tenants and keys."""

from __future__ import annotations

from django.db.models import Q
from django.utils import timezone

from tenants import keys
from tenants.models import ApiKey


def valid_key(secret: str) -> ApiKey | None:
    """The key with its tenant, if it is known, neither revoked nor expired, and its tenant is active."""
    return (
        ApiKey.objects.across_tenants()
        .select_related("tenant")
        .filter(digest=keys.digest(secret), revoked_at__isnull=True, tenant__is_active=True)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()))
        .first()
    )
