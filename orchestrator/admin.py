"""The fleet in the console: pools with their policies, workers, decisions."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, StackedInline
from unfold.decorators import display

from orchestrator.models import Pool, ScalingDecision, ScalingPolicy, Worker
from orchestrator.phases import shown
from orchestrator.replay import in_words
from tenants.admin import Facts

WORKER_COLOURS = {"starting": "warning", "ready": "success", "draining": "info", "failed": "danger", "stopped": ""}


class PolicyInline(StackedInline):
    """A pool's policy, on the pool's page."""

    model = ScalingPolicy
    can_delete = False


@admin.register(Pool)
class PoolAdmin(ModelAdmin):
    """Models and the fleets that serve them."""

    list_display = ("slug", "name", "engine", "runtime", "tenant", "slots", "priority", "live_workers", "is_paused")
    list_filter = ("engine", "runtime", "is_paused")
    search_fields = ("slug", "name", "model")
    list_select_related = ("tenant",)
    autocomplete_fields = ("tenant",)
    inlines: ClassVar = [PolicyInline]
    actions: ClassVar = ["pause", "resume"]
    readonly_fields = ("id", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pool]:
        return super().get_queryset(request).annotate(live=Count("workers", filter=Q(workers__state__in=Worker.LIVE)))

    @display(description="workers", ordering="live")
    def live_workers(self, pool: Any) -> int:
        """Workers that are starting, ready or draining."""
        return int(pool.live)

    @admin.action(description="Pause scaling")
    def pause(self, request: HttpRequest, queryset: QuerySet[Pool]) -> None:
        queryset.update(is_paused=True)
        self.message_user(request, "The fleets of these pools are left as they are.")

    @admin.action(description="Resume scaling")
    def resume(self, request: HttpRequest, queryset: QuerySet[Pool]) -> None:
        queryset.update(is_paused=False)
        self.message_user(request, "The fleets follow their policies again.")


@admin.register(ScalingPolicy)
class ScalingPolicyAdmin(ModelAdmin):
    """Policies, for those who look for them by themselves."""

    list_display = (
        "pool",
        "kind",
        "min_workers",
        "max_workers",
        "waiting_per_worker",
        "wait_bound_s",
        "wait_share",
        "idle_to_zero_s",
    )
    list_filter = ("kind",)
    search_fields = ("pool__slug",)
    list_select_related = ("pool",)


@admin.register(Worker)
class WorkerAdmin(Facts):
    """Every worker's life, with its last words."""

    list_display = (
        "id",
        "pool",
        "shown_state",
        "runtime",
        "slots",
        "shown_gpus",
        "started_at",
        "ready_at",
        "stopped_at",
        "error",
    )
    exclude = ("start_phases",)
    readonly_fields = ("phases",)
    list_filter = ("state", "pool", "runtime")
    search_fields = ("id", "runtime_ref", "error")
    list_select_related = ("pool",)
    date_hierarchy = "started_at"

    @display(description="GPUs")
    def shown_gpus(self, worker: Worker) -> str:
        """The devices that it was given, and the part of them that it has."""
        part = f" ({worker.gpu_share:g} of it)" if worker.gpu_share < 1 else ""
        return ", ".join(worker.gpus) + part if worker.gpus else ""

    @display(description="phases of its start")
    def phases(self, worker: Worker) -> str:
        """What its start took, phase by phase."""
        return shown(worker.start_phases)

    @display(description="state", ordering="state", label=WORKER_COLOURS)
    def shown_state(self, worker: Worker) -> str:
        """The state in its colour."""
        return worker.state


@admin.register(ScalingDecision)
class ScalingDecisionAdmin(Facts):
    """Why there are as many as there are."""

    list_display = ("at", "pool", "current", "desired", "reason", "measured")
    list_filter = ("pool",)
    search_fields = ("reason", "pool__slug")
    list_select_related = ("pool",)
    date_hierarchy = "at"
    readonly_fields = ("measured",)

    @display(description="measured")
    def measured(self, decision: ScalingDecision) -> str:
        """What the queue and the workers said beyond the counts that the reason names."""
        return in_words(decision.signals)
