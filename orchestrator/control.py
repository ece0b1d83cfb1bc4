"""One pool's part of a tick: observe, decide, plan, apply, record.

What must not be forgotten lies in Postgres (rows) and in the runtime (labels).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace

from django.db.utils import InterfaceError, OperationalError

from orchestrator import records
from orchestrator.allotment import Allotment, Draft
from orchestrator.fleet import Sight
from orchestrator.history.curve import Curve
from orchestrator.host import Host, NotInStock
from orchestrator.journal import Journal
from orchestrator.models import Pool, PoolRevision, ScalingPolicy, Worker
from orchestrator.outlook import outlook_of
from orchestrator.placement.packing import Taken
from orchestrator.placement.patience import keeps
from orchestrator.plan import Action, Drain, Kill, Plan, Start, kills_due, plan, sparing
from orchestrator.policies.budget import is_spent
from orchestrator.policies.decide import least, remember
from orchestrator.policies.demand import Decision, Demand, History, Signals
from orchestrator.progress import Progress
from orchestrator.prospect import prospect_of
from orchestrator.refusals import Kind, of_starts, of_work
from orchestrator.replay import Inputs, decided
from orchestrator.runtimes import RuntimeUnavailable
from orchestrator.signals.rates import RateMeter
from orchestrator.signals.starts import StartTimes
from orchestrator.specs import BadPool, worker_spec
from orchestrator.watch import Look, Observed, Watch
from orchestrator.waves import without_wave
from taskqueue.access import AccessRefused
from taskqueue.messages import PoolSignals
from taskqueue.outlook import Outlook
from telemetry.metrics.orchestrator import WORKER_STARTS

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
    journal: Journal = field(default_factory=Journal)
    measured: str = ""
    """The revision whose workers were measured."""
    spent_h: float | None = None
    refused_since: float | None = None
    """Since when it wants more than the host has room for."""
    curve: Curve | None = None
    """What is foreseen of its demand."""
    past_turn_s: float | None = None
    """What a turn cost under an earlier lead: what is foreseen for a pool at zero goes by it, until a worker tells it anew."""
    tick_s: float = 1.0
    outlook: Outlook | None = None
    """What the last tick foretold; None when it could not see the queue."""
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Progress(self.host, self.watch)

    def tick(
        self,
        pool: Pool,
        rows: list[Worker],
        sight: Sight,
        outcomes: Mapping[str, str | BaseException],
        demand: PoolSignals | None,
        *,
        heard_at: float,
    ) -> Generator[Draft, Allotment, None]:
        """One pass. `demand` is what the queue said at `heard_at` (Unix s); None: it could not be read.

        It stops once, when the pool has decided: it yields what it would do, and goes on with what it got of the host.
        """
        self.outlook = None
        look = Look(pool, sight, outcomes, demand, heard_at, time.time())
        self.progress.look(pool, now=look.now)
        observed = self.watch.observe(rows, look)
        self._notice_edits(observed)
        hindrances = self._hindrances(pool, rows, look)
        inputs = self._inputs(pool, observed, look, hindrances=tuple(hindrances.values()))
        decision = decided(inputs)
        blind = decision.code == "blind"
        if not blind:
            start_s = inputs.signals.start_s
            self.progress.advance(pool, observed, desired=decision.desired, start_s=start_s, now=look.now)
        draft = self._plan(decision, observed, look)
        recipe = self.progress.recipe_of(draft)
        floor = None if blind else least(inputs.policy, now=look.now)
        spares = sparing(self.watch.backoff(str(recipe.pk)), now=look.now)
        got = yield Draft(pool, recipe, observed, draft, floor, spares, keeps(self.refused_since, now=look.now))
        self.refused_since = (self.refused_since or look.now) if got.refused else None
        todo = got.carried_out(self._plan(decision, observed, look, got))
        if todo.actions:
            self.host.confirm()
        refusals = hindrances | self._refusals(decision, todo, got, inputs)
        self.journal.keep(pool, decision, todo, refusals, inputs, outcome=self.progress.outcome())
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
        self.outlook = self._foretell(
            pool, recipe, observed, todo, look, inputs=inputs, hindered=blind or not got.more_fit
        )

    # -- observe -------------------------------------------------------------------------------
    def _hindrances(self, pool: Pool, rows: list[Worker], look: Look) -> dict[Kind, str]:
        """Why the fleet cannot, or must not, be touched."""
        unavailable = look.sight.unavailable
        missing = [unavailable[name] for name in sorted(self.progress.runtimes(rows)) if name in unavailable]
        found: dict[Kind, str] = {"paused": "The pool is paused."} if pool.is_paused else {}
        return found | ({"runtime": " ".join(missing)} if missing else {})

    def _inputs(self, pool: Pool, observed: list[Observed], look: Look, *, hindrances: tuple[str, ...]) -> Inputs:
        """All that the decision is made from."""
        if look.signals is not None:
            ready = {one.worker: one.work for one in look.signals.workers if one.phase == "ready"}
            self.meter.hear(ready, now=look.now)
        current, policy = self.progress.row.current, records.policy_of(pool)
        start_s = self.watch.starts.expected_s(self.progress.wanted.runtime, at=look.now)
        asked = self.curve if policy.kind == ScalingPolicy.Kind.FORECAST else None
        turn_s = self.meter.rates.turn_s(current.slots)
        signals = replace(
            signals_of(observed, look, slots=current.slots),
            turn_s=self.past_turn_s if turn_s is None and asked is not None else turn_s,
            start_s=start_s,
            spent_h=self.spent_h,
            forecast=None if asked is None else asked.at(look.now, ahead_s=start_s or 0.0),
        )
        return Inputs(
            policy=policy,
            signals=self._without_wave(signals, observed),
            history=self.history,
            now=look.now,
            hindrances=hindrances,
        )

    def _without_wave(self, signals: Signals, observed: list[Observed]) -> Signals:
        """As the policy is to see them: what is there, or is not, for a wave only is left out."""
        if self.journal.desired is None or not self.progress.in_waves(observed):
            return signals
        return without_wave(signals, self.progress.course, desired=self.journal.desired)

    def _notice_edits(self, observed: list[Observed]) -> None:
        """What was measured of another revision is forgotten where no worker of it is left; else it fades with new measurements."""
        wanted = self.progress.course.wanted
        others = any(one.view.revision != wanted for one in observed)
        if self.measured not in ("", wanted) and not observed:
            self.watch.starts = StartTimes()
            self.meter = RateMeter()
            self.past_turn_s = None
        if not others:
            self.measured = wanted

    # -- plan ----------------------------------------------------------------------------------
    def _plan(self, decision: Decision, observed: list[Observed], look: Look, got: Allotment | None = None) -> Plan:
        """What is to be done with what the pool got of the host; None: with all that it could want."""
        views = [one.view for one in observed]
        grace_s = self.host.fleet.grace_s
        if decision.code == "blind":
            return Plan(kills_due(views, now=look.now, grace_s=grace_s))
        room, room_note = (NO_BOUND, "") if got is None else (len(got.places), got.note)
        if self.progress.in_waves(observed):
            return self.progress.plan(
                observed,
                desired=decision.desired,
                reason=decision.reason,
                now=look.now,
                room=room,
                room_note=room_note,
                coming=got is not None and got.more_come,
            )
        return plan(
            desired=decision.desired,
            reason=decision.reason,
            workers=views,
            now=look.now,
            backoff=self.watch.backoff(self.progress.course.wanted),
            room=room,
            room_note=room_note,
            grace_s=grace_s,
            awaited=self.host.awaited(self.progress.wanted),
        )

    def _refusals(self, decision: Decision, todo: Plan, got: Allotment, inputs: Inputs) -> dict[Kind, str]:
        """All else that keeps the fleet from being what the work alone would make it."""
        course = self.progress.course
        found = self.progress.refusal()
        if got.loss:
            found["preempted"] = got.loss
        if got.spared:
            found["sparing"] = got.spared
        if inputs.hindrances:
            return found
        if decision.code == "blind":
            return found | {"blind": decision.reason}
        backoffs = [self.watch.backoff(revision) for revision in {course.current, course.wanted}]
        of_decision = of_work(inputs.policy, inputs.signals, decision, inputs.now)
        return found | of_decision | of_starts(todo, backoffs, self.journal.refused)

    def _foretell(
        self,
        pool: Pool,
        recipe: PoolRevision,
        observed: list[Observed],
        todo: Plan,
        look: Look,
        *,
        inputs: Inputs,
        hindered: bool,
    ) -> Outlook | None:
        if look.signals is None:
            return None
        prospect = prospect_of(
            pool,
            recipe,
            observed,
            todo,
            now=look.now,
            capacity=self.host.capacity(),
            policy=inputs.policy,
            is_spent=is_spent(inputs.policy, inputs.signals),
            hindered=hindered,
        )
        return outlook_of(
            prospect,
            starts=self.watch.starts.taken(recipe.runtime),
            backoff=self.watch.backoff(str(recipe.pk)),
            tick_s=self.tick_s,
            now=look.now,
            now_ms=look.signals.now_ms + round((look.now - look.heard_at) * 1000),
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
        caveat, revision = self.host.access.caveat, self.progress.revision_of(action)
        reason = f"{action.reason} {caveat}".strip()
        row = records.new_worker(pool, revision, reason=reason, now=look.now, taken=taken)
        WORKER_STARTS.labels(pool.slug).inc()
        try:
            weights = self.host.weights(revision)
            credentials = self.host.access.admit(str(row.pk), pool=pool.slug)
            spec = worker_spec(
                revision,
                pool=pool.slug,
                lease_s=pool.lease_s,
                worker=str(row.pk),
                gpus=taken.devices,
                site=self.host.site,
                credentials=credentials,
                weights=weights,
            )
            self.host.fleet.start(spec, revision.runtime)
        except (BadPool, AccessRefused, NotInStock) as error:
            self.watch.end(row, look.now, state="failed", error=str(error))
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # whatever it is, the row must tell it, and the next try must wait
            log.exception("worker %s cannot be started", row.pk)
            said = f"It cannot be started ({error!r}); the orchestrator's log says where."
            self.watch.end(row, look.now, state="failed", error=said)

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


def signals_of(observed: list[Observed], look: Look, *, slots: int) -> Signals:
    """Fleet and demand as the policy's input; a worker that is about to be killed does not count."""
    states = [one.view.state for one in observed if not one.view.fault]
    status = look.signals
    demand = None
    if status is not None:
        waiting = status.waiting - status.held_back
        tokens = max(0, status.waiting_tokens) * waiting // status.waiting if waiting else 0
        demand = Demand(
            at=look.heard_at,
            waiting=waiting,
            running=status.running,
            oldest_wait_s=round(status.oldest_wait_s, 3) if waiting else 0.0,
            arrived=status.arrived,
            work_waiting=tokens,
        )
    return Signals(
        slots=slots,
        starting=states.count("starting"),
        ready=states.count("ready"),
        draining=states.count("draining"),
        demand=demand,
    )
