"""A standby beside the policy: tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.policies.decide import decide, remember
from orchestrator.policies.demand import Decision, Demand, History, Policy, Signals

NOW = 1000.0
POLICY = Policy(max_workers=6, waiting_per_worker=4, down_cooldown_s=30, idle_to_zero_s=20, standby_workers=2)


def seen(running: int, *, ready: int = 0, waiting: int = 0, at: float = NOW) -> Signals:
    return Signals(slots=4, ready=ready, demand=Demand(at=at, waiting=waiting, running=running))


@pytest.mark.parametrize(
    ("running", "ready", "desired", "code"),
    [
        (0, 0, 2, "bounds"),
        (0, 2, 2, "hold"),
        (1, 2, 3, "bounds"),
        (4, 3, 3, "hold"),
        (5, 3, 4, "bounds"),
        (4, 6, 3, "down"),
        (20, 5, 6, "bounds"),  # the maximum
    ],
)
def test_so_many_are_free_beside_those_that_the_work_fills(running: int, ready: int, desired: int, code: str) -> None:
    decision = decide(POLICY, seen(running, ready=ready), History(seen_since=0.0, idle_since=0.0), NOW)
    assert (decision.desired, decision.code) == (desired, code)


def test_the_sentence_says_both() -> None:
    decision = decide(POLICY, seen(1, ready=2), History(), NOW)
    assert decision.reason == (
        "0 waiting, 1 running: 1 would do, but the queue has not been watched for 30 s yet, "
        "but 2 workers in standby beside 1 that the running turns fill: 3."
    )


def test_the_policy_may_want_more() -> None:
    decision = decide(POLICY, seen(4, ready=1, waiting=16), History(), NOW)
    assert decision == decide(replace(POLICY, standby_workers=0), seen(4, ready=1, waiting=16), History(), NOW)


def test_work_that_comes_and_goes_within_the_window_moves_nothing() -> None:
    history, ready = History(), 3
    for second in range(120):
        signals = seen(4 * (second % 2), ready=ready, at=NOW + second)
        decision: Decision = decide(POLICY, signals, history, NOW + second)
        history = remember(
            history, policy=POLICY, signals=signals, decision=decision, grew=decision.desired > ready, now=NOW + second
        )
        ready = decision.desired
        assert ready == 3


@settings(deadline=None)
@given(
    st.builds(Policy, min_workers=st.integers(0, 3), max_workers=st.integers(3, 20), standby_workers=st.integers(0, 9)),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 20),
)
def test_a_standby_adds_workers_only_within_bounds(policy: Policy, running: int, waiting: int, ready: int) -> None:
    signals, history = seen(running, ready=ready, waiting=waiting), History(seen_since=0.0, idle_since=0.0)
    with_it = decide(policy, signals, history, NOW)
    without = decide(replace(policy, standby_workers=0), signals, history, NOW)
    assert policy.min_workers <= with_it.desired <= policy.max_workers
    assert with_it.desired == max(
        without.desired, min(policy.max_workers, -(-running // 4) + policy.standby_workers)
    ) or (policy.standby_workers == 0)
