"""A day's GPU-hours: counted from workers' lives, and a bound of any decision."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.hours import Meter
from orchestrator.models import Pool, ScalingPolicy, Worker
from orchestrator.policies.budget import Span, day_of, hours, is_near, is_spent, until, within_budget
from orchestrator.policies.decide import decide
from orchestrator.policies.demand import Decision, Demand, History, Policy, Signals
from orchestrator.policies.schedule import DAYS, Floor
from orchestrator.replay import Inputs, decided, differences, from_json, to_json
from orchestrator.revisions import note_edit

DAWN = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
NOON = DAWN + 12 * 3600
POLICY = Policy(min_workers=1, max_workers=9, gpu_hours_per_day=10)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(NOON - 3600, None, 1), 1.0),
        (Span(NOON - 7200, NOON - 3600, 1), 1.0),
        (Span(NOON - 3600, None, 2), 2.0),  # tensor parallelism
        (Span(NOON - 3600, None, 0.5), 0.5),  # half of a GPU
        (Span(DAWN - 3600, None, 1), 12.0),  # what was yesterday is not counted
        (Span(DAWN - 3600, DAWN + 3600, 1), 1.0),
        (Span(DAWN - 7200, DAWN - 3600, 1), 0.0),
        (Span(NOON + 5, None, 1), 0.0),  # a clock that is ahead
        (Span(NOON - 3600, NOON + 5, 1), 1.0),
    ],
)
def test_hours_of_this_day(span: Span, expected: float) -> None:
    assert hours([span], NOON) == pytest.approx(expected)
    assert hours([span, span], NOON) == pytest.approx(2 * expected)


def test_the_day_is_that_of_utc() -> None:
    assert day_of(DAWN) == day_of(NOON) == day_of(DAWN + 86_399) == DAWN
    assert day_of(DAWN - 1) == DAWN - 86_400
    assert until(NOON) == "2026-03-03 00:00 UTC"


def seen(spent_h: float | None, *, ready: int = 3) -> Signals:
    return Signals(slots=4, ready=ready, demand=Demand(at=NOON, waiting=50, running=12), spent_h=spent_h)


@pytest.mark.parametrize(
    ("budget", "spent_h", "near", "spent"),
    [
        (10, 8.9, False, False),
        (10, 9.0, True, False),
        (10, 10.0, False, True),
        (10, 11.0, False, True),
        (10, None, False, False),  # not counted is not zero, and not spent
        (0, 99.0, False, False),  # no bound
    ],
)
def test_near_and_spent(budget: float, spent_h: float | None, near: bool, spent: bool) -> None:
    policy = replace(POLICY, gpu_hours_per_day=budget)
    assert (is_near(policy, seen(spent_h)), is_spent(policy, seen(spent_h))) == (near, spent)


def test_when_it_is_spent_the_fleet_goes_to_its_minimum() -> None:
    wants = Decision(5, "50 waiting.", "up", needed=8)
    assert within_budget(POLICY, seen(9.9), wants, NOON) == wants
    bounded = within_budget(POLICY, seen(10.0), wants, NOON)
    assert bounded == Decision(
        1,
        "50 waiting, but the day's budget of 10 GPU-hours is spent: the minimum of 1 worker until 2026-03-03 00:00 UTC.",
        "budget",
        needed=8,
    )
    assert within_budget(POLICY, seen(10.0, ready=1), wants, NOON).code == "hold"
    low = Decision(1, "1 running.", "down", needed=1)
    assert within_budget(POLICY, seen(10.0), low, NOON) == low


floors = st.builds(
    Floor, days=st.just(DAYS), begin=st.sampled_from(["00:00", "11:00", "13:00"]), end=st.just("20:00"), workers=st.integers(0, 9)
)  # fmt: skip
policies = st.builds(
    Policy,
    kind=st.sampled_from(["queue_depth", "target_wait"]),
    min_workers=st.integers(0, 5),
    max_workers=st.integers(5, 40),
    waiting_per_worker=st.integers(1, 20),
    standby_workers=st.integers(0, 5),
    floors=st.lists(floors, max_size=2).map(tuple),
    gpu_hours_per_day=st.floats(0.1, 500),
)
figures = st.builds(
    Signals,
    slots=st.integers(1, 64),
    starting=st.integers(0, 50),
    ready=st.integers(0, 50),
    demand=st.builds(
        Demand,
        at=st.just(NOON),
        waiting=st.integers(0, 500),
        running=st.integers(0, 500),
        arrived=st.none() | st.integers(0, 999),
    ),
    turn_s=st.none() | st.floats(0.01, 60),
    start_s=st.none() | st.floats(1, 300),
    spent_h=st.none() | st.floats(0, 1000),
)
histories = st.builds(
    History,
    seen_since=st.none() | st.floats(NOON - 900, NOON),
    grown_at=st.none() | st.floats(NOON - 900, NOON),
    peaks=st.lists(st.tuples(st.floats(NOON - 900, NOON), st.integers(0, 50)), max_size=4).map(tuple),
)


@settings(deadline=None)
@given(policies, figures, histories)
def test_any_decision_is_within_bounds_and_at_the_minimum_once_the_budget_is_spent(
    policy: Policy, signals: Signals, history: History
) -> None:
    decision = decide(policy, signals, history, NOON)
    assert policy.min_workers <= decision.desired <= policy.max_workers
    unbounded = decide(replace(policy, gpu_hours_per_day=0.0), signals, history, NOON)
    if is_spent(policy, signals):
        assert decision.desired == policy.min_workers
        assert decision.needed == unbounded.needed  # what the work needs is said all the same
    else:
        assert decision == unbounded


@settings(deadline=None)
@given(policies, figures, histories)
def test_a_stored_decision_with_a_budget_is_made_again(policy: Policy, signals: Signals, history: History) -> None:
    inputs = Inputs(policy=policy, signals=signals, history=history, now=NOON)
    decision = decided(inputs)
    stored: dict[str, Any] = json.loads(
        json.dumps({**to_json(inputs), "code": decision.code, "needed": decision.needed})
    )
    assert from_json(stored).signals.spent_h == signals.spent_h
    told = {"current": signals.current, "desired": decision.desired, "reason": decision.reason}
    assert differences(stored, **told) == []  # type: ignore[arg-type]


# -- counted from rows -----------------------------------------------------------------------------
def pool_with(budget: float, slug: str) -> Pool:
    pool = Pool.objects.create(slug=slug, name=slug, engine="simulated")
    ScalingPolicy.objects.create(pool=pool, gpu_hours_per_day=budget)
    note_edit(pool.pk, now=datetime.fromtimestamp(DAWN, UTC))
    return Pool.objects.select_related("policy").get(pk=pool.pk)


def worker(pool: Pool, begun_h: float, ended_h: float | None = None, **fields: Any) -> Worker:
    """A worker's life in hours of this day."""
    ended = None if ended_h is None else datetime.fromtimestamp(DAWN + 3600 * ended_h, UTC)
    begun = datetime.fromtimestamp(DAWN + 3600 * begun_h, UTC)
    return Worker.objects.create(
        pool=pool,
        revision=pool.revisions.get(),
        runtime="process",
        slots=1,
        state="ready" if ended is None else "stopped",
        started_at=begun,
        stopped_at=ended,
        **fields,
    )


def live() -> list[Worker]:
    return list(Worker.objects.filter(state__in=Worker.LIVE))


@pytest.mark.django_db
def test_a_pool_s_hours_are_counted_from_its_workers_rows() -> None:
    pool, free = pool_with(5, "bounded"), pool_with(0, "free")
    worker(pool, -2, 1, log_tail="x" * 1000)  # one hour of this day
    worker(pool, 10, None, gpus=["0", "1"])  # two GPUs for two hours
    worker(pool, 11, None, gpus=["2"], gpu_share=0.5)
    worker(pool, -9, -3)
    worker(free, 0)
    meter = Meter()
    assert meter.spent([pool, free], live(), NOON) == {pool.pk: pytest.approx(1 + 4 + 0.5)}
    ends = worker(pool, 11)
    assert meter.spent([pool, free], live(), NOON)[pool.pk] == pytest.approx(6.5)
    Worker.objects.filter(pk=ends.pk).update(state="stopped", stopped_at=datetime.fromtimestamp(NOON, UTC))
    later = NOON + 3600
    assert meter.spent([pool, free], live(), later)[pool.pk] == pytest.approx(6.5 + 2 + 0.5)
    assert Meter().spent([pool, free], live(), later)[pool.pk] == pytest.approx(6.5 + 2 + 0.5)  # another leader
    midnight = DAWN + 86_400
    assert meter.spent([pool, free], live(), midnight)[pool.pk] == pytest.approx(0)
    assert meter.spent([pool, free], live(), midnight + 3600)[pool.pk] == pytest.approx(2.5)


@pytest.mark.django_db
def test_a_quiet_tick_asks_nothing_and_logs_are_never_read() -> None:
    pool = pool_with(5, "bounded")
    worker(pool, 1, 2, log_tail="x" * 1000)
    stays = worker(pool, 3)
    rows, meter = live(), Meter()
    with CaptureQueriesContext(connection) as first:
        meter.spent([pool], rows, NOON)
    assert len(first) == 1
    with CaptureQueriesContext(connection) as quiet:
        meter.spent([pool], rows, NOON + 1)
    assert len(quiet) == 0
    Worker.objects.filter(pk=stays.pk).update(state="stopped", stopped_at=datetime.fromtimestamp(NOON, UTC))
    with CaptureQueriesContext(connection) as ended:
        meter.spent([pool], [], NOON + 2)
    assert len(ended) == 1
    assert not any("log_tail" in query["sql"] for query in (*first, *ended))
