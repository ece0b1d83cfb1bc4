"""The comparison of scaling policies, in small: what it reckons must be right before its figures are believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.autoscale.clairvoyant import bound_hours, planned
from benchmarks.autoscale.comparison import Case, Comparison
from benchmarks.autoscale.drawn import drawn
from benchmarks.autoscale.foreseen import Foreseen
from benchmarks.autoscale.loads import named, poisson
from benchmarks.autoscale.report import summary, table
from benchmarks.autoscale.rivals import Fixed
from benchmarks.autoscale.rivals.keda import Keda
from benchmarks.autoscale.score import Score, frontier, judged
from orchestrator.rehearsal.load import Load, Request
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Outcome, Sample, Scene, cost_s

SCENE = Scene(cold_start_s=20.0, max_workers=8)
BURST = poisson("burst", lambda at: 12.0 if 200 <= at < 320 else 1.0, peak=12.0, ends_at=600.0)
CASE = Case("burst", SCENE)


def run(name: str) -> tuple[Score, Outcome]:
    scalers = {"Opsite": Ours(CASE.policy), "fixed": Fixed(1), "many": Fixed(8), "KEDA": Keda(target=16.0, poll_s=5.0)}
    return judged(BURST, SCENE, scalers[name], family=name, bound_s=CASE.bound_s)


@pytest.fixture(scope="module")
def scores() -> dict[str, Score]:
    return {name: run(name)[0] for name in ("Opsite", "fixed", "many", "KEDA")}


def test_a_fixed_fleet_costs_its_size_for_as_long_as_the_load_lasts(scores: dict[str, Score]) -> None:
    hours = BURST.ends_at / 3600
    assert hours <= scores["fixed"].worker_hours < hours + 0.1
    assert 8 * hours <= scores["many"].worker_hours < 8 * (hours + 0.02)
    assert (scores["fixed"].starts, scores["many"].starts) == (1, 8)


def test_who_scales_stands_between_too_few_and_too_many(scores: dict[str, Score]) -> None:
    assert scores["fixed"].late > 0.3
    assert scores["many"].late == 0
    for name in ("Opsite", "KEDA"):
        assert scores[name].worker_hours < 0.6 * scores["many"].worker_hours
        assert scores[name].late < scores["fixed"].late
        assert scores[name].peak > 1


def test_all_turns_are_served_once_and_no_worker_does_more_than_there_is_time(scores: dict[str, Score]) -> None:
    score, outcome = run("Opsite")
    assert score == scores["Opsite"]  # the same again, to the last digit
    assert len(outcome.waits_s) == len(BURST.requests)
    assert all(0 <= wait < 600 for wait in outcome.waits_s)
    work_s = sum(cost_s(SCENE, request) for request in BURST.requests)
    assert work_s * 0.99 < outcome.busy_s < outcome.worker_s


def test_nobody_does_with_less_than_the_bound_and_its_policy_comes_near() -> None:
    """Least: the work and one start. One worker keeps all, so what the clairvoyant policy needs is no more."""
    load = poisson("little", lambda at: 2.0, peak=2.0, ends_at=120.0)
    bound = bound_hours(load, SCENE, bound_s=5.0, share=0.99)
    work_hours = sum(cost_s(SCENE, request) for request in load.requests) / 3600
    kept = judged(load, SCENE, Fixed(1), family="", bound_s=5.0)[0]
    found = planned(load, SCENE, bound_s=5.0, share=0.99)
    assert kept.late <= 0.01
    assert found is not None
    assert found.late <= 0.01
    assert work_hours + 0.95 * SCENE.cold_start_s / 3600 <= bound <= found.worker_hours <= kept.worker_hours


def test_the_clairvoyant_has_the_second_worker_ready_when_the_burst_comes() -> None:
    bound = bound_hours(BURST, SCENE, bound_s=5.0, share=0.99)
    found = planned(BURST, SCENE, bound_s=5.0, share=0.99)
    assert found is not None
    assert found.late <= 0.01
    assert found.peak > 1
    assert bound < found.worker_hours < run("Opsite")[0].worker_hours


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_bound_holds_for_every_fixed_fleet_that_keeps_its_share(workers: int) -> None:
    """Whatever share a fleet keeps, the bound for that share is no more than what the fleet costs."""
    score = judged(BURST, SCENE, Fixed(workers), family="", bound_s=5.0)[0]
    assert bound_hours(BURST, SCENE, bound_s=5.0, share=1 - score.late) <= score.worker_hours


def test_a_wait_is_the_cold_start_where_nobody_was_there() -> None:
    load = Load("one", [Request(0.5, 100, 10)], 1.0)
    outcome = judged(load, SCENE, Ours(CASE.policy), family="", bound_s=5.0)[1]
    assert outcome.waits_s == [pytest.approx(20.5)]  # seen at the tick after


def test_a_prepared_worker_starts_warm_and_the_next_is_prepared_in_a_cold_start() -> None:
    """The fleet is of one; each time that it is taken away the next start is warm only if a cold start has passed."""

    class Now(Fixed):
        def desired(self, sample: Sample) -> int:
            told.append((sample.at, sample.start_s))
            return int(sample.at not in (50.0, 60.0))

    told: list[tuple[float, float | None]] = []
    scene = replace(SCENE, standby=1, warm_start_s=2.0)
    load = Load("three", [Request(at, 100, 10) for at in (25.0, 50.5, 60.5)], 61.0)
    outcome = judged(load, scene, Now(1), family="", bound_s=5.0)[1]
    assert outcome.waits_s == [0.0, pytest.approx(2.5), pytest.approx(20.5)]  # there, warm, cold
    at = dict(told)
    assert (at[19.0], at[21.0], at[50.0], at[52.0], at[71.0]) == (None, 2.0, 2.0, 20.0, 2.0)
    fleet_s, prepared_s = 50 + 9 + 20.2, 81.2
    assert outcome.worker_s == pytest.approx(fleet_s + prepared_s, abs=0.1)


def test_what_fails_is_started_again_and_every_turn_is_served_once() -> None:
    """A worker lasts six minutes in the mean, and every fourth start fails: the turns of the dead wait for the lease's end."""
    scene = replace(SCENE, failures_per_hour=10.0, start_failure=0.25)
    score, outcome = judged(BURST, scene, Ours(CASE.policy), family="", bound_s=5.0)
    sound = run("Opsite")[1]
    assert outcome.failed >= 2
    assert outcome.failed_starts >= 1
    assert (sound.failed, sound.failed_starts) == (0, 0)
    assert all(0 <= wait < 600 for wait in outcome.waits_s)
    assert outcome.busy_s > 0.99 * sum(cost_s(scene, request) for request in BURST.requests)
    assert score == judged(BURST, scene, Ours(CASE.policy), family="", bound_s=5.0)[0]  # the dice are the scene's
    assert score != judged(BURST, replace(scene, seed=2), Ours(CASE.policy), family="", bound_s=5.0)[0]


def test_a_scaler_is_told_what_is_there() -> None:
    class Told(Fixed):
        def desired(self, sample: Sample) -> int:
            samples.append(sample)
            return self.workers

    samples: list[Sample] = []
    judged(BURST, SCENE, Told(2), family="", bound_s=5.0)
    assert [(s.starting, s.ready) for s in samples[:2]] == [(0, 0), (2, 0)]
    assert all(s.arrived == s.ended + s.waiting + s.running for s in samples)
    assert all(s.current == 2 and s.running <= 2 * SCENE.slots for s in samples[1:])
    assert all((s.start_s is None) == (s.ready == 0) for s in samples)


def score(hours: float, late: float, name: str = "") -> Score:
    return Score("", name, hours, late, 0.0, 0.0, 0.0, 0, 0)


def test_better_is_better_on_one_and_no_worse_on_the_other() -> None:
    ours = score(2.0, 0.1)
    others = [score(2.0, 0.1), score(1.0, 0.1), score(2.0, 0.05), score(1.0, 0.2), score(3.0, 0.0)]
    assert Comparison(CASE, ours, others).beaten_by == [others[1], others[2]]
    assert frontier(others) == [others[1], others[2], others[4]]


def test_the_report_names_who_is_better() -> None:
    others = [score(1.0, 0.05, "sly"), score(0.5, 0.9, "lean"), score(4.0, 0.0, "fat")]
    known = Foreseen(0.8, score(1.6, 0.01), score(2.4, 0.01), 2.0)
    comparison = Comparison(CASE, score(2.0, 0.1, "Opsite"), others, known)
    assert [line.split()[0] for line in list(table(comparison))[2:6]] == ["*lean", "!*sly", ">", "*fat"]
    lines = list(summary([comparison]))
    assert lines[3] == ("| burst | 2.00 / 10.00 % | sly: 1.00 / 5.00 % | fat: 4.00 / 0.00 % | sly: 1.00 / 5.00 % |")
    assert lines[5] == "Somebody is better on both under 1 of 1 loads; ours keeps the share under 0."
    assert lines[9] == "| burst | 0.80 | 1.60 | 2.50 | 1.25 | 2.40 (2 s) | 3.00 | 1.50 |"


def test_a_drawn_load_is_the_same_each_time_and_another_by_another_seed() -> None:
    for number in range(8):
        load = drawn(3, number)
        assert load.requests == drawn(3, number).requests != drawn(4, number).requests
        moments = [request.at for request in load.requests]
        assert moments == sorted(moments)
        assert moments[0] >= 0
        assert moments[-1] < load.ends_at
    assert named("drawn/3/1").requests == drawn(3, 1).requests
