"""What a forecast adds: `target_wait` with and without its floor, under loads of several days.

    python -m benchmarks.autoscale.seasonal [--days 3] [--cold-start 60 180] [--load wave rush …]

Of each load fourteen days are recorded before (counts by the step, drawn by the same rule, never simulated), and `--days` days
are simulated. No day is like another: its level is drawn (a tenth up or down, by the standard deviation), and so is the
minute at which what recurs begins (some two minutes). Waits are judged from the first request on.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache

from benchmarks.autoscale.loads import poisson
from benchmarks.autoscale.score import Score, judged
from orchestrator.history.seasons import STEP_S
from orchestrator.policies.demand import Policy
from orchestrator.rehearsal.load import Load
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Scene
from orchestrator.rehearsal.with_forecast import WithForecast

DAY_S, HOUR_S = 86_400.0, 3600.0
PAST_DAYS = 14
LEVEL_DEVIATION, SHIFT_S = 0.1, 120.0
PEAK = 16.0
BOUND_S = 5.0


@cache
def _of_day(day: int) -> tuple[float, float]:
    """Level and shift (s) of a day."""
    dice = random.Random(f"day {day}")
    return math.exp(dice.gauss(0, LEVEL_DEVIATION)), dice.gauss(0, SHIFT_S)


@cache
def _walk() -> list[float]:
    """Levels of each quarter of an hour, of more days than are asked for."""
    dice, level, levels = random.Random("walk"), 3.0, []
    for _ in range(60 * 96):
        level = min(8.0, max(0.2, level + dice.gauss(0, 0.5)))
        levels.append(level)
    return levels


def wave(at: float) -> float:
    """Between 0.3 a second at night and 6 at noon."""
    level, shift_s = _of_day(int(at // DAY_S))
    return level * (3.15 - 2.85 * math.cos(2 * math.pi * (at + shift_s) / DAY_S))


def rush(at: float) -> float:
    """Nothing at night, one a second from 7 to 19 o'clock, and 8 from 9 to 10 and from 14 to 14:30."""
    level, shift_s = _of_day(int(at // DAY_S))
    clock = (at + shift_s) % DAY_S / HOUR_S
    if 9 <= clock < 10 or 14 <= clock < 14.5:
        return level * 8.0
    return level if 7 <= clock < 19 else 0.0


def holiday(at: float) -> float:
    """The same, but on the second of the days that are simulated nobody comes."""
    return 0.0 if at // DAY_S == PAST_DAYS + 1 else rush(at)


def office(at: float) -> float:
    """The same on five days of seven, and next to nothing on the others: `--days 7` has all of them."""
    return rush(at) if at // DAY_S % 7 < 5 else 0.02


def jobs(at: float) -> float:
    """A batch at each full hour: 10 a second for ten minutes; else one in five seconds."""
    level, _ = _of_day(int(at // HOUR_S))
    return level * 10.0 if at % HOUR_S < 600 else 0.2


def walk(at: float) -> float:
    """A level that goes up and down by chance: nothing recurs."""
    return _walk()[int(at // 900)]


LOADS: Mapping[str, Callable[[float], float]] = {
    "wave": wave,
    "rush": rush,
    "holiday": holiday,
    "office": office,
    "jobs": jobs,
    "walk": walk,
}


def main(arguments: list[str]) -> int:
    """Parse, run, print a table in Markdown; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.autoscale.seasonal", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--days", type=float, default=3.0)
    parser.add_argument("--cold-start", nargs="*", type=float, default=[60.0, 180.0], metavar="S")
    parser.add_argument("--load", nargs="*", default=[*LOADS], choices=[*LOADS])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    kinds = ("target_wait", "forecast")
    with ProcessPoolExecutor(options.processes) as executor:
        runs = {
            (name, cold_start_s): [executor.submit(_run, name, cold_start_s, kind, options.days) for kind in kinds]
            for name in options.load
            for cold_start_s in options.cold_start
        }
        print("| load | cold start | `target_wait`: worker-hours / late (starts) | `forecast` |")
        print("|---|---|---|---|")
        for (name, cold_start_s), scores in runs.items():
            cells = [_cell(score.result()) for score in scores]
            print(f"| {name} | {cold_start_s:g} s | {cells[0]} | {cells[1]} |", flush=True)
    return 0


def _run(name: str, cold_start_s: float, kind: str, days: float) -> Score:
    policy = Policy(kind=kind, max_workers=32)
    begins_at = PAST_DAYS * DAY_S
    scaler = Ours(policy) if kind == "target_wait" else WithForecast(policy, past=_past(name), begins_at=begins_at)
    scene = Scene(cold_start_s=cold_start_s)
    return judged(_load(name, begins_at, days), scene, scaler, family=kind, bound_s=BOUND_S)[0]


def _load(name: str, begins_at: float, days: float) -> Load:
    rate = LOADS[name]
    return poisson(name, lambda at: min(PEAK, rate(begins_at + at)), peak=PEAK, ends_at=days * DAY_S)


def _past(name: str) -> dict[int, float]:
    """What came in before, by the step: normal about the rate, as large Poisson counts are."""
    dice, rate = random.Random(f"past {name}"), LOADS[name]
    steps = {}
    for step in range(int(PAST_DAYS * DAY_S / STEP_S)):
        mean = sum(rate(step * STEP_S + at) for at in range(0, int(STEP_S), 10)) * 10
        steps[step] = max(0, round(dice.gauss(mean, math.sqrt(mean)))) / STEP_S
    return steps


def _cell(score: Score) -> str:
    return f"{score.worker_hours:.2f} / {100 * score.late:.2f} % ({score.starts})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
