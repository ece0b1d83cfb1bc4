"""What is kept of a pool's ticks, in Postgres, and what the next leader makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from orchestrator import records
from orchestrator.journal import Journal
from orchestrator.models import Pool, ScalingDecision
from orchestrator.plan import Drain, Plan
from orchestrator.policies.demand import Demand, History, Policy, Signals
from orchestrator.refusals import OVER, QUIET_S, Kind
from orchestrator.replay import Inputs, decided, differences

pytestmark = pytest.mark.django_db

USED = "Revision 2 is used: All workers are of this revision."


@dataclass
class Ticks:
    """A pool whose work never changes, tick by tick; what was said is read from the rows."""

    pool: Pool
    journal: Journal = field(default_factory=Journal)
    now: float = 1e9

    def tick(
        self, present: dict[Kind, str], *actions: Drain, after_s: float = 1.0, spent_h: float | None = None
    ) -> str:
        """What was kept of this tick beyond the decision's own reason; empty: nothing was."""
        self.now += after_s
        seen = Signals(slots=4, ready=1, demand=Demand(at=self.now, waiting=0, running=4), spent_h=spent_h)
        policy = Policy(min_workers=1, max_workers=1, gpu_hours_per_day=2.0)
        inputs = Inputs(policy=policy, signals=seen, history=History(seen_since=0.0), now=self.now)
        before = ScalingDecision.objects.count()
        self.journal.keep(self.pool, decided(inputs), Plan(actions), present, inputs, outcome=USED)
        rows = list(ScalingDecision.objects.order_by("-at")[: ScalingDecision.objects.count() - before])
        return " ".join(row.signals["note"] for row in rows)

    def restart(self, *, after_s: float = 60.0) -> None:
        """Another orchestrator leads."""
        self.now += after_s
        self.journal = Journal.resumed(records.last_decision(self.pool), now=self.now)


@pytest.fixture
def ticks() -> Ticks:
    return Ticks(Pool.objects.create(slug="p", name="p", engine="simulated"))


def test_a_quiet_tick_keeps_nothing(ticks: Ticks) -> None:
    assert [ticks.tick({}), ticks.tick({"paused": "P."}), ticks.tick({"paused": "P."})] == ["", "P.", ""]
    assert ScalingDecision.objects.count() == 1


def test_what_stands_is_not_said_again_after_a_restart(ticks: Ticks) -> None:
    for kind in OVER:
        assert ticks.tick({kind: f"{kind}."}, after_s=2 * QUIET_S).endswith(f"{kind}.")
        ticks.restart()
        said = ticks.tick({kind: f"{kind}."})
        assert said == ("preempted." if kind == "preempted" else ""), kind  # that is an event
        ticks.tick({}, after_s=2 * QUIET_S)


@pytest.mark.parametrize("kind", list(OVER))
def test_what_ended_and_begins_anew_is_said_again_after_a_restart(ticks: Ticks, kind: Kind) -> None:
    assert ticks.tick({kind: "S."}) == "S."
    over = USED if OVER[kind] == "The roll-out is over." else OVER[kind]
    assert ticks.tick({}, after_s=2 * QUIET_S) == over
    ticks.restart()
    assert ticks.tick({}) == ""
    assert ticks.tick({kind: "S."}) == "S."


@pytest.mark.parametrize("kind", list(OVER))
def test_what_ends_while_nobody_leads_is_told_by_the_next_leader(ticks: Ticks, kind: Kind) -> None:
    ticks.tick({kind: "S."})
    ticks.restart()
    assert ticks.tick({}, after_s=2 * QUIET_S) == (USED if OVER[kind] == "The roll-out is over." else OVER[kind])


def test_the_end_of_a_warning_is_the_budget_s_beginning(ticks: Ticks) -> None:
    assert ticks.tick({"budget_near": "N."}, spent_h=1.9) == "N."
    assert ticks.tick({"budget": "B."}, spent_h=2.0) == "B."
    ticks.restart()
    assert ticks.tick({"budget": "B."}, spent_h=2.1) == ""
    assert ticks.tick({}, spent_h=0.0) == OVER["budget"]
    ticks.restart()
    assert ticks.tick({"budget_near": "N."}, spent_h=1.9) == "N."


def test_a_kept_decision_with_a_budget_is_made_again(ticks: Ticks) -> None:
    ticks.tick({"budget": "B."}, Drain("w", "r"), spent_h=2.0)
    ticks.tick({}, spent_h=None)
    kept = list(ScalingDecision.objects.order_by("at"))
    assert [row.signals["signals"]["spent_h"] for row in kept] == [2.0, None]
    for row in kept:
        assert differences(row.signals, current=row.current, desired=row.desired, reason=row.reason) == []
