"""The queue's state changes on a real Redis, one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from taskqueue.async_client import AsyncQueue
from taskqueue.failures import QueueRefused, QueueUnavailable
from taskqueue.keys import BadPoolName
from taskqueue.messages import (
    ChatMessage,
    ClaimedTurn,
    Delta,
    Event,
    Finish,
    SamplingParams,
    Submission,
    TurnBody,
    Usage,
    WorkerStatus,
)
from taskqueue.sync_client import Queue

LEASE_S = 30.0


@pytest.fixture
async def queue(redis_url: str, pool: str) -> AsyncIterator[AsyncQueue]:
    queue = AsyncQueue(redis_url, pool)
    yield queue
    await queue.aclose()


def turn(name: str, tenant: str = "ann", **more: object) -> Submission:
    body = TurnBody(messages=(ChatMessage("user", "hé"),), params=SamplingParams(max_tokens=5, stop=("x",)))
    return Submission(turn=name, task=f"task-{name}", tenant=tenant, body=body, **more)  # type: ignore[arg-type]


def delta(claimed: ClaimedTurn, text: str, *tokens: int, nth: int = 1) -> Delta:
    return Delta(turn=claimed.turn, attempt=claimed.attempt, seq=claimed.seq + nth, text=text, token_ids=tokens)


def success(claimed: ClaimedTurn, *, nth: int = 1, tokens: int = 0) -> Finish:
    return Finish(
        turn=claimed.turn,
        task=claimed.task,
        attempt=claimed.attempt,
        seq=claimed.seq + nth,
        state="succeeded",
        finish_reason="stop",
        usage=Usage(0, tokens),
        text="done",
    )


def status(worker: str) -> WorkerStatus:
    return WorkerStatus(worker=worker, phase="ready", engine="simulated", model="", slots=4)


def text_of(events: list[Event]) -> list[str]:
    return [event.data for event in events if event.kind == "text"]


async def test_a_turn_goes_its_way(queue: AsyncQueue) -> None:
    (answer,) = await queue.enqueue([turn("a", deadline_ms=0)])
    assert (answer.verdict, answer.waiting) == ("accepted", 1)
    assert await queue.wait_for_work(timeout_s=1)
    (claimed,) = await queue.claim("w1", 4, lease_s=LEASE_S)
    assert claimed.body == turn("a").body
    assert (claimed.attempt, claimed.streamed) == (1, ())
    assert await queue.emit("w1", [delta(claimed, 'one "quoted"\n', 1, 70_000)]) == []
    assert await queue.finish("w1", [success(claimed, nth=2)]) == []

    events = await queue.read_log("task-a")
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.kind for event in events] == ["state", "state", "text", "outcome"]
    assert text_of(events) == ['"one \\"quoted\\"\\n"']

    records = await queue.read_records()
    assert [record.kind for record in records] == ["claimed", "finished"]
    assert records[1].text == "done"
    assert await queue.known(["a"]) == [True]
    await queue.acknowledge(records)
    assert await queue.known(["a"]) == [False]
    assert await queue.read_records() == []
    assert len(await queue.read_log("task-a")) == 4  # for late readers


async def test_the_same_turn_twice_is_one_turn(queue: AsyncQueue) -> None:
    verdicts = await queue.enqueue([turn("a"), turn("a")])
    assert [answer.verdict for answer in verdicts] == ["accepted", "known"]
    assert len(await queue.claim("w1", 4, lease_s=LEASE_S)) == 1


async def test_a_tenant_s_limit_counts_its_waiting_turns_only(queue: AsyncQueue) -> None:
    verdicts = await queue.enqueue(
        [turn("a", max_waiting=1), turn("b", max_waiting=1), turn("c", "bob", max_waiting=1)]
    )
    assert [answer.verdict for answer in verdicts] == ["accepted", "full", "accepted"]
    await queue.claim("w1", 4, lease_s=LEASE_S)
    assert [answer.verdict for answer in await queue.enqueue([turn("b", max_waiting=1)])] == ["accepted"]


async def test_a_refusal_tells_when_a_place_may_be_free(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    now_ms = (await queue.signals()).now_ms
    for name in "ab":  # as if they had waited for 10 s
        redis.zadd(f"opsite:{{{queue.pool}}}:arrivals", {name: now_ms - 10_000})
    full, busy = await queue.enqueue([turn("c", max_waiting=2), turn("c", pool_max_waiting=2)])
    assert (full.verdict, busy.verdict) == ("full", "busy")
    assert 5_000 <= full.wait_ms < 6_000  # two places in 10 s
    assert 10_000 <= busy.wait_ms < 11_000  # by then the line has turned over
    assert await queue.known(["c"]) == [False]


async def test_a_pool_s_bound_leaves_places_for_others(queue: AsyncQueue) -> None:
    accepted = dict.fromkeys(("ann", "bob", "cyd"), 0)
    for tenant in accepted:
        answers = await queue.enqueue([turn(f"{tenant}{nth}", tenant, pool_max_waiting=100) for nth in range(120)])
        accepted[tenant] = sum(answer.verdict == "accepted" for answer in answers)
    assert accepted == {"ann": 80, "bob": 16, "cyd": 4}  # four times the places that were free, each time
    (swept,) = await queue.enqueue([turn("lost", "ann")])  # what was accepted once is never refused
    assert swept.verdict == "accepted"


async def test_a_tenant_at_its_running_limit_is_passed_over(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"ann{nth}", max_running=2) for nth in range(5)])
    await queue.enqueue([turn(f"bob{nth}", "bob") for nth in range(2)])
    claimed = await queue.claim("w1", 8, lease_s=LEASE_S)
    assert sorted(turn.tenant for turn in claimed) == ["ann", "ann", "bob", "bob"]
    assert await queue.wait_for_work(timeout_s=0.01) is False  # what waits may not run: nobody is woken for it
    await queue.enqueue([turn("ann5", max_running=2)])
    assert await queue.wait_for_work(timeout_s=0.01) is False
    first, second = (turn for turn in claimed if turn.tenant == "ann")
    await queue.finish("w1", [success(first)])
    assert await queue.wait_for_work(timeout_s=1)
    assert len(await queue.claim("w1", 8, lease_s=0)) == 1
    assert await queue.reap() == 1  # a lease that lapses frees its place, too
    assert len(await queue.claim("w2", 8, lease_s=LEASE_S)) == 1
    await queue.release("w1", [second.turn])
    assert len(await queue.claim("w2", 8, lease_s=LEASE_S)) == 1
    await queue.enqueue([turn("ann6")])  # the limit was taken away
    assert len(await queue.claim("w2", 8, lease_s=LEASE_S)) == 4


async def test_time_at_the_running_limit_earns_no_credit(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"ann{nth}", max_running=1, estimated_tokens=100) for nth in range(20)])
    await queue.enqueue([turn(f"bob{nth}", "bob", estimated_tokens=100) for nth in range(60)])
    held = await queue.claim("w1", 30, lease_s=LEASE_S)
    assert sum(turn.tenant == "ann" for turn in held) == 1
    await queue.enqueue([turn("ann20", estimated_tokens=100)])  # no limit any more
    claimed = await queue.claim("w1", 10, lease_s=LEASE_S)
    assert sum(turn.tenant == "ann" for turn in claimed) in (5, 6)  # not all ten


async def test_an_event_that_comes_twice_is_stored_once(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    (claimed,) = await queue.claim("w1", 1, lease_s=LEASE_S)
    for _ in range(2):
        await queue.emit("w1", [delta(claimed, "x", 1)])
    assert text_of(await queue.read_log("task-a")) == ['"x"']


async def test_a_zombie_is_refused(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    (old,) = await queue.claim("w1", 1, lease_s=0)
    await queue.emit("w1", [delta(old, "by the first", 1, 2)])
    assert await queue.reap() == 1
    (new,) = await queue.claim("w2", 1, lease_s=LEASE_S)
    assert (new.attempt, new.streamed) == (2, (1, 2))
    for stops in (
        await queue.emit("w1", [delta(old, "late", 3, nth=2)]),
        await queue.finish("w1", [success(old, nth=2)]),
        await queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S),
    ):
        assert [(stop.turn, stop.reason) for stop in stops] == [("a", "lost")]
    assert text_of(await queue.read_log("task-a")) == ['"by the first"']
    assert (await queue.signals()).running == 1


async def test_a_heartbeat_keeps_only_the_turns_that_it_names(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    await queue.claim("w1", 2, lease_s=0)
    assert await queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S) == []
    assert await queue.reap() == 1
    assert [claimed.turn for claimed in await queue.claim("w2", 2, lease_s=LEASE_S)] == ["b"]


async def test_out_of_attempts_is_a_failure_with_a_reason(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    for _ in range(2):
        await queue.claim("w1", 1, lease_s=0)
        await queue.reap(max_attempts=2)
    finished = [record for record in await queue.read_records() if record.kind == "finished"]
    assert [(record.state, record.error.code if record.error else None) for record in finished] == [
        ("failed", "worker_lost")
    ]


async def test_a_release_is_no_failure(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    for attempt in (1, 2, 3, 4):
        (claimed,) = await queue.claim("w1", 1, lease_s=LEASE_S)
        assert claimed.attempt == attempt
        assert await queue.release("w1", ["a"]) == 1
        assert await queue.reap(max_attempts=1) == 0
    assert (await queue.signals()).waiting == 1


async def test_cancel_waiting_and_running(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    (running,) = await queue.claim("w1", 1, lease_s=LEASE_S)
    assert await queue.cancel(["a", "b", "c"]) == ["stopping", "ended", "unknown"]
    stops = await queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S)
    assert [(stop.turn, stop.reason) for stop in stops] == [("a", "cancelled")]
    done = success(running)
    assert (
        await queue.finish("w1", [Finish(turn="a", task=done.task, attempt=1, seq=done.seq, state="cancelled")]) == []
    )
    assert await queue.heartbeat(status("w1"), [], lease_s=LEASE_S) == []
    signals = await queue.signals()
    assert (signals.waiting, signals.running) == (0, 0)


async def test_a_cancel_survives_the_worker_that_should_honour_it(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    await queue.claim("w1", 2, lease_s=0)
    await queue.cancel(["a", "b"])
    await queue.release("w1", ["b"])
    await queue.reap()
    ended = {record.turn: record.state for record in await queue.read_records() if record.kind == "finished"}
    assert ended == {"a": "cancelled", "b": "cancelled"}


async def test_a_cancel_survives_a_worker_that_left_with_its_turn(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    await queue.claim("w1", 1, lease_s=0)
    assert await queue.cancel(["a"]) == ["stopping"]
    await queue.leave("w1")
    await queue.reap()
    assert await queue.claim("w2", 1, lease_s=LEASE_S) == []
    ended = {record.turn: record.state for record in await queue.read_records() if record.kind == "finished"}
    assert ended == {"a": "cancelled"}


async def test_deadlines(queue: AsyncQueue) -> None:
    past = (await queue.signals()).now_ms - 1
    await queue.enqueue(
        [turn("a", priority=0), turn("waiting", deadline_ms=past), turn("running", deadline_ms=past + 60_000)]
    )
    assert await queue.reap() == 1
    claimed = await queue.claim("w1", 4, lease_s=LEASE_S)
    assert {turn.turn for turn in claimed} == {"a", "running"}
    await queue.enqueue([turn("late", deadline_ms=past)])
    assert await queue.claim("w1", 4, lease_s=LEASE_S) == []  # a claim never hands out what has expired
    ended = {record.turn: record.state for record in await queue.read_records() if record.kind == "finished"}
    assert ended == {"waiting": "expired", "late": "expired"}


async def test_a_deadline_does_not_overtake_a_cancel(queue: AsyncQueue, redis: Redis) -> None:
    later = (await queue.signals()).now_ms + 60_000
    await queue.enqueue([turn("a", deadline_ms=later)])
    await queue.claim("w1", 1, lease_s=LEASE_S)
    assert await queue.cancel(["a"]) == ["stopping"]
    redis.zadd(f"opsite:{{{queue.pool}}}:deadlines", {"a": 1})  # as if it had passed
    assert await queue.reap() == 1
    stops = await queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S)
    assert [(stop.turn, stop.reason) for stop in stops] == [("a", "cancelled")]


async def test_order_within_a_tenant(queue: AsyncQueue) -> None:
    later = (await queue.signals()).now_ms + 60_000
    await queue.enqueue([turn("third"), turn("second", deadline_ms=later), turn("first", priority=0)])
    claimed = [(await queue.claim("w1", 1, lease_s=LEASE_S))[0].turn for _ in range(3)]
    assert claimed == ["first", "second", "third"]


async def test_tenants_share_by_weight(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"ann{i}", "ann", estimated_tokens=100) for i in range(60)])
    await queue.enqueue([turn(f"bob{i}", "bob", weight=2.0, estimated_tokens=100) for i in range(60)])
    claimed = await queue.claim("w1", 30, lease_s=LEASE_S)
    shares = [sum(turn.tenant == tenant for turn in claimed) for tenant in ("ann", "bob")]
    assert shares == [10, 20]


async def test_a_tenant_back_from_idle_earns_no_credit(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"ann{i}", "ann", estimated_tokens=100) for i in range(40)])
    await queue.claim("w1", 20, lease_s=LEASE_S)
    await queue.enqueue([turn(f"bob{i}", "bob", estimated_tokens=100) for i in range(40)])
    claimed = await queue.claim("w1", 10, lease_s=LEASE_S)
    assert sum(turn.tenant == "bob" for turn in claimed) in (5, 6)  # not all ten


async def test_what_was_served_corrects_what_was_estimated(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a", "ann", estimated_tokens=1000), turn("b", "bob", estimated_tokens=100)])
    first = await queue.claim("w1", 2, lease_s=LEASE_S)
    await queue.finish("w1", [success(claimed, tokens=10) for claimed in first])
    await queue.enqueue([turn(f"{t}{i}", t, estimated_tokens=100) for i in range(4) for t in ("ann", "bob")])
    claimed = await queue.claim("w1", 4, lease_s=LEASE_S)
    assert sum(turn.tenant == "ann" for turn in claimed) == 2


async def test_a_turn_that_the_queue_ends_costs_what_its_log_holds(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a", estimated_tokens=1000, weight=2.0)])
    for tokens in ((1, 2), (3,)):
        (claimed,) = await queue.claim("w1", 1, lease_s=0)
        assert float(redis.hget(f"opsite:{{{queue.pool}}}:service", "ann")) == 500
        await queue.emit("w1", [delta(claimed, "x", *tokens)])
        await queue.reap(max_attempts=2)
        assert float(redis.hget(f"opsite:{{{queue.pool}}}:service", "ann")) == len((*claimed.streamed, *tokens)) / 2


async def test_a_turn_that_comes_back_earns_its_tenant_no_credit(queue: AsyncQueue) -> None:
    """It ran while the others waited: its tenant is next, and then one of equals."""
    await queue.enqueue([turn("long", "ann", estimated_tokens=100)])
    await queue.claim("w1", 1, lease_s=LEASE_S)
    await queue.enqueue([turn(f"bob{i}", "bob", estimated_tokens=100) for i in range(40)])
    await queue.claim("w2", 20, lease_s=LEASE_S)
    await queue.release("w1", ["long"])
    await queue.enqueue([turn(f"ann{i}", "ann", estimated_tokens=100) for i in range(40)])
    claimed = await queue.claim("w2", 10, lease_s=LEASE_S)
    assert sum(turn.tenant == "ann" for turn in claimed) == 5


async def test_two_workers_never_hold_the_same_turn(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"t{i}", f"tenant{i % 5}") for i in range(200)])
    claims = await asyncio.gather(*(queue.claim(f"w{i}", 10, lease_s=LEASE_S) for i in range(30)))
    turns = [claimed.turn for claim in claims for claimed in claim]
    assert len(turns) == len(set(turns)) == 200


async def test_signals_and_leaving(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    await queue.claim("w1", 1, lease_s=LEASE_S)
    await queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S)
    signals = await queue.signals()
    assert (signals.waiting, signals.running, [w.worker for w in signals.workers]) == (1, 1, ["w1"])
    assert 0 <= signals.now_ms - signals.workers[0].beat_ms < 5_000
    await queue.leave("w1")
    assert (await queue.signals()).workers == ()


def test_the_synchronous_client_speaks_the_same(redis_url: str, pool: str) -> None:
    queue = Queue(redis_url, pool)
    queue.enqueue([turn("a")])
    (claimed,) = queue.claim("w1", 1, lease_s=LEASE_S)
    queue.emit("w1", [delta(claimed, "x", 7)])
    queue.finish("w1", [success(claimed, nth=2)])
    records = queue.read_records()
    assert [record.kind for record in records] == ["claimed", "finished"]
    queue.acknowledge(records)
    assert queue.known(["a"]) == [False]
    queue.close()


async def test_a_redis_that_is_away_is_said_so(tmp_path: object) -> None:
    queue = AsyncQueue(f"unix://{tmp_path}/nobody.sock", "pool")
    with pytest.raises(QueueUnavailable):
        await queue.signals()
    await queue.aclose()


@pytest.mark.parametrize("name", ["", "Upper", "a b", "{x}", "a" * 64, "ü"])
def test_pool_names_that_would_break_keys_are_refused(name: str) -> None:
    with pytest.raises(BadPoolName, match="use 1 to 63"):
        AsyncQueue("redis://localhost", name)


async def test_a_full_redis_refuses_and_changes_nothing(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a")])
    (claimed,) = await queue.claim("w1", 1, lease_s=LEASE_S)
    redis.config_set("maxmemory", 1)
    try:
        for call in (
            queue.enqueue([turn("b")]),
            queue.emit("w1", [delta(claimed, "x", 1)]),
            queue.finish("w1", [success(claimed)]),
            queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S),
        ):
            with pytest.raises(QueueRefused, match="OOM"):
                await call
        with pytest.raises(QueueUnavailable, match="OOM"):
            Queue(redis, queue.pool).enqueue([turn("b")])
    finally:
        redis.config_set("maxmemory", 0)
    assert await queue.known(["a", "b"]) == [True, False]
    assert await queue.emit("w1", [delta(claimed, "x", 1)]) == []
    assert text_of(await queue.read_log("task-a")) == ['"x"']


async def test_a_task_that_redis_has_lost_begins_anew_behind_all_its_numbers(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    (claimed,) = await queue.claim("w1", 1, lease_s=LEASE_S)
    await queue.emit("w1", [delta(claimed, "gone", 1)])
    redis.delete(*redis.keys(f"opsite:{{{queue.pool}}}:*a"))
    assert await queue.restart(["task-a", "task-b"]) == 1  # b is still there
    await queue.enqueue([turn("a")])
    events = await queue.read_log("task-a", after=3)
    assert [event.kind for event in events] == ["restart", "state"]
    assert events[1].seq == events[0].seq + 1
    (stop,) = await queue.emit("w1", [delta(claimed, "late", 1, nth=2)])
    assert (stop.turn, stop.reason) == ("a", "lost")
    again = [one for one in await queue.claim("w2", 2, lease_s=LEASE_S) if one.turn == "a"]
    assert (again[0].attempt, again[0].streamed) == (1, ())


async def test_an_enqueue_that_comes_after_the_end_is_not_run_again(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    (claimed,) = await queue.claim("w1", 1, lease_s=LEASE_S)
    await queue.finish("w1", [success(claimed)])
    await queue.acknowledge(await queue.read_records())
    (late,) = await queue.enqueue([turn("a")])
    assert late.verdict == "known"
    assert await queue.claim("w1", 1, lease_s=LEASE_S) == []
