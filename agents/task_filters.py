"""By what staff narrow the list of tasks. Each filter has an index that serves it together with the order by time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter, RangeDateTimeFilter, TextFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm

from agents.lifecycle import DEAD_LETTER_CODES, OPEN, TaskState
from agents.models import Task
from orchestrator.models import Pool
from staff.access import access_of
from tenants.scoping import TenantOwned

DEAD = sorted(DEAD_LETTER_CODES)


class DeadLetters(DropdownFilter):
    """Tasks that no worker could run: those that may be run again, and those that were."""

    title = "dead letters"
    parameter_name = "dead_letter"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("left", "Not run again"), ("rerun", "Run again"), ("all", "All dead letters")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        chosen = self.value()
        if chosen not in {"left", "rerun", "all"}:
            return queryset
        dead = queryset.alias(code=KeyTextTransform("code", "error")).filter(state=TaskState.FAILED, code__in=DEAD)
        return dead if chosen == "all" else dead.filter(rerun__isnull=chosen == "left")


class States(DropdownFilter):
    """One state, or all that have not ended."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Not ended"), *((state.value, state.value.capitalize()) for state in TaskState)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        chosen = self.value()
        if chosen == "open":
            return queryset.filter(OPEN_ROWS)
        if chosen not in set(TaskState):
            return queryset
        of_state = queryset.filter(state=chosen)
        return of_state.filter(OPEN_ROWS) if chosen in OPEN else of_state


OPEN_ROWS = ~Q(state__in=sorted(set(TaskState) - OPEN))
"""As the index of open tasks is spelled, so that it serves."""

PERIODS: dict[str, tuple[str, timedelta | None]] = {
    "today": ("Today", None),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
}


def since(period: str, *, now: datetime) -> datetime | None:
    """When a period of the filter began; None of one that there is not. A day begins at midnight of the zone of `now`."""
    if period not in PERIODS:
        return None
    _, lasts = PERIODS[period]
    return now.replace(hour=0, minute=0, second=0, microsecond=0) if lasts is None else now - lasts


class Period(DropdownFilter):
    """When they were accepted, counted from now."""

    title = "time"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, words) for name, (words, _) in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        begun = since(self.value() or "", now=timezone.localtime())
        return queryset if begun is None else queryset.filter(created_at__gte=begun)


class Accepted(RangeDateTimeFilter):
    """From a moment, to a moment, or both, in the server's zone; a day without a time is taken whole."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        begun, over = self._moment("from", "00:00:00"), self._moment("to", "23:59:59.999999")
        if begun is not None:
            queryset = queryset.filter(created_at__gte=begun)
        return queryset if over is None else queryset.filter(created_at__lte=over)

    def _moment(self, side: str, time: str) -> datetime | None:
        day, at = (self.used_parameters.get(f"{self.parameter_name}_{side}_{part}") or "" for part in (0, 1))
        try:
            return timezone.make_aware(datetime.fromisoformat(f"{day}T{at or time}")) if day else None
        except ValueError:
            return None  # what no date is, the form beside the list says


class ErrorCode(TextFilter):
    """Tasks that failed with a code, as it stands in `error.code`."""

    title = "error code"
    parameter_name = "error_code"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        code = (self.value() or "").strip()
        if not code:
            return queryset
        return queryset.alias(code=KeyTextTransform("code", "error")).filter(state=TaskState.FAILED, code=code)


class Pools(DropdownFilter):
    """A pool that the viewer may know of: shared ones, and those dedicated to a tenant that is theirs to see."""

    title = "pool"
    parameter_name = "pool"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        access = access_of(request.user)
        pools = Pool.objects.order_by("slug")
        if access is None or not access.sees_all_tenants:
            pools = pools.filter(Q(tenant__isnull=True) | Q(tenant=None if access is None else access.tenant_id))
        self._ids = dict(pools.values_list("slug", "pk"))
        return [(slug, slug) for slug in self._ids]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """By the id: behind a join to the pool's row no index has the tasks in the order of time."""
        if not self.value():
            return queryset
        known = self._ids.get(self.value())
        return queryset.none() if known is None else queryset.filter(pool=known)


class Origin(DropdownFilter):
    """Lines of batches, or all others. A batch writes its name into the metadata of its tasks, where it outlives the lines."""

    title = "origin"
    parameter_name = "origin"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("interactive", "Interactive"), ("batch", "Of batches")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        match self.value():
            case "batch":
                return queryset.filter(metadata__has_key="batch")
            case "interactive":
                return queryset.exclude(metadata__has_key="batch")
            case _:
                return queryset


class SeenAutocompleteForm(AutocompleteDropdownForm):
    """What was chosen is shown by its name only where the viewer may see it."""

    def __init__(self, request: HttpRequest, name: str, **kwargs: Any) -> None:
        super().__init__(request=request, name=name, **kwargs)
        model = kwargs["field"].remote_field.model
        owned = issubclass(model, TenantOwned)
        rows = model.objects.across_tenants() if owned else model.objects.all()
        access = access_of(request.user)
        self.fields[name].queryset = (
            rows.none() if access is None else access.rows(rows, tenant="tenant" if owned else "pk")
        )


class Autocomplete(AutocompleteSelectFilter):
    """One of very many, found by typing; nothing is listed before."""

    form_class = SeenAutocompleteForm


FILTERS = (
    Period,
    ("created_at", Accepted),
    States,
    ErrorCode,
    DeadLetters,
    ("tenant", Autocomplete),
    ("agent", Autocomplete),
    ("api_key", Autocomplete),
    Pools,
    Origin,
)
"""In the order in which they are shown."""
