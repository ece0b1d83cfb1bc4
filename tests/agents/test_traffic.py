"""Who gets which revision: even, always the same, and moved no more than a split asks for."""

from __future__ import annotations

import math
import uuid

import pytest

from agents.traffic import WHOLE, bucket, chosen
from tenants.identifiers import new_id

KEYS = 20_000


@pytest.mark.parametrize(
    ("percents", "at", "expected"),
    [
        ([100], 0, 0), ([100], 99, 0), ([90, 10], 0, 0), ([90, 10], 89, 0), ([90, 10], 90, 1), ([90, 10], 99, 1),
        ([1, 1, 98], 0, 0), ([1, 1, 98], 1, 1), ([1, 1, 98], 2, 2),
    ],
)  # fmt: skip
def test_shares_lie_side_by_side(percents: list[int], at: int, expected: int) -> None:
    assert chosen(percents, at) == expected


def test_shares_that_leave_a_bucket_to_nobody_are_an_error() -> None:
    with pytest.raises(ValueError, match="leave bucket 99 to nobody"):
        chosen([90, 9], 99)


@pytest.mark.parametrize("percents", [[90, 10], [50, 50], [1, 99], [20, 30, 50]])
def test_shares_are_met_by_ids_of_tasks(percents: list[int]) -> None:
    """Ids of one moment have their first bits in common. Five standard deviations: one run in a million fails by chance."""
    agent = str(uuid.uuid4())
    counts = [0] * len(percents)
    for _ in range(KEYS):
        counts[chosen(percents, bucket(agent, str(new_id())))] += 1
    for count, percent in zip(counts, percents, strict=True):
        share = percent / WHOLE
        assert abs(count - KEYS * share) <= 5 * math.sqrt(KEYS * share * (1 - share)), (counts, percents)


def test_a_key_stays_where_it_is_unless_the_split_moves_it() -> None:
    agent = "poet"
    before = {key: chosen([90, 10], bucket(agent, str(key))) for key in range(2000)}
    after = {key: chosen([70, 30], bucket(agent, str(key))) for key in range(2000)}
    assert before == {key: chosen([90, 10], bucket(agent, str(key))) for key in range(2000)}
    assert {(before[key], after[key]) for key in before} == {(0, 0), (0, 1), (1, 1)}


def test_agents_draw_apart() -> None:
    both = sum(bucket("poet", str(key)) < 10 and bucket("bard", str(key)) < 10 for key in range(KEYS))
    assert both < 0.03 * KEYS  # a hundredth, were it by chance; a tenth, were it the same draw
