"""The harm that is done: which kinds there are, to whom, and how. One fault at a time; the next comes when all is well again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import psutil
import redis.asyncio

from benchmarks.chaos.health import Health, Truth
from benchmarks.chaos.scene import LEASE_S, SIMULATED, STEP_S, VERSE, Scene, lives
from taskqueue import keys

Target = Literal["worker", "web", "orchestrator", "recorder", "redis", "postgres"]
Manner = Literal[
    "killed", "paused", "drained", "cut from redis", "cut from postgres", "restarted", "flushed", "full", "stranded"
]

WELL_S = 90.0
"""Who is not back by itself after so long is taken for gone."""

BUSY_S = 15.0
"""So long a worker with work is waited for."""

ECHO_S = 1.0
"""What a process said just before its death still arrives after it, for so long on a busy machine: it is no sign of life."""


class Kind(NamedTuple):
    """A kind of fault. `hurts_servers`: a server is away meanwhile, and `/readyz` must say so.

    `stall_s`: for so long a stream may stall, where that is promised.
    """

    name: str
    target: Target
    manner: Manner
    quick: bool = False
    hurts_servers: bool = False
    stall_s: float | None = None


KINDS = (
    Kind("worker killed", "worker", "killed", quick=True, stall_s=LEASE_S + STEP_S),
    Kind("worker paused past its lease", "worker", "paused", quick=True),
    Kind("worker drained", "worker", "drained", quick=True, stall_s=1.0),
    Kind("worker cut off from Redis", "worker", "cut from redis"),
    Kind("web killed", "web", "killed", quick=True),
    Kind("web paused", "web", "paused"),
    Kind("web cut off from Redis", "web", "cut from redis"),
    Kind("web cut off from Postgres", "web", "cut from postgres"),
    Kind("web killed between commit and enqueue", "web", "stranded", quick=True),
    Kind("leading orchestrator killed", "orchestrator", "killed", quick=True),
    Kind("leading orchestrator paused", "orchestrator", "paused"),
    Kind("leading orchestrator cut off from Redis", "orchestrator", "cut from redis"),
    Kind("leading orchestrator cut off from Postgres", "orchestrator", "cut from postgres"),
    Kind("recorder killed", "recorder", "killed", quick=True),
    Kind("recorder paused", "recorder", "paused"),
    Kind("recorder cut off from Redis", "recorder", "cut from redis"),
    Kind("recorder cut off from Postgres", "recorder", "cut from postgres"),
    Kind("Redis killed", "redis", "killed", quick=True),
    Kind("Redis paused", "redis", "paused", hurts_servers=True),
    Kind("Redis restarted", "redis", "restarted"),
    Kind("Redis flushed", "redis", "flushed", quick=True),
    Kind("Redis out of memory", "redis", "full", quick=True, hurts_servers=True),
    Kind("Postgres killed", "postgres", "killed", quick=True),
    Kind("Postgres paused", "postgres", "paused", hurts_servers=True),
    Kind("Postgres restarted", "postgres", "restarted"),
)


@dataclass(slots=True)
class Fault:
    """One fault that was made. `over_at`: the harm itself has ended (at once, for a kill); `well_at`: all was well again."""

    kind: Kind
    target: str
    begun_at: float
    over_at: float = 0.0
    well_at: float = 0.0
    ills: list[str] = field(default_factory=list)

    @property
    def recovery_s(self) -> float:
        """From the end of the harm until all was well."""
        return self.well_at - self.over_at


@dataclass(slots=True)
class Director:
    """Does the harm. All chance comes from `rng`, all knowledge of pids from the scene at that moment."""

    scene: Scene
    health: Health
    truth: Truth
    rng: random.Random
    faults: list[Fault] = field(default_factory=list)

    async def strike(self, kind: Kind) -> Fault:
        """One fault, and the wait until all is well again."""
        name, pids = await self._target(kind)
        fault = Fault(kind, name, time.monotonic())
        self.faults.append(fault)
        await self._harm(fault, pids)
        fault.over_at = fault.over_at or time.monotonic()
        since = fault.over_at
        if kind.manner in ("killed", "drained", "stranded"):
            await _until_gone(pids)
            since += ECHO_S
        if kind.hurts_servers:
            self.truth.away.append((fault.begun_at, fault.over_at))
        fault.ills = await self.health.until_well(timeout_s=WELL_S, since=since)
        fault.well_at = time.monotonic()
        return fault

    async def _target(self, kind: Kind) -> tuple[str, list[int]]:
        match kind.target:
            case "worker":
                # Most faults hit the pool that has most of the work.
                pool = SIMULATED if VERSE not in self.scene.wanted or self.rng.random() < 0.6 else VERSE
                those = await self._busy(pool)
                if not those:
                    return "no worker", []
                victim = self.rng.choice(those)
                return f"worker {victim.pid}", [victim.pid]
            case "web" | "recorder" | "orchestrator":
                name = {"web": f"web-{self.rng.randint(1, 2)}", "recorder": "recorder"}.get(
                    kind.target, self.scene.leader
                )
                pid = self.scene.pid(name)
                return name, [] if pid is None else [pid]
            case "redis" | "postgres":
                return kind.target, self.scene.server_pids(kind.target)

    async def _busy(self, pool: str) -> list[psutil.Process]:
        """Workers that hold turns: to hurt others shows little. Where there are none for a while, all that live."""
        give_up_at = time.monotonic() + BUSY_S
        async with redis.asyncio.Redis.from_url(self.scene.redis_url) as client:
            while True:
                workers = self.scene.workers()[pool]
                busy = [workers[one] for one in workers if await client.exists(f"{keys.prefix(pool)}held:{one}")]
                if busy or time.monotonic() > give_up_at:
                    return busy or list(workers.values())
                await asyncio.sleep(0.02)

    async def _harm(self, fault: Fault, pids: Sequence[int]) -> None:
        kind = fault.kind
        for_s = LEASE_S + self.rng.uniform(1.0, 3.0)
        silent = self.rng.random() < 0.5
        match kind.manner:
            case "killed":
                _send(signal.SIGKILL, pids)
            case "drained":
                _send(signal.SIGTERM, pids)
            case "paused":
                await self._pause(fault, pids, for_s)
            case "cut from redis":
                await self.scene.redis_relay.cut(pids, for_s=for_s, silent=silent)
            case "cut from postgres":
                await self.scene.postgres_relay.cut(pids, for_s=for_s, silent=silent)
            case "restarted":  # SIGINT is Postgres' fast shutdown; Redis writes everything down at SIGTERM
                _send(signal.SIGTERM if kind.target == "redis" else signal.SIGINT, pids[:1])
                await _until_gone(pids[:1])
            case "flushed":
                async with redis.asyncio.Redis.from_url(self.scene.redis_url) as client:
                    await client.flushall()
            case "full":
                await self._fill_memory(fault, for_s)
            case "stranded":
                servers = self.scene.server_pids("redis")
                _send(signal.SIGSTOP, servers)  # what is committed now cannot be enqueued
                await asyncio.sleep(self.rng.uniform(1.0, 2.0))
                _send(signal.SIGKILL, pids)
                _send(signal.SIGCONT, servers)

    async def _pause(self, fault: Fault, pids: Sequence[int], for_s: float) -> None:
        _send(signal.SIGSTOP, pids)
        try:
            await asyncio.sleep(for_s)
        finally:
            fault.over_at = time.monotonic()
            _send(signal.SIGCONT, pids)

    async def _fill_memory(self, fault: Fault, for_s: float) -> None:
        """To Redis it is the same whether its memory is full or its limit is low."""
        async with redis.asyncio.Redis.from_url(self.scene.redis_url) as client:
            await client.config_set("maxmemory", 1)
            try:
                await asyncio.sleep(for_s)
            finally:
                fault.over_at = time.monotonic()
                await client.config_set("maxmemory", 0)


def order(rng: random.Random, *, quick: bool, only: str = "") -> list[Kind]:
    """Each kind once (whose name holds `only`), shuffled."""
    kinds = [kind for kind in KINDS if (kind.quick or not quick) and only in kind.name]
    rng.shuffle(kinds)
    return kinds


def _send(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


async def _until_gone(pids: Sequence[int]) -> None:
    """Only then is it worth asking whether all is well."""
    give_up_at = time.monotonic() + WELL_S
    while any(map(lives, pids)) and time.monotonic() < give_up_at:  # noqa: ASYNC110 - no child of ours: /proc tells
        await asyncio.sleep(0.05)
