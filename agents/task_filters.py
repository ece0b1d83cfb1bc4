"""By what staff narrow the list of tasks. Each filter has an index that serves it together with the order by time."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from agents.lifecycle import DEAD_LETTER_CODES, OPEN, TaskState
from agents.models import Task
from orchestrator.models import Pool
from staff.access import access_of

DEAD = sorted(DEAD_LETTER_CODES)


def dead_letters(rows: QuerySet[Task]) -> QuerySet[Task]:
    """Those of the rows, as the index `task_dead_letters` spells it."""
    return rows.alias(code=KeyTextTransform("code", "error")).filter(state=TaskState.FAILED, code__in=DEAD)


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
        dead = dead_letters(queryset)
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


FILTERS = (
    "created_at",
    States,
    ErrorCode,
    DeadLetters,
    "tenant",
    "agent",
    "api_key",
    Pools,
    Origin,
)
"""In the order in which they are shown. Those that are named by their field are the list engine's (`staff.lists.filters`)."""
