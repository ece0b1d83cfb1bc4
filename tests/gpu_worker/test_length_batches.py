"""Which texts share a forward pass: of like length, within the bound, and no turn behind another's many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.engines.length_batches import LEAST_FILL, LengthBatches, Text


def test_like_lengths_go_together() -> None:
    batches = LengthBatches(tokens=100)
    batches.add("a", [10, 50, 12])
    batches.add("b", [11, 48, 4])
    assert [text.length for text in batches.take()] == [48, 50]  # two of at most 50 fill 100
    assert [text.length for text in batches.take()] == [10, 11]  # b leads, by its longest that is left
    assert [text.length for text in batches.take()] == [12]
    assert [text.length for text in batches.take()] == [4]
    assert batches.take() == []


def test_a_text_beyond_the_bound_goes_alone() -> None:
    batches = LengthBatches(tokens=10)
    batches.add("a", [25, 24])
    assert batches.take() == [Text(25, "a", 0)]
    assert batches.take() == [Text(24, "a", 1)]


def test_a_turn_of_one_text_waits_for_one_pass_of_each_other() -> None:
    batches = LengthBatches(tokens=20)
    batches.add("many", [20] * 50)
    batches.add("more", [20] * 50)
    batches.add("one", [3])
    led = [batches.take()[0].turn for _ in range(3)]
    assert led == ["many", "more", "one"]


def test_what_was_removed_is_not_taken() -> None:
    batches = LengthBatches(tokens=100)
    batches.add("a", [5, 5])
    batches.add("b", [5])
    batches.remove("a")
    batches.remove("unknown")
    assert (batches.take(), len(batches)) == ([Text(5, "b", 0)], 0)


@given(
    turns=st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=12), min_size=1, max_size=8),
    tokens=st.integers(1, 200),
)
def test_each_text_is_taken_once_within_the_bounds(turns: list[list[int]], tokens: int) -> None:
    batches = LengthBatches(tokens=tokens)
    for turn, lengths in enumerate(turns):
        batches.add(f"t{turn}", lengths)
    taken = []
    while batch := batches.take():
        width = batch[-1].length
        assert len(batch) == 1 or width * len(batch) <= tokens
        assert all(width * LEAST_FILL <= text.length <= width for text in batch)
        taken += batch
    assert len(batches) == 0
    assert sorted(taken) == sorted(
        Text(length, f"t{turn}", index) for turn, lengths in enumerate(turns) for index, length in enumerate(lengths)
    )
