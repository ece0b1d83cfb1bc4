"""The verdict of `make chaos` on fabricated misfortunes: one that cannot fail would be worthless."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.chaos.verdict import (
    Kept,
    Seen,
    Stall,
    Told,
    Violation,
    counted,
    first_wait_s,
    judge,
    neighbours_late_s,
    stalls,
    stands_still,
    taken_over,
)

WORDS = (" one", " two", " three")
RIGHT = [
    Seen(1, "state", "", 0.0),
    Seen(2, "state", "", 0.1),
    *(Seen(number, "text", word, 0.1 * number) for number, word in enumerate(WORDS, 3)),
    Seen(6, "outcome", "", 0.6),
]
KEPT = Kept(rows=1, state="succeeded", output="".join(WORDS), outcomes_in_log=1)


def told(seen: Sequence[Seen] = RIGHT, *, outcome: str = "succeeded", ids: Sequence[str] = ("a",)) -> Told:
    return Told("key", "pool", expected="".join(WORDS), ids=set(ids), seen=list(seen), outcome=outcome)


def test_an_undisturbed_task_is_right() -> None:
    assert judge(told(), KEPT) == []


def test_a_failed_task_may_end_early_but_not_with_other_words() -> None:
    failed = KEPT._replace(state="failed", output=" one")
    seen = [*RIGHT[:3], Seen(4, "outcome", "", 0.4)]
    assert judge(told(seen, outcome="failed"), failed) == []
    other = [*RIGHT[:2], Seen(3, "text", " ten", 0.3), Seen(4, "outcome", "", 0.4)]
    assert kinds(judge(told(other, outcome="failed"), failed._replace(output=" ten"))) == {"text"}


def test_a_restart_begins_anew_with_later_numbers() -> None:
    again = [
        *RIGHT[:4],
        Seen(1000, "restart", "", 5.0),
        Seen(1001, "state", "", 5.1),
        *(Seen(1002 + number, "text", word, 5.2) for number, word in enumerate(WORDS)),
        Seen(1005, "outcome", "", 5.3),
    ]
    assert judge(told(again), KEPT) == []
    assert kinds(judge(told([*RIGHT[:4], *again[5:]]), KEPT)) == {"gap", "text", "record"}


@pytest.mark.parametrize(
    ("seen", "kept", "expected"),
    [
        (RIGHT[:3] + RIGHT[4:], KEPT, {"gap", "text", "record"}),
        (RIGHT[:4] + RIGHT[3:], KEPT, {"repeat", "text", "record"}),
        ([*RIGHT[:3], RIGHT[4]._replace(number=4), *RIGHT[5:]], KEPT, {"gap", "text", "record"}),
        ([e._replace(text=" ten") if e.number == 4 else e for e in RIGHT], KEPT, {"text", "record"}),
        (RIGHT, KEPT._replace(output=" one two"), {"record"}),
        (RIGHT, KEPT._replace(state="failed"), {"record"}),
        ([*RIGHT, Seen(7, "outcome", "", 0.7)], KEPT, {"doubled"}),
        (RIGHT, KEPT._replace(outcomes_in_log=2), {"doubled"}),
        (RIGHT, KEPT._replace(rows=2), {"doubled"}),
        (RIGHT, Kept(rows=0, state="", output="", outcomes_in_log=0), {"lost"}),
        (RIGHT[:5], KEPT._replace(state="running", output=""), {"lost"}),
        (RIGHT[:5], KEPT, {"lost"}),
        ([], KEPT, {"lost"}),
    ],
    ids=[
        "a lost event",
        "a repeated event",
        "a lost event, renumbered",
        "another word",
        "a shorter record",
        "another outcome",
        "two outcomes in the stream",
        "two outcomes in the log",
        "two tasks in Postgres",
        "no task in Postgres",
        "no outcome in Postgres",
        "a stream without end",
        "a stream that never began",
    ],
)
def test_misfortunes_are_seen(seen: list[Seen], kept: Kept, expected: set[str]) -> None:
    assert kinds(judge(told(seen), kept)) == expected


def test_two_answers_to_one_key_are_doubled() -> None:
    assert kinds(judge(told(ids=("a", "b")), KEPT)) == {"doubled"}


def test_a_task_counts_once_per_kind() -> None:
    twice = [
        Violation("gap", "a", "x"),
        Violation("gap", "a", "y"),
        Violation("gap", "b", "z"),
        Violation("lost", "a", ""),
    ]
    assert counted(twice) == {"gap": 2, "lost": 1}


def test_stalls_are_between_the_first_text_and_the_end() -> None:
    seen = [RIGHT[0], RIGHT[1], *(e._replace(at=e.at + 10) for e in RIGHT[2:5]), RIGHT[5]._replace(at=15.0)]
    (stall,) = stalls(told(seen), above_s=1.0)
    assert stall.length_s == pytest.approx(15.0 - 10.5)
    assert stalls(told(RIGHT), above_s=1.0) == []
    assert stalls(told([]), above_s=1.0) == []


def test_a_stream_is_taken_over_where_it_is_queued_again_behind_text() -> None:
    queued = Seen(0, "state", "", 0.0)
    assert not taken_over(RIGHT)
    assert taken_over([*RIGHT[:4], queued, *RIGHT[4:]])
    assert not taken_over([*RIGHT[:4], Seen(1000, "restart", "", 5.0), queued, *RIGHT[2:]])


def test_a_stream_stands_still_from_its_first_text_to_its_end() -> None:
    assert stands_still(RIGHT[:4], since=0.5)
    assert not stands_still(RIGHT[:4], since=0.4)  # that is when its last event came
    assert not stands_still(RIGHT[:2], since=9.0)
    assert not stands_still(RIGHT, since=9.0)
    assert not stands_still([], since=9.0)


def test_the_machine_is_as_late_as_those_whom_no_fault_touched() -> None:
    def stream(*ats: float, kind: str = "text") -> Told:
        return told([Seen(n, kind, " x", at) for n, at in enumerate(ats)])

    stall = Stall("a", 10.0, 15.0)
    assert neighbours_late_s(stall, []) == 0.0
    assert neighbours_late_s(stall, [stream(10.0, 15.0, kind="state"), stream(1.0, 9.0), stream(12.0)]) == 0.0
    untouched = [stream(9.0, 11.0, 11.1), stream(11.0, 11.2, 11.5), stream(12.0, 14.0)]
    assert neighbours_late_s(stall, untouched) == pytest.approx(0.3)


def test_waiting_for_the_first_text_is_counted_from_the_acceptance() -> None:
    one = told([Seen(1, "state", "", 2.0), Seen(2, "text", " x", 3.5), Seen(3, "text", " y", 9.0)])
    one.accepted_at = 1.0
    assert first_wait_s(one) == 2.5
    assert first_wait_s(told([])) == 0.0


def kinds(violations: list[Violation]) -> set[str]:
    return {violation.kind for violation in violations}
