"""Roll-outs with real workers and load: the fleet keeps serving, whatever the new revision is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from gpu_worker.engines.simulated_text import whole_answer
from orchestrator import revisions
from orchestrator.models import Pool, Rollout, Worker
from taskqueue.messages import SamplingParams, TurnBody
from tests.orchestrator.conftest import Site, wait_for

TOKENS = 150
ANSWER = whole_answer(TurnBody(prompt="hello", params=SamplingParams(max_tokens=TOKENS, ignore_eos=True))).text
GOOD = {"step_base_s": 0.02, "step_per_sequence_s": 0.0001}
BAD = {"step_base_s": "a while"}
IN_FLIGHT = 10


def fixed(workers: int) -> dict[str, Any]:
    return {"min_workers": workers, "max_workers": workers}


def edit(pool: Pool, engine_args: dict[str, Any]) -> None:
    """As a script would, without the console: the orchestrator notices by itself."""
    Pool.objects.filter(pk=pool.pk).update(engine_args=engine_args)


def edit_and_notice(pool: Pool, engine_args: dict[str, Any], *, number: int) -> None:
    """An edit that is known before anything else happens: a tick may have read the pool just before it."""
    edit(pool, engine_args)
    wait_for(lambda: (target := rollout(pool).target) and target.number == number, what="the edit is noticed")


def rollout(pool: Pool) -> Rollout:
    return Rollout.objects.select_related("current", "target").get(pool=pool)


def stands(pool: Pool, state: str, *, number: int) -> bool:
    """The roll-out is in this state, and that revision is the current one."""
    now = rollout(pool)
    return (now.state, now.current.number) == (state, number)


def ready_by_revision(pool: Pool) -> dict[int, int]:
    """Ready workers by the number of their revision, seen at one moment."""
    found: dict[int, int] = {}
    for number in Worker.objects.filter(pool=pool, state="ready").values_list("revision__number", flat=True):
        found[number] = found.get(number, 0) + 1
    return found


def under_load(site: Site, pool: Pool, until: Callable[[], bool], *, at_least: int) -> list[str]:
    """Keep turns in flight until then; at no look fewer workers are ready. Returns the turns."""
    turns: list[str] = []

    def passed() -> bool:
        flying = len(turns) - len(site.finished(pool))
        turns.extend(site.submit(pool, max(0, IN_FLIGHT - flying), tokens=TOKENS))
        ready = ready_by_revision(pool)
        assert sum(ready.values()) >= at_least, ready
        return until()

    wait_for(passed, what="the roll-out is over", timeout_s=120)
    wait_for(lambda: len(site.finished(pool)) == len(turns), what="all turns have ended")
    return turns


def whole_streams(site: Site, pool: Pool, turns: list[str]) -> None:
    """Each turn succeeded, and its stream has all numbers and the very text of an undisturbed run."""
    finished = site.finished(pool)
    assert set(finished) == set(turns)
    assert {record.state for record in finished.values()} == {"succeeded"}
    for turn in turns:
        log = site.queue(pool).read_log(turn.replace("turn", "task"))
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        assert "".join(json.loads(event.data) for event in log if event.kind == "text") == ANSWER


def test_a_new_revision_replaces_three_workers_under_load(site: Site, running: object) -> None:
    pool = site.pool(lease_s=5.0, policy=fixed(3))
    wait_for(lambda: len(site.ready(pool)) == 3, what="three workers are ready")
    edit(pool, GOOD)
    turns = under_load(site, pool, lambda: stands(pool, "steady", number=2), at_least=3)
    whole_streams(site, pool, turns)
    wait_for(lambda: ready_by_revision(pool) == {2: 3}, what="three new workers serve")
    old = Worker.objects.filter(pool=pool, revision__number=1)
    wait_for(lambda: set(old.values_list("state", flat=True)) == {"stopped"}, what="the old ones have ended")
    assert Worker.objects.filter(pool=pool).count() == 6
    assert any("Revision 2 is being rolled out" in reason for reason in site.reasons(pool))
    used = "Revision 2 is used: All workers are of this revision."
    wait_for(lambda: any(used in reason for reason in site.reasons(pool)), what="its success is kept")


def test_a_revision_that_cannot_start_leaves_the_old_one_serving(site: Site, running: object) -> None:
    pool = site.pool(lease_s=5.0, policy=fixed(3))
    wait_for(lambda: len(site.ready(pool)) == 3, what="three workers are ready")
    before = set(site.pids())
    edit(pool, BAD)
    turns = under_load(site, pool, lambda: stands(pool, "failed", number=1), at_least=3)
    whole_streams(site, pool, turns)
    assert {str(worker.pk) for worker in site.ready(pool)} == before
    failed = rollout(pool)
    assert failed.target is not None
    assert failed.target.number == 2
    assert "OPSITE_ENGINE_ARGS" in failed.reason
    assert "opsite-worker: error:" in failed.log_tail
    wait_for(
        lambda: any("Revision 2 is not used: " in reason for reason in site.reasons(pool)), what="the console says why"
    )
    tries = Worker.objects.filter(pool=pool, revision__number=2)
    assert [worker.state for worker in tries] == ["failed"]  # what cannot help is not tried again

    assert revisions.try_again(failed, now=timezone.now(), by="ann")
    wait_for(lambda: tries.all().count() == 2 and stands(pool, "failed", number=1), what="it was tried once more")
    edit(pool, GOOD)
    wait_for(lambda: stands(pool, "steady", number=3), what="a corrected one is used", timeout_s=120)
    assert not revisions.try_again(rollout(pool), now=timezone.now(), by="ann")


def test_at_zero_the_new_revision_is_used_and_a_bad_one_is_left_again(site: Site, running: object) -> None:
    pool = site.pool(policy={"max_workers": 1})
    site.submit(pool, 1)
    wait_for(lambda: len(site.finished(pool)) == 1 and not site.live(pool), what="it has served, and is at zero")
    edit_and_notice(pool, BAD, number=2)
    site.submit(pool, 1)
    wait_for(lambda: len(site.finished(pool)) == 2, what="the old revision has served again")
    assert stands(pool, "failed", number=1)
    assert {record.state for record in site.finished(pool).values()} == {"succeeded"}
    wait_for(lambda: not site.live(pool), what="it is at zero again")
    edit_and_notice(pool, GOOD, number=3)
    site.submit(pool, 1)
    wait_for(lambda: len(site.finished(pool)) == 3, what="the third revision has served")
    assert Worker.objects.get(pool=pool, revision__number=3).ready_at is not None


@pytest.mark.parametrize("word", [revisions.go_on, revisions.go_back], ids=["go on", "go back"])
def test_canaries_wait_for_a_word(site: Site, running: object, word: Callable[..., bool]) -> None:
    pool = site.pool(policy=fixed(2), canary_share=50)
    wait_for(lambda: len(site.ready(pool)) == 2, what="two workers are ready")
    edit(pool, GOOD)
    wait_for(lambda: stands(pool, "canary", number=1), what="it waits")
    wait_for(lambda: ready_by_revision(pool) == {1: 1, 2: 1}, what="one of two is new")
    wait_for(lambda: any("waits for your word" in reason for reason in site.reasons(pool)), what="it says so")
    assert word(rollout(pool), now=timezone.now(), by="ann")
    serving = 2 if word is revisions.go_on else 1
    wait_for(lambda: ready_by_revision(pool) == {serving: 2}, what="all are of one revision")
    state = "steady" if word is revisions.go_on else "reverted"
    wait_for(lambda: stands(pool, state, number=serving), what="it is over")
    assert any("ann" in reason for reason in (rollout(pool).reason, *site.reasons(pool)))


def test_a_full_host_is_said_and_then_rolled_out_in_place(site: Site) -> None:
    site.env["OPSITE_GPUS"] = "0,1"
    site.orchestrator()
    pool = site.pool(lease_s=5.0, gpus_per_worker=1, policy=fixed(2))
    wait_for(lambda: len(site.ready(pool)) == 2, what="two workers are ready")
    edit(pool, GOOD)
    wait_for(lambda: any("(rolls_in_place)" in reason for reason in site.reasons(pool)), what="it says what would help")
    assert ready_by_revision(pool) == {1: 2}
    Pool.objects.filter(pk=pool.pk).update(rolls_in_place=True)
    turns = under_load(site, pool, lambda: stands(pool, "steady", number=2), at_least=1)
    assert ready_by_revision(pool) == {2: 2}  # it is not over before
    whole_streams(site, pool, turns)
    assert Worker.objects.filter(pool=pool).count() == 4


def test_another_orchestrator_goes_on_with_it(site: Site) -> None:
    pool = site.pool(lease_s=5.0, policy=fixed(2))
    first = site.orchestrator("first")
    wait_for(lambda: len(site.ready(pool)) == 2, what="two workers are ready")
    edit(pool, GOOD)
    new = Worker.objects.filter(pool=pool, revision__number=2)
    wait_for(new.exists, what="the first new worker is started")
    first.kill()
    first.wait()
    site.orchestrator("second")
    turns = under_load(site, pool, lambda: stands(pool, "steady", number=2), at_least=2)
    whole_streams(site, pool, turns)
    wait_for(lambda: ready_by_revision(pool) == {2: 2}, what="two new workers serve")
    said = [reason for reason in site.reasons(pool) if "Revision 2 is" in reason]
    assert ["being rolled out" in reason for reason in said] == [True, False]  # each once, by whoever led
