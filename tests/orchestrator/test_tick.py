"""What a tick asks of Redis and of Postgres does not grow with the workers, and with the pools by a round trip at most."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.utils import timezone

from benchmarks.heartbeats import beat
from benchmarks.standing_fleet import Standing, Tick, TimedOrchestrator, stand
from orchestrator.local import access_of_settings
from orchestrator.models import Pool, Rollout, ScalingDecision, ScalingPolicy, Worker
from orchestrator.revisions import note_edit
from taskqueue.connections import connect
from taskqueue.pools import AT_ONCE
from tests.orchestrator.conftest import Site

TICKS = 6
FIRST = 2
"""They learn what the others know: past failures and starts of each pool, the workers' users."""
ACCESS = 3
"""Round trips for all workers' users together: which scripts, which users are there; is a password asked for."""
OUTLOOK = 1
"""One for what all pools' clients may expect."""


@pytest.fixture
def users() -> Iterator[None]:
    """The workers' Redis users are gone after the test."""
    yield
    access = access_of_settings()
    access.tend({})
    access.close()


def ticks_of(
    site: Site, *, pools: int, workers: int, change: Callable[[], object] = lambda: None
) -> tuple[Standing, list[Tick]]:
    standing = stand(pools=pools, workers=workers, limited=10, redis_url=site.redis_url)
    change()
    client = connect(site.redis_url)
    for beats in range(1, 3):
        beat(client, standing.workers, beats=beats)
    client.close()
    orchestrator = TimedOrchestrator(standing, count=TICKS, tick_s=0.05)
    orchestrator.run(orchestrator.done)
    return standing, orchestrator.ticks[FIRST:]


def fewest(ticks: list[Tick]) -> int:
    """Of those that made no new connection, as a tick must while the reaper uses the one that is there."""
    return min(tick.round_trips for tick in ticks)


def test_a_tick_is_a_round_trip_for_many_pools_and_no_query_for_a_worker(site: Site, users: None) -> None:
    _, few = ticks_of(site, pools=2, workers=4)
    Pool.objects.all().delete()
    _, many = ticks_of(site, pools=8, workers=80)
    assert {tick.queries for tick in few} == {tick.queries for tick in many}
    assert max(tick.queries for tick in many) <= 6
    assert (fewest(few), fewest(many)) == (1 + ACCESS + OUTLOOK, 1 + ACCESS + OUTLOOK)
    assert set(Worker.objects.values_list("state", flat=True)) == {"ready"}
    assert not ScalingDecision.objects.exists()


def test_more_pools_than_fit_one_round_trip_take_another(site: Site, users: None) -> None:
    _, ticks = ticks_of(site, pools=AT_ONCE + 1, workers=AT_ONCE + 1)
    assert fewest(ticks) == 2 + ACCESS + OUTLOOK


def hold_canaries() -> None:
    """Each pool of two has a budget, and a roll-out that waits for a word: one worker is new."""
    ScalingPolicy.objects.update(gpu_hours_per_day=1e6)
    for pool in Pool.objects.all():
        pool.model, pool.canary_share = "another", 50
        pool.save()
        new = note_edit(pool.pk, now=timezone.now()).target
        Worker.objects.filter(pk=pool.workers.first().pk).update(revision=new)
    Rollout.objects.update(state="canary")


def test_a_roll_out_that_waits_and_a_budget_cost_a_quiet_tick_nothing(site: Site, users: None) -> None:
    _, without = ticks_of(site, pools=4, workers=8)
    Pool.objects.all().delete()
    _, held = ticks_of(site, pools=4, workers=8, change=hold_canaries)
    assert {tick.queries for tick in held} == {tick.queries for tick in without}
    assert set(Rollout.objects.values_list("state", flat=True)) == {"canary"}
    assert set(Worker.objects.values_list("state", flat=True)) == {"ready"}
    assert ScalingDecision.objects.count() == 4  # that it waits, once
