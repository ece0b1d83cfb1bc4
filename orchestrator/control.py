"""One pool's part of a tick: observe, decide, plan, apply, record.

What must not be forgotten lies in Postgres (rows) and in the runtime (labels).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator import records
from orchestrator.allotment import Allotment, Draft
from orchestrator.backoff import Backoff
from orchestrator.demand import Decision, Demand, History, Policy, Signals
from orchestrator.fleet import Sight
from orchestrator.host import Host
from orchestrator.models import Pool, Worker
from orchestrator.outlook import outlook_of
from orchestrator.packing import Taken
from orchestrator.plan import Action, Drain, Kill, Plan, Start, kills_due, plan
from orchestrator.policy import least, remember
from orchestrator.prospect import prospect_of
from orchestrator.rates import RateMeter
from orchestrator.replay import Inputs, decided, to_json
from orchestrator.runtimes import RuntimeUnavailable
from orchestrator.specs import BadPool, fingerprint, worker_spec
from orchestrator.starts import StartTimes
from orchestrator.watch import Look, Observed, Watch
from taskqueue.access import AccessRefused
from taskqueue.messages import PoolSignals
from taskqueue.outlook import Outlook

log = logging.getLogger(__name__)

NO_BOUND = 1 << 16


@dataclass(slots=True)
class PoolControl:
    """The loop's memory of one pool."""

    host: Host
    slug: str
    watch: Watch
    meter: RateMeter = field(default_factory=RateMeter)
    history: History = field(default_factory=History)
    fingerprint: str = ""
    desired: int | None = None
    note: str = ""
    blind: bool = False
    tick_s: float = 1.0
    outlook: Outlook | None = None
    """What the last tick foretold; None when it could not see the queue."""

    def tick(
        self,
        pool: Pool,
        rows: list[Worker],
        sight: Sight,
        outcomes: Mapping[str, str | BaseException],
        demand: PoolSignals | None,
    ) -> Generator[Draft, Allotment, None]:
        """One pass. `demand` is what the queue said; None: it could not be read.

        It stops once, when the pool has decided: it yields what it would do, and goes on with what it got of the host.
        """
        self.outlook = None
        self._notice_edits(pool)
        look = Look(pool, sight, outcomes, demand, time.time())
        observed = self.watch.observe(rows, look)
        inputs = self._inputs(pool, rows, observed, look)
        decision = decided(inputs)
        floor = None if decision.code == "blind" else least(inputs.policy, now=look.now)
        got = yield Draft(pool, observed, self._plan(decision, observed, look, room=NO_BOUND), floor)
        todo = got.carried_out(self._plan(decision, observed, look, room=len(got.places), room_note=got.note))
        if todo.actions:
            self.host.confirm()
        self._record(pool, decision, todo, inputs)
        self.history = remember(
            self.history,
            policy=inputs.policy,
            signals=inputs.signals,
            decision=decision,
            grew=any(isinstance(action, Start) for action in todo.actions),
            now=look.now,
        )
        seen, places = {one.view.id: one for one in observed}, iter(got.places)
        for action in todo.actions:
            self._apply(pool, action, seen, look, places)
        blind = decision.code == "blind"
        self.outlook = self._foretell(
            pool, observed, todo, look, policy=inputs.policy, hindered=blind or not got.more_fit
        )

    # -- observe -------------------------------------------------------------------------------
    def _inputs(self, pool: Pool, rows: list[Worker], observed: list[Observed], look: Look) -> Inputs:
        """All that the decision is made from; the hindrances are why the fleet cannot, or must not, be touched."""
        if look.signals is not None:
            ready = {one.worker: one.work for one in look.signals.workers if one.phase == "ready"}
            self.meter.hear(ready, now=look.now)
        runtimes = {pool.runtime, *(row.runtime for row in rows)}
        hindrances = [look.sight.unavailable[name] for name in sorted(runtimes) if name in look.sight.unavailable]
        if pool.is_paused:
            hindrances.insert(0, "The pool is paused.")
        return Inputs(
            policy=records.policy_of(pool),
            signals=replace(
                signals_of(pool, observed, look),
                turn_s=self.meter.rates.turn_s(pool.slots),
                start_s=self.watch.starts.expected_s(pool.runtime, at=look.now),
            ),
            history=self.history,
            now=look.now,
            hindrances=tuple(hindrances),
        )

    def _notice_edits(self, pool: Pool) -> None:
        """A pool whose workers would now be started differently has a clean slate."""
        changed = fingerprint(pool)
        if self.fingerprint not in ("", changed):
            self.watch.backoff = Backoff()
            self.watch.starts = StartTimes()
            self.meter = RateMeter()
        self.fingerprint = changed

    # -- plan ----------------------------------------------------------------------------------
    def _plan(
        self, decision: Decision, observed: list[Observed], look: Look, *, room: int, room_note: str = ""
    ) -> Plan:
        views = [one.view for one in observed]
        grace_s = self.host.fleet.grace_s
        if decision.code == "blind":
            return Plan(kills_due(views, now=look.now, grace_s=grace_s))
        return plan(
            desired=decision.desired,
            reason=decision.reason,
            workers=views,
            now=look.now,
            backoff=self.watch.backoff,
            room=room,
            room_note=room_note,
            grace_s=grace_s,
        )

    def _record(self, pool: Pool, decision: Decision, todo: Plan, inputs: Inputs) -> None:
        """Keep what changes something, and what newly keeps something from changing."""
        blind = decision.code == "blind"
        scaled = any(isinstance(action, Start | Drain) for action in todo.actions)
        moved = self.desired is not None and decision.desired != self.desired
        if scaled or moved or blind != self.blind or (todo.note and todo.note != self.note):
            current, now = inputs.signals.current, inputs.now
            records.keep_decision(pool, decision, inputs=to_json(inputs), current=current, note=todo.note, now=now)
            log.info("pool %s: %s %s", pool.slug, decision.reason, todo.note)
        self.desired, self.note, self.blind = decision.desired, todo.note, blind

    def _foretell(
        self, pool: Pool, observed: list[Observed], todo: Plan, look: Look, *, policy: Policy, hindered: bool
    ) -> Outlook | None:
        if look.signals is None:
            return None
        prospect = prospect_of(
            pool,
            observed,
            todo,
            now=look.now,
            capacity=self.host.capacity(),
            max_workers=policy.max_workers,
            hindered=hindered,
        )
        return outlook_of(
            prospect,
            starts=self.watch.starts.taken(pool.runtime),
            backoff=self.watch.backoff,
            tick_s=self.tick_s,
            now=look.now,
            now_ms=look.signals.now_ms,
        )

    # -- apply ---------------------------------------------------------------------------------
    def _apply(
        self, pool: Pool, action: Action, seen: Mapping[str, Observed], look: Look, places: Iterator[Taken]
    ) -> None:
        match action:
            case Start():
                self._start(pool, action, look, next(places))
            case Drain():
                victim = seen[action.worker]
                records.change(victim.row, state=Worker.State.DRAINING, draining_at=records.moment(look.now))
                if victim.instance is not None:
                    self.watch.ask_to_end(victim.row, victim.instance)
            case Kill():
                self._kill(action, seen[action.worker], look.now)

    def _start(self, pool: Pool, action: Start, look: Look, taken: Taken) -> None:
        caveat = self.host.access.caveat
        row = records.new_worker(pool, reason=f"{action.reason} {caveat}".strip(), now=look.now, taken=taken)
        try:
            credentials = self.host.access.admit(str(row.pk), pool=pool.slug)
            spec = worker_spec(
                pool, worker=str(row.pk), gpus=taken.devices, site=self.host.site, credentials=credentials
            )
        except (BadPool, AccessRefused) as error:
            self.watch.end(row, look.now, state="failed", error=str(error))
            return
        self.host.fleet.start(spec, pool.runtime)

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
        tokens = max(0, status.waiting_tokens) * waiting // status.waiting if waiting else 0
        demand = Demand(
            at=look.now,
            waiting=waiting,
            running=status.running,
            oldest_wait_s=round(status.oldest_wait_s, 3) if waiting else 0.0,
            arrived=status.arrived,
            work_waiting=tokens,
        )
    return Signals(
        slots=pool.slots,
        starting=states.count("starting"),
        ready=states.count("ready"),
        draining=states.count("draining"),
        demand=demand,
    )
