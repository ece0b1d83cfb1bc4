"""What a fleet can come to: slots at the earliest and at the latest, and when there is no hope. Tables of values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.backoff import Backoff
from orchestrator.outlook import STEPS_MAX, Prospect, bar, outlook_of, start_range
from orchestrator.placement.packing import Capacity, Need, most_of
from taskqueue.outlook import Outlook

NOW = 1000.0
NOW_MS = 5_000_000
"""Redis' clock is another one."""
NONE = Prospect(slots=4, ready=0, starting=(), most=3)
TWENTY = tuple(10.0 + nth / 10 for nth in range(20))


def foretold(
    prospect: Prospect, *, starts: tuple[float, ...] = (10.0, 10.0, 10.0), backoff: Backoff | None = None
) -> Outlook:
    return outlook_of(prospect, starts=starts, backoff=backoff or Backoff(), tick_s=1.0, now=NOW, now_ms=NOW_MS)


def from_now(steps: tuple[tuple[int, int], ...]) -> list[tuple[float, int]]:
    return [((at - NOW_MS) / 1000, slots) for at, slots in steps]


def test_the_next_start_is_foretold_from_the_last_ones() -> None:
    assert start_range(()) is None
    assert start_range((10.0,)) == (0.0, 15.0)  # the first is slower than those that find what it has fetched
    assert start_range((10.0, 10.0, 10.0)) == (5.0, 12.5)
    assert start_range(TWENTY) == pytest.approx((10 * 19 / 21, 11.9 * 22 / 21))


def test_a_pool_at_zero_gets_its_first_worker_at_the_next_decision() -> None:
    outlook = foretold(NONE)
    assert from_now(outlook.earliest) == [(4.0, 12)]
    assert from_now(outlook.latest) == [(14.5, 4)]
    assert (outlook.ready, outlook.no_capacity) == (0, "")


def test_workers_on_their_way_count_from_their_beginning() -> None:
    outlook = foretold(replace(NONE, ready=1, starting=(NOW - 2, NOW - 20)))
    assert outlook.ready == 4
    assert from_now(outlook.earliest) == [(0.0, 4), (2.0, 4)]
    assert from_now(outlook.latest) == [(10.5, 4), (12.5, 4)]  # one that is overdue is only known to be slow


def test_nothing_is_sure_of_starts_that_were_never_seen_or_that_fail() -> None:
    assert foretold(NONE, starts=()).latest == ()
    assert from_now(foretold(NONE, starts=()).earliest) == [(0.0, 12)]
    failing = Backoff(failures=2, failed_at=NOW, until=NOW + 20)
    outlook = foretold(NONE, backoff=failing)
    assert (from_now(outlook.earliest), outlook.latest, outlook.no_capacity) == ([(24.0, 12)], (), "")
    assert foretold(replace(NONE, starting=(NOW,)), backoff=failing).latest == ()
    assert foretold(replace(NONE, hindered=True)).latest == ()


def test_many_starts_are_foretold_together() -> None:
    many = foretold(replace(NONE, most=50, starting=tuple(NOW - nth / 10 for nth in range(50))))
    for steps in (many.earliest, many.latest):
        assert len(steps) == STEPS_MAX + 1
        assert sum(slots for _, slots in steps) == 200


@pytest.mark.parametrize(
    ("prospect", "until", "says", "retry_s"),
    [
        (replace(NONE, barred="This model is paused."), 0, "This model is paused. No worker serves it.", 60),
        (replace(NONE, barred="This model is paused.", ready=1), 0, "", 0),
        (replace(NONE, barred="This model is paused.", starting=(NOW,)), 0, "", 0),
        (NONE, 20, "", 0),  # the next try is soon, and a task must be waiting by then
        (NONE, 30, "", 0),
        (NONE, 45, "The workers of this model fail to start, and none serves it.", 15),
        (replace(NONE, ready=1), 300, "", 0),
    ],
)
def test_when_there_is_no_capacity(prospect: Prospect, until: float, says: str, retry_s: int) -> None:
    outlook = foretold(prospect, backoff=Backoff(failures=9, failed_at=NOW, until=NOW + until))
    assert (outlook.no_capacity, outlook.retry_s) == (says, retry_s)


def test_what_a_person_must_change() -> None:
    def barred(*, is_paused: bool = False, max_workers: int = 2, need: Need | None = None, **has: Any) -> str:
        capacity = Capacity(**{"workers": 32, **has})
        return bar(is_paused=is_paused, max_workers=max_workers, need=need or Need(), capacity=capacity)

    assert barred() == ""
    assert "paused" in barred(is_paused=True)
    assert "switched off" in barred(max_workers=0)
    assert "switched off" in barred(workers=0)
    assert barred(need=Need(gpus=2), devices=("0", "1")) == ""
    assert "needs 2 GPUs, and there are 1" in barred(need=Need(gpus=2), devices=("0",))
    assert barred(need=Need(cpus=2), cpus=2) == ""
    assert "needs 2 cores, and there are 1" in barred(need=Need(cpus=2), cpus=1)


@pytest.mark.parametrize(
    ("need", "most"),
    [
        (Need(), 9),
        (Need(gpus=1), 4),
        (Need(gpus=2), 2),
        (Need(gpus=1, share=400), 8),
        (Need(gpus=1, share=100), 9),
        (Need(cpus=3), 5),
        (Need(gpus=1, cpus=8), 2),
        (Need(gpus=5), 0),
    ],
)
def test_how_many_workers_a_host_holds(need: Need, most: int) -> None:
    assert most_of(Capacity(("0", "1", "2", "3"), cpus=16, workers=9), need) == most
