"""From a wave of a roll-out to actions, within what may be started now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.backoff import Backoff
from orchestrator.demand import Signals
from orchestrator.plan import Drain, Plan, WorkerView, kills_due, starts_due
from orchestrator.rollout import Course, settled, wave


@dataclass(frozen=True, slots=True)
class Supply:
    """What bounds the starts of one revision: its failures, and the host's room with the sentence about too little of it."""

    backoff: Backoff
    room: int
    room_note: str = ""


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
    # What the policy wants comes first, then the wave.
    parts = [
        _starts(count, revision, reason=why, serving=serving, supply=supplies[revision], taken=taken, now=now)
        for count, revision, taken in ((due.old, course.current, 0), (due.new, course.wanted, due.old))
    ]
    starts = [start for part in parts for start in part.actions]
    hindered = next((part for part in parts if part.cause), Plan())
    return Plan((*kills, *starts), hindered.note, hindered.cause)


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
    taken: int,
    now: float,
) -> Plan:
    if count == 0:
        return Plan()
    return starts_due(
        count,
        reason=reason,
        starting=any(worker.state == "starting" and worker.revision == revision for worker in serving),
        backoff=supply.backoff,
        room=supply.room - taken,
        room_note=supply.room_note,
        now=now,
        revision=revision,
    )
