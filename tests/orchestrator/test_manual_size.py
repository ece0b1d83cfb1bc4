"""A size that is set by hand: kept instead of the policy's until its time is over, drained, replaced, whoever leads."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from orchestrator import steering
from orchestrator.loop import Orchestrator
from orchestrator.manual_rows import ManualSize
from orchestrator.models import Pool, Rollout, ScalingDecision, Worker
from orchestrator.policies.demand import Decision, Demand, History, Policy, Signals
from orchestrator.policies.override import Override, overridden
from orchestrator.refusals import of_override
from orchestrator.replay import Inputs, decided, differences, from_json, to_json
from orchestrator.revisions import digest, note_edit
from orchestrator.specs import fingerprint
from taskqueue.connections import connect
from taskqueue.sync_client import standing
from tests.orchestrator.conftest import Site, wait_for

AT = datetime(2026, 3, 1, 10, 0, tzinfo=UTC).timestamp()
FOUR = Override(4, "ann", AT + 1800)
WANTED = Decision(1, "1 task waits for one worker.", "up", needed=2)


# -- as values -------------------------------------------------------------------------------------
def test_a_size_stands_over_the_policy_and_says_whose_word_it_is() -> None:
    decision = overridden(FOUR, WANTED, AT)
    assert (decision.desired, decision.code, decision.needed) == (4, "manual", 2)
    assert decision.reason == (
        "The size is set to 4 until 2026-03-01 10:30 UTC by ann. The policy wants 1: 1 task waits for one worker."
    )


@pytest.mark.parametrize(
    ("override", "decision", "now"),
    [
        (None, WANTED, AT),
        (FOUR, WANTED, AT + 1800),
        (FOUR, Decision(0, "The queue cannot be read.", "blind"), AT),
    ],
)
def test_without_one_after_its_time_and_in_the_dark_the_decision_is_what_it_was(
    override: Override | None, decision: Decision, now: float
) -> None:
    assert overridden(override, decision, now) == decision


def test_a_drain_has_no_end_but_somebodys_word() -> None:
    decision = overridden(Override(0, "ann"), replace(WANTED, needed=None), AT + 1e9)
    assert (decision.desired, decision.needed) == (0, 1)
    assert decision.reason.startswith("The pool is drained by ann: no worker starts until it is resumed.")


def test_the_bounds_that_it_stands_over_refuse_nothing() -> None:
    found = {"maximum": "The maximum is 2.", "budget": "All are spent.", "budget_near": "9.1 of 10 are spent."}
    said = of_override(FOUR, found)  # type: ignore[arg-type]
    assert said == {"budget_near": "9.1 of 10 are spent.", "manual": str(FOUR)}


def test_the_decision_is_made_again_from_what_is_stored() -> None:
    signals = Signals(slots=4, ready=1, demand=Demand(at=AT, waiting=9, running=0))
    made_from = Inputs(policy=Policy(max_workers=2), signals=signals, history=History(), now=AT, override=FOUR)
    decision = decided(made_from)
    stored = {**to_json(made_from), "code": decision.code, "needed": decision.needed, "note": ""}
    assert from_json(stored) == made_from
    assert differences(stored, current=1, desired=4, reason=decision.reason) == []
    del stored["override"]  # an earlier Opsite's
    assert from_json(stored).override is None


def test_recipes_of_before_keep_their_names() -> None:
    pool = Pool(slug="p", name="p", engine="simulated")
    assert "generation" not in fingerprint(pool)
    before = digest(pool)
    pool.generation = 1
    assert digest(pool) != before


# -- as rows ---------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_postgres_takes_no_size_without_sense() -> None:
    pool = Pool.objects.create(slug="p", name="p", engine="simulated")
    now = timezone.now()
    for wrong in (
        {"workers": 1, "until": None},
        {"workers": 1, "until": now - timedelta(seconds=1)},
        {"workers": 1001, "until": now + timedelta(hours=1)},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            ManualSize.objects.create(pool=pool, set_by="ann", set_at=now, **wrong)


@pytest.mark.django_db
def test_what_cannot_be_said_now_is_refused_with_what_to_do() -> None:
    pool, now = Pool.objects.create(slug="p", name="p", engine="simulated"), timezone.now()
    size = {"now": now, "by": "ann"}
    for wrong, said in (((1001, 5), "workers: a whole number from 0"), ((1, 0), "minutes: a whole number from 1")):
        with pytest.raises(steering.NotNow, match=said):
            steering.set_size(pool.pk, workers=wrong[0], minutes=wrong[1], **size)
    with pytest.raises(steering.NotNow, match="neither paused nor drained"):
        steering.resume(pool.pk)
    with pytest.raises(steering.NotNow, match="No size is set"):
        steering.end_size(pool.pk, now=now)
    steering.pause(pool.pk)
    with pytest.raises(steering.NotNow, match="paused already"):
        steering.pause(pool.pk)
    with pytest.raises(steering.NotNow, match="resume it first"):
        steering.set_size(pool.pk, workers=1, minutes=5, **size)
    with pytest.raises(steering.NotNow, match="resume it first"):
        steering.roll_all(pool.pk, **size)
    steering.drain(pool.pk, **size)
    assert not Pool.objects.get().is_paused
    with pytest.raises(steering.NotNow, match="drained already"):
        steering.drain(pool.pk, **size)
    steering.resume(pool.pk)
    assert not ManualSize.objects.exists()


@pytest.mark.django_db
def test_all_workers_are_rolled_by_a_new_revision_of_the_same_recipe() -> None:
    pool, now = Pool.objects.create(slug="p", name="p", engine="simulated"), timezone.now()
    note_edit(pool.pk, now=now)
    pool.revisions.update(ready_at=now)
    rollout = steering.roll_all(pool.pk, now=now, by="ann")
    assert (rollout.state, rollout.reason) == ("rolling", "ann has all workers replaced.")
    assert rollout.target is not None
    assert (rollout.target.number, rollout.target.generation, rollout.target.engine) == (2, 1, "simulated")
    with pytest.raises(steering.NotNow, match="A roll-out is under way"):
        steering.roll_all(pool.pk, now=now, by="ann")
    Rollout.objects.update(state="failed")
    with pytest.raises(steering.NotNow, match="Revision 2 is not used"):
        steering.roll_all(pool.pk, now=now, by="ann")


# -- in the loop -----------------------------------------------------------------------------------
def another() -> Orchestrator:
    """The next leader, with nothing in its memory."""
    orchestrator = Orchestrator()
    assert orchestrator._leadership.campaign()
    orchestrator._begin()
    return orchestrator


def test_the_size_is_kept_by_whoever_leads_and_then_the_policy_goes_on(site: Site, leading: Orchestrator) -> None:
    pool = site.pool(policy={"max_workers": 1, "idle_to_zero_s": 0.0})
    leading.tick()
    assert not site.live(pool)
    steering.set_size(pool.pk, workers=2, minutes=5, now=timezone.now(), by="ann")
    leading.tick()
    assert len(site.live(pool)) == 2  # beyond the policy's maximum: whose word it is, says how many
    told = ScalingDecision.objects.filter(pool=pool).latest("at")
    assert told.desired == 2
    assert told.signals["code"] == "manual"
    assert told.reason.startswith("The size is set to 2 until ")
    assert " by ann. The policy wants 0" in told.reason
    assert told.signals["refusals"]["manual"].endswith(" by ann.")

    leading._leadership.resign()
    follower = another()
    try:
        count = ScalingDecision.objects.count()
        for _ in range(3):
            follower.tick()
        assert len(site.live(pool)) == 2
        assert ScalingDecision.objects.count() == count  # nothing is said twice
        ManualSize.objects.update(set_at=timezone.now() - timedelta(hours=1), until=timezone.now())
        follower.tick()
        ended = ScalingDecision.objects.filter(pool=pool).latest("at")
        assert "The size is no longer set by hand: the policy decides." in ended.reason
        assert "manual" not in ended.signals["refusals"]

        def gone() -> bool:
            follower.tick()
            return not site.live(pool)

        wait_for(gone, what="the policy ends what it does not want")
    finally:
        follower._host.stock.close()
        follower._host.fleet.close()
        follower._leadership.resign()
    call_command("replay_decisions", pool=pool.slug)


def test_a_drained_pool_starts_nothing_until_it_is_resumed(site: Site, running: Orchestrator) -> None:
    pool = site.pool(policy={"min_workers": 1})
    wait_for(lambda: site.ready(pool), what="a worker is ready")
    steering.drain(pool.pk, now=timezone.now(), by="ann")
    turns = site.submit(pool, 3)
    wait_for(lambda: not site.live(pool), what="the worker hands over and goes")
    wait_for(
        lambda: ScalingDecision.objects.filter(
            pool=pool, desired=0, reason__startswith="The pool is drained by ann"
        ).exists(),
        what="the decision says so",
    )
    assert Worker.objects.filter(pool=pool).count() == 1
    steering.resume(pool.pk)
    wait_for(lambda: set(turns) <= site.finished(pool).keys(), what="what waited is served after it was resumed")
    call_command("replay_decisions", pool=pool.slug)


def test_a_drained_pool_tells_clients_that_waiting_does_not_help(site: Site, leading: Orchestrator) -> None:
    pool = site.pool()
    steering.drain(pool.pk, now=timezone.now(), by="ann")
    redis = connect(site.redis_url)
    try:
        leading.tick()
        foretold = standing(redis, pool.slug, most=1).outlook
        assert foretold is not None
        assert foretold.no_capacity == "This model is switched off: it may have no worker. No worker serves it."
        steering.set_size(pool.pk, workers=3, minutes=5, now=timezone.now(), by="ann")
        leading.tick()
        foretold = standing(redis, pool.slug, most=1).outlook
        assert foretold is not None
        assert foretold.no_capacity == ""
    finally:
        redis.close()


def test_all_workers_are_replaced_while_one_serves(site: Site, running: Orchestrator) -> None:
    pool = site.pool(policy={"min_workers": 1})
    (old,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    wait_for(lambda: pool.revisions.filter(ready_at__isnull=False).exists(), what="its revision is known to serve")
    steering.roll_all(pool.pk, now=timezone.now(), by="ann")

    def replaced() -> bool:
        assert site.ready(pool) or Worker.objects.filter(pool=pool, state=Worker.State.DRAINING).exists()
        live = site.live(pool)
        return [(one.revision.number, one.state) for one in live] == [(2, Worker.State.READY)]

    wait_for(replaced, what="the new worker serves alone")
    wait_for(lambda: Rollout.objects.get(pool=pool).state == "steady", what="the roll-out is over")
    assert Worker.objects.get(pk=old.pk).state == Worker.State.STOPPED
    assert any("ann has all workers replaced." in reason for reason in site.reasons(pool))
