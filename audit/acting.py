"""On whose behalf this connection to Postgres writes: what the triggers on watched tables put into the audit log.

It is a setting of the session, not of the transaction: a request of Django's has many transactions. So no pooler may stand between
that gives each transaction another connection.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest

from audit.models import Entry

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
SETTING = "opsite.acting"


def begin(request: HttpRequest, kind: Entry.ActorKind, actor: str) -> None:
    """From here on what is written is this actor's doing, until `end`; nothing for a method that may change nothing."""
    if request.method in SAFE_METHODS:
        return
    told = {"kind": str(kind), "actor": actor[:200], "address": address_of(request)}
    request._audit_acting = True  # type: ignore[attr-defined]
    _set(json.dumps(told))


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
    if not getattr(request, "_audit_acting", False):
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
