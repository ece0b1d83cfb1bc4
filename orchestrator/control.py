"""One pool's part of a tick: observe, decide, plan, apply, record.

What must not be forgotten lies in Postgres (rows) and in the runtime (labels); what is kept here between ticks may be
lost with the process, at the price of a little patience after a restart.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from orchestrator import records
from orchestrator.backoff import Backoff, after, held
from orchestrator.demand import Decision, Demand, History, Signals, counted
from orchestrator.fleet import Fleet, Sight
from orchestrator.gpus import choose_gpus, free_gpus
from orchestrator.health import Bounds, State, ended, fault
from orchestrator.models import Pool, Worker
from orchestrator.plan import Drain, Kill, Plan, Start, WorkerView, kills_due, plan
from orchestrator.policy import decide, remember
from orchestrator.runtimes import Instance, RuntimeUnavailable
from orchestrator.specs import BadPool, Site, fingerprint, worker_spec
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import PoolSignals, WorkerStatus
from taskqueue.sync_client import Queue

log = logging.getLogger(__name__)


class LeadLost(Exception):
    """The lead went to another orchestrator, or Postgres is away: nothing more may be done."""


@dataclass(slots=True)
class Host:
    """What all pools of this host share. `confirm` raises `LeadLost`."""

    site: Site
    fleet: Fleet
    gpus: tuple[str, ...]
    max_workers: int
    start_timeout_s: float
    confirm: Callable[[], None]
    live: int = 0


@dataclass(slots=True)
class _Observed:
    """A live worker's row with what was seen of it now."""

    row: Worker
    view: WorkerView
    instance: Instance | None


@dataclass(slots=True)
class PoolControl:
    """The loop's memory of one pool."""

    host: Host
    queue: Queue
    backoff: Backoff
    history: History = field(default_factory=History)
    fingerprint: str = ""
    desired: int | None = None
    note: str = ""
    blind: bool = False
    last_seen: dict[str, float] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)

    # -- the tick ------------------------------------------------------------------------------
    def tick(self, pool: Pool, rows: list[Worker], sight: Sight, outcomes: Mapping[str, str | BaseException]) -> None:
        """One pass. The queue is kept tidy first, whatever becomes of the rest."""
        self._reap(pool)
        if (changed := fingerprint(pool)) != self.fingerprint:
            self.backoff = self.backoff if not self.fingerprint else Backoff()
            self.fingerprint = changed
        status = self._signals(pool)
        now = time.time()
        observed = self._observe(pool, rows, sight, outcomes, status, now)
        away = {sight.unavailable[row.runtime] for row in rows if row.runtime in sight.unavailable}
        if pool.runtime in sight.unavailable:
            away.add(sight.unavailable[pool.runtime])
        if pool.is_paused:
            away.add("The pool is paused.")
        self._scale(pool, observed, sight, status, now, unavailable=" ".join(sorted(away)))

    def _reap(self, pool: Pool) -> None:
        try:
            self.queue.reap(max_attempts=pool.max_attempts)
        except QueueUnavailable as error:
            if not self.blind:
                log.warning("pool %s: leases are not looked after: %s", pool.slug, error)

    def _signals(self, pool: Pool) -> PoolSignals | None:
        try:
            return self.queue.signals()
        except QueueUnavailable as error:
            if not self.blind:
                log.warning("pool %s: %s", pool.slug, error)
            return None

    # -- observe -------------------------------------------------------------------------------
    def _observe(
        self,
        pool: Pool,
        rows: list[Worker],
        sight: Sight,
        outcomes: Mapping[str, str | BaseException],
        signals: PoolSignals | None,
        now: float,
    ) -> list[_Observed]:
        statuses = by_worker(signals)
        observed = []
        for row in rows:
            worker = str(row.pk)
            if row.runtime in sight.unavailable and not isinstance(outcomes.get(worker), BaseException):
                self.last_seen[worker] = now
                observed.append(_Observed(row, self._view(row, None, None, now, pool), None))
                continue
            seen = self._observe_one(pool, row, sight, outcomes.get(worker), statuses.get(worker), signals, now)
            if seen is not None:
                observed.append(seen)
        living = {str(row.pk) for row in rows}
        self.last_seen = {worker: at for worker, at in self.last_seen.items() if worker in living}
        self.reasons = {worker: reason for worker, reason in self.reasons.items() if worker in living}
        self.asked &= living
        return observed

    def _observe_one(
        self,
        pool: Pool,
        row: Worker,
        sight: Sight,
        outcome: str | BaseException | None,
        status: WorkerStatus | None,
        signals: PoolSignals | None,
        now: float,
    ) -> _Observed | None:
        """One worker; None when it has ended."""
        worker = str(row.pk)
        if isinstance(outcome, BaseException):
            self._ended(row, now, state="failed", exit_code=None, error=str(outcome) or repr(outcome), log_tail="")
            return None
        progress = self.host.fleet.progress(worker)
        if progress is not None:
            self._show_progress(row, progress)
            return _Observed(row, WorkerView(worker, cast("State", row.state), row.started_at.timestamp()), None)  # type: ignore[arg-type]
        instance = sight.instances.get(worker)
        if instance is None:
            self._vanished(row, now)
            return None
        if not instance.alive:
            self._bury(row, instance, sight, now)
            return None
        self._follow(row, instance, status, signals, now)
        return _Observed(row, self._view(row, instance, status, now, pool), instance)

    def _show_progress(self, row: Worker, progress: str) -> None:
        base = self.reasons.setdefault(str(row.pk), row.reason)
        words = f"{base} Now: {progress}." if progress else base
        if words != row.reason:
            records.change(row, reason=words)

    def _follow(
        self, row: Worker, instance: Instance, status: WorkerStatus | None, signals: PoolSignals | None, now: float
    ) -> None:
        """Bring a living worker's row to what it says of itself."""
        worker = str(row.pk)
        seen = self.last_seen.get(worker, now)
        if signals is None:
            seen = now  # blind: its silence is not its fault
        elif status is not None:
            seen = max(seen, now - (signals.now_ms - status.beat_ms) / 1000)
        self.last_seen[worker] = seen
        changes: dict[str, object] = {}
        if row.runtime_ref != instance.ref:
            changes["runtime_ref"] = instance.ref
        base = self.reasons.pop(worker, row.reason)
        if base != row.reason:
            changes["reason"] = base
        phase = status.phase if status is not None else None
        if phase == "ready" and row.state == Worker.State.STARTING:
            changes |= {"state": Worker.State.READY, "ready_at": records.moment(now)}
        if phase == "draining" and row.state != Worker.State.DRAINING:
            changes |= {"state": Worker.State.DRAINING, "draining_at": records.moment(now)}
            self.asked.add(worker)  # somebody else asked it
        if changes:
            records.change(row, **changes)
        if row.state == Worker.State.DRAINING and worker not in self.asked:
            self._ask_to_end(row, instance)
        if row.state == Worker.State.READY and row.ready_at is not None and self.backoff.failures:
            ready_for_s = now - row.ready_at.timestamp()
            self.backoff = held(self.backoff, begun_at=row.started_at.timestamp(), ready_for_s=ready_for_s)

    def _view(
        self, row: Worker, instance: Instance | None, status: WorkerStatus | None, now: float, pool: Pool
    ) -> WorkerView:
        worker, state = str(row.pk), cast("State", row.state)
        bounds = Bounds(start_s=self.host.start_timeout_s, lease_s=pool.lease_s)
        begun_at = instance.started_at if instance is not None else None
        last_seen_at = self.last_seen.get(worker, now)
        return WorkerView(
            id=worker,
            state=state,  # type: ignore[arg-type]
            started_at=row.started_at.timestamp(),
            running=status.running if status is not None else 0,
            draining_at=row.draining_at.timestamp() if row.draining_at and instance is not None else None,
            fault=fault(state=state, begun_at=begun_at, last_seen_at=last_seen_at, now=now, bounds=bounds),
        )

    # -- ends ----------------------------------------------------------------------------------
    def _vanished(self, row: Worker, now: float) -> None:
        """Neither there nor being started: gone with its host, or its start died with another orchestrator."""
        if row.state == Worker.State.DRAINING:
            self._ended(row, now, state="stopped", exit_code=None, error="", log_tail="")
            return
        if row.runtime_ref:
            error = "It is gone: its process or container is no longer there."
        else:
            error = "The orchestrator was ended before this worker was started."
        self._ended(row, now, state="failed", exit_code=None, error=error, log_tail="", counts=bool(row.runtime_ref))

    def _bury(self, row: Worker, instance: Instance, sight: Sight, now: float) -> None:
        runtime = self.host.fleet.runtimes[sight.runtime_of[instance.worker]]
        tail = runtime.log_tail(instance.ref)
        end = ended(state=cast("State", row.state), exit_code=instance.exit_code, log_tail=tail)
        self._ended(
            row, now, state=end.state, exit_code=instance.exit_code, error=end.error or row.error, log_tail=tail
        )
        runtime.remove(instance.ref)

    def _ended(
        self,
        row: Worker,
        now: float,
        *,
        state: str,
        exit_code: int | None,
        error: str,
        log_tail: str,
        counts: bool = True,
    ) -> None:
        records.end(row, state=state, now=now, exit_code=exit_code, error=error, log_tail=log_tail)
        self.host.live -= 1
        if counts:
            self.backoff = after(self.backoff, records.ending(row))
        say = log.warning if state == "failed" else log.info
        say("worker %s of pool %s %s%s", row.pk, row.pool_id, state, f": {error}" if error else "")

    # -- decide, plan, apply, record -------------------------------------------------------------
    def _scale(
        self,
        pool: Pool,
        observed: list[_Observed],
        sight: Sight,
        status: PoolSignals | None,
        now: float,
        *,
        unavailable: str,
    ) -> None:
        policy = records.policy_of(pool)
        signals = signals_of(pool, observed, status, now)
        decision = decide(policy, signals, self.history, now)
        if unavailable:
            decision = Decision(signals.current, f"{unavailable} The fleet is left as it is.", "blind")
        views = [seen.view for seen in observed]
        if decision.code == "blind":
            todo = Plan(kills_due(views, now=now, grace_s=self.host.fleet.grace_s))
        else:
            room, room_note = self._room(pool, sight)
            todo = plan(
                desired=decision.desired,
                reason=decision.reason,
                workers=views,
                now=now,
                backoff=self.backoff,
                room=room,
                room_note=room_note,
                grace_s=self.host.fleet.grace_s,
            )
        if todo.actions:
            self.host.confirm()
        scaled = any(isinstance(action, Start | Drain) for action in todo.actions)
        self._record(pool, decision, signals, policy_note=todo.note, scaled=scaled, now=now)
        self.history = remember(self.history, policy, signals, decision, now)
        self._apply(pool, todo, {seen.view.id: seen for seen in observed}, sight, now)

    def _record(
        self, pool: Pool, decision: Decision, signals: Signals, *, policy_note: str, scaled: bool, now: float
    ) -> None:
        """Keep what changes something, and what newly keeps something from changing."""
        blind = decision.code == "blind"
        moved = self.desired is not None and decision.desired != self.desired
        newly_blind = blind != self.blind
        if scaled or moved or newly_blind or (policy_note and policy_note != self.note):
            policy = records.policy_of(pool)
            records.keep_decision(
                pool, decision, signals=signals, policy=policy, history=self.history, note=policy_note, now=now
            )
            log.info("pool %s: %s %s", pool.slug, decision.reason, policy_note)
        self.desired, self.note, self.blind = decision.desired, policy_note, blind

    def _room(self, pool: Pool, sight: Sight) -> tuple[int, str]:
        """How many more workers of this pool the host may hold, and what to say when that is too few."""
        room = self.host.max_workers - self.host.live
        note = f"This host holds {counted(self.host.max_workers, 'worker')} at most (OPSITE_MAX_LOCAL_WORKERS)."
        if pool.gpus_per_worker:
            taken = self.host.fleet.gpus_taken(sight)
            free = free_gpus(present=self.host.gpus, taken=taken)
            if free // pool.gpus_per_worker < room:
                room = free // pool.gpus_per_worker
                each = counted(pool.gpus_per_worker, "GPU")
                note = f"A worker of this pool needs {each}; {free} of this host's {len(self.host.gpus)} are free."
        return room, note

    def _apply(self, pool: Pool, todo: Plan, observed: Mapping[str, _Observed], sight: Sight, now: float) -> None:
        for action in todo.actions:
            match action:
                case Start():
                    self._start(pool, action, sight, now)
                case Drain():
                    seen = observed[action.worker]
                    records.change(seen.row, state=Worker.State.DRAINING, draining_at=records.moment(now))
                    if seen.instance is not None:
                        self._ask_to_end(seen.row, seen.instance)
                case Kill():
                    self._kill(action, observed[action.worker], now)

    def _start(self, pool: Pool, action: Start, sight: Sight, now: float) -> None:
        gpus = choose_gpus(pool.gpus_per_worker, present=self.host.gpus, taken=self.host.fleet.gpus_taken(sight))
        if gpus is None:
            return
        row = records.new_worker(pool, reason=action.reason, now=now)
        self.host.live += 1
        try:
            spec = worker_spec(pool, worker=str(row.pk), gpus=gpus, site=self.host.site)
        except BadPool as error:
            self._ended(row, now, state="failed", exit_code=None, error=str(error), log_tail="")
            return
        self.host.fleet.start(spec, pool.runtime)

    def _ask_to_end(self, row: Worker, instance: Instance) -> None:
        self.host.fleet.runtimes[row.runtime].stop(instance.ref, self.host.fleet.grace_s)
        self.asked.add(str(row.pk))

    def _kill(self, action: Kill, seen: _Observed, now: float) -> None:
        if seen.instance is None:
            return
        runtime = self.host.fleet.runtimes[seen.row.runtime]
        tail = runtime.log_tail(seen.instance.ref) if action.faulty else ""
        try:
            runtime.kill(seen.instance.ref)
        except RuntimeUnavailable as error:
            log.warning("worker %s cannot be killed now: %s", action.worker, error)
            return
        if action.faulty:
            self._ended(seen.row, now, state="failed", exit_code=None, error=action.reason, log_tail=tail)
        elif seen.row.error != action.reason:
            records.change(seen.row, error=action.reason)


def signals_of(pool: Pool, observed: list[_Observed], status: PoolSignals | None, now: float) -> Signals:
    """Fleet and demand as the policy's input."""
    states = [seen.view.state for seen in observed if not seen.view.fault]
    demand = None
    if status is not None:
        demand = Demand(
            at=now, waiting=status.waiting, running=status.running, oldest_wait_s=round(status.oldest_wait_s, 3)
        )
    return Signals(
        slots=pool.slots,
        starting=states.count("starting"),
        ready=states.count("ready"),
        draining=states.count("draining"),
        demand=demand,
    )


def by_worker(signals: PoolSignals | None) -> dict[str, WorkerStatus]:
    """Statuses by the id that the worker was started with; several simulated workers of one process count as one."""
    statuses: dict[str, WorkerStatus] = {}
    for status in signals.workers if signals is not None else ():
        worker = status.worker[:36]
        known = statuses.get(worker)
        if known is None or status.beat_ms > known.beat_ms:
            statuses[worker] = status
    return statuses
