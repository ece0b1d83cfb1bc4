"""Workers' Redis users follow the workers' lives: through kills, a new leader, a Redis that forgot them, and one that refuses."""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from opsite.embedded.redis import EmbeddedRedis
from orchestrator.access import Access, BadMode
from orchestrator.credentials import users_of
from orchestrator.fleet import Sight
from orchestrator.loop import living
from orchestrator.models import Pool, ScalingDecision, Worker
from orchestrator.runtimes import Instance
from orchestrator.runtimes.proc import environment
from taskqueue.access import WorkerUsers
from taskqueue.connections import connect
from tests.orchestrator.conftest import LEADS, Site, wait_for

ONE = {"min_workers": 1, "max_workers": 1}


def address_of(pid: int) -> str:
    """The address that a worker process was given."""
    return environment(pid)["OPSITE_REDIS_URL"]


def password_in(address: str) -> str:
    return address.rpartition("@")[0].rpartition(":")[2]


def users(site: Site, redis: Redis) -> set[str]:
    """The workers that have a user."""
    start = users_of(site.env["OPSITE_STACK"])
    return {name.removeprefix(start) for name in WorkerUsers(redis).names(start)}


@pytest.fixture
def redis(site: Site) -> Iterator[Redis]:
    with closing(connect(site.redis_url)) as client:
        yield client


@pytest.fixture
def own(site: Site, tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own, which it may kill; the site's processes use it."""
    server = EmbeddedRedis(tmp_path / "redis")
    site.redis_url = site.env["REDIS_URL"] = server.start()
    yield server
    server.stop()


def kill(server: EmbeddedRedis) -> None:
    """SIGKILL, as when memory runs out."""
    assert server._process is not None
    server._process.kill()
    server._process.wait(30)


def test_a_user_lives_and_dies_with_its_worker_and_its_password_is_nowhere_else(
    site: Site, running: object, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    pool = site.pool(policy=ONE)
    (victim,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    pid = site.pids()[str(victim.pk)]
    assert users(site, redis) == {str(victim.pk)}
    address = address_of(pid)
    with Redis.from_url(address) as client:
        assert client.exists(f"opsite:{{{pool.slug}}}:workers") == 1
        with pytest.raises(NoPermissionError):
            client.exists("opsite:{another}:workers")
    admin = password_in(site.redis_url)
    assert admin not in " ".join(environment(pid).values())
    secret = password_in(address)
    assert secret not in Path(f"/proc/{pid}/cmdline").read_text()

    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: [one for one in site.ready(pool) if one.pk != victim.pk], what="another is ready")
    (heir,) = site.live(pool)
    wait_for(lambda: users(site, redis) == {str(heir.pk)}, what="the dead worker's user is deleted")
    with Redis.from_url(address) as client, pytest.raises(AuthenticationError):
        client.exists(f"opsite:{{{pool.slug}}}:workers")
    assert password_in(address_of(site.pids()[str(heir.pk)])) != secret

    kept = [*Worker.objects.values_list(), *ScalingDecision.objects.values_list()]
    said = [path.read_text() for path in (site.folder / "workers").iterdir() if path.suffix in (".card", ".log")]
    for place in (str(kept), caplog.text, *said, str(redis.acl_list()), str(redis.slowlog_get(128))):
        assert secret not in place


def test_the_last_user_goes_with_the_fleet(site: Site, running: object, redis: Redis) -> None:
    pool = site.pool()
    site.submit(pool, 4)
    wait_for(lambda: len(site.finished(pool)) == 4, what="all turns have ended")
    wait_for(lambda: not site.live(pool), what="the fleet is at zero")
    wait_for(lambda: users(site, redis) == set(), what="no user is left")


def test_users_of_nobody_are_deleted_at_start_up_but_not_those_of_other_stacks(site: Site, redis: Redis) -> None:
    other = f"worker:other-{uuid.uuid4().hex[:8]}:1"
    ghost = f"{users_of(site.env['OPSITE_STACK'])}ghost"
    admitting = WorkerUsers(redis)
    for name in (other, ghost):
        admitting.allow(name, pool="p", password="x")
    try:
        site.orchestrator()
        wait_for(lambda: users(site, redis) == set(), what="the ghost is deleted")
        assert admitting.names(other) == {other}
    finally:
        admitting.forbid([other, ghost])


def test_a_restarted_redis_has_users_and_scripts_again_and_the_same_worker_goes_on(
    site: Site, own: EmbeddedRedis
) -> None:
    pool = site.pool(policy=ONE, lease_s=20.0)
    site.orchestrator()
    (turn,) = site.submit(pool, 1, tokens=300)
    (worker,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    wait_for(lambda: len(site.queue(pool).read_log(turn.replace("turn", "task"))) > 20, what="the turn streams")
    before = site.pids()
    kill(own)
    own.start()
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended")
    record = site.finished(pool)[turn]
    assert (record.state, record.attempt, record.usage.completion_tokens) == ("succeeded", 1, 300)
    assert site.pids() == before
    with closing(connect(own.url)) as client:
        assert users(site, client) == {str(worker.pk)}


def test_the_next_orchestrator_gives_adopted_workers_their_users_back(site: Site, own: EmbeddedRedis) -> None:
    pool = site.pool(policy=ONE, lease_s=20.0)
    first = site.orchestrator()
    wait_for(lambda: site.ready(pool), what="a worker is ready")
    before = site.pids()
    first.kill()
    first.wait()
    kill(own)
    own.start()
    with closing(connect(own.url)) as client:
        assert users(site, client) == set()
        site.orchestrator("b")
        wait_for(lambda: LEADS in site.log("b"), what="the second leads")
        wait_for(lambda: users(site, client) == set(before), what="the adopted worker has its user again")
    (turn,) = site.submit(pool, 1)
    wait_for(lambda: turn in site.finished(pool), what="it works")
    assert site.pids() == before


def test_whatever_bears_our_mark_spoils_no_workers_user(site: Site, redis: Redis) -> None:
    """A container that somebody labelled by hand, with any words."""

    def seen(worker: str, pool: str, *, alive: bool = True) -> Instance:
        return Instance(ref=worker, worker=worker, pool=pool, alive=alive, started_at=0.0)

    pool = Pool(slug="p")
    row = Worker(pool=pool)
    instances = [
        seen("not a name", "p"),
        seen("stray", ""),
        seen("ended", "p", alive=False),
        seen(str(row.pk), "old-name"),
    ]
    speak = living([row], [pool], Sight(instances={one.worker: one for one in instances}))
    assert speak == {str(row.pk): "old-name", "not a name": "p"}
    with closing(
        Access(stack=site.env["OPSITE_STACK"], secret="s", redis_url=site.redis_url, mode="required")
    ) as access:
        access.tend(speak)
        assert not access.caveat
        assert users(site, redis) == {str(row.pk), "not%20a%20name"}
        access.tend({})


def managed(site: Site, own: EmbeddedRedis) -> None:
    """As some providers have it: the service's user may do everything but manage users."""
    with closing(connect(own.url)) as client:
        client.execute_command("ACL SETUSER", "service", "on", ">pw", "~*", "&*", "+@all", "-acl")
    site.redis_url = site.env["REDIS_URL"] = f"unix://service:pw@{own.socket}"


def test_where_redis_refuses_users_workers_share_the_services_and_that_is_said(site: Site, own: EmbeddedRedis) -> None:
    managed(site, own)
    pool = site.pool(policy=ONE)
    site.orchestrator()
    (worker,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    assert re.search(
        r"It reaches all of Redis\. Redis lets this service make no users for workers: .* has no permissions to run the 'acl.*\.$",
        worker.reason,
    )
    (turn,) = site.submit(pool, 1)
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended")
    assert site.log().count("make no users for workers") == 1
    assert "reach all of Redis (OPSITE_WORKER_USERS=auto)" in site.log()


def test_where_users_are_required_and_refused_no_worker_starts(site: Site, own: EmbeddedRedis) -> None:
    managed(site, own)
    site.env["OPSITE_WORKER_USERS"] = "required"
    pool = site.pool(policy=ONE)
    site.orchestrator()
    failed = wait_for(lambda: Worker.objects.filter(pool=pool, state="failed").first(), what="the start is refused")
    assert failed.error.endswith("OPSITE_WORKER_USERS=required starts no worker without one.")
    assert not site.pids()


def test_switched_off_workers_get_the_address_as_it_is(site: Site, redis: Redis) -> None:
    site.env["OPSITE_WORKER_USERS"] = "off"
    pool = site.pool(policy=ONE)
    site.orchestrator()
    (worker,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    assert address_of(site.pids()[str(worker.pk)]) == site.redis_url
    assert users(site, redis) == set()


def test_a_redis_that_asks_for_no_password_is_warned_of(
    site: Site, own: EmbeddedRedis, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(connect(own.url)) as client:
        client.execute_command("ACL SETUSER", "default", "nopass")
    with closing(Access(stack="s", secret="s", redis_url=f"unix://{own.socket}", mode="auto")) as access:
        assert not access.caveat
        access.tend({})
        access.tend({})
        assert access.caveat.startswith("Redis asks nobody for a password")
    assert [record.message for record in caplog.records].count(access.caveat) == 1


def test_while_redis_is_away_a_worker_is_started_all_the_same(site: Site, own: EmbeddedRedis) -> None:
    with closing(Access(stack="s", secret="s", redis_url=own.url, mode="required")) as access:
        kill(own)
        access.tend({"w": "p"})
        credentials = access.admit("w", pool="p")
        own.start()
        access.tend({"w": "p"})
        with Redis.from_url(credentials.redis_url) as client:
            assert client.exists("opsite:{p}:bell") == 0


def test_another_secret_key_is_another_password(site: Site, redis: Redis) -> None:
    stack = site.env["OPSITE_STACK"]
    old, new = (Access(stack=stack, secret=secret, redis_url=site.redis_url, mode="auto") for secret in ("a", "b"))
    with closing(old), closing(new):
        first = old.admit("w", pool="p").redis_url
        new.tend({"w": "p"})
        with Redis.from_url(first) as client, pytest.raises(AuthenticationError):
            client.exists("opsite:{p}:bell")
        with Redis.from_url(new.admit("w", pool="p").redis_url) as client:
            assert client.exists("opsite:{p}:bell") == 0
        new.tend({})
        assert users(site, redis) == set()


def test_a_mode_that_is_none_is_named() -> None:
    with pytest.raises(BadMode, match="auto, required, off"):
        Access(stack="s", secret="s", redis_url="redis://localhost", mode="never")
