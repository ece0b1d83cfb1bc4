"""What is wrong, as values: each finding with its words, gravity and place, and nothing where all is well."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from console.overview.facts import Hindrance, Overdue, PoolFacts, Rollout, ServiceFacts, SideFacts, Silent
from console.overview.findings import Finding, Severity, findings, worst

NOW = 1_800_000_000.0
NOTE, WARNING, TROUBLE, OUTAGE = Severity
WELL = PoolFacts(slug="p", ready=2, waiting=3, oldest_wait_s=0.5, ended=1000, failed=3)


def of(*pools: PoolFacts, **more: Any) -> list[Finding]:
    return findings(ServiceFacts(now=NOW, pools=pools, **more))


def of_pool(**more: Any) -> list[tuple[Severity, str, float | None, str, str]]:
    """Gravity, sentence without the pool's name, age in seconds, place, key."""
    found = of(msgspec.structs.replace(WELL, **more))
    assert all(one.pool == "p" and one.sentence.startswith("p: ") for one in found)
    return [
        (one.severity, one.sentence[3:], None if one.since is None else NOW - one.since, one.place, one.key)
        for one in found
    ]


def of_side(**more: Any) -> list[tuple[Severity, str, float | None, str]]:
    found = of(side=SideFacts(**more))
    return [(one.severity, one.sentence, None if one.since is None else NOW - one.since, one.place) for one in found]


def test_where_all_is_well_nothing_is_said() -> None:
    assert of(WELL, PoolFacts(slug="idle")) == []


# -- the service -----------------------------------------------------------------------------------
def test_a_redis_that_is_away_is_one_finding_and_not_one_of_each_pool() -> None:
    lost = PoolFacts(slug="p", error="no answer")
    (found,) = of(lost, lost, redis_error="no answer", quiet_s=60.0)
    assert (found.severity, found.place) == (OUTAGE, "pools")
    assert found.sentence == "Redis does not answer: nothing is queued and nothing runs. no answer"


def test_nobody_who_leads_is_said_with_the_last_minute_that_was_recorded() -> None:
    (found,) = of(WELL, is_led=False, quiet_s=300.0, recorded_at=NOW - 240)
    assert (found.severity, found.since) == (OUTAGE, NOW - 240)
    assert found.sentence.startswith("No orchestrator leads: no worker is started or ended.")


@pytest.mark.parametrize(("quiet_s", "pools", "said"), [(7.9, (WELL,), 0), (8.0, (WELL,), 1), (99.0, (), 0)])
def test_a_leader_that_does_not_tick(quiet_s: float, pools: tuple[PoolFacts, ...], said: int) -> None:
    found = of(*pools, quiet_s=quiet_s)
    assert [(one.severity, one.since) for one in found] == [(OUTAGE, NOW - quiet_s)] * said


@pytest.mark.parametrize(("oldest_s", "severity"), [(9.9, None), (10.0, TROUBLE), (60.0, OUTAGE)])
def test_a_recorder_that_is_behind(oldest_s: float, severity: Severity | None) -> None:
    behind = msgspec.structs.replace(WELL, unrecorded=1200, oldest_record_s=oldest_s)
    found = of(behind, msgspec.structs.replace(behind, slug="q", unrecorded=34), WELL)
    if severity is None:
        assert found == []
        return
    assert [(one.severity, one.since) for one in found] == [(severity, NOW - oldest_s)]
    assert found[0].sentence.startswith("The recorder is behind: 1234 records of 2 pools not in Postgres yet.")


def test_effects_that_leave_their_work_are_told_by_it() -> None:
    calls, hooks = Overdue("a tool call", NOW - 90), Overdue("a webhook's delivery", NOW - 300)
    assert of_side(overdue=(Overdue("a tool call", NOW - 59),)) == []
    assert of_side(overdue=(calls,)) == [
        (
            TROUBLE,
            "Effects is silent or behind: a tool call is overdue. See whether manage.py effects runs.",
            90,
            "calls",
        )
    ]
    ((_, sentence, age, _),) = of_side(overdue=(calls, hooks))
    assert (sentence[:72], age) == ("Effects is silent or behind: a tool call and a webhook's delivery are ov", 300)


def test_celery_is_known_by_its_heartbeat() -> None:
    assert of_side(celery_heard_at=NOW - 59, celery_due_at=NOW + 1) == []
    assert of_side(celery_heard_at=None, celery_due_at=NOW + 1) == []
    ((severity, sentence, age, place),) = of_side(celery_heard_at=NOW - 60, celery_due_at=NOW)
    assert (severity, sentence[:17], age, place) == (WARNING, "Celery is silent:", 60, "bills")
    late = {"billed_at": NOW - 700, "bill_due_since": NOW - 9000}
    ((_, sentence, age, _),) = of_side(
        celery_heard_at=None, celery_due_at=NOW - 5, **late
    )  # the one explains the other
    assert (sentence[:17], age) == ("Celery is silent:", None)


def test_a_gpu_bill_that_is_not_made() -> None:
    assert of_side(billed_at=None, bill_due_since=None) == []
    assert of_side(billed_at=NOW - 9000, bill_due_since=NOW - 500) == []
    assert of_side(billed_at=NOW - 500, bill_due_since=NOW - 9000) == []
    ((severity, sentence, age, place),) = of_side(billed_at=NOW - 700, bill_due_since=NOW - 9000)
    assert (severity, sentence[:19], age, place) == (WARNING, "No GPU bill is made", 700, "bills")
    assert of_side(billed_at=None, bill_due_since=NOW - 601)[0][2] == 601


def test_what_lies_beside_the_pools() -> None:
    assert of_side(
        stock_errors=(Hindrance("image x cannot be fetched: denied", NOW - 5),),
        dead_letters=2,
        oldest_dead_letter_at=NOW - 3600,
        webhooks_failing=1,
        webhooks_failing_since=NOW - 60,
        webhooks_disabled=3,
        spent_tenants=tuple("abcdefg"),
        spent_keys=1,
    ) == [
        (WARNING, "2 dead letters of the last day not run again.", 3600, "dead_letters"),
        (WARNING, "1 webhook cannot be delivered; they are tried again for a day.", 60, "webhooks"),
        (WARNING, "image x cannot be fetched: denied", 5, "stock"),
        (NOTE, "3 webhooks disabled, because nothing could be delivered for long.", None, "webhooks"),
        (NOTE, "The month's budget is spent, nothing more is accepted, of a, b, c, d, e and 2 more.", None, "tenants"),
        (NOTE, "The month's budget is spent of 1 API key.", None, "keys"),
    ]


# -- pools -----------------------------------------------------------------------------------------
def test_a_queue_that_cannot_be_read() -> None:
    assert of_pool(error="OOM command not allowed", waiting=0) == [
        (TROUBLE, "its queue cannot be read: OOM command not allowed", None, "pool", "p")
    ]


def test_work_without_a_worker() -> None:
    none = {"ready": 0, "waiting": 12, "oldest_wait_s": 40.0}
    assert of_pool(**none) == [(TROUBLE, "12 tasks wait, and it has no worker.", 40, "pool", "p")]
    assert of_pool(**none | {"waiting": 1})[0][1] == "1 task waits, and it has no worker."
    assert of_pool(**none, starting=1) == []
    assert of_pool(**none | {"oldest_wait_s": 4.9}) == []
    assert of_pool(**none | {"waiting": 0}) == []


def test_what_explains_the_missing_worker_is_said_once_with_it() -> None:
    none = {"ready": 0, "waiting": 2, "oldest_wait_s": 40.0}
    fails = {"starts_fail": Hindrance("No start before 12:00:00 UTC.", NOW - 30), "room": Hindrance("No GPU is free.")}
    assert [(severity, said) for severity, said, *_ in of_pool(**none, hindrances=fails)] == [
        (TROUBLE, "2 tasks wait, and it has no worker. No start before 12:00:00 UTC."),
        (WARNING, "No GPU is free."),
    ]
    paused = {"paused": Hindrance("The pool is paused.", NOW - 99)}
    for hindrances, age_s in (({}, 40), (paused, 99)):
        assert of_pool(**none, paused=True, hindrances=hindrances) == [
            (TROUBLE, "2 tasks wait, and it has no worker. The pool is paused.", age_s, "pool", "p")
        ]


def test_a_pause_that_hurts_nobody_is_a_note() -> None:
    assert of_pool(paused=True) == [(NOTE, "The pool is paused.", None, "pool", "p")]
    paused = {"paused": Hindrance("The pool is paused.", NOW - 99)}
    assert of_pool(paused=True, hindrances=paused) == [(NOTE, "The pool is paused.", 99, "pool", "p")]


@pytest.mark.parametrize(
    ("kind", "severity"),
    [("starts_fail", TROUBLE), ("runtime", TROUBLE), ("room", WARNING), ("budget", WARNING), ("budget_near", NOTE),
     ("stock", NOTE), ("sparing", NOTE), ("preempted", NOTE)],
)  # fmt: skip
def test_each_hindrance_is_said_as_gravely_as_it_is(kind: str, severity: Severity) -> None:
    assert of_pool(hindrances={kind: Hindrance("It is so.", NOW - 7)}) == [(severity, "It is so.", 7, "pool", "p")]


@pytest.mark.parametrize("kind", ["blind", "rolling", "canary", "failed", "reverted"])
def test_what_is_seen_elsewhere_is_not_said_twice(kind: str) -> None:
    assert of_pool(hindrances={kind: Hindrance("It is so.")}) == []


def test_the_maximum_matters_once_tasks_wait_beyond_their_bound() -> None:
    most = {"maximum": Hindrance("The work alone would need 4 workers; the maximum is 2.", NOW - 50)}
    assert of_pool(hindrances=most, oldest_wait_s=5.0) == []
    assert of_pool(hindrances=most, oldest_wait_s=42.0) == [
        (
            WARNING,
            "at its maximum, and a task waits for 42 s (bound: 5.0 s). The work alone would need 4 workers; the maximum is 2.",
            50,
            "pool",
            "p",
        )
    ]
    assert of_pool(hindrances=most, oldest_wait_s=42.0, wait_bound_s=60.0) == []


def test_silent_workers() -> None:
    one, other = Silent("0199-aaaabbbb", 12.0), Silent("0199-ccccdddd", 30.0)
    assert of_pool(silent=(Silent("w", 4.9),)) == []
    assert of_pool(silent=(one,)) == [(WARNING, "worker aaaabbbb is silent.", 12, "worker", "0199-aaaabbbb")]
    assert of_pool(silent=(one, other)) == [(WARNING, "2 workers are silent.", 30, "workers", "p")]
    assert of_pool(silent=(Silent("w", None),))[0][2] is None


def test_workers_that_failed_lately_unless_starts_fail() -> None:
    failed = {"failed_starts": 3, "failed_at": NOW - 100, "failed_words": "no CUDA device"}
    said = "3 workers failed in the last 15 minutes. The last said: no CUDA device"
    assert of_pool(**failed) == [(WARNING, said, 100, "workers", "p")]
    held = {"starts_fail": Hindrance("No start before 12:00:00 UTC.")}
    assert [kind for kind, *_ in of_pool(**failed, hindrances=held)] == [TROUBLE]


@pytest.mark.parametrize(
    ("state", "severity", "said"),
    [
        ("failed", TROUBLE, "the roll-out of revision 4 failed, and was gone back from. It said no."),
        ("canary", WARNING, "the roll-out of revision 4 waits for your word. It said no."),
        ("reverted", NOTE, "the roll-out of revision 4 was called back. It said no."),
    ],
)
def test_roll_outs(state: str, severity: Severity, said: str) -> None:
    row = Rollout(state, 4, "It said no.", NOW - 8)
    assert of_pool(rollout=row) == [(severity, said, 8, "pool", "p")]


@pytest.mark.parametrize(
    ("ended", "failed", "severity"), [(9, 9, None), (100, 4, None), (100, 5, WARNING), (100, 25, TROUBLE), (0, 0, None)]
)
def test_an_error_rate_over_its_bound(ended: int, failed: int, severity: Severity | None) -> None:
    found = of_pool(ended=ended, failed=failed)
    assert [one[0] for one in found] == ([] if severity is None else [severity])
    if found:
        words = f"{failed}% of its turns failed in the last 5 minutes ({failed} of 100)."
        assert found[0][1:] == (words, None, "failed_tasks", "p")


# -- order -----------------------------------------------------------------------------------------
def test_worst_first_then_what_has_lasted_longest() -> None:
    def pool(slug: str, kind: str, age_s: float) -> PoolFacts:
        return PoolFacts(slug=slug, ready=1, hindrances={kind: Hindrance("So.", NOW - age_s)})

    found = of(
        pool("a", "room", 5), pool("b", "room", 50), pool("c", "runtime", 1), pool("d", "stock", 500), is_led=False
    )
    assert [one.pool for one in found] == ["", "c", "b", "a", "d"]


def test_each_pool_has_its_worst() -> None:
    both = PoolFacts(slug="p", paused=True, error="no answer")
    assert worst(of(both, PoolFacts(slug="q", paused=True), PoolFacts(slug="r"))) == {"p": TROUBLE, "q": NOTE}
