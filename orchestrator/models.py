"""What the fleet is and why: pools with their policies and revisions, workers, and every decision that changed something."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.lookups import Exact

import orchestrator.demand_rows
import orchestrator.manual_rows
import orchestrator.stock_models
import orchestrator.turn_rows
import orchestrator.work_rows  # noqa: F401 - Django learns of these rows by it
from orchestrator.policy_rows import ScalingPolicy as ScalingPolicy  # noqa: PLC0414 - it is found here by all others
from orchestrator.recipe_models import Recipe
from orchestrator.validators import valid_params
from tenants.identifiers import new_id


class Pool(Recipe):
    """One model served by a set of identical workers; shared, or dedicated to one tenant."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.CharField(
        max_length=63,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9._-]*$", "Use lower-case letters, digits, '.', '_' and '-'.")],
        help_text="The queue's name; tenants may use it as `model`.",
    )
    name = models.CharField(max_length=200)
    tenant = models.ForeignKey(
        "tenants.Tenant",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        help_text="Dedicated to; empty: shared by all.",
    )
    priority = models.SmallIntegerField(
        default=0,
        help_text="Of pools that want more than the host has, the higher comes first, and workers of lower ones hand over "
        "to it, down to their minimum. Equals get equal shares.",
    )
    default_params = models.JSONField(
        default=dict, blank=True, validators=[valid_params], help_text="Sampling parameters where an agent sets none."
    )
    max_waiting = models.PositiveIntegerField(
        default=10_000,
        help_text="Tasks that may wait here at a time, all tenants together; before that, more are refused with 503. 0: no bound.",
    )
    lease_s = models.FloatField(default=5.0, help_text="Time after which a silent worker loses its turns.")
    max_attempts = models.PositiveSmallIntegerField(
        default=3,
        validators=[MinValueValidator(1)],
        help_text="Times that a lease on a turn may lapse while its worker is well, before the turn fails.",
    )
    max_losses = models.PositiveSmallIntegerField(
        default=2,
        validators=[MinValueValidator(1)],
        help_text="Workers that may be lost with a turn before it is kept apart; or set aside, if the last one held nothing else.",
    )
    surge_share = models.PositiveSmallIntegerField(
        default=25,
        validators=[MaxValueValidator(100)],
        help_text="Percent of the fleet that a wave of a roll-out starts above its size; one worker at least.",
    )
    canary_share = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(100)],
        help_text="Percent of the fleet at which a roll-out waits for somebody's word; 0: it does not wait.",
    )
    rolls_in_place = models.BooleanField(
        "roll out in place",
        default=False,
        help_text="Where the host has no room for a worker beside those that are there, a roll-out ends one old worker before its "
        "successor serves, one at a time: the fleet is smaller meanwhile. Off: it waits for room.",
    )
    token_prices = models.JSONField(
        default=list,
        blank=True,
        editable=False,
        help_text="What a million tokens cost, from moments on. Triggers of `billing` write it: who changes a price changes it.",
    )
    is_paused = models.BooleanField(default=False, help_text="The fleet is left as it is.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["slug"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(slots__gt=0), name="pool_slots_positive"),
            models.CheckConstraint(
                condition=Q(gpu_share=1) | Q(gpu_share__gte=0.01, gpu_share__lt=1, gpus_per_worker=1),
                name="pool_share_of_one_gpu",
                violation_error_message="The GPU share is 1, or, of a worker with one GPU, a part of it (0.01 at least).",
            ),
            models.CheckConstraint(condition=Q(lease_s__gt=0), name="pool_lease_positive"),
            models.CheckConstraint(condition=Q(max_attempts__gt=0), name="pool_attempts_positive"),
            models.CheckConstraint(condition=Q(max_losses__gt=0), name="pool_losses_positive"),
            models.CheckConstraint(
                condition=Q(surge_share__lte=100, canary_share__lte=100), name="pool_shares_are_percent"
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        """An emptied field is an empty one: a form makes None of it, which no column takes, and its validators are not asked."""
        self.env, self.engine_args = self.env or {}, self.engine_args or {}
        self.default_params, self.mounts = self.default_params or {}, self.mounts or []


class PoolRevision(Recipe):
    """One version of what a pool's workers are made from. A trigger refuses any change of it; equal ones exist once."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of all that it says.")
    created_by = models.CharField(max_length=200, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True, help_text="When a worker of it first was ready.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["pool", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["pool", "number"], name="pool_revision_number_per_pool"),
            models.UniqueConstraint(fields=["pool", "digest"], name="pool_revision_once_per_pool"),
        ]

    def __str__(self) -> str:
        return f"{self.pool.slug} r{self.number}"


class Rollout(models.Model):
    """Where a pool's fleet is on its way from one revision to the next. The pool is what staff wants, this is how far it came."""

    class State(models.TextChoices):
        STEADY = "steady", "steady"
        ROLLING = "rolling", "rolling out"
        CANARY = "canary", "waits for your word"
        FAILED = "failed", "failed, gone back"
        REVERTED = "reverted", "called back"

    UNDER_WAY: ClassVar = (State.ROLLING, State.CANARY)

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pool = models.OneToOneField(Pool, on_delete=models.CASCADE, related_name="rollout")
    current = models.ForeignKey(
        PoolRevision, on_delete=models.RESTRICT, related_name="+", help_text="Serves, and is gone back to."
    )
    target = models.ForeignKey(
        PoolRevision,
        null=True,
        blank=True,
        on_delete=models.RESTRICT,
        related_name="+",
        help_text="Is being rolled out, or was when that failed.",
    )
    state = models.CharField(max_length=10, choices=State, default=State.STEADY)
    is_confirmed = models.BooleanField(
        default=False, help_text="Somebody has said that it may go on past the canaries."
    )
    failures = models.PositiveSmallIntegerField(
        default=0, help_text="Workers of the target that failed since it began."
    )
    reason = models.TextField(blank=True)
    log_tail = models.TextField(blank=True, help_text="The last words of the worker that failed last.")
    since = models.DateTimeField(help_text="When this state began.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=["steady", "rolling", "canary", "failed", "reverted"]), name="rollout_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="steady", target__isnull=True) | (~Q(state="steady") & Q(target__isnull=False)),
                name="rollout_target_unless_steady",
            ),
            models.CheckConstraint(
                condition=Q(target__isnull=True) | ~Q(target=F("current")), name="rollout_target_is_another"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pool}: {self.get_state_display()}"


class Worker(models.Model):
    """One engine process or container of a pool: its life as the orchestrator saw it."""

    class State(models.TextChoices):
        STARTING = "starting"
        READY = "ready"
        DRAINING = "draining"
        STOPPED = "stopped"
        FAILED = "failed"

    LIVE: ClassVar = (State.STARTING, State.READY, State.DRAINING)

    class Wish(models.TextChoices):
        DRAIN = "drain"
        KILL = "kill"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="workers")
    revision = models.ForeignKey(PoolRevision, on_delete=models.RESTRICT, related_name="workers")
    state = models.CharField(max_length=10, choices=State, default=State.STARTING)
    runtime = models.CharField(max_length=20, choices=Pool.Runtime)
    runtime_ref = models.CharField(max_length=200, blank=True, help_text="The runtime's own name: pid or container id.")
    slots = models.PositiveSmallIntegerField()
    gpus = models.JSONField(
        default=list, blank=True, help_text="The GPUs that it was given, by uuid where that is known."
    )
    gpu_share = models.FloatField(
        default=1.0, help_text="The part of each of them that it has: 1, or less of a shared one."
    )
    cpus = models.PositiveSmallIntegerField(default=0, help_text="The cores that it is counted for.")
    start_phases = models.JSONField(
        default=dict, blank=True, help_text="What its start took, in seconds, phase by phase."
    )
    reason = models.TextField(blank=True, help_text="Why it was started.")
    started_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True, blank=True)
    draining_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    error = models.TextField(blank=True)
    log_tail = models.TextField(blank=True)
    end_counts = models.BooleanField(
        default=True, help_text="Whether its end says anything of the pool: no start that nobody went on with does."
    )
    end_reason = models.TextField(blank=True, default="", db_default="", help_text="Why it was asked to end.")
    wish = models.CharField(
        max_length=5,
        choices=Wish,
        blank=True,
        default="",
        db_default="",
        help_text="What staff wants done with it: the leader does so at its next tick.",
    )
    wished_by = models.CharField(max_length=200, blank=True, default="", db_default="")
    wished_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-started_at"]
        indexes: ClassVar = [
            models.Index(fields=["pool", "state"]),
            models.Index(fields=["-started_at"]),
            models.Index(fields=["-stopped_at"]),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=["starting", "ready", "draining", "stopped", "failed"]), name="worker_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["starting", "ready", "draining"]) | Q(stopped_at__isnull=False),
                name="worker_ended_has_time",
            ),
            models.CheckConstraint(condition=Q(gpu_share__gt=0, gpu_share__lte=1), name="worker_share_of_its_gpus"),
            models.CheckConstraint(
                condition=Q(wish="", wished_by="", wished_at__isnull=True)
                | (Q(wish__in=["drain", "kill"], wished_at__isnull=False) & ~Q(wished_by="")),
                name="worker_wish_is_somebodys",
            ),
            models.CheckConstraint(
                condition=Exact(Func(F("gpus"), function="jsonb_typeof", output_field=models.TextField()), "array"),
                name="worker_gpus_are_a_list",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pool}/{str(self.id)[-8:]}"


class ScalingDecision(models.Model):
    """A decision that changed something, with what was known when it was made. Never changed afterwards."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="decisions")
    at = models.DateTimeField()
    current = models.PositiveSmallIntegerField(help_text="Workers starting or ready when it was made.")
    desired = models.PositiveSmallIntegerField()
    reason = models.TextField()
    signals = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-at"]
        indexes: ClassVar = [models.Index(fields=["pool", "-at"])]

    def __str__(self) -> str:
        return f"{self.pool}: {self.current} → {self.desired}"
