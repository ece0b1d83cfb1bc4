"""Tasks as replies in their conversations; found by Django through `agents.models`."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from agents.branches import ENDING
from tenants.scoping import TenantOwned


class Reply(TenantOwned):
    """A task in its conversation: the message that it answers, or the line in which it waits for its turn.

    Numbers are those of messages of this conversation (foreign keys of Postgres, by conversation and number).
    """

    task = models.OneToOneField("agents.Task", on_delete=models.CASCADE, primary_key=True, related_name="reply")
    conversation = models.ForeignKey("agents.Conversation", on_delete=models.CASCADE, related_name="replies")
    number = models.PositiveIntegerField(help_text="The order of arrival in the conversation, from 1.")
    line = models.UUIDField(help_text="The first task of those that came for the same place one after the other.")
    said = models.PositiveIntegerField(help_text="Messages at the end of the task's input that came with the request.")
    after_number = models.PositiveIntegerField(null=True, help_text="What its messages follow; null: nothing.")
    question_number = models.PositiveIntegerField(null=True, help_text="What it answers; null: it waits.")
    answer_number = models.PositiveIntegerField(null=True)
    superseded = models.CharField(
        max_length=10, blank=True, default="", help_text="How a later message has it ended, if one does."
    )
    over = models.BooleanField(default=False, help_text="Its task has ended.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["conversation", "number"], name="reply_number_per_conversation"),
            models.UniqueConstraint(
                fields=["line"], condition=Q(over=False, question_number__isnull=False), name="reply_one_runs_per_line"
            ),
            models.CheckConstraint(
                condition=Q(question_number__isnull=False)
                | Q(after_number__isnull=True, answer_number__isnull=True, said__gt=0),
                name="reply_waits_or_stands",
            ),
            models.CheckConstraint(
                condition=(Q(after_number__isnull=True) | Q(question_number__gt=F("after_number")))
                & (Q(answer_number__isnull=True) | Q(answer_number__gt=F("question_number"))),
                name="reply_in_order",
            ),
            models.CheckConstraint(
                condition=Q(superseded__in=["", *sorted(rule.value for rule in ENDING)]), name="reply_superseded_known"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["line", "number"], name="reply_by_line"),
            models.Index(fields=["conversation"], name="reply_not_over", condition=Q(over=False)),
            models.Index(fields=["tenant"], name="reply_waits", condition=Q(over=False, question_number__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id}/{self.number}"
