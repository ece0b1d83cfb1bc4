"""Starts that fail are tried again later and later; one that holds ends that."""

from __future__ import annotations

import pytest

from orchestrator.backoff import LONGEST_S, Backoff, Ending, after, delay_s, held, replayed


@pytest.mark.parametrize(
    ("failures", "exit_code", "expected"),
    [
        (0, 1, 0),
        (1, 1, 1),
        (2, 1, 2),
        (3, 1, 4),
        (9, 1, 256),
        (10, 1, LONGEST_S),
        (1, 78, 5),
        (2, 78, 10),
        (500, 78, LONGEST_S),
    ],
)
def test_delay(failures: int, exit_code: int, expected: float) -> None:
    assert delay_s(failures, exit_code) == expected


def failed(at: float, *, ready_at: float | None = None, exit_code: int = 1, begun_at: float | None = None) -> Ending:
    begun = at - 1 if begun_at is None else begun_at
    return Ending(begun_at=begun, ended_at=at, ready_at=ready_at, exit_code=exit_code, error=f"error at {at:g}")


def test_failures_in_a_row_add_up() -> None:
    backoff = replayed([failed(10), failed(20), failed(30)])
    assert backoff == Backoff(failures=3, failed_at=30, until=34, error="error at 30")
    assert backoff.blocks(33.9)
    assert not backoff.blocks(34)


def test_a_worker_that_was_ready_for_a_while_is_no_failed_start() -> None:
    assert after(Backoff(), failed(100, ready_at=50)) == Backoff()
    assert after(Backoff(), failed(100, ready_at=95)).failures == 1


def test_a_worker_that_was_asked_to_end_says_nothing() -> None:
    before = replayed([failed(10)])
    assert after(before, Ending(9, 20, None, 0, "", asked=True)) == before


def test_only_a_start_after_the_last_failure_ends_the_backoff() -> None:
    backoff = replayed([failed(100)])
    assert held(backoff, begun_at=5, ready_for_s=90) == backoff  # an old worker lives on: that proves nothing
    assert after(backoff, failed(120, begun_at=5, ready_at=6)) == backoff
    assert held(backoff, begun_at=101, ready_for_s=9) == backoff
    assert held(backoff, begun_at=101, ready_for_s=10) == Backoff()
