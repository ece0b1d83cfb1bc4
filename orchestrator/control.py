"""One pool's part of a tick: observe, decide, plan, apply, record.

What must not be forgotten lies in Postgres (rows) and in the runtime (labels).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator import records
from orchestrator.demand import Decision, Demand, History, Policy, Signals
from orchestrator.fleet import Sight
from orchestrator.gpus import choose_gpus
from orchestrator.host import Host
from orchestrator.journal import Journal
from orchestrator.models import Pool, PoolRevision, Worker
from orchestrator.plan import Action, Drain, Kill, Plan, Start, kills_due, plan
from orchestrator.policy import decide, remember
from orchestrator.progress import Progress
from orchestrator.refusals import Kind, of_rollout, of_starts, of_work
from orchestrator.runtimes import RuntimeUnavailable
from orchestrator.specs import BadPool, worker_spec
from orchestrator.watch import Look, Observed, Watch
from orchestrator.waves import plan_wave, without_surge
from taskqueue.access import AccessRefused
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import PoolSignals
from taskqueue.sync_client import Queue

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PoolControl:
    """The loop's memory of one pool."""

    host: Host
    queue: Queue
    watch: Watch
    history: History = field(default_factory=History)
    journal: Journal = field(default_factory=Journal)
    progress: Progress = field(init=False)
    spent_h: float | None = None

    def __post_init__(self) -> None:
        self.progress = Progress(self.host, self.watch)

    def tick(
        self,
        pool: Pool,
        rows: list[Worker],
        sight: Sight,
        outcomes: Mapping[str, str | BaseException],
        limits: Mapping[str, int],
    ) -> None:
        """One pass. `limits`: how many turns tenants and API keys may have running, by id."""
        look = Look(pool, sight, outcomes, self._signals(pool, limits), time.time())
        self.progress.look(pool, now=look.now)
        observed = self.watch.observe(rows, look)
        policy = records.policy_of(pool)
        signals = self._without_surge(signals_of(pool, observed, look), observed)
        hindrances = self._hindrances(pool, look, rows)
        decision = self._decide(hindrances, policy=policy, signals=signals, now=look.now)
        if decision.code != "blind":
            self.progress.advance(pool, observed, desired=decision.desired, start_s=signals.start_s, now=look.now)
        todo = self._plan(decision, observed, look)
        if todo.actions:
            self.host.confirm()
        refusals = hindrances | self._refusals(
            decision, todo, hindered=bool(hindrances), policy=policy, signals=signals, now=look.now
        )
        self.journal.keep(
            pool, decision, todo, refusals, policy=policy, signals=signals, history=self.history, now=look.now
        )
        self.history = remember(
            self.history,
            policy=policy,
            signals=signals,
            decision=decision,
            grew=any(isinstance(action, Start) for action in todo.actions),
            now=look.now,
        )
        seen = {one.view.id: one for one in observed}
        for action in todo.actions:
            self._apply(pool, action, seen, look)

    # -- observe -------------------------------------------------------------------------------
    def _signals(self, pool: Pool, limits: Mapping[str, int]) -> PoolSignals | None:
        """Demand, after the queue was told of limits that were edited: they change it."""
        try:
            self.queue.limit(limits)
            return self.queue.signals()
        except QueueUnavailable as error:
            if "blind" not in self.journal.refused:
                log.warning("pool %s: %s", pool.slug, error)
            return None

    def _without_surge(self, signals: Signals, observed: list[Observed]) -> Signals:
        """As the policy is to see them: the budget's hours known, and workers that are there for a wave only left out."""
        signals = replace(signals, slots=self.progress.row.current.slots, spent_h=self.spent_h)
        if self.journal.desired is None or not self.progress.in_waves(observed):
            return signals
        return without_surge(signals, over=signals.current - self.journal.desired)

    # -- decide and plan -----------------------------------------------------------------------
    def _hindrances(self, pool: Pool, look: Look, rows: list[Worker]) -> dict[Kind, str]:
        """Why the fleet cannot or must not be touched."""
        unavailable = look.sight.unavailable
        missing = [unavailable[name] for name in sorted(self.progress.runtimes(rows)) if name in unavailable]
        found: dict[Kind, str] = {"paused": "The pool is paused."} if pool.is_paused else {}
        return found | ({"runtime": " ".join(missing)} if missing else {})

    def _decide(self, hindrances: Mapping[Kind, str], *, policy: Policy, signals: Signals, now: float) -> Decision:
        """The policy's decision, unless something hinders it."""
        if hindrances:
            reason = f"{' '.join(hindrances.values())} The fleet is left as it is."
            return Decision(signals.current, reason, "blind")
        return decide(policy, signals, self.history, now)

    def _plan(self, decision: Decision, observed: list[Observed], look: Look) -> Plan:
        views = [one.view for one in observed]
        grace_s = self.host.fleet.grace_s
        if decision.code == "blind":
            return Plan(kills_due(views, now=look.now, grace_s=grace_s))
        needs = {revision.gpus_per_worker for revision in self.progress.revisions}
        supplies = self.progress.supplies({gpus: self.host.room(look.sight, gpus_per_worker=gpus) for gpus in needs})
        if self.progress.in_waves(observed):
            return plan_wave(
                self.progress.course,
                desired=decision.desired,
                reason=decision.reason,
                workers=views,
                supplies=supplies,
                now=look.now,
                grace_s=grace_s,
            )
        supply = supplies[self.progress.course.wanted]
        return plan(
            desired=decision.desired,
            reason=decision.reason,
            workers=views,
            now=look.now,
            backoff=supply.backoff,
            room=supply.room,
            room_note=supply.room_note,
            grace_s=grace_s,
        )

    def _refusals(
        self, decision: Decision, todo: Plan, *, hindered: bool, policy: Policy, signals: Signals, now: float
    ) -> dict[Kind, str]:
        """All else that keeps the fleet from being what the work alone would make it."""
        course, row = self.progress.course, self.progress.row
        found = of_rollout(course, number=(row.target or row.current).number, reason=row.reason)
        if hindered:
            return found
        if decision.code == "blind":
            return found | {"blind": decision.reason}
        backoffs = [self.watch.backoff(revision) for revision in {course.current, course.wanted}]
        return found | of_work(policy, signals, decision, now) | of_starts(todo, backoffs, self.journal.refused)

    # -- apply ---------------------------------------------------------------------------------
    def _apply(self, pool: Pool, action: Action, seen: Mapping[str, Observed], look: Look) -> None:
        match action:
            case Start():
                self._start(pool, self.progress.revision_of(action), action.reason, look)
            case Drain():
                victim = seen[action.worker]
                records.change(victim.row, state=Worker.State.DRAINING, draining_at=records.moment(look.now))
                if victim.instance is not None:
                    self.watch.ask_to_end(victim.row, victim.instance)
            case Kill():
                self._kill(action, seen[action.worker], look.now)

    def _start(self, pool: Pool, revision: PoolRevision, reason: str, look: Look) -> None:
        taken = self.host.fleet.gpus_taken(look.sight)
        gpus = choose_gpus(revision.gpus_per_worker, present=self.host.gpus, taken=taken)
        if gpus is None:
            return  # the plan's room was counted from the same devices; only an edit in between could lead here
        caveat = self.host.access.caveat
        row = records.new_worker(pool, revision, reason=f"{reason} {caveat}".strip(), now=look.now)
        self.host.live += 1
        try:
            credentials = self.host.access.admit(str(row.pk), pool=pool.slug)
            spec = worker_spec(
                revision,
                pool=pool.slug,
                lease_s=pool.lease_s,
                worker=str(row.pk),
                gpus=gpus,
                site=self.host.site,
                credentials=credentials,
            )
        except (BadPool, AccessRefused) as error:
            self.watch.end(row, look.now, state="failed", error=str(error))
            return
        self.host.fleet.start(spec, revision.runtime)

    def _kill(self, action: Kill, victim: Observed, now: float) -> None:
        if victim.instance is None:
            return
        runtime = self.host.fleet.runtimes[victim.row.runtime]
        try:
            tail = runtime.log_tail(victim.instance.ref) if action.faulty else ""
            runtime.kill(victim.instance.ref)
        except RuntimeUnavailable as error:
            log.warning("worker %s cannot be killed now: %s", action.worker, error)
            return
        if action.faulty:
            self.watch.end(victim.row, now, state="failed", error=action.reason, log_tail=tail)
        elif victim.row.error != action.reason:
            records.change(victim.row, error=action.reason)


def signals_of(pool: Pool, observed: list[Observed], look: Look) -> Signals:
    """Fleet and demand as the policy's input; a worker that is about to be killed does not count."""
    states = [one.view.state for one in observed if not one.view.fault]
    status = look.signals
    demand = None
    if status is not None:
        waiting = status.waiting - status.held_back
        waited_s = round(status.oldest_wait_s, 3) if waiting else 0.0
        demand = Demand(at=look.now, waiting=waiting, running=status.running, oldest_wait_s=waited_s)
    return Signals(
        slots=pool.slots,
        starting=states.count("starting"),
        ready=states.count("ready"),
        draining=states.count("draining"),
        demand=demand,
    )
