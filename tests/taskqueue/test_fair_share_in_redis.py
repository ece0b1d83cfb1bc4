"""The scripts' counters and choices are those of `taskqueue.fair_share`, to the last bit, after any calls.

The stateful test compares them too, among all else, but must allow for rounding. Here weights are powers of two and tokens whole
numbers: no sum is rounded, so that equal counters are equal in Redis too, and the choice between equals is compared as well.
"""

from __future__ import annotations

import uuid
from collections import defaultdict, deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from taskqueue import fair_share, keys
from taskqueue.fair_share import Bill, Counters
from taskqueue.messages import ClaimedTurn, Delta, Finish, Submission, TurnBody, Usage, WorkerStatus
from taskqueue.sync_client import Queue

WEIGHTS = {"ann": 1.0, "bob": 1.0, "cyd": 0.5, "dan": 4.0}
WORKER = "w"
HOUR_S = 3600.0
STATUS = WorkerStatus(worker=WORKER, phase="ready", engine="simulated", model="", slots=4)

which = st.integers(0, 20)
tokens = st.integers(0, 9)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from(sorted(WEIGHTS)), st.integers(1, 40)),
        st.tuples(st.just("submit"), st.sampled_from(sorted(WEIGHTS)), st.just(8)),
        st.tuples(st.just("claim"), st.integers(1, 4)),
        st.tuples(st.just("finish"), which, st.integers(0, 60)),
        st.tuples(st.sampled_from(("give back", "stop", "lose", "lose for good")), which, tokens),
        st.tuples(st.just("cancel"), which),
    ),
    min_size=10,
    max_size=60,
)


class Pair:
    """A pool in Redis, and its counters beside it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.queue = Queue(redis, f"pool-{uuid.uuid4().hex[:12]}")
        self.prefix = keys.prefix(self.queue.pool)
        self.counters = Counters()
        self.bills: dict[str, Bill] = {}
        self.streamed: defaultdict[str, int] = defaultdict(int)
        self.lines: defaultdict[str, deque[str]] = defaultdict(deque)
        self.running: list[ClaimedTurn] = []

    def move(self, move: tuple) -> None:
        match move:
            case ("submit", tenant, estimate):
                self.submit(tenant, estimate)
            case ("claim", slots):
                self.claim(slots)
            case ("cancel", nth) if waiting := sorted(name for line in self.lines.values() for name in line):
                self.cancel(waiting[nth % len(waiting)])
            case ("finish", nth, served) if self.running:
                self.finish(self.running.pop(nth % len(self.running)), served)
            case (how, nth, length) if self.running and how != "finish":
                self.lose(self.running.pop(nth % len(self.running)), how, length)
            case _:
                pass

    def submit(self, tenant: str, estimate: int) -> None:
        # Names in the order of arrival: several may arrive in one millisecond.
        name = f"{len(self.bills):04d}"
        self.bills[name] = Bill(tenant, WEIGHTS[tenant], estimate)
        turn = Submission(
            turn=name, task=name, tenant=tenant, weight=WEIGHTS[tenant], estimated_tokens=estimate, body=TurnBody(prompt="x")
        )  # fmt: skip
        assert self.queue.enqueue([turn])[0].verdict == "accepted"
        self.wait(name)

    def wait(self, name: str) -> None:
        tenant = self.bills[name].tenant
        self.counters = fair_share.join(self.counters, tenant=tenant)
        self.lines[tenant] = deque(sorted((*self.lines[tenant], name)))

    def claim(self, slots: int) -> None:
        claimed = self.queue.claim(WORKER, slots, lease_s=HOUR_S)
        expected = []
        while len(expected) < slots and (tenant := fair_share.choose(self.counters)):
            expected.append(name := self.lines[tenant].popleft())
            self.counters, self.bills[name] = fair_share.charge(self.counters, self.bills[name])
            self.leave(tenant)
        assert [turn.turn for turn in claimed] == expected
        assert [len(turn.streamed) for turn in claimed] == [self.streamed[name] for name in expected]
        self.running += claimed

    def leave(self, tenant: str) -> None:
        if not self.lines[tenant]:
            self.counters = fair_share.leave(self.counters, tenant=tenant)

    def cancel(self, name: str) -> None:
        """What it was served in earlier attempts was paid for when they ended."""
        tenant = self.bills[name].tenant
        self.lines[tenant].remove(name)
        assert self.queue.cancel([name]) == ["ended"]
        self.leave(tenant)

    def finish(self, turn: ClaimedTurn, served: int) -> None:
        last = self.queue.read_log(turn.task)[-1].seq
        usage = Usage(served // 2, served - served // 2)
        finish = Finish(
            turn=turn.turn, task=turn.task, attempt=turn.attempt, seq=last + 1, state="succeeded", usage=usage
        )
        assert self.queue.finish(WORKER, [finish]) == []
        self.correct(turn.turn, served)

    def correct(self, name: str, served: int) -> None:
        self.counters, self.bills[name] = fair_share.correct(self.counters, self.bills[name], served=served)

    def lose(self, turn: ClaimedTurn, how: str, length: int) -> None:
        """Its worker says so many tokens more, and then gives it back, is told to stop it, or is lost."""
        delta = Delta(turn=turn.turn, attempt=turn.attempt, seq=turn.seq + 1, text="x", token_ids=(7,) * length)
        assert self.queue.emit(WORKER, [delta]) == []
        self.streamed[turn.turn] += length
        if how == "stop":
            assert self.queue.cancel([turn.turn]) == ["stopping"]
        if how in {"stop", "give back"}:
            assert self.queue.release(WORKER, [turn.turn]) == 1
        else:
            self.queue.heartbeat(STATUS, [turn.turn], lease_s=0)
            assert self.queue.reap(max_attempts=1 if how == "lose for good" else 99) == 1
        self.correct(turn.turn, self.streamed[turn.turn])
        if how in {"give back", "lose"}:
            self.wait(turn.turn)

    def compare(self) -> None:
        service = {name.decode(): float(n) for name, n in self.redis.hgetall(f"{self.prefix}service").items()}
        active = {name.decode(): n for name, n in self.redis.zrange(f"{self.prefix}active", 0, -1, withscores=True)}
        left = self.redis.get(f"{self.prefix}left")
        assert service == self.counters.service
        assert active == {tenant: service[tenant] for tenant in self.counters.waiting}
        assert (left.decode() if left else None) == self.counters.left

    def clear(self) -> None:
        self.redis.delete(*self.redis.keys(f"{self.prefix}*") or ["nothing"])


@pytest.mark.timeout(600)  # a failure takes its time to shrink
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(moves=moves)
def test_the_scripts_count_and_choose_as_the_arithmetic_does(redis: Redis, moves: list[tuple]) -> None:
    pair = Pair(redis)
    for move in moves:
        pair.move(move)
        pair.compare()
    pair.clear()
