"""Trials of a policy on a pool's last day: what they are made from, out of Postgres, and the processes that run them."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.conf import settings
from django.db.models import Q

from orchestrator import records
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.book import minute_of
from orchestrator.history.forecasts import LOOK_BACK_S, rates
from orchestrator.history.minutes import MINUTE_S, Minute
from orchestrator.hours import span
from orchestrator.models import Pool, Worker
from orchestrator.policies.budget import day_of, hours
from orchestrator.policies.demand import counted, seconds
from orchestrator.policies.schedule import BadSchedule
from orchestrator.rehearsal.trial import Trial, Tried, last_turns, span_of
from orchestrator.replay import turn_cost

DAY_S = 86_400.0
LEAST_TURNS = 20
"""Fewer tell no two policies apart."""
LOOKED_THROUGH = 20
"""So many of the last decisions are searched for what a turn costs."""
SUPPOSED_START_S = 60.0
LIMIT_S = 60.0
"""A trial that takes longer is ended."""
AT_ONCE = 2
"""Trials at a time in one web process: each keeps a core busy."""


class TooLittle(Exception):
    """Nothing can be told from what is recorded: the message says what is missing."""


class Unreadable(Exception):
    """The present policy's row is not what a policy must be: the message says what to correct."""


class TooMuch(Exception):
    """There is no time for it: the message says when to try again."""


@dataclass(frozen=True, slots=True)
class Material:
    """What trials of one pool have in common: the present policy's, and in sentences what it covers and supposes."""

    present: Trial
    notes: tuple[str, ...]


def material_of(pool: Pool, *, now: float, hold_s: float | None, foresees: bool) -> Material:
    """Out of the last day that is recorded. Raises `TooLittle`, `Unreadable`.

    Args:
        pool: With its policy.
        now: Unix s.
        hold_s: How long turns hold a slot, as the queue measured it: for pools none of whose decisions tells what a turn costs.
        foresees: Whether one of the policies goes by forecasts.
    """
    rows = DemandMinute.objects.filter(pool=pool, minute__gte=records.moment(now - DAY_S - MINUTE_S)).order_by("minute")
    recorded = [minute_of(row) for row in rows]
    turns = sum(minute.arrived for minute in recorded)
    if turns < LEAST_TURNS:
        found = f"In the last day {counted(turns, 'turn')} came in that {'is' if turns == 1 else 'are'} recorded"
        raise TooLittle(f"{found}: that is too little to tell policies apart by ({LEAST_TURNS} at least).")
    turn_s = _turn_s(pool, hold_s)
    if turn_s is None:
        raise TooLittle(
            "What a turn costs a worker was not measured yet, so no policy can be tried: let some be served first."
        )
    minutes = last_turns(recorded)
    begins_at, ends_at = span_of(minutes)
    start_s = records.past_starts(pool).expected_s(pool.runtime, at=now)
    first_workers, spent_h = _fleet_at(pool, begins_at)
    try:
        policy = records.policy_of(pool)
    except BadSchedule as error:
        raise Unreadable(f"The present policy cannot be read: {error}") from error
    present = Trial(
        policy=policy,
        minutes=minutes,
        begins_at=begins_at,
        ends_at=ends_at,
        slots=pool.slots,
        turn_s=turn_s,
        start_s=SUPPOSED_START_S if start_s is None else start_s,
        bound_s=policy.wait_bound_s,
        first_workers=first_workers,
        gpus=pool.gpus_per_worker * pool.gpu_share if pool.gpus_per_worker else 1.0,
        spent_h=spent_h,
        past=_past(pool, begins_at) if foresees else {},
    )
    return Material(present, tuple(_notes(present, recorded, measured=start_s is not None)))


def _turn_s(pool: Pool, hold_s: float | None) -> float | None:
    """As the newest decision tells it that knows; else by how long turns hold a slot."""
    last = pool.decisions.order_by("-at", "-pk").values_list("signals", flat=True)[:LOOKED_THROUGH]
    known = next((cost for stored in last if (cost := turn_cost(stored)) is not None), None)
    return hold_s / pool.slots if known is None and hold_s is not None else known


def _fleet_at(pool: Pool, at: float) -> tuple[int, float]:
    """Workers that were ready at that moment, and the GPU-hours of its day (UTC) until then."""
    moment = records.moment(at)
    rows = Worker.objects.filter(pool=pool, started_at__lt=moment).filter(
        Q(stopped_at__isnull=True) | Q(stopped_at__gt=records.moment(day_of(at)))
    )
    lives = list(rows.only("pool", "started_at", "ready_at", "draining_at", "stopped_at", "gpus", "gpu_share"))
    ready = sum(
        row.ready_at is not None
        and row.ready_at <= moment
        and all(end is None or end > moment for end in (row.draining_at, row.stopped_at))
        for row in lives
    )
    return ready, hours([span(row) for row in lives], at)


def _past(pool: Pool, begins_at: float) -> Mapping[int, float]:
    from orchestrator.history.seasons import STEP_S  # which loads numpy

    steps = rates(pool.pk, step_s=STEP_S, since=begins_at - LOOK_BACK_S)
    return {step: rate for step, rate in steps.items() if (step + 1) * STEP_S <= begins_at}


def _notes(trial: Trial, recorded: Sequence[Minute], *, measured: bool) -> list[str]:
    span_s = trial.ends_at - trial.begins_at
    begin, end = (records.moment(at) for at in (trial.begins_at, trial.ends_at))
    turns = sum(minute.arrived for minute in trial.minutes)
    notes = [f"It covers {_long(span_s)}, {_clock(begin)} to {_clock(end)} UTC, with {counted(turns, 'turn')}."]
    if len(trial.minutes) < len(recorded):
        notes.append("More came in within the day than is tried at once: these are the last ones.")
    elif span_s < DAY_S - 3600:
        notes.append("No more of the last day is recorded.")
    if missing := round(span_s / MINUTE_S) - len(trial.minutes):
        notes.append(
            f"{counted(missing, 'minute')} within it {'was' if missing == 1 else 'were'} not seen, and count as silent."
        )
    start = f"a start takes {seconds(trial.start_s)}" + ("" if measured else " (supposed: none was measured yet)")
    notes.append(
        f"A turn has a slot for {seconds(trial.turn_s * trial.slots)}, {start}; {counted(trial.first_workers, 'worker')} "
        f"served at its begin. Other pools, room on the host and failures are not reckoned with."
    )
    return notes


def _long(span_s: float) -> str:
    whole, minutes = divmod(round(span_s / 60), 60)
    return " ".join([*([f"{whole} h"] if whole else []), *([f"{minutes} min"] if minutes else [])])


def _clock(at: datetime) -> str:
    return at.strftime("%d %b %H:%M")


_running = threading.BoundedSemaphore(AT_ONCE)


async def run(trials: Sequence[Trial]) -> list[Tried]:
    """All at the same time, each in a process of its own, which ends with whoever waits for it. Raises `TooMuch`."""
    if not _running.acquire(blocking=False):
        raise TooMuch(f"{AT_ONCE} trials are being made: try again in some seconds.")
    processes: list[asyncio.subprocess.Process] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            for _ in trials:
                processes.append(await _process())  # noqa: PERF401 - one by one: none is left behind
            said = await asyncio.gather(
                *(one.communicate(msgspec.json.encode(trial)) for one, trial in zip(processes, trials, strict=True))
            )
    except TimeoutError:
        raise TooMuch(
            f"It took longer than {LIMIT_S:.0f} s and was ended: this machine has too much to do now."
        ) from None
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
        await asyncio.shield(asyncio.gather(*(process.wait() for process in processes)))
        _running.release()
    return [msgspec.json.decode(out, type=Tried) for out, _ in said]


async def _process() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator.rehearsal",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=settings.BASE_DIR,
    )
