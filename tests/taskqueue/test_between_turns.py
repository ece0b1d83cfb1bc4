"""A task of several turns: one log, one outcome, and nothing of one turn taken for another's."""

from __future__ import annotations

import json

import msgspec
from redis import Redis

from taskqueue.async_client import AsyncQueue
from taskqueue.messages import ClaimedTurn, Finish, TaskError, ToolCall
from tests.taskqueue.turns import LEASE_S, delta, success, text_of, turn

CALL = ToolCall("call_1", "now", "{}")
NEXT = msgspec.structs.replace(turn("a2"), task="task-a")


def calls(claimed: ClaimedTurn, *, nth: int = 1) -> Finish:
    return msgspec.structs.replace(success(claimed, nth=nth), tool_calls=(CALL,), goes_on=True)


async def claim(queue: AsyncQueue, worker: str = "w1") -> ClaimedTurn:
    (claimed,) = await queue.claim(worker, 1, lease_s=LEASE_S)
    return claimed


async def first_turn(queue: AsyncQueue) -> ClaimedTurn:
    await queue.enqueue([turn("a")])
    claimed = await claim(queue)
    await queue.emit("w1", [delta(claimed, "see", 1, 2)])
    assert await queue.finish("w1", [calls(claimed, nth=2)]) == []
    return claimed


async def test_a_turn_that_ends_in_calls_leaves_its_task_waiting(queue: AsyncQueue) -> None:
    await first_turn(queue)
    kinds = [(event.kind, json.loads(event.data)) for event in (await queue.read_log("task-a"))[-2:]]
    assert [kind for kind, _ in kinds] == ["tool_calls", "state"]
    assert kinds[0][1]["tool_calls"] == [{"id": "call_1", "name": "now", "arguments": "{}"}]
    assert kinds[1][1] == {"state": "waiting"}
    record = (await queue.read_records())[-1]
    assert (record.kind, record.goes_on, record.tool_calls, record.text) == ("finished", True, (CALL,), "done")
    assert (await queue.signals()).running == 0


async def test_acknowledged_turns_leave_but_their_task_keeps_its_log_and_followers(
    queue: AsyncQueue, redis: Redis
) -> None:
    log, follow = (f"opsite:{{{queue.pool}}}:{name}:task-a" for name in ("log", "follow"))
    await first_turn(queue)
    redis.sadd(follow, "web")
    await queue.acknowledge(await queue.read_records())
    assert await queue.known(["a"]) == [True]  # so that an enqueue that comes late is no second run
    assert (await queue.enqueue([turn("a")]))[0].verdict == "known"
    assert (redis.ttl(log), redis.scard(follow)) == (-1, 1)
    await queue.enqueue([NEXT])
    await queue.finish("w1", [success(await claim(queue))])
    await queue.acknowledge(await queue.read_records())
    assert redis.ttl(log) > 0
    assert not redis.exists(follow)
    assert (await queue.read_log("task-a"))[-1].kind == "outcome"


async def test_another_worker_goes_on_behind_its_own_turn_alone(queue: AsyncQueue) -> None:
    await first_turn(queue)
    await queue.enqueue([NEXT])
    second = await claim(queue)
    await queue.emit("w1", [msgspec.structs.replace(delta(second, "shown", 7, 8), raw="shown<tool_")])
    await queue.release("w1", ["a2"])
    again = await claim(queue, "w2")
    assert (again.streamed, again.attempt) == ((7, 8), 2)
    assert await queue.read_raw("task-a", first=again.first) == "shown<tool_"
    assert text_of(await queue.read_log("task-a")) == ['"see"', '"shown"']


async def test_what_the_queue_ends_itself_is_charged_and_told_by_its_own_turn(queue: AsyncQueue) -> None:
    await first_turn(queue)
    await queue.enqueue([NEXT])
    second = await claim(queue)
    await queue.emit("w1", [delta(second, "own", 7)])
    await queue.release("w1", ["a2"])
    assert await queue.cancel(["a2"]) == ["ended"]
    record = (await queue.read_records())[-1]
    assert (record.turn, record.state, record.after) == ("a2", "cancelled", second.first)


async def test_a_result_that_is_told_again_stands_there_once(queue: AsyncQueue) -> None:
    await first_turn(queue)
    ids = [f"call_{number}" for number in range(70)]  # more than the script reads at a time
    told = [await queue.note("task-a", "tool_result", json.dumps({"id": one}), once=one) for one in ids]
    assert told == list(range(told[0], told[0] + 70))
    again = [await queue.note("task-a", "tool_result", json.dumps({"id": one}), once=one) for one in ids]
    assert again == told
    # The next turn's calls are other ones, whatever they are called.
    await queue.enqueue([NEXT])
    await queue.finish("w1", [calls(await claim(queue))])
    assert await queue.note("task-a", "tool_result", '{"id":"call_1"}', once="call_1") > told[-1]


async def test_events_between_turns_come_while_the_task_waits_and_only_then(queue: AsyncQueue) -> None:
    assert await queue.note("task-a", "tool_result", "{}", once="c") == 0
    claimed = await first_turn(queue)
    seq = await queue.note("task-a", "tool_result", '{"id":"call_1"}', once="call_1")
    assert seq == claimed.seq + 4
    assert await queue.note("task-a", "tool_result", '{"id":"call_2"}', once="call_2") == seq + 1
    await queue.enqueue([NEXT])
    assert await queue.note("task-a", "tool_result", '{"id":"late"}', once="late") == 0
    await claim(queue)
    assert await queue.note("task-a", "tool_result", '{"id":"late"}', once="late") == 0
    kinds = [event.kind for event in await queue.read_log("task-a", after=claimed.seq + 1)]
    assert kinds == ["tool_calls", "state", "tool_result", "tool_result", "state", "state"]


async def test_a_waiting_task_can_be_ended_once(queue: AsyncQueue, redis: Redis) -> None:
    await first_turn(queue)
    await queue.acknowledge(await queue.read_records())
    error = TaskError("turn_limit", "no more turns")
    assert await queue.end_task("task-a", turn="a", state="failed", error=error)
    assert not await queue.end_task("task-a", turn="a", state="cancelled")
    outcome = (await queue.read_log("task-a"))[-1]
    assert (outcome.kind, json.loads(outcome.data)["error"]["code"]) == ("outcome", "turn_limit")
    (record,) = await queue.read_records()
    assert (record.kind, record.state, record.error, record.turn) == ("closed", "failed", error, "a")
    await queue.acknowledge([record])
    assert redis.ttl(f"opsite:{{{queue.pool}}}:log:task-a") > 0
    verdicts = await queue.enqueue([NEXT])
    assert verdicts[0].verdict == "known"  # a turn that comes after the end is none


async def test_a_running_task_is_not_ended_between_turns(queue: AsyncQueue) -> None:
    await first_turn(queue)
    await queue.enqueue([NEXT])
    assert not await queue.end_task("task-a", turn="a", state="cancelled")


async def test_a_waiting_task_whose_log_is_lost_can_be_ended(queue: AsyncQueue, redis: Redis) -> None:
    await first_turn(queue)
    redis.delete(f"opsite:{{{queue.pool}}}:log:task-a")
    assert await queue.end_task("task-a", turn="a", state="expired")
    assert [event.kind for event in await queue.read_log("task-a")] == ["restart", "outcome"]


async def test_who_was_told_that_it_stops_is_not_kept_going_by_its_calls(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    claimed = await claim(queue)
    assert await queue.cancel(["a"]) == ["stopping"]
    await queue.finish("w1", [calls(claimed)])
    events = (await queue.read_log("task-a"))[-3:]
    assert [event.kind for event in events] == ["tool_calls", "state", "outcome"]
    assert json.loads(events[-1].data) == {"state": "cancelled"}
    records = (await queue.read_records())[-2:]
    assert [(record.kind, record.state, record.goes_on) for record in records] == [
        ("finished", "succeeded", True),
        ("closed", "cancelled", False),
    ]
    assert await queue.note("task-a", "tool_result", "{}", once="c") == 0
