"""Observing one pool's workers: rows are brought to what runtime and queue say, ends are recorded, failures remembered.

What is kept here between ticks may be lost with the process, at the price of a little patience after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator import records, revisions
from orchestrator.backoff import HOPELESS, Backoff, after, held
from orchestrator.fleet import Sight
from orchestrator.health import Bounds, ended, fault
from orchestrator.host import Host
from orchestrator.models import Pool, Worker
from orchestrator.plan import LiveState, WorkerView
from orchestrator.runtimes import Instance, RuntimeUnavailable, StartAbandoned
from orchestrator.signals.phases import DOING, phases_of_start
from orchestrator.signals.starts import StartTimes
from taskqueue.messages import PoolSignals, WorkerStatus
from telemetry.metrics.orchestrator import WORKER_ENDS, WORKER_START_SECONDS

log = logging.getLogger(__name__)

UNASKED = "It was asked to end (SIGTERM), and not by its orchestrator."
NOW = " Now: "
"""Between a row's reason and what its start is at."""
ID_LENGTH = 36
"""Several simulated workers of one process append a number to the id that it was started with."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment, for all workers of a pool. `signals` is None when the queue could not be read.

    The queue spoke at `heard_at`: between that and `now` lie the ticks of the pools before this one, and whatever held them up.
    """

    pool: Pool
    sight: Sight
    outcomes: Mapping[str, str | BaseException]
    signals: PoolSignals | None
    heard_at: float
    now: float

    def statuses(self) -> dict[str, WorkerStatus]:
        """What workers say of themselves, by the id they were started with; the latest word counts."""
        latest: dict[str, WorkerStatus] = {}
        for status in self.signals.workers if self.signals is not None else ():
            known = latest.get(status.worker[:ID_LENGTH])
            if known is None or status.beat_ms > known.beat_ms:
                latest[status.worker[:ID_LENGTH]] = status
        return latest


@dataclass(frozen=True, slots=True)
class Observed:
    """A live worker: its row, the plan's view, and its instance (None: it is being started, or cannot be seen)."""

    row: Worker
    view: WorkerView
    instance: Instance | None = None


@dataclass(slots=True)
class Watch:
    """The memory of one pool's workers: when each was last heard of, who was asked to end, and how starts went."""

    host: Host
    slug: str
    backoffs: dict[str, Backoff]
    """By revision: old failures say nothing about new settings."""
    starts: StartTimes
    last_seen: dict[str, float] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)

    def observe(self, rows: list[Worker], look: Look) -> list[Observed]:
        """All live workers; those that ended are recorded and left out."""
        statuses = look.statuses()
        found = [self._observe(row, look, statuses.get(str(row.pk))) for row in rows]
        living = {str(row.pk) for row in rows}
        self.last_seen = {worker: at for worker, at in self.last_seen.items() if worker in living}
        self.reasons = {worker: reason for worker, reason in self.reasons.items() if worker in living}
        self.asked &= living
        return [observed for observed in found if observed is not None]

    def _observe(self, row: Worker, look: Look, status: WorkerStatus | None) -> Observed | None:
        worker = str(row.pk)
        outcome = look.outcomes.get(worker)
        if isinstance(outcome, BaseException):
            counts = not isinstance(outcome, StartAbandoned)
            self.end(row, look.now, state="failed", error=str(outcome) or repr(outcome), counts=counts)
            return None
        progress = self.host.fleet.progress(worker)
        if progress is not None:
            self._show_progress(row, progress)
        if progress is not None or row.runtime in look.sight.unavailable:
            self.last_seen[worker] = look.now  # what cannot be seen is not silent
            return Observed(row, self._unseen(row))
        instance = look.sight.instances.get(worker)
        if instance is None:
            self._vanished(row, look.now)
            return None
        if not instance.alive:
            self._bury(row, instance, look)
            return None
        self._follow(row, instance, status, look)
        return Observed(row, self._view(row, instance, status, look), instance)

    # -- living workers ------------------------------------------------------------------------
    def _show_progress(self, row: Worker, progress: str) -> None:
        base = self.reasons.setdefault(str(row.pk), _base(row))
        words = f"{base}{NOW}{progress}." if progress else base
        if words != row.reason:
            records.change(row, reason=words)

    def _follow(self, row: Worker, instance: Instance, status: WorkerStatus | None, look: Look) -> None:
        """Bring a living worker's row to what it says of itself."""
        worker = str(row.pk)
        self._hear(worker, status, look)
        changes: dict[str, object] = {}
        if row.runtime_ref != instance.ref:
            changes["runtime_ref"] = instance.ref
        phase = status.phase if status is not None else None
        if (reason := self._reason(row, status)) != row.reason:
            changes["reason"] = reason
        if phase == "ready" and row.state == Worker.State.STARTING:
            changes |= {"state": Worker.State.READY, "ready_at": records.moment(look.now)}
            changes["start_phases"] = _start_phases(row, instance, status, look.now)
        if phase == "draining" and row.state != Worker.State.DRAINING:
            changes |= {"state": Worker.State.DRAINING, "draining_at": records.moment(look.now), "end_reason": UNASKED}
            self.asked.add(worker)  # somebody else asked it
        if changes:
            records.change(row, **changes)
        if "ready_at" in changes:
            self.starts.became_ready(records.life(row))
            WORKER_START_SECONDS.labels(self.slug).observe(max(0.0, look.now - row.started_at.timestamp()))
        elif row.state == Worker.State.READY:
            self.starts.were_there(row.runtime, since=look.now, until=look.now)
        if row.state == Worker.State.DRAINING and worker not in self.asked and row.wish != Worker.Wish.KILL:
            self.ask_to_end(row, instance)
        revision = str(row.revision_id)
        if row.state == Worker.State.READY and row.ready_at is not None and self.backoff(revision).failures:
            ready_for_s = look.now - row.ready_at.timestamp()
            begun_at = row.started_at.timestamp()
            self.backoffs[revision] = held(self.backoff(revision), begun_at=begun_at, ready_for_s=ready_for_s)

    def _reason(self, row: Worker, status: WorkerStatus | None) -> str:
        """Why it was started, and, while it starts, which phase it is in."""
        worker = str(row.pk)
        doing = DOING.get(status.start_phase or "") if status is not None else None
        if row.state == Worker.State.STARTING and doing is not None:
            return f"{self.reasons.setdefault(worker, _base(row))}{NOW}{doing}."
        return self.reasons.pop(worker, _base(row))

    def backoff(self, revision: str) -> Backoff:
        """What the starts of this revision's workers left behind."""
        return self.backoffs.get(revision, Backoff())

    def _hear(self, worker: str, status: WorkerStatus | None, look: Look) -> None:
        """Silence counts only while it could have been heard: not before this lead, not while the queue was away."""
        heard_at = self.last_seen.get(worker, look.now)
        if look.signals is None:
            heard_at = look.now
        elif status is not None:
            heard_at = max(heard_at, look.heard_at - (look.signals.now_ms - status.beat_ms) / 1000)
        self.last_seen[worker] = heard_at

    def _unseen(self, row: Worker) -> WorkerView:
        """One that is being started, or whose runtime does not answer."""
        ready_at = row.ready_at.timestamp() if row.ready_at else None
        revision = str(row.revision_id)
        return WorkerView(str(row.pk), _live(row), row.started_at.timestamp(), revision=revision, ready_at=ready_at)

    def _view(self, row: Worker, instance: Instance, status: WorkerStatus | None, look: Look) -> WorkerView:
        worker = str(row.pk)
        return WorkerView(
            id=worker,
            state=_live(row),
            started_at=row.started_at.timestamp(),
            running=status.running if status is not None else 0,
            draining_at=_draining_at(row),
            fault=fault(
                state=_live(row),
                begun_at=instance.started_at,
                last_seen_at=self.last_seen.get(worker, look.now),
                now=look.now,
                bounds=Bounds(start_s=self.host.start_timeout_s, lease_s=look.pool.lease_s),
            ),
            revision=str(row.revision_id),
            begun_at=instance.started_at,
            ready_at=row.ready_at.timestamp() if row.ready_at else None,
        )

    def ask_to_end(self, row: Worker, instance: Instance) -> None:
        """SIGTERM. One that cannot be asked now is asked at the next tick."""
        try:
            self.host.fleet.runtimes[row.runtime].stop(instance.ref, self.host.fleet.grace_s)
        except RuntimeUnavailable as error:
            log.warning("worker %s cannot be asked to end now: %s", row.pk, error)
        else:
            self.asked.add(str(row.pk))

    # -- ends ----------------------------------------------------------------------------------
    def _vanished(self, row: Worker, now: float) -> None:
        """Neither there nor being started: gone with its host, or its start died with another orchestrator."""
        if row.state == Worker.State.DRAINING:
            self.end(row, now, state="stopped")
        elif row.runtime_ref:
            self.end(row, now, state="failed", error="It is gone: its process or container is no longer there.")
        else:
            self.end(row, now, state="failed", error="The orchestrator ended before it had started it.", counts=False)

    def _bury(self, row: Worker, instance: Instance, look: Look) -> None:
        runtime = self.host.fleet.runtimes[look.sight.runtime_of[instance.worker]]
        try:
            tail = runtime.log_tail(instance.ref)
        except RuntimeUnavailable as error:
            log.warning("worker %s has ended, its log cannot be read now: %s", row.pk, error)
            return
        end = ended(state=_live(row), exit_code=instance.exit_code, log_tail=tail)
        said = end.error or row.error
        self.end(row, look.now, state=end.state, error=said, exit_code=instance.exit_code, log_tail=tail)
        try:
            runtime.remove(instance.ref)
        except RuntimeUnavailable as error:  # it belongs to nobody now, and is removed as such
            log.warning("worker %s has ended and cannot be removed now: %s", row.pk, error)

    def end(
        self,
        row: Worker,
        now: float,
        *,
        state: str,
        error: str = "",
        exit_code: int | None = None,
        log_tail: str = "",
        counts: bool = True,
    ) -> None:
        """Record a worker's end; unless it does not count, the backoff learns of it."""
        records.end(row, state=state, now=now, exit_code=exit_code, error=error, log_tail=log_tail, counts=counts)
        if counts:
            revision = str(row.revision_id)
            self.backoffs[revision] = after(self.backoff(revision), records.ending(row))
        if counts and state == "failed":
            hopeless = exit_code == HOPELESS
            revisions.count_failure(
                row.pool_id, row.revision_id, error=row.error, log_tail=row.log_tail, hopeless=hopeless
            )
        WORKER_ENDS.labels(self.slug, state).inc()
        say = log.warning if state == "failed" else log.info
        say("worker %s %s%s", row.pk, state, f": {row.error}" if row.error else "")


def _base(row: Worker) -> str:
    """Its reason alone: another orchestrator may have added what it was at."""
    return row.reason.partition(NOW)[0]


def _live(row: Worker) -> LiveState:
    if row.state == Worker.State.STARTING:
        return "starting"
    return "ready" if row.state == Worker.State.READY else "draining"


def _draining_at(row: Worker) -> float | None:
    """None of one that staff has killed: no grace is over for it, `orchestrator.dismissal` ends it, and excuses its turns first."""
    return row.draining_at.timestamp() if row.draining_at and row.wish != Worker.Wish.KILL else None


def _start_phases(row: Worker, instance: Instance, status: WorkerStatus | None, now: float) -> dict[str, float]:
    return phases_of_start(
        asked_at=row.started_at.timestamp(),
        begun_at=instance.started_at,
        loop_at=status.started_ms / 1000 if status is not None else 0.0,
        engine_at=status.ready_ms / 1000 if status is not None else 0.0,
        seen_at=now,
        told=dict[str, float](status.start_phases.items()) if status is not None else {},
    )
