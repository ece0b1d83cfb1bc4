"""What keeps a fleet from changing: each is said once, and its end is; tables, and what must hold for any ticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backoff import Backoff
from orchestrator.plan import Plan
from orchestrator.policies.demand import Decision, Demand, Policy, Signals
from orchestrator.refusals import (
    OF_ROLLOUT,
    OF_WORK,
    OVER,
    QUIET_S,
    Kind,
    Refusal,
    noted,
    of_rollout,
    of_starts,
    of_work,
    outcome_of,
    unjudged,
)
from orchestrator.rollout import Course

NOW = 1000.0
USED = "Revision 2 is used: All workers are of this revision."


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        # said once when it begins, once when it is over
        ([{"paused": "P."}, {"paused": "P."}, {}], [("P.",), (), (OVER["paused"],)]),
        ([{"budget": "B."}, {"budget": "C."}, {}], [("B.",), (), (OVER["budget"],)]),
        # each failure is news
        ([{"starts_fail": "1."}, {"starts_fail": "2."}, {}], [("1.",), ("2.",), (OVER["starts_fail"],)]),
        # what follows says how it ended
        ([{"budget_near": "N."}, {"budget": "B."}], [("N.",), ("B.",)]),
        ([{"budget_near": "N."}, {}], [("N.",), (OVER["budget_near"],)]),
        ([{"starts_fail": "S."}, {"failed": "F."}], [("S.",), ("F.",)]),
        ([{"rolling": "R."}, {"canary": "C."}, {"rolling": "S."}, {}], [("R.",), ("C.",), ("S.",), (USED,)]),
        ([{"rolling": "R."}, {"failed": "F."}, {"rolling": "R."}, {}], [("R.",), ("F.",), ("R.",), (USED,)]),
        # but not what was there before
        ([{"starts_fail": "S.", "failed": "F."}, {"failed": "F."}], [("S.", "F."), (OVER["starts_fail"],)]),
        # events are said each time
        ([{"preempted": "1 goes."}, {"preempted": "1 goes."}], [("1 goes.",), ("1 goes.",)]),
    ],
)
def test_each_is_said_once_and_so_is_its_end(ticks: list[dict[Kind, str]], expected: list[tuple[str, ...]]) -> None:
    known: dict[Kind, Refusal] = {}
    said = []
    for present in ticks:
        news = noted(known, present, NOW, outcome=USED)
        known = dict(news.known)
        said.append(news.sentences)
    assert said == expected


@pytest.mark.parametrize("kind", ["maximum", "room", "sparing", "preempted"])
def test_what_comes_and_goes_is_over_after_a_while(kind: Kind) -> None:
    known = noted({}, {kind: "S."}, NOW).known
    away = noted(known, {}, NOW + QUIET_S - 0.1)
    assert away.sentences == ()
    assert away.known == known
    assert noted(away.known, {}, NOW + QUIET_S).sentences == (OVER[kind],)


def test_what_cannot_be_seen_is_not_over() -> None:
    known = noted(
        {}, {"budget": "B.", "starts_fail": "S.", "stock": "It comes.", "sparing": "F.", "blind": "?"}, NOW
    ).known
    hindered = noted(known, {"paused": "P."}, NOW + 99, unjudged=unjudged(is_blind=True, is_hindered=True))
    assert hindered.sentences == ("P.",)
    assert hindered.known.keys() == {"paused", *known}
    blind = noted(known, {"blind": "?"}, NOW + 99, unjudged=unjudged(is_blind=True, is_hindered=False))
    assert blind.sentences == ()
    seen = noted(blind.known, {}, NOW + 99, unjudged=unjudged(is_blind=False, is_hindered=False))
    assert set(seen.sentences) == {OVER[kind] for kind in known}


present = st.dictionaries(st.sampled_from(sorted(OVER)), st.sampled_from(["One.", "Two."]))
ticks = st.lists(st.tuples(present, st.floats(0.2, 20), st.sampled_from([frozenset(), OF_WORK])), max_size=30)


@given(ticks)
def test_nothing_that_is_known_changes_in_silence(
    seen: list[tuple[dict[Kind, str], float, frozenset[Kind]]],
) -> None:
    """So the decision that was kept last has all that is known, and who resumes from it says nothing twice."""
    known, now = [dict[Kind, Refusal]()], NOW
    for there, after_s, dark in seen:
        now += after_s
        news = noted(known[-1], there, now, unjudged=dark)
        known.append(dict(news.known))
        before, after = ({kind: one.sentence for kind, one in some.items()} for some in known[-2:])
        assert news.sentences or before == after
        assert all(news.sentences)
        assert news.known.keys() >= there.keys()
        assert "preempted" not in there or there["preempted"] in news.sentences


POLICY = Policy(max_workers=3, min_workers=1, gpu_hours_per_day=10)
DAWN = 86_400.0 * 20_000


def signals(spent_h: float | None = None) -> Signals:
    return Signals(slots=4, ready=3, demand=Demand(at=DAWN, waiting=9, running=12), spent_h=spent_h)


def test_the_maximum_and_the_budget_are_told_of() -> None:
    wants = Decision(3, "12 running, but the maximum is 3.", "hold", needed=5)
    assert of_work(POLICY, signals(), wants, DAWN) == {"maximum": wants.reason}
    rises = Decision(3, "12 running.", "up", needed=5)
    assert of_work(POLICY, signals(), rises, DAWN) == {
        "maximum": "The work alone would need 5 workers; the maximum is 3."
    }
    assert of_work(POLICY, signals(), Decision(3, "r.", "hold", needed=3), DAWN) == {}
    calm = Decision(1, "r.", "hold", needed=1)
    assert of_work(POLICY, signals(9.0), calm, DAWN) == {
        "budget_near": "9.0 of the day's budget of 10 GPU-hours are spent; then the minimum is kept."
    }
    assert of_work(POLICY, signals(10.0), calm, DAWN) == {
        "budget": "All of the day's budget of 10 GPU-hours are spent: no more than the minimum of 1 until 2024-10-05 00:00 UTC."
    }


def test_failing_starts_and_a_full_host_are_told_of() -> None:
    failing = Backoff(2, failed_at=NOW, until=NOW + 9, error="no such model")
    held = of_starts(Plan((), "n", "backoff"), [Backoff(), failing], {})
    assert held.keys() == {"starts_fail"}
    assert "no such model" in held["starts_fail"]
    assert of_starts(Plan(), [failing], {}) == {}  # nobody is to be started
    assert of_starts(Plan(), [failing], {"starts_fail": Refusal("s", NOW)}).keys() == {"starts_fail"}
    assert of_starts(Plan(), [Backoff()], {"starts_fail": Refusal("s", NOW)}) == {}
    assert of_starts(Plan((), "Full.", "room"), [Backoff()], {}) == {"room": "Full."}
    assert of_starts(Plan((), "", "in_place"), [Backoff()], {}) == {}


def test_a_roll_out_tells_where_it_stands() -> None:
    for state in sorted(OF_ROLLOUT):
        course = Course("a", "b", state)  # type: ignore[arg-type]
        assert of_rollout(course, number=2, reason="Why.").keys() == {state}
        assert outcome_of(course, number=1, reason="Why.") == ""
    assert of_rollout(Course("a"), number=2, reason="Why.") == {}
    assert outcome_of(Course("a"), number=2, reason="All workers are of this revision.") == USED
