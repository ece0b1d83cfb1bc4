"""How long a turn may wait: the arithmetic against a simulation, and the queue's own against it."""

from __future__ import annotations

import heapq
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from taskqueue import keys
from taskqueue.outlook import Outlook, Pace, Place, Wait, expected_wait, low_ms
from taskqueue.sync_client import Queue, foretell
from tests.taskqueue.turns import LEASE_S, success, turn

EVEN = Pace(turns=1_000_000, mean_ms=1000.0)
"""All turns hold their slots for a second."""
NOW_MS = 1_000_000


def place(before: int = 0, *, pace: Pace = EVEN, outlook: Outlook | None = None, **more: Any) -> Place:
    counts = {"own": before + 1, "waiting": before + 1, "tenants": 1, "running": 0, **more}
    return Place(now_ms=NOW_MS, before=before, pace=pace, outlook=outlook, **counts)


def soon(*steps: tuple[float, int]) -> tuple[tuple[int, int], ...]:
    return tuple((NOW_MS + round(at_s * 1000), slots) for at_s, slots in steps)


FULL = {"running": 4}
FOUR = Outlook(ready=4)
STARTING = Outlook(earliest=soon((2, 4)), latest=soon((3, 4)))


@pytest.mark.parametrize(
    ("at", "wait"),
    [
        (place(), None),  # nobody foretells anything
        (place(outlook=Outlook()), None),  # nobody serves, and nobody may be started
        (place(outlook=FOUR), Wait(0.0, 0.5)),
        (place(3, outlook=FOUR), Wait(0.0, 0.5)),
        (place(4, outlook=FOUR), Wait(0.2, 1.6)),
        (place(outlook=FOUR, **FULL), Wait(0.0, 1.6)),
        (place(40, outlook=FOUR, **FULL), Wait(9.2, 11.6)),
        (place(40, outlook=FOUR, pace=Pace()), Wait(0.0, None)),  # how long turns take was never seen
        (place(outlook=STARTING, pace=Pace()), Wait(2.0, 3.5)),
        (place(3, outlook=STARTING, pace=Pace()), Wait(2.0, 3.5)),
        (place(4, outlook=STARTING, pace=Pace()), Wait(2.0, None)),
        (place(4, outlook=STARTING), Wait(2.2, 4.6)),
        (place(outlook=Outlook(earliest=soon((20, 4)))), Wait(20.0, None)),  # starts fail
        (place(outlook=Outlook(earliest=soon((-5, 4)), latest=soon((-1, 4)))), Wait(0.0, 0.5)),  # any moment
        (place(outlook=FOUR, waiting=100, tenants=2, **FULL), Wait(0.0, 1.6)),  # the other tenant goes first twice, at most
        (place(9, outlook=FOUR, waiting=30, tenants=2, **FULL), Wait(1.4, 8.6)),  # 20 others, and the waves
        (place(9, outlook=FOUR, waiting=20, tenants=2, others_per_s=1, **FULL), Wait(1.4, 7.6)),  # 10, and 7 more meanwhile
        (place(9, outlook=FOUR, tenants=2, others_per_s=100, **FULL), Wait(1.4, 8.6)),  # the fair order bounds them
        (place(1, outlook=FOUR, limit=1, limit_running=1), Wait(0.9, 2.6)),  # its own limit holds it back
        (place(outlook=FOUR, limit=2, limit_running=1), Wait(0.0, 0.5)),
    ],
)  # fmt: skip
def test_waits(at: Place, wait: Wait | None) -> None:
    assert expected_wait(at) == wait


def test_a_line_is_foretold_better_than_a_turn() -> None:
    """Durations that vary as those of an exponential distribution do."""
    pace = Pace(turns=1_000_000, mean_ms=1000.0, variance=1e6)
    widths = []
    for before in (0, 10, 100, 1000):
        wait = expected_wait(place(before, pace=pace, outlook=FOUR, **FULL))
        assert wait is not None
        assert wait.high_s is not None
        assert wait.low_s <= (before + 1) / 4 <= wait.high_s
        widths.append((wait.high_s - wait.low_s) / (before + 1))
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.1


starts = st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.integers(1, 4)), max_size=4)


@given(
    before=st.integers(0, 40),
    left=st.lists(st.floats(0, 1), max_size=6),
    free=st.integers(0, 3),
    coming=starts,
)
def test_the_range_holds_what_comes(
    before: int, left: list[float], free: int, coming: list[tuple[float, float, int]]
) -> None:
    """Slots that are free, that are busy for some rest of a turn, and that open at some moment between the foretold two."""
    if not (left or free or coming):
        return
    opens = [0.0] * free + left + [at + late / 2 for at, late, slots in coming for _ in range(slots)]
    heapq.heapify(opens)
    started_s = 0.0
    for _ in range(before + 1):
        started_s = heapq.heappop(opens)
        heapq.heappush(opens, started_s + 1.0)
    outlook = Outlook(
        ready=free + len(left),
        earliest=tuple(sorted(soon(*((at, slots) for at, _, slots in coming)))),
        latest=tuple(sorted(soon(*((at + late, slots) for at, late, slots in coming)))),
    )
    wait = expected_wait(place(before, outlook=outlook, running=len(left)))
    assert wait is not None
    assert wait.high_s is not None
    assert wait.low_s <= started_s + 0.01 <= wait.high_s + 0.02


lua_steps = st.lists(st.tuples(st.integers(-1_000, 60_000), st.integers(1, 8)), max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ready=st.integers(0, 4),
    steps=lua_steps,
    pace=st.tuples(st.integers(1, 100), st.integers(0, 5000), st.integers(0, 10**7)) | st.none(),
    before=st.integers(0, 5),
    limit=st.integers(0, 2),
    spare_ms=st.integers(-200, 200),
)
def test_the_queue_refuses_exactly_what_would_start_after_its_deadline(
    redis: Redis,
    pool: str,
    ready: int,
    steps: list[tuple[int, int]],
    pace: tuple[int, float, float] | None,
    before: int,
    limit: int,
    spare_ms: int,
) -> None:
    """Its arithmetic is that of `low_ms`."""
    for name in redis.keys(f"{keys.prefix(pool)}*"):
        redis.delete(name)
    queue = Queue(redis, pool)
    now_ms = queue.signals().now_ms
    outlook = Outlook(ready=ready, earliest=tuple(sorted((now_ms + at_ms, slots) for at_ms, slots in steps)))
    foretell(redis, {pool: outlook}, hold_s=60)
    if pace:
        redis.hset(f"{keys.prefix(pool)}pace", mapping=dict(zip(("turns", "mean", "variance"), pace, strict=True)))
    queue.enqueue([turn(f"first{nth}", priority=0, max_running=limit) for nth in range(before)])
    (known,) = queue.enqueue([turn("known", priority=9, max_running=limit)])
    assert known.place is not None
    assert (known.place.before, known.place.outlook) == (before, outlook)
    queue.cancel(["known"])
    low = low_ms(known.place)
    deadline_ms = known.place.now_ms + round(low or 0) + spare_ms
    ask = {"priority": 9, "deadline_ms": max(1, deadline_ms), "max_running": limit}
    (answer,) = queue.enqueue([turn("asked", is_new=True, **ask)])
    assert answer.place is not None
    low = low_ms(answer.place)
    too_late = low is not None and answer.place.now_ms + low > deadline_ms
    assert answer.verdict == ("too_late" if too_late else "accepted")
    assert queue.known(["asked"]) == [not too_late]
    assert queue.signals().waiting == before + (not too_late)
    (again,) = queue.enqueue([turn("swept", **ask)])
    assert again.verdict == "accepted"  # what was accepted once is never refused


def test_a_place_is_exact_in_the_tenant_s_own_line(redis: Redis, pool: str) -> None:
    queue = Queue(redis, pool)
    places = [one.place for one in queue.enqueue([turn("a"), turn("b"), turn("c", "bob"), turn("d", priority=0)])]
    assert [(at.before, at.own, at.waiting, at.tenants) for at in places if at] == [
        (0, 1, 1, 1), (1, 2, 2, 1), (0, 1, 3, 2), (0, 3, 4, 2),
    ]  # fmt: skip
    later = queue.place("b")
    assert later is not None
    assert (later.before, later.own, later.waiting, later.outlook) == (2, 3, 4, None)
    (claimed,) = queue.claim("w", 1, lease_s=LEASE_S)
    assert queue.place(claimed.turn) is None
    assert queue.place("nobody") is None


def test_of_an_api_key_with_a_running_limit_its_own_line_counts(redis: Redis, pool: str) -> None:
    queue = Queue(redis, pool)
    narrow = {"key": "narrow", "key_max_running": 1}
    queue.enqueue([turn("a", **narrow), turn("b", key="wide"), turn("c", **narrow), turn("d", key="wide")])
    at = queue.place("c")
    assert at is not None
    assert (at.before, at.own, at.limit, at.limit_running) == (1, 2, 1, 0)
    queue.claim("w", 1, lease_s=LEASE_S)
    at = queue.place("c")
    assert at is not None
    assert (at.before, at.limit_running) == (0, 1)
    at = queue.place("d")
    assert at is not None
    assert (at.before, at.limit) == (1, 0)


def test_the_pace_is_what_turns_held_their_slots_for(redis: Redis, pool: str) -> None:
    queue = Queue(redis, pool)
    queue.enqueue([turn(name) for name in "abc"])
    claimed = queue.claim("w", 3, lease_s=LEASE_S)
    now_ms = queue.signals().now_ms
    for one, held_ms in zip(claimed, (10_000, 20_000, 60_000), strict=True):
        redis.hset(f"{keys.prefix(pool)}turn:{one.turn}", "claimed", now_ms - held_ms)
        queue.finish("w", [success(one)])
    (answer,) = queue.enqueue([turn("d")])
    assert answer.place is not None
    pace = answer.place.pace
    late_ms = queue.signals().now_ms - now_ms
    assert pace.turns == 3
    assert 30_000 <= pace.mean_ms <= 30_000 + late_ms
    # Each was late by up to `late_ms`: a deviation moves by half of that at most.
    assert abs(math.sqrt(pace.variance) - math.sqrt(1400e6 / 3)) <= late_ms / 2 + 1


def test_an_outlook_that_is_not_renewed_is_gone(redis: Redis, pool: str) -> None:
    queue = Queue(redis, pool)
    foretell(redis, {pool: Outlook(no_capacity="None here.", retry_s=7)}, hold_s=60)
    (refused,) = queue.enqueue([turn("a", is_new=True)])
    assert (refused.verdict, refused.reason, refused.wait_ms) == ("no_capacity", "None here.", 7000)
    assert queue.known(["a"]) == [False]
    (swept,) = queue.enqueue([turn("b")])
    assert swept.verdict == "accepted"
    redis.pexpire(keys.outlook(pool), 1)
    while redis.exists(keys.outlook(pool)):
        pass
    (accepted,) = queue.enqueue([turn("a", is_new=True)])
    assert accepted.verdict == "accepted"


@pytest.mark.parametrize(
    "blob", [b"\xff\x00", b'{"no_capacity": ', b'"no_capacity"', b'{"ready": "many"}', b'{"earliest": [7]}']
)
def test_an_outlook_that_cannot_be_read_is_none(redis: Redis, pool: str, blob: bytes) -> None:
    """It is advice, from an orchestrator of another release: nothing is refused for it, and nothing fails."""
    queue = Queue(redis, pool)
    redis.set(keys.outlook(pool), blob)
    deadline_ms = queue.signals().now_ms + 60_000
    (answer,) = queue.enqueue([turn("a", is_new=True, deadline_ms=deadline_ms)])
    assert answer.verdict == "accepted"
    found = queue.place("a")
    assert found is not None
    assert (found.waiting, found.outlook) == (1, None)


@pytest.mark.parametrize(("limit_before", "limit", "takes"), [(1, 3, 2), (3, 1, 0)])
def test_an_edited_running_limit_holds_though_its_message_was_too_late(
    redis: Redis, pool: str, limit_before: int, limit: int, takes: int
) -> None:
    queue = Queue(redis, pool)
    queue.enqueue([turn(name, max_running=limit_before) for name in "abcd"])
    assert len(queue.claim("w", 1, lease_s=LEASE_S)) == 1
    now_ms = queue.signals().now_ms
    foretell(redis, {pool: Outlook(earliest=((now_ms + 600_000, 4),))}, hold_s=60)
    (answer,) = queue.enqueue([turn("late", is_new=True, deadline_ms=now_ms + 1000, max_running=limit)])
    assert answer.verdict == "too_late"
    assert len(queue.claim("w", 4, lease_s=LEASE_S)) == takes
