"""A receiver that is a real server, and the chore that delivers to it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from standardwebhooks import Webhook

from agents.faces.database import Database
from outbound.policy import Policy
from tests.outbound.site import Asked, Site, site
from tests.scene import Party
from webhooks.delivery import deliver
from webhooks.models import Delivery, Endpoint
from webhooks.services import create_endpoint

PATIENCE_S = 60.0
LOOPBACK = "127.0.0.1/32"


@pytest.fixture
def loopback(settings: Any) -> None:
    """Endpoints on this host are allowed."""
    settings.OPSITE_OUTBOUND_POLICY = Policy.parse(LOOPBACK)


@pytest.fixture
async def receiver(loopback: None) -> AsyncIterator[Site]:
    async with site() as here:
        yield here


@dataclass(frozen=True)
class Here:
    """All that the chore needs of its process."""

    db: Database


@pytest.fixture
async def context(database_url: str) -> AsyncIterator[Here]:
    db = Database(database_url)
    await db.open()
    yield Here(db)
    await db.close()


@asynccontextmanager
async def delivering(context: Here) -> AsyncIterator[None]:
    """The chore, while inside."""
    stop = asyncio.Event()
    chore = asyncio.create_task(deliver(context, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(chore, PATIENCE_S)


async def until(check: Callable[[], Any]) -> None:
    """Wait for what the chore does, with a bound. The check runs on Django's thread."""
    deadline = time.monotonic() + PATIENCE_S
    while not await sync_to_async(check)():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


def endpoint(party: Party, url: str, **more: Any) -> tuple[Endpoint, str]:
    made = create_endpoint(tenant=party.tenant, url=url, **more)
    return made.endpoint, made.secret


def again_now(delivery: Delivery) -> None:
    """The time of its next attempt has come."""
    rows = Delivery.objects.for_tenant(delivery.tenant_id).filter(pk=delivery.pk)
    assert rows.update(due_at=delivery.created_at) == 1


def fresh(delivery: Delivery) -> Delivery:
    return Delivery.objects.for_tenant(delivery.tenant_id).select_related("endpoint").get(pk=delivery.pk)


def verified(asked: Asked, secret: str) -> Any:
    """The message as a receiver reads it, with the specification's own library."""
    return Webhook(secret).verify(asked.body, asked.headers)


def webhook_id(delivery: Delivery) -> str:
    return f"msg_{uuid.UUID(str(delivery.pk)).hex}"
