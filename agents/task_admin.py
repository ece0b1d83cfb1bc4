"""Tasks and turns in the console: looked at, cancelled, run again."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display

from agents import dead_letters
from agents.cancelling import cancel_for_staff
from agents.models import Task, Turn
from agents.task_columns import COLUMNS, EXPORTED, STATE_COLOURS, TaskColumns, listed
from agents.task_filters import FILTERS
from audit.recording import record
from staff.inlines import HistoryInline, link_to_all
from staff.lists.columns import way_to_task
from tenants.admin import ReadOnly

REFUSED = {
    dead_letters.NotDeadLetter: "Not run again, because they are no dead letters",
    dead_letters.RunAgainAlready: "Not run again, because they were run again before",
    dead_letters.TenantInactive: "Not run again, because their tenant is inactive",
}
SHOWN = 5
"""Tasks that a message names."""


class TurnInline(HistoryInline):
    """A task's first model calls."""

    model = Turn
    ordering = ("number",)
    fields = (
        "number", "state", "attempts", "worker", "prompt_tokens", "context_use", "summarises", "queued_at", "claimed_at",
        "first_token_at", "finished_at",
    )  # fmt: skip
    readonly_fields = fields


@admin.register(Task)
class TaskAdmin(TaskColumns, ReadOnly):
    """Tasks: what was asked, what came of it, who did it when. Each has a page of its own in the console."""

    list_display = COLUMNS
    export_columns = EXPORTED
    list_display_links = None
    is_large = True
    list_defer = ("input", "params", "options", "metadata", "output", "logprobs", "tool_calls", "context_use")
    list_filter = FILTERS
    search_fields = ("id", "agent__slug", "idempotency_key")
    search_help_text = "id, idempotency key or agent"
    readonly_fields = ("trouble", "run_again_as", "all_turns")
    inlines: ClassVar = [TurnInline]
    actions: ClassVar = ["cancel", "run_again"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        match = request.resolver_match
        return (
            listed(rows) if match is not None and (match.url_name or "").endswith(("_changelist", "_export")) else rows
        )

    @display(description="run again as")
    def run_again_as(self, task: Task) -> str:
        """The task that took the place of this dead letter."""
        return str(getattr(task, "rerun", ""))

    @display(description="turns")
    def all_turns(self, task: Task) -> SafeString:
        """The first stand below; the list has them all."""
        return link_to_all(Turn, "all in a list", task__id__exact=task.pk)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whoever may change tasks may cancel them, though nobody edits one."""
        return request.user.has_perm("agents.change_task")

    def has_run_again_permission(self, request: HttpRequest) -> bool:
        """Whoever may change tasks may run them again; nothing of a task itself changes by that."""
        return request.user.has_perm("agents.change_task")

    @admin.action(description="Run the selected dead letters again, as new tasks", permissions=["run_again"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        def noted(dead: Task, again: Task) -> None:
            record(request, "task.retry", dead, after={"run_again_as": str(again.pk)})

        tasks, now = list(queryset), timezone.now()
        done = dead_letters.rerun_tasks(tasks=tasks, redis_url=settings.REDIS_URL, now=now, noted=noted)
        if done.accepted:
            self.message_user(
                request, f"{len(done.accepted)} tasks are run again, as new tasks: {_listed(done.accepted)}."
            )
        for kind, words in REFUSED.items():
            tasks = [task for task, refusal in done.refused if isinstance(refusal, kind)]
            if tasks:
                self.message_user(request, f"{words}: {_listed(tasks)}.", messages.WARNING)

    @admin.action(description="Cancel the selected tasks", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        done = cancel_for_staff(request=request, tasks=list(queryset), redis_url=settings.REDIS_URL)
        if done.ending or done.is_whole:
            self.message_user(request, f"{len(done.ending)} tasks were waiting or running and are ending.")
        if done.is_whole:
            return
        said = ["Redis does not answer:"]
        if not (done.ending or done.unsure):
            said.append("nothing was cancelled.")
        elif done.untried:
            said.append(f"{len(done.untried)} tasks were not cancelled: {_listed(done.untried)}.")
        if done.unsure:
            said.append(f"Whether {len(done.unsure)} tasks are ending is not known: {_listed(done.unsure)}.")
        self.message_user(request, f"{' '.join(said)} Cancel them again when it is back.", messages.ERROR)


def _listed(tasks: list[Task]) -> str:
    shown = ", ".join(str(task.pk) for task in tasks[:SHOWN])
    return f"{shown} and {len(tasks) - SHOWN} more" if len(tasks) > SHOWN else shown


@admin.register(Turn)
class TurnAdmin(ReadOnly):
    """All model calls."""

    list_display = (
        "shown_task",
        "shown_number",
        "tenant",
        "shown_state",
        "attempts",
        "worker",
        "queued_at",
        "claimed_at",
        "finished_at",
    )
    list_display_links = ("shown_number",)
    export_columns = (
        "id",
        "task",
        "number",
        "tenant",
        "state",
        "attempts",
        "worker",
        "queued_at",
        "claimed_at",
        "finished_at",
    )
    is_large = True
    list_defer = (
        "context",
        "output",
        "attempt_log",
        "allowance",
        "context_use",
        "summarises",
        "task__input",
        "task__output",
    )
    ordering = ("-id",)
    list_filter = ("state", "tenant")
    search_fields = ("id", "task__id")
    list_select_related = ("task", "tenant")

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def shown_state(self, turn: Turn) -> str:
        """The state in its colour."""
        return turn.state

    @display(description="task")
    def shown_task(self, turn: Turn) -> str:
        """The way to the page of its task."""
        return way_to_task(turn.task_id)

    @display(description="turn")
    def shown_number(self, turn: Turn) -> str:
        """Which of the task's it is."""
        return f"turn {turn.number}"
