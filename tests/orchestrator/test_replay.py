"""Decisions made again from what is stored of them: of any values, and of all that a real pool's loop decided."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from django.core.management import call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.models import Pool, ScalingDecision
from orchestrator.policies.demand import Demand, Forecast, History, Policy, Signals
from orchestrator.replay import Inputs, NotStored, decided, differences, from_json, in_words, to_json
from tests.orchestrator.conftest import Site, wait_for

floats = st.floats(min_value=0, max_value=1e10, allow_nan=False)
counts = st.integers(0, 10**6)
demands = st.builds(
    Demand, at=floats, waiting=counts, running=counts, oldest_wait_s=floats, arrived=st.none() | counts,
    work_waiting=st.none() | counts,
)  # fmt: skip
forecasts = st.builds(
    Forecast, made_at=floats, turns_per_s=floats, error=st.none() | floats, plain_error=st.none() | floats,
    season=st.sampled_from(("", "day")),
)  # fmt: skip
signals = st.builds(
    Signals, slots=st.integers(1, 256), starting=counts, ready=counts, draining=counts, demand=st.none() | demands,
    turn_s=st.none() | floats, start_s=st.none() | floats, forecast=st.none() | forecasts,
)  # fmt: skip
histories = st.builds(
    History, seen_since=st.none() | floats, idle_since=st.none() | floats, grown_at=st.none() | floats,
    peaks=st.lists(st.tuples(floats, counts), max_size=5).map(tuple),
)  # fmt: skip
policies = st.builds(
    Policy, kind=st.sampled_from(("queue_depth", "forecast")), min_workers=st.integers(0, 9), max_workers=st.integers(9, 99),
    waiting_per_worker=st.integers(1, 99), up_cooldown_s=floats, down_cooldown_s=st.none() | floats, idle_to_zero_s=floats,
)  # fmt: skip
inputs = st.builds(
    Inputs, policy=policies, signals=signals, history=histories, now=floats,
    hindrances=st.just(()) | st.just(("The pool is paused.",)),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(inputs)
def test_json_keeps_every_value(made_from: Inputs) -> None:
    stored = json.loads(json.dumps(to_json(made_from)))
    assert from_json(stored) == made_from
    assert asdict(from_json(stored)) == asdict(made_from)  # tuples are tuples again, floats floats
    assert decided(from_json(stored)) == decided(made_from)


INPUTS = Inputs(
    policy=Policy(), signals=Signals(slots=4, demand=Demand(at=9.0, waiting=3, running=0)), history=History(), now=10.0
)


def stored_as(made_from: Inputs, **changes: object) -> dict[str, object]:
    decision = decided(made_from)
    return {**to_json(made_from), "code": decision.code, "needed": decision.needed, "note": "", **changes}


def test_a_decision_that_differs_is_told_of() -> None:
    decision = decided(INPUTS)
    told = {"current": 0, "desired": decision.desired, "reason": decision.reason}
    assert differences(stored_as(INPUTS), **told) == []
    assert differences(stored_as(INPUTS), **{**told, "desired": 2}) == ["desired was 2, is 1"]
    other = replace(INPUTS, policy=replace(INPUTS.policy, max_workers=0))
    assert differences(stored_as(other, code="from_zero"), **told) != []


def test_what_an_older_version_stored_is_said_not_to_be_enough() -> None:
    with pytest.raises(NotStored, match="older"):
        from_json({"waiting": 1, "policy": asdict(Policy())})
    with pytest.raises(NotStored, match="cannot be read"):
        from_json(stored_as(INPUTS, now="late"))
    with pytest.raises(NotStored, match="answer otherwise"):
        differences(stored_as(INPUTS, edition=1), current=0, desired=1, reason="")


def test_a_field_that_was_not_stored_yet_is_its_default_and_one_that_went_is_left_out() -> None:
    stored = to_json(INPUTS)
    del stored["policy"]["wait_bound_s"], stored["signals"]["turn_s"], stored["signals"]["forecast"]
    stored["history"]["gone"] = 1
    assert from_json(stored) == INPUTS


def test_what_was_measured_is_said_in_words() -> None:
    assert in_words({"waiting": 1}) == ""
    assert in_words(to_json(replace(INPUTS, signals=Signals(slots=4)))) == "The queue could not be read."
    demand = Demand(at=9.0, waiting=3, running=0, arrived=50, work_waiting=1)
    signals = Signals(slots=4, starting=1, ready=2, demand=demand, turn_s=0.5, start_s=12.4)
    assert in_words(to_json(replace(INPUTS, signals=signals))) == (
        "1 worker starting, 2 ready, 0 draining; 1 token waiting; 50 tasks arrived so far; "
        "0.5 s of a full worker per task; 12 s to start"
    )
    forecast = Forecast(made_at=9.0, turns_per_s=2.5, error=0.1, plain_error=0.4, season="day")
    words = in_words(to_json(replace(INPUTS, signals=replace(signals, forecast=forecast))))
    assert words.endswith("; 12 s to start; 2.5 tasks per s foreseen")


def load_up_and_down(site: Site, pool: Pool) -> None:
    """Two waves with nothing between them: from zero, up, down, to zero; and a pause, which is a decision of its own."""
    for _ in range(2):
        site.submit(pool, 40, tokens=25)
        wait_for(lambda: len(site.ready(pool)) >= 2, what="the fleet has grown")
        wait_for(lambda: not site.live(pool), what="the fleet is at zero")
    pool.is_paused = True
    pool.save()
    wait_for(lambda: any("is paused" in reason for reason in site.reasons(pool)), what="the pause is noted")


def test_every_decision_of_a_real_run_is_made_again_exactly(
    site: Site, running: object, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = site.pool(policy={"down_cooldown_s": 0.5, "idle_to_zero_s": 0.5})
    load_up_and_down(site, pool)
    decisions = list(ScalingDecision.objects.filter(pool=pool))
    codes = {decision.signals["code"] for decision in decisions}
    assert {"from_zero", "to_zero", "blind"} <= codes
    assert any(decision.signals["signals"]["start_s"] for decision in decisions)
    assert max(decision.signals["signals"]["demand"]["arrived"] for decision in decisions) == 80
    for decision in decisions:
        told = {"current": decision.current, "desired": decision.desired, "reason": decision.reason}
        assert differences(decision.signals, **told) == []
    call_command("replay_decisions", "--pool", pool.slug)
    assert f"{len(decisions)} decisions made again, 0 differ" in capsys.readouterr().out


def test_the_command_fails_when_a_decision_differs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    pool = site.pool()
    row = {"pool": pool, "at": "2026-01-01T00:00:00Z", "current": 0, "reason": decided(INPUTS).reason}
    ScalingDecision.objects.create(**row, desired=decided(INPUTS).desired, signals=stored_as(INPUTS))
    ScalingDecision.objects.create(**row, desired=1, signals={"waiting": 3})
    call_command("replay_decisions")
    assert "1 decision made again, 0 differ, 1 by an older version" in capsys.readouterr().out
    ScalingDecision.objects.create(**row, desired=7, signals=stored_as(INPUTS))
    with pytest.raises(SystemExit) as ended:
        call_command("replay_decisions", "--pool", pool.slug)
    assert ended.value.code == 1
    assert "desired was 7, is 1" in capsys.readouterr().out
