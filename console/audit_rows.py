"""Which entries of the audit log a list shows: those that the viewer may see, an act as one line."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from audit.models import Entry

OF_ACCOUNTS = ("authenticator", "group", "staff", "staffrole", "user")
"""How actions on accounts of staff and their signing in begin: for operators only, as the accounts are."""
_ACCOUNTS = rf"^({'|'.join(OF_ACCOUNTS)})\."
ONE_BY_ONE = frozenset({"action", "q", "rows"})
"""Parameters of an address that ask for entries as they are written."""
OF_AN_OBJECT = frozenset({"object_id", "object_kind"})


def is_of_accounts(action_or_kind: str) -> bool:
    """Whether an action (`user.change`) or a model's label (`auth.user`) is about accounts of staff."""
    first, _, last = action_or_kind.partition(".")
    return first in OF_ACCOUNTS or last in OF_ACCOUNTS


def without_accounts(entries: QuerySet[Any]) -> QuerySet[Any]:
    """What is not about accounts of staff."""
    return entries.exclude(action__regex=_ACCOUNTS)


def one_line_each(entries: QuerySet[Any], asked: Container[str]) -> QuerySet[Any]:
    """Acts without their parts. In an object's history parts of acts upon other objects stand by themselves.

    `asked`: the names of an address' parameters.
    """
    if any(name in asked for name in ONE_BY_ONE):
        return entries
    if not any(name in asked for name in OF_AN_OBJECT):
        return entries.filter(is_part=False)
    told = Entry.objects.filter(
        act=OuterRef("act"), is_part=False, object_kind=OuterRef("object_kind"), object_id=OuterRef("object_id")
    )
    return entries.exclude(Q(is_part=True) & Exists(told))


def parts_of(entries: QuerySet[Any], entry: Entry) -> QuerySet[Any]:
    """The rows' changes of an act, in the order in which they were made."""
    return entries.filter(act=entry.act, is_part=True).order_by("id") if entry.act else entries.none()


def whole_of(entries: QuerySet[Any], entry: Entry) -> Entry | None:
    """The act that a row's change is a part of."""
    return entries.filter(act=entry.act, is_part=False).first() if entry.is_part else None
