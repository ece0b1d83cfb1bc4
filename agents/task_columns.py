"""The columns of the list of tasks: what each was, how long it waited and ran, what it took and cost."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display

from agents.models import Task, Turn
from agents.money import cost_of
from staff.lists.columns import cut, line, moment, two_lines, way_to_task

STATE_COLOURS = {
    "queued": "warning", "running": "info", "waiting": "info", "succeeded": "success", "failed": "danger", "cancelled": "",
    "expired": "danger",
}  # fmt: skip

COLUMNS = ("page", "shown_state", "whose", "pool", "lasts", "tokens", "cost", "trouble")
EXPORTED = (
    "id", "state", "tenant", "agent_revision", "pool", "api_key", "created_at", "started_at", "first_token_at", "finished_at",
    "prompt_tokens", "cached_tokens", "completion_tokens", "cost", "error", "attempts",
)  # fmt: skip
NOT_LISTED = (
    "input",
    "output",
    "logprobs",
    "options",
    "metadata",
    "tool_calls",
    "params",
    "output_form",
    "context_use",
)
"""What may be long, and no column shows."""


def listed(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """The rows as the columns need them: a fixed number of queries for a page."""
    turns = Turn.objects.across_tenants().only(
        "task_id", "prompt_tokens", "cached_tokens", "completion_tokens", "claimed_at", "finished_at"
    )
    return (
        tasks.select_related("tenant", "agent", "revision", "pool", "api_key")
        .defer(*NOT_LISTED)
        .prefetch_related(Prefetch("turns", turns.order_by("number")))
    )


def seconds(since: datetime, until: datetime) -> str:
    """A duration as people read it: `0.42 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    lasts = max(0.0, (until - since).total_seconds())
    if lasts < 59.95:
        return f"{lasts:.2f} s" if lasts < 10 else f"{lasts:.1f} s"
    whole = round(lasts)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def amount(of: Decimal) -> str:
    """An amount of money to six places at most."""
    return f"{of:.6f}".rstrip("0").rstrip(".")


def money(of: Decimal) -> str:
    """The same with its currency."""
    return f"{amount(of)} {settings.OPSITE_CURRENCY}"


def cost_of_task(task: Task) -> Decimal:
    """What its turns cost that have ended, each at the price of that moment; `turns` are prefetched."""
    return sum(
        (
            cost_of(
                prompt_tokens=turn.prompt_tokens,
                cached_tokens=turn.cached_tokens,
                completion_tokens=turn.completion_tokens,
                prices=task.pool.token_prices,
                at=turn.finished_at,
            )
            or Decimal(0)
            for turn in task.turns.all()
            if turn.finished_at is not None
        ),
        Decimal(0),
    )


class TaskColumns:
    """What each column says."""

    @display(description="task, accepted at", ordering="created_at")
    def page(self, task: Task) -> SafeString:
        """The task's own page, and since when it is."""
        return two_lines(way_to_task(task.pk), moment(task.created_at))

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def shown_state(self, task: Task) -> str:
        """The state in its colour."""
        return task.state

    @display(description="tenant, agent")
    def whose(self, task: Task) -> SafeString:
        """Whose it is, and which definition of it ran."""
        return two_lines(task.tenant, self.agent_revision(task))

    @display(description="agent")
    def agent_revision(self, task: Task) -> str:
        """Which definition of it ran."""
        return f"{task.agent.slug} r{task.revision.number}"

    @display(description="in all, waited")
    def lasts(self, task: Task) -> SafeString:
        """From its acceptance to its end, and until a worker first had it; of what has not come yet, until now."""
        now = timezone.now()
        waited = seconds(task.created_at, task.started_at or task.finished_at or now)
        return two_lines(seconds(task.created_at, task.finished_at or now), f"{waited} waiting")

    @display(description="tokens")
    def tokens(self, task: Task) -> str:
        """Read and written."""
        return line(f"{task.prompt_tokens:,} + {task.completion_tokens:,}")

    @display(description=f"cost, {settings.OPSITE_CURRENCY}")
    def cost(self, task: Task) -> str:
        """So far."""
        return amount(cost_of_task(task))

    @display(description="attempts, error")
    def trouble(self, task: Task) -> str:
        """How often it was begun, if more than once, and why it failed: code and sentence, whole as the title of what is cut."""
        attempts = f"{task.attempts} attempts" if task.attempts > 1 else ""
        error: dict[str, Any] = task.error or {}
        if not error:
            return attempts
        words = f"{error.get('code', '')}: {error.get('message', '')}"
        return two_lines(cut(words), attempts)
