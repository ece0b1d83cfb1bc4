"""A roll-out on a host that has no room beside the workers that are there: tables, and what must hold for any fleet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.backoff import Backoff, Ending, after, held
from orchestrator.plan import Drain, Plan, Start, WorkerView
from orchestrator.policies.demand import Signals
from orchestrator.rollout import Course, Step, settled, step
from orchestrator.waves import LET_IN_PLACE, NO_SUCCESSOR, Supply, fit, held_after, plan_wave, without_wave
from tests.orchestrator.test_rollout import NOW, ROLLING, fleet

IN_PLACE = replace(ROLLING, in_place=True)
AFTERWARDS = replace(IN_PLACE, held=3)
CANARY = replace(IN_PLACE, canary_share=20)


def planned(
    course: Course,
    desired: int,
    *,
    room: int = 0,
    coming: bool = False,
    follows: bool = True,
    going: int = 0,
    **there: int,
) -> Plan:
    """`going`: old workers that hand over."""
    leaving = [WorkerView(f"going{number}", "draining", 0.0, revision="a") for number in range(going)]
    supplies = dict.fromkeys("ab", Supply(Backoff(), room, "Full.", coming, follows))
    workers = [*fleet(**there), *leaving]
    return plan_wave(course, desired=desired, reason="r.", workers=workers, supplies=supplies, now=NOW, grace_s=9)


def said(plan: Plan) -> tuple[list[str], str]:
    """Who starts (a revision) and who hands over (without numbers), and the cause of what is not done."""
    words = [action.revision if isinstance(action, Start) else action.worker[:-1] for action in plan.actions]
    return words, plan.cause


@pytest.mark.parametrize(
    ("course", "desired", "there", "expected"),
    [
        (IN_PLACE, 3, {"a_ready": 3}, (["a_ready"], "in_place")),
        (IN_PLACE, 3, {"a_ready": 3, "room": 1}, (["b"], "")),  # with room it is a roll-out as any
        (IN_PLACE, 3, {"a_ready": 3, "coming": True}, ([], "room")),  # others are leaving for it
        (AFTERWARDS, 3, {"a_ready": 2, "going": 1}, ([], "in_place")),
        (AFTERWARDS, 3, {"a_ready": 2, "room": 1}, (["b"], "")),  # what it left is its successor's
        (AFTERWARDS, 3, {"a_ready": 2}, ([], "room")),  # somebody else has it: no second one for that
        (AFTERWARDS, 3, {"a_ready": 2, "b_starting": 1}, ([], "")),
        (AFTERWARDS, 3, {"a_ready": 2, "b_ready": 1}, ([], "")),
        (AFTERWARDS, 3, {"a_ready": 2, "b_settled": 1}, (["a_ready"], "in_place")),
        (AFTERWARDS, 3, {"b_settled": 2, "going": 1}, ([], "in_place")),
        (AFTERWARDS, 3, {"b_settled": 2, "room": 1}, (["b"], "")),
        # the policy wants more than the host holds
        (IN_PLACE, 5, {"a_ready": 3}, (["a_ready"], "in_place")),
        (AFTERWARDS, 5, {"a_ready": 2, "room": 1}, (["b"], "room")),  # a wave is of two
        (AFTERWARDS, 5, {"a_ready": 2, "b_settled": 1}, (["a_ready"], "in_place")),
        # the way back
        (replace(IN_PLACE, state="failed"), 3, {"a_ready": 2, "room": 1}, (["a"], "")),
        (replace(IN_PLACE, state="reverted"), 3, {"a_ready": 1, "b_settled": 2}, (["b_settled"], "in_place")),
        # canaries; in one place it is the new one
        (CANARY, 3, {"a_ready": 3}, (["a_ready"], "in_place")),
        (replace(CANARY, held=3), 3, {"a_ready": 2, "b_settled": 1}, ([], "")),
        (replace(CANARY, held=3), 5, {"a_ready": 2, "b_settled": 1}, ([], "room")),
        (replace(CANARY, held=3), 5, {"a_ready": 2, "b_settled": 1, "room": 2}, (["a", "a"], "")),
        (replace(CANARY, held=1), 1, {"room": 1}, (["b"], "")),
    ],
)
def test_one_worker_at_a_time_makes_room(
    course: Course, desired: int, there: dict[str, int], expected: tuple[list[str], str]
) -> None:
    assert said(planned(course, desired, **there)) == expected


def test_a_full_host_is_told_of_with_what_would_help() -> None:
    assert planned(ROLLING, 3, a_ready=3) == Plan((), f"Full. {LET_IN_PLACE}", "room")
    assert "rolls_in_place" in LET_IN_PLACE
    assert planned(ROLLING, 3, b_settled=2) == Plan((), "Full.", "room")  # there is nobody who could make room
    for course in (ROLLING, IN_PLACE):
        assert planned(course, 3, a_ready=3, follows=False) == Plan((), f"Full. {NO_SUCCESSOR}", "room")


def test_how_many_the_host_holds_is_learnt_when_one_makes_room() -> None:
    made = planned(IN_PLACE, 5, a_ready=3)
    assert held_after(IN_PLACE, made, fleet(a_ready=3)) == 3
    waits = planned(AFTERWARDS, 5, a_ready=2, going=1)
    assert held_after(AFTERWARDS, waits, fleet(a_ready=2)) == 3
    assert held_after(IN_PLACE, planned(IN_PLACE, 3, a_ready=3, room=1), fleet(a_ready=3)) == 0


def test_it_is_not_over_before_the_last_new_worker_serves() -> None:
    def stepped(course: Course, desired: int, **there: int) -> Step | None:
        return step(course, desired=desired, workers=fleet(**there), now=NOW, ready_within_s=60)

    over = Step("steady", "All workers are of this revision.")
    assert stepped(AFTERWARDS, 3, b_settled=2) is None
    assert stepped(AFTERWARDS, 3, b_settled=2, b_starting=1) is None
    assert stepped(AFTERWARDS, 3, b_settled=2, b_ready=1) is None
    assert stepped(AFTERWARDS, 3, b_settled=3) == over
    assert stepped(AFTERWARDS, 5, b_settled=3) == over  # more than the host holds are not waited for
    assert stepped(AFTERWARDS, 2, b_settled=2) == over


def test_the_policy_sees_neither_the_surge_nor_the_gap() -> None:
    seen = Signals(slots=4, starting=1, ready=3)
    assert without_wave(seen, ROLLING, desired=3) == Signals(slots=4, starting=0, ready=3)
    assert without_wave(seen, ROLLING, desired=2) == Signals(slots=4, starting=0, ready=2)
    assert without_wave(seen, ROLLING, desired=5) == seen
    assert without_wave(seen, AFTERWARDS, desired=5) == seen  # as many as the host holds
    gap = Signals(slots=4, starting=0, ready=2)
    assert without_wave(gap, IN_PLACE, desired=3) == gap
    assert without_wave(gap, AFTERWARDS, desired=3) == Signals(slots=4, starting=1, ready=2)
    assert without_wave(gap, AFTERWARDS, desired=2) == gap


@dataclass
class FullHost:
    """A host with so many places, and one pool: workers start and end in their time, new ones may fail."""

    course: Course
    places: int
    desired: int
    start_s: float
    end_s: float
    is_bad: bool
    now: float = NOW
    workers: list[WorkerView] = field(default_factory=list)
    backoffs: dict[str, Backoff] = field(default_factory=lambda: dict.fromkeys("ab", Backoff()))
    count: int = 0
    over_with: int = 0
    """So many served when it was said to be over."""

    def ready(self) -> int:
        return sum(worker.state == "ready" for worker in self.workers)

    def tick(self) -> None:
        self.now += 1
        self.workers = [after for worker in self.workers if (after := self._lived(worker)) is not None]
        serving = fit(self.workers)
        made = step(self.course, desired=self.desired, workers=serving, now=self.now, ready_within_s=1e9)
        if made is not None and made.state == "steady":
            self.over_with = sum(settled(worker, self.now) for worker in serving)
            self.course = Course(current=self.course.target, in_place=True)
        elif made is not None:
            self.course = replace(self.course, state=made.state, held=0 if made.state == "failed" else self.course.held)
        room = self.places - len(self.workers)
        plan = plan_wave(
            self.course,
            desired=self.desired,
            reason="r.",
            workers=self.workers,
            supplies={name: Supply(self.backoffs[name], room, "Full.") for name in "ab"},
            now=self.now,
            grace_s=1e9,
        )
        self.course = replace(self.course, held=held_after(self.course, plan, self.workers))
        going = {action.worker for action in plan.actions if isinstance(action, Drain)}
        self.workers = [
            replace(worker, state="draining", draining_at=self.now) if worker.id in going else worker
            for worker in self.workers
        ]
        for action in plan.actions:
            if isinstance(action, Start):
                self.count += 1
                worker = WorkerView(f"w{self.count}", "starting", self.now, revision=action.revision, begun_at=self.now)
                self.workers.append(worker)
        assert len(self.workers) <= self.places

    def _lived(self, worker: WorkerView) -> WorkerView | None:
        """What became of it in this second."""
        if worker.state == "draining":
            return worker if self.now - (worker.draining_at or 0) < self.end_s else None
        backoff = self.backoffs[worker.revision]
        if worker.ready_at is not None:
            self.backoffs[worker.revision] = held(
                backoff, begun_at=worker.started_at, ready_for_s=self.now - worker.ready_at
            )
        if worker.state == "ready" or self.now - worker.started_at < self.start_s:
            return worker
        if self.is_bad and worker.revision == "b":
            self.backoffs["b"] = after(backoff, Ending(worker.started_at, self.now, None, 1, "bad"))
            if self.course.under_way:
                self.course = replace(self.course, failures=self.course.failures + 1, error="bad")
            return None
        return replace(worker, state="ready", ready_at=self.now)


def full_host(course: Course, places: int, desired: int, start_s: float, end_s: float, *, is_bad: bool) -> FullHost:
    old = [WorkerView(f"old{n}", "ready", 0.0, revision="a", ready_at=0.0, begun_at=0.0) for n in range(places)]
    return FullHost(course, places, desired, start_s, end_s, is_bad, workers=old)


shares, times = st.integers(0, 100), st.floats(0.5, 6)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 5), shares, shares, times, times, st.booleans())
def test_a_full_host_arrives_and_never_lacks_more_than_one(
    places: int, wanted_more: int, surge: int, canary: int, start_s: float, end_s: float, is_bad: bool
) -> None:
    course = replace(IN_PLACE, surge_share=surge, canary_share=canary)
    there = full_host(course, places, places + wanted_more, start_s, end_s, is_bad=is_bad)
    for _ in range(300):
        there.tick()
        assert there.ready() >= places - 1
        if there.course.state == "canary":
            there.course = replace(there.course, state="rolling", confirmed=True)
    assert there.course.state == ("failed" if is_bad else "steady")
    assert [worker.revision for worker in there.workers] == [there.course.wanted] * places
    assert there.course.wanted == ("a" if is_bad else "b")
    assert there.over_with == (0 if is_bad else places)
    assert all(settled(worker, there.now) for worker in there.workers)


@settings(deadline=None)
@given(
    st.integers(1, 12),
    shares,
    st.lists(st.tuples(st.integers(0, 15), times, times, st.booleans()), max_size=40),
    st.booleans(),
)
def test_it_arrives_whatever_the_policy_wanted_and_whoever_led_meanwhile(
    places: int, canary: int, demand: list[tuple[int, float, float, bool]], is_bad: bool
) -> None:
    there = full_host(replace(IN_PLACE, canary_share=canary), places, places, 1.0, 1.0, is_bad=is_bad)
    for there.desired, there.start_s, there.end_s, is_new_leader in demand:
        if is_new_leader:
            there.course = replace(there.course, held=0)
        before = there.ready()
        there.tick()
        assert there.ready() >= min(there.desired, before) - 1
    there.desired = places
    for _ in range(300):
        there.tick()
        if there.course.state == "canary":
            there.course = replace(there.course, state="rolling", confirmed=True)
    assert there.course.state == ("failed" if is_bad else "steady")
    assert [worker.revision for worker in there.workers] == [there.course.wanted] * places
