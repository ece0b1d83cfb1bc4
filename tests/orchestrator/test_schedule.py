"""Floors by the clock: hours, nights, zones, and what they do to a decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError

from orchestrator.models import Pool, ScalingPolicy
from orchestrator.policies.decide import decide, least
from orchestrator.policies.demand import Demand, History, Policy, Signals
from orchestrator.policies.schedule import BadSchedule, Floor, highest, parse, zone_of
from orchestrator.records import policy_of

OFFICE = Floor(("mon", "tue", "wed", "thu", "fri"), "08:00", "18:00", 3)
NIGHT = Floor(("fri",), "22:00", "02:00", 2)


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def workers(*floors: Floor, now: float, zone: str = "UTC", ahead_s: float = 0.0) -> int | None:
    found = highest(floors, time_zone=zone, now=now, ahead_s=ahead_s)
    return None if found is None else found.workers


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-23 07:59:59", None),  # a Monday
        ("2026-11-23 08:00:00", 3),
        ("2026-11-23 17:59:59", 3),
        ("2026-11-23 18:00:00", None),
        ("2026-11-27 22:00:00", 2),
        ("2026-11-28 01:59:00", 2),  # Friday's night is Saturday's morning
        ("2026-11-28 02:00:00", None),
        ("2026-11-28 23:00:00", None),
        ("2026-11-28 12:00:00", None),
    ],
)
def test_hours_and_nights(moment: str, expected: int | None) -> None:
    assert workers(OFFICE, NIGHT, now=at(moment)) == expected


def test_the_highest_of_several_stands_and_zero_to_twenty_four_is_the_whole_day() -> None:
    day = Floor(("mon",), "00:00", "24:00", 1)
    assert workers(day, OFFICE, now=at("2026-11-23 09:00")) == 3
    assert workers(day, OFFICE, now=at("2026-11-23 23:59:59")) == 1
    assert workers(day, OFFICE, now=at("2026-11-24 00:00")) is None


def test_the_clock_is_the_zones_on_both_sides_of_summer_time() -> None:
    for day in ("2026-03-27", "2026-03-30"):  # the Friday before, the Monday after
        assert workers(OFFICE, now=at(f"{day} 07:59", "Europe/Berlin"), zone="Europe/Berlin") is None
        assert workers(OFFICE, now=at(f"{day} 08:00", "Europe/Berlin"), zone="Europe/Berlin") == 3
    assert datetime.fromtimestamp(at("2026-03-30 08:00", "Europe/Berlin"), UTC).hour == 6


def test_it_is_met_one_cold_start_early() -> None:
    assert workers(OFFICE, now=at("2026-11-23 07:59:01"), ahead_s=60) == 3
    assert workers(OFFICE, now=at("2026-11-23 07:58:59"), ahead_s=60) is None
    assert workers(OFFICE, now=at("2026-11-23 17:59:30"), ahead_s=60) == 3
    short = Floor(("mon",), "08:00", "08:05", 3)
    for clock in ("07:50", "07:54", "07:57", "08:04"):
        assert workers(short, now=at(f"2026-11-23 {clock}"), ahead_s=600) == 3
    assert workers(short, now=at("2026-11-23 07:49"), ahead_s=600) is None


@pytest.mark.parametrize("kind", ["queue_depth", "target_wait"])
def test_a_floor_raises_a_decision_and_is_named_in_it(kind: str) -> None:
    policy = Policy(kind=kind, max_workers=5, floors=(OFFICE,))
    now = at("2026-11-23 09:00")
    signals = Signals(slots=4, demand=Demand(at=now, waiting=0, running=0, arrived=0), turn_s=0.5, start_s=60.0)
    decision = decide(policy, signals, History(), now)
    assert (decision.desired, decision.code) == (3, "bounds")
    assert "the minimum is 3 by the schedule (mon, tue, wed, thu, fri 08:00 to 18:00)." in decision.reason
    assert decide(replace(policy, max_workers=2), signals, History(), now).desired == 2
    assert decide(replace(policy, min_workers=4), signals, History(), now).desired == 4
    assert decide(policy, signals, History(), at("2026-11-22 09:00")).desired == 0
    blind = replace(signals, ready=1, demand=None)
    assert decide(policy, blind, History(), now).desired == 1


def test_what_nobody_of_a_higher_priority_may_take() -> None:
    policy = Policy(min_workers=1, max_workers=5, floors=(OFFICE,))
    assert least(policy, now=at("2026-11-23 09:00")) == 3
    assert least(policy, now=at("2026-11-22 09:00")) == 1
    assert least(replace(policy, max_workers=2), now=at("2026-11-23 09:00")) == 2


GOOD = {"days": ["fri", "mon"], "from": "08:00", "to": "18:00", "workers": 3}


def test_a_table_is_read() -> None:
    assert parse([GOOD]) == (Floor(("mon", "fri"), "08:00", "18:00", 3),)
    assert parse([]) == parse({}) == parse("") == parse(None) == ()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (7, "The schedule is a list of rows."),
        (GOOD, "The schedule is a list of rows."),
        ([7], "Row 1 of the schedule: it has the fields days, from, to, workers"),
        ([GOOD, {**GOOD, "until": "x"}], "Row 2"),
        ([{**GOOD, "days": []}], "days are a list out of mon"),
        ([{**GOOD, "days": ["monday"]}], "days are a list out of mon"),
        ([{**GOOD, "days": [["mon"]]}], "days are a list out of mon"),
        ([{**GOOD, "from": "8:00"}], "hours like 08:00"),
        ([{**GOOD, "from": "24:00"}], "hours like 08:00"),
        ([{**GOOD, "to": "18:60"}], "hours like 08:00"),
        ([{**GOOD, "workers": -1}], "a whole number"),
        ([{**GOOD, "workers": True}], "a whole number"),
    ],
)
def test_a_bad_table_says_what_to_change(rows: object, words: str) -> None:
    with pytest.raises(BadSchedule, match=words):
        parse(rows)


@pytest.mark.parametrize("name", ["Berlin", "", "../etc/passwd"])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(BadSchedule, match="There is no time zone"):
        zone_of(name)


@pytest.mark.django_db
def test_the_row_is_validated_and_becomes_the_policy() -> None:
    pool = Pool.objects.create(slug="scheduled", name="scheduled", engine="simulated")
    row = ScalingPolicy(pool=pool, schedule=[{**GOOD, "from": "late"}], time_zone="Mars/Base")
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    assert set(caught.value.message_dict) == {"schedule", "time_zone"}
    for empty in ({}, "", None):
        row.schedule, row.time_zone = empty, "Europe/Berlin"
        row.full_clean()
        assert row.schedule == []
    row.schedule = [GOOD]
    row.full_clean()
    row.save()
    policy = policy_of(Pool.objects.select_related("policy").get(pk=pool.pk))
    assert (policy.floors, policy.time_zone) == (parse([GOOD]), "Europe/Berlin")
