"""On whose behalf this connection to Postgres writes: what the triggers on watched tables put into the audit log.

It is a setting of the session, not of the transaction: a request of Django's has many transactions. So no pooler may stand between
that gives each transaction another connection.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from django.conf import settings
from django.db import Error, connection, transaction
from django.http import HttpRequest

from audit.models import Entry

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
SETTING = "opsite.acting"


class Unrecorded(RuntimeError):
    """An act has changed rows, and nobody has recorded it: its parts would stand under nothing."""


@dataclass(slots=True)
class Act:
    """One that is under way."""

    id: uuid.UUID
    is_recorded: bool = False


def begin(request: HttpRequest, kind: Entry.ActorKind, actor: str) -> None:
    """From here on what is written is this actor's doing, until `end`; nothing for a method that may change nothing."""
    if request.method in SAFE_METHODS:
        return
    told = {"kind": str(kind), "actor": actor[:200], "address": address_of(request)}
    request._audit_acting = told  # type: ignore[attr-defined]
    _set(json.dumps(told))


@contextmanager
def one_act(request: HttpRequest) -> Iterator[None]:
    """A transaction that is one act of the request's: changes of rows are parts of what `audit.recording.record` adds in it.

    Raises `Unrecorded`, and undoes all, where rows were changed and nothing was recorded.
    """
    act, told = Act(uuid.uuid4()), getattr(request, "_audit_acting", None)
    with transaction.atomic():  # which takes the setting back, too
        request._audit_act = act  # type: ignore[attr-defined]
        if told is not None:
            _set(json.dumps({**told, "act": str(act.id)}))
        try:
            yield
        finally:
            request._audit_act = None  # type: ignore[attr-defined]
        if told is not None:
            _set(json.dumps(told))
        if not act.is_recorded and Entry.objects.filter(act=act.id).exists():
            raise Unrecorded


def act_of(request: HttpRequest) -> Act | None:
    """The act of the request's that is under way."""
    return getattr(request, "_audit_act", None)


@contextmanager
def as_provider(request: HttpRequest, actor: str) -> Iterator[None]:
    """What is written here is another service's word, which somebody who is not logged in yet has brought; whatever the method."""
    told = {"kind": str(Entry.ActorKind.NOBODY), "actor": actor, "address": address_of(request)}
    _set(json.dumps(told))
    try:
        yield
    finally:
        _set("")


def end(request: HttpRequest) -> None:
    """Nobody's doing any more."""
    if getattr(request, "_audit_acting", None) is None:
        return
    try:
        _set("")
    except Error:
        connection.close()  # and with it the setting


def address_of(request: HttpRequest) -> str | None:
    """Where a request came from: as the server saw it, or, behind proxies that are trusted, as the first of these did."""
    proxies = settings.OPSITE_TRUSTED_PROXIES
    passed = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    told = passed[-proxies] if 0 < proxies <= len(passed) else ""
    return _address(told) or _address(request.META.get("REMOTE_ADDR") or "")


def _address(text: str) -> str | None:
    """The address, if it is one that Postgres takes: without the link that it is of."""
    try:
        return str(ip_address(text.strip().partition("%")[0]))
    except ValueError:
        return None


def _set(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, false)", [SETTING, value])
