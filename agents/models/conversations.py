"""Conversations: what outlives a task."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from agents.branches import WhenBusy
from agents.models.agents import Agent
from tenants.identifiers import new_id
from tenants.scoping import TenantOwned


class Conversation(TenantOwned):
    """Messages that outlive a task: the context. They are a tree; its head says which branch goes on."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.PROTECT, related_name="conversations")
    title = models.CharField(max_length=200, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    head_number = models.PositiveIntegerField(
        null=True,
        blank=True,
        editable=False,
        help_text="The message that the next one follows; a foreign key of Postgres.",
    )
    when_busy = models.CharField(
        max_length=10,
        choices=[(rule.value, rule.value) for rule in WhenBusy],
        default=WhenBusy.QUEUE.value,
        help_text="What a message does while a task of its branch has not ended, unless its request says otherwise.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [models.Index(fields=["tenant", "-created_at"])]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(when_busy__in=[rule.value for rule in WhenBusy]), name="conversation_when_busy_known"
            )
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)
