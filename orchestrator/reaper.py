"""Lapsed leases go back to the queue: looked after by every orchestrator, on a thread of its own.

One script in Redis does it, so any number of processes may. So it depends neither on the lead (a leader that is paused keeps its
lock), nor on Postgres, nor on how long a tick takes; and a client waits for the lease, not for the next tick.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from taskqueue.failures import QueueUnavailable
from taskqueue.sync_client import Queue

log = logging.getLogger(__name__)

REAP_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pool puts up with, as `orchestrator.models.Pool` says it. A worker that is silent for `lease_s` is lost."""

    max_attempts: int
    max_losses: int
    lease_s: float


class Reaper:
    """One thread over all pools that it was told of, until `stop`. `queue_of` gives a pool's queue."""

    def __init__(self, queue_of: Callable[[str], Queue]) -> None:
        self._queue_of = queue_of
        self._limits: dict[str, Limits] = {}
        self._blind: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reaper")

    def watch(self, limits: Mapping[str, Limits]) -> None:
        """From now on these pools, by slug."""
        self._limits = dict(limits)

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
            for pool, limits in self._limits.items():
                self._reap(pool, limits)

    def _reap(self, pool: str, limits: Limits) -> None:
        try:
            self._queue_of(pool).reap(
                max_attempts=limits.max_attempts, max_losses=limits.max_losses, lease_s=limits.lease_s
            )
            self._blind.discard(pool)
        except QueueUnavailable as error:
            if pool not in self._blind:
                log.warning("pool %s: leases are not looked after: %s", pool, error)
            self._blind.add(pool)
        except Exception:
            log.exception("pool %s: leases are not looked after", pool)
