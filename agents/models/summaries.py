"""What a conversation keeps of itself: summaries, each made once."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from tenants.identifiers import new_id
from tenants.scoping import TenantOwned


class Summary(TenantOwned):
    """What stands for the beginning of a conversation, up to one message, in the tasks that come after. The messages stay."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    conversation = models.ForeignKey("agents.Conversation", on_delete=models.CASCADE, related_name="summaries")
    last_message = models.OneToOneField(
        "agents.Message",
        on_delete=models.CASCADE,
        related_name="summary",
        help_text="It stands for this one and all before it.",
    )
    turn = models.OneToOneField(
        "agents.Turn", null=True, on_delete=models.SET_NULL, related_name="summary", help_text="The turn that wrote it."
    )
    messages = models.PositiveIntegerField(help_text="So many messages it was made of, an earlier summary among them.")
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["conversation", "created_at"]
        verbose_name_plural = "summaries"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(messages__gt=0) & ~Q(text=""), name="summary_of_something")
        ]

    def __str__(self) -> str:
        return self.text[:40]
