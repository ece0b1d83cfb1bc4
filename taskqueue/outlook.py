"""How long a waiting turn may wait: a range from its place, the pool's outlook and how long turns hold a slot. Pure.

The orchestrator foretells a pool's slots once a tick (`Outlook`); the queue's scripts say where a turn stands and how long the
last turns held their slots (`Place`, `Pace`). Nobody asks Postgres, and nothing is said where the outlook is missing.

*The low end* is what no luck beats: the turn comes before all turns of other tenants, every slot is free this moment, and as many
workers as the pool may have are started at once and start fast. With n_i slots that open at t_i, and turns that hold a slot for
h, no more than sum n_i (1 + (t - t_i) / h) turns have started by t. A deadline before it is not expected to be met.
`lua/outlook.lua` does the same arithmetic.

*The high end* is what bad luck rarely passes: the turns of other tenants that wait, and those that come meanwhile as they came in
the last seconds, go before it, but no more than twice as many of each tenant as of its own (its share, by the fair order, with
room for weights and lengths); all slots are full until a whole turn has passed and then free at the same moment (waves); only
workers that are there or on their way serve, and they start slowly. By t, sum n_i (1 + floor((t - t_i) / h)) turns have started.
It is not known (None) when such slots, or the pace, are not.

k turns in a row hold their slots for k times their mean, give or take Z standard deviations of the mean of k, and of the mean that
was measured: so a long line is foretold better, in proportion, than a short one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

OUTLOOK_S = 5.0
"""An outlook that was not renewed for so long is none."""
Z = 1.645
"""Standard deviations that leave a twentieth on either side."""
CLAIM_MS = 500.0
"""What it may take until a free slot has taken its turn."""
REMEMBERED = 127
"""The turns that a pace is worth: a mean that moves by 1/64 with each turn is as sure as one over so many."""
ROUNDS = 6
"""So often the high end is looked for again, with those who come until then."""

Step = tuple[int, int]
"""A moment (Unix ms, Redis' clock) and the slots that open then."""


class Outlook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the orchestrator foretells of a pool, for whom to tell how long a task may wait.

    `ready` slots are served now. Of those to come `earliest` says when any may open, `latest` when those open that are sure to,
    each in the order of time. `no_capacity` says in a sentence why nothing can be served however long it waits, `retry_s` when to
    ask again.
    """

    ready: int = 0
    earliest: tuple[Step, ...] = ()
    latest: tuple[Step, ...] = ()
    no_capacity: str = ""
    retry_s: int = 0


class Pace(msgspec.Struct, frozen=True, array_like=True):
    """How long turns hold a slot, in ms: the mean and variance over the last ones, and how many there ever were (0: not known)."""

    turns: int = 0
    mean_ms: float = 0.0
    variance: float = 0.0

    def off_ms(self, count: int) -> float:
        """How far the mean of `count` turns may lie off this one, which was seen over some turns itself; of few little is known."""
        return Z * math.sqrt(self.variance * (1 / count + 1 / min(self.turns, REMEMBERED))) + self.mean_ms / self.turns


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a waiting turn stands at `now_ms`.

    `before` it are so many turns of its own tenant, or of its API key where that has a running limit. Of all that wait in the
    pool, `waiting`, `own` are its tenant's (its key's), itself included; `tenants` have turns that may be claimed. `running`
    turns hold a slot. `limit` is the running limit of its tenant or key (0: none), `limit_running` how many count against it.
    """

    now_ms: int
    before: int
    own: int
    waiting: int
    tenants: int
    running: int
    limit: int = 0
    limit_running: int = 0
    others_per_s: float = 0.0
    pace: Pace = Pace()
    outlook: Outlook | None = None


class Wait(msgspec.Struct, frozen=True):
    """A range of seconds from now; `high_s` is None where it is not known how long it is at most."""

    low_s: float
    high_s: float | None


def expected_wait(place: Place) -> Wait | None:
    """How long the turn may wait for its slot, in tenths of a second; None where nothing is known."""
    low, high = low_ms(place), high_ms(place)
    if low is None:
        return None
    low_s = math.floor(low / 100) / 10
    return Wait(low_s, None if high is None else max(low_s, math.ceil((high + CLAIM_MS) / 100) / 10))


def low_ms(place: Place) -> float | None:
    """The low end, in ms; None without an outlook, or where it foretells no slots."""
    if (outlook := place.outlook) is None:
        return None
    pace, count = place.pace, place.before + 1
    turn_ms = max(0.0, pace.mean_ms - pace.off_ms(count)) if pace.turns else 0.0
    coming = [(max(0.0, float(at - place.now_ms)), slots) for at, slots in outlook.earliest]
    pool = earliest_ms(count, ready=outlook.ready, coming=coming, turn_ms=turn_ms)
    if pool is None or not place.limit:
        return pool
    return max(pool, earliest_ms(count, ready=place.limit, coming=(), turn_ms=turn_ms) or 0.0)


def high_ms(place: Place) -> float | None:
    """The high end, in ms, but for what a claim takes; None where it is not known."""
    if (outlook := place.outlook) is None:
        return None
    pool = _with_others(place, outlook)
    own, free = place.before + 1, max(0, place.limit - place.limit_running)
    if pool is None or not place.limit or own <= free:
        return pool
    held = latest_ms(own, free=free, busy=place.limit - free, coming=(), turn_ms=_slow_ms(place.pace, own))
    return None if held is None else pool + held


def _with_others(place: Place, outlook: Outlook) -> float | None:
    """Until the pool has come to it: the others that wait, and those that come meanwhile, which a longer wait makes more."""
    own, here = place.before + 1, max(0, place.waiting - place.own)
    rivals = max(place.tenants - 1, 1 if here or place.others_per_s else 0)
    share = rivals * 2 * own
    free = max(0, outlook.ready - place.running)
    coming = [(max(0.0, float(at - place.now_ms)), slots) for at, slots in outlook.latest]

    def after(others: float) -> float | None:
        count = own + min(share, round(others))
        turn_ms = _slow_ms(place.pace, count)
        return latest_ms(count, free=free, busy=outlook.ready - free, coming=coming, turn_ms=turn_ms)

    until = after(here)
    for _ in range(ROUNDS):
        if until is None or not place.others_per_s:
            return until
        longer = after(here + place.others_per_s * until / 1000)
        if longer is None or longer <= 1.05 * until:
            return longer
        until = longer
    return after(share)  # they come as fast as they are served


def _slow_ms(pace: Pace, count: int) -> float | None:
    return pace.mean_ms + pace.off_ms(count) if pace.turns else None


def earliest_ms(count: int, *, ready: int, coming: Sequence[tuple[float, int]], turn_ms: float) -> float | None:
    """The earliest moment (ms from now) by which `count` turns can have started; None without any slots."""
    slots, opened_ms = ready, 0.0
    started = float(ready)  # all open slots together follow a straight line: by t it is started + slots t / turn_ms
    for at_ms, more in coming:
        if slots and (done_ms := _reached(count, started, slots, turn_ms)) <= at_ms:
            return max(opened_ms, done_ms)
        slots, opened_ms = slots + more, at_ms
        started += more * (1 - at_ms / turn_ms) if turn_ms > 0 else more
    return max(opened_ms, _reached(count, started, slots, turn_ms)) if slots else None


def _reached(count: int, started: float, slots: int, turn_ms: float) -> float:
    return (count - started) * turn_ms / slots


def latest_ms(
    count: int, *, free: int, busy: int, coming: Sequence[tuple[float, int]], turn_ms: float | None
) -> float | None:
    """The moment (ms from now) by which `count` turns have started at the latest; None if that is not known."""
    steps = [(0.0, free), *coming]
    if turn_ms is None or turn_ms <= 0:
        return _by_open_slots(count, steps)
    steps = [(at_ms, slots) for at_ms, slots in sorted([*steps, (turn_ms, busy)]) if slots]
    if not steps:
        return None
    # Waves are never ahead of the straight line, and behind it by less than a turn: look at the waves from there on.
    line_ms = earliest_ms(count, ready=0, coming=steps, turn_ms=turn_ms) or 0.0
    return next(at for at in sorted(_waves(steps, turn_ms, line_ms)) if _started(steps, turn_ms, at) >= count)


def _by_open_slots(count: int, steps: Sequence[tuple[float, int]]) -> float | None:
    """Nothing is known of how long turns take: only slots that nobody has used yet count."""
    open_slots = 0
    for at_ms, slots in steps:
        open_slots += slots
        if open_slots >= count:
            return at_ms
    return None


def _waves(steps: Sequence[tuple[float, int]], turn_ms: float, from_ms: float) -> Iterator[float]:
    for at_ms, _ in steps:
        first = max(0, math.ceil((from_ms - at_ms) / turn_ms - 1e-6))
        yield from (at_ms + nth * turn_ms for nth in (first, first + 1))


def _started(steps: Sequence[tuple[float, int]], turn_ms: float, at: float) -> int:
    return sum(slots * (1 + math.floor((at - at_ms) / turn_ms + 1e-6)) for at_ms, slots in steps if at_ms <= at)
