"""Lapsed leases go back to the queue: looked after by every orchestrator, on a thread of its own.

One script in Redis does it, so any number of processes may. So it depends neither on the lead (a leader that is paused keeps its
lock), nor on Postgres, nor on how long a tick takes; and a client waits for the lease, not for the next tick.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from taskqueue import calls
from taskqueue.calls import Call
from taskqueue.failures import QueueUnavailable
from taskqueue.pools import Pools

log = logging.getLogger(__name__)

REAP_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pool puts up with, as `orchestrator.models.Pool` says it. A worker that is silent for `lease_s` is lost."""

    max_attempts: int
    max_losses: int
    lease_s: float


class Reaper:
    """One thread over all pools that it was told of, until `stop`."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._due: dict[str, Call[int]] = {}
        self._blind: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reaper")

    def watch(self, limits: Mapping[str, Limits]) -> None:
        """From now on these pools, by slug."""
        self._due = {
            pool: calls.reap(max_attempts=of.max_attempts, max_losses=of.max_losses, lease_s=of.lease_s)
            for pool, of in limits.items()
        }

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a call that is under way is waited for."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(REAP_EVERY_S):
            try:
                for pool, answer in self._pools.reap(self._due).items():
                    self._note(pool, answer)
            except Exception:
                log.exception("leases are not looked after")

    def _note(self, pool: str, answer: int | Exception) -> None:
        if not isinstance(answer, Exception):
            self._blind.discard(pool)
        elif pool not in self._blind:
            trace = None if isinstance(answer, QueueUnavailable) else answer
            log.warning("pool %s: leases are not looked after: %s", pool, answer, exc_info=trace)
            self._blind.add(pool)
