"""The target-wait policy: what others' users complained of, as cases, and what must hold for any numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.policies.arrivals import BUCKET_S, Arrivals, after
from orchestrator.policies.decide import decide, remember
from orchestrator.policies.demand import Demand, Forecast, History, Policy, Signals
from orchestrator.policies.schedule import DAYS, Floor

POLICY = Policy(kind="target_wait", max_workers=20, down_cooldown_s=60, idle_to_zero_s=300)
NOW = 10_000.0
SLOTS = 8
START_S = 60.0


def memory(per_s: float, *, minutes: int = 20) -> Arrivals:
    """Of a steady stream that has gone on until now."""
    begin, kept = NOW - 60 * minutes, None
    for bucket in range(round(60 * minutes / BUCKET_S) + 1):
        at = begin + bucket * BUCKET_S
        kept = after(kept, count=round(per_s * (at - begin)), now=at, bound_s=POLICY.wait_bound_s)
    assert kept is not None
    return kept


def seen(
    waiting: int,
    running: int,
    *,
    ready: int = 0,
    starting: int = 0,
    arrived: int | None = 0,
    turn_s: float | None = 0.2,
) -> Signals:
    demand = Demand(at=NOW, waiting=waiting, running=running, arrived=arrived)
    return Signals(slots=SLOTS, ready=ready, starting=starting, demand=demand, turn_s=turn_s, start_s=START_S)


def watched(per_s: float = 0.0, **fields: object) -> History:
    return replace(History(seen_since=NOW - 2000, arrivals=memory(per_s)), **fields)  # type: ignore[arg-type]


def steady(per_s: float) -> tuple[int, History]:
    """The counter now, and the history, after twenty minutes of a steady stream."""
    history = watched(per_s)
    assert history.arrivals is not None
    return history.arrivals.count, history


# -- cases -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("per_s", "workers"), [(1.0, 1), (5.0, 1), (6.0, 2), (24.0, 5), (26.0, 6), (99.0, 20)])
def test_a_steady_stream_gets_what_its_turns_cost(per_s: float, workers: int) -> None:
    """A turn takes 0.2 s of a worker: five a second fill one."""
    arrived, history = steady(per_s)
    assert decide(POLICY, seen(0, 1, ready=workers, arrived=arrived), history, NOW).desired == workers
    if workers > 1:
        assert decide(POLICY, seen(0, 1, ready=1, arrived=arrived), history, NOW).desired == workers


def test_workers_that_are_starting_count_once() -> None:
    first = decide(POLICY, seen(400, 0), watched(), NOW)
    assert (first.desired, first.code) == (2, "from_zero")
    history = watched(grown_at=NOW)
    for starting, ready in ((2, 0), (1, 1), (0, 2)):
        again = decide(POLICY, seen(400, 0, starting=starting, ready=ready), history, NOW)
        assert (again.desired, again.code) == (2, "hold")


def test_a_queue_that_those_under_way_cannot_clear_in_time_gets_more() -> None:
    assert decide(POLICY, seen(900, 0, starting=2), watched(grown_at=NOW), NOW).desired == 3
    halfway = watched(grown_at=NOW - START_S / 2)
    assert decide(POLICY, seen(900, 0, starting=2), halfway, NOW).desired == 2


def test_no_traffic_is_data_and_no_signal_is_not() -> None:
    history = watched(idle_since=NOW - 299)
    assert decide(POLICY, seen(0, 0, ready=5), history, NOW).desired == 1
    gone = watched(idle_since=NOW - 300)
    assert (decide(POLICY, seen(0, 0, ready=5), gone, NOW).code) == "to_zero"
    blind = decide(POLICY, replace(seen(0, 0, ready=5), demand=None), gone, NOW)
    assert (blind.desired, blind.code) == (5, "blind")


def test_going_down_is_checked_with_the_load_of_those_who_remain() -> None:
    assert decide(POLICY, seen(0, 0, ready=6), watched(), NOW).desired == 1
    assert decide(POLICY, seen(0, 3 * SLOTS + 1, ready=6), watched(), NOW).desired == 4
    assert decide(POLICY, seen(0, 6 * SLOTS, ready=6), watched(), NOW).code == "hold"


def test_what_was_needed_within_one_cold_start_is_kept() -> None:
    policy = replace(POLICY, down_cooldown_s=0)
    assert decide(policy, seen(0, 1, ready=6), watched(peaks=((NOW - 59, 4),)), NOW).desired == 4
    assert decide(policy, seen(0, 1, ready=6), watched(peaks=((NOW - 60, 4),)), NOW).desired == 1


@pytest.mark.parametrize(
    ("start_s", "cooldown_s", "held_s"), [(5, None, 5), (180, None, 180), (5, 60, 60), (180, 60, 180)]
)
def test_an_idle_worker_is_kept_as_long_as_a_start_takes(
    start_s: float, cooldown_s: float | None, held_s: float
) -> None:
    policy = replace(POLICY, down_cooldown_s=cooldown_s)
    signals = replace(seen(0, 1, ready=6), start_s=start_s)
    assert decide(policy, signals, watched(peaks=((NOW - held_s + 1, 4),)), NOW).desired == 4
    assert decide(policy, signals, watched(peaks=((NOW - held_s, 4),)), NOW).desired == 1


def test_a_start_within_the_bound_needs_no_forecast() -> None:
    """A burst of twenty a second was five minutes ago: its next one may wait for the workers that are ordered for it."""
    counts = [0.0] * 12 * 10 + [100.0] * 12 + [0.0] * 12 * 5
    kept, total = None, 0.0
    for place, came in enumerate(counts):
        total += came
        kept = after(kept, count=round(total), now=NOW - 5.0 * (len(counts) - place), bound_s=5.0)
    history = watched()
    history = replace(history, arrivals=kept)
    policy = replace(POLICY, down_cooldown_s=None)
    assert kept is not None
    for start_s, workers in ((5.0, 1), (6.0, 2)):
        signals = replace(seen(0, 1, ready=4, arrived=kept.count), start_s=start_s)
        assert decide(policy, signals, history, NOW).desired == workers


def test_a_burst_that_began_now_is_met_by_what_comes_now() -> None:
    """Fifteen minutes of one a second, then forty a second for four seconds: they will not be gone when a start of 5 s is over."""
    kept, total = None, 0.0
    for second in range(904):
        total += 1 if second < 900 else 40
        kept = after(kept, count=round(total), now=NOW - 903.0 + second, bound_s=5.0)
    assert kept is not None
    history = replace(watched(), arrivals=kept)
    signals = replace(seen(100, SLOTS, ready=1, arrived=kept.count), start_s=5.0)
    assert decide(POLICY, signals, history, NOW).desired >= 10
    slow = replace(signals, start_s=60.0)
    assert decide(POLICY, slow, history, NOW).desired < 10  # as far as half of a start back, it was calm


def test_a_restart_holds_the_present_size() -> None:
    for history in (History(), History(seen_since=NOW - 59, arrivals=memory(0)), History(seen_since=NOW - 2000)):
        decision = decide(POLICY, seen(0, 1, ready=5), history, NOW)
        assert (decision.desired, decision.code) == (5, "hold")
    assert decide(POLICY, seen(0, 1, ready=5), History(seen_since=NOW - 60, arrivals=memory(0)), NOW).desired == 1


def test_a_pool_at_zero_starts_with_its_first_task_and_on_no_forecast() -> None:
    arrived, history = steady(20)
    assert decide(POLICY, seen(0, 0, arrived=arrived), history, NOW).desired == 0
    assert decide(POLICY, seen(1, 0, arrived=arrived), history, NOW).code == "from_zero"


def test_nothing_measured_is_queue_depth_at_most_doubled() -> None:
    decision = decide(POLICY, seen(400, 0, ready=3, turn_s=None), watched(), NOW)
    assert decision.desired == 6
    assert decision.reason.startswith("By queue depth, since it is not measured yet what a turn costs: ")
    assert decide(POLICY, seen(400, 0, ready=3, arrived=None), watched(), NOW).desired == 6


# -- for any numbers -------------------------------------------------------------------------------
quick = settings(deadline=None, derandomize=True, max_examples=150)
long = settings(deadline=None, derandomize=True, max_examples=25)

counts = st.integers(0, 500)
few = st.integers(0, 50)
turn_costs = st.floats(0.01, 5)
every_day = st.builds(lambda workers: Floor(DAYS, "00:00", "24:00", workers), st.integers(0, 60))
policies = st.builds(
    Policy,
    kind=st.sampled_from(("target_wait", "queue_depth", "forecast")),
    min_workers=st.integers(0, 5),
    max_workers=st.integers(5, 40),
    waiting_per_worker=st.integers(1, 50),
    down_cooldown_s=st.none() | st.floats(0, 300),
    idle_to_zero_s=st.floats(0, 300),
    wait_bound_s=st.floats(0.1, 60),
    wait_share=st.floats(0.5, 0.999),
)


@st.composite
def memories(draw: st.DrawFn) -> Arrivals | None:
    came = draw(st.lists(st.integers(0, 200), max_size=40))
    kept, total = None, 0
    for place, number in enumerate(came):
        total += number
        kept = after(kept, count=total, now=NOW - 7.0 * (len(came) - place), bound_s=5.0)
    return kept


histories = st.builds(
    History,
    seen_since=st.none() | st.floats(0, NOW),
    idle_since=st.none() | st.floats(0, NOW),
    grown_at=st.none() | st.floats(0, NOW),
    peaks=st.lists(st.tuples(st.floats(0, NOW), st.integers(0, 100)), max_size=4).map(tuple),
    arrivals=memories(),
)
forecasts = st.builds(
    Forecast,
    made_at=st.floats(NOW - 2000, NOW + 10),
    turns_per_s=st.floats(0, 100),
    error=st.none() | st.floats(0, 2),
    plain_error=st.none() | st.floats(0, 2),
    season=st.just("day"),
)
signals_ = st.builds(
    Signals,
    slots=st.integers(1, 64),
    starting=few,
    ready=few,
    demand=st.builds(
        Demand,
        at=st.just(NOW),
        waiting=counts,
        running=counts,
        arrived=st.none() | st.integers(0, 20_000),
    ),
    turn_s=st.none() | turn_costs,
    start_s=st.none() | st.floats(0.1, 300),
    forecast=st.none() | forecasts,
)


@quick
@given(policies, st.none() | every_day, signals_, histories)
def test_always_within_bounds(policy: Policy, floor: Floor | None, signals: Signals, history: History) -> None:
    policy = replace(policy, floors=() if floor is None else (floor,))
    decision = decide(policy, signals, history, NOW)
    least = max(policy.min_workers, min(floor.workers if floor else 0, policy.max_workers))
    assert least <= decision.desired <= policy.max_workers
    assert decision.reason.endswith(".")


@quick
@given(policies, signals_, counts, histories)
def test_more_waiting_never_means_fewer_workers(policy: Policy, signals: Signals, more: int, history: History) -> None:
    demand = signals.demand
    assert demand is not None
    longer = replace(signals, demand=replace(demand, waiting=demand.waiting + more))
    if demand.waiting + demand.running:
        assert decide(policy, longer, history, NOW).desired >= decide(policy, signals, history, NOW).desired


@quick
@given(policies, signals_, histories, st.none() | st.floats(5.01, 1000) | st.floats(-1000, -5.01))
def test_stale_signals_change_nothing(policy: Policy, signals: Signals, history: History, age_s: float | None) -> None:
    assert signals.demand is not None
    stale = None if age_s is None else replace(signals.demand, at=NOW - age_s)
    decision = decide(policy, replace(signals, demand=stale), history, NOW)
    assert (decision.desired, decision.code) == (signals.current, "blind")


def live(
    policy: Policy,
    arrivals: list[int],
    *,
    turn_s: float,
    start_s: int,
    slots: int = 16,
    foreseen: Callable[[float], Forecast | None] = lambda at: None,
) -> list[int]:
    """The fleet's size per second, for so many turns that come in each; workers end 1 / `turn_s` a second, `slots` at most.

    `foreseen`: the forecast of each moment, counted from the begin.
    """
    now, history, sizes = NOW, History(), []
    starts: list[int] = []
    ready = arrived = waiting = running = 0
    work = 0.0
    measured: float | None = None
    for came in arrivals:
        arrived, waiting = arrived + came, waiting + came
        work = work + ready / turn_s if running else 0.0
        ended = min(running, int(work))
        work, running = work - ended, running - ended
        claimed = min(waiting, ready * slots - running)
        waiting, running = waiting - claimed, running + claimed
        measured = measured or (turn_s if ended else None)
        signals = Signals(
            slots=slots,
            starting=len(starts),
            ready=ready,
            demand=Demand(at=now, waiting=waiting, running=running, arrived=arrived),
            turn_s=measured,
            start_s=float(start_s) if measured else None,
            forecast=foreseen(now - NOW),
        )
        decision = decide(policy, signals, history, now)
        grew = decision.desired > signals.current
        history = remember(history, policy=policy, signals=signals, decision=decision, grew=grew, now=now)
        starts = [left - 1 for left in starts] + [start_s] * (decision.desired - signals.current)
        surplus = max(0, signals.current - decision.desired)
        from_starting = min(surplus, len(starts))
        starts = starts[: len(starts) - from_starting]
        ready += sum(left <= 0 for left in starts) - (surplus - from_starting)
        starts = [left for left in starts if left > 0]
        handed_over = max(0, running - ready * slots)
        running, waiting = running - handed_over, waiting + handed_over
        sizes.append(ready + len(starts))
        now += 1
    return sizes


def reversals(sizes: list[int]) -> int:
    """How often the direction of change was reversed."""
    steps = [later - earlier for earlier, later in pairwise(sizes) if later != earlier]
    return sum((a > 0) != (b > 0) for a, b in pairwise(steps))


@long
@given(st.integers(0, 40), st.floats(0.07, 0.4), st.sampled_from((5, 30, 60, 180)), st.sampled_from((60.0, None)))
def test_constant_demand_settles_and_stays(per_s: int, turn_s: float, start_s: int, cooldown_s: float | None) -> None:
    """Up for what waited during the first start, down when that is cleared, and no change after that."""
    policy = replace(POLICY, down_cooldown_s=cooldown_s)
    sizes = live(policy, [per_s] * 2000, turn_s=turn_s, start_s=start_s)
    assert reversals(sizes) <= 2
    assert len(set(sizes[-600:])) == 1
    enough = math.ceil(per_s * turn_s - 1e-6)
    assert min(enough, POLICY.max_workers) <= sizes[-1] <= enough + 1


@long
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=120),
    st.integers(0, 3),
    st.sampled_from((5, 60)),
    st.floats(0.07, 0.2),
)
def test_after_demand_ends_the_fleet_reaches_its_minimum(
    arrivals: list[int], least: int, start_s: int, turn_s: float
) -> None:
    """One worker alone would need so long for all of it; then come two starts at most, and the idle time."""
    policy = replace(POLICY, min_workers=least)
    bound = math.ceil(sum(arrivals) * turn_s) + 2 * start_s + int(policy.idle_to_zero_s) + 10
    sizes = live(policy, arrivals + [0] * bound, turn_s=turn_s, start_s=start_s)
    assert sizes[-1] == least


@long
@given(
    st.lists(st.integers(0, 40), min_size=60, max_size=120),
    st.integers(1, 12),
    st.sampled_from((5, 60)),
    st.sampled_from((60.0, None)),
)
def test_noise_reverses_the_fleet_at_most_twice_in_a_window(
    noise: list[int], each: int, start_s: int, cooldown_s: float | None
) -> None:
    """Each number for some seconds, so that some of the noise is longer than a tick."""
    arrivals = [number for number in noise for _ in range(each)][:900]
    policy = replace(POLICY, down_cooldown_s=cooldown_s)
    sizes = live(policy, arrivals, turn_s=0.1, start_s=start_s)
    window_s = max(cooldown_s or 0.0, start_s)
    for begin in range(0, len(sizes), int(window_s)):
        assert reversals(sizes[begin : begin + int(window_s)]) <= 2
