"""Tenants' secrets: set, deleted, and opened for a call that needs them. Nothing here gives a value to anybody else."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from functools import cache

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.utils import timezone

from tenants.models import Secret, Tenant
from tenants.references import UnknownSecret
from tenants.vault import Vault, configured_keys

PURPOSE = "secret"
NAME_MAX = 63
VALUE_MIN, VALUE_MAX = 4, 8192
"""Characters. What is shorter could not be told from ordinary text when it is masked."""


class BadSecret(ValueError):
    """The name or the value does not fit. `field` says which; the value is not told."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


def vault() -> Vault:
    """The vault of this stack's keys (`OPSITE_SECRETS_KEYS`)."""
    return _vault(settings.OPSITE_SECRETS_KEYS, settings.SECRET_KEY)


@cache
def _vault(listed: str, secret_key: str) -> Vault:
    return Vault(configured_keys(listed, secret_key=secret_key))


def put_secret(*, tenant: Tenant, name: str, value: str) -> tuple[Secret, bool]:
    """Set a secret; returns its row, and whether it is new. Raises BadSecret."""
    check_name(name)
    check_value(value)
    return Secret.objects.for_tenant(tenant).update_or_create(
        tenant=tenant,
        name=name,
        defaults={"ciphertext": vault().seal(value, tenant=tenant.pk, purpose=PURPOSE), "changed_at": timezone.now()},
    )


def check_name(name: str) -> None:
    """Raises BadSecret for what is no name."""
    try:
        validate_slug(name)
    except ValidationError:
        raise BadSecret("name", "must be letters, digits, dashes and underscores") from None
    if len(name) > NAME_MAX:
        raise BadSecret("name", f"must have at most {NAME_MAX} characters")


def check_value(value: str) -> None:
    """Raises BadSecret for what cannot be kept."""
    if not VALUE_MIN <= len(value) <= VALUE_MAX:
        raise BadSecret("value", f"must have {VALUE_MIN} to {VALUE_MAX} characters")
    if not value.isprintable():
        raise BadSecret("value", "must not hold line breaks or control characters, which no header may have")


def open_secrets(tenant: uuid.UUID, names: Collection[str]) -> dict[str, str]:
    """The values of these secrets of the tenant, by name. Raises UnknownSecret for the first that there is not, CannotOpen.

    For the process that makes the call: a value goes into the request, and nowhere else.
    """
    rows = Secret.objects.for_tenant(tenant).filter(name__in=names)
    opened = {row.name: vault().open(row.ciphertext, tenant=tenant, purpose=PURPOSE) for row in rows} if names else {}
    for name in sorted(names):
        if name not in opened:
            raise UnknownSecret(name)
    return opened


def reseal_secrets() -> int:
    """All tenants' secrets under the newest key; returns how many. A value that was set anew meanwhile stays."""
    count = 0
    for row in Secret.objects.across_tenants().iterator():
        sealed = vault().reseal(row.ciphertext, tenant=row.tenant_id, purpose=PURPOSE)
        same = Secret.objects.for_tenant(row.tenant_id).filter(pk=row.pk, ciphertext=row.ciphertext)
        count += same.update(ciphertext=sealed)
    return count
