"""What was read of the service, as facts that can be judged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from console.overview import reads
from console.overview.facts import Hindrance, PoolFacts, Rollout, ServiceFacts, SideFacts, Silent
from console.overview.figures import MINUTES, Lately
from console.overview.ticks import Ticks
from orchestrator.models import Pool, Worker
from orchestrator.models import Rollout as RolloutRow
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import PoolSignals
from taskqueue.outlook import OUTLOOK_S

LATELY = timedelta(minutes=15)
"""Workers that failed in it are told."""
ID_LENGTH = 36
"""Several simulated workers of one process append a number to the id that it was started with."""
BEAT_MS = 1000
"""Who was heard so lately is not silent."""


class Known(NamedTuple):
    """All that was read of one pool."""

    pool: Pool
    signals: PoolSignals | Exception
    workers: Sequence[Worker]
    lately: Lately
    hindrances: dict[str, Hindrance]
    failures: reads.Failures | None


def service_facts(known: Sequence[Known], side: SideFacts, *, ticks: Ticks, now: datetime) -> ServiceFacts:
    """The whole service."""
    answers = [one.signals for one in known]
    away = [answer for answer in answers if isinstance(answer, QueueUnavailable)]
    foretold_ms = max((answer.foretold_ms for answer in answers if isinstance(answer, PoolSignals)), default=0)
    ticked_s = max(0.0, OUTLOOK_S - foretold_ms / 1000) if foretold_ms else None
    led = reads.is_led()
    recorded = None if led else reads.recorded_until(now)
    return ServiceFacts(
        now=now.timestamp(),
        pools=tuple(pool_facts(one) for one in known),
        redis_error=str(away[0]) if away and len(away) == len(answers) else "",
        is_led=led,
        quiet_s=ticks.look(ticked_s, now=now.timestamp()),
        recorded_at=None if recorded is None else recorded.timestamp(),
        side=side,
        window_s=MINUTES * 60.0,
        lately_s=LATELY.total_seconds(),
    )


def pool_facts(known: Known) -> PoolFacts:
    """One pool."""
    pool, signals, failures = known.pool, known.signals, known.failures
    states = [worker.state for worker in known.workers]
    policy = getattr(pool, "policy", None)
    told: dict[str, Any] = {
        "slug": pool.slug,
        "paused": pool.is_paused,
        "hindrances": known.hindrances,
        "rollout": _rollout(pool),
        "starting": states.count(Worker.State.STARTING),
        "ready": states.count(Worker.State.READY),
        "ended": known.lately.ended,
        "failed": known.lately.failed,
    }
    if policy is not None:
        told["wait_bound_s"] = policy.wait_bound_s
    if failures is not None:
        told |= {"failed_starts": failures.workers, "failed_at": failures.at, "failed_words": failures.error}
    if isinstance(signals, Exception):
        return PoolFacts(**told, error=str(signals) or type(signals).__name__)
    return PoolFacts(
        **told,
        waiting=signals.waiting - signals.held_back,
        oldest_wait_s=signals.oldest_wait_s,
        unrecorded=signals.unrecorded,
        oldest_record_s=signals.oldest_record_s,
        silent=_silent(known.workers, signals),
    )


def _silent(workers: Sequence[Worker], signals: PoolSignals) -> tuple[Silent, ...]:
    """For how long nothing was heard of workers that are ready."""
    heard: dict[str, int] = {}
    for status in signals.workers:
        worker = status.worker[:ID_LENGTH]
        heard[worker] = max(status.beat_ms, heard.get(worker, 0))
    ready = [str(worker.pk) for worker in workers if worker.state == Worker.State.READY]
    return tuple(
        Silent(one, (signals.now_ms - heard[one]) / 1000 if one in heard else None)
        for one in ready
        if one not in heard or signals.now_ms - heard[one] > BEAT_MS
    )


def _rollout(pool: Pool) -> Rollout | None:
    row: RolloutRow | None = getattr(pool, "rollout", None)
    if row is None or row.target is None or row.state == RolloutRow.State.ROLLING:
        return None
    return Rollout(row.state, row.target.number, row.reason, row.since.timestamp())
