"""How any part of the service announces an event: in the transaction that makes it true, for every endpoint that listens.

It is one statement over any number of events. A tenant without endpoints costs a look at an index.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import connection

from webhooks.events import check_types
from webhooks.retries import WINDOW


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """One event: of whom, its type (of `events.EVENT_TYPES`), what the receiver is told, and when it happened."""

    tenant_id: uuid.UUID
    type: str
    data: dict[str, Any]
    at: datetime


def insertion(source: str) -> str:
    """The statement, for SQL that has its events as a table: `source` has columns tenant_id, type, data (jsonb), at and trace."""
    return f"""
        INSERT INTO webhooks_delivery
            (id, tenant_id, endpoint_id, type, payload, state, due_at, give_up_at, claims, tries, trace, created_at)
        SELECT gen_random_uuid(), e.tenant_id, e.id, s.type,
               jsonb_build_object('type', s.type, 'data', s.data, 'timestamp',
                   to_char(s.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
               'pending', now(), now() + interval '{WINDOW.total_seconds():.0f} s', 0, 0,
               coalesce(s.trace, ''), now()
        FROM webhooks_endpoint e JOIN {source} s ON s.tenant_id = e.tenant_id
        WHERE e.enabled AND (e.event_types = '{{}}' OR s.type = ANY(e.event_types))
    """


ANNOUNCE = insertion(
    "(SELECT * FROM jsonb_to_recordset(%s::jsonb) AS x(tenant_id uuid, type text, data jsonb, at timestamptz, trace text))"
)
"""For connections that are not Django's; its one argument is `encoded(…)`."""


def encoded(announcements: Sequence[Announcement]) -> str:
    """The argument of `ANNOUNCE`. Raises UnknownEventType."""
    check_types([each.type for each in announcements])
    return msgspec.json.encode(announcements).decode()


def announce(announcements: Sequence[Announcement]) -> int:
    """Announce in Django's current transaction; returns how many deliveries there will be. Raises UnknownEventType."""
    with connection.cursor() as cursor:
        cursor.execute(ANNOUNCE, [encoded(announcements)])
        return int(cursor.rowcount)
