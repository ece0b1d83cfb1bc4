"""The fleet in the console: pools with their policies, workers, decisions."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import StackedInline
from unfold.decorators import action, display

from audit.acting import one_act
from audit.recording import record
from orchestrator import masking, revisions, steering, stock_rows, typical
from orchestrator.history.words import in_words as demand_in_words
from orchestrator.models import Pool, PoolRevision, Rollout, ScalingDecision, ScalingPolicy, Worker
from orchestrator.replay import NotStored, differences, in_words, known_then
from orchestrator.signals.phases import shown
from orchestrator.specs import RECIPE
from orchestrator.stock_models import StockItem
from staff.access import access_of
from staff.console_admin import ConsoleAdmin
from staff.lists.columns import cut, line, moment, two_lines, way
from staff.own_rows import bound_to_tenant
from tenants.admin import Facts

WORKER_COLOURS = {"starting": "warning", "ready": "success", "draining": "info", "failed": "danger", "stopped": ""}


class ShownRecipe(ConsoleAdmin):
    """What workers are made from, as who cannot change it may see it: of the environment the names, of arguments no secret."""

    INSTEAD: ClassVar = {"env": "env_names", "engine_args": "shown_args"}

    @display(description="env")
    def env_names(self, recipe: Any) -> str:
        """The names alone: values are often secrets."""
        return ", ".join(sorted(recipe.env))

    @display(description="engine args")
    def shown_args(self, recipe: Any) -> str:
        """As JSON."""
        return json.dumps(masking.arguments(recipe.engine_args)) if recipe.engine_args else ""


class PolicyInline(StackedInline):
    """A pool's policy, on the pool's page."""

    model = ScalingPolicy
    can_delete = False


@admin.register(Pool)
class PoolAdmin(ShownRecipe):
    """Models and the fleets that serve them."""

    list_display = (
        "slug",
        "name",
        "engine",
        "runtime",
        "tenant",
        "slots",
        "priority",
        "live_workers",
        "rollout_state",
        "is_paused",
    )
    list_filter = ("engine", "runtime", "is_paused")
    search_fields = ("slug", "name", "model")
    list_select_related = ("tenant", "rollout")
    autocomplete_fields = ("tenant",)
    inlines: ClassVar = [PolicyInline]
    actions: ClassVar = ["pause", "resume", "go_on", "go_back", "try_again"]
    readonly_fields = ("stock", "start", "demand", "generation", "id", "created_at")
    fieldsets = (
        (None, {"fields": ("slug", "name", "tenant", "priority", "is_paused")}),
        (
            "What its workers are made from",
            {"fields": RECIPE, "description": "A change here replaces the workers in waves."},
        ),
        ("Starts", {"fields": ("stock", "start")}),
        ("Roll-out", {"fields": ("surge_share", "canary_share", "rolls_in_place")}),
        (
            "Turns",
            {"fields": ("default_params", "max_waiting", "lease_s", "max_attempts", "max_losses", "id", "created_at")},
        ),
        ("Demand", {"fields": ("demand",)}),
    )

    def choosable(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """A tenant administrator sees no pool, but agents run on shared ones and on the tenant's own."""
        access = bound_to_tenant(request)
        return rows if access is None else rows.filter(Q(tenant__isnull=True) | Q(tenant=access.tenant_id))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pool]:
        return super().get_queryset(request).annotate(live=Count("workers", filter=Q(workers__state__in=Worker.LIVE)))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj):
            return fieldsets
        return [
            (title, {**options, "fields": [self.INSTEAD.get(name, name) for name in options["fields"]]})
            for title, options in fieldsets
        ]

    @display(description="recorded demand")
    def demand(self, pool: Pool) -> str:
        """What came in, and how good forecasts of it are."""
        return demand_in_words(pool) if pool.pk and not pool._state.adding else ""

    @display(description="workers", ordering="live")
    def live_workers(self, pool: Any) -> int:
        """Workers that are starting, ready or draining."""
        return int(pool.live)

    @display(description="on this host")
    def stock(self, pool: Pool) -> str:
        """What its workers need before they start, and how far that is."""
        return stock_rows.of_pools([pool], all_of_it=True)[pool.pk] or "Nothing has to be brought here for its workers."

    @display(description="a start")
    def start(self, pool: Pool) -> str:
        """What one takes, phase by phase."""
        return typical.of_pool(pool) or "None was measured on this runtime yet."

    @display(
        description="roll-out",
        ordering="rollout__state",
        label={"rolling out": "info", "waits for your word": "warning", "failed, gone back": "danger"},
    )
    def rollout_state(self, pool: Pool) -> str:
        """How far the last edit has come."""
        rollout: Rollout | None = getattr(pool, "rollout", None)
        return rollout.get_state_display() if rollout else ""

    def save_related(self, request: HttpRequest, form: ModelForm[Pool], formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        rollout = revisions.note_edit(form.instance.pk, now=timezone.now(), by=request.user.get_username())
        if change and rollout.target is not None and form.changed_data:
            self.message_user(request, f"Revision {rollout.target.number}: {rollout.get_state_display()}.")

    @admin.action(description="Roll-out: go on past the canaries", permissions=["change"])
    def go_on(self, request: HttpRequest, queryset: QuerySet[Pool]) -> None:
        self._have_word(request, queryset, "go_on", revisions.go_on)

    @admin.action(description="Roll-out: go back", permissions=["change"])
    def go_back(self, request: HttpRequest, queryset: QuerySet[Pool]) -> None:
        self._have_word(request, queryset, "go_back", revisions.go_back)

    @admin.action(description="Roll-out: try again", permissions=["change"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Pool]) -> None:
        self._have_word(request, queryset, "try_again", revisions.try_again)

    def _have_word(self, request: HttpRequest, queryset: QuerySet[Pool], name: str, say: Callable[..., bool]) -> None:
        by, said = request.user.get_username(), 0
        for rollout in Rollout.objects.filter(pool__in=queryset.values("pk")).select_related("pool"):
            with one_act(request):
                if not say(rollout, now=timezone.now(), by=by):
                    continue
                state = Rollout.objects.values_list("state", flat=True).get(pk=rollout.pk)
                before, after = {"rollout": rollout.state}, {"rollout": state}
                record(request, f"pool.{name}", rollout.pool, before=before, after=after)
                said += 1
        self.message_user(request, f"{said} of {len(queryset)} pools had a roll-out that this could be said to.")

    @admin.action(description="Pause scaling", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Pool]) -> None:
        self._steer(request, queryset, "pause", steering.pause)
        self.message_user(request, "The fleets of these pools are left as they are.")

    @admin.action(description="Resume scaling", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Pool]) -> None:
        self._steer(request, queryset, "resume", steering.resume)  # drained ones, too
        self.message_user(request, "The fleets follow their policies again.")

    def _steer(self, request: HttpRequest, queryset: QuerySet[Pool], name: str, say: Callable[[UUID], None]) -> None:
        """Say it to those to which it is news, with an entry for each."""
        for pool in list(queryset):
            with suppress(steering.NotNow), one_act(request):
                say(pool.pk)
                is_paused = Pool.objects.values_list("is_paused", flat=True).get(pk=pool.pk)
                record(
                    request,
                    f"pool.{name}",
                    pool,
                    before={"is_paused": pool.is_paused},
                    after={"is_paused": is_paused},
                )


@admin.register(ScalingPolicy)
class ScalingPolicyAdmin(ConsoleAdmin):
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


@admin.register(PoolRevision)
class PoolRevisionAdmin(Facts, ShownRecipe):
    """What workers are and were made from."""

    exclude = tuple(ShownRecipe.INSTEAD)
    readonly_fields = tuple(ShownRecipe.INSTEAD.values())

    list_display = ("shown", "engine", "model", "image", "created_by", "created_at", "ready_at")
    export_columns = ("pool", "number", *list_display[1:])
    list_filter = ("pool",)
    search_fields = ("pool__slug", "model", "image")
    list_select_related = ("pool",)

    @display(description="revision", ordering="pool")
    def shown(self, revision: PoolRevision) -> str:
        """Its pool, and which of it."""
        return str(revision)


@admin.register(Rollout)
class RolloutAdmin(Facts):
    """How far each pool's fleet is on its way to its revision, and why one is not used."""

    list_display = ("pool", "state", "current", "target", "failures", "since", "reason")
    list_filter = ("state",)
    search_fields = ("pool__slug", "reason")
    list_select_related = ("pool", "current__pool", "target__pool")


@admin.register(StockItem)
class StockItemAdmin(Facts):
    """What lies ready on each host, and what is on its way."""

    list_display = ("name", "kind", "host", "state", "done_bytes", "total_bytes", "changed_at", "error")
    list_filter = ("state", "kind", "host")
    search_fields = ("name", "error")


@admin.register(Worker)
class WorkerAdmin(Facts):
    """Every worker's life, with its last words."""

    list_display = (
        "live_page",
        "of_pool",
        "shown_state",
        "runs_as",
        "shown_gpus",
        "lived",
        "ready_after",
        "trouble",
        "form_page",
    )
    list_display_links = None
    export_columns = (
        "id", "pool", "shown_revision", "state", "runtime", "slots", "shown_gpus", "started_at", "ready_at", "stopped_at",
        "error",
    )  # fmt: skip
    actions_row: ClassVar = ["drain", "kill"]
    exclude = ("start_phases",)
    readonly_fields = ("phases",)
    list_filter = ("started_at", "state", "pool", "runtime")
    search_fields = ("id", "runtime_ref", "error")
    list_select_related = ("pool", "revision")

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Operators may have a worker drained or killed."""
        access = access_of(request.user)
        return access is not None and access.is_operator

    @action(description="Drain…", permissions=["end"], url_path="drain")
    def drain(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        """The page that asks first."""
        return HttpResponseRedirect(reverse("console:worker_drain", args=[object_id]))

    @action(description="Kill…", permissions=["end"], url_path="kill")
    def kill(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        """The page that asks first."""
        return HttpResponseRedirect(reverse("console:worker_kill", args=[object_id]))

    @display(description="worker", ordering="id")
    def live_page(self, worker: Worker) -> str:
        """A link to its live page."""
        return way(reverse("console:worker", args=[worker.pk]), str(worker.pk)[-8:], title=worker.pk)

    @display(description="pool", ordering="pool")
    def of_pool(self, worker: Worker) -> str:
        """And which revision of it."""
        return two_lines(worker.pool, self.shown_revision(worker))

    @display(description="runtime", ordering="runtime")
    def runs_as(self, worker: Worker) -> str:
        """And how many turns at once."""
        return two_lines(worker.runtime, f"{worker.slots} slot{'' if worker.slots == 1 else 's'}")

    @display(description="started, stopped", ordering="started_at")
    def lived(self, worker: Worker) -> str:
        """From when to when."""
        return two_lines(moment(worker.started_at), moment(worker.stopped_at))

    @display(description="ready after")
    def ready_after(self, worker: Worker) -> str:
        """What its start took."""
        return f"{(worker.ready_at - worker.started_at).total_seconds():.1f} s" if worker.ready_at else ""

    @display(description="revision", ordering="revision__number")
    def shown_revision(self, worker: Worker) -> str:
        """The number alone: the pool stands beside it."""
        return f"r{worker.revision.number}"

    @display(description="GPUs")
    def shown_gpus(self, worker: Worker) -> str:
        """The devices that it was given, and the part of them that it has."""
        part = f" ({worker.gpu_share:g} of it)" if worker.gpu_share < 1 else ""
        devices = format_html_join(", ", "{}", ((line(gpu),) for gpu in worker.gpus))
        return format_html("<div>{}{}</div>", devices, part) if worker.gpus else ""

    @display(description="phases of its start")
    def phases(self, worker: Worker) -> str:
        """What its start took, phase by phase."""
        return shown(worker.start_phases, runtime=worker.runtime)

    @display(description="error")
    def trouble(self, worker: Worker) -> str:
        """Two lines of why it ended."""
        return cut(worker.error)

    @display(description="state", ordering="state", label=WORKER_COLOURS)
    def shown_state(self, worker: Worker) -> str:
        """The state in its colour."""
        return worker.state


@admin.register(ScalingDecision)
class ScalingDecisionAdmin(Facts):
    """Why there are as many as there are."""

    list_display = ("at", "pool", "current", "desired", "reason", "measured")
    list_filter = ("at", "pool")
    search_fields = ("reason", "pool__slug")
    list_select_related = ("pool",)
    readonly_fields = ("measured", "step", "known", "again", "timeline")
    fieldsets = (
        (None, {"fields": ("at", "timeline", "step", "reason", "known", "again")}),
        ("What it was made from, to replay it", {"fields": ("signals",), "classes": ("collapse",)}),
    )

    @display(description="measured")
    def measured(self, decision: ScalingDecision) -> str:
        """What the queue and the workers said beyond the counts that the reason names."""
        return in_words(decision.signals)

    @display(description="workers")
    def step(self, decision: ScalingDecision) -> str:
        """Starting or ready when it was made, and wanted from then on."""
        return f"{decision.current} → {decision.desired}"

    @display(description="known then")
    def known(self, decision: ScalingDecision) -> str:
        """All signals, in a sentence."""
        return known_then(decision.signals)

    @display(description="made again now")
    def again(self, decision: ScalingDecision) -> str:
        """Whether today's code decides the same from the same signals, as `manage.py replay_decisions` asks of all."""
        try:
            found = differences(
                decision.signals, current=decision.current, desired=decision.desired, reason=decision.reason
            )
        except NotStored as why:
            return str(why)
        return "The same signals give the same decision." if not found else "; ".join(found)

    @display(description="pool")
    def timeline(self, decision: ScalingDecision) -> SafeString:
        """The pool's timeline, around it."""
        page = reverse("console:pool", args=[decision.pool.slug])
        return format_html('<a href="{}?decision={}">{}, on its timeline</a>', page, decision.pk, decision.pool.slug)
