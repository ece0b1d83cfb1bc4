"""How a pool's line stands, for whoever looks: the longest lines, the pace, what is foretold."""

from __future__ import annotations

import uuid

import pytest

from taskqueue.connections import connect
from taskqueue.messages import Finish, SamplingParams, Submission, TurnBody, Usage
from taskqueue.outlook import Outlook, Pace
from taskqueue.standing import Line
from taskqueue.sync_client import Queue, foretell, standing

BODY = TurnBody(prompt="hi", params=SamplingParams())


def submit(queue: Queue, tenant: str, count: int) -> None:
    names = [uuid.uuid4().hex for _ in range(count)]
    queue.enqueue([Submission(turn=name, task=name, tenant=tenant, body=BODY) for name in names])


def test_the_longest_lines_with_what_runs_of_them(redis_url: str) -> None:
    pool = f"pool-{uuid.uuid4().hex[:8]}"
    redis, queue = connect(redis_url), Queue(redis_url, pool)
    assert standing(redis, pool, most=5).lines == ()
    assert standing(redis, pool, most=5).outlook is None
    for tenant, count in (("a", 1), ("b", 4), ("c", 2)):
        submit(queue, tenant, count)
    held = queue.claim("w", 3, lease_s=30)
    running = {tenant: sum(one.tenant == tenant for one in held) for tenant in "abc"}
    found = standing(redis, pool, most=5)
    assert {one.tenant: one.waiting + one.running for one in found.lines} == {"a": 1, "b": 4, "c": 2}
    assert {one.tenant: one.running for one in found.lines} == running
    assert [one.waiting for one in found.lines] == sorted((one.waiting for one in found.lines), reverse=True)
    assert standing(redis, pool, most=1).lines == found.lines[:1]
    assert found.pace == Pace()

    turn = held[0]
    end = Finish(
        turn=turn.turn, task=turn.task, attempt=turn.attempt, seq=1, state="succeeded", finish_reason="stop", usage=Usage(1, 1)
    )  # fmt: skip
    queue.finish("w", [end])
    foretell(redis, {pool: Outlook(ready=8)})
    found = standing(redis, pool, most=5)
    assert (found.pace.turns, found.outlook) == (1, Outlook(ready=8))
    assert found.pace.mean_ms == pytest.approx(0, abs=60_000)
    assert isinstance(found.lines[0], Line)
    queue.close()
    redis.close()
