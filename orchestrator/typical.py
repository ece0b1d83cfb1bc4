"""What a start of a pool's workers takes, in a sentence: the middle one of its last starts, phase by phase."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from orchestrator.models import Pool, Worker
from orchestrator.signals.phases import in_a_sentence, median

PER_POOL = 20
"""So many starts of a pool count."""
AT_ONCE = 1000
"""So many starts are read for all pools together: a pool that has not started a worker for so long has no sentence there."""


def of_pool(pool: Pool) -> str:
    """Over the pool's last starts on the runtime that it has now; empty where none was measured."""
    rows = pool.workers.filter(ready_at__isnull=False, runtime=pool.runtime).order_by("-started_at")
    return in_a_sentence(rows.values_list("start_phases", flat=True)[:PER_POOL], runtime=pool.runtime)


def phases_of(pool: Pool, *, runtime: str) -> Mapping[str, float]:
    """The middle one of the pool's last starts on that runtime, phase by phase (s); empty where none was measured."""
    rows = pool.workers.filter(ready_at__isnull=False, runtime=runtime).order_by("-started_at")
    return median(rows.values_list("start_phases", flat=True)[:PER_POOL])


def of_pools(pools: Iterable[Pool]) -> Mapping[UUID, str]:
    """The same for many, by one query over the last starts of all."""
    rows = Worker.objects.filter(ready_at__isnull=False).order_by("-started_at")
    starts: defaultdict[tuple[UUID, str], list[Mapping[str, float]]] = defaultdict(list)
    for pool_id, runtime, phases in rows.values_list("pool_id", "runtime", "start_phases")[:AT_ONCE]:
        if len(known := starts[pool_id, runtime]) < PER_POOL:
            known.append(phases)
    return {pool.pk: in_a_sentence(starts[pool.pk, pool.runtime], runtime=pool.runtime) for pool in pools}
