"""How the ranges that tasks were told are judged."""

from __future__ import annotations

import math

from benchmarks.expected_wait import Told, judged


def test_only_whole_ranges_can_cover() -> None:
    tasks = [
        Told("rise", 1.0, 3.0, 1.0),
        Told("rise", 1.0, 3.0, 3.0),
        Told("rise", 1.0, 5.0, 0.5),
        Told("rise", 1.0, 5.0, 5.5),
        Told("rise", 1.0, None, 100.0),
        Told("rise", None, None, 100.0),
        Told("rise", None, None, 0.0),
        Told("rise", None, None, 0.0),
    ]
    result = judged(tasks)
    assert (result.tasks, result.told) == (8, 0.5)
    assert (result.covered, result.early, result.late) == (0.5, 0.25, 0.25)
    assert (result.width_s, result.waited_s) == (3.0, 2.5)


def test_nothing_told_is_no_figure() -> None:
    result = judged([Told("rise", None, None, 1.0)])
    assert result.told == 0
    assert math.isnan(result.covered)
