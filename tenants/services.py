"""Changes to tenants and their keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Q
from django.utils import timezone

from tenants import keys
from tenants.models import ApiKey, Tenant

USE_NOTED_EVERY = timedelta(minutes=1)


class IssuedKey(NamedTuple):
    """A new key and its secret, which cannot be had again."""

    key: ApiKey
    secret: str


def create_tenant(*, slug: str, name: str, weight: float = 1.0, max_waiting: int = 1000, **limits: int) -> Tenant:
    """A tenant, with `limits` as the model names them; raises ValidationError when a field does not fit."""
    tenant = Tenant(slug=slug, name=name, weight=weight, max_waiting=max_waiting, **limits)
    tenant.full_clean()
    tenant.save()
    return tenant


def issue_key(
    *, tenant: Tenant, name: str, scopes: Sequence[str] = (), expires_at: datetime | None = None, **limits: int
) -> IssuedKey:
    """A new API key; no scopes means all of them. `limits` of its own, as the model names them, hold within the tenant's."""
    unknown = sorted(set(scopes) - set(keys.SCOPES))
    if unknown:
        raise ValueError(f"unknown scopes {', '.join(unknown)}; known are {', '.join(keys.SCOPES)}")
    new = keys.generate()
    key = ApiKey.objects.create(
        tenant=tenant,
        name=name,
        prefix=new.prefix,
        digest=new.digest,
        scopes=list(scopes),
        expires_at=expires_at,
        **limits,
    )
    return IssuedKey(key, new.secret)


def revoke_key(*, key: ApiKey) -> None:
    """From now on (within a second, for caches) the key is refused."""
    ApiKey.objects.for_tenant(key.tenant_id).filter(pk=key.pk, revoked_at__isnull=True).update(
        revoked_at=timezone.now()
    )
    key.refresh_from_db()


def note_use(key: ApiKey) -> None:
    """Remember when a key was used, at most once a minute."""
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > USE_NOTED_EVERY:
        ApiKey.objects.for_tenant(key.tenant_id).filter(
            Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USE_NOTED_EVERY), pk=key.pk
        ).update(last_used_at=now)
