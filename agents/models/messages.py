"""The messages of conversations: a tree."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from agents.models.conversations import Conversation
from agents.models.tasks import Task
from tenants.identifiers import new_id
from tenants.scoping import TenantOwned


class Message(TenantOwned):
    """One message of a conversation, numbered from 1 in the order of writing. It follows an earlier one, so there are no cycles."""

    ROLES: ClassVar = [(role, role) for role in ("system", "user", "assistant")]

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # Without an index of its own: that with the order of the console's list behind it serves.
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    # Likewise: the unique one on (conversation, number) serves.
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False)
    task = models.ForeignKey(Task, null=True, blank=True, on_delete=models.SET_NULL, related_name="messages")
    number = models.PositiveIntegerField()
    parent_number = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="The message that it follows, of this conversation (a foreign key of Postgres); null: none.",
    )
    role = models.CharField(max_length=10, choices=ROLES)
    content = models.TextField()
    interrupted = models.BooleanField(
        default=False, db_default=False, help_text="An answer that another message cut short."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["conversation", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["conversation", "number"], name="message_number_per_conversation"),
            models.CheckConstraint(
                condition=Q(parent_number__isnull=True) | Q(parent_number__lt=F("number")),
                name="message_follows_earlier",
            ),
        ]
        # Partial, so that it cannot serve who looks for a message by its number: with no statistics the planner took it for that.
        indexes: ClassVar = [
            models.Index(
                fields=["conversation", "parent_number"],
                condition=models.Q(parent_number__isnull=False),
                name="message_by_parent",
            ),
            models.Index(fields=["tenant", "-id"], name="message_by_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:40]}"
