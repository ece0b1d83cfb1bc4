"""How long starts take: which are warm, and the quantile of the last ones."""

from __future__ import annotations

import pytest

from orchestrator.signals.starts import REMEMBERED, WARM_S, Life, StartTimes, quantile, remembered


def life(
    begun_at: float, ready_at: float | None = None, ended_at: float | None = None, runtime: str = "process"
) -> Life:
    return Life(runtime, begun_at, ready_at, ended_at)


@pytest.mark.parametrize(
    ("taken", "expected"), [([5.0], 5.0), ([1, 2, 3, 4, 5], 4), (range(1, 11), 8), (range(1, 21), 16)]
)
def test_quantile(taken: list[float], expected: float) -> None:
    assert quantile(taken) == expected


def test_nothing_is_expected_before_a_start_was_seen() -> None:
    assert StartTimes().expected_s("process", at=0.0) is None
    assert remembered([life(0.0)]).expected_s("process", at=0.0) is None  # it never became ready


def test_workers_that_start_together_are_all_cold() -> None:
    times = remembered([life(0, 60), life(0, 61), life(0, 62)])
    assert times.expected_s("process", at=10_000) == 62
    assert times.is_warm("process", at=70)
    assert times.expected_s("process", at=70) == 62  # no warm start was seen: the cold ones are the best guess


def test_cold_and_warm_are_kept_apart() -> None:
    times = remembered([life(0, 60), life(100, 108), life(200, 209)])
    assert times.expected_s("process", at=210) == 9
    assert times.expected_s("process", at=209 + WARM_S) == 9
    assert times.expected_s("process", at=210 + WARM_S) == 60


def test_what_a_start_usually_takes_is_the_middle_one_of_its_kind() -> None:
    times = remembered([life(0, 60), life(100_000, 100_040), life(200_000, 200_050), life(200_060, 200_068)])
    assert times.usual_s("process", warm=False) == 50
    assert times.usual_s("process", warm=True) == 8
    assert remembered([life(0, 60)]).usual_s("process", warm=True) == 60
    assert times.usual_s("docker", warm=False) is None


def test_runtimes_are_kept_apart() -> None:
    times = remembered([life(0, 60), life(0, 5, runtime="docker")])
    assert (times.expected_s("process", at=61), times.expected_s("docker", at=61)) == (60, 5)


def test_a_worker_keeps_its_host_warm_while_it_lives() -> None:
    times = StartTimes()
    times.became_ready(life(0, 60))
    for at in range(100, 10_000, 100):
        times.were_there("process", since=at, until=at)
    assert times.is_warm("process", at=9_950)
    times.became_ready(life(9_950, 9_955))
    assert times.expected_s("process", at=10_000) == 5
    assert remembered([life(0, 60, ended_at=10_000), life(9_950, 9_955)]).expected_s("process", at=10_000) == 5


def test_only_the_last_starts_count() -> None:
    long_ago = [life(at * 10_000, at * 10_000 + 100) for at in range(REMEMBERED)]
    lately = [life((at + 100) * 10_000, (at + 100) * 10_000 + 30) for at in range(REMEMBERED)]
    times = remembered([*lately, *long_ago])  # in any order
    assert times.expected_s("process", at=1e9) == 30
