"""What the control loop reads from Postgres and writes to it: one query per kind of thing, none per worker at rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from orchestrator.backoff import Backoff, Ending, replayed
from orchestrator.manual_rows import ManualSize
from orchestrator.masking import mask_of
from orchestrator.models import Pool, PoolRevision, Rollout, ScalingDecision, ScalingPolicy, Worker
from orchestrator.placement.packing import WHOLE, Taken
from orchestrator.policies.demand import Decision, Policy
from orchestrator.policies.override import Override, is_over
from orchestrator.policies.schedule import parse
from orchestrator.signals.starts import REMEMBERED, Life, StartTimes, remembered
from tenants.models import ApiKey, Tenant

NOTHING = Taken()
REMEMBERED_ENDINGS = 12
REMEMBERED_STARTS = 4 * REMEMBERED
"""Enough for two runtimes, cold and warm."""

SAID = ("error", "log_tail")
"""Fields of a worker's row that may hold its own words."""

OF_COST = ("pool", "started_at", "stopped_at", "gpus", "gpu_share")
"""Of a worker that has ended: not its log, of which there may be thousands."""


def moment(at: float) -> datetime:
    """Unix time as Django stores it."""
    return datetime.fromtimestamp(at, UTC)


def pools() -> list[Pool]:
    """All pools with their policies, sizes set by hand, and roll-outs."""
    return list(Pool.objects.select_related("policy", "manual_size", "rollout__current", "rollout__target"))


def runtimes_of(pools: Iterable[Pool]) -> set[str]:
    """All that workers of these pools may be started with now."""
    rollouts: list[Rollout | None] = [getattr(pool, "rollout", None) for pool in pools]
    return {pool.runtime for pool in pools} | {rollout.current.runtime for rollout in rollouts if rollout}


def live_workers() -> list[Worker]:
    """All workers that have not ended."""
    return list(Worker.objects.filter(state__in=Worker.LIVE))


def ended_since(pools: Iterable[UUID], at: float) -> list[Worker]:
    """Workers of these pools that ended after that moment, with what their cost is counted from."""
    return list(Worker.objects.only(*OF_COST).filter(pool__in=pools, stopped_at__gt=moment(at)))


def ended(workers: Iterable[UUID]) -> list[Worker]:
    """Those of these workers that have ended, with what their cost is counted from."""
    return list(Worker.objects.only(*OF_COST).filter(pk__in=workers, stopped_at__isnull=False))


def running_limits() -> dict[str, int]:
    """How many turns may run in a pool at once, by the id of a tenant or an API key; who is not named has no limit."""
    tenants = Tenant.objects.filter(max_running__gt=0).values_list("pk", "max_running")
    keys = ApiKey.objects.across_tenants().filter(max_running__gt=0).values_list("pk", "max_running")
    return {str(owner): most for owner, most in (*tenants, *keys)}


def policy_of(pool: Pool) -> Policy:
    """The stored policy as a value; a pool without one gets the defaults."""
    row: ScalingPolicy | None = getattr(pool, "policy", None)
    return Policy() if row is None else policy_value(row)


def policy_value(row: ScalingPolicy) -> Policy:
    """A policy's row, stored or not yet, as a value. Raises `BadSchedule`."""
    return Policy(
        kind=row.kind,
        min_workers=row.min_workers,
        max_workers=row.max_workers,
        waiting_per_worker=row.waiting_per_worker,
        up_cooldown_s=row.up_cooldown_s,
        down_cooldown_s=row.down_cooldown_s,
        idle_to_zero_s=row.idle_to_zero_s,
        wait_bound_s=row.wait_bound_s,
        wait_share=row.wait_share,
        floors=parse(row.schedule),
        time_zone=row.time_zone,
        standby_workers=row.standby_workers,
        gpu_hours_per_day=row.gpu_hours_per_day,
    )


def override_of(pool: Pool, *, now: float) -> Override | None:
    """A size that is set by hand, while its time is not over."""
    row: ManualSize | None = getattr(pool, "manual_size", None)
    if row is None:
        return None
    found = Override(row.workers, row.set_by, None if row.until is None else row.until.timestamp())
    return None if is_over(found, now) else found


def hours_per_day(pool: Pool) -> float:
    """The bound of its GPU-hours, without the rest of its policy, which may be unreadable; 0: none."""
    row: ScalingPolicy | None = getattr(pool, "policy", None)
    return row.gpu_hours_per_day if row is not None else 0.0


def new_worker(pool: Pool, revision: PoolRevision, *, reason: str, now: float, taken: Taken = NOTHING) -> Worker:
    """The row of a worker that is about to be started: it comes before the worker, so that none is without a row."""
    return Worker.objects.create(
        pool=pool,
        revision=revision,
        runtime=revision.runtime,
        slots=revision.slots,
        gpus=list(taken.devices),
        gpu_share=taken.share / WHOLE,
        cpus=taken.cpus,
        reason=reason,
        started_at=moment(now),
        state=Worker.State.STARTING,
    )


def without_secrets(worker: Worker, said: str) -> str:
    """What a worker said, as it may be stored: without its secrets, and without what Postgres takes in no text."""
    said = said.replace("\x00", "")
    return mask_of(worker.revision.env, worker.revision.engine_args).hide(said) if said else said


def change(worker: Worker, **fields: Any) -> None:
    """Write some fields of a live worker's row, unless it has ended meanwhile. What a worker has said is masked."""
    fields |= {name: without_secrets(worker, fields[name]) for name in SAID if name in fields}
    for name, value in fields.items():
        setattr(worker, name, value)
    Worker.objects.filter(pk=worker.pk, state__in=Worker.LIVE).update(**fields)


def end(
    worker: Worker,
    *,
    state: str,
    now: float,
    exit_code: int | None,
    error: str,
    log_tail: str,
    counts: bool = True,
) -> None:
    """A worker's last change; its row says afterwards what may be told of it.

    One that does not count is no failure of its pool, after a restart neither.
    """
    change(
        worker,
        state=state,
        stopped_at=moment(now),
        exit_code=exit_code,
        error=error,
        log_tail=log_tail,
        end_counts=counts,
    )


def past_failures(pool: Pool) -> dict[str, Backoff]:
    """The backoff that the last endings of a pool leave behind, by revision, for a leader that has just begun."""
    finished = pool.workers.filter(state__in=(Worker.State.STOPPED, Worker.State.FAILED), end_counts=True)
    rows = finished.defer("log_tail").order_by("-stopped_at")
    endings: defaultdict[str, list[Ending]] = defaultdict(list)
    for row in reversed(rows[:REMEMBERED_ENDINGS]):
        endings[str(row.revision_id)].append(ending(row))
    return {revision: replayed(those) for revision, those in endings.items()}


def ending(row: Worker) -> Ending:
    """A worker's end as the backoff sees it."""
    return Ending(
        begun_at=row.started_at.timestamp(),
        ended_at=row.stopped_at.timestamp() if row.stopped_at else 0.0,
        ready_at=row.ready_at.timestamp() if row.ready_at else None,
        exit_code=row.exit_code,
        error=row.error,
        asked=row.state == Worker.State.STOPPED,
    )


def past_starts(pool: Pool) -> StartTimes:
    """How long the last workers of a pool took to start, for a leader that has just begun."""
    started = pool.workers.filter(ready_at__isnull=False)
    rows = started.defer("log_tail", "reason").order_by("-started_at")[:REMEMBERED_STARTS]
    return remembered(life(row) for row in rows)


def life(row: Worker) -> Life:
    """A worker's row as its start is judged."""
    return Life(
        runtime=row.runtime,
        begun_at=row.started_at.timestamp(),
        ready_at=row.ready_at.timestamp() if row.ready_at else None,
        ended_at=row.stopped_at.timestamp() if row.stopped_at else None,
    )


def last_decision(pool: Pool) -> ScalingDecision | None:
    """What was kept last, for a leader that has just begun."""
    return pool.decisions.order_by("-at", "-pk").first()


def keep_decision(
    pool: Pool,
    decision: Decision,
    *,
    inputs: Mapping[str, Any],
    current: int,
    note: str,
    refusals: Mapping[str, str],
    now: float,
) -> None:
    """Keep a decision with everything it was made from, so that it can be explained, and made again."""
    ScalingDecision.objects.create(
        pool=pool,
        at=moment(now),
        current=current,
        desired=decision.desired,
        reason=f"{decision.reason} {note}".strip(),
        signals={**inputs, "code": decision.code, "needed": decision.needed, "note": note, "refusals": dict(refusals)},
    )


def by_pool(workers: Iterable[Worker]) -> dict[Any, list[Worker]]:
    """Workers grouped by their pool's id."""
    grouped: dict[Any, list[Worker]] = {}
    for worker in workers:
        grouped.setdefault(worker.pool_id, []).append(worker)
    return grouped
