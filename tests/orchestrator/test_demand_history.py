"""Recorded demand in Postgres: written by one statement a minute, taken up by the next leader, forgotten in time, foreseen from."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from opsite.jobs import forecasts, retention
from orchestrator import records
from orchestrator.demand_rows import DemandForecast, DemandMinute
from orchestrator.history import book as book_module
from orchestrator.history.book import Book, insert
from orchestrator.history.forecasts import curves, rates, renew
from orchestrator.history.minutes import Minute
from orchestrator.models import Pool, ScalingDecision, ScalingPolicy
from orchestrator.policies.demand import Demand, History, Signals
from orchestrator.replay import Inputs, decided, differences, to_json
from taskqueue.connections import connect
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import PoolSignals
from tests.orchestrator.conftest import Site, wait_for

BEGIN = 1_800_000_000 // 60 * 60
DAY = 86_400


def pool(slug: str, *, kind: str = "target_wait") -> Pool:
    made = Pool.objects.create(slug=slug, name=slug, engine=Pool.Engine.SIMULATED)
    ScalingPolicy.objects.create(pool=made, kind=kind)
    return made


def signals(at: float, arrived: int, **more: int) -> PoolSignals:
    fields: dict[str, Any] = {"waiting": 0, "held_back": 0, "running": 0, "oldest_wait_s": 0.0} | more
    return PoolSignals(now_ms=round(1000 * at), arrived=arrived, arrived_tokens=10 * arrived, **fields)


def listen(book: Book, pools: Sequence[Pool], begin: int, end: int, *, per_s: int = 2) -> None:
    """A tick each second from `begin` on, the last one at `end`; every pool has its steady stream since BEGIN."""
    for at in range(begin, end + 1):
        book.hear(pools, {one.slug: signals(at, per_s * (at - BEGIN), waiting=at % 5) for one in pools})
        book.keep()


def recorded(one: Pool) -> list[tuple[int, int]]:
    """Minutes since BEGIN, and what came in."""
    rows = DemandMinute.objects.filter(pool=one).order_by("minute")
    return [(round(row.minute.timestamp() - BEGIN) // 60, row.arrived) for row in rows]


@pytest.mark.django_db
def test_all_pools_minutes_are_one_statement() -> None:
    pools = [pool(f"p{number}") for number in range(30)]
    book = Book()
    listen(book, pools, BEGIN, BEGIN + 59)
    with CaptureQueriesContext(connection) as seen:
        listen(book, pools, BEGIN + 60, BEGIN + 60)
    written = [query["sql"] for query in seen if query["sql"].startswith("INSERT")]
    assert len(written) == 1
    assert len(seen) <= 4  # the insert, perhaps in a savepoint, and the forecasts
    with CaptureQueriesContext(connection) as seen:
        listen(book, pools, BEGIN + 61, BEGIN + 119)
    assert len(seen) == 0
    for one in pools:
        assert recorded(one) == [(0, 120)]
    row = DemandMinute.objects.filter(pool=pools[0]).get()
    assert (row.arrived_tokens, row.most_waiting, row.arrived_after, row.tokens_after) == (1200, 4, 120, 1200)


@pytest.mark.django_db
def test_the_next_leader_takes_up_what_the_last_one_left() -> None:
    one = pool("p")
    listen(Book(), [one], BEGIN, BEGIN + 100)
    listen(Book(), [one], BEGIN + 110, BEGIN + 190)
    assert recorded(one) == [(0, 120), (1, 120), (2, 120)]


@pytest.mark.django_db
def test_a_leader_that_comes_late_leaves_a_gap_and_no_spike() -> None:
    one = pool("p")
    listen(Book(), [one], BEGIN, BEGIN + 100)
    listen(Book(), [one], BEGIN + 1000, BEGIN + 1090)
    assert recorded(one) == [(0, 120), (17, 120)]


@pytest.mark.django_db
def test_two_who_write_the_same_minute_leave_the_first_word() -> None:
    one = pool("p")
    listen(Book(), [one], BEGIN, BEGIN + 70)
    listen(Book(), [one], BEGIN, BEGIN + 70, per_s=5)
    assert recorded(one) == [(0, 120)]


@pytest.mark.django_db
def test_a_pool_whose_queue_cannot_be_read_has_a_gap_and_the_others_none() -> None:
    lost, other = pool("lost"), pool("other")
    book = Book()
    for at in range(BEGIN, BEGIN + 301):
        answers: dict[str, PoolSignals | Exception] = {one.slug: signals(at, 2 * (at - BEGIN)) for one in (lost, other)}
        if 70 <= at - BEGIN < 190:
            answers["lost"] = QueueUnavailable("no answer")
        book.hear([lost, other], answers)
        book.keep()
    assert recorded(other) == [(minute, 120) for minute in range(5)]
    assert recorded(lost) == [(0, 120), (4, 120)]


@pytest.mark.django_db
def test_the_counters_of_a_real_queue_that_was_emptied(site: Site) -> None:
    """Three come in, Redis forgets them, the sweep brings them back with one that is new: four came in, not seven."""
    one = site.pool(policy={"max_workers": 0})
    queue, book = site.queue(one), Book()

    def tick(at: int) -> None:
        book.hear([one], {one.slug: msgspec.structs.replace(queue.signals(), now_ms=1000 * (BEGIN + at))})
        book.keep()

    tick(0)
    site.submit(one, 3)
    tick(10)
    client = connect(site.redis_url)
    client.delete(*client.keys(f"opsite:{{{one.slug}}}:*"))
    client.close()
    tick(11)
    site.submit(one, 4)
    tick(15)
    tick(60)
    assert recorded(one) == [(0, 4)]


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_written_is_written_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    one, gone = pool("p"), pool("gone")
    book = Book()

    def away(minutes: object) -> None:
        raise DatabaseError

    with monkeypatch.context() as patched:
        patched.setattr(book_module, "insert", away)
        with pytest.raises(DatabaseError):
            listen(book, [one, gone], BEGIN, BEGIN + 60)
    gone.delete()
    listen(book, [one], BEGIN + 61, BEGIN + 61)
    assert recorded(one) == [(0, 120)]


@pytest.mark.django_db
def test_old_demand_is_forgotten_by_a_time_of_its_own(settings: Any) -> None:
    settings.OPSITE_HISTORY_DAYS, settings.OPSITE_DEMAND_HISTORY_DAYS = 1, 10
    one, now = pool("p"), timezone.now()
    for days in (2, 9, 11):
        at = int((now - timedelta(days=days)).timestamp()) // 60 * 60
        insert([(one.pk, Minute(at, days, 0, 0, 0, 0))])
    assert retention()["demand_minutes"] == 1
    assert [row.arrived for row in DemandMinute.objects.order_by("arrived")] == [2, 9]


# -- forecasts -------------------------------------------------------------------------------------
def wave(at: float) -> float:
    return 6.25 - 5.75 * math.cos(2 * math.pi * at / DAY)


def record_wave(one: UUID, *, end: int, days: int) -> None:
    begin = end - days * DAY
    insert((one, Minute(at, round(60 * wave(at + 30)), 0, 0, 0, 0)) for at in range(begin, end, 60))


@pytest.mark.django_db
def test_rates_go_by_the_minutes_that_are_known() -> None:
    one, other = pool("p"), pool("q")
    insert([(one.pk, Minute(BEGIN + 60 * minute, 60, 0, 0, 0, 0)) for minute in (0, 1, 7)])
    insert([(other.pk, Minute(BEGIN, 999, 0, 0, 0, 0))])
    assert BEGIN % 300 == 0
    assert rates(one.pk, step_s=300.0, since=BEGIN) == {BEGIN // 300: 1.0, BEGIN // 300 + 1: 1.0}
    assert rates(one.pk, step_s=300.0, since=BEGIN + 300) == {BEGIN // 300 + 1: 1.0}


@pytest.mark.django_db
def test_forecasts_are_made_for_those_who_ask_for_them() -> None:
    asks, young, other = pool("asks", kind="forecast"), pool("young", kind="forecast"), pool("other")
    end = BEGIN // DAY * DAY + 6 * 3600
    for one in (asks, other):
        record_wave(one.pk, end=end, days=3)
    assert renew(now=end + 20) == 2
    found = curves()
    assert found.keys() == {asks.pk, young.pk}
    seen = found[asks.pk].at(end + 30, ahead_s=60.0)
    assert seen is not None
    assert seen.turns_per_s == pytest.approx(wave(end), rel=0.05)
    assert (seen.season, seen.made_at) == ("day", end + 20)
    assert seen.error is not None
    assert seen.plain_error is not None
    assert seen.error < 0.05 < seen.plain_error
    assert found[young.pk].at(end + 30, ahead_s=60.0) is None
    ScalingPolicy.objects.filter(pool=asks).update(kind="target_wait")
    assert renew(now=end + 320) == 1
    assert list(DemandForecast.objects.values_list("pool", "made_at")) == [(young.pk, records.moment(end + 320))]


@pytest.mark.django_db
def test_the_job_makes_them() -> None:
    asks = pool("asks", kind="forecast")
    assert forecasts() == 1
    assert curves().keys() == {asks.pk}


# -- the real loop ---------------------------------------------------------------------------------
def test_a_real_loop_records_its_demand(site: Site, request: pytest.FixtureRequest) -> None:
    """A leader before it has left a row, from which it goes on: so the next edge of a minute tells, or the last one."""
    one = site.pool(policy={"max_workers": 0})
    now = time.time()
    ended_at = int(now // 60) * 60 - (60 if now % 60 <= 20 else 0)
    insert([(one.pk, Minute(ended_at - 60, 0, 0, 0, 0, 0))])
    site.submit(one, 5)
    request.getfixturevalue("running")
    wait_for(lambda: DemandMinute.objects.filter(pool=one).count() >= 2, what="a minute is over", timeout_s=90)
    row = DemandMinute.objects.filter(pool=one).order_by("minute")[1]
    assert row.minute == records.moment(ended_at)
    assert 1 <= row.arrived == row.arrived_after <= 5


def test_a_real_fleet_is_kept_for_what_is_foreseen(site: Site, request: pytest.FixtureRequest) -> None:
    """Turns of some 0.5 s of a worker each came, and no more come; 2.9 a second are foreseen. So two of three workers stay.

    The decisions, made again from what is stored, are the same.
    """
    one = site.pool(policy={"kind": "forecast", "idle_to_zero_s": 0.5, "max_workers": 3})
    now = timezone.now()
    DemandForecast.objects.create(
        pool=one, made_at=now, begins_at=now, step_s=600.0, turns_per_s=[2.9], error=0.1, plain_error=0.9, season="day"
    )
    request.getfixturevalue("running")
    turns = site.submit(one, 100, tokens=100)
    wait_for(lambda: len(site.finished(one)) == len(turns), what="all turns have ended", timeout_s=120)
    wait_for(
        lambda: [
            reason for reason in site.reasons(one) if reason.startswith("No work for 0.5 s") and "2.9 turns/s" in reason
        ],
        what="the fleet is not at zero, by the forecast",
    )
    wait_for(lambda: len(site.live(one)) == 2, what="two workers are left")
    decisions = list(ScalingDecision.objects.filter(pool=one))
    last = max(decisions, key=lambda decision: decision.at)
    assert (last.desired, last.signals["needed"]) == (2, 2)
    assert last.signals["signals"]["forecast"]["turns_per_s"] == 2.9
    for decision in decisions:
        told = {"current": decision.current, "desired": decision.desired, "reason": decision.reason}
        assert differences(decision.signals, **told) == []


def test_a_new_leader_starts_a_pool_at_zero_before_its_demand_comes(site: Site, request: pytest.FixtureRequest) -> None:
    """What a turn costs no worker can tell, but the last decision of another leader does."""
    one = site.pool(policy={"kind": "forecast", "idle_to_zero_s": 60.0, "max_workers": 3})
    demand = Demand(at=0.0, waiting=0, running=0, arrived=9)
    inputs = Inputs(
        policy=records.policy_of(one),
        signals=Signals(slots=4, demand=demand, turn_s=0.5, start_s=1.0),
        history=History(),
        now=0.0,
    )
    decision = decided(inputs)
    records.keep_decision(one, decision, inputs=to_json(inputs), current=0, note="", refusals={}, now=time.time())
    now = timezone.now()
    DemandForecast.objects.create(
        pool=one, made_at=now, begins_at=now, step_s=600.0, turns_per_s=[2.9], error=0.1, plain_error=0.9, season="day"
    )
    request.getfixturevalue("running")
    wait_for(lambda: len(site.ready(one)) == 2, what="two workers are ready, and no turn has come")
    assert any("2.9 turns/s are foreseen now by the day" in reason for reason in site.reasons(one))


# -- the console -----------------------------------------------------------------------------------
@pytest.mark.django_db
def test_the_pools_page_says_what_is_recorded_and_what_forecasts_are_worth(admin_client: Client) -> None:
    one, now = pool("p", kind="forecast"), time.time()
    url = reverse("admin:orchestrator_pool_change", args=[one.pk])
    assert "Nothing is recorded yet." in admin_client.get(url).content.decode()
    minute = int(now // 60) * 60
    insert([(one.pk, Minute(minute - 60 * place, 5 + place, 0, place, 0, 0)) for place in (1, 2, 3)])
    renew(now=now)
    shown = admin_client.get(url).content.decode()
    assert (
        "In the last day 21 turns came in within 3 minutes that were seen, 8 in the busiest; 3 waited at most." in shown
    )
    assert "No forecast yet: two days of demand are needed at least" in shown
    for error, words in (
        (0.1, "A floor goes by forecasts: by the day they lay off by 10.0%"),
        (0.5, "No floor goes by"),
    ):
        DemandForecast.objects.update(error=error, plain_error=0.6, season="day")
        assert words in admin_client.get(url).content.decode()
    assert admin_client.get(reverse("admin:orchestrator_pool_add")).status_code == 200


@pytest.mark.django_db
def test_a_forecast_without_a_history_is_refused(settings: Any) -> None:
    one = pool("p")
    settings.OPSITE_DEMAND_HISTORY_DAYS = 2
    one.policy.kind = "forecast"
    with pytest.raises(
        ValidationError, match="needs 3 days of recorded demand at least; OPSITE_DEMAND_HISTORY_DAYS keeps 2"
    ):
        one.policy.full_clean()
    settings.OPSITE_DEMAND_HISTORY_DAYS = 3
    one.policy.full_clean()
    one.policy.kind = "tarot"
    with pytest.raises(ValidationError, match="not a valid choice"):
        one.policy.full_clean()
