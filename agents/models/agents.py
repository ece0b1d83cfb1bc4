"""Agents, and their revisions, of which none is ever changed."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from tenants.identifiers import new_id
from tenants.scoping import TenantOwned

OUTPUT_FORM = "What answers must look like, as JSON text; empty: free text."


class Immutable(RuntimeError):
    """This row is history: make a new one instead."""


class Agent(TenantOwned):
    """A tenant's named definition of behaviour. What it does is said by its current revision."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(max_length=63)
    name = models.CharField(max_length=200)
    current_revision = models.ForeignKey(
        "AgentRevision", null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    stands_for = models.ForeignKey(
        "orchestrator.Pool",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        editable=False,
        help_text="The pool that this agent stands for, with nothing added, in calls that name the pool as their model.",
    )
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["slug"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="agent_slug_per_tenant"),
            models.UniqueConstraint(fields=["tenant", "stands_for"], name="agent_one_per_bare_pool"),
            models.CheckConstraint(
                condition=Q(stands_for__isnull=True) | Q(archived_at__isnull=True), name="agent_of_pool_not_archived"
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class AgentRevision(TenantOwned):
    """One version of an agent, never changed once it exists."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    pool = models.ForeignKey("orchestrator.Pool", on_delete=models.PROTECT, related_name="+")
    system_prompt = models.TextField(blank=True)
    params = models.JSONField(default=dict, blank=True, help_text="Sampling parameters.")
    output_form = models.TextField(blank=True, default="", db_default="", help_text=OUTPUT_FORM)
    tools = models.JSONField(
        default=list,
        blank=True,
        help_text='What it may call: {"tool": "<name>"} of the tenant\'s, or {"builtin": "<name>"} with its options.',
    )
    limits = models.JSONField(
        default=dict, blank=True, help_text="How far a task may go: max_turns, max_tokens, max_seconds, max_cost."
    )
    context = models.JSONField(
        default=dict,
        blank=True,
        db_default={},
        help_text="What becomes of a context that is too long: strategy, max_tokens and so on. Empty: it is refused.",
    )
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["agent", "-number"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["agent", "number"], name="revision_number_per_agent")]

    def __str__(self) -> str:
        return f"{self.agent.slug} r{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert; a second save is refused."""
        if not self._state.adding:
            raise Immutable("a revision is never changed: change the agent, which makes a new revision")
        super().save(*args, **kwargs)


class AnswerLength(TenantOwned):
    """How long an agent's answers are, as its past ones measured: what the next one is expected to take.

    Beside the agent's row, not in it: it changes with every batch of outcomes, and web processes are told of all changes there.
    """

    agent = models.OneToOneField(Agent, on_delete=models.CASCADE, primary_key=True, related_name="answer_length")
    tokens = models.FloatField(
        help_text="Exponentially weighted mean of the completion tokens of tasks that succeeded."
    )
    answers = models.PositiveBigIntegerField(help_text="How many it was made from.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(tokens__gt=0, answers__gt=0), name="answer_length_positive")
        ]

    def __str__(self) -> str:
        return f"{self.agent}: {self.tokens:.0f} tokens"
