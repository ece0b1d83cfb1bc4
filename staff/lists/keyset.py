"""Pages by key: a cursor names the row that a page begins behind, so page 10,000 costs what page 1 does, and rows that come or go
move nothing.

Postgres sorts NULL as larger than everything: last in an ascending order, first in a descending one. Turning an order round
turns both.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import ValidationError
from django.db.models import F, Field, Model, OrderBy, Q, QuerySet
from django.utils import timezone

NOTHING = Q(pk__in=[])


class BadCursor(ValueError):
    """This names no place in this order: it was cut, or the order is another one."""


@dataclass(frozen=True, slots=True)
class Term:
    """One column of an order. `name`: a look-up from the row, or an annotation; `read`: the row's attribute with its value."""

    name: str
    read: str
    field: Field[Any, Any]
    descending: bool
    nullable: bool

    @property
    def order(self) -> str:
        """For `order_by`."""
        return f"-{self.name}" if self.descending else self.name

    def equal(self, value: Any) -> Q:
        """Rows at this place."""
        return Q(**{f"{self.name}__isnull": True}) if value is None else Q(**{self.name: value})

    def behind(self, value: Any) -> Q:
        """Rows that come later than this place by this column alone."""
        if value is None:
            return Q(**{f"{self.name}__isnull": False}) if self.descending else NOTHING
        later = Q(**{f"{self.name}__{'lt' if self.descending else 'gt'}": value})
        return later | Q(**{f"{self.name}__isnull": True}) if self.nullable and not self.descending else later

    def reach(self, value: Any) -> Q:
        """Rows at this place or later, in the form that an index on this column answers."""
        if value is None:
            return self.behind(value) | self.equal(value)
        reach = Q(**{f"{self.name}__{'lte' if self.descending else 'gte'}": value})
        return reach | Q(**{f"{self.name}__isnull": True}) if self.nullable and not self.descending else reach


def ordered(rows: QuerySet[Any], ordering: Iterable[Any]) -> tuple[QuerySet[Any], tuple[Term, ...]]:
    """The rows in this order (names or expressions, as a model's `ordering`), ready to be read by key, and its columns.

    A relation stands for the order of what it leads to, as in Django. What is no column of the row itself is annotated.
    """
    terms: list[Term] = []
    for part in ordering:
        for column, descending in _flat(rows, part):
            name = column if isinstance(column, str) else f"order_{len(terms)}"
            if name is not column:
                rows = rows.annotate(**{name: column})
            term = _term(rows, name, descending)
            if "__" in name:
                term = replace(term, read=f"order_{len(terms)}")
                rows = rows.annotate(**{term.read: F(name)})
            if term.name not in {known.name for known in terms}:
                terms.append(term)
    return rows.order_by(*(term.order for term in terms)), tuple(terms)


def turned(terms: Sequence[Term]) -> tuple[Term, ...]:
    """The same order from its end."""
    return tuple(replace(term, descending=not term.descending) for term in terms)


def beyond(terms: Sequence[Term], place: Sequence[Any]) -> Q:
    """Rows behind a place. The bound of the first column stands by itself as well, for its index."""
    condition = NOTHING
    for term, value in reversed(list(zip(terms, place, strict=True))):
        condition = term.behind(value) | (term.equal(value) & condition)
    return terms[0].reach(place[0]) & condition


def pages(rows: QuerySet[Any], ordering: Iterable[Any], *, size: int, at_most: int) -> Iterator[list[Any]]:
    """The first `at_most` rows in this order, in pages of `size`, each by a query of its own when it is asked for."""
    rows, terms = ordered(rows, ordering)
    behind = rows
    while at_most > 0:
        page = list(behind[: min(size, at_most)])
        if page:
            yield page
        if len(page) < size:
            return
        at_most -= len(page)
        behind = rows.filter(beyond(terms, [getattr(page[-1], term.read) for term in terms]))


def cursor_of(terms: Sequence[Term], row: Model) -> str:
    """The row's place, as text for an address."""
    place = [getattr(row, term.read) for term in terms]
    return base64.urlsafe_b64encode(msgspec.json.encode(place, enc_hook=str)).decode().rstrip("=")


def place_of(terms: Sequence[Term], cursor: str) -> list[Any]:
    """The place that a cursor names.

    Raises:
        BadCursor: It names none in this order.
    """
    try:
        given = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[Any])
        if len(given) != len(terms):
            raise BadCursor
        return [None if value is None else _value(term, value) for term, value in zip(terms, given, strict=True)]
    except (msgspec.MsgspecError, binascii.Error, ValidationError, ValueError, TypeError, ArithmeticError):
        raise BadCursor("the address names no page of this list in this order") from None


def _value(term: Term, given: Any) -> Any:
    if isinstance(given, str) and "\x00" in given:
        raise BadCursor
    value = term.field.to_python(given)
    if isinstance(value, datetime) and timezone.is_naive(value):
        raise BadCursor
    return value


def _flat(rows: QuerySet[Any], part: Any, prefix: str = "") -> Iterable[tuple[Any, bool]]:
    """A part of an order as names (or an expression) with their directions."""
    descending = False
    if isinstance(part, OrderBy):
        part, descending = part.expression, part.descending
    if isinstance(part, F):
        part = str(part.name)  # type: ignore[attr-defined]  # the stubs leave it out
    if not isinstance(part, str):
        yield part, descending
        return
    if part.startswith("-"):
        part, descending = part[1:], not descending
    name = prefix + part
    if part == "pk" or name in rows.query.annotations:
        yield name, descending
        return
    field: Any = get_fields_from_path(rows.model, name)[-1]
    if not field.is_relation or name.rpartition("__")[2] != field.name:
        yield name, descending
        return
    for deeper in field.related_model._meta.ordering or ["pk"]:
        for known, turns in _flat(rows, deeper, prefix=f"{name}__"):
            yield known, turns != descending


def _term(rows: QuerySet[Any], name: str, descending: bool) -> Term:
    if name in rows.query.annotations:
        return Term(name, name, rows.query.annotations[name].output_field, descending, nullable=True)
    fields = _fields(rows.model, name)
    last = fields[-1]
    while last.is_relation:
        last = last.target_field
    return Term(name, fields[-1].attname, last, descending, nullable=any(field.null for field in fields))


def _fields(model: type[Model], name: str) -> list[Any]:
    """The fields that a look-up passes."""
    if name == "pk":
        return [model._meta.pk]
    if name.endswith("__pk"):
        relations = _fields(model, name.removesuffix("__pk"))
        return [*relations, relations[-1].related_model._meta.pk]
    return get_fields_from_path(model, name)
