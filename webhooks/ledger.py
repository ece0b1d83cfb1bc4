"""The statements that claim deliveries and record their attempts. Each is one: a killed process leaves nothing half done.

A claim is a lease. If its process dies, the delivery is claimed again when the lease is over, and sent under the same id: at least
once. `claims` fences: of two processes that hold one delivery, since the first was slow, only the later one's word counts.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Protocol

import msgspec

from telemetry.context import span_id

PER_ENDPOINT = 10
"""Attempts at one endpoint at a time. A slow endpoint holds up so many of a process' attempts and no more."""
LEASE_S = 60
"""Longer than any attempt takes."""


class Statements(Protocol):
    """Runs a statement with its arguments, and returns its rows."""

    async def all(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        """All rows."""
        ...


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery to be attempted now. Secrets are ciphertexts; `old_secret` is empty, or still good.

    `trace` is the place of the task that it tells of, or empty.
    """

    delivery: uuid.UUID
    endpoint: uuid.UUID
    tenant: uuid.UUID
    number: int
    tries: int
    give_up_at: datetime
    payload: dict[str, Any]
    url: str
    secret: str
    old_secret: str
    trace: str

    @property
    def span(self) -> str:
        """The id of the span that tells of this attempt."""
        return span_id("webhook", self.delivery, self.number)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt. `due_at`: of the next one.

    `disabled_reason`, if it is not empty, disables the endpoint; with `disabled_if_failing_since`, only one that failed since then.
    """

    delivery: uuid.UUID
    number: int
    state: str
    due_at: datetime | None
    at: datetime
    duration_ms: int
    status: int | None
    error: dict[str, str] | None
    excerpt: str
    disabled_reason: str = ""
    disabled_if_failing_since: datetime | None = None


CLAIM = f"""
    WITH open AS (
        SELECT e.id, (SELECT count(*) FROM webhooks_delivery d
                      WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.leased_until > now()) AS held
        FROM webhooks_endpoint e JOIN tenants_tenant n ON n.id = e.tenant_id
        WHERE e.enabled AND n.is_active AND EXISTS (
            SELECT 1 FROM webhooks_delivery d WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= now())
    ), due AS (
        SELECT d.id FROM open o CROSS JOIN LATERAL (
            SELECT id, due_at FROM webhooks_delivery
            WHERE endpoint_id = o.id AND state = 'pending' AND due_at <= now()
              AND (leased_until IS NULL OR leased_until <= now())
            ORDER BY due_at LIMIT greatest(0, {PER_ENDPOINT} - o.held) FOR UPDATE SKIP LOCKED
        ) d ORDER BY d.due_at LIMIT %s
    )
    UPDATE webhooks_delivery d
    SET leased_until = now() + interval '{LEASE_S} s', claims = claims + 1, tries = tries + 1
    FROM due, webhooks_endpoint e WHERE d.id = due.id AND e.id = d.endpoint_id
    RETURNING d.id AS delivery, e.id AS endpoint, d.tenant_id AS tenant, d.claims AS number, d.tries, d.give_up_at, d.payload,
              d.trace, e.url, e.secret, CASE WHEN e.old_secret_expires_at > now() THEN e.old_secret ELSE '' END AS old_secret
"""

_DISABLED = (
    "(o.disabled_reason <> '' "
    "AND (o.disabled_if_failing_since IS NULL OR e.failing_since <= o.disabled_if_failing_since) IS TRUE)"
)

# An endpoint that goes well is not written at all.
RECORD = f"""
    WITH outcome AS (
        SELECT * FROM jsonb_to_record(%s::jsonb) AS x(
            delivery uuid, number int, state text, due_at timestamptz, at timestamptz, duration_ms int, status int, error jsonb,
            excerpt text, disabled_reason text, disabled_if_failing_since timestamptz)
    ), moved AS (
        UPDATE webhooks_delivery d
        SET state = o.state, due_at = coalesce(o.due_at, d.due_at), leased_until = NULL,
            finished_at = CASE WHEN o.state <> 'pending' THEN now() END
        FROM outcome o WHERE d.id = o.delivery AND d.claims = o.number AND d.state = 'pending'
        RETURNING d.id, d.tenant_id, d.endpoint_id
    ), tried AS (
        INSERT INTO webhooks_attempt (id, tenant_id, delivery_id, number, at, duration_ms, status, error, excerpt)
        SELECT gen_random_uuid(), m.tenant_id, m.id, o.number, o.at, o.duration_ms, o.status,
               nullif(o.error, 'null'::jsonb), o.excerpt
        FROM moved m CROSS JOIN outcome o
    ), told AS (
        UPDATE webhooks_endpoint e
        SET failing_since = CASE WHEN o.state <> 'delivered' THEN coalesce(e.failing_since, o.at) END,
            enabled = e.enabled AND NOT {_DISABLED},
            disabled_reason = CASE WHEN e.enabled AND {_DISABLED} THEN o.disabled_reason ELSE e.disabled_reason END
        FROM moved m CROSS JOIN outcome o
        WHERE e.id = m.endpoint_id AND ((o.state = 'delivered') = (e.failing_since IS NOT NULL) OR {_DISABLED})
    )
    SELECT id FROM moved
"""


async def claim(db: Statements, *, at_most: int) -> list[Claim]:
    """Deliveries that are due, the longest due first, of each endpoint only a few at a time."""
    return [msgspec.convert(row, Claim) for row in await db.all(CLAIM, at_most)]


async def record(db: Statements, outcome: Outcome) -> bool:
    """Write down what came of an attempt; False if it no longer counts."""
    return bool(await db.all(RECORD, msgspec.json.encode(outcome).decode()))
