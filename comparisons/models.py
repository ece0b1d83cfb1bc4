"""Saved inputs, and what two revisions of an agent made of them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from tenants.identifiers import new_id
from tenants.scoping import TenantOwned


class InputSet(TenantOwned):
    """Inputs for an agent with what is expected of its answers. Never changed, so that comparisons stay comparable."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey("agents.Agent", on_delete=models.PROTECT, related_name="input_sets")
    name = models.CharField(max_length=100)
    items = models.JSONField(help_text="Each with messages and checks.")
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [models.Index(fields=["tenant", "-created_at", "-id"], name="input_set_by_tenant")]
        constraints: ClassVar = [models.UniqueConstraint(fields=["agent", "name"], name="input_set_name_per_agent")]

    def __str__(self) -> str:
        return self.name


class Comparison(TenantOwned):
    """Two revisions on one set of inputs, in the name of an API key."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey("agents.Agent", on_delete=models.PROTECT, related_name="comparisons")
    input_set = models.ForeignKey(InputSet, on_delete=models.PROTECT, related_name="comparisons")
    left = models.ForeignKey("agents.AgentRevision", on_delete=models.PROTECT, related_name="+")
    right = models.ForeignKey("agents.AgentRevision", on_delete=models.PROTECT, related_name="+")
    api_key = models.ForeignKey("tenants.ApiKey", on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    held_up_by = models.JSONField(
        null=True, blank=True, help_text="Why its tasks are not accepted now; it tries again."
    )
    lease_until = models.DateTimeField(null=True, blank=True, help_text="Until when no other process looks at it.")
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-created_at", "-id"], name="comparison_by_tenant"),
            models.Index(fields=["created_at"], name="comparison_running", condition=Q(state="running")),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(left=F("right")), name="comparison_of_two"),
            models.CheckConstraint(
                condition=Q(state="running", finished_at__isnull=True) | Q(state="done", finished_at__isnull=False),
                name="comparison_finished_iff_done",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.agent.slug} r{self.left.number} and r{self.right.number} on {self.input_set.name}"


COMPARISON_STATES = Comparison.State.choices


class ComparisonRun(TenantOwned):
    """One input on one side: at most one task, and what its answer was held against."""

    class Side(models.TextChoices):
        LEFT = "left"
        RIGHT = "right"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="runs")
    number = models.PositiveIntegerField(help_text="The item's, from 1.")
    side = models.CharField(max_length=5, choices=Side.choices)
    task = models.OneToOneField("agents.Task", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    error = models.JSONField(null=True, blank=True, help_text="Why no task was accepted.")
    checks = models.JSONField(default=list, blank=True)
    judged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["comparison", "number", "side"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["comparison", "number", "side"], name="run_per_item_and_side"),
            models.CheckConstraint(condition=Q(side__in=["left", "right"]), name="run_side_known"),
            models.CheckConstraint(condition=Q(number__gte=1), name="run_number_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.side}"
