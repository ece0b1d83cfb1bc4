"""What a pool's fleet can come to, foretold for whoever tells a client how long a task may wait (taskqueue.outlook). Pure.

How long a start takes is foretold from the last ones. The next of n alike lies between their shortest and longest with the chance
(n - 1) / (n + 1) (order statistics; for n = 20 about nine in ten), so of few the range is made wider: by a share of 1 / (n + 1)
above, and of twice that below, where a deadline may be refused for it. The first start of all, which fetches what later ones find,
says nothing of how fast a start can be.

*No capacity* is said only where waiting does not help, and nobody serves or is about to: a person must act first (the pool is
paused, may have no worker, needs GPUs that are not there), the day's GPU-hours are spent and its minimum is none, or starts fail
again and again and the next one is not due for a while. It is over before that one is due: a task must be waiting then, or nobody
would be started.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.backoff import Backoff
from orchestrator.placement.packing import Capacity, Need
from orchestrator.policies.demand import counted
from taskqueue.outlook import Outlook, Step

STEPS_MAX = 16
"""More workers that start at once are foretold together."""
ASK_AGAIN_S = 60
"""What a person must change is not changed within seconds."""
SOON_S = 30.0
"""A start that is tried again within this time is worth waiting for, however often it failed."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """A pool's fleet at a moment (Unix s): `starting` are the moments at which workers' starts began.

    At `most` so many workers may serve it at a time; `barred` is a sentence why no more may be started until a person acts,
    or, where that will do, until midnight (UTC). `retry_s`: when to ask again then.
    `hindered`: the next start may be late for another reason (another pool has the GPUs, the runtime does not answer).
    """

    slots: int
    ready: int
    starting: tuple[float, ...]
    most: int
    barred: str = ""
    hindered: bool = False
    retry_s: int = ASK_AGAIN_S


def bar(*, is_paused: bool, max_workers: int, need: Need, capacity: Capacity) -> str:
    """Why a pool may have no further worker until a person acts; empty: it may."""
    if is_paused:
        return "This model is paused."
    if max_workers == 0 or capacity.workers == 0:
        return "This model is switched off: it may have no worker."
    if need.gpus > len(capacity.devices):
        return f"A worker of this model needs {counted(need.gpus, 'GPU')}, and there are {len(capacity.devices)}."
    if need.cpus > capacity.cpus:
        return f"A worker of this model needs {counted(need.cpus, 'core')}, and there are {capacity.cpus}."
    return ""


SPENT = "This model's GPU-hours of the day (UTC) are spent."


def start_range(starts: Sequence[float]) -> tuple[float, float] | None:
    """How long the next start takes, in s, going by the last ones; None while none was seen."""
    if not starts:
        return None
    margin = 1 / (len(starts) + 1)
    return min(starts) * (1 - 2 * margin), max(starts) * (1 + margin)


def outlook_of(
    prospect: Prospect, *, starts: Sequence[float], backoff: Backoff, tick_s: float, now: float, now_ms: int
) -> Outlook:
    """What is published. `now` and `now_ms` (Redis' clock) are the same moment; ready workers are noticed up to `tick_s` late."""
    took = start_range(starts)
    fast_s, slow_s = (max(0.0, took[0] - tick_s), took[1]) if took else (0.0, None)
    earliest = [max(now, begun_at + fast_s) for begun_at in prospect.starting]
    more = 0 if prospect.barred else max(0, prospect.most - prospect.ready - len(prospect.starting))
    latest: list[float] = []
    if slow_s is not None and not backoff.failures:
        latest = [_late(begun_at, slow_s, now) for begun_at in prospect.starting]
        if not latest and not prospect.ready and more and not prospect.hindered:
            latest = [now + 2 * tick_s + slow_s]  # until the next outlook, and until the next decision

    def steps(moments: Iterable[float], *, late: bool) -> list[Step]:
        ordered = sorted(moments)
        rest = ordered[STEPS_MAX:]
        at = [(moment, prospect.slots) for moment in ordered[:STEPS_MAX]]
        if rest:
            at.append((rest[-1] if late else rest[0], prospect.slots * len(rest)))
        return [(now_ms + round((moment - now) * 1000), slots) for moment, slots in at]

    if more:
        first = max(now, backoff.until) + fast_s
        growth: list[Step] = [(now_ms + round((first - now) * 1000), prospect.slots * more)]
    else:
        growth = []
    reason, retry_s = _no_capacity(prospect, backoff, now)
    return Outlook(
        ready=prospect.slots * prospect.ready,
        earliest=tuple(sorted([*steps(earliest, late=False), *growth])),
        latest=tuple(steps(latest, late=True)),
        no_capacity=reason,
        retry_s=retry_s,
    )


def _late(begun_at: float, slow_s: float, now: float) -> float:
    """When a start that has begun is over at the latest. One that is overdue tells nothing more than that it is slow."""
    due_at = begun_at + slow_s
    return due_at if due_at > now else now + slow_s


def _no_capacity(prospect: Prospect, backoff: Backoff, now: float) -> tuple[str, int]:
    if prospect.ready or prospect.starting:
        return "", 0
    if prospect.barred:
        return f"{prospect.barred} No worker serves it.", prospect.retry_s
    if backoff.until - now > SOON_S:
        return "The workers of this model fail to start, and none serves it.", math.ceil(backoff.until - now - SOON_S)
    return "", 0
