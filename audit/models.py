"""The audit log's rows."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone


class Entry(models.Model):
    """One thing that somebody did. It names its actor and object in words, so that it outlives both.

    Secrets never stand in it: columns that hold them are hidden where rows are watched (`audit.watching`). An act that changes rows
    is one entry, under which the rows' changes stand as its parts (`audit.acting.one_act`).
    """

    class ActorKind(models.TextChoices):
        STAFF = "staff"
        API_KEY = "key", "API key"
        SHELL = "shell", "on a server"
        NOBODY = "nobody", "not logged in"

    at = models.DateTimeField(default=timezone.now, editable=False)
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    actor = models.CharField(
        max_length=200, help_text="A user's name, an API key's name and prefix, or a shell's user and its command."
    )
    action = models.CharField(max_length=100, help_text="As `pool.pause`: the object's kind and what was done.")
    object_kind = models.CharField(max_length=100, blank=True, help_text="The model's label, as `orchestrator.pool`.")
    object_id = models.CharField(max_length=64, blank=True)
    object_name = models.CharField(max_length=300, blank=True, help_text="What it was called then.")
    tenant_id = models.UUIDField(null=True, blank=True, help_text="Whose object it was; empty: nobody's.")
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True, help_text="From where.")
    act = models.UUIDField(null=True, blank=True, help_text="What was done in one act has one of these.")
    is_part = models.BooleanField(
        default=False, db_default=False, help_text="A row's change that stands under the entry of its act."
    )

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        verbose_name_plural = "entries"
        indexes: ClassVar = [
            models.Index(fields=["-at", "-id"], name="entry_by_time"),
            models.Index(fields=["actor_kind", "-at", "-id"], name="entry_by_actor_kind"),
            models.Index(fields=["actor", "-at", "-id"], name="entry_by_actor"),
            models.Index(fields=["action", "-at", "-id"], name="entry_by_action"),
            models.Index(fields=["object_kind", "-at", "-id"], name="entry_by_object_kind"),
            models.Index(fields=["object_id", "-at", "-id"], name="entry_by_object"),
            models.Index(fields=["object_name", "-at", "-id"], name="entry_by_object_name"),
            models.Index(fields=["tenant_id", "-at", "-id"], name="entry_by_tenant"),
            models.Index(fields=["act"], condition=models.Q(act__isnull=False), name="entry_by_act"),
        ]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.object_name}"
