"""Turns are counted by minute where they are claimed and where they end, once, with waits that are those of the rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F

from agents.models import Turn
from orchestrator.history.waits import lower_s, quantile_s
from orchestrator.turn_rows import TurnMinute
from tests.scene import Scene

pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
WAITS_S = (0.0, 0.004, 0.03, 0.9, 0.9, 7.0, 7200.0)


def claimed(scene: Scene, *waits_s: float, at: datetime = BEGIN + timedelta(seconds=5)) -> list[object]:
    """Turns that waited so long, claimed by one statement."""
    turns = [scene.ann.task().turns.get() for _ in waits_s]
    for turn, wait_s in zip(turns, waits_s, strict=True):
        Turn.objects.across_tenants().filter(pk=turn.pk).update(queued_at=at - timedelta(seconds=wait_s))
    ids = [turn.pk for turn in turns]
    Turn.objects.across_tenants().filter(pk__in=ids).update(claimed_at=at, state="running", attempts=1)
    return ids


def end(ids: list[object], state: str, *, at: datetime) -> None:
    rows = Turn.objects.across_tenants().filter(pk__in=ids)
    rows.update(state=state, finished_at=at, prompt_tokens=3, completion_tokens=4)


def test_waits_are_put_into_their_buckets(scene: Scene) -> None:
    claimed(scene, *WAITS_S)
    row = TurnMinute.objects.get(pool=scene.pool)
    assert (row.minute, row.claimed, row.longest_wait_ms) == (BEGIN, len(WAITS_S), 7_200_000)
    for bucket, count in enumerate(row.waits):
        assert count == sum(lower_s(bucket) <= wait < lower_s(bucket + 1) for wait in WAITS_S), bucket


def test_a_claim_and_an_end_are_counted_once(scene: Scene) -> None:
    ids = claimed(scene, 0.5, 0.5)
    Turn.objects.across_tenants().filter(pk__in=ids).update(attempts=F("attempts") + 1, state="queued")
    Turn.objects.across_tenants().filter(pk__in=ids).update(state="running")
    end(ids[:1], "failed", at=BEGIN + timedelta(seconds=70))
    end(ids[1:], "succeeded", at=BEGIN + timedelta(seconds=80))
    Turn.objects.across_tenants().filter(pk__in=ids).update(output="x")
    first, second = TurnMinute.objects.filter(pool=scene.pool).order_by("minute")
    assert (first.claimed, first.ended, sum(first.waits)) == (2, 0, 2)
    assert (second.claimed, second.ended, second.failed, second.expired) == (0, 2, 1, 0)
    assert (second.prompt_tokens, second.completion_tokens) == (6, 8)


def test_a_task_begins_with_its_first_turn(scene: Scene) -> None:
    task = scene.ann.task()
    Turn.objects.create(tenant=task.tenant, task=task, number=2, queued_at=BEGIN)
    Turn.objects.across_tenants().filter(task=task).update(claimed_at=BEGIN)
    row = TurnMinute.objects.get(pool=scene.pool)
    assert (row.claimed, row.tasks_begun) == (2, 1)


def test_several_statements_add_up_to_one_row(scene: Scene) -> None:
    claimed(scene, 0.5)
    claimed(scene, 0.002, 100.0)
    row = TurnMinute.objects.get(pool=scene.pool)
    assert (row.claimed, sum(row.waits), row.waits[0], row.longest_wait_ms) == (3, 3, 1, 100_000)


def test_claim_and_end_in_one_statement_are_both_counted(scene: Scene) -> None:
    turn = scene.bob.task().turns.get()
    Turn.objects.across_tenants().filter(pk=turn.pk).update(
        queued_at=BEGIN, claimed_at=BEGIN, finished_at=BEGIN + timedelta(seconds=61), state="expired"
    )
    rows = TurnMinute.objects.filter(pool=scene.pool).order_by("minute")
    assert [(row.claimed, row.ended, row.expired) for row in rows] == [(1, 0, 0), (0, 1, 1)]


def test_the_histogram_of_a_minute_has_the_quantiles_of_its_turns(scene: Scene) -> None:
    claimed(scene, *(0.1 * number for number in range(1, 101)))
    row = TurnMinute.objects.get(pool=scene.pool)
    assert (row.claimed, row.longest_wait_ms) == (100, 10_000)
    for share, wait_s in ((0.5, 5.0), (0.95, 9.5)):
        assert quantile_s(row.waits, share, longest_s=row.longest_wait_ms / 1000) == pytest.approx(wait_s, rel=0.2)
