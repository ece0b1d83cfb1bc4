"""The bucket of a connection's messages."""

from __future__ import annotations

from agents.faces.allowance import Allowance


def test_a_burst_then_the_rate() -> None:
    allowance = Allowance.full(per_s=10, burst=3, now=100.0)
    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.take(at) for at in (100.06, 100.12, 100.16, 100.24)] == [False, True, False, True]


def test_a_pause_earns_no_more_than_a_burst() -> None:
    allowance = Allowance.full(per_s=10, burst=2, now=0.0)
    assert [allowance.take(1000.0) for _ in range(3)] == [True, True, False]
