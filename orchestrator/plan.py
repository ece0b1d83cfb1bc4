"""From a decision to actions: who starts, who drains, who is killed. Pure.

Victims are those whose loss is felt least: workers that are still starting (the youngest first), then idle ones, then
the least busy; they hand their work over. What holds a start back (backoff, the host's limit, GPUs) is said in a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from orchestrator.backoff import SPARES_S, Backoff
from orchestrator.policies.demand import counted, seconds

LiveState = Literal["starting", "ready", "draining"]
Cause = Literal["", "backoff", "room", "stock", "in_place"]


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A live worker as the plan sees it. `fault` says why it must be killed; empty: nothing is wrong.

    `begun_at`: when its process started (None: it is being brought there, or cannot be seen); `revision`: what it was made from.
    """

    id: str
    state: LiveState
    started_at: float
    running: int = 0
    draining_at: float | None = None
    fault: str = ""
    revision: str = ""
    begun_at: float | None = None
    ready_at: float | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Start one worker more, of that revision (empty: the one that all should be of)."""

    reason: str
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    """Ask a worker to hand over and end."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End a worker that does not end by itself, or is broken: `faulty` ones have failed, others are only slow to go."""

    worker: str
    reason: str
    faulty: bool


Action = Start | Drain | Kill


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, why less is done than desired (empty: all of it is), and what kind of cause that is."""

    actions: tuple[Action, ...] = ()
    note: str = ""
    cause: Cause = ""


def plan(
    *,
    desired: int,
    reason: str,
    workers: Sequence[WorkerView],
    now: float,
    backoff: Backoff,
    room: int,
    grace_s: float,
    room_note: str = "",
    awaited: str | None = None,
) -> Plan:
    """Actions that bring the fleet to `desired`. `room`: how many more workers may be; `room_note`: why no more.

    `awaited`: what workers are made from is not here yet; empty where there is nothing to be said about it, None where it is here.
    """
    kills = kills_due(workers, now=now, grace_s=grace_s)
    condemned = {kill.worker for kill in kills}
    serving = [worker for worker in workers if worker.state != "draining" and worker.id not in condemned]
    surplus = len(serving) - desired
    if surplus > 0:
        drains = [Drain(victim.id, reason) for victim in sorted(serving, key=felt_least)[:surplus]]
        return Plan((*kills, *drains))
    missing = -surplus
    if missing == 0:
        return Plan(kills)
    starting = any(worker.state == "starting" for worker in serving)
    starts = starts_due(
        missing,
        reason=reason,
        starting=starting,
        backoff=backoff,
        room=room,
        room_note=room_note,
        now=now,
        awaited=awaited,
    )
    return Plan((*kills, *starts.actions), starts.note, starts.cause)


def starts_due(
    missing: int,
    *,
    reason: str,
    starting: bool,
    backoff: Backoff,
    room: int,
    now: float,
    room_note: str = "",
    revision: str = "",
    awaited: str | None = None,
) -> Plan:
    """The starts of `missing` workers that may be now; `starting`: whether others of their revision start already."""
    if awaited is not None:
        return Plan((), awaited, "stock")
    if backoff.blocks(now):
        return Plan((), held_back(backoff), "backoff")
    # After a failed start one worker tries first; the rest follow when it holds.
    wanted = min(missing, 1) if backoff.failures else missing
    if backoff.failures and starting:
        wanted = 0
    starts = tuple(Start(reason, revision) for _ in range(min(wanted, max(0, room))))
    if len(starts) < wanted:
        note = room_note or f"{counted(missing, 'worker')} wanted, but this host may hold only {max(0, room)} more."
        return Plan(starts, note, "room")
    if wanted < missing:
        return Plan(starts, "After a failure one worker tries before the others follow.", "backoff")
    return Plan(starts)


def kills_due(workers: Sequence[WorkerView], *, now: float, grace_s: float) -> tuple[Kill, ...]:
    """Faulty workers, and draining ones past their grace: due whatever the decision is."""
    kills = []
    for worker in workers:
        if worker.fault:
            kills.append(Kill(worker.id, worker.fault, faulty=True))
        elif worker.state == "draining" and worker.draining_at is not None and now - worker.draining_at > grace_s:
            reason = f"It was asked to end and had not done so after {seconds(grace_s)}."
            kills.append(Kill(worker.id, reason, faulty=False))
    return tuple(kills)


def sparing(backoff: Backoff, *, now: float) -> str:
    """Why no worker of a lower pool is to hand over for the next start; empty: it may. It changes with the next failure only."""
    if not backoff.spares(now):
        return ""
    until = _clock(backoff.failed_at + SPARES_S)
    return (
        f"Its last start failed: until one holds, or {until}, it takes only what is free, and nobody hands over for it."
    )


def held_back(backoff: Backoff) -> str:
    """The sentence about a backoff; it does not change until the next failure."""
    until = _clock(backoff.until)
    failed = counted(backoff.failures, "worker")
    return (
        f"No start before {until}: {failed} in a row failed at the start or soon after; the last said: {backoff.error}"
    )


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def felt_least(worker: WorkerView) -> tuple[int, int, float]:
    """Sort key of victims: starting before ready, idle before busy, young before old."""
    return (0 if worker.state == "starting" else 1, worker.running, -worker.started_at)
