"""A policy tried on recorded demand: the simulated fleet, what comes of it, and how it is told."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import msgspec
import pytest

from gpu_worker.engines.simulated import SimulatedArgs, step_s
from orchestrator.history.minutes import Minute
from orchestrator.policies.demand import Policy
from orchestrator.policies.schedule import parse
from orchestrator.rehearsal.engine import Turn
from orchestrator.rehearsal.figures import Tried, quantile
from orchestrator.rehearsal.fleet import Pool
from orchestrator.rehearsal.holds import Holds
from orchestrator.rehearsal.load import Load, Request
from orchestrator.rehearsal.recorded import came, last_turns, span_of
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Outcome, Scene
from orchestrator.rehearsal.speed import Speed, speed_of
from orchestrator.rehearsal.trial import Starts, Trial, tried

BEGIN = 1_800_000_000 // 86_400 * 86_400
TWENTY = Starts(cold_s=20.0, warm_s=20.0, keeps_warm_s=600.0)
QUEUE = Policy(kind="queue_depth", max_workers=4, waiting_per_worker=4, idle_to_zero_s=120.0, down_cooldown_s=60.0)


def minute(number: int, arrived: int) -> Minute:
    return Minute(BEGIN + 60 * number, arrived, 100 * arrived, 0, 0, 0)


def trial_of(policy: Policy = QUEUE, *, arrived: list[int], **changes: object) -> Trial:
    minutes = tuple(minute(number, count) for number, count in enumerate(arrived))
    begins_at, ends_at = span_of(minutes)
    made = Trial(
        policy=policy, turns=came(minutes, (), hold_s=2.0), begins_at=begins_at, ends_at=ends_at, slots=4, turn_s=0.5,
        starts=TWENTY, bound_s=5.0,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


HOUR = [0] * 10 + [60] * 20 + [0] * 30


def test_the_speed_is_the_simulated_engines() -> None:
    assert Speed().step_s(sequences=3, prefilled=500) == step_s(SimulatedArgs(), sequences=3, prefilled=500)
    own = SimulatedArgs(step_base_s=0.01, step_per_sequence_s=0.002, prefill_tokens_per_s=7000.0)
    assert Speed(7000.0, 0.01, 0.002).step_s(sequences=9, prefilled=70) == step_s(own, sequences=9, prefilled=70)


def test_a_turn_costs_a_full_worker_what_was_measured() -> None:
    speed = speed_of(turn_s=0.5, slots=4, output_tokens=20)
    assert 20 * speed.step_s(sequences=4, prefilled=800) == pytest.approx(4 * 0.5)


def test_what_it_would_have_come_to() -> None:
    result = tried(trial_of(arrived=HOUR))
    figures = result.figures
    assert (figures.turns, figures.unserved) == (1200, 0)
    assert figures.starts >= 1
    assert figures.most_workers >= 1
    assert figures.p99_s is not None
    assert 5 < figures.p99_s < 30  # the first ones waited for a start
    assert 0 < figures.late < 1
    assert figures.gpu_hours == figures.worker_hours > 1200 * 0.5 / 3600
    assert result.at[0] == BEGIN
    assert all(not count for at, count in zip(result.at, result.ready, strict=True) if at < BEGIN + 600)
    assert max(result.ready) == figures.most_workers
    assert len(result.at) == len(result.waiting) == len(result.ready) <= 240
    assert tried(trial_of(arrived=HOUR)) == result


def test_more_workers_cost_more_and_let_wait_less() -> None:
    lean, rich = (
        tried(
            trial_of(replace(QUEUE, min_workers=least, idle_to_zero_s=1e6), arrived=HOUR, ready_in_s=(0.0,) * least)
        ).figures
        for least in (0, 3)
    )
    assert rich.worker_hours > lean.worker_hours
    assert rich.late < lean.late
    assert rich.starts < lean.starts + 3


def test_a_policy_that_serves_nobody_comes_to_an_end() -> None:
    figures = tried(trial_of(replace(QUEUE, max_workers=0), arrived=HOUR)).figures
    assert (figures.p50_s, figures.late, figures.unserved, figures.worker_hours) == (None, 1.0, 1200, 0.0)


def test_time_tables_and_budgets_go_by_the_clock_of_that_day() -> None:
    floors = parse(
        [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:40", "to": "00:50", "workers": 2}]
    )
    result = tried(trial_of(replace(QUEUE, floors=floors), arrived=[0] * 59 + [1]))
    up = [at for at, count in zip(result.at, result.ready, strict=True) if count == 2]
    assert up[0] == pytest.approx(BEGIN + 40 * 60, abs=60)
    bounded = tried(trial_of(replace(QUEUE, gpu_hours_per_day=0.1), arrived=HOUR, gpus=2.0)).figures
    assert bounded.gpu_hours == 2 * bounded.worker_hours
    assert bounded.gpu_hours < tried(trial_of(arrived=HOUR, gpus=2.0)).figures.gpu_hours
    assert bounded.unserved > 0


def test_a_forecast_knows_the_past_that_it_is_given() -> None:
    result = tried(trial_of(replace(QUEUE, kind="forecast"), arrived=HOUR, past={}))
    assert result.figures.unserved == 0


def test_of_many_turns_the_last_minutes_are_tried() -> None:
    minutes = [minute(number, 10) for number in range(6)]
    assert last_turns(minutes, most=35) == tuple(minutes[3:])
    assert last_turns(minutes, most=100) == tuple(minutes)
    assert last_turns(minutes, most=5) == (minutes[5],)


def test_quantiles_are_by_nearest_rank() -> None:
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.5, 0.95)] == [2.0, 4.0]
    assert quantile([], 0.5) == 0.0


def test_the_process_says_what_the_function_gives() -> None:
    made = trial_of(
        replace(QUEUE, floors=parse([{"days": ["mon"], "from": "08:00", "to": "09:00", "workers": 1}])), arrived=HOUR
    )
    ran = subprocess.run(
        [sys.executable, "-m", "orchestrator.rehearsal"],
        input=msgspec.json.encode(made),
        capture_output=True,
        check=True,
    )
    assert msgspec.json.decode(ran.stdout, type=Tried) == tried(made)


def test_a_turn_that_is_handed_over_goes_on_where_it_was() -> None:
    """With `by_holds`: two workers, one of which goes while its turn has half of its time behind it."""
    one, other = Holds(), Holds()
    turn = Turn(Request(0.0, 1, 1, hold_s=10.0), 0)
    one.join(turn, 0.0)
    assert (one.next_at, one.held) == (10.0, 1)
    assert one.release(4.0) == [turn]
    assert (one.held, one.next_at, one.busy_s) == (0, float("inf"), 4.0)
    other.join(turn, 5.0)
    assert other.next_at == 11.0
    assert other.end_stretch() == [turn]
    assert (turn.ended_at, other.busy_s) == (11.0, 6.0)
    assert other.release(12.0) == []


@pytest.mark.parametrize("kind", ["queue_depth", "target_wait"])
def test_calm_ticks_come_to_what_all_ticks_come_to(kind: str) -> None:
    """Where nobody waits it is enough to ask now and then."""
    load = Load("hour", [Request(10.0 * n, 1, 1, hold_s=8.0) for n in range(60, 240)], 3600.0)
    policy = replace(QUEUE, kind=kind)
    often = Scene(slots=4, cold_start_s=20.0, by_holds=True, max_workers=4)
    asked = {}
    for scene in (often, replace(often, calm_tick_s=5.0)):
        outcome = Pool(load, scene, Ours(policy)).run()
        asked[scene] = (len(outcome.timeline), figures_of(outcome))
    (all_ticks, exact), (few_ticks, near) = asked.values()
    assert few_ticks < all_ticks / 2
    assert near == pytest.approx(exact, rel=0.02, abs=1)


def figures_of(outcome: Outcome) -> tuple[float, ...]:
    return (max(outcome.waits_s), sum(outcome.waits_s), outcome.worker_s, float(outcome.starts))
