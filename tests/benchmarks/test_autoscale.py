"""The comparison of scaling policies, in small: what it reckons must be right before its figures are believed."""

from __future__ import annotations

import pytest

from benchmarks.autoscale.clairvoyant import clairvoyant
from benchmarks.autoscale.comparison import Case, Comparison
from benchmarks.autoscale.fleet import Outcome, Sample, Scene, cost_s
from benchmarks.autoscale.loads import Load, Request, poisson
from benchmarks.autoscale.ours import Ours
from benchmarks.autoscale.report import summary, table
from benchmarks.autoscale.rivals import Fixed
from benchmarks.autoscale.rivals.keda import Keda
from benchmarks.autoscale.score import Score, frontier, judged

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


def test_nobody_does_with_less_than_the_clairvoyant() -> None:
    """A load so small that the solver proves its answer: with one worker all is kept, so one worker is the answer."""
    load = poisson("little", lambda at: 2.0, peak=2.0, ends_at=120.0)
    found = clairvoyant(load, SCENE, bound_s=5.0, share=0.99)
    work_hours = sum(cost_s(SCENE, request) for request in load.requests) / 3600
    kept = judged(load, SCENE, Fixed(1), family="", bound_s=5.0)[0]
    assert kept.late <= 0.01
    assert found.proved
    assert work_hours + SCENE.cold_start_s / 3600 <= found.worker_hours <= kept.worker_hours


def test_a_wait_is_the_cold_start_where_nobody_was_there() -> None:
    load = Load("one", [Request(0.5, 100, 10)], 1.0)
    outcome = judged(load, SCENE, Ours(CASE.policy), family="", bound_s=5.0)[1]
    assert outcome.waits_s == [pytest.approx(20.5)]  # seen at the tick after


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
    comparison = Comparison(CASE, score(2.0, 0.1, "Opsite"), others, bound_hours=0.8)
    assert [line.split()[0] for line in list(table(comparison))[2:6]] == ["*lean", "!*sly", ">", "*fat"]
    assert list(summary([comparison]))[3] == (
        "| burst | 2.00 / 10.00 % | sly: 1.00 / 5.00 % | fat: 4.00 / 0.00 % | sly: 1.00 / 5.00 % | 0.80 | 2.50 |"
    )
