"""Rolling out a revision in waves: new workers serve before old ones hand over. Pure.

A wave starts workers of the new revision above the size that the policy wants (the surge). When they are ready and have
been for `SETTLE_S`, as many old ones hand over; then comes the next wave. Until the first new worker has settled nothing
relies on the new revision: what the policy wants more meanwhile is started from the current one. Where no worker serves
there is nothing to protect, and the new revision is simply used.

Whatever happens to the new revision, the old one goes on: a worker of it that is ready goes only when `desired` others
are there that are ready, or when the policy wants fewer. This is the rolling update of Kubernetes' deployments with
`maxUnavailable: 0` and `minReadySeconds`, decided anew at each tick from what is there, so that a restart forgets nothing.
Where the host has no room for a surge the roll-out waits for it; a pool may allow that one old worker at a time makes the room
(`in_place`: `maxUnavailable: 1`). Whatever place it leaves is its successor's, so the old revision is not started in it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.plan import WorkerView, felt_least
from orchestrator.policies.demand import seconds

SETTLE_S = 3.0
"""So long a new worker has been ready before an old one hands over to it."""
MOST_FAILURES = 3
"""So many failed workers of the new revision end a roll-out."""
PATIENCE = 5.0
LEAST_PATIENCE_S = 120.0
"""A new worker may take so many times what starts were measured to take, and so long at least."""

State = Literal["steady", "rolling", "canary", "failed", "reverted"]
UNDER_WAY: tuple[State, ...] = ("rolling", "canary")


@dataclass(frozen=True, slots=True)
class Course:
    """Where a fleet is going: from the revision `current` to `target` (empty while steady). Shares are percent of the fleet.

    `in_place`: where there is no room for a surge, one old worker at a time may end before its successor serves. `held`: how
    many were there when one last did so, which is what the host holds of this pool (0: none has); fewer is a loss to others.
    `confirmed`: somebody has said that it may go on past the canaries. `failures` counts the target's failed workers, `error`
    is the last one's word.
    """

    current: str
    target: str = ""
    state: State = "steady"
    surge_share: int = 25
    canary_share: int = 0
    in_place: bool = False
    held: int = 0
    confirmed: bool = False
    failures: int = 0
    error: str = ""

    @property
    def under_way(self) -> bool:
        """Whether the target is being brought in."""
        return self.state in UNDER_WAY

    @property
    def wanted(self) -> str:
        """The revision that all workers should be of in the end."""
        return self.target if self.under_way else self.current

    @property
    def holds_canaries(self) -> bool:
        """Whether it stops at the share of canaries."""
        return self.under_way and self.canary_share > 0 and not self.confirmed

    def size(self, desired: int, *, lacking: bool = True) -> int:
        """How many workers there are to be: in place no more than the host holds, while new ones are `lacking`."""
        return min(desired, self.held) if self.in_place and self.held and lacking else desired

    def surge(self, desired: int) -> int:
        """How many workers may be there above `desired`."""
        return max(1, _share(self.surge_share, desired))

    def canaries(self, desired: int) -> int:
        """How many workers of the new revision are the share; one at least, if there are any workers."""
        return min(desired, max(1, _share(self.canary_share, desired)))


@dataclass(frozen=True, slots=True)
class Wave:
    """What is due now: starts of the wanted revision and of the current one, and who hands over."""

    new: int = 0
    old: int = 0
    drains: tuple[WorkerView, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """The next state of a roll-out, and why. `worker`: whose log shows it, where it is not known yet."""

    state: State
    reason: str
    worker: str = ""


def wave(course: Course, *, desired: int, workers: Sequence[WorkerView], now: float) -> Wave:
    """What brings the fleet a step further. `workers`: those that start or are ready, and are not about to be killed."""
    new = [worker for worker in workers if worker.revision == course.wanted]
    others = [worker for worker in workers if worker.revision != course.wanted]
    useless = [worker for worker in others if worker.state == "starting" and worker.revision != course.current]
    old = [worker for worker in others if worker not in useless]
    ready = [worker for worker in new if settled(worker, now)]
    most_new, least_old = _bounds(course, desired, old=len(old), new=len(new), settled=len(ready))
    ceiling = desired + course.surge(desired)

    fewer_old = max(0, min(len(old) + len(ready) - desired, len(old) - least_old))
    over = len(old) + len(new) - ceiling
    unborn = sum(worker.state == "starting" for worker in old)
    fewer_old = max(fewer_old, min(over, unborn, len(old) - least_old))
    going = sorted(old, key=lambda worker: _goes_first(worker, course))[:fewer_old]
    stay = [worker for worker in (*old, *new) if worker not in going]
    # New ones that are too many go, too, but none that is needed: it serves, though it has not settled.
    spare = sum(worker.state == "starting" for worker in new)
    spare += max(0, sum(worker.state == "ready" for worker in stay) - desired)
    fewer_new = max(0, min(max(len(new) - most_new, over - fewer_old), spare))
    going += sorted(new, key=lambda worker: (settled(worker, now), felt_least(worker)))[:fewer_new]
    if useless or going:
        return Wave(drains=(*useless, *going))

    room = ceiling - len(old) - len(new)
    more_old = max(0, min(least_old - len(old), room))
    more_new = max(0, min(most_new - len(new), room - more_old))
    return Wave(more_new, more_old)


def step(
    course: Course, *, desired: int, workers: Sequence[WorkerView], now: float, ready_within_s: float
) -> Step | None:
    """The next state of a roll-out that is under way, if it changes now. `workers` as in `wave`."""
    if not course.under_way:
        return None
    if course.failures >= MOST_FAILURES:
        return Step("failed", f"Its workers failed; the last said: {course.error}")
    new = [worker for worker in workers if worker.revision == course.target]
    for worker in new:
        if worker.state == "starting" and worker.begun_at is not None and now - worker.begun_at > ready_within_s:
            return Step("failed", f"A worker was not ready {seconds(ready_within_s)} after its start.", worker.id)
    ready = sum(settled(worker, now) for worker in new)
    old = len(workers) - len(new)
    if course.holds_canaries:
        most_new, least_old = _bounds(course, desired, old=old, new=len(new), settled=ready)
        if course.state == "rolling" and 0 < most_new <= ready and old <= least_old:
            return Step("canary", f"{ready} of {ready + old} workers are new; the rest waits for your word.")
        return None
    # A place that was made in place is not filled before all that fill it serve.
    served = ready >= (course.size(desired) if course.in_place and course.held else 1)
    return Step("steady", "All workers are of this revision.") if served and ready and not old else None


def settled(worker: WorkerView, now: float) -> bool:
    """Whether it has been ready for long enough that an old one may hand over."""
    return worker.state == "ready" and worker.ready_at is not None and now - worker.ready_at >= SETTLE_S


def patience_s(*, start_timeout_s: float, start_s: float | None) -> float:
    """How long a new worker may take until it is ready; `start_s`: what starts were measured to take, if they were."""
    if start_s is None:
        return start_timeout_s
    return min(start_timeout_s, max(LEAST_PATIENCE_S, PATIENCE * start_s))


def _bounds(course: Course, desired: int, *, old: int, new: int, settled: int) -> tuple[int, int]:
    """How many workers may be new, and how many old ones must stay or be started."""
    if course.holds_canaries:
        size = course.size(desired)
        canaries = course.canaries(size)
        if course.canary_share == 100 or desired == 0:
            return canaries, 0
        if course.held:  # in place there is no room for one of each beside them
            canaries = min(canaries, max(1, size - 1))
        least = 0 if course.held and size == 1 else 1
        return canaries, max(least, course.size(desired, lacking=new < canaries) - canaries)
    trusted = settled > 0 or course.wanted == course.current
    if trusted or old == 0:
        return desired, 0
    first = min(desired, course.surge(desired))
    return first, course.size(desired, lacking=new < first) - course.in_place


def _share(percent: int, of: int) -> int:
    return -(-percent * of // 100)


def _goes_first(worker: WorkerView, course: Course) -> tuple[int, int, tuple[int, int, float]]:
    """Sort key: who serves nobody yet, then who is of neither revision, then whose loss is felt least."""
    return (0 if worker.state == "starting" else 1, 1 if worker.revision == course.current else 0, felt_least(worker))
