"""The page of one scaling decision: its reason, what was known, whether it would be made again, the way to its place in time."""

from __future__ import annotations

import time

from orchestrator import records
from orchestrator.models import Pool, ScalingDecision
from orchestrator.policies.demand import Demand, History, Policy, Signals
from orchestrator.replay import Inputs, decided, to_json
from tests.console.conftest import Enter


def test_a_decision_is_told_in_words_and_made_again(enter: Enter, db: None) -> None:
    pool = Pool.objects.create(slug="told", name="told", engine="simulated", slots=4)
    now = time.time()
    signals = Signals(slots=4, demand=Demand(at=now, waiting=9, running=0, oldest_wait_s=3.0), turn_s=0.5, start_s=20.0)
    made_from = Inputs(policy=Policy(max_workers=4), signals=signals, history=History(), now=now)
    records.keep_decision(pool, decided(made_from), inputs=to_json(made_from), current=0, note="", refusals={}, now=now)
    made = pool.decisions.get()
    page = f"/console/orchestrator/scalingdecision/{made.pk}/change/"
    client = enter("viewer")
    told = client.get(page).content.decode()
    assert made.reason in told
    assert f"0 → {made.desired}" in told
    assert "9 tasks waiting, 0 running; the oldest for 3.0 s" in told
    assert "20 s to start" in told
    assert "The same signals give the same decision." in told
    assert f"/console/pools/told/?decision={made.pk}" in told
    ScalingDecision.objects.update(desired=made.desired + 1)
    assert f"desired was {made.desired + 1}, is {made.desired}" in client.get(page).content.decode()
