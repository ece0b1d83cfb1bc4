"""The fleet as the leader saw it last, for Prometheus: pools and, from their heartbeats, the workers.

A collector rather than gauges: what is gone leaves no series behind, and a standby shows nothing. Workers have no way out but
Redis, so nobody can scrape them.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orchestrator.journal import Journal
from orchestrator.models import Pool, Worker
from taskqueue.messages import PoolSignals, WorkerStatus

POOL = ("pool",)
WORKER = ("pool", "worker")


@dataclass(slots=True)
class _Seen:
    slug: str
    is_paused: bool
    workers: Mapping[str, int]
    slots: int
    desired: int | None
    refused: Sequence[str]
    demand: PoolSignals | None


@dataclass(slots=True, eq=False)
class Fleet(Collector):
    """What `show` was told last. Scrapes come from another thread."""

    _seen: list[_Seen] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def show(
        self,
        pools: Iterable[Pool],
        rows: Mapping[uuid.UUID, Sequence[Worker]],
        demand: Mapping[str, PoolSignals | Exception],
        journals: Mapping[uuid.UUID, Journal],
    ) -> None:
        """One tick's view."""
        seen = []
        for pool in pools:
            workers, journal, heard = rows.get(pool.pk, ()), journals.get(pool.pk), demand[pool.slug]
            seen.append(
                _Seen(
                    pool.slug,
                    pool.is_paused,
                    {state.value: sum(row.state == state for row in workers) for state in Worker.LIVE},
                    sum(row.slots for row in workers if row.state == Worker.State.READY),
                    None if journal is None else journal.desired,
                    [] if journal is None else sorted(journal.refused),
                    heard if isinstance(heard, PoolSignals) else None,
                )
            )
        with self._lock:
            self._seen = seen

    def forget(self) -> None:
        """Another leads now."""
        with self._lock:
            self._seen = []

    def describe(self) -> Iterable[Metric]:
        """The families without samples: what the registry checks names by."""
        return self._families([])

    def collect(self) -> Iterable[Metric]:
        """One scrape."""
        with self._lock:
            seen = list(self._seen)
        return self._families(seen)

    def _families(self, seen: Sequence[_Seen]) -> Iterator[Metric]:
        yield from _pools(seen)
        yield from _demand([(one.slug, one.demand) for one in seen if one.demand is not None])
        statuses = [(one.slug, worker) for one in seen if one.demand is not None for worker in one.demand.workers]
        now_ms = max((one.demand.now_ms for one in seen if one.demand is not None), default=0)
        yield from _workers(statuses, now_ms)


def _pools(seen: Sequence[_Seen]) -> Iterator[Metric]:
    workers = GaugeMetricFamily("opsite_pool_workers", "Workers of a pool by state.", labels=("pool", "state"))
    slots = GaugeMetricFamily("opsite_pool_slots", "Turns that the pool's ready workers can run at once.", labels=POOL)
    desired = GaugeMetricFamily("opsite_pool_workers_desired", "Workers that the last decision wanted.", labels=POOL)
    paused = GaugeMetricFamily("opsite_pool_paused", "1 while scaling is paused.", labels=POOL)
    refusals = GaugeMetricFamily(
        "opsite_pool_refusal",
        "1 for each thing that keeps the fleet from being what the work alone would make it; docs/architecture.md lists the kinds.",
        labels=("pool", "kind"),
    )
    blind = GaugeMetricFamily("opsite_pool_queue_unreadable", "1 while the pool's queue cannot be read.", labels=POOL)
    for one in seen:
        for state, count in one.workers.items():
            workers.add_metric((one.slug, state), count)
        slots.add_metric((one.slug,), one.slots)
        paused.add_metric((one.slug,), float(one.is_paused))
        blind.add_metric((one.slug,), float(one.demand is None))
        if one.desired is not None:
            desired.add_metric((one.slug,), one.desired)
        for kind in one.refused:
            refusals.add_metric((one.slug, kind), 1)
    yield from (workers, slots, desired, paused, refusals, blind)


def _demand(demands: Sequence[tuple[str, PoolSignals]]) -> Iterator[Metric]:
    gauges: tuple[tuple[str, str, Callable[[PoolSignals], float]], ...] = (
        ("waiting", "Turns that wait.", lambda demand: demand.waiting),
        (
            "held_back",
            "Of these, turns over the running limit of their tenant or key.",
            lambda demand: demand.held_back,
        ),
        ("running", "Turns that a worker holds.", lambda demand: demand.running),
        ("oldest_wait_seconds", "How long the turn that came first waits by now.", lambda demand: demand.oldest_wait_s),
    )
    for name, help_text, value in gauges:
        family = GaugeMetricFamily(f"opsite_pool_{name}", help_text, labels=POOL)
        for slug, demand in demands:
            family.add_metric((slug,), value(demand))
        yield family
    arrived = CounterMetricFamily(
        "opsite_pool_turns_arrived", "Turns that ever came in, those that come back not again.", labels=POOL
    )
    for slug, demand in demands:
        arrived.add_metric((slug,), demand.arrived)
    yield arrived


def _workers(statuses: Sequence[tuple[str, WorkerStatus]], now_ms: int) -> Iterator[Metric]:
    gauges: tuple[tuple[str, str, Callable[[WorkerStatus], float]], ...] = (
        ("running", "Turns that the worker runs.", lambda one: one.running),
        ("slots", "Turns that it can run at once.", lambda one: one.slots),
        ("ready", "1 once it serves.", lambda one: float(one.phase == "ready")),
        ("heartbeat_age_seconds", "Since its last word.", lambda one: max(0.0, (now_ms - one.beat_ms) / 1000)),
    )
    for name, help_text, value in gauges:
        gauge = GaugeMetricFamily(f"opsite_worker_{name}", help_text, labels=WORKER)
        for slug, one in statuses:
            gauge.add_metric((slug, one.worker), value(one))
        yield gauge
    counters: tuple[tuple[str, str, Callable[[WorkerStatus], float]], ...] = (
        ("tokens", "Tokens that the worker has made.", lambda one: one.tokens_total),
        ("prompt_tokens", "Prompt tokens that its engine has read.", lambda one: one.work.prefilled),
        ("steps", "Steps of its engine.", lambda one: one.work.steps),
        ("busy_seconds", "What these took; time without work is left out.", lambda one: one.work.steps_s),
        ("step_sequences", "Sequences in these, summed: by steps, the mean batch.", lambda one: one.work.sequences),
    )
    for name, help_text, total in counters:
        counter = CounterMetricFamily(f"opsite_worker_{name}", help_text, labels=WORKER)
        for slug, one in statuses:
            counter.add_metric((slug, one.worker), total(one))
        yield counter
