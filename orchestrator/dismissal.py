"""The leader's side of what staff wants of single workers: who is to drain begins to, who is to be killed is.

Both count as drains: such an end is no failed start, and nobody's loss. A drain goes on as any other (`orchestrator.watch` asks the
worker of a draining row to end). A kill waits for Redis: the mark that excuses the worker's turns must stand before it is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from orchestrator import records
from orchestrator.fleet import Fleet, Sight
from orchestrator.models import Worker
from orchestrator.runtimes import RuntimeUnavailable
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import PoolSignals
from taskqueue.sync_client import Queue

log = logging.getLogger(__name__)

DONE = {Worker.Wish.DRAIN: "Drained", Worker.Wish.KILL: "Killed"}


def carry_out(
    wished: Iterable[Worker], sight: Sight, *, fleet: Fleet, queue: Queue, signals: PoolSignals | Exception, now: float
) -> None:
    """Do what is wished of these live workers of one pool. What cannot be done now is tried again at the next tick."""
    for row in wished:
        reason = f"{DONE[Worker.Wish(row.wish)]} by {row.wished_by}."
        if row.state != Worker.State.DRAINING or row.end_reason != reason:
            begun = row.draining_at or records.moment(now)
            records.change(row, state=Worker.State.DRAINING, draining_at=begun, end_reason=reason)
            log.info("worker %s: %s", row.pk, reason)
        if row.wish == Worker.Wish.KILL:
            _kill(row, sight, fleet=fleet, queue=queue, names=_names(row, signals))


def _kill(row: Worker, sight: Sight, *, fleet: Fleet, queue: Queue, names: Iterable[str]) -> None:
    """Nothing is done to one that is being started: it is killed when it is there."""
    instance = sight.instances.get(str(row.pk))
    if instance is None or not instance.alive:
        return
    try:
        for name in names:
            queue.dismiss(name)
        fleet.runtimes[row.runtime].kill(instance.ref)
        for name in names:
            queue.abandon(name)
    except (QueueUnavailable, RuntimeUnavailable) as error:
        log.warning("worker %s is to be killed, which cannot be done now: %s", row.pk, error)


def _names(row: Worker, signals: PoolSignals | Exception) -> set[str]:
    """Under which it holds turns: several simulated workers of one process append a number to the id that it was started with."""
    worker = str(row.pk)
    heard = signals.workers if isinstance(signals, PoolSignals) else ()
    return {worker} | {status.worker for status in heard if status.worker.startswith(worker)}
