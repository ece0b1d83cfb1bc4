"""What a real fleet is foretold to come to, and whether turns then wait as they were told."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import msgspec
import pytest
from django.db import transaction
from django.utils import timezone
from redis import Redis

from benchmarks.expected_wait import Told, judged
from orchestrator import records
from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, ScalingPolicy, Worker
from orchestrator.policies.budget import DAY_S, day_of
from orchestrator.revisions import note_edit
from taskqueue import keys
from taskqueue.messages import SamplingParams, Submission, TurnBody
from taskqueue.outlook import Outlook, expected_wait
from tests.orchestrator.conftest import Site, wait_for


def outlook_of(redis: Redis, pool: Pool) -> Outlook | None:
    blob = redis.get(keys.outlook(pool.slug))
    return None if blob is None else msgspec.json.decode(blob, type=Outlook)


def foretold(redis: Redis, pool: Pool, wanted: Callable[[Outlook], bool], *, what: str) -> Outlook:
    """The first outlook that is as wanted."""

    def look() -> Outlook | None:
        outlook = outlook_of(redis, pool)
        return outlook if outlook is not None and wanted(outlook) else None

    found: Outlook = wait_for(look, what=what)
    return found


def test_the_outlook_follows_the_fleet(site: Site, running: Orchestrator, redis: Redis) -> None:
    pool = site.pool(policy={"max_workers": 2, "idle_to_zero_s": 600})
    first = foretold(redis, pool, lambda _: True, what="an outlook")
    assert (first.ready, first.latest, first.no_capacity) == (0, (), "")  # no start was ever seen
    assert [slots for _, slots in first.earliest] == [8]
    site.submit(pool, 1)
    serving = foretold(redis, pool, lambda outlook: outlook.ready == 4, what="a worker serves")
    assert [slots for _, slots in serving.earliest] == [4]  # another one may be started
    ScalingPolicy.objects.filter(pool=pool).update(idle_to_zero_s=1)
    gone = foretold(redis, pool, lambda outlook: outlook.ready == 0, what="it has gone again")
    assert [slots for _, slots in gone.latest] == [4]
    assert gone.earliest[0][0] < gone.latest[0][0]
    Pool.objects.filter(pk=pool.pk).update(is_paused=True)
    paused = foretold(redis, pool, lambda outlook: bool(outlook.no_capacity), what="it is paused")
    assert (paused.earliest, paused.retry_s) == ((), 60)


def test_a_paused_pool_with_workers_goes_on(site: Site, running: Orchestrator, redis: Redis) -> None:
    pool = site.pool(policy={"min_workers": 1})
    foretold(redis, pool, lambda outlook: outlook.ready == 4, what="a worker serves")
    Pool.objects.filter(pk=pool.pk).update(is_paused=True)
    paused = foretold(redis, pool, lambda outlook: not outlook.earliest, what="no more may come")
    assert (paused.ready, paused.no_capacity) == (4, "")


def test_starts_that_fail_again_and_again_are_no_capacity(site: Site, running: Orchestrator, redis: Redis) -> None:
    begun_at = time.time()
    pool = site.pool(policy={"max_workers": 0})
    assert "switched off" in foretold(redis, pool, lambda _: True, what="an outlook").no_capacity
    with transaction.atomic():  # the orchestrator sees the pool together with what became of its workers
        failing = site.pool()
        revision = note_edit(failing.pk, now=timezone.now()).current
        for _ in range(6):
            row = records.new_worker(failing, revision, reason="r", now=begun_at)
            records.end(row, state=Worker.State.FAILED, now=begun_at, exit_code=78, error="/secret", log_tail="")
    outlook = foretold(redis, failing, lambda outlook: bool(outlook.no_capacity), what="starts fail")
    assert "fail to start" in outlook.no_capacity
    assert "secret" not in outlook.no_capacity
    assert 0 < outlook.retry_s <= 5 * 2**5 - 30


def spend(pool: Pool) -> None:
    """A worker of today, whose cost is beyond the pool's budget."""
    revision = note_edit(pool.pk, now=timezone.now()).current
    row = records.new_worker(pool, revision, reason="r", now=time.time() - 60)
    records.end(row, state=Worker.State.STOPPED, now=time.time(), exit_code=0, error="", log_tail="")


def test_a_pool_that_has_spent_its_day_promises_no_more_than_its_minimum(
    site: Site, leading: Orchestrator, redis: Redis
) -> None:
    budget = {"gpu_hours_per_day": 1e-6}
    empty = site.pool(policy=budget)
    least = site.pool(policy={**budget, "min_workers": 1})
    rich = site.pool(policy={"gpu_hours_per_day": 1000})
    for pool in (empty, least, rich):
        spend(pool)
    leading.tick()
    spent, kept, free = (outlook_of(redis, pool) for pool in (empty, least, rich))
    assert spent is not None
    assert kept is not None
    assert free is not None
    assert spent.no_capacity == "This model's GPU-hours of the day (UTC) are spent. No worker serves it."
    assert spent.earliest == spent.latest == ()
    assert abs(spent.retry_s - (day_of(time.time()) + DAY_S - time.time())) < 60
    assert [slots for _, slots in kept.earliest] == [4]  # the one that is the minimum
    assert [slots for _, slots in free.earliest] == [12]


def test_nothing_is_foretold_by_who_does_not_see_the_queue(site: Site, redis: Redis) -> None:
    pool = site.pool()
    orchestrator = Orchestrator()
    assert orchestrator._leadership.campaign()
    orchestrator._begin()
    orchestrator.tick()
    assert outlook_of(redis, pool) is not None
    assert 0 < redis.pttl(keys.outlook(pool.slug)) <= 5_000
    orchestrator._leadership.resign()


@pytest.mark.timeout(240)
def test_turns_wait_as_they_were_told(site: Site, running: Orchestrator, redis: Redis) -> None:
    """The short form of benchmarks.expected_wait. On a busy machine half of the ranges must hold, where nine tenths are meant."""
    pool = site.pool(policy={"max_workers": 1, "idle_to_zero_s": 1.0})
    queue = site.queue(pool)
    numbers = itertools.count()
    begun_ms: dict[str, int] = {}

    def submit(count: int) -> list[tuple[str, float, float | None]]:
        turns = []
        for nth in range(count):
            body = TurnBody(prompt="hello", params=SamplingParams(max_tokens=10 + 17 * nth % 31, ignore_eos=True))
            name = f"turn-{pool.slug}-{next(numbers)}"
            turns.append(Submission(turn=name, task=name.replace("turn", "task"), tenant="t", body=body))
        told = []
        for turn, answer in zip(turns, queue.enqueue(turns), strict=True):
            assert answer.place is not None
            wait = expected_wait(answer.place)
            assert wait is not None
            told.append((turn.turn, wait.low_s, wait.high_s))
            begun_ms[turn.turn] = answer.place.now_ms
        return told

    foretold(redis, pool, lambda _: True, what="an outlook")
    unknown = submit(12)
    assert all(high is None for _, _, high in unknown)  # no start was ever seen
    wait_for(lambda: len(site.finished(pool)) == 12, what="all have ended")
    wait_for(lambda: not site.live(pool), what="the pool is at zero")
    ScalingPolicy.objects.filter(pool=pool).update(idle_to_zero_s=600)  # the next worker stays
    from_zero = submit(8)
    assert all(high is not None for _, _, high in from_zero)  # ranges for tasks that have no worker yet
    wait_for(lambda: len(site.finished(pool)) == 20, what="all have ended")
    told = submit(40)
    wait_for(lambda: len(site.finished(pool)) == 60, what="all have ended", timeout_s=120)
    claimed_ms = {one.turn: one.at_ms for one in queue.read_records(count=1000) if one.kind == "claimed"}
    result = judged([Told("", low, high, (claimed_ms[turn] - begun_ms[turn]) / 1000) for turn, low, high in told])
    assert result.told == 1
    assert result.covered >= 0.5
    assert result.early <= 0.2
    assert result.width_s < 20
