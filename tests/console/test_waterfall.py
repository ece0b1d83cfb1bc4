"""A task's life as spans: each kind of task as moments in, spans out."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from console.tasks.bars import drawn, length
from console.tasks.waterfall import AttemptTimes, CallTimes, Kind, Span, TaskTimes, TurnTimes, spans_of, totals

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def claim(
    claimed: float, ended: float | None = None, *, number: int = 1, worker: str = "w1", tokens: int = 0
) -> AttemptTimes:
    return AttemptTimes(
        number=number, worker=worker, claimed_at=at(claimed), ended_at=None if ended is None else at(ended), tokens=tokens
    )  # fmt: skip


def turn(
    number: int, queued: float, *attempts: AttemptTimes, first: float | None = None, end: float | None = None
) -> TurnTimes:
    return TurnTimes(
        number=number, queued_at=at(queued), attempts=attempts, first_token_at=None if first is None else at(first),
        finished_at=None if end is None else at(end),
    )  # fmt: skip


def call(of: int, name: str, begin: float, end: float | None, number: int = 1, waits_for: Any = "tools") -> CallTimes:
    return CallTimes(
        turn=of, number=number, name=name, created_at=at(begin), started_at=at(begin), waits_for=waits_for,
        finished_at=None if end is None else at(end),
    )  # fmt: skip


def told(task: TaskTimes, now: float = 100) -> list[tuple[str, float, float, int]]:
    """Kind, begin and end in seconds, and turn."""
    seconds = timedelta(seconds=1)
    return [
        (str(span.kind), (span.start - BEGIN) / seconds, (span.end - BEGIN) / seconds, span.turn)
        for span in spans_of(task, now=at(now))
    ]


def of(*turns: TurnTimes, end: float | None = None, calls: tuple[CallTimes, ...] = (), **more: Any) -> TaskTimes:
    return TaskTimes(
        created_at=BEGIN, finished_at=None if end is None else at(end), turns=turns, calls=calls, **more
    )  # fmt: skip


SIMPLE = of(turn(1, 0, claim(2), first=3, end=9), end=9)
TAKEN_OVER = of(
    turn(1, 0, claim(1, 4, tokens=20), claim(6, 7, number=2, worker="w2", tokens=25), claim(8, number=3, worker="w3"), end=12),
    end=12,
)  # fmt: skip
WITH_TOOLS = of(
    turn(1, 0, claim(1), first=2, end=3),
    turn(2, 8, claim(9), first=10, end=11),
    end=11,
    calls=(call(1, "weather", 3.5, 5), call(1, "double", 3, 7, 2)),
)


@pytest.mark.parametrize(
    ("task", "spans"),
    [
        (SIMPLE, [("queued", 0, 2, 1), ("prefill", 2, 3, 1), ("decode", 3, 9, 1)]),
        (
            TAKEN_OVER,
            [
                ("queued", 0, 1, 1), ("lost", 1, 4, 1), ("queued", 4, 6, 1), ("lost", 6, 7, 1), ("queued", 7, 8, 1),
                ("run", 8, 12, 1),
            ],
        ),
        (
            WITH_TOOLS,
            [
                ("queued", 0, 1, 1), ("prefill", 1, 2, 1), ("decode", 2, 3, 1), ("tools", 3, 8, 1), ("queued", 8, 9, 2),
                ("prefill", 9, 10, 2), ("decode", 10, 11, 2), ("call", 3.5, 5, 1), ("call", 3, 7, 1),
            ],
        ),
        (of(turn(1, 0)), [("queued", 0, 100, 1)]),
        (of(turn(1, 0, claim(40))), [("queued", 0, 40, 1), ("run", 40, 100, 1)]),
        (of(turn(1, 0, claim(40, 60))), [("queued", 0, 40, 1), ("lost", 40, 60, 1), ("queued", 60, 100, 1)]),
        (of(turn(1, 0), is_held=True), [("conversation", 0, 100, 0)]),
        (of(turn(1, 30, claim(31), first=32, end=33), end=33), [
            ("conversation", 0, 30, 0), ("queued", 30, 31, 1), ("prefill", 31, 32, 1), ("decode", 32, 33, 1),
        ]),
        (of(turn(1, 0, end=5), end=5), [("queued", 0, 5, 1)]),
        (of(turn(1, 0, claim(1), first=2, end=3), calls=(call(1, "ask_human", 3, None, waits_for="person"),)), [
            ("queued", 0, 1, 1), ("prefill", 1, 2, 1), ("decode", 2, 3, 1), ("person", 3, 100, 1), ("call", 3, 100, 1),
        ]),
        (of(turn(1, 0, claim(1), first=2, end=3), end=20, calls=(call(1, "hand_off", 3, 20, waits_for="agent"),)), [
            ("queued", 0, 1, 1), ("prefill", 1, 2, 1), ("decode", 2, 3, 1), ("agent", 3, 20, 1), ("call", 3, 20, 1),
        ]),
        (of(end=4), [("queued", 0, 4, 0)]),
    ],
    ids=[
        "simple", "taken over", "with tools", "waits", "runs", "between attempts", "held", "was held", "cancelled in the queue",
        "waits for a person", "ended while it was handed over", "without turns",
    ],
)  # fmt: skip
def test_each_kind_of_task(task: TaskTimes, spans: list[tuple[str, float, float, int]]) -> None:
    assert told(task) == spans


def test_a_span_names_its_worker_its_attempt_and_its_tokens() -> None:
    lost = [
        (span.attempt, span.worker, span.tokens) for span in spans_of(TAKEN_OVER, now=at(99)) if span.kind == Kind.LOST
    ]
    assert lost == [(1, "w1", 20), (2, "w2", 25)]
    assert [span.is_open for span in spans_of(of(turn(1, 0, claim(1))), now=at(9))] == [False, True]


def test_clocks_that_differ_make_no_overlap() -> None:
    """The worker's first token lies before its claim, the claim before the acceptance, the end before the first token."""
    assert told(of(turn(1, 0, claim(-1), first=-2, end=3), end=2.5)) == [("decode", 0, 2.5, 1)]


def test_spans_leave_no_gap_whatever_the_moments() -> None:
    chance = random.Random(7)
    for _ in range(300):
        moments = sorted(round(chance.uniform(-1, 50), 3) for _ in range(12))
        if chance.random() < 0.3:  # clocks that differ
            chance.shuffle(moments)
        a, b, c, d, e, f, g, h, i, j, k, last = moments
        task = of(
            turn(1, a, claim(b, c), claim(d, number=2), first=e, end=f),
            turn(2, h, claim(i), first=chance.choice([None, j]), end=k),
            end=chance.choice([None, last]),
            calls=(call(1, "x", f, g),),
        )
        spans = [span for span in spans_of(task, now=at(60)) if span.kind != Kind.CALL]
        end = max(BEGIN, task.finished_at or at(60))
        assert all(one.end == next_one.start for one, next_one in pairwise(spans))
        assert end == BEGIN or (spans[0].start, spans[-1].end) == (BEGIN, end)
        assert sum(totals(spans).values(), timedelta()) == end - BEGIN


def test_bars_have_places_and_exact_lengths() -> None:
    fall = drawn(spans_of(WITH_TOOLS, now=at(99)))
    assert [lane.name for lane in fall.lanes] == ["Turn 1", "weather", "double", "Turn 2"]
    assert [(bar.left, bar.width, bar.lasts) for bar in fall.lanes[0].bars] == [
        (0, 91, "1.000 s"), (91, 91, "1.000 s"), (182, 91, "1.000 s"), (273, 454, "5.000 s"),
    ]  # fmt: skip
    assert fall.lasts == "11.000 s"
    assert {part.kind: part.share for part in fall.parts} == {"queued": 18, "prefill": 18, "decode": 18, "tools": 45}
    assert drawn([]).lanes == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.000 s"),
        (0.0421, "0.042 s"),
        (59.9996, "59.999 s"),
        (65.3, "1 min 05.300 s"),
        (7201, "2 h 00 min 01.000 s"),
    ],
)
def test_lengths_are_exact(seconds: float, words: str) -> None:
    assert length(timedelta(seconds=seconds)) == words


def test_an_instant_is_still_seen() -> None:
    one = Span(kind=Kind.QUEUED, start=BEGIN, end=BEGIN)
    (lane,) = drawn([one]).lanes
    assert lane.bars[0].width > 0
