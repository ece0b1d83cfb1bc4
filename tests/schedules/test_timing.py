"""When schedules fire: around changes of the clocks, and after a downtime."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest

from schedules.timing import ALL_MAX, BadTiming, CatchUp, check, coming, due

OSLO = "Europe/Oslo"  # forward on 29 March 2026 at 02:00 (01:00 UTC), back on 25 October 2026 at 03:00 (01:00 UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(cron: str, zone: str, after: str, count: int) -> list[str]:
    return [f"{moment:%m-%d %H:%M}" for moment in islice(coming(cron, zone, after=at(after)), count)]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("30 8 * * 1-5", "UTC", "2026-11-27 08:30", ["11-30 08:30", "12-01 08:30"]),  # after a Friday comes a Monday
        ("30 8 * * 1-5", "UTC", "2026-11-27 08:29:59.5", ["11-27 08:30", "11-30 08:30"]),
        ("0 9 * * *", OSLO, "2026-03-27 20:00", ["03-28 08:00", "03-29 07:00"]),  # 09:00 there, on both sides
        ("0 9 * * *", "America/New_York", "2026-03-07 00:00", ["03-07 14:00", "03-08 13:00"]),
        # 02:30 does not exist on that day: it fires when the gap is over, at 03:00, and once.
        ("30 2 * * *", OSLO, "2026-03-28 00:00", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        ("0,30 2 * * *", OSLO, "2026-03-28 12:00", ["03-29 01:00", "03-30 00:00"]),
        # 02:30 exists twice: it fires the first time only.
        ("30 2 * * *", OSLO, "2026-10-24 12:00", ["10-25 00:30", "10-26 01:30"]),
        ("30 2 * * *", OSLO, "2026-10-25 00:30", ["10-26 01:30"]),
        ("30 2 * * *", OSLO, "2026-10-25 01:10", ["10-26 01:30"]),  # asked from within the second 02:10
        # Every half hour is every half hour, whatever the clocks say.
        ("*/30 * * * *", OSLO, "2026-03-29 00:30", ["03-29 01:00", "03-29 01:30"]),
        ("*/30 * * * *", OSLO, "2026-10-24 23:45", ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30"]),
        ("0 * * * *", OSLO, "2026-10-24 23:30", ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        # Lord Howe Island moves by half an hour: 02:00 becomes 02:30 on 4 October 2026 (15:30 UTC the day before).
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-02 20:00", ["10-03 15:30", "10-04 15:15"]),
    ],
)  # fmt: skip
def test_nominal_times(cron: str, zone: str, after: str, expected: list[str]) -> None:
    assert times(cron, zone, after, len(expected)) == expected


@pytest.mark.parametrize("zone", [OSLO, "America/St_Johns", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("cron", ["*/20 * * * *", "30 2 * * *", "15,45 1-3 * * *", "0 0 * * 0"])
def test_times_only_go_forward_and_do_not_depend_on_where_one_begins(zone: str, cron: str) -> None:
    start = at("2026-01-01 00:00")
    year = list(islice(coming(cron, zone, after=start), 5000))
    assert all(a < b for a, b in pairwise(year))
    for index in range(0, len(year) - 1, 97):
        assert next(coming(cron, zone, after=year[index])) == year[index + 1]


@pytest.mark.parametrize(
    ("cron", "zone", "field"),
    [
        ("* * * *", "UTC", "cron"), ("* * * * * *", "UTC", "cron"), ("61 * * * *", "UTC", "cron"), ("", "UTC", "cron"),
        ("@daily", "UTC", "cron"), ("0 0 30 2 *", "UTC", "cron"), ("* * * * *", "Mars/Olympus", "time_zone"),
        ("* * * * *", "../../etc/passwd", "time_zone"), ("* * * * *", "", "time_zone"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(cron: str, zone: str, field: str) -> None:
    with pytest.raises(BadTiming) as refusal:
        check(cron, zone)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("cron", "next_at", "now", "catch_up", "fire", "missed", "following"),
    [
        # On time: whatever the rule.
        ("0 * * * *", "10:00", "10:00", "skip", ["10:00"], 0, "11:00"),
        ("0 * * * *", "10:00", "10:01", "skip", ["10:00"], 0, "11:00"),
        ("0 * * * *", "10:00", "10:00", "last", ["10:00"], 0, "11:00"),
        ("0 * * * *", "10:00", "10:00", "all", ["10:00"], 0, "11:00"),
        # Not yet.
        ("0 * * * *", "10:00", "09:59", "all", [], 0, "10:00"),
        # After a downtime.
        ("0 * * * *", "10:00", "12:30", "skip", [], 3, "13:00"),
        ("0 * * * *", "10:00", "12:30", "last", ["12:00"], 2, "13:00"),
        ("0 * * * *", "10:00", "12:30", "all", ["10:00", "11:00", "12:00"], 0, "13:00"),
        # Missed ones, and one that is on time.
        ("0 * * * *", "10:00", "12:00", "skip", ["12:00"], 2, "13:00"),
        ("0 * * * *", "10:00", "12:00", "last", ["12:00"], 2, "13:00"),
        ("* * * * *", "10:00", "10:05", "skip", ["10:04", "10:05"], 4, "10:06"),
    ],
)
def test_what_is_due(
    cron: str, next_at: str, now: str, catch_up: CatchUp, fire: list[str], missed: int, following: str
) -> None:
    day = "2026-11-27 "
    found = due(cron, "UTC", next_at=at(day + next_at), now=at(day + now), catch_up=catch_up)
    assert [f"{moment:%H:%M}" for moment in found.fire] == fire
    assert found.missed == missed
    assert (found.missed_at is None) == (missed == 0)
    assert found.next_at == at(day + following)


def test_all_is_bounded_and_a_long_downtime_costs_little() -> None:
    now = at("2026-11-27 10:00")
    found = due("* * * * *", OSLO, next_at=now - timedelta(days=800), now=now, catch_up="all")
    assert len(found.fire) == ALL_MAX
    assert found.fire[-1] == now
    assert found.missed > 9000
    sparse = due("0 0 1 1 *", OSLO, next_at=at("2023-12-31 23:00"), now=now, catch_up="all")
    assert [moment.year for moment in sparse.fire] == [2023, 2024, 2025]
