"""The control loop: one leader, a tick every second over all pools.

Whoever does not lead stands by and tries again each second. Workers outlive the loop: they are left running when it
ends, and adopted by the next leader. Lapsed leases are the reaper's (orchestrator.reaper), whoever leads.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.utils import DatabaseError, InterfaceError, OperationalError
from prometheus_client import REGISTRY

from orchestrator import records
from orchestrator.control import PoolControl
from orchestrator.dismissal import carry_out
from orchestrator.fleet import Sight
from orchestrator.history.book import Book
from orchestrator.history.gauges import Strength
from orchestrator.history.work import WorkBook
from orchestrator.holdings import write_down
from orchestrator.host import Host, LeadLost
from orchestrator.hours import Meter
from orchestrator.journal import Journal
from orchestrator.leader import Leadership
from orchestrator.local import host_of_settings
from orchestrator.lookout import Known, Lookout
from orchestrator.mask_rows import Masks
from orchestrator.masking import Mask
from orchestrator.measured import FleetMetrics
from orchestrator.models import Pool, Worker
from orchestrator.needs import needed_by
from orchestrator.reaper import Limits, Reaper
from orchestrator.replay import turn_cost
from orchestrator.runtimes.inventory import gauges_by_nvml
from orchestrator.runtimes.process import ProcessRuntime
from orchestrator.spoilt import allot_the_sound
from orchestrator.stock.items import Item, merged
from orchestrator.stock_rows import StockRows
from orchestrator.watch import Watch
from taskqueue.connections import connect
from taskqueue.failures import QueueUnavailable
from taskqueue.keys import is_pool_name
from taskqueue.looks import Looks
from taskqueue.messages import PoolSignals
from taskqueue.pools import Pools
from taskqueue.sync_client import Queue, foretell
from telemetry.metrics.orchestrator import LEADS, TICK_SECONDS, TICKS
from telemetry.pulse import PULSE

log = logging.getLogger(__name__)

TICK_S = 1.0
BEAT_WITHIN_S = 60.0
"""A loop that has not come round for so long hangs."""


class Orchestrator:
    """One orchestrator process: leader or standby."""

    def __init__(self, *, tick_s: float = TICK_S, make_host: Callable[..., Host] = host_of_settings) -> None:
        self._tick_s = tick_s
        self._host: Host = make_host(confirm=self._confirm)
        self._leadership = Leadership(self._host.site.stack)
        self._redis = connect(settings.REDIS_URL)
        self.queues = Pools(self._redis)
        self._reaper = Reaper(Pools(self._redis))
        self._lookout = Lookout(
            Looks(self._redis),
            runtimes=self._host.fleet.runtimes,
            host=self._host.stock.host,
            read_gauges=gauges_by_nvml,
        )
        self._masks = Masks()
        self._blind: set[str] = set()
        self._controls: dict[uuid.UUID, PoolControl] = {}
        self._meter = Meter()
        self._stock_rows = StockRows(self._host.stock.host)
        self._book = Book()
        self._work = WorkBook()
        self._first = True
        self._begun = False
        self.shown = FleetMetrics()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`. Workers are left as they are."""
        standing_by = False
        self._reaper.start()
        self._lookout.start()
        try:
            while not stop.is_set():
                begun = time.monotonic()
                PULSE.beat("control loop", within_s=BEAT_WITHIN_S)
                led = self._leadership.leads
                if self._leadership.campaign():
                    if not led:
                        log.info("this orchestrator leads")
                        self._begun = False
                    standing_by = False
                    if not self._begun:
                        self._safely(self._begin)  # until that is done nobody knows what runs: nothing may be started
                    if self._begun:
                        self._timed_tick()
                    if self._begun and self._leadership.leads:
                        self._safely(self.keep_history)
                else:
                    if not standing_by:
                        self._host.stock.close()
                        log.info("another orchestrator leads; this one stands by")
                    standing_by = True
                    self._lookout.watch({})
                    LEADS.set(0)
                    self.shown.forget()
                    self._safely(self._learn_pools)
                stop.wait(max(0.05, self._tick_s - (time.monotonic() - begun)))
        finally:
            PULSE.end("control loop")
            self._host.fleet.close()  # before a standby may look for what these starts come to
            self._leadership.resign()
            self._reaper.stop()
            self._lookout.stop()
            self._host.stock.close()
            self._host.access.close()
            self._redis.close()
            connection.close()

    def _timed_tick(self) -> None:
        """A pass, told to the metrics."""
        LEADS.set(1)
        begun = time.perf_counter()
        done = self._safely(self.tick)
        TICKS.labels("ok" if done else "failed").inc()
        TICK_SECONDS.observe(time.perf_counter() - begun)

    def tick(self) -> None:
        """One pass over all pools. One pool's failure is logged and does not stop the others."""
        pools = self._learn_pools()
        self._restock(pools)
        rows = records.live_workers()
        outcomes = self._host.fleet.outcomes({str(row.pk) for row in rows})
        names = {Pool.Runtime.PROCESS.value} | self._host.fleet.unfinished
        names |= {row.runtime for row in rows} | records.runtimes_of(pools)
        sight = self._host.fleet.look(self._host.fleet.runtimes if self._first else names)
        self._first = False
        capacity = self._host.capacity()
        write_down(rows, sight, capacity.names)
        self._lookout.watch(known_of(rows, sight, self._masks.of(rows)))
        self._host.access.tend(living(rows, pools, sight))
        of_pool = records.by_pool(rows)
        demand = self.queues.signals([pool.slug for pool in pools], records.running_limits())
        heard_at = time.time()
        self._book.hear(pools, demand, {pool.pk: self._strength(pool, of_pool.get(pool.pk, [])) for pool in pools})
        self._work.hear(rows, demand, now=time.time())
        spent = self._meter.spent(pools, rows, time.time())
        for pool in pools:
            with apart(pool):
                self._carry_out_wishes(pool, of_pool.get(pool.pk, []), sight, demand[pool.slug])
        ticks, drafts = {}, []
        for pool in pools:
            with apart(pool):
                seen, control = self._seen(pool.slug, demand[pool.slug]), self._control(pool)
                control.spent_h = spent.get(pool.pk)
                control.curve = self._book.curves.get(pool.pk)
                ticks[pool.pk] = control.tick(pool, of_pool.get(pool.pk, []), sight, outcomes, seen, heard_at=heard_at)
                drafts.append(next(ticks[pool.pk]))
        allotments = allot_the_sound(capacity, sight, pools=pools, rows=rows, drafts=drafts)
        for draft in drafts:
            with apart(draft.pool), suppress(StopIteration):
                ticks[draft.pool.pk].send(allotments[draft.pool.pk])
        self._foretell(pools)
        self.shown.show(pools, of_pool, demand, {pk: one.journal for pk, one in self._controls.items()})
        self._confirm()
        self._host.fleet.end_orphans(sight, known={str(row.pk) for row in rows}, now=time.time())
        gone = self._controls.keys() - {pool.pk for pool in pools}
        for pool_id in gone:
            del self._controls[pool_id]

    def _strength(self, pool: Pool, rows: list[Worker]) -> Strength:
        """For its history: the workers as this tick found them, and the size that the last one wanted."""
        control = self._controls.get(pool.pk)
        states = [row.state for row in rows]
        return Strength(
            slots=sum(row.slots for row in rows if row.state == Worker.State.READY),
            starting=states.count(Worker.State.STARTING),
            ready=states.count(Worker.State.READY),
            draining=states.count(Worker.State.DRAINING),
            desired=None if control is None else control.journal.desired,
        )

    def _carry_out_wishes(self, pool: Pool, rows: list[Worker], sight: Sight, signals: PoolSignals | Exception) -> None:
        """What staff wants of single workers comes before what the policy wants of the pool, which then knows of it."""
        if wished := [row for row in rows if row.wish]:
            self._confirm()
            queue = Queue(self._redis, pool.slug)
            carry_out(wished, sight, fleet=self._host.fleet, queue=queue, signals=signals, now=time.time())

    def _restock(self, pools: list[Pool]) -> None:
        """Have fetched what the pools need, before a worker is needed, and tell how far that is."""
        host = self._host
        wanted: list[Item] = []
        for pool in pools:
            with apart(pool):
                wanted += needed_by([pool], image=host.site.image, base_folder=host.site.base_folder)
        host.stock.want(merged(wanted))
        self._stock_rows.write(host.stock.statuses(), now=time.time())

    def keep_history(self) -> None:
        """What a tick leaves for later. It stands behind the tick, so that its failure keeps no fleet from following its work."""
        try:
            self._book.keep()
            self._work.keep(now=time.time())
        except (DatabaseError, InterfaceError) as error:
            log.warning("demand and work are not recorded now: %s", " ".join(str(error).split()))
            connection.close()

    def _foretell(self, pools: list[Pool]) -> None:
        """Publish what the pools' clients may expect; what is not renewed is soon gone."""
        controls = {pool.slug: self._controls[pool.pk] for pool in pools if pool.pk in self._controls}
        outlooks = {slug: control.outlook for slug, control in controls.items() if control.outlook is not None}
        try:
            foretell(self._redis, outlooks)
        except QueueUnavailable as error:
            log.warning("no outlook is published: %s", error)
        except Exception:  # it is advice; what follows in the tick is not
            log.exception("no outlook is published")

    def _learn_pools(self) -> list[Pool]:
        """All pools; their leases are looked after by whoever leads or not."""
        pools = records.pools()
        self._reaper.watch({pool.slug: Limits(pool.max_attempts, pool.max_losses, pool.lease_s) for pool in pools})
        return pools

    def _safely(self, act: Callable[[], object]) -> bool:
        """Whether it was done; what keeps it from that is logged."""
        try:
            close_old_connections()
            act()
            PULSE.lacks("control loop", "")
            return True
        except LeadLost:
            log.error("the lead is lost: nothing more is done until it is won again")
        except (DatabaseError, InterfaceError) as error:
            log.error("Postgres does not answer, the fleet is left as it is: %s", " ".join(str(error).split()))
            connection.close()
            PULSE.lacks("control loop", "Postgres does not answer")
        except Exception:
            log.exception("this tick failed")
        return False

    def _begin(self) -> None:
        """Forget what was known under an earlier lead; see what runs."""
        self._controls.clear()
        self._meter = Meter()
        self._stock_rows = StockRows(self._host.stock.host)
        self._book = Book()
        self._work = WorkBook()
        self._host.access.begin()
        self._first = True
        runtime = self._host.fleet.runtimes[Pool.Runtime.PROCESS]
        if isinstance(runtime, ProcessRuntime):
            runtime.adopt()
        self._begun = True

    def _seen(self, pool: str, answer: PoolSignals | Exception) -> PoolSignals | None:
        """What the queue said; None, and a word in the log the first time, if it could not be read."""
        if not isinstance(answer, Exception):
            self._blind.discard(pool)
            return answer
        if pool not in self._blind:
            trace = None if isinstance(answer, QueueUnavailable) else answer
            log.warning("pool %s: %s", pool, answer, exc_info=trace)
        self._blind.add(pool)
        return None

    def _control(self, pool: Pool) -> PoolControl:
        control = self._controls.get(pool.pk)
        if control is None or control.slug != pool.slug:
            watch = Watch(self._host, pool.slug, records.past_failures(pool), records.past_starts(pool))
            last = records.last_decision(pool)
            journal = Journal.resumed(last, now=time.time())
            control = PoolControl(self._host, pool.slug, watch, journal=journal, tick_s=self._tick_s)
            control.past_turn_s = turn_cost(last.signals) if last is not None else None
            self._controls[pool.pk] = control
        return control

    def _confirm(self) -> None:
        if not self._leadership.confirm():
            raise LeadLost


@contextmanager
def apart(pool: Pool) -> Iterator[None]:
    """One pool's failure is logged and does not stop the others; a lost lead, or a Postgres that is away, stops all.

    Other errors of Postgres are about what was written: a value of that pool that no column takes.
    """
    try:
        yield
    except (LeadLost, OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("pool %s: this tick failed; the others go on", pool.slug)


def living(rows: Iterable[Worker], pools: Iterable[Pool], sight: Sight) -> dict[str, str]:
    """All workers that may speak to Redis, and their pools' slugs: those with a live row, and what is being asked to end.

    A worker that was seen tells the slug itself: it keeps the one that it was started with. What bears our mark but no pool's name
    was not started by us and speaks to nobody.
    """
    slugs = {pool.pk: pool.slug for pool in pools}
    known = {str(row.pk): slugs[row.pool_id] for row in rows if row.pool_id in slugs}
    seen = {worker: instance.pool for worker, instance in sight.instances.items() if instance.alive}
    return known | {worker: slug for worker, slug in seen.items() if is_pool_name(slug)}


def known_of(rows: Iterable[Worker], sight: Sight, masks: Mapping[uuid.UUID, Mask]) -> dict[str, Known]:
    """The workers that can be shown to who looks at them: those that are there."""
    seen = {str(row.pk): (row, sight.instances.get(str(row.pk))) for row in rows}
    return {
        worker: Known(row.runtime, instance.ref, tuple(str(name) for name in row.gpus), masks[row.revision_id])
        for worker, (row, instance) in seen.items()
        if instance is not None and row.revision_id in masks
    }


def run(stop: threading.Event) -> None:
    """What `manage.py orchestrate` runs."""
    orchestrator = Orchestrator()
    REGISTRY.register(orchestrator.shown)
    try:
        orchestrator.run(stop)
    finally:
        REGISTRY.unregister(orchestrator.shown)
