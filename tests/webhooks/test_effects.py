"""The real process: killed in the middle of a delivery, and the next one delivers under the same id."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from tests.faces.conftest import start  # noqa: F401 - a fixture
from tests.outbound.site import Site, plain
from tests.scene import Scene
from tests.webhooks.conftest import LOOPBACK, endpoint, fresh, until, verified, webhook_id
from webhooks.models import Delivery
from webhooks.services import ping

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(150)]


async def test_a_killed_process_loses_no_delivery(
    scene: Scene,
    receiver: Site,
    start: Callable[..., subprocess.Popen[bytes]],  # noqa: F811 - the fixture
) -> None:
    async def first_never(writer: asyncio.StreamWriter) -> None:
        if len(receiver.asked) > 1:
            writer.write(plain())

    receiver.answers["/"] = first_never
    target, secret = await sync_to_async(endpoint)(scene.ann, receiver.url())
    delivery = await sync_to_async(ping)(endpoint=target)
    process = start("effects", OPSITE_OUTBOUND_ALLOW=LOOPBACK)
    await until(lambda: len(receiver.asked) == 1)
    process.kill()
    process.wait()
    left = await sync_to_async(fresh)(delivery)
    assert (left.state, left.claims) == ("pending", 1)
    assert left.leased_until > timezone.now()

    await Delivery.objects.for_tenant(scene.ann.tenant).aupdate(leased_until=timezone.now())  # its lease is over
    start("effects", OPSITE_OUTBOUND_ALLOW=LOOPBACK)
    await until(lambda: fresh(delivery).state == "delivered")
    assert [asked.headers["webhook-id"] for asked in receiver.asked] == [webhook_id(delivery)] * 2
    for asked in receiver.asked:
        verified(asked, secret)
