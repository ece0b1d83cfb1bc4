"""Waves of a roll-out: tables, and what must hold for any fleet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.backoff import Backoff
from orchestrator.plan import Drain, Start, WorkerView
from orchestrator.rollout import MOST_FAILURES, SETTLE_S, Course, Step, Wave, patience_s, settled, step, wave
from orchestrator.waves import Supply, plan_wave

NOW = 1000.0
ROLLING = Course(current="a", target="b", state="rolling")


def fleet(**counts: int) -> list[WorkerView]:
    """`a_ready=2, b_starting=1, b_settled=1`: workers of these revisions; a ready one of `b` has not settled."""
    made = []
    for words, count in counts.items():
        revision, state = words.split("_")
        ready_at = {"starting": None, "ready": NOW - 100 if revision == "a" else NOW, "settled": NOW - SETTLE_S}[state]
        for number in range(count):
            live = "starting" if state == "starting" else "ready"
            view = WorkerView(f"{words}{number}", live, 0.0, revision=revision, ready_at=ready_at, begun_at=NOW - 1)  # type: ignore[arg-type]
            made.append(view)
    return made


def due(course: Course, desired: int, **counts: int) -> tuple[int, int, list[str]]:
    """Starts of the wanted and of the current revision, and who goes (without numbers)."""
    found = wave(course, desired=desired, workers=fleet(**counts), now=NOW)
    return found.new, found.old, [worker.id[:-1] for worker in found.drains]


CANARY = replace(ROLLING, canary_share=20)
HALF = replace(ROLLING, canary_share=50)
BACK = replace(ROLLING, state="failed")


@pytest.mark.parametrize(
    ("course", "desired", "there", "expected"),
    [
        # one wave after the other
        (ROLLING, 3, {"a_ready": 3}, (1, 0, [])),
        (ROLLING, 3, {"a_ready": 3, "b_starting": 1}, (0, 0, [])),
        (ROLLING, 3, {"a_ready": 3, "b_ready": 1}, (0, 0, [])),  # it has not settled
        (ROLLING, 3, {"a_ready": 3, "b_settled": 1}, (0, 0, ["a_ready"])),
        (ROLLING, 3, {"a_ready": 2, "b_settled": 1}, (1, 0, [])),
        (ROLLING, 3, {"a_ready": 1, "b_settled": 2}, (1, 0, [])),
        (ROLLING, 3, {"a_ready": 1, "b_settled": 3}, (0, 0, ["a_ready"])),
        (replace(ROLLING, surge_share=50), 8, {"a_ready": 8}, (4, 0, [])),
        # the policy wants more: from the current revision until the new one has served, then from the new one
        (ROLLING, 4, {"a_ready": 2}, (1, 2, [])),
        (ROLLING, 4, {"a_ready": 2, "b_starting": 1}, (0, 2, [])),
        (ROLLING, 4, {"a_ready": 1, "b_settled": 1}, (3, 0, [])),
        # the policy wants fewer: old ones first, and what the surge no longer covers
        (ROLLING, 2, {"a_ready": 3, "b_starting": 1}, (0, 0, ["a_ready"])),
        (ROLLING, 0, {"a_ready": 2, "b_settled": 1}, (0, 0, ["a_ready", "a_ready", "b_settled"])),
        # nothing to protect: the new revision is simply used
        (ROLLING, 3, {}, (3, 0, [])),
        (ROLLING, 0, {}, (0, 0, [])),
        # old ones that start are worth waiting for, but go first; those of a third revision go at once
        (ROLLING, 2, {"a_ready": 1, "a_starting": 1, "b_settled": 1}, (0, 0, ["a_starting"])),
        (ROLLING, 2, {"a_ready": 2, "c_starting": 1}, (0, 0, ["c_starting"])),
        (ROLLING, 2, {"a_ready": 1, "c_ready": 1, "b_settled": 1}, (0, 0, ["c_ready"])),
        # the way back: what starts goes at once, what serves is replaced
        (BACK, 3, {"a_ready": 3, "b_starting": 1}, (0, 0, ["b_starting"])),
        (BACK, 3, {"a_ready": 1, "b_settled": 2}, (1, 0, [])),
        # canaries
        (CANARY, 5, {"a_ready": 5}, (1, 0, [])),
        (CANARY, 5, {"a_ready": 5, "b_settled": 1}, (0, 0, ["a_ready"])),
        (CANARY, 5, {"a_ready": 4, "b_settled": 1}, (0, 0, [])),
        (CANARY, 10, {"a_ready": 4, "b_settled": 1}, (1, 4, [])),
        (CANARY, 2, {"a_ready": 8, "b_settled": 2}, (0, 0, ["a_ready"] * 7 + ["b_settled"])),
        (CANARY, 1, {"a_ready": 1, "b_settled": 1}, (0, 0, [])),  # one of each at least
        # what serves is needed, though it is one too many, has not settled, or others start
        (HALF, 4, {"a_ready": 2, "a_starting": 2, "b_ready": 2}, (0, 0, ["a_starting"])),
        (HALF, 4, {"a_ready": 1, "a_starting": 1, "b_settled": 4}, (0, 0, ["b_settled"])),
        (replace(CANARY, confirmed=True), 5, {"a_ready": 4, "b_settled": 1}, (2, 0, [])),
    ],
)
def test_waves(course: Course, desired: int, there: dict[str, int], expected: tuple[int, int, list[str]]) -> None:
    assert due(course, desired, **there) == expected


def stepped(course: Course, desired: int, **counts: int) -> Step | None:
    return step(course, desired=desired, workers=fleet(**counts), now=NOW, ready_within_s=60)


def test_the_states_of_a_roll_out() -> None:
    assert stepped(replace(ROLLING, state="steady"), 1, a_ready=1) is None
    assert stepped(ROLLING, 2, a_ready=1, b_settled=2) is None
    assert stepped(ROLLING, 2, b_ready=2) is None
    assert stepped(ROLLING, 0) is None
    assert stepped(ROLLING, 2, b_settled=1) == Step("steady", "All workers are of this revision.")
    assert stepped(CANARY, 5, a_ready=4, b_ready=1) is None
    waits = stepped(CANARY, 5, a_ready=4, b_settled=1)
    assert waits == Step("canary", "1 of 5 workers are new; the rest waits for your word.")
    assert stepped(replace(CANARY, state="canary"), 5, a_ready=4, b_settled=1) is None
    whole = stepped(replace(CANARY, canary_share=100), 2, b_settled=2)
    assert whole is not None
    assert whole.state == "canary"


def test_a_wave_that_fails_ends_the_roll_out() -> None:
    assert stepped(replace(ROLLING, failures=MOST_FAILURES - 1), 2, a_ready=2) is None
    failed = stepped(replace(ROLLING, failures=MOST_FAILURES, error="no such model"), 2, a_ready=2)
    assert failed == Step("failed", "Its workers failed; the last said: no such model")
    (late,) = fleet(b_starting=1)
    late = replace(late, begun_at=NOW - 61)
    slow = step(ROLLING, desired=1, workers=[late], now=NOW, ready_within_s=60)
    assert slow == Step("failed", "A worker was not ready 60 s after its start.", late.id)
    unseen = replace(late, begun_at=None)  # its image is being pulled
    assert step(ROLLING, desired=1, workers=[unseen], now=NOW, ready_within_s=60) is None


def test_patience_goes_by_what_starts_took() -> None:
    assert patience_s(start_timeout_s=600, start_s=None) == 600
    assert patience_s(start_timeout_s=600, start_s=5) == 120
    assert patience_s(start_timeout_s=600, start_s=60) == 300
    assert patience_s(start_timeout_s=600, start_s=200) == 600


def test_starts_of_the_wave_come_after_what_the_policy_wants() -> None:
    def planned(room: int, failing: str = "") -> list[Start | Drain]:
        supplies = {name: Supply(Backoff(failures=name == failing, until=NOW + 9), room, "Full.") for name in "ab"}
        supplies = {
            name: supply if name == failing else replace(supply, backoff=Backoff()) for name, supply in supplies.items()
        }
        views = fleet(a_ready=2)
        made = plan_wave(ROLLING, desired=4, reason="r.", workers=views, supplies=supplies, now=NOW, grace_s=9)
        return [action.revision for action in made.actions if isinstance(action, Start)] + [made.cause]  # type: ignore[list-item]

    assert planned(9) == ["a", "a", ""]  # the others come next
    assert planned(2) == ["a", "a", ""]
    assert planned(1) == ["a", "room"]
    assert planned(9, failing="b") == ["a", "a", "backoff"]


@dataclass
class World:
    """A fleet in which workers become ready after some ticks, or fail, and which does what the wave says."""

    course: Course
    desired: int
    bad: frozenset[str] = frozenset()
    now: float = NOW
    workers: list[WorkerView] = field(default_factory=list)
    count: int = 0

    def ready(self) -> int:
        return sum(worker.state == "ready" for worker in self.workers)

    def tick(self, start_s: float) -> None:
        self.now += 1
        alive = []
        for worker in self.workers:
            old = self.now - worker.started_at
            if worker.state == "starting" and old >= start_s:
                if worker.revision in self.bad:
                    self.course = replace(self.course, failures=self.course.failures + 1, error="bad")
                    continue
                worker = replace(worker, state="ready", ready_at=self.now)  # noqa: PLW2901
            alive.append(worker)
        self.workers = alive
        made = step(self.course, desired=self.desired, workers=alive, now=self.now, ready_within_s=1e9)
        if made is not None and made.state == "steady":
            self.course = Course(current=self.course.target, surge_share=self.course.surge_share)
        elif made is not None:
            self.course = replace(self.course, state=made.state)
        before = self.ready()
        found: Wave = wave(self.course, desired=self.desired, workers=alive, now=self.now)
        assert not (found.drains and found.new + found.old)
        going = {worker.id for worker in found.drains}
        self.workers = [worker for worker in alive if worker.id not in going]
        for revision, number in ((self.course.wanted, found.new), (self.course.current, found.old)):
            for _ in range(number):
                self.count += 1
                self.workers.append(
                    WorkerView(f"w{self.count}", "starting", self.now, revision=revision, begun_at=self.now)
                )
        assert self.ready() >= min(self.desired, before), "fewer serve because of the roll-out"
        if found.new + found.old:
            most = self.desired + self.course.surge(self.desired)
            assert len(self.workers) <= most, "more than the surge allows"


def world(size: int, surge: int, canary: int, bad: frozenset[str]) -> World:
    old = [WorkerView(f"old{number}", "ready", 0.0, revision="a", ready_at=0.0, begun_at=0.0) for number in range(size)]
    return World(Course("a", "b", "rolling", surge, canary), size, bad, workers=old)


sizes = st.integers(0, 12)
shares = st.integers(0, 100)


@settings(deadline=None)
@given(sizes, shares, shares, st.lists(st.tuples(sizes, st.floats(0.5, 6)), max_size=40), st.booleans())
def test_any_fleet_under_any_demand_keeps_its_size_and_arrives(
    size: int, surge: int, canary: int, demand: list[tuple[int, float]], is_bad: bool
) -> None:
    there = world(size, surge, canary, frozenset("b") if is_bad else frozenset())
    for desired, start_s in demand:
        there.desired = desired
        there.tick(start_s)
    there.desired = 4
    for _ in range(300):
        there.tick(2)
        if there.course.state == "canary":
            there.course = replace(there.course, state="rolling", confirmed=True)
    assert there.course.state == ("failed" if is_bad else "steady")
    assert [worker.revision for worker in there.workers] == [there.course.wanted] * 4
    assert there.course.wanted == ("a" if is_bad else "b")
    assert all(settled(worker, there.now) for worker in there.workers)


@given(sizes, st.integers(1, 100), shares)
def test_canaries_hold_the_share_until_the_word(size: int, canary: int, surge: int) -> None:
    there = world(size, surge, canary, frozenset())
    for _ in range(200):
        there.tick(2)
    new = sum(worker.revision == "b" for worker in there.workers)
    assert new == there.course.canaries(size)
    assert there.course.state == ("canary" if size else "rolling")
    old = 0 if canary == 100 or not size else max(1, size - new)  # one old worker stays at least
    assert len(there.workers) == new + old
