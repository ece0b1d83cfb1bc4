"""From desired numbers to actions: tables."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backoff import Backoff
from orchestrator.plan import Drain, Kill, Plan, Start, WorkerView, plan

NOW = 1000.0


def planned(desired: int, *workers: WorkerView, backoff: Backoff | None = None, room: int = 99) -> Plan:
    return plan(
        desired=desired,
        reason="because.",
        workers=workers,
        now=NOW,
        backoff=backoff or Backoff(),
        room=room,
        grace_s=10,
    )


def ready(name: str, running: int = 0, started_at: float = 0.0) -> WorkerView:
    return WorkerView(name, "ready", started_at, running)


def starting(name: str, started_at: float = 0.0) -> WorkerView:
    return WorkerView(name, "starting", started_at)


def draining(name: str, since: float) -> WorkerView:
    return WorkerView(name, "draining", 0.0, 3, draining_at=since)


def victims(result: Plan) -> list[str]:
    return [action.worker for action in result.actions if isinstance(action, Drain)]


def test_missing_workers_start() -> None:
    assert planned(3, ready("a")).actions == (Start("because."), Start("because."))


def test_starting_ones_count_draining_ones_do_not() -> None:
    assert planned(2, starting("a"), draining("b", NOW - 1)).actions == (Start("because."),)
    assert planned(1, starting("a")).actions == ()


def test_victims_are_starting_then_idle_then_least_busy_the_young_first() -> None:
    fleet = (
        ready("busy", 7),
        ready("old idle", 0, 1.0),
        ready("young idle", 0, 2.0),
        ready("less busy", 2),
        starting("old start", 3.0),
        starting("young start", 4.0),
    )
    order = ["young start", "old start", "young idle", "old idle", "less busy", "busy"]
    for left in range(6, -1, -1):
        assert victims(planned(left, *fleet)) == order[: 6 - left]


def test_a_draining_worker_past_its_grace_is_killed() -> None:
    assert planned(0, draining("a", NOW - 9)).actions == ()
    (kill,) = planned(0, draining("a", NOW - 11)).actions
    assert kill == Kill("a", "It was asked to end and had not done so after 10 s.", faulty=False)


def test_a_faulty_worker_is_killed_and_replaced_at_once() -> None:
    bad = WorkerView("a", "ready", 0.0, 2, fault="It is silent.")
    assert planned(1, bad).actions == (Kill("a", "It is silent.", faulty=True), Start("because."))


def test_backoff_holds_starts_back_and_says_why() -> None:
    backoff = Backoff(failures=2, failed_at=NOW - 1, until=NOW + 3, error="no such model")
    held = planned(2, backoff=backoff)
    assert held.actions == ()
    assert held.note == (
        "No start before 00:16:43 UTC: 2 workers in a row failed at the start or soon after; "
        "the last said: no such model"
    )
    later = plan(desired=2, reason="because.", workers=(), now=NOW + 3, backoff=backoff, room=9, grace_s=1)
    assert later.actions == (Start("because."),)  # one tries before the others follow
    assert planned(3, starting("a"), backoff=Backoff(failures=2)).actions == ()


def test_backoff_holds_no_drain_back() -> None:
    backoff = Backoff(failures=9, until=NOW + 99)
    assert victims(planned(0, ready("a"), backoff=backoff)) == ["a"]


def test_the_host_bounds_starts() -> None:
    result = planned(5, ready("a"), room=1)
    assert result.actions == (Start("because."),)
    assert result.note == "4 workers wanted, but this host may hold only 1 more."
    assert planned(5, room=-3).actions == ()


views = st.lists(
    st.builds(
        WorkerView,
        id=st.uuids().map(str),
        state=st.sampled_from(["starting", "ready", "draining"]),
        started_at=st.floats(0, NOW),
        running=st.integers(0, 8),
        draining_at=st.floats(0, NOW),
        fault=st.sampled_from(["", "", "", "silent"]),
    ),
    max_size=12,
)


@given(views, st.integers(0, 12), st.integers(0, 20))
def test_the_plan_leads_to_the_desired_number(workers: list[WorkerView], desired: int, room: int) -> None:
    result = plan(desired=desired, reason="r", workers=workers, now=NOW, backoff=Backoff(), room=room, grace_s=10)
    touched = [action.worker for action in result.actions if not isinstance(action, Start)]
    assert len(touched) == len(set(touched))
    starts = sum(isinstance(action, Start) for action in result.actions)
    kept = sum(worker.state != "draining" and worker.id not in touched for worker in workers)
    assert kept + starts == desired or (starts == room and kept + starts < desired)
    assert not (starts and victims(result))
