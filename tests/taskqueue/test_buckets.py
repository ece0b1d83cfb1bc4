"""Buckets as numbers, and the scripts in Lua beside them: the same to the last millisecond."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from taskqueue import keys
from taskqueue.buckets import NEVER, WINDOW_MS, Bucket
from taskqueue.scripts import script

limits = st.integers(1, 100) | st.integers(1, 2**31 - 1)
steps = st.lists(st.tuples(st.integers(0, 90_000) | st.integers(0, 50), st.integers(1, 120)), max_size=40)
NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("debt", "limit", "cost", "wait_ms"),
    [
        (0, 60, 60, 0),  # a quiet minute allows the whole limit at once
        (60 * WINDOW_MS, 60, 1, 1000),  # one a second comes back
        (60 * WINDOW_MS, 60, 30, 30_000),
        (60 * WINDOW_MS, 7, 1, 462_858),  # rounded up: the millisecond before is too early
        (90 * WINDOW_MS, 60, 1, 31_000),  # it ran over: what was served beyond the estimate is waited for
        (0, 60, 61, NEVER),
    ],
)
def test_waits(debt: int, limit: int, cost: int, wait_ms: int) -> None:
    assert Bucket(debt, NOW_MS).wait_ms(limit=limit, cost=cost, now_ms=NOW_MS) == wait_ms


@given(limit=limits, steps=steps)
def test_what_is_told_to_wait_fits_then_and_not_a_millisecond_before(limit: int, steps: list[tuple[int, int]]) -> None:
    bucket, now_ms = Bucket(), NOW_MS
    for pause_ms, cost in steps:
        now_ms += pause_ms
        wait_ms = bucket.wait_ms(limit=limit, cost=cost, now_ms=now_ms)
        if wait_ms > 0:
            assert bucket.wait_ms(limit=limit, cost=cost, now_ms=now_ms + wait_ms) == 0
            assert bucket.wait_ms(limit=limit, cost=cost, now_ms=now_ms + wait_ms - 1) == 1
        elif wait_ms == 0:
            bucket = bucket.spent(limit=limit, units=cost, now_ms=now_ms)
        assert (wait_ms == NEVER) == (cost > limit)


@given(limit=limits, steps=steps)
def test_no_stretch_of_time_allows_more_than_the_limit_and_what_leaks_in_it(
    limit: int, steps: list[tuple[int, int]]
) -> None:
    bucket, now_ms = Bucket(), NOW_MS
    taken: list[tuple[int, int]] = []
    for pause_ms, cost in steps:
        now_ms += pause_ms
        if bucket.wait_ms(limit=limit, cost=cost, now_ms=now_ms) == 0:
            bucket = bucket.spent(limit=limit, units=cost, now_ms=now_ms)
            taken.append((now_ms, cost))
    for nth, (first_ms, _) in enumerate(taken):
        for upto, (last_ms, _) in enumerate(taken[nth:], nth):
            spent = sum(cost for _, cost in taken[nth : upto + 1])
            assert spent * WINDOW_MS <= limit * (WINDOW_MS + last_ms - first_ms)


@given(limit=limits, debt=st.integers(0, 10**6), units=st.integers(0, 10**6))
def test_what_is_given_back_was_never_taken(limit: int, debt: int, units: int) -> None:
    bucket = Bucket(debt, NOW_MS)
    there = bucket.spent(limit=limit, units=units, now_ms=NOW_MS)
    assert there.spent(limit=limit, units=-units, now_ms=NOW_MS) == bucket
    assert there.remaining(limit=limit) <= bucket.remaining(limit=limit)
    assert there.leaked(limit=limit, now_ms=NOW_MS + there.reset_ms(limit=limit)).debt == 0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(5 * WINDOW_MS, NOW_MS)
    assert bucket.leaked(limit=60, now_ms=NOW_MS - 10_000).debt == bucket.debt


@dataclass
class Pretended:
    """The scripts under a clock of the test's own: their words, but for the time and the expiry that goes by the real one."""

    redis: Redis
    prefix: str

    def run(self, name: str, now_ms: int, *args: object) -> list[int]:
        text = script(name).text
        for was, now in (
            ("redis.call('TIME')", "{ math.floor(KEYS[2] / 1000), (KEYS[2] % 1000) * 1000 }"),
            (", 'PX', math.ceil(debt / limit))", ")"),
        ):
            assert text.count(was) == 1
            text = text.replace(was, now)
        answer = self.redis.eval(text, 2, self.prefix, now_ms, *args)
        return [word.decode() if isinstance(word, bytes) else word for word in answer]  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(
    limit=limits,
    steps=st.lists(
        st.tuples(
            st.integers(-50, 90_000) | st.integers(0, 50),
            st.sampled_from(("reserve", "reserve", "settle")),
            st.integers(1, 120),
            st.integers(-120, 120),
        ),
        max_size=25,
    ),
)
def test_lua_says_the_same(redis_url: str, limit: int, steps: list[tuple[int, str, int, int]]) -> None:
    with Redis.from_url(redis_url) as redis:
        pretended = Pretended(redis, keys.budget(uuid.uuid4().hex))
        bucket, now_ms = Bucket(), NOW_MS
        for pause_ms, move, cost, units in steps:
            now_ms += pause_ms
            if move == "settle":
                pretended.run("settle", now_ms, "minute", "m", limit, units)
                bucket = bucket.spent(limit=limit, units=units, now_ms=now_ms)
            else:
                wait_ms = bucket.wait_ms(limit=limit, cost=cost, now_ms=now_ms)
                stands = bucket.leaked(limit=limit, now_ms=now_ms)
                if not wait_ms:
                    bucket = stands = bucket.spent(limit=limit, units=cost, now_ms=now_ms)
                answer = pretended.run("reserve", now_ms, now_ms + 1, "minute", "m", limit, cost)
                assert answer == [
                    "refused" if wait_ms else "admitted",
                    stands.remaining(limit=limit),
                    stands.reset_ms(limit=limit),
                    wait_ms,
                ]
        redis.delete(f"{pretended.prefix}m")
