"""What of a model an index answers: by which columns a list of many rows may be sorted, and what may be searched for in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Field, Model, Q, QuerySet

RELATED_AT_MOST = 100
"""Objects of another model that a search goes on with."""


def leading_columns(model: type[Model]) -> frozenset[str]:
    """Names of the fields that are the first of a whole index, by which Postgres reads the table in order."""
    meta = model._meta
    leading = {field.name for field in meta.local_fields if field.unique or getattr(field, "db_index", False)}
    leading |= {index.fields[0].lstrip("-") for index in meta.indexes if index.fields and index.condition is None}
    leading |= {constraint.fields[0] for constraint in meta.total_unique_constraints}
    return frozenset(leading)


def exactly(rows: QuerySet[Any], paths: Iterable[str], term: str) -> QuerySet[Any]:
    """Those of the rows that have exactly this in one of these fields; else, those whose related object has.

    Related objects are looked for first, so that the rows are found by their key: in one query the planner would read them all.
    `agent__slug` is such a path; there are none of more steps.
    """
    own, related = [], []
    for path in paths:
        relation, _, name = path.partition("__")
        field = rows.model._meta.get_field(relation)
        if not name:
            own += _equal(field, field.name, term)
        elif _is_key(field, name):
            own += _equal(field.target_field, field.attname, term)
        else:
            related += _through(field, name, term)
    # One column at a time, and in the list's order, so that its index answers: of several with OR, or in no order, the planner
    # would read rows until one fits.
    if found := [one for one in own if list(rows.filter(one).values_list("pk")[:1])]:
        return rows.filter(_either(found))
    return rows.filter(_either(related)) if related else rows.none()


def _is_key(field: Any, name: str) -> bool:
    try:
        return bool(field.related_model._meta.get_field(name) == field.target_field)
    except FieldDoesNotExist:
        return name == "pk"


def _equal(field: Field[Any, Any], name: str, term: str) -> list[Q]:
    """The condition, or none if nothing in this column can be that."""
    try:
        return [Q(**{name: field.to_python(term)})]
    except ValidationError:
        return []


def _through(field: Any, name: str, term: str) -> list[Q]:
    others = field.related_model._default_manager.all()
    if hasattr(others, "across_tenants"):  # the rows that are searched are the viewer's already
        others = others.across_tenants()
    keys = list(others.filter(**{f"{name}__iexact": term}).order_by().values_list("pk", flat=True)[:RELATED_AT_MOST])
    return [Q(**{f"{field.attname}__in": keys})] if keys else []


def _either(conditions: list[Q]) -> Q:
    whole = conditions[0]
    for condition in conditions[1:]:
        whole |= condition
    return whole
