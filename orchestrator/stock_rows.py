"""The stock in Postgres: what changed is written by who leads, and read for the console."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast
from uuid import UUID

from django.conf import settings

from orchestrator import records
from orchestrator.models import Pool
from orchestrator.needs import needed_by
from orchestrator.stock.items import Item, Kind, State, Status, shown
from orchestrator.stock_models import StockItem


class StockRows:
    """The rows of one host. They are told once per state and percent, in one statement for all that changed."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._written: dict[Item, tuple[object, ...]] = {}
        self._begun = False

    def write(self, statuses: Mapping[Item, Status], *, now: float) -> None:
        """Bring the rows to this. What another host left behind goes: workers run where the leader is."""
        changed = {item: status for item, status in statuses.items() if self._written.get(item) != _told(status)}
        if changed:
            StockItem.objects.bulk_create(
                [self._row(item, status, now) for item, status in changed.items()],
                update_conflicts=True,
                unique_fields=["host", "kind", "name"],
                update_fields=["state", "done_bytes", "total_bytes", "error", "changed_at"],
            )
        if not self._begun or self._written.keys() - statuses.keys():
            kept = [row.pk for row in StockItem.objects.filter(host=self._host) if _item(row) in statuses]
            StockItem.objects.exclude(pk__in=kept).delete()
        self._begun = True
        self._written = {item: _told(status) for item, status in statuses.items()}

    def _row(self, item: Item, status: Status, now: float) -> StockItem:
        return StockItem(
            host=self._host,
            kind=item.kind,
            name=item.name,
            state=status.state,
            done_bytes=status.done,
            total_bytes=status.total,
            error=status.error.replace("\x00", ""),
            changed_at=records.moment(now),
        )


def of_pools(pools: Iterable[Pool], *, all_of_it: bool = False) -> Mapping[UUID, str]:
    """What is being fetched for each pool or cannot be, in sentences, with the host; `all_of_it`: what is present, too."""
    rows: defaultdict[Item, list[StockItem]] = defaultdict(list)
    for row in StockItem.objects.all():
        rows[_item(row)].append(row)
    found = {}
    for pool in pools:
        items = needed_by([pool], image=settings.OPSITE_WORKER_IMAGE, base_folder=Path(settings.BASE_DIR))
        known = [row for item in sorted(items, key=str) for row in rows[item]]
        told = [row for row in known if all_of_it or row.state in (StockItem.State.FETCHING, StockItem.State.FAILED)]
        found[pool.pk] = " ".join(f"{_shown(row).removesuffix('.')} (host {row.host})." for row in told)
    return found


def _item(row: StockItem) -> Item:
    return Item(cast("Kind", row.kind), row.name)


def _shown(row: StockItem) -> str:
    return shown(_item(row), Status(cast("State", row.state), row.done_bytes, row.total_bytes, row.error))


def _told(status: Status) -> tuple[object, ...]:
    return status.state, status.percent, status.error
