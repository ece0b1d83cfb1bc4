"""From a wave of a roll-out to actions, within what may be started now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.backoff import Backoff
from orchestrator.plan import Drain, Plan, WorkerView, felt_least, kills_due, starts_due
from orchestrator.policies.demand import Signals
from orchestrator.rollout import Course, settled, wave


@dataclass(frozen=True, slots=True)
class Supply:
    """What bounds the starts of one revision: its failures, the host's room with the sentence about too little of it, and what its
    workers are made from, while that is not here (`awaited`, as in `plan`).
    """

    backoff: Backoff
    room: int
    room_note: str = ""
    awaited: str | None = None


def plan_wave(
    course: Course,
    *,
    desired: int,
    reason: str,
    workers: Sequence[WorkerView],
    supplies: Mapping[str, Supply],
    now: float,
    grace_s: float,
) -> Plan:
    """Actions of this moment. `supplies`: of the wanted and of the current revision."""
    kills = kills_due(workers, now=now, grace_s=grace_s)
    serving = fit(workers)
    due = wave(course, desired=desired, workers=serving, now=now)
    new = sum(settled(worker, now) and worker.revision == course.wanted for worker in serving)
    said = f"Roll-out: {new} of {len(serving)} workers have the wanted revision and serve."
    why = f"{said} {reason}"
    if due.drains:
        return Plan((*kills, *(Drain(worker.id, why) for worker in due.drains)))
    # What the policy wants comes first, then the wave; all starts of a tick are of one revision, since they take the same places.
    parts = [
        _starts(count, revision, reason=why, serving=serving, supply=supplies[revision], now=now)
        for count, revision in ((due.old, course.current), (due.new, course.wanted))
    ]
    chosen = next((part for part in parts if part.actions or part.cause == "room"), Plan())
    hindered = chosen if chosen.cause else next((part for part in parts if part.cause), Plan())
    if (
        not chosen.actions
        and hindered.cause == "room"
        and (victim := _makes_room(course, desired, workers, serving, now))
    ):
        return Plan((*kills, Drain(victim.id, f"{why} It makes room for its successor: {hindered.note}")))
    return Plan((*kills, *chosen.actions), hindered.note, hindered.cause)


def _makes_room(
    course: Course, desired: int, workers: Sequence[WorkerView], serving: Sequence[WorkerView], now: float
) -> WorkerView | None:
    """The old worker that may end before its successor serves: one at a time, once all that was started since has settled."""
    old = [worker for worker in serving if worker.revision != course.wanted]
    unsettled = any(not settled(worker, now) for worker in serving if worker.revision == course.wanted)
    if not course.in_place or not old or unsettled or len(serving) < desired or len(workers) > len(serving):
        return None
    return min(old, key=felt_least)


def without_surge(signals: Signals, *, over: int) -> Signals:
    """The fleet as the policy is to see it: `over` workers are there for the wave only, those that start first of all."""
    starting = min(signals.starting, max(0, over))
    return replace(signals, starting=signals.starting - starting, ready=signals.ready - max(0, over - starting))


def fit(workers: Sequence[WorkerView]) -> list[WorkerView]:
    """Those that start or are ready, and are not about to be killed."""
    return [worker for worker in workers if worker.state != "draining" and not worker.fault]


def _starts(
    count: int,
    revision: str,
    *,
    reason: str,
    serving: Sequence[WorkerView],
    supply: Supply,
    now: float,
) -> Plan:
    if count == 0:
        return Plan()
    return starts_due(
        count,
        reason=reason,
        starting=any(worker.state == "starting" and worker.revision == revision for worker in serving),
        backoff=supply.backoff,
        room=supply.room,
        room_note=supply.room_note,
        now=now,
        revision=revision,
        awaited=supply.awaited,
    )
