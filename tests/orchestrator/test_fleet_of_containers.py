"""The loop with real containers: shut in, replaced when killed, removed when nobody's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import unquote

import docker
import pytest
from django.utils import timezone
from docker.models.containers import Container
from redis import Redis

from orchestrator import wishes
from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, Worker
from orchestrator.runtimes import StartAbandoned, StartFailed, WorkerSpec
from orchestrator.runtimes.docker import DockerRuntime
from taskqueue.looks import Glimpse, Looks
from tests.orchestrator.conftest import Site, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture
def engine(site: Site) -> Iterator[docker.DockerClient]:
    """The engine; containers of the test's stack are gone afterwards."""
    with closing(docker.from_env()) as client:
        yield client
        for container in containers(client, site):
            container.remove(force=True)


def containers(engine: docker.DockerClient, site: Site) -> list[Container]:
    label = f"opsite.stack={site.env['OPSITE_STACK']}"
    return list(engine.containers.list(all=True, filters={"label": label}, ignore_removed=True))


def test_containers_start_stream_drain_and_are_removed(
    engine: docker.DockerClient, site: Site, running: Orchestrator, worker_image: str
) -> None:
    pool = site.pool(runtime=Pool.Runtime.DOCKER, image=worker_image, policy={"max_workers": 2})
    turns = site.submit(pool, 16, tokens=40)
    wait_for(lambda: len(site.ready(pool)) == 2, what="two workers are ready")
    first, second = containers(engine, site)
    for container in (first, second):
        shut_in(container.attrs)
        has_its_own_user(container.attrs, site)
    assert {worker.runtime_ref for worker in site.live(pool)} == {first.id, second.id}
    wait_for(lambda: len(site.finished(pool)) == 16, what="all turns have ended")
    finished = site.finished(pool)
    assert set(finished) == set(turns)
    assert {(record.state, record.usage.completion_tokens) for record in finished.values()} == {("succeeded", 40)}
    log = site.queue(pool).read_log(turns[0].replace("turn", "task"))
    assert [event.kind for event in log].count("text") >= 2
    assert log[-1].kind == "outcome"
    wait_for(lambda: not site.live(pool), what="the fleet is at zero")
    wait_for(lambda: not containers(engine, site), what="the containers are removed")
    assert set(Worker.objects.filter(pool=pool).values_list("state", "exit_code")) == {("stopped", 0)}


def shut_in(attrs: dict[str, Any]) -> None:
    """What the engine says of the container, not what we asked for."""
    host = attrs["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert list(attrs["NetworkSettings"]["Networks"]) == ["none"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Privileged"] is False
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["PidsLimit"] == 1024
    assert host["Memory"] > 0
    assert host["ShmSize"] == 1 << 30
    assert set(host["Tmpfs"]) == {"/tmp", "/home/opsite"}
    assert [(mount["Destination"], mount["RW"]) for mount in attrs["Mounts"]] == [("/run/opsite-redis", False)]
    assert not host["DeviceRequests"]


def has_its_own_user(attrs: dict[str, Any], site: Site) -> None:
    """In its environment, with the password, and nowhere else of what the engine shows; the service's password nowhere at all."""
    env = dict(item.partition("=")[::2] for item in attrs["Config"]["Env"])
    name, _, rest = env["OPSITE_REDIS_URL"].removeprefix("unix://").partition(":")
    assert unquote(name) == f"worker:{site.env['OPSITE_STACK']}:{env['OPSITE_WORKER_ID']}"
    password, _, path = rest.partition("@")
    assert path == "/run/opsite-redis/redis.sock"
    assert str(attrs).count(password) == 1
    assert site.redis_url.rpartition("@")[0].rpartition(":")[2] not in str(attrs)


def test_a_killed_container_is_replaced_and_its_task_ends(
    engine: docker.DockerClient, site: Site, running: Orchestrator, worker_image: str
) -> None:
    pool = site.pool(runtime=Pool.Runtime.DOCKER, image=worker_image, lease_s=1.0, policy={"max_workers": 1})
    (turn,) = site.submit(pool, 1, tokens=250)
    (victim,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    wait_for(lambda: site.queue(pool).signals().running == 1, what="the turn runs")
    (container,) = containers(engine, site)
    container.kill()
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended")
    record = site.finished(pool)[turn]
    assert (record.state, record.attempt, record.usage.completion_tokens) == ("succeeded", 2, 250)
    victim.refresh_from_db()
    assert (victim.state, victim.exit_code) == ("failed", 137)
    wait_for(lambda: container.id not in {left.id for left in containers(engine, site)}, what="it is removed")


def test_leftovers_with_our_label_are_removed_at_start_up(
    engine: docker.DockerClient, site: Site, worker_image: str
) -> None:
    labels = {"opsite.stack": site.env["OPSITE_STACK"], "opsite.pool": "gone", "opsite.worker": "nobody's"}
    ended = engine.containers.run(worker_image, labels=labels, network_mode="none", detach=True)
    created = engine.containers.create(
        worker_image, labels=labels | {"opsite.worker": "nobody's 2"}, network_mode="none"
    )
    labels |= {"opsite.worker": "nobody's 3"}
    alive = engine.containers.run(
        worker_image, ["60"], entrypoint=["sleep"], labels=labels, network_mode="none", init=True, detach=True
    )
    foreign = engine.containers.run(
        worker_image, ["60"], entrypoint=["sleep"], labels={"opsite.stack": "another"}, network_mode="none", detach=True
    )
    try:
        assert {left.id for left in containers(engine, site)} == {ended.id, created.id, alive.id}
        site.orchestrator()
        wait_for(lambda: not containers(engine, site), what="the leftovers are removed")
        foreign.reload()
        assert foreign.status == "running"
    finally:
        foreign.remove(force=True)


def test_containers_are_adopted_by_the_next_orchestrator(
    engine: docker.DockerClient, site: Site, worker_image: str
) -> None:
    pool = site.pool(runtime=Pool.Runtime.DOCKER, image=worker_image, policy={"min_workers": 1, "max_workers": 1})
    first = site.orchestrator()
    wait_for(lambda: site.ready(pool), what="a worker is ready")
    first.kill()
    first.wait()
    before = [container.id for container in containers(engine, site)]
    site.orchestrator("b")
    (turn,) = site.submit(pool, 1)
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended")
    wait_for(lambda: "leads" in site.log("b"), what="the second leads")
    pool.policy.min_workers = pool.policy.max_workers = 0
    pool.policy.save()
    wait_for(lambda: not containers(engine, site), what="it is drained and removed")
    assert list(Worker.objects.values_list("runtime_ref", "state")) == [(before[0], "stopped")]


def test_a_missing_image_is_named(engine: docker.DockerClient, site: Site, running: Orchestrator) -> None:
    pool = site.pool(runtime=Pool.Runtime.DOCKER, image="localhost:1/no/such:image", policy={"min_workers": 1})
    (failed,) = wait_for(
        lambda: Worker.objects.filter(pool=pool, state="failed")[:1], what="the start has failed", timeout_s=90
    )
    assert failed.error.startswith("Image localhost:1/no/such:image is not here and cannot be pulled")


def test_a_missing_gpu_runtime_is_named(engine: docker.DockerClient, site: Site, worker_image: str) -> None:
    runtime = DockerRuntime(stack=site.env["OPSITE_STACK"])
    spec = WorkerSpec(
        worker="w",
        pool="p",
        stack=site.env["OPSITE_STACK"],
        env={},
        image=worker_image,
        gpus=("0", "1"),
        redis_url=site.redis_url,
    )
    assert runtime.arguments(spec)["device_requests"] == [
        {"Driver": "", "Count": 0, "DeviceIDs": ["0", "1"], "Capabilities": [["gpu"]], "Options": {}}
    ]
    if "nvidia" in engine.info()["Runtimes"]:
        pytest.skip("this engine has a GPU runtime")
    with pytest.raises(StartFailed, match="install the NVIDIA Container Toolkit"):
        runtime.start(spec, lambda words: None)
    assert not containers(engine, site)


def test_nothing_is_left_of_a_container_that_nobody_waits_for_any_more(
    engine: docker.DockerClient, site: Site, worker_image: str
) -> None:
    runtime, stack = DockerRuntime(stack=site.env["OPSITE_STACK"]), site.env["OPSITE_STACK"]
    spec = WorkerSpec(worker="w", pool="p", stack=stack, env={}, image=worker_image, redis_url=site.redis_url)
    there: list[str] = []

    def progress(words: str) -> None:
        there[:] = [container.status for container in containers(engine, site)]
        if there:
            raise StartAbandoned("Another one leads.")

    with pytest.raises(StartAbandoned):
        runtime.start(spec, progress)
    assert there == ["created"]
    assert not containers(engine, site)


def test_a_container_has_a_bounded_life_after_sigterm(
    engine: docker.DockerClient, site: Site, worker_image: str
) -> None:
    """The runtime's stop returns at once, and the worker drains by itself."""
    runtime = DockerRuntime(stack=site.env["OPSITE_STACK"])
    env = {"OPSITE_POOL": "p", "OPSITE_ENGINE": "simulated"}
    spec = WorkerSpec(
        worker="w", pool="p", stack=site.env["OPSITE_STACK"], env=env, image=worker_image, redis_url=site.redis_url
    )
    ref = runtime.start(spec, lambda words: None)
    wait_for(lambda: "ready" in runtime.log_tail(ref), what="it is ready")
    begun = time.monotonic()
    runtime.stop(ref, 10)
    assert time.monotonic() - begun < 2
    wait_for(lambda: not runtime.list()[0].alive, what="it has ended", timeout_s=10)
    assert runtime.list()[0].exit_code == 0
    runtime.kill(ref)  # gone already: no error
    runtime.remove(ref)
    runtime.remove(ref)
    assert runtime.list() == []


def test_a_container_is_shown_while_somebody_looks_and_killed_by_staff(
    engine: docker.DockerClient, site: Site, running: Orchestrator, worker_image: str, redis: Redis
) -> None:
    """With `max_losses` 1 a turn that is alone on its worker would end as poison by its first loss."""
    pool = site.pool(
        runtime=Pool.Runtime.DOCKER,
        image=worker_image,
        max_losses=1,
        policy={"min_workers": 1, "max_workers": 1},
    )
    (victim,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    (turn,) = site.submit(pool, 1, tokens=400)
    looks = Looks(redis)

    def glimpse() -> Glimpse | None:
        return looks.look(pool=pool.slug, worker=str(victim.pk)).glimpse

    wait_for(lambda: (shown := glimpse()) and shown.cpus is not None, what="it is shown")
    shown = glimpse()
    assert shown is not None
    assert shown.error == ""
    assert any("ready" in line for line in shown.lines)
    assert shown.pid
    assert shown.memory_bytes is not None
    assert shown.memory_bytes > 1 << 20
    wait_for(lambda: site.queue(pool).signals().running == 1, what="the turn runs")
    wishes.kill(victim.pk, by="ann", now=timezone.now())
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended")
    record = site.finished(pool)[turn]
    assert (record.state, record.attempt, record.usage.completion_tokens) == ("succeeded", 2, 400)
    victim.refresh_from_db()
    assert (victim.state, victim.exit_code, victim.end_reason) == ("stopped", 137, "Killed by ann.")
    assert "ready" in victim.log_tail
    assert not Worker.objects.filter(pool=pool, state="failed").exists()
