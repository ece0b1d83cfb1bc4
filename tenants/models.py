"""Tenants and their API keys."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.identifiers import new_id
from tenants.scoping import TenantOwned

CONSOLE_LISTS = ("tenant", "apikey", "secret")
"""The admin's lists below `/console/tenants/`."""


class Spending(models.Model):
    """How much may be asked for, in all pools together: of a tenant, and of one of its keys within that."""

    requests_per_minute = models.PositiveIntegerField(default=0, help_text="Tasks submitted, evenly; 0: no limit.")
    tokens_per_minute = models.PositiveIntegerField(
        default=0, help_text="Of prompts and answers, as estimated and then corrected to what was served; 0: no limit."
    )
    tokens_per_month = models.PositiveBigIntegerField(
        default=0, help_text="The same, of tasks submitted in a calendar month (UTC); 0: no limit."
    )
    budget_spent_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="The month's budget of money is spent: nothing more is accepted before this moment.",
    )

    class Meta:
        abstract = True


class Tenant(Spending):
    """An organisation: its keys, limits, fair-share weight, data."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    weight = models.FloatField(default=1.0, help_text="Share of a contended pool, relative to other tenants.")
    max_waiting = models.PositiveIntegerField(
        default=1000,
        validators=[MinValueValidator(1)],
        help_text="Tasks that may wait in one pool at a time; more are refused with 429.",
    )
    max_running = models.PositiveIntegerField(
        default=0, help_text="Tasks that may run in one pool at a time; more wait. 0: no limit."
    )
    cancel_on_disconnect = models.BooleanField(
        default=False,
        help_text="Chat completions, and what is submitted and followed by websocket, end when their client leaves.",
    )
    is_active = models.BooleanField(default=True, help_text="Keys of an inactive tenant are refused.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["slug"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(weight__gt=0), name="tenant_weight_positive"),
            models.CheckConstraint(condition=Q(max_waiting__gt=0), name="tenant_max_waiting_positive"),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def console_name(self) -> str:
        """What stands for it in the console's addresses: its slug, or its id where a list beside it is called so."""
        return str(self.pk) if self.slug in CONSOLE_LISTS else self.slug


class ApiKey(Spending, TenantOwned):
    """A key of a tenant's application. The key itself is shown once and never stored."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=200)
    prefix = models.CharField(
        max_length=16, editable=False, help_text="The key's first characters, to recognise it by."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    max_waiting = models.PositiveIntegerField(
        default=0,
        help_text="Tasks of this key that may wait in one pool at a time; more are refused with 429. 0: no limit.",
    )
    max_running = models.PositiveIntegerField(
        default=0, help_text="Tasks of this key that may run in one pool at a time; more wait. 0: no limit."
    )
    scopes = ArrayField(
        models.CharField(max_length=32), default=list, blank=True, help_text="What the key may do; empty: everything."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_valid(self, now: datetime | None = None) -> bool:
        """Neither revoked nor expired."""
        now = now or timezone.now()
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class Secret(TenantOwned):
    """What a tenant's tools authenticate with elsewhere. The value is encrypted (tenants.vault), and shown to nobody."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.SlugField(max_length=63, help_text="Headers and URLs of tools refer to it as ${secret:NAME}.")
    ciphertext = models.TextField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="secret_name_per_tenant"),
            models.CheckConstraint(condition=Q(name__regex=r"^[-a-zA-Z0-9_]+$"), name="secret_name_is_slug"),
            models.CheckConstraint(condition=~Q(ciphertext=""), name="secret_is_sealed"),
        ]

    def __str__(self) -> str:
        return self.name
