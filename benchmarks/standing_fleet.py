"""A declared stand-in for a large fleet that stands: rows in Postgres, heartbeats in Redis, and a runtime that only says who lives.

Everything else that a tick meets is the real thing: the control loop, the queue's scripts, both servers, the workers' Redis users.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import redis.connection
from django.db import connection
from django.utils import timezone

from benchmarks.heartbeats import SLOTS
from orchestrator.fleet import Fleet
from orchestrator.host import Host
from orchestrator.local import host_of_settings
from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, PoolRevision, ScalingPolicy, Worker
from orchestrator.revisions import note_edit
from orchestrator.runtimes import Instance, Peek, WorkerSpec
from taskqueue.connections import connect
from taskqueue.messages import Submission, TurnBody
from taskqueue.sync_client import Queue
from tenants.identifiers import new_id
from tenants.models import Tenant

WAITING = 20
"""Turns that wait in each pool; the policies hold the fleet as it is all the same."""


class StandInRuntime:
    """Says that these workers live, and does what it is told to its list only."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self._instances = {instance.ref: instance for instance in instances}

    def start(self, spec: WorkerSpec, progress: Callable[[str], None]) -> str:
        instance = Instance(ref=spec.worker, worker=spec.worker, pool=spec.pool, alive=True, started_at=time.time())
        self._instances[instance.ref] = instance
        return instance.ref

    def list(self) -> Sequence[Instance]:
        return list(self._instances.values())

    def stop(self, ref: str, grace_s: float) -> None:
        self._instances[ref] = replace(self._instances[ref], alive=False, exit_code=0)

    def kill(self, ref: str) -> None:
        self.stop(ref, 0)

    def remove(self, ref: str) -> None:
        self._instances.pop(ref, None)

    def log_tail(self, ref: str) -> str:
        return ""

    def peek(self, ref: str) -> Peek:
        return Peek()


@dataclass(frozen=True)
class Standing:
    """Who stands where: workers' ids by their pools' slugs."""

    workers: dict[str, list[str]]

    def instances(self) -> list[Instance]:
        """As a runtime sees them."""
        now = time.time()
        return [
            Instance(ref=worker, worker=worker, pool=pool, alive=True, started_at=now)
            for pool, workers in self.workers.items()
            for worker in workers
        ]

    def host(self, *, confirm: Callable[[], None]) -> Host:
        """This host with the stand-in for its runtimes."""
        host = host_of_settings(confirm=confirm)
        host.fleet.close()
        runtimes = {name.value: StandInRuntime([]) for name in Pool.Runtime}
        runtimes[Pool.Runtime.PROCESS.value] = StandInRuntime(self.instances())
        return replace(host, fleet=Fleet(runtimes, grace_s=10.0, confirm=confirm), max_workers=1_000_000)


def stand(*, pools: int, workers: int, limited: int, redis_url: str) -> Standing:
    """Write rows of so many pools and workers (spread evenly), let turns wait, and limit so many tenants."""
    mark, now = uuid.uuid4().hex[:6], timezone.now()
    per_pool = workers // pools
    made = Pool.objects.bulk_create(
        Pool(slug=f"tick-{mark}-{number}", name="tick", engine=Pool.Engine.SIMULATED, slots=SLOTS)
        for number in range(pools)
    )
    ScalingPolicy.objects.bulk_create(
        ScalingPolicy(pool=pool, min_workers=per_pool, max_workers=per_pool) for pool in made
    )
    ready = {"state": Worker.State.READY, "runtime": Pool.Runtime.PROCESS, "slots": SLOTS}
    revisions = {pool.pk: note_edit(pool.pk, now=now).current for pool in made}
    PoolRevision.objects.filter(pool__in=made).update(ready_at=now)
    ids = [(pool, new_id()) for pool in made for _ in range(per_pool)]
    Worker.objects.bulk_create(
        Worker(
            id=one,
            runtime_ref=str(one),
            pool=pool,
            revision=revisions[pool.pk],
            started_at=now,
            ready_at=now,
            **ready,
        )
        for pool, one in ids
    )
    Tenant.objects.bulk_create(
        Tenant(slug=f"tick-{mark}-{number}", name="tick", max_running=1000) for number in range(limited)
    )
    client = connect(redis_url)
    for pool in made:
        names = [f"{pool.slug}-{number}" for number in range(WAITING)]
        body = TurnBody(prompt="hello")
        Queue(client, pool.slug).enqueue(
            [Submission(turn=name, task=name, tenant=f"t{number % 4}", body=body) for number, name in enumerate(names)]
        )
    client.close()
    standing: dict[str, list[str]] = {pool.slug: [] for pool in made}
    for pool, one in ids:
        standing[pool.slug].append(str(one))
    return Standing(standing)


@dataclass(frozen=True)
class Tick:
    """What one tick took. CPU is that of the loop's thread; queries are Django's, without the leader's two own."""

    begun_at: float
    wall_s: float
    cpu_s: float
    round_trips: int
    queries: int


@dataclass
class _Counter:
    count: int = 0

    def query(self, execute: Any, *arguments: Any) -> Any:
        self.count += 1
        return execute(*arguments)


@contextmanager
def counted_round_trips() -> Iterator[_Counter]:
    """Everything that this thread's synchronous clients send to Redis, by the sending."""
    counter, here = _Counter(), threading.get_ident()
    kind: Any = redis.connection.AbstractConnection
    send = kind.send_packed_command

    def counting(self: Any, *arguments: Any, **more: Any) -> Any:
        counter.count += threading.get_ident() == here
        return send(self, *arguments, **more)

    kind.send_packed_command = counting
    try:
        yield counter
    finally:
        kind.send_packed_command = send


class TimedOrchestrator(Orchestrator):
    """The real loop, which notes each tick and ends after `count` of them."""

    def __init__(self, standing: Standing, *, count: int, tick_s: float = 1.0) -> None:
        super().__init__(tick_s=tick_s, make_host=standing.host)
        self.ticks: list[Tick] = []
        self.histories: list[Tick] = []
        """What stands behind the ticks, where it had something to write or to read."""
        self._count = count
        self.done = threading.Event()

    def tick(self) -> None:
        queries = _Counter()
        begun_at, cpu_s = time.perf_counter(), time.thread_time()
        with counted_round_trips() as sent, connection.execute_wrapper(queries.query):
            super().tick()
        wall_s = time.perf_counter() - begun_at
        self.ticks.append(Tick(begun_at, wall_s, time.thread_time() - cpu_s, sent.count, queries.count))
        if len(self.ticks) >= self._count:
            self.done.set()

    def keep_history(self) -> None:
        queries = _Counter()
        begun_at, cpu_s = time.perf_counter(), time.thread_time()
        with connection.execute_wrapper(queries.query):
            super().keep_history()
        if queries.count:
            wall_s = time.perf_counter() - begun_at
            self.histories.append(Tick(begun_at, wall_s, time.thread_time() - cpu_s, 0, queries.count))
