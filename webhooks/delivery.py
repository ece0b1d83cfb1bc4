"""The chore that delivers: claims what is due, sends it signed through the guarded client, and records what came of it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from django.conf import settings

from outbound.client import Outbound
from outbound.failures import OutboundError
from outbound.limits import Limits
from outbound.requests import Request, Response
from telemetry.metrics.effects import WEBHOOKS
from tenants.secrets import vault
from tenants.vault import CannotOpen
from webhooks import signing
from webhooks.ledger import Claim, Outcome, Statements, claim, record
from webhooks.retries import WHOLE_DAY, judge
from webhooks.services import PURPOSE

log = logging.getLogger(__name__)

AT_ONCE = 512
"""Attempts of one process at a time; they wait for the network, nearly all of their time."""
LOOK_EVERY_S = 0.5
EXCERPT_CHARS = 500
LIMITS = Limits(total_s=15.0, request_bytes=4_194_304, response_bytes=4096, cut=True, redirects=0)
"""No redirect is followed, as the specification advises: the tenant should correct the URL."""


class HasDatabase(Protocol):
    """What the chore needs of the process it runs in."""

    @property
    def db(self) -> Statements:
        """Postgres."""
        ...


async def deliver(context: HasDatabase, stop: asyncio.Event) -> None:
    """Deliver until `stop` is set, and then end what was begun."""
    # How many attempts an endpoint gets at a time is bounded already, so no rate needs to be.
    async with Outbound(settings.OPSITE_OUTBOUND_POLICY, calls_per_minute=0) as outbound:
        courier = Courier(context.db, outbound)
        stopping = asyncio.ensure_future(stop.wait())
        running: set[asyncio.Task[None]] = set()
        try:
            while not stop.is_set():
                claims = await claim(context.db, at_most=AT_ONCE - len(running)) if len(running) < AT_ONCE else []
                running |= {asyncio.create_task(courier.attempt(each)) for each in claims}
                if not claims:
                    # An attempt that ends makes room for the next one of its endpoint.
                    await asyncio.wait({stopping, *running}, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                running = {task for task in running if not task.done()}
        finally:
            stopping.cancel()
            await asyncio.gather(*running)


class Courier:
    """Makes attempts."""

    def __init__(self, db: Statements, outbound: Outbound) -> None:
        self._db, self._outbound = db, outbound

    async def attempt(self, claim: Claim) -> None:
        """One attempt, recorded. What is not recorded is claimed again when the lease is over."""
        try:
            outcome = await self._tried(claim)
            if await record(self._db, outcome):
                WEBHOOKS.labels(outcome.state).inc()
            else:
                log.warning("delivery %s: attempt %d came too late to count", claim.delivery, claim.number)
        except Exception:
            log.exception("delivery %s: attempt %d is not recorded", claim.delivery, claim.number)

    async def _tried(self, claim: Claim) -> Outcome:
        at, began = datetime.now(UTC), time.monotonic()
        answer: Response | None = None
        error: dict[str, str] | None = None
        try:
            answer = await self._outbound.fetch(_request(claim, at=at), tenant=claim.tenant, limits=LIMITS)
        except OutboundError as failure:
            error = {"code": failure.code, "message": failure.message}
        except CannotOpen as failure:
            error = {"code": "secret_unreadable", "message": str(failure)}
        duration_ms = round((time.monotonic() - began) * 1000)
        return _outcome(claim, at=at, duration_ms=duration_ms, answer=answer, error=error)


def _request(claim: Claim, *, at: datetime) -> Request:
    sealed = [claim.secret, claim.old_secret] if claim.old_secret else [claim.secret]
    secrets = [vault().open(each, tenant=claim.tenant, purpose=PURPOSE) for each in sealed]
    body = msgspec.json.encode(claim.payload)
    headers = signing.headers(delivery=claim.delivery, at=at, body=body, secrets=secrets)
    return Request(method="POST", url=claim.url, headers=headers, content=body)


def _outcome(
    claim: Claim, *, at: datetime, duration_ms: int, answer: Response | None, error: dict[str, str] | None
) -> Outcome:
    headers: Mapping[str, str] = {} if answer is None else answer.headers
    verdict = judge(
        status=None if answer is None else answer.status,
        retry_after=headers.get("retry-after"),
        tries=claim.tries,
        now=datetime.now(UTC),
        give_up_at=claim.give_up_at,
        chance=random.random(),
    )
    given_up = verdict.state == "failed" and not verdict.gone
    return Outcome(
        delivery=claim.delivery,
        number=claim.number,
        state=verdict.state,
        due_at=verdict.due_at,
        at=at,
        duration_ms=duration_ms,
        status=None if answer is None else answer.status,
        error=error,
        excerpt="" if answer is None else _text(answer.body)[:EXCERPT_CHARS],
        disabled_reason=_GONE if verdict.gone else _FAILED if given_up else "",
        disabled_if_failing_since=claim.give_up_at - WHOLE_DAY if given_up else None,
    )


def _text(body: bytes) -> str:
    """An answer's text as Postgres takes it."""
    return body.decode(errors="replace").replace("\x00", "\ufffd")


_GONE = "It answered 410 Gone."
_FAILED = "No delivery succeeded for a day."
