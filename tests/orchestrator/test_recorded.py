"""A day as it is recorded: what came of it for a trial, what happened in it, and a trial that finds the same waits."""

from __future__ import annotations

import math

import pytest

from orchestrator.history.minutes import Minute
from orchestrator.policies.demand import Policy
from orchestrator.rehearsal.figures import figures, grid, highest
from orchestrator.rehearsal.load import Came
from orchestrator.rehearsal.recorded import Lived, Passed, came, happened
from orchestrator.rehearsal.trial import Starts, Trial, tried

BEGIN = 1_800_000_000 // 86_400 * 86_400
HOUR_S = 3600
COLD_S = 45.0
HELD_S = 4.0
SLOTS = 8
BURST = 20
BURSTS_AT = (600.0, 600.0 + HOUR_S, 600.0 + 2 * HOUR_S)
POLICY = Policy(kind="queue_depth", max_workers=1, idle_to_zero_s=300.0, down_cooldown_s=60.0)


def minute(number: int, arrived: int) -> Minute:
    return Minute(BEGIN + 60 * number, arrived, 0, 0, 0, 0)


def burst(at: float) -> list[Passed]:
    """All at once to a pool without workers: they wait for a cold start, and behind one another for its slots."""
    first = BEGIN + at + COLD_S + 1
    claimed = [first + HELD_S * (number // SLOTS) for number in range(BURST)]
    return [Passed(BEGIN + at, moment, moment + HELD_S) for moment in claimed]


def bursty_day() -> tuple[list[Passed], list[Lived]]:
    """Three bursts, hours apart, each served by a worker that goes five minutes after."""
    begun = [BEGIN + at for at in BURSTS_AT]
    lives = [Lived(at + 1, at + 1 + COLD_S, None, at + COLD_S + 310, gpus=2.0) for at in begun]
    return [turn for at in BURSTS_AT for turn in burst(at)], lives


# -- what came -------------------------------------------------------------------------------------
def test_stored_turns_come_when_they_came_and_the_rest_within_their_minutes() -> None:
    stored = [Passed(BEGIN + 5.5, BEGIN + 6.0, BEGIN + 9.0), Passed(BEGIN + 5.25, None, None)]
    turns = came([minute(0, 2), minute(1, 3)], stored, hold_s=7.0)
    assert turns[:2] == (Came(BEGIN + 5.25, 7.0), Came(BEGIN + 5.5, 3.0))
    assert len(turns) == 5
    assert all(BEGIN + 60 <= turn.at < BEGIN + 120 and turn.hold_s == 7.0 for turn in turns[2:])
    assert turns == came([minute(0, 2), minute(1, 3)], stored, hold_s=7.0)


def test_what_came_while_nobody_saw_is_tried_if_it_is_stored() -> None:
    stored = [Passed(BEGIN + 65.0, BEGIN + 65.0, BEGIN + 66.0)]
    assert [turn.at for turn in came([minute(0, 0), minute(2, 0)], stored, hold_s=1.0)] == [BEGIN + 65.0]


# -- what happened ---------------------------------------------------------------------------------
def test_a_day_as_it_was() -> None:
    passed, lives = bursty_day()
    until = BEGIN + 3 * HOUR_S
    was = happened(passed, lives, since=BEGIN, until=until, now=until + 5, bound_s=50.0)
    told = was.figures
    assert (told.turns, told.unserved, told.starts, told.most_workers) == (60, 0, 3, 1)
    assert (told.p50_s, told.p95_s) == (COLD_S + 1 + HELD_S, COLD_S + 1 + 2 * HELD_S)
    assert told.late == pytest.approx(4 / 20)  # those of the third round
    assert told.worker_hours == pytest.approx(3 * 354 / 3600)
    assert told.gpu_hours == 2 * told.worker_hours
    assert max(was.waiting) == BURST
    assert max(was.ready) == 1
    assert was.at == grid(BEGIN, until)
    served = {at for at, ready in zip(was.at, was.ready, strict=True) if ready}
    assert all(any(begin - 45 <= at - BEGIN - COLD_S < begin + 310 for begin in BURSTS_AT) for at in served)


def test_only_what_lies_within_the_span_counts() -> None:
    lives = [Lived(BEGIN - 500, BEGIN - 400, None, BEGIN + 60, 1.0), Lived(BEGIN + 30, None, None, None, 1.0)]
    was = happened([], lives, since=BEGIN, until=BEGIN + 120, now=BEGIN + 900, bound_s=5.0)
    assert was.figures.worker_hours == pytest.approx((60 + 90) / 3600)
    assert (was.figures.starts, was.figures.most_workers) == (1, 2)
    assert (was.ready[0], was.ready[-1]) == (1, 0)


def test_who_still_waits_has_waited_until_now_and_who_ended_unclaimed_was_never_served() -> None:
    passed = [Passed(BEGIN, None, None), Passed(BEGIN, None, BEGIN + 3), Passed(BEGIN, BEGIN + 1, None)]
    was = happened(passed, [], since=BEGIN, until=BEGIN + 60, now=BEGIN + 60, bound_s=5.0)
    assert (was.figures.p50_s, was.figures.p99_s, was.figures.unserved) == (60.0, None, 1)
    assert was.waiting[:4] == [3, 2, 2, 1]


def test_who_took_it_back_before_it_was_taken_counts_for_nothing() -> None:
    passed = [Passed(BEGIN, BEGIN + 1, BEGIN + 2), Passed(BEGIN + 61, None, BEGIN + 90, given_up=True)]
    assert came([minute(0, 1), minute(1, 1)], passed, hold_s=1.0) == (Came(BEGIN, 1.0),)
    was = happened(passed, [], since=BEGIN, until=BEGIN + 120, now=BEGIN + 120, bound_s=5.0)
    assert (was.figures.turns, was.figures.p99_s, was.figures.unserved) == (1, 1.0, 0)


# -- a trial of the policy that was there -----------------------------------------------------------
def trial(passed: list[Passed], minutes: list[Minute], *, cold_s: float = COLD_S) -> Trial:
    return Trial(
        policy=POLICY,
        turns=came(minutes, passed, hold_s=HELD_S),
        begins_at=BEGIN,
        ends_at=BEGIN + 3 * HOUR_S,
        slots=SLOTS,
        turn_s=HELD_S / SLOTS,
        starts=Starts(cold_s=cold_s, warm_s=5.0, keeps_warm_s=600.0),
        bound_s=50.0,
    )


def test_a_trial_finds_the_waits_that_a_cold_start_made() -> None:
    passed, lives = bursty_day()
    was = happened(passed, lives, since=BEGIN, until=BEGIN + 3 * HOUR_S, now=BEGIN + 3 * HOUR_S, bound_s=50.0).figures
    rehearsed = tried(trial(passed, [])).figures
    assert was.p50_s is not None
    assert was.p95_s is not None
    assert rehearsed.p50_s == pytest.approx(was.p50_s, abs=2)
    assert rehearsed.p95_s == pytest.approx(was.p95_s, abs=2)
    assert rehearsed.worker_hours == pytest.approx(was.worker_hours, rel=0.1)
    assert (rehearsed.starts, rehearsed.late) == (was.starts, pytest.approx(was.late))


def test_of_the_minutes_alone_the_burst_is_missed() -> None:
    minutes = [minute(round(at / 60), BURST) for at in BURSTS_AT]
    p50_s = tried(trial([], minutes)).figures.p50_s
    assert p50_s is not None
    assert p50_s < COLD_S  # which is why stored turns are tried by their moments


def test_a_start_is_cold_when_no_worker_was_there_for_long() -> None:
    passed, _ = bursty_day()
    soon = [turn for at in (600.0, 600.0 + 900) for turn in burst(at)]
    cold, warm = tried(trial(passed, [])).figures, tried(trial(soon, [])).figures
    assert cold.p50_s == pytest.approx(COLD_S + 4, abs=2)
    assert warm.late == pytest.approx(4 / 40)  # the second burst's worker is a warm one
    assert tried(trial(soon, [], cold_s=5.0)).figures.late == 0


@pytest.mark.parametrize(("ready_in_s", "wait_s"), [((0.0,), 0.0), ((20.0,), 20.0), ((), COLD_S)])
def test_the_day_begins_with_the_workers_that_were_there(ready_in_s: tuple[float, ...], wait_s: float) -> None:
    first = Passed(BEGIN + 0.5, BEGIN + 9, BEGIN + 10)
    made = Trial(
        policy=POLICY, turns=came([], [first], hold_s=1.0), begins_at=BEGIN, ends_at=BEGIN + 600, slots=SLOTS, turn_s=0.5,
        starts=Starts(cold_s=COLD_S, warm_s=5.0, keeps_warm_s=0.0), bound_s=5.0, ready_in_s=ready_in_s,
    )  # fmt: skip
    result = tried(made).figures
    assert result.p50_s == pytest.approx(wait_s, abs=1)
    assert result.starts == (0 if ready_in_s else 1)


# -- figures and curves ----------------------------------------------------------------------------
def test_the_grid_has_whole_seconds_and_few_points() -> None:
    assert grid(0.0, 3.0) == [0.0, 1.0, 2.0]
    assert len(grid(0.0, 86_400.0)) == 240
    assert len(grid(5.0, 605.0)) == 200


def test_each_part_has_its_highest_value() -> None:
    steps = [(-5.0, 2), (1.0, 7), (1.5, 3), (25.0, 4), (26.0, 1)]
    assert highest(steps, [0.0, 10.0, 20.0, 30.0]) == [7, 3, 4, 1]
    assert highest([], [0.0, 10.0]) == [0, 0]
    assert highest([(3.0, 1)], []) == []


def test_figures_of_no_turn_and_of_one_that_was_never_served() -> None:
    made = {"bound_s": 1.0, "worker_hours": 0.0, "gpu_hours": 0.0, "most_workers": 0, "starts": 0}
    assert figures([], **made).late == 0.0
    told = figures([0.0, math.inf], **made)
    assert (told.p50_s, told.p95_s, told.late, told.unserved) == (0.0, None, 0.5, 1)
