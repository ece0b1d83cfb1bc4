"""What all pools of one host share while one orchestrator leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.access import Access
from orchestrator.fleet import Fleet
from orchestrator.needs import needed
from orchestrator.placement.packing import Capacity
from orchestrator.recipe_models import Recipe
from orchestrator.runtimes.inventory import Inventory
from orchestrator.specs import Site
from orchestrator.stock.items import Item, awaited
from orchestrator.stock.keeper import Stock


class LeadLost(Exception):
    """The lead went to another orchestrator, or Postgres is away: nothing more may be done."""


class NotInStock(Exception):
    """What a worker is made from could not be brought to this host: the message says what to change."""


@dataclass(slots=True)
class Host:
    """Runtimes, access to Redis, GPUs, stock, cores, limits. `confirm` raises `LeadLost`."""

    site: Site
    fleet: Fleet
    access: Access
    inventory: Inventory
    stock: Stock
    cpus: int
    max_workers: int
    start_timeout_s: float
    confirm: Callable[[], None]

    def capacity(self) -> Capacity:
        """What there is to be given to workers now."""
        devices = tuple(device.identity for device in self.inventory.devices())
        return Capacity(devices, cpus=self.cpus, workers=self.max_workers, names=self.inventory.names())

    def needed(self, recipe: Recipe) -> tuple[Item, ...]:
        """What must be here before such a worker starts."""
        return needed(recipe, image=self.site.image, base_folder=self.site.base_folder)

    def awaited(self, recipe: Recipe) -> str | None:
        """Why it must wait; empty where there is nothing to be said about it yet, None where it need not."""
        return awaited((item, self.stock.status(item)) for item in self.needed(recipe))

    def weights(self, recipe: Recipe) -> str:
        """The folder of its weights, if they came from a hub. Raises `NotInStock` for what could not be brought here."""
        statuses = {item: self.stock.status(item) for item in self.needed(recipe)}
        if failed := [status.error for status in statuses.values() if status.state == "failed"]:
            raise NotInStock(" ".join(failed))
        return "".join(status.folder for status in statuses.values())
