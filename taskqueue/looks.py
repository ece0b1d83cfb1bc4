"""Looking at one worker while it lives: what the queue knows of it, and what its orchestrator shows while somebody looks.

Who looks says so, by a key that is soon gone; the leader sees it within a second and answers by another one (logs, CPU, memory,
GPUs). So web processes may run elsewhere than workers and never speak to Docker, and where nobody looks nothing is read. Both keys
lie outside of all pools: no worker reaches another one's log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from redis import Redis

from taskqueue import calls, keys
from taskqueue.failures import translated
from taskqueue.messages import WorkerStatus

ASKED_S = 5.0
"""A question that is not asked again for so long is over. Pages ask every second."""
SHOWN_S = 5.0
"""An answer that is not renewed for so long is none."""


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """What a GPU says of itself now. None: it does not tell, which is not zero. `utilisation` is in percent of the last moments."""

    device: str
    name: str = ""
    memory_used_mib: int | None = None
    memory_total_mib: int | None = None
    utilisation: int | None = None


class Glimpse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A living worker as its orchestrator sees it. `cpus`: cores in use since the last look; `error`: why its log is missing."""

    host: str
    pid: int | None = None
    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: tuple[Gauge, ...] = ()
    lines: tuple[str, ...] = ()
    error: str = ""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One worker at one moment. `statuses`: its last words, one or, of several simulated workers in one process, more.

    `held` are the turns that it holds. `glimpse` is None until its orchestrator has answered, and where none leads.
    """

    now_ms: int
    statuses: tuple[WorkerStatus, ...] = ()
    held: tuple[str, ...] = ()
    glimpse: Glimpse | None = None


class Looks:
    """Question and answer over one client."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def look(self, *, pool: str, worker: str) -> Seen:
        """What is known now; its orchestrator is asked for more. Raises `QueueUnavailable`."""
        prefix = keys.prefix(pool)
        with translated():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.set(keys.looked_for(worker), b"", px=round(ASKED_S * 1000))
            pipeline.get(keys.glimpse(worker))
            pipeline.time()
            pipeline.zrange(f"{prefix}workers", 0, -1, withscores=True)
            _, shown, (seconds, micros), fleet = pipeline.execute()
            beats = {name.decode(): int(beat) for name, beat in fleet if name.decode().startswith(worker)}
            names = sorted(beats.keys() | {worker})
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.get(f"{prefix}worker:{name}")
                pipeline.smembers(f"{prefix}held:{name}")
            found = pipeline.execute()
        statuses = [
            msgspec.structs.replace(calls.read_status(blob), beat_ms=beats[name])
            for name, blob in zip(names, found[::2], strict=True)
            if blob is not None and name in beats
        ]
        return Seen(
            now_ms=seconds * 1000 + micros // 1000,
            statuses=tuple(statuses),
            held=tuple(sorted(turn.decode() for held in found[1::2] for turn in held)),
            glimpse=None if shown is None else msgspec.json.decode(shown, type=Glimpse),
        )

    def looked_for(self, workers: Sequence[str]) -> list[str]:
        """Those of these workers that somebody looks at now. Raises `QueueUnavailable`."""
        if not workers:
            return []
        with translated():
            found = self._redis.mget([keys.looked_for(worker) for worker in workers])
        return [worker for worker, asked in zip(workers, found, strict=True) if asked is not None]

    def show(self, glimpses: Mapping[str, Glimpse]) -> None:
        """Answer who looks. Raises `QueueUnavailable`."""
        with translated():
            pipeline = self._redis.pipeline(transaction=False)
            for worker, glimpse in glimpses.items():
                pipeline.set(keys.glimpse(worker), msgspec.json.encode(glimpse), px=round(SHOWN_S * 1000))
            pipeline.execute()
