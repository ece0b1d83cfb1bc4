"""Schedules in the console: what fires when, what came of it, and a switch."""

from __future__ import annotations

from itertools import islice
from typing import ClassVar
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from unfold.dataclasses import ActionDialog
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from schedules import services
from schedules.models import Firing, Schedule
from schedules.timing import coming
from staff.lists.columns import way_to_task
from tenants.admin import ReadOnly

MAY = ["switch"]
SHOWN = 5
COLOURS = {"on": "success", "off": "", "paused after failures": "danger"}
FIRING_COLOURS = {"fired": "success", "skipped": "info", "missed": "warning", "failed": "danger"}


@admin.register(Schedule)
class ScheduleAdmin(ReadOnly):
    """Tasks on a schedule. They are made and changed by API, in the name of a key."""

    list_display = (
        "name",
        "tenant",
        "agent",
        "cron",
        "time_zone",
        "shown_state",
        "next_at",
        "last_at",
        "failures",
        "trouble",
    )
    list_filter = ("is_enabled", ("paused_at", admin.EmptyFieldListFilter), "tenant")
    search_fields = ("name", "agent__slug")
    list_select_related = ("tenant", "agent")
    readonly_fields = ("trouble", "coming_up")
    actions_detail: ClassVar = ["pause", "resume"]

    def has_switch_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """A schedule is changed by API alone, but whoever may change it may turn it on and off."""
        return request.user.has_perm("schedules.change_schedule")

    @display(description="state", label=COLOURS)
    def shown_state(self, schedule: Schedule) -> str:
        """Whether it fires."""
        return "on" if schedule.is_enabled else "paused after failures" if schedule.paused_at else "off"

    @display(description="trouble")
    def trouble(self, schedule: Schedule) -> str:
        """Why the last firing made no task."""
        return (schedule.last_error or {}).get("message", "")

    @display(description="next firings")
    def coming_up(self, schedule: Schedule) -> str:
        """The next nominal times, in its own zone."""
        if schedule.next_at is None:
            return "none: it is off"
        later = islice(coming(schedule.cron, schedule.time_zone, after=schedule.next_at), SHOWN - 1)
        zone = ZoneInfo(schedule.time_zone)
        return ", ".join(f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M %Z}" for moment in (schedule.next_at, *later))

    @action(
        description="Pause",
        icon="pause",
        permissions=MAY,
        dialog=ActionDialog(
            title="Pause this schedule",
            description="It fires no more until it is resumed.",
            form_class=None,
            form_submit_text="Pause",
        ),
    )
    def pause(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        schedule = get_object_or_404(Schedule.objects.across_tenants(), pk=object_id)
        services.pause(schedule=schedule)
        return self._back(request, schedule, "It fires no more.")

    @action(
        description="Resume",
        icon="play_arrow",
        permissions=MAY,
        dialog=ActionDialog(
            title="Resume this schedule",
            description="It fires from now on; what was missed while it was off is not made good.",
            form_class=None,
            form_submit_text="Resume",
        ),
    )
    def resume(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        schedule = get_object_or_404(Schedule.objects.across_tenants(), pk=object_id)
        services.resume(schedule=schedule, now=timezone.now())
        return self._back(request, schedule, "It fires again.")

    def _back(self, request: HttpRequest, schedule: Schedule, said: str) -> HttpResponse:
        messages.success(request, said)
        return HttpResponse(headers={"HX-Redirect": reverse("admin:schedules_schedule_change", args=[schedule.pk])})


@admin.register(Firing)
class FiringAdmin(ReadOnly):
    """What came of each nominal time."""

    list_display = ("nominal_at", "schedule", "tenant", "shown_state", "count", "shown_task", "trouble", "created_at")
    export_columns = ("schedule", "nominal_at", "tenant", "state", "count", "task", "trouble", "created_at")
    list_filter = ("state", "tenant")
    is_large = True
    ordering = ("-id",)
    search_fields = ("schedule__name", "task__id")
    list_select_related = ("schedule", "tenant", "task")

    @display(description="task")
    def shown_task(self, firing: Firing) -> str:
        """The way to the page of what it started."""
        return way_to_task(firing.task_id)

    @display(description="state", ordering="state", label=FIRING_COLOURS)
    def shown_state(self, firing: Firing) -> str:
        """The state in its colour."""
        return firing.state

    @display(description="trouble")
    def trouble(self, firing: Firing) -> str:
        """Why it made no task."""
        return (firing.error or {}).get("message", "")
