"""Staff edits a running limit: the queue holds to it within a tick, though the tenant submits nothing more."""

from __future__ import annotations

from contextlib import closing

from taskqueue import keys
from taskqueue.connections import connect
from taskqueue.messages import Submission, TurnBody
from taskqueue.sync_client import Queue
from tenants.models import ApiKey, Tenant
from tenants.services import create_tenant, issue_key
from tests.orchestrator.conftest import Site, wait_for


def enqueue(queue: Queue, *names: str, **more: object) -> None:
    body = TurnBody(prompt="hello")
    queue.enqueue([Submission(turn=name, task=f"task-{name}", body=body, **more) for name in names])  # type: ignore[arg-type]


def claim(queue: Queue) -> list[str]:
    return [turn.turn for turn in queue.claim("by hand", 8, lease_s=600)]


def test_an_edited_limit_holds_for_what_waits(site: Site, running: object) -> None:
    queue = site.queue(site.pool(policy={"max_workers": 0}))
    tenant = create_tenant(slug="limited", name="Limited", max_running=1)
    key = issue_key(tenant=tenant, name="narrow").key
    owner, limited = str(tenant.pk), str(key.pk)
    enqueue(queue, *"abcd", tenant=owner, key=limited, max_running=1)
    assert claim(queue) == ["a"]
    Tenant.objects.filter(pk=tenant.pk).update(max_running=3)
    assert wait_for(lambda: claim(queue), what="the raised limit lets more run") == ["b", "c"]
    ApiKey.objects.for_tenant(tenant).filter(pk=key.pk).update(max_running=3)
    Tenant.objects.filter(pk=tenant.pk).update(max_running=0)
    with closing(connect(site.redis_url)) as redis:
        known = f"{keys.prefix(queue.pool)}max_running"
        wait_for(lambda: redis.hgetall(known) == {limited.encode(): b"3"}, what="both edits are known to the queue")
    assert claim(queue) == []  # three of the key run
    enqueue(queue, "e", tenant=owner)
    assert claim(queue) == ["e"]
    ApiKey.objects.for_tenant(tenant).filter(pk=key.pk).update(max_running=0)
    assert wait_for(lambda: claim(queue), what="the key's limit is gone") == ["d"]


def test_a_limit_that_a_process_with_an_old_memory_set_again_is_set_right(site: Site, running: object) -> None:
    queue = site.queue(site.pool(policy={"max_workers": 0}))
    tenant = create_tenant(slug="limited", name="Limited", max_running=2)
    enqueue(queue, *"abc", tenant=str(tenant.pk), max_running=1)  # it remembered 1
    taken: list[str] = []

    def two_run() -> bool:
        taken.extend(claim(queue))
        return len(taken) >= 2

    wait_for(two_run, what="the limit is as Postgres has it")
    assert (taken, claim(queue)) == (["a", "b"], [])
