"""What trials of a policy on a pool's last day are made from, out of Postgres, and that day as it was, to hold them against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from uuid import UUID

import msgspec
from django.db.models import Q
from django.utils.timezone import localtime

from orchestrator import records
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.book import minute_of
from orchestrator.history.forecasts import LOOK_BACK_S, rates
from orchestrator.history.minutes import MINUTE_S, Minute
from orchestrator.hours import span
from orchestrator.models import Pool, Worker
from orchestrator.policies.budget import day_of, hours
from orchestrator.policies.demand import Policy, counted, seconds
from orchestrator.policies.schedule import BadSchedule
from orchestrator.rehearsal.figures import Tried
from orchestrator.rehearsal.recorded import Lived, Passed, came, happened, last_turns, span_of
from orchestrator.rehearsal.trial import Starts, Trial
from orchestrator.replay import turn_cost
from orchestrator.signals.starts import WARM_S

DAY_S = 86_400.0
LEAST_TURNS = 20
"""Fewer tell no two policies apart."""
LOOKED_THROUGH = 20
"""So many of the last decisions are searched for what a turn costs."""
SUPPOSED_START_S = 60.0

ENOUGH = 0.9
"""Of the turns that came, so large a part must still be stored for the day as it was to be shown."""

Turns = Callable[[UUID, float, float], Sequence[Passed]]
"""A pool's turns that came from a moment until before another (Unix s) and are still stored."""


class TooLittle(Exception):
    """Nothing can be told from what is recorded: the message says what is missing."""


class Unreadable(Exception):
    """The present policy's row is not what a policy must be: the message says what to correct."""


@dataclass(frozen=True, slots=True)
class Material:
    """What trials of one pool have in common: the present policy's, and in sentences what it covers and supposes.

    `happened` is the same span as it was; None where its turns are not stored any more. `steered`: that something else than the
    present policy decided within it; empty if nothing did.
    """

    present: Trial
    happened: Tried | None
    steered: str
    notes: tuple[str, ...]


def material_of(
    pool: Pool, *, now: float, bound_s: float, hold_s: float | None, foresees: bool, turns: Turns
) -> Material:
    """Out of the last day that is recorded. Raises `TooLittle`, `Unreadable`.

    Args:
        pool: With its policy.
        now: Unix s.
        bound_s: A longer wait is too long.
        hold_s: How long turns hold a slot, as the queue measured it: for pools of which nothing else tells it.
        foresees: Whether one of the policies goes by forecasts.
        turns: Where stored turns are read.
    """
    rows = DemandMinute.objects.filter(pool=pool, minute__gte=records.moment(now - DAY_S - MINUTE_S)).order_by("minute")
    recorded = [minute_of(row) for row in rows]
    count = sum(minute.arrived for minute in recorded)
    found = f"In the last day {counted(count, 'turn')} came in that {'is' if count == 1 else 'are'} recorded"
    too_little = f"that is too little to tell policies apart by ({LEAST_TURNS} at least)."
    if count < LEAST_TURNS:
        raise TooLittle(f"{found}: {too_little}")
    minutes = last_turns(recorded)
    begins_at, ends_at = span_of(minutes)
    passed = turns(pool.pk, begins_at, ends_at)
    turn_s = _turn_s(pool, passed, hold_s)
    if turn_s is None:
        raise TooLittle(
            "What a turn costs a worker was not measured yet, so no policy can be tried: let some be served first."
        )
    try:
        policy = records.policy_of(pool)
    except BadSchedule as error:
        raise Unreadable(f"The present policy cannot be read: {error}") from error
    given_up = sum(turn.given_up for turn in passed)
    tried = came(minutes, passed, hold_s=turn_s * pool.slots)
    if len(tried) < LEAST_TURNS and given_up:
        raise TooLittle(f"{found}, and clients took {given_up} of them back before a worker had them: {too_little}")
    rows_of_workers = _workers(pool, begins_at, ends_at)
    starts, measured = _starts(pool)
    present = Trial(
        policy=policy,
        turns=tried,
        begins_at=begins_at,
        ends_at=ends_at,
        slots=pool.slots,
        turn_s=turn_s,
        starts=starts,
        bound_s=bound_s,
        ready_in_s=_ready_in_s(rows_of_workers, begins_at),
        gpus=pool.gpus_per_worker * pool.gpu_share if pool.gpus_per_worker else 1.0,
        spent_h=hours([span(row) for row in rows_of_workers], begins_at),
        past=_past(pool, begins_at) if foresees else {},
    )
    lives = [_lived(row) for row in rows_of_workers if row.stopped_at is None or row.stopped_at.timestamp() > begins_at]
    is_known = len(passed) - given_up >= ENOUGH * len(present.turns)
    return Material(
        present=present,
        happened=happened(passed, lives, since=begins_at, until=ends_at, now=now, bound_s=bound_s)
        if is_known
        else None,
        steered=_steered(pool, policy, begins_at, ends_at),
        notes=tuple(
            _notes(present, minutes, recorded, known=len(passed) - given_up, given_up=given_up, measured=measured)
        ),
    )


# -- what is measured ------------------------------------------------------------------------------
def _turn_s(pool: Pool, passed: Iterable[Passed], hold_s: float | None) -> float | None:
    """What a turn costs a full worker (s), by the newest decision that knows; else by how long turns hold a slot."""
    last = pool.decisions.order_by("-at", "-pk").values_list("signals", flat=True)[:LOOKED_THROUGH]
    known = next((cost for stored in last if (cost := turn_cost(stored)) is not None), None)
    if known is not None:
        return known
    held = [turn.finished_at - turn.claimed_at for turn in passed if turn.claimed_at and turn.finished_at]
    usual_s = fmean(held) if held else hold_s
    return None if usual_s is None else usual_s / pool.slots


def _starts(pool: Pool) -> tuple[Starts, bool]:
    """What starts take on the pool's runtime, and whether that was measured."""
    past = records.past_starts(pool)
    cold_s, warm_s = (past.usual_s(pool.runtime, warm=warm) for warm in (False, True))
    if cold_s is None or warm_s is None:
        return Starts(cold_s=SUPPOSED_START_S, warm_s=SUPPOSED_START_S, keeps_warm_s=WARM_S), False
    return Starts(cold_s=cold_s, warm_s=warm_s, keeps_warm_s=WARM_S), True


def _workers(pool: Pool, begins_at: float, ends_at: float) -> list[Worker]:
    """Those that lived within the span, or before it on its first day (UTC)."""
    rows = Worker.objects.filter(pool=pool, started_at__lt=records.moment(ends_at)).filter(
        Q(stopped_at__isnull=True) | Q(stopped_at__gt=records.moment(day_of(begins_at)))
    )
    return list(rows.only("pool", "started_at", "ready_at", "draining_at", "stopped_at", "gpus", "gpu_share"))


def _ready_in_s(workers: Iterable[Worker], at: float) -> tuple[float, ...]:
    """Of the workers that counted at that moment and served at some time: when that was, in s from then."""
    lives = [_lived(row) for row in workers]
    there = [
        life
        for life in lives
        if life.started_at <= at and all(end is None or end > at for end in (life.draining_at, life.stopped_at))
    ]
    return tuple(sorted(max(0.0, life.ready_at - at) for life in there if life.ready_at is not None))


def _lived(row: Worker) -> Lived:
    moments = (row.ready_at, row.draining_at, row.stopped_at)
    ready, draining, stopped = (None if at is None else at.timestamp() for at in moments)
    return Lived(row.started_at.timestamp(), ready, draining, stopped, span(row).gpus)


def _past(pool: Pool, begins_at: float) -> Mapping[int, float]:
    from orchestrator.history.seasons import STEP_S  # which loads numpy

    steps = rates(pool.pk, step_s=STEP_S, since=begins_at - LOOK_BACK_S)
    return {step: rate for step, rate in steps.items() if (step + 1) * STEP_S <= begins_at}


def _steered(pool: Pool, policy: Policy, begins_at: float, ends_at: float) -> str:
    """Until when, by the last decision of the span that the present policy did not make."""
    rows = pool.decisions.filter(
        at__gt=records.moment(begins_at), at__lte=records.moment(ends_at), signals__has_key="policy"
    )
    other = rows.filter(~Q(signals__policy=msgspec.to_builtins(policy)) | Q(signals__code__in=("manual", "blind")))
    at = other.order_by("-at").values_list("at", flat=True).first()
    if at is None:
        return ""
    return (
        f"Until {_clock(at)} another policy decided, or the size was set by hand, or nothing was decided: scaling was paused, "
        "or the queue away."
    )


# -- in sentences ----------------------------------------------------------------------------------
def _notes(
    trial: Trial, minutes: Sequence[Minute], recorded: Sequence[Minute], *, known: int, given_up: int, measured: bool
) -> list[str]:
    span_s = trial.ends_at - trial.begins_at
    begin, end = (records.moment(at) for at in (trial.begins_at, trial.ends_at))
    notes = [f"It covers {_long(span_s)}, {_clock(begin)} to {_clock(end)}, with {counted(len(trial.turns), 'turn')}."]
    if drawn := len(trial.turns) - known:
        notes.append(
            f"{counted(drawn, 'turn')} of them {'is' if drawn == 1 else 'are'} not stored any more: only the minute is known in "
            "which they came, so a rush within it may be missed."
        )
    if given_up:
        notes.append(f"Left out: {counted(given_up, 'turn')} whose clients took them back before a worker did.")
    if len(minutes) < len(recorded):
        notes.append("More came in within the day than is tried at once: these are the last ones.")
    elif span_s < DAY_S - 3600:
        notes.append("No more of the last day is recorded.")
    if missing := round(span_s / MINUTE_S) - len(minutes):
        notes.append(
            f"{counted(missing, 'minute')} within it {'was' if missing == 1 else 'were'} not seen: what came then is tried as far "
            "as it is stored."
        )
    there = counted(len(trial.ready_in_s), "worker")
    notes.append(
        f"{_held(trial)}, {_start(trial.starts, measured=measured)}; at its begin there {_were(trial)} {there}."
    )
    notes.append("Other pools, room on the host, running limits and failures are not reckoned with.")
    return notes


def _held(trial: Trial) -> str:
    return f"A turn has a slot for {seconds(fmean(turn.hold_s for turn in trial.turns))} on average"


def _start(starts: Starts, *, measured: bool) -> str:
    if not measured:
        return f"a start takes {seconds(starts.cold_s)} (supposed: none was measured yet)"
    if starts.cold_s == starts.warm_s:
        return f"a start takes {seconds(starts.cold_s)}"
    return (
        f"a start takes {seconds(starts.cold_s)}, or {seconds(starts.warm_s)} while a worker is ready or was within "
        f"{starts.keeps_warm_s / 60:.0f} min"
    )


def _were(trial: Trial) -> str:
    return "was" if len(trial.ready_in_s) == 1 else "were"


def _long(span_s: float) -> str:
    whole, minutes = divmod(round(span_s / 60), 60)
    return " ".join([*([f"{whole} h"] if whole else []), *([f"{minutes} min"] if minutes else [])])


def _clock(at: datetime) -> str:
    return localtime(at).strftime("%Y-%m-%d %H:%M")
