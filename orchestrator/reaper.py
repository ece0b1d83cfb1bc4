"""Lapsed leases go back to the queue: looked after by every orchestrator, on a thread of its own.

One script in Redis does it, so any number of processes may. So it depends neither on the lead (a leader that is paused keeps its
lock), nor on Postgres, nor on how long a tick takes; and a client waits for the lease, not for the next tick.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from taskqueue.failures import QueueUnavailable
from taskqueue.sync_client import Queue

log = logging.getLogger(__name__)

REAP_EVERY_S = 0.1


class Reaper:
    """One thread over all pools that it was told of, until `stop`. `queue_of` gives a pool's queue."""

    def __init__(self, queue_of: Callable[[str], Queue]) -> None:
        self._queue_of = queue_of
        self._attempts: dict[str, int] = {}
        self._blind: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reaper")

    def watch(self, attempts: Mapping[str, int]) -> None:
        """From now on these pools, by slug, with how many workers a turn may outlive."""
        self._attempts = dict(attempts)

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
            for pool, attempts in self._attempts.items():
                self._reap(pool, attempts)

    def _reap(self, pool: str, attempts: int) -> None:
        try:
            self._queue_of(pool).reap(max_attempts=attempts)
            self._blind.discard(pool)
        except QueueUnavailable as error:
            if pool not in self._blind:
                log.warning("pool %s: leases are not looked after: %s", pool, error)
            self._blind.add(pool)
        except Exception:
            log.exception("pool %s: leases are not looked after", pool)
