"""What all pools of one host share while one orchestrator leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.access import Access
from orchestrator.demand import counted
from orchestrator.fleet import Fleet, Sight
from orchestrator.gpus import free_gpus
from orchestrator.specs import Site


class LeadLost(Exception):
    """The lead went to another orchestrator, or Postgres is away: nothing more may be done."""


@dataclass(slots=True)
class Host:
    """Runtimes, access to Redis, GPUs, limits. `confirm` raises `LeadLost`.

    `live` counts workers that have not ended, of all pools.
    """

    site: Site
    fleet: Fleet
    access: Access
    gpus: tuple[str, ...]
    max_workers: int
    start_timeout_s: float
    confirm: Callable[[], None]
    live: int = 0

    def room(self, sight: Sight, *, gpus_per_worker: int) -> tuple[int, str]:
        """How many more workers of such a pool may be started, and what to say when that is too few."""
        room = self.max_workers - self.live
        note = f"This host holds {counted(self.max_workers, 'worker')} at most (OPSITE_MAX_LOCAL_WORKERS)."
        if gpus_per_worker:
            free = free_gpus(present=self.gpus, taken=self.fleet.gpus_taken(sight))
            if free // gpus_per_worker < room:
                room = free // gpus_per_worker
                each = counted(gpus_per_worker, "GPU")
                note = f"A worker of this pool needs {each}; {free} of this host's {len(self.gpus)} are free."
        return room, note
