"""Filters that hold for lists of any length: an object found by typing, a span of time, an exact text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin import FieldListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import FieldDoesNotExist
from django.db.models import CharField, DateTimeField, Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm

SPANS = {
    "15m": ("last 15 minutes", timedelta(minutes=15)),
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(hours=24)),
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
}


class RelatedForm(AutocompleteDropdownForm):
    """The field of `RelatedFilter`: what it may name is what the viewer may see."""

    def __init__(
        self, request: HttpRequest, name: str, label: str, *, field: Any, model_admin: Any, **rest: Any
    ) -> None:
        super().__init__(request=request, name=name, label=label, field=field, model_admin=model_admin, **rest)
        others = model_admin.admin_site.get_model_admin(field.related_model)
        self.fields[name].queryset = others.get_queryset(request)


class RelatedFilter(AutocompleteSelectFilter):
    """By an object of another model, which is found by typing: there may be thousands of them."""

    form_class = RelatedForm


class Asked(FieldListFilter):
    """A filter whose values are typed, not chosen from those that there are. `names`: its parameters."""

    names: tuple[str, ...]

    def expected_parameters(self) -> list[str | None]:
        return list(self.names)

    def value(self, name: str) -> str:
        """The last one that was given, as text."""
        values = self.used_parameters.get(name) or [""]
        return str(values[-1] if isinstance(values, list) else values).strip()

    def choices(self, changelist: Any) -> Iterator[Any]:
        yield {}


class MomentFilter(Asked):
    """By time: a span that ends now, or from one moment to another, in the service's time zone."""

    template = "staff/lists/moment_filter.html"

    def __init__(self, field: Any, request: HttpRequest, *rest: Any, field_path: str) -> None:
        self.within, self.since, self.until = (f"{field_path}__{word}" for word in ("within", "since", "until"))
        self.names = (self.within, self.since, self.until)
        self.path, self.request = field_path, request
        super().__init__(field, request, *rest, field_path)  # type: ignore[call-arg]  # three

    @property
    def spans(self) -> list[tuple[str, str, bool]]:
        """Value, words, and whether it is chosen."""
        chosen = self.value(self.within)
        return [("", "any time", not chosen)] + [(key, words, key == chosen) for key, (words, _) in SPANS.items()]

    @property
    def since_value(self) -> str:
        return self.value(self.since)

    @property
    def until_value(self) -> str:
        return self.value(self.until)

    @property
    def zone(self) -> str:
        return timezone.get_current_timezone_name()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of that time; none, and a message, if what is given is no time."""
        if within := self.value(self.within):
            if within not in SPANS:
                return self._refuse(queryset, f"{within!r} is no span; choose one of {', '.join(SPANS)}.")
            queryset = queryset.filter(**{f"{self.path}__gte": timezone.now() - SPANS[within][1]})
        for name, look_up in ((self.since, "gte"), (self.until, "lt")):
            if not (given := self.value(name)):
                continue
            moment = _moment(given)
            if moment is None:
                return self._refuse(queryset, f"{given!r} is no moment; write it as 2026-01-31T18:00.")
            queryset = queryset.filter(**{f"{self.path}__{look_up}": moment})
        return queryset

    def _refuse(self, queryset: QuerySet[Any], why: str) -> QuerySet[Any]:
        messages.error(self.request, f"Filter by {self.title}: {why}")
        return queryset.none()


class TextFilter(Asked):
    """By the exact text of a column."""

    template = "staff/lists/text_filter.html"

    def __init__(self, field: Any, *rest: Any, field_path: str) -> None:
        self.name = field_path
        self.names = (field_path,)
        super().__init__(field, *rest, field_path)  # type: ignore[call-arg]  # four

    @property
    def text(self) -> str:
        return self.value(self.name)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.name: self.text}) if self.text else queryset


def fitting(model: type[Model], given: Any, *, admin_site: Any, is_large: bool) -> Any:
    """A list's filter as it is declared, or in the form that holds for many rows, where only a field is named."""
    if not isinstance(given, str):
        return given
    try:
        field = get_fields_from_path(model, given)[-1]
    except FieldDoesNotExist:
        return given
    if field.many_to_one and admin_site.is_registered(field.related_model):
        searched = admin_site.get_model_admin(field.related_model).search_fields
        return (given, RelatedFilter) if searched else given
    if isinstance(field, DateTimeField):
        return (given, MomentFilter)
    if is_large and isinstance(field, CharField) and not field.choices:
        return (given, TextFilter)
    return given


def _moment(given: str) -> datetime | None:
    try:
        moment = parse_datetime(given)
    except ValueError:
        return None
    return timezone.make_aware(moment) if moment is not None and timezone.is_naive(moment) else moment
