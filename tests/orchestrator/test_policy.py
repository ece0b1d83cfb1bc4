"""The scaling decision as tables of numbers, and what must hold for any numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.policies.decide import UnknownPolicy, decide, remember
from orchestrator.policies.demand import Decision, Demand, History, Policy, Signals
from orchestrator.policies.queue_depth import calm_s

POLICY = Policy(
    min_workers=0, max_workers=10, waiting_per_worker=2, up_cooldown_s=5, down_cooldown_s=30, idle_to_zero_s=20
)
NOW = 1000.0


def seen(waiting: int, running: int, *, starting: int = 0, ready: int = 0, slots: int = 4, at: float = NOW) -> Signals:
    return Signals(slots=slots, starting=starting, ready=ready, demand=Demand(at=at, waiting=waiting, running=running))


def watched(**fields: object) -> History:
    return replace(History(seen_since=NOW - 1000), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("waiting", "running", "starting", "ready", "desired", "code"),
    [
        (0, 0, 0, 0, 0, "hold"),
        (1, 0, 0, 0, 1, "from_zero"),
        (12, 0, 0, 0, 6, "from_zero"),
        (12, 0, 6, 0, 6, "hold"),  # workers that are starting count once
        (12, 4, 0, 1, 7, "up"),
        (12, 4, 3, 1, 7, "up"),  # the same need, some of it under way
        (3, 1, 0, 1, 1, "hold"),  # free slots take what waits
        (40, 0, 0, 0, 10, "from_zero"),  # the maximum
        (40, 40, 0, 10, 10, "hold"),
        (0, 4, 0, 3, 1, "down"),
        (0, 5, 0, 3, 2, "down"),  # those who remain must be able to run all that runs
        (0, 0, 0, 3, 1, "down"),
    ],
)
def test_queue_depth(waiting: int, running: int, starting: int, ready: int, desired: int, code: str) -> None:
    decision = decide(POLICY, seen(waiting, running, starting=starting, ready=ready), watched(), NOW)
    assert (decision.desired, decision.code) == (desired, code)


def test_the_reason_is_a_sentence_with_the_figures() -> None:
    decision = decide(POLICY, seen(12, 4, ready=1), watched(), NOW)
    assert decision.reason == (
        "12 waiting, 4 running; 2 waiting tasks per worker, 4 slots each: 6 more workers, 1 → 7."
    )


def test_growing_waits_for_its_cooldown_but_from_zero_does_not() -> None:
    history = watched(grown_at=NOW - 3)
    held = decide(POLICY, seen(12, 4, ready=1), history, NOW)
    assert (held.desired, held.code) == (1, "hold")
    assert "less than 5.0 s ago" in held.reason
    assert decide(POLICY, seen(12, 4, ready=1), history, NOW + 2.1).desired == 7
    assert decide(POLICY, seen(1, 0), history, NOW).desired == 1


def test_shrinking_goes_to_the_highest_need_of_the_window() -> None:
    history = watched(peaks=((NOW - 31, 9), (NOW - 10, 3)))
    assert decide(POLICY, seen(0, 4, ready=5), history, NOW).desired == 3
    assert decide(POLICY, seen(0, 4, ready=3), history, NOW).code == "hold"


def test_nothing_shrinks_before_the_window_was_seen() -> None:
    for since in (None, NOW - 29):
        decision = decide(POLICY, seen(0, 1, ready=5), History(seen_since=since), NOW)
        assert (decision.desired, decision.code) == (5, "hold")


def test_to_zero_after_idle() -> None:
    assert decide(POLICY, seen(0, 0, ready=1), watched(idle_since=NOW - 19), NOW).desired == 1
    decision = decide(POLICY, seen(0, 0, ready=1), watched(idle_since=NOW - 20), NOW)
    assert (decision.desired, decision.code) == (0, "to_zero")
    kept = decide(replace(POLICY, min_workers=1), seen(0, 0, ready=1), watched(idle_since=NOW - 20), NOW)
    assert (kept.desired, kept.code) == (1, "hold")


def test_bounds_stand_over_cooldowns() -> None:
    assert decide(POLICY, seen(0, 4, ready=12), History(), NOW).desired == 10
    assert decide(replace(POLICY, min_workers=2), seen(0, 0), History(grown_at=NOW), NOW).desired == 2


@pytest.mark.parametrize(
    "demand", [None, Demand(at=NOW - 6, waiting=50, running=0), Demand(at=NOW + 6, waiting=0, running=0)]
)
def test_blindness_leaves_the_fleet_as_it_is(demand: Demand | None) -> None:
    decision = decide(POLICY, Signals(slots=4, ready=3, demand=demand), watched(idle_since=NOW - 999), NOW)
    assert (decision.desired, decision.code) == (3, "blind")
    assert "left as they are" in decision.reason


def test_time_not_seen_is_not_idle_time() -> None:
    history = watched(idle_since=NOW - 19, peaks=((NOW - 1, 2),), grown_at=NOW - 1)
    blind = Signals(slots=4, ready=1)
    after = remember(
        history, policy=POLICY, signals=blind, decision=decide(POLICY, blind, history, NOW), grew=False, now=NOW
    )
    assert after == History(grown_at=NOW - 1)


def test_an_unknown_policy_names_those_that_are() -> None:
    with pytest.raises(UnknownPolicy, match="queue_depth"):
        decide(replace(POLICY, kind="tarot"), seen(0, 0), History(), NOW)


# -- for any numbers -----------------------------------------------------------------------------
counts = st.integers(0, 500)
policies = st.builds(
    Policy,
    min_workers=st.integers(0, 5),
    max_workers=st.integers(5, 40),
    waiting_per_worker=st.integers(1, 50),
    up_cooldown_s=st.floats(0, 10),
    down_cooldown_s=st.none() | st.floats(0, 300),
    idle_to_zero_s=st.floats(0, 300),
)
histories = st.builds(
    History,
    seen_since=st.none() | st.floats(0, NOW),
    idle_since=st.none() | st.floats(0, NOW),
    grown_at=st.none() | st.floats(0, NOW),
    peaks=st.lists(st.tuples(st.floats(0, NOW), st.integers(0, 100)), max_size=4).map(tuple),
)


@given(policies, counts, counts, st.integers(0, 50), st.integers(0, 50), st.integers(1, 64), histories)
def test_always_within_bounds(
    policy: Policy, waiting: int, running: int, starting: int, ready: int, slots: int, history: History
) -> None:
    signals = seen(waiting, running, starting=starting, ready=ready, slots=slots)
    decision = decide(policy, signals, history, NOW)
    assert policy.min_workers <= decision.desired <= policy.max_workers
    assert decision.reason.endswith(".")


@given(policies, counts, counts, counts, st.integers(0, 50), st.integers(1, 64), histories)
def test_more_waiting_never_means_fewer_workers(
    policy: Policy, waiting: int, more: int, running: int, ready: int, slots: int, history: History
) -> None:
    few = decide(policy, seen(waiting, running, ready=ready, slots=slots), history, NOW)
    many = decide(policy, seen(waiting + more, running, ready=ready, slots=slots), history, NOW)
    if waiting + running > 0:
        assert many.desired >= few.desired


@given(policies, st.integers(0, 50), st.integers(0, 50), histories)
def test_blindness_never_scales(policy: Policy, starting: int, ready: int, history: History) -> None:
    assert decide(policy, Signals(slots=4, starting=starting, ready=ready), history, NOW).desired == starting + ready


def live(policy: Policy, loads: list[int], *, slots: int, start_ticks: int = 3) -> list[int]:
    """The fleet's size per tick (a second each) for a load of so many concurrent tasks; a start takes some ticks."""
    now, history, sizes = NOW, History(), []
    starting: list[int] = []
    ready = 0
    for load in loads:
        running = min(load, ready * slots)
        signals = seen(load - running, running, starting=len(starting), ready=ready, slots=slots, at=now)
        decision: Decision = decide(policy, signals, history, now)
        grew = decision.desired > signals.current
        history = remember(history, policy=policy, signals=signals, decision=decision, grew=grew, now=now)
        starting = [left - 1 for left in starting] + [start_ticks] * max(0, decision.desired - signals.current)
        surplus = max(0, signals.current - decision.desired)
        while surplus and starting:
            starting.pop()
            surplus -= 1
        ready -= surplus
        ready += sum(left <= 0 for left in starting)
        starting = [left for left in starting if left > 0]
        sizes.append(ready + len(starting))
        now += 1
    return sizes


def turns(sizes: list[int]) -> int:
    """How often the direction of change was reversed."""
    steps = [after - before for before, after in pairwise(sizes) if after != before]
    return sum((a > 0) != (b > 0) for a, b in pairwise(steps))


long = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@long
@given(policies, st.integers(0, 300), st.integers(1, 16))
def test_constant_demand_settles_and_stays(policy: Policy, load: int, slots: int) -> None:
    """Growing one by one to the highest maximum takes 40 times 13 s, shrinking at most 300 s more."""
    sizes = live(policy, [load] * 1200, slots=slots)
    assert turns(sizes) <= 1
    assert len(set(sizes[-300:])) == 1


@long
@given(policies, st.lists(st.integers(0, 200), min_size=1, max_size=40), st.integers(1, 16))
def test_after_demand_ends_the_fleet_reaches_its_minimum(policy: Policy, loads: list[int], slots: int) -> None:
    bound = int(max(calm_s(policy), policy.idle_to_zero_s)) + 10
    sizes = live(policy, loads + [0] * bound, slots=slots)
    assert sizes[-1] == policy.min_workers


@long
@given(st.lists(st.integers(0, 40), min_size=300, max_size=300))
def test_noise_shorter_than_the_window_does_not_flap(noise: list[int]) -> None:
    policy = Policy(max_workers=20, waiting_per_worker=4, up_cooldown_s=0, down_cooldown_s=60, idle_to_zero_s=60)
    sizes = live(policy, noise, slots=4)
    assert turns(sizes) <= 2 * len(sizes) // 60
