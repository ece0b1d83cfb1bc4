"""Deliveries to a real receiver: signed, tried again, replayed, given up."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from tests.outbound.site import Site, plain
from tests.scene import Scene
from tests.webhooks.conftest import Here, again_now, delivering, endpoint, fresh, until, verified, webhook_id
from webhooks import services
from webhooks.announcing import Announcement, announce
from webhooks.ledger import PER_ENDPOINT
from webhooks.models import Attempt, Delivery, Endpoint
from webhooks.services import change_endpoint, ping, replay, rotate_secret

pytestmark = pytest.mark.django_db(transaction=True)
make, do_ping, do_replay, rotate = (sync_to_async(f) for f in (endpoint, ping, replay, rotate_secret))
current, due_now = sync_to_async(fresh), sync_to_async(again_now)


def attempts(delivery: Delivery) -> list[Attempt]:
    return list(Attempt.objects.for_tenant(delivery.tenant_id).filter(delivery=delivery).order_by("number"))


async def ended(delivery: Delivery, state: str = "delivered") -> Delivery:
    await until(lambda: fresh(delivery).state == state)
    return await current(delivery)


async def tried(delivery: Delivery, times: int) -> Delivery:
    await until(lambda: len(attempts(delivery)) == times)
    return await current(delivery)


async def test_a_message_is_signed_as_the_specification_says(scene: Scene, receiver: Site, context: Here) -> None:
    receiver.answers["/hook"] = plain("204 No Content")
    target, secret = await make(scene.ann, receiver.url("/hook"))
    assert secret.startswith("whsec_")
    delivery = await do_ping(endpoint=target)
    async with delivering(context):
        await ended(delivery)
    (asked,) = receiver.asked
    assert (asked.method, asked.headers["content-type"]) == ("POST", "application/json")
    message = verified(asked, secret)
    assert (message["type"], message["data"]) == ("webhook.test", {"endpoint": str(target.pk)})
    assert asked.headers["webhook-id"] == webhook_id(delivery)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 43 + "=").verify(asked.body, asked.headers)
    (attempt,) = await sync_to_async(attempts)(delivery)
    assert (attempt.number, attempt.status, attempt.error) == (1, 204, None)


async def test_what_fails_is_tried_again_under_the_same_id(scene: Scene, receiver: Site, context: Here) -> None:
    receiver.answers["/"] = plain("503 Busy", b"try \0later" + b"." * 9000, retry_after="600")
    target, secret = await make(scene.ann, receiver.url())
    delivery = await do_ping(endpoint=target)
    async with delivering(context):
        once = await tried(delivery, 1)
        assert once.state == "pending"
        assert timedelta(seconds=500) < once.due_at - timezone.now() < timedelta(seconds=601)
        assert once.endpoint.failing_since is not None
        receiver.answers["/"] = plain("200 OK")
        await due_now(delivery)
        done = await ended(delivery)
    assert done.endpoint.failing_since is None
    first, second = receiver.asked
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == webhook_id(delivery)
    assert first.body == second.body
    verified(second, secret)
    refused, heard = await sync_to_async(attempts)(delivery)
    assert (refused.status, heard.status, heard.number) == (503, 200, 2)
    assert refused.excerpt.startswith("try \ufffdlater...")
    assert len(refused.excerpt) == 500


@pytest.mark.parametrize(
    ("path", "code"),
    [("/redirect", "redirect_refused"), ("/hang-up", "connection_lost"), ("inside", "address_refused")],
)
async def test_no_answer_is_said_with_a_code(scene: Scene, receiver: Site, context: Here, path: str, code: str) -> None:
    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.close()

    receiver.answers |= {"/redirect": plain("302 Found", location="/"), "/hang-up": hang_up}
    target, _ = await make(scene.ann, receiver.url(path if path.startswith("/") else "/"))
    if path == "inside":  # allowed when it was made, and not any more
        await Endpoint.objects.for_tenant(scene.ann.tenant).aupdate(url="http://10.0.0.1/")
    delivery = await do_ping(endpoint=target)
    async with delivering(context):
        await tried(delivery, 1)
    (attempt,) = await sync_to_async(attempts)(delivery)
    assert (attempt.status, attempt.error["code"]) == (None, code)


async def test_410_disables_the_endpoint(scene: Scene, receiver: Site, context: Here) -> None:
    receiver.answers["/"] = plain("410 Gone")
    target, _ = await make(scene.ann, receiver.url())
    delivery = await do_ping(endpoint=target)
    async with delivering(context):
        gone = await ended(delivery, "failed")
    assert (gone.endpoint.enabled, gone.endpoint.disabled_reason) == (False, "It answered 410 Gone.")
    with pytest.raises(services.EndpointDisabled):
        await do_ping(endpoint=gone.endpoint)


@pytest.mark.parametrize("heard_meanwhile", [False, True])
async def test_an_endpoint_that_failed_for_a_day_is_disabled(
    scene: Scene, receiver: Site, context: Here, heard_meanwhile: bool
) -> None:
    receiver.answers["/"] = plain("500 No")
    target, _ = await make(scene.ann, receiver.url())
    delivery = await do_ping(endpoint=target)
    now = timezone.now()
    await Delivery.objects.for_tenant(scene.ann.tenant).aupdate(give_up_at=now)
    failing = now - timedelta(hours=2 if heard_meanwhile else 23, minutes=50)
    await Endpoint.objects.for_tenant(scene.ann.tenant).aupdate(failing_since=failing)
    async with delivering(context):
        over = await ended(delivery, "failed")
    assert over.endpoint.enabled is heard_meanwhile
    assert over.endpoint.disabled_reason == ("" if heard_meanwhile else "No delivery succeeded for a day.")


async def test_what_waits_for_a_disabled_endpoint_is_sent_when_it_is_enabled(
    scene: Scene, receiver: Site, context: Here
) -> None:
    receiver.answers["/"] = plain()
    target, _ = await make(scene.ann, receiver.url())
    other, _ = await make(scene.ann, receiver.url())
    held, sent = await do_ping(endpoint=target), await do_ping(endpoint=other)
    change = sync_to_async(change_endpoint)
    target = await change(endpoint=target, changes={"enabled": False})
    async with delivering(context):
        await ended(sent)
        assert (await current(held)).claims == 0
        await change(endpoint=target, changes={"enabled": True})
        await ended(held)


async def test_a_rotated_secret_overlaps_with_the_one_before(scene: Scene, receiver: Site, context: Here) -> None:
    receiver.answers["/"] = plain()
    target, old = await make(scene.ann, receiver.url())
    rotated, new = await rotate(endpoint=target)
    async with delivering(context):
        await ended(await do_ping(endpoint=rotated))
        assert len(receiver.asked[0].headers["webhook-signature"].split()) == 2
        for secret in (old, new):
            verified(receiver.asked[0], secret)
        await Endpoint.objects.for_tenant(scene.ann.tenant).aupdate(old_secret_expires_at=timezone.now())
        await ended(await do_ping(endpoint=rotated))
        verified(receiver.asked[1], new)
        with pytest.raises(WebhookVerificationError):
            verified(receiver.asked[1], old)
        _, newest = await rotate(endpoint=rotated, overlap=timedelta())
        await ended(await do_ping(endpoint=rotated))
        verified(receiver.asked[2], newest)
        with pytest.raises(WebhookVerificationError):
            verified(receiver.asked[2], new)


async def test_a_delivery_is_replayed_under_its_id(scene: Scene, receiver: Site, context: Here) -> None:
    receiver.answers["/"] = plain()
    target, _ = await make(scene.ann, receiver.url())
    delivery = await do_ping(endpoint=target)
    async with delivering(context):
        await ended(delivery)
        again = await do_replay(delivery=delivery)
        assert (again.state, again.finished_at, again.tries) == ("pending", None, 0)
        with pytest.raises(services.StillPending):
            await do_replay(delivery=delivery)
        await tried(delivery, 2)
    assert {asked.headers["webhook-id"] for asked in receiver.asked} == {webhook_id(delivery)}
    assert len(receiver.asked) == 2


async def test_a_slow_endpoint_holds_up_nobody_and_has_few_attempts_at_a_time(
    scene: Scene, receiver: Site, context: Here
) -> None:
    go = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(plain())

    receiver.answers |= {"/slow": slow, "/fast": plain()}
    bad, _ = await make(scene.ann, receiver.url("/slow"))
    good, _ = await make(scene.bob, receiver.url("/fast"))
    waiting = [await do_ping(endpoint=bad) for _ in range(PER_ENDPOINT + 3)]
    quick = await do_ping(endpoint=good)
    async with delivering(context):
        await ended(quick)
        await until(lambda: sum(fresh(each).claims for each in waiting) >= PER_ENDPOINT)
        under_way = Delivery.objects.for_tenant(scene.ann.tenant).filter(leased_until__isnull=False)
        assert await under_way.acount() <= PER_ENDPOINT
        go.set()
        for each in waiting:
            await ended(each)


async def test_a_lost_lease_is_taken_over_and_its_holder_s_word_does_not_count(
    scene: Scene, receiver: Site, context: Here
) -> None:
    go = asyncio.Event()

    async def first_slow(writer: asyncio.StreamWriter) -> None:
        if len(receiver.asked) == 1:
            await go.wait()
            writer.write(plain("500 No"))
        else:
            writer.write(plain())

    receiver.answers["/"] = first_slow
    target, _ = await make(scene.ann, receiver.url())
    delivery = await do_ping(endpoint=target)
    async with delivering(context):
        await until(lambda: len(receiver.asked) == 1)
        await Delivery.objects.for_tenant(scene.ann.tenant).aupdate(leased_until=timezone.now())
        done = await ended(delivery)
        go.set()
    assert (done.state, done.claims) == ("delivered", 2)
    assert [each.number for each in await sync_to_async(attempts)(delivery)] == [2]
    assert (await current(delivery)).state == "delivered"


async def test_an_inactive_tenant_is_sent_nothing(scene: Scene, receiver: Site, context: Here) -> None:
    receiver.answers["/"] = plain()
    for party in (scene.ann, scene.bob):
        await make(party, receiver.url())
    scene.ann.tenant.is_active = False
    await scene.ann.tenant.asave()
    event = {"type": "task.failed", "data": {}, "at": timezone.now()}
    said = [Announcement(tenant_id=party.tenant.pk, **event) for party in (scene.ann, scene.bob)]
    assert await sync_to_async(announce)(said) == 2
    async with delivering(context):
        await until(lambda: not Delivery.objects.for_tenant(scene.bob.tenant).filter(state="pending").exists())
    assert len(receiver.asked) == 1
    assert await Delivery.objects.for_tenant(scene.ann.tenant).filter(claims=0).acount() == 1
