"""What all pools of one host share while one orchestrator leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.access import Access
from orchestrator.fleet import Fleet
from orchestrator.placement.packing import Capacity
from orchestrator.runtimes.inventory import Inventory
from orchestrator.specs import Site


class LeadLost(Exception):
    """The lead went to another orchestrator, or Postgres is away: nothing more may be done."""


@dataclass(slots=True)
class Host:
    """Runtimes, access to Redis, GPUs, cores, limits. `confirm` raises `LeadLost`."""

    site: Site
    fleet: Fleet
    access: Access
    inventory: Inventory
    cpus: int
    max_workers: int
    start_timeout_s: float
    confirm: Callable[[], None]

    def capacity(self) -> Capacity:
        """What there is to be given to workers now."""
        devices = tuple(device.identity for device in self.inventory.devices())
        return Capacity(devices, cpus=self.cpus, workers=self.max_workers, names=self.inventory.names())
