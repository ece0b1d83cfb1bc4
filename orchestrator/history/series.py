"""The recorded minutes of pools as series for charts: times, and beside them one list per figure; what is not known is null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connection

from orchestrator import records
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.minutes import MINUTE_S
from orchestrator.history.waits import quantile_s
from orchestrator.models import Pool
from orchestrator.turn_rows import TurnMinute

Series = dict[str, list[Any]]

POINTS_AT_MOST = 1500
STEPS_S = (60, 300, 900, 3600, 21_600, 86_400)
GAUGES = ("waiting", "running", "unrecorded", "slots", "starting", "ready", "draining", "desired")
COUNTS = ("claimed", "tasks_begun", "ended", "failed", "expired")

_DEMAND, _TURNS = DemandMinute._meta.db_table, TurnMinute._meta.db_table
_STEP = "floor(extract(epoch FROM minute) / %(step)s)::bigint"
_WHERE = "pool_id = %(pool)s AND minute >= %(since)s AND minute < %(until)s"
# A worker's minute that is not known must not pass for one without tokens: the rate is that of the minutes that are known.
_OF_DEMAND = (
    f"SELECT {_STEP} AS step, max(most_waiting), sum(arrived), avg(tokens_made)::float / {MINUTE_S}, "
    f"avg(tokens_read)::float / {MINUTE_S}, "
    + ", ".join(f"avg({gauge})::float" for gauge in GAUGES)
    + f" FROM {_DEMAND} WHERE {_WHERE} GROUP BY 1"
)
_OF_TURNS = (
    f"SELECT {_STEP} AS step, max(longest_wait_ms), sum(prompt_tokens), sum(completion_tokens), "
    + ", ".join(f"sum({count})" for count in COUNTS)
    + f" FROM {_TURNS} WHERE {_WHERE} GROUP BY 1"
)
_OF_WAITS = (
    f"SELECT {_STEP} AS step, w.bucket, sum(w.turns) FROM {_TURNS}, unnest(waits) WITH ORDINALITY AS w(turns, bucket) "
    f"WHERE {_WHERE} AND w.turns > 0 GROUP BY 1, 2"
)


def step_for(span_s: float) -> int:
    """The shortest step by which a span of so many seconds is at most 500 points, each wide enough to be seen."""
    return next((step for step in STEPS_S if span_s / step <= 500), STEPS_S[-1])


def pool_series(pool: Pool | UUID, since: float, until: float, step_s: int = MINUTE_S) -> Series:
    """What is recorded of a pool from `since` to before `until` (Unix s), by steps of `step_s` (a multiple of 60).

    Every list has one entry per step; null is a gap: nobody saw that time. They are

    - `times`: Unix seconds of each step's begin, on multiples of the step; the first step holds `since`.
    - `waiting`, `running` (turns), `unrecorded` (records), `slots`, `starting`, `ready`, `draining`, `desired` (workers): as they
      stood at the minute's end, of longer steps the mean of their minutes. `most_waiting`: the most that waited at any time.
    - `arrived` (turns that came in); `claimed` (that a worker took for the first time), and of these `tasks_begun`, the first
      turns of their tasks; `ended`, and of these `failed`, `expired`.
    - `wait_p50_s`, `wait_p95_s`, `wait_max_s`: of those that were claimed, null where none was.
    - `tokens_per_s`, `prompt_tokens_per_s`: what workers made and read. `completion_tokens`, `prompt_tokens`: of the turns that
      ended.

    Raises ValueError where the step is no multiple of a minute, or there were more than `POINTS_AT_MOST` points (`step_for` finds a
    step that fits).
    """
    if step_s < MINUTE_S or step_s % MINUTE_S:
        raise ValueError(f"step_s is {step_s}: use a multiple of {MINUTE_S}")
    first, end = int(since // step_s), -int(-until // step_s)
    if end - first > POINTS_AT_MOST:
        raise ValueError(f"{end - first} points are asked for, {POINTS_AT_MOST} are allowed: use a longer step_s")
    steps = range(first, max(first, end))
    key = pool.pk if isinstance(pool, Pool) else pool
    bounds = {"since": records.moment(first * step_s), "until": records.moment(end * step_s)}
    return _series(steps, *_read({"pool": key, "step": step_s, **bounds}), step_s=step_s)


def _read(asked: Mapping[str, Any]) -> tuple[dict[int, Any], dict[int, Any], dict[int, dict[int, int]]]:
    waits: dict[int, dict[int, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_OF_DEMAND, asked)
        demand = {row[0]: row[1:] for row in cursor.fetchall()}
        cursor.execute(_OF_TURNS, asked)
        turns = {row[0]: row[1:] for row in cursor.fetchall()}
        cursor.execute(_OF_WAITS, asked)
        for step, bucket, count in cursor.fetchall():
            waits.setdefault(step, {})[bucket - 1] = int(count)
    return demand, turns, waits


def _series(
    steps: range,
    demand: Mapping[int, Any],
    turns: Mapping[int, Any],
    waits: Mapping[int, Mapping[int, int]],
    *,
    step_s: int,
) -> Series:
    found: Series = {"times": [step * step_s for step in steps]}
    names = ("most_waiting", "arrived", "tokens_per_s", "prompt_tokens_per_s")
    rows = [demand.get(step) for step in steps]
    for at, name in enumerate(names):
        found[name] = [None if row is None else _plain(row[at]) for row in rows]
    for at, name in enumerate(GAUGES, start=len(names)):
        found[name] = [None if row is None else _plain(row[at]) for row in rows]
    unrecorded = found["unrecorded"]
    counted = [turns.get(step) for step in steps]
    for at, name in enumerate(("prompt_tokens", "completion_tokens", *COUNTS), start=1):
        found[name] = [
            _plain(row[at]) if row is not None else _of_none(seen, behind)
            for row, seen, behind in zip(counted, rows, unrecorded, strict=True)
        ]
    for name, share in (("wait_p50_s", 0.5), ("wait_p95_s", 0.95)):
        found[name] = [_wait(waits.get(step), row, share) for step, row in zip(steps, counted, strict=True)]
    found["wait_max_s"] = [row[0] / 1000 if row is not None and row[3] else None for row in counted]
    return found


def _of_none(seen: Any, unrecorded: float | None) -> int | None:
    """No turn was counted: there was none, if the minute was seen and nothing was left to be recorded."""
    return 0 if seen is not None and not unrecorded else None


def _wait(counts: Mapping[int, int] | None, row: Any, share: float) -> float | None:
    if not counts or row is None:
        return None
    return quantile_s([counts.get(bucket, 0) for bucket in range(max(counts) + 1)], share, longest_s=row[0] / 1000)


def _plain(value: Any) -> float | int | None:
    """As JSON has it: whole where it is whole."""
    if value is None:
        return None
    rounded = round(float(value), 2)
    return int(rounded) if rounded == int(rounded) else rounded
