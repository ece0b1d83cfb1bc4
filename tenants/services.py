"""Changes to tenants and their keys."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from tenants import keys
from tenants.identifiers import new_id
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


class MadeAlready(Exception):
    """There is a key of that id: what asked for it was sent twice. Its secret cannot be shown again."""


def issue_key(
    *,
    tenant: Tenant,
    name: str,
    scopes: Sequence[str] = (),
    expires_at: datetime | None = None,
    key_id: uuid.UUID | None = None,
    **limits: int,
) -> IssuedKey:
    """A new API key; no scopes means all of them. `limits` of its own, as the model names them, hold within the tenant's.

    With `key_id` it is made once, however often that is asked for: `MadeAlready`.
    """
    unknown = sorted(set(scopes) - set(keys.SCOPES))
    if unknown:
        raise ValueError(f"unknown scopes {', '.join(unknown)}; known are {', '.join(keys.SCOPES)}")
    new = keys.generate()
    key = ApiKey(
        id=key_id or new_id(),
        tenant=tenant,
        name=name,
        prefix=new.prefix,
        digest=new.digest,
        scopes=list(scopes),
        expires_at=expires_at,
        **limits,
    )
    try:
        with transaction.atomic():
            key.save(force_insert=True)
    except IntegrityError as error:
        if key_id is None:
            raise
        raise MadeAlready from error
    return IssuedKey(key, new.secret)


def revoke_key(*, key: ApiKey) -> None:
    """From now on (within a second, for caches) the key is refused."""
    ApiKey.objects.for_tenant(key.tenant_id).filter(pk=key.pk, revoked_at__isnull=True).update(
        revoked_at=timezone.now()
    )
    key.refresh_from_db()


def suspend_tenant(*, tenant: Tenant) -> bool:
    """From now on (within a second, for caches) all its keys are refused, and nothing new is begun for it. False: it was so."""
    return _set_active(tenant, is_active=False)


def reactivate_tenant(*, tenant: Tenant) -> bool:
    """Its keys are valid again, those that were neither revoked nor have expired. False: it was active."""
    return _set_active(tenant, is_active=True)


def _set_active(tenant: Tenant, *, is_active: bool) -> bool:
    changed = Tenant.objects.filter(pk=tenant.pk, is_active=not is_active).update(is_active=is_active)
    tenant.is_active = is_active
    return changed > 0


def note_use(key: ApiKey) -> None:
    """Remember when a key was used, at most once a minute."""
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > USE_NOTED_EVERY:
        ApiKey.objects.for_tenant(key.tenant_id).filter(
            Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USE_NOTED_EVERY), pk=key.pk
        ).update(last_used_at=now)
