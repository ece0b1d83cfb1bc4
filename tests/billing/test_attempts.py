"""A turn that was taken over is each worker's by what that one read and wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from agents.models import Turn
from agents.recorder import record_once
from billing.models import ServedHour, UsageHour
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Delta, Finish, Usage
from tests.agents.test_recording import queued
from tests.billing.conftest import counted, recounted
from tests.scene import Scene


def served() -> dict[str, tuple[int, int]]:
    rows = ServedHour.objects.across_tenants()
    return {row.worker: (round(row.prompt_tokens), round(row.completion_tokens)) for row in rows}


async def test_a_turn_that_was_handed_over_twice_is_split_by_what_each_worker_did(
    live_scene: Scene, redis_url: str, postgres: psycopg.AsyncConnection
) -> None:
    queue = AsyncQueue(redis_url, live_scene.pool.slug)
    task = await sync_to_async(live_scene.ann.task)()
    await queue.enqueue([await sync_to_async(queued)(task)])
    for worker, tokens in (("w1", (7, 7, 7)), ("w2", ()), ("w3", (7, 7))):
        (turn,) = await queue.claim(worker, 1, lease_s=60)
        seq = turn.seq + 1 + (turn.attempt > 1)
        if tokens:
            told = Delta(turn=turn.turn, attempt=turn.attempt, seq=seq, text="x", token_ids=tokens)
            assert await queue.emit(worker, [told]) == []
        if worker != "w3":
            await queue.release(worker, [turn.turn])
            await record_once(postgres, queue)  # each part in a transaction of its own
    end = Finish(
        turn=turn.turn, task=turn.task, attempt=3, seq=seq + 1, state="succeeded", usage=Usage(10, 5), text="x"
    )
    assert await queue.finish("w3", [end]) == []
    while await record_once(postgres, queue):
        pass
    await queue.aclose()
    # The second left nothing; the third read the prompt and the three tokens before its own.
    assert await sync_to_async(served)() == {"w1": (10, 3), "w3": (13, 2)}
    assert await sync_to_async(counted)() == await sync_to_async(recounted)()
    usage = await UsageHour.objects.across_tenants().aget()
    assert (usage.turns, usage.prompt_tokens, usage.completion_tokens) == (1, 10, 5)
    log = (await Turn.objects.across_tenants().aget(pk=turn.turn)).attempt_log
    assert log is not None
    assert {number: (one["worker"], one.get("tokens"), one.get("reason")) for number, one in log.items()} == {
        "1": ("w1", 3, "handed_over"), "2": ("w2", 3, "handed_over"), "3": ("w3", None, None)
    }  # fmt: skip


NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
MS = round(NINE.timestamp() * 1000)
MINUTE = 60_000


def attempt(worker: str, began: int, ended: int | None = None, tokens: int | None = None) -> dict[str, Any]:
    """Minutes after nine."""
    known = {"worker": worker, "claimed_ms": MS + began * MINUTE}
    return known if ended is None else {**known, "ended_ms": MS + ended * MINUTE, "tokens": tokens}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (None, [("last", 0, 20, 60, 120)]),
        ({"1": attempt("a", 0, 5, 40), "2": attempt("b", 6)}, [("a", 0, 5, 60, 40), ("b", 6, 20, 100, 80)]),
        # nothing streamed before it was lost
        ({"1": attempt("a", 0, 5, 0), "2": attempt("b", 6)}, [("a", 0, 5, 0, 0), ("b", 6, 20, 60, 120)]),
        # it ended while it waited for another worker
        ({"1": attempt("a", 0, 5, 40)}, [("a", 0, 5, 60, 40)]),
        # Redis lost the log meanwhile: what was streamed anew is less than before
        ({"1": attempt("a", 0, 5, 130), "2": attempt("b", 6)}, [("a", 0, 5, 60, 130), ("b", 6, 20, 190, 0)]),
        # by number, not by how they are spelled
        (
            {str(number): attempt("a", number, number + 1, number) for number in range(1, 11)}
            | {"11": attempt("b", 12)},
            [*(("a", number, number + 1, 59 + number, 1) for number in range(1, 11)), ("b", 12, 20, 70, 110)],
        ),
    ],
)
def test_the_parts_of_a_turn(log: dict[str, Any] | None, expected: list[tuple[Any, ...]]) -> None:
    from psycopg.types.json import Jsonb

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT worker, (extract(epoch FROM began - %(nine)s) / 60)::int, (extract(epoch FROM ended - %(nine)s) / 60)::int,"
            " read, wrote FROM billing_attempts(%(log)s::jsonb, 60, 120, 'last', %(nine)s, %(nine)s + interval '20 minutes')"
            " ORDER BY began",
            {"nine": NINE, "log": None if log is None else Jsonb(log)},
        )
        assert cursor.fetchall() == expected
