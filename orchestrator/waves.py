"""From a wave of a roll-out to actions, within what may be started now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.backoff import Backoff
from orchestrator.plan import Drain, Kill, Plan, WorkerView, felt_least, kills_due, starts_due
from orchestrator.policies.demand import Signals
from orchestrator.rollout import Course, settled, wave

LET_IN_PLACE = (
    "The roll-out waits for room beside the workers that are there. Give it some, or set the pool's “roll out in place” "
    "(rolls_in_place): then one old worker at a time makes room."
)
NO_SUCCESSOR = (
    "The roll-out waits for room: a new worker takes more than an old one leaves, so none can make room for it."
)


@dataclass(frozen=True, slots=True)
class Supply:
    """What bounds the starts of one revision: its failures, the host's room with the sentence about too little of it, and what its
    workers are made from, while that is not here (`awaited`, as in `plan`).

    `coming`: more room is kept for this pool, and free as soon as others have left it. `follows`: a new worker fits where any
    old one is.
    """

    backoff: Backoff
    room: int
    room_note: str = ""
    coming: bool = False
    follows: bool = True
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
    if hindered.cause == "room" and not chosen.actions and due.new:
        supply = supplies[course.wanted]
        return _for_want_of_room(course, hindered, why, kills, desired=desired, workers=workers, supply=supply, now=now)
    return Plan((*kills, *chosen.actions), hindered.note, hindered.cause)


def held_after(course: Course, plan: Plan, workers: Sequence[WorkerView]) -> int:
    """How many workers the host holds of this pool, as a plan shows that lets one make room; else what was known."""
    made = plan.cause == "in_place" and any(isinstance(action, Drain) for action in plan.actions)
    return len(fit(workers)) if made else course.held


def _for_want_of_room(
    course: Course,
    hindered: Plan,
    why: str,
    kills: tuple[Kill, ...],
    *,
    desired: int,
    workers: Sequence[WorkerView],
    supply: Supply,
    now: float,
) -> Plan:
    """In place an old worker makes the room, one at a time, once all that was started since has settled."""
    serving = fit(workers)
    old = [worker for worker in serving if worker.revision != course.wanted]
    if old and not supply.follows:
        return Plan(kills, f"{hindered.note} {NO_SUCCESSOR}", hindered.cause)
    if not course.in_place:
        return Plan(kills, f"{hindered.note} {LET_IN_PLACE}" if old else hindered.note, hindered.cause)
    whole = not course.held or len(serving) >= course.size(desired)
    going = len(workers) > len(serving)
    if going and not whole:
        return Plan(kills, cause="in_place")  # it makes the room
    unsettled = any(not settled(worker, now) for worker in serving if worker.revision == course.wanted)
    if not old or going or supply.coming or unsettled or not whole:
        return Plan(kills, hindered.note, hindered.cause)
    drain = Drain(min(old, key=felt_least).id, f"{why} It makes room for its successor: {hindered.note}")
    return Plan((*kills, drain), cause="in_place")


def without_wave(signals: Signals, course: Course, *, desired: int) -> Signals:
    """The fleet as the policy is to see it, by the size that it last wanted.

    What is over is there for the wave only, those that start first of all. One that has made room in place counts as its
    successor, which starts.
    """
    over = max(0, signals.current - desired)
    left = int(course.held > 0 and signals.current < course.size(desired))
    starting = min(signals.starting, over)
    return replace(signals, starting=signals.starting - starting + left, ready=signals.ready - (over - starting))


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
