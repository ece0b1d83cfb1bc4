"""Recorded demand as a trace, and our policy with its forecast in the simulator."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.autoscale.__main__ import main
from benchmarks.autoscale.loads import poisson, read_trace
from benchmarks.autoscale.recorded import NothingRecorded, recorded, write_trace
from benchmarks.autoscale.score import judged
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.book import insert
from orchestrator.history.minutes import Minute
from orchestrator.history.seasons import STEP_S
from orchestrator.models import Pool, ScalingPolicy
from orchestrator.policies.demand import Policy
from orchestrator.rehearsal.load import Load, load_of
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Scene
from orchestrator.rehearsal.with_forecast import WithForecast

BEGIN = 1_800_000_000 // 86_400 * 86_400
DAY_S, HOUR_S = 86_400, 3600


def minute(number: int, arrived: int, tokens: int = 0) -> Minute:
    return Minute(BEGIN + 60 * number, arrived, tokens, 0, 0, 0)


MINUTES = [minute(0, 3, tokens=3000), minute(1, 0), minute(4, 2, tokens=100)]


def test_each_minute_brings_as_many_as_were_counted_with_its_mean_of_tokens() -> None:
    load, begins_at = load_of("p", MINUTES, seed=1, answer_share=0.2)
    assert [int((begins_at + request.at - BEGIN) // 60) for request in load.requests] == [0, 0, 0, 4, 4]
    assert [(one.prompt_tokens, one.output_tokens) for one in load.requests] == [(800, 200)] * 3 + [(40, 10)] * 2
    assert load.requests[0].at == 0
    assert begins_at + load.ends_at == BEGIN + 5 * 60
    assert load_of("p", MINUTES, seed=1, answer_share=0.2)[0] == load
    assert load_of("p", MINUTES, seed=2, answer_share=0.2)[0] != load


def test_what_is_written_is_read_as_any_trace(tmp_path: Path) -> None:
    load, begins_at = load_of("p", MINUTES, seed=1, answer_share=0.2)
    write_trace(load, begins_at=begins_at, path=tmp_path / "p.csv")
    again = read_trace(tmp_path / "p.csv")
    assert [(one.prompt_tokens, one.output_tokens) for one in again.requests] == [
        (one.prompt_tokens, one.output_tokens) for one in load.requests
    ]
    assert [one.at for one in again.requests] == pytest.approx([one.at for one in load.requests], abs=1e-5)


@pytest.mark.django_db(transaction=True)
def test_a_pools_recorded_demand_is_what_postgres_has() -> None:
    pool = Pool.objects.create(slug="p", name="p", engine=Pool.Engine.SIMULATED, slots=5)
    ScalingPolicy.objects.create(pool=pool, kind="target_wait", max_workers=9)
    with pytest.raises(NothingRecorded, match="Nothing is recorded yet of pool 'p'"):
        recorded("p", hours=1)
    insert((pool.pk, one) for one in [minute(-60, 60), *(minute(number, 6) for number in (30, 31, 33, 89))])
    found = recorded("p", hours=1)
    assert [one.begins_at for one in found.minutes] == [BEGIN + 60 * number for number in (30, 31, 33, 89)]
    assert (found.missing, found.slots, found.policy.max_workers) == (56, 5, 9)
    assert found.past == {(BEGIN - HOUR_S) // STEP_S: 1.0}
    with pytest.raises(NothingRecorded, match="no pool 'q'"):
        recorded("q", hours=1)
    DemandMinute.objects.update(arrived=0)
    with pytest.raises(NothingRecorded, match="Nothing came in"):
        recorded("p", hours=1)


@pytest.mark.django_db(transaction=True)
def test_the_command_replays_it_under_the_pools_policy_and_others(capsys: pytest.CaptureFixture[str]) -> None:
    pool = Pool.objects.create(slug="replayed", name="p", engine=Pool.Engine.SIMULATED, slots=4)
    ScalingPolicy.objects.create(pool=pool, kind="queue_depth", max_workers=3)
    insert((pool.pk, minute(number, 5, tokens=500)) for number in range(20))
    assert main(["--from-history", "replayed", "--cold-start", "10", "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert "replayed: 100 turns in 20 minutes (0 more are not known)" in said
    for name in ("replayed as it is (queue_depth)", "Opsite target_wait", "+ forecast", "fixed 1", "Knative"):
        assert name in said
    assert ", 4 slots, bound 5 s" in said
    with pytest.raises(SystemExit, match="no pool 'nowhere'"):
        main(["--from-history", "nowhere"])


# -- the forecast in the simulator -----------------------------------------------------------------
def rush(at: float) -> float:
    """Every day at nine."""
    return 8.0 if 9 * HOUR_S <= at % DAY_S < 9.2 * HOUR_S else 0.05


EIGHT = 6 * DAY_S + 8 * HOUR_S
"""On the seventh day, an hour before the rush."""
PAST = {step: rush(step * STEP_S) for step in range(int(EIGHT / STEP_S))}


def morning() -> Load:
    return poisson("morning", lambda at: rush(EIGHT + at), peak=8.0, ends_at=1.3 * HOUR_S)


def test_the_workers_are_there_before_the_rush() -> None:
    load, scene = morning(), Scene(cold_start_s=180.0)
    policy = Policy(kind="forecast", max_workers=16)
    scaler = WithForecast(policy, past=PAST, begins_at=EIGHT)
    ours, outcome = judged(load, scene, scaler, family="", bound_s=5.0)
    plain, _ = judged(load, scene, Ours(Policy(kind="target_wait", max_workers=16)), family="", bound_s=5.0)
    fleet = {moment.at: (moment.ready, moment.starting) for moment in outcome.timeline}
    assert fleet[HOUR_S / 2] == (1, 0)
    assert fleet[HOUR_S - 1] == (1, 1)  # ordered one cold start ahead
    assert fleet[HOUR_S + 1] == (2, 0)  # eight a second at 0.19 s each
    assert ours.late < 0.05 < 0.3 < plain.late
    assert ours.worker_hours < 1.2 * plain.worker_hours


def test_without_a_past_it_is_target_wait() -> None:
    load, scene = morning(), Scene(cold_start_s=60.0)
    ours = judged(load, scene, WithForecast(Policy(kind="forecast")), family="", bound_s=5.0)[0]
    plain = judged(load, scene, Ours(Policy(kind="target_wait")), family="", bound_s=5.0)[0]
    assert (ours.worker_hours, ours.late, ours.starts) == (plain.worker_hours, plain.late, plain.starts)


def test_the_moments_are_those_of_the_clock() -> None:
    load, begins_at = load_of("p", [minute(0, 1)], seed=3, answer_share=0.2)
    assert datetime.fromtimestamp(begins_at, UTC).replace(second=0, microsecond=0) == datetime.fromtimestamp(BEGIN, UTC)
    assert len(load.requests) == 1
