"""Beside what came in: how queue and fleet stood, and tokens from sums that only grow. What is not known is no zero."""

from __future__ import annotations

from orchestrator.history.gauges import Gauges, Seen, Standing, Strength, Sums

FLEET = Strength(slots=8, ready=1, desired=1)


def standing(waiting: int) -> Standing:
    return Standing(waiting=waiting, running=3, unrecorded=0, fleet=FLEET)


def listen(gauges: Gauges, begin: int, end: int, **born: int) -> None:
    """A reading each second, of workers that make 10 tokens and read 3 each second since they were born."""
    for at in range(begin, end):
        sums = {name: Sums(10 * (at - since), 3 * (at - since), since) for name, since in born.items() if at >= since}
        gauges.take(float(at), standing(at % 7), sums)


def test_a_minute_has_its_last_standing_and_all_its_tokens() -> None:
    gauges = Gauges()
    listen(gauges, 60, 182, a=0)
    assert gauges.close(60) == Seen(standing(119 % 7), 600, 180)
    assert gauges.close(120) == Seen(standing(179 % 7), 600, 180)


def test_a_worker_that_comes_counts_from_zero_and_one_that_goes_takes_nothing_along() -> None:
    gauges = Gauges()
    listen(gauges, 60, 90, a=0)
    listen(gauges, 90, 122, b=80)
    assert gauges.close(60).tokens_made == 290 + 400


def test_the_minute_in_which_the_watch_begins_is_not_known() -> None:
    gauges = Gauges()
    listen(gauges, 77, 182, a=0)
    assert gauges.close(60) == Seen(standing(119 % 7))
    assert gauges.close(120).tokens_made == 600


def test_a_worker_whose_past_is_not_known_leaves_a_gap_and_no_spike() -> None:
    gauges = Gauges()
    listen(gauges, 60, 90, a=0)
    listen(gauges, 90, 182, a=0, stranger=1)
    assert gauges.close(60).tokens_made is None
    assert gauges.close(120).tokens_made == 1200


def test_another_leader_goes_on_from_the_stored_sums() -> None:
    gauges = Gauges(known={"a": Sums(10 * 118, 3 * 118)}, known_at=118.0)
    listen(gauges, 140, 242, a=0)
    assert gauges.close(120) == Seen(standing(179 % 7), 600, 180)
    assert gauges.close(180).tokens_made == 600


def test_stored_sums_that_are_too_old_are_none() -> None:
    gauges = Gauges(known={"a": Sums(0, 0)}, known_at=10.0)
    listen(gauges, 140, 242, a=0)
    assert gauges.close(120).tokens_made is None
    assert gauges.close(180).tokens_made == 600


def test_what_nobody_heard_is_a_gap() -> None:
    gauges = Gauges()
    listen(gauges, 60, 130, a=0)
    listen(gauges, 400, 542, a=0)
    assert gauges.close(120).tokens_made is None
    assert gauges.close(420).tokens_made == 600


def test_sums_that_shrink_are_another_workers() -> None:
    gauges = Gauges()
    listen(gauges, 60, 90, a=0)
    listen(gauges, 90, 182, a=85)
    assert gauges.close(60).tokens_made is None
    assert gauges.close(120).tokens_made == 600


def test_an_older_reading_changes_nothing() -> None:
    gauges = Gauges()
    listen(gauges, 60, 121, a=0)
    gauges.take(100.0, standing(6), {"a": Sums(0, 0)})
    assert gauges.close(60) == Seen(standing(119 % 7), 600, 180)
